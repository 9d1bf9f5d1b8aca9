"""A warmup, and then a line, a cosine or a power."""

from __future__ import annotations

__all__ = [
    "flat_cosine",
    "half_cosine",
    "slanted_triangular",
    "warmup_constant",
    "warmup_cosine",
    "warmup_linear",
    "warmup_polynomial",
    "with_warmup",
]

from warmdown.run import Duration
from warmdown.schedules.base import Schedule
from warmdown.schedules.curves.basic import Constant, Cosine, Linear, Polynomial
from warmdown.schedules.recipes.recipe import Level, levels, recipe


@recipe
def with_warmup(
    schedule: Schedule,
    *,
    warmup: Duration = "5%",
    start: Level = 0.0,
    peak: float | None = None,
) -> Schedule:
    """Return a straight warmup to where ``schedule`` begins, and then ``schedule``.

    Args:
        schedule: What follows; it begins at 1, or at ``peak``.
        warmup: Length of the warmup.
        start: First value, as a share of the base value.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> with_warmup(Constant(value=1.0), warmup=2)([0, 1, 2, 3])
        array([0. , 0.5, 1. , 1. ])
    """
    top, start = levels(peak, start)
    return warmed(schedule, warmup, start, top)


@recipe
def warmup_constant(
    *, warmup: Duration = "5%", start: Level = 0.0, peak: float | None = None
) -> Schedule:
    """Return a warmup, then the base value for good.

    Example:
        >>> warmup_constant(warmup=4)([2, 4, 100])
        array([0.5, 1. , 1. ])
    """
    top, start = levels(peak, start)
    return warmed(Constant(top).named("stable"), warmup, start, top)


@recipe
def warmup_linear(
    *,
    warmup: Duration = "5%",
    start: Level = 0.0,
    end: Level = 0.0,
    peak: float | None = None,
) -> Schedule:
    """Return a warmup, then a straight line over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> warmup_linear(warmup=2).over(Run(total_steps=6))([0, 2, 4, 6])
        array([0. , 1. , 0.5, 0. ])
    """
    top, start, end = levels(peak, start, end)
    return warmed(Linear(start=top, end=end).named("decay"), warmup, start, top)


@recipe
def warmup_cosine(
    *,
    warmup: Duration = "5%",
    start: Level = 0.0,
    end: Level = 0.0,
    k: float = 1.0,
    peak: float | None = None,
) -> Schedule:
    """Return a warmup, then half a cosine over the rest of the run.

    Args:
        warmup: Length of the warmup.
        start: First value, as a share of the base value.
        end: Last value, as a share of the base value.
        k: Order of the decay; above 1 the rate stays high for longer.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> from warmdown import Run
        >>> warmup_cosine(warmup="20%", end=0.1).over(Run(total_steps=10))([0, 2, 10])
        array([0. , 1. , 0.1])
        >>> f"{warmup_cosine(peak=3e-4, end='10%').of.over(10)(10):.3g}"
        '3e-05'
    """
    top, start, end = levels(peak, start, end)
    return warmed(Cosine(start=top, end=end, k=k).named("decay"), warmup, start, top)


@recipe
def warmup_polynomial(
    *,
    warmup: Duration = "5%",
    start: Level = 0.0,
    end: Level = 0.0,
    power: float = 2.0,
    peak: float | None = None,
) -> Schedule:
    """Return a warmup, then a polynomial decay over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> warmup_polynomial(warmup=0).over(Run(total_steps=4))([0, 2, 4])
        array([1.  , 0.25, 0.  ])
    """
    top, start, end = levels(peak, start, end)
    decay = Polynomial(start=top, end=end, power=power).named("decay")
    return warmed(decay, warmup, start, top)


@recipe
def flat_cosine(*, flat: Duration = "75%", end: Level = 0.0, peak: float | None = None) -> Schedule:
    """Return the base value for a while, then half a cosine over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> flat_cosine(flat="50%").over(Run(total_steps=4))([0, 2, 3, 4])
        array([1. , 1. , 0.5, 0. ])
    """
    top, end = levels(peak, end)
    stable = Constant(top, steps=flat).named("stable")
    return stable >> Cosine(start=top, end=end).named("decay")


@recipe
def half_cosine(
    *, warmup: Duration = "5%", end: Level = 0.0, peak: float | None = None
) -> Schedule:
    """Return a warmup to half a cosine's height, then its lower half over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> half_cosine(warmup=2).over(Run(total_steps=6))([0, 2, 6]).round(3)
        array([0. , 0.5, 0. ])
    """
    top, end = levels(peak, end)
    middle = (top + end) / 2
    lower = Cosine(start=top, end=end, steps=2).skip(1).stretch("rest")
    return Linear(start=0.0, end=middle, steps=warmup).named("warmup") >> lower.named("decay")


@recipe
def slanted_triangular(
    *, cut: Duration = "10%", ratio: float = 32.0, peak: float | None = None
) -> Schedule:
    """Return the slanted triangle of ULMFiT: a short way up from ``1 / ratio``, a long way down.

    Example:
        >>> from warmdown import Run
        >>> slanted_triangular(cut=2, ratio=4.0).over(Run(total_steps=10))([0, 2, 10])
        array([0.25, 1.  , 0.25])

    Reference: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146.
    """
    (top,) = levels(peak)
    low = top / ratio
    return warmed(Linear(start=top, end=low).named("decay"), cut, low, top)


def warmed(schedule: Schedule, warmup: Duration, start: float, top: float) -> Schedule:
    """Return a straight way up from ``start`` to ``top``, and then ``schedule``."""
    return Linear(start=start, end=top, steps=warmup).named("warmup") >> schedule
