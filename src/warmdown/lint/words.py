"""The names that the linter knows: schedulers, what their lengths are called, and what people call things."""

from __future__ import annotations

__all__ = [
    "ACCUMULATION",
    "EPOCH",
    "LENGTHS",
    "LOADER",
    "METRIC",
    "OPTIMIZER",
    "SCHEDULERS",
    "SIGNATURES",
    "TRAINS",
    "library_of",
]

import re
from collections.abc import Mapping

_TORCH = (
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau",
    "SequentialLR", "StepLR", "SWALR",
)  # fmt: skip
_TRANSFORMERS = (
    "get_constant_schedule_with_warmup", "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup", "get_linear_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup", "get_scheduler", "get_wsd_schedule",
)  # fmt: skip
_HOMES = {
    "torch": ("torch.optim.lr_scheduler", "torch.optim.swa_utils", "warmdown.compat.lr_scheduler"),
    "transformers": ("transformers", "transformers.optimization", "diffusers.optimization"),
}
SCHEDULERS: Mapping[str, str] = {
    f"{home}.{name}": library
    for library, names in (("torch", _TORCH), ("transformers", _TRANSFORMERS))
    for home in _HOMES[library]
    for name in names
}
"""Every scheduler by its full name; the value is the library that it is of."""

_BARE = {**dict.fromkeys(_TORCH, "torch"), **dict.fromkeys(_TRANSFORMERS, "transformers")}

_HF = ("optimizer", "num_warmup_steps", "num_training_steps")
SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "OneCycleLR": ("optimizer", "max_lr", "total_steps", "epochs", "steps_per_epoch"),
    "CosineAnnealingLR": ("optimizer", "T_max"),
    "PolynomialLR": ("optimizer", "total_iters"),
    "get_linear_schedule_with_warmup": _HF,
    "get_cosine_schedule_with_warmup": _HF,
    "get_cosine_with_hard_restarts_schedule_with_warmup": _HF,
    "get_polynomial_decay_schedule_with_warmup": _HF,
    "get_scheduler": ("name", *_HF),
}
"""The positional arguments that matter, in order."""

LENGTHS: Mapping[str, str] = {
    "OneCycleLR": "total_steps",
    "CosineAnnealingLR": "T_max",
    "PolynomialLR": "total_iters",
    "get_linear_schedule_with_warmup": "num_training_steps",
    "get_cosine_schedule_with_warmup": "num_training_steps",
    "get_cosine_with_hard_restarts_schedule_with_warmup": "num_training_steps",
    "get_polynomial_decay_schedule_with_warmup": "num_training_steps",
    "get_scheduler": "num_training_steps",
}
"""The argument that says how long the schedule is."""

EPOCH = re.compile(r"epoch", re.IGNORECASE)
LOADER = re.compile(r"loader|(^|_)dl($|_)|(^|_)batches$|batch_sampler", re.IGNORECASE)
OPTIMIZER = re.compile(r"(^|_|\.)(opt|optim|optimi[sz]er)s?(_|\d|$)", re.IGNORECASE)
METRIC = re.compile(
    r"loss|acc(uracy)?($|_)|metric|score|error|perplexity|(^|_)f1($|_)|(^|_)auc($|_)", re.IGNORECASE
)
ACCUMULATION = re.compile(r"accum|grad_acc|micro", re.IGNORECASE)
TRAINS = re.compile(r"(^|_)(train|fit)(_|$|ing)|train_?(one_)?(epoch|step|batch)", re.IGNORECASE)


def library_of(name: str) -> str | None:
    """Return the library of a scheduler, by its full name or by its bare one; ``None`` when it is none.

    Example:
        >>> library_of("torch.optim.lr_scheduler.StepLR"), library_of("StepLR"), library_of("mine.StepLR")
        ('torch', 'torch', None)
    """
    return SCHEDULERS.get(name) or _BARE.get(name)
