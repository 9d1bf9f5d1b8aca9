"""A rate over a run as a polygon: what laws of the loss integrate over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from warmdown.errors import ForecastError, shortly
from warmdown.plan import Plan
from warmdown.schedules import Scale
from warmdown.schedules.feedback import feedbacks
from warmdown.schedules.sampling import Array, Function

_EVEN = 513
"""Steps of a first look at a plan."""
_EVERY = 2049
"""Up to so many updates every one is looked at."""
_CLOSE = 2e-4
"""How far a straight line may miss the rate between two knots, as a share of the highest rate."""
_MOST_KNOTS = 40_000
_RAMPS = 300
"""Pieces, at least, that a changing rate is cut into over a whole run: a law is curved where the
rate is straight."""
_LEAP = 0.02
"""A change of more than this share of the highest rate, between rows that are level on both sides,
is a leap and not a ramp."""


@dataclass(frozen=True, eq=False)
class RateCurve:
    """A learning rate, straight between its knots; two knots at one step are a leap.

    Args:
        steps: Updates, in rising order, from 0.
        rates: Learning rates there.

    Example:
        >>> curve = RateCurve.between([0, 10, 20], [0.0, 1.0, 1.0])
        >>> curve.total, curve.peak
        (15.0, 1.0)
    """

    steps: Array
    rates: Array

    @classmethod
    def between(cls, steps: object, rates: object) -> Self:
        """Return the curve through points.

        Raises:
            ForecastError: There are fewer than two, steps fall, or a rate is negative or not
                finite.
        """
        at = np.asarray(steps, dtype=np.float64)
        values = np.asarray(rates, dtype=np.float64)
        if at.ndim != 1 or at.shape != values.shape or at.size < 2:
            raise ForecastError(
                f"RateCurve({at.shape} steps, {values.shape} rates): as many rates as steps are "
                "needed, at least two."
            )
        if not (np.isfinite(values).all() and (values >= 0).all() and (np.diff(at) >= 0).all()):
            raise ForecastError(
                "RateCurve(rates=…): rates must be finite and not negative, steps must not fall."
            )
        return cls(at, values)

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the rate of a plan's first ``lr``, with a run's base rate where it scales.

        Raises:
            ForecastError: The plan drives no rate, has no length, or its base rate is not known.
        """
        plan = plan.over()
        target = next((target for target in plan.targets if target.name == "lr"), None)
        if target is None:
            raise ForecastError(
                "forecast(plan): the plan has no lr. Give one that drives the rate."
            )
        if not (stop := plan.length):
            raise ForecastError("forecast(plan): its length is not known. Give Run(total_steps=…).")
        needs_base = isinstance(target.rule, Scale)
        if needs_base and plan.run.lr is None:
            raise ForecastError(
                "forecast(plan): it scales a base rate that is not known. Give Run(lr=…) or --lr."
            )
        schedule = target.rule.of
        if any(any(feedbacks(part)) for part in target.rule.schedules()):
            raise ForecastError(
                f"forecast({shortly(schedule)}): it waits for a metric of the run. Its rate is not "
                "known before."
            )
        base = plan.run.lr or 0.0
        places = {*(phase.start for phase in target.phases()), *schedule.marks()}
        borders = [at for place in places for at in (place - 1, place) if 0 <= at <= stop]
        steps, rates = _sampled(lambda at: target.rule.value(at, base), int(stop), borders)
        return cls.between(steps, rates)

    @classmethod
    def logged(cls, steps: Array, rates: Array) -> Self:
        """Return the rate between rows of a log: straight, but where it leaps between level rows.

        The row that has a new rate is the update that used it.
        """
        change = np.abs(np.diff(rates))
        beside = np.maximum(np.r_[0.0, change[:-1]], np.r_[change[1:], 0.0])
        leaps = np.nonzero((change > _LEAP * rates.max()) & (beside < 0.1 * change))[0]
        leaps = leaps[leaps > 0]
        return cls.between(np.insert(steps, leaps + 1, steps[leaps + 1]),
                           np.insert(rates, leaps + 1, rates[leaps]))  # fmt: skip

    @cached_property
    def sums(self) -> Array:
        """The sum of rates up to each knot."""
        areas = np.diff(self.steps) * (self.rates[1:] + self.rates[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(areas)])

    @property
    def total(self) -> float:
        """The sum of all rates."""
        return float(self.sums[-1])

    @property
    def peak(self) -> float:
        """The highest rate."""
        return float(self.rates.max())

    @property
    def stop(self) -> float:
        """The last step."""
        return float(self.steps[-1])

    def until(self, step: float) -> RateCurve:
        """Return the part up to a step; past the end it stays at the last rate."""
        kept = self.steps < step
        last = np.interp(step, self.steps, self.rates)
        return RateCurve(np.r_[self.steps[kept], step], np.r_[self.rates[kept], last])

    def with_knots(self, steps: Array) -> RateCurve:
        """Return the same curve with knots at these steps too."""
        new = np.setdiff1d(steps, self.steps)
        at = np.r_[self.steps, new]
        order = np.argsort(at, kind="stable")
        rates = np.r_[self.rates, np.interp(new, self.steps, self.rates)]
        return RateCurve(at[order], rates[order])

    def finely_cut(self) -> RateCurve:
        """Return the same curve with knots inside long ramps."""
        longest = max((self.steps[-1] - self.steps[0]) / _RAMPS, 1.0)
        is_ramp = (np.diff(self.rates) != 0) & (np.diff(self.steps) > longest)
        inside = [
            np.linspace(self.steps[at], self.steps[at + 1], int(gap // longest) + 2)[1:-1]
            for at in np.nonzero(is_ramp)[0]
            for gap in [self.steps[at + 1] - self.steps[at]]
        ]
        return self.with_knots(np.concatenate(inside)) if inside else self


def _sampled(value: Function, stop: int, borders: list[int]) -> tuple[Array, Array]:
    """Return steps and rates: every update of a short run, else as many as straight lines need."""
    if stop < _EVERY:
        steps = np.arange(stop + 1.0)
        return steps, np.asarray(value(steps), dtype=np.float64)
    ends = np.geomspace(1, stop / 2, 64)
    steps = np.unique(np.r_[np.linspace(0, stop, _EVEN), ends, stop - ends, borders].round())
    rates = np.asarray(value(steps), dtype=np.float64)
    look = np.ones(steps.size - 1, dtype=bool)
    while look.any() and steps.size < _MOST_KNOTS:
        at = np.nonzero(look & (np.diff(steps) > 1))[0]
        if not at.size:
            break
        middle = ((steps[at] + steps[at + 1]) / 2).round()
        found = np.asarray(value(middle), dtype=np.float64)
        share = (middle - steps[at]) / (steps[at + 1] - steps[at])
        straight = rates[at] + share * (rates[at + 1] - rates[at])
        missed = np.abs(found - straight) > _CLOSE * max(np.abs(rates).max(), 1e-300)
        steps = np.insert(steps, at + 1, middle)
        rates = np.insert(rates, at + 1, found)
        # both halves of a piece that was missed are looked at once more
        halves = at + np.arange(at.size)
        look = np.zeros(steps.size - 1, dtype=bool)
        look[halves[missed]] = look[halves[missed] + 1] = True
    return steps, rates
