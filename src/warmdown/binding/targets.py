"""Which number of which group follows which target of the plan, from which base value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from warmdown.binding.field import Attribute, Call, Field, Groups
from warmdown.binding.slots import FloatWrite, Group, Window, Writer
from warmdown.binding.timeline import Array, Timeline
from warmdown.errors import BindingError, nearest
from warmdown.plan import EVERY_GROUP, Target
from warmdown.schedules import Scale

_CLOSE = 1e-6
"""Relative difference within which a value is the one that a plan gives; a float32 has 7 digits."""

Facts: TypeAlias = dict[str, Any]
"""Fields of a ``BoundGroup`` that are known from before."""


class BoundGroup(NamedTuple):
    """One group's number, or a plain object's.

    Args:
        label: Its name: ``lr/decoder``.
        follows: Index of the plan's target that it follows.
        base: What a scale multiplies.
        found: What was there when it was bound first.
        initial: The base value that the group kept then, if any.
    """

    label: str
    follows: int
    base: float
    found: float
    initial: float | None


class BoundTarget:
    """One field of one optimizer, or of a plain object, and what each of its groups follows.

    Args:
        name: The target: ``lr``, ``betas[0]``, a bound name.
        field: Where it is written.
        groups: What is known of each group: at least its label, and what it follows.
    """

    def __init__(self, name: str, field: Field | Attribute | Call, groups: Sequence[Facts]) -> None:
        self.name, self.field = name, field
        self.groups: list[BoundGroup] = []
        values = field.read()
        initials = field.initials() if isinstance(field, Field) else [None]
        for facts, value, initial in zip(groups, values, initials, strict=True):
            # what an earlier schedule has brought to 0 is no base
            base = initial if value == 0 and initial else value
            found = {"base": base, "found": value, "initial": initial}
            self.groups.append(BoundGroup(**{**found, **facts}))
        self._versions: list[Any] = []
        self._index_curves()
        self._planned: Array = np.full((self.num_curves, 1), np.nan)

    @property
    def num_curves(self) -> int:
        """How many distinct values one step has."""
        return sum(len(bases) for _, bases in self._curves)

    def set_bases(self, bases: Mapping[str, float]) -> None:
        """Set base values by label; a group that is not named keeps its own."""
        self.groups = [
            group._replace(base=bases.get(group.label, group.base)) for group in self.groups
        ]
        self._index_curves()

    def infer_bases(
        self, timeline: Timeline, position: float, saved: Mapping[str, float]
    ) -> dict[str, float]:
        """Return the base values that explain what was found when this was bound.

        An optimizer that was loaded before its scheduler was made has decayed values. Where a base
        (kept by the group, or saved with the scheduler) gives just that value at ``position``, it
        is the base.
        """
        inferred: dict[str, float] = {}
        for group in self.groups:
            for base in (group.initial, saved.get(group.label)):
                if base is not None:
                    value = _value_at(timeline, position, group.follows, base)
                    if math.isclose(value, group.found, rel_tol=_CLOSE):
                        inferred[group.label] = base
        return inferred

    def store_bases(self, timeline: Timeline) -> None:
        """Keep the base values that are scaled where torch and others look for them."""
        rules = (timeline.targets[group.follows].rule for group in self.groups)
        if isinstance(self.field, Field) and all(isinstance(rule, Scale) for rule in rules):
            self.field.set_initial([group.base for group in self.groups])

    def value(self, timeline: Timeline, position: float, index: int) -> float:
        """Return what one group uses when the clock stands at ``position``."""
        group = self.groups[index]
        return _value_at(timeline, position, group.follows, group.base)

    def write(self, timeline: Timeline, position: float, *, only_changes: bool = False) -> None:
        """Write the values at ``position``; or only if they are not those written last."""
        before = self._planned[:, -1:]
        self._planned = self._values(timeline, np.asarray([position]))
        if only_changes and (self._planned == before).all():
            return
        row: list[float] = self._planned[:, 0].tolist()
        self.field.write([row[curve] for curve in self._which])
        self.mark_clean()

    def writers(self, timeline: Timeline, positions: Array) -> list[Writer | FloatWrite]:
        """Return what writes a position after the first; nothing where nothing moves."""
        if all(timeline.targets[follows].is_flat(positions) for follows, _ in self._curves):
            last = self._planned[:, -1:]
            self._planned = np.broadcast_to(last, (len(last), len(positions)))
            return []
        self._planned = self._values(timeline, positions)
        return self.field.writers(Window(self._planned, self._which))

    def values(self, timeline: Timeline, positions: Array, members: Sequence[int]) -> Array:
        """Return the values of some groups (rows) at some positions (columns)."""
        return self._values(timeline, positions)[[self._which[index] for index in members]]

    def external_write(self, step: int, index: int) -> tuple[Any, float] | None:
        """Return a group's value and the planned one where these differ, without a device.

        Args:
            step: Index in the present window.
            index: Which group.
        """
        if not isinstance(self.field, Field):
            return None
        value = self.field.slots[index].value
        is_tensor = isinstance(value, torch.Tensor)
        if is_tensor and self._versions[index] == (id(value), value._version):
            return None
        planned = float(self._planned[self._which[index], step])
        return None if value == planned and not is_tensor else (value, planned)

    def mark_clean(self) -> None:
        """Take the tensors as they are now for written by the scheduler."""
        if isinstance(self.field, Field) and self.field.is_of_tensors:
            self._versions = [
                (id(value), value._version) if isinstance(value, torch.Tensor) else None
                for value in self.field.raw_values()
            ]

    def _index_curves(self) -> None:
        """Find the distinct curves, so that each is computed once for all groups that follow it."""
        pairs = [(group.follows, group.base) for group in self.groups]
        distinct = sorted(set(pairs))
        place = {pair: index for index, pair in enumerate(distinct)}
        self._which = [place[pair] for pair in pairs]
        self._curves = [
            (follows, np.asarray([base for _, base in curves]))
            for follows, curves in groupby(distinct, itemgetter(0))
        ]

    def _values(self, timeline: Timeline, positions: Array) -> Array:
        return np.concatenate(
            [timeline.targets[follows].values(positions, bases) for follows, bases in self._curves]
        )


def _value_at(timeline: Timeline, position: float, follows: int, base: float) -> float:
    return float(timeline.targets[follows].values(np.asarray([position]), np.asarray([base]))[0, 0])


class BoundTargets:
    """Everything that one scheduler drives.

    Args:
        optimizers: Torch optimizers, or what wraps them.
        objects: Plain objects by target name.
        timeline: The plan underway.

    Raises:
        BindingError: A target names a field or a group that is not there.
    """

    def __init__(
        self, optimizers: Iterable[Any], objects: Mapping[str, Any], timeline: Timeline
    ) -> None:
        self._objects = objects
        self.groups = Groups(optimizers)
        self._targets: list[BoundTarget] = []
        self.bind(timeline)

    def __iter__(self) -> Iterator[BoundTarget]:
        return iter(self._targets)

    def bind(self, timeline: Timeline) -> None:
        """Bind what the plan names; what was bound before keeps its base value."""
        names = self.groups.names
        for target in timeline.plan.targets:
            fits = any(target.fits(name, place) for place, name in enumerate(names))
            if not fits and target.groups != EVERY_GROUP and target.name not in self._objects:
                raise BindingError(
                    f"Scheduler({target.name}={{{target.groups!r}: …}}): no parameter group has "
                    f"this name or index. {nearest(target.groups, names)}"
                )
        known = {
            group.label: {"base": group.base, "found": group.found, "initial": group.initial}
            for target in self
            for group in target.groups
        }
        bound = self._bound(timeline, known)
        for target in timeline.plan.targets:
            if not any(one.name == target.name for one in bound):
                raise BindingError(
                    f"Scheduler({target.name}=…): no optimizer has it. A plain object is bound: "
                    f"bind={{{target.name!r}: Attribute(…)}}."
                )
        self._targets = bound

    def rebind_groups(self, timeline: Timeline) -> None:
        """Bind the present groups; those known keep their base value and their target."""
        known = self._known()
        self.groups = Groups(self.groups.optimizers)
        self._targets = self._bound(timeline, known)

    def rebind_after_load(self, optimizer: Any, timeline: Timeline) -> None:
        """Bind the groups that loading a state has made; their tensors are those of before."""
        known, before = self._known(), self.groups.every
        for target in self:
            if isinstance(target.field, Field) and target.field.optimizer is optimizer:
                target.field.restore_tensors()
        self.groups = Groups(self.groups.optimizers)
        pairs = zip(before, self.groups.every, strict=True)
        renamed = {id(old): id(new) for (_, _, old), (_, _, new) in pairs}
        loaded = {
            (name, renamed.get(owner, owner)): {"follows": facts["follows"], "base": facts["base"]}
            for (name, owner), facts in known.items()
        }
        self._targets = self._bound(timeline, loaded)

    def find(self, name: str, group: int | str) -> tuple[BoundTarget, int]:
        """Return a target, and the group's index in it.

        Raises:
            BindingError: No such number is driven.
        """
        places = [
            (target, index)
            for target in self._targets
            if target.name == name
            for index in range(len(target.groups))
        ]
        if isinstance(group, int) and 0 <= group < len(places):
            return places[group]
        label = f"{name}/{group}"
        for target, index in places:
            if target.groups[index].label == label:
                return target, index
        known = [one.label for target in self._targets for one in target.groups]
        raise BindingError(
            f"Scheduler({label!r}): no such number is driven. {nearest(label, known)}"
        )

    def bases(self, timeline: Timeline) -> dict[str, float]:
        """Return the base values that are scaled, by label."""
        return {
            group.label: group.base
            for target in self._targets
            for group in target.groups
            if isinstance(timeline.targets[group.follows].rule, Scale)
        }

    def set_bases(self, bases: Mapping[str, float]) -> None:
        """Set base values by label; a group that is not named keeps its own."""
        for target in self._targets:
            target.set_bases(bases)

    def infer_bases(
        self, timeline: Timeline, position: float, saved: Mapping[str, float]
    ) -> dict[str, float]:
        """Return the base values that explain what was found when the targets were bound."""
        names = {target.name for target in timeline.plan.targets}
        inferred: dict[str, float] = {}
        for target in self._targets:
            if target.name in names:
                inferred |= target.infer_bases(timeline, position, saved)
        return inferred

    def read(self, name: str | None = None) -> dict[str, float]:
        """Return the present values by label, of one target or of all."""
        values: dict[str, float] = {}
        for target in self._targets:
            if name in (None, target.name):
                labels = (group.label for group in target.groups)
                values.update(zip(labels, target.field.read(), strict=True))
        return values

    def _known(self) -> dict[Any, Facts]:
        """Return what is bound, by field and the group's identity."""
        known: dict[Any, Facts] = {}
        for target in self:
            field = target.field
            owners = [id(group) for group in field.groups] if isinstance(field, Field) else [0]
            for owner, group in zip(owners, target.groups, strict=True):
                known[target.name, owner] = group._asdict()
        return known

    def _bound(self, timeline: Timeline, known: Mapping[Any, Facts]) -> list[BoundTarget]:
        """Return the plan's targets, bound; what is known of a group goes in."""
        bound: list[BoundTarget] = []
        targets = timeline.plan.targets
        for name in dict.fromkeys(target.name for target in targets):
            if name in self._objects:
                target = self._objects[name]
                field = target if hasattr(target, "writers") else Call(target)
                first = next(index for index, one in enumerate(targets) if one.name == name)
                facts = known.get((name, 0)) or known.get(name, {})
                bound.append(BoundTarget(name, field, [{"follows": first, **facts, "label": name}]))
            else:
                for optimizer in self.groups.optimizers:
                    bound += self._bound_on(optimizer, name, targets, known)
        return bound

    def _bound_on(
        self, optimizer: Any, name: str, targets: Sequence[Target], known: Mapping[Any, Facts]
    ) -> Iterator[BoundTarget]:
        """Yield one field of one optimizer, unless no group of it follows a target."""
        before = [target for target in self if target.name == name]
        indices: list[int] = []
        groups: list[Facts] = []
        for place, (owner, index, entries) in enumerate(self.groups.every):
            is_driven = len(self.groups.optimizers) == 1 or Field.fits(name, entries)
            if owner is not optimizer or not is_driven:
                continue
            label = f"{name}/{self.groups.names[place]}"
            facts = known.get((name, id(entries))) or known.get(label)
            if facts is None:
                facts = _base_shared(entries, before)
            follows = facts.get("follows", self._first_fit(name, targets, place))
            if follows is not None:
                indices.append(index)
                groups.append({**facts, "follows": follows, "label": label})
        if groups:
            curves = [(facts["follows"], facts.get("base")) for facts in groups]
            fields = [target.field for target in before if isinstance(target.field, Field)]
            old = next((field for field in fields if field.optimizer is optimizer), None)
            field = Field(optimizer, name, indices, curves=curves, instead_of=old)
            yield BoundTarget(name, field, groups)

    def _first_fit(self, name: str, targets: Sequence[Target], place: int) -> int | None:
        """Return the index of the first target of a field that fits a group."""
        label = self.groups.names[place]
        for index, target in enumerate(targets):
            if target.name == name and target.fits(label, place):
                return index
        return None


def _base_shared(group: Group, targets: Sequence[BoundTarget]) -> Facts:
    """Return the base of a known group with the same tensor: torch gives its default to both."""
    tensors = [id(entry) for entry in group.values() if isinstance(entry, torch.Tensor)]
    for target in targets:
        if isinstance(target.field, Field):
            for value, known in zip(target.field.raw_values(), target.groups, strict=True):
                if id(value) in tensors:
                    return {"base": known.base}
    return {}
