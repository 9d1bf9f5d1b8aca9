"""Small optimizers, and a loop that notes what each update uses."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def sgd(*rates: float, **options: Any) -> torch.optim.SGD:
    """Return an optimizer with one group for each rate."""
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates or (1.0,)
    ]
    return torch.optim.SGD(groups, lr=1.0, **options)


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """Return what each group holds."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def run(scheduler: Any, updates: int) -> list[list[float]]:
    """Return the rates that each update uses."""
    used = []
    for _ in range(updates):
        used.append(rates(scheduler.optimizer))
        scheduler.optimizer.step()
        scheduler.step()
    return used


def through_a_file(state: dict[str, Any]) -> Any:
    """Return what a checkpoint file gives back of a state."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@contextmanager
def goes_at_once(thing: object) -> Iterator[None]:
    """Check that nothing keeps ``thing`` after the block, without the garbage collector."""
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    gc.disable()
    try:
        yield
        assert gone() is None
    finally:
        gc.enable()
