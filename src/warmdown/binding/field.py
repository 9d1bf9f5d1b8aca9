"""One number in every parameter group, or on any object: the one file that reads param_groups."""

from __future__ import annotations

import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch.optim import Optimizer

from warmdown.binding.slots import (
    FloatWrite,
    Group,
    Row,
    Slot,
    SlotBatch,
    TensorSlots,
    Window,
    Writer,
    as_before,
    group_slots,
)
from warmdown.errors import BindingError, nearest
from warmdown.shown import brief

_ELEMENT = re.compile(r"(\w+)\[(\d+)\]")

_REAL = ("lr", "weight_decay", "momentum", "betas", "dampening", "eps", "alpha", "rho")
"""Entries of a group that are real numbers also where one was given as an int: ``lr=1``."""

groups_of: Callable[[Any], Any] = attrgetter("param_groups")
"""Returns an optimizer's groups; at every step it costs half of what a method does."""


class Marks(NamedTuple):
    """What a group keeps about one of its numbers.

    Args:
        value: The number.
        initial: The base value that is kept beside it.
        written: What a scheduler that has ended, or was saved, wrote last.
        default: What the optimizer was made with, where the group has been trained.
        factor: What its values are multiplied by: timm's ``lr_scale``.
        is_shared: Whether a scheduler of torch has been made for the optimizer, and may write too.
    """

    value: float
    initial: float | None = None
    written: float | None = None
    default: float | None = None
    factor: float = 1.0
    is_shared: bool = False


class Number(ABC):
    """A number that a scheduler drives: by default one that lies outside of optimizers."""

    optimizer: Any = None
    indices: Sequence[int] = ()
    groups: Sequence[Group] = ()
    """The parameter groups it lies in; outside of optimizers there are none."""
    slots: Sequence[Slot] = ()
    batches: Sequence[SlotBatch] = ()

    @abstractmethod
    def read(self) -> list[float]:
        """Return the present value in each group."""

    @abstractmethod
    def write(self, row: Row) -> None:
        """Write one value for each group."""

    def writers(self, window: Window) -> list[Writer | FloatWrite]:
        """Return a function that writes one step of the window; none where nothing moves."""
        values = window.floats(window.which[0])

        def write(index: int) -> None:
            if (value := values[index]) is not None:
                self.write([value])

        return [] if values.count(None) == len(values) else [write]

    @abstractmethod
    def marks(self) -> Iterator[Marks]:
        """Yield what each group keeps about its value."""

    def set_initial(self, row: Row) -> None:  # noqa: B027  a function has its base from the start
        """Keep one base value for each group, for schedulers made later."""

    def are_whole(self) -> list[bool]:
        """Tell for each group whether it has a whole number there, which is to stay one."""
        return [False]

    @property
    def multiple(self) -> int:
        """What its values are multiples of, at least one; 0: they may be any numbers."""
        return 0

    @property
    def owners(self) -> Sequence[Any]:
        """What it is bound to: its groups, or itself."""
        return self.groups or (self,)

    @property
    def is_of_tensors(self) -> bool:
        """Whether any group has a tensor."""
        return any(isinstance(batch, TensorSlots) for batch in self.batches)


class Field(Number):
    """One number of an optimizer, in each of its parameter groups.

    A float is replaced; a 0-d tensor is filled in place and stays the object it is, so that a
    compiled or captured step follows it. All tensors of one device and type become views of one
    vector: one write serves all groups.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        name: ``lr``, ``weight_decay``, ``betas[0]``, any key of a group, or ``momentum``, which
            means a group's ``momentum`` or ``betas[0]``, whichever it has.
        groups: Which groups, by index; ``None`` is all of them.
        curves: What each group follows: groups of one curve go on sharing a tensor, if they do;
            ``None`` parts them.
        instead_of: A field on the same numbers that is given up for this one.

    Raises:
        BindingError: A group does not have it, or has something there that is no number.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 2)
        >>> field = Field(torch.optim.AdamW(layer.parameters(), lr=0.1), "betas[0]")
        >>> field.read()
        [0.9]
        >>> field.write([0.85])
        >>> field.optimizer.param_groups[0]["betas"]
        (0.85, 0.999)
    """

    def __init__(
        self,
        optimizer: Any,
        name: str,
        groups: Iterable[int] | None = None,
        *,
        curves: Sequence[object] | None = None,
        instead_of: Number | None = None,
    ) -> None:
        self.optimizer = unwrap(optimizer)
        self.name = name
        every = self._seen = self.optimizer.param_groups
        self._count = len(every)
        self.indices = list(range(len(every)) if groups is None else groups)
        self.groups = [every[index] for index in self.indices]
        self.slots = [
            _slot(f"group {index} of {type(self.optimizer).__name__}", name, every[index])
            for index in self.indices
        ]
        places = {(slot.key, slot.element) for slot in self.slots}
        key, element = places.pop() if len(places) == 1 else (None, None)
        self._key = key if element is None else None
        released = instead_of.batches if instead_of else ()
        self.batches = group_slots(self.slots, curves or self.indices, released)

    def read(self) -> list[float]:
        """Return the number in each group; tensors on a device are waited for, once."""
        values = self.raw_values()
        if values and all(
            isinstance(value, torch.Tensor) and value.device.type != "cpu" for value in values
        ):
            values = torch.stack([value.detach().reshape(()) for value in values]).tolist()
        return [float(value) for value in values]

    def raw_values(self) -> list[Any]:
        """Return the number or the very tensor in each group; no device is waited for."""
        if self._key is None:
            return [slot.value for slot in self.slots]
        key = self._key  # a third of the time, for those who compare at every step
        return [group[key] for group in self.groups]

    def write(self, row: Row) -> None:
        """Write one value for each group, in their order."""
        for batch in self.batches:
            batch.write(row)

    def writers(self, window: Window) -> list[Writer | FloatWrite]:
        """Return what writes one step of the window; nothing where nothing moves."""
        return [writer for batch in self.batches for writer in batch.writers(window)]

    def store_initial(self) -> list[float]:
        """Keep each group's value as its ``initial_<name>`` unless it has one; return those kept.

        Torch, timm and others look there for the base value; an optimizer's state carries it along.
        """
        for slot in self.slots:
            value = slot.value
            slot.group.pop(slot.written, None)
            if isinstance(value, np.generic | np.ndarray):
                value = value.item()  # torch.load(weights_only=True) reads none of numpy's
            kept = value.detach().clone() if isinstance(value, torch.Tensor) else value
            slot.group.setdefault(slot.initial, kept)
        return [float(slot.group[slot.initial]) for slot in self.slots]

    def marks(self) -> Iterator[Marks]:
        """Yield what each group keeps about its value; what was written last is taken out."""
        state = getattr(self.optimizer, "state", {})
        defaults = getattr(self.optimizer, "defaults", {})
        for slot, value in zip(self.slots, self.read(), strict=True):
            kept, written = slot.group.get(slot.initial), slot.group.pop(slot.written, None)
            default: Any = None
            if any(parameter in state for parameter in slot.group.get("params", ())):
                has_default = defaults.get(slot.key) is not None
                default = Slot(defaults, slot.key, slot.element).value if has_default else value
            yield Marks(
                value,
                initial=None if kept is None else float(kept),
                written=None if written is None else float(written),
                default=None if default is None else float(default),
                factor=float(slot.group.get("lr_scale", 1.0)) if slot.key == "lr" else 1.0,
                is_shared=hasattr(getattr(self.optimizer, "step", None), "_wrapped_by_lr_sched"),
            )

    def mark_saved(self, row: Row, saved: Sequence[Group]) -> None:
        """Put what was written last into the groups of a state that the optimizer has made."""
        copies = dict(zip(map(id, groups_of(self.optimizer)), saved, strict=True))
        for slot, value in zip(self.slots, row, strict=True):
            copies.get(id(slot.group), {})[slot.written] = value

    def are_whole(self) -> list[bool]:
        """Tell for each group whether it has a whole number there."""
        return [slot.is_whole for slot in self.slots]

    def set_initial(self, row: Row) -> None:
        """Keep one base value for each group where torch and others look for it."""
        for slot, value in zip(self.slots, row, strict=True):
            slot.group[slot.initial] = value

    def set_entry(self, key: str, row: Sequence[Any]) -> None:
        """Keep one value for each group under another key, such as ``max_lr``."""
        for group, value in zip(self.groups, row, strict=True):
            group[key] = value

    def get_entry(self, key: str) -> list[Any]:
        """Return what each group keeps under another key; ``KeyError`` if one has nothing."""
        return [group[key] for group in self.groups]

    @staticmethod
    def fits(name: str, group: Group) -> bool:
        """Tell whether a group has such a field."""
        return name.partition("[")[0] in group or (name == "momentum" and "betas" in group)

    @property
    def is_current(self) -> bool:
        """Whether the optimizer has the groups of before; loading or adding makes others."""
        now = self.optimizer.param_groups
        return now is self._seen and len(now) == self._count

    def restore_tensors(self) -> None:
        """Put the very tensors of the old groups into the groups that loading has made."""
        every = self.optimizer.param_groups
        for index, slot in zip(self.indices, self.slots, strict=True):
            if isinstance(slot.value, torch.Tensor):
                Slot(every[index], slot.key, slot.element).put(slot.value)


def replace_floats(
    field: Field,
    rows: Iterator[list[float]],
    row: list[float],
    step: int,
    overwrite: Callable[[list[float]], bool],
) -> Generator[list[float] | None, int, None]:
    """Write one row after each step that is sent, and yield it; ``None`` where none is written.

    A row is written while the groups hold the very floats of the one before it. It looks and
    writes in one pass, and has all it needs in local variables: a method takes twice as long.

    Args:
        field: A field of floats that are no elements.
        rows: The values of the steps after ``step``; a row of one number serves all groups.
        row: The values of ``step``, which the groups hold.
        step: The last step; what is sent must be the last step, too.
        overwrite: Takes a row that does not follow what the groups hold, returns whether it wrote.
    """
    optimizer, groups, key = field.optimizer, field.groups, field.slots[0].key
    known, count = groups_of(optimizer), len(groups)
    written: list[float] | None = None
    while True:
        last = yield written
        now = groups_of(optimizer)  # is_current, without a call: a tenth of a step
        is_next = last == step and now is known and len(now) == count
        written = next(rows, None) if is_next else None
        if written is None:
            continue
        edited = None
        if len(written) == 1:
            value, old = written[0], row[0]
            for group in groups:
                if group[key] is not old:
                    edited = group
                    break
                group[key] = value
        else:
            for group, value, old in zip(groups, written, row):  # noqa: B905  strict= costs a tenth
                if group[key] is not old:
                    edited = group
                    break
                group[key] = value
        if edited is None or overwrite(written * count if len(written) == 1 else written):
            row, step = written, step + 1
            continue
        written = None
        for group, old in zip(groups, row * count, strict=False):
            if group is edited:
                break
            group[key] = old


def as_tensors(optimizer: Any, *names: str) -> None:
    """Turn rates and betas into 0-d tensors, so that a compiled step need not be compiled again.

    Args:
        optimizer: A torch optimizer; call this before the step is compiled.
        names: ``lr``, ``betas[0]``, ``momentum`` where it means ``betas[0]``; both betas are turned
            together.

    Raises:
        BindingError: The field is one that compiled code reads as a Python number.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.AdamW(torch.nn.Linear(2, 2).parameters(), lr=0.1)
        >>> as_tensors(optimizer, "lr", "betas[0]")
        >>> optimizer.param_groups[0]["lr"]
        tensor(0.1000)
    """
    for name in names:
        for slot in Field(optimizer, name).slots:
            if slot.key not in ("lr", "betas"):
                raise BindingError(
                    f"as_tensors({name!r}): torch's optimizers read {slot.key!r} as a Python "
                    "number; a tensor breaks the compiled step. Leave it a float."
                )
            entry, group = slot.group[slot.key], slot.group
            if isinstance(entry, tuple):
                group[slot.key] = tuple(_as_tensor(value, group) for value in entry)
            else:
                group[slot.key] = _as_tensor(entry, group)


def _as_tensor(value: Any, group: Group) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    on_device = (group.get("capturable") or group.get("fused")) and group["params"]
    return torch.tensor(float(value), device=group["params"][0].device if on_device else None)


@dataclass(frozen=True)
class Attribute(Number):
    """A number on any object: ``Attribute(model, "kl_weight")``.

    An int stays an int, of its own type: values are rounded to it. Only where a plan keeps within
    -1 and 1 and has fractions there, which no count does, an int such as ``Dropout(0).p`` becomes
    a float. A tensor is filled in place.

    Args:
        of: The object.
        name: Its attribute.

    Raises:
        BindingError: The object does not have it, or no number there.

    Example:
        >>> import torch
        >>> dropout = torch.nn.Dropout(0.5)
        >>> Attribute(dropout, "p").write([0.1])
        >>> dropout.p
        0.1
    """

    of: Any
    name: str
    _kept: ClassVar[dict[tuple[int, str], list[Any]]] = {}
    """Of each attribute that is driven: a weak reference to its object, its base value, and what
    was written last."""

    __repr__ = brief

    def __post_init__(self) -> None:
        if not hasattr(self.of, self.name):
            known = (name for name in getattr(self.of, "__dict__", ()) if not name.startswith("_"))
            raise BindingError(
                f"Attribute({self.name!r}): {type(self.of).__name__} has no such attribute. "
                f"{nearest(self.name, known)}"
            )
        value = getattr(self.of, self.name)
        if not _is_number(value):
            raise BindingError(
                f"Attribute({self.name!r}): {type(self.of).__name__} holds {value!r:.40}, which is "
                "no number. Give it one first, or bind a function that takes the number."
            )

    def read(self) -> list[float]:
        """Return the attribute's value."""
        return [float(getattr(self.of, self.name))]

    def marks(self) -> Iterator[Marks]:
        """Yield the value, and the base that an earlier scheduler has brought it from."""
        _, initial, written = self._kept.get((id(self.of), self.name), (None, None, None))
        yield Marks(self.read()[0], initial=initial, written=written)

    def set_initial(self, row: Row) -> None:
        """Keep the base value, where the object can be known again."""
        kept, key = self._kept, (id(self.of), self.name)
        with suppress(TypeError):  # to some kinds of objects there is no weak reference
            owner = weakref.ref(self.of, lambda _: kept.pop(key, None))
            kept[key] = [owner, row[0], *self.read()]

    def are_whole(self) -> list[bool]:
        """Tell whether the attribute is a whole number."""
        return [_is_whole(getattr(self.of, self.name))]

    def write(self, row: Row) -> None:
        """Set the attribute; a tensor or an array is filled in place."""
        value = getattr(self.of, self.name)
        if isinstance(value, torch.Tensor | np.ndarray):
            fill = value.detach().fill_ if isinstance(value, torch.Tensor) else value.fill
            fill(row[0])
        else:
            setattr(self.of, self.name, as_before(value, row[0]))
        if kept := self._kept.get((id(self.of), self.name)):
            kept[2:] = self.read()


class Call(Number):
    """A number that a function takes: ``Call(sampler.set_batch_size)``.

    Args:
        take: Called with each new value, always a float: a function that needs a whole number
            rounds it, since ``int`` cuts 3.9999999 off to 3.
        base: What a scale multiplies.

    Example:
        >>> sizes = []
        >>> Call(lambda value: sizes.append(round(value)), base=8).write([16.0])
        >>> sizes
        [16]
    """

    def __init__(self, take: Callable[[float], object], base: float = 1.0) -> None:
        self._take, self._value, self._base = take, float(base), float(base)

    def __repr__(self) -> str:
        name = getattr(self._take, "__qualname__", type(self._take).__name__)
        return f"<Call of {name}, last with {self._value:g}>"

    def marks(self) -> Iterator[Marks]:
        """Yield the value, and the base that it was made with."""
        yield Marks(self._value, initial=self._base, written=self._value)

    def read(self) -> list[float]:
        """Return the value of the last call."""
        return [self._value]

    def write(self, row: Row) -> None:
        """Call the function with a value."""
        self._value = float(row[0])
        self._take(self._value)


def unwrap(optimizer: Any) -> Any:
    """Return the optimizer that really steps, inside what accelerate or Lightning wrap around it.

    Raises:
        BindingError: It has no parameter groups.
    """
    while True:
        inner = getattr(optimizer, "optimizer", None) or getattr(optimizer, "_optimizer", None)
        if not isinstance(inner, Optimizer):
            break
        optimizer = inner
    if not hasattr(optimizer, "param_groups"):
        raise BindingError(
            f"Field({type(optimizer).__name__}): it has no param_groups. Give a torch optimizer."
        )
    return optimizer


def hooked_optimizers(optimizer: Any, seen: set[int] | None = None) -> list[list[Optimizer]]:
    """Return each optimizer whose ``step()`` runs hooks, followed by those that it may call.

    A wrapper of its own kind (Lookahead) runs none, but calls an inner optimizer that does; so does
    a method beside ``step()`` (the second step of SAM).
    """
    seen = {id(optimizer)} if seen is None else seen
    inside: list[list[Optimizer]] = []
    for value in list(getattr(optimizer, "__dict__", {}).values()):
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Optimizer) and id(one) not in seen:
                seen.add(id(one))
                parameters = set(map(id, optimizer_parameters(optimizer)))
                if not parameters.isdisjoint(map(id, optimizer_parameters(one))):
                    inside += hooked_optimizers(one, seen)
    is_hooked = isinstance(optimizer, Optimizer) and getattr(type(optimizer).step, "hooked", False)
    if is_hooked and hasattr(optimizer, "_optimizer_step_post_hooks"):
        return [[optimizer, *chain.from_iterable(inside)]]
    return inside


def proxy_optimizer(optimizer: Any) -> Optimizer:
    """Return a small optimizer whose groups have the same numbers, to try out a scheduler on."""
    groups = [
        {
            **{key: _plain_value(value) for key, value in group.items()},
            "params": [torch.nn.Parameter(torch.zeros(1))],
        }
        for group in unwrap(optimizer).param_groups
    ]
    return torch.optim.SGD(groups, lr=0.0)


def _plain_value(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value


def _is_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and value.dtype != torch.bool and not value.is_complex()
    array = np.asarray(value)
    return array.ndim == 0 and array.dtype.kind in "iuf"


def _is_whole(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point()
    return np.asarray(value).dtype.kind in "iu"


def bound_numbers(name: str, given: Any) -> list[Number]:
    """Return what ``bind`` gives for a target: a number, a function that takes it, or a list.

    Raises:
        BindingError: It is none of these.
    """
    numbers = [
        Call(one) if callable(one) and not isinstance(one, Number) else one
        for one in (given if isinstance(given, list | tuple) else [given])
    ]
    if not numbers or not all(isinstance(one, Number) and not one.groups for one in numbers):
        raise BindingError(
            f"Scheduler(bind={{{name!r}: {given!r:.60}}}): nothing there takes a number. Give an "
            "Attribute(object, name), a function of one number, or a list of at least one of them."
        )
    return numbers


def optimizer_parameters(optimizer: Any) -> Iterator[torch.Tensor]:
    """Yield every parameter of every group."""
    for group in unwrap(optimizer).param_groups:
        yield from group["params"]


def has_gradients(optimizer: Any) -> bool:
    """Tell whether any parameter has a gradient."""
    return any(parameter.grad is not None for parameter in optimizer_parameters(optimizer))


class Groups:
    """The groups of some optimizers as they were when this was made.

    Args:
        optimizers: Torch optimizers, or what wraps them.
    """

    def __init__(self, optimizers: Iterable[Any]) -> None:
        self.optimizers = [unwrap(optimizer) for optimizer in optimizers]
        self._lists = [optimizer.param_groups for optimizer in self.optimizers]
        self._ends = [(len(groups), *groups[:1], *groups[-1:]) for groups in self._lists]
        self.every: list[tuple[Any, int, Group]] = [
            (optimizer, index, group)
            for optimizer in self.optimizers
            for index, group in enumerate(optimizer.param_groups)
        ]
        self.names = _keys([group for _, _, group in self.every])
        """Each group's ``name``; its index where it has none, or one that another has too."""
        self.keys = [
            f"{number}:{key}" if number else key
            for number, optimizer in enumerate(self.optimizers)
            for key in _keys(optimizer.param_groups)
        ]
        """The same for states: by index in its own optimizer, which a group of another one added
        later does not change."""

    def key_of(self, label: str) -> str:
        """Return the key of what has a label: ``lr/2`` may be the first of the second optimizer."""
        name, _, group = label.partition("/")
        keys = dict(zip(self.names, self.keys, strict=True))
        return f"{name}/{keys.get(group, group)}" if group else label

    def is_current(self, place: int) -> bool:
        """Tell whether an optimizer has these groups, by the first, the last and their number."""
        now, ends = self.optimizers[place].param_groups, self._ends[place]
        if now is not self._lists[place] or len(now) != ends[0]:
            return False
        return not now or (now[0] is ends[1] and now[-1] is ends[2])

    def is_part(self, place: int, *, is_last: bool = True) -> bool:
        """Tell whether an optimizer has only some of these groups: ZeRO steps them one by one.

        Args:
            place: Which optimizer.
            is_last: Whether the last group may be among them.
        """
        now, groups = self.optimizers[place].param_groups, self._lists[place]
        if now is groups or len(now) >= len(groups):
            return False
        known, present = [id(group) for group in groups], {id(group) for group in now}
        return present < {*known} and (is_last or known[-1] not in present)

    @property
    def are_current(self) -> bool:
        """Whether every optimizer has these groups."""
        return all(map(self.is_current, range(len(self.optimizers))))


def _keys(groups: Sequence[Group]) -> list[str]:
    given = [str(group.get("name", index)) for index, group in enumerate(groups)]
    return [key if given.count(key) == 1 else str(index) for index, key in enumerate(given)]


def _slot(owner: str, name: str, group: Group) -> Slot:
    """Return where a group has a field.

    Raises:
        BindingError: It does not have it, or no number there.
    """
    is_beta = name == "momentum" and "momentum" not in group and "betas" in group
    match = _ELEMENT.fullmatch("betas[0]" if is_beta else name)
    key, element = (match[1], int(match[2])) if match else (name, None)
    if key not in group:
        known = sorted(
            key
            for key in group
            if key != "params" and not key.startswith(("initial_", "scheduled_"))
        )
        way_out = nearest(key, known)
        if key.startswith("beta") and "betas" in group:
            way_out = "One of its betas is 'betas[0]' or 'betas[1]'."
        raise BindingError(
            f"Field({name!r}): {owner} has no {key!r}; it has {', '.join(known)}. {way_out}"
        )
    slot, entry = Slot(group, key, element), group[key]
    has_element = isinstance(entry, tuple | list) and (element or 0) < len(entry)
    if element is not None and not has_element:
        raise BindingError(
            f"Field({name!r}): {owner} holds {key}={entry!r}, which has no element {element}."
        )
    value = slot.value
    is_tensor = isinstance(value, torch.Tensor) and value.numel() == 1
    is_array = isinstance(value, np.ndarray) and _is_number(value)
    if not (is_tensor or is_array) and (isinstance(value, bool) or not isinstance(value, Real)):
        way_out = f" Name one element: '{key}[0]'." if isinstance(value, tuple | list) else ""
        if value is None:
            way_out = (
                " Make the optimizer with a number there. One that chooses its own rate is made "
                "not to: Adafactor(lr=…, relative_step=False, warmup_init=False)."
            )
        raise BindingError(
            f"Field({name!r}): {owner} holds {value!r}, which is no number.{way_out}"
        )
    return slot._replace(is_whole=_is_whole(value) and (is_tensor or key not in _REAL))
