"""What was read of another library's scheduler: what it does, and what it should do."""

from __future__ import annotations

__all__ = [
    "MAX_ROWS",
    "MAX_STEPS",
    "Ask",
    "NotImportable",
    "Imported",
    "in_plan",
    "number_of_setting",
    "pure",
    "table",
]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from warmdown.errors import ScheduleError
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import Rule, Scale, Schedule, Set, Table

Ask: TypeAlias = Callable[[int], Sequence[float]]
"""Gives each group's rate for an update, from the original itself."""
ByGroup: TypeAlias = Sequence[Rule]

MAX_ROWS = 10_000
"""Values that a table may hold; a plan is to be read by people."""
MAX_STEPS = 1_000_000
"""A foreign class knows no step but the next one; so many are walked, no more."""
_LARGEST = 10**15


class NotImportable(Exception):
    """The scheduler has no known form, or one that no shape of ours has; its values can still be walked."""


@dataclass(frozen=True)
class Imported:
    """What a scheduler does, and what its documentation says.

    Args:
        corrected: For each target one meaning a group: as documented.
        faithful: The same as the original does it, or ``None`` when that is the same.
        reason: Why the two part.
        total: Updates in the run, when the scheduler knows it.
        steps: Updates until its values rest or repeat, when it knows that.
        ask: The original's own rates, to hold the faithful ones against; ``None`` when it can only
            be walked.
        remarks: What else a person should know.
    """

    corrected: Mapping[str, ByGroup]
    faithful: Mapping[str, ByGroup] | None = None
    reason: str = ""
    total: int | None = None
    steps: int | None = None
    ask: Ask | None = None
    remarks: tuple[str, ...] = ()

    @property
    def done(self) -> Mapping[str, ByGroup]:
        """What the original does."""
        return self.corrected if self.faithful is None else self.faithful


def number_of_setting(settings: Mapping[str, Any], name: str, default: float) -> Any:
    """Return a number of another trainer's settings, or the default where there is none.

    Raises:
        ScheduleError: It is no finite number from 0 to 1e15.
    """
    value = settings.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise ScheduleError(
            f"{name}={describe(value)}: a number from 0 to {_LARGEST:.0e} is needed. "
            f"Mend the settings."
        )
    return value


def pure(groups: int, corrected: Rule, faithful: Rule | None = None, **rest: Any) -> Imported:
    """Return what was read of a scheduler that treats all groups alike."""
    done = None if faithful is None else {"lr": [faithful] * groups}
    return Imported({"lr": [corrected] * groups}, done, **rest)


def in_plan(targets: Mapping[str, ByGroup], total: int | None) -> Plan:
    """Return a plan of what was read; groups that follow the same are told once."""
    told: dict[str, Any] = {}
    for name, rules in targets.items():
        alike = all(rule == rules[0] for rule in rules)
        told[name] = rules[0] if alike else dict(enumerate(rules))
    return Plan.of(run=Run(total_steps=total), **told)


def table(rows: Sequence[Sequence[float]], bases: Sequence[float]) -> list[Rule]:
    """Return values that were asked for as data: factors where all groups have the same, else each group's own.

    Args:
        rows: For each update, one value a group.
        bases: Each group's base value.

    Raises:
        ScheduleError: There are too many different values in a row.
    """
    if all(bases):
        factors = [[value / base for value, base in zip(row, bases, strict=True)] for row in rows]
        if all(max(row) - min(row) <= 1e-12 * abs(row[0]) for row in factors):
            return [Scale(_held([row[0] for row in factors]))] * len(bases)
    return [Set(_held(list(column))) for column in zip(*rows, strict=True)]


def _held(values: Sequence[float]) -> Schedule:
    marks = [step for step, (before, now) in enumerate(pairwise(values), start=1) if before != now]
    if len(marks) > MAX_ROWS:
        raise ScheduleError(
            f"from_torch: {len(marks)} different values do not make a plan that can be read; a "
            f"table has {MAX_ROWS} at "
            "most. Give a smaller total_steps, or use the class itself by its class_path."
        )
    return Table(values=(values[0], *(values[mark] for mark in marks)), at=tuple(marks))
