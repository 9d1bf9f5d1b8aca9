"""What comes again: triangles, repeated schedules, and the fractal order of Chebyshev rates."""

from __future__ import annotations

__all__ = ["Chebyshev", "Repeat", "Triangle"]

import math
from dataclasses import replace
from typing import Any, Self, final

import numpy as np

from warmdown.run import Length, Run
from warmdown.schedules.base import (
    Namespace,
    PartStarts,
    PartSteps,
    Phase,
    Phases,
    Schedule,
    Steps,
    Values,
    is_endless,
    schedule_class,
)
from warmdown.schedules.interpolate import clip_start
from warmdown.schedules.parameters import require

_MANY_CYCLES = 100
"""Up to here each cycle is a phase of its own."""


@final
@schedule_class
class Triangle(Schedule):
    r"""Up from ``low`` to ``high`` in a straight line, and down again.

    .. math:: v(t) = low + (high - low)\,\min\!\Bigl(\frac{t}{up},\; 1 - \frac{t - up}{down}\Bigr)

    Args:
        low: Value at both ends, in the unit of the scheduled field.
        high: Value at step ``up``.
        up: Steps on the way up.
        down: Steps on the way down.

    Raises:
        ScheduleError: Both sides have no step.

    Example:
        >>> Triangle(low=0.0, high=1.0, up=2, down=4)([0, 1, 2, 4, 6])
        array([0. , 0.5, 1. , 0.5, 0. ])

    Reference: Smith 2015, https://arxiv.org/abs/1506.01186; repeat it for cyclical rates.
    """

    is_cyclic = True

    low: float = 0.0
    high: float = 1.0
    up: int = 1
    down: int = 1

    def check_fields(self) -> None:
        is_long = min(self.up, self.down) >= 0 < self.up + self.down
        require(self, is_long, "at least one side needs a step.", "up", "down")

    @property
    def length(self) -> int:
        """Steps of both sides."""
        return self.up + self.down

    def phases(self) -> Phases:
        """Return the way up and the way down."""
        return Phase("up", 0, self.up), Phase("down", self.up, self.length)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        at = xp.clip(step, 0, self.length)
        rises, up, down = at < self.up, max(self.up, 1), max(self.down, 1)
        if abs(self.high) >= abs(self.low):
            share = xp.where(rises, at / up, (self.length - at) / down if self.down else 1.0)
            return self.low * (1 - share) + self.high * share
        rest = xp.where(rises, (self.up - at) / up, (at - self.up) / down)
        return self.low * rest + self.high * (1 - rest)


@final
@schedule_class
class Repeat(Schedule):
    r"""A schedule again and again, each cycle longer by ``grow`` and lower by ``decay``.

    .. math:: v(t) = decay^{\,i} \cdot of\!\Bigl(\frac{t - t_i}{grow^{\,i}}\Bigr),\quad
              t_i = L\,\frac{grow^{\,i} - 1}{grow - 1}

    Args:
        of: The cycle; its length *L* is the first cycle's.
        times: Number of cycles, at least 1, or ``None`` for no end. After the last, its end value
            holds.
        decay: Factor on each further cycle, or a schedule over the cycle's number (0, 1, 2 …).
        grow: Factor on the length of each further cycle, 1 to 1000.

    Raises:
        ScheduleError: ``of`` never ends, ``times`` is less than 1, or ``grow`` is out of range.

    Example:
        >>> from warmdown import Linear
        >>> Repeat(of=Linear(start=1.0, end=0.0, steps=2), times=2, decay=0.5)([0, 1, 2, 3, 4])
        array([1.  , 0.5 , 0.5 , 0.25, 0.  ])

    Reference: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, warm restarts.
    """

    is_cyclic = True
    verb = "repeat"

    of: Schedule
    times: int | None = None
    decay: float | Schedule = 1.0
    grow: float = 1.0

    def check_fields(self) -> None:
        has_cycles = self.times is None or self.times >= 1
        require(self, has_cycles, "at least one cycle is needed, or None for no end.", "times")
        reason = "1 to 1000 is needed; cycles that shrink would end at once."
        require(self, 1 <= self.grow <= 1000, reason, "grow")
        reason = "a cycle of 0 steps never moves on. Give it at least 1 step."
        require(self, self.of.length != 0, reason, "of")
        reason = "a cycle needs an end. Give it one with .take(steps)."
        require(self, not is_endless(self.of), reason, "of")
        is_open = isinstance(self.decay, Schedule) and not self.decay.is_resolved
        reason = "a share of cycles without end. Give times, or its steps as a number."
        require(self, self.times is not None or not is_open, reason, "decay")

    @property
    def is_resolved(self) -> bool:
        """Whether the cycle has a length, and its decay too."""
        return self.of.length is not None and super().is_resolved

    @property
    def length(self) -> Length:
        """Steps of all cycles, or ``None`` when they never end."""
        if self.times is None or self.of.length is None:
            return None
        length: int = math.ceil(self._start(self.times))
        return length

    def phases(self) -> Phases:
        """Return one phase a cycle, as long as they can be counted."""
        if self.times is None or self.length is None or self.times > _MANY_CYCLES:
            return (Phase("cycles", 0, self.length),)
        starts = [math.ceil(self._start(number)) for number in range(self.times + 1)]
        return tuple(Phase(f"cycle {i + 1}", starts[i], starts[i + 1]) for i in range(self.times))

    def part_steps(self, step: float) -> PartSteps:
        """Return the step inside the cycle, and the cycle's number for a schedule's decay."""
        within, cycle = self._place(np.float64(step), np)
        return float(within), *[float(cycle)] * (len(self.parts()) - 1)

    def part_starts(self) -> PartStarts:
        """Return ``None``: the clock begins again and again."""
        return (None,) * len(self.parts())

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        within, cycle = self._place(step, xp)
        height: Values = (
            self.decay.evaluate(cycle, xp)
            if isinstance(self.decay, Schedule)
            else self.decay**cycle
        )
        return height * self.of.evaluate(within, xp)

    def _place(self, step: Steps, xp: Namespace) -> tuple[Steps, Values]:
        """Return the step inside the cycle, and the number of the cycle."""
        at = clip_start(step, xp)
        first: Any = self.of.length
        if self.grow == 1:
            cycle = xp.floor(at / first)
        else:
            cycle = xp.floor(xp.log1p(at * (self.grow - 1) / first) / math.log(self.grow))
            # the logarithm may land on the wrong side of a start: the starts themselves decide
            cycle = cycle + xp.where(at >= self._start(cycle + 1), 1.0, 0.0)
            cycle = cycle - xp.where(at < self._start(cycle), 1.0, 0.0)
        if self.times is not None:
            cycle = xp.clip(cycle, None, self.times - 1)
        return (at - self._start(cycle)) / self.grow**cycle, cycle

    def _start(self, cycle: Any, first: Any = None) -> Any:
        """Return where a cycle starts, or would if the first were ``first`` long."""
        first = self.of.length if first is None else first
        return first * cycle if self.grow == 1 else first * (self.grow**cycle - 1) / (self.grow - 1)

    def requested_length(self, run: Run) -> Length:
        claim = self.of.requested_length(run)
        if claim is None or self.times is None:
            return None
        length: int = math.ceil(self._start(self.times, claim))
        return length

    def resolve(self, run: Run, available: Length) -> Self:
        is_open = self.of.requested_length(run) is None
        if self.times is not None and available is not None and is_open:
            available = available * 10**6 // math.ceil(self._start(self.times, 10**6))
        decay, of = self.decay, self.of
        if isinstance(decay, Schedule):
            decay = decay.over(Run(total_steps=self.times))
        if not of.is_resolved or of.length is None:
            of = of.resolve(run, available)
        return replace(self, of=of, decay=decay)


@final
@schedule_class
class Chebyshev(Schedule):
    r"""Chebyshev's rates in fractal order: long steps, each soon made good by short ones.

    .. math:: v(t) = \Bigl[\tfrac{1/high + 1/low}{2} - \tfrac{1/low - 1/high}{2}
              \cos\frac{\pi(\sigma(t) + 1/2)}{2^{order}}\Bigr]^{-1}

    :math:`\sigma` interlaces an order with its mirror image; the rates repeat after
    :math:`2^{order}` steps.

    Args:
        low: Smallest rate, positive, in the unit of the scheduled field.
        high: Largest rate, at least ``low``.
        order: Logarithm to base 2 of the number of rates, 0 to 30.

    Raises:
        ScheduleError: The rates or the order are out of range.

    Example:
        >>> Chebyshev(low=0.1, high=1.0, order=1)([0, 1, 2]).round(3)
        array([0.431, 0.115, 0.431])

    Reference: Agarwal, Goel & Zhang 2021, https://arxiv.org/abs/2103.01338.
    """

    is_cyclic = True

    low: float = 0.1
    high: float = 1.0
    order: int = 3

    def check_fields(self) -> None:
        require(self, 0 < self.low <= self.high, "0 < low <= high is needed.", "low", "high")
        require(self, 0 <= self.order <= 30, "an order from 0 to 30 is needed.", "order")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        count = 2**self.order
        at = xp.floor(clip_start(step, xp)) % count
        place = xp.zeros_like(step)
        for bit in reversed(range(self.order)):
            mirrored = xp.floor(at / 2**bit) % 2
            size = 2 ** (self.order - bit)
            place = xp.where(mirrored == 1, size - 1 - place, place)
        middle, swing = (1 / self.high + 1 / self.low) / 2, (1 / self.low - 1 / self.high) / 2
        return 1 / (middle - swing * xp.cos(math.pi * (place + 0.5) / count))
