"""Modules that need care before a run: moved to the device, made to share their statistics."""

from __future__ import annotations

__all__ = ["ConvertSyncBatchNormCallback", "MoveModulesToDeviceCallback"]

from typing import Any

import torch

from warmdown.training.callback import TrainerCallback
from warmdown.training.steps import TrainingSteps


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
