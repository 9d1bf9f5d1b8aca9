"""The door of every schedule: what a field of each declared type accepts, and how it says no."""

from __future__ import annotations

__all__ = ["DOORS", "Door", "who"]

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from warmdown.errors import RunError, ScheduleError
from warmdown.run import Duration, check_duration

Door: TypeAlias = Callable[[object, str, Any], Any]
"""Takes the owner, the field's name and the value given; returns the value in its own type, or raises."""


def who(owner: object, name: str, value: Any) -> str:
    """Return the opening words of an error: ``Cosine(k=-1)``."""
    text = repr(value) if isinstance(value, str) else str(value)
    return f"{type(owner).__name__}({name}={text[:60]})"


def _number(owner: object, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise ScheduleError(f"{who(owner, name, value)}: a number is needed.")
    if not math.isfinite(value):
        raise ScheduleError(f"{who(owner, name, value)}: a finite number is needed.")
    return float(value)


def _maybe_number(owner: object, name: str, value: Any) -> float | None:
    return None if value is None else _number(owner, name, value)


def _count(owner: object, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ScheduleError(f"{who(owner, name, value)}: a whole number is needed.")
    return int(value)


def _maybe_count(owner: object, name: str, value: Any) -> int | None:
    return None if value is None else _count(owner, name, value)


def _duration(owner: object, name: str, value: Any) -> Duration:
    try:
        return check_duration(value)
    except RunError as error:
        raise ScheduleError(f"{who(owner, name, value)}: {error}") from None


def _schedule(owner: object, name: str, value: Any) -> Any:
    if not _is_schedule(value):
        raise ScheduleError(
            f"{who(owner, name, value)}: a schedule is needed. Constant(value=…) holds one number."
        )
    return value


def _number_or_schedule(owner: object, name: str, value: Any) -> Any:
    return value if _is_schedule(value) else _number(owner, name, value)


def _each(check: Door) -> Door:
    def check_each(owner: object, name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ScheduleError(f"{who(owner, name, value)}: a list is needed.")
        return tuple(check(owner, name, element) for element in value)

    return check_each


def _is_schedule(value: object) -> bool:
    return hasattr(value, "evaluate") and hasattr(value, "over")


DOORS: Mapping[str, Door] = {
    "float": _number,
    "float | None": _maybe_number,
    "int": _count,
    "int | None": _maybe_count,
    "Duration": _duration,
    "Schedule": _schedule,
    "float | Schedule": _number_or_schedule,
    "tuple[Schedule, ...]": _each(_schedule),
    "tuple[float, ...]": _each(_number),
    "tuple[int, ...]": _each(_count),
    "tuple[Duration, ...]": _each(_duration),
}
