"""OneTrainer's scheduler names, with the same values."""

from __future__ import annotations

__all__ = ["ONETRAINER_NAMES", "onetrainer_schedule"]

from collections.abc import Callable, Mapping
from typing import Any

from warmdown.compat.names.shapes import after_warmup, hard_restarts, look_up, waves
from warmdown.errors import ScheduleError
from warmdown.schedules import Constant, Cosine, Linear, Rex, Scale, Schedule


def onetrainer_schedule(
    name: str, *, total_steps: int, warmup: float = 0, cycles: float = 1.0, min_factor: float = 0.0
) -> Schedule:
    """Return the schedule that OneTrainer calls ``name``.

    Args:
        name: ``CONSTANT``, ``LINEAR``, ``COSINE``, ``COSINE_WITH_RESTARTS``,
            ``COSINE_WITH_HARD_RESTARTS`` or ``REX``; a member of OneTrainer's enumeration will do.
        total_steps: Updates in the run, warmup included.
        warmup: Updates of the warmup, or above 0 and up to 1 a share of the run; 1 is the whole of
            it.
        cycles: Number of cycles of the two that restart.
        min_factor: Lowest value as a share of the base value.

    Raises:
        ScheduleError: There is no such name, or a number is out of range.

    Example:
        >>> from warmdown.compat.names import onetrainer_schedule
        >>> rex = onetrainer_schedule("REX", total_steps=100, warmup=0.1)
        >>> [round(rex(step), 4) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.5, 1.0, 0.9091, 0.0]
    """
    make = look_up("name", name_of(name), _NAMED, _ELSEWHERE)
    if not 0 <= min_factor <= 1:
        raise ScheduleError(
            f"min_factor={min_factor}: a share of the base value from 0 to 1 is needed."
        )
    steps = warmup_of(warmup, total_steps)
    schedule = make(total_steps - steps, min_factor, cycles)
    return after_warmup(Scale(schedule), steps=steps).of


# The two that restart stay at what the last update uses.
_NAMED: Mapping[str, Callable[[int, float, float], Schedule]] = {
    "CONSTANT": lambda *_: Constant(value=1.0),
    "LINEAR": lambda steps, low, _: Linear(start=1.0, end=low, steps=steps),
    "COSINE": lambda steps, low, _: Cosine(start=1.0, end=low, steps=steps),
    "COSINE_WITH_RESTARTS": lambda steps, low, cycles: waves(2 * cycles, low, steps).take(
        max(steps - 1, 0)
    ),
    "COSINE_WITH_HARD_RESTARTS": lambda steps, low, cycles: hard_restarts(cycles, low, steps).take(
        max(steps - 1, 0)
    ),
    "REX": lambda steps, low, _: Rex(start=1.0, end=low, steps=steps, d=0.9),
}
_ELSEWHERE = {
    "ADAFACTOR": "that rate is the optimizer's own. Use CONSTANT.",
    "CUSTOM": "a custom class is given by its dotted path: use from_settings, from_torch, or "
    "class_path in a plan.",
}
ONETRAINER_NAMES = tuple(_NAMED)


def name_of(given: Any) -> str:
    """Return the name of a schedule, given as text or as a member of OneTrainer's enumeration."""
    return str(getattr(given, "value", given)).upper()


def warmup_of(given: float, total_steps: int) -> int:
    """Return the updates of a warmup.

    Args:
        given: Updates, or above 0 and up to 1 a share of the run.
        total_steps: Updates in the run.

    Raises:
        ScheduleError: It does not fit into the run.
    """
    steps = int(given) if given > 1 else int(given * total_steps)
    if given < 0 or steps > total_steps:
        raise ScheduleError(
            f"warmup={given}: {steps} updates of warmup do not fit into the {total_steps} of the "
            f"run. Give fewer, or a "
            "share of the run up to 1."
        )
    return steps
