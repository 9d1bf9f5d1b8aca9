"""transformers' schedule names, with the same values."""

from __future__ import annotations

__all__ = ["TRANSFORMERS_NAMES", "get_scheduler", "transformers_schedule"]

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from warmdown.compat.names.shapes import after_warmup, hard_restarts, lowered, waves
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
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
) -> LRScheduler:
    """Return a scheduler that follows the schedule that transformers calls ``name``.

    Args:
        name: ``linear``, ``cosine``, ``cosine_with_restarts``, ``polynomial``, ``constant``,
            ``constant_with_warmup``, ``inverse_sqrt``, ``reduce_lr_on_plateau``,
            ``cosine_with_min_lr``, ``cosine_warmup_with_min_lr`` or ``warmup_stable_decay``; a
            member of transformers' enumeration will do.
        optimizer: A torch optimizer, or what wraps one.
        num_warmup_steps: Updates of the warmup; every name needs it but ``constant`` and
            ``reduce_lr_on_plateau``.
        num_training_steps: Updates in the run, warmup included.
        scheduler_specific_kwargs: Further arguments, as transformers names them.

    Raises:
        ScheduleError: There is no such name, an argument is missing, unknown or out of range.

    Example:
        >>> import torch
        >>> from warmdown.compat.names import get_scheduler
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.5)
        >>> scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=10, num_training_steps=100)
        >>> [round(scheduler.value(step), 6) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    name, given = str(getattr(name, "value", name)), dict(scheduler_specific_kwargs or {})
    if name == "reduce_lr_on_plateau":
        from warmdown.compat.lr_scheduler import ReduceLROnPlateau

        return ReduceLROnPlateau(optimizer, **given)
    from warmdown.binding import Scheduler

    steps = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    schedule = transformers_schedule(name, **steps, **given)
    return Scheduler(optimizer, lr=schedule, run=Run(total_steps=num_training_steps))


def transformers_schedule(
    name: str,
    *,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
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
        >>> schedule = transformers_schedule("polynomial", num_warmup_steps=0, num_training_steps=10, lr_end=0.1)
        >>> [round(schedule.value(step, base=1.0), 6) for step in (0, 5, 10)]
        [1.0, 0.55, 0.1]
    """
    if name not in _NAMED:
        raise ScheduleError(
            f"name={name!r}: {_ELSEWHERE.get(name) or nearest(name, TRANSFORMERS_NAMES)}"
        )
    make = _NAMED[name]
    steps = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    wanted = inspect.signature(make).parameters
    if unknown := [key for key in specific if key not in wanted]:
        raise ScheduleError(
            f"{name}({unknown[0]}=…): there is no such argument. {nearest(unknown[0], wanted)}"
        )
    given = {
        key: value for key, value in steps.items() if key in wanted and value is not None
    } | specific
    missing = [key for key, one in wanted.items() if one.default is one.empty and key not in given]
    if missing:
        raise ScheduleError(f"{name}: it needs {' and '.join(missing)}. Give {missing[0]}=….")
    return make(**given)


def _constant() -> Scale:
    return Scale(Constant(value=1.0))


def _constant_with_warmup(num_warmup_steps: int) -> Scale:
    return after_warmup(_constant(), steps=num_warmup_steps)


def _linear(num_warmup_steps: int, num_training_steps: int) -> Scale:
    decay = Linear(start=1.0, end=0.0, steps=_rest(num_training_steps, num_warmup_steps))
    return after_warmup(Scale(decay), steps=num_warmup_steps)


def _cosine(num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5) -> Scale:
    decay = waves(2 * num_cycles, 0.0, _rest(num_training_steps, num_warmup_steps))
    return after_warmup(Scale(decay), steps=num_warmup_steps)


def _cosine_with_restarts(
    num_warmup_steps: int, num_training_steps: int, num_cycles: float = 1
) -> Scale:
    cycles = hard_restarts(num_cycles, 0.0, _rest(num_training_steps, num_warmup_steps))
    return after_warmup(Scale(cycles >> Constant(value=0.0)), steps=num_warmup_steps)


def _polynomial(
    num_warmup_steps: int, num_training_steps: int, lr_end: float = 1e-7, power: float = 1.0
) -> Scale:
    steps = _rest(num_training_steps, num_warmup_steps)
    decay = Polynomial(start=1.0, end=0.0, steps=steps, power=power)
    low = Polynomial(start=0.0, end=lr_end, steps=steps, power=power) if lr_end else None
    return after_warmup(Scale(decay, offset=low), steps=num_warmup_steps)


def _inverse_sqrt(num_warmup_steps: int, timescale: int | None = None) -> Scale:
    falling = InverseSqrt(start=1.0, timescale=timescale or num_warmup_steps or 10_000)
    return after_warmup(Scale(falling), steps=num_warmup_steps)


def _cosine_with_min_lr(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Scale:
    steps = _rest(num_training_steps, num_warmup_steps)
    return after_warmup(_down_to(min_lr, min_lr_rate, num_cycles, steps), steps=num_warmup_steps)


def _cosine_warmup_with_min_lr(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Scale:
    """Return the variant that counts from 1: the warmup is at its top, and the decay at its end, one update sooner."""
    down = _down_to(min_lr, min_lr_rate, num_cycles, _rest(num_training_steps, num_warmup_steps))
    first = 1 / max(num_warmup_steps, 1) if warmup_lr_rate is None else warmup_lr_rate
    if num_warmup_steps > 1:
        return after_warmup(down, steps=num_warmup_steps - 1, first_ratio=first)
    later = Scale(down.of.skip(1), offset=None if down.offset is None else down.offset.skip(1))
    if num_warmup_steps == 0:
        return later
    offset = None if later.offset is None else Constant(value=0.0, steps=1) >> later.offset
    return Scale(Constant(value=first, steps=1) >> later.of, offset=offset)


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
    warmup = _one_of("warmup_type", warmup_type, _RISING)(min_lr_ratio, num_warmup_steps)
    decay = _one_of("decay_type", decay_type, _FALLING)(min_lr_ratio, num_decay_steps, num_cycles)
    stable = Constant(value=1.0, steps=num_stable_steps)
    phases = (
        warmup.named("warmup"),
        stable.named("stable"),
        decay.named("decay"),
        Constant(value=min_lr_ratio),
    )
    return Scale(Chain.of(*phases))


def _down_to(
    min_lr: float | None, min_lr_rate: float | None, num_cycles: float, steps: int
) -> Scale:
    if (min_lr is None) == (min_lr_rate is None):
        raise ScheduleError(f"min_lr={min_lr}, min_lr_rate={min_lr_rate}: give one of the two.")
    if min_lr is None:
        return Scale(waves(2 * num_cycles, min_lr_rate or 0.0, steps))
    return lowered(waves(2 * num_cycles, 0.0, steps), min_lr)


_RISING: Mapping[str, Callable[[float, int], Schedule]] = {
    "linear": lambda first, steps: Linear(start=first, end=1.0, steps=steps),
    "cosine": lambda first, steps: Cosine(start=first, end=1.0, steps=steps),
    "1-sqrt": lambda first, steps: Polynomial(start=first, end=1.0, steps=steps, power=0.5),
}
_FALLING: Mapping[str, Callable[[float, int, float], Schedule]] = {
    "linear": lambda last, steps, _: Linear(start=1.0, end=last, steps=steps),
    "cosine": lambda last, steps, cycles: waves(2 * cycles, last, steps),
    "1-sqrt": lambda last, steps, _: Sqrt(start=1.0, end=last, steps=steps),
}
_NAMED: Mapping[str, Callable[..., Scale]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "warmup_stable_decay": _warmup_stable_decay,
}
_ELSEWHERE = {
    "reduce_lr_on_plateau": "it follows a metric, so it is no function of the step. Use "
    "get_scheduler, or Plateau.",
    "greedy": "it follows a metric, so it is no function of the step. Use Greedy.",
}
TRANSFORMERS_NAMES = tuple(_NAMED)


def _rest(total: int, spent: int) -> int:
    if total < spent:
        raise ScheduleError(
            f"num_training_steps={total}: warmup and decay need {spent} updates. Shorten them, or "
            f"train for longer."
        )
    return total - spent


def _one_of(argument: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ScheduleError(
            f"warmup_stable_decay({argument}={name!r}): no such curve. {nearest(name, known)}"
        )
    return known[name]
