"""Random numbers as a part of the state: saved, restored, and derived from a position alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from warmdown.training.types import Data


def derive_seed(*words: int) -> int:
    """Return a 63-bit seed made of all the words, so that neighbours are not alike.

    Example:
        >>> from warmdown.training.rng import derive_seed
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))


def snapshot() -> Data:
    """Return the state of every generator of this process as plain data and tensors."""
    # people's datasets draw from NumPy's global generator
    numpy_state: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, *position = numpy_state
    # plain data and tensors alone: a checkpoint is read with weights_only
    version, numbers, waiting = random.getstate()
    state = {
        "python": [version, torch.tensor(numbers), waiting],
        # torch's readers know no unsigned integers of 32 bits
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *position],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore(state: Data) -> None:
    """Restore what :func:`snapshot` returned; devices that are not here are left out."""
    version, numbers, waiting = state["python"]
    random.setstate((version, tuple(numbers.tolist()), waiting))
    name, keys, *position = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *position))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    for device, cuda in enumerate(state.get("cuda", [])[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda, device)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside the block, and restore the generators after it."""
    before = snapshot()
    seed_everything(seed)
    try:
        yield
    finally:
        restore(before)
