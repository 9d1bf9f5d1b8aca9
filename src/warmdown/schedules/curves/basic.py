"""The moves everyone knows: from a start to an end in a number of steps."""

from __future__ import annotations

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseProportional",
    "Linear",
    "Polynomial",
    "Sqrt",
]

import math
from dataclasses import field
from typing import Self, final

from warmdown.run import Duration, Length, Run
from warmdown.schedules.base import Namespace, Schedule, Steps, Values, schedule_class
from warmdown.schedules.interpolate import Curve, interpolate, power, progress, raised
from warmdown.schedules.parameters import require


@final
@schedule_class
class Constant(Schedule):
    """One number for good.

    .. math:: v(t) = value

    Args:
        value: The number, in the unit of the scheduled field; its name may be left out.
        steps: Length as a phase of a chain; alone, it never matters.

    Example:
        >>> Constant(0.05)(1_000_000)
        0.05
    """

    value: float = field(default=1.0, kw_only=False)
    steps: Duration = "rest"

    is_constant = True
    is_stepwise = True

    @property
    def is_resolved(self) -> bool:
        """Whether it can be called: one number needs no length."""
        return True

    def is_flat(self, first: float, last: float) -> bool:
        """One number is flat everywhere."""
        return True

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return xp.full_like(xp.asarray(step), self.value)

    def resolve(self, run: Run, available: Length) -> Self:
        is_measured = isinstance(self.steps, int) or (available is None and self.steps == "rest")
        return self if is_measured else super().resolve(run, available)


@final
@schedule_class
class Linear(Curve):
    r"""A straight line from ``start`` to ``end``.

    .. math:: v(t) = end + (start - end)\,(1 - t / steps),\; t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.

    Example:
        >>> warmup = Linear(start=0.0, end=1.0, steps=4)
        >>> warmup(0), warmup(1), warmup(9)
        (0.0, 0.25, 1.0)
    """

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return interpolate(
            self,
            step,
            xp,
            start_weight=lambda _, remaining: remaining,
            end_weight=lambda elapsed, _: elapsed,
        )


@final
@schedule_class
class Cosine(Curve):
    r"""Half a cosine wave from ``start`` to ``end``, flat at both ends.

    .. math:: v(t) = end + (start - end)
              \left[\tfrac12 (1 + \cos \pi (t / steps)^{k})\right]^{exponent},\; t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.
        k: Order of the decay, positive; above 1 the value stays high for longer (k-decay).
        exponent: Power of the half wave, positive; above 1 the tail is longer.

    Raises:
        ScheduleError: ``k`` or ``exponent`` is not positive.

    Example:
        >>> decay = Cosine(start=1.0, end=0.0, steps=4)
        >>> decay(0), decay(4), decay(9)
        (1.0, 0.0, 0.0)
        >>> decay([0, 1, 2, 3, 4]).round(3)
        array([1.   , 0.854, 0.5  , 0.146, 0.   ])

    Reference: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts;
        Zhang & Li 2020, https://arxiv.org/abs/2004.05909, for ``k``.
    """

    k: float = 1.0
    exponent: float = 1.0

    positive = ("k", "exponent")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        def weights(elapsed: Values, remaining: Values) -> tuple[Values, Values]:
            # not 1 + cos, which loses its digits at the tail
            wave, mirrored = (xp.sin(share * (math.pi / 2)) ** 2 for share in (remaining, elapsed))
            return raised(wave, mirrored, self.exponent, xp)

        return interpolate(
            self,
            step,
            xp,
            start_weight=lambda elapsed, remaining: weights(elapsed, remaining)[0],
            end_weight=lambda elapsed, remaining: weights(elapsed, remaining)[1],
            k=self.k,
        )


@final
@schedule_class
class Polynomial(Curve):
    r"""A power of the way still to go, from ``start`` to ``end``.

    .. math:: v(t) = end + (start - end)\,\bigl(1 - (t / steps)^{k}\bigr)^{power},\; t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.
        power: Positive; 1 is a straight line, above 1 falls early, below 1 falls late.
        k: Order of the decay, positive; ``power=1, k=2`` is the 1-square decay.

    Raises:
        ScheduleError: ``power`` or ``k`` is not positive.

    Example:
        >>> Polynomial(start=1.0, end=0.0, steps=4, power=2.0)([0, 1, 2, 3, 4])
        array([1.    , 0.5625, 0.25  , 0.0625, 0.    ])
    """

    power: float = 2.0
    k: float = 1.0

    positive = ("power", "k")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return interpolate(
            self,
            step,
            xp,
            start_weight=lambda _, remaining: remaining**self.power,
            end_weight=lambda elapsed, remaining: raised(remaining, elapsed, self.power, xp)[1],
            k=self.k,
        )


@final
@schedule_class
class Sqrt(Curve):
    r"""The 1-sqrt decay: a quick first fall, then ever straighter.

    .. math:: v(t) = end + (start - end)\,\bigl(1 - \sqrt{t / steps}\bigr),\; t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.

    Example:
        >>> Sqrt(start=1.0, end=0.0, steps=4)([0, 1, 4])
        array([1. , 0.5, 0. ])

    Reference: Hägele et al. 2024, https://arxiv.org/abs/2405.18392.
    """

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return interpolate(
            self,
            step,
            xp,
            # 1 - sqrt(elapsed), without the cancellation
            start_weight=lambda elapsed, remaining: remaining / (1 + xp.sqrt(elapsed)),
            end_weight=lambda elapsed, _: xp.sqrt(elapsed),
        )


@final
@schedule_class
class Exponential(Curve):
    r"""The same factor every step, from ``start`` to ``end``.

    .. math:: v(t) = start \,(end / start)^{t / steps},\; t \le steps

    Args:
        start: Value at step 0, not zero, in the unit of the scheduled field.
        end: Value from step ``steps`` on, of the same sign.
        steps: Length.

    Raises:
        ScheduleError: ``start`` and ``end`` are not of one sign.

    Example:
        >>> sweep = Exponential(start=1e-4, end=1.0, steps=4)
        >>> round(sweep(2), 12), sweep(4)
        (0.01, 1.0)
    """

    end: float = 0.01

    def check_fields(self) -> None:
        _require_one_sign(self)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        last = self.length or 0
        at = xp.clip(step, 0, last)
        value = self.start * power(self.end / self.start, at, max(last, 1), xp)
        return xp.where(at >= last, self.end, value)


@final
@schedule_class
class InverseProportional(Curve):
    r"""A straight line of the reciprocal: steep at first, then gentle.

    .. math:: v(t) = \left[\frac{1 - t / steps}{start} + \frac{t / steps}{end}\right]^{-1},\;
              t \le steps

    Args:
        start: Value at step 0, not zero, in the unit of the scheduled field.
        end: Value from step ``steps`` on, of the same sign.
        steps: Length.

    Raises:
        ScheduleError: ``start`` and ``end`` are not of one sign.

    Example:
        >>> InverseProportional(start=1.0, end=0.25, steps=3)([0, 1, 3])
        array([1.  , 0.5 , 0.25])

    Reference: Wen et al. 2024, https://arxiv.org/abs/2410.05192, the decay of WSD-S.
    """

    end: float = 0.1

    def check_fields(self) -> None:
        _require_one_sign(self)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        elapsed, remaining = progress(step, self.length or 0, xp)
        scale = 2.0 ** (math.frexp(self.start)[1] - 1)  # changes no digit, and nothing overflows
        start, end = self.start / scale, self.end / scale
        value = start * end / (end * remaining + start * elapsed) * scale
        return xp.where(remaining <= 0, self.end, value)


def _require_one_sign(curve: Exponential | InverseProportional) -> None:
    reason = (
        "both must be of one sign and not zero, because the curve multiplies. Use Linear or Cosine "
        "to reach zero."
    )
    is_of_one_sign = min(curve.start, curve.end) > 0 or max(curve.start, curve.end) < 0
    require(curve, is_of_one_sign, reason, "start", "end")
