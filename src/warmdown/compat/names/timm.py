"""timm's scheduler names and defaults, as schedules."""

from __future__ import annotations

__all__ = ["TIMM_NAMES", "timm_schedule"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from warmdown.compat.names.shapes import after_warmup, look_up, skipped
from warmdown.errors import ScheduleError
from warmdown.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Milestones,
    Polynomial,
    Scale,
    Schedule,
    Sqrt,
    Staircase,
    Tanh,
)

Attributes: TypeAlias = Mapping[str, Any]
"""A scheduler's numbers, named as timm's classes name them."""


def timm_schedule(
    sched: str = "cosine",
    *,
    num_epochs: int = 300,
    decay_epochs: float | None = None,
    decay_milestones: Sequence[int] = (90, 180, 270),
    decay_rate: float = 0.1,
    min_lr: float = 0.0,
    warmup_lr: float = 1e-5,
    warmup_epochs: int = 0,
    warmup_prefix: bool = False,
    cycle_mul: float = 1.0,
    cycle_decay: float = 0.1,
    cycle_limit: int = 1,
    k_decay: float = 1.0,
    decay_fn: str | None = None,
    stable_timescale: float | None = None,
    updates_per_epoch: int = 1,
) -> Scale:
    """Return the schedule that timm calls ``sched``, with timm's defaults.

    Without ``updates_per_epoch`` a step is an epoch; with it a step is an update, as with
    ``step_on_epochs=False``.

    Args:
        sched: ``cosine``, ``tanh``, ``step``, ``multistep``, ``poly``, ``wsd``, ``rsqrt`` or
            ``constant``.
        num_epochs: Epochs, without the warmup if ``warmup_prefix``.
        decay_epochs: Epochs of one stair, 90, or of the last decay: a fraction is a share, 0.2.
        decay_milestones: Epochs of ``multistep``; each acts one step before its number.
        decay_rate: Factor of a stair or milestone, or the power of ``poly``.
        min_lr: Lowest rate, the same for every group.
        warmup_lr: First rate of the warmup.
        warmup_epochs: Epochs of the warmup.
        warmup_prefix: Whether the schedule begins after the warmup; else it has been running all
            along.
        cycle_mul: Factor on the length of each further cycle.
        cycle_decay: Factor on the height of each further cycle.
        cycle_limit: Number of cycles.
        k_decay: Order of the decay.
        decay_fn: ``linear``, ``1-sqrt``, ``cosine``, ``power`` or ``exp``, for ``wsd`` and
            ``rsqrt``.
        stable_timescale: Epochs that ``rsqrt`` is measured in; the warmup's.
        updates_per_epoch: Steps in an epoch.

    Raises:
        ScheduleError: There is no such name, or a number is out of range.

    Example:
        >>> from warmdown.compat.names import timm_schedule
        >>> given = {"num_epochs": 10, "warmup_epochs": 2, "warmup_lr": 0.0}
        >>> schedule = timm_schedule("cosine", **given, warmup_prefix=True)
        >>> [round(schedule.value(epoch, base=1.0), 6) for epoch in (0, 1, 2, 7, 12)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    rule_of = look_up("sched", sched, RULES, _ELSEWHERE)
    if updates_per_epoch < 1:
        raise ScheduleError(
            f"updates_per_epoch={updates_per_epoch}: at least 1 is needed; 1 makes a step an epoch."
        )

    def steps(epochs: float) -> int:
        return round(epochs * updates_per_epoch)

    if decay_epochs is None:
        decay_epochs = 0.2 if sched in ("wsd", "rsqrt") else 90
    given = {  # as timm's classes name them
        "t_initial": steps(num_epochs),
        "warmup_t": steps(warmup_epochs),
        "warmup_lr_init": warmup_lr,
        "warmup_prefix": warmup_prefix,
        "lr_min": min_lr,
        "decay_t": decay_epochs if 0 < decay_epochs < 1 else steps(decay_epochs),
        "decay_rate": decay_rate,
        "decay_marks": list(map(steps, decay_milestones)),
        "decay_fn": decay_fn,
        "stable_timescale": None if stable_timescale is None else steps(stable_timescale),
        "power": decay_rate,
        "cycle_mul": cycle_mul,
        "cycle_decay": cycle_decay,
        "cycle_limit": cycle_limit,
        "k_decay": k_decay,
    }
    return rule_of(given)


def _curves(given: Attributes, curve: Callable[..., Schedule], **form: float) -> Scale:
    form["steps"] = given["t_initial"]
    low = curve(start=0.0, end=given["lr_min"], **form)
    return _cycles(given, curve(start=1.0, end=0.0, **form), low)


def _tanh(given: Attributes) -> Scale:
    # from just below the full rate to just above the least
    lower, upper, low = given.get("lb", -7.0), given.get("ub", 3.0), given["lr_min"]
    whole = Tanh(start=1.0, end=0.0, steps=600, lower=-300.0, upper=300.0)
    first, last = whole(lower + 300), whole(upper + 300)
    form = {"steps": given["t_initial"], "lower": lower, "upper": upper}
    down = Tanh(start=first, end=last, **form)
    rest = Tanh(start=low * (1 - first), end=low * (1 - last), **form)
    return _cycles(given, down, rest, meets_curve=True)


def _multistep(given: Attributes) -> Scale:
    # timm decays a step before the number of a milestone
    marks = tuple(max(mark - 1, 0) for mark in given["decay_marks"])
    return _with_timm_warmup(given, Scale(Milestones(gamma=given["decay_rate"], at=marks)))


def _rsqrt(given: Attributes) -> Scale:
    timescale = given["stable_timescale"] or given["warmup_t"]
    if not timescale:
        raise ScheduleError(
            "rsqrt: without a warmup its timescale is not known. Give stable_timescale."
        )
    return trunk(given, InverseSqrt(start=1.0, timescale=timescale), given["decay_fn"] or "linear")


def _cycles(
    given: Attributes, down: Schedule, low: Schedule, *, meets_curve: bool = False
) -> Scale:
    times, grow = given["cycle_limit"], given["cycle_mul"]
    repeated = down.repeat(times, decay=given["cycle_decay"], grow=grow) >> Constant(value=0.0)
    least, offset = given["lr_min"], None
    if least:
        offset = low.repeat(times, grow=grow) >> Constant(value=least)
    return _with_timm_warmup(given, Scale(repeated, offset=offset), meets_curve=meets_curve)


def _with_timm_warmup(given: Attributes, scale: Scale, *, meets_curve: bool = False) -> Scale:
    """Put the warmup before the schedule, or over its beginning."""
    steps, first = given["warmup_t"], given["warmup_lr_init"]
    if given["warmup_prefix"] or not steps:
        return after_warmup(scale, steps=steps, first=first)
    later = skipped(scale, steps)
    if not meets_curve:
        return after_warmup(later, steps=steps, first=first)
    reached = (later.of(0), later.offset(0) if later.offset else 0.0)
    return after_warmup(later, steps=steps, first=first, last=reached)


def trunk(given: Attributes, stable: Schedule, shape: str) -> Scale:
    """Return a trunk that comes down to the lowest rate at its end, always after its warmup."""
    curve_of = look_up("decay_fn", shape, _DECAYS)
    warmup, low = given["warmup_t"], given["lr_min"]
    steps = given["t_initial"] - (0 if given["warmup_prefix"] else warmup)
    decay = given["decay_t"]
    decay = round(decay * steps) if 0 < decay < 1 else decay
    if not 0 < decay <= steps:
        raise ScheduleError(
            f"decay_epochs: a decay of {decay} steps does not fit into the {steps} after the "
            "warmup."
        )
    flat = Constant(value=1.0, steps=steps - decay).named("stable")
    fall = flat >> curve_of(decay, given).named("decay")
    is_flat = isinstance(stable, Constant)
    offset = fall * -low + low if low else None
    lowest = low if low and not is_flat else None
    scale = Scale(fall if is_flat else fall * stable, offset=offset, low=lowest)
    return after_warmup(scale, steps=warmup, first=given["warmup_lr_init"])


def _exponential_to_zero(steps: int, given: Attributes) -> Schedule:
    share: float = given.get("decay_ratio", 0.1)
    fall = Exponential(start=1 / (1 - share), end=share / (1 - share), steps=steps)
    return fall + -share / (1 - share)


_DECAYS: Mapping[str, Callable[[int, Attributes], Schedule]] = {
    "linear": lambda steps, _: Linear(steps=steps),
    "1-sqrt": lambda steps, _: Sqrt(steps=steps),
    "cosine": lambda steps, _: Cosine(steps=steps),
    "power": lambda steps, given: Polynomial(
        steps=steps, power=1.0, k=given.get("decay_power", 0.5)
    ),
    "exp": _exponential_to_zero,
}
RULES: Mapping[str, Callable[[Attributes], Scale]] = {
    "cosine": lambda given: _curves(given, Cosine, k=given["k_decay"]),
    "tanh": _tanh,
    "step": lambda given: _with_timm_warmup(
        given, Scale(Staircase(gamma=given["decay_rate"], every=given["decay_t"]))
    ),
    "multistep": _multistep,
    "poly": lambda given: _curves(given, Polynomial, power=given["power"], k=given["k_decay"]),
    "wsd": lambda given: trunk(given, Constant(value=1.0), given["decay_fn"] or "1-sqrt"),
    "rsqrt": _rsqrt,
    "constant": lambda given: _with_timm_warmup(given, Scale(Constant(value=1.0))),
}
"""What each name makes of arguments that are named as the attributes of timm's classes."""
_ELSEWHERE = {
    "plateau": "it follows a metric, so it is no function of the step. Use Plateau.",
    "none": "timm's word for no scheduler. Use none, or constant.",
}
TIMM_NAMES = tuple(RULES)
