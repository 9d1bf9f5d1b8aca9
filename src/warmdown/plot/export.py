"""A plan's values as rows of step, target and value: CSV, JSON, or aligned columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

import numpy as np

from warmdown.formatting import aligned, number, strict_json
from warmdown.plan import Plan
from warmdown.plot.groups import Groups
from warmdown.plot.view import view
from warmdown.record import harmless
from warmdown.schedules.sampling import values_at

POINTS = 10_000
"""Up to so many updates, each has its row; of a longer run every n-th has, and the last."""


class ValueRow(NamedTuple):
    """The value that an update uses.

    Args:
        step: The update, from 0.
        target: ``lr``, ``lr/decoder.*`` …
        value: The value, in the field's unit; a factor where no base value is known.
    """

    step: int
    target: str
    value: float


def rows(plan: Plan, *, points: int = POINTS, groups: Groups | None = None) -> Iterator[ValueRow]:
    """Yield the value that each update uses, target by target.

    Args:
        plan: The plan.
        points: Rows of each target at most, at least 2; the first and the last update are always
            among them.
        groups: Base values of each parameter group.

    Raises:
        ScheduleError: Phases do not fit into the run.
        RunError: The run lacks a fact.

    Example:
        >>> from warmdown import Linear, Run
        >>> list(rows(Plan.of(lr=Linear(), run=Run(total_steps=2, lr=0.1))))
        [ValueRow(step=0, target='lr', value=0.1), ValueRow(step=1, target='lr', value=0.05)]
    """
    for line in view(plan, groups=groups).lines:
        if line.value is None:
            continue
        last = max(line.stop - 1, 0)
        steps = np.append(np.arange(0.0, last, stride_of(last + 1, points)), last)
        values = values_at(line.value, steps)
        yield from map(ValueRow, steps.astype(int).tolist(), repeat(line.label), values.tolist())


def stride_of(updates: int, points: int = POINTS) -> int:
    """Return the updates from one row to the next; the last update has a row beside.

    Example:
        >>> stride_of(10_000), stride_of(1_000_000), stride_of(10_000, points=21)
        (1, 101, 500)
    """
    return max(-(-(updates - 1) // max(points - 1, 1)), 1)


def as_csv(found: Iterable[ValueRow]) -> str:
    """Return rows as CSV with a heading; every float is written in full."""
    out = io.StringIO()
    # repr is the shortest text that reads back as the same float
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ValueRow._fields)
    writer.writerows((row.step, harmless(row.target), repr(row.value)) for row in found)
    return out.getvalue()


def as_json(found: Iterable[ValueRow]) -> str:
    """Return rows as a JSON list, one row a line."""
    return "[\n" + ",\n".join(strict_json(row._asdict()) for row in found) + "\n]\n"


def as_table(found: Iterable[ValueRow]) -> str:
    """Return rows as columns."""
    lines = [
        ("step", "target", "value"),
        *((f"{row.step:,}", row.target, number(row.value)) for row in found),
    ]
    return aligned(lines, left=(1, 2)) + "\n"
