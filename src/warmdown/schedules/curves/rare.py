"""The rarer moves from a start to an end: bent, reflected, logarithmic, hyperbolic."""

from __future__ import annotations

__all__ = ["ExpHyperbolic", "Hyperbolic", "Log", "Rex", "Tanh"]

import math
from typing import final

from warmdown.run import Duration
from warmdown.schedules.base import Namespace, Schedule, Steps, Values, schedule_class
from warmdown.schedules.interpolate import Curve, interpolate, progress
from warmdown.schedules.parameters import require


@final
@schedule_class
class Rex(Curve):
    r"""Reflected exponential: high for long, then a steep end.

    .. math:: v(t) = end + (start - end)\,\frac{1 - t / steps}{1 - d\,t / steps},\; t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.
        d: Bend, below 1; 0 is a straight line. The paper has 0.5, OneTrainer 0.9.

    Raises:
        ScheduleError: ``d`` is not below 1.

    Example:
        >>> Rex(start=1.0, end=0.0, steps=4, d=0.5)([0, 2, 4]).round(4)
        array([1.    , 0.6667, 0.    ])

    Reference: Chen, Wolfe & Kyrillidis 2021, https://arxiv.org/abs/2107.04197.
    """

    d: float = 0.5

    def check_fields(self) -> None:
        require(self, self.d < 1, "the bend must be below 1. The paper's curve is d=0.5.", "d")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return interpolate(
            self,
            step,
            xp,
            start_weight=lambda _, remaining: remaining / ((1 - self.d) + self.d * remaining),
            end_weight=lambda elapsed, remaining: (
                (1 - self.d) * elapsed / ((1 - self.d) + self.d * remaining)
            ),
        )


@final
@schedule_class
class Tanh(Curve):
    r"""A stretch of the hyperbolic tangent, scaled so that it meets ``start`` and ``end``.

    .. math:: v(t) = end + (start - end)\,\frac{\tanh u - \tanh x}{\tanh u - \tanh l},\quad
              x = l + (u - l)\,t / steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.
        lower: Where on the tangent the move begins (*l*), at least -300.
        upper: Where it ends (*u*), above ``lower``, at most 300.

    Raises:
        ScheduleError: The bounds are not in order or too wide.

    Example:
        >>> decay = Tanh(start=1.0, end=0.0, steps=10)
        >>> decay(0), round(decay(6), 3), decay(10)
        (1.0, 0.5, 0.0)

    Reference: Hsueh, Li & Wu 2018, https://arxiv.org/abs/1806.01593.
    """

    lower: float = -6.0
    upper: float = 4.0

    def check_fields(self) -> None:
        reason = "-300 <= lower < upper <= 300 is needed, like -6 and 4."
        require(self, -300 <= self.lower < self.upper <= 300, reason, "lower", "upper")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        elapsed, remaining = progress(step, self.length or 0, xp)
        whole = 1 + xp.exp(-2 * xp.abs(self.lower * remaining + self.upper * elapsed))
        of_end = _tanh_share(elapsed, remaining, self.lower, self.upper, xp) / whole
        of_start = _tanh_share(remaining, elapsed, -self.upper, -self.lower, xp) / whole
        if abs(self.start) >= abs(self.end):
            # the smaller weight has the smaller error
            weight = xp.where(of_end < of_start, 1 - of_end, of_start)
            return _between(self.end, self.start, weight, xp)
        weight = xp.where(of_end < of_start, of_end, 1 - of_start)
        return _between(self.start, self.end, weight, xp)


def _between(small: float, large: float, weight: Values, xp: Namespace) -> Values:
    """Return the values of one way for a weight of one way, also in their last digit."""
    if small * large < 0:
        return small * (1 - weight) + large * weight
    way = large - small
    if abs(small + way) > abs(large):
        way = math.nextafter(way, 0.0)
    return xp.where(weight >= 1, large, small + way * weight)


def _tanh_share(
    elapsed: Values, remaining: Values, lower: float, upper: float, xp: Namespace
) -> Values:
    r"""Return :math:`(1 + e^{-2|x|}) (\tanh x - \tanh lower) / (\tanh upper - \tanh lower)`.

    The difference of two is :math:`\sinh(a - b) / (\cosh a \cosh b)`, here without their powers of
    e: nothing cancels, and nothing overflows.
    """
    span = upper - lower
    if upper <= 0:
        height = xp.exp(-2 * span * remaining)
    else:
        below = min(lower, 0.0)
        height = math.exp(2 * below) * xp.exp(2 * xp.clip(span * elapsed, None, -below))
    way = math.expm1(-2 * span) / (1 + math.exp(-2 * abs(upper)))
    return height * xp.expm1(-2 * span * elapsed) / way


@final
@schedule_class
class Log(Curve):
    r"""A straight line over the logarithm of the step: most of the way at once.

    .. math:: v(t) = end + (start - end)\,\Bigl(1 - \frac{\ln(1 + t)}{\ln(1 + steps)}\Bigr),\;
              t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.

    Example:
        >>> Log(start=0.0, end=1.0, steps=3)([0, 1, 3])
        array([0. , 0.5, 1. ])
    """

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        length = max(self.length or 0, 1)  # of no length, the shares say that it is at its end
        whole = math.log1p(length)
        return interpolate(
            self,
            step,
            xp,
            start_weight=lambda elapsed, remaining: (
                xp.log1p(remaining * length / (1 + elapsed * length)) / whole
            ),
            end_weight=lambda elapsed, _: xp.log1p(elapsed * length) / whole,
        )


@schedule_class
class _Hyperbola(Schedule):
    """An arc of a hyperbola that the longest run of several would have."""

    start: float = 1.0
    infimum: float = 0.0
    steps: Duration = "rest"
    upper: float = 1.0

    def check_fields(self) -> None:
        reason = "a multiple of this run's length from 1 to 1e9."
        require(self, 1 <= self.upper <= 1e9, reason, "upper")

    def drop(self, step: Steps, xp: Namespace) -> tuple[Values, Values]:
        """Return ``f(0) - f(t)`` and what it lacks to one, without cancellation."""
        elapsed, remaining = progress(step, self.length or 0, xp)
        upper = self.upper
        first = math.sqrt(2 * upper - 1) / upper
        here = xp.sqrt(remaining * (2 * (upper - 1) + remaining)) / upper
        drop = elapsed * (2 * upper - elapsed) / (upper**2 * (first + here))
        return drop, ((upper - 1) / upper) ** 2 / (1 + first) + here


@final
@schedule_class
class Hyperbolic(_Hyperbola):
    r"""An arc of a hyperbola whose early part hardly depends on the length of the run.

    .. math:: v(t) = start - (start - infimum)\,\bigl(f(0) - f(t)\bigr),\quad
              f(t) = \sqrt{\tfrac{N - t}{U}\bigl(2 - \tfrac{N + t}{U}\bigr)},\; N = steps,\; U =
              upper \cdot N

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        infimum: Value that is reached when ``upper`` is 1, and never undercut.
        steps: Length.
        upper: Length of the longest run it should agree with, as a multiple of ``steps``, at least
            1.

    Raises:
        ScheduleError: ``upper`` is below 1.

    Example:
        >>> Hyperbolic(start=1.0, infimum=0.0, steps=10, upper=1.0)(10)
        0.0

    Reference: Kim 2024, https://arxiv.org/abs/2407.15200.
    """

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        drop, left = self.drop(step, xp)
        return self.infimum * drop + self.start * left


@final
@schedule_class
class ExpHyperbolic(_Hyperbola):
    r"""The exponential of a hyperbola: :class:`Hyperbolic` over the logarithm of the value.

    .. math:: v(t) = start \,(infimum / start)^{f(0) - f(t)}

    Args:
        start: Value at step 0, positive, in the unit of the scheduled field.
        infimum: Value that is reached when ``upper`` is 1, positive.
        steps: Length.
        upper: Length of the longest run it should agree with, as a multiple of ``steps``, at least
            1.

    Raises:
        ScheduleError: ``upper`` is below 1, or a value is not positive.

    Example:
        >>> round(ExpHyperbolic(start=1.0, infimum=0.01, steps=10)(10), 12)
        0.01

    Reference: Kim 2024, https://arxiv.org/abs/2407.15200.
    """

    infimum: float = 0.01

    positive = ("start", "infimum")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        drop, left = self.drop(step, xp)
        ratio = self.infimum / self.start
        # from the nearer of the two, so that little is lost in the power
        return xp.where(
            drop < left,
            self.start * ratio ** xp.clip(drop, 0, 0.5),
            self.infimum * ratio ** -xp.clip(left, 0, 0.5),
        )
