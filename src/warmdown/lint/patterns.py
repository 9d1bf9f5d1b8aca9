"""The names that the linter knows: schedulers, their lengths, and what people call things."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_TORCH = (
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "SWALR",
)
_WARMUPS = (
    "get_linear_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup",
)
_TRANSFORMERS = (
    *_WARMUPS,
    "get_constant_schedule_with_warmup",
    "get_scheduler",
    "get_wsd_schedule",
)
# the last has the bare names
_NAMES = {"warmdown": _TORCH, "torch": _TORCH, "transformers": _TRANSFORMERS}
_MODULES = {
    "warmdown": ("warmdown.compat.lr_scheduler",),
    "torch": ("torch.optim.lr_scheduler", "torch.optim.swa_utils"),
    "transformers": ("transformers", "transformers.optimization", "diffusers.optimization"),
}
SCHEDULERS: Mapping[str, str] = {
    f"{prefix}{name}": library
    for library, names in _NAMES.items()
    for prefix in ("", *(f"{module}." for module in _MODULES[library]))
    for name in names
} | {"warmdown.Scheduler": "native"}
"""The library of every scheduler, by its full name and by its bare one."""

_WARMUP_ARGUMENTS = ("optimizer", "num_warmup_steps", "num_training_steps")
SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "StepLR": ("optimizer", "step_size"),
    "MultiStepLR": ("optimizer", "milestones"),
    "LambdaLR": ("optimizer", "lr_lambda"),
    "LinearLR": ("optimizer", "start_factor", "end_factor", "total_iters"),
    "CosineAnnealingWarmRestarts": ("optimizer", "T_0"),
    "CyclicLR": ("optimizer", "base_lr", "max_lr"),
    "ReduceLROnPlateau": ("optimizer", "mode", "factor", "patience"),
    "Scheduler": ("optimizer", "plan"),
    "Optimizer": ("params", "lr"),
    "DataLoader": ("dataset", "batch_size"),
    "Run": ("total_steps", "epochs", "steps_per_epoch"),
    "SequentialLR": ("optimizer", "schedulers", "milestones"),
    "OneCycleLR": ("optimizer", "max_lr", "total_steps", "epochs", "steps_per_epoch"),
    "CosineAnnealingLR": ("optimizer", "T_max", "eta_min"),
    "PolynomialLR": ("optimizer", "total_iters"),
    "get_scheduler": ("name", *_WARMUP_ARGUMENTS),
    **dict.fromkeys(_WARMUPS, _WARMUP_ARGUMENTS),
}
"""The positional arguments that matter, in order."""

LENGTHS: Mapping[str, str] = {
    "Scheduler": "total_steps",
    "StepLR": "step_size",
    "LinearLR": "total_iters",
    "OneCycleLR": "total_steps",
    "CosineAnnealingLR": "T_max",
    "CosineAnnealingWarmRestarts": "T_0",
    "PolynomialLR": "total_iters",
    "get_scheduler": "num_training_steps",
    **dict.fromkeys(_WARMUPS, "num_training_steps"),
}
"""The argument that is the length of the schedule."""

SCHEDULER = re.compile(r"^_?(lr_?)?sched(uler)?s?(_|\d|$)", re.IGNORECASE)
PART_OF_EPOCH = re.compile(r"step|iter|batch|update|sample|token|loader", re.IGNORECASE)
BATCH_SIZE = re.compile(r"batch_?size|(^|_)bs($|_)", re.IGNORECASE)
STEPS = re.compile(r"(^|_)(steps|iters|iterations|batches|updates)($|_)", re.IGNORECASE)
SHARE = re.compile(r"ratio|frac|pct|percent|prop(ortion)?($|_)|factor|share", re.IGNORECASE)
EPOCH = re.compile(r"epoch", re.IGNORECASE)
LOADER = re.compile(r"loader|(^|_)dl($|_)|(^|_)batches$|batch_sampler", re.IGNORECASE)
OPTIMIZER = re.compile(r"(^|_|\.)(opt|optim|optimi[sz]er)s?(_|\d|$)", re.IGNORECASE)
METRIC = re.compile(
    r"loss|acc(uracy)?($|_)|metric|score|error|perplexity|(^|_)f1($|_)|(^|_)auc($|_)", re.IGNORECASE
)
ACCUMULATION = re.compile(
    r"accum|grad_?acc|micro|(^|_)gas?(_steps)?$|(update|optim\w*|step)_?(freq|every|interval)",
    re.IGNORECASE,
)
RESUMES = re.compile(r"resume|restore|load_?(ckpt|check|state|train|model)", re.IGNORECASE)
TRAINS = re.compile(r"(^|_)(train|fit)(_|$|ing)|train_?(one_)?(epoch|step|batch)", re.IGNORECASE)


def matches(pattern: re.Pattern[str], words: Iterable[str]) -> bool:
    """Return whether the pattern occurs in one of the words."""
    return any(map(pattern.search, words))
