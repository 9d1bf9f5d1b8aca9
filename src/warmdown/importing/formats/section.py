"""What every reader of a configuration uses: its parts, the run, plans of a rate."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from warmdown.errors import ScheduleError, nearest
from warmdown.importing.imported import stairs, to_plan
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import Rule, Scale, Schedule, Set

Settings: TypeAlias = Mapping[str, Any]
_WORD = re.compile(r"[a-z]+")
_OF_CURVES = {"warmup", "scheduler", "schedule", "anneal", "annealing", "cooldown", "restart",
              "min", "max", "end", "init", "initial", "start", "final", "base", "peak", "decay",
              "power", "cycles", "milestones", "gamma"}  # fmt: skip
_OF_RATES = {"lr", "warmup", "scheduler", "schedule", "anneal", "annealing", "cooldown"}
"""Words in the name of a setting that moves the rate."""
_OF_OTHERS = {"noise", "beta", "ddpm", "diffusion", "profiler"}
"""Words in the name of another schedule."""


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """What the caller knows of the run, where a file does not have it.

    Args:
        total_steps: Updates in the run.
        steps_per_epoch: Updates in an epoch.
        epochs: Epochs in the run.
        lr: Base learning rate.
        options: ``mode``, ``report`` and ``allow``, as of ``from_torch``.
        read_class: Returns the plan of a scheduler's class, with these options.
    """

    total_steps: int | None = None
    steps_per_epoch: int | None = None
    epochs: int | None = None
    lr: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    read_class: Callable[..., Plan]

    def tell(self, line: str) -> None:
        """Give a line to the report."""
        if report := self.options.get("report"):
            report(line)

    def updates(self, epochs: float | None = None) -> int:
        """Return the updates of the run, or of so many epochs.

        Raises:
            ScheduleError: They are not known.
        """
        if epochs is None and self.total_steps is not None:
            return self.total_steps
        epochs = self.epochs if epochs is None else epochs
        if epochs is None:
            raise ScheduleError(
                "warmdown import: the file does not tell how many updates there are. Give "
                "--total-steps."
            )
        if self.steps_per_epoch is None:
            raise ScheduleError(
                "warmdown import: the file counts in epochs. Give --steps-per-epoch."
            )
        return round(epochs * self.steps_per_epoch)


class Section:
    """A part of a file: what is not asked for by its name is refused at the end.

    Args:
        who: The format, and where the part stands, for an error.
        entries: The part.
        meaningless: Keys that do not change the rate.
    """

    def __init__(self, who: str, entries: Any, meaningless: Iterable[str] = ()) -> None:
        if not isinstance(entries, Mapping):
            raise ScheduleError(f"{who}={describe(entries)}: a mapping is needed.")
        self.who, self.entries = who, entries
        self._asked = {*meaningless}

    def raw(self, name: str, default: Any = None) -> Any:
        """Return an entry as it stands there."""
        self._asked.add(name)
        given = self.entries.get(name, default)
        return default if given is None else given

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number.

        Raises:
            ScheduleError: It is none, or it is missing and needed.
        """
        given = self.raw(name, default)
        value = whole(given)
        if given is None:
            raise ScheduleError(f"{self.who}.{name}: it is missing. Give it.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            auto = " Give the number that it stands for." if given == "auto" else ""
            raise ScheduleError(f"{self.who}.{name}={describe(given)}: a number is needed.{auto}")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """Return a whole number from 0.

        Raises:
            ScheduleError: It is none, or it is missing and needed.
        """
        value = self.number(name, default)
        if value < 0 or value != int(value):
            raise ScheduleError(f"{self.who}.{name}={value!r}: a whole number from 0 is needed.")
        return int(value)

    def numbers(self, name: str, default: Sequence[float] | None = None) -> list[float]:
        """Return a list of numbers, written as a tuple perhaps.

        Raises:
            ScheduleError: It is none.
        """
        given = self.raw(name, default)
        if isinstance(given, str):
            try:
                given = ast.literal_eval(given)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                given = None
        values: list[Any] = (
            [whole(one) for one in given] if isinstance(given, list | tuple) else [None]
        )
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
            found = describe(self.entries.get(name))
            raise ScheduleError(f"{self.who}.{name}={found}: a list of numbers is needed.")
        return values

    def name(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        """Return an entry that is one of these names.

        Raises:
            ScheduleError: It is another.
        """
        given = str(self.raw(key, default))
        if given not in (names := list(known)):
            raise ScheduleError(f"{self.who}.{key}={given!r}: {nearest(given, names)}")
        return given

    def part(self, name: str, meaningless: Iterable[str] = ()) -> Section:
        """Return a part of this part; one that is missing is empty."""
        return Section(f"{self.who}.{name}", self.raw(name, {}), meaningless)

    def refuse_rest(self) -> None:
        """Refuse what was not asked for.

        Raises:
            ScheduleError: Something is left that may change the rate.
        """
        for name, value in self.entries.items():
            if name not in self._asked and value is not None:
                raise ScheduleError(
                    f"{self.who}.{name}={describe(value)}: this setting cannot be imported. Take "
                    "it out, or write the plan by hand."
                )


def refuse_rates(who: str, settings: Settings, asked: Iterable[str], known: KnownRun) -> None:
    """Refuse what was not asked for in a whole file, where its name is one of a rate.

    The rate of other groups is reported: a plan scales each group's own.

    Raises:
        ScheduleError: Such a setting is left.
    """
    for name, value in settings.items():
        words = set(_WORD.findall(str(name).lower().replace("learning_rate", "lr")))
        is_of_rate = words & _OF_RATES and not words & _OF_OTHERS
        if name in {*asked} or not value or not is_of_rate:
            continue
        if not words & _OF_CURVES and "lr" in words:
            known.tell(f"{name}={describe(value)}: give it to the optimizer's group.")
            continue
        raise ScheduleError(
            f"{who}.{name}={describe(value)}: this setting cannot be imported. Take it out, or "
            "write the plan by hand."
        )


def rate_plan(rule: Schedule | Rule, total: int, lr: float | None) -> Plan:
    """Return the plan of a rate; what is longer than the run is cut off."""
    made = rule if isinstance(rule, Scale | Set) else Scale(rule)
    return to_plan({"lr": [made]}, Run(total_steps=total, lr=lr))


def part_plan(rule: Rule, total: int, lr: float | None, parts: Mapping[str, float]) -> Plan:
    """Return the plan of a rate that some groups follow from a base of their own.

    Args:
        rule: What all follow.
        total: Updates in the run.
        lr: Base rate of the other groups.
        parts: Base rate of a group by its name; one that is ``lr`` needs no target of its own.
    """
    plan = rate_plan(rule, total, lr)
    others = {name: rate for name, rate in parts.items() if rate != lr}
    if not others:
        return plan
    if lr is None:
        raise ScheduleError(f"{next(iter(others))}: its rate is beside a base rate. Give --lr.")
    shared = plan.targets[0].rule

    def of_base(rate: float) -> Set:
        if isinstance(shared, Set):
            return Set(shared.of * (rate / lr))
        return Set(shared.of * rate if shared.offset is None else shared.of * rate + shared.offset)

    rules = {name: of_base(rate) for name, rate in others.items()}
    return Plan.of(run=plan.run, lr={**rules, "*": shared})


def stairs_of(rule: Rule, count: int, every: int) -> Rule:
    """Return a rule that goes on by a step once in so many updates, as a rate of epochs does."""
    if every == 1:
        return rule

    def by_epoch(curve: Schedule) -> Schedule:
        values = np.asarray(curve(np.arange(float(count))), dtype=np.float64)
        return value_table(values.tolist(), every=every)

    if isinstance(rule, Set):
        return Set(by_epoch(rule.of))
    return replace(rule, of=by_epoch(rule.of), offset=rule.offset and by_epoch(rule.offset))


def in_turn(*parts: Schedule) -> Schedule:
    """Return parts one after the other; those without a step are left out."""
    kept = [part for part in parts if getattr(part, "steps", 1) != 0] or [parts[-1]]
    whole_schedule = kept[0]
    for part in kept[1:]:
        whole_schedule = whole_schedule >> part
    return whole_schedule


def value_table(values: Sequence[float], every: int = 1) -> Schedule:
    """Return stairs with a value for every so many updates.

    Raises:
        ScheduleError: There are too many different ones.
    """
    refusal = "warmdown import: a table of {} values is too long."
    return stairs(values, every=every, refusal=refusal)
