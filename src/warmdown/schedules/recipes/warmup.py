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


def with_warmup(schedule: Schedule, *, warmup: Duration = "5%", start: float = 0.0) -> Schedule:
    """Return a straight warmup to where ``schedule`` begins, and then ``schedule``.

    Args:
        schedule: What follows; it begins at 1.
        warmup: Length of the warmup.
        start: First value, as a share of the base value.

    Example:
        >>> with_warmup(Constant(value=1.0), warmup=2)([0, 1, 2, 3])
        array([0. , 0.5, 1. , 1. ])
    """
    return Linear(start=start, end=1.0, steps=warmup).named("warmup") >> schedule


def warmup_constant(*, warmup: Duration = "5%", start: float = 0.0) -> Schedule:
    """Return a warmup, then the base value for good.

    Example:
        >>> warmup_constant(warmup=4)([2, 4, 100])
        array([0.5, 1. , 1. ])
    """
    return with_warmup(Constant(value=1.0).named("stable"), warmup=warmup, start=start)


def warmup_linear(*, warmup: Duration = "5%", start: float = 0.0, end: float = 0.0) -> Schedule:
    """Return a warmup, then a straight line over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> warmup_linear(warmup=2).over(Run(total_steps=6))([0, 2, 4, 6])
        array([0. , 1. , 0.5, 0. ])
    """
    return with_warmup(Linear(start=1.0, end=end).named("decay"), warmup=warmup, start=start)


def warmup_cosine(
    *, warmup: Duration = "5%", start: float = 0.0, end: float = 0.0, k: float = 1.0
) -> Schedule:
    """Return a warmup, then half a cosine over the rest of the run.

    Args:
        warmup: Length of the warmup.
        start: First value, as a share of the base value.
        end: Last value, as a share of the base value.
        k: Order of the decay; above 1 the rate stays high for longer.

    Example:
        >>> from warmdown import Run
        >>> warmup_cosine(warmup="20%", end=0.1).over(Run(total_steps=10))([0, 2, 10])
        array([0. , 1. , 0.1])
    """
    return with_warmup(Cosine(start=1.0, end=end, k=k).named("decay"), warmup=warmup, start=start)


def warmup_polynomial(
    *, warmup: Duration = "5%", start: float = 0.0, end: float = 0.0, power: float = 2.0
) -> Schedule:
    """Return a warmup, then a polynomial decay over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> warmup_polynomial(warmup=0).over(Run(total_steps=4))([0, 2, 4])
        array([1.  , 0.25, 0.  ])
    """
    return with_warmup(
        Polynomial(start=1.0, end=end, power=power).named("decay"), warmup=warmup, start=start
    )


def flat_cosine(*, flat: Duration = "75%", end: float = 0.0) -> Schedule:
    """Return the base value for a while, then half a cosine over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> flat_cosine(flat="50%").over(Run(total_steps=4))([0, 2, 3, 4])
        array([1. , 1. , 0.5, 0. ])
    """
    stable = Constant(value=1.0, steps=flat).named("stable")
    return stable >> Cosine(start=1.0, end=end).named("decay")


def half_cosine(*, warmup: Duration = "5%", end: float = 0.0) -> Schedule:
    """Return a warmup to half a cosine's height, then its lower half over the rest of the run.

    Example:
        >>> from warmdown import Run
        >>> half_cosine(warmup=2).over(Run(total_steps=6))([0, 2, 6]).round(3)
        array([0. , 0.5, 0. ])
    """
    middle = (1 + end) / 2
    lower = Cosine(start=1.0, end=end, steps=2).skip(1).stretch("rest")
    return Linear(start=0.0, end=middle, steps=warmup).named("warmup") >> lower.named("decay")


def slanted_triangular(*, cut: Duration = "10%", ratio: float = 32.0) -> Schedule:
    """Return the slanted triangle of ULMFiT: a short way up from ``1 / ratio``, a long way down.

    Example:
        >>> from warmdown import Run
        >>> slanted_triangular(cut=2, ratio=4.0).over(Run(total_steps=10))([0, 2, 10])
        array([0.25, 1.  , 0.25])

    Reference: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146.
    """
    return warmup_linear(warmup=cut, start=1 / ratio, end=1 / ratio)
