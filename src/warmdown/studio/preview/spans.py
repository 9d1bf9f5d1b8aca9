"""When each phase of a target is, and which field a finding is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warmdown.checks import Finding
from warmdown.errors import WarmdownError
from warmdown.formatting import count
from warmdown.plan import Plan
from warmdown.planfile.plans import from_dict
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import (
    ByMark,
    Path,
    TargetRow,
    expanded,
    get,
    mark_of,
    phases_of,
    targets_in,
)
from warmdown.studio.draft.fields import known_shape

_FIELDS = {
    "jump": "start value low",
    "zero-first-update": "start",
    "zero-updates": "end",
    "negative": "end start",
    "never-reaches-end": "end steps",
    "holds-early": "steps",
    "long-warmup": "steps warmup",
    "empty-phase": "steps",
    "does-not-fit": "steps warmup",
    "mark-beyond-end": "at",
    "far-above-base": "start end value",
    "far-below-base": "start value",
    "out-of-range": "start end value",
    "cycle-cut-off": "times of",
}
"""The fields that a finding may be about, the likeliest first."""
_AT_THE_START = ("zero-first-update", "long-warmup")
_AT_THE_END = ("zero-updates", "never-reaches-end", "holds-early")


def spans(document: PlainData, row: TargetRow, plan: Plan) -> dict[Path, tuple[int, int]]:
    """Return the first step of each phase and the step after its last, by its path.

    Example:
        >>> from warmdown import Run
        >>> lr = [{"kind": "linear", "steps": 40}, "constant"]
        >>> document = {"plan": {"lr": lr}, "groups": [{}], "loader": {}}
        >>> (row,) = targets_in(document)
        >>> spans(document, row, Plan.of(run=Run(total_steps=100)))
        {('plan', 'lr', 0): (0, 40), ('plan', 'lr', 1): (40, 100)}
    """
    paths = phases_of(document, row)
    # each phase is named by its number: a recipe may have phases of its own inside it
    numbered: list[Any] = [
        {**expanded(get(document, path)), "name": str(at)} for at, path in enumerate(paths)
    ]
    try:
        phases = from_dict(numbered, run=plan.run).over(plan.run).phases()
    except WarmdownError:
        return {}
    stops = [plan.length if phase.stop is None else phase.stop for phase in phases]
    return {
        paths[int(phase.name)]: (phase.start, stop)
        for phase, stop in zip(phases, stops, strict=True)
        if stop is not None and phase.name.isdecimal()
    }


def findings_by_mark(findings: Sequence[Finding], document: PlainData, plan: Plan) -> ByMark:
    """Return the message beside each field, by its mark, of the findings that are about one.

    A run that is shorter than its epochs has a warning too: it may be meant, and may be left over.
    """
    by_mark: ByMark = {}
    run = plan.run
    whole = (run.epochs or 0) * (run.steps_per_epoch or 0)
    if run.total_steps and run.total_steps < whole:
        by_mark["plan.run.total_steps"] = (
            f"{count(run.epochs or 0)} epochs of {count(run.steps_per_epoch or 0)} are "
            f"{count(whole)} updates: this run ends at {count(run.total_steps)}."
        )
    for finding in findings:
        if finding.severity != "note" and (path := _path_of(finding, document, plan)):
            by_mark.setdefault(mark_of(path), finding.message)
    return by_mark


def _path_of(finding: Finding, document: PlainData, plan: Plan) -> Path:
    if finding.code == "unknown-length":
        return ("plan", "run", "total_steps")
    for row in targets_in(document):
        if row.label == finding.target:
            return _path_in_row(finding, document, row, plan)
    return ()


def _path_in_row(finding: Finding, document: PlainData, row: TargetRow, plan: Plan) -> Path:
    if finding.code == "shadowed":
        return (*row.path, "@groups")
    path = _phase_of(finding, document, row, plan)
    shape = known_shape(expanded(get(document, path))) if path else None
    fields = _FIELDS.get(finding.code, "").split()
    return next(((*path, name) for name in fields if shape and shape.field(name)), ())


def _phase_of(finding: Finding, document: PlainData, row: TargetRow, plan: Plan) -> Path:
    """Return the path of the phase that a finding is about."""
    phases = phases_of(document, row)
    if finding.code in _AT_THE_END:
        return phases[-1]
    if finding.code not in _AT_THE_START:
        step = finding.step or 0
        # the last first: a phase without an update begins where the next one does
        for path, (start, stop) in reversed(spans(document, row, plan).items()):
            if start <= step < max(stop, start + 1):
                return path
    return phases[0]
