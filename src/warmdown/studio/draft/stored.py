"""A draft as plain data, for a link's fragment and the tab's memory; both are checked when read."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

from warmdown.errors import SpecError
from warmdown.planfile.classes import is_known
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.decoding import decoded
from warmdown.studio.draft.model import Draft, ScheduleDraft
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_SCHEDULES

_VERSION = 1
_KEYS = ("run", "groups", "tracks", "after_end", "count")
_PREFIX = "plan="
_LONGEST_FIELD = 2_000
_DEEPEST = 60
"""Levels of plain data; a schedule in another one is two or three."""


def to_fragment(draft: Draft) -> str:
    """Return the draft as the part of an address after ``#``, which a browser sends to no server.

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


def from_link(fragment: str) -> Draft:
    """Return the draft of a link that comes from elsewhere.

    Raises:
        SpecError: It holds no draft, or names a class outside the known libraries.
    """
    draft = from_fragment(fragment)
    for path in draft.class_paths():
        if path and not is_known(path):
            raise SpecError(
                f"link: it names {path[:80]!r}, a class that is not of a known library. Links "
                f"may not do that; type the class on the page if you trust it."
            )
    return draft


def to_plain(draft: Draft) -> PlainData:
    """Return the draft as plain data."""
    return {
        "version": _VERSION,
        "run": {name: text for name, text in vars(draft.run).items() if text},
        "groups": [{"name": group.name, "bases": dict(group.bases)} for group in draft.groups],
        "tracks": [
            {name: _to_plain(value) for name, value in vars(target).items()}
            for target in draft.targets
        ],
        "after_end": draft.after_end,
        "count": draft.count,
    }


def from_plain(data: Any) -> Draft:
    """Return the draft of plain data.

    Raises:
        ValueError: It is none of ours.
        SpecError: It is of another version.
    """
    try:
        if data["version"] != _VERSION:
            raise SpecError(
                f"link(version={data['version']!r:.20}): this warmdown reads version "
                f"{_VERSION}. Open it with the one that made it, or ask for the plan as a file."
            )
        _require_bounded(data)
        # a key that is not a draft's own is left out: a newer page may write more
        known = {name: data[name] for name in _KEYS if name in data}
        draft: Draft = decoded(Draft, {"run": {}, "after_end": "hold", "count": "updates", **known})
    except (TypeError, KeyError) as error:  # of another shape than ours
        raise ValueError(str(error)) from None
    if not draft.groups or not draft.targets or len([*draft.schedules()]) > MOST_SCHEDULES:
        raise ValueError("empty, or too large")
    return draft


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(one) for one in value]
    if not isinstance(value, ScheduleDraft):
        return value
    given = {name: _to_plain(argument) for name, argument in value.arguments}
    data = {"kind": value.kind, "name": value.name, "given": given}
    return {**data, "path": value.path, "steps": value.steps} if value.is_foreign else data


def _require_bounded(data: Any, depth: int = 0) -> None:
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    is_long = isinstance(data, str) and len(data) > _LONGEST_FIELD
    if is_long or len(parts) > MOST_PHASES or depth > _DEEPEST:
        raise ValueError("too large, or too deep")
    for part in parts:
        _require_bounded(part, depth + 1)
