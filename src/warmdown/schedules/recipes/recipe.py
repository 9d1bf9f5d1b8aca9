"""What every recipe does: clear errors for its arguments, and absolute values where asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

from warmdown.errors import ScheduleError, WarmdownError, misfit, shortly
from warmdown.schedules.base import Schedule
from warmdown.schedules.parameters import parameters_of
from warmdown.schedules.rule import Set

Level: TypeAlias = float | str
"""A value, or a share of the peak: ``"10%"``."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def recipe(make: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a function that returns schedules refuse arguments that do not fit, with the way out.

    Where a ``peak`` is given, the schedule has absolute values, and ``Set(schedule)`` is returned.
    """

    @wraps(make)
    def made(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        peak: Any = kwargs.get("peak")
        try:
            if "peak" in kwargs and peak is not None:
                _require_peak(make.__name__, peak)
            result: Any = make(*args, **kwargs)
        except WarmdownError:
            raise
        except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise _explained(make, args, kwargs, error) from None
        if peak is not None and isinstance(result, Schedule):
            result = Set(result)
        made_of: _Result = result
        return made_of

    return made


def levels(peak: float | None, *given: Level) -> tuple[float, ...]:
    """Return the peak, 1 where none was given, and then each value; shares are of the peak.

    Raises:
        ScheduleError: A text is no share.

    Example:
        >>> levels(None, 0.1, "10%"), levels(2.0, 0.1, "10%")
        ((1.0, 0.1, 0.1), (2.0, 0.1, 0.2))
    """
    top = 1.0 if peak is None else float(peak)
    return (top, *(_level(top, value) for value in given))


def _level(top: float, value: Level) -> float:
    if not isinstance(value, str):
        return value
    try:
        return float(value.strip().removesuffix("%")) / 100 * top if "%" in value else float(value)
    except ValueError:
        raise ScheduleError(
            f"{shortly(value)}: no value. Give a number, or a share of the peak like '10%'."
        ) from None


def _require_peak(who: str, peak: Any) -> None:
    is_number = isinstance(peak, int | float) and not isinstance(peak, bool)
    if not is_number or not 0 < peak < float("inf"):
        raise ScheduleError(
            f"{who}(peak={shortly(peak)}): a number above 0 is needed: the highest value itself."
        )


def _explained(make: Callable[..., Any], args: Any, kwargs: Any, error: Exception) -> Exception:
    """Return the error of arguments that do not fit, or of the first of another type."""
    if isinstance(error, TypeError) and (found := misfit(make, args, kwargs)):
        return found
    for name, value in kwargs.items():
        try:
            parameters_of(make)[name].type.validate(value)
        except ScheduleError as reason:
            return ScheduleError(f"{make.__name__}({name}={shortly(value)}): {reason}")
    given = ", ".join(f"{name}={shortly(value)}" for name, value in kwargs.items())
    return ScheduleError(f"{make.__name__}({given}): these cannot be: {error}. Give other numbers.")
