"""Writes one number of every group: a row at once, or a row a step of those computed ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from warmdown.binding.field import Field, replace_floats

if TYPE_CHECKING:
    import numpy.typing as npt  # 3 ms of an import

Row: TypeAlias = list[Any]
"""One value for each parameter group."""
Rates: TypeAlias = list[float]
"""One rate for each parameter group."""
Steps: TypeAlias = "npt.NDArray[np.float64]"
WriteNext: TypeAlias = Callable[[int], Row | None]
"""Takes the last step; writes and returns the row of the next one, or returns ``None``."""

_BLOCK = 1024
"""Rates that are computed at once, over all groups: few enough to stay in the cache."""


def write_nothing(step: int) -> None:
    """Return ``None``: no row is known ahead."""
    del step


def write_ahead(
    writer: RateWriter, rows: Iterator[Row], row: Row, step: int, *, overwrites: bool = False
) -> WriteNext:
    """Return a function that writes, at each call, the row of the step after the last one.

    It writes nothing, and returns ``None``, when it is called with another step than the last one,
    when no row is left, when the optimizer has other groups, or when a rate was edited.

    Args:
        writer: Writes the field.
        rows: The rates of the steps to come; a row of one number serves all groups.
        row: The rates that the groups hold.
        step: The last step.
        overwrites: Whether an edited rate is overwritten.
    """

    def overwrite(new: Row) -> bool:
        may_write = overwrites and writer.fits()
        if may_write:
            writer.write(new)
        return may_write

    if not writer.has_tensors:
        # Floats are known by identity, so those that are alike have to be one object.
        row = row[:1] * len(row) if row.count(row[0]) == len(row) else row
        writer.write(row)
        window = replace_floats(writer.field, rows, row, step, overwrite)
        next(window)
        return window.send

    def write_next(last: int) -> Row | None:
        nonlocal row, step
        is_next = last == step and (writer.holds(row) or (overwrites and writer.fits()))
        written = next(rows, None) if is_next else None
        if written is not None:
            row, step = for_all(written, row), step + 1
            writer.write(row)
        return written

    return write_next


def for_all(row: Row, groups: Sequence[Any]) -> Row:
    """Return a row written out: one number for each group; the very row where it has them."""
    return row * len(groups) if len(row) == 1 != len(groups) else row


def blend(weights: Sequence[Steps], points: Sequence[Sequence[float]]) -> Iterator[Rates]:
    r"""Return the points' weighted sum at each step, in every group.

    .. math:: rate_i(t) = \sum_j points_{ji} \cdot weights_j(t)

    Args:
        weights: One curve for each point; what has no point is left out.
        points: One number for each group. Where all groups are alike, so are their rates: a row is
            then one number, which saves half of a step's time at ten groups.
    """
    if all(point.count(point[0]) == len(point) for point in points):
        points = [point[:1] for point in points]
    size = max(1, _BLOCK // len(points[0]))
    starts = range(0, len(weights[0]), size)
    blocks = ([weight[start : start + size] for weight in weights] for start in starts)
    return chain.from_iterable(_weigh_block(block, points) for block in blocks)


def _weigh_block(weights: Sequence[Steps], points: Sequence[Sequence[float]]) -> list[Rates]:
    pairs = zip(weights, points, strict=False)
    terms = [np.multiply.outer(weight, point) for weight, point in pairs]
    return sum(terms[1:], start=terms[0]).tolist()  # type: ignore[no-any-return]


class RateWriter:
    """Writes a field of every group, and compares what is there with what it wrote.

    Floats are compared by value. Tensors are compared by their version, which every write in place
    raises, so that no device is waited for.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        name: The field.
    """

    def __init__(self, optimizer: Any, name: str = "lr") -> None:
        self.field = Field(optimizer, name)
        self._bound = self.field.raw_values()
        self.has_tensors = self.field.is_of_tensors
        self._row: Row | None = None
        self._are_tensors = all(isinstance(value, torch.Tensor) for value in self._bound)
        self._versions: list[object] = []

    def write(self, row: Row) -> None:
        """Write one value for each group."""
        self.field.write(row)
        self._row = row
        if self._are_tensors:
            self._versions = [tensor._version for tensor in self._bound]
        elif self.has_tensors:
            self._versions = _versions(self.field.raw_values())

    def holds(self, row: Row | None) -> bool:
        """Return whether the groups still hold ``row``, which was written last."""
        current = self.field.raw_values()
        if self._are_tensors:  # the same in one pass: a step of many tensors takes half of the time
            if row is not self._row or not self.field.is_current:
                return False
            for value, bound, version in zip(current, self._bound, self._versions):  # noqa: B905
                if value is not bound or value._version != version:
                    return False
            return True
        if self.has_tensors:
            return row is self._row and self.fits() and _versions(current) == self._versions
        # A tensor equals the float in it, so the kind counts too; the first group's is enough.
        return current == row and self.field.is_current and not isinstance(current[0], torch.Tensor)

    def fits(self) -> bool:
        """Return whether groups and tensors are those that this writer was made for."""
        return self.field.is_current and all(
            map(_is_same_kind, self.field.raw_values(), self._bound)
        )

    def read(self) -> Rates:
        """Return what the groups hold; a device is waited for."""
        return self.field.read()

    def copies(self) -> Row:
        """Return copies of what the groups hold; no device is waited for."""
        return [copied(value) for value in self.field.raw_values()]

    def typed(self, row: Row) -> Row:
        """Return the row's values, each of the kind that its group holds: a float, or a tensor."""
        pairs = zip(self._bound, row, strict=False)
        return [
            bound.detach().new_full(bound.shape, float(value))
            if isinstance(bound, torch.Tensor)
            else value
            for bound, value in pairs
        ]

    def rounded(self, row: Row) -> Rates:
        """Return the row as the groups can hold it: a tensor may have fewer digits."""
        return [float(value) for value in self.typed(row)]


def copied(value: Any) -> Any:
    """Return a copy of a tensor, or the number; numpy's as Python's."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _versions(values: Row) -> list[object]:
    return [value._version if isinstance(value, torch.Tensor) else value for value in values]


def _is_same_kind(value: Any, bound: Any) -> bool:
    """Return whether this is the tensor of before, or a number as before."""
    return value is bound or not (
        isinstance(value, torch.Tensor) or isinstance(bound, torch.Tensor)
    )
