"""pytorch-accelerated's schedulers by their names, right where their own documentation is."""

__all__ = [
    "CosineLrScheduler",
    "SchedulerBase",
    "StatefulSchedulerBase",
    "WSDLrScheduler",
    "estimate_checkpoint_steps",
]

from warmdown.errors import MissingExtra

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("warmdown.compat.schedulers", "torch", "torch") from None

from warmdown.compat.schedulers.base import *
from warmdown.compat.schedulers.cosine import *
from warmdown.compat.schedulers.wsd import *
