"""The last-iterate bound: what the shape of a rate is worth in the worst case, without any fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warmdown.errors import ForecastError
from warmdown.forecast.rates import RateCurve
from warmdown.formatting import aligned, count
from warmdown.plan import Plan
from warmdown.schedules.sampling import Array

_PIECES = 20_000
"""Pieces of a long run; a short one has a piece for each update."""
_TERMS = 8
"""Updates of a piece whose terms are added one by one; the rest is an integral."""


@dataclass(frozen=True)
class Bound:
    r"""How far from its minimum the last update leaves a convex loss, at most.

    .. math:: f(x_T) - f_* \le \frac{D^2}{2 \sum_t \eta_t}
        + \frac{G^2}{2} \frac{\sum_t \eta_t^2}{\sum_t \eta_t}
        + \frac{G^2}{2} \sum_{k < T} \frac{\eta_k}{\sum_{t > k} \eta_t}
          \frac{\sum_{t \ge k} \eta_t^2}{\sum_{t \ge k} \eta_t}

    for subgradients no longer than G that begin D away from the minimum. A factor on all rates
    divides the first part and multiplies the others, so that the best one is known.

    Args:
        value: The bound at the best factor, in units of ``D * G``.
        best_rate: The highest rate at that factor, in units of ``D / G``.
        updates: Length of the run.

    Reference: Defazio et al. 2023, https://arxiv.org/abs/2310.07831, theorem 10; Schaipp et al.
    2025, https://arxiv.org/abs/2501.18965.
    """

    value: float
    best_rate: float
    updates: int


def bound_of(plan: Plan | RateCurve) -> Bound:
    """Return the bound of a plan's rate, whatever its base rate is.

    Args:
        plan: A plan whose run has a length, or a rate curve.

    Raises:
        ForecastError: The plan has no rate or no length, or its rate is 0 all along.

    Example:
        >>> from warmdown import Constant, Linear, Plan, Run
        >>> run = Run(total_steps=1000, lr=1.0)
        >>> linear, constant = (bound_of(Plan.of(lr=curve, run=run)).value
        ...                     for curve in (Linear(start=1.0, end=0.0), Constant(1.0)))
        >>> linear < constant
        True
    """
    curve = plan if isinstance(plan, RateCurve) else RateCurve.of(plan)
    rates, lengths = _pieces(curve)
    # the step at the end of the run is a knot, but no update uses its rate
    peak = curve.until(curve.stop - 1).peak
    if peak <= 0:
        raise ForecastError("bound(plan): its rate is 0 all along; it has no bound.")
    shape = rates / peak
    area, square = shape * lengths, shape**2 * lengths
    total = float(area.sum())
    from_here, squares_from_here = area[::-1].cumsum()[::-1], square[::-1].cumsum()[::-1]
    shares = _shares(shape, lengths, np.r_[from_here[1:], 0.0])
    mean = squares_from_here / np.maximum(from_here, 1e-300)
    wander = float(square.sum()) / total + float(shares @ mean)
    start = 1 / total
    # D^2 start / (2 g) + G^2 g wander / 2 is least at g = D / G sqrt(start / wander)
    return Bound(float(np.sqrt(start * wander)), float(np.sqrt(start / wander)), int(curve.stop))


def best_rate(plan: Plan, tuned: Plan, rate: float) -> float:
    """Return the highest rate for a plan, from the tuned highest rate of another.

    Args:
        plan: The plan whose rate is sought, of a longer run perhaps.
        tuned: A plan of the same task, whose best rate is known.
        rate: That rate.

    Example:
        >>> from warmdown import Plan, Run, wsd
        >>> short, long = (Plan.of(lr=wsd(), run=Run(total_steps=steps, lr=1.0))
        ...                for steps in (1000, 4000))
        >>> 0.4 < best_rate(long, short, 1.0) < 0.6
        True
    """
    return rate * bound_of(plan).best_rate / bound_of(tuned).best_rate


Ranked = tuple[str, Bound, float]
"""A plan's name, its bound, and its best rate over that of the first plan."""


def rank(plans: dict[str, Plan]) -> list[Ranked]:
    """Return plans by their bounds, the least first, each with its rate over the first plan's."""
    bounds = {name: bound_of(plan) for name, plan in plans.items()}
    first = next(iter(bounds.values()))
    ranked = [(name, bound, bound.best_rate / first.best_rate) for name, bound in bounds.items()]
    return sorted(ranked, key=lambda one: one[1].value)


def theory_table(plans: dict[str, Plan], rate: float | None = None) -> tuple[str, list[Any]]:
    """Return the ranking as text and as plain data; ``rate`` is the first plan's tuned one."""
    ranked = rank(plans)
    least = ranked[0][1].value
    unit = "best rate" if rate is not None else "best rate, of the first's"
    cells, rows = [["plan", "updates", "bound", unit]], []
    for name, bound, share in ranked:
        best, relative = share * (1.0 if rate is None else rate), bound.value / least
        cells.append([name, count(bound.updates), f"{relative:.3f}", f"{best:.4g}"])
        rows.append({"plan": name, "updates": bound.updates, "bound": bound.value,
                     "relative": relative, "best_rate": best})  # fmt: skip
    note = "The bound is of a convex loss in the worst case: it ranks shapes, and says no loss."
    return f"{aligned(cells, left=[0, 3])}\n{note}", rows


def _shares(shape: Array, lengths: Array, after: Array) -> Array:
    """Return, for each piece, the sum of its updates' rates over what all later ones add up to."""
    left = np.divide(after, shape, out=np.full_like(after, np.inf), where=shape > 0)
    # the first terms one by one, the others as an integral: a term of 1 / 0 is the last update's
    terms = left[:, None] + np.arange(float(_TERMS))
    is_there = (np.arange(_TERMS) < lengths[:, None]) & (terms > 0)
    ones = np.divide(1.0, terms, out=np.zeros_like(terms), where=is_there).sum(axis=1)
    is_long = (lengths > _TERMS) & np.isfinite(left)
    ratio = np.divide(
        left + lengths - 0.5, left + _TERMS - 0.5, out=np.ones_like(left), where=is_long
    )
    return np.asarray(ones + np.log(ratio))


def _pieces(curve: RateCurve) -> tuple[Array, Array]:
    """Return rates and lengths of pieces, in order: single updates, where they are few."""
    stop = int(curve.stop)
    if stop <= 4 * _PIECES:
        steps = np.arange(float(stop))
        return np.interp(steps, curve.steps, curve.rates), np.ones(stop)
    # single updates at the end, where the sums that are left are small
    near = np.unique(np.r_[np.linspace(0, stop, _PIECES), stop - np.arange(1000.0), curve.steps])
    borders = np.unique(near.round())
    middle = (borders[:-1] + borders[1:] - 1) / 2
    return np.interp(middle, curve.steps, curve.rates), np.diff(borders)
