"""One schedule at another time: stretched, delayed, begun in its middle, cut, given a tail."""

from __future__ import annotations

__all__ = ["Delayed", "Grafted", "Skipped", "Stretched", "Truncated"]

from dataclasses import replace
from typing import Self, final

import numpy as np

from warmdown.errors import RunError, ScheduleError
from warmdown.run import Duration, Run
from warmdown.schedules.base import (
    Namespace,
    Phase,
    Schedule,
    Steps,
    Values,
    duration_in_updates,
    is_endless,
    schedule_class,
)
from warmdown.schedules.interpolate import clip_start
from warmdown.schedules.parameters import require


@final
@schedule_class
class Stretched(Schedule):
    r"""A schedule slowed or hastened to a new length.

    .. math:: v(t) = of(t \cdot of.length / steps),\; t \le steps

    Args:
        of: A schedule with an end.
        steps: New length.

    Raises:
        ScheduleError: ``of`` never ends.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=0.0, end=1.0, steps=10).stretch(1000)(500)
        0.5
    """

    of: Schedule
    steps: Duration = "rest"

    def __post_init__(self) -> None:
        super().__post_init__()
        reason = "what never ends has no length to change. Use .take(steps) first."
        require(self, not is_endless(self.of), reason, "of")

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of what is stretched, each moved to its new place."""
        inner, outer = self.of.length, self.length
        if not inner or outer is None:
            return self.of.phases()
        scaled = (
            (p.name, p.start * outer / inner, (p.stop or 0) * outer / inner)
            for p in self.of.phases()
        )
        return tuple(Phase(name, round(start), round(stop)) for name, start, stop in scaled)

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        """Return the step of what is stretched."""
        return (float(self._inner_step(np.float64(step), np)),)

    def part_starts(self) -> tuple[int | None, ...]:
        """Return ``None``: the clock runs at another speed."""
        return (None,)

    def resolve(self, run: Run, available: int | None) -> Self:
        """What is stretched is as long as it is, whatever available there is."""
        return replace(
            self,
            of=_settled(self.of, run, available),
            steps=self._fit(self.requested_length(run), available),
        )

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.of.evaluate(self._inner_step(step, xp), xp)

    def _inner_step(self, step: Steps, xp: Namespace) -> Steps:
        inner, outer = self.of.length or 0, self.steps
        at = xp.clip(step, 0, outer)
        return at * inner / outer if outer else at + inner


@final
@schedule_class
class Delayed(Schedule):
    r"""A schedule that begins later; until then its first value holds.

    .. math:: v(t) = of(\max(0, t - steps))

    Args:
        of: The schedule.
        steps: How much later.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=1.0, end=0.0, steps=2).delay(3)([0, 3, 4, 5])
        array([1. , 1. , 0.5, 0. ])
    """

    of: Schedule
    steps: Duration = 0

    @property
    def length(self) -> int | None:
        """The length of what is delayed, and the delay."""
        return None if self.of.length is None else self.of.length + _count(self.steps)

    def phases(self) -> tuple[Phase, ...]:
        """Return a phase ``wait``, then the delayed ones."""
        return Phase("wait", 0, _count(self.steps)), *(
            p.moved(_count(self.steps)) for p in self.of.phases()
        )

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        """Return ``None`` during the wait: what is delayed has not begun."""
        own = step - _count(self.steps)
        return (own if own >= 0 else None,)

    def part_starts(self) -> tuple[int | None, ...]:
        """Return the end of the wait."""
        return (self.steps if isinstance(self.steps, int) else None,)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.of.evaluate(clip_start(step - self.steps, xp), xp)

    def requested_length(self, run: Run) -> int | None:
        claim = self.of.requested_length(run)
        return None if claim is None else claim + _exact_length(self, self.steps, run)

    def resolve(self, run: Run, available: int | None) -> Self:
        wait = self._fit(_exact_length(self, self.steps, run), available)
        return replace(
            self,
            of=self.of.resolve(run, None if available is None else available - wait),
            steps=wait,
        )


@final
@schedule_class
class Skipped(Schedule):
    r"""A schedule without its beginning.

    .. math:: v(t) = of(t + steps)

    Args:
        of: The schedule.
        steps: How much of it is left out.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=1.0, end=0.0, steps=4).skip(2)([0, 1, 2])
        array([0.5 , 0.25, 0.  ])
    """

    of: Schedule
    steps: Duration = 0

    @property
    def length(self) -> int | None:
        """What is left of the length."""
        return None if self.of.length is None else max(self.of.length - _count(self.steps), 0)

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        """Return the step of what is skipped into."""
        return (step + _count(self.steps),)

    def part_starts(self) -> tuple[int | None, ...]:
        """Return a step before 0."""
        return (-self.steps if isinstance(self.steps, int) else None,)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.of.evaluate(clip_start(step, xp) + self.steps, xp)

    def requested_length(self, run: Run) -> int | None:
        claim = self.of.requested_length(run)
        return None if claim is None else max(claim - _exact_length(self, self.steps, run), 0)

    def resolve(self, run: Run, available: int | None) -> Self:
        left_out = _exact_length(self, self.steps, run)
        return replace(
            self,
            of=self.of.resolve(run, None if available is None else available + left_out),
            steps=left_out,
        )


@final
@schedule_class
class Truncated(Schedule):
    r"""The beginning of a schedule; then the value reached holds.

    .. math:: v(t) = of(\min(t, steps))

    Args:
        of: The schedule, with or without an end.
        steps: How much of it is taken.

    Example:
        >>> from warmdown import InverseSqrt
        >>> InverseSqrt(start=1.0, timescale=1).take(3)([0, 3, 99])
        array([1. , 0.5, 0.5])
    """

    of: Schedule
    steps: Duration = "rest"

    kind = "taken"  # as files and fingerprints have it

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of what is taken, as far as it is."""
        if self.length is None:
            return self.of.phases()
        return tuple(
            Phase(p.name, p.start, self.length if p.stop is None else min(p.stop, self.length))
            for p in self.of.phases()
            if p.start < self.length
        )

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        """Return ``None`` past the end of what is taken."""
        is_past = isinstance(self.steps, int) and step >= self.steps
        return (None if is_past else step,)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.of.evaluate(xp.clip(step, 0, self.steps), xp)

    def resolve(self, run: Run, available: int | None) -> Self:
        """Resolve what is taken in its own length: a ``"rest"`` in it is the rest of that."""
        steps = self._fit(self.requested_length(run), available)
        return replace(self, of=_settled(self.of, run, steps), steps=steps)


@final
@schedule_class
class Grafted(Schedule):
    r"""A schedule up to a step; from there a tail scales the value that was reached.

    .. math:: v(t) = of(t),\; t < at; \qquad v(t) = of(at) \cdot tail(t - at),\; t \ge at

    Args:
        of: The trunk.
        tail: What multiplies the value reached; it usually begins at 1.
        at: Step of the graft; ``"rest"`` places the tail at the end of the run.

    Example:
        >>> from warmdown import InverseSqrt, Linear
        >>> InverseSqrt(start=1.0, timescale=1).graft(Linear(steps=2), at=3)([0, 3, 4, 5])
        array([1.  , 0.5 , 0.25, 0.  ])
    """

    of: Schedule
    tail: Schedule
    at: Duration = "rest"

    @property
    def length(self) -> int | None:
        """Steps up to the graft, and the tail's."""
        return (
            None
            if self.tail.length is None or isinstance(self.at, str)
            else self.at + self.tail.length
        )

    @property
    def is_resolved(self) -> bool:
        """Whether trunk, tail and the step between them are."""
        return not isinstance(self.at, str) and self.of.is_resolved and self.tail.is_resolved

    def phases(self) -> tuple[Phase, ...]:
        """Return the trunk's phases up to the graft, then the tail's."""
        return *self.of.take(self.at).phases(), *(
            p.moved(_count(self.at)) for p in self.tail.phases()
        )

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        """Return the trunk's step up to the graft, then the tail's."""
        if isinstance(self.at, int) and step >= self.at:
            return None, step - self.at
        return step, None

    def part_starts(self) -> tuple[int | None, ...]:
        """Return 0 for the trunk, and the step of the graft for the tail."""
        return 0, self.at if isinstance(self.at, int) else None

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        reached = self.of.evaluate(xp.full_like(xp.asarray(step), self.at), xp)
        return xp.where(
            xp.asarray(step) < self.at,
            self.of.evaluate(step, xp),
            reached * self.tail.evaluate(clip_start(step - self.at, xp), xp),
        )

    def requested_length(self, run: Run) -> int | None:
        tail = self.tail.requested_length(run)
        return (
            None if tail is None or self.at == "rest" else tail + _exact_length(self, self.at, run)
        )

    def resolve(self, run: Run, available: int | None) -> Self:
        at = duration_in_updates(self, self.at, run)
        if at is None:
            claim = self.tail.requested_length(run)
            if available is None or claim is None or claim > available:
                raise ScheduleError(
                    f"{self!r}: where does the tail of {claim} steps begin, with {available} steps "
                    f"left? Give at."
                )
            at = available - claim
        left = None if available is None else max(available - at, 0)
        return replace(
            self, of=_settled(self.of, run, available), tail=self.tail.resolve(run, left), at=at
        )


def _settled(schedule: Schedule, run: Run, available: int | None) -> Schedule:
    """Return ``schedule`` resolved; one without an open length may be longer than available."""
    return schedule if schedule.is_resolved else schedule.resolve(run, available)


def _count(steps: Duration) -> int:
    return steps if isinstance(steps, int) else 0


def _exact_length(owner: Schedule, duration: Duration, run: Run) -> int:
    steps = duration_in_updates(owner, duration, run)
    if steps is None:
        raise RunError(f"{owner!r}: 'rest' has no meaning here. Give a length.")
    return steps
