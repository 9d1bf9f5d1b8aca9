"""One number in every parameter group, or on any object: the only file that asks an optimizer for its groups."""

from __future__ import annotations

__all__ = [
    "Attribute",
    "Call",
    "Field",
    "Groups",
    "groups_of",
    "has_gradients",
    "is_state_init_step",
    "parameters_of",
    "proxy_optimizer",
    "unwrap",
]

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch.optim import Optimizer

from warmdown.binding.slots import Group, Place, Row, Slot, Tensors, Window, places_of
from warmdown.errors import BindingError, nearest

_ELEMENT = re.compile(r"(\w+)\[(\d+)\]")

groups_of: Callable[[Any], Any] = attrgetter("param_groups")
"""Asks an optimizer for its groups, for those who look at every step: it costs half of what a method does."""


class Field:
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
        BindingError: A group does not have it, or holds something that is no number.

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
        instead_of: Field | None = None,
    ) -> None:
        self.optimizer = unwrap(optimizer)
        self.name = name
        every = self._seen = self.optimizer.param_groups
        self._count = len(every)
        self.indices = list(range(len(every)) if groups is None else groups)
        self.groups: list[Group] = [every[index] for index in self.indices]
        self.slots = [
            _slot(self, index, group)
            for index, group in zip(self.indices, self.groups, strict=True)
        ]
        self._key = _one_key(self.slots)
        given_up = instead_of.places if instead_of else ()
        self.places: list[Place] = places_of(self.slots, curves or self.indices, given_up)

    def read(self) -> list[float]:
        """Return what each group holds now; from tensors on a device this waits for the device, once."""
        held = self.raw_values()
        if held and all(
            isinstance(value, torch.Tensor) and value.device.type != "cpu" for value in held
        ):
            return [
                float(value)
                for value in torch.stack([value.detach().reshape(()) for value in held]).tolist()
            ]
        return [float(value) for value in held]

    def raw_values(self) -> list[Any]:
        """Return what each group holds now, as it is: a number, or the very tensor, without waiting for a device."""
        if self._key is None:
            return [slot.value for slot in self.slots]
        key = self._key
        return [group[key] for group in self.groups]

    def write(self, row: Row) -> None:
        """Write one value for each group, in their order."""
        for place in self.places:
            next(place.rows(iter([row])))

    def writing(self, rows: Iterator[Row | None]) -> Iterator[None]:
        """Return an iterator that writes one row each time it is advanced; a row ``None`` changes nothing."""
        if len(self.places) == 1:
            return self.places[0].rows(rows)
        return self._in_turn(rows)

    def ahead(self, window: Window) -> list[Iterator[None]]:
        """Return iterators that together write one step of the window each time they are advanced."""
        return [place.ahead(window) for place in self.places]

    def _in_turn(self, rows: Iterator[Row | None]) -> Iterator[None]:
        for row in rows:
            if row is not None:
                self.write(row)
            yield

    def store_initial(self) -> list[float]:
        """Keep each group's value as its ``initial_<name>`` unless it has one, and return what is kept.

        It is where torch, timm and others look for the base value; an optimizer's state carries it
        along.
        """
        for slot in self.slots:
            held = slot.value
            slot.group.setdefault(
                slot.initial, held.detach().clone() if isinstance(held, torch.Tensor) else held
            )
        return [float(slot.group[slot.initial]) for slot in self.slots]

    def initials(self) -> list[float | None]:
        """Return the base value that each group keeps, or ``None``."""
        return [
            None if (kept := slot.group.get(slot.initial)) is None else float(kept)
            for slot in self.slots
        ]

    def set_initial(self, row: Row) -> None:
        """Keep one base value for each group, for those who look for it there."""
        for slot, value in zip(self.slots, row, strict=True):
            slot.group[slot.initial] = value

    def set_entry(self, key: str, row: Sequence[Any]) -> None:
        """Keep one value for each group under another key, such as ``max_lr``, for those who look there."""
        for group, value in zip(self.groups, row, strict=True):
            group[key] = value

    def get_entry(self, key: str) -> list[Any]:
        """Return what each group keeps under another key; a ``KeyError`` if one does not have it."""
        return [group[key] for group in self.groups]

    @staticmethod
    def fits(name: str, group: Group) -> bool:
        """Tell whether a group has such a field."""
        key = name.partition("[")[0]
        return key in group or (name == "momentum" and "betas" in group)

    @property
    def is_current(self) -> bool:
        """Whether the optimizer still has the very groups this was made of; loading or adding makes others."""
        now = self.optimizer.param_groups
        return now is self._seen and len(now) == self._count

    @property
    def is_of_tensors(self) -> bool:
        """Whether any group holds a tensor."""
        return any(isinstance(place, Tensors) for place in self.places)

    def restore_tensors(self) -> None:
        """Give the groups that loading has made the very tensors that the old ones held."""
        every = self.optimizer.param_groups
        for index, slot in zip(self.indices, self.slots, strict=True):
            if isinstance(slot.value, torch.Tensor):
                Slot(every[index], slot.key, slot.element).put(slot.value)


@dataclass(frozen=True)
class Attribute:
    """A number on any object: ``Attribute(model, "kl_weight")``.

    Args:
        of: The object.
        name: Its attribute.

    Raises:
        BindingError: The object does not have it.

    Example:
        >>> import torch
        >>> dropout = torch.nn.Dropout(0.5)
        >>> Attribute(dropout, "p").write([0.1])
        >>> dropout.p
        0.1
    """

    of: Any
    name: str

    def __post_init__(self) -> None:
        if not hasattr(self.of, self.name):
            known = (name for name in getattr(self.of, "__dict__", ()) if not name.startswith("_"))
            raise BindingError(
                f"Attribute({self.name!r}): {type(self.of).__name__} has no such attribute. "
                f"{nearest(self.name, known)}"
            )

    def read(self) -> list[float]:
        """Return what the attribute holds."""
        return [float(getattr(self.of, self.name))]

    def write(self, row: Row) -> None:
        """Set the attribute; a tensor is filled in place."""
        held = getattr(self.of, self.name)
        if isinstance(held, torch.Tensor):
            held.detach().fill_(row[0])
        else:
            setattr(self.of, self.name, row[0])

    def ahead(self, window: Window) -> list[Iterator[None]]:
        """Return one iterator that writes a step of the window each time it is advanced."""
        return [_by_call(self.write, window.floats[window.which[0]])]


class Call:
    """A number that a function takes: ``Call(sampler.set_batch_size)``.

    Args:
        take: Called with each new value, a float.
        base: What a scale multiplies.

    Example:
        >>> sizes = []
        >>> Call(lambda value: sizes.append(round(value)), base=8).write([16.0])
        >>> sizes
        [16]
    """

    def __init__(self, take: Callable[[float], object], base: float = 1.0) -> None:
        self._take, self._held = take, float(base)

    def read(self) -> list[float]:
        """Return the value given last."""
        return [self._held]

    def write(self, row: Row) -> None:
        """Give the function a value."""
        self._held = float(row[0])
        self._take(self._held)

    def ahead(self, window: Window) -> list[Iterator[None]]:
        """Return one iterator that gives a step of the window each time it is advanced."""
        return [_by_call(self.write, window.floats[window.which[0]])]


def _by_call(write: Callable[[Row], None], values: Iterable[float | None]) -> Iterator[None]:
    for value in values:
        if value is not None:
            write([value])
        yield


def unwrap(optimizer: Any) -> Any:
    """Return the optimizer that really steps, inside what accelerate or Lightning wrap around it."""
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


def proxy_optimizer(optimizer: Any) -> Optimizer:
    """Return a small optimizer whose groups hold the same numbers, to try on it what the real one must not feel."""
    groups = [
        {
            **{key: _copied(held) for key, held in group.items()},
            "params": [torch.nn.Parameter(torch.zeros(1))],
        }
        for group in unwrap(optimizer).param_groups
    ]
    return torch.optim.SGD(groups, lr=0.0)


def _copied(held: Any) -> Any:
    return held.item() if isinstance(held, torch.Tensor) and held.numel() == 1 else held


def has_gradients(optimizer: Any) -> bool:
    """Tell whether any parameter has a gradient: a backward pass was made, and not yet forgotten."""
    return any(parameter.grad is not None for parameter in parameters_of(optimizer))


def is_state_init_step(optimizer: Optimizer) -> bool:
    """Tell whether an update is about to be made for the state's sake alone: no state yet, rates and gradients all 0.

    So torch's distributed checkpoints prepare an optimizer, for saving as for loading.
    """
    if optimizer.state or not all(map(_is_at_rest, optimizer.param_groups)):
        return False
    gradients = [one.grad for one in parameters_of(optimizer) if one.grad is not None]
    shards = [one.to_local() if hasattr(one, "to_local") else one for one in gradients]
    return any(shard.numel() for shard in shards) and not any(bool(shard.any()) for shard in shards)


def _is_at_rest(group: Group) -> bool:
    rate = group.get("lr", 0.0)
    return (
        not (isinstance(rate, torch.Tensor) and rate.device.type != "cpu") and rate == 0
    )  # no device is waited for


def parameters_of(optimizer: Any) -> Iterator[torch.Tensor]:
    """Yield every parameter of every group."""
    for group in unwrap(optimizer).param_groups:
        yield from group["params"]


class Groups:
    """The groups of some optimizers, as they were when this was made; it notices when they are others.

    Args:
        optimizers: Torch optimizers, or what wraps them.
    """

    def __init__(self, optimizers: Iterable[Any]) -> None:
        self.optimizers = [unwrap(optimizer) for optimizer in optimizers]
        self._lists = [optimizer.param_groups for optimizer in self.optimizers]
        self._marks = [_mark(groups) for groups in self._lists]
        self.every: list[tuple[Any, int, Group]] = [
            (optimizer, index, group)
            for optimizer in self.optimizers
            for index, group in enumerate(optimizer.param_groups)
        ]
        self.names = _names([group for _, _, group in self.every])

    @property
    def are_current(self) -> bool:
        """Whether every optimizer has the groups it had."""
        return all(map(self.is_current, range(len(self.optimizers))))

    def is_current(self, place: int) -> bool:
        """Tell whether an optimizer has the groups it had; the first, the last and their number are compared."""
        now = self.optimizers[place].param_groups
        return now is self._lists[place] and _mark(now) == self._marks[place]


def _mark(groups: Sequence[Group]) -> tuple[int, ...]:
    return (len(groups), id(groups[0]), id(groups[-1])) if groups else ()


def _names(groups: Sequence[Group]) -> list[str]:
    """Return each group's ``name``; its index where it has none, or one that another has too."""
    given = [str(group.get("name", index)) for index, group in enumerate(groups)]
    return [name if given.count(name) == 1 else str(index) for index, name in enumerate(given)]


def _slot(field: Field, index: int, group: Group) -> Slot:
    name = field.name
    if name == "momentum" and "momentum" not in group and "betas" in group:
        name = "betas[0]"
    match = _ELEMENT.fullmatch(name)
    key, element = (match[1], int(match[2])) if match else (name, None)
    if key not in group:
        known = sorted(key for key in group if key != "params" and not key.startswith("initial_"))
        raise BindingError(
            f"Field({field.name!r}): group {index} of {type(field.optimizer).__name__} has no "
            f"{key!r}; "
            f"it has {', '.join(known)}. {_way_out(key, group, known)}"
        )
    slot = Slot(group, key, element)
    _require_number(field, index, slot)
    return slot


def _way_out(key: str, group: Group, known: Sequence[str]) -> str:
    if key.startswith("beta") and "betas" in group:
        return "One of its betas is 'betas[0]' or 'betas[1]'."
    return nearest(key, known)


def _one_key(slots: Sequence[Slot]) -> str | None:
    """Return the key that all slots have in common, or ``None`` when they differ or lie deeper."""
    places = {(slot.key, slot.element) for slot in slots}
    return next((key for key, element in places if element is None and len(places) == 1), None)


def _require_number(field: Field, index: int, slot: Slot) -> None:
    where = f"Field({field.name!r}): group {index} of {type(field.optimizer).__name__}"
    held = slot.group[slot.key]
    if slot.element is not None and not (
        isinstance(held, tuple | list) and slot.element < len(held)
    ):
        raise BindingError(
            f"{where} holds {slot.key}={held!r}, which has no element {slot.element}."
        )
    value = slot.value
    is_tensor = isinstance(value, torch.Tensor) and value.numel() == 1
    if not is_tensor and (isinstance(value, bool) or not isinstance(value, int | float)):
        fix = f" Name one element: '{slot.key}[0]'." if isinstance(value, tuple | list) else ""
        raise BindingError(f"{where} holds {value!r}, which is no number.{fix}")
