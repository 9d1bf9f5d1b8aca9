"""Handles on the curve: the ends and joints of its phases, moved by pointer, touch and keyboard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log10
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
from warmdown.studio.draft.fields import known_shapes
from warmdown.studio.preview.preview import value_text
from warmdown.studio.preview.spans import spans

_MOST = 40
"""More phases than these have no handles: they would lie over each other."""
_PERCENT = re.compile(r"\s*[\d.]+\s*%\s*")
_GRAIN = 0.5
"""Percent that a share of the run is rounded to."""
_STEP = 0.05
"""A press of an arrow key, as a share of the whole axis."""


@final
@dataclass(frozen=True)
class Handle:
    """A point of the curve that can be moved.

    Args:
        phase: Number of the phase that ends there; the first one's beginning has the same.
        path: Of that phase.
        name: What it is, for those who do not see it.
        x: Step.
        y: Value, in the field's unit.
        begin: Step at which the phase begins.
        length: The field that its length is typed in; empty where it has none.
        value: The field that its value is typed in; empty where it has none.
        joined: Path of the next phase's first value, where that is the same; empty for none.
    """

    phase: int
    path: Path
    name: str
    x: int
    y: float
    begin: int
    length: str
    value: str
    joined: Path = ()


def handles_of(
    document: PlainData, row: TargetRow, plan: Plan, bases: Mapping[str, Mapping[str, float]]
) -> tuple[Handle, ...]:
    """Return the handles of a row: where it begins, and where each of its phases ends."""
    base = _base(document, row, bases)
    stretches = spans(document, row, plan)
    paths = phases_of(document, row)
    if len(stretches) != len(paths) or len(paths) > _MOST:
        return ()
    handles: list[Handle] = []
    for number, path in enumerate(paths):
        begin, stop = stretches[path]
        takes = _fields(get(document, path))
        if number == 0 and "start" in takes:
            first = base * _value_at(document, (*path, "start"), takes["start"])
            name = f"Beginning: {value_text(first)}"
            handles.append(Handle(0, path, name, begin, first, begin, "", "start"))
        is_last = number == len(paths) - 1
        length = "steps" if "steps" in takes and not is_last else ""
        value = "end" if "end" in takes else ""
        if not (length or value):
            continue
        where: Path = () if is_last else (*paths[number + 1], "start")
        after = _fields(get(document, where[:-1])) if where else {}
        follows = base * _value_at(document, where, after["start"]) if "start" in after else 0.0
        end = base * _value_at(document, (*path, "end"), takes["end"]) if value else follows
        joined = where if value and "start" in after and follows == end else ()
        name = f"End of phase {number + 1}: update {count(stop)}, {value_text(end)}"
        handles.append(Handle(number, path, name, stop, end, begin, length, value, joined))
    return tuple(handles)


def moved(
    document: PlainData, row: TargetRow, handle: Handle, x: float, y: float, *,
    total: int, bases: Mapping[str, Mapping[str, float]],
) -> PlainData:  # fmt: skip
    """Return the document with a handle at another step and value, both made round.

    A joint stays joined: the next phase begins where this one ends.
    """
    if handle.length:
        length = max(min(x, total) - handle.begin, 1.0)
        where = (*handle.path, handle.length)
        document = put(document, where, _round_length(get(document, where), length, total))
    if handle.value:
        value = _two_digits(y / (_base(document, row, bases) or 1.0))
        document = put(document, (*handle.path, handle.value), value)
        if handle.joined:
            document = put(document, handle.joined, value)
    return document


def pressed(handle: Handle, key: str, *, total: int, top: float) -> tuple[float, float]:
    """Return where an arrow key moves a handle to."""
    right = {"ArrowRight": 1, "ArrowLeft": -1}.get(key, 0)
    up = {"ArrowUp": 1, "ArrowDown": -1}.get(key, 0)
    x = handle.x + right * max(_STEP / 5 * total, 1.0)
    return x, max(handle.y + up * _STEP * top, 0.0) if up else handle.y


def _fields(phase: Any) -> dict[str, float]:
    """Return the fields of a phase that a handle can move, with the number of a default."""
    shape = known_shapes().get(str(expanded(phase).get("kind", "")))
    found: dict[str, float] = {}
    for name in ("start", "end", "steps"):
        field = shape.field(name) if shape and not shape.is_recipe else None
        if field is not None:
            try:
                found[name] = float(field.default or "nan")
            except ValueError:
                found[name] = float("nan")
    return found


def _value_at(document: PlainData, path: Path, default: float) -> float:
    given = get(document, path)
    try:
        return default if given is None else float(given)
    except (TypeError, ValueError):
        return float("nan")


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
    return f"{max(round(100 * length / total / _GRAIN) * _GRAIN, _GRAIN):g}%"


def _two_digits(value: float) -> float:
    """Return a number with two digits.

    Example:
        >>> _two_digits(0.1234), _two_digits(1234.0), _two_digits(0.0)
        (0.12, 1200.0, 0.0)
    """
    return round(value, 1 - floor(log10(abs(value)))) if value else 0.0
