"""Moves without an end: they keep falling, ever more slowly."""

from __future__ import annotations

__all__ = ["ExponentialDecay", "InverseSqrt", "InverseTime", "Power"]

from typing import final

from warmdown.schedules.base import Namespace, Schedule, Steps, Values, schedule_class
from warmdown.schedules.interpolate import clip_start, power
from warmdown.schedules.parameters import require


@final
@schedule_class
class ExponentialDecay(Schedule):
    r"""A factor ``gamma`` for every ``every`` steps, without end.

    .. math:: v(t) = start \cdot gamma^{t / every}

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        gamma: Factor, positive.
        every: Steps that one factor takes, at least 1.

    Raises:
        ScheduleError: ``gamma`` or ``every`` is not positive.

    Example:
        >>> ExponentialDecay(start=1.0, gamma=0.5, every=10)([0, 10, 30])
        array([1.   , 0.5  , 0.125])
    """

    start: float = 1.0
    gamma: float = 0.9
    every: int = 1

    positive = ("gamma", "every")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.start * power(self.gamma, clip_start(step, xp), self.every, xp)


@final
@schedule_class
class InverseTime(Schedule):
    r"""Inverse-time decay, without end.

    .. math:: v(t) = \frac{start}{1 + rate \cdot t / every}

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        rate: Growth of the divisor for each ``every`` steps, not negative.
        every: Steps that one ``rate`` takes, at least 1.

    Raises:
        ScheduleError: ``rate`` is negative, or ``every`` is not positive.

    Example:
        >>> InverseTime(start=1.0, rate=0.5, every=10)([0, 20])
        array([1. , 0.5])
    """

    start: float = 1.0
    rate: float = 1.0
    every: int = 1

    positive = ("every",)

    def check_fields(self) -> None:
        reason = "the divisor would reach zero. Give a rate of at least 0."
        require(self, self.rate >= 0, reason, "rate")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.start / (1 + self.rate * clip_start(step, xp) / self.every)


@final
@schedule_class
class Power(Schedule):
    r"""A power law of the step, without end: its height does not depend on how long the run is.

    .. math:: v(t) = start \left(\frac{timescale}{timescale + t}\right)^{exponent}

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        timescale: Steps until the base of the power has halved, at least 1; after a warmup, the
            warmup's length.
        exponent: Power, positive.

    Raises:
        ScheduleError: ``timescale`` or ``exponent`` is not positive.

    Example:
        >>> Power(start=1.0, timescale=100, exponent=1.0)([0, 100, 300])
        array([1.  , 0.5 , 0.25])

    Reference: Shen et al. 2024, https://arxiv.org/abs/2408.13359, the power scheduler.
    """

    start: float = 1.0
    timescale: int = 1000
    exponent: float = 0.5

    positive = ("timescale", "exponent")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return (
            self.start * (self.timescale / (self.timescale + clip_start(step, xp))) ** self.exponent
        )


@final
@schedule_class
class InverseSqrt(Schedule):
    r"""Inverse square root decay, without end.

    .. math:: v(t) = start \sqrt{\frac{timescale}{timescale + t}}

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        timescale: Steps until the value has fallen by the square root of two; after a warmup, the
            warmup's length.

    Raises:
        ScheduleError: ``timescale`` is not positive.

    Example:
        >>> InverseSqrt(start=1.0, timescale=100)([0, 300])
        array([1. , 0.5])

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.
    """

    start: float = 1.0
    timescale: int = 1000

    positive = ("timescale",)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.start * xp.sqrt(self.timescale / (self.timescale + clip_start(step, xp)))
