"""Rules that read a rate off the curve of a range test, each with its uncertainty.

A rule that finds nothing gives the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

from warmdown.schedules.base import PlainData

Array: TypeAlias = npt.NDArray[np.float64]
Reading: TypeAlias = float | str
"""A rate, or why there is none."""

_DRAWS = 200
_BLOCK = 5
_CLEAR_FALL = 3.0
"""A fall counts when it is this many standard errors of the smoothed curve."""
_SLOPE_DOUBT = 3.0
"""Standard errors that are added to a slope before slopes are compared."""


@final
@dataclass(frozen=True)
class Suggestion:
    """The suggestion of one rule.

    Args:
        rule: Its name.
        value: The rate, for the group with the largest base value; ``None``: there is nothing to
            suggest.
        low: Lower end of the 90 % interval of resampled curves, or ``None``.
        high: Upper end, or ``None``.
        reason: What the rule looks for; or why it found nothing.
    """

    rule: str
    value: float | None
    low: float | None
    high: float | None
    reason: str

    def to_dict(self) -> PlainData:
        """Return plain data."""
        facts = dict(vars(self))
        facts["says"] = facts.pop("reason")
        return facts


class LossCurve:
    """Losses over rates, smoothed without lag by a straight line around each point.

    Args:
        values: The rates, rising.
        losses: One row a repeat.
        smoothing: Width of the fit, as a share of the sweep.
        has_ended: Whether the sweep was ended by divergence.
    """

    def __init__(self, values: Array, losses: Array, smoothing: float, *, has_ended: bool) -> None:
        self.values, self.losses, self.has_ended = values, losses, has_ended
        place = np.log(values) if values[0] > 0 else values
        self._level, self._slope = _operators(place, smoothing)
        # three times narrower: residuals from it contain noise, not bends
        self._close, _ = _operators(place, smoothing / 3)
        mean = losses.mean(axis=0)
        self.mean, self.fall = self._level @ mean, self._slope @ mean
        # the standard deviation of the noise up to the lowest point: behind it, bursts are no noise
        stop = max(self.lowest + 1, 10)
        spread = np.sqrt(np.mean(self._noise_in(mean)[:stop] ** 2))
        self.noise = spread * np.sqrt(np.max(np.sum(self._level**2, axis=1)))
        self._doubt = _SLOPE_DOUBT * spread * np.sqrt(np.sum(self._slope**2, axis=1))

    @property
    def lowest(self) -> int:
        """Index of the lowest smoothed loss."""
        return int(np.argmin(self.mean))

    @property
    def steepest(self) -> int | None:
        """Index of the steepest fall beyond doubt, up to the lowest point; ``None``: there is none.

        A slope is least certain at the ends of a curve; without the doubt, the noise of the first
        points would often win.
        """
        certain = (self.fall + self._doubt)[: self.lowest + 1]
        index = int(np.argmin(certain))
        return index if certain[index] < 0 else None

    @property
    def does_fall(self) -> bool:
        """Whether the loss falls by more than its noise."""
        drop = float(np.max(self.mean[: self.lowest + 1]) - self.mean[self.lowest])
        return drop > _CLEAR_FALL * self.noise and self.lowest > 1

    def resampled(self, draws: np.random.Generator) -> LossCurve:
        """Return the curve as it could have come out, by a wild bootstrap over blocks.

        Repeats are drawn with replacement; the sign of the noise is drawn once a block, so that it
        stays as large as it is at its place.
        """
        repeats, length = self.losses.shape
        drawn = self.losses[draws.integers(0, repeats, repeats)].mean(axis=0)
        signs = np.repeat(draws.choice([-1.0, 1.0], -(-length // _BLOCK)), _BLOCK)[:length]
        losses = self._level @ drawn + self._noise_in(drawn) * signs
        # the operators depend on the rates alone, and cost most of the time
        other = copy.copy(self)
        other.losses = losses[None]
        other.mean, other.fall = self._level @ losses, self._slope @ losses
        return other

    def _noise_in(self, losses: Array) -> Array:
        """Return each loss's distance from a close fit to the others: a bend is no noise."""
        residuals: Array = (losses - self._close @ losses) / (1 - np.diag(self._close))
        return residuals


def suggestions(curve: LossCurve, seed: int = 0) -> dict[str, Suggestion]:
    """Return every rule's suggestion for a curve; the same curve and seed give the same."""
    # a seed of its own: the same curve gives the same interval
    draws = np.random.default_rng(seed)
    others = [curve.resampled(draws) for _ in range(_DRAWS)]
    found = {}
    for name, (rule, aim) in RULES.items():
        value = _apply_rule(rule, curve)
        readings = [_apply_rule(rule, other) for other in others]
        values = [rate for rate in readings if not isinstance(rate, str)]
        if not isinstance(value, str) and len(values) <= _DRAWS / 2:
            value = "most resampled curves give no rate: the noise is too large."
        if isinstance(value, str):
            found[name] = Suggestion(name, None, None, None, value)
        else:
            low, high = np.quantile(values, [0.05, 0.95]).tolist()
            found[name] = Suggestion(name, value, low, high, aim)
    return found


def _apply_rule(rule: Callable[[LossCurve], Reading], curve: LossCurve) -> Reading:
    return rule(curve) if curve.does_fall else "the loss does not fall by more than its noise."


def _steepest(curve: LossCurve) -> Reading:
    return _rate_at(curve, curve.steepest, "the loss falls fastest")


def _minimum_tenth(curve: LossCurve) -> Reading:
    if curve.lowest >= len(curve.values) - 1 and not curve.has_ended:
        return "the loss still falls at the very end: sweep further."
    return float(curve.values[curve.lowest]) / 10


def _valley(curve: LossCurve) -> Reading:
    falls = np.diff(curve.mean) < 0
    edges = np.flatnonzero(np.diff(falls.astype(int), prepend=0, append=0))
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    index = round(float(starts[longest] + 2 / 3 * (stops[longest] - starts[longest])))
    return float(curve.values[index])


def _slide(curve: LossCurve) -> Reading:
    index = curve.steepest
    if index is not None:
        is_fast = curve.fall[: curve.lowest + 1] <= curve.fall[index] / 2
        index = int(np.flatnonzero(is_fast)[-1])
    return _rate_at(curve, index, "the loss still falls fast")


def _rate_at(curve: LossCurve, index: int | None, what: str) -> Reading:
    if index is None:
        return (
            "nowhere does the loss fall faster than its noise: more repeats, or a larger smoothing."
        )
    if index == len(curve.values) - 1:
        return f"{what} at the very end: sweep further."
    return float(curve.values[index])


RULES: Mapping[str, tuple[Callable[[LossCurve], Reading], str]] = {
    "steepest": (_steepest, "where the loss falls fastest over the logarithm of the rate"),
    "valley": (_valley, "two thirds along the longest stretch of falling loss"),
    "minimum/10": (_minimum_tenth, "a tenth of the rate with the lowest loss"),
    "slide": (
        _slide,
        "the largest rate at which the loss falls at least half as fast as at its steepest",
    ),
}
"""Every rule with what it looks for."""


def _operators(place: Array, smoothing: float) -> tuple[Array, Array]:
    """Return the matrices that turn losses into level and slope of a local straight line."""
    # at least neighbours take part, however little is smoothed
    width = max(smoothing * (place[-1] - place[0]), 0.6 * np.max(np.diff(place)))
    away = place[None, :] - place[:, None]
    weight = np.exp(-0.5 * (away / width) ** 2)
    moments = [np.sum(weight * away**power, axis=1, keepdims=True) for power in range(3)]
    area = moments[0] * moments[2] - moments[1] ** 2
    level = weight * (moments[2] - moments[1] * away) / area
    slope = weight * (moments[0] * away - moments[1]) / area
    return level, slope
