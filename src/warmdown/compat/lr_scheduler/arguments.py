"""Arguments of a constructor: attributes, one value a group, lengths in steps."""

from __future__ import annotations

import math
import types
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import chain
from types import NoneType
from typing import Any, final

import numpy as np
import torch
from torch.optim import Optimizer

from warmdown.compat import State, StateDict
from warmdown.errors import BindingError, ScheduleError, StateError

_PLAIN = 10**6
"""Denominators up to here are tried first: 33.3 is 333/10."""
_LONGEST = 10**14
"""Ticks of one length, so that a double counts them exactly."""


class NotAnOptimizer(BindingError, TypeError):
    """What was given has no parameter groups to schedule."""


class NoBase(BindingError, KeyError):
    """A scheduler is to go on, and a group does not hold what it began with."""

    def __str__(self) -> str:
        """Return the message as it was written; a KeyError would quote it."""
        return Exception.__str__(self)


@final
class Argument:
    """An argument that stays an attribute; assigning it bends the curve from the next step on.

    There is no ``__get__``: Python then reads the attribute at full speed.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __set__(self, scheduler: Any, value: Any) -> None:
        scheduler.invalidate()
        vars(scheduler)[self._name] = plain(value)


def plain(value: Any) -> Any:
    """Return Python's own number of an argument: also of a tensor, and in a list those of numpy.

    A schedule computes with it, and ``torch.load(weights_only=True)`` reads it.
    """
    is_one = isinstance(value, torch.Tensor) and value.numel() == 1
    return value.item() if is_one else _without_numpy(value)


def _without_numpy(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return type(value)(map(_without_numpy, value)) if type(value) in (list, tuple) else value
    if type(value) in (dict, Counter):
        return type(value)(
            {_without_numpy(key): _without_numpy(each) for key, each in value.items()}
        )
    return value


def plain_entries(state: State) -> StateDict:
    """Return the entries of a state that are plain data; methods that old ones hold are left."""
    return {key: _without_numpy(value) for key, value in state.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, chain(value.keys(), value.values())))
    if isinstance(value, list | tuple | set):
        return all(map(_is_plain, value))
    kinds = torch.Tensor | np.generic | np.ndarray
    return type(value) in (NoneType, bool, int, float, str) or isinstance(value, kinds)


def require_entries(who: str, state: State, *entries: str) -> None:
    """Raise unless ``state`` has every entry.

    Raises:
        StateError: One is missing.
    """
    missing = [entry for entry in entries if entry not in state]
    if missing:
        raise StateError(
            f"{who}.load_state_dict: no {' and no '.join(missing)} in it. "
            "Give what state_dict() of such a scheduler returned."
        )


def kept_arguments(scheduler: Any, names: Iterable[str], state: State) -> StateDict:
    """Return the arguments that a scheduler goes on with; warn where ``state`` has others."""
    attributes = vars(scheduler)
    given = {name: attributes[name] for name in names if name in attributes}
    state = plain_entries(state)
    changed = [
        f"{name}={given[name]!r}, not the saved {state[name]!r}"
        for name in sorted(given.keys() & state.keys())
        if state[name] != given[name]
    ]
    if changed:
        warnings.warn(
            f"{type(scheduler).__name__}.load_state_dict: it goes on with {'; '.join(changed)}. "
            "A state restores where a scheduler stands; its arguments are those it was made with.",
            UserWarning,
            stacklevel=4,
        )
    return given


def per_group(who: str, name: str, value: Any, count: int) -> list[Any]:
    """Return one value for each of ``count`` groups; a list must already be one.

    Raises:
        ScheduleError: The list has another length.
    """
    if not isinstance(value, list | tuple):
        value = [value] * count
    elif len(value) != count:
        raise ScheduleError(
            f"{who}({name}=…): {len(value)} values for {count} parameter groups. Give one for "
            "each, or one for all."
        )
    return [
        entry.clone() if isinstance(entry, torch.Tensor) else _without_numpy(entry)
        for entry in value
    ]


def in_ticks(who: str, **lengths: Any) -> tuple[int, ...]:
    """Return the ticks of one step that make every length whole, and the lengths in ticks.

    Others take lengths such as 312.5 steps; a schedule's are whole, so its clock ticks faster
    instead.

    Raises:
        ScheduleError: A length is negative or no number.
    """
    exact = [_length(who, name, length) for name, length in lengths.items()]
    ticks = math.lcm(*(length.denominator for length in exact))
    return ticks, *(int(length * ticks) for length in exact)


def as_fraction(number: float, count: int = 1) -> Fraction:
    """Return the plainest fraction that is the same double.

    Where there is none, return one so near that ``count`` times it is counted exactly.
    """
    exact = Fraction(number)
    plain = exact.limit_denominator(_PLAIN)
    return (
        plain
        if float(plain) == number
        else exact.limit_denominator(max(1, _LONGEST // max(1, count)))
    )


def _length(who: str, name: str, length: Any) -> Fraction:
    try:
        exact = length.__index__() if hasattr(length, "__index__") else float(length)
        steps = as_fraction(exact, int(exact))
    except (TypeError, ValueError, OverflowError):
        raise ScheduleError(f"{who}({name}={length!r}): a length in steps is needed.") from None
    if steps < 0:
        raise ScheduleError(
            f"{who}({name}={length!r}): a length is not negative. 0 is legal: the "
            "end from the start."
        )
    return steps


def require_whole(who: str, name: str, count: object, least: int = 1) -> None:
    """Raise unless an argument is a whole number.

    Raises:
        ScheduleError: It is not, or below ``least``.
    """
    if not isinstance(count, int) or count < least:
        raise ScheduleError(f"{who}({name}={count!r}): a whole number from {least} on is needed.")


def require_optimizer(who: str, optimizer: object) -> None:
    """Raise unless this is a torch optimizer.

    Raises:
        NotAnOptimizer: It is not.
    """
    if not isinstance(optimizer, Optimizer):
        raise NotAnOptimizer(
            f"{who}(optimizer={type(optimizer).__name__}): not a torch.optim.Optimizer. "
            "Inside a wrapper, give the optimizer that it wraps."
        )


def is_verbose(verbose: object) -> bool:
    """Return whether rates are to be printed; some versions of torch have a text for "no"."""
    return bool(verbose) and verbose != "deprecated"


def floats(values: Iterable[Any]) -> list[float]:
    """Return plain numbers; a tensor on a device is waited for."""
    return [float(value) for value in values]


def attributes_of(function: Any) -> StateDict | None:
    """Return the attributes that a state keeps of a function that is an object."""
    if isinstance(function, types.FunctionType):
        return None
    return plain_entries(getattr(function, "__dict__", {}))
