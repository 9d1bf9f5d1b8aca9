"""At which steps to evaluate, so that a picture of any length shows what the schedule does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Any]

POINTS = 2000
"""Points of a picture: two for each column of a wide one."""
_PROBES = 4
"""One point of so many stands off the grid, to find out what happens between its points."""
_CLOSE_LOOK = 200_000
"""Steps of a schedule that moves between the points: all of them in most runs."""
_MOST_EXACT = 5_000_000
"""Updates of a run whose sum and extremes are those of all of them: 0.1 s."""
_CHUNK = 1_000_000
_GOLDEN = 0.618_033_988_749_895


def sample(
    value: Function, stop: int, borders: Iterable[int] = (), points: int = POINTS
) -> tuple[Array, Array]:
    """Return steps from 0 to ``stop`` and the values there.

    The borders and the steps before them are always among the steps. A schedule that moves between
    the points, such as one with many restarts, is looked at closely and shown by its lowest and
    highest value in each column, because a coarse look would show waves that are not there.

    Args:
        value: The schedule, as a function of an array of steps.
        stop: Last step.
        borders: Steps where something happens.
        points: About how many steps.
    """
    if stop < points:
        steps = np.arange(stop + 1.0)
        return steps, values_at(value, steps)
    grid = _even_steps(stop, borders, points - points // _PROBES)
    steps = np.union1d(grid, _scattered(stop, points // _PROBES))
    values = values_at(value, steps)
    at_grid = np.isin(steps, grid)
    straight = np.interp(steps, grid, values[at_grid])
    # no value between the points of the grid is far from the straight line
    if (np.abs(values - straight) <= 0.02 * np.ptp(values)).all():
        return steps, values
    if stop < _CLOSE_LOOK:
        close = np.arange(stop + 1.0)
    else:
        close = np.union1d(_scattered(stop, _CLOSE_LOOK), _even_steps(stop, borders, POINTS))
    return thinned(close, values_at(value, close), points)


class Totals(NamedTuple):
    """What a schedule comes to over a run.

    Args:
        low: Lowest value.
        low_at: The first step that has it.
        high: Highest value.
        high_at: The first step that has it.
        area: Sum of the values that the updates use.
        is_exact: Whether every update was evaluated; else the numbers are those of a sample.
    """

    low: float
    low_at: int
    high: float
    high_at: int
    area: float
    is_exact: bool


def totals(value: Function, stop: int, borders: Iterable[int] = ()) -> Totals:
    """Return lowest and highest value from step 0 to ``stop``, and the sum over its updates.

    Args:
        value: The schedule, as a function of an array of steps.
        stop: Last step; updates are 0 to ``stop - 1``.
        borders: Steps where something happens.

    Example:
        >>> totals(lambda steps: steps % 100, 1_000_000)
        Totals(low=0.0, low_at=0, high=99.0, high_at=99, area=49500000.0, is_exact=True)
    """
    if stop > _MOST_EXACT:
        # trapezoids, and half a step at the ends
        steps, values = sample(value, stop - 1, borders)
        area = np.trapezoid(values, steps) + (values[0] + values[-1]) / 2
        return _totals([_extremes(steps, values)], float(area), is_exact=False)
    found, area = [], 0.0
    for begin in range(0, stop + 1, _CHUNK):
        steps = np.arange(float(begin), float(min(begin + _CHUNK, stop + 1)))
        values = values_at(value, steps)
        found.append(_extremes(steps, values))
        area += float(values[steps < stop].sum())
    return _totals(found, area, is_exact=True)


_Extremes: TypeAlias = tuple[float, int, float, int]


def _extremes(steps: Array, values: Array) -> _Extremes:
    low, high = int(values.argmin()), int(values.argmax())
    return float(values[low]), int(steps[low]), float(values[high]), int(steps[high])


def _totals(found: list[_Extremes], area: float, *, is_exact: bool) -> Totals:
    low, low_at = min((low, at) for low, at, _, _ in found)
    high, high_at = max(((high, -at) for _, _, high, at in found))
    return Totals(low, low_at, high, -high_at, area, is_exact)


def thinned(steps: Array, values: Array, points: int = POINTS) -> tuple[Array, Array]:
    """Return the lowest and the highest point of each of ``points / 2`` columns, with both ends."""
    if steps.size <= points:
        return steps, values
    edges = np.linspace(steps[0], steps[-1], points // 2, endpoint=False)
    column = np.searchsorted(edges, steps, side="right")
    starts = np.flatnonzero(np.diff(column, prepend=0))
    # one sort by column and height: the first of each column is its lowest, the last its highest
    by_height = np.lexsort((values, column))
    ends = np.append(starts[1:], steps.size) - 1
    keep = np.unique(np.concatenate([by_height[starts], by_height[ends], [0, steps.size - 1]]))
    return steps[keep], values[keep]


def _even_steps(stop: int, borders: Iterable[int], points: int) -> Array:
    marks = np.array([*borders, stop], dtype=np.float64)
    steps = np.concatenate([np.rint(np.linspace(0, stop, points)), marks, marks - 1])
    return np.unique(steps[(steps >= 0) & (steps <= stop)])


def _scattered(stop: int, points: int) -> Array:
    """Return whole steps, one from each stretch, at places with no rhythm of their own."""
    # multiples of the golden ratio fill a stretch evenly and share no period with any schedule
    number = np.arange(points)
    return np.floor((number + number * _GOLDEN % 1.0) * (stop / points))


def values_at(value: Function, steps: Array) -> Array:
    """Return the values at some steps, also of a function that returns one number for all."""
    return np.broadcast_to(np.asarray(value(steps), dtype=np.float64), steps.shape)
