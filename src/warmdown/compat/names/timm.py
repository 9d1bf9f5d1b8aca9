"""timm's scheduler names and defaults, as schedules."""

from __future__ import annotations

__all__ = ["TIMM_NAMES", "timm_schedule"]

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from warmdown.compat.names.shapes import after_warmup, look_up
from warmdown.errors import ScheduleError
from warmdown.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Milestones,
    Polynomial,
    Power,
    Scale,
    Schedule,
    Sqrt,
    Staircase,
    Tanh,
)

Attributes: TypeAlias = Mapping[str, Any]
"""A scheduler's numbers, named as timm's classes name them."""

_LENGTHS = ("t_initial", "warmup_t", "decay_t", "stable_timescale")
_DIGITS = 12
"""Digits of the longest length in ticks: with a plain fraction's, a double counts them."""
_MOST_TICKS = 10**15
"""Of one duration."""


def timm_schedule(
    sched: str = "cosine",
    *,
    num_epochs: float = 300,
    decay_epochs: float | None = None,
    decay_milestones: Sequence[float] = (90, 180, 270),
    decay_rate: float = 0.1,
    min_lr: float = 0.0,
    warmup_lr: float = 1e-5,
    warmup_epochs: float = 0,
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
    ``step_on_epochs=False``. Epochs may be fractions: a warmup of 2.5 epochs, a stair of 2.4.

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
    numbers = {"num_epochs": num_epochs, "warmup_epochs": warmup_epochs}
    for name, number in {**numbers, "decay_epochs": decay_epochs or 0}.items():
        require_length(name, number)
    if updates_per_epoch < 1:
        raise ScheduleError(
            f"updates_per_epoch={updates_per_epoch}: at least 1 is needed; 1 makes a step an epoch."
        )

    def steps(epochs: float) -> float:
        return epochs * updates_per_epoch

    is_trunk = sched in ("wsd", "rsqrt")
    if decay_epochs is None:
        decay_epochs = 0.2 if is_trunk else 90
    total, warmup, decay = steps(num_epochs), steps(warmup_epochs), steps(decay_epochs)
    if is_trunk:
        after = total if warmup_prefix else total - warmup
        decay = round(decay_epochs * after if 0 < decay_epochs < 1 else decay)
    given = {  # as timm's classes name them
        "t_initial": total,
        "warmup_t": warmup,
        "warmup_lr_init": warmup_lr,
        "warmup_prefix": warmup_prefix,
        "lr_min": min_lr,
        "decay_t": decay,
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
    def cycle(start: float, end: float, steps: int) -> Schedule:
        return curve(start=start, end=end, steps=steps, **form)

    return _with_timm_warmup(given, _cycles(given, cycle))


def _tanh(given: Attributes) -> Scale:
    # from just below the full rate to just above the least
    lower, upper = given.get("lb", -7.0), given.get("ub", 3.0)
    whole = Tanh(start=1.0, end=0.0, steps=600, lower=-300.0, upper=300.0)
    ends = whole(lower + 300), whole(upper + 300)

    def cycle(start: float, end: float, steps: int) -> Schedule:
        first, last = (end + (start - end) * share for share in ends)
        return Tanh(start=first, end=last, steps=steps, lower=lower, upper=upper)

    scale = _cycles(given, cycle)
    if given["warmup_prefix"] or not given["warmup_t"]:
        return _with_timm_warmup(given, scale)
    met = _cycles({**given, "warmup_prefix": True}, cycle, begun=_steps(given, "warmup_t"))
    return _with_timm_warmup(given, scale, meets=(met.of(0), met.offset(0) if met.offset else 0.0))


def _cycles(
    given: Attributes,
    cycle: Callable[[float, float, int], Schedule],
    begun: Fraction | None = None,
) -> Scale:
    """Return the cycles from ``begun`` on, which is where the warmup leaves them."""
    first, times, grow = _steps(given, "t_initial"), given["cycle_limit"], given["cycle_mul"]
    begun = _begun(given) if begun is None else begun
    ticks = math.lcm(first.denominator, begun.denominator)
    steps, least = int(first * ticks), given["lr_min"]
    down = cycle(1.0, 0.0, steps).repeat(times, decay=given["cycle_decay"], grow=grow)
    of, offset = down >> Constant(value=0.0), None
    if least:
        offset = cycle(0.0, least, steps).repeat(times, grow=grow) >> Constant(value=least)
        offset = _on_steps(offset, ticks, begun, down.length)
    return Scale(_on_steps(of, ticks, begun, down.length), offset=offset)


def _step(given: Attributes) -> Scale:
    every, begun = _steps(given, "decay_t"), _begun(given)
    if not every:
        raise ScheduleError(f"decay_t={given['decay_t']!r}: a stair needs a length above 0.")
    ticks = math.lcm(every.denominator, begun.denominator)
    if every.denominator == 1:
        ticks, begun = 1, Fraction(math.floor(begun))  # no stair begins between two steps
    stairs = Staircase(gamma=given["decay_rate"], every=int(every * ticks))
    if ticks == 1:
        return _with_timm_warmup(given, Scale(_from(stairs, begun)))
    # the stairs fall alike again after as many steps as make their number whole
    period, number = every.numerator, every.denominator
    if period * ticks > _MOST_TICKS:  # from there on each may be a step late
        number = int(_MOST_TICKS / ticks / every)
        period = math.ceil(number * every)
    once = _from(stairs, begun * ticks).take(period * ticks).stretch(period)
    return _with_timm_warmup(given, Scale(once.repeat(decay=_power(given["decay_rate"], number))))


def _power(factor: float, number: int) -> float:
    """Return a power that overflows no double: what is beyond is beyond every rate, too."""
    return factor**number if number * (factor - 1) < 600 else 1e300


def _multistep(given: Attributes) -> Scale:
    # timm decays a step before the number of a milestone
    begun = _begun(given)
    reached = (_as_fraction(mark) - 1 - begun for mark in given["decay_marks"])
    marks = tuple(max(math.ceil(mark), 0) for mark in reached)
    return _with_timm_warmup(given, Scale(Milestones(gamma=given["decay_rate"], at=marks)))


def _rsqrt(given: Attributes) -> Scale:
    def stable(timescale: int) -> Schedule:
        return InverseSqrt(start=1.0, timescale=timescale)

    return trunk(given, stable, given["decay_fn"] or "linear")


def timm_wsd(given: Attributes) -> Scale:
    """Return the trunk that timm's ``WSDLRScheduler`` makes of its attributes.

    Raises:
        ScheduleError: Its decay is a function, or a length does not fit.
    """
    if callable(given["decay_fn"]):
        names = ", ".join(_DECAYS)
        raise ScheduleError(f"decay_fn={given['decay_fn']!r:.60}: use one of {names}.")
    if given["stable_fn"] != "power":
        return RULES["rsqrt" if given["stable_fn"] == "rsqrt" else "wsd"](given)
    exponent = given["stable_power"]

    def stable(timescale: int) -> Schedule:
        return Power(start=1.0, timescale=timescale, exponent=exponent)

    return trunk(given, stable, given["decay_fn"])


def _with_timm_warmup(
    given: Attributes, scale: Scale, meets: tuple[float, float] = (1.0, 0.0)
) -> Scale:
    """Return ``scale``, as it is from the first step after the warmup on, after that warmup.

    Args:
        given: The attributes.
        scale: What follows the warmup.
        meets: Where the warmup leads: a share of the base value, and what is added to it.
    """
    warmup, first = _steps(given, "warmup_t"), given["warmup_lr_init"]
    whole = math.ceil(warmup)
    over = float(whole / warmup) if warmup else 1.0  # the line goes on to the next whole step
    last = meets[0] * over, first * (1 - over) + meets[1] * over
    return after_warmup(scale, steps=whole, first=first, last=last)


def trunk(given: Attributes, stable: Callable[[int], Schedule] | None, shape: str) -> Scale:
    """Return a trunk that comes down to the lowest rate at its end, always after its warmup.

    Args:
        given: The attributes.
        stable: Returns what multiplies the trunk, by its timescale; ``None`` is flat.
        shape: The name of the last decay.
    """
    curve_of = look_up("decay_fn", shape, _DECAYS)
    warmup, whole, low = _steps(given, "warmup_t"), _steps(given, "t_initial"), given["lr_min"]
    steps = whole - (0 if given["warmup_prefix"] else warmup)
    decay, begun = _steps(given, "decay_t"), math.ceil(warmup) - warmup
    if not 0 < decay <= steps:
        raise ScheduleError(
            f"decay_epochs: a decay of {float(decay):g} steps does not fit into the "
            f"{float(steps):g} after the warmup."
        )
    timescale = whole
    if stable:
        timescale = _steps(given, "stable_timescale" if given["stable_timescale"] else "warmup_t")
    if not timescale:
        raise ScheduleError(
            "rsqrt: without a warmup its timescale is not known. Give stable_timescale."
        )
    ticks = math.lcm(*(one.denominator for one in (steps, decay, begun, timescale)))
    flat = Constant(value=1.0, steps=int((steps - decay) * ticks)).named("stable")
    fall = flat >> curve_of(int(decay * ticks), given).named("decay")
    end = int(steps * ticks)
    of = down = _on_steps(fall, ticks, begun, end)
    lowest: float | Schedule | None = None
    if stable:
        of = down * _on_steps(stable(int(timescale * ticks)), ticks, begun, end)
        lowest = low or None
    if lowest and warmup:  # which is below it, if it likes
        lowest = Constant(value=0.0, steps=math.ceil(warmup)) >> Constant(value=low)
    offset = down * -low + low if low else None
    return _with_timm_warmup(given, Scale(of, offset=offset, low=lowest))


def require_length(name: str, length: Any) -> None:
    """Raise unless a length is a finite number of at least 0.

    Raises:
        ScheduleError: It is not.
    """
    is_number = isinstance(length, int | float | np.number) and not isinstance(length, bool)
    if not (is_number and 0 <= length < math.inf):
        raise ScheduleError(f"{name}={length!r:.60}: a finite length of at least 0 is needed.")


def _steps(given: Attributes, name: str) -> Fraction:
    """Return a length in steps, as a fraction that the doubles of its schedule can count."""
    require_length(name, given[name])
    others = (given.get(other) or 0 for other in _LENGTHS)
    longest = max(other for other in others if not isinstance(other, list | tuple))
    return _as_fraction(given[name], 10 ** max(_DIGITS - len(str(int(longest))), 3))


def _as_fraction(length: float, ticks: int = 10**6) -> Fraction:
    """Return the fraction that is meant, or the next one above in so many ticks.

    So 2.4 is 12/5, and 2.1, as a double a little above 21/10, stays above it: what timm does at the
    end of that length, it does a step later.
    """
    exact = Fraction(length)
    plain = exact.limit_denominator(12)
    is_plain = plain >= exact and float(plain) == length
    return plain if is_plain else Fraction(math.ceil(exact * ticks), ticks)


def _begun(given: Attributes) -> Fraction:
    """Return where a curve is at the first step after the warmup."""
    warmup = _steps(given, "warmup_t")
    return Fraction(math.ceil(warmup)) - (warmup if given["warmup_prefix"] else 0)


def _from(schedule: Schedule, begun: Fraction) -> Schedule:
    return schedule.skip(int(begun)) if begun else schedule


def _on_steps(schedule: Schedule, ticks: int, begun: Fraction, end: int | None) -> Schedule:
    """Return a schedule whose clock has so many ticks a step, from ``begun`` to tick ``end``."""
    schedule = _from(schedule, begun * ticks)
    if ticks == 1 or end is None:
        return schedule
    steps = math.ceil(Fraction(end, ticks) - begun)
    return schedule.take(max(steps, 0) * ticks).stretch(max(steps, 0))


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
    "step": _step,
    "multistep": _multistep,
    "poly": lambda given: _curves(given, Polynomial, power=given["power"], k=given["k_decay"]),
    "wsd": lambda given: trunk(given, None, given["decay_fn"] or "1-sqrt"),
    "rsqrt": _rsqrt,
    "constant": lambda given: _with_timm_warmup(given, Scale(Constant(value=1.0))),
}
"""What each name makes of arguments that are named as the attributes of timm's classes."""
_ELSEWHERE = {
    "plateau": "it follows a metric, so it is no function of the step. Use Plateau.",
    "none": "timm's word for no scheduler. Use none, or constant.",
}
TIMM_NAMES = tuple(RULES)
