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
from warmdown.studio.draft.model import Draft, Group, RunTexts, ScheduleDraft, TargetDraft, Typed
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_SCHEDULES

_VERSION = 1
_PREFIX = "plan="
_LONGEST_FIELD = 2_000
_DEEPEST = 20


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
        raise SpecError(["link: it carries no plan. Ask for a new one."])
    try:
        packed = base64.urlsafe_b64decode(text.removeprefix(_PREFIX) + "==")
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(packed, LONGEST_TEXT)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise ValueError("too long, or cut")
        return from_plain(json.loads(plain))
    except SpecError:  # it is a ValueError too, and says more
        raise
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        raise SpecError(["link: damaged, or cut short. Ask for a new one."]) from None


def from_link(fragment: str) -> Draft:
    """Return the draft of a link that comes from elsewhere.

    Raises:
        SpecError: It holds no draft, or names a class outside the known libraries.
    """
    draft = from_fragment(fragment)
    for path in draft.class_paths():
        if path and not is_known(path):
            raise SpecError(
                [
                    f"link: it names {path[:80]!r}, a class that is not of a known library. Links "
                    f"may not do that; type the class on the page if you trust it."
                ]
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
                [
                    f"link(version={data['version']!r:.20}): this warmdown reads version "
                    f"{_VERSION}. Open it with the one that made it, or ask for the plan as a file."
                ]
            )
        words = {name: data[name] for name in ("after_end", "count") if name in data}
        draft = Draft(
            run=RunTexts(**_texts(data.get("run", {}))),
            groups=tuple(_read_group(**group) for group in _rows(data["groups"])),
            targets=tuple(_read_target(**target) for target in _rows(data["tracks"])),
            **_texts(words),
        )
    except (TypeError, KeyError, AttributeError) as error:  # of another shape than ours
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


def _read_group(name: Any, bases: Any) -> Group:
    return Group(_text(name), tuple(_texts(bases).items()))


def _read_target(meaning: Any, phases: Any, offset: Any = None, **texts: Any) -> TargetDraft:
    if meaning not in ("scale", "set") or not texts.keys() >= {"field", "groups"}:
        raise ValueError("tracks")
    return TargetDraft(
        **_texts(texts),
        meaning=meaning,
        phases=tuple(_read_schedule(0, **phase) for phase in _rows(phases)),
        offset=_read_schedule(0, **offset) if offset else None,
    )


def _read_schedule(depth: int, given: Any, **texts: Any) -> ScheduleDraft:
    if depth == _DEEPEST:
        raise ValueError("too deep")
    arguments = [(_text(name), _read_argument(depth + 1, value)) for name, value in given.items()]
    return ScheduleDraft(**_texts(texts), arguments=tuple(arguments))


def _read_argument(depth: int, value: Any) -> Typed:
    if isinstance(value, list):
        return tuple(_read_schedule(depth, **one) for one in _rows(value))
    return _read_schedule(depth, **value) if isinstance(value, dict) else _text(value)


def _rows(data: Any) -> list[Any]:
    if not isinstance(data, list) or len(data) > MOST_PHASES:
        raise ValueError("no rows, or too many")
    return data


def _texts(data: Any) -> PlainData:
    return {_text(name): _text(value) for name, value in data.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_FIELD:
        raise ValueError("no text, or too long a one")
    return value
