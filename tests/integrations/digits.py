"""A small real job, handwritten digits, and what its every update used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import warmdown as wd

RATE, DECAY = 0.3, 0.01
BATCHES = 12
Used = tuple[float, float]

PLAN = wd.Plan.of(
    lr=wd.warmup_cosine(warmup="25%", start=0.1, end=0.1),
    weight_decay=wd.Linear(start=1.0, end=2.0, steps="100%"),
)
"""Drives two fields, with lengths that only the trainer's run gives."""
EPOCHS = wd.Plan.of(lr=wd.warmup_cosine(warmup="1ep", start=0.1, end=0.1))
"""Has a length in epochs, which accumulation makes shorter."""


def digits(batches: int = BATCHES) -> TensorDataset:
    """Return so many batches of 32 images each."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    count = 32 * batches
    pixels = torch.tensor(images[:count] / 16.0, dtype=torch.float32)
    return TensorDataset(pixels, torch.tensor(labels[:count]))


def loader(batches: int = BATCHES) -> DataLoader[Any]:
    return DataLoader(digits(batches), batch_size=32)


def small_model() -> torch.nn.Sequential:
    """Return a model that begins the same each time."""
    torch.manual_seed(1)
    layers = (torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    return torch.nn.Sequential(*layers)


def sgd(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=RATE, weight_decay=DECAY)


def loss_of(model: Any, batch: Iterable[torch.Tensor]) -> torch.Tensor:
    images, labels = batch
    return cross_entropy(model(images), labels)


def noting(optimizer: Any) -> list[Used]:
    """Return a list that grows by rate and weight decay of each real update."""
    used: list[Used] = []

    def note(optimizer: Any, *_: Any) -> None:
        (group,) = optimizer.param_groups
        used.append((float(group["lr"]), float(group["weight_decay"])))

    optimizer.register_step_pre_hook(note)
    return used


def planned(total: int) -> list[Used]:
    """Return what the updates of a run of so many use by the plan."""
    scheduler = wd.Scheduler(sgd(small_model()), PLAN, total_steps=total)
    return [(scheduler.value(step), scheduler.value(step, "weight_decay")) for step in range(total)]


def planned_rates(epochs: int, updates: int) -> list[float]:
    """Return the rates of a run of ``EPOCHS``, with so many updates in each epoch."""
    run = wd.Run(epochs=epochs, steps_per_epoch=updates)
    scheduler = wd.Scheduler(sgd(small_model()), EPOCHS, run=run)
    return [scheduler.value(step) for step in range(epochs * updates)]


def weights(model: torch.nn.Module) -> list[float]:
    return torch.cat([one.detach().flatten() for one in model.parameters()]).tolist()
