"""Fashion-MNIST: pictures of clothes of 28 x 28 points, read from where Debian puts them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from warmdown.errors import TrainingError
from warmdown.training.tasks.digits import accuracy
from warmdown.training.tasks.task import Task

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian puts the files; ``WARMDOWN_FASHION_MNIST`` names another folder."""


def fashion_task() -> Task:
    """Return the task with a small convolutional network.

    Raises:
        TrainingError: The files are not there, or are not what they should be.
    """
    return Task(
        model=_fashion_network(),
        loss=nn.functional.cross_entropy,
        train=_image_pairs("train"),
        test=_image_pairs("t10k"),
        metrics={"accuracy": accuracy},
        lr=0.05,
        epochs=5,
        batch_size=64,
        description="60,000 pictures of clothes of 28 x 28 points to learn, 10,000 to be tested on",
    )


def _image_pairs(part: str) -> TensorDataset:
    images = _idx_numbers(f"{part}-images-idx3-ubyte.gz", header=16).reshape(-1, 1, 28, 28)
    labels = _idx_numbers(f"{part}-labels-idx1-ubyte.gz", header=8)
    if len(images) != len(labels):
        raise TrainingError(
            f"task('fashion'): {len(images)} pictures and {len(labels)} labels. Install it again."
        )
    scaled = (
        torch.from_numpy(images.astype(np.float32)) / 255 - 0.286
    ) / 0.353  # mean and deviation of the set
    return TensorDataset(scaled, torch.from_numpy(labels.astype(np.int64)))


def _idx_numbers(name: str, header: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    file = Path(os.environ.get("WARMDOWN_FASHION_MNIST", FOLDER)) / name
    try:
        return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header)
    except FileNotFoundError:
        raise TrainingError(
            f"task('fashion'): {file} is not there. On Debian: apt-get install "
            f"dataset-fashion-mnist; elsewhere, set "
            "WARMDOWN_FASHION_MNIST to the folder with the four .gz files."
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise TrainingError(
            f"task('fashion'): {file} cannot be read: {error}. Install it again."
        ) from None


def _fashion_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 7 * 7, 10),
    )
