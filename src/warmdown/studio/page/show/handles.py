"""Handles on the curve: the ends and joints of its phases, moved by pointer, touch and keyboard."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any, final

from warmdown.formatting import count
from warmdown.plan import Plan
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import (
    Path,
    TargetRow,
    expanded,
    get,
    meaning_of,
    phases_of,
    put,
)
from warmdown.studio.draft.fields import known_shape
from warmdown.studio.draft.joints import edge, is_joined, joint, put_joined, share_text, value_at
from warmdown.studio.preview.preview import value_text
from warmdown.studio.preview.spans import spans

_MOST = 40
"""More phases than these have no handles: they would lie over each other."""
_PERCENT = re.compile(r"\s*[\d.]+\s*%\s*")
_STEP = 0.05
"""A press of an arrow key, as a share of the whole axis."""


@final
@dataclass(frozen=True)
class Handle:
    """A point of the curve that can be moved.

    Args:
        phase: Number of the phase that begins or ends there.
        name: What it is, for those who do not see it.
        x: Step.
        y: Value, in the field's unit.
        begin: Step at which the phase begins.
        length: Path of its length; empty where that is not moved.
        value: Path of its value; empty where it has none.
        joint: Number of the phase that follows there, which Enter parts or joins; 0 for none.
    """

    phase: int
    name: str
    x: int
    y: float
    begin: int
    length: Path
    value: Path
    joint: int = 0


def handles_of(
    document: PlainData, row: TargetRow, plan: Plan, bases: Mapping[str, Mapping[str, float]],
    parted: Collection[str] = (),
) -> tuple[Handle, ...]:  # fmt: skip
    """Return the handles of a row: its beginning, each phase's end, and parted beginnings."""
    base = _base(document, row, bases)
    stretches = spans(document, row, plan)
    paths = phases_of(document, row)
    if len(stretches) != len(paths) or len(paths) > _MOST:
        return ()
    handles: list[Handle] = []
    for number, path in enumerate(paths):
        begin, stop = stretches[path]
        start, end = edge(document, path, "start"), edge(document, path, "end")
        if start != end and start and not is_joined(document, row, number, parted):
            y, which = base * value_at(document, start), f" of phase {number + 1}" if number else ""
            can_join = number if joint(document, row, number) else 0
            way = f"; Enter joins it to phase {number}" if can_join else ""
            name = f"Beginning{which}: {value_text(y)}{way}"
            handles.append(Handle(number, name, begin, y, begin, (), start, can_join))
        schedule = expanded(get(document, path))
        shape = known_shape(schedule)
        is_last = number == len(paths) - 1
        has_length = shape and not shape.is_recipe and shape.field("steps")
        is_moved = has_length and (not is_last or schedule.get("steps", "rest") != "rest")
        length = (*path, "steps") if is_moved else ()
        follows = () if is_last else edge(document, paths[number + 1], "start")
        if not (length or end):
            continue
        y = base * value_at(document, end or follows) if end or follows else 0.0
        following = number + 1 if is_joined(document, row, number + 1, parted) else 0
        way = f"; Enter parts it from phase {number + 2}" if following else ""
        name = f"End of phase {number + 1}: update {count(stop)}, {value_text(y)}{way}"
        handles.append(Handle(number, name, stop, y, begin, length, end, following))
    return tuple(one for one in handles if isfinite(one.y))


def moved(
    document: PlainData, row: TargetRow, handle: Handle, x: float, y: float, *,
    total: int, bases: Mapping[str, Mapping[str, float]], parted: Collection[str] = (),
) -> PlainData:  # fmt: skip
    """Return the document with a handle at another step and value, both made round.

    A joint stays joined: the next phase begins where this one ends.
    """
    if handle.value:
        value = _two_digits(y / (_base(document, row, bases) or 1.0))
        document = put_joined(document, row, handle.value, value, parted)
    if handle.length:
        length = max(min(x, total) - handle.begin, 1.0)
        given = get(document, handle.length)
        document = put(document, handle.length, _round_length(given, length, total))
    return document


def pressed(handle: Handle, key: str, *, total: int, top: float) -> tuple[float, float]:
    """Return where an arrow key moves a handle to."""
    right = {"ArrowRight": 1, "ArrowLeft": -1}.get(key, 0)
    up = {"ArrowUp": 1, "ArrowDown": -1}.get(key, 0)
    x = handle.x + right * max(_STEP / 5 * total, 1.0)
    return x, max(handle.y + up * _STEP * top, 0.0) if up else handle.y


def _base(document: PlainData, row: TargetRow, bases: Mapping[str, Mapping[str, float]]) -> float:
    """Return the value that a factor of 1 stands for in the picture: of the first group drawn."""
    if meaning_of(document, row) == "set":
        return 1.0
    return next((base[row.field] for base in bases.values() if row.field in base), 1.0)


def _round_length(given: Any, length: float, total: int) -> Any:
    """Return a length in the unit in which it was written."""
    unit = _PERCENT.fullmatch(given) if isinstance(given, str) else None
    if unit is None:
        return max(int(_two_digits(length)), 1)
    return share_text(100 * length / total)


def _two_digits(value: float) -> float:
    """Return a number with two digits.

    Example:
        >>> _two_digits(0.1234), _two_digits(1234.0), _two_digits(0.0)
        (0.12, 1200.0, 0.0)
    """
    return round(value, 1 - floor(log10(abs(value)))) if value else 0.0
