"""A draft as plain data, for a link's fragment and the tab's memory; both are checked when read."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import asdict
from typing import Any

from warmdown.errors import SpecError
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


def to_plain(draft: Draft) -> dict[str, Any]:
    """Return the draft as plain data."""
    return {
        "version": _VERSION,
        "run": {name: text for name, text in asdict(draft.run).items() if text},
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
    version = _of_type(int, _of_type(dict, data).get("version"))
    if version != _VERSION:
        raise SpecError(
            [
                f"link(version={version}): this warmdown reads version {_VERSION}. Open it with "
                f"the one that made it, or ask for the plan as a file."
            ]
        )
    try:
        draft = Draft(
            run=RunTexts(**_texts(data.get("run", {}))),
            groups=tuple(_read_group(group) for group in _short_list(data.get("groups"))),
            targets=tuple(_read_target(target) for target in _short_list(data.get("tracks"))),
            **_texts({name: data[name] for name in ("after_end", "count") if name in data}),
        )
    except TypeError as error:  # a name that is no field, or one that is missing
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


def _read_group(data: Any) -> Group:
    bases = _texts(_of_type(dict, data).get("bases"))
    return Group(_read_text(data.get("name")), tuple(bases.items()))


def _read_target(data: Any) -> TargetDraft:
    fields = dict(_of_type(dict, data))
    phases = _short_list(fields.pop("phases", None))
    offset = fields.pop("offset", None)
    if fields.get("meaning") not in ("scale", "set") or not fields.keys() >= {"field", "groups"}:
        raise ValueError("tracks")
    return TargetDraft(
        **_texts(fields),  # type: ignore[arg-type]  # the meaning is one of its two words
        phases=tuple(_read_schedule(phase) for phase in phases),
        offset=_read_schedule(offset) if offset else None,
    )


def _read_schedule(data: Any, depth: int = 0) -> ScheduleDraft:
    if depth == _DEEPEST:
        raise ValueError("too deep")
    texts = dict(_of_type(dict, data))
    given = _of_type(dict, texts.pop("given", None))
    arguments = tuple((name, _read_argument(value, depth + 1)) for name, value in given.items())
    return ScheduleDraft(**_texts(texts), arguments=arguments)


def _read_argument(value: Any, depth: int) -> Typed:
    if isinstance(value, list):
        return tuple(_read_schedule(one, depth) for one in _short_list(value))
    return _read_schedule(value, depth) if isinstance(value, dict) else _read_text(value)


def _short_list(data: Any) -> list[Any]:
    rows: list[Any] = _of_type(list, data)
    if len(rows) > MOST_PHASES:
        raise ValueError("too many rows")
    return rows


def _texts(data: Any) -> dict[str, str]:
    return {_read_text(name): _read_text(text) for name, text in _of_type(dict, data).items()}


def _read_text(value: Any) -> str:
    text: str = _of_type(str, value)
    if len(text) > _LONGEST_FIELD:
        raise ValueError("too long a text")
    return text


def _of_type(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"not {kind.__name__}: {value!r:.60}")
    return value
