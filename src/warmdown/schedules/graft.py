"""One schedule up to a step, and from there a tail: what a change in the middle of a run makes."""

from __future__ import annotations

__all__ = ["Grafted"]

from dataclasses import replace
from typing import Self, final

from warmdown.errors import ScheduleError
from warmdown.run import Duration, Length, Run
from warmdown.schedules.base import (
    Namespace,
    PartStarts,
    PartSteps,
    Phases,
    Schedule,
    Steps,
    Values,
    duration_in_updates,
    exact_length,
    resolve_part,
    schedule_class,
)
from warmdown.schedules.interpolate import clip_start


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

    verb = "graft"

    @property
    def length(self) -> Length:
        """Steps up to the graft, and the tail's."""
        tail = self.tail.length
        return None if tail is None or isinstance(self.at, str) else self.at + tail

    @property
    def is_resolved(self) -> bool:
        """Whether trunk, tail and the step between them are."""
        return not isinstance(self.at, str) and super().is_resolved

    def phases(self) -> Phases:
        """Return the trunk's phases up to the graft, then the tail's."""
        start = self.at if isinstance(self.at, int) else 0
        tail = (phase.moved(start) for phase in self.tail.phases())
        return *self.of.take(self.at).phases(), *tail

    def part_steps(self, step: float) -> PartSteps:
        """Return the trunk's step up to the graft, then the tail's."""
        if isinstance(self.at, int) and step >= self.at:
            return None, step - self.at
        return step, None

    def part_starts(self) -> PartStarts:
        """Return 0 for the trunk, and the step of the graft for the tail."""
        return 0, self.at if isinstance(self.at, int) else None

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        step = xp.asarray(step)
        is_past = step >= self.at
        # the trunk once: a graft on a graft on a graft would double its cost each time
        reached = self.of.evaluate(xp.where(is_past, xp.full_like(step, self.at), step), xp)
        tail = self.tail.evaluate(clip_start(step - self.at, xp), xp)
        return xp.where(is_past, reached * tail, reached)

    def requested_length(self, run: Run) -> Length:
        if self.at == "rest":
            return None
        at = exact_length(self, self.at, run)
        tail = self.tail.requested_length(run.shifted(at))
        return None if tail is None else tail + at

    def resolve(self, run: Run, available: Length) -> Self:
        at = duration_in_updates(self, self.at, run)
        if at is None:
            claim = self.tail.requested_length(run.ending_at(available or 0))
            if available is None or claim is None or claim > available:
                raise ScheduleError(
                    f"{self!r}: where does the tail of {claim} steps begin, with {available} steps "
                    f"left? Give at."
                )
            at = available - claim
        left = None if available is None else max(available - at, 0)
        tail = self.tail.resolve(run.shifted(at), left)
        return replace(self, of=resolve_part(self.of, run, available), tail=tail, at=at)
