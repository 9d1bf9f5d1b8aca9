"""Training: a trainer on accelerate that gets schedules, checkpoints and resume right."""

from typing import Any

from warmdown.errors import MissingExtra, warn_renamed

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("warmdown.training", "torch", "torch") from None

from warmdown.training.averaging import *
from warmdown.training.callback import *
from warmdown.training.callbacks import *
from warmdown.training.checkpoint import *
from warmdown.training.curves import *
from warmdown.training.handler import *
from warmdown.training.history import *
from warmdown.training.merging import *
from warmdown.training.planning import *
from warmdown.training.progress import *
from warmdown.training.spikes import *
from warmdown.training.tasks.run import *
from warmdown.training.tasks.task import *
from warmdown.training.trainer import *
from warmdown.training.weights import *

_RENAMED = {
    "LatePlan": ("DeferredPlan", DeferredPlan),
    "extend": ("Trainer.extend", Trainer.extend),
}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new_name, value = _RENAMED[name]
    warn_renamed(f"warmdown.training.{name}", f"warmdown.training.{new_name}")
    return value
