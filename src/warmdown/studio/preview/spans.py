"""When each phase of a track is, and which of its fields a finding is about."""

from __future__ import annotations

__all__ = ["Span", "placed", "span_text", "spans"]

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import from_dict
from warmdown.plot.formatting import count
from warmdown.schedules import Chain, Schedule
from warmdown.studio.draft.fields import shape
from warmdown.studio.draft.pieces import Draft, Track
from warmdown.studio.draft.writing import piece_data
from warmdown.studio.preview.look import Finding

Span: TypeAlias = tuple[int, int]
"""First step of a phase, and the step after its last."""

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "jump": ("start", "value", "low"),
    "zero-first-update": ("start",),
    "zero-updates": ("end",),
    "negative": ("end", "start"),
    "never-reaches-end": ("end", "steps"),
    "holds-early": ("steps",),
    "long-warmup": ("steps", "warmup"),
    "empty-phase": ("steps",),
    "does-not-fit": ("steps", "warmup"),
    "mark-beyond-end": ("at",),
    "far-above-base": ("start", "end", "value"),
    "far-below-base": ("start", "value"),
    "out-of-range": ("start", "end", "value"),
    "cycle-cut-off": ("times", "of"),
}
"""The fields that a finding may be about, the likeliest first."""
_AT_THE_BEGINNING = ("zero-first-update", "long-warmup")
_AT_THE_END = ("zero-updates", "never-reaches-end", "holds-early")


def spans(track: Track, plan: Plan) -> dict[int, Span]:
    """Return the stretch of each phase by its number; nothing for what cannot be told.

    Example:
        >>> from warmdown import Constant, Linear, Run
        >>> from warmdown.studio.draft.pieces import Piece
        >>> track = Track(warmup="10", phases=(Piece("linear", (("steps", "40"),)), Piece("constant")))
        >>> warmup = Linear(start=0.0, end=1.0, steps=10)
        >>> plan = Plan.of(lr=warmup >> Linear(steps=40) >> Constant(), run=Run(total_steps=100))
        >>> spans(track, plan)
        {0: (10, 50), 1: (50, 100)}
    """
    target = next(
        (t for t in plan.targets if (t.name, t.groups) == (track.field, track.groups)), None
    )
    if target is None:
        return {}
    try:
        settled = target.rule.over(plan.run).schedules()[0]
        sizes = [_members(from_dict(piece_data(piece), run=plan.run)) for piece in track.phases]
    except WarmdownError:
        return {}
    lengths = (
        [member.length for member in settled.members]
        if isinstance(settled, Chain)
        else [settled.length]
    )
    before = len(lengths) - sum(sizes)
    return (
        _told(lengths[:before], _grouped(lengths[before:], sizes), plan.length)
        if 0 <= before <= 1
        else {}
    )


def span_text(span: Span) -> str:
    """Return a stretch in words."""
    return f"{count(span[0])} – {count(span[1])}"


def placed(findings: Sequence[Finding], draft: Draft, plan: Plan) -> dict[str, str]:
    """Return what is to be said beside a field, by its key; what is about no field is left out."""
    found: dict[str, str] = {}
    for finding in (finding for finding in findings if finding.severity != "note"):
        key = "run.total_steps" if finding.code == "unknown-length" else _key(finding, draft, plan)
        if key:
            found.setdefault(key, finding.text)
    return found


def _key(finding: Finding, draft: Draft, plan: Plan) -> str:
    number = next(
        (at for at, track in enumerate(draft.tracks) if track.label == finding.target), None
    )
    if number is None or not draft.tracks[number].phases:
        return ""
    track, wanted = draft.tracks[number], _FIELDS.get(finding.code, ())
    if finding.code == "shadowed":
        return f"t{number}.groups"
    phase = _phase_of(finding, track, plan)
    if phase is None:
        return f"t{number}.warmup" if wanted else ""
    piece = track.phases[phase]
    known = None if piece.is_foreign else shape(piece.kind)
    field = next((name for name in wanted if known and known.field(name)), None)
    return f"t{number}.p{phase}.{field}" if field else ""


def _phase_of(finding: Finding, track: Track, plan: Plan) -> int | None:
    """Return the phase that a finding is about, or ``None`` for the warmup on top."""
    last = len(track.phases) - 1
    if finding.code in _AT_THE_END:
        return last
    if finding.code in _AT_THE_BEGINNING:
        return None if track.warmup.strip() else 0
    step = finding.step or 0
    inside = [
        at
        for at, (start, stop) in spans(track, plan).items()
        if start <= step < max(stop, start + 1)
    ]
    return inside[-1] if inside else (None if track.warmup else 0)


def _members(schedule: Schedule) -> int:
    return len(schedule.members) if isinstance(schedule, Chain) else 1


def _grouped(lengths: Sequence[int | None], sizes: Sequence[int]) -> list[list[int | None]]:
    found, at = [], 0
    for size in sizes:
        found.append(list(lengths[at : at + size]))
        at += size
    return found


def _told(
    before: Sequence[int | None], phases: Sequence[Sequence[Any]], end: int | None
) -> dict[int, Span]:
    at: int | None = sum(length or 0 for length in before)
    found = {}
    for number, lengths in enumerate(phases):
        stop = end if None in lengths or at is None else at + sum(lengths)
        if at is None or stop is None:
            break
        found[number] = (at, stop)
        at = stop
    return found
