"""What a picture shows: lines over one axis, from plans, schedules or records."""

from __future__ import annotations

__all__ = [
    "Drawable",
    "Groups",
    "Line",
    "Mark",
    "Panel",
    "Stroke",
    "View",
    "planned_line",
    "unit_of",
    "view",
]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, pairwise
from operator import itemgetter
from os import PathLike
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypedDict

import numpy as np

from warmdown.errors import RunError, ScheduleError, printable, shortly
from warmdown.formatting import count, shortened
from warmdown.plan import Plan, Target, instead_of
from warmdown.plot.axis import Axis
from warmdown.plot.groups import Groups, bases_in, driven
from warmdown.record import Record
from warmdown.registry import Pictured
from warmdown.run import Run, RunLike, run_of
from warmdown.schedules import Phase, Scale, Schedule, Set
from warmdown.schedules.base import Phases
from warmdown.schedules.sampling import (
    POINTS,
    Array,
    Function,
    Totals,
    sample,
    thinned,
    totals,
)
from warmdown.shown import brief

Targets: TypeAlias = Mapping[str, Scale | Set]
"""What a recipe of several targets returns."""
Drawable: TypeAlias = (
    "View | Plan | Schedule | Record"
    " | Mapping[str, Plan | Schedule | Scale | Set | Record | Targets]"
)
"""What can be drawn: a plan, a schedule (for ``lr``), a record, several of them by name, a view."""
CellRows: TypeAlias = "tuple[list[str], list[list[str]]]"
"""Heads and rows of a table."""

_UNITS = {
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "betas[0]": "momentum",
    "betas[1]": "second beta",
}
_SHORTEST_RUN = 1000
"""Updates drawn when the run has no length."""
_RECORDED = " (recorded)"
_LONGEST_NAME = 200
"""Characters of a name; the rest is cut off."""
MANY_PHASES = 100
"""More phases than these are neither shaded nor listed one by one."""
_TIMES = ("steps", "every", "timescale", "up", "down", "at")
"""Fields of schedules that contain a time."""
_WORDS_OF_DATA = ("kind", "class_path", "run")
"""Keys of a schedule's or a plan's data; a plan or a record may be called so, too."""
_LARGEST = 1e300
"""Beyond it the height of an axis overflows; nothing that trains comes near."""


@dataclass(frozen=True, eq=False)
class Line:
    """One curve.

    Args:
        label: ``lr``, ``lr/decoder.*``, ``cosine: lr`` …
        unit: What its numbers are; lines of one unit share a panel.
        steps: Where its points stand: steps, or other numbers, in rising order.
        values: The values there; a point that is not finite leaves a gap.
        phases: Named stretches.
        value: The exact value at any steps, or ``None`` where only the points are known.
        low: Lower edge of its band, or ``None``.
        high: Upper edge, or ``None``.
        is_recorded: Whether the values were written by a run and not planned.
        is_background: Whether it stands behind the others, as raw points do behind their mean.
        run: Name of the plan or run that it belongs to, where several are compared.
    """

    label: str
    unit: str
    steps: Array
    values: Array
    phases: tuple[Phase, ...] = ()
    value: Function | None = None
    low: Array | None = None
    high: Array | None = None
    is_recorded: bool = False
    is_background: bool = False
    run: str = ""

    __repr__ = brief

    @property
    def target(self) -> str:
        """Return its label without the names of its run and its origin."""
        return self.label.removeprefix(f"{self.run}: ").removesuffix(_RECORDED)

    @property
    def stop(self) -> int:
        """Return the last step."""
        return int(self.steps[-1])

    @cached_property
    def totals(self) -> Totals:
        """Return lowest and highest value, and the sum over all updates.

        Where only the points are known, the sum is the area under them.
        """
        if self.value is None:
            low, high = int(self.values.argmin()), int(self.values.argmax())
            return Totals(
                float(self.values[low]),
                int(self.steps[low]),
                float(self.values[high]),
                int(self.steps[high]),
                float(np.trapezoid(self.values, self.steps)),
                is_exact=False,
            )
        return totals(self.value, self.stop, (phase.start for phase in self.phases))

    def at(self, step: int) -> float:
        """Return its exact value, or for a recorded one the value last written."""
        if self.value is not None:
            return float(self.value(np.asarray(float(step))))
        before = np.searchsorted(self.steps, step, side="right") - 1
        return float(self.values[before]) if before >= 0 else float("nan")

    def zoomed(self, low: int, high: int, points: int = POINTS) -> Line:
        """Return the line with the points of a window evaluated again; the others stay.

        Args:
            low: First step of the window.
            high: Last step.
            points: Points inside it, about.
        """
        low, high, value = max(low, 0), min(high, self.stop), self.value
        if value is None or low >= high:
            return self
        borders = (phase.start - low for phase in self.phases if low < phase.start < high)
        steps, values = sample(lambda at: value(at + low), high - low, borders, points)
        before, after = self.steps < low, self.steps > high
        return replace(
            self,
            steps=np.concatenate([self.steps[before], steps + low, self.steps[after]]),
            values=np.concatenate([self.values[before], values, self.values[after]]),
        )

    @property
    def is_stepped(self) -> bool:
        """Whether the value is constant between few jumps."""
        changes = int(np.count_nonzero(np.diff(self.values)))
        return 0 < changes < self.values.size / 10


class Stroke(NamedTuple):
    """How a line is drawn.

    Args:
        hue: Which colour, from 0: one run has one colour in every panel.
        dash: Which dash, from 0: it distinguishes the lines of one colour.
        is_faint: Whether it is the plan behind its own record.
    """

    hue: int
    dash: int
    is_faint: bool = False


@dataclass(frozen=True)
class Mark:
    """A place on the horizontal axis with a text: an event of a record, a rate that is suggested.

    Args:
        step: The place.
        text: What happened, or what it is.
    """

    step: float
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

    __repr__ = brief

    @property
    def spans_decades(self) -> bool:
        """Whether it is a recorded loss that falls below a thirtieth: its axis is logarithmic."""
        recorded = [line.values for line in self.lines if line.is_recorded]
        if self.unit != "loss" or not recorded:
            return False
        values = np.concatenate(recorded)
        return bool(0 < values.min() < values.max() / 30)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return the phases that all (planned) lines share; none when the lines differ."""
        planned = {line.phases for line in self.lines if not line.is_recorded}
        phases = planned or {line.phases for line in self.lines}
        return phases.pop() if len(phases) == 1 else ()

    def heights(self, *, is_cropped: bool) -> list[Array]:
        """Return the finite values of each line; ``is_cropped`` cuts off the last burst of a loss.

        A burst goes further above the lowest value than 1.6 times the fall from the beginning, as
        the loss of a range test does when training diverges.
        """
        heights = [line.values[np.isfinite(line.values)] for line in self.lines]
        known = [values for values in heights if values.size]
        if not is_cropped or not known or "loss" not in self.unit:
            return heights
        low = min(values.min() for values in known)
        first = max(values[0] for values in known)
        top = low + 1.6 * (first - low) if first > low else np.inf
        return [np.minimum(values, top) for values in heights]


@dataclass(frozen=True, eq=False, kw_only=True)
class View(Pictured):
    """Everything that a picture shows; each function of this room that draws also takes one.

    Args:
        lines: At least one.
        x: What the horizontal axis is: ``updates``, ``tokens``, ``learning rate`` …
        marks: Places on the horizontal axis.
        notes: What a reader must know, as sentences.
        log_x: Whether the horizontal axis is logarithmic.
        is_cropped: Whether a burst at the end of a loss is cut off.
        title: Heading.
        text: The picture in words, in place of those that :func:`summary` would find.
        tables: Tables below the picture of a page, by caption, in place of phases and values.

    Example:
        >>> losses = Line("loss", "loss", np.array([1e-3, 1e-2, 0.1]), np.array([2.0, 1.0, 3.0]))
        >>> View(lines=(losses,), x="learning rate", log_x=True).axis
        Axis(low=0.001, high=0.1, log=True)
    """

    lines: tuple[Line, ...]
    x: str = "updates"
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    log_x: bool = False
    is_cropped: bool = False
    title: str = ""
    text: str = ""
    tables: Mapping[str, CellRows] = field(default_factory=lambda: MappingProxyType({}))

    __repr__ = brief

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Return one panel for each unit."""
        lines: dict[str, tuple[Line, ...]] = {}
        for line in self.lines:
            lines[line.unit] = (*lines.get(line.unit, ()), line)
        return tuple(map(Panel, lines.keys(), lines.values()))

    def strokes(self, panel: Panel) -> list[Stroke]:
        """Return how each line of a panel is drawn.

        Where several runs are compared, each has its colour in every panel, and what was recorded
        of one run differs by its dash; else each target has its colour. A plan stands faint behind
        its own record.
        """
        runs = list(dict.fromkeys(line.run for line in self.lines))
        named = [(line.run, line.target) for line in panel.lines if not line.is_background]
        targets = list(dict.fromkeys(target for _, target in named))
        splits: dict[str, list[str]] = {}
        for run, target in named:
            splits.setdefault(run, []).append(target)
        recorded = {(line.run, line.target) for line in panel.lines if line.is_recorded}
        strokes = []
        for line in panel.lines:
            if line.is_background:
                strokes.append(Stroke(0, 0))
                continue
            is_faint = not line.is_recorded and (line.run, line.target) in recorded
            hue = targets.index(line.target) if len(runs) == 1 else runs.index(line.run)
            dash = splits[line.run].index(line.target) if len(runs) > 1 else 0
            is_planned_alone = not (line.is_recorded or is_faint) and len(splits[line.run]) == 1
            if len(runs) == 1 or is_planned_alone:
                dash = 0 if line.is_recorded or is_faint else hue
            strokes.append(Stroke(hue, dash, is_faint))
        return strokes

    @property
    def stop(self) -> int:
        """Return the last step shown."""
        return max((line.stop for line in self.lines), default=0)

    @property
    def axis(self) -> Axis:
        """Return the horizontal axis."""
        ends = [line.steps[[0, -1]] for line in self.lines]
        first, last = float(np.min(ends)), float(np.max(ends))
        if self.log_x:
            return Axis(first, last if last > first else 10 * first, log=True)
        return Axis(0.0, last if last > 0 else 1.0)


class ViewOptions(TypedDict, total=False):
    """What :func:`view` takes beside that which is drawn."""

    run: RunLike | None
    record: Record | None
    groups: Groups | None


def view(
    given: Drawable,
    *,
    run: RunLike | None = None,
    record: Record | None = None,
    groups: Groups | None = None,
    points: int = POINTS,
) -> View:
    """Return what a picture of ``given`` shows.

    Args:
        given: A plan, a schedule, a record, or several of them by name; a view is returned as is.
        run: Facts about the run; a plan's own are used when it is left out.
        record: What was really written, shown beside the plan.
        groups: Base values of each parameter group: ``{"unet": 1e-4, "embedding": {"lr": 1e-3}}``.
        points: Points of one line, about.

    Raises:
        ScheduleError: Nothing that can be drawn was given, or phases do not fit into the run.
        RunError: The run lacks a fact that a unit needs.
    """
    if isinstance(given, View):
        return given
    run = None if run is None else run_of(run, "plot")
    sources = _by_name(given)
    # where one has several lines, all are named alike: "cosine: lr"
    are_split = any(isinstance(one, Record) or len(one.targets) > 1 for one in sources.values())
    if record is not None:
        sources["recorded"] = record
    lines: list[Line] = []
    marks: list[Mark] = []
    notes: list[str] = []
    clock = "updates"
    for name, source in sources.items():
        if isinstance(source, Record):
            planned = {line.label.split("/")[0] for line in lines}
            prefix = "" if len(sources) == 1 else name
            lines += _record_lines(source, prefix, planned, points, notes)
            events = (row for row in source if row.reason and row.target != "phase")
            # each event of a step once
            marks += dict.fromkeys(Mark(row.step, _name(row.reason)) for row in events)
        else:
            plan = _resolved_plan(source, run, notes)
            bases = bases_in(record, plan) if record is not None and groups is None else groups
            factors: dict[int, Line] = {}
            for label, target, base in driven(plan, bases):
                if name:
                    label = f"{name}: {label}" if are_split else name
                line = _target_line(label, target, base, plan.length or 0, points, factors)
                lines.append(replace(line, run=_name(name)))
            clock = plan.run.clock
    if not lines:
        raise ScheduleError("plot: there is nothing to draw: no target, and no row in the record.")
    return View(lines=tuple(lines), x=clock, marks=tuple(marks), notes=tuple(dict.fromkeys(notes)))


def unit_of(name: str) -> str:
    """Return the words for a field's unit: ``lr`` is a learning rate."""
    return _UNITS.get(name, "loss" if "loss" in name else name.replace("_", " "))


def _by_name(given: Any) -> dict[str, Plan | Record]:
    """Return plans and records by the name they have in the picture; one alone needs none."""
    if not isinstance(given, Mapping):
        return {"": _as_source(given)}
    is_data = any(name in given and not _is_source(given[name]) for name in _WORDS_OF_DATA)
    if not given or is_data or _are_targets(given):
        return {"": _plan(given)}
    return {str(name): _as_source(source) for name, source in given.items()}


def _is_source(given: Any) -> bool:
    return isinstance(given, Plan | Record | Schedule | Scale | Set)


def _as_source(given: Any) -> Plan | Record:
    if isinstance(given, Record):
        return given
    if isinstance(given, Plan | Schedule | Scale | Set | Mapping | list | str | PathLike):
        return _plan(given)
    raise ScheduleError(
        f"plot({shortly(given)}): not something to draw. Give a plan, a schedule, a record, or a "
        f"dict of them. {instead_of(given)}"
    )


def _plan(given: Any) -> Plan:
    from warmdown.planfile.plans import plan_of  # YAML takes 0.1 s, which a finished plan spares

    return plan_of(given, who="plot")


def _are_targets(given: Mapping[str, Any]) -> bool:
    """Whether the names are fields of an optimizer, and not names of candidates to compare."""
    values = given.values()
    if any(isinstance(value, Plan | Record) for value in values):
        return False
    inner = {name for value in values if isinstance(value, Mapping) for name in value}
    if not _UNITS.keys().isdisjoint(inner):  # {"one cycle": {"lr": …, "momentum": …}}
        return False
    are_rules = any(isinstance(value, Scale | Set | Mapping) for value in values)
    return are_rules or not _UNITS.keys().isdisjoint(given)


def _resolved_plan(plan: Plan, run: Run | None, notes: list[str]) -> Plan:
    """Return the plan with every length known; what had to be assumed is added to the notes."""
    facts = plan.run if run is None else run
    if facts.lr is None:
        facts = replace(facts, lr=plan.run.lr)
    if facts.length is not None:
        return plan.over(facts)
    try:
        resolved = plan.over(facts)
    except (ScheduleError, RunError):
        resolved = plan
    if resolved.length:
        return replace(resolved, run=replace(facts, total_steps=resolved.length))
    times = (
        time
        for target in plan.targets
        for schedule in target.rule.schedules()
        for time in _times_in(schedule)
    )
    assumed = max(_SHORTEST_RUN, 3 * max(times, default=0))
    notes.append(f"Drawn over {count(assumed)} updates, because the run has no length yet.")
    return plan.over(replace(facts, total_steps=assumed))


def _times_in(schedule: Schedule) -> Iterator[int]:
    """Yield every time that stands in a schedule or a part of it as a whole number."""
    for name in _TIMES:
        times = getattr(schedule, name, ())
        for time in times if isinstance(times, tuple) else (times,):
            if isinstance(time, int):
                yield time
    for part in schedule.parts():
        yield from _times_in(part)


def planned_line(
    label: str, unit: str, value: Function, phases: Phases, stop: int, points: int = POINTS
) -> Line:
    """Return the line of a function over a run.

    Args:
        label: Its name.
        unit: What its numbers are; lines of one unit share a panel.
        value: The value at any steps.
        phases: Named stretches, of which those inside the run are kept.
        stop: Updates of the run.
        points: Points of the line, about.

    Raises:
        ScheduleError: A value is too large to draw.
    """
    phases = _phases_within(phases, stop)
    with np.errstate(all="ignore"):  # a value that overflows is reported below, with its step
        steps, values = sample(value, stop, (phase.start for phase in phases), points)
    return _drawable(Line(_name(label), _name(unit), steps, values, phases, value))


def _target_line(
    label: str, target: Target, base: float | None, stop: int, points: int, factors: dict[int, Line]
) -> Line:
    """Return the line of a target; what groups that differ by their base share is sampled once."""
    rule, times = target.rule, 1.0 if base is None else base

    def value(steps: Array) -> Any:
        return rule.value(steps, times)

    unit = unit_of(target.name)
    if base is None and isinstance(rule, Scale):
        unit += " (× base)"
    if not isinstance(rule, Scale) or rule.offset is not None or rule.low is not None:
        return planned_line(label, unit, value, target.phases(), stop, points)
    factor = factors.get(id(target))
    if factor is None:
        factor = planned_line(label, unit, rule.of, target.phases(), stop, points)
        factors[id(target)] = factor
    with np.errstate(all="ignore"):
        values = factor.values * times
    return _drawable(replace(factor, label=_name(label), values=values, value=value))


def _drawable(line: Line) -> Line:
    beyond = np.flatnonzero(~(np.abs(line.values) <= _LARGEST))
    if beyond.size:
        raise ScheduleError(
            f"plot: {line.label} is {line.values[beyond[0]]:.0e} at update "
            f"{count(line.steps[beyond[0]])}: too large to draw. Give it smaller parameters."
        )
    return line


def _phases_within(given: Phases, stop: int) -> Phases:
    """Return the phases inside the run, and the stretch after the last one."""
    phases = [
        Phase(_name(phase.name), phase.start, phase.until(stop))
        for phase in given
        if phase.start < stop
    ]
    last = max((phase.stop or 0 for phase in phases), default=stop)
    return (*phases, Phase("held", last, stop)) if last < stop else tuple(phases)


def _record_lines(
    record: Record, name: str, planned: Iterable[str], points: int, notes: list[str]
) -> Iterator[Line]:
    """Yield every number that was recorded; what is not finite is added to the notes."""
    phases = _recorded_phases(record)
    for target in record.targets():
        steps, values = np.asarray(record.curve(target), dtype=np.float64)
        is_finite = np.abs(values) <= _LARGEST
        if not is_finite.all():
            first = count(steps[is_finite.argmin()])
            lost = np.count_nonzero(~is_finite)
            notes.append(f"{_name(target)}: not finite {lost} times, first at {first}.")
        if target == "phase" or not is_finite.any():
            continue
        steps, values = steps[is_finite], values[is_finite]
        order = np.argsort(steps, kind="stable")
        steps, values = thinned(steps[order], values[order], points)
        field_name = target.split("/")[0]
        label = f"{name}: {target}" if name else target
        if name == "recorded":
            label = f"{target}{_RECORDED}" if field_name in planned else target
        unit = _name(unit_of(field_name))
        run = "" if name == "recorded" else _name(name)
        yield Line(_name(label), unit, steps, values, phases, is_recorded=True, run=run)


def _recorded_phases(record: Record) -> tuple[Phase, ...]:
    """Return the phases that the rows called ``phase`` name, each up to the next."""
    named = [(row.step, row.reason) for row in record if row.target == "phase" and row.reason]
    starts = [next(rows) for _, rows in groupby(named, key=itemgetter(1))]
    end = max((row.step for row in record), default=0)
    return tuple(
        Phase(_name(name), start, stop)
        for (start, name), (stop, _) in pairwise([*starts, (end, "")])
    )


def _name(text: str) -> str:
    """Return a name or a reason as one line that any picture can show, short enough to be read."""
    return shortened(printable(text, as_line=True), _LONGEST_NAME)
