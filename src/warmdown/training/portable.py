"""One file with the weights, to be used elsewhere."""

from __future__ import annotations

__all__ = ["load_portable", "save_portable"]

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from warmdown.errors import StateError
from warmdown.files import replaced
from warmdown.training.sharded import load_model, load_optimizer, model_state, optimizer_state
from warmdown.training.weights import read_pickled, read_weights, write_weights

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


def save_portable(
    trainer: Trainer,
    path: Path,
    more: Mapping[str, Any],
    *,
    optimizer: bool,
    scheduler: bool,
    writes: bool,
) -> None:
    """Write the weights, and what else is asked for, as one file that is whole or not there."""
    content: dict[str, Any] = {
        "model_state_dict": model_state(trainer._accelerator, trainer.model),
        **more,
    }
    if optimizer:
        held = optimizer_state(trainer._accelerator, trainer.model, trainer.optimizer)
        content["optimizer_state_dict"] = held
    if scheduler and hasattr(trainer.scheduler, "state_dict"):
        content["scheduler_state_dict"] = trainer.scheduler.state_dict()
    if writes:
        write_file(path, content)
    trainer._accelerator.wait_for_everyone()


def write_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` at ``path``; a name that ends in ``.safetensors`` takes the weights alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as fresh:
        if path.suffix == ".safetensors":
            write_weights(fresh, content["model_state_dict"])
        else:
            torch.save(dict(content), fresh)


def load_portable(
    trainer: Trainer, path: Path, *, optimizer: bool, scheduler: bool
) -> dict[str, Any]:
    """Put the weights back, and what else is there and asked for; return the whole content."""
    content = read_file(path)
    load_model(trainer._accelerator, trainer.model, content["model_state_dict"])
    if optimizer and "optimizer_state_dict" in content:
        load_optimizer(
            trainer._accelerator, trainer.model, trainer.optimizer, content["optimizer_state_dict"]
        )
    if scheduler and trainer.scheduler is not None and "scheduler_state_dict" in content:
        trainer.scheduler.load_state_dict(content["scheduler_state_dict"])
    return content


def read_file(path: Path) -> dict[str, Any]:
    """Read what :func:`write_file` wrote.

    Raises:
        StateError: It is no such file, or damaged.
    """
    if path.suffix == ".safetensors":
        return {"model_state_dict": read_weights(path)}
    content = read_pickled(path)
    if not isinstance(content, dict) or "model_state_dict" not in content:
        raise StateError(
            f"{path}: no checkpoint, for it has no 'model_state_dict'. Give another one."
        )
    return content
