"""The tasks of the evidence: real data, tuned and judged on different parts, on one core.

``…_tune`` is evaluated on a part of the training data that is not learnt from; ``…_judge`` on the
test data. Nothing is chosen by the test data.
"""

from __future__ import annotations

__all__ = ["fashion_judge", "fashion_tune", "large_judge", "large_tune", "text_judge", "text_tune"]

import os
from functools import lru_cache, partial

import torch
from torch import nn
from torch.utils.data import TensorDataset

from warmdown.training import Task
from warmdown.training.tasks import fashion, text
from warmdown.training.tasks.digits import accuracy

_LEARN, _EVALUATE = 5_120, 5_120
_LEARN_LARGE, _EVALUATE_LARGE = 50_000, 10_000
_LEARN_BYTES, _EVALUATE_BYTES = 51_264, 12_864


def fashion_tune() -> Task:
    """Return 5,120 pictures of clothes to learn, 5,120 others of the training set to tune by."""
    return _small(_part("train", _LEARN, _EVALUATE))


def fashion_judge() -> Task:
    """Return the same 5,120 pictures to learn, the first 5,120 of the test set to judge by."""
    return _small(_part("t10k", 0, _EVALUATE))


def large_tune() -> Task:
    """Return 50,000 pictures and a residual network, for a GPU; tuned by the other 10,000."""
    tuned_by = _part("train", _LEARN_LARGE, _EVALUATE_LARGE)
    return _pictures(_residual_network(), _part("train", 0, _LEARN_LARGE), tuned_by, batch_size=512)


def large_judge() -> Task:
    """Return the same, judged by the test set."""
    judged_by = _part("t10k", 0, _EVALUATE_LARGE)
    return _pictures(
        _residual_network(), _part("train", 0, _LEARN_LARGE), judged_by, batch_size=512
    )


def text_tune() -> Task:
    """Return 51,264 bytes of Python's documentation to learn, the next 12,864 to tune by."""
    return _bytes(_LEARN_BYTES)


def text_judge() -> Task:
    """Return the same bytes to learn, 12,864 later ones to judge by."""
    return _bytes(_LEARN_BYTES + _EVALUATE_BYTES)


def _small(evaluated: TensorDataset) -> Task:
    return _pictures(_small_network(), _part("train", 0, _LEARN), evaluated, batch_size=64)


def _pictures(
    network: nn.Module, train: TensorDataset, test: TensorDataset, batch_size: int
) -> Task:
    return Task(
        model=network,
        loss=nn.functional.cross_entropy,
        train=train,
        test=test,
        metrics={"accuracy": accuracy},
        optimizer=_momentum,
        lr=0.05,
        epochs=25,
        batch_size=batch_size,
    )


@lru_cache
def _part(name: str, start: int, count: int) -> TensorDataset:
    """Return a part of the pictures; one process reads it once."""
    images, labels = fashion._image_pairs(name).tensors
    return TensorDataset(
        images[start : start + count].clone(), labels[start : start + count].clone()
    )


def _bytes(evaluate_from: int) -> Task:
    content = text.documentation()
    return Task(
        model=text.ByteModel(),
        loss=text.next_byte_loss,
        train=text.passages(content[:_LEARN_BYTES]),
        test=text.passages(content[evaluate_from : evaluate_from + _EVALUATE_BYTES]),
        metrics={"bits_per_byte": _bits},
        optimizer=partial(_adam, decay=0.01),
        lr=3e-3,
        epochs=20,
        batch_size=16,
    )


def _bits(outputs: torch.Tensor, bytes_: torch.Tensor) -> torch.Tensor:
    return text.next_byte_loss(outputs, bytes_) / torch.log(torch.tensor(2.0))


def _momentum(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)


def _adam(model: nn.Module, lr: float, decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)


def _small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


def _residual_network() -> nn.Module:
    width = int(os.environ.get("WARMDOWN_EVIDENCE_WIDTH", "64"))
    return nn.Sequential(
        _block(1, width),
        _block(width, 2 * width),
        nn.MaxPool2d(2),
        _Residual(2 * width),
        _block(2 * width, 4 * width),
        nn.MaxPool2d(2),
        _block(4 * width, 8 * width),
        nn.MaxPool2d(2),
        _Residual(8 * width),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * width, 10),
    )


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


class _Residual(nn.Module):
    """Two blocks whose result is added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(width, width), _block(width, width))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        result: torch.Tensor = inputs + self.blocks(inputs)
        return result
