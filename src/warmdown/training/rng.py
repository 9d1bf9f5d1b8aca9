"""Random numbers as a part of the state: taken, put back, and made from a position alone."""

from __future__ import annotations

__all__ = ["mixed", "restore", "seed_everything", "seeded", "snapshot"]

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def mixed(*words: int) -> int:
    """Return a 63-bit seed made of all the words, so that neighbours do not resemble each other.

    Example:
        >>> from warmdown.training.rng import mixed
        >>> mixed(0, 1) == mixed(0, 1), mixed(0, 1) == mixed(1, 0)
        (True, False)
    """
    (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))


def snapshot() -> dict[str, Any]:
    """Return the state of every generator of this process as plain data and tensors."""
    numbers_of_numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002 - people's datasets draw from it
    name, keys, place, has_gauss, gauss = numbers_of_numpy
    version, numbers, waiting = random.getstate()
    state: dict[str, Any] = {
        "python": [version, torch.tensor(numbers), waiting],
        "numpy": [
            name,
            torch.from_numpy(keys.astype(np.int64)),
            int(place),
            int(has_gauss),
            float(gauss),
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore(state: dict[str, Any]) -> None:
    """Put back what :func:`snapshot` took; devices that are not here are left out."""
    version, numbers, waiting = state["python"]
    random.setstate((version, tuple(numbers.tolist()), waiting))
    name, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), place, has_gauss, gauss))  # noqa: NPY002
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
    """Draw from ``seed`` inside; outside nothing has been drawn."""
    before = snapshot()
    seed_everything(seed)
    try:
        yield
    finally:
        restore(before)
