"""What was read of another library's scheduler: what it does, and what it should do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

from warmdown.errors import ScheduleError
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.schedules import PiecewiseConstant, Rule, Scale, Schedule, Set
from warmdown.shown import brief

Ask: TypeAlias = Callable[[int], Sequence[float]]
"""Returns each group's rate for an update, from the original itself."""
ByGroup: TypeAlias = Sequence[Rule]
ByTarget: TypeAlias = Mapping[str, ByGroup]

MAX_ROWS = 10_000
"""Values that a table may have; a plan is to be read by people."""
_TOO_MANY = (
    "from_torch: {} different values do not make a plan that can be read; a "
    f"table has {MAX_ROWS} at most. Give a smaller total_steps, or use the class itself by its "
    "class_path."
)
MAX_STEPS = 1_000_000
"""A foreign class has no step but the next one; so many are walked, no more."""


class NotImportable(Exception):
    """The scheduler has no known form, or one that no shape of ours has; it can be walked."""


@dataclass(frozen=True)
class Imported:
    """What a scheduler does, and what it documents.

    Args:
        corrected: For each target one rule a group: as documented.
        faithful: The same as the original does it, or ``None`` when that is the same.
        reason: Why the two part.
        total: Updates in the run, when the scheduler has that number.
        lag: Updates by which the original ends later than it documents.
        steps: Updates until its values stay or repeat, when that is known.
        ask: The original's own rates, to check the faithful ones against; ``None`` when it can only
            be walked.
        remarks: What else a person should know.
    """

    corrected: ByTarget
    faithful: ByTarget | None = None
    reason: str = ""
    total: int | None = None
    lag: int = 0
    steps: int | None = None
    ask: Ask | None = None
    remarks: tuple[str, ...] = ()

    __repr__ = brief

    @property
    def original(self) -> ByTarget:
        """What the original does."""
        return self.corrected if self.faithful is None else self.faithful


def uniform(groups: int, corrected: Rule, faithful: Rule | None = None, **rest: Any) -> Imported:
    """Return what was read of a scheduler that treats all groups alike; its shape is as long."""
    original = None if faithful is None else {"lr": [faithful] * groups}
    facts = {"steps": corrected.of.length, **rest}
    return Imported({"lr": [corrected] * groups}, original, **facts)


def to_plan(targets: ByTarget, run: Run) -> Plan:
    """Return a plan of what was read; a rule that all groups share stands there once.

    What is longer than the run is cut off at its end, so that the plan can be used as it is.
    """
    rules: dict[str, Any] = {}
    for name, of_group in targets.items():
        fitted = [_cut_off(rule, run) for rule in of_group]
        is_shared = all(rule == fitted[0] for rule in fitted)
        rules[name] = fitted[0] if is_shared else dict(enumerate(fitted))
    return Plan.of(run=run, **rules)


def _cut_off(rule: Rule, run: Run) -> Rule:
    end = run.total_steps
    if end is None:
        return rule

    def cut(schedule: Schedule) -> Schedule:
        try:
            schedule.over(run)
        except ScheduleError:
            return schedule.take(end)
        return schedule

    if isinstance(rule, Set):
        return Set(cut(rule.of))
    return replace(rule, of=cut(rule.of), offset=rule.offset and cut(rule.offset))


def tabulate(rows: Sequence[Sequence[float]], bases: Sequence[float]) -> list[Rule]:
    """Return values as data: factors where all groups have the same, else each group's values.

    Args:
        rows: For each update, one value a group.
        bases: Each group's base value.

    Raises:
        ScheduleError: There are too many different values in a row.
    """
    if all(bases):
        factors = [[value / base for value, base in zip(row, bases, strict=True)] for row in rows]
        if all(max(row) - min(row) <= 1e-12 * abs(row[0]) for row in factors):
            return [Scale(stairs([row[0] for row in factors]))] * len(bases)
    return [Set(stairs(column)) for column in zip(*rows, strict=True)]


def stairs(values: Sequence[float], *, every: int = 1, refusal: str = _TOO_MANY) -> Schedule:
    """Return stairs with a value for every so many updates.

    Args:
        values: In their order, at least one.
        every: Updates for which each holds.
        refusal: The error of a table that is too long, with a place for its number of values.

    Raises:
        ScheduleError: There are too many different values in a row.
    """
    marks = [step for step, (before, now) in enumerate(pairwise(values), start=1) if before != now]
    if len(marks) > MAX_ROWS:
        raise ScheduleError(refusal.format(len(marks)))
    chosen = (values[0], *(values[mark] for mark in marks))
    return PiecewiseConstant(values=chosen, at=tuple(mark * every for mark in marks))
