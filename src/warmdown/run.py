"""How long a run is, and how a duration becomes a number of clock units."""

from __future__ import annotations

__all__ = ["CLOCKS", "Clock", "Duration", "Run", "RunLike", "check_duration", "run_of"]

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from warmdown.errors import ClearArguments, RunError, WarmdownError, nearest, shortly
from warmdown.shown import code_of

Duration: TypeAlias = int | str
"""``500`` updates, or a text with its unit: ``"5%"``, ``"10ep"``, ``"2e9tok"``, ``"1h30m"``."""

Length: TypeAlias = int | None
"""Units of the clock; ``None`` where there is no end, or none is known yet."""

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
PER_UPDATE = {
    "epochs": "steps_per_epoch",
    "samples": "samples_per_step",
    "tokens": "tokens_per_step",
    "seconds": "seconds_per_step",
}
"""The fact that tells how much of a unit one update takes."""


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
        raise RunError(_of_no_duration(duration))
    # numpy and torch integers have it, too
    count = int(duration.__index__())  # type: ignore[attr-defined]
    if not 0 <= count <= _LONGEST:
        raise RunError(f"{count}: a duration lies between 0 and {_LONGEST:.0e} updates. {_FORMS}")
    return count


def _of_no_duration(value: object) -> str:
    if not (isinstance(value, float) and _is_finite(value) and value >= 0):
        return f"{shortly(value)}: not a duration. {_FORMS}"
    share = f"'{100 * value:.10g}%' for a share of the run"
    count = f"{value:.0f} for updates" if value.is_integer() else "an int for updates"
    return (
        f"{value!r}: not a duration; a bare float is refused, because it could mean two things. "
        f"Write {share}, or {count}. {_FORMS}"
    )


@dataclass(frozen=True, kw_only=True)
class Run(metaclass=ClearArguments):
    """Facts about a training run; every duration is measured against them.

    Args:
        total_steps: Optimizer updates in the whole run; its name may be left out.
        epochs: Passes over the data; with ``steps_per_epoch`` it gives ``total_steps``.
        steps_per_epoch: Optimizer updates in one epoch, after gradient accumulation.
        samples_per_step: Samples that one update uses, over all processes.
        samples_per_epoch: Samples in one epoch; where a schedule changes the batch, it gives the
            updates.
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

    of_arguments: ClassVar[type[WarmdownError]] = RunError
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}  # it ignores, by default

    total_steps: int | None = field(default=None, kw_only=False)
    epochs: int | None = None
    steps_per_epoch: int | None = None
    samples_per_step: float | None = None
    samples_per_epoch: int | None = None
    tokens_per_step: float | None = None
    seconds_per_step: float | None = None
    budget: str | None = None
    clock: Clock = "updates"
    lr: float | None = None

    __repr__ = code_of

    def __post_init__(self) -> None:
        for name in ("total_steps", "epochs", "steps_per_epoch", "samples_per_epoch"):
            self._require_count(name)
        for name in ("samples_per_step", "tokens_per_step", "seconds_per_step"):
            self._require_positive(name)
        if self.lr is not None and not (_is_finite(self.lr) and self.lr >= 0):
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
    def length(self) -> Length:
        """Length of the whole run in units of its clock, or ``None`` when it is not known."""
        name = "total_steps" if self.budget is None else "budget"
        fact: Duration | None = getattr(self, name)
        if fact is None and self.epochs and self.samples_per_epoch and self.samples_per_step:
            fact = f"{self.epochs}ep"
        return None if fact is None else self.measure(fact, who=f"Run({name})")

    def measure(self, duration: Duration, *, who: str = "Run") -> Length:
        """Turn a duration into whole clock units (updates, unless the run has another clock).

        Args:
            duration: An int is updates; a text carries its unit. Halves round up.
            who: Named first in an error.

        Returns:
            The length, or ``None`` for ``"rest"``.

        Raises:
            RunError: The run lacks the fact that the unit needs.
        """
        amount = self.exactly(duration, who=who)
        return None if amount is None else int(amount + Fraction(1, 2))

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
            amount, unit = Fraction(duration), "updates"
        else:
            amount, unit = _parse(duration)
        if unit == "rest":
            return None
        if unit == self.clock:
            return amount
        label = f"{who}: {str(duration)!r}"
        if unit != "percent":
            return self.convert(amount, unit, label)
        if self.length is None:
            raise RunError(
                f"{label} is a share of the whole run, whose length is not known. Give "
                "Run(total_steps=…)."
            )
        return amount * self.length / 100

    @property
    def is_even(self) -> bool:
        """Whether a length is the same wherever it begins: every update uses as much data."""
        return True

    @property
    def is_before(self) -> bool:
        """Whether a length that is measured ends with the run's place, and does not begin there."""
        return False

    def shifted(self, by: float) -> Run:
        """Return the run for lengths that begin, or end, so much later."""
        return self

    def ending_at(self, step: float) -> Run:
        """Return the run for lengths that end at a step."""
        return self

    def convert(self, amount: Fraction, unit: str, label: str) -> Fraction:
        """Return an amount of a unit in units of the clock.

        Raises:
            RunError: The run lacks the fact that the unit needs.
        """
        return amount * self._updates_in(unit, label) / self._updates_in(self.clock, label)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts that were given, as plain data."""
        facts = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: fact for field, fact in facts if fact != field.default}

    def _updates_in(self, unit: str, label: str) -> Fraction:
        if unit == "updates":
            return Fraction(1)
        name = PER_UPDATE[unit]
        fact = getattr(self, name)
        if fact is None and unit == "epochs" and self.samples_per_epoch and self.samples_per_step:
            fact = -(-self.samples_per_epoch // Fraction(self.samples_per_step))
        if fact is None:
            raise RunError(f"{label} needs to know {name}. Give Run({name}=…).")
        return Fraction(fact) if unit == "epochs" else 1 / Fraction(fact)

    def _require_count(self, name: str) -> None:
        count = getattr(self, name)
        if count is None:
            return
        # no share of a run is meant by such a float, so that it is a count: 1e4
        is_float = isinstance(count, float) and count.is_integer()
        is_index = hasattr(type(count), "__index__") and not isinstance(count, bool)
        if not (is_float or is_index) or not 1 <= count <= _LONGEST:
            raise RunError(
                f"Run({name}={repr(count)[:40]}): a whole number of at least 1 is needed. At most "
                f"{_LONGEST:.0e}."
            )
        object.__setattr__(self, name, int(count))

    def _require_positive(self, name: str) -> None:
        fact = getattr(self, name)
        if fact is not None and not (_is_finite(fact) and fact > 0):
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


RunLike: TypeAlias = "Run | int | float | Mapping[str, Any]"
"""A run, its number of updates, or its facts by name."""


def run_of(given: RunLike | None, who: str = "run", **facts: Any) -> Run:
    """Return the run that is meant; ``facts`` go before what is given.

    Args:
        given: A run, its number of updates, its facts by name, or ``None`` for none.
        who: Named first in an error.
        facts: Facts by name; one that is ``None`` is left out.

    Raises:
        RunError: It is no run, or a fact is none.

    Example:
        >>> run_of(1000), run_of({"epochs": 2, "steps_per_epoch": 5}).total_steps
        (Run(total_steps=1000), 10)
    """
    known = {name: fact for name, fact in facts.items() if fact is not None}
    if isinstance(given, Run):
        for name, fact in known.items():
            own = getattr(given, name, None)
            if own is not None and own != fact:
                raise RunError(
                    f"{who}(run={given!r}, {name}={shortly(fact)}): the run has {name}={own!r}. "
                    "Give it once."
                )
        return replace(given, **known) if known else given
    if given is None:
        return Run(**known)
    if isinstance(given, Mapping):
        for name in given:
            if name not in Run.__dataclass_fields__:
                word = str(name)
                raise RunError(
                    f"{who}({word}=…): a run has no such fact. "
                    f"{nearest(word, Run.__dataclass_fields__)}"
                )
        return Run(**{**given, **known})
    is_number = isinstance(given, float) or hasattr(type(given), "__index__")
    if is_number and not isinstance(given, bool):
        return Run(**{"total_steps": given, **known})
    raise RunError(
        f"{who}({shortly(given)}): a run is needed. Give Run(total_steps=…), the number of its "
        "updates, or its facts by name: {'epochs': 10, 'steps_per_epoch': 500}."
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
        parts = zip(match.groups("0"), _SECONDS_IN, strict=True)
        return sum((_amount(part, text) * size for part, size in parts), Fraction(0)), "seconds"
    raise RunError(f"{text[:40]!r}: not a duration. {_FORMS}")


def _amount(digits: str, text: str) -> Fraction:
    if len(digits) > 40 or not float(digits) <= _LONGEST * 1e6:  # bounds the exact fraction below
        raise RunError(f"{text[:40]!r}: too long to mean a duration. {_FORMS}")
    return Fraction(digits)


def _is_finite(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < float("inf")  # type: ignore[arg-type]
