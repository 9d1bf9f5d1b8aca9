"""A picture in words: plain sentences, and the steps where something happens."""

from __future__ import annotations

__all__ = ["Moment", "summary", "table", "table_of"]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from warmdown.formatting import count, number
from warmdown.plot.view import MANY_PHASES, Drawable, Line, View, ViewOptions, view
from warmdown.schedules.sampling import Function

_MANY_CHANGES = 40
"""A piecewise constant schedule with more changes than these has none of them in its table."""
_SHOWN_PHASES = 12
"""More phases than these are named by the first three and the last."""


@dataclass(frozen=True)
class Moment:
    """A step where something happens, and every line's value there.

    Args:
        step: Which step.
        what: What happens: a phase begins, a peak, the last update, the end.
        values: The value of each line, by its label.
    """

    step: int
    what: str
    values: Mapping[str, float]


def summary(plan: Drawable, **options: Unpack[ViewOptions]) -> str:
    """Return what a picture shows, in plain sentences, one paragraph a line.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        options: ``run``, ``record`` and ``groups``, as :func:`warmdown.plot.view` takes them.

    Example:
        >>> from warmdown import Run, warmup_cosine
        >>> text = summary(warmup_cosine(end=0.1), run=Run(total_steps=1000, lr=3e-4))
        >>> for sentence in text.split(". "):
        ...     print(sentence)
        lr starts at 0, peaks at 3e-4 (update 50) and ends at 3e-5 (update 1,000)
        The last update, 999, uses 3e-5
        Phases: warmup (0 to 50), decay (50 to 1,000)
        Mean 1.642e-4, area under the curve 0.1642.
    """
    scene = view(plan, **options)
    if scene.text:
        return scene.text
    paragraphs = [" ".join(_sentences(line, scene)) for line in scene.lines]
    return "\n\n".join([*paragraphs, *scene.notes])


def table(plan: Drawable, **options: Unpack[ViewOptions]) -> list[Moment]:
    """Return the steps where something happens: phases, extremes, changes, the end.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        options: ``run``, ``record`` and ``groups``, as :func:`warmdown.plot.view` takes them.

    Example:
        >>> from warmdown import Milestones
        >>> schedule = Milestones(gamma=0.5, at=(50, 100, 150))
        >>> for row in table(schedule, groups={"unet": 1e-4, "embedding": 1e-3})[:3]:
        ...     print(row.step, row.values)
        0 {'lr/unet': 0.0001, 'lr/embedding': 0.001}
        50 {'lr/unet': 5e-05, 'lr/embedding': 0.0005}
        100 {'lr/unet': 2.5e-05, 'lr/embedding': 0.00025}
    """
    return table_of(view(plan, **options))


def table_of(scene: View, extra: Iterable[int] = ()) -> list[Moment]:
    """Return :func:`table` of a view, with the rows of some more steps."""
    texts: dict[int, dict[str, None]] = {step: {} for step in extra}
    for line in scene.lines:
        for step, what in _line_events(line):
            texts.setdefault(step, {})[what] = None
    for mark in scene.marks:
        texts.setdefault(int(mark.step), {})[mark.text] = None
    moments = []
    for step in sorted(texts):
        values = {line.label: line.at(step) for line in scene.lines}
        moments.append(Moment(step, ", ".join(texts[step]), values))
    return moments


def _sentences(line: Line, scene: View) -> Iterator[str]:
    unit = scene.x.removesuffix("s")
    if line.is_recorded:
        yield _recorded(line, unit)
        yield from _difference(line, scene)
        return
    yield f"{line.label} {_direction(line, unit)}"
    moves = np.ptp(line.values) > 0
    last = line.stop - 1
    if moves and last >= 0:
        yield f"The last update, {count(last)}, uses {number(line.at(last))}."
    phases = [
        f"{phase.name} ({count(phase.start)} to {count(phase.until(line.stop))})"
        for phase in line.phases
    ]
    if len(phases) > _SHOWN_PHASES:
        phases[3:-1] = [f"{len(phases) - 4} more"]
    if len(phases) > 1:
        yield f"Phases: {', '.join(phases)}."
    if moves and line.value is not None:
        found = line.totals
        about = "" if found.is_exact else "about "
        mean = number(found.area / line.stop)
        yield f"Mean {about}{mean}, area under the curve {about}{number(found.area)}."


def _direction(line: Line, unit: str) -> str:
    values, found = line.values, line.totals
    first, last, low, high = values[0], values[-1], found.low, found.high
    if low == high:
        return f"stays at {number(first)} for all {count(line.stop)} {unit}s."
    turns = []
    if high > max(first, last):
        turns.append(f"peaks at {_extreme(line, high, found.high_at, unit)}")
    if low < min(first, last):
        turns.append(f"is lowest at {_extreme(line, low, found.low_at, unit)}")
    end = _point(line, -1, unit)
    if turns:
        return f"starts at {number(first)}, {', '.join(turns)} and ends at {end}."
    reached = _point(line, (values == last).argmax(), unit)
    stays = f", and stays there to the end ({unit} {count(line.stop)})" if reached != end else ""
    return f"{'rises' if last > first else 'falls'} from {number(first)} to {reached}{stays}."


def _point(line: Line, index: int | np.intp, unit: str) -> str:
    return f"{number(line.values[index])} ({unit} {count(line.steps[index])})"


def _extreme(line: Line, value: float, at: int, unit: str) -> str:
    """Return a value and its steps: one, a stretch, or the first of many."""
    places = np.flatnonzero(line.values == value)
    if not places.size or line.steps[places[0]] != at:  # between the points of the line
        return f"{number(value)} (first at {unit} {count(at)})"
    first, last = places[0], places[-1]
    if first == last:
        return _point(line, first, unit)
    begin = count(line.steps[first])
    if last - first == places.size - 1:
        return f"{number(value)} ({unit}s {begin} to {count(line.steps[last])})"
    return f"{number(value)} (first at {unit} {begin})"


def _recorded(line: Line, unit: str) -> str:
    steps, values = line.steps, line.values
    low, high = values.argmin(), values.argmax()
    return (
        f"{line.label} went from {_point(line, 0, unit)} to {_point(line, -1, unit)}; "
        f"lowest {number(values[low])} at {count(steps[low])}, "
        f"highest {number(values[high])} at {count(steps[high])}."
    )


def _difference(line: Line, scene: View) -> Iterator[str]:
    """Yield how far what was written is from what was planned."""
    name = line.label.removesuffix(" (recorded)")
    plans = {other.label: other.value for other in scene.lines if other.value is not None}
    plan = plans.get(name, plans.get(name.split("/")[0]))
    if plan is None:
        return
    gaps = np.abs(np.asarray(plan(line.steps)) - line.values)
    worst = gaps.argmax()
    if gaps[worst] <= 1e-12 * np.abs(line.values).max():
        yield "It followed the plan."
    else:
        place = count(line.steps[worst])
        yield f"It differs from the plan by up to {number(gaps[worst])}, at {place}."


def _line_events(line: Line) -> Iterator[tuple[int, str]]:
    values = line.values
    if line.value is None:
        yield int(line.steps[0]), "first recorded"
        yield line.stop, "last recorded"
        return
    yield 0, "start"
    for phase in line.phases[1:MANY_PHASES]:
        yield phase.start, f"{phase.name} begins"
    for step in _changes(line, line.value):
        yield step, "changes"
    ends, found = (values[0], values[-1]), line.totals
    if found.high > max(ends):
        yield found.high_at, "peak"
    if found.low < min(ends):
        yield found.low_at, "lowest"
    yield max(line.stop - 1, 0), "last update"
    yield line.stop, "end"


def _changes(line: Line, value: Function) -> list[int]:
    """Return the steps at which a piecewise constant line takes another value, if they are few."""
    before = np.flatnonzero(np.diff(line.values))
    if not 0 < before.size <= _MANY_CHANGES:
        return []
    low, high = line.steps[before], line.steps[before + 1]
    while np.any(high - low > 1):  # each stretch is halved until two neighbours differ
        middle = np.floor((low + high) / 2)
        is_same = value(middle) == line.values[before]
        low, high = np.where(is_same, middle, low), np.where(is_same, high, middle)
    return list(map(int, high))
