"""Rules that read a rate off the curve of a range test, each with its uncertainty, or with nothing to suggest."""

from __future__ import annotations

__all__ = ["RULES", "Curve", "Suggestion", "suggestions"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = "int | str"
"""Where on the curve, or why nowhere."""

_DRAWS = 200
_BLOCK = 5
_CLEAR = 3.0
"""A fall counts when it is this many standard errors of the smoothed curve."""
_DOUBT = 3.0
"""Of so many standard errors a slope gets the disadvantage."""
_UNCLEAR = "nowhere does the loss fall faster than its noise: more repeats, or a larger smoothing."


@final
@dataclass(frozen=True)
class Suggestion:
    """What one rule says.

    Args:
        rule: Its name.
        value: The rate, for the group with the largest base value; ``None``: there is nothing to
            suggest.
        low: Lower end of the 90 % interval of resampled curves, or ``None``.
        high: Upper end, or ``None``.
        says: What the rule looks for; or why it found nothing.
    """

    rule: str
    value: float | None
    low: float | None
    high: float | None
    says: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "rule": self.rule,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "says": self.says,
        }


class Curve:
    """Losses over rates, smoothed without lag: a straight line is fitted around each point, near points weigh more.

    Args:
        values: The rates, rising.
        losses: One row a repeat.
        smoothing: Width of the fit, as a share of the sweep.
        has_ended: Whether the sweep was ended by divergence.
    """

    def __init__(self, values: Array, losses: Array, smoothing: float, *, has_ended: bool) -> None:
        self.values, self.losses, self.has_ended = values, losses, has_ended
        self._place = np.log(values) if values[0] > 0 else values
        self._level, self._slope = _operators(self._place, smoothing)
        self._close, _ = _operators(self._place, smoothing / 3)
        self.mean = self._level @ losses.mean(axis=0)
        self.fall = self._slope @ losses.mean(axis=0)
        spread = self._spread()
        self.noise = spread * float(np.sqrt(np.max(np.sum(self._level**2, axis=1))))
        self._doubt = _DOUBT * spread * np.sqrt(np.sum(self._slope**2, axis=1))

    def at(self, index: int) -> float:
        """Return the rate at a point."""
        return float(self.values[index])

    @property
    def lowest(self) -> int:
        """Where the smoothed loss is lowest."""
        return int(np.argmin(self.mean))

    @property
    def steepest(self) -> int | None:
        """Where the loss, up to its lowest point, falls fastest beyond doubt; ``None``: nowhere beyond doubt.

        A slope is least certain at the ends of a curve; without this the noise of the first points
        would often win.
        """
        certain = (self.fall + self._doubt)[: self.lowest + 1]
        index = int(np.argmin(certain))
        return index if certain[index] < 0 else None

    @property
    def does_fall(self) -> bool:
        """Whether the loss falls by more than its noise."""
        drop = float(np.max(self.mean[: self.lowest + 1]) - self.mean[self.lowest])
        return drop > _CLEAR * self.noise and self.lowest > 1

    def resampled(self, draws: np.random.Generator) -> Curve:
        """Return the curve as it could have come out: repeats drawn anew, residuals turned around in blocks."""
        repeats, length = self.losses.shape
        chosen = self.losses[draws.integers(0, repeats, repeats)].mean(axis=0)
        smooth = self._level @ chosen
        twin = object.__new__(Curve)
        twin.values, twin.has_ended, twin._place = self.values, self.has_ended, self._place
        twin._level, twin._slope, twin.noise, twin._doubt = (
            self._level,
            self._slope,
            self.noise,
            self._doubt,
        )
        twin.losses = (smooth + self._noise_in(chosen) * _signs(length, draws))[None]
        twin.mean, twin.fall = twin._level @ twin.losses[0], twin._slope @ twin.losses[0]
        return twin

    def _noise_in(self, losses: Array) -> Array:
        """Return how far each loss lies from a close fit to the others: bends of the curve are no noise."""
        residuals: Array = (losses - self._close @ losses) / (1 - np.diag(self._close))
        return residuals

    def _spread(self) -> float:
        """Return the standard deviation of the noise up to the curve's lowest point."""
        residuals = self._noise_in(self.losses.mean(axis=0))[
            : max(self.lowest + 1, min(10, len(self.mean)))
        ]
        return float(np.sqrt(np.mean(residuals**2)))


def suggestions(curve: Curve, seed: int = 0) -> dict[str, Suggestion]:
    """Return what every rule says about a curve; the same curve and seed give the same."""
    draws = np.random.default_rng(seed)
    twins = [curve.resampled(draws) for _ in range(_DRAWS)]
    return {name: _suggestion(name, curve, twins) for name in RULES}


def _suggestion(name: str, curve: Curve, twins: list[Curve]) -> Suggestion:
    look, says = RULES[name]
    found = _looked(look, curve)
    if isinstance(found, str):
        return Suggestion(name, None, None, None, found)
    others = [other for twin in twins if not isinstance(other := _looked(look, twin), str)]
    if len(others) <= len(twins) / 2:
        return Suggestion(
            name, None, None, None, "most resampled curves give no rate: the noise is too large."
        )
    low, high = np.quantile(others, [0.05, 0.95])
    return Suggestion(name, found, float(low), float(high), says)


def _looked(look: Callable[[Curve], Index | float], curve: Curve) -> float | str:
    if not curve.does_fall:
        return "the loss does not fall by more than its noise."
    found = look(curve)
    return curve.at(found) if isinstance(found, int) else found


def _steepest(curve: Curve) -> Index | float:
    index = curve.steepest
    if index is None:
        return _UNCLEAR
    return (
        index
        if index < len(curve.values) - 1
        else "the loss falls fastest at the very end: sweep further."
    )


def _minimum_tenth(curve: Curve) -> Index | float:
    if curve.lowest >= len(curve.values) - 1 and not curve.has_ended:
        return "the loss still falls at the very end: sweep further."
    return curve.at(curve.lowest) / 10


def _valley(curve: Curve) -> Index | float:
    """Two thirds along the longest stretch in which the loss does nothing but fall."""
    falls = np.diff(curve.mean) < 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], falls.astype(int), [0]])))
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return round(float(starts[longest] + 2 / 3 * (stops[longest] - starts[longest])))


def _slide(curve: Curve) -> Index | float:
    """From the lowest point back to where the loss still falls half as fast as at its steepest."""
    if curve.steepest is None:
        return _UNCLEAR
    fast = np.flatnonzero(curve.fall[: curve.lowest + 1] <= curve.fall[curve.steepest] / 2)
    index = int(fast[-1])
    return (
        index
        if index < len(curve.values) - 1
        else "the loss still falls fast at the very end: sweep further."
    )


RULES: Mapping[str, tuple[Callable[[Curve], Index | float], str]] = {
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
    """Return the matrices that turn losses into the level and the slope of a local straight line."""
    width = max(smoothing, 1e-9) * (place[-1] - place[0]) if len(place) > 1 else 1.0
    width = max(width, 0.6 * float(np.max(np.diff(place)))) if len(place) > 1 else width
    away = place[None, :] - place[:, None]
    weight = np.exp(-0.5 * (away / width) ** 2)
    moments = [np.sum(weight * away**power, axis=1, keepdims=True) for power in range(3)]
    area = moments[0] * moments[2] - moments[1] ** 2
    level = weight * (moments[2] - moments[1] * away) / area
    slope = weight * (moments[0] * away - moments[1]) / area
    return level, slope


def _signs(length: int, draws: np.random.Generator) -> Array:
    """Return a sign for each point, the same within a block: the noise stays as large as it is at its place."""
    return np.repeat(draws.choice([-1.0, 1.0], -(-length // _BLOCK)), _BLOCK)[:length]
