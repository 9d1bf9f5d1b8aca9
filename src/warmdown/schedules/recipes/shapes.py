"""The curves that a recipe's ``shape`` can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
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

SHAPES: Mapping[str, Callable[..., Schedule]] = {
    "linear": Linear,
    "cosine": Cosine,
    "1-sqrt": Sqrt,
    "1-square": partial(Polynomial, power=1.0, k=2.0),
    "power": partial(Polynomial, power=2.0),
    "exponential": Exponential,
    "inverse_proportional": InverseProportional,
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
    return lambda start, end, steps: SHAPES[shape](start=start, end=end, steps=steps)
