"""One schedule whose values or name are seen otherwise: named, bounded, shaken."""

from __future__ import annotations

__all__ = ["Clipped", "Named", "Noisy"]

from typing import final

from warmdown.schedules.base import (
    Namespace,
    Phase,
    Phases,
    PlainData,
    Schedule,
    Steps,
    Values,
    schedule_class,
)
from warmdown.schedules.interpolate import clip_start
from warmdown.schedules.parameters import require


@final
@schedule_class
class Named(Schedule):
    """A schedule as one phase with a name.

    Args:
        of: The schedule.
        name: What the phase is called in pictures, records and callbacks.

    Example:
        >>> from warmdown import Linear
        >>> Named(of=Linear(steps=10), name="cooldown").phases()
        (Phase(name='cooldown', start=0, stop=10),)
    """

    of: Schedule
    name: str

    keeps_time = True

    def __post_init__(self) -> None:
        super().__post_init__()
        is_word = bool(self.name.strip())
        require(self, is_word, "a text that is not empty is needed.", "name")
        if isinstance(self.of, Named):  # the outer name is the one that counts
            object.__setattr__(self, "of", self.of.of)

    def phases(self) -> Phases:
        """Return the one phase."""
        return (Phase(self.name, 0, self.length),)

    def to_dict(self) -> PlainData:
        """Return the data of what is named, with the name beside it."""
        return {**self.of.to_dict(), "name": self.name}

    def spoken_within(self, symbol: str) -> str:
        """Return what is named: the phases of a picture have the name."""
        return self.of.spoken_within(symbol)

    def spoken(self) -> str:
        """Return what is named."""
        return self.of.spoken()

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return self.of.evaluate(step, xp)


@final
@schedule_class
class Clipped(Schedule):
    r"""A schedule kept between two bounds.

    .. math:: v(t) = \min(high, \max(low, of(t)))

    Args:
        of: The schedule.
        low: Lower bound, or ``None``.
        high: Upper bound, not below ``low``, or ``None``.

    Raises:
        ScheduleError: The bounds are crossed.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=1.0, end=0.0, steps=4).clip(low=0.5)([0, 2, 4])
        array([1. , 0.5, 0.5])
    """

    of: Schedule
    low: float | None = None
    high: float | None = None

    keeps_time = True
    verb = "clip"

    def check_fields(self) -> None:
        is_crossed = self.low is not None and self.high is not None and self.low > self.high
        require(self, not is_crossed, "the bounds are crossed. Swap them.", "low", "high")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return xp.clip(self.of.evaluate(step, xp), self.low, self.high)


@final
@schedule_class
class Noisy(Schedule):
    r"""A schedule with seeded noise; the same step always has the same noise.

    .. math:: v(t) = of(t)\,\bigl(1 + spread \cdot u_{\lfloor t / every \rfloor}\bigr),\;
              u \in [-1, 1)\ \text{uniform}

    Args:
        of: The schedule.
        spread: Largest deviation as a share of the value, 0 to 1, so that no sign changes.
        seed: Which noise, 0 to 1,000,000.
        every: Steps that share one draw, at least 1.

    Raises:
        ScheduleError: A number is out of range.

    Example:
        >>> from warmdown import Constant
        >>> noisy = Constant(value=1.0).noisy(0.1, seed=7)
        >>> noisy(3) == noisy(3), 0.9 <= noisy(3) <= 1.1, noisy(3) == noisy(4)
        (True, True, False)
    """

    is_cyclic = True

    of: Schedule
    spread: float = 0.1
    seed: int = 0
    every: int = 1

    keeps_time = True
    verb = "noisy"

    @property
    def holds_end(self) -> bool:
        """The noise goes on for ever."""
        return False

    def is_flat(self, first: float, last: float) -> bool:
        """Noise is never flat."""
        return False

    def check_fields(self) -> None:
        is_share = 0 <= self.spread <= 1
        require(self, is_share, "a share of the value from 0 to 1 is needed.", "spread")
        is_known = 0 <= self.seed <= 1_000_000 and self.every >= 1
        reason = "0 <= seed <= 1000000, every >= 1 is needed."
        require(self, is_known, reason, "seed", "every")

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        shaken = 1 + self.spread * self._draw(xp.floor(clip_start(step, xp) / self.every), xp)
        return self.of.evaluate(step, xp) * shaken

    def _draw(self, number: Steps, xp: Namespace) -> Values:
        """Mix a whole number to one in [-1, 1) by squares modulo a prime, exact in a double."""
        prime = 67_108_859
        mixed = number % prime + xp.floor(number / prime) * 7_919 + self.seed * 61
        for salt in (40_692_001, 12_820_163, 51_749_233, 20_014_409):
            mixed = (mixed % prime + salt) % prime
            mixed = (mixed * mixed) % prime
        return mixed / prime * 2 - 1
