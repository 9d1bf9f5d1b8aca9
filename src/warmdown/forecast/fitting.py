"""A law fitted to logs: the most likely numbers under what is usual, and what they leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warmdown.errors import ForecastError, MissingExtra
from warmdown.forecast.formulas import Drops, Formula, MultiPower, Unit
from warmdown.forecast.logs import LossLog
from warmdown.formatting import count, number
from warmdown.schedules.sampling import Array

_NOISE = 1e-3
"""Least deviation of a row's loss from a law, relative: that of a smoothed loss."""
_ALIKE = 4.0
"""Rows of a log err together: a row counts as if its deviation were so many times larger."""
_SEPARATE = 0.08
"""What part of the whole effect of the rate the progress of the pilots must leave unexplained."""
_MOST_TRIES = 300


@dataclass(frozen=True, eq=False)
class Fit:
    """A law's numbers from some logs.

    Args:
        formula: The law.
        unit: What ``theta`` is measured in.
        theta: The most likely numbers.
        covariance: Of ``theta``, from the rows and from what is usual.
        noise: Deviation of a row's loss, relative.
    """

    formula: Formula
    unit: Unit
    theta: Array
    covariance: Array
    noise: float

    def loss(self, drops: Drops) -> tuple[Array, Array]:
        """Return the loss, and its deviation as far as the rows leave the numbers open."""
        losses, slopes = self.formula.loss(self.theta, drops.measured(self.unit))
        variance = np.einsum("ij,jk,ik->i", slopes, self.covariance, slopes)
        return losses, np.sqrt(np.maximum(variance, 0.0))


def unit_of_logs(logs: Sequence[LossLog]) -> Unit:
    """Return the unit in which the numbers of these logs are near 1."""
    return Unit(
        rate=max(log.curve.peak for log in logs),
        total=max(log.curve.total for log in logs),
        loss=min(float(np.median(log.losses[-max(log.losses.size // 20, 1) :])) for log in logs),
    )


def fit_formula(formula: Formula, logs: Sequence[LossLog]) -> Fit:
    """Fit a law to thinned logs by robust least squares of relative errors.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    unit = unit_of_logs(logs)
    drops = [log.drops.measured(unit) for log in logs]
    losses = np.concatenate([log.losses for log in logs])
    noise = max(_NOISE, *(_roughness(log.losses) for log in logs))
    mean, spread = formula.usual(unit)
    for tried in (noise, None):
        theta, slopes, errors = _solve(formula, drops, losses, mean, spread, tried or noise)
        rough = 1.4826 * float(np.median(np.abs(errors)))
        if rough <= 2 * noise:
            break
        noise = rough  # the law misses by more than the rows are rough
    sigma = _ALIKE * noise
    weights = np.minimum(1.0, noise / np.maximum(np.abs(errors), 1e-12))
    scaled = slopes * (np.sqrt(weights) / sigma)[:, None]
    precision = scaled.T @ scaled + np.diag(spread**-2.0)
    covariance = np.linalg.inv(precision).astype(np.float64)
    return Fit(formula, unit, theta, covariance, noise)


def _solve(
    formula: Formula,
    drops: Sequence[Drops],
    losses: Array,
    mean: Array,
    spread: Array,
    noise: float,
) -> tuple[Array, Array, Array]:
    """Return the numbers, the slopes of the relative errors, and the errors."""
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise MissingExtra("forecast", "scipy", "forecast") from None
    sigma, rows, edge = _ALIKE * noise, losses.size, 1 / _ALIKE
    least = 1e-3 * losses.min()

    def predicted(theta: Array) -> tuple[Array, Array]:
        found = [formula.loss(theta, drop) for drop in drops]
        values = np.maximum(np.concatenate([value for value, _ in found]), least)
        return values, np.concatenate([slope for _, slope in found])

    def residuals(theta: Array) -> Array:
        errors: Array = np.r_[np.log(predicted(theta)[0] / losses) / sigma, (theta - mean) / spread]
        return errors

    def jacobian(theta: Array) -> Array:
        values, slopes = predicted(theta)
        matrix: Array = np.r_[slopes / values[:, None] / sigma, np.diag(1 / spread)]
        return matrix

    def robust(squares: Array) -> Array:
        # Huber's loss of a row's error; what is usual counts by its square
        root = np.sqrt(np.maximum(squares, 1e-60))
        near = squares <= edge**2
        near[rows:] = True
        value = np.where(near, squares, 2 * edge * root - edge**2)
        return np.stack([value, np.where(near, 1.0, edge / root),
                         np.where(near, 0.0, -0.5 * edge / root**3)])  # fmt: skip

    with np.errstate(over="ignore", invalid="ignore"):  # numbers far off, on the way
        found = least_squares(residuals, mean, jacobian, x_scale=spread, loss=robust,
                          max_nfev=_MOST_TRIES)  # fmt: skip
    values, slopes = predicted(found.x)
    return found.x, slopes / values[:, None], np.log(values / losses)


def _roughness(losses: Array) -> float:
    """Return how far a row lies off the line between its neighbours, relative, in the median."""
    bend = np.diff(np.log(losses), 2) / np.sqrt(6)
    return 1.4826 * float(np.median(np.abs(bend - np.median(bend))))


def require_separable(logs: Sequence[LossLog]) -> None:
    """Refuse logs in which progress and annealing cannot be separated.

    What a fall of the rate did is known only where the fall with the sum of rates cannot have done
    it: the drops of all rows are explained by smooth functions of that sum, and what is left must
    not be small.

    Raises:
        ForecastError: Too little is left; names the short run that would settle it.
    """
    unit, formula = unit_of_logs(logs), MultiPower()
    theta, _ = formula.usual(unit)
    theta[:4] = 0.0, 0.0, theta[2], -1.0
    smooth, gains = [], []
    for log in logs:
        drops = log.drops.measured(unit)
        smooth.append(np.stack([drops.sums**-power for power in (0.0, 0.25, 0.45, 0.7)], axis=1))
        gains.append(formula.loss(theta, drops)[0])
    known, gain = np.concatenate(smooth), np.concatenate(gains)
    left = gain - known @ np.linalg.lstsq(known, gain, rcond=None)[0]
    if left.std() >= _SEPARATE:
        return
    longest = max(int(log.steps[-1]) for log in logs)
    whole, hold = max(longest // 2, 1), max(longest // 3, 1)
    one = "this run" if len(logs) == 1 else "these runs"
    raise ForecastError(
        f"fit_loss: {one} cannot tell what the falling rate did from what training did anyway: no "
        f"rate falls apart from the steady progress. Add a short pilot: {count(whole)} updates, "
        f"the rate held at {number(unit.rate)} up to update {count(hold)}, then at a third of it "
        f"({whole / longest:.0%} of the cost of the longest run here)."
    )
