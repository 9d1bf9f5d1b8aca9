"""One schedule at another time: stretched, delayed, begun in its middle, or cut."""

from __future__ import annotations

__all__ = ["Delayed", "Skipped", "Stretched", "Truncated"]

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Self, final

import numpy as np

from warmdown.run import Duration, Length, Run
from warmdown.schedules.base import (
    Namespace,
    PartStarts,
    PartSteps,
    Phase,
    Phases,
    Schedule,
    Steps,
    Values,
    exact_length,
    is_endless,
    resolve_part,
    schedule_class,
)
from warmdown.schedules.interpolate import clip_start
from warmdown.schedules.parameters import require


@schedule_class
class _OtherClock(Schedule):
    """A schedule that is evaluated at another step."""

    of: Schedule
    steps: Duration = 0

    @abstractmethod
    def inner_step(self, step: Steps, xp: Namespace) -> Steps:
        """Return the step of ``of``; before step 0 it is that of step 0."""

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.of.evaluate(self.inner_step(step, xp), xp)


@final
@schedule_class
class Stretched(_OtherClock):
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

    steps: Duration = "rest"

    verb = "stretch"

    def check_fields(self) -> None:
        reason = "what never ends has no length to change. Use .take(steps) first."
        require(self, not is_endless(self.of), reason, "of")

    def phases(self) -> Phases:
        """Return the phases of what is stretched, each moved to its new place."""
        inner, outer = self.of.length, self.length
        if not inner or outer is None:
            return self.of.phases()

        def place(step: int) -> int:
            return round(step * outer / inner)

        return tuple(Phase(p.name, place(p.start), place(p.stop or 0)) for p in self.of.phases())

    def part_steps(self, step: float) -> PartSteps:
        """Return the step of what is stretched."""
        return (float(self.inner_step(np.float64(step), np)),)

    def part_starts(self) -> PartStarts:
        """Return ``None``: the clock runs at another speed."""
        return (None,)

    def resolve(self, run: Run, available: Length) -> Self:
        """Resolve both lengths: what is stretched is as long as it is, if it has a length."""
        steps = self._fit(self.requested_length(run), available)
        return replace(self, of=resolve_part(self.of, run, available), steps=steps)

    def inner_step(self, step: Steps, xp: Namespace) -> Steps:
        inner, outer = self.of.length or 0, self.steps
        at = xp.clip(step, 0, outer)
        return at * inner / outer if outer else at + inner


@schedule_class
class _Shifted(_OtherClock):
    """A schedule on a clock that is some steps off."""

    shift: ClassVar[int]
    """1 for a later beginning, -1 for an earlier one."""

    open_length = None
    """None: its steps are no length."""

    @property
    def length(self) -> Length:
        """The length of what is shifted, and the shift."""
        return self._with_shift(self.of.length, self.part_starts()[0] or 0)

    def part_steps(self, step: float) -> PartSteps:
        """Return the step of what is shifted, ``None`` before it begins."""
        own = step - (self.part_starts()[0] or 0)
        return (own if own >= 0 else None,)

    def part_starts(self) -> PartStarts:
        """Return the shift: where the clock of what is shifted begins."""
        return (self.shift * self.steps if isinstance(self.steps, int) else None,)

    def requested_length(self, run: Run) -> Length:
        shift = self.shift * exact_length(self, self.steps, run)
        return self._with_shift(self.of.requested_length(run.shifted(max(shift, 0))), shift)

    def resolve(self, run: Run, available: Length) -> Self:
        steps = exact_length(self, self.steps, run)
        left = None if available is None else available - self.shift * steps
        inner = run.shifted(max(self.shift * steps, 0))
        return replace(self, of=self.of.resolve(inner, left), steps=steps)

    @staticmethod
    def _with_shift(length: Length, shift: int) -> Length:
        return None if length is None else max(length + shift, 0)


@final
@schedule_class
class Delayed(_Shifted):
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

    shift = 1
    verb = "delay"

    def phases(self) -> Phases:
        """Return a phase ``wait``, then the delayed ones."""
        wait = _count(self.steps)
        return Phase("wait", 0, wait), *(phase.moved(wait) for phase in self.of.phases())

    def inner_step(self, step: Steps, xp: Namespace) -> Steps:
        return clip_start(step - self.steps, xp)

    def resolve(self, run: Run, available: Length) -> Self:
        self._fit(exact_length(self, self.steps, run), available)
        return super().resolve(run, available)


@final
@schedule_class
class Skipped(_Shifted):
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

    shift = -1
    verb = "skip"

    def inner_step(self, step: Steps, xp: Namespace) -> Steps:
        return clip_start(step, xp) + self.steps


@final
@schedule_class
class Truncated(_OtherClock):
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

    steps: Duration = "rest"

    kind = "taken"  # as files and fingerprints have it
    verb = "take"

    def phases(self) -> Phases:
        """Return the phases of what is taken, as far as it is."""
        if self.length is None:
            return self.of.phases()
        return tuple(
            Phase(p.name, p.start, p.until(self.length))
            for p in self.of.phases()
            if p.start < self.length
        )

    def part_steps(self, step: float) -> PartSteps:
        """Return ``None`` past the end of what is taken."""
        is_past = isinstance(self.steps, int) and step >= self.steps
        return (None if is_past else step,)

    def inner_step(self, step: Steps, xp: Namespace) -> Steps:
        return xp.clip(step, 0, self.steps)

    def resolve(self, run: Run, available: Length) -> Self:
        """Resolve what is taken in its own length: a ``"rest"`` in it is the rest of that."""
        steps = self._fit(self.requested_length(run), available)
        return replace(self, of=resolve_part(self.of, run, steps), steps=steps)


def _count(steps: Duration) -> int:
    return steps if isinstance(steps, int) else 0
