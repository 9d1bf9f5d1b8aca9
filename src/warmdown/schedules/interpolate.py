"""The way from start to end: shares of it, blends over it, and powers of it, all without losing digits."""

from __future__ import annotations

__all__ = ["from_zero", "mix", "power", "require_positive", "shares"]

from collections.abc import Callable
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.schedules.base import Namespace, Schedule, Steps, Values

Share = Callable[[Values, Values], Values]


def mix(
    curve: Any,
    step: Steps,
    xp: Namespace,
    *,
    left: Share,
    gone: Share | None = None,
    k: float = 1.0,
) -> Values:
    """Blend ``curve.start`` and ``curve.end``; ``left`` and ``gone`` turn the shares of the way into weights.

    The weight of the larger end is the one computed, so that a small value keeps all its digits;
    both ends are exact.
    """
    done, to_go = shares(step, curve.steps, xp, k)
    if abs(curve.start) >= abs(curve.end) or gone is None:
        weight = left(done, to_go)
        return curve.end * (1 - weight) + curve.start * weight
    weight = gone(done, to_go)
    return curve.start * (1 - weight) + curve.end * weight


def shares(step: Steps, steps: int, xp: Namespace, k: float = 1.0) -> tuple[Values, Values]:
    """Return the share of the way gone, raised to ``k``, and the share to go; neither by subtraction from one."""
    if steps == 0:
        return xp.ones_like(step), xp.zeros_like(step)
    at = xp.clip(step, 0, steps)
    gone, to_go = at / steps, (steps - at) / steps
    if k == 1:
        return gone, to_go
    inside = xp.where(to_go < 1, to_go, 0.5)
    return gone**k, xp.where(to_go < 1, -xp.expm1(k * xp.log1p(-inside)), 1.0)


def power(base: float, step: Steps, every: int, xp: Namespace) -> Values:
    """Return ``base ** (step / every)``, the exponent split so that its rounding does not grow with it."""
    coarse = xp.floor(step * 64 / every)
    fine = (step * 64 - coarse * every) / (64 * every)
    return base ** (coarse / 64) * base**fine


def from_zero(step: Steps, xp: Namespace) -> Steps:
    """Return the steps, none before the first."""
    return xp.clip(step, 0, None)


def require_positive(curve: Schedule, *names: str) -> None:
    """Refuse a schedule whose named fields are not above zero."""
    for name in names:
        value = getattr(curve, name)
        if value <= 0:
            raise ScheduleError(
                f"{type(curve).__name__}({name}={value}): a number above 0 is needed."
            )
