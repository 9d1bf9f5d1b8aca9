"""How long a run is, and how a duration becomes a number of clock units."""

from __future__ import annotations

__all__ = ["CLOCKS", "Clock", "Duration", "Run", "check_duration"]

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Literal, TypeAlias, get_args

from warmdown.errors import RunError

Duration: TypeAlias = int | str
"""``500`` updates, or a text with its unit: ``"5%"``, ``"10ep"``, ``"2e9tok"``, ``"1h30m"``."""

Clock: TypeAlias = Literal["updates", "samples", "tokens", "seconds"]
CLOCKS: tuple[str, ...] = get_args(Clock)

_NUMBER = r"\d++(?:\.\d++)?+(?:[eE][+-]?\d{1,3})?"
# compiled when a text is first read, which takes longer than all else here
_AMOUNT = rf"({_NUMBER})\s*+([a-z%]*+)"
_TIME = rf"(?:({_NUMBER})d)?(?:({_NUMBER})h)?(?:({_NUMBER})m(?:in)?)?(?:({_NUMBER})s)?"
_SECONDS_IN = (86_400, 3_600, 60, 1)
_UNITS = {
    "": "updates", "step": "updates", "steps": "updates", "updates": "updates",
    "%": "percent",
    "ep": "epochs", "epoch": "epochs", "epochs": "epochs",
    "sample": "samples", "samples": "samples",
    "tok": "tokens", "token": "tokens", "tokens": "tokens",
}  # fmt: skip
_LONGEST = 10**15
_LONGEST_TEXT = 200
"""Characters of a duration; no pattern is tried on more."""
_FORMS = "Write an int for updates, or '5%', '10ep', '2e9tok', '8192samples', '1h30m', 'rest'."
_PER_UPDATE = {
    "epochs": "steps_per_epoch",
    "samples": "samples_per_step",
    "tokens": "tokens_per_step",
    "seconds": "seconds_per_step",
}


def check_duration(duration: object) -> Duration:
    """Return ``duration`` if it has the form of one; it need not be measurable yet.

    Raises:
        RunError: It is a float, a bool, negative, or a text that names no known unit.

    Example:
        >>> check_duration("5%"), check_duration(500)
        ('5%', 500)
    """
    if isinstance(duration, str):
        _parse(duration)
        return duration
    if isinstance(duration, bool) or not hasattr(type(duration), "__index__"):
        raise RunError(
            f"{duration!r}: not a duration; a bare float is refused, because 1 and 1.0 would mean "
            f"two things. {_FORMS}"
        )
    count = int(duration.__index__())  # type: ignore[attr-defined]  # numpy and torch integers have it
    if not 0 <= count <= _LONGEST:
        raise RunError(f"{count}: a duration lies between 0 and {_LONGEST:.0e} updates. {_FORMS}")
    return count


@dataclass(frozen=True, kw_only=True)
class Run:
    """Facts about a training run; every duration is measured against them.

    Args:
        total_steps: Optimizer updates in the whole run.
        epochs: Passes over the data; with ``steps_per_epoch`` it gives ``total_steps``.
        steps_per_epoch: Optimizer updates in one epoch, after gradient accumulation.
        samples_per_step: Samples that one update uses, over all processes.
        tokens_per_step: Tokens that one update uses, over all processes.
        seconds_per_step: Expected seconds for one update.
        budget: Length of the whole run in the unit of another clock: ``"2h"``, ``"2e12tok"``.
        clock: What the schedule is a function of: ``"updates"``, ``"samples"``, ``"tokens"``,
            ``"seconds"``.
        lr: Base learning rate, for pictures and placeholders; an optimizer's own is used when
            bound.

    Raises:
        RunError: A number is not positive, or two of them contradict each other.

    Example:
        >>> run = Run(epochs=20, steps_per_epoch=500)
        >>> run.total_steps, run.measure("5%"), run.measure("2ep")
        (10000, 500, 1000)
    """

    total_steps: int | None = None
    epochs: int | None = None
    steps_per_epoch: int | None = None
    samples_per_step: float | None = None
    tokens_per_step: float | None = None
    seconds_per_step: float | None = None
    budget: str | None = None
    clock: Clock = "updates"
    lr: float | None = None

    def __post_init__(self) -> None:
        for name in ("total_steps", "epochs", "steps_per_epoch"):
            self._require_count(name)
        for name in ("samples_per_step", "tokens_per_step", "seconds_per_step"):
            self._require_positive(name)
        if self.lr is not None and not (_is_number(self.lr) and 0 <= self.lr < float("inf")):
            raise RunError(f"Run(lr={self.lr!r}): a base learning rate is finite and not negative.")
        if self.clock not in CLOCKS:
            raise RunError(
                f"Run(clock={self.clock!r}): no such clock. Use one of {', '.join(CLOCKS)}."
            )
        if self.budget is not None and _parse(self.budget)[1] in ("percent", "rest"):
            raise RunError(
                f"Run(budget={self.budget!r}): a budget has a unit of its own, like "
                f"'2h' or '2e12tok'."
            )
        self._agree_on_total()

    @property
    def length(self) -> int | None:
        """Length of the whole run in units of its clock, or ``None`` when it is not known."""
        if self.budget is not None:
            return _whole(self._in_clock_units(*_parse(self.budget), self.budget))
        if self.total_steps is None:
            return None
        return _whole(self._in_clock_units(Fraction(self.total_steps), "updates", "total_steps"))

    def measure(self, duration: Duration, *, who: str = "Run") -> int | None:
        """Turn a duration into whole clock units (updates, unless the run says otherwise).

        Args:
            duration: An int is updates; a text carries its unit. Halves round up.
            who: Named first in an error.

        Returns:
            The length, or ``None`` for ``"rest"``.

        Raises:
            RunError: The run lacks the fact that the unit needs.
        """
        amount = self.exactly(duration, who=who)
        return None if amount is None else _whole(amount)

    def exactly(self, duration: Duration, *, who: str = "Run") -> Fraction | None:
        """Do as :meth:`measure` does, without rounding: half of 5 updates is 5/2.

        Args:
            duration: An int is updates; a text carries its unit.
            who: Named first in an error.

        Raises:
            RunError: The run lacks the fact that the unit needs.

        Example:
            >>> Run(total_steps=5).exactly("50%"), Run(total_steps=5).measure("50%")
            (Fraction(5, 2), 3)
        """
        if isinstance(duration, int):
            return self._in_clock_units(Fraction(duration), "updates", str(duration), who)
        amount, unit = _parse(duration)
        if unit == "rest":
            return None
        if unit != "percent":
            return self._in_clock_units(amount, unit, duration, who)
        if self.length is None:
            raise RunError(
                f"{who}: {duration!r} is a share of the whole run, whose length is not known. Give "
                f"Run(total_steps=…)."
            )
        return amount * self.length / 100

    def to_dict(self) -> dict[str, Any]:
        """Return the facts that were given, as plain data."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: fact
            for name, fact in facts.items()
            if fact is not None and (name, fact) != ("clock", "updates")
        }

    def _in_clock_units(self, amount: Fraction, unit: str, text: str, who: str = "Run") -> Fraction:
        if unit == self.clock:
            return amount
        updates = amount if unit == "updates" else self._updates(amount, unit, text, who)
        if self.clock == "updates":
            return updates
        return updates * self._per_update(self.clock, text, who)

    def _updates(self, amount: Fraction, unit: str, text: str, who: str) -> Fraction:
        per_update = self._per_update(unit, text, who)
        return amount * per_update if unit == "epochs" else amount / per_update

    def _per_update(self, unit: str, text: str, who: str) -> Fraction:
        name = _PER_UPDATE[unit]
        fact = getattr(self, name)
        if fact is None:
            raise RunError(f"{who}: {text!r} needs to know {name}. Give Run({name}=…).")
        return Fraction(fact)

    def _require_count(self, name: str) -> None:
        count = getattr(self, name)
        if count is None:
            return
        if (
            isinstance(count, bool)
            or not hasattr(type(count), "__index__")
            or not 1 <= count <= _LONGEST
        ):
            raise RunError(
                f"Run({name}={repr(count)[:40]}): a whole number of at least 1 is needed. At most "
                f"{_LONGEST:.0e}."
            )
        object.__setattr__(self, name, int(count))

    def _require_positive(self, name: str) -> None:
        fact = getattr(self, name)
        if fact is not None and not (_is_number(fact) and 0 < fact < float("inf")):
            raise RunError(f"Run({name}={fact!r}): a positive, finite number is needed.")

    def _agree_on_total(self) -> None:
        if self.epochs is None or self.steps_per_epoch is None:
            return
        total = self.epochs * self.steps_per_epoch
        if self.total_steps is None:
            object.__setattr__(self, "total_steps", total)
        elif self.total_steps > total:
            raise RunError(
                f"Run(total_steps={self.total_steps}, epochs={self.epochs}, "
                f"steps_per_epoch={self.steps_per_epoch}): "
                f"{self.epochs} epochs hold only {total} updates. Give two of the three."
            )


def _parse(text: str) -> tuple[Fraction, str]:
    """Split a duration into amount and unit; raise with every known form when it has none."""
    plain = text.strip().lower()
    if len(plain) > _LONGEST_TEXT:
        raise RunError(f"{text[:40]!r}: too long to mean a duration. {_FORMS}")
    if plain == "rest":
        return Fraction(0), "rest"
    if (match := re.fullmatch(_AMOUNT, plain)) and match[2] in _UNITS:
        amount, unit = _amount(match[1], text), _UNITS[match[2]]
        if unit == "updates" and amount.denominator != 1:
            raise RunError(
                f"{text[:40]!r}: updates come whole. A share of the run is '5%'. {_FORMS}"
            )
        return amount, unit
    if plain and (match := re.fullmatch(_TIME, plain)):
        parts = zip(match.groups(), _SECONDS_IN, strict=True)
        return sum(
            (_amount(part, text) * size for part, size in parts if part), Fraction(0)
        ), "seconds"
    raise RunError(f"{text[:40]!r}: not a duration. {_FORMS}")


def _amount(digits: str, text: str) -> Fraction:
    if len(digits) > 40 or not float(digits) <= _LONGEST * 1e6:  # bounds the exact fraction below
        raise RunError(f"{text[:40]!r}: too long to mean a duration. {_FORMS}")
    return Fraction(digits)


def _whole(amount: Fraction) -> int:
    return int(amount + Fraction(1, 2))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
