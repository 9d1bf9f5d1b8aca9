"""Runs beside each other: over updates, epochs or time, smoothed, before what was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, final

import numpy as np

from warmdown.plan import Plan
from warmdown.plot.view import Line, unit_of
from warmdown.schedules.sampling import Array
from warmdown.studio.preview.chart import Layer
from warmdown.studio.preview.preview import POINTS
from warmdown.studio.preview.watch import Points, WatchedRun, is_rate

AxisOfRuns: TypeAlias = Literal["updates", "epochs", "time"]
Across: TypeAlias = Callable[[Array], Array]
"""From updates to what the horizontal axis shows."""


class RunMark(NamedTuple):
    """What distinguishes the lines of a run from those of another, beside the colour.

    Args:
        text: Before its name.
        symbol: On its lines.
    """

    text: str
    symbol: str


MARKS = (
    RunMark("●", "circle"),
    RunMark("■", "rect"),
    RunMark("▲", "triangle"),
    RunMark("◆", "diamond"),
)

_MOST_PANELS = 4
_ROOM = 12 * POINTS
"""Points of a picture; with many lines each has fewer."""
_LINES = 4
"""Lines of a run, about."""
_SPLITS = ("train", "training", "val", "valid", "validation", "eval", "test", "optim")
_DRIVEN = {unit_of(name) for name in ("lr", "weight_decay", "momentum", "betas[1]")}
"""What a plan drives is exact: it is not smoothed."""
_EPOCHS = ("epoch", "train/epoch")
_UNITS_OF_TIME = ((1, 180, "seconds"), (60, 180, "minutes"), (3_600, 72, "hours"))


@final
@dataclass(frozen=True)
class Look:
    """How runs are looked at.

    Args:
        axis: What the horizontal axis shows.
        smoothing: Weight of what came before each point, from 0 to below 1.
    """

    axis: AxisOfRuns = "updates"
    smoothing: float = 0.0


class ComparedRuns(NamedTuple):
    """What is drawn of several runs.

    Args:
        layers: The lines of each.
        stop: End of the horizontal axis.
        unit: What it shows.
        notes: Which runs are not drawn, and why.
    """

    layers: tuple[Layer, ...]
    stop: float
    unit: str
    notes: tuple[str, ...]


def compare_runs(
    runs: Mapping[int, WatchedRun], look: Look, fallback: Plan | None = None
) -> ComparedRuns:
    """Return the lines of runs: what was recorded, and what was planned behind it.

    Args:
        runs: By the number that each has as long as it is shown: it gives colour and mark.
        look: How to look at them.
        fallback: The plan of a run that has none of its own.
    """
    units = _units_of(runs.values())
    size, unit = _unit_of_axis(runs.values(), look.axis)
    points = min(POINTS, _ROOM // (_LINES * max(len(runs), 1)))
    layers: list[Layer] = []
    notes: list[str] = []
    for number, run in runs.items():
        mark = mark_of_run(number) if len(runs) > 1 else RunMark("", "")
        name = f"{mark.text} {run.name}" if mark.text else ""
        recorded, behind, planned = [], [], []
        for target in sorted(run.points, key=lambda target: _rank(run, target)):
            across = _across(run, look.axis, target, size)
            if across is None:
                continue
            line = Line(target, unit_of_target(run, target), *run.points[target].fewer(points))
            if line.unit in units:
                line = replace(line, steps=across(line.steps), is_recorded=True)
                smooth = _smooth_line(line, run.points[target], across, look.smoothing, points)
                recorded.append(smooth or line)
                behind += [replace(line, is_background=True)] if smooth else []
        across = _across(run, look.axis, "", size)
        if across is None:
            notes += [_why_not_drawn(run, look.axis)] if run.points else []
            continue
        for line in run.outlook.lines(None):
            steps = across(line.steps)
            recorded.append(replace(line, label="predicted loss", unit="loss", steps=steps))
        notes += [f"{run.name}: {note}" for note in run.outlook.notes]
        own = {line.unit for line in recorded}
        for line in run.planned_lines(fallback):
            if line.unit in own and look.axis == "updates":
                planned.append(line)
            elif line.unit in own:
                planned.append(replace(line, steps=across(line.steps), value=None, phases=()))
        layers += [
            Layer(recorded, name, number=number, mark=mark.symbol),
            Layer(behind, f"{name} unsmoothed".strip(), number=number),
            Layer(planned, f"{name} planned".strip(), is_faint=True, number=number),
        ]
    ends = [float(line.steps[-1]) for layer in layers for line in layer.lines]
    return ComparedRuns(tuple(layers), max(ends, default=1.0), unit, tuple(notes))


def mark_of_run(number: int) -> RunMark:
    """Return the mark of a run; with the colours there are twelve that differ."""
    return MARKS[number % len(MARKS)]


def smoothed(values: Array, weight: float) -> Array:
    """Return the mean of each number and those before it, which count less and less.

    Args:
        values: Finite numbers.
        weight: How much less each counts than the next; 0 leaves the numbers as they are.

    Example:
        >>> smoothed(np.array([1.0, 0.0, 0.0]), 0.5).round(3).tolist()
        [1.0, 0.333, 0.143]
    """
    means = np.empty_like(values)
    total = norm = 0.0
    for at, value in enumerate(values):
        total, norm = weight * total + value, weight * norm + 1.0
        means[at] = total / norm
    return means


def unit_of_target(run: WatchedRun, target: str) -> str:
    """Return what a recorded number is; those of one unit share a panel."""
    if is_rate(target):
        return unit_of("lr")
    if run.is_record or "loss" in target.lower():
        return unit_of(target.split("/")[0] if run.is_record else "loss")
    words = [word for word in target.split("/") if word.lower() not in _SPLITS]
    return unit_of("/".join(words) or target)


def _smooth_line(
    line: Line, points: Points, across: Across, weight: float, most: int
) -> Line | None:
    """Return a line's smooth form, or ``None`` where it stays as it is."""
    if not weight or line.unit in _DRIVEN:
        return None
    steps, values = points.all()
    is_finite = np.isfinite(values)
    steps, values = steps[is_finite], values[is_finite]
    if steps.size < 2:
        return None
    # each stretch by its mean: of lowest and highest a mean would be that of the outliers
    starts = np.linspace(0, steps.size, min(most, steps.size), endpoint=False).astype(int)
    sizes = np.diff(starts, append=steps.size)
    means = np.add.reduceat(values, starts) / sizes
    ends = steps[starts + sizes - 1]
    return replace(line, steps=across(ends), values=smoothed(means, weight))


def _units_of(runs: Iterable[WatchedRun]) -> list[str]:
    """Return the units that are drawn: rates, losses, then the rest as far as there is room."""
    ranked = sorted(
        (_rank(run, target), unit_of_target(run, target)) for run in runs for target in run.points
    )
    return list(dict.fromkeys(unit for _, unit in ranked))[:_MOST_PANELS]


def _rank(run: WatchedRun, target: str) -> int:
    unit = unit_of_target(run, target)
    return 0 if unit == unit_of("lr") else 1 if unit == "loss" else 2


def _unit_of_axis(runs: Iterable[WatchedRun], axis: AxisOfRuns) -> tuple[float, str]:
    """Return what the axis shows, and for time how many seconds its unit has."""
    if axis != "time":
        return 1.0, axis
    spans = [end - begin for begin, end in map(_span, runs)]
    longest = max(spans, default=0.0)
    for size, most, name in _UNITS_OF_TIME:
        if longest < size * most:
            return size, f"time, {name}"
    return 86_400.0, "time, days"


def _span(run: WatchedRun) -> tuple[float, float]:
    """Return the first and the last time that is known of a run."""
    known = [points.all()[1] for points in run.times.values()]
    return min((one[0] for one in known), default=0.0), max((one[-1] for one in known), default=0.0)


def _across(run: WatchedRun, axis: AxisOfRuns, target: str, size: float) -> Across | None:
    """Return how updates lie on an axis, or ``None`` where a run does not say that."""
    if axis == "updates":
        return lambda steps: steps
    if axis == "time":
        begin = _span(run)[0]
        return _through(run.times_of(target), begin, size)
    per_epoch = None if run.plan is None else run.plan.run.steps_per_epoch
    if per_epoch:
        return lambda steps: steps / per_epoch
    return _through(next((run.points[name] for name in _EPOCHS if name in run.points), None))


def _through(points: Points | None, begin: float = 0.0, size: float = 1.0) -> Across | None:
    """Return a function through points, straight on beyond both ends."""
    if points is None or len(points) < 2:
        return None
    steps, values = points.all()
    slope = (values[-1] - values[0]) / (steps[-1] - steps[0])

    def across(at: Array) -> Array:
        inside = np.interp(at, steps, values)
        beyond = np.maximum(at - steps[-1], 0.0) + np.minimum(at - steps[0], 0.0)
        return np.asarray((inside + slope * beyond - begin) / size)

    return across


def _why_not_drawn(run: WatchedRun, axis: AxisOfRuns) -> str:
    if axis == "time":
        return (
            f"{run.name}: it holds no times. A record has updates alone; TensorBoard's events in "
            "its folder add the times."
        )
    return f"{run.name}: how many updates an epoch has is not known. A plan with epochs says it."
