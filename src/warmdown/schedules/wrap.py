"""One schedule seen otherwise: named, bounded, moved in time, cut, given a tail, shaken."""

from __future__ import annotations

__all__ = ["Clipped", "Delayed", "Grafted", "Named", "Noisy", "Skipped", "Stretched", "Taken"]

from dataclasses import dataclass, replace
from typing import Any, Self, final

from warmdown.errors import RunError, ScheduleError
from warmdown.run import Duration, Run
from warmdown.schedules.base import Namespace, Phase, Schedule, Steps, Values
from warmdown.schedules.curves.way import from_zero


@final
@dataclass(frozen=True, kw_only=True)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not str(self.name).strip():
            raise ScheduleError(f"Named(name={self.name!r}): a text that is not empty is needed.")
        if isinstance(self.of, Named):  # the outer name is the one that counts
            object.__setattr__(self, "of", self.of.of)

    @property
    def length(self) -> int | None:
        """The length of what is named."""
        return self.of.length

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase."""
        return (Phase(self.name, 0, self.length),)

    def to_dict(self) -> dict[str, Any]:
        """Return the data of what is named, with the name beside it."""
        return {**self.of.to_dict(), "name": self.name}

    def _values(self, step: Steps, xp: Namespace) -> Values:
        return self.of._values(step, xp)

    def _claim(self, run: Run) -> int | None:
        return self.of._claim(run)


@final
@dataclass(frozen=True, kw_only=True)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ScheduleError(f"Clipped(low={self.low}, high={self.high}): the bounds are crossed. Swap them.")

    @property
    def length(self) -> int | None:
        """The length of what is bounded."""
        return self.of.length

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of what is bounded."""
        return self.of.phases()

    def _values(self, step: Steps, xp: Namespace) -> Values:
        return xp.clip(self.of._values(step, xp), self.low, self.high)

    def _claim(self, run: Run) -> int | None:
        return self.of._claim(run)


@final
@dataclass(frozen=True, kw_only=True)
class Stretched(Schedule):
    r"""A schedule slowed or hastened to a new length.

    .. math:: v(t) = of(t \cdot of.length / steps),\; t \le steps

    Args:
        of: A schedule with an end.
        steps: New length.

    Raises:
        ScheduleError: ``of`` never ends.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=0.0, end=1.0, steps=10).stretch(1000)(500)
        0.5
    """

    of: Schedule
    steps: Duration = "rest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of.is_settled and self.of.length is None:
            raise ScheduleError(
                f"Stretched(of={self.of!r}): what never ends has no length to change. Use .take(steps) first."
            )

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of what is stretched, each moved to its new place."""
        inner, outer = self.of.length, self.length
        if not inner or outer is None:
            return self.of.phases()
        scaled = ((p.name, p.start * outer / inner, (p.stop or 0) * outer / inner) for p in self.of.phases())
        return tuple(Phase(name, round(start), round(stop)) for name, start, stop in scaled)

    def _values(self, step: Steps, xp: Namespace) -> Values:
        inner, outer = self.of.length or 0, self.steps
        at = xp.clip(step, 0, outer)
        return self.of._values(at * inner / outer if outer else at + inner, xp)


@final
@dataclass(frozen=True, kw_only=True)
class Delayed(Schedule):
    r"""A schedule that begins later; until then its first value holds.

    .. math:: v(t) = of(\max(0, t - steps))

    Args:
        of: The schedule.
        steps: How much later.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=1.0, end=0.0, steps=2).delay(3)([0, 3, 4, 5])
        array([1. , 1. , 0.5, 0. ])
    """

    of: Schedule
    steps: Duration = 0

    @property
    def length(self) -> int | None:
        """The length of what is delayed, and the delay."""
        return None if self.of.length is None else self.of.length + _count(self.steps)

    def phases(self) -> tuple[Phase, ...]:
        """Return a phase ``wait``, then the delayed ones."""
        return Phase("wait", 0, _count(self.steps)), *(p.moved(_count(self.steps)) for p in self.of.phases())

    def _values(self, step: Steps, xp: Namespace) -> Values:
        return self.of._values(from_zero(step - self.steps, xp), xp)

    def _claim(self, run: Run) -> int | None:
        claim = self.of._claim(run)
        return None if claim is None else claim + _measured(self, self.steps, run)

    def _settle(self, run: Run, room: int | None) -> Self:
        wait = _measured(self, self.steps, run)
        return replace(self, of=self.of._settle(run, None if room is None else max(room - wait, 0)), steps=wait)


@final
@dataclass(frozen=True, kw_only=True)
class Skipped(Schedule):
    r"""A schedule without its beginning.

    .. math:: v(t) = of(t + steps)

    Args:
        of: The schedule.
        steps: How much of it is left out.

    Example:
        >>> from warmdown import Linear
        >>> Linear(start=1.0, end=0.0, steps=4).skip(2)([0, 1, 2])
        array([0.5 , 0.25, 0.  ])
    """

    of: Schedule
    steps: Duration = 0

    @property
    def length(self) -> int | None:
        """What is left of the length."""
        return None if self.of.length is None else max(self.of.length - _count(self.steps), 0)

    def _values(self, step: Steps, xp: Namespace) -> Values:
        return self.of._values(from_zero(step, xp) + self.steps, xp)

    def _claim(self, run: Run) -> int | None:
        claim = self.of._claim(run)
        return None if claim is None else max(claim - _measured(self, self.steps, run), 0)

    def _settle(self, run: Run, room: int | None) -> Self:
        left_out = _measured(self, self.steps, run)
        return replace(self, of=self.of._settle(run, None if room is None else room + left_out), steps=left_out)


@final
@dataclass(frozen=True, kw_only=True)
class Taken(Schedule):
    r"""The beginning of a schedule; then the value reached holds.

    .. math:: v(t) = of(\min(t, steps))

    Args:
        of: The schedule, with or without an end.
        steps: How much of it is taken.

    Example:
        >>> from warmdown import InverseSqrt
        >>> InverseSqrt(start=1.0, timescale=1).take(3)([0, 3, 99])
        array([1. , 0.5, 0.5])
    """

    of: Schedule
    steps: Duration = "rest"

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of what is taken, as far as it is."""
        if self.length is None:
            return self.of.phases()
        return tuple(
            Phase(p.name, p.start, self.length if p.stop is None else min(p.stop, self.length))
            for p in self.of.phases()
            if p.start < self.length
        )

    def _values(self, step: Steps, xp: Namespace) -> Values:
        return self.of._values(xp.clip(step, 0, self.steps), xp)

    def _settle(self, run: Run, room: int | None) -> Self:
        """What is taken has no more room than that, so that a ``"rest"`` in it is the rest of what is taken."""
        steps = self._fit(self._claim(run), room)
        return replace(self, of=self.of._settle(run, steps), steps=steps)


@final
@dataclass(frozen=True, kw_only=True)
class Grafted(Schedule):
    r"""A schedule up to a step; from there a tail scales the value that was reached.

    .. math:: v(t) = of(t),\; t < at; \qquad v(t) = of(at) \cdot tail(t - at),\; t \ge at

    Args:
        of: The trunk.
        tail: What multiplies the value reached; it usually begins at 1.
        at: Step of the graft; ``"rest"`` places the tail at the end of the run.

    Example:
        >>> from warmdown import InverseSqrt, Linear
        >>> InverseSqrt(start=1.0, timescale=1).graft(Linear(steps=2), at=3)([0, 3, 4, 5])
        array([1.  , 0.5 , 0.25, 0.  ])
    """

    of: Schedule
    tail: Schedule
    at: Duration = "rest"

    @property
    def length(self) -> int | None:
        """Steps up to the graft, and the tail's."""
        return None if self.tail.length is None or isinstance(self.at, str) else self.at + self.tail.length

    @property
    def is_settled(self) -> bool:
        """Whether trunk, tail and the step between them are."""
        return not isinstance(self.at, str) and self.of.is_settled and self.tail.is_settled

    def phases(self) -> tuple[Phase, ...]:
        """Return the trunk's phases up to the graft, then the tail's."""
        return *self.of.take(self.at).phases(), *(p.moved(_count(self.at)) for p in self.tail.phases())

    def _values(self, step: Steps, xp: Namespace) -> Values:
        reached = self.of._values(xp.full_like(xp.asarray(step), self.at), xp)
        return xp.where(
            xp.asarray(step) < self.at,
            self.of._values(step, xp),
            reached * self.tail._values(from_zero(step - self.at, xp), xp),
        )

    def _claim(self, run: Run) -> int | None:
        tail = self.tail._claim(run)
        return None if tail is None or self.at == "rest" else tail + _measured(self, self.at, run)

    def _settle(self, run: Run, room: int | None) -> Self:
        at = run.measure(self.at, who=repr(self))
        if at is None:
            claim = self.tail._claim(run)
            if room is None or claim is None or claim > room:
                raise ScheduleError(
                    f"{self!r}: where does the tail of {claim} steps begin, with {room} steps left? Give at."
                )
            at = room - claim
        left = None if room is None else max(room - at, 0)
        return replace(self, of=self.of._settle(run, room), tail=self.tail._settle(run, left), at=at)


@final
@dataclass(frozen=True, kw_only=True)
class Noisy(Schedule):
    r"""A schedule with seeded noise; the same step always has the same noise.

    .. math:: v(t) = of(t)\,\bigl(1 + spread \cdot u_{\lfloor t / every \rfloor}\bigr),\; u \in [-1, 1)\ \text{uniform}

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

    of: Schedule
    spread: float = 0.1
    seed: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.spread <= 1:
            raise ScheduleError(f"Noisy(spread={self.spread}): a share of the value from 0 to 1 is needed.")
        if not 0 <= self.seed <= 1_000_000 or self.every < 1:
            raise ScheduleError(
                f"Noisy(seed={self.seed}, every={self.every}): 0 <= seed <= 1000000, every >= 1 is needed."
            )

    @property
    def length(self) -> int | None:
        """The length of what is shaken."""
        return self.of.length

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of what is shaken."""
        return self.of.phases()

    def _values(self, step: Steps, xp: Namespace) -> Values:
        shaken = 1 + self.spread * self._draw(xp.floor(from_zero(step, xp) / self.every), xp)
        return self.of._values(step, xp) * shaken

    def _draw(self, number: Steps, xp: Namespace) -> Values:
        """Mix a whole number to one in [-1, 1): squares modulo a prime, each product exact in a double."""
        prime = 67_108_859
        mixed = number % prime + xp.floor(number / prime) * 7_919 + self.seed * 61
        for salt in (40_692_001, 12_820_163, 51_749_233, 20_014_409):
            mixed = (mixed % prime + salt) % prime
            mixed = (mixed * mixed) % prime
        return mixed / prime * 2 - 1

    def _claim(self, run: Run) -> int | None:
        return self.of._claim(run)


def _count(steps: Duration) -> int:
    return steps if isinstance(steps, int) else 0


def _measured(owner: Schedule, duration: Duration, run: Run) -> int:
    measured = run.measure(duration, who=repr(owner))
    if measured is None:
        raise RunError(f"{owner!r}: 'rest' has no meaning here. Give a length.")
    return measured
