"""One file with the weights, to be used elsewhere."""

from __future__ import annotations

__all__ = ["load_portable", "save_portable", "write_portable"]

from pathlib import Path

import torch

from warmdown.errors import StateError
from warmdown.files import replaced
from warmdown.training.sharded import (
    load_weights,
    model_state,
    optimizer_state,
    require_same_shapes,
)
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data, Settings
from warmdown.training.weights import read_pickled, read_weights, write_weights


def save_portable(
    trainer: TrainingSteps,
    path: Path,
    more: Settings,
    *,
    optimizer: bool,
    scheduler: bool,
    is_writer: bool,
) -> None:
    """Write the weights, and what else is asked for, as one file that is whole or not there."""
    content: Data = {"model_state_dict": model_state(trainer), **more}
    if optimizer:
        content["optimizer_state_dict"] = optimizer_state(trainer)
    if scheduler and hasattr(trainer.scheduler, "state_dict"):
        content["scheduler_state_dict"] = trainer.scheduler.state_dict()
    if is_writer:
        write_portable(path, content)
    trainer.run_state.accelerator.wait_for_everyone()


def write_portable(path: Path, content: Data) -> None:
    """Write ``content`` at ``path``; a ``.safetensors`` file takes the weights alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as fresh:
        if path.suffix == ".safetensors":
            write_weights(fresh, content["model_state_dict"])
        else:
            torch.save(content, fresh)


def load_portable(trainer: TrainingSteps, path: Path, *, optimizer: bool, scheduler: bool) -> Data:
    """Load the weights, and what else is there and asked for; return the whole content.

    Raises:
        StateError: It is no such file, damaged, or of another model, optimizer or plan; nothing
            has changed then.
    """
    content = _read_portable(path)
    weights = content["model_state_dict"]
    groups = content.get("optimizer_state_dict") if optimizer else None
    require_same_shapes(trainer, weights, groups)
    if scheduler and trainer.scheduler is not None and "scheduler_state_dict" in content:
        trainer.scheduler.load_state_dict(content["scheduler_state_dict"])
    load_weights(trainer, weights, groups)
    return content


def _read_portable(path: Path) -> Data:
    if path.suffix == ".safetensors":
        return {"model_state_dict": read_weights(path)}
    content = read_pickled(path)
    if not isinstance(content, dict) or "model_state_dict" not in content:
        raise StateError(
            f"{path}: no checkpoint, for it has no 'model_state_dict'. Give another one."
        )
    return content
