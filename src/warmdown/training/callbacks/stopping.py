"""Early ends: no better, no number, enough batches."""

from __future__ import annotations

__all__ = [
    "EarlyStoppingCallback", "LimitBatchesCallback", "LimitEvalStepsCallback",
    "StepBasedEvaluationCallback", "StopAfterCallback", "TerminateOnNaNCallback",
]  # fmt: skip

from math import isfinite
from typing import Any

from warmdown.binding import Scheduler
from warmdown.training.callback import StopTrainingError, TrainerCallback, require_counts
from warmdown.training.history import BestMetric
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data

_UPDATES_BETWEEN_LOOKS = 20


class EarlyStoppingCallback(TrainerCallback):
    """Ends the training when a metric has not become better for some epochs.

    Args:
        early_stopping_patience: Epochs without an improvement after which it ends.
        early_stopping_threshold: How much better counts as better.
        watch_metric: Name of the metric in the history.
        greater_is_better: Whether it should grow.
        reset_on_train: Whether a new call of ``train`` starts to count from nothing.
    """

    def __init__(
        self,
        early_stopping_patience: int = 1,
        early_stopping_threshold: float = 0.01,
        watch_metric: str = "eval_loss_epoch",
        greater_is_better: bool = False,
        reset_on_train: bool = True,
    ) -> None:
        require_counts(self, early_stopping_patience=early_stopping_patience)
        self.patience = early_stopping_patience
        self.threshold = early_stopping_threshold
        self.reset_on_train = reset_on_train
        self.best = BestMetric(watch_metric, greater_is_better)
        self.waited = 0

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin to count, unless the run goes on from a checkpoint."""
        if self.reset_on_train and trainer.progress.updates == 0:
            self.best.reset()
            self.waited = 0

    def on_training_run_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Compare the metric with its best value."""
        if self.best.update(trainer.run_history, self.threshold):
            self.waited = 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            raise StopTrainingError(
                f"Early end: {self.best.name} was best at {self.best.value:.4g}, {self.waited} "
                f"epochs ago."
            )

    def state_dict(self) -> Data:
        """Return the best value and how long ago it was."""
        return {"best": self.best.score, "waited": self.waited}

    def load_state_dict(self, state: Data) -> None:
        """Go on counting."""
        self.best.score = state["best"]
        self.waited = state["waited"]


class TerminateOnNaNCallback(TrainerCallback):
    """Ends the training at a loss that is not finite, unless ``Trainer(on_spike=…)`` goes back.

    On a device the loss is read every 20 updates alone: to read it is to wait for the device.

    The last checkpoint before is the one to go on from: no state is saved after the loss is lost.
    """

    def on_train_update_end(self, trainer: TrainingSteps, update: int = 0, **kwargs: Any) -> None:
        """Read the loss of the update, or on a device the sum since the epoch began."""
        loss = trainer.window_loss
        if trainer.run_state.guard is not None:
            return  # the run goes back
        if isinstance(loss, float):
            _stop_unless_finite(loss, f"update {update}")
        elif update % _UPDATES_BETWEEN_LOOKS == 0:
            _stop_unless_finite(float(trainer.run_state.train_loss.total), f"update {update}")

    def on_train_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Read the sum over the epoch."""
        if trainer.run_state.guard is not None:
            return
        _stop_unless_finite(float(trainer.run_state.train_loss.total), "the end of an epoch")


def _stop_unless_finite(loss: float, where: str) -> None:
    if not isfinite(loss):
        raise StopTrainingError(
            f"The loss is {loss} at {where}. A lower peak rate, a longer warmup or "
            f"gradient_clip_norm helps."
        )


class StopAfterCallback(TrainerCallback):
    """Ends the training early, under the plan of the whole run: to try out its first updates.

    ``max_num_train_steps`` makes the run itself shorter, and measures the plan on it.

    Args:
        updates: Updates of the run after which it ends, at least 1.
    """

    def __init__(self, updates: int) -> None:
        require_counts(self, updates=updates)
        self.updates = updates

    def on_train_update_end(self, trainer: TrainingSteps, update: int = 0, **kwargs: Any) -> None:
        """Stop when so many updates were made."""
        if trainer.progress.updates >= self.updates:
            raise StopTrainingError(f"Stopped after {trainer.progress.updates} updates, as asked.")

    def on_training_run_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Close the scheduler: that its plan goes on is meant, and no reason for a warning."""
        if trainer.progress.updates >= self.updates and isinstance(trainer.scheduler, Scheduler):
            trainer.scheduler.close()


class LimitBatchesCallback(TrainerCallback):
    """Uses only the first batches of each epoch; the schedule is measured on them.

    Args:
        num_batches: Batches of one process, at least 1.
    """

    def __init__(self, num_batches: int) -> None:
        require_counts(self, num_batches=num_batches)
        self.num_batches = num_batches

    def on_run_setup(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Set the limit, before the length of the run is computed."""
        trainer.run_state.train_limit = self.num_batches
        trainer.run_state.eval_limit = self.num_batches


class LimitEvalStepsCallback(TrainerCallback):
    """Uses only the first batches of an evaluation.

    Args:
        num_eval_steps: Batches of one process.
        limit_intermediate_only: Whether evaluations at the end of an epoch are whole.
    """

    def __init__(self, num_eval_steps: int, limit_intermediate_only: bool = True) -> None:
        require_counts(self, num_eval_steps=num_eval_steps)
        self.num_eval_steps = num_eval_steps
        self.limit_intermediate_only = limit_intermediate_only
        self._limits_before: list[int | None] = []  # other weights are evaluated inside

    def on_eval_epoch_start(
        self, trainer: TrainingSteps, is_intermediate: bool = False, **kwargs: Any
    ) -> None:
        """Set the limit."""
        self._limits_before.append(trainer.run_state.eval_limit)
        if is_intermediate or not self.limit_intermediate_only:
            trainer.run_state.eval_limit = self.num_eval_steps

    def on_eval_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Remove the limit."""
        trainer.run_state.eval_limit = self._limits_before.pop()


class StepBasedEvaluationCallback(TrainerCallback):
    """Evaluates every so many updates, beside the evaluation after each epoch.

    Args:
        eval_every_n_steps: Updates between two evaluations.
    """

    def __init__(self, eval_every_n_steps: int) -> None:
        require_counts(self, eval_every_n_steps=eval_every_n_steps)
        self.every = eval_every_n_steps

    def on_train_update_end(self, trainer: Any, update: int = 0, **kwargs: Any) -> None:
        """Evaluate when it is time."""
        if (update + 1) % self.every == 0:
            trainer.evaluate_now()
