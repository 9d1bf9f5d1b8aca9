"""Where a number lies in a parameter group, and the loops that write it there."""

from __future__ import annotations

__all__ = ["Floats", "Group", "Place", "Row", "Slot", "Tensors", "Window", "places_of"]

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Group: TypeAlias = dict[str, Any]
Row: TypeAlias = Sequence[float]
"""One value for each group."""


@dataclass
class Slot:
    """One number in one group: under a key, or an element of what is there.

    Args:
        group: The parameter group.
        key: Its key.
        element: Which element of a tuple or list, or ``None``.
    """

    group: Group
    key: str
    element: int | None

    @property
    def initial(self) -> str:
        """The key under which torch and others look for the base value."""
        return (
            f"initial_{self.key}" if self.element is None else f"initial_{self.key}[{self.element}]"
        )

    @property
    def value(self) -> Any:
        """What is held: a number, or the very tensor."""
        held = self.group[self.key]
        return held if self.element is None else held[self.element]

    def put(self, value: Any) -> None:
        """Replace what is held; a tuple is rebuilt."""
        if self.element is None:
            self.group[self.key] = value
        else:
            held = self.group[self.key]
            self.group[self.key] = type(held)(
                (*held[: self.element], value, *held[self.element + 1 :])
            )


@dataclass(frozen=True)
class Window:
    """The values of some steps ahead: a few columns that many groups share.

    Args:
        columns: One row of values for each distinct curve, one value for each step.
        which: The curve that each group follows.
        moves: For each step, whether anything differs from the step before.
    """

    columns: npt.NDArray[np.float64]
    which: Sequence[int]
    moves: npt.NDArray[np.bool_]

    @cached_property
    def floats(self) -> list[list[float | None]]:
        """Each curve as Python numbers, the same object for all groups; ``None`` where nothing moves."""
        if self.moves.all():
            return list(self.columns.tolist())
        return [
            [
                value if moves else None
                for value, moves in zip(column, self.moves.tolist(), strict=True)
            ]
            for column in self.columns.tolist()
        ]

    def rows(self, members: Sequence[int]) -> Iterator[Iterable[float] | None]:
        """Yield the values of some groups, step by step; ``None`` where nothing moves.

        Where most curves are distinct, each row is the same iterator over all numbers: a step takes
        its own from it, one by one, so that a number is made where the one before it has just been
        freed.
        """
        which, moving = [self.which[index] for index in members], self.columns[:, self.moves]
        rows: Iterator[Iterable[float]]
        if 2 * len(set(which)) <= len(which):
            lists = moving.tolist()
            rows = zip(*(lists[column] for column in which), strict=True)
        else:
            rows = repeat(iter(array("d", moving[which].T.tobytes())), moving.shape[1])
        return (
            rows
            if self.moves.all()
            else (next(rows) if moves else None for moves in self.moves.tolist())
        )


class Place(Protocol):
    """Some slots of one field that are written in the same way."""

    members: list[int]

    def ahead(self, window: Window) -> Iterator[None]:
        """Return an iterator that writes one step of the window each time it is advanced."""

    def rows(self, rows: Iterator[Row | None]) -> Iterator[None]:
        """Return the same for rows from anywhere."""


def places_of(
    slots: Sequence[Slot], curves: Sequence[object], leave: Sequence[Place] = ()
) -> list[Place]:
    """Sort the slots of a field by how they are written.

    Args:
        slots: One for each group.
        curves: What each group follows; groups of one curve may go on sharing a tensor.
        leave: Places of a field that is given up, whose memory may be left.
    """
    kinds: dict[Any, list[int]] = {}
    for index in _apart(slots, curves):
        held = slots[index].value
        is_tensor = isinstance(held, torch.Tensor)
        kind = (held.device, held.dtype) if is_tensor else (slots[index].key, slots[index].element)
        kinds.setdefault(kind, []).append(index)
    left = {place.memory for place in leave if isinstance(place, Tensors)}
    return [
        Tensors(slots, members, left)
        if isinstance(kind[0], torch.device)
        else Floats(slots, members)
        for kind, members in kinds.items()
    ]


def _apart(slots: Sequence[Slot], curves: Sequence[object]) -> Iterator[int]:
    """Yield the slots that are written on their own; torch gives one default tensor to all groups that name none."""
    owners: dict[int, object] = {}
    for index, (slot, curve) in enumerate(zip(slots, curves, strict=True)):
        shared = isinstance(slot.value, torch.Tensor) and id(slot.value) in owners
        if shared and owners[id(slot.value)] == curve:
            continue
        if shared:
            slot.put(slot.value.detach().clone())
        owners[id(slot.value)] = curve
        yield index


class Floats:
    """Python numbers under one key, or at one place of the tuples under it."""

    def __init__(self, slots: Sequence[Slot], members: list[int]) -> None:
        self.members = members
        self._key, self._element = slots[members[0]].key, slots[members[0]].element
        self._groups = [slots[index].group for index in members]
        self._is_all = len(members) == len(slots)

    def ahead(self, window: Window) -> Iterator[None]:
        """Return an iterator over the window's steps; one curve for all groups takes the shortest loop."""
        mine = [window.which[index] for index in self.members]
        if len(set(mine)) == 1:
            values = iter(window.floats[mine[0]])
            if self._element is None:
                return _one_for_all(self._groups, self._key, values)
            return _one_inside_all(self._groups, self._key, self._element, values)
        return self._loop(window.rows(self.members))

    def rows(self, rows: Iterator[Row | None]) -> Iterator[None]:
        """Return an iterator over rows; a row ``None`` changes nothing."""
        if self._is_all:
            return self._loop(rows)
        return self._loop(row and [row[index] for index in self.members] for row in rows)

    def _loop(self, rows: Iterator[Iterable[float] | None]) -> Iterator[None]:
        if self._element is None:
            return _one_each(self._groups, self._key, rows)
        return _one_inside_each(self._groups, self._key, self._element, rows)


def _one_for_all(
    groups: Sequence[Group], key: str, values: Iterator[float | None]
) -> Iterator[None]:
    for value in values:
        if value is not None:
            for group in groups:
                group[key] = value
        yield


def _one_each(
    groups: Sequence[Group], key: str, rows: Iterator[Iterable[float] | None]
) -> Iterator[None]:
    for row in rows:
        if row is not None:
            for group, value in zip(groups, row):  # noqa: B905 strict would take one number too many from an iterator
                group[key] = value
        yield


def _one_inside_all(
    groups: Sequence[Group], key: str, element: int, values: Iterator[float | None]
) -> Iterator[None]:
    """Make a new tuple once for all groups that hold the very same one."""
    _share_tuples(groups, key)
    after = element + 1
    for value in values:
        if value is not None:
            known = made = None
            for group in groups:
                held = group[key]
                if held is not known:
                    known, made = held, type(held)((*held[:element], value, *held[after:]))
                group[key] = made
        yield


def _one_inside_each(
    groups: Sequence[Group], key: str, element: int, rows: Iterator[Iterable[float] | None]
) -> Iterator[None]:
    after = element + 1
    for row in rows:
        if row is not None:
            for group, value in zip(groups, row):  # noqa: B905 the same
                held = group[key]
                group[key] = type(held)((*held[:element], value, *held[after:]))
        yield


def _share_tuples(groups: Sequence[Group], key: str) -> None:
    """Let groups that hold equal tuples of floats hold the very same one; nobody can tell, and nobody can change it."""
    kept: dict[Any, Any] = {}
    for group in groups:
        held = group[key]
        if type(held) is tuple and all(type(one) is float for one in held):
            group[key] = kept.setdefault(held, held)


class Tensors:
    """0-d tensors of one device and type: views of one vector, so that one write serves all groups.

    The slots keep their tensors, which a compiled or captured step reads; only their memory moves,
    once, to lie side by side. Tensors that already do, as those of another field on the same
    optimizer, are left where they are.
    """

    def __init__(self, slots: Sequence[Slot], members: list[int], leave: set[int]) -> None:
        self.members = members
        self._is_all = len(members) == len(slots)
        mine = [slots[index] for index in members]
        self._vector = _neighbours(mine)  # those of another field stay where it writes
        if self._vector is None and _may_move(mine, leave):
            self._vector = _beside_each_other(mine)
        self._tensors = [slot.value.detach() for slot in mine]

    @property
    def memory(self) -> int:
        """Where the vector lies."""
        return int(self._tensors[0].untyped_storage().data_ptr())

    def ahead(self, window: Window) -> Iterator[None]:
        """Return an iterator over the window's steps; its writes leave no trace in the tensors' versions.

        So a version that has grown tells of another hand, without waiting for a device.
        """
        table = self.table(window.columns[[window.which[index] for index in self.members]])
        if self._vector is None:
            return _fill_each([_alias(tensor) for tensor in self._tensors], table.tolist())
        if self._vector.device.type == "cpu":
            return _copy_bytes(self._vector, table)
        return _copy_on_device(_alias(self._vector), table)

    def table(self, columns: npt.NDArray[np.float64]) -> torch.Tensor:
        """Return columns of values as rows for the vector, in its own type, rounded once."""
        return torch.from_numpy(np.ascontiguousarray(columns.T)).to(self._tensors[0].dtype)

    @property
    def vector(self) -> torch.Tensor | None:
        """The vector, or ``None`` where the tensors have memory that could not be moved."""
        return None if self._vector is None else _alias(self._vector)

    def rows(self, rows: Iterator[Row | None]) -> Iterator[None]:
        """Return an iterator over rows; a row ``None`` changes nothing."""
        mine = (
            rows
            if self._is_all
            else (row and [row[index] for index in self.members] for row in rows)
        )
        if self._vector is None:
            return _fill_each(self._tensors, mine)
        return _copy_rows(self._vector, mine)


def _fill_each(tensors: Sequence[torch.Tensor], rows: Any) -> Iterator[None]:
    for row in rows:
        if row is not None:
            for tensor, value in zip(tensors, row, strict=True):
                tensor.fill_(value)
        yield


def _copy_rows(vector: torch.Tensor, rows: Iterator[Row | None]) -> Iterator[None]:
    for row in rows:
        if row is not None:
            vector.copy_(torch.tensor(row, dtype=torch.float64))
        yield


def _copy_bytes(vector: torch.Tensor, table: torch.Tensor) -> Iterator[None]:
    """Copy each row's bytes into the vector's memory: a tenth of what a tensor's own ``copy_`` costs."""
    table = table.clone(memory_format=torch.contiguous_format)  # one column has any stride it likes
    data = table.reshape(-1).view(torch.uint8).numpy().tobytes()
    target = memoryview(vector.view(torch.uint8).numpy())  # type: ignore[arg-type]  # an array is a buffer
    for (row,) in struct.iter_unpack(f"{len(target)}s", data):
        target[:] = row
        yield


def _copy_on_device(vector: torch.Tensor, table: torch.Tensor) -> Iterator[None]:
    if vector.device.type == "cuda":
        table = table.pin_memory()  # or the copy would wait for the device
    for row in table.to(vector.device, non_blocking=True).unbind():
        vector.copy_(row)
        yield


def _may_move(slots: Sequence[Slot], leave: set[int]) -> bool:
    """Tell whether every tensor has memory of its own, or memory that is given up."""
    return all(
        _is_alone(slot.value) or slot.value.untyped_storage().data_ptr() in leave for slot in slots
    )


def _is_alone(tensor: torch.Tensor) -> bool:
    return tensor.untyped_storage().nbytes() <= tensor.element_size()


def _beside_each_other(slots: Sequence[Slot]) -> torch.Tensor:
    """Move the tensors' memory into one vector, and return it."""
    first = slots[0].value.detach()
    vector = _strided(first.new_zeros(len(slots) * _stride(first)), len(slots))
    vector.copy_(torch.stack([slot.value.detach().reshape(()) for slot in slots]))
    for slot, view in zip(slots, vector.unbind(), strict=True):
        slot.value.data = view.reshape(slot.value.shape)
    return _strided(slots[0].value.detach(), len(slots))


def _neighbours(slots: Sequence[Slot]) -> torch.Tensor | None:
    """Return the vector that the tensors lie in, one after the other, or ``None`` when they do not."""
    first = slots[0].value.detach()
    stride, memory, place = (
        _stride(first),
        first.untyped_storage().data_ptr(),
        first.storage_offset(),
    )
    for index, slot in enumerate(slots):
        if (
            slot.value.untyped_storage().data_ptr() != memory
            or slot.value.storage_offset() != place + index * stride
        ):
            return None
    return _strided(first, len(slots))


def _alias(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same memory under a version of its own."""
    alias = tensor.new_empty(0)
    return alias.set_(
        tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride()
    )


def _strided(memory: torch.Tensor, count: int) -> torch.Tensor:
    return memory.as_strided((count,), (_stride(memory),), memory.storage_offset())


def _stride(tensor: torch.Tensor) -> int:
    """Return the elements from one slot to the next; compiled GPU code wants an input's address to divide by 16."""
    return 1 if tensor.device.type == "cpu" else max(16 // tensor.element_size(), 1)
