"""The functions of ``transformers.optimization`` that make schedulers, by their names."""

from __future__ import annotations

__all__ = [
    "AdafactorSchedule",
    "GreedyLR",
    "SchedulerType",
    "get_adafactor_schedule",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_cosine_with_min_lr_schedule_with_warmup",
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
    "get_greedy_schedule",
    "get_inverse_sqrt_schedule",
    "get_linear_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup",
    "get_reduce_on_plateau_schedule",
    "get_scheduler",
    "get_wsd_schedule",
]

from collections.abc import Callable
from enum import StrEnum
from inspect import Parameter, Signature
from typing import Any

from warmdown.errors import MissingExtra, ScheduleError

try:
    import torch  # noqa: F401
except ModuleNotFoundError:
    raise MissingExtra("warmdown.compat.optimization", "torch", "torch") from None

from warmdown.compat.adaptive import AdafactorSchedule, GreedyLR
from warmdown.compat.names.transformers import defaults_of, get_scheduler


class SchedulerType(StrEnum):
    """The names that ``get_scheduler`` knows, as transformers enumerates them."""

    LINEAR = "linear"
    COSINE = "cosine"
    COSINE_WITH_RESTARTS = "cosine_with_restarts"
    POLYNOMIAL = "polynomial"
    CONSTANT = "constant"
    CONSTANT_WITH_WARMUP = "constant_with_warmup"
    INVERSE_SQRT = "inverse_sqrt"
    REDUCE_ON_PLATEAU = "reduce_lr_on_plateau"
    COSINE_WITH_MIN_LR = "cosine_with_min_lr"
    COSINE_WARMUP_WITH_MIN_LR = "cosine_warmup_with_min_lr"
    WARMUP_STABLE_DECAY = "warmup_stable_decay"
    GREEDY = "greedy"


def _maker(kind: SchedulerType, names: str) -> Callable[..., Any]:
    """Return a function that makes one kind of scheduler.

    Args:
        kind: Which.
        names: What it takes after the optimizer, in transformers' order.
    """
    defaults = {"last_epoch": -1, **defaults_of(kind)}
    signature = Signature(
        [
            Parameter(
                name, Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name, Parameter.empty)
            )
            for name in ("optimizer", *names.split())
        ]
    )

    def make(*positional: Any, **named: Any) -> Any:
        try:
            given = signature.bind(*positional, **named).arguments
        except TypeError as error:
            raise ScheduleError(f"{kind}: {error}. It takes {signature}.") from None
        optimizer, last_epoch = given.pop("optimizer"), given.pop("last_epoch", -1)
        steps = {name: given.pop(name, None) for name in ("num_warmup_steps", "num_training_steps")}
        scheduler: Any = get_scheduler(kind, optimizer, **steps, scheduler_specific_kwargs=given)
        if last_epoch >= 0:
            scheduler.seek(last_epoch + 1)
        return scheduler

    make.__doc__ = f"""Return what :func:`get_scheduler` makes of ``{kind}``.

    Called as transformers' function of that name: ``{signature}``.

    Raises:
        ScheduleError: An argument is missing, unknown or out of range.
    """
    make.__signature__ = signature  # type: ignore[attr-defined]
    return make


_BOTH = "num_warmup_steps num_training_steps"
_MINIMUM = f"{_BOTH} num_cycles last_epoch min_lr min_lr_rate"

get_constant_schedule = _maker(SchedulerType.CONSTANT, "last_epoch")
get_constant_schedule_with_warmup = _maker(
    SchedulerType.CONSTANT_WITH_WARMUP, "num_warmup_steps last_epoch"
)
get_linear_schedule_with_warmup = _maker(SchedulerType.LINEAR, f"{_BOTH} last_epoch")
get_cosine_schedule_with_warmup = _maker(SchedulerType.COSINE, f"{_BOTH} num_cycles last_epoch")
get_cosine_with_hard_restarts_schedule_with_warmup = _maker(
    SchedulerType.COSINE_WITH_RESTARTS, f"{_BOTH} num_cycles last_epoch"
)
get_polynomial_decay_schedule_with_warmup = _maker(
    SchedulerType.POLYNOMIAL, f"{_BOTH} lr_end power last_epoch"
)
get_inverse_sqrt_schedule = _maker(
    SchedulerType.INVERSE_SQRT, "num_warmup_steps timescale last_epoch"
)
get_cosine_with_min_lr_schedule_with_warmup = _maker(SchedulerType.COSINE_WITH_MIN_LR, _MINIMUM)
get_cosine_with_min_lr_schedule_with_warmup_lr_rate = _maker(
    SchedulerType.COSINE_WARMUP_WITH_MIN_LR, f"{_MINIMUM} warmup_lr_rate"
)
get_wsd_schedule = _maker(
    SchedulerType.WARMUP_STABLE_DECAY,
    "num_warmup_steps num_decay_steps num_training_steps num_stable_steps warmup_type decay_type "
    "min_lr_ratio num_cycles last_epoch",
)


def get_reduce_on_plateau_schedule(optimizer: Any, **arguments: Any) -> Any:
    """Return :class:`~warmdown.compat.lr_scheduler.ReduceLROnPlateau`, which has its arguments."""
    kind = SchedulerType.REDUCE_ON_PLATEAU
    return get_scheduler(kind, optimizer, scheduler_specific_kwargs=arguments)


def get_greedy_schedule(optimizer: Any, **arguments: Any) -> Any:
    """Return :class:`GreedyLR`, which has its arguments."""
    return get_scheduler(SchedulerType.GREEDY, optimizer, scheduler_specific_kwargs=arguments)


def get_adafactor_schedule(optimizer: Any, initial_lr: float = 0.0) -> AdafactorSchedule:
    """Return :class:`AdafactorSchedule`."""
    return AdafactorSchedule(optimizer, initial_lr)
