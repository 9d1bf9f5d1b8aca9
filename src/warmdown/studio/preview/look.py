"""What the page shows of a plan, as plain data: it comes from this process, or from the one for foreign classes."""

from __future__ import annotations

__all__ = ["Curve", "Finding", "Look", "Told", "look", "tell"]

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

import numpy as np

from warmdown.checks import check
from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.plot.summary import summary_of, table_of
from warmdown.plot.view import Line, View, view

POINTS = 700
"""Points of a curve: one for each pixel or so; more only take longer."""


@final
@dataclass(frozen=True)
class Curve:
    """One line.

    Args:
        label: ``lr``, ``lr/embedding`` …
        unit: Curves of one unit share a panel.
        points: Step and value.
        phases: Name, first step, and first step after.
        area: Under the curve, in the field's unit times updates.
    """

    label: str
    unit: str
    points: Sequence[Sequence[float]]
    phases: Sequence[tuple[str, int, int]] = ()
    area: float = 0.0


@final
@dataclass(frozen=True)
class Look:
    """The curves of a plan, or why there are none.

    Args:
        curves: One for each group of each number that is driven.
        stop: Last step.
        clock: What the steps are.
        notes: What a reader must know.
        mistakes: ``path: what is wrong``.
    """

    curves: tuple[Curve, ...] = ()
    stop: int = 0
    clock: str = "updates"
    notes: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Look:
        """Return the look of plain data that :meth:`to_dict` gave."""
        curves = tuple(
            Curve(**{**curve, "phases": [tuple(p) for p in curve["phases"]]})
            for curve in data["curves"]
        )
        notes, mistakes = tuple(data["notes"]), tuple(data["mistakes"])
        return cls(curves, int(data["stop"]), str(data["clock"]), notes, mistakes)


@final
@dataclass(frozen=True)
class Finding:
    """Something about a plan that is probably not meant.

    Args:
        code: Its name.
        severity: ``error``, ``warning`` or ``note``.
        target: The label of the target; empty where it is about the whole plan.
        step: The update it happens at, if it has one.
        text: What, and the way out.
    """

    code: str
    severity: str
    target: str
    step: int | None
    text: str


@final
@dataclass(frozen=True)
class Told:
    """The same in words and numbers, for eyes that do not see the picture and for hands that copy.

    Args:
        summary: Sentences.
        labels: Columns of the table.
        rows: Step, what happens there, and the value of each column.
        findings: What is probably not meant.
    """

    summary: str = ""
    labels: tuple[str, ...] = ()
    rows: tuple[tuple[int, str, tuple[float, ...]], ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Told:
        """Return what plain data tells that :meth:`to_dict` gave."""
        rows = tuple((int(step), str(what), tuple(values)) for step, what, values in data["rows"])
        findings = tuple(Finding(**finding) for finding in data["findings"])
        return cls(str(data["summary"]), tuple(data["labels"]), rows, findings)


def look(
    plan: Plan, groups: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[Look, View | None]:
    """Return the curves of a plan, and the view they are from; or what keeps it from being drawn."""
    try:
        scene = view(plan, groups=groups or None, points=POINTS)
    except WarmdownError as error:
        return Look(mistakes=(str(error),)), None
    curves = tuple(_curve(line) for line in scene.lines)
    return Look(curves, scene.stop, scene.x, scene.notes), scene


def tell(plan: Plan, scene: View) -> Told:
    """Return what a view shows, in words and numbers, and what is probably not meant."""
    labels = tuple(line.label for line in scene.lines)
    rows = tuple(
        (m.step, m.what, tuple(m.values[label] for label in labels)) for m in table_of(scene)
    )
    return Told(summary_of(scene), labels, rows, _findings(plan))


def _curve(line: Line) -> Curve:
    steps, values = line.steps, line.values
    points = np.column_stack([steps, values]).tolist()
    phases = [
        (phase.name, phase.start, line.stop if phase.stop is None else phase.stop)
        for phase in line.phases
    ]
    return Curve(line.label, line.unit, points, phases, float(np.trapezoid(values, steps)))


def _findings(plan: Plan) -> tuple[Finding, ...]:
    return tuple(
        Finding(one.code, one.severity, one.target, one.step, one.message) for one in check(plan)
    )
