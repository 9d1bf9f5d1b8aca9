"""Numbers that only a training run knows, to be reckoned with before it starts."""

from __future__ import annotations

__all__ = ["Placeholder", "TrainerPlaceholderValues", "resolve"]

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, final

from warmdown.errors import RunError

Facts = Mapping[str, float | None]
"""What a run knows, by the names of :class:`TrainerPlaceholderValues`; ``None`` where it does not."""


class Placeholder:
    """A number that is not known yet; ``+ - * / //`` with numbers and with each other give another one."""

    def __add__(self, other: Any) -> Any:
        return _reckoned("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _reckoned("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _reckoned("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _reckoned("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return _reckoned("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _reckoned("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _reckoned("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _reckoned("/", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _reckoned("//", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _reckoned("//", other, self)


@final
class TrainerPlaceholderValues(Placeholder, Enum):
    """What a trainer fills in when it knows its data loaders; the value says what is counted.

    An update that several processes make together is one update, so both counts of updates are the
    same number.

    Example:
        >>> from warmdown.placeholders import TrainerPlaceholderValues, resolve
        >>> total = TrainerPlaceholderValues.NUM_EPOCHS * TrainerPlaceholderValues.NUM_UPDATE_STEPS_PER_EPOCH
        >>> total
        NUM_EPOCHS * NUM_UPDATE_STEPS_PER_EPOCH
        >>> resolve({"total": total, "marks": [total // 2]}, {"NUM_EPOCHS": 3, "NUM_UPDATE_STEPS_PER_EPOCH": 10})
        {'total': 30, 'marks': [15]}
    """

    NUM_EPOCHS = "epochs in the run"
    NUM_UPDATE_STEPS_PER_EPOCH = "optimizer updates in an epoch"
    PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH = (
        "optimizer updates in an epoch, as one process counts them"
    )
    TRAIN_DATALOADER_LEN = "batches in an epoch of training, as one process counts them"
    EVAL_DATALOADER_LEN = "batches in an evaluation, as one process counts them"

    def __repr__(self) -> str:
        return self.name


def resolve(value: Any, facts: Facts) -> Any:
    """Return ``value`` with every placeholder in it replaced by its number.

    Looks into partials (their arguments and keywords), dictionaries, lists and tuples, at any
    depth.

    Args:
        value: Anything; what holds no placeholder comes back as it is.
        facts: The run's numbers by name.

    Raises:
        RunError: The run does not know a number that is asked for, or an expression divides by
            zero.
    """
    if isinstance(value, Placeholder):
        return _number(value, facts)
    if isinstance(value, partial):
        return partial(value.func, *resolve(value.args, facts), **resolve(value.keywords, facts))
    if isinstance(value, dict):
        return {key: resolve(entry, facts) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(resolve(entry, facts) for entry in value)
    return value


@final
@dataclass(frozen=True, repr=False)
class _Reckoned(Placeholder):
    """Two numbers and what is done with them."""

    sign: str
    left: Placeholder | float
    right: Placeholder | float

    def __repr__(self) -> str:
        return f"{_inside(self.left)} {self.sign} {_inside(self.right)}"


_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
}


def _reckoned(sign: str, left: Any, right: Any) -> Any:
    known = (Placeholder, int, float)
    return (
        _Reckoned(sign, left, right)
        if isinstance(left, known) and isinstance(right, known)
        else NotImplemented
    )


def _number(value: Placeholder | float, facts: Facts) -> Any:
    if isinstance(value, _Reckoned):
        left, right = _number(value.left, facts), _number(value.right, facts)
        try:
            return _SIGNS[value.sign](left, right)
        except ZeroDivisionError:
            raise RunError(
                f"{value!r}: divides {left} by zero in this run. Divide by what is not zero."
            ) from None
    return _fact(value, facts) if isinstance(value, TrainerPlaceholderValues) else value


def _fact(wanted: TrainerPlaceholderValues, facts: Facts) -> float:
    fact = facts.get(wanted.name)
    if fact is None:
        known = ", ".join(name for name, number in facts.items() if number is not None) or "nothing"
        raise RunError(
            f"{wanted}: this run does not know the {wanted.value}. It knows {known}: "
            f"write it with those."
        )
    return fact


def _inside(part: Placeholder | float) -> str:
    return f"({part!r})" if isinstance(part, _Reckoned) else repr(part)
