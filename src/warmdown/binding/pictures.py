"""A scheduler's past and future: every value that its timeline gives, as rows and as lines."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from warmdown.record import Record
from warmdown.registry import provided

_ROWS = 1000
"""Updates of a target that a history has at most."""
_SHORTEST = 1000
"""Updates drawn of a plan without an end."""


def history_of(writer: Any) -> Record:
    """Return what the updates so far have used, and at its update each event.

    Args:
        writer: The scheduler's ``ValueWriter``; importing it would lengthen the chain of imports.
    """
    record, stop = Record(), int(writer.position)
    steps = np.unique(np.linspace(0, max(stop - 1, 0), min(_ROWS, stop)).astype(np.int64))
    for group in _groups_of(writer):
        values = group.values(writer.timeline, steps.astype(np.float64))
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            record.add(step, group.label, value)
    for event in writer.timeline.events:
        for group in _groups_of(writer):
            record.add(event.at, group.label, group.value(writer.timeline, event.at), event.kind)
    return record


def view_of(writer: Any) -> Any:
    """Return the view of every group's values over the whole run, with the events and the place."""
    plot = provided("plot")
    timeline = writer.timeline
    stop = max(int(timeline.end or max(3 * writer.position, _SHORTEST)), 1)
    marks = [plot.Mark(event.at, event.kind) for event in timeline.events]
    if writer.position:
        marks.append(plot.Mark(min(writer.position, stop), "now"))
    lines = []
    for group in _groups_of(writer):
        line = timeline.lines[group.follows]
        unit = plot.unit_of(group.label.partition("/")[0])
        values = partial(group.values, timeline)
        lines.append(plot.planned_line(group.label, unit, values, tuple(line.phases()), stop))
    clock = timeline.plan.run.clock
    return plot.View(lines=tuple(lines), x=clock, marks=tuple(dict.fromkeys(marks)))


def _groups_of(writer: Any) -> list[Any]:
    return [group for target in writer.targets for group in target.groups]
