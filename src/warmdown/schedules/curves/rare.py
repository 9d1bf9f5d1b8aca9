"""The rarer moves from a start to an end: bent, reflected, logarithmic, hyperbolic."""

from __future__ import annotations

__all__ = ["ExpHyperbolic", "Hyperbolic", "Log", "Rex", "Tanh"]

import math
from dataclasses import dataclass
from typing import final

from warmdown.errors import ScheduleError
from warmdown.run import Duration
from warmdown.schedules.base import Namespace, Schedule, Steps, Values
from warmdown.schedules.interpolate import mix, require_positive, shares


@final
@dataclass(frozen=True, kw_only=True)
class Rex(Schedule):
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

    start: float = 1.0
    end: float = 0.0
    steps: Duration = "rest"
    d: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d >= 1:
            raise ScheduleError(
                f"Rex(d={self.d}): the bend must be below 1. The paper's curve is d=0.5."
            )

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return mix(
            self,
            step,
            xp,
            left=lambda _, to_go: to_go / ((1 - self.d) + self.d * to_go),
            gone=lambda gone, to_go: (1 - self.d) * gone / ((1 - self.d) + self.d * to_go),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Tanh(Schedule):
    r"""A stretch of the hyperbolic tangent, scaled so that it meets ``start`` and ``end``.

    .. math:: v(t) = end + (start - end)\,\frac{\tanh u - \tanh x}{\tanh u - \tanh l},\quad x = l + (u - l)\,t / steps

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

    start: float = 1.0
    end: float = 0.0
    steps: Duration = "rest"
    lower: float = -6.0
    upper: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -300 <= self.lower < self.upper <= 300:
            raise ScheduleError(
                f"Tanh(lower={self.lower}, upper={self.upper}): -300 <= lower < upper <= 300 is "
                f"needed, like -6 and 4."
            )

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        def shares_of(gone: Values, to_go: Values) -> tuple[Values, Values]:
            # tanh a - tanh b = sinh(a - b) / (cosh a cosh b): nothing cancels
            span, at = self.upper - self.lower, self.lower * to_go + self.upper * gone
            whole = xp.cosh(at) * math.sinh(span)
            done = xp.sinh(span * gone) * math.cosh(self.upper) / whole
            return done, xp.sinh(span * to_go) * math.cosh(self.lower) / whole

        def left(gone: Values, to_go: Values) -> Values:
            done, rest = shares_of(gone, to_go)
            return xp.where(rest < done, rest, 1 - done)  # the smaller share has the smaller error

        def gone(gone: Values, to_go: Values) -> Values:
            done, rest = shares_of(gone, to_go)
            return xp.where(done < rest, done, 1 - rest)

        return mix(self, step, xp, left=left, gone=gone)


@final
@dataclass(frozen=True, kw_only=True)
class Log(Schedule):
    r"""A straight line over the logarithm of the step: most of the way at once.

    .. math:: v(t) = end + (start - end)\,\Bigl(1 - \frac{\ln(1 + t)}{\ln(1 + steps)}\Bigr),\; t \le steps

    Args:
        start: Value at step 0, in the unit of the scheduled field.
        end: Value from step ``steps`` on, in the same unit.
        steps: Length.

    Example:
        >>> Log(start=0.0, end=1.0, steps=3)([0, 1, 3])
        array([0. , 0.5, 1. ])
    """

    start: float = 1.0
    end: float = 0.0
    steps: Duration = "rest"

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        length = max(self.length or 0, 1)  # of no length, the shares say that it is at its end
        whole = math.log1p(length)
        return mix(
            self,
            step,
            xp,
            left=lambda gone, to_go: xp.log1p(to_go * length / (1 + gone * length)) / whole,
            gone=lambda gone, _: xp.log1p(gone * length) / whole,
        )


@final
@dataclass(frozen=True, kw_only=True)
class Hyperbolic(Schedule):
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

    start: float = 1.0
    infimum: float = 0.0
    steps: Duration = "rest"
    upper: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_upper(self, self.upper)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        drop = _hyperbolic_drop(step, self.length or 0, self.upper, xp)
        return self.infimum * drop + self.start * (1 - drop)


@final
@dataclass(frozen=True, kw_only=True)
class ExpHyperbolic(Schedule):
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

    start: float = 1.0
    infimum: float = 0.01
    steps: Duration = "rest"
    upper: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_upper(self, self.upper)
        require_positive(self, "start", "infimum")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.start * (self.infimum / self.start) ** _hyperbolic_drop(
            step, self.length or 0, self.upper, xp
        )


def _hyperbolic_drop(step: Steps, steps: int, upper: float, xp: Namespace) -> Values:
    """Return ``f(0) - f(t)`` of the hyperbola, without the cancellation."""
    if steps == 0:
        return xp.ones_like(step) * math.sqrt(2 / upper - 1 / upper**2)
    gone, to_go = shares(step, steps, xp)
    first = math.sqrt((2 - 1 / upper) / upper)
    here = xp.sqrt(to_go / upper * (2 - (1 + gone) / upper))
    return gone * (2 * upper - gone) / (upper**2 * (first + here))


def _require_upper(curve: Schedule, upper: float) -> None:
    if not 1 <= upper <= 1e9:
        raise ScheduleError(
            f"{type(curve).__name__}(upper={upper}): a multiple of this run's length from 1 to 1e9."
        )
