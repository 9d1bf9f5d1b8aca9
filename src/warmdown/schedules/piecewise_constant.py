"""Piecewise constant schedules: a value that stands, and then stands elsewhere."""

from __future__ import annotations

__all__ = ["Function", "Milestones", "Staircase", "PiecewiseConstant"]

from collections.abc import Callable, Iterator
from dataclasses import field, replace
from typing import Any, Self, final

import numpy as np

from warmdown.errors import ScheduleError
from warmdown.run import Duration, Length, Run
from warmdown.schedules.base import (
    Namespace,
    PlainData,
    Schedule,
    Steps,
    Values,
    duration_in_updates,
    schedule_class,
)
from warmdown.schedules.interpolate import clip_start, pick
from warmdown.schedules.parameters import require


@final
@schedule_class
class Staircase(Schedule):
    r"""A factor ``gamma`` at every ``every``-th step, without end.

    .. math:: v(t) = start \cdot gamma^{\lfloor t / every \rfloor}

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        gamma: Factor of one stair, positive.
        every: Length of one stair.

    Raises:
        ScheduleError: ``gamma`` or ``every`` is not positive.

    Example:
        >>> Staircase(start=1.0, gamma=0.5, every=30)([0, 29, 30, 90])
        array([1.   , 1.   , 0.5  , 0.125])
    """

    start: float = 1.0
    gamma: float = 0.1
    every: Duration = 30

    is_stepwise = True
    positive = ("gamma",)

    def check_fields(self) -> None:
        require(self, self.every != 0, "a stair needs at least 1 step.", "every")

    @property
    def is_resolved(self) -> bool:
        """Whether the length of a stair is a number."""
        return not isinstance(self.every, str)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.start * self.gamma ** xp.floor(clip_start(step, xp) / self.every)

    def resolve(self, run: Run, available: Length) -> Self:
        if self.is_resolved:
            return self
        every = run.measure(self.every, who=repr(self))
        if not every:
            raise ScheduleError(
                f"{self!r}: a stair needs at least 1 step; {self.every!r} is {every} here."
            )
        return replace(self, every=every)


class _AtSteps(Schedule):
    """A schedule whose value changes at the steps ``at``, a field of each subclass."""

    at: tuple[Duration, ...]

    is_stepwise = True

    @property
    def is_resolved(self) -> bool:
        """Whether every step is a number."""
        return len(self.marks()) == len(self.at)

    @property
    def length(self) -> Length:
        """The last step at which the value changes."""
        return max(self.marks(), default=0) if self.is_resolved else None

    def marks(self) -> tuple[int, ...]:
        """Return the steps at which the value changes."""
        return tuple(mark for mark in self.at if isinstance(mark, int))

    def requested_length(self, run: Run) -> Length:
        return self.resolve(run, None).length

    def resolve(self, run: Run, available: Length) -> Self:
        if self.is_resolved:
            return self
        at = tuple(duration_in_updates(self, mark, run) for mark in self.at)
        if None in at:
            raise ScheduleError(
                f"{self!r}: 'rest' is a length, not a step to begin at. Give a number or a share "
                "like '80%'."
            )
        return replace(self, at=at)  # type: ignore[call-arg]


@final
@schedule_class
class Milestones(_AtSteps):
    r"""A factor ``gamma`` at each milestone.

    .. math:: v(t) = start \cdot gamma^{\#\{m \in at : m \le t\}}

    Args:
        start: Value before the first milestone, in the unit of the scheduled field.
        gamma: Factor of one milestone, not negative.
        at: Steps from which a further factor holds; one named twice counts twice. The name may be
            left out.

    Raises:
        ScheduleError: ``gamma`` is negative.

    Example:
        >>> Milestones(start=1e-3, gamma=0.5, at=(50, 100))([0, 50, 99, 100])
        array([0.001  , 0.0005 , 0.0005 , 0.00025])
    """

    start: float = 1.0
    gamma: float = 0.1
    at: tuple[Duration, ...] = field(default=(), kw_only=False)

    def check_fields(self) -> None:
        require(self, self.gamma >= 0, "a factor of at least 0 is needed.", "gamma")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        passed = xp.zeros_like(step)
        for mark in self.at:
            passed = passed + xp.where(step >= mark, 1.0, 0.0)
        return self.start * self.gamma**passed


@final
@schedule_class
class PiecewiseConstant(_AtSteps):
    r"""Values that hold from given steps on.

    .. math:: v(t) = values_i,\; i = \#\{m \in at : m \le t\}

    Args:
        values: One more than ``at``: the first holds from step 0, the next from ``at[0]`` …
        at: Steps in rising order, each at which the next value begins.

    Raises:
        ScheduleError: The counts do not match, or the steps do not rise.

    Example:
        >>> PiecewiseConstant(values=(1.0, 0.3, 0.1), at=(100, 200))([0, 99, 100, 500])
        array([1. , 1. , 0.3, 0.1])
    """

    values: tuple[float, ...] = (1.0,)
    at: tuple[Duration, ...] = ()

    kind = "table"  # as files and fingerprints have it

    def check_fields(self) -> None:
        if len(self.values) != len(self.at) + 1:
            raise ScheduleError(
                f"PiecewiseConstant: {len(self.values)} values, {len(self.at)} steps do not match. "
                "Give one value more than steps; the first holds from step 0."
            )
        rises = not self.is_resolved or list(self.at) == sorted(self.marks())
        require(self, rises, "the steps must rise. Sort them, with their values.", "at")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return pick(self.values, self.at, step, xp)


@final
@schedule_class
class Function(Schedule):
    """Any function of the step, asked one step at a time; it can be run, but not written to a file.

    Args:
        call: Takes a step (an int where the step is whole), returns a number; its name may be
            left out.

    Example:
        >>> Function(lambda step: 0.95**step)(2)
        0.9025
    """

    call: Callable[[int], float] = field(kw_only=False)

    @property
    def is_predictable(self) -> bool:
        """A function is called at its own step alone: it may use what has happened until then."""
        return False

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        if xp is not np:
            raise ScheduleError(
                f"{self!r}: a Python function cannot be called on {type(step).__name__}. Write it "
                f"as a Schedule."
            )
        whole: Iterator[Any] = (int(at) if at == int(at) else float(at) for at in np.ravel(step))
        return np.asarray([float(self.call(at)) for at in whole]).reshape(np.shape(step))

    def to_dict(self) -> PlainData:
        """Refuse: code is no data."""
        raise ScheduleError(
            f"{self!r}: a function cannot be written down. Subclass Schedule, or use a named shape."
        )
