"""What is checked: one target of a plan, measured, and sampled closely enough to see what it does."""

from __future__ import annotations

__all__ = ["Piece", "Subject", "holds", "leaf_at_end", "pieces"]

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from warmdown.checks.finding import Finding, Severity
from warmdown.plan import Target
from warmdown.plot.sampling import Array, sample
from warmdown.run import Run
from warmdown.schedules import (
    Chain,
    Clipped,
    Delayed,
    Named,
    Noisy,
    Product,
    Scale,
    Schedule,
    Sum,
    Taken,
)

_NEAR = 200
"""Steps looked at beside the even ones, ever closer to both ends."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One target over one run.

    Args:
        target: The target, with every length measured.
        given: The schedule as it was given, lengths open.
        run: The run.
        stop: Clock units in the run: updates, unless it says otherwise.
    """

    target: Target
    given: Schedule
    run: Run
    stop: int

    @property
    def schedule(self) -> Schedule:
        """The measured schedule."""
        return self.target.rule.of

    @property
    def is_rate(self) -> bool:
        """Whether it is a learning rate."""
        return self.target.name == "lr"

    @cached_property
    def samples(self) -> tuple[Array, Array]:
        """Steps of the run's updates and the values there."""
        last = self.stop - 1
        steps, values = sample(self.value, last, (phase.start for phase in self.schedule.phases()))
        if last < steps.size:
            return steps, values
        near = np.unique(
            np.rint(np.geomspace(1, last, _NEAR))
        )  # a short beginning of a long run, and its end
        more = np.concatenate([near, last - near])
        every, first = np.unique(np.concatenate([steps, more]), return_index=True)
        return every, np.concatenate([values, np.broadcast_to(self.value(more), more.shape)])[first]

    @cached_property
    def height(self) -> float:
        """The largest value, sign left out."""
        return float(np.max(np.abs(self.samples[1])))

    @cached_property
    def span(self) -> float:
        """How far apart the largest and the smallest value are."""
        return float(np.ptp(self.samples[1]))

    def value(self, step: Any) -> Any:
        """Return the field's value; the factor where no base value is known."""
        base = self.run.lr if self.is_rate and self.run.lr is not None else 1.0
        return self.target.rule.value(step, base)

    def first_unbounded(self) -> int | None:
        """Return the first sampled step whose value is no finite number."""
        steps, values = self.samples
        bad = np.flatnonzero(~np.isfinite(values))
        return int(steps[bad[0]]) if bad.size else None

    def zeros(self, *, from_end: bool = False) -> int:
        """Return how many updates at the beginning, or at the end, use exactly zero."""
        known, beyond = 0, 1
        while beyond <= self.stop and self._is_zero(beyond, from_end):
            known, beyond = beyond, beyond * 2
        beyond = min(beyond, self.stop + 1)
        while beyond - known > 1:
            middle = (known + beyond) // 2
            known, beyond = (middle, beyond) if self._is_zero(middle, from_end) else (known, middle)
        return known

    def _is_zero(self, many: int, from_end: bool) -> bool:
        """Whether the last of so many updates, counted from one end, uses zero."""
        return float(self.value(self.stop - many if from_end else many - 1)) == 0

    def factor(self) -> float | None:
        """Return the largest factor on the base value, or ``None`` where the value does not hang on one."""
        if not isinstance(self.target.rule, Scale) or self.target.rule.offset is not None:
            return None
        return float(np.max(np.abs(np.asarray(self.schedule(self.samples[0])))))

    def finding(
        self,
        code: str,
        message: str,
        *,
        severity: Severity = "warning",
        step: float | None = None,
        **numbers: float,
    ) -> Finding:
        """Return a finding about this target."""
        return Finding(
            code=code,
            severity=severity,
            message=message,
            target=self.target.label,
            step=None if step is None else int(step),
            numbers=numbers,
        )


@dataclass(frozen=True)
class Piece:
    """A schedule inside another.

    Args:
        schedule: The schedule.
        start: Step of the whole at which its own clock begins, or ``None`` where the two clocks run
            differently.
    """

    schedule: Schedule
    start: int | None


def pieces(schedule: Schedule, start: int | None = 0) -> Iterator[Piece]:
    """Yield a schedule and every schedule in it, each with the step at which it begins."""
    yield Piece(schedule, start)
    for part, begins in zip(schedule.parts(), _starts(schedule, start), strict=True):
        yield from pieces(part, begins)


def holds(schedule: Schedule, kinds: tuple[type[Schedule], ...]) -> bool:
    """Whether a schedule is one of ``kinds``, or one is in it."""
    return any(isinstance(piece.schedule, kinds) for piece in pieces(schedule))


def leaf_at_end(schedule: Schedule) -> Schedule:
    """Return what decides the value when the schedule ends: the last phase, out of its wrappings."""
    while isinstance(schedule, Chain | Named | Clipped | Delayed):
        if isinstance(schedule, Chain):
            moving = [member for member in schedule.members if member.length != 0]
            schedule = (moving or schedule.members)[-1]
        else:
            schedule = schedule.of
    return schedule


def _starts(schedule: Schedule, start: int | None) -> list[int | None]:
    parts = schedule.parts()
    if start is None:
        return [None] * len(parts)
    if isinstance(schedule, Chain):
        return [
            start + seam
            for seam in accumulate((part.length or 0 for part in parts[:-1]), initial=0)
        ]
    if isinstance(schedule, Delayed) and isinstance(schedule.steps, int):
        return [start + schedule.steps]
    return [
        start if isinstance(schedule, Named | Clipped | Noisy | Product | Sum | Taken) else None
    ] * len(parts)
