"""One scheduler of each kind, and a loop that notes what each step uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tests.compat.loops import rates, sgd
from torch.optim import lr_scheduler as torch_sched

import warmdown.compat.lr_scheduler

wlr: Any = warmdown.compat.lr_scheduler
torchs: Any = torch_sched

Made = Callable[[Any], Any]

EACH: dict[str, Made] = {
    "step": lambda opt: wlr.StepLR(opt, 3, 0.5),
    "multi": lambda opt: wlr.MultiStepLR(opt, [2, 4, 4], 0.5),
    "constant": lambda opt: wlr.ConstantLR(opt, 0.5, 4),
    "linear": lambda opt: wlr.LinearLR(opt, 0.25, 1.0, 6),
    "exponential": lambda opt: wlr.ExponentialLR(opt, 0.9),
    "polynomial": lambda opt: wlr.PolynomialLR(opt, 12, 2.0),
    "cosine": lambda opt: wlr.CosineAnnealingLR(opt, 12, 0.01),
    "restarts": lambda opt: wlr.CosineAnnealingWarmRestarts(opt, 3, 2),
    "cyclic": lambda opt: wlr.CyclicLR(opt, 0.1, 0.4, 2, 3),
    "one cycle": lambda opt: wlr.OneCycleLR(opt, 0.5, 12),
    "swa": lambda opt: wlr.SWALR(opt, 0.05, 5),
    "sequence": lambda opt: wlr.SequentialLR(
        opt, [wlr.LinearLR(opt, 0.5, 1.0, 3), wlr.CosineAnnealingLR(opt, 6)], [3]
    ),
    "chain": lambda opt: wlr.ChainedScheduler(
        [wlr.ConstantLR(opt, 0.5, 3), wlr.ExponentialLR(opt, 0.9)]
    ),
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "step": (3, 0.5),
    "multi": ([2, 4, 4], 0.5),
    "linear": (0.25, 1.0, 6),
    "exponential": (0.9,),
    "polynomial": (12, 2.0),
    "cosine": (12, 0.01),
    "restarts": (3, 2),
    "cyclic": (0.1, 0.4, 2, 3),
    "one cycle": (0.5, 12),
    "swa": (0.05, 5),
}
"""What the same names of torch's are made with."""


def momentum(*starts: float) -> torch.optim.SGD:
    """Return an optimizer with momentum, one group for each rate."""
    return sgd(*(starts or (0.1, 0.3)), momentum=0.9)


def steps(scheduler: Any, count: int) -> list[list[float]]:
    """Return what every group holds before each of so many steps."""
    seen = []
    for _ in range(count):
        seen.append(rates(scheduler.optimizer))
        scheduler.optimizer.step()
        scheduler.step()
    return seen
