"""Modules: their average over the updates, their device, their statistics over processes."""

from __future__ import annotations

__all__ = ["ConvertSyncBatchNormCallback", "ModelEmaCallback", "MoveModulesToDeviceCallback"]

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from warmdown.errors import TrainingError
from warmdown.training.callback import OutputCallback, TrainerCallback
from warmdown.training.history import BestMetric
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data, FilePath
from warmdown.training.weights import write_portable


class ModelEmaCallback(OutputCallback):
    r"""Keeps an exponential moving average of the weights, updated after every update.

    .. math:: ema \leftarrow decay \cdot ema + (1 - decay) \cdot weights

    Buffers are copied. The average is a part of every checkpoint.

    Args:
        decay: How slowly it follows, in [0, 1).
        evaluate_during_training: Whether the average is evaluated after each epoch, as
            ``ema_model_eval_loss_epoch``.
        save_path: Where the average's weights are written when they are the best so far, or
            ``None``.
        watch_metric: The metric by which an average is the best.
        greater_is_better: Whether it should grow.
    """

    def __init__(
        self,
        decay: float = 0.99,
        evaluate_during_training: bool = True,
        save_path: FilePath | None = None,
        watch_metric: str = "ema_model_eval_loss_epoch",
        greater_is_better: bool = False,
    ) -> None:
        if not 0.0 <= decay < 1.0:
            raise TrainingError(
                f"ModelEmaCallback(decay={decay}): it lies between 0 and 1; 0.99 to 0.9999 is "
                f"usual."
            )
        self.decay = decay
        self.evaluates = evaluate_during_training
        self.path = None if save_path is None else Path(save_path)
        self.best = BestMetric(watch_metric, greater_is_better)
        self.model: torch.nn.Module | None = None
        self._waiting: Data | None = None

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin with the weights as they are, or with the average of the checkpoint."""
        self.model = deepcopy(trainer.get_model(keep_torch_compile=False))
        self.model.eval().requires_grad_(False)
        if self._waiting is not None:
            self.model.load_state_dict(self._waiting)
            self._waiting = None

    @torch.no_grad()
    def on_train_update_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Follow the weights."""
        assert self.model is not None
        model = trainer.get_model(keep_torch_compile=False)
        averages: list[torch.Tensor] = list(self.model.parameters())
        weights: list[torch.Tensor] = list(model.parameters())
        # one kernel for all weights on a device, where a loop would start one for each
        torch._foreach_lerp_(averages, weights, 1.0 - self.decay)
        for kept, current in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(current)

    def on_eval_epoch_end(self, trainer: Any, is_intermediate: bool = False, **kwargs: Any) -> None:
        """Evaluate the average too."""
        history = trainer.run_history
        # its own evaluation comes by here, too: with a prefix
        if is_intermediate or history.metric_name_prefix:
            return
        if self.model is None or not self.evaluates:
            return
        model = trainer.model
        trainer.model = self.model
        history.set_metric_name_prefix("ema_model_")
        try:
            trainer.evaluate_now()
        finally:
            trainer.model = model
            history.set_metric_name_prefix("")
            model.train()

    def on_training_run_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write the best average."""
        if self.path is None or self.model is None:
            return
        if self.best.update(trainer.run_history) and trainer.is_main:
            write_portable(self.path, {"model_state_dict": self.model.state_dict()})

    def state_dict(self) -> Data:
        """Return the average."""
        average = {} if self.model is None else self.model.state_dict()
        return {"average": average, "best": self.best.score}

    def load_state_dict(self, state: Data) -> None:
        """Go on from an average; it is put in place when the run starts."""
        self._waiting = state["average"] or None
        self.best.score = state["best"]


class MoveModulesToDeviceCallback(TrainerCallback):
    """Moves every module among the trainer's attributes (a loss, a teacher) to the device."""

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Move them."""
        for name, value in vars(trainer).items():
            if isinstance(value, torch.nn.Module) and name != "model":
                value.to(trainer.device)

    on_evaluation_run_start = on_training_run_start


class ConvertSyncBatchNormCallback(TrainerCallback):
    """Lets batch norms share their statistics over all processes."""

    def on_init_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Convert, before the model is distributed."""
        if trainer.run_state.accelerator.num_processes > 1:
            convert: Any = torch.nn.SyncBatchNorm.convert_sync_batchnorm
            trainer.model = convert(trainer.model)
