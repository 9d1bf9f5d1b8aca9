"""One hand on an optimizer's numbers: it writes rows, and it notices when another hand has written."""

from __future__ import annotations

__all__ = ["Hand", "Row", "Swap", "no_swap"]

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeAlias

import torch

from warmdown.binding import Field
from warmdown.binding.swap import swap_one, swap_rows
from warmdown.compat.lr_scheduler.ahead import Ahead

Row: TypeAlias = Sequence[Any]
"""One value for each parameter group."""
Swap: TypeAlias = Callable[[int], Any]
"""Takes the number of the last step; writes the row of the next one and returns it, or writes nothing: ``None``."""


def no_swap(at: int) -> None:
    """Write nothing."""
    del at


class Hand:
    """Writes one number of every group and watches it.

    Floats are compared. Tensors are asked for their version, which every write in place raises, so
    that a device is waited for only when somebody else has written.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        name: The field.
    """

    def __init__(self, optimizer: Any, name: str = "lr") -> None:
        self.field = Field(optimizer, name)
        self._bound = self.field.raw_values()
        self._kind = type(self.field.groups[0].get(name))
        self._of_tensors = any(isinstance(value, torch.Tensor) for value in self._bound)
        self._next: list[Row] = [()]
        self._writes = self.field.writing(_each_of(self._next))
        self._row: Row | None = None
        self._marks: list[object] = []

    def write(self, row: Row) -> None:
        """Write one value for each group."""
        self._next[0] = row
        next(self._writes)
        self._row = row
        if self._of_tensors:
            self._marks = _marks(self.field.raw_values())

    def swapping(self, ahead: Ahead, at: int) -> Swap:
        """Return what writes a row each time, as long as nobody else does."""
        row = self._row
        if self._of_tensors or not isinstance(row, list):
            return _started(self._swapping(ahead.rows(), at))
        if ahead.alike and row.count(row[0]) == ahead.alike:
            self.write(row[:1] * ahead.alike)  # one float for all, known by identity
            return _started(swap_one(self.field, ahead.values, row[0], at))
        return _started(swap_rows(self.field, ahead.rows(), row, at))

    def setting(self, ahead: Ahead, at: int) -> Swap:
        """Return what writes a row each time, whatever is held."""
        return _started(self._setting(ahead.rows(), at))

    def carrying(self, factors: Iterator[float], floors: Sequence[float] | None, at: int) -> Swap:
        """Return what moves, each time, the rates that others have left nearer to the floors, or away from them."""
        return no_swap if self._of_tensors else _started(self._carrying(factors, floors, at))

    def _swapping(self, rows: Iterator[list[float]], at: int) -> Generator[Any, int, None]:
        row = None
        while True:
            asked = yield row
            is_as_left = asked == at and self._row is not None and self.holds(self._row)
            row = next(rows, None) if is_as_left else None
            if row is not None:
                self.write(row)
                at += 1

    def _setting(self, rows: Iterator[list[float]], at: int) -> Generator[Any, int, None]:
        row = None
        while True:
            asked = yield row
            row = next(rows, None) if asked == at and self.stands() else None
            if row is not None:
                self.write(row)
                at += 1

    def _carrying(
        self, factors: Iterator[float], floors: Sequence[float] | None, at: int
    ) -> Generator[Any, int, None]:
        row = None
        while True:
            asked, held = (yield row), self.field.raw_values()
            factor = (
                next(factors, None) if asked == at and held != self._row and self.stands() else None
            )
            row = None if factor is None else _moved(held, factor, floors)
            if row is held:
                self._row = row  # not written again: others know their own floats by identity
            elif row is not None:
                self.write(row)
            at += row is not None

    def holds(self, row: Row) -> bool:
        """Tell whether the optimizer still holds ``row``, which was written last."""
        held = self.field.raw_values()
        if self._of_tensors:
            return row is self._row and self.fits(held) and _marks(held) == self._marks
        return held == row and self.stands()

    def fits(self, held: list[Any] | None = None) -> bool:
        """Tell whether groups and tensors are still those this hand was laid on."""
        held = self.field.raw_values() if held is None else held
        if not self._of_tensors:
            return torch.Tensor not in map(type, held) and self.stands()
        return self.field.is_current and all(map(_is_same, held, self._bound))

    def stands(self) -> bool:
        """Tell whether the groups, and the kind of number in the first, are as they were."""
        return (
            self.field.is_current and type(self.field.groups[0].get(self.field.name)) is self._kind
        )

    def read(self) -> list[float]:
        """Return what is held; a device is waited for."""
        return self.field.read()

    def now(self) -> list[Any]:
        """Return copies of what is held; no device is waited for."""
        return [
            value.detach().clone() if isinstance(value, torch.Tensor) else value
            for value in self.field.raw_values()
        ]

    def typed(self, row: Row) -> list[Any]:
        """Return copies of the row's values, each of the kind that its group holds: a float, or a tensor."""
        if not self._of_tensors:
            return list(row)
        return [_like(held, value) for held, value in zip(self._bound, row, strict=False)]

    def rounded(self, row: Row) -> list[float]:
        """Return the row as a group can hold it: a tensor may have fewer digits."""
        return [float(value) for value in self.typed(row)]


def _moved(held: list[float], factor: float, floors: Sequence[float] | None) -> list[float]:
    if factor == 1:
        return held
    if floors is None:
        return [rate * factor for rate in held]
    return [floor + (rate - floor) * factor for rate, floor in zip(held, floors, strict=True)]


def _started(swap: Generator[Any, int, None]) -> Swap:
    next(swap)
    return swap.send


def _each_of(box: list[Row]) -> Iterator[Row]:
    while True:
        yield box[0]


def _marks(held: list[Any]) -> list[object]:
    return [value._version if isinstance(value, torch.Tensor) else value for value in held]


def _is_same(held: Any, bound: Any) -> bool:
    return held is bound or not (isinstance(held, torch.Tensor) or isinstance(bound, torch.Tensor))


def _like(held: Any, value: Any) -> Any:
    if not isinstance(held, torch.Tensor):
        return value
    return held.detach().new_full(held.shape, float(value))
