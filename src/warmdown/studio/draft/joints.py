"""Where one phase ends and the next begins: joints, which move as one unless they were parted."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, TypeAlias

from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import (
    Path,
    TargetRow,
    expanded,
    get,
    mark_of,
    phases_of,
    put,
    with_phases,
)
from warmdown.studio.draft.fields import known_shape

Side: TypeAlias = Literal["start", "end"]
_GRAIN = 0.5
"""Percent that a share of the run is rounded to."""


def share_text(percent: float) -> str:
    """Return a share of the run as a person would type it, never nothing.

    Example:
        >>> share_text(33.3), share_text(0.1)
        ('33.5%', '0.5%')
    """
    return f"{max(round(percent / _GRAIN) * _GRAIN, _GRAIN):g}%"


def edge(document: PlainData, phase: Path, side: Side) -> Path:
    """Return the path of the value that a phase starts or ends with; empty where no field has it.

    Example:
        >>> edge({"lr": ["linear", "constant"]}, ("lr", 1), "start")
        ('lr', 1, 'value')
    """
    schedule = expanded(get(document, phase))
    shape = known_shape(schedule)
    if shape is None or shape.is_recipe or "class_path" in schedule:
        return ()
    names = (side, "value") if schedule["kind"] == "constant" else (side,)
    return next(((*phase, name) for name in names if shape.field(name)), ())


def value_at(document: PlainData, path: Path) -> float:
    """Return the number at a path, or the default of its field; ``nan`` where there is none."""
    given: Any = get(document, path)
    if given is None and path:
        shape = known_shape(expanded(get(document, path[:-1])))
        field = shape.field(str(path[-1])) if shape else None
        given = field.default if field else None
    try:
        return float(given)
    except (TypeError, ValueError):
        return float("nan")


def joint(document: PlainData, row: TargetRow, number: int) -> tuple[Path, Path] | None:
    """Return the paths of the two values where a phase follows the one before; ``None`` if none."""
    phases = phases_of(document, row)
    if not 0 < number < len(phases):
        return None
    ends = edge(document, phases[number - 1], "end"), edge(document, phases[number], "start")
    return ends if all(ends) else None


def is_joined(document: PlainData, row: TargetRow, number: int, parted: Collection[str]) -> bool:
    """Return whether a phase begins where the one before ends, and was not parted from it."""
    ends = joint(document, row, number)
    if ends is None or mark_of(ends[1]) in parted:
        return False
    same = get(document, ends[0]) == get(document, ends[1]) is not None
    return same or value_at(document, ends[0]) == value_at(document, ends[1])


def put_joined(
    document: PlainData, row: TargetRow, path: Path, value: Any, parted: Collection[str]
) -> PlainData:
    """Return the document with a value at a path, and at every value that is joined to it.

    Example:
        >>> document = {"plan": {"lr": [{"kind": "linear", "end": 1}, "constant", "cosine"]}}
        >>> row = TargetRow("lr", "*", ("plan", "lr"))
        >>> put_joined(document, row, ("plan", "lr", 0, "end"), 0.5, ())["plan"]["lr"][2]
        {'kind': 'cosine', 'start': 0.5}
    """
    numbers = range(1, len(phases_of(document, row)))
    joints = [joint(document, row, at) for at in numbers if is_joined(document, row, at, parted)]
    document = put(document, path, value)
    if value is None:
        value = value_at(document, path)
    reached = {path}
    for _ in joints:
        for ends in filter(None, joints):
            if reached & set(ends):
                reached |= set(ends)
    for other in sorted(reached - {path}, key=mark_of):
        document = put(document, other, value)
    return document


def inserted(
    document: PlainData, row: TargetRow, number: int, phase: PlainData, *, share: float
) -> PlainData:
    """Return the document with one more phase, which begins where the one before it ends.

    Args:
        document: What is typed.
        row: The target.
        number: Where the new phase stands.
        phase: The new one; what it gives for its start counts.
        share: Percent of the run that the phase before takes. One that takes the rest of the run
            keeps half of it.
    """
    phases = [get(document, path) for path in phases_of(document, row)]
    before = dict(expanded(phases[number - 1]))
    shape = known_shape(before)
    if shape and shape.field("steps") and before.get("steps", "rest") == "rest":
        before["steps"] = share_text(share / 2)
        phases[number - 1] = before
    document = with_phases(document, row, [*phases[:number], phase, *phases[number:]])
    ends = joint(document, row, number)
    if ends and get(document, ends[1]) is None:
        end = value_at(document, ends[0])
        if end == end and end != value_at(document, ends[1]):
            document = put(document, ends[1], end)
    return document
