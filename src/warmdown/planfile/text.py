"""Text to plain data: YAML or JSON, bounded in size, depth and count before anything is built."""

from __future__ import annotations

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "Text",
    "bounded",
    "decode",
    "from_json",
    "from_yaml",
    "is_json",
    "join_path",
    "parse",
    "read_text",
    "describe",
]

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from warmdown.errors import SpecError

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


def read_text(path: str | Path) -> str:
    """Return the text of a file of at most ``MAX_BYTES`` bytes of UTF-8.

    Raises:
        SpecError: It cannot be read, is larger, or is not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError([f"cannot be read: {error.strerror or error}. Check the path."]) from None
    return decode(raw)


def decode(raw: bytes) -> str:
    """Return bytes as text, if there are not too many and they are UTF-8."""
    if len(raw) > MAX_BYTES:
        raise SpecError([f"more than {MAX_BYTES >> 20} MiB: {_TOO_LARGE}"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"byte {error.start}: not UTF-8 text. Save the file as UTF-8."]) from None


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

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except RecursionError:
        raise SpecError([_TOO_DEEP]) from None
    except ValueError as error:
        raise SpecError([f"not JSON: {error}."]) from None
    if repeated:
        raise SpecError(
            [f"{key}: stands there twice in one mapping. Keep one." for key in repeated]
        )
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
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.add(event)
    except yaml.YAMLError as error:
        raise SpecError([_explain(text, error)]) from None
    if builder.mistakes:
        raise SpecError(builder.mistakes)
    return Text(builder.root[0] if builder.root else None, builder.lines)


_NO_KEY = object()


class _Builder:
    """Builds data from YAML's events on a stack of its own, so that depth costs no recursion."""

    def __init__(self) -> None:
        self.root: list[Any] = []
        self.open: list[tuple[Any, str]] = [(self.root, "")]  # each container with its path
        self.keys: list[Any] = []  # the key that waits for its value, for each open mapping
        self.lines: dict[str, int] = {}
        self.mistakes: list[str] = []
        self.count = 0

    def add(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _error_at(line, "anchors and aliases (& and *) are not taken. Write it out.")
        if (tag := getattr(event, "tag", None)) not in (None, "!"):
            raise _error_at(line, f"tags such as {tag[:40]} are not taken. Write plain data.")
        match event:
            case yaml.DocumentStartEvent() if self.root:
                raise _error_at(line, "a second document begins. Keep one plan a file.")
            case yaml.ScalarEvent():
                self.put(_unquoted(event.value) if event.implicit[0] else event.value, line)
            case yaml.SequenceStartEvent():
                self.begin([], line)
            case yaml.MappingStartEvent():
                self.begin({}, line)
                self.keys.append(_NO_KEY)
            case yaml.SequenceEndEvent():
                self.open.pop()
            case yaml.MappingEndEvent():
                self.open.pop()
                self.keys.pop()

    def begin(self, container: dict[Any, Any] | list[Any], line: int) -> None:
        if len(self.open) > MAX_DEPTH:
            raise _error_at(line, _TOO_DEEP)
        self.open.append((container, self.put(container, line)))

    def put(self, value: Any, line: int) -> str:
        """Place a value where the container on top expects it; return its path."""
        self.count += 1
        if self.count > MAX_NODES:
            raise _error_at(line, _TOO_MANY)
        container, path = self.open[-1]
        if isinstance(container, list):
            path = path if container is self.root else f"{path}[{len(container)}]"
            container.append(value)
        elif self.keys[-1] is _NO_KEY:
            if isinstance(value, dict | list):
                raise _error_at(line, "a key must be one word, not a list or mapping.")
            if value in container:
                where = join_path(path, value)
                self.mistakes.append(f"line {line}: {where}: stands there twice. Keep one.")
            self.keys[-1] = value
            return path
        else:
            path = join_path(path, self.keys[-1])
            container[self.keys[-1]] = value
            self.keys[-1] = _NO_KEY
        self.lines[path] = line
        return path


def _error_at(line: int, what: str) -> SpecError:
    return SpecError([f"line {line}: {what}"])


def _unquoted(text: str) -> Any:
    """Return what an unquoted text means."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _explain(text: str, error: yaml.YAMLError) -> str:
    """Return what is no YAML, and where."""
    mark, begun = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    parts = [part for part in (getattr(error, "context", None), problem) if part]
    where, before = "", ""
    if mark is not None:
        where = f"line {mark.line + 1}, column {mark.column + 1}: "
        before = "".join(text.splitlines()[mark.line : mark.line + 1])[: mark.column + 1]
    if not before.strip() and "\t" in before:
        way_out = "Indent with spaces; YAML takes no tabs."
    else:
        way_out = (
            f"Correct what begins in line {begun.line + 1}." if begun else "Correct this place."
        )
    return f"{where}not YAML: {', '.join(parts) or str(error).splitlines()[0]}. {way_out}"


def bounded(data: Any) -> Any:
    """Return a copy of ``data`` in dictionaries and lists, if it is neither too deep nor too large.

    That is found out without recursion, before anything recurses. Mappings and sequences of any
    class are taken, and numbers of any (NumPy's too), so that data may come from wherever a program
    keeps its configuration.

    Raises:
        SpecError: It is too deep or too large.
    """
    level, count = [data], 0
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        count += len(level)
        if not level:
            return _plain_copy(data)
        if count > MAX_NODES:
            raise SpecError([_TOO_MANY])
    raise SpecError([_TOO_DEEP])


def _inside(data: Any) -> Sequence[Any]:
    if isinstance(data, Mapping):
        return list(data.values())
    is_list = isinstance(data, Sequence) and not isinstance(data, str | bytes | bytearray)
    return data if is_list else ()


def _plain_copy(data: Any) -> Any:
    if isinstance(data, int) and data.bit_length() > _MOST_BITS:
        raise SpecError(
            [
                f"a whole number of more than {_MOST_BITS} bits: too large to be meant. "
                "Give a smaller one."
            ]
        )
    if isinstance(data, str | int | float | None):
        return data
    if isinstance(data, Mapping):
        return {key: _plain_copy(value) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, bytes | bytearray):
        return [_plain_copy(element) for element in data]
    if isinstance(data, Integral):
        return _plain_copy(int(data))
    return float(data) if isinstance(data, Real) else data


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
