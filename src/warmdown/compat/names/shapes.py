"""The few expressions that several of these libraries spell, each in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

from warmdown.errors import ScheduleError, nearest
from warmdown.schedules import Constant, Cosine, Linear, Scale, Schedule

T = TypeVar("T")


def waves(halves: float, end: float, steps: int) -> Schedule:
    """Return half waves of a cosine, down from 1 to ``end`` and up by turns, in ``steps``."""
    share = _cycle_share("num_cycles", halves)
    if share == 1:
        return Cosine(start=1.0, end=end, steps=steps)
    down = Cosine(start=1.0, end=end, steps=share.denominator)
    up = Cosine(start=end, end=1.0, steps=share.denominator)
    return _fitted(down >> up, share, steps)


def hard_restarts(cycles: float, end: float, steps: int) -> Schedule:
    """Return half waves of a cosine from 1 to ``end``, each beginning at 1 again, in ``steps``."""
    share = _cycle_share("num_cycles", cycles)
    return _fitted(Cosine(start=1.0, end=end, steps=share.denominator), share, steps)


def _cycle_share(name: str, number: float) -> Fraction:
    if not 0 <= number <= 10_000:
        raise ScheduleError(f"{name}={number!r}: a number of cycles from 0 to 10000 is needed.")
    return Fraction(number).limit_denominator(1000)


def _fitted(cycle: Schedule, share: Fraction, steps: int) -> Schedule:
    if share == 0:
        return Constant(value=1.0, steps=steps)
    return cycle.repeat().take(share.numerator).stretch(steps)


def after_warmup(
    scale: Scale,
    *,
    steps: int,
    first: float = 0.0,
    first_ratio: float = 0.0,
    last: tuple[float, float] = (1.0, 0.0),
) -> Scale:
    """Return ``scale`` after a straight warmup to the base value.

    Args:
        scale: What follows.
        steps: Length of the warmup.
        first: Absolute first rate.
        first_ratio: First rate as a share of the base value; the two are added.
        last: Where the warmup leads, as a share of the base value, and what is added to it.
    """
    if steps == 0:
        return scale
    rising = Linear(start=first_ratio, end=last[0], steps=steps).named("warmup") >> scale.of
    if not (first or scale.offset):
        return Scale(rising, low=scale.low)
    offset = Linear(start=first, end=last[1], steps=steps) >> (scale.offset or Constant(value=0.0))
    return Scale(rising, offset=offset, low=scale.low)


def look_up(
    label: str, name: str, table: Mapping[str, T], elsewhere: Mapping[str, str] | None = None
) -> T:
    """Return the entry of a table by its name.

    Raises:
        ScheduleError: It has no such name; ``elsewhere`` holds what to do for some others.
    """
    if name in table:
        return table[name]
    way_out = (elsewhere or {}).get(name) or f"no such curve. {nearest(name[:60], table)}"
    raise ScheduleError(f"{label}={name[:60]!r}: {way_out}")


def lowered(curve: Schedule, low: float) -> Scale:
    """Return a curve between 1 and 0 as one between the base value and an absolute rate."""
    return Scale(curve, offset=(curve * -low + low) if low else None)


def skipped(scale: Scale, steps: int) -> Scale:
    """Return ``scale`` without its first steps."""
    return Scale(scale.of.skip(steps), offset=scale.offset and scale.offset.skip(steps))
