"""From a start to an end: shares of the length, values between, powers; none loses digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from warmdown.run import Duration
from warmdown.schedules.base import Namespace, Schedule, Steps, Values, schedule_class

Share = Callable[[Values, Values], Values]


@schedule_class
class Curve(Schedule):
    """A move from ``start`` to ``end`` in a number of steps; from there on ``end`` holds."""

    start: float = 1.0
    end: float = 0.0
    steps: Duration = "rest"


def interpolate(
    curve: Curve,
    step: Steps,
    xp: Namespace,
    *,
    start_weight: Share,
    end_weight: Share | None = None,
    k: float = 1.0,
) -> Values:
    """Return the values between ``curve.start`` and ``curve.end``.

    The weights are functions of the elapsed and the remaining share of the length. The weight of
    the larger end is the one computed, so that a small value keeps all its digits; both ends are
    exact.
    """
    elapsed, remaining = progress(step, curve.length or 0, xp, k)
    if abs(curve.start) >= abs(curve.end) or end_weight is None:
        weight = start_weight(elapsed, remaining)
        return curve.end * (1 - weight) + curve.start * weight
    weight = end_weight(elapsed, remaining)
    return curve.start * (1 - weight) + curve.end * weight


def progress(step: Steps, steps: int, xp: Namespace, k: float = 1.0) -> tuple[Values, Values]:
    """Return the elapsed share of the length, raised to ``k``, and the remaining share.

    Neither is found by subtraction from one, which would lose its digits near the other end.
    """
    if steps == 0:
        return xp.ones_like(step), xp.zeros_like(step)
    at = xp.clip(step, 0, steps)
    elapsed, remaining = at / steps, (steps - at) / steps
    if k == 1:
        return elapsed, remaining
    inside = xp.where(remaining < 1, remaining, 0.5)
    return elapsed**k, xp.where(remaining < 1, -xp.expm1(k * xp.log1p(-inside)), 1.0)


def power(base: float, step: Steps, every: int, xp: Namespace) -> Values:
    """Return ``base ** (step / every)``; the exponent is split to keep its rounding small."""
    coarse = xp.floor(step * 64 / every)
    fine = (step * 64 - coarse * every) / (64 * every)
    return base ** (coarse / 64) * base**fine


def pick(values: Sequence[float], at: Sequence[Any], step: Steps, xp: Namespace) -> Values:
    """Return the value that holds at each step: the first before ``at[0]``, then the next."""
    if xp is np:
        marks = np.asarray(at, dtype=np.float64)
        return np.asarray(values)[np.searchsorted(marks, step, side="right")]
    value = xp.full_like(step, values[0])
    for mark, later in zip(at, values[1:], strict=True):
        value = xp.where(step >= mark, later, value)
    return value


def clip_start(step: Steps, xp: Namespace) -> Steps:
    """Return the steps, those before step 0 as step 0."""
    return xp.clip(step, 0, None)
