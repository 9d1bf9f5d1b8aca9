"""Modules that need care before a run: moved to the device, made to share their statistics."""

from __future__ import annotations

__all__ = ["ConvertSyncBatchNormCallback", "MoveModulesToDeviceCallback"]

from typing import TYPE_CHECKING, Any

import torch

from warmdown.training.callbacks.base import TrainerCallback

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


class MoveModulesToDeviceCallback(TrainerCallback):
    """Moves every module that is an attribute of the trainer (a loss with weights, a teacher) to the device."""

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Move them."""
        self._move(trainer)

    def on_evaluation_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Move them."""
        self._move(trainer)

    def _move(self, trainer: Trainer) -> None:
        for name, value in vars(trainer).items():
            if isinstance(value, torch.nn.Module) and name != "model":
                value.to(trainer.device)


class ConvertSyncBatchNormCallback(TrainerCallback):
    """Lets batch norms share their statistics over all processes."""

    def on_init_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Convert, before the model is distributed."""
        if trainer._accelerator.num_processes > 1:
            trainer.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(trainer.model)  # type: ignore[no-untyped-call]
