"""Early ends: no better, no number, enough batches."""

from __future__ import annotations

__all__ = [
    "EarlyStoppingCallback", "LimitBatchesCallback", "LimitEvalStepsCallback", "StepBasedEvaluationCallback",
    "TerminateOnNaNCallback",
]  # fmt: skip

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import torch

from warmdown.errors import TrainingError
from warmdown.training.callbacks.base import StopTrainingError, TrainerCallback

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer

_UPDATES_BETWEEN_LOOKS = 20


class EarlyStoppingCallback(TrainerCallback):
    """Ends the training when a metric has not become better for some epochs.

    Args:
        early_stopping_patience: Epochs without an improvement after which it ends.
        early_stopping_threshold: How much better counts as better.
        watch_metric: Name of the metric in the history.
        greater_is_better: Whether it should grow.
        reset_on_train: Whether a new call of ``train`` starts counting anew.
    """

    def __init__(
        self,
        early_stopping_patience: int = 1,
        early_stopping_threshold: float = 0.01,
        watch_metric: str = "eval_loss_epoch",
        greater_is_better: bool = False,
        reset_on_train: bool = True,
    ) -> None:
        self.patience, self.threshold, self.metric = (
            early_stopping_patience,
            early_stopping_threshold,
            watch_metric,
        )
        self.sign = 1.0 if greater_is_better else -1.0
        self.reset_on_train = reset_on_train
        self.best, self.waited = -inf, 0

    def on_init_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Refuse a patience that would stop at once."""
        if self.patience < 1:
            raise TrainingError(
                f"EarlyStoppingCallback(early_stopping_patience={self.patience}): at least 1 is "
                f"needed."
            )

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Begin to count, unless the run goes on from a checkpoint."""
        if self.reset_on_train and trainer.progress.updates == 0:
            self.best, self.waited = -inf, 0

    def on_training_run_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Compare."""
        value = self.sign * trainer.run_history.get_latest_metric(self.metric)
        if value > self.best + (self.threshold if isfinite(self.best) else 0.0):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            best = self.sign * self.best
            raise StopTrainingError(
                f"Early end: {self.metric} was best at {best:.4g}, {self.waited} epochs ago."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and how long ago it was."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.best, self.waited = state["best"], state["waited"]


class TerminateOnNaNCallback(TrainerCallback):
    """Ends the training at a loss that is not finite; on a device it looks every 20 updates, not to wait for it.

    The last checkpoint before is the one to go on from: no state is saved after the loss is lost.
    """

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        """Look at the loss of the update, or on a device at the sum since the epoch began."""
        loss = trainer.window_loss
        if isinstance(loss, torch.Tensor):
            if update % _UPDATES_BETWEEN_LOOKS:
                return
            loss = float(trainer._loss_tracker.total)
        self._end_unless_finite(trainer, loss, f"update {update}")

    def on_train_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Look at the sum over the epoch."""
        self._end_unless_finite(trainer, float(trainer._loss_tracker.total), "the end of an epoch")

    def _end_unless_finite(self, trainer: Trainer, loss: float, where: str) -> None:
        if not isfinite(loss):
            raise StopTrainingError(
                f"The loss is {loss} at {where}. A lower peak rate, a longer warmup or "
                f"gradient_clip_norm helps."
            )


class LimitBatchesCallback(TrainerCallback):
    """Uses only the first batches of each epoch; the schedule knows.

    Args:
        num_batches: Batches of one process, at least 1.
    """

    def __init__(self, num_batches: int) -> None:
        if num_batches < 1:
            raise TrainingError(
                f"LimitBatchesCallback(num_batches={num_batches}): at least 1 is needed."
            )
        self.num_batches = num_batches

    def on_run_setup(self, trainer: Trainer, **kwargs: Any) -> None:
        """Set the limit, before the length of the run is reckoned."""
        trainer._train_limit = trainer._eval_limit = self.num_batches


class LimitEvalStepsCallback(TrainerCallback):
    """Uses only the first batches of an evaluation.

    Args:
        num_eval_steps: Batches of one process.
        limit_intermediate_only: Whether evaluations at the end of an epoch are whole.
    """

    def __init__(self, num_eval_steps: int, limit_intermediate_only: bool = True) -> None:
        if num_eval_steps < 1:
            raise TrainingError(
                f"LimitEvalStepsCallback(num_eval_steps={num_eval_steps}): at least 1 is needed."
            )
        self.num_eval_steps, self.limit_intermediate_only = num_eval_steps, limit_intermediate_only

    def on_eval_epoch_start(
        self, trainer: Trainer, is_intermediate: bool = False, **kwargs: Any
    ) -> None:
        """Set the limit."""
        self._before = trainer._eval_limit
        if is_intermediate or not self.limit_intermediate_only:
            trainer._eval_limit = self.num_eval_steps

    def on_eval_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Take the limit back."""
        trainer._eval_limit = self._before


class StepBasedEvaluationCallback(TrainerCallback):
    """Evaluates every so many updates, beside the evaluation after each epoch.

    Args:
        eval_every_n_steps: Updates between two evaluations.
    """

    def __init__(self, eval_every_n_steps: int) -> None:
        if eval_every_n_steps < 1:
            raise TrainingError(
                f"StepBasedEvaluationCallback(eval_every_n_steps={eval_every_n_steps}): at least 1."
            )
        self.every = eval_every_n_steps

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        """Evaluate when it is time."""
        if (update + 1) % self.every == 0:
            trainer.evaluate_now()
