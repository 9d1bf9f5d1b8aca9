"""A warmup, a trunk that can be as long as one likes, and a decay."""

from __future__ import annotations

__all__ = ["infinite", "knee", "power_law", "swa", "tri_stage", "wsd", "wsd_s"]

from collections.abc import Sequence
from itertools import pairwise

from warmdown.errors import ScheduleError
from warmdown.run import Duration
from warmdown.schedules.base import Schedule
from warmdown.schedules.compose import Chain
from warmdown.schedules.curves.basic import Constant, Cosine, Exponential, Linear
from warmdown.schedules.curves.unbounded import Power
from warmdown.schedules.recipes.recipe import Level, levels, recipe
from warmdown.schedules.recipes.shapes import Shape, curve_of
from warmdown.schedules.recipes.warmup import warmed


@recipe
def wsd(
    *,
    warmup: Duration = "5%",
    decay: Duration = "10%",
    shape: Shape = "1-sqrt",
    start: Level = 0.0,
    end: Level = 0.0,
    peak: float | None = None,
) -> Schedule:
    """Return warmup, stable, decay: the trunk can be as long as one likes.

    Args:
        warmup: Length of the warmup.
        decay: Length of the decay.
        shape: Curve of the decay: ``"linear"``, ``"cosine"``, ``"1-sqrt"``, ``"1-square"``,
            ``"power"``, ``"half_life"``, and with ``end`` above zero ``"exponential"``,
            ``"inverse_proportional"``.
        start: First value, as a share of the base value.
        end: Last value, as a share of the base value.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Raises:
        ScheduleError: There is no such shape, or the shape cannot reach ``end``.

    Example:
        >>> from warmdown import Run
        >>> wsd(warmup=2, decay=4, shape="linear").over(Run(total_steps=12))([0, 2, 8, 10, 12])
        array([0. , 1. , 1. , 0.5, 0. ])

    Reference: Hu et al. 2024, https://arxiv.org/abs/2404.06395.
    """
    top, start, end = levels(peak, start, end)
    return warmed(_stable_then(shape, decay, top, end), warmup, start, top)


@recipe
def wsd_s(
    *,
    warmup: Duration = "1%",
    periods: Sequence[Duration] = (),
    checkpoints: int = 3,
    decay: float = 0.1,
    shape: Shape = "inverse_proportional",
    start: Level = 0.0,
    end: Level = "10%",
    peak: float | None = None,
) -> Schedule:
    """Return WSD-S: several stable-and-decay periods, each ending where a model can be taken.

    Args:
        warmup: Length of the warmup, inside the first period.
        periods: Lengths of the periods; none means ``checkpoints`` that double: of 4, the first
            ends at an eighth.
        checkpoints: Number of periods when none are given, 1 to 17.
        decay: Share of each period that decays, 0 to 1.
        shape: Curve of each decay, as in :func:`wsd`.
        start: First value, as a share of the base value.
        end: Value at each checkpoint, as a share of the base value.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Raises:
        ScheduleError: A number is out of range, or there is no such shape.

    Example:
        >>> from warmdown import Run
        >>> plan = wsd_s(warmup=0, checkpoints=2, decay=0.5, shape="linear", end=0.0)
        >>> plan.over(Run(total_steps=8))([0, 2, 3, 4, 6, 7, 8])
        array([1. , 1. , 0.5, 1. , 1. , 0.5, 0. ])

    Reference: Wen et al. 2024, https://arxiv.org/abs/2410.05192.
    """
    if not 0 <= decay <= 1:
        raise ScheduleError(f"wsd_s(decay={decay}): a share of each period from 0 to 1 is needed.")
    if not periods and not 1 <= checkpoints <= 17:
        raise ScheduleError(
            f"wsd_s(checkpoints={checkpoints}): 1 to 17 doubling periods are possible. Give "
            f"periods=[…]."
        )
    lengths = list(periods) or _doubling(checkpoints)
    top, start, end = levels(peak, start, end)
    wholes = [_stable_then(shape, _share(decay, length), top, end) for length in lengths]
    wholes[0] = warmed(wholes[0], warmup, start, top)
    if not periods:
        lengths[-1] = "rest"
    return Chain(members=tuple(map(Schedule.take, wholes, lengths)))


@recipe
def knee(
    *,
    warmup: Duration = "5%",
    explore: Duration = "50%",
    end: Level = 0.0,
    peak: float | None = None,
) -> Schedule:
    """Return the knee schedule: explore at the base value, then exploit along a straight line.

    Example:
        >>> from warmdown import Run
        >>> knee(warmup=2, explore=4).over(Run(total_steps=10))([0, 2, 6, 8, 10])
        array([0. , 1. , 1. , 0.5, 0. ])

    Reference: Iyer et al. 2020, https://arxiv.org/abs/2003.03977.
    """
    top, end = levels(peak, end)
    flat = Constant(top, steps=explore).named("explore")
    return warmed(flat >> Linear(start=top, end=end).named("exploit"), warmup, 0.0, top)


@recipe
def tri_stage(
    *,
    warmup: Duration = "10%",
    hold: Duration = "40%",
    start: Level = "1%",
    end: Level = "1%",
    peak: float | None = None,
) -> Schedule:
    """Return warmup, hold, and an exponential decay over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> tri_stage(warmup=2, hold=2).over(Run(total_steps=8))([0, 2, 4, 6, 8]).round(3)
        array([0.01, 1.  , 1.  , 0.1 , 0.01])

    Reference: Park et al. 2019, https://arxiv.org/abs/1904.08779.
    """
    top, start, end = levels(peak, start, end)
    flat = Constant(top, steps=hold).named("hold")
    return warmed(flat >> Exponential(start=top, end=end).named("decay"), warmup, start, top)


@recipe
def infinite(
    *,
    warmup: Duration = "1%",
    cooldown: Duration = "30%",
    anneal: Duration = "10%",
    constant: Level = "50%",
    end: Level = "5%",
    shape: Shape = "cosine",
    peak: float | None = None,
) -> Schedule:
    """Return an infinite schedule: warmup, cooldown to a constant, and an anneal at the end.

    The constant can last for ever.

    Args:
        warmup: Length of the warmup.
        cooldown: Length of the way down to ``constant``.
        anneal: Length of the exponential fall at the very end.
        constant: Value between them, as a share of the base value.
        end: Last value, as a share of the base value, above zero.
        shape: Curve of the cooldown, as in :func:`wsd`.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> from warmdown import Run
        >>> plan = infinite(warmup=1, cooldown=2, anneal=2).over(Run(total_steps=10))
        >>> plan([0, 1, 3, 8, 10])
        array([0.  , 1.  , 0.5 , 0.5 , 0.05])

    Reference: Ibrahim et al. 2024, https://arxiv.org/abs/2403.08763.
    """
    top, constant, end = levels(peak, constant, end)
    down = curve_of(shape)(top, constant, cooldown).named("cooldown")
    flat = Constant(constant).named("constant")
    last = Exponential(start=constant, end=end, steps=anneal).named("anneal")
    return warmed(down >> flat >> last, warmup, 0.0, top)


@recipe
def power_law(
    *,
    warmup: Duration = "1%",
    timescale: int = 1000,
    exponent: float = 0.51,
    decay: Duration = "10%",
    end: Level = "1%",
    peak: float | None = None,
) -> Schedule:
    """Return the power scheduler: warmup, a power law without a length, and a short decay.

    Example:
        >>> from warmdown import Run
        >>> plan = power_law(warmup=10, timescale=10, exponent=0.5, decay=10)
        >>> plan.over(Run(total_steps=60))([0, 10, 40])
        array([0. , 1. , 0.5])

    Reference: Shen et al. 2024, https://arxiv.org/abs/2408.13359.
    """
    top, end = levels(peak, end)
    trunk = Power(start=top, timescale=timescale, exponent=exponent).named("decay")
    # the tail scales the value that the trunk has reached
    tail = Exponential(start=1.0, end=end / top, steps=decay).named("anneal")
    return warmed(trunk.graft(tail, at="rest"), warmup, 0.0, top)


@recipe
def swa(
    *,
    anneal: Duration = "10%",
    value: Level = "5%",
    after: Duration = "75%",
    peak: float | None = None,
) -> Schedule:
    """Return a cosine that anneals to a constant, for averaging weights.

    Args:
        anneal: Length of the way down.
        value: Constant, as a share of the base value.
        after: How long the base value stays before.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> from warmdown import Run
        >>> swa(anneal=2, value=0.5, after=2).over(Run(total_steps=8))([0, 2, 4, 8])
        array([1. , 1. , 0.5, 0.5])
    """
    top, value = levels(peak, value)
    flat = Constant(top, steps=after).named("stable")
    down = Cosine(start=top, end=value, steps=anneal).named("anneal")
    return flat >> down >> Constant(value).named("average")


def _stable_then(shape: Shape, decay: Duration, top: float, end: float) -> Schedule:
    return Constant(top).named("stable") >> curve_of(shape)(top, end, decay).named("decay")


def _doubling(checkpoints: int) -> list[Duration]:
    """Return the lengths of periods that end at 1/2ⁿ, …, 1/4, 1/2 and the whole of the run."""
    ends = [100 / 2**power for power in reversed(range(checkpoints))]
    return [f"{end - before}%" for before, end in pairwise([0.0, *ends])]


def _share(share: float, length: Duration) -> Duration:
    """Return a share of a length, in the length's own unit."""
    if isinstance(length, int):
        return round(share * length)
    if length.endswith("%"):
        return f"{max(share * float(length[:-1]), 0.0):.6f}%"
    raise ScheduleError(
        f"wsd_s(periods=[{length!r}, …]): give periods as updates or as shares of the run, '25%'."
    )
