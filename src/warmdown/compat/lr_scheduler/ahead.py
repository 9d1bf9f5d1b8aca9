"""Rates of the steps to come, made block by block as they are asked for."""

from __future__ import annotations

__all__ = ["Ahead", "Steps", "blend"]

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Steps: TypeAlias = npt.NDArray[np.float64]

_BLOCK = 1024
"""Rates that are computed at once, over all groups: few enough to stay in the cache."""


class Ahead(NamedTuple):
    """What is written in the steps to come.

    Args:
        values: One row for each step; or one number for each step, where all groups are alike.
        alike: How many groups share the number, or ``None``: each row has one for each group.
    """

    values: Iterator[Any]
    alike: int | None = None

    def rows(self) -> Iterator[list[float]]:
        """Return the rows, written out."""
        alike = self.alike
        return self.values if alike is None else ([value] * alike for value in self.values)

    def first(self) -> list[float]:
        """Return the next row."""
        return next(self.rows())


def blend(weights: Sequence[Steps], points: Sequence[Sequence[float]]) -> Ahead:
    r"""Return what the points weigh at each step, in every group.

    .. math:: rate_i(t) = \sum_j points_{ji} \cdot weights_j(t)

    Args:
        weights: One curve for each point.
        points: What each curve weighs: one number for each group.
    """
    groups = len(points[0])
    if any(point.count(point[0]) != groups for point in points):
        return Ahead(_in_blocks(weights, points, max(1, _BLOCK // groups)))
    return Ahead(
        chain.from_iterable(_in_blocks(weights, [point[:1] for point in points], _BLOCK)),
        alike=groups,
    )


def _in_blocks(
    weights: Sequence[Steps], points: Sequence[Sequence[float]], size: int
) -> Iterator[list[float]]:
    """Return the rows; where the weights stand still it is the very row before, which need not be written again."""
    moves = np.any([weight[1:] != weight[:-1] for weight in weights], axis=0)
    turns = np.concatenate([[0], np.flatnonzero(moves) + 1])
    count = len(weights[0])
    if 2 * len(turns) > count:
        return _rows(weights, points, size)
    rows = _rows([weight[turns] for weight in weights], points, size)
    return chain.from_iterable(map(repeat, rows, np.diff(turns, append=count).tolist()))


def _rows(
    weights: Sequence[Steps], points: Sequence[Sequence[float]], size: int
) -> Iterator[list[float]]:
    starts = range(0, len(weights[0]), size)
    return chain.from_iterable(
        _block([weight[start : start + size] for weight in weights], points) for start in starts
    )


def _block(weights: Sequence[Steps], points: Sequence[Sequence[float]]) -> list[list[float]]:
    weighed = [
        np.multiply.outer(weight, point) for weight, point in zip(weights, points, strict=True)
    ]
    return sum(weighed[1:], start=weighed[0]).tolist()  # type: ignore[no-any-return]
