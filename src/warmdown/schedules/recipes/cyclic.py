"""What goes up and down: one cycle, many, and free forms."""

from __future__ import annotations

__all__ = [
    "cosine_restarts",
    "cosine_waves",
    "exp_range",
    "one_cycle",
    "piecewise",
    "range_test",
    "sawtooth",
    "triangular",
    "triangular2",
]

from collections.abc import Sequence
from typing import Literal

from warmdown.errors import ScheduleError
from warmdown.run import Duration
from warmdown.schedules.base import Schedule
from warmdown.schedules.compose import Chain
from warmdown.schedules.curves.basic import Cosine, Linear
from warmdown.schedules.curves.unbounded import ExponentialDecay
from warmdown.schedules.cycles import Triangle
from warmdown.schedules.recipes.recipe import Level, levels, recipe
from warmdown.schedules.recipes.shapes import Shape, curve_of
from warmdown.schedules.recipes.warmup import warmed
from warmdown.schedules.rule import Scale, Set


@recipe
def one_cycle(
    *,
    max_lr: float | None = None,
    warm: Duration = "30%",
    div: float = 25.0,
    final_div: float = 1e4,
    shape: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
    momentum: tuple[float, float] | None = (0.85, 0.95),
    peak: float | None = None,
) -> dict[str, Scale | Set]:
    """Return the targets of the one-cycle policy, which a Scheduler takes as its plan.

    Args:
        max_lr: The same as ``peak``.
        warm: Length of the way up.
        div: The first rate is the peak divided by it.
        final_div: The last rate is the first divided by it.
        shape: Curve of every move.
        three_phase: Come down as one went up, then fall to the last rate over the rest.
        momentum: Lowest and highest momentum (or first beta), or ``None`` to leave it alone.
        peak: Peak of the rate, or ``None``: each group's base rate is its peak.

    Returns:
        ``{"lr": …, "momentum": Set(…)}``.

    Raises:
        ScheduleError: A divisor is not positive.

    Example:
        >>> from warmdown import Run
        >>> targets = one_cycle(warm=4, div=10.0, final_div=100.0)
        >>> lr = targets["lr"].over(Run(total_steps=10))
        >>> [round(lr.value(step, base=0.5), 6) for step in (0, 4, 10)]
        [0.05, 0.5, 0.0005]

    Reference: Smith & Topin 2017, https://arxiv.org/abs/1708.07120.
    """
    if div <= 0 or final_div <= 0:
        raise ScheduleError(f"one_cycle(div={div}, final_div={final_div}): both must be above 0.")
    if peak is not None and max_lr is not None:
        raise ScheduleError("one_cycle(peak=…, max_lr=…): both are the highest rate. Give peak.")
    (top,) = levels(peak)
    first = top / div
    rate = _arc(shape, first, top, first / final_div, warm, three_phase=three_phase)
    if max_lr is not None:
        targets: dict[str, Scale | Set] = {"lr": Set(rate * max_lr)}
    else:
        targets = {"lr": Scale(rate) if peak is None else Set(rate)}
    if momentum is not None:
        low, high = momentum
        targets["momentum"] = Set(_arc(shape, high, low, high, warm, three_phase=three_phase))
    return targets


@recipe
def cosine_restarts(
    *,
    first: Duration = "10%",
    grow: float = 1.0,
    decay: float = 1.0,
    end: Level = 0.0,
    warmup: Duration = 0,
    peak: float | None = None,
) -> Schedule:
    """Return warm restarts: half a cosine again and again.

    Args:
        first: Length of the first cycle, its warmup included.
        grow: Factor on the length of each further cycle.
        decay: Factor on the height of each further cycle.
        end: Value at the end of a cycle, as a share of its height.
        warmup: Length of the warmup inside the first cycle; it grows as the cycles do.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> cosine_restarts(first=2, grow=2)([0, 1, 2, 4, 6])
        array([1. , 0.5, 1. , 0.5, 1. ])

    Reference: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983.
    """
    top, end = levels(peak, end)
    if warmup == 0:
        return Cosine(start=top, end=end, steps=first).repeat(decay=decay, grow=grow)
    rising = Linear(start=end, end=top, steps=warmup).named("warmup")
    return (rising >> Cosine(start=top, end=end)).take(first).repeat(decay=decay, grow=grow)


@recipe
def cosine_waves(
    *, cycles: int = 2, end: Level = 0.0, warmup: Duration = 0, peak: float | None = None
) -> Schedule:
    """Return soft restarts: whole cosine waves, down and up again, the last one only down.

    Example:
        >>> from warmdown import Run
        >>> cosine_waves(cycles=2).over(Run(total_steps=6))([0, 2, 4, 6])
        array([1., 0., 1., 0.])
    """
    if cycles < 1:
        raise ScheduleError(f"cosine_waves(cycles={cycles}): at least one cycle is needed.")
    top, end = levels(peak, end)
    down, up = Cosine(start=top, end=end, steps=1), Cosine(start=end, end=top, steps=1)
    waves: Schedule = down if cycles == 1 else (down >> up).repeat(cycles - 1) >> down
    return warmed(waves.stretch("rest"), warmup, 0.0, top)


@recipe
def triangular(
    *,
    low: Level = "10%",
    high: Level = "100%",
    up: int = 2000,
    down: int | None = None,
    peak: float | None = None,
) -> Schedule:
    """Return the triangular cyclical rate.

    Args:
        low: Value at both ends of a cycle, as a share of the base value.
        high: Value in the middle.
        up: Updates on the way up.
        down: Updates on the way down, or ``None`` for as many.
        peak: Highest value, if all values are absolute; the result is then ``Set(…)``.

    Example:
        >>> triangular(low=0.0, up=2)([0, 1, 2, 3, 4])
        array([0. , 0.5, 1. , 0.5, 0. ])

    Reference: Smith 2015, https://arxiv.org/abs/1506.01186.
    """
    _, low, high = levels(peak, low, high)
    return Triangle(low=low, high=high, up=up, down=up if down is None else down).repeat()


@recipe
def triangular2(
    *,
    low: Level = "10%",
    high: Level = "100%",
    up: int = 2000,
    down: int | None = None,
    peak: float | None = None,
) -> Schedule:
    """Return the triangular cyclical rate whose height above ``low`` halves with each cycle.

    Example:
        >>> triangular2(low=0.0, up=2)([2, 6, 10])
        array([1.  , 0.5 , 0.25])
    """
    _, low, high = levels(peak, low, high)
    cycle = Triangle(low=0.0, high=high - low, up=up, down=up if down is None else down)
    return cycle.repeat(decay=0.5) + low


@recipe
def exp_range(
    *,
    low: Level = "10%",
    high: Level = "100%",
    up: int = 2000,
    down: int | None = None,
    gamma: float = 0.9999,
    peak: float | None = None,
) -> Schedule:
    """Return triangular cycles whose height above ``low`` falls by ``gamma`` with each update.

    Example:
        >>> exp_range(low=0.0, up=1, gamma=0.5)([1, 3])
        array([0.5  , 0.125])
    """
    _, low, high = levels(peak, low, high)
    cycles = triangular(low=0.0, high=high - low, up=up, down=down)
    return cycles * ExponentialDecay(start=1.0, gamma=gamma) + low


@recipe
def sawtooth(
    *, high: Level = "100%", low: Level = 0.0, period: int = 1000, peak: float | None = None
) -> Schedule:
    """Return straight falls from ``high`` to ``low``, again and again.

    Example:
        >>> sawtooth(period=2)([0, 1, 2, 3])
        array([1. , 0.5, 1. , 0.5])
    """
    _, high, low = levels(peak, high, low)
    return Linear(start=high, end=low, steps=period).repeat()


@recipe
def range_test(*, start: float = 1e-7, end: float = 10.0, shape: Shape = "exponential") -> Schedule:
    """Return the sweep of a learning-rate range test, in the unit of the rate: use it with ``Set``.

    Example:
        >>> from warmdown import Run
        >>> round(range_test(start=1e-4, end=1.0).over(Run(total_steps=4))(2), 9)
        0.01
    """
    return curve_of(shape)(start, end, "rest").named("sweep")


@recipe
def piecewise(
    *, values: Sequence[float], lengths: Sequence[Duration], shape: Shape = "linear"
) -> Schedule:
    """Return values joined by curves.

    Args:
        values: One more than ``lengths``.
        lengths: From each value to the next; one may be ``"rest"``.
        shape: Curve between two values.

    Raises:
        ScheduleError: The counts do not match, or there is no such shape.

    Example:
        >>> piecewise(values=[0.0, 1.0, 0.2], lengths=[2, 4])([0, 1, 2, 6])
        array([0. , 0.5, 1. , 0.2])
    """
    if len(values) != len(lengths) + 1 or not lengths:
        raise ScheduleError(
            f"piecewise: {len(values)} values, {len(lengths)} lengths: give one value more than "
            f"lengths."
        )
    curve = curve_of(shape)
    moves = zip(values[:-1], values[1:], lengths, strict=True)
    return Chain(members=tuple(curve(start, end, steps) for start, end, steps in moves))


def _arc(
    shape: str, first: float, middle: float, last: float, warm: Duration, *, three_phase: bool
) -> Schedule:
    curve = curve_of(shape)
    up = curve(first, middle, warm).named("up")
    if not three_phase:
        return up >> curve(middle, last, "rest").named("down")
    down = curve(middle, first, warm).named("down")
    return up >> down >> curve(first, last, "rest").named("annihilate")
