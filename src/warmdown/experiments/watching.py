"""Looks on while a run is made: signs of life, and whether it is worth going on."""

from __future__ import annotations

__all__ = ["Watching"]

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from warmdown.training import TrainerCallback
from warmdown.training.callbacks.base import StopTrainingError

_EVERY = 1.0
"""Seconds between two signs of life."""
_UNTOUCHED = 0.5
"""Share of a run in which it is not ended: what cools late looks worse than what is cool early, and ends better."""


class Watching(TrainerCallback):
    """A callback that tells the outside of each evaluation, and of life in between.

    Args:
        alive: Called about once a second.
        report: Told the update and the metrics; returns whether the run goes on.
    """

    def __init__(
        self, alive: Callable[[], None], report: Callable[[int, Mapping[str, float]], bool] | None
    ) -> None:
        self._alive, self._report = alive, report
        self._told = monotonic()
        self.is_pruned = False

    def on_train_update_end(self, trainer: Any, **kwargs: Any) -> None:
        """Give a sign of life."""
        self._sign()

    def on_eval_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        """Give a sign of life."""
        self._sign()

    def on_eval_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """Ask whether the run is worth going on."""
        history = trainer.run_history
        metrics = {
            name.removesuffix("_epoch"): history.get_latest_metric(name)
            for name in history.get_metric_names()
        }
        if self._report is None or self._report(trainer.progress.updates, metrics):
            return
        if trainer.progress.updates >= _UNTOUCHED * trainer.run_config.total_updates:
            self.is_pruned = True
            raise StopTrainingError("ended as hopeless")

    def _sign(self) -> None:
        if monotonic() - self._told > _EVERY:
            self._told = monotonic()
            self._alive()
