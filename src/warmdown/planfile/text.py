"""Text to plain data: YAML or JSON, bounded in size, depth and count before anything is built."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from warmdown.errors import SpecError
from warmdown.schedules.base import PlainData
from warmdown.shown import brief

PlainMapping: TypeAlias = Mapping[Any, Any]
"""A mapping of a text, before its keys are read."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
"""Schedules inside schedules; everything below walks data by recursion and relies on it."""
MAX_NODES = 20_000

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*+(?:_[0-9]++)*+)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]++\.[0-9]*+|\.[0-9]++)(?:[eE][-+][0-9]++)?+")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_LONGEST_NUMBER = 60
_MOST_BITS = 4096
"""Of a whole number; Python refuses to write out one of 4,300 digits."""
_TOO_LARGE = "too large for a plan. Put long tables into Python."
_TOO_MANY = f"more than {MAX_NODES:,} values: {_TOO_LARGE}"
_TOO_DEEP = f"more than {MAX_DEPTH} levels deep. Lay it flat: a list is a chain."


@dataclass(frozen=True)
class Text:
    """What a text holds, and where.

    Args:
        data: Mappings, lists, numbers, texts, truth values, ``None``.
        lines: Line of the text by the path of what stands there; empty for JSON.
    """

    data: Any
    lines: Mapping[str, int] = field(default_factory=dict)
    __repr__ = brief


def read_text(path: str | Path) -> str:
    """Return the text of a file of at most ``MAX_BYTES`` bytes of UTF-8.

    Raises:
        SpecError: It cannot be read, is larger, or is not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror or error}. Check the path.") from None
    return decode(raw)


def decode(raw: bytes) -> str:
    """Return bytes as text, if there are not too many and they are UTF-8."""
    if len(raw) > MAX_BYTES:
        raise SpecError(f"more than {MAX_BYTES >> 20} MiB: {_TOO_LARGE}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"byte {error.start}: not UTF-8 text. Save the file as UTF-8.") from None


def is_json(path: str | PathLike[str]) -> bool:
    """Whether a file is JSON by its name; else it is YAML."""
    return Path(path).suffix.lower() == ".json"


def parse(path: str | PathLike[str], text: str) -> Text:
    """Return the data of a file's text, which its name makes JSON or YAML.

    Raises:
        SpecError: It is no JSON or YAML, or too large, too deep, or has a key twice.
    """
    return from_json(text) if is_json(path) else from_yaml(text)


def from_json(text: str) -> Text:
    """Return the data of a JSON text.

    Raises:
        SpecError: It is no JSON, or too large, too deep, or has a key twice.
    """
    text = decode(text.encode("utf-8", "surrogatepass"))
    repeated: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> PlainData:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except RecursionError:
        raise SpecError(_TOO_DEEP) from None
    except ValueError as error:
        raise SpecError(f"not JSON: {error}.") from None
    if repeated:
        twice = "stands there twice in one mapping. Keep one."
        raise SpecError([f"{key}: {twice}" for key in repeated])
    return Text(bounded(data))


def from_yaml(text: str) -> Text:
    """Return the data of one YAML document.

    Numbers, ``true``, ``false`` and ``null`` are what they look like; ``1e-4``, ``yes``, ``0100``
    and dates stay texts. Aliases and tags are refused, so that a small text can neither grow large
    nor make anything but data.

    Raises:
        SpecError: It is no YAML, or too large, too deep, or has a key twice.

    Example:
        >>> from_yaml("lr: [{kind: cosine, steps: 5%}, 1e-4]").data
        {'lr': [{'kind': 'cosine', 'steps': '5%'}, '1e-4']}
    """
    text = decode(text.encode("utf-8", "surrogatepass"))
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        builder = _Builder(events)
        data = builder.document()
    except yaml.YAMLError as error:
        raise SpecError(_explain(text, error)) from None
    if builder.mistakes:
        raise SpecError(builder.mistakes)
    return Text(data, builder.lines)


class _Builder:
    """Builds data from YAML's events; the depth of its recursion is bounded."""

    def __init__(self, events: Iterable[yaml.Event]) -> None:
        self.events = map(_checked, events)
        self.lines: dict[str, int] = {}
        self.mistakes: list[str] = []
        self.count = 0

    def document(self) -> Any:
        """Return the data of the only document; ``None`` where there is none."""
        data, documents = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _error_at(event, "a second document begins. Keep one plan a file.")
            elif isinstance(event, yaml.NodeEvent):
                data = self.value(event, "", 0)
        return data

    def value(self, event: yaml.Event, path: str, depth: int) -> Any:
        """Return what begins with an event; ``depth`` lists and mappings are around it."""
        self.count += 1
        if self.count > MAX_NODES:
            raise _error_at(event, _TOO_MANY)
        self.lines[path] = _line(event)
        if isinstance(event, yaml.ScalarEvent):
            return _meaning(event)
        if depth == MAX_DEPTH:
            raise _error_at(event, _TOO_DEEP)
        inside = takewhile(_is_no_end, self.events)
        if isinstance(event, yaml.SequenceStartEvent):
            return [
                self.value(element, f"{path}[{index}]", depth + 1)
                for index, element in enumerate(inside)
            ]
        data: dict[Any, Any] = {}
        for key_event in inside:
            if not isinstance(key_event, yaml.ScalarEvent):
                raise _error_at(key_event, "a key must be one word, not a list or mapping.")
            self.count += 1
            key = _meaning(key_event)
            where = join_path(path, key)
            if key in data:
                line = _line(key_event)
                self.mistakes.append(f"line {line}: {where}: stands there twice. Keep one.")
            data[key] = self.value(next(self.events), where, depth + 1)
        return data


def _checked(event: yaml.Event) -> yaml.Event:
    """Return an event that makes nothing but data."""
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _error_at(event, "anchors and aliases (& and *) are not taken. Write it out.")
    if (tag := getattr(event, "tag", None)) not in (None, "!"):
        raise _error_at(event, f"tags such as {tag[:40]} are not taken. Write plain data.")
    return event


def _is_no_end(event: yaml.Event) -> bool:
    return not isinstance(event, yaml.CollectionEndEvent)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _error_at(event: yaml.Event, what: str) -> SpecError:
    return SpecError(f"line {_line(event)}: {what}")


def _meaning(event: yaml.ScalarEvent) -> Any:
    """Return what a text means; in quotes it is itself."""
    text = event.value
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _explain(text: str, error: yaml.YAMLError) -> str:
    """Return what is no YAML, and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        return f"not YAML: {reason}. Correct this place."
    mark, begun = error.problem_mark, error.context_mark
    before = "".join(text.splitlines()[mark.line : mark.line + 1])[: mark.column + 1]
    way_out = f"Correct what begins in line {begun.line + 1}." if begun else "Correct this place."
    if before.isspace() and "\t" in before:
        way_out = "Indent with spaces; YAML takes no tabs."
    what = ", ".join(filter(None, (error.context, error.problem)))
    return f"line {mark.line + 1}, column {mark.column + 1}: not YAML: {what}. {way_out}"


def bounded(data: Any) -> Any:
    """Return a copy of ``data`` in dictionaries and lists, if it is neither too deep nor too large.

    Mappings and sequences of any class are taken, and numbers of any (NumPy's too), so that data
    may come from wherever a program keeps its configuration.

    Raises:
        SpecError: It is too deep or too large.
    """
    return _plain_copy(data, 0, count())


def _plain_copy(data: Any, depth: int, counter: Iterator[int]) -> Any:
    if next(counter) > MAX_NODES:
        raise SpecError(_TOO_MANY)
    if depth > MAX_DEPTH:
        raise SpecError(_TOO_DEEP)
    if isinstance(data, Mapping):
        return {key: _plain_copy(value, depth + 1, counter) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str | bytes | bytearray):
        return [_plain_copy(element, depth + 1, counter) for element in data]
    if isinstance(data, bool) or not isinstance(data, Real):
        return data
    number = int(data) if isinstance(data, Integral) else float(data)
    if isinstance(number, int) and number.bit_length() > _MOST_BITS:
        what = f"a whole number of more than {_MOST_BITS} bits: too large to be meant."
        raise SpecError(f"{what} Give a smaller one.")
    return number


def join_path(path: str, key: object) -> str:
    """Return the path of ``key`` inside ``path``: ``lr.steps``."""
    return f"{path}.{str(key)[:60]}" if path else str(key)[:60]


def describe(data: Any) -> str:
    """Return data for an error, short."""
    if isinstance(data, Mapping):
        return f"a mapping of {', '.join(str(key)[:20] for key in list(data)[:4]) or 'nothing'}"
    if isinstance(data, list | tuple):
        return f"a list of {len(data)}"
    return "nothing" if data is None else repr(data)[:40]
