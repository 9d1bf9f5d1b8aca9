"""Numbers over seeds: means with intervals, differences in pairs, ranks; what did not finish is counted, not hidden."""

from __future__ import annotations

__all__ = ["Interval", "bootstrap", "mean_ranks", "paired"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_DRAWS = 10_000


@final
@dataclass(frozen=True)
class Interval:
    """A number and its 95 % bootstrap interval.

    Args:
        value: The number; NaN when there was nothing to make it of.
        low: Lower end.
        high: Upper end.
        count: How many values it was made of; with fewer than 3 there is no interval.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {
            **{name: None if math.isnan(number) else number for name, number in numbers.items()},
            "count": self.count,
        }


def bootstrap(
    values: Sequence[float], of: Callable[[Array], Array] | None = None, seed: int = 0
) -> Interval:
    """Return the mean, or another statistic along the last axis, with its percentile bootstrap interval.

    Args:
        values: One a seed; what is not finite is left out.
        of: The statistic; the mean when left out.
        seed: Seed of the draws: the same values give the same interval.

    Example:
        >>> from warmdown.experiments.statistics import bootstrap
        >>> found = bootstrap([0.90, 0.92, 0.91, 0.93])
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (0.915, 0.905, 0.925)
    """
    statistic = of or _mean
    good = np.array([value for value in values if math.isfinite(value)])
    if not good.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(statistic(good))
    if good.size < 3:
        return Interval(value, math.nan, math.nan, int(good.size))
    drawn = np.random.default_rng(seed).integers(0, good.size, (_DRAWS, good.size))
    low, high = np.quantile(statistic(good[drawn]), [0.025, 0.975])
    return Interval(value, float(low), float(high), int(good.size))


def paired(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Interval:
    """Return the mean difference over the seeds that both have."""
    return bootstrap([mine[seed] - theirs[seed] for seed in sorted(mine) if seed in theirs])


def mean_ranks(
    values: Mapping[str, Mapping[int, float]], *, higher_is_better: bool
) -> dict[str, float]:
    """Return each name's mean rank over the seeds, 1 the best; who has no value for a seed shares the last ranks."""
    seeds = sorted({seed for held in values.values() for seed in held})
    worst = -math.inf if higher_is_better else math.inf
    ranks: dict[str, list[float]] = {name: [] for name in values}
    for seed in seeds:
        scores = {name: held.get(seed, worst) for name, held in values.items()}
        for name, score in scores.items():
            better = sum(
                other > score if higher_is_better else other < score for other in scores.values()
            )
            equal = sum(other == score for other in scores.values())
            ranks[name].append(better + (equal + 1) / 2)
    return {name: float(np.mean(held)) if held else math.nan for name, held in ranks.items()}


def _mean(values: Array) -> Array:
    return np.asarray(values.mean(axis=-1))
