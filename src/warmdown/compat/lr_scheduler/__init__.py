"""The names of ``torch.optim.lr_scheduler``, right where torch's own are wrong."""

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PlanLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SWALR",
    "SequentialLR",
    "StepLR",
    "_LRScheduler",
]

from warmdown.errors import MissingExtra

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("warmdown.compat.lr_scheduler", "torch", "torch") from None

from warmdown.compat.lr_scheduler.base import *
from warmdown.compat.lr_scheduler.composed import *
from warmdown.compat.lr_scheduler.curves import *
from warmdown.compat.lr_scheduler.cycles import *
from warmdown.compat.lr_scheduler.functions import *
from warmdown.compat.lr_scheduler.plan import *
from warmdown.compat.lr_scheduler.plateau import *
