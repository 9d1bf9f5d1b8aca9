"""Axes: their limits, their ticks, and the rows of names beside them without overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warmdown.schedules.sampling import Array

_NOTHING = 1e-200
"""No value of a run is smaller; below it, arithmetic with heights loses precision."""
_DECADES = 6
"""Decades shown below the highest value: a cosine that ends at 0 passes through all of them."""


@dataclass(frozen=True)
class Axis:
    """A horizontal or vertical axis.

    Args:
        low: Where it begins.
        high: Where it ends.
        log: Whether it is logarithmic.

    Example:
        >>> axis = Axis(1e-5, 1e-1, log=True)
        >>> float(axis.share(1e-3)), axis.ticks(5)
        (0.5, [1e-05, 0.0001, 0.001, 0.01, 0.1])
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Iterable[Array], *, log: bool) -> Axis:
        """Return the axis for some lines; a logarithmic one needs a value above zero.

        A linear one begins at zero, unless the lines stay far from it.

        Example:
            >>> Axis.of([np.array([0.1, 1.0])], log=False)
            Axis(low=0.0, high=1.0, log=False)
        """
        together = np.concatenate([line[np.isfinite(line)] for line in values])
        if together.size == 0:
            return cls(0.0, 1.0)
        low, high = float(together.min()), float(together.max())
        if log and high > _NOTHING:
            smallest = float(together[together > _NOTHING].min())
            floor = max(smallest, high * 10.0**-_DECADES)
            return cls(floor if floor < high else high / 10, high, log=True)
        largest = max(abs(low), abs(high))
        if largest < _NOTHING:
            return cls(-1.0, 1.0)
        if high - low < 1e-9 * largest:
            return cls(min(0.0, 2 * low), max(0.0, 2 * low))
        return cls(0.0 if 0 <= low <= high / 2 else low, 0.0 if low / 2 <= high <= 0 else high)

    def share(self, values: Any) -> Any:
        """Return how far along the axis values are, from 0 to 1."""
        if self.log:
            # a quotient first: the logarithms of two close values would be equal
            return np.log(np.asarray(values) / self.low) / np.log(self.high / self.low)
        return (np.asarray(values) - self.low) / (self.high - self.low)

    def ticks(self, at_most: int) -> list[float]:
        """Return the places of its labels, which are round numbers.

        A logarithmic axis has all of its powers of ten; 2 and 5 times them too, when there are few.
        """
        low, high = self.low, self.high
        # 1e-9: a tick that misses an end by rounding alone is still on the axis
        if self.log:
            decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
            finer = [float(f"{times}e{decade}") for decade in decades for times in (1, 2, 5)]
            inside = [tick for tick in finer if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
            powers = [tick for tick in inside if f"{tick:e}".startswith("1.0")]
            return powers if len(powers) >= 3 else inside
        rough = (high - low) / max(at_most - 1, 1)
        size = 10.0 ** math.floor(math.log10(rough))
        steps = (size * times for times in (1, 2, 2.5, 5, 10))
        step = next(step for step in steps if step >= rough * (1 - 1e-9))
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def place_names(names: Sequence[tuple[float, float]], rows: int, edge: float) -> list[int | None]:
    """Return the lowest row for each name in which it touches no other name and no stem.

    A name stands to the right of a stem that goes down from it through the rows below. Where not
    all names find room, every second, third … is placed in one row.

    Args:
        names: Where each begins, and its width; in rising order.
        rows: Rows there are.
        edge: Where the rows end.

    Returns:
        A row for each name, or ``None`` for one that is left out.

    Example:
        >>> place_names([(0, 6), (2, 5), (9, 4)], rows=2, edge=20)
        [1, 0, 0]
        >>> place_names([(0, 6), (2, 6), (4, 6), (6, 6)], rows=2, edge=20)
        [0, None, None, 0]
    """
    found = _stacked(names, rows, edge)
    every = 1
    while None in found[::every] and every < len(names):
        every += max(1, every // 4)
        found = [None] * len(names)
        found[::every] = _stacked(names[::every], 1, edge)
    return found


def _stacked(names: Sequence[tuple[float, float]], rows: int, edge: float) -> list[int | None]:
    first = [edge] * rows  # where the leftmost name of each row begins
    found: list[int | None] = []
    # from right to left: a name must end before the stems to its right, which are placed by then
    for start, width in reversed(names):
        row = next((row for row in range(rows) if start + width <= min(first[row:])), None)
        if row is not None:
            first[row] = start
        found.append(row)
    return found[::-1]
