"""What is checked: one target of a plan, with its lengths and its values sampled closely."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from warmdown.checks.finding import Finding, Severity
from warmdown.plan import Target
from warmdown.run import Run
from warmdown.schedules import Scale, Schedule
from warmdown.schedules.sampling import Array, sample, values_at

_NEAR = 200
"""Steps looked at beside the even ones, ever closer to both ends."""
_FAR = 1e15
"""A step that no run has."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One target over one run.

    Args:
        target: The target, with every length measured.
        given: The schedule as it was given, lengths open.
        run: The run.
        stop: Clock units in the run: updates, unless it has another clock.
        base: Base value of the field, or ``None`` where it is not known.
    """

    target: Target
    given: Schedule
    run: Run
    stop: int
    base: float | None = None

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
        # of a long run also a short beginning, such as a warmup of ten steps, and its end
        near = np.unique(np.rint(np.geomspace(1, last, _NEAR)))
        more = np.concatenate([near, last - near])
        every, first = np.unique(np.concatenate([steps, more]), return_index=True)
        return every, np.concatenate([values, values_at(self.value, more)])[first]

    @cached_property
    def height(self) -> float:
        """The largest value, sign left out."""
        return float(np.abs(self.samples[1]).max())

    @cached_property
    def span(self) -> float:
        """How far apart the largest and the smallest value are."""
        return float(np.ptp(self.samples[1]))

    def value(self, step: Any) -> Any:
        """Return the field's value; the factor where no base value is known."""
        return self.target.rule.value(step, 1.0 if self.base is None else self.base)

    @cached_property
    def climbs_to_end(self) -> bool:
        """Whether it only rises, up to the end: a sweep, such as a range test."""
        values = self.samples[1]
        return bool((np.diff(values) >= 0).all() and values[0] < values[-1])

    def zeros(self, *, from_end: bool = False) -> int:
        """Return how many updates at the beginning, or at the end, use exactly zero."""

        def is_other(many: int) -> bool:
            return bool(self.value(self.stop - many if from_end else many - 1) != 0)

        # doubling and halving: a few calls even for a billion updates
        beyond = 1
        while beyond <= self.stop and not is_other(beyond):
            beyond *= 2
        known = beyond // 2
        unknown = range(known + 1, min(beyond, self.stop + 1))
        return known + bisect_left(unknown, True, key=is_other)

    def extreme(self, place_of: Callable[[Array], Any]) -> tuple[int, float]:
        """Return the step that ``argmin`` or ``argmax`` finds, and the value there."""
        steps, values = self.samples
        place = place_of(values)
        return int(steps[place]), float(values[place])

    def factor(self) -> float | None:
        """Return the largest factor on the base value, or ``None`` where there is no factor."""
        if not isinstance(self.target.rule, Scale) or self.target.rule.offset is not None:
            return None
        return float(np.abs(self.schedule(self.samples[0])).max())

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


def pieces(schedule: Schedule, start: int | None = 0) -> Iterator[tuple[Schedule, int | None]]:
    """Yield a schedule and every schedule in it, each with the step at which its clock begins.

    The step is ``None`` where the part's clock has no one beginning or another pace.
    """
    yield schedule, start
    for part, begin in zip(schedule.parts(), schedule.part_starts(), strict=True):
        is_known = start is not None and begin is not None
        yield from pieces(part, start + begin if is_known else None)  # type: ignore[operator]


def leaf_at(schedule: Schedule, step: float) -> tuple[Schedule, float]:
    """Return the curve that alone decides the value at a step, and the step on its own clock."""
    while True:
        places = zip(schedule.parts(), schedule.part_steps(step), strict=True)
        active = [(part, own) for part, own in places if own is not None]
        if len(active) != 1:
            return schedule, step
        schedule, step = active[0]


def leaf_at_end(schedule: Schedule) -> tuple[Schedule, float]:
    """Return :func:`leaf_at` of the last update, or of one beyond any run where there is no end."""
    length = schedule.length
    return leaf_at(schedule, _FAR if length is None else max(length - 1, 0))
