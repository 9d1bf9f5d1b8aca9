"""Rates of the steps to come: computed many at a time, written one row a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from warmdown.binding.field import replace_floats
from warmdown.compat.lr_scheduler.writer import RateWriter, Row

Steps: TypeAlias = npt.NDArray[np.float64]
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
    """Return a row written out: one number for each group."""
    return row * len(groups) if len(row) == 1 else row


def blend(weights: Sequence[Steps], points: Sequence[Sequence[float]]) -> Iterator[list[float]]:
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


def _weigh_block(weights: Sequence[Steps], points: Sequence[Sequence[float]]) -> list[list[float]]:
    pairs = zip(weights, points, strict=False)
    terms = [np.multiply.outer(weight, point) for weight, point in pairs]
    return sum(terms[1:], start=terms[0]).tolist()  # type: ignore[no-any-return]
