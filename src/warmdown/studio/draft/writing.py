"""From what was typed to a plan as plain data, in the shape of the file; every field knows its path in it."""

from __future__ import annotations

__all__ = ["Written", "number_of", "run_data", "value_of", "written"]

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from warmdown.studio.draft.fields import Field, FieldKind, shape
from warmdown.studio.draft.pieces import EVERY, Draft, Given, Piece, RunTexts, Track

_WARMUP = {"kind": "linear", "start": 0.0, "end": 1.0}
_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_LONGEST_LITERAL = 500


@final
@dataclass
class Written:
    """A plan as plain data.

    Args:
        data: In the shape of the YAML file.
        keys: Key of a part of the draft by its path in the data: ``{"lr[1]": "t0.p1"}``.
        mistakes: What cannot even be written, by the key of its field.
    """

    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)

    def key_of(self, path: str) -> str:
        """Return the key of the field at a path, or of the nearest part around it, or nothing."""
        best = max((known for known in self.keys if _is_inside(path, known)), key=len, default=None)
        if best is None:
            return ""
        inside = path[len(best) :].replace(".init_args", "").replace(".class_path", ".@path")
        return self.keys[best] + (inside if ".@path" not in inside else ".@path")


def written(draft: Draft) -> Written:
    """Return the draft as plain data; a track without phases is left out.

    Example:
        >>> from warmdown.studio.draft.pieces import Track
        >>> piece = Piece("cosine", (("end", "1e-1"),))
        >>> written(Draft(tracks=(Track(phases=(piece,), warmup="5%"),))).data["lr"][1]
        {'kind': 'cosine', 'end': 0.1}
    """
    out = Written()
    run = run_data(draft.run, out.mistakes)
    _add_base(run, draft, out.mistakes)
    if run:
        out.data["run"] = run
        out.keys["run"] = "run"
    fields = [track.field for track in draft.tracks if track.phases]
    for number, track in enumerate(draft.tracks):
        if track.phases:
            _put_track(out, track, f"t{number}", is_alone=fields.count(track.field) == 1)
    if draft.after_end != "hold":
        out.data["after_end"] = draft.after_end
    if draft.count != "updates":
        out.data["count"] = draft.count
    return out


def run_data(run: RunTexts, mistakes: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the facts that a run is given as, reckoned from what was typed.

    Example:
        >>> run_data(RunTexts(epochs="3", batches="100", accumulation="8", batch_size="4"))
        {'epochs': 3, 'steps_per_epoch': 13, 'samples_per_step': 32}
    """
    said = mistakes if mistakes is not None else {}

    def count(name: str) -> int | None:
        return _count(getattr(run, name), f"run.{name}", said)

    per_update = (count("accumulation") or 1) * (count("processes") or 1)
    batches, batch_size, tokens = (
        count("batches"),
        _amount("batch_size", run, said),
        _amount("tokens", run, said),
    )
    facts = {
        "total_steps": count("total_steps"),
        "epochs": count("epochs"),
        "steps_per_epoch": None
        if batches is None
        else math.ceil(batches / (count("accumulation") or 1)),
        "samples_per_step": None if batch_size is None else batch_size * per_update,
        "tokens_per_step": None if tokens is None else tokens * (batch_size or 1) * per_update,
        "seconds_per_step": number_of(run.seconds_per_step),
        "budget": run.budget.strip() or None,
        "clock": run.clock if run.clock not in ("", "updates") else None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _count(text: str, key: str, mistakes: dict[str, str]) -> int | None:
    plain = text.strip().replace(",", "").replace("_", "").replace(" ", "")
    if not plain:
        return None
    number = number_of(plain)
    if not isinstance(number, int | float) or not 1 <= number <= 1e15 or number % 1:
        mistakes[key] = "A whole number of at least 1 is needed."
        return None
    return int(number)


def _amount(name: str, run: RunTexts, mistakes: dict[str, str]) -> float | None:
    """Return a number above zero; an average need not be whole."""
    number = number_of(getattr(run, name).replace(",", ""))
    if number is None or (isinstance(number, int | float) and 0 < number <= 1e15):
        return number
    mistakes[f"run.{name}"] = "A number above 0 is needed."
    return None


def _add_base(run: dict[str, Any], draft: Draft, mistakes: dict[str, str]) -> None:
    """Add the first group's rate, which pictures and placeholders use; look at all of them."""
    for number, group in enumerate(draft.groups):
        for name, text in group.bases:
            value = number_of(text)
            if value is not None and not (isinstance(value, int | float) and 0 <= value < math.inf):
                mistakes[f"g{number}.{name}"] = "A number of at least 0 is needed, like 1e-4."
            elif name == "lr" and value is not None:
                run.setdefault("lr", float(value))


def _put_track(out: Written, track: Track, key: str, *, is_alone: bool) -> None:
    path = (
        track.field
        if track.groups == EVERY and is_alone
        else f"{track.field}.groups.{track.groups}"
    )
    if path in out.keys:
        out.mistakes[f"{key}.groups"] = (
            "Another target drives the same number of the same groups. Name other groups."
        )
        return
    out.keys[path] = key
    inner = _inner_path(track, path)
    members = _members(track)
    many = len(members) > 1
    for number in range(len(track.phases)):
        at = number + len(members) - len(track.phases)
        out.keys[f"{inner}[{at}]" if many else inner] = f"{key}.p{number}"
    if len(members) > len(track.phases):
        out.keys[f"{inner}[0]"] = f"{key}.warmup"
        out.keys[f"{inner}[0].steps"] = f"{key}.warmup"
    if track.offset:
        out.keys[f"{path}.offset"] = f"{key}.offset"
    _place(out.data, track, _meaning(track, members if many else members[0]))


def _members(track: Track) -> list[Any]:
    warmup = value_of("duration", track.warmup)
    first = (
        [{**_WARMUP, "steps": warmup, "name": "warmup"}]
        if track.warmup.strip() and track.meaning == "scale"
        else []
    )
    return [*first, *(piece_data(piece) for piece in track.phases)]


def _inner_path(track: Track, path: str) -> str:
    if track.meaning == "set":
        return f"{path}.set"
    return f"{path}.scale" if track.low.strip() or track.offset else path


def _meaning(track: Track, of: Any) -> Any:
    if track.meaning == "set":
        return {"set": of}
    if not track.low.strip() and track.offset is None:
        return of
    data = {"scale": of}
    if track.offset is not None:
        data["offset"] = piece_data(track.offset)
    return {**data, "low": value_of("number", track.low)} if track.low.strip() else data


def _place(data: dict[str, Any], track: Track, meaning: Any) -> None:
    held = data.get(track.field)
    if track.groups == EVERY and held is None:
        data[track.field] = meaning
        return
    if not (isinstance(held, dict) and "groups" in held):
        held = data[track.field] = {"groups": {} if held is None else {EVERY: held}}
    held["groups"][track.groups] = meaning


def piece_data(piece: Piece) -> dict[str, Any]:
    """Return a schedule as plain data."""
    known = None if piece.is_foreign else shape(piece.kind)
    given = {
        name: _given(known.field(name) if known else None, value) for name, value in piece.given
    }
    given = {name: value for name, value in given.items() if value is not None}
    data: dict[str, Any] = (
        {"class_path": piece.path.strip()} if piece.is_foreign else {"kind": piece.kind, **given}
    )
    if piece.is_foreign and given:
        data["init_args"] = given
    if piece.is_foreign and piece.steps.strip():
        data["steps"] = value_of("duration", piece.steps)
    return {**data, "name": piece.name.strip()} if piece.name.strip() else data


def _given(field: Field | None, value: Given) -> Any:
    if isinstance(value, Piece):
        return piece_data(value)
    if isinstance(value, tuple):
        return [piece_data(piece) for piece in value]
    return value_of(field.kind if field else "value", value)


def value_of(kind: FieldKind, text: str) -> Any:
    """Return what a text means in a field of a kind, ``None`` when it is empty; what cannot be read stays a text.

    Example:
        >>> value_of("number", "1e-4"), value_of("duration", "5%"), value_of("durations", "[50, 80%]")
        (0.0001, '5%', [50, '80%'])
        >>> value_of("flag", "yes"), value_of("number", "%LR% * 2"), value_of("value", "50,100")
        (True, '%LR% * 2', [50, 100])
    """
    plain = text.strip()
    return _READERS.get(kind, str)(plain) if plain else None


def number_of(text: str) -> Any:
    """Return a number, ``None`` for nothing, and for anything else the text itself."""
    plain = text.strip()
    if not plain:
        return None
    if re.fullmatch(r"[+-]?\d{1,30}", plain):
        return int(plain)
    try:
        return float(plain) if len(plain) <= 60 and "_" not in plain else plain
    except ValueError:
        return plain


def _each(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def read_each(text: str) -> list[Any]:
        inside = text.removeprefix("[").removesuffix("]").removeprefix("(").removesuffix(")")
        return [read(part.strip()) for part in inside.split(",") if part.strip()]

    return read_each


def _flag(text: str) -> Any:
    return _WORDS.get(text.lower(), text)


def _guess(text: str) -> Any:
    """Return what a person means who types a value for a parameter of unknown type."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text[0] in "[({'\"" or text == "None":
        return _literal(text)
    if "," in text:
        return [_guess(part.strip()) for part in text.split(",") if part.strip()]
    return number_of(text)


def _literal(text: str) -> Any:
    if len(text) > _LONGEST_LITERAL:
        return text
    try:
        return _listed(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _listed(value: Any) -> Any:
    """Return tuples as lists, as a file would hold them."""
    if isinstance(value, list | tuple):
        return [_listed(element) for element in value]
    return (
        {str(key): _listed(one) for key, one in value.items()} if isinstance(value, dict) else value
    )


_READERS: Mapping[FieldKind, Callable[[str], Any]] = {
    "number": number_of,
    "count": number_of,
    "duration": number_of,
    "numbers": _each(number_of),
    "counts": _each(number_of),
    "durations": _each(number_of),
    "flag": _flag,
    "value": _guess,
}


def _is_inside(path: str, known: str) -> bool:
    return path == known or (path.startswith(known) and path[len(known)] in ".[")
