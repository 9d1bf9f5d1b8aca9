"""What a picture shows: lines over one axis of steps, from a plan, a schedule, several of them, or a record."""

from __future__ import annotations

__all__ = ["Drawable", "Groups", "Line", "Mark", "Panel", "View", "view"]

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from warmdown.errors import RunError, ScheduleError
from warmdown.plan import Plan, Target
from warmdown.plot.formatting import count
from warmdown.plot.groups import Groups, bases_in, driven
from warmdown.plot.sampling import POINTS, Array, Function, sample, thinned
from warmdown.printable import printable
from warmdown.record import Record
from warmdown.run import Run
from warmdown.schedules import Phase, Scale, Schedule, Set

Drawable: TypeAlias = (
    "Plan | Schedule | Record | Mapping[str, Plan | Schedule | Scale | Set | Record]"
)
"""What can be drawn: a plan, a schedule (it drives ``lr``), a record, or several of them by name."""

_UNITS = {
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "betas[0]": "momentum",
    "betas[1]": "second beta",
}
_SHORTEST_RUN = 1000
"""Updates drawn when nobody says how long the run is."""
_LONGEST_WORD = 200
"""Characters of a name; the rest is cut off."""
MANY_PHASES = 100
"""More phases than these are neither shaded nor told one by one."""
_TIMES = ("steps", "every", "timescale", "up", "down", "at")
"""Fields of schedules that hold a time."""
_LARGEST = 1e300
"""Beyond it the height of an axis is no number any more; nothing that trains comes near."""


@dataclass(frozen=True, eq=False)
class Line:
    """One curve.

    Args:
        label: ``lr``, ``lr/decoder.*``, ``cosine: lr`` …
        unit: What its numbers are; lines of one unit share a panel.
        steps: Steps in rising order.
        values: The values there.
        phases: Named stretches.
        value: The exact value at any steps, or ``None`` for a recorded line.
        stop: Where the line ends: the length of its run.
    """

    label: str
    unit: str
    steps: Array
    values: Array
    phases: tuple[Phase, ...]
    value: Function | None
    stop: int

    @property
    def is_recorded(self) -> bool:
        """Whether it tells what was, not what is planned."""
        return self.value is None

    @property
    def is_stepped(self) -> bool:
        """Whether the value stands, and then stands elsewhere."""
        changes = int(np.count_nonzero(np.diff(self.values)))
        return 0 < changes < self.values.size / 10


@dataclass(frozen=True)
class Mark:
    """Something that happened: an event of a record.

    Args:
        step: When.
        text: What.
    """

    step: int
    text: str


@dataclass(frozen=True, eq=False)
class Panel:
    """The lines of one unit.

    Args:
        unit: ``learning rate``, ``weight decay``, ``loss`` …
        lines: At least one.
    """

    unit: str
    lines: tuple[Line, ...]

    @property
    def is_read_by_its_decades(self) -> bool:
        """Whether it belongs on a logarithmic axis: a recorded loss that falls to less than a thirtieth."""
        values = np.concatenate(
            [line.values for line in self.lines if line.is_recorded] or [np.zeros(1)]
        )
        return self.unit == "loss" and bool(0 < np.min(values) < np.max(values) / 30)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that all lines of the panel share (the planned ones, if any is); none when they differ."""
        planned = {line.phases for line in self.lines if not line.is_recorded}
        told = planned or {line.phases for line in self.lines}
        return told.pop() if len(told) == 1 else ()


@dataclass(frozen=True, eq=False)
class View:
    """Everything a picture shows.

    Args:
        panels: One for each unit.
        stop: Last step shown.
        clock: What the steps are: ``updates``, ``tokens`` …
        marks: What happened.
        notes: What a reader must know, as sentences.
    """

    panels: tuple[Panel, ...]
    stop: int
    clock: str = "updates"
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of all panels."""
        return tuple(line for panel in self.panels for line in panel.lines)


def view(
    given: Drawable,
    *,
    run: Run | None = None,
    record: Record | None = None,
    groups: Groups | None = None,
    points: int = POINTS,
) -> View:
    """Return what a picture of ``given`` shows.

    Args:
        given: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run; a plan's own are used when it is left out.
        record: What was really written, shown beside the plan.
        groups: Base values of each parameter group: ``{"unet": 1e-4, "embedding": {"lr": 1e-3}}``.
        points: Points of one line, about.

    Raises:
        ScheduleError: Nothing that can be drawn was given, or phases do not fit into the run.
        RunError: The run lacks a fact that a unit needs.
    """
    found = _Found([], [], [], "updates")
    sources = {**_by_name(given), **({} if record is None else {"recorded": record})}
    for name, source in sources.items():
        if isinstance(source, Record):
            found.add_record(source, "" if len(sources) == 1 else name, points)
        else:
            found.add_plan(source, name, run, record, groups, points)
    if not found.lines:
        raise ScheduleError("plot: there is nothing to draw: no target, and no row in the record.")
    stop = max(line.stop for line in found.lines)
    return View(
        _panels(found.lines),
        stop,
        found.clock,
        tuple(found.marks),
        tuple(dict.fromkeys(found.notes)),
    )


@dataclass
class _Found:
    """What a view is gathered from."""

    lines: list[Line]
    marks: list[Mark]
    notes: list[str]
    clock: str

    def add_plan(
        self,
        plan: Plan,
        name: str,
        run: Run | None,
        record: Record | None,
        groups: Groups | None,
        points: int,
    ) -> None:
        """Take in every number that a plan drives."""
        settled, note = _settled(plan, run)
        if record is not None and groups is None:
            groups = bases_in(record, settled)
        self.lines += _planned(settled, name, groups, points)
        self.notes += [note] if note else []
        self.clock = settled.run.clock

    def add_record(self, record: Record, name: str, points: int) -> None:
        """Take in every number that was recorded, and what happened."""
        phases = _recorded_phases(record)
        for target in record.targets():
            steps, values = (
                np.asarray(column, dtype=np.float64) for column in record.curve(target)
            )
            finite = np.abs(values) <= _LARGEST
            if not finite.all():
                first = count(steps[int(np.argmin(finite))])
                lost = int(np.count_nonzero(~finite))
                self.notes.append(f"{_word(target)}: not finite {lost} times, first at {first}.")
            if target != "phase" and finite.any():
                label = self._recorded_label(target, name)
                self.lines.append(
                    _recorded_line(label, target, steps[finite], values[finite], phases, points)
                )
        reasons = (
            Mark(row.step, _word(row.reason))
            for row in record
            if row.reason and row.target != "phase"
        )
        self.marks += dict.fromkeys(reasons)

    def _recorded_label(self, target: str, name: str) -> str:
        planned = {line.label.split("/")[0] for line in self.lines}
        if name == "recorded":
            return f"{target} (recorded)" if target.split("/")[0] in planned else target
        return f"{name}: {target}" if name else target


def _by_name(given: Any) -> dict[str, Plan | Record]:
    """Return plans and records by the name they carry in the picture; one alone needs none."""
    if isinstance(given, Record):
        return {"": given}
    if not isinstance(given, Mapping):
        return {"": _plan(given)}
    if _are_targets(given):
        return {"": Plan.of(**given)}
    return {
        str(name): one if isinstance(one, Record) else _plan(one) for name, one in given.items()
    }


def _plan(given: Any) -> Plan:
    if isinstance(given, Plan):
        return given
    if isinstance(given, Schedule | Scale | Set):
        return Plan.of(lr=given)
    raise ScheduleError(
        f"plot({type(given).__name__}): not something to draw. Give a plan, a schedule, a record, "
        f"or a dict of them."
    )


def _are_targets(given: Mapping[str, Any]) -> bool:
    """Whether the names are fields to be driven, and not names of candidates to compare."""
    named = any(
        name in _UNITS or isinstance(one, Scale | Set | Mapping) for name, one in given.items()
    )
    return named and not any(isinstance(one, Plan | Record) for one in given.values())


def _settled(plan: Plan, run: Run | None) -> tuple[Plan, str]:
    """Return the plan with every length known, and what had to be assumed."""
    facts = plan.run if run is None else run
    if facts.lr is None and plan.run.lr is not None:
        facts = replace(facts, lr=plan.run.lr)
    if facts.length is not None:
        return plan.over(facts), ""
    try:
        settled = plan.over(facts)
    except (ScheduleError, RunError):
        settled = plan
    if settled.length:
        return replace(settled, run=replace(facts, total_steps=settled.length)), ""
    assumed = max(_SHORTEST_RUN, 3 * _longest_time(plan))
    note = f"Drawn over {count(assumed)} updates, because the run has no length yet."
    return plan.over(replace(facts, total_steps=assumed)), note


def _longest_time(plan: Plan) -> int:
    schedules = [part for target in plan.targets for part in target.rule.schedules()]
    return max((time for schedule in schedules for time in _times(schedule)), default=0)


def _times(schedule: Schedule) -> Iterable[int]:
    for field in fields(schedule):
        value = getattr(schedule, field.name)
        if field.name in _TIMES:
            yield from (
                time
                for time in (value if isinstance(value, tuple) else (value,))
                if isinstance(time, int)
            )
    for part in schedule.parts():
        yield from _times(part)


def _planned(plan: Plan, name: str, bases: Groups | None, points: int) -> list[Line]:
    stop = plan.length or 0
    several = len(plan.targets) > 1
    lines = []
    for label, target, base in driven(plan, bases):
        full = label if not name else f"{name}: {label}" if several else name
        lines.append(_planned_line(full, target, base, stop, points))
    return lines


def _planned_line(label: str, target: Target, base: float | None, stop: int, points: int) -> Line:
    def value(steps: Array) -> Any:
        return target.rule.value(steps, 1.0 if base is None else base)

    phases = _phases(target, stop)
    unit = unit_of(target.name)
    if base is None and isinstance(target.rule, Scale):
        unit += " (× base)"
    with np.errstate(all="ignore"):  # what is too large is told below
        steps, values = sample(value, stop, (phase.start for phase in phases), points)
    beyond = np.flatnonzero(~(np.abs(values) <= _LARGEST))
    if beyond.size:
        raise ScheduleError(
            f"plot: {label} is {values[beyond[0]]:.0e} at update {count(steps[beyond[0]])}: too "
            f"large to draw. "
            "Give it smaller parameters."
        )
    return Line(_word(label), _word(unit), steps, values, phases, value, stop)


def unit_of(name: str) -> str:
    """Return the words for a field's unit: ``lr`` is a learning rate."""
    return _UNITS.get(name, "loss" if "loss" in name else name.replace("_", " "))


def _phases(target: Target, stop: int) -> tuple[Phase, ...]:
    """Return the phases inside the run, and the stretch after the last one."""
    told = target.rule.schedules()[0].phases()
    ended = [
        Phase(_word(p.name), p.start, stop if p.stop is None else min(p.stop, stop))
        for p in told
        if p.start < stop
    ]
    last = max((phase.stop or 0 for phase in ended), default=0)
    held = [Phase("held", last, stop)] if last < stop and ended else []
    return (*ended, *held)


def _recorded_line(
    label: str, target: str, steps: Array, values: Array, phases: tuple[Phase, ...], points: int
) -> Line:
    order = np.argsort(steps, kind="stable")
    steps, values = thinned(steps[order], values[order], points)
    return Line(
        _word(label),
        _word(unit_of(target.split("/")[0])),
        steps,
        values,
        phases,
        None,
        int(steps[-1]),
    )


def _recorded_phases(record: Record) -> tuple[Phase, ...]:
    """Return the phases that the rows called ``phase`` name, each up to the next."""
    named = [(row.step, row.reason) for row in record if row.target == "phase" and row.reason]
    begun = [
        row for row, before in zip(named, [(0, ""), *named], strict=False) if row[1] != before[1]
    ]
    end = max((row.step for row in record), default=0)
    return tuple(
        Phase(_word(name), start, stop)
        for (start, name), (stop, _) in pairwise([*begun, (end, "")])
    )


def _word(text: str) -> str:
    """Return a name or a reason as one line that any picture can show, short enough to be read."""
    word = printable(text, as_line=True)
    return word if len(word) <= _LONGEST_WORD else f"{word[: _LONGEST_WORD - 1]}…"


def _panels(lines: list[Line]) -> tuple[Panel, ...]:
    units = dict.fromkeys(line.unit for line in lines)
    return tuple(Panel(unit, tuple(line for line in lines if line.unit == unit)) for unit in units)
