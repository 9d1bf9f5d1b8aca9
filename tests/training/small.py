"""A model and data for hundreds of runs, with all that a resumed run could get wrong in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

import warmdown as wd
from warmdown.training import (
    ModelEmaCallback,
    RecordCallback,
    SaveTrainingStateCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
)

ITEMS = 52


class Augmented(Dataset[Any]):
    """Pairs that look different each time: every global generator has a say."""

    def __init__(self, items: int = ITEMS) -> None:
        made = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(items, 6, generator=made)
        self.targets = self.inputs.sum(1, keepdim=True).sin()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, item: int) -> Any:
        noise = 0.01 * (torch.randn(6) + float(np.random.randn()) + random.gauss(0, 1))  # noqa: NPY002
        return self.inputs[item] + noise, self.targets[item]


class Plain(Augmented):
    """The same pairs, the same each time."""

    def __getitem__(self, item: int) -> Any:
        return self.inputs[item], self.targets[item]


def network() -> nn.Module:
    """Return weights, batch statistics and dropout."""
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)
    )


def perceptron() -> nn.Module:
    """Return weights alone."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))


def linear() -> nn.Module:
    """Return the smallest model."""
    return nn.Linear(6, 1)


def plan() -> wd.Plan:
    """Return a plan with a warmup, a decay, and a momentum that moves."""
    return wd.Plan.of(
        lr=wd.warmup_cosine(warmup="20%", end=0.1),
        momentum=wd.Set(wd.Linear(start=0.85, end=0.95, steps="rest")),
    )


def make(
    folder: Path | None = None,
    callbacks: Iterable[TrainerCallback] = (),
    *,
    model: Callable[[], nn.Module] = network,
    every: int | None = None,
    seed: int = 0,
    kind: type[Trainer] = Trainer,
    lr: float = 0.02,
    weight_decay: float = 0.01,
    **kwargs: Any,
) -> Trainer:
    """Return a trainer with weights from ``seed``; a folder keeps checkpoints and a record."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    made = model()
    optimizer = torch.optim.AdamW(made.parameters(), lr=lr, weight_decay=weight_decay)
    kept: list[TrainerCallback] = []
    if folder is not None:
        kept = [
            RecordCallback(folder / "record.jsonl"),
            SaveTrainingStateCallback(folder / "checkpoints", save_every_n_steps=every),
        ]
    return kind(
        made, nn.functional.mse_loss, optimizer, callbacks=[*callbacks, *kept], seed=seed, **kwargs
    )


def train(trainer: Trainer, **kwargs: Any) -> str:
    """Train for three epochs unless told otherwise; return the digest of the weights."""
    told = {
        "train_dataset": Augmented(),
        "num_epochs": 3,
        "eval_dataset": Plain(16),
        "per_device_batch_size": 4,
    }
    trainer.train(**{**told, "plan": plan(), **kwargs})
    return digest_of_weights(trainer.get_model())


class Scaled(Trainer):
    """With torch's real gradient scaler, on a CPU, from a scale that overflows at first."""

    def _create_accelerator(self) -> Any:
        accelerator = super()._create_accelerator()
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=7)
        return accelerator


class Stop(TrainerCallback):
    """Fails after an update, as a bug would."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if update + 1 == self.after:
            raise ZeroDivisionError("on purpose")


def everything() -> list[TrainerCallback]:
    """Return callbacks that keep something over the run."""
    return [ModelEmaCallback(0.9)]
