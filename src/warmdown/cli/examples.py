"""One schedule for each shape and recipe, to show what it looks like."""

from __future__ import annotations

__all__ = ["Shape", "every_shape", "example_of"]

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from warmdown import schedules as of
from warmdown.planfile import drives_several, shapes
from warmdown.run import Run
from warmdown.schedules import Schedule
from warmdown.schedules.parameters import parameters_of
from warmdown.schedules.rule import Scale

RUN = Run(total_steps=1000, steps_per_epoch=100)
"""What every example is measured on."""

_WAVE = of.Cosine(start=1.0, end=0.2, steps=200)
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "chain": {"members": (of.Linear(start=0.0, end=1.0, steps="20%"), of.Cosine())},
    "clipped": {"of": of.Cosine(), "low": 0.3, "high": 0.8},
    "delayed": {"of": of.Cosine(), "steps": 300},
    "exponential_decay": {"gamma": 0.997},
    "grafted": {"of": of.InverseSqrt(timescale=100), "tail": of.Linear(steps=200)},
    "inverse_sqrt": {"timescale": 100},
    "inverse_time": {"every": 100},
    "milestones": {"gamma": 0.5, "at": (300, 600, 800)},
    "named": {"of": of.Linear(), "name": "cooldown"},
    "noam": {"d_model": 512, "warmup": 200},
    "noisy": {"of": of.Cosine(), "spread": 0.3, "every": 20},
    "piecewise": {"values": (0.1, 1.0, 0.4, 0.0), "lengths": (200, 300, 500)},
    "power": {"timescale": 100},
    "product": {"factors": (_WAVE.repeat(), of.Linear())},
    "repeat": {"of": _WAVE, "decay": 0.8},
    "sawtooth": {"period": 250},
    "skipped": {"of": of.Cosine(steps=1300), "steps": 300},
    "staircase": {"gamma": 0.6, "every": 200},
    "stretched": {"of": of.Cosine(steps=10), "steps": 1000},
    "sum": {"terms": (_WAVE.repeat(), of.Linear())},
    "table": {"values": (0.3, 1.0, 0.5, 0.1), "at": (200, 500, 800)},
    "taken": {"of": of.InverseSqrt(timescale=100), "steps": 500},
    "triangle": {"up": 300, "down": 700},
    "triangular": {"up": 125},
    "triangular2": {"up": 125},
    "exp_range": {"up": 125, "gamma": 0.998},
    "warmup_inverse_sqrt": {"warmup": 100},
    "with_warmup": {"schedule": of.Sqrt(), "warmup": "20%"},
}  # fmt: skip
"""Arguments where the defaults alone say too little within the run."""


@dataclass(frozen=True)
class Shape:
    """What is told about a shape or recipe.

    Args:
        name: What it is called in a text.
        is_recipe: Whether it is an expression of other shapes.
        about: One line.
        parameters: Each parameter's default by its name; ``None`` where one must be given, else as
            text.
        example: A schedule of it, measured.
    """

    name: str
    is_recipe: bool
    about: str
    parameters: Mapping[str, str | None]
    example: Schedule


def every_shape() -> list[Shape]:
    """Return every shape, and then every recipe, in the order of their names."""
    found = [
        _told(name, shape)
        for name, shape in shapes().items()
        if shape.__module__.startswith("warmdown.")
    ]
    return sorted(found, key=lambda shape: (shape.is_recipe, shape.name))


def example_of(name: str) -> Schedule:
    """Return a schedule of a shape, measured on 1,000 updates.

    Example:
        >>> example_of("linear")
        Linear(start=1.0, end=0.0, steps=1000)
    """
    shape = shapes()[name]
    made = shape(**_EXAMPLES.get(name, {}))
    rule = made["lr"] if drives_several(shape) else Scale(made)
    return rule.of.over(RUN)


def _told(name: str, shape: Any) -> Shape:
    about = _about(shape)
    parameters = {
        each.name: None if each.is_required else _shown(each.default)
        for each in parameters_of(shape).values()
    }
    return Shape(name, not isinstance(shape, type), about, parameters, example_of(name))


def _about(shape: Any) -> str:
    """Return the first line of a docstring as a person reads it."""
    line = (inspect.getdoc(shape) or "").split("\n", 1)[0].removesuffix(".").removeprefix("Return ")
    return re.sub(r":\w+:`([^`]*)`|`+", r"\1", line[:1].upper() + line[1:])


def _shown(default: Any) -> str:
    return default if isinstance(default, str) else "none" if default is None else repr(default)
