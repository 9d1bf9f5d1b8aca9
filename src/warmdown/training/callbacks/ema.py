"""An average of the weights that follows them slowly."""

from __future__ import annotations

__all__ = ["ModelEmaCallback"]

from copy import deepcopy
from math import inf
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.training.callbacks.base import TrainerCallback
from warmdown.training.portable import write_file

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


class ModelEmaCallback(TrainerCallback):
    r"""Keeps an exponential moving average of the weights, updated after every update.

    .. math:: ema \leftarrow decay \cdot ema + (1 - decay) \cdot weights

    Buffers are copied. The average is a part of every checkpoint.

    Args:
        decay: How slowly it follows, in [0, 1).
        evaluate_during_training: Whether the average is evaluated after each epoch, as
            ``ema_model_eval_loss_epoch``.
        save_path: Where the average's weights are written when they are the best so far, or
            ``None``.
        watch_metric: What says which average is the best.
        greater_is_better: Whether it should grow.
    """

    def __init__(
        self,
        decay: float = 0.99,
        evaluate_during_training: bool = True,
        save_path: str | PathLike[str] | None = None,
        watch_metric: str = "ema_model_eval_loss_epoch",
        greater_is_better: bool = False,
    ) -> None:
        if not 0.0 <= decay < 1.0:
            raise TrainingError(
                f"ModelEmaCallback(decay={decay}): it lies between 0 and 1; 0.99 "
                f"to 0.9999 is usual."
            )
        self.decay, self.evaluates = decay, evaluate_during_training
        self.path = None if save_path is None else Path(save_path)
        self.metric, self.sign, self.best = watch_metric, 1.0 if greater_is_better else -1.0, -inf
        self.model: torch.nn.Module | None = None
        self._waiting: dict[str, torch.Tensor] | None = None

    def outputs(self) -> list[Output]:
        """Return the file."""
        return [] if self.path is None else [Output(f"ModelEmaCallback('{self.path}')", self.path)]

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Begin with the weights as they are, or with the average of the checkpoint."""
        self.model = (
            deepcopy(trainer.get_model(keep_torch_compile=False)).eval().requires_grad_(False)
        )
        if self._waiting is not None:
            self.model.load_state_dict(self._waiting)
            self._waiting = None

    @torch.no_grad()
    def on_train_update_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Follow."""
        assert self.model is not None
        model = trainer.get_model(keep_torch_compile=False)
        averages: list[torch.Tensor] = list(self.model.parameters())
        weights: list[torch.Tensor] = list(model.parameters())
        torch._foreach_lerp_(averages, weights, 1.0 - self.decay)
        for held, now in zip(self.model.buffers(), model.buffers(), strict=True):
            held.copy_(now)

    def on_eval_epoch_end(
        self, trainer: Trainer, is_intermediate: bool = False, **kwargs: Any
    ) -> None:
        """Evaluate the average too."""
        if (
            self.model is None
            or not self.evaluates
            or is_intermediate
            or trainer.run_history.metric_name_prefix
        ):
            return
        own, trainer.model = trainer.model, self.model
        trainer.run_history.set_metric_name_prefix("ema_model_")
        try:
            trainer.evaluate_now()
        finally:
            trainer.model = own
            trainer.run_history.set_metric_name_prefix("")
            own.train()

    def on_training_run_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Write the best average."""
        if self.path is None or self.model is None:
            return
        value = self.sign * trainer.run_history.get_latest_metric(self.metric)
        if value > self.best:
            self.best = value
            if trainer.is_main:
                write_file(self.path, {"model_state_dict": self.model.state_dict()})

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        average = {} if self.model is None else self.model.state_dict()
        return {"average": average, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from an average; it is taken over when the run starts."""
        self._waiting, self.best = state["average"] or None, state["best"]
