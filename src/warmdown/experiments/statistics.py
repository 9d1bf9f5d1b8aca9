"""Statistics over seeds: means with intervals, paired differences, ranks.

A run that did not finish is counted, not hidden.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from warmdown.schedules.base import PlainData

Array = npt.NDArray[np.float64]

_HIGHER = re.compile(r"acc|auc|f1|score|bleu|precision|recall|reward|iou", re.IGNORECASE)
_DRAWS = 10_000
_FEWEST_VALUES = 3


def higher_is_better(metric: str) -> bool:
    """Return whether more of a metric is better, by its name.

    Example:
        >>> from warmdown.experiments import higher_is_better
        >>> higher_is_better("accuracy"), higher_is_better("eval_loss")
        (True, False)
    """
    return bool(_HIGHER.search(metric))


@final
@dataclass(frozen=True)
class Interval:
    """A number and its 95 % bootstrap interval.

    Args:
        value: The number; NaN without any value.
        low: Lower end.
        high: Upper end.
        count: Number of values; with fewer than 3 there is no interval.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def text(self, *, sign: bool = False) -> str:
        """Return ``0.915 (0.905 … 0.925)``; a difference carries its sign."""
        if math.isnan(self.value):
            return "–"
        form = "+.4g" if sign else ".4g"
        if math.isnan(self.low):
            return f"{self.value:{form}}"
        return f"{self.value:{form}} ({self.low:{form}} … {self.high:{form}})"

    __str__ = text

    def to_dict(self) -> PlainData:
        """Return plain data; ``None`` stands for NaN."""
        return {name: None if math.isnan(fact) else fact for name, fact in vars(self).items()}


def bootstrap(values: Iterable[float], of: Callable[..., Any] = np.mean) -> Interval:
    """Return the mean, or another statistic, with its percentile interval.

    Args:
        values: One a seed; what is not finite is left out.
        of: The statistic, along an ``axis``.

    Example:
        >>> from warmdown.experiments.statistics import bootstrap
        >>> str(bootstrap([0.90, 0.92, 0.91, 0.93]))
        '0.915 (0.905 … 0.925)'
    """
    good = np.array([value for value in values if math.isfinite(value)])
    if not good.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(of(good, axis=-1))
    if good.size < _FEWEST_VALUES:
        return Interval(value, math.nan, math.nan, good.size)
    # of one seed: the same values give the same interval
    drawn = np.random.default_rng(0).integers(0, good.size, (_DRAWS, good.size))
    low, high = np.quantile(of(good[drawn], axis=-1), [0.025, 0.975]).tolist()
    return Interval(value, low, high, good.size)


def paired(values: Mapping[int, float], others: Mapping[int, float]) -> Interval:
    """Return the mean difference over the seeds that both have."""
    return bootstrap([values[seed] - others[seed] for seed in sorted(values) if seed in others])


def mean_ranks(
    values: Mapping[str, Mapping[int, float]], *, higher_is_better: bool
) -> dict[str, float]:
    """Return the mean rank of each name over the seeds, 1 the best.

    Equal values share their ranks; a name without a value for a seed shares the last ones.
    """
    seeds = sorted({seed for row in values.values() for seed in row})
    sign = 1 if higher_is_better else -1
    worst = -sign * math.inf
    scores = sign * np.array([[row.get(seed, worst) for seed in seeds] for row in values.values()])
    # every pair at once; each name is equal to itself, hence the 1 that is added
    better = (scores[None] > scores[:, None]).sum(axis=1)
    equal = (scores[None] == scores[:, None]).sum(axis=1)
    ranks = better + (equal + 1) / 2
    return {name: mean_or_nan(row) for name, row in zip(values, ranks, strict=True)}


def mean_or_nan(values: Sequence[float] | Array) -> float:
    """Return the mean, or NaN without values."""
    return float(np.mean(values)) if len(values) else math.nan
