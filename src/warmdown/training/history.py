"""What a run measured, epoch by epoch."""

from __future__ import annotations

__all__ = ["InMemoryRunHistory", "LossTracker", "RunHistory"]

from abc import ABC, abstractmethod
from collections.abc import Iterable
from copy import deepcopy
from math import inf
from typing import SupportsFloat

import torch

from warmdown.errors import TrainingError, nearest
from warmdown.schedules.base import widest_float
from warmdown.training.types import Data


class RunHistory(ABC):
    """Where a trainer keeps its metrics; derive from it to keep them elsewhere.

    Attributes:
        metric_name_prefix: What stands before the names of metrics now.
        current_epoch: The epoch that runs, the first is 1.
    """

    metric_name_prefix = ""
    current_epoch = 1

    @abstractmethod
    def get_metric_names(self) -> Iterable[str]:
        """Return the names of all metrics."""

    @abstractmethod
    def get_metric_values(self, metric_name: str) -> list[float]:
        """Return every value of a metric, oldest first."""

    def get_latest_metric(self, metric_name: str) -> float:
        """Return the newest value of a metric."""
        return self.get_metric_values(metric_name)[-1]

    def latest_metrics(self) -> dict[str, float]:
        """Return the newest value of every metric."""
        return {name: self.get_latest_metric(name) for name in self.get_metric_names()}

    @abstractmethod
    def update_metric(self, metric_name: str, metric_value: SupportsFloat) -> None:
        """Add a value."""

    @abstractmethod
    def delete_metric(self, metric_name: str) -> None:
        """Remove a metric."""

    def set_metric_name_prefix(self, prefix: str = "") -> None:
        """Put ``prefix`` before the names of the metrics that follow."""
        self.metric_name_prefix = prefix

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that runs."""
        self.current_epoch = epoch

    @abstractmethod
    def reset(self) -> None:
        """Remove everything."""


class InMemoryRunHistory(RunHistory):
    """Keeps every value in memory, and in checkpoints.

    Example:
        >>> history = InMemoryRunHistory()
        >>> history.update_metric("train_loss_epoch", 0.5)
        >>> history.update_metric("train_loss_epoch", 0.25)
        >>> history.get_metric_values("train_loss_epoch")
        [0.5, 0.25]
        >>> history.latest_metrics()
        {'train_loss_epoch': 0.25}
    """

    def __init__(self) -> None:
        self._metrics: dict[str, list[float]] = {}

    def get_metric_names(self) -> list[str]:
        """Return the names of all metrics."""
        return list(self._metrics)

    def get_metric_values(self, metric_name: str) -> list[float]:
        """Return every value of a metric, oldest first.

        Raises:
            TrainingError: There is no such metric.
        """
        if metric_name not in self._metrics:
            raise TrainingError(
                f"run_history(metric={metric_name!r}): nothing was measured by that name. "
                f"{nearest(metric_name, self._metrics)}"
            )
        return self._metrics[metric_name]

    def update_metric(self, metric_name: str, metric_value: SupportsFloat) -> None:
        """Add a value."""
        name = self.metric_name_prefix + metric_name
        self._metrics.setdefault(name, []).append(float(metric_value))

    def delete_metric(self, metric_name: str) -> None:
        """Remove a metric."""
        self._metrics.pop(metric_name, None)

    def reset(self) -> None:
        """Remove everything."""
        self._metrics.clear()
        self.current_epoch = 1
        self.metric_name_prefix = ""

    def state_dict(self) -> Data:
        """Return everything as plain data."""
        return {"metrics": deepcopy(self._metrics), "epoch": self.current_epoch}

    def load_state_dict(self, state: Data) -> None:
        """Load everything from plain data."""
        self._metrics = deepcopy(state["metrics"])
        self.current_epoch = state["epoch"]


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


Loss = float | torch.Tensor
"""A mean loss; a tensor where it lies on a device that was not waited for."""


class LossTracker:
    """The mean loss of an epoch and of an update's window, without waiting for the device."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self.total: Loss = 0.0
        self.count = 0
        self.window: list[Loss] = []

    def update(self, loss: torch.Tensor, batch_size: int = 1) -> None:
        """Add the mean loss of a batch."""
        value: Loss
        if loss.device.type == "cpu":
            value = loss.item()
        else:  # item() would wait for all that is queued there
            value = loss.detach().to(widest_float(torch, loss.device))
        self.window.append(value)
        self.total = self.total + value * batch_size
        self.count += batch_size

    def begin_window(self) -> None:
        """Begin the batches of an update."""
        self.window = []

    @property
    def window_loss(self) -> Loss:
        """The mean loss over the batches of the current update, on this process."""
        window = self.window
        return window[0] if len(window) == 1 else sum(window) / max(1, len(window))

    @property
    def average(self) -> float:
        """The mean loss of the epoch so far, on this process."""
        return float(self.total) / max(1, self.count)

    def state_dict(self) -> Data:
        """Return everything as plain data."""
        window = [float(loss) for loss in self.window]
        return {"total": float(self.total), "count": self.count, "window": window}

    def load_state_dict(self, state: Data) -> None:
        """Load everything from plain data."""
        self.total = state["total"]
        self.count = state["count"]
        self.window = list(state["window"])
