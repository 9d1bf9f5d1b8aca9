"""A picture in words: plain sentences, and the steps where something happens."""

from __future__ import annotations

__all__ = ["Moment", "summary", "summary_of", "table", "table_of"]

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from warmdown.plot.formatting import count, number
from warmdown.plot.groups import Groups
from warmdown.plot.sampling import Array, Function, sample
from warmdown.plot.view import MANY_PHASES, Drawable, Line, View, view
from warmdown.record import Record
from warmdown.run import Run

_MANY_CHANGES = 40
"""Up to here, each step at which a piecewise constant schedule changes is told."""


@dataclass(frozen=True)
class Moment:
    """A step where something happens, and every line's value there.

    Args:
        step: Which step.
        what: Why it is told: a phase that begins, a peak, the last update, the end.
        values: The value of each line, by its label.
    """

    step: int
    what: str
    values: Mapping[str, float]


def summary(
    plan: Drawable,
    *,
    run: Run | None = None,
    record: Record | None = None,
    groups: Groups | None = None,
) -> str:
    """Return what a picture shows, in plain sentences, one paragraph a line.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run, when the plan has none.
        record: What was really written.
        groups: Base values of each parameter group.

    Example:
        >>> from warmdown import Run, warmup_cosine
        >>> for sentence in summary(warmup_cosine(end=0.1), run=Run(total_steps=1000, lr=3e-4)).split(". "):
        ...     print(sentence)
        lr starts at 0, peaks at 3e-4 (update 50) and ends at 3e-5 (update 1,000)
        The last update, 999, uses 3e-5
        Phases: warmup (0 to 50), decay (50 to 1,000)
        Mean 1.642e-4, area under the curve 0.1642.
    """
    return summary_of(view(plan, run=run, record=record, groups=groups))


def table(
    plan: Drawable,
    *,
    run: Run | None = None,
    record: Record | None = None,
    groups: Groups | None = None,
) -> list[Moment]:
    """Return the steps where something happens: phases, extremes, changes, the last update, the end.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run, when the plan has none.
        record: What was really written.
        groups: Base values of each parameter group.

    Example:
        >>> from warmdown import Milestones
        >>> rows = table(Milestones(gamma=0.5, at=(50, 100, 150)), groups={"unet": 1e-4, "embedding": 1e-3})
        >>> for row in rows[:3]:
        ...     print(row.step, row.values)
        0 {'lr/unet': 0.0001, 'lr/embedding': 0.001}
        50 {'lr/unet': 5e-05, 'lr/embedding': 0.0005}
        100 {'lr/unet': 2.5e-05, 'lr/embedding': 0.00025}
    """
    return table_of(view(plan, run=run, record=record, groups=groups))


def summary_of(scene: View) -> str:
    """Return :func:`summary` of a view."""
    if scene.text:
        return scene.text
    paragraphs = [
        _recorded(line, scene) if line.is_recorded else _planned(line, scene)
        for line in scene.lines
    ]
    return "\n\n".join([*paragraphs, *scene.notes])


def table_of(scene: View, extra: Iterable[int] = ()) -> list[Moment]:
    """Return :func:`table` of a view, with some steps more between them."""
    told: dict[int, list[str]] = {step: [] for step in extra}
    for line in scene.lines:
        for step, what in _happenings(line):
            whats = told.setdefault(step, [])
            if what not in whats:
                whats.append(what)
    for mark in scene.marks:
        told.setdefault(int(mark.step), []).append(mark.text)
    return [
        Moment(
            step, ", ".join(told[step]), {line.label: value_at(line, step) for line in scene.lines}
        )
        for step in sorted(told)
    ]


def value_at(line: Line, step: int) -> float:
    """Return a line's exact value, or for a recorded one the value last written."""
    if line.value is not None:
        return float(np.asarray(line.value(np.asarray([float(step)])))[0])
    before = int(np.searchsorted(line.steps, step, side="right")) - 1
    return float(line.values[before]) if before >= 0 else float("nan")


def _planned(line: Line, scene: View) -> str:
    return " ".join(
        [
            f"{line.label} {_course(line, scene)}",
            *_last_update(line),
            *_told_phases(line),
            *_area(line),
        ]
    )


def _course(line: Line, scene: View) -> str:
    values, unit = line.values, scene.x.removesuffix("s")
    first, last, end = values[0], values[-1], count(line.stop)
    if np.ptp(values) == 0:
        return f"stays at {number(first)} for all {end} {scene.x}."
    low, high = np.min(values), np.max(values)
    turns = []
    if high > max(first, last):
        turns.append(f"peaks at {number(high)} {_where(line, values == high, unit)}")
    if low < min(first, last):
        turns.append(f"is lowest at {number(low)} {_where(line, values == low, unit)}")
    if not turns:
        reached = count(line.steps[int(np.argmax(values == last))])
        stays = "" if reached == end else f", and stays there to the end ({unit} {end})"
        return (
            f"{'rises' if last > first else 'falls'} from {number(first)} to {number(last)} "
            f"({unit} {reached}){stays}."
        )
    return (
        f"starts at {number(first)}, {', '.join(turns)} and ends at {number(last)} ({unit} {end})."
    )


def _where(line: Line, there: Array, unit: str) -> str:
    """Say at which steps a value is held: one, a stretch, or the first of many."""
    found = np.flatnonzero(there)
    first, last = count(line.steps[found[0]]), count(line.steps[found[-1]])
    if found.size == 1:
        return f"({unit} {first})"
    if found[-1] - found[0] == found.size - 1:
        return f"({unit}s {first} to {last})"
    return f"(first at {unit} {first})"


def _last_update(line: Line) -> list[str]:
    if np.ptp(line.values) == 0 or line.stop < 1:
        return []
    return [
        f"The last update, {count(line.stop - 1)}, uses {number(value_at(line, line.stop - 1))}."
    ]


def _told_phases(line: Line) -> list[str]:
    if len(line.phases) < 2:
        return []
    shown = line.phases if len(line.phases) <= 12 else (*line.phases[:3], *line.phases[-1:])
    told = [
        f"{phase.name} ({count(phase.start)} to {count(phase.stop or line.stop)})"
        for phase in shown
    ]
    if shown is not line.phases:
        told.insert(3, f"{len(line.phases) - 4} more")
    return [f"Phases: {', '.join(told)}."]


def _area(line: Line) -> list[str]:
    if line.value is None or np.ptp(line.values) == 0:
        return []
    steps, values = sample(line.value, line.stop - 1, [phase.start for phase in line.phases])
    mean = float(np.trapezoid(values, steps) + (values[0] + values[-1]) / 2) / line.stop
    return [f"Mean {number(mean)}, area under the curve {number(mean * line.stop)}."]


def _recorded(line: Line, scene: View) -> str:
    steps, values = line.steps, line.values
    unit = scene.x.removesuffix("s")
    low, high = int(np.argmin(values)), int(np.argmax(values))
    told = (
        f"{line.label} went from {number(values[0])} ({unit} {count(steps[0])}) to "
        f"{number(values[-1])} "
        f"({unit} {count(steps[-1])}); lowest {number(values[low])} at {count(steps[low])}, "
        f"highest {number(values[high])} at {count(steps[high])}."
    )
    return " ".join([told, *_difference(line, scene)])


def _difference(line: Line, scene: View) -> list[str]:
    """Say how far what was written is from what was planned."""
    name = line.label.removesuffix(" (recorded)")
    plans = {other.label: other.value for other in scene.lines if other.value is not None}
    plan = plans.get(name, plans.get(name.split("/")[0]))
    if plan is None:
        return []
    gaps = np.abs(np.asarray(plan(line.steps)) - line.values)
    worst = int(np.argmax(gaps))
    if gaps[worst] <= 1e-12 * float(np.max(np.abs(line.values))):
        return ["It followed the plan."]
    return [
        f"It differs from the plan by up to {number(gaps[worst])}, at {count(line.steps[worst])}."
    ]


def _happenings(line: Line) -> list[tuple[int, str]]:
    if line.value is None:
        return [(int(line.steps[0]), "first recorded"), (int(line.steps[-1]), "last recorded")]
    found = [
        (0, "start"),
        *((phase.start, f"{phase.name} begins") for phase in line.phases[1:MANY_PHASES]),
    ]
    found += [(step, "changes") for step in _changes(line.value, line.steps, line.values)]
    found += _extremes(line)
    return [*found, (max(line.stop - 1, 0), "last update"), (line.stop, "end")]


def _extremes(line: Line) -> list[tuple[int, str]]:
    values = line.values
    inner = max(values[0], values[-1]) < np.max(values), min(values[0], values[-1]) > np.min(values)
    found = zip(inner, (np.argmax(values), np.argmin(values)), ("peak", "lowest"), strict=True)
    return [(int(line.steps[at]), what) for is_inner, at, what in found if is_inner]


def _changes(value: Function, steps: Array, values: Array) -> list[int]:
    """Return the steps at which a piecewise constant line takes another value; none when it changes often."""
    before = np.flatnonzero(np.diff(values))
    if not 0 < before.size <= _MANY_CHANGES:
        return []
    low, high = steps[before], steps[before + 1]
    while np.any(high - low > 1):  # each stretch is halved until two neighbours differ
        middle = np.floor((low + high) / 2)
        same = np.asarray(value(middle)) == values[before]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return [int(step) for step in high]
