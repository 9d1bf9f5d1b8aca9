"""Random numbers as a part of the state: saved, restored, and derived from a position alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from warmdown.batches import derive_seed as derive_seed
from warmdown.training.types import Data


def snapshot() -> Data:
    """Return the state of every generator of this process as plain data and tensors."""
    (version, numbers, waiting), (name, keys, *position), torch_state, devices = _states()
    # plain data and tensors alone: a checkpoint is read with weights_only
    state = {
        "python": [version, torch.tensor(numbers), waiting],
        # torch's readers know no unsigned integers of 32 bits
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *position],
        "torch": torch_state,
    }
    return state | ({"cuda": devices} if devices else {})


def restore(state: Data) -> None:
    """Restore what :func:`snapshot` returned; devices that are not here are left out."""
    version, numbers, waiting = state["python"]
    name, keys, *position = state["numpy"]
    python, numpy = (version, tuple(numbers.tolist()), waiting), keys.numpy().astype(np.uint32)
    _set_states(python, (name, numpy, *position), state["torch"], state.get("cuda", []))


def _states() -> tuple[Any, Any, torch.Tensor, list[torch.Tensor]]:
    # people's datasets draw from NumPy's global generator
    numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return random.getstate(), numpy, torch.get_rng_state(), devices


def _set_states(
    python: Any, numpy: Any, torch_state: torch.Tensor, devices: list[torch.Tensor]
) -> None:
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(torch_state)
    for device, state in enumerate(devices[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    # NumPy takes 32 bits alone
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


class OwnNumbers:
    """Random numbers of its own in each ``with`` block; outside the generators are untouched.

    A block goes on where the one before it ended.

    Args:
        seed: What the first block draws from.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._own: Any = None

    def __enter__(self) -> None:
        self._outside = _states()
        if self._own is None:
            seed_everything(self._seed)
        else:
            _set_states(*self._own)

    def __exit__(self, *exception: object) -> None:
        self._own = _states()
        _set_states(*self._outside)
