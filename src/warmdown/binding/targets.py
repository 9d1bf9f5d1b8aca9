"""Which number of which group follows which target of the plan, and the values of steps ahead."""

from __future__ import annotations

import math
import weakref
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, groupby
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import torch

from warmdown.batches import BATCH, LOADER_TARGETS
from warmdown.binding.clock import Clock
from warmdown.binding.field import Field, Groups, Marks, Number, bound_numbers
from warmdown.binding.finetuning import is_unfrozen_by_lightning
from warmdown.binding.slots import FloatSlots, FloatWrite, Group, Slot, Window, Writer, join_writers
from warmdown.binding.timeline import Array, TargetName, Timeline
from warmdown.errors import BindingError, StateError, nearest
from warmdown.plan import EVERY_GROUP, fits_pattern
from warmdown.schedules import Scale

_SHORTEST, _LONGEST, _LONGEST_AT_REST, _CELLS = 32, 4_096, 65_536, 65_536
"""Steps of the first window and of the longest, where anything moves and where nothing does; most
values in one, whatever the groups."""
_CLOSE = 1e-6
"""Relative difference within which a value is the one that a plan gives; a float32 has 7 digits."""

Facts: TypeAlias = dict[str, Any]
"""Fields of a ``BoundGroup`` that are known from before."""
Written: TypeAlias = dict[tuple[int, str], list[float]]
"""What was written last, by the slot's place: the group's identity, and the number's name there."""


class BoundGroup(NamedTuple):
    """One group's number, or a plain object's.

    Args:
        label: Its name: ``lr/decoder``.
        key: The same in a state, where another optimizer's groups do not change it.
        place: Its index among all groups; ``None`` outside of optimizers.
        follows: The line of the plan that it follows.
        base: What a scale multiplies: what a person gave, never what a schedule wrote.
        is_whole: Whether values are rounded, for a whole number was there.
        found: What was there when it was bound first.
        initial: The base value that the group kept then, or what its optimizer was made with.
        written: What a schedule had written before a person set another value.
        is_given: Whether the base is known to be what a person gave.
        factor: What every value is multiplied by: timm's ``lr_scale``.
        multiple: What values are multiples of; 0: of nothing.
    """

    label: str
    key: str
    place: int | None
    follows: TargetName
    base: float
    is_whole: bool
    found: float
    initial: float | None
    written: float | None
    is_given: bool
    factor: float
    multiple: int = 0

    def value(self, timeline: Timeline, position: float) -> float:
        """Return what it uses when the clock stands at ``position``."""
        return float(self.values(timeline, np.asarray([position]))[0])

    def values(self, timeline: Timeline, positions: Array) -> Array:
        """Return what it uses at each of the rising positions, or at a single one."""
        rows = timeline.lines[self.follows].values(
            np.atleast_1d(positions), np.asarray([self.base])
        )
        values: Array = (self.factor * rows[0]).reshape(np.shape(positions))
        if self.multiple:
            return to_multiples(values, self.multiple)
        return np.rint(values) if self.is_whole else values

    def uses(self, base: float, timeline: Timeline, position: float) -> bool:
        """Tell whether a base value gives what was found, when the clock stands at ``position``."""
        value = self._replace(base=base).value(timeline, position)
        return math.isclose(value, self.found, rel_tol=_CLOSE)

    def base_behind(self, timeline: Timeline, position: float) -> float | None:
        """Return the base value that gives what was found at ``position``, if just one does."""
        low, high = (self._replace(base=one).value(timeline, position) for one in (0.0, 1.0))
        base = (self.found - low) / (high - low) if high > low else -1.0
        return base if base >= 0 and self.uses(base, timeline, position) else None


def _facts_of(marks: Marks, written: Sequence[float]) -> Facts:
    """Return the base value that a group's marks speak for, and whether that is certain.

    Args:
        marks: What the group keeps.
        written: What schedulers wrote there last, as far as that is known.
    """
    value, initial, changed, is_given = marks.value, marks.initial, None, True
    base = value
    if initial is None:
        initial = marks.default
        is_given = initial in (None, value)
    elif any(math.isclose(value, one, rel_tol=_CLOSE) for one in written):
        base = initial
    elif written and value != initial and not marks.is_shared:
        changed = written[-1]
    elif value != initial:
        base, is_given = initial, False
    return {
        "base": base,
        "found": value,
        "initial": initial,
        "written": changed,
        "is_given": is_given,
        "factor": marks.factor,
    }


class BoundTarget:
    """One field of one optimizer, or of a plain object, and what each of its groups follows.

    Args:
        name: The target: ``lr``, ``betas[0]``, a bound name.
        field: Where it is written.
        groups: What is known of each group: at least its label, and what it follows.
        timeline: The plan underway.
        written: What other schedulers that drive the same slots wrote last, by slot.
    """

    def __init__(
        self,
        name: str,
        field: Number,
        groups: Sequence[Facts],
        timeline: Timeline,
        written: Written | None = None,
    ) -> None:
        self.name, self.field = name, field
        self.groups: list[BoundGroup] = []
        for index, (facts, marks) in enumerate(zip(groups, field.marks(), strict=True)):
            last = [] if marks.written is None else [marks.written]
            slot = field.slots[index] if field.slots else None
            if slot and written:
                last += written.get(_place(slot), [])
            last = [slot.rounded(one) for one in last] if slot else last
            known = {"is_whole": False, **_facts_of(marks, last), **facts}
            known["multiple"] = field.multiple
            if "is_whole" not in facts and field.are_whole()[index]:
                known["is_whole"] = not _has_fractions_only(BoundGroup(**known), timeline)
            self.groups.append(BoundGroup(**known))
        self._written: list[tuple[Any, int]] = []
        """Each group's tensor, and its version when the scheduler left it."""
        self._index_curves()
        self._planned: Array = np.full((self.num_curves, 1), np.nan)
        """The values of the window's steps; where ``_bases`` are kept, the factors of these."""
        self._bases: Array | None = None

    def set_bases(self, bases: Mapping[str, float]) -> None:
        """Set base values by key; a group that is not named keeps its own."""
        self.groups = [
            group._replace(base=bases[group.key], is_given=True, written=None)
            if group.key in bases
            else group
            for group in self.groups
        ]
        self._index_curves()

    def follow_own(self, timeline: Timeline) -> bool:
        """Follow what happened to single groups; ``False`` if two share a tensor and must part."""
        groups = [
            group._replace(follows=timeline.own_line(group.follows, group.key.partition("/")[2]))
            for group in self.groups
        ]
        if groups != self.groups:
            self.groups = groups
            self._index_curves()
        tensors = zip((slot.value for slot in self.field.slots), self._which, strict=False)
        curves = {(id(one), curve) for one, curve in tensors if isinstance(one, torch.Tensor)}
        return len(curves) == len({tensor for tensor, _ in curves})

    def join_unfrozen(
        self, known: Container[tuple[str, int]], timeline: Timeline, count: int, position: float
    ) -> None:
        """Let groups that Lightning has added go on from the value that they came with.

        Args:
            known: The groups that were bound before.
            timeline: What is followed.
            count: Updates counted.
            position: Where the clock stands.
        """
        for place, (slot, group) in enumerate(zip(self.field.slots, self.groups, strict=True)):
            index = self.field.indices[place]
            is_new = (self.name, id(slot.group)) not in known and group.initial is None
            if is_new and is_unfrozen_by_lightning(self.field.optimizer, index):
                base = group.base_behind(timeline, position) or group.base
                # a run that is resumed has the group before it knows where it is
                self.groups[place] = group._replace(base=base, is_given=count > 0)
        self._index_curves()

    def store_bases(self, timeline: Timeline, *, is_running: bool) -> None:
        """Keep the base values where torch and others look for them.

        Args:
            timeline: What is followed.
            is_running: Whether an update was counted. Before, only values that are scaled are kept:
                an older checkpoint, which torch reads by the entries of the groups, has no others.
        """
        rules = (timeline.lines[group.follows].rule for group in self.groups)
        is_kept = is_running or all(isinstance(rule, Scale) for rule in rules)
        if is_kept or not self.field.groups:
            self.field.set_initial([group.base for group in self.groups])

    def last_written(self, index: int) -> Iterator[tuple[Slot, float]]:
        """Yield each slot and what was written there at one step of the present window.

        A plain object has no slots.
        """
        column = self._column(index).tolist()
        for slot, curve in zip(self.field.slots, self._which, strict=False):
            yield slot, column[curve]

    def write(self, timeline: Timeline, position: float, *, only_changes: bool = False) -> None:
        """Write the values at ``position``; or only if they are not those written last."""
        before = self._column(-1)
        self._planned, self._bases = self._values(timeline, np.asarray([position])), None
        if only_changes and (self._planned[:, 0] == before).all():
            return
        row: list[float] = self._planned[:, 0].tolist()
        self.field.write([row[curve] for curve in self._which])
        self.mark_clean()

    def writers(self, timeline: Timeline, positions: Array) -> list[Writer | FloatWrite]:
        """Return what writes a position after the first; nothing where nothing moves."""
        if all(timeline.lines[follows].is_flat(positions) for follows, _ in self._curves):
            last = self._column(-1)[:, None]
            self._planned, self._bases = np.broadcast_to(last, (len(last), len(positions))), None
            return []
        if (floats := self._own_products(timeline, float(positions[0]))) is not None:
            follows, numbers = self._curves[0]
            self._planned = timeline.lines[follows].values(positions, np.ones(1))
            self._bases = bases = numbers[:, 0]
            return floats.products(bases[self._which].tolist(), Window(self._planned, [0]))
        self._planned, self._bases = self._values(timeline, positions), None
        return self.field.writers(Window(self._planned, self._which))

    def width(self, timeline: Timeline, position: float) -> int:
        """Return how many values each step of a window from ``position`` on keeps."""
        return self.num_curves if self._own_products(timeline, position) is None else 1

    def _own_products(self, timeline: Timeline, position: float) -> FloatSlots | None:
        """Return the floats, if each is one factor of the step times a base of its group's own.

        Computed as they are written, they cost less than as many numbers that are made ahead.
        """
        batches, (follows, numbers) = self.field.batches, self._curves[0]
        if len(self._curves) > 1 or len(batches) != 1 or not isinstance(batches[0], FloatSlots):
            return None
        start, rule = timeline.lines[follows].segments[-1]
        is_product = isinstance(rule, Scale) and rule.offset is None and rule.low is None
        is_alone = (numbers[:, 1] == 1).all() and not self._whole and not self.field.multiple
        is_own = start <= position and batches[0].are_own(self._which)
        return batches[0] if is_product and is_alone and is_own else None

    def _column(self, index: int) -> Array:
        """Return the value of each curve at a step of the window."""
        column: Array = self._planned[:, index]
        return column if self._bases is None else self._bases * column

    def last_values(self, timeline: Timeline, position: float, index: int) -> Iterator[float]:
        """Yield what each group used at ``position``, step ``index`` of the window if not below 0.

        What was computed ahead is not computed again.
        """
        if index < 0:
            column = self._values(timeline, np.asarray([position]))[:, 0]
        else:
            column = self._column(index)
        row: list[float] = column.tolist()
        return (row[curve] for curve in self._which)

    def values(self, timeline: Timeline, positions: Array, members: Sequence[int]) -> Array:
        """Return the values of some groups (rows) at some positions (columns)."""
        return self._values(timeline, positions)[[self._which[index] for index in members]]

    def external_write(self, optimizer: Any, step: int) -> tuple[str, Any, float] | None:
        """Return label, value and planned value of a group where these differ, without a device.

        Args:
            optimizer: Whose groups are looked at.
            step: Index in the present window.
        """
        field = self.field
        if not isinstance(field, Field) or field.optimizer is not optimizer:
            return None
        values, written = field.raw_values(), self._written
        for value, (tensor, version) in zip(values, written):  # noqa: B905  a tenth
            if value is not tensor or value._version != version:
                break
        else:
            if written:  # tensors alone, as they were left
                return None
        row = self._column(step).tolist()
        for index, (value, curve) in enumerate(zip(values, self._which)):  # noqa: B905  a tenth
            if type(value) is float and value == row[curve]:
                continue
            if isinstance(value, torch.Tensor):
                is_planned = any(
                    value is tensor and value._version == version
                    for tensor, version in written[index : index + 1]
                )
            else:
                is_planned = value == row[curve]
            if not is_planned:
                return self.groups[index].label, value, row[curve]
        return None

    def mark_clean(self) -> None:
        """Take the tensors as they are now for written by the scheduler."""
        if self.field.is_of_tensors:
            values = (slot.value for slot in self.field.slots)
            self._written = [
                (value, value._version) if isinstance(value, torch.Tensor) else (None, 0)
                for value in values
            ]

    def _index_curves(self) -> None:
        """Find the distinct curves, so that each is computed once for all groups that follow it."""
        pairs = [(group.follows, group.base, group.factor, group.is_whole) for group in self.groups]
        distinct = sorted(set(pairs))
        self.num_curves = len(distinct)
        """How many distinct values one step has."""
        place = dict(zip(distinct, range(self.num_curves), strict=True))
        self._which = [place[pair] for pair in pairs]
        self._curves = [
            (follows, np.asarray([numbers for _, *numbers, _ in curves]))
            for follows, curves in groupby(distinct, itemgetter(0))
        ]
        self._whole = [row for row, (*_, is_whole) in enumerate(distinct) if is_whole]

    def _values(self, timeline: Timeline, positions: Array) -> Array:
        values = np.concatenate(
            [
                timeline.lines[follows].values(positions, numbers[:, 0]) * numbers[:, 1:]
                for follows, numbers in self._curves
            ]
        )
        if self.field.multiple:
            return to_multiples(values, self.field.multiple)
        if self._whole:
            values[self._whole] = np.rint(values[self._whole])
        return values


class ValueWriter:
    """Writes what a timeline asks of all that it drives: steps ahead, walked by an index.

    One array call fills a window, so that a step computes nothing.

    Args:
        optimizers: Torch optimizers, or what wraps them.
        objects: Plain objects by target name, one or a list.
        timeline: The plan underway.
        clock: What the timeline is a function of.
        is_part: Whether another scheduler gives it its turn: then ``next_window`` and ``write_now``
            alone write, and nothing that is found in a group is taken for what it wrote there.

    Raises:
        BindingError: A target names a field or a group that is not there.
    """

    # an attribute in a slot is read 3 ns faster, and a step reads or writes six of them
    __slots__ = (
        "__weakref__",
        "_before",
        "_first_count",
        "_listed",
        "_objects",
        "_positions",
        "_size",
        "clock",
        "counts_every_step",
        "groups",
        "halt",
        "index",
        "is_closed",
        "is_part",
        "last",
        "targets",
        "timeline",
        "unsettled",
        "update_seen",
        "write",
    )
    alive: ClassVar[weakref.WeakValueDictionary[int, ValueWriter]] = weakref.WeakValueDictionary()
    """Every writer that there is, by its identity."""

    def __init__(
        self,
        optimizers: Iterable[Any],
        objects: Mapping[str, Any],
        timeline: Timeline,
        clock: Clock,
        *,
        is_part: bool = False,
    ) -> None:
        self.targets: list[BoundTarget] = []
        self.index = 0
        self.is_part = is_part
        self.is_closed = False
        """Whether it has given up what it drove: nothing is written any more."""
        self._objects = {name: bound_numbers(name, given) for name, given in objects.items()}
        self._listed = {name for name, given in objects.items() if isinstance(given, list | tuple)}
        self.clock = clock
        self.groups = Groups(optimizers)
        self.unsettled = False
        """Whether a group's base value is in doubt, and that was not said yet."""
        self.halt: int | None = None
        """Count at which the window ends, whatever is known of later updates."""
        self.update_seen = self.counts_every_step = False
        """Whether an update was made since the last step; and whether that is taken for granted."""
        self._before: float | None = None
        """Where the clock stood for the update before the window, where that is known."""
        self._first_count = 0
        self.bind(timeline)
        self.seek(0, 0.0)
        self.alive[id(self)] = self

    def __del__(self) -> None:
        """Leave what was written last, as ``close`` does."""
        self.close()

    def close(self) -> None:
        """Leave in every group what was written last, unless another writer drives it now.

        The next one that binds the group knows by it that this was no person's value.
        """
        if self.is_closed:
            return
        self.is_closed = True
        self.count_every_step(False)
        others = self._written_by_others() if self.targets else {}
        self.alive.pop(id(self), None)
        for target in () if self.is_part else self.targets:
            for slot, value in target.last_written(self.index):
                if _place(slot) not in others and not math.isnan(value):  # nothing was written yet
                    slot.group[slot.written] = value

    @property
    def count(self) -> int:
        """Updates counted so far."""
        return self._first_count + self.index

    @property
    def position(self) -> float:
        """Where the clock stands."""
        return float(self._positions[self.index])

    def last_values(self) -> dict[str, float]:
        """Return by label what the update counted last used; nothing where that is not known."""
        position = self._last_position()
        if position is None:
            return {}
        return {
            group.label: value
            for target in self.targets
            for group, value in zip(
                target.groups,
                target.last_values(self.timeline, position, self.index - 1),
                strict=True,
            )
        }

    def _last_position(self) -> float | None:
        """Return where the clock stood for the update counted last."""
        if self.index:
            return float(self._positions[self.index - 1])
        if self.count and self.timeline.plan.run.clock == "updates":
            return self.count - 1.0
        return self._before

    def count_every_step(self, always: bool) -> None:
        """Count every ``step()``, or only those preceded by an observed update."""
        self.update_seen = self.counts_every_step = always

    def seek(self, count: int, position: float) -> None:
        """Go to ``position``, and write its values."""
        self.clock.begin(position)
        self._write_at(count, position)
        self._before = None

    def move(self, amount: float) -> None:
        """Move the clock, without counting."""
        if amount:
            self._write_at(self.count, self.position + amount)

    def become_part(self, *, is_factor: bool) -> None:
        """Write only in its turn; as a factor, multiply what was there before the first value."""
        self.count_every_step(False)
        self.is_part, self.unsettled = True, False
        for target in self.targets:
            target.store_bases(self.timeline, is_running=True)
        Field(self.groups.optimizers[0], "lr").store_initial()
        if is_factor:
            known = (group for target in self._rate_targets() for group in target.groups)
            before = {one.place: one.found / one.base for one in known if one.base}
            self.multiply_rates(before.get(place, 1.0) for place in count())

    def write_now(self) -> None:
        """Write the present values, also where they have not moved."""
        for target in self.targets:
            target.write(self.timeline, self.position)

    def multiply_rates(self, shares: Iterable[float]) -> None:
        """Multiply the first optimizer's learning rates, one share for each group."""
        field = Field(self.groups.optimizers[0], "lr")
        field.write([rate * share for rate, share in zip(field.read(), shares)])  # noqa: B905

    def follow(self, timeline: Timeline) -> None:
        """Follow another timeline from here on."""
        self.require_open()
        self.timeline = timeline
        if not all(target.follow_own(timeline) for target in self.targets):
            self.targets = self._bound(timeline, self._known())
        self._write_at(self.count, self.position)

    def next_window(self, samples: float | None, tokens: float | None) -> None:
        """Go on by one step, past the end of the window."""
        count, position = self.count, self.position
        if count == 0:
            for target in self.targets:
                target.store_bases(self.timeline, is_running=True)
        is_ahead = self.timeline.is_predictable and not self.is_part
        size = self._steps_ahead(position) if is_ahead else 1
        self.clock.use(samples, tokens)
        positions = self.clock.ahead(count, position, size)
        if len(positions) == 2:
            for target in self.targets:
                target.write(self.timeline, float(positions[1]), only_changes=not self.is_part)
            self._open(count + 1, positions[1:])
            self._before = position
            return
        writers = (target.writers(self.timeline, positions) for target in self.targets)
        self._open(count, positions, join_writers(chain.from_iterable(writers)))
        self.index = 1
        if self.write is not None:
            self.write(1)

    def external_write(self, optimizer: Any) -> tuple[str, Any, float] | None:
        """Return label, value and planned value of a changed number of an optimizer, if any."""
        for target in self.targets:  # a generator and a filter take as long as a small target
            if found := target.external_write(optimizer, self.index):
                return found
        return None

    def leave_marks(self, optimizer: Any, groups: Sequence[Group]) -> None:
        """Put what was written last into an optimizer's groups as they are saved."""
        for target in () if self.is_part else self.targets:
            if isinstance(target.field, Field) and target.field.optimizer is optimizer:
                row = [value for _, value in target.last_written(self.index)]
                target.field.mark_saved(row, groups)

    def bind(self, timeline: Timeline) -> None:
        """Bind what the plan names; what was bound before keeps its base value."""
        names = self.groups.names
        for target in timeline.plan.targets:
            known_names = names
            if target.name in LOADER_TARGETS and target.name not in self._objects:
                follower = "BatchSizeSampler(…)" if target.name == BATCH else "Attribute(…)"
                raise BindingError(
                    f"Scheduler({target.name}=…): no optimizer has it. Bind what reads the data: "
                    f"bind={{{target.name!r}: {follower}}}."
                )
            if (numbers := self._objects.get(target.name)) is not None:
                known_names = [str(place) for place in range(len(numbers))]
            fits = any(target.fits(name, place) for place, name in enumerate(known_names))
            if not fits and target.groups != EVERY_GROUP:
                raise BindingError(
                    f"Scheduler({target.name}={{{target.groups!r}: …}}): no parameter group has "
                    f"this name or index. {nearest(target.groups, known_names)}"
                )
        known = self._known()
        for facts in known.values():
            del facts["follows"]
        try:
            bound = self._bound(timeline, known)
            found = {target.name for target in bound}
            for target in timeline.plan.targets:
                if target.name not in found:
                    raise BindingError(
                        f"Scheduler({target.name}=…): no optimizer has it. A plain object is "
                        f"bound: bind={{{target.name!r}: Attribute(…)}}."
                    )
        except BindingError:
            if self.targets:  # tensors may have been moved already
                self.targets = self._bound(self.timeline, self._known())
            raise
        self.targets, self.timeline = bound, timeline
        self.unsettled = any(True for _ in self.doubts())

    def rebind(self, loaded: Any = None) -> None:
        """Bind the present groups; those known keep their base value and their target.

        Args:
            loaded: An optimizer that has loaded a state: it has made new groups, and their tensors
                are those of before.
        """
        known, before = self._known(), self.groups.every
        for target in self.targets:
            if isinstance(target.field, Field) and target.field.optimizer is loaded:
                target.field.restore_tensors()
        self.groups = Groups(self.groups.optimizers)
        if loaded is not None:
            pairs = zip(before, self.groups.every, strict=True)
            renamed = {id(old): id(new) for (_, _, old), (_, _, new) in pairs}
            # what the loaded groups keep counts only where no person has given a base value
            known = {
                (name, renamed.get(owner, owner)): facts
                if facts["is_given"]
                else {key: facts[key] for key in ("follows", "is_whole")}
                for (name, owner), facts in known.items()
            }
        self.targets = self._bound(self.timeline, known)
        for target in self.targets:
            if isinstance(target.field, Field):
                target.join_unfrozen(known, self.timeline, self.count, self.position)
        self.unsettled = any(True for _ in self.doubts())
        self._write_at(self.count, self.position)

    def find(self, name: str, group: int | str) -> BoundGroup:
        """Return what is bound of a group.

        Raises:
            BindingError: No such number is driven.
        """
        groups = [one for target in self.targets if target.name == name for one in target.groups]
        if isinstance(group, int) and 0 <= group < len(groups):
            return groups[group]
        label = f"{name}/{group}"
        for one in groups:
            if one.label == label:
                return one
        known = [one.label for target in self.targets for one in target.groups]
        raise BindingError(
            f"Scheduler({label!r}): no such number is driven. {nearest(label, known)}"
        )

    def keys_of(self, name: str, group: int | str | None, optimizer: Any) -> tuple[str, ...]:
        """Return the keys of some groups of a field; none where all are meant.

        Args:
            name: The field.
            group: The group's name, its index, or a pattern.
            optimizer: Whose groups, or its index; ``None`` for every optimizer's.

        Raises:
            BindingError: There is no such group.
        """
        if group is None and optimizer is None:
            return ()
        if isinstance(optimizer, int) and 0 <= optimizer < len(self.groups.optimizers):
            optimizer = self.groups.optimizers[optimizer]
        targets = [target for target in self.targets if target.name == name]
        groups = [
            one
            for target in targets
            for one in target.groups
            if "/" in one.key and optimizer in (None, target.field.optimizer)
        ]
        known = [one.label.partition("/")[2] for one in groups]
        if isinstance(group, int):
            groups = groups[group : group + 1] if group >= 0 else []
        elif group is not None:
            fitting = zip(groups, known, strict=True)
            groups = [one for one, own in fitting if fits_pattern(group, own, one.place)]
        if not groups:
            raise BindingError(
                f"Scheduler(target={name!r}, group={group!r}): it is driven in no such group. "
                f"{nearest(str(group), known)}"
            )
        return tuple(one.key.partition("/")[2] for one in groups)

    def bases(self) -> dict[str, float]:
        """Return the base values that are scaled, by key."""
        return {
            group.key: group.base
            for target in self.targets
            for group in target.groups
            if isinstance(self.timeline.lines[group.follows].rule, Scale)
        }

    def set_bases(self, bases: Mapping[str, float]) -> None:
        """Set base values by key; a group that is not named keeps its own."""
        for target in self.targets:
            target.set_bases(bases)
        self.unsettled = any(True for _ in self.doubts())

    def doubts(self) -> Iterator[BoundGroup]:
        """Yield the groups that hold neither their base value nor what was written there last."""
        for target in () if self.is_part else self.targets:
            for group in target.groups:
                is_scaled = isinstance(self.timeline.lines[group.follows].rule, Scale)
                is_unknown = not group.is_given and group.found not in (0.0, group.base)
                if is_scaled and (is_unknown or group.written is not None):
                    yield group

    def infer_bases(
        self, timeline: Timeline, position: float, saved: Mapping[str, float]
    ) -> dict[str, float]:
        """Return the base values that explain what was found when the targets were bound.

        An optimizer that was loaded before its scheduler was made has decayed values. Where no
        person is known to have given the base, it is the one (kept by the group, saved with the
        scheduler, or the default of the optimizer) that gives just that value at ``position``.

        Raises:
            StateError: The value may as well be the base as what it has decayed to.
        """
        inferred: dict[str, float] = {}
        for target in self.targets if self.count == 0 else ():
            doubtful: list[BoundGroup] = []
            for group in target.groups:
                name = group.label.partition("/")[2]
                key = group.key.partition("/")[2]
                follows = timeline.line_of(target.name, name, group.place, key)
                if follows is not None and not group.is_given:  # the other plan drives it as well
                    doubtful.append(group._replace(follows=follows))
            for group in doubtful:
                for base in (group.initial, saved.get(group.key)):
                    if base is not None and group.uses(base, timeline, position):
                        inferred[group.key] = base
                if group.base != group.found and group.key in saved:
                    inferred.setdefault(group.key, saved[group.key])
            is_decayed = any(group.key in inferred for group in doubtful)
            for group in doubtful:
                is_known = group.key in inferred or group.key in saved
                if is_known or not position or group.uses(group.base, timeline, position):
                    continue
                base = group.base_behind(timeline, position) if is_decayed else None
                if base is not None:
                    inferred[group.key] = base
                elif group.base == group.found:
                    raise StateError(
                        f"Scheduler({group.label}={group.found:g}): the optimizer was trained "
                        "before, and nothing in it tells whether that is a base value or what one "
                        f"has become at {position:g}. Make the scheduler before the optimizer is "
                        "loaded, or set each group's 'initial_lr' and make it again."
                    )
        return inferred

    def read(self) -> dict[str, float]:
        """Return the present values by label."""
        return {
            group.label: value
            for target in self.targets
            for group, value in zip(target.groups, target.field.read(), strict=True)
        }

    def rates(self) -> list[float]:
        """Return the present learning rate of every group that has one."""
        driven = {
            group.place: rate
            for target in self._rate_targets()
            for group, rate in zip(target.groups, target.field.read(), strict=True)
        }
        return self._each_rate(driven)

    def planned_rates(self) -> list[float]:
        """Return what the plan gives for the next update, or what is there if it drives nothing."""
        driven: dict[int | None, float] = {
            group.place: group.value(self.timeline, self.position)
            for target in self._rate_targets()
            for group in target.groups
        }
        return self._each_rate(driven)

    def base_rates(self) -> list[float]:
        """Return the base value of every group's learning rate."""
        driven = {
            group.place: group.base for target in self._rate_targets() for group in target.groups
        }
        return self._each_rate(driven, "initial_lr")

    def assign_base_rates(self, rates: Iterable[float]) -> None:
        """Scale other learning rates from here on.

        Args:
            rates: One for each group that has one.

        Raises:
            BindingError: They are not, or one differs where none is scaled.
        """
        known = self.base_rates()
        try:
            given = [float(rate) for rate in rates]
        except (TypeError, ValueError):
            given = []
        if len(given) != len(known) or not all(0 <= rate < math.inf for rate in given):
            raise BindingError(
                f"Scheduler(base_lrs={rates!r:.80}): a finite rate of at least 0 is needed for "
                f"each of {len(known)} groups; the present ones are {known}."
            )
        scaled = self.bases()
        keys = {group.place: group.key for one in self._rate_targets() for group in one.groups}
        bases: dict[str, float] = {}
        for (place, _), before, rate in zip(self._rate_groups(), known, given, strict=True):
            if (key := keys.get(place, "")) in scaled:
                bases[key] = rate
            elif rate != before:
                raise BindingError(
                    f"Scheduler(base_lrs={given}): the plan does not scale the rate of group "
                    f"{self.groups.names[place]}. Set it in the optimizer or in the plan."
                )
        self.set_bases(bases)
        self._write_at(self.count, self.position)

    def _rate_targets(self) -> Iterator[BoundTarget]:
        """Yield the learning rates of optimizers that are driven."""
        return (one for one in self.targets if one.name == "lr" and one.field.optimizer is not None)

    def _rate_groups(self) -> Iterator[tuple[int, Group]]:
        """Yield place and group of each group that has a learning rate."""
        for place, (*_, group) in enumerate(self.groups.every):
            if group.get("lr") is not None:
                yield place, group

    def _each_rate(self, driven: Mapping[int | None, float], name: str = "lr") -> list[float]:
        """Return one rate for each group: that of a target, or what the group has by a name."""
        own: dict[int, Any] = {
            place: group.get(name, group["lr"]) for place, group in self._rate_groups()
        }
        return [float(driven.get(place, rate)) for place, rate in own.items()]

    def _write_at(self, count: int, position: float) -> None:
        """Write the values at ``position``; the next window begins there, and the clock goes on.

        Raises:
            BindingError: The writer is closed.
        """
        self.require_open()
        for target in self.targets:
            if not self.is_part:
                target.write(self.timeline, position)
            target.store_bases(self.timeline, is_running=count > 0)
        self._before = self._last_position()
        self._open(count, np.asarray([position]))
        self._size = _SHORTEST

    def require_open(self) -> None:
        """Refuse to go on once it is closed.

        Raises:
            BindingError: It is.
        """
        if self.is_closed:
            raise BindingError(
                "Scheduler: it was closed, and drives nothing any more. Make another one for these "
                "optimizers."
            )

    def _open(self, count: int, positions: Array, write: Writer | None = None) -> None:
        self._positions, self._first_count, self.write = positions, count, write
        self.index, self.last = 0, len(positions) - 1

    def _steps_ahead(self, position: float) -> int:
        """Return the length of the next window, which ends where the plan does."""
        curves = sum(target.width(self.timeline, position) for target in self.targets)
        cells = min(_CELLS // max(curves, 1), _LONGEST)
        # at rest the next window may be longer: a sixth of a step's time, there
        self._size = size = min(self._size * 2, _LONGEST if self.write else _LONGEST_AT_REST)
        if size > cells:  # where nothing moves, a window has no values, however many groups
            steps = np.arange(position, position + size + 1)
            if not all(target.is_flat(steps) for target in self.timeline.lines.values()):
                size = max(cells, 1)
        if self.halt is not None:
            size = max(min(size, self.halt - self.count), 1)
        end = self.timeline.end
        counts_updates = self.timeline.plan.run.clock == "updates"
        if counts_updates and end is not None and position < end:
            size = max(min(size, int(end - position)), 1)
        return size

    def _written_by_others(self) -> Written:
        """Return what other living writers wrote last into groups of the same optimizers."""
        mine = set(map(id, self.groups.optimizers))
        written: Written = {}
        # a list: while the loop is at work, the garbage collector may end one of them
        for reference in self.alive.valuerefs():
            other = reference()
            if other is None or other is self or other.is_part:
                continue
            if not mine.isdisjoint(map(id, other.groups.optimizers)):
                for target in other.targets:
                    for slot, value in target.last_written(other.index):
                        written.setdefault(_place(slot), []).append(value)
        return written

    def _known(self) -> dict[tuple[str, int], Facts]:
        """Return what is bound, by field and the group's identity."""
        known: dict[tuple[str, int], Facts] = {}
        for target in self.targets:
            for owner, group in zip(target.field.owners, target.groups, strict=True):
                known[target.name, id(owner)] = group._asdict()
        return known

    def _bound(
        self, timeline: Timeline, known: Mapping[tuple[str, int], Facts]
    ) -> list[BoundTarget]:
        """Return the plan's targets, bound; what is known of a group goes in."""
        bound: list[BoundTarget] = []
        others = self._written_by_others()
        for name in timeline.plan.patterns:
            if name in self._objects:
                bound += self._bound_objects(name, timeline, known)
                continue
            for optimizer in self.groups.optimizers:
                bound += self._bound_on(optimizer, name, timeline, known, others)
        return bound

    def _bound_objects(
        self, name: str, timeline: Timeline, known: Mapping[tuple[str, int], Facts]
    ) -> Iterator[BoundTarget]:
        """Yield what is no optimizer: one number, or each one of a list."""
        for place, number in enumerate(self._objects[name]):
            facts = known.get((name, id(number)), {})
            key = str(place) if name in self._listed else ""
            follows = facts.get("follows") or timeline.line_of(name, str(place), place, key)
            if follows is not None:
                follows = timeline.own_line(follows, key)
                label = f"{name}/{place}" if name in self._listed else name
                labels = {"label": label, "key": label, "place": None, "follows": follows}
                yield BoundTarget(name, number, [{**facts, **labels}], timeline)

    def _bound_on(
        self,
        optimizer: Any,
        name: str,
        timeline: Timeline,
        known: Mapping[tuple[str, int], Facts],
        others: Written,
    ) -> Iterator[BoundTarget]:
        """Yield one field of one optimizer, unless no group of it follows a target."""
        before = [target for target in self.targets if target.name == name]
        driven: dict[int, Facts] = {}
        curves: list[object] = []
        for place, (owner, index, entries) in enumerate(self.groups.every):
            is_driven = len(self.groups.optimizers) == 1 or Field.fits(name, entries)
            if owner is not optimizer or not is_driven:
                continue
            group = self.groups.names[place]
            facts = known.get((name, id(entries)))
            if facts is None:
                facts = _base_shared(entries, before)
            key = self.groups.keys[place]
            follows = facts.get("follows") or timeline.line_of(name, group, place, key)
            if follows is not None:
                follows = timeline.own_line(follows, key)
                label = {"label": f"{name}/{group}", "key": f"{name}/{key}", "place": place}
                driven[index] = {**facts, **label, "follows": follows}
                curves.append((follows, facts.get("base"), entries.get("lr_scale")))
        if driven:
            fields = (one.field for one in before if one.field.optimizer is optimizer)
            field = Field(optimizer, name, driven, curves=curves, instead_of=next(fields, None))
            yield BoundTarget(name, field, list(driven.values()), timeline, others)


def to_multiples(values: Array, multiple: int) -> Array:
    """Return the nearest multiples, at least one; halves go up."""
    return multiple * np.maximum(np.floor(values / multiple + 0.5), 1.0)


def _has_fractions_only(group: BoundGroup, timeline: Timeline) -> bool:
    """Tell whether a plan keeps within -1 and 1 and has fractions there: it is of no count."""
    steps = np.linspace(0.0, timeline.end or _LONGEST, _LONGEST).round()
    values = timeline.lines[group.follows].values(steps, np.asarray([group.base]))
    return bool((abs(values) <= 1).all() and (values % 1 != 0).any())


def _place(slot: Slot) -> tuple[int, str]:
    return id(slot.group), slot.initial


def _base_shared(group: Group, targets: Sequence[BoundTarget]) -> Facts:
    """Return the base of a known group with the same tensor: torch gives its default to both."""
    tensors = [id(entry) for entry in group.values() if isinstance(entry, torch.Tensor)]
    for target in targets:
        for slot, known in zip(target.field.slots, target.groups, strict=True):
            if id(slot.value) in tensors:
                return {"base": known.base}
    return {}
