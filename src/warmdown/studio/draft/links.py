"""A document as text, for a link's fragment and the tab's memory; both are checked when read."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

from warmdown.errors import SpecError
from warmdown.planfile.classes import is_known
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import (
    class_paths,
    schedules_in,
    typed,
    with_target,
)
from warmdown.studio.draft.fields import widget_of
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_SCHEDULES

_VERSION = 2
_PREFIX = "plan="
_LONGEST_FIELD = 2_000
_OF_LOADER = ("batches", "accumulation", "processes", "batch_size", "tokens")
_DEEPEST = 60
"""Levels of plain data; a schedule in another one is two or three."""


def to_fragment(document: PlainData) -> str:
    """Return a document as the part of an address after ``#``, which a browser sends to no server.

    Example:
        >>> document = {"plan": {"lr": "cosine"}, "groups": [{}], "loader": {}}
        >>> from_fragment(to_fragment(document)) == document
        True
    """
    text = json.dumps(to_plain(document), separators=(",", ":"))
    packed = zlib.compress(text.encode(), level=9)
    return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_fragment(fragment: str) -> PlainData:
    """Return the document of a fragment.

    Raises:
        SpecError: It holds none, too large a one, or one of another version.
    """
    text = fragment.removeprefix("#")
    if not text.startswith(_PREFIX) or len(text) > LONGEST_TEXT:
        raise SpecError("link: it carries no plan. Ask for a new one.")
    try:
        # the padding that was left out; more than is needed does no harm
        packed = base64.urlsafe_b64decode(text.removeprefix(_PREFIX) + "==")
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(packed, LONGEST_TEXT)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise ValueError("too long, or cut")
        return from_plain(json.loads(plain))
    except SpecError:  # it is a ValueError too, and says more
        raise
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        raise SpecError("link: damaged, or cut short. Ask for a new one.") from None


def from_link(fragment: str) -> PlainData:
    """Return the document of a link that comes from elsewhere.

    Raises:
        SpecError: It holds none, or names a class outside the known libraries.
    """
    document = from_fragment(fragment)
    for path in class_paths(document):
        if path and not is_known(path):
            raise SpecError(
                f"link: it names {path[:80]!r}, a class that is not of a known library. Links "
                f"may not do that; type the class on the page if you trust it."
            )
    return document


def to_plain(document: PlainData) -> PlainData:
    """Return a document as plain data that a later page can read, or refuse."""
    return {"version": _VERSION, **document}


def from_plain(data: Any) -> PlainData:
    """Return the document of plain data that a page wrote.

    Raises:
        ValueError: It is none of ours.
        SpecError: It is of another version.
    """
    try:
        if (version := data["version"]) == 1:
            _require_bounded(data)
            data = _from_version_1(data)
        elif version != _VERSION:
            raise SpecError(
                f"link(version={version!r:.20}): this warmdown reads versions up to {_VERSION}. "
                "Open it with the one that made it, or ask for the plan as a file."
            )
        plan, groups, loader = (data[name] for name in ("plan", "groups", "loader"))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None
    document = {"plan": plan, "groups": groups, "loader": loader}
    _require_bounded(document)
    rows = [loader, *groups] if isinstance(groups, list) and groups else [None]
    if not isinstance(plan, dict) or not all(map(_has_texts, rows)):
        raise ValueError("not a document")
    if sum(1 for _ in schedules_in(plan)) > MOST_SCHEDULES:
        raise ValueError("too many schedules")
    return document


def _has_texts(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(value, str) for value in row.values())


def _require_bounded(data: Any, depth: int = 0) -> None:
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    is_long = isinstance(data, str) and len(data) > _LONGEST_FIELD
    if is_long or len(parts) > MOST_PHASES or depth > _DEEPEST:
        raise ValueError("too large, or too deep")
    for part in parts:
        _require_bounded(part, depth + 1)


def _from_version_1(data: PlainData) -> PlainData:
    """Return the document of a link that an older page made: forms by phase, all of them texts."""
    run = dict(data["run"])
    loader = {name: run.pop(name) for name in _OF_LOADER if name in run}
    facts = {name: typed("number", text) for name, text in run.items()}
    groups = [{"name": group["name"], **group["bases"]} for group in data["groups"]]
    document: PlainData = {
        "plan": {"run": facts} if facts else {},
        "groups": [{name: text for name, text in group.items() if text} for group in groups],
        "loader": loader,
    }
    for track in data["tracks"]:
        chain = [_phase_1(phase) for phase in track["phases"]]
        if track["warmup"].strip() and track["meaning"] == "scale":
            warmup = typed("duration", track["warmup"])
            rise = {"kind": "linear", "start": 0.0, "end": 1.0, "steps": warmup, "name": "warmup"}
            chain.insert(0, rise)
        if not chain:
            continue
        rule: Any = chain if len(chain) > 1 else chain[0]
        low, offset = typed("number", track["low"]), track["offset"]
        bounds = {"offset": offset and _phase_1(offset), "low": low}
        bounds = {name: bound for name, bound in bounds.items() if bound is not None}
        if track["meaning"] == "set":
            rule = {"set": rule}
        elif bounds:
            rule = {"scale": rule, **bounds}
        document = with_target(document, str(track["field"]), str(track["groups"]), rule)
    for name, usual in (("after_end", "hold"), ("count", "updates")):
        if data.get(name, usual) != usual:
            document["plan"][name] = data[name]
    return document


def _phase_1(phase: PlainData) -> PlainData:
    is_class = phase["kind"] == "class"
    values = {
        str(name): _value_1("value" if is_class else widget_of(phase["kind"], name), value)
        for name, value in phase["given"].items()
    }
    made: PlainData = {"kind": phase["kind"], **values}
    if is_class:
        made = {"class_path": phase["path"].strip()}
        if values:
            made["init_args"] = values
        if phase["steps"].strip():
            made["steps"] = typed("duration", phase["steps"])
    return {**made, "name": phase["name"].strip()} if phase["name"].strip() else made


def _value_1(widget: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_phase_1(one) for one in value]
    return _phase_1(value) if isinstance(value, dict) else typed(widget, value)
