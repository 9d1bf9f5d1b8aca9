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
    end_weight: Share,
    k: float = 1.0,
) -> Values:
    """Return the values between ``curve.start`` and ``curve.end``.

    The weights are functions of the elapsed and the remaining share of the length, and add up to
    one. The weight of the larger end is the one computed, so that a small value keeps all its
    digits; both ends are exact.
    """
    elapsed, remaining = progress(step, curve.length or 0, xp, k)
    if abs(curve.start) >= abs(curve.end):
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
    return raised(at / steps, (steps - at) / steps, k, xp)


def raised(share: Values, rest: Values, k: float, xp: Namespace) -> tuple[Values, Values]:
    """Return ``share ** k`` and ``1 - share ** k``, where ``rest`` is ``1 - share``."""
    if k == 1:
        return share, rest
    is_far = share < 0.5  # where the logarithm is that of the share, and not of the rest
    far, near = xp.where(is_far & (share > 0), share, 1.0), xp.where(is_far, 0.0, rest)
    logarithm = xp.log(far) + xp.log1p(-near)  # one of the two is 0
    return share**k, xp.where(share > 0, -xp.expm1(k * logarithm), 1.0)


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
