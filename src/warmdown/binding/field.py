"""One number in every parameter group, or on any object: the only file that loops over groups."""

from __future__ import annotations

__all__ = ["Attribute", "Field", "group_names", "has_gradients", "stand_in", "unwrapped"]

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.optim import Optimizer

from warmdown.errors import BindingError, nearest

Group: TypeAlias = dict[str, Any]
Row: TypeAlias = Sequence[float]

_ELEMENT = re.compile(r"(\w+)\[(\d+)\]")


class Field:
    """One number of an optimizer, in each of its parameter groups.

    A float is replaced; a 0-d tensor is filled in place and stays the object it is, so that a compiled or captured
    step follows it. All tensors of one device and type become views of one vector: one write serves all groups.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        name: ``lr``, ``weight_decay``, ``betas[0]``, any key of a group, or ``momentum``, which means a group's
            ``momentum`` or ``betas[0]``, whichever it has.
        groups: Which groups, by index; ``None`` is all of them.

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

    def __init__(self, optimizer: Any, name: str, groups: Iterable[int] | None = None) -> None:
        self.optimizer = unwrapped(optimizer)
        self.name = name
        every = self._seen = self.optimizer.param_groups
        self._count = len(every)
        self.groups: list[Group] = list(every) if groups is None else [every[index] for index in groups]
        self._slots = [_slot(self, index, group) for index, group in enumerate(self.groups)]
        self._key = _one_key(self._slots)
        self._vectors = _share_memory(self._slots)

    def read(self) -> list[float]:
        """Return what each group holds now; from a tensor on a device this waits for the device."""
        return [float(slot.value) for slot in self._slots]

    def write(self, row: Row) -> None:
        """Write one value for each group, in their order."""
        next(self.writing(iter([row])))

    def remember(self) -> list[float]:
        """Keep each group's value as its ``initial_<name>`` unless it has one, and return what is kept.

        It is where torch, timm and others look for the base value; an optimizer's state carries it along.
        """
        for slot in self._slots:
            held = slot.value
            slot.group.setdefault(slot.initial, held.detach().clone() if isinstance(held, torch.Tensor) else held)
        return [float(slot.group[slot.initial]) for slot in self._slots]

    def held(self) -> list[Any]:
        """Return what each group holds now, as it is: a number, or the very tensor, without waiting for a device."""
        if self._key is None:
            return [slot.value for slot in self._slots]
        key = self._key
        return [group[key] for group in self.groups]

    def note(self, key: str, row: Sequence[Any]) -> None:
        """Keep one value for each group under another key, such as ``max_lr``, for those who look there."""
        for group, value in zip(self.groups, row, strict=True):
            group[key] = value

    def noted(self, key: str) -> list[Any]:
        """Return what each group keeps under another key; a ``KeyError`` if one does not have it."""
        return [group[key] for group in self.groups]

    @property
    def is_current(self) -> bool:
        """Whether the optimizer still has the very groups this was made of; loading or adding makes others."""
        now = self.optimizer.param_groups
        return now is self._seen and len(now) == self._count

    def writing(self, rows: Iterator[Row | None]) -> Iterator[None]:
        """Return an iterator that writes one row each time it is advanced; a row ``None`` changes nothing."""
        if self._vectors is not None:
            return _into_vectors(self._vectors, rows)
        if all(slot.element is None for slot in self._slots):
            return _into_keys(self.groups, [slot.key for slot in self._slots], rows)
        return _into_slots(self._slots, rows)

    def writing_one(self, values: Iterator[float | None]) -> Iterator[None]:
        """Return the same for one value that all groups share."""
        keys = {slot.key for slot in self._slots}
        if self._vectors is None and len(keys) == 1 and all(slot.element is None for slot in self._slots):
            return _into_key(self.groups, keys.pop(), values)
        count = len(self.groups)
        return self.writing(None if value is None else [value] * count for value in values)


@dataclass(frozen=True)
class Attribute:
    """A number on any object: ``Attribute(model, "kl_weight")``.

    Args:
        of: The object.
        name: Its attribute.

    Example:
        >>> dropout = torch.nn.Dropout(0.5)
        >>> Attribute(dropout, "p").write([0.1])
        >>> dropout.p
        0.1
    """

    of: Any
    name: str

    def __post_init__(self) -> None:
        if not hasattr(self.of, self.name):
            known = (name for name in vars(self.of) if not name.startswith("_")) if hasattr(self.of, "__dict__") else ()
            raise BindingError(
                f"Attribute({self.name!r}): {type(self.of).__name__} has no such attribute. {nearest(self.name, known)}"
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

    def writing(self, rows: Iterator[Row | None]) -> Iterator[None]:
        """Return an iterator that writes one row each time it is advanced."""
        return _by_call(self.write, rows)

    def writing_one(self, values: Iterator[float | None]) -> Iterator[None]:
        """Return the same for bare values."""
        return self.writing(None if value is None else [value] for value in values)


def unwrapped(optimizer: Any) -> Any:
    """Return the optimizer that really steps, inside what accelerate or Lightning wrap around it."""
    while True:
        inner = getattr(optimizer, "optimizer", None) or getattr(optimizer, "_optimizer", None)
        if not isinstance(inner, Optimizer):
            break
        optimizer = inner
    if not hasattr(optimizer, "param_groups"):
        raise BindingError(f"Field({type(optimizer).__name__}): it has no param_groups. Give a torch optimizer.")
    return optimizer


def group_names(optimizer: Any) -> list[str]:
    """Return each group's ``name``, or its index where it has none."""
    return [str(group.get("name", index)) for index, group in enumerate(unwrapped(optimizer).param_groups)]


def stand_in(optimizer: Any) -> Optimizer:
    """Return a small optimizer whose groups hold the same numbers, to try on it what the real one must not feel."""
    groups = [
        {**{key: _copied(held) for key, held in group.items()}, "params": [torch.nn.Parameter(torch.zeros(1))]}
        for group in unwrapped(optimizer).param_groups
    ]
    return torch.optim.SGD(groups, lr=0.0)


def has_gradients(optimizer: Any) -> bool:
    """Tell whether any parameter has a gradient: a backward pass was made, and not yet forgotten."""
    groups = unwrapped(optimizer).param_groups
    return any(parameter.grad is not None for group in groups for parameter in group["params"])


def _copied(held: Any) -> Any:
    return held.item() if isinstance(held, torch.Tensor) and held.numel() == 1 else held


# -- where a number lies in a group --------------------------------------------------------------------------------


@dataclass
class _Slot:
    group: Group
    key: str
    element: int | None

    @property
    def initial(self) -> str:
        return f"initial_{self.key}" if self.element is None else f"initial_{self.key}[{self.element}]"

    @property
    def value(self) -> Any:
        held = self.group[self.key]
        return held if self.element is None else held[self.element]

    def put(self, value: Any) -> None:
        if self.element is None:
            self.group[self.key] = value
        else:
            held = self.group[self.key]
            self.group[self.key] = type(held)((*held[: self.element], value, *held[self.element + 1 :]))


def _slot(field: Field, index: int, group: Group) -> _Slot:
    name = field.name
    if name == "momentum" and "momentum" not in group and "betas" in group:
        name = "betas[0]"
    match = _ELEMENT.fullmatch(name)
    key, element = (match[1], int(match[2])) if match else (name, None)
    if key not in group:
        known = sorted(key for key in group if key != "params")
        raise BindingError(
            f"Field({field.name!r}): group {index} of {type(field.optimizer).__name__} has no {key!r}; "
            f"it has {', '.join(known)}. {nearest(key, known)}"
        )
    slot = _Slot(group, key, element)
    _require_number(field, index, slot)
    return slot


def _one_key(slots: Sequence[_Slot]) -> str | None:
    """Return the key that all slots have in common, or ``None`` when they differ or lie deeper."""
    places = {(slot.key, slot.element) for slot in slots}
    return next((key for key, element in places if element is None and len(places) == 1), None)


def _require_number(field: Field, index: int, slot: _Slot) -> None:
    where = f"Field({field.name!r}): group {index} of {type(field.optimizer).__name__}"
    held = slot.group[slot.key]
    if slot.element is not None and not (isinstance(held, tuple | list) and slot.element < len(held)):
        raise BindingError(f"{where} holds {slot.key}={held!r}, which has no element {slot.element}.")
    value = slot.value
    is_tensor = isinstance(value, torch.Tensor) and value.numel() == 1
    if not is_tensor and (isinstance(value, bool) or not isinstance(value, int | float)):
        fix = f" Name one element: '{slot.key}[0]'." if isinstance(value, tuple | list) else ""
        raise BindingError(f"{where} holds {value!r}, which is no number.{fix}")


# -- tensors: one vector, seen by every group ------------------------------------------------------------------------


def _share_memory(slots: Sequence[_Slot]) -> list[tuple[torch.Tensor, list[int]]] | None:
    """Make every group's tensor a view of one vector for each device and type; ``None`` if any group has a float."""
    if not slots or not all(isinstance(slot.value, torch.Tensor) for slot in slots):
        return None
    kinds: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, slot in enumerate(slots):
        kinds.setdefault((slot.value.device, slot.value.dtype), []).append(index)
    return [(_vector([slots[index] for index in members]), members) for members in kinds.values()]


def _vector(slots: Sequence[_Slot]) -> torch.Tensor:
    vector = _neighbours([slot.value for slot in slots])
    if vector is None:
        _move_together(slots)
        vector = _neighbours([slot.value for slot in slots])
    assert vector is not None
    return vector


def _neighbours(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return the vector that the tensors lie in, one after the other, or ``None`` when they do not.

    A second field on the same tensors finds the first one's, so that both write what the groups hold.
    """
    first = tensors[0].detach()
    memory, place = first.untyped_storage().data_ptr(), first.storage_offset()
    for index, tensor in enumerate(tensors):
        if (tensor.untyped_storage().data_ptr(), tensor.storage_offset()) != (memory, place + index):
            return None
    return first.as_strided((len(tensors),), (1,))


def _move_together(slots: Sequence[_Slot]) -> None:
    vector = torch.stack([slot.value.detach().reshape(()) for slot in slots])
    seen: set[int] = set()
    for slot, view in zip(slots, vector.unbind(), strict=True):
        tensor = slot.value
        if id(tensor) in seen:  # torch gives one default tensor to every group
            slot.put(view)
        else:
            tensor.data = view.reshape(tensor.shape)
        seen.add(id(tensor))


# -- the loops -----------------------------------------------------------------------------------------------------


def _into_key(groups: Sequence[Group], key: str, values: Iterator[float | None]) -> Iterator[None]:
    for value in values:
        if value is not None:
            for group in groups:
                group[key] = value
        yield


def _into_keys(groups: Sequence[Group], keys: Sequence[str], rows: Iterator[Row | None]) -> Iterator[None]:
    for row in rows:
        if row is not None:
            for group, key, value in zip(groups, keys, row, strict=True):
                group[key] = value
        yield


def _into_slots(slots: Sequence[_Slot], rows: Iterator[Row | None]) -> Iterator[None]:
    for row in rows:
        if row is not None:
            for slot, value in zip(slots, row, strict=True):
                if isinstance(slot.value, torch.Tensor):
                    slot.value.fill_(value)
                else:
                    slot.put(value)
        yield


def _into_vectors(vectors: Sequence[tuple[torch.Tensor, list[int]]], rows: Iterator[Row | None]) -> Iterator[None]:
    for row in rows:
        if row is not None:
            for vector, members in vectors:
                vector.copy_(torch.tensor([row[index] for index in members], dtype=torch.float64))
        yield


def _by_call(call: Callable[[Row], None], rows: Iterator[Row | None]) -> Iterator[None]:
    for row in rows:
        if row is not None:
            call(row)
        yield
