"""The best value of a metric so far."""

from __future__ import annotations

from math import inf

from warmdown.training.history import RunHistory


class BestMetric:
    """The best value of a metric so far.

    Args:
        name: The metric's name in the history.
        greater_is_better: Whether it should grow.
    """

    def __init__(self, name: str, greater_is_better: bool) -> None:
        self.name = name
        self.score = -inf
        self._sign = 1.0 if greater_is_better else -1.0

    @property
    def value(self) -> float:
        """The best value, in the metric's own unit."""
        return self._sign * self.score

    def reset(self) -> None:
        """Begin again, without a best value."""
        self.score = -inf

    def update(self, history: RunHistory, threshold: float = 0.0) -> bool:
        """Keep the newest value where it is better by more than ``threshold``; return whether."""
        score = self._sign * history.get_latest_metric(self.name)
        is_better = score > self.score + threshold
        if is_better:
            self.score = score
        return is_better
