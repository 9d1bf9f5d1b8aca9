"""Writes one number of every group, and notices what others have written there since."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

from warmdown.binding import Field

Row: TypeAlias = list[Any]
"""One value for each parameter group."""


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
        self.has_tensors = any(isinstance(value, torch.Tensor) for value in self._bound)
        self._row: Row | None = None
        self._versions: list[object] = []

    def write(self, row: Row) -> None:
        """Write one value for each group."""
        self.field.write(row)
        self._row = row
        if self.has_tensors:
            self._versions = _versions(self.field.raw_values())

    def holds(self, row: Row | None) -> bool:
        """Return whether the groups still hold ``row``, which was written last."""
        current = self.field.raw_values()
        if self.has_tensors:
            return row is self._row and self.fits() and _versions(current) == self._versions
        # A tensor equals the float in it, so the kind counts too; the first group's is enough.
        return current == row and self.field.is_current and not isinstance(current[0], torch.Tensor)

    def fits(self) -> bool:
        """Return whether groups and tensors are those that this writer was made for."""
        return self.field.is_current and all(
            map(_is_same_kind, self.field.raw_values(), self._bound)
        )

    def read(self) -> list[float]:
        """Return what the groups hold; a device is waited for."""
        return self.field.read()

    def copies(self) -> list[Any]:
        """Return copies of what the groups hold; no device is waited for."""
        return [copied(value) for value in self.field.raw_values()]

    def typed(self, row: Row) -> list[Any]:
        """Return the row's values, each of the kind that its group holds: a float, or a tensor."""
        pairs = zip(self._bound, row, strict=False)
        return [
            bound.detach().new_full(bound.shape, float(value))
            if isinstance(bound, torch.Tensor)
            else value
            for bound, value in pairs
        ]

    def rounded(self, row: Row) -> list[float]:
        """Return the row as the groups can hold it: a tensor may have fewer digits."""
        return [float(value) for value in self.typed(row)]


def copied(value: Any) -> Any:
    """Return a copy of a tensor, or the number."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _versions(values: list[Any]) -> list[object]:
    return [value._version if isinstance(value, torch.Tensor) else value for value in values]


def _is_same_kind(value: Any, bound: Any) -> bool:
    """Return whether this is the tensor of before, or a number as before."""
    return value is bound or not (
        isinstance(value, torch.Tensor) or isinstance(bound, torch.Tensor)
    )
