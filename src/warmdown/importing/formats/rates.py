"""Rates that are a share of each group's own rate and an absolute part, on a clock of ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from warmdown.schedules import Constant, Scale, Schedule


@dataclass(frozen=True)
class Level:
    """A rate at one step.

    Args:
        share: Of the group's own rate.
        added: The absolute part.
    """

    share: float
    added: float = 0.0

    def times(self, factor: float) -> Level:
        """Return so many times this rate."""
        return Level(self.share * factor, self.added * factor)


@dataclass(frozen=True)
class Rate:
    """A rate over the run.

    Args:
        share: Of the group's own rate.
        added: The absolute part.
    """

    share: Schedule
    added: Schedule

    @classmethod
    def move(
        cls, shape: Callable[..., Schedule], start: Level, end: Level, steps: int, **more: Any
    ) -> Rate:
        """Return a move between two levels, by a shape that mixes its start and end."""

        def mixed(first: float, last: float) -> Schedule:
            if first == last:
                return Constant(first, steps=steps)
            return shape(start=first, end=last, steps=steps, **more)

        return cls(mixed(start.share, end.share), mixed(start.added, end.added))

    @classmethod
    def hold(cls, level: Level) -> Rate:
        """Return one level for good."""
        return cls(Constant(level.share), Constant(level.added))

    def at(self, step: int) -> Level:
        """Return the rate at a step; what never ends must have been given a number."""
        return Level(*(self.share(step), self.added(step)))

    def changed(self, change: Callable[[Schedule], Schedule]) -> Rate:
        """Return a rate whose two parts went through ``change``; a constant stays as it is."""

        def of_moving(part: Schedule) -> Schedule:
            is_still = isinstance(part, Constant) and part.steps == "rest"
            return part if is_still else change(part)

        return Rate(of_moving(self.share), of_moving(self.added))

    def skip(self, steps: int) -> Rate:
        """Return this rate without its beginning."""
        return self.changed(lambda part: part.skip(steps)) if steps else self

    @property
    def rule(self) -> Scale:
        """The rule of a plan."""
        is_none = self.added == Constant(0.0)
        return Scale(self.share, offset=None if is_none else self.added)


def placed(parts: Sequence[tuple[int, Rate]]) -> Rate:
    """Return rates that begin at these steps, each until the next one begins.

    One that begins with the next or after it is left out.
    """
    shares, added = [], []
    for place, (start, rate) in enumerate(parts):
        stop = min((begin for begin, _ in parts[place + 1 :]), default=None)
        if stop is None or stop > start:
            steps = None if stop is None else stop - max(start, 0)
            rate = rate.skip(max(-start, 0))
            shares.append((rate.share, steps))
            added.append((rate.added, steps))
    return Rate(_chain_of(shares), _chain_of(added))


def _chain_of(parts: Sequence[tuple[Schedule, int | None]]) -> Schedule:
    first, _ = parts[0]
    if isinstance(first, Constant) and all(
        isinstance(part, Constant) and part.value == first.value for part, _ in parts
    ):
        return Constant(first.value)
    fitted = [_fitted_part(part, steps) for part, steps in parts]
    chain = fitted[0]
    for part in fitted[1:]:
        chain = chain >> part
    return chain


def _fitted_part(part: Schedule, steps: int | None) -> Schedule:
    if steps is None or part.length == steps:
        return part
    return Constant(part.value, steps=steps) if isinstance(part, Constant) else part.take(steps)


def on_ticks(schedule: Schedule, ticks: int, total: int) -> Schedule:
    """Return a schedule over ticks, such as samples, for updates of so many ticks each."""
    is_still = isinstance(schedule, Constant)
    return schedule if ticks == 1 or is_still else schedule.take(total * ticks).stretch(total)
