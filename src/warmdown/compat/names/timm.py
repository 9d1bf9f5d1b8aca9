"""timm's scheduler names and defaults, as schedules."""

from __future__ import annotations

__all__ = ["TIMM_NAMES", "timm_schedule"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from warmdown.compat.names.shapes import after_warmup
from warmdown.errors import ScheduleError, nearest
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
        decay_milestones: Epochs of ``multistep``; each acts one step earlier than its number says.
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
        >>> schedule = timm_schedule("cosine", num_epochs=10, warmup_epochs=2, warmup_lr=0.0, warmup_prefix=True)
        >>> [round(schedule.value(epoch, base=1.0), 6) for epoch in (0, 1, 2, 7, 12)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    given = {
        name: value
        for name, value in locals().items()
        if name not in ("sched", "updates_per_epoch")
    }
    if sched not in _NAMED:
        raise ScheduleError(
            f"sched={sched!r}: {_ELSEWHERE.get(sched) or nearest(sched, TIMM_NAMES)}"
        )
    if updates_per_epoch < 1:
        raise ScheduleError(
            f"updates_per_epoch={updates_per_epoch}: at least 1 is needed; 1 makes a step an epoch."
        )
    if decay_epochs is None:
        given["decay_epochs"] = 0.2 if sched in ("wsd", "rsqrt") else 90
    return _NAMED[sched](_in_steps(given, updates_per_epoch))


def _in_steps(given: Mapping[str, Any], in_epoch: int) -> dict[str, Any]:
    """Turn epochs into steps, and name them as timm's classes do."""
    fraction = 0 < given["decay_epochs"] < 1
    timescale = given["stable_timescale"]
    return {
        **given,
        "t_initial": round(given["num_epochs"] * in_epoch),
        "warmup_t": round(given["warmup_epochs"] * in_epoch),
        "warmup_lr_init": given["warmup_lr"],
        "lr_min": given["min_lr"],
        "decay_t": given["decay_epochs"] if fraction else round(given["decay_epochs"] * in_epoch),
        "decay_marks": [round(mark * in_epoch) for mark in given["decay_milestones"]],
        "stable_timescale": None if timescale is None else round(timescale * in_epoch),
        "power": given["decay_rate"],
    }


def cosine(given: Mapping[str, Any]) -> Scale:
    """Return half cosines."""
    steps, k, low = given["t_initial"], given["k_decay"], given["lr_min"]
    return _cycles(given, Cosine(steps=steps, k=k), Cosine(start=0.0, end=low, steps=steps, k=k))


def poly(given: Mapping[str, Any]) -> Scale:
    """Return polynomial falls."""
    form = {"steps": given["t_initial"], "power": given["power"], "k": given["k_decay"]}
    return _cycles(given, Polynomial(**form), Polynomial(start=0.0, end=given["lr_min"], **form))


def tanh(given: Mapping[str, Any]) -> Scale:
    """Return stretches of the tangent as they are: from just below the full rate to just above the least."""
    lower, upper, low = given.get("lb", -7.0), given.get("ub", 3.0), given["lr_min"]
    whole = Tanh(start=1.0, end=0.0, steps=600, lower=-300.0, upper=300.0)
    first, last = whole(lower + 300), whole(upper + 300)
    form = {"steps": given["t_initial"], "lower": lower, "upper": upper}
    down = Tanh(start=first, end=last, **form)
    return _cycles(
        given, down, Tanh(start=low * (1 - first), end=low * (1 - last), **form), meets_curve=True
    )


def step(given: Mapping[str, Any]) -> Scale:
    """Return stairs."""
    return _warmed(given, Scale(Staircase(gamma=given["decay_rate"], every=given["decay_t"])))


def multistep(given: Mapping[str, Any]) -> Scale:
    """Return milestones, each a step before its number."""
    marks = tuple(max(mark - 1, 0) for mark in given["decay_marks"])
    return _warmed(given, Scale(Milestones(gamma=given["decay_rate"], at=marks)))


def constant(given: Mapping[str, Any]) -> Scale:
    """Return the full rate."""
    return _warmed(given, Scale(Constant(value=1.0)))


def wsd(given: Mapping[str, Any]) -> Scale:
    """Return a flat trunk and a decay."""
    return trunk(given, Constant(value=1.0), given["decay_fn"] or "1-sqrt")


def rsqrt(given: Mapping[str, Any]) -> Scale:
    """Return an inverse square root and a decay."""
    timescale = given["stable_timescale"] or given["warmup_t"]
    if not timescale:
        raise ScheduleError(
            "rsqrt: without a warmup its timescale is not known. Give stable_timescale."
        )
    return trunk(given, InverseSqrt(start=1.0, timescale=timescale), given["decay_fn"] or "linear")


def _cycles(
    given: Mapping[str, Any], down: Schedule, low: Schedule, *, meets_curve: bool = False
) -> Scale:
    times, grow = given["cycle_limit"], given["cycle_mul"]
    ended = Constant(value=0.0), Constant(value=given["lr_min"])
    repeated = down.repeat(times, decay=given["cycle_decay"], grow=grow) >> ended[0]
    offset = low.repeat(times, grow=grow) >> ended[1] if given["lr_min"] else None
    return _warmed(given, Scale(repeated, offset=offset), meets_curve=meets_curve)


def _warmed(given: Mapping[str, Any], scale: Scale, *, meets_curve: bool = False) -> Scale:
    """Put the warmup before the schedule, or over its beginning."""
    steps, first = given["warmup_t"], given["warmup_lr_init"]
    if given["warmup_prefix"] or not steps:
        return after_warmup(scale, steps=steps, first=first)
    later = Scale(
        scale.of.skip(steps), offset=None if scale.offset is None else scale.offset.skip(steps)
    )
    reached = (later.of(0), 0.0 if later.offset is None else later.offset(0))
    return after_warmup(
        later, steps=steps, first=first, last=reached if meets_curve else (1.0, 0.0)
    )


def trunk(given: Mapping[str, Any], stable: Schedule, shape: str) -> Scale:
    """Return a trunk whose last stretch comes down to the lowest rate; the warmup always stands before it."""
    if shape not in _DECAYS:
        raise ScheduleError(f"decay_fn={shape!r}: no such curve. {nearest(shape, _DECAYS)}")
    warmup, low = given["warmup_t"], given["lr_min"]
    steps = given["t_initial"] if given["warmup_prefix"] else given["t_initial"] - warmup
    decay = round(given["decay_t"] * steps) if 0 < given["decay_t"] < 1 else given["decay_t"]
    if not 0 < decay <= steps:
        raise ScheduleError(
            f"decay_epochs: a decay of {decay} steps does not fit into the {steps} "
            f"after the warmup."
        )
    fall = Constant(value=1.0, steps=steps - decay).named("stable") >> _DECAYS[shape](
        decay, given
    ).named("decay")
    scale = Scale(fall if isinstance(stable, Constant) else fall * stable)
    if low:
        scale = replace(
            scale, offset=fall * -low + low, low=None if isinstance(stable, Constant) else low
        )
    return after_warmup(scale, steps=warmup, first=given["warmup_lr_init"])


def _exponential(steps: int, given: Mapping[str, Any]) -> Schedule:
    """Return an exponential fall to a share, moved so that it ends at 0."""
    share: float = given.get("decay_ratio", 0.1)
    return Exponential(start=1 / (1 - share), end=share / (1 - share), steps=steps) + -share / (
        1 - share
    )


_DECAYS: Mapping[str, Callable[[int, Mapping[str, Any]], Schedule]] = {
    "linear": lambda steps, _: Linear(steps=steps),
    "1-sqrt": lambda steps, _: Sqrt(steps=steps),
    "cosine": lambda steps, _: Cosine(steps=steps),
    "power": lambda steps, given: Polynomial(
        steps=steps, power=1.0, k=given.get("decay_power", 0.5)
    ),
    "exp": _exponential,
}
_NAMED: Mapping[str, Callable[[Mapping[str, Any]], Scale]] = {
    "cosine": cosine,
    "tanh": tanh,
    "step": step,
    "multistep": multistep,
    "poly": poly,
    "wsd": wsd,
    "rsqrt": rsqrt,
    "constant": constant,
}
_ELSEWHERE = {
    "plateau": "it follows a metric, so it is no function of the step. Use Plateau.",
    "none": "timm's word for no scheduler. Use none, or constant.",
}
TIMM_NAMES = tuple(_NAMED)
