"""transformers' schedule names, with the same values."""

from __future__ import annotations

__all__ = ["TRANSFORMERS_NAMES", "get_scheduler", "transformers_schedule"]

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from warmdown.compat.names.shapes import (
    after_warmup,
    hard_restarts,
    look_up,
    lowered,
    skipped,
    waves,
)
from warmdown.errors import ScheduleError, nearest
from warmdown.run import Run
from warmdown.schedules import (
    Chain,
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Polynomial,
    Scale,
    Schedule,
    Sqrt,
)

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler


def get_scheduler(
    name: str,
    optimizer: Any,
    num_warmup_steps: float | None = None,
    num_training_steps: float | None = None,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
) -> LRScheduler:
    """Return a scheduler that follows the schedule that transformers calls ``name``.

    Args:
        name: ``linear``, ``cosine``, ``cosine_with_restarts``, ``polynomial``, ``constant``,
            ``constant_with_warmup``, ``inverse_sqrt``, ``reduce_lr_on_plateau``, ``greedy``,
            ``cosine_with_min_lr``, ``cosine_warmup_with_min_lr`` or ``warmup_stable_decay``; a
            member of transformers' enumeration will do.
        optimizer: A torch optimizer, or what wraps one.
        num_warmup_steps: Updates of the warmup; every name needs it but ``constant``, ``greedy``
            and ``reduce_lr_on_plateau``.
        num_training_steps: Updates in the run, warmup included; whole floats will do.
        scheduler_specific_kwargs: Further arguments, as transformers names them.

    Raises:
        ScheduleError: There is no such name, an argument is missing, unknown or out of range.

    Example:
        >>> import torch
        >>> from warmdown.compat.names import get_scheduler
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.5)
        >>> steps = {"num_warmup_steps": 10, "num_training_steps": 100}
        >>> scheduler = get_scheduler("cosine", optimizer, **steps)
        >>> [round(scheduler.value(step), 6) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    name, given = str(getattr(name, "value", name)), dict(scheduler_specific_kwargs or {})
    if name in _FOLLOW_A_METRIC:
        from warmdown.compat.adaptive import GreedyLR
        from warmdown.compat.lr_scheduler import ReduceLROnPlateau

        made = GreedyLR if name == "greedy" else ReduceLROnPlateau
        _require_arguments_of(name, given, inspect.signature(made).parameters)
        return made(optimizer, **given)
    from warmdown.compat.names.lambdas import LambdaScheduler

    total = _whole("num_training_steps", num_training_steps)
    steps = {"num_warmup_steps": num_warmup_steps, "num_training_steps": total}
    schedule = transformers_schedule(name, **steps, **given)
    return LambdaScheduler(optimizer, lr=schedule, run=Run(total_steps=total))


def defaults_of(name: str) -> Mapping[str, Any]:
    """Return the arguments that a name's schedule need not be given, with their defaults."""
    parameters = inspect.signature(_NAMED[name]).parameters
    return {key: one.default for key, one in parameters.items() if one.default is not one.empty}


def transformers_schedule(
    name: str,
    *,
    num_warmup_steps: float | None = None,
    num_training_steps: float | None = None,
    **specific: Any,
) -> Scale:
    """Return the schedule that transformers calls ``name``; it needs no torch.

    An absolute rate such as ``min_lr`` is the same for every group; transformers divides it by the
    optimizer's default. Past the end the last value holds; some of transformers' cosines rise
    again.

    Args:
        name: As in :func:`get_scheduler`, without ``reduce_lr_on_plateau``.
        num_warmup_steps: Updates of the warmup.
        num_training_steps: Updates in the run, warmup included.
        specific: Further arguments, as transformers names them.

    Raises:
        ScheduleError: There is no such name, an argument is missing, unknown or out of range.

    Example:
        >>> from warmdown.compat.names import transformers_schedule
        >>> steps = {"num_warmup_steps": 0, "num_training_steps": 10}
        >>> schedule = transformers_schedule("polynomial", **steps, lr_end=0.1)
        >>> [round(schedule.value(step, base=1.0), 6) for step in (0, 5, 10)]
        [1.0, 0.55, 0.1]
    """
    make = look_up("name", name, _NAMED, _ELSEWHERE)
    steps = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    wanted = inspect.signature(make).parameters
    _require_arguments_of(name, specific, wanted)
    given = {key: value for key, value in steps.items() if key in wanted and value is not None}
    given |= specific
    given = {key: _whole(key, value) for key, value in given.items()}
    missing = [key for key, one in wanted.items() if one.default is one.empty and key not in given]
    if missing:
        raise ScheduleError(f"{name}: it needs {' and '.join(missing)}. Give {missing[0]}=….")
    return make(**given)


def _require_arguments_of(name: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if unknown := [key for key in given if key not in wanted]:
        raise ScheduleError(
            f"{name}({unknown[0]}=…): there is no such argument. {nearest(unknown[0], wanted)}"
        )


def _whole(name: str, value: Any) -> Any:
    """Return a count of updates as an int; transformers takes floats, too."""
    if name not in _COUNTS or value is None:
        return value
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        count = None
    if count is None or count != value or isinstance(value, bool | str):
        raise ScheduleError(
            f"{name}={str(value)[:60]}: a whole number of updates is needed. Round it: "
            f"{name}=round(…)."
        )
    return count


def _after_linear_warmup(
    schedule: Schedule, num_warmup_steps: int, offset: Schedule | None = None
) -> Scale:
    return after_warmup(Scale(schedule, offset=offset), steps=num_warmup_steps)


def _rest(total: int, spent: int) -> int:
    if total < spent:
        raise ScheduleError(
            f"num_training_steps={total}: warmup and decay need {spent} updates. Shorten them, or "
            "train for longer."
        )
    return total - spent


def _linear_decay(num_warmup_steps: int, num_training_steps: int) -> Scale:
    steps = _rest(num_training_steps, num_warmup_steps)
    return _after_linear_warmup(Linear(start=1.0, end=0.0, steps=steps), num_warmup_steps)


def _cosine(num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5) -> Scale:
    steps = _rest(num_training_steps, num_warmup_steps)
    return _after_linear_warmup(waves(2 * num_cycles, 0.0, steps), num_warmup_steps)


def _cosine_with_restarts(
    num_warmup_steps: int, num_training_steps: int, num_cycles: float = 1
) -> Scale:
    cycles = hard_restarts(num_cycles, 0.0, _rest(num_training_steps, num_warmup_steps))
    return _after_linear_warmup(cycles >> Constant(value=0.0), num_warmup_steps)


def _polynomial(
    num_warmup_steps: int, num_training_steps: int, lr_end: float = 1e-7, power: float = 1.0
) -> Scale:
    steps = _rest(num_training_steps, num_warmup_steps)
    decay = Polynomial(start=1.0, end=0.0, steps=steps, power=power)
    low = Polynomial(start=0.0, end=lr_end, steps=steps, power=power) if lr_end else None
    return _after_linear_warmup(decay, num_warmup_steps, low)


def _inverse_sqrt(num_warmup_steps: int, timescale: int | None = None) -> Scale:
    falling = InverseSqrt(start=1.0, timescale=timescale or num_warmup_steps or 10_000)
    return _after_linear_warmup(falling, num_warmup_steps)


def _cosine_with_min_lr(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Scale:
    steps = _rest(num_training_steps, num_warmup_steps)
    if (min_lr is None) == (min_lr_rate is None):
        raise ScheduleError(f"min_lr={min_lr}, min_lr_rate={min_lr_rate}: give one of the two.")
    if min_lr is None:
        down = Scale(waves(2 * num_cycles, min_lr_rate or 0.0, steps))
    else:
        down = lowered(waves(2 * num_cycles, 0.0, steps), min_lr)
    return after_warmup(down, steps=num_warmup_steps)


def _cosine_warmup_with_min_lr(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Scale:
    """Return the variant that counts from 1: warmup and decay end one update sooner."""
    steps = _rest(num_training_steps, num_warmup_steps)
    down = _cosine_with_min_lr(0, steps, num_cycles, min_lr, min_lr_rate)
    first = 1 / max(num_warmup_steps, 1) if warmup_lr_rate is None else warmup_lr_rate
    if num_warmup_steps > 1:
        reached = down if steps else _after_one_step(1.0, down)
        return after_warmup(reached, steps=num_warmup_steps - 1, first_ratio=first)
    later = skipped(down, 1)
    return later if num_warmup_steps == 0 else _after_one_step(first, later)


def _after_one_step(value: float, scale: Scale) -> Scale:
    """Return a scale after one step at a share of the base value."""
    offset = scale.offset and Constant(value=0.0, steps=1) >> scale.offset
    return Scale(Constant(value=value, steps=1) >> scale.of, offset=offset)


def _warmup_stable_decay(
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Scale:
    if num_stable_steps is None and num_training_steps is None:
        raise ScheduleError("warmup_stable_decay: give num_training_steps or num_stable_steps.")
    if num_stable_steps is None:
        num_stable_steps = _rest(num_training_steps or 0, num_warmup_steps + num_decay_steps)
    rise = look_up("warmup_stable_decay: warmup_type", warmup_type, _RISES)
    fall = look_up("warmup_stable_decay: decay_type", decay_type, _FALLS)
    return Scale(
        Chain.of(
            rise(start=min_lr_ratio, end=1.0, steps=num_warmup_steps).named("warmup"),
            Constant(value=1.0, steps=num_stable_steps).named("stable"),
            fall(min_lr_ratio, num_decay_steps, 2 * num_cycles).named("decay"),
            Constant(value=min_lr_ratio),
        )
    )


_RISES: Mapping[str, Any] = {
    "linear": Linear,
    "cosine": Cosine,
    "1-sqrt": partial(Polynomial, power=0.5),
}
_FALLS: Mapping[str, Callable[[float, int, float], Schedule]] = {
    "linear": lambda last, steps, _: Linear(start=1.0, end=last, steps=steps),
    "cosine": lambda last, steps, halves: waves(halves, last, steps),
    "1-sqrt": lambda last, steps, _: Sqrt(start=1.0, end=last, steps=steps),
}
_NAMED: Mapping[str, Callable[..., Scale]] = {
    "linear": _linear_decay,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "constant": lambda: Scale(Constant(value=1.0)),
    "constant_with_warmup": lambda num_warmup_steps: _after_linear_warmup(
        Constant(value=1.0), num_warmup_steps
    ),
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "warmup_stable_decay": _warmup_stable_decay,
}
_ELSEWHERE = {
    "reduce_lr_on_plateau": "it follows a metric, so it is no function of the step. Use "
    "get_scheduler, or Plateau.",
    "greedy": "it follows a metric, so it is no function of the step. Use Greedy, or "
    "get_scheduler.",
}
_FOLLOW_A_METRIC = tuple(_ELSEWHERE)
_COUNTS = (
    "num_warmup_steps",
    "num_training_steps",
    "num_decay_steps",
    "num_stable_steps",
    "timescale",
)
TRANSFORMERS_NAMES = tuple(_NAMED)
