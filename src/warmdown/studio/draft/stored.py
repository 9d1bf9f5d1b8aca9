"""A draft as plain data, for a link's fragment and the tab's own memory, checked like anything from outside."""

from __future__ import annotations

__all__ = ["from_fragment", "from_plain", "to_fragment", "to_plain"]

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from warmdown.errors import SpecError
from warmdown.studio.draft.pieces import Draft, Given, Group, Piece, RunTexts, Track
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_PIECES

_VERSION = 1
_PREFIX = "plan="
_LONGEST_FIELD = 2_000
_DEEPEST = 20


def to_fragment(draft: Draft) -> str:
    """Return the draft as the part of an address after ``#``, which a browser keeps to itself.

    Example:
        >>> from_fragment(to_fragment(Draft())) == Draft()
        True
    """
    packed = zlib.compress(json.dumps(to_plain(draft), separators=(",", ":")).encode(), level=9)
    return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_fragment(fragment: str) -> Draft:
    """Return the draft of a fragment.

    Raises:
        SpecError: It holds no draft, too large a one, or one of another version.
    """
    text = fragment.removeprefix("#")
    if not text.startswith(_PREFIX) or len(text) > LONGEST_TEXT:
        raise SpecError(["link: it carries no plan. Ask for a new one."])
    try:
        packed = base64.urlsafe_b64decode(text.removeprefix(_PREFIX) + "==")
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(packed, LONGEST_TEXT)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise ValueError("too long, or cut")
        return from_plain(json.loads(plain))
    except SpecError:
        raise
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        raise SpecError(["link: damaged, or cut short. Ask for a new one."]) from None


def to_plain(draft: Draft) -> dict[str, Any]:
    """Return the draft as plain data."""
    return {
        "version": _VERSION,
        "run": {name: text for name, text in asdict(draft.run).items() if text},
        "groups": [{"name": group.name, "bases": dict(group.bases)} for group in draft.groups],
        "tracks": [_plain_track(track) for track in draft.tracks],
        "after_end": draft.after_end,
        "count": draft.count,
    }


def from_plain(data: Any) -> Draft:
    """Return the draft of plain data.

    Raises:
        ValueError: It is none of ours.
        SpecError: It is of another version.
    """
    _require(isinstance(data, dict) and isinstance(data.get("version"), int), "version")
    if (version := data["version"]) != _VERSION:
        told = f"link(version={version}): this warmdown reads version {_VERSION}. Open it with the one that made it"
        raise SpecError([f"{told}, or ask for the plan as a file."])
    run, tracks, groups = data.get("run", {}), data.get("tracks", []), data.get("groups", [])
    _require(
        isinstance(run, dict) and set(run) <= {field.name for field in fields(RunTexts)}, "run"
    )
    _require(isinstance(tracks, list) and 1 <= len(tracks) <= MOST_PHASES, "tracks")
    _require(isinstance(groups, list) and 1 <= len(groups) <= MOST_PHASES, "groups")
    draft = Draft(
        run=RunTexts(**{name: _text(text) for name, text in run.items()}),
        groups=tuple(_group(group) for group in groups),
        tracks=tuple(_track(track) for track in tracks),
        after_end=_text(data.get("after_end", "hold")),
        count=_text(data.get("count", "updates")),
    )
    _require(sum(1 for _ in draft.pieces()) <= MOST_PIECES, "tracks")
    return draft


def _plain_track(track: Track) -> dict[str, Any]:
    return {
        "field": track.field,
        "groups": track.groups,
        "meaning": track.meaning,
        "warmup": track.warmup,
        "phases": [_plain_piece(piece) for piece in track.phases],
        "low": track.low,
        "offset": _plain_piece(track.offset) if track.offset else None,
    }


def _plain_piece(piece: Piece) -> dict[str, Any]:
    given = {name: _plain(value) for name, value in piece.given}
    data = {"kind": piece.kind, "name": piece.name, "given": given}
    return {**data, "path": piece.path, "steps": piece.steps} if piece.is_foreign else data


def _plain(value: Given) -> Any:
    if isinstance(value, Piece):
        return _plain_piece(value)
    return [_plain_piece(piece) for piece in value] if isinstance(value, tuple) else value


def _group(data: Any) -> Group:
    _require(isinstance(data, dict) and isinstance(data.get("bases"), dict), "groups")
    return Group(
        _text(data.get("name")),
        tuple((_text(field), _text(base)) for field, base in data["bases"].items()),
    )


def _track(data: Any) -> Track:
    _require(isinstance(data, dict) and data.get("meaning") in ("scale", "set"), "tracks")
    phases = data.get("phases")
    _require(isinstance(phases, list) and len(phases) <= MOST_PHASES, "phases")
    return Track(
        field=_text(data.get("field")),
        groups=_text(data.get("groups")),
        meaning=data["meaning"],
        warmup=_text(data.get("warmup", "")),
        phases=tuple(_piece(piece) for piece in phases),
        low=_text(data.get("low", "")),
        offset=_piece(data["offset"]) if data.get("offset") else None,
    )


def _piece(data: Any, depth: int = 0) -> Piece:
    _require(
        isinstance(data, Mapping) and isinstance(data.get("given"), dict) and depth < _DEEPEST,
        "phases",
    )
    given = tuple((_text(name), _given(value, depth)) for name, value in data["given"].items())
    name, path, steps = (_text(data.get(key, "")) for key in ("name", "path", "steps"))
    return Piece(_text(data.get("kind")), given, name, path, steps)


def _given(value: Any, depth: int) -> Given:
    if isinstance(value, list):
        _require(len(value) <= MOST_PHASES, "phases")
        return tuple(_piece(piece, depth + 1) for piece in value)
    return _piece(value, depth + 1) if isinstance(value, dict) else _text(value)


def _text(value: Any) -> str:
    _require(isinstance(value, str) and len(value) <= _LONGEST_FIELD, "text")
    return str(value)


def _require(is_so: bool, what: str) -> None:
    if not is_so:
        raise ValueError(what)
