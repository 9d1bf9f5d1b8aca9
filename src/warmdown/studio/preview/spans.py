"""When each phase of a target is, and which field a finding is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warmdown.checks import Finding
from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import from_dict
from warmdown.studio.draft.fields import known_shapes
from warmdown.studio.draft.model import Draft, TargetDraft
from warmdown.studio.draft.writing import ByKey, chain_data

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


def spans(target: TargetDraft, plan: Plan) -> dict[int, tuple[int, int]]:
    """Return the first step of each phase and the step after its last, by its number.

    Example:
        >>> from warmdown import Run
        >>> from warmdown.studio.draft.model import ScheduleDraft
        >>> phases = (ScheduleDraft("linear", (("steps", "40"),)), ScheduleDraft("constant"))
        >>> spans(TargetDraft(warmup="10", phases=phases), Plan.of(run=Run(total_steps=100)))
        {0: (10, 50), 1: (50, 100)}
    """
    # each phase is named by its number: a recipe may have phases of its own inside it
    numbered = [replace(phase, name=str(number)) for number, phase in enumerate(target.phases)]
    data = chain_data(replace(target, phases=tuple(numbered)))
    try:
        phases = from_dict(data, run=plan.run).over(plan.run).phases()
    except WarmdownError:
        return {}
    stops = [plan.length if phase.stop is None else phase.stop for phase in phases]
    return {
        int(phase.name): (phase.start, stop)
        for phase, stop in zip(phases, stops, strict=True)
        if phase.name != "warmup" and stop is not None
    }


def findings_by_key(findings: Sequence[Finding], draft: Draft, plan: Plan) -> ByKey:
    """Return the message beside each field, by its key, of the findings that are about one."""
    by_key: ByKey = {}
    for finding in findings:
        if finding.severity != "note" and (key := _field_key_of(finding, draft, plan)):
            by_key.setdefault(key, finding.message)
    return by_key


def _field_key_of(finding: Finding, draft: Draft, plan: Plan) -> str:
    if finding.code == "unknown-length":
        return "run.total_steps"
    for number, target in enumerate(draft.targets):
        if target.label == finding.target and target.phases:
            return _key_in_target(finding, target, f"t{number}", plan)
    return ""


def _key_in_target(finding: Finding, target: TargetDraft, key: str, plan: Plan) -> str:
    if finding.code == "shadowed":
        return f"{key}.groups"
    fields = _FIELDS.get(finding.code, "").split()
    number = _phase_of(finding, target, plan)
    if number is None:
        return f"{key}.warmup" if fields else ""
    shape = known_shapes()[target.phases[number].kind]
    return next((f"{key}.p{number}.{name}" for name in fields if shape.field(name)), "")


def _phase_of(finding: Finding, target: TargetDraft, plan: Plan) -> int | None:
    """Return the phase that a finding is about, or ``None`` for the warmup before them."""
    if finding.code in _AT_THE_END:
        return len(target.phases) - 1
    if finding.code not in _AT_THE_START:
        step = finding.step or 0
        # the last first: a phase without an update begins where the next one does
        for number, (start, stop) in reversed(spans(target, plan).items()):
            if start <= step < max(stop, start + 1):
                return number
    return None if target.warmup.strip() else 0
