"""Rules that read a rate off the curve of a range test, each with its uncertainty.

A rule that finds nothing gives the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from warmdown.schedules.base import PlainData

Array: TypeAlias = npt.NDArray[np.float64]
Reading: TypeAlias = float | str
"""A rate, or why there is none."""

_DRAWS = 200
_BLOCK = 5
_CLEAR_FALL = 3.0
"""A fall counts when it is this many standard errors of the smoothed curve."""
_QUANTILES = (0.01, 0.99)
_WIDENINGS = (1.5, 2.0, 3.0, 4.0)
"""Widths that are tried where the smoothing that was asked for shows no place, in widths of it."""
_NOISE_WIDTH = 5.0
"""Width over which noise is measured, in widths of the smoothing."""
_SLOPE_DOUBT = 3.0
"""Standard errors that are added to a slope before slopes are compared."""
_BEGUN = 0.1
"""Share of the fall that is made where a valley begins."""
_MANY_TIMES = 5.0
"""A fall from which on losses may be smoothed in logarithms."""
_CLEAR_SLOPE = 5.0
"""Standard errors by which a slope must differ from none to be found again in another test."""


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
        self.values, self.smoothing, self.has_ended = values, smoothing, has_ended
        self.losses, self._is_log = _without_burst(losses)
        self._rows = np.log(self.losses) if self._is_log else self.losses
        place = np.log(values) if values[0] > 0 else values
        self._level, self._slope = _operators(place, smoothing)
        # three times narrower: residuals from it contain noise, not bends
        self._close, _ = _operators(place, smoothing / 3)
        mean = self._rows.mean(axis=0)
        self._fit(mean)
        # the noise at each place is that of its neighbours: it falls with the loss, and grows
        # where training becomes unstable
        nearby = _weights(place, _NOISE_WIDTH * smoothing)
        variance = nearby @ self._noise_in(mean) ** 2 / np.sum(nearby, axis=1)
        self._error = np.sqrt(self._level**2 @ variance)
        self._doubt = np.sqrt(self._slope**2 @ variance) * self._unit

    def _fit(self, mean: Array) -> None:
        """Set the smoothed mean and its slope, both in units of the loss."""
        self._smooth = self._level @ mean
        self.mean = np.exp(self._smooth) if self._is_log else self._smooth
        self._unit = self.mean if self._is_log else np.ones_like(mean)
        self.fall = self._slope @ mean * self._unit

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
        certain = (self.fall + _SLOPE_DOUBT * self._doubt)[: self.lowest + 1]
        index = int(np.argmin(certain))
        return index if certain[index] < 0 else None

    @property
    def is_clear(self) -> bool:
        """Whether the loss falls, and where would show in nearly every other test of this kind."""
        certain = (self.fall + _CLEAR_SLOPE * self._doubt)[: self.lowest + 1]
        return self.does_fall and bool(np.min(certain) < 0)

    @property
    def does_fall(self) -> bool:
        """Whether the loss falls by more than its noise."""
        highest = int(np.argmax(self.mean[: self.lowest + 1]))
        drop = self._smooth[highest] - self._smooth[self.lowest]
        error = np.hypot(self._error[highest], self._error[self.lowest])
        return bool(drop > _CLEAR_FALL * error and self.lowest > 1)

    def resampled(self, draws: np.random.Generator | None) -> LossCurve:
        """Return the curve as it could have come out, by a wild bootstrap over blocks.

        Repeats are drawn with replacement; the sign of the noise is drawn once a block, so that it
        stays as large as it is at its place. Without draws there is no noise: what a rule reads
        there is what the others scatter around.
        """
        repeats, length = self._rows.shape
        if draws is None:
            mean = self._level @ self._rows.mean(axis=0)
        else:
            drawn = self._rows[draws.integers(0, repeats, repeats)].mean(axis=0)
            signs = np.repeat(draws.choice([-1.0, 1.0], -(-length // _BLOCK)), _BLOCK)[:length]
            mean = self._level @ drawn + self._noise_in(drawn) * signs
        # the operators depend on the rates alone, and cost most of the time
        other = copy.copy(self)
        other._fit(mean)
        return other

    def _noise_in(self, losses: Array) -> Array:
        """Return each loss's distance from a close fit to the others: a bend is no noise."""
        residuals: Array = (losses - self._close @ losses) / (1 - np.diag(self._close))
        return residuals


def clear_curve(values: Array, losses: Array, smoothing: float, *, has_ended: bool) -> LossCurve:
    """Return the curve at the least smoothing, from the given one on, that shows where it falls.

    Where none does, it is the curve at the given one.
    """
    given = LossCurve(values, losses, smoothing, has_ended=has_ended)
    widths = (smoothing * widening for widening in _WIDENINGS)
    wider = (LossCurve(values, losses, width, has_ended=has_ended) for width in widths)
    return next((one for one in chain([given], wider) if one.is_clear), given)


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
            centre = _apply_rule(rule, curve.resampled(None))
            low, high = _interval(values, value, centre)
            found[name] = Suggestion(name, value, low, high, aim)
    return found


def _interval(values: Sequence[float], value: float, centre: Reading) -> tuple[float, float]:
    """Return where the rate lies, from the rates of resampled curves.

    Smoothing moves a place a little, and those curves are smoothed twice: what they scatter around,
    ``centre``, may lie beside the value. So the interval is that of the rates as they are and as
    they are around the value, whichever is wider. The quantiles are wider than 90 %: those
    gave the truth in about nine of ten simulated tests.
    """
    low, high = np.quantile(values, _QUANTILES).tolist()
    shift = 1.0 if isinstance(centre, str) else value / centre
    return min(value, low, low * shift), max(value, high, high * shift)


def _apply_rule(rule: Callable[[LossCurve], Reading], curve: LossCurve) -> Reading:
    return rule(curve) if curve.does_fall else "the loss does not fall by more than its noise."


def _steepest(curve: LossCurve) -> Reading:
    return _rate_at(curve, curve.steepest, "the loss falls fastest")


def _minimum_tenth(curve: LossCurve) -> Reading:
    if curve.lowest >= len(curve.values) - 1 and not curve.has_ended:
        return "the loss still falls at the very end: sweep further."
    return float(curve.values[curve.lowest]) / 10


def _valley(curve: LossCurve) -> Reading:
    before = curve.mean[: curve.lowest + 1]
    begun = np.max(before) - _BEGUN * (np.max(before) - before[-1])
    start = int(np.flatnonzero(before >= begun)[-1])
    return float(curve.values[round(start + 2 / 3 * (curve.lowest - start))])


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
    "valley": (
        _valley,
        "two thirds along the fall, from where a tenth of it is made to the lowest loss",
    ),
    "minimum/10": (_minimum_tenth, "a tenth of the rate with the lowest loss"),
    "slide": (
        _slide,
        "the largest rate at which the loss falls at least half as fast as at its steepest",
    ),
}
"""Every rule with what it looks for."""


def _without_burst(losses: Array) -> tuple[Array, bool]:
    """Return losses without the burst after their lowest point, and whether they are logarithmic.

    What bursts is cut at the height it came from: a loss of a thousand at the end would reach,
    through any smoothing, the points before it. Losses are better seen in logarithms where they
    fall many times over, and their noise with them.
    """
    mean = losses.mean(axis=0)
    calm = np.median(sliding_window_view(np.pad(mean, 2, mode="edge"), 5), axis=1)
    lowest = int(np.argmin(calm))
    if not lowest:
        return losses, False
    cut = np.minimum(losses, np.max(losses[:, :lowest]))
    fold = np.max(calm[:lowest]) / calm[lowest] if np.min(losses) > 0 else 1.0
    if fold < _MANY_TIMES:
        return cut, False
    is_high = calm[:lowest] > calm[lowest] * np.sqrt(fold)
    noise = np.abs(mean - calm)[:lowest]
    above, below = np.sum(noise * is_high), np.sum(noise * ~is_high)
    share = np.sum(is_high) / max(np.sum(~is_high), 1)
    return cut, bool(above > np.cbrt(fold) * share * below)


def _weights(place: Array, smoothing: float) -> Array:
    """Return how much each point counts at each place."""
    # at least neighbours take part, however little is smoothed
    width = max(smoothing * (place[-1] - place[0]), 0.6 * np.max(np.diff(place)))
    weights: Array = np.exp(-0.5 * ((place[None, :] - place[:, None]) / width) ** 2)
    return weights


def _operators(place: Array, smoothing: float) -> tuple[Array, Array]:
    """Return the matrices that turn losses into level and slope of a local straight line."""
    away = place[None, :] - place[:, None]
    weight = _weights(place, smoothing)
    moments = [np.sum(weight * away**power, axis=1, keepdims=True) for power in range(3)]
    area = moments[0] * moments[2] - moments[1] ** 2
    level = weight * (moments[2] - moments[1] * away) / area
    slope = weight * (moments[0] * away - moments[1]) / area
    return level, slope
