"""The curves that a recipe's ``shape`` can name."""

from __future__ import annotations

__all__ = ["SHAPES", "Shape", "curve_of"]

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from warmdown.errors import ScheduleError, nearest
from warmdown.run import Duration
from warmdown.schedules.base import Schedule
from warmdown.schedules.curves.basic import (
    Cosine,
    Exponential,
    InverseProportional,
    Linear,
    Polynomial,
    Sqrt,
)

Shape: TypeAlias = Literal[
    "linear",
    "cosine",
    "1-sqrt",
    "1-square",
    "exponential",
    "inverse_proportional",
    "power",
    "half_life",
]

SHAPES: Mapping[str, Callable[[float, float, Duration], Schedule]] = {
    "linear": lambda start, end, steps: Linear(start=start, end=end, steps=steps),
    "cosine": lambda start, end, steps: Cosine(start=start, end=end, steps=steps),
    "1-sqrt": lambda start, end, steps: Sqrt(start=start, end=end, steps=steps),
    "1-square": lambda start, end, steps: Polynomial(
        start=start, end=end, steps=steps, power=1.0, k=2.0
    ),
    "power": lambda start, end, steps: Polynomial(start=start, end=end, steps=steps, power=2.0),
    "exponential": lambda start, end, steps: Exponential(start=start, end=end, steps=steps),
    "inverse_proportional": lambda start, end, steps: InverseProportional(
        start=start, end=end, steps=steps
    ),
    # a half-life that just reaches the end: the exponential from 2 to 1, moved down to 1 and 0
    "half_life": lambda start, end, steps: (
        Exponential(start=2 * (start - end), end=start - end, steps=steps) + (2 * end - start)
    ),
}


def curve_of(shape: str) -> Callable[[float, float, Duration], Schedule]:
    """Return the curve a shape names, as a function of start, end and steps.

    Raises:
        ScheduleError: There is no such curve.
    """
    if shape not in SHAPES:
        raise ScheduleError(f"shape={shape!r}: no such curve. {nearest(shape, SHAPES)}")
    return SHAPES[shape]
