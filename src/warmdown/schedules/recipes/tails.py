"""A warmup, and then a curve that fewer plans use: its classes are not made for every plan."""

from __future__ import annotations

__all__ = ["noam", "warmup_inverse_sqrt", "warmup_rex"]

from warmdown.errors import ScheduleError
from warmdown.run import Duration
from warmdown.schedules.base import Schedule
from warmdown.schedules.curves.basic import Linear
from warmdown.schedules.curves.rare import Rex
from warmdown.schedules.curves.unbounded import InverseSqrt
from warmdown.schedules.recipes.recipe import Level, levels, recipe
from warmdown.schedules.recipes.warmup import warmed


@recipe
def warmup_rex(
    *, warmup: Duration = "5%", end: Level = 0.0, d: float = 0.5, peak: float | None = None
) -> Schedule:
    """Return a warmup, then REX over the rest of the run; ``d=0.9`` is OneTrainer's bend.

    Example:
        >>> from warmdown import Run
        >>> warmup_rex(warmup=0).over(Run(total_steps=4))([0, 2, 4]).round(3)
        array([1.   , 0.667, 0.   ])
    """
    top, end = levels(peak, end)
    return warmed(Rex(start=top, end=end, d=d).named("decay"), warmup, 0.0, top)


@recipe
def warmup_inverse_sqrt(
    *, warmup: int = 1000, timescale: int | None = None, peak: float | None = None
) -> Schedule:
    """Return a warmup, then inverse square root decay without end.

    Args:
        warmup: Updates of the warmup.
        timescale: Updates after which the value has fallen by the square root of two, or the
            warmup's number.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> warmup_inverse_sqrt(warmup=100)([0, 100, 400])
        array([0. , 1. , 0.5])
    """
    (top,) = levels(peak)
    falling = InverseSqrt(start=top, timescale=timescale or max(warmup, 1)).named("decay")
    return warmed(falling, warmup, 0.0, top)


@recipe
def noam(*, d_model: int, warmup: int = 4000, factor: float = 1.0) -> Schedule:
    r"""Return the Transformer's schedule, to be used with a base value of 1.

    .. math:: v(t) = factor \cdot d_{model}^{-1/2}
              \min\bigl((t + 1)^{-1/2},\; (t + 1)\,warmup^{-3/2}\bigr)

    Args:
        d_model: Width of the model.
        warmup: Updates of the warmup, at least 1.
        factor: Multiplies every value.

    Raises:
        ScheduleError: A number is below 1.

    Example:
        >>> plan = noam(d_model=512, warmup=4000)
        >>> bool(plan(3999) == 512**-0.5 * 4000**-0.5)
        True

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.
    """
    if d_model < 1 or warmup < 1:
        raise ScheduleError(
            f"noam(d_model={d_model}, warmup={warmup}): whole numbers of at least 1 are needed."
        )
    peak = factor * d_model**-0.5 * warmup**-0.5
    rising = Linear(start=peak / warmup, end=peak, steps=warmup - 1).named("warmup")
    return rising >> InverseSqrt(start=peak, timescale=warmup).named("decay")
