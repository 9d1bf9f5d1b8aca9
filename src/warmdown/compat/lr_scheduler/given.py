"""What a constructor is given: arguments that stay attributes, one value a group, lengths, words of older versions."""

from __future__ import annotations

__all__ = [
    "Given",
    "NoBase",
    "NotAnOptimizer",
    "as_fraction",
    "floats",
    "in_ticks",
    "is_count",
    "one_a_group",
    "require_optimizer",
    "say_verbose_is_gone",
]

import math
import warnings
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Any, final

import torch
from torch.optim import Optimizer

from warmdown.errors import BindingError, ScheduleError

_PLAIN = 10**6
"""Denominators up to here are tried first: 33.3 is 333/10."""
_LONGEST = 10**14
"""Ticks of one length, so that a double counts them exactly."""


class NotAnOptimizer(BindingError, TypeError):
    """What was given has no parameter groups to schedule."""


class NoBase(BindingError, KeyError):
    """A scheduler is to go on, and a group does not say what it began with."""

    def __str__(self) -> str:
        """Return the message as it was written; a KeyError would quote it."""
        return Exception.__str__(self)


@final
class Given:
    """An argument of the constructor, kept as an attribute; giving it anew bends the curve from the next step on."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, scheduler: Any, owner: type | None = None) -> Any:
        if scheduler is None:
            return self
        try:
            return scheduler.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(scheduler).__name__} has no {self._name!r} yet") from None

    def __set__(self, scheduler: Any, value: Any) -> None:
        scheduler.__dict__[self._name] = value
        scheduler._forget()


def one_a_group(who: str, name: str, value: Any, count: int) -> list[Any]:
    """Return one value for each of ``count`` groups; a list must already be one.

    Raises:
        ScheduleError: The list has another length.
    """
    if not isinstance(value, list | tuple):
        value = [value] * count
    elif len(value) != count:
        raise ScheduleError(
            f"{who}({name}=…): {len(value)} values for {count} parameter groups. Give one for "
            f"each, or one for all."
        )
    return [each.clone() if isinstance(each, torch.Tensor) else each for each in value]


def in_ticks(who: str, **lengths: Any) -> tuple[int, ...]:
    """Return how many ticks a step has so that every length is a whole number of them, and the lengths in ticks.

    Others take lengths such as 312.5 steps; a schedule's are whole, so its clock ticks faster
    instead.

    Raises:
        ScheduleError: A length is negative or no number.
    """
    shares = [_share(who, name, length) for name, length in lengths.items()]
    ticks = math.lcm(*(share.denominator for share in shares))
    return ticks, *(int(share * ticks) for share in shares)


def as_fraction(number: float, count: int = 1) -> Fraction:
    """Return a number as the plainest fraction that is the same double, or as near as ``count`` of it allow."""
    exact = Fraction(number)
    plain = exact.limit_denominator(_PLAIN)
    return (
        plain
        if float(plain) == number
        else exact.limit_denominator(max(1, _LONGEST // max(1, count)))
    )


def _share(who: str, name: str, length: Any) -> Fraction:
    try:
        exact = length.__index__() if hasattr(length, "__index__") else float(length)
        share = as_fraction(exact, int(exact))
    except (TypeError, ValueError, OverflowError):
        raise ScheduleError(f"{who}({name}={length!r}): a length in steps is needed.") from None
    if share < 0:
        raise ScheduleError(
            f"{who}({name}={length!r}): a length is not negative. 0 is legal: the "
            f"end from the start."
        )
    return share


def is_count(value: object, least: int) -> bool:
    """Tell whether a value is a whole number from ``least`` on."""
    return isinstance(value, int) and value >= least


def require_optimizer(who: str, optimizer: object) -> None:
    """Refuse what is no torch optimizer.

    Raises:
        NotAnOptimizer: It is not.
    """
    if not isinstance(optimizer, Optimizer):
        raise NotAnOptimizer(
            f"{who}(optimizer={type(optimizer).__name__}): not a torch.optim.Optimizer. "
            "Inside a wrapper, give the optimizer that it wraps."
        )


def say_verbose_is_gone(verbose: object) -> None:
    """Say once that nothing is printed any more, to those who ask for it."""
    if verbose is not None and verbose is not False and verbose != "deprecated":
        _say_once()


@cache
def _say_once() -> None:
    warnings.warn(
        "verbose=True: gone, as in torch; nothing is printed. Log scheduler.get_last_lr() where "
        "you want it.",
        UserWarning,
        stacklevel=4,
    )


def floats(values: Iterable[Any]) -> list[float]:
    """Return plain numbers; a tensor on a device is waited for."""
    return [float(value) for value in values]
