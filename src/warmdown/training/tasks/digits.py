"""Handwritten digits of 8 x 8 points, part of scikit-learn: trained in seconds on one core."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from warmdown.errors import MissingExtra
from warmdown.training.tasks.task import Task

_TEST = 360


def digits_task() -> Task:
    """Return the task: 1,437 digits to learn, 360 for the test, a convolutional network."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtra("the task 'digits'", "sklearn", "demo") from None
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(data.target)
    order = torch.randperm(
        len(labels), generator=torch.Generator().manual_seed(0)
    )  # the same split for every seed
    learn, test = order[_TEST:], order[:_TEST]
    return Task(
        model=_digits_network(),
        loss=nn.functional.cross_entropy,
        train=TensorDataset(images[learn], labels[learn]),
        test=TensorDataset(images[test], labels[test]),
        metrics={"accuracy": accuracy},
        lr=0.1,
        epochs=20,
        description="1,437 handwritten digits of 8 x 8 points to learn, 360 to be tested on",
    )


def accuracy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the share of right answers."""
    return (outputs.argmax(-1) == labels).float().mean()


def _digits_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 4 * 4, 10),
    )
