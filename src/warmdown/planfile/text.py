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
from collections.abc import Iterable, Mapping, Sequence
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
    **{sign + word: math.copysign(math.inf, -1 if sign == "-" else 1)
       for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}  # fmt: skip
_LONGEST_NUMBER = 60
_MOST_BITS = 4096
"""Of a whole number; Python refuses to write out one of 4,300 digits."""


@dataclass(frozen=True)
class Text:
    """What a text holds, and where.

    Args:
        data: Mappings, lists, numbers, texts, truth values, ``None``.
        lines: Line of the text by the path of what stands there; empty where nobody counted.
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
    _require_size(len(raw))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"byte {error.start}: not UTF-8 text. Save the file as UTF-8."]) from None


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
            builder.take(event)
    except yaml.YAMLError as error:
        raise SpecError(
            [f"{_place_of(error)}not YAML: {_problem_of(error)}. {_way_out(text, error)}"]
        ) from None
    return builder.text()


def is_json(path: str | PathLike[str]) -> bool:
    """Whether a file's name says that it is JSON; else it is YAML."""
    return Path(path).suffix.lower() == ".json"


def parse(path: str | PathLike[str], text: str) -> Text:
    """Return the data of a file's text, read as its name says.

    Raises:
        SpecError: It is not what its name says, or too large, too deep, or has a key twice.
    """
    return from_json(text) if is_json(path) else from_yaml(text)


def from_json(text: str) -> Text:
    """Return the data of a JSON text.

    Raises:
        SpecError: It is no JSON, or too large, too deep, or has a key twice.
    """
    text = decode(text.encode("utf-8", "surrogatepass"))
    twice: list[str] = []
    try:
        data = json.loads(text, object_pairs_hook=lambda pairs: _without_twins(pairs, twice))
    except RecursionError:
        raise SpecError([_too_deep("")]) from None
    except ValueError as error:
        raise SpecError([f"not JSON: {error}."]) from None
    if twice:
        raise SpecError([f"{key}: stands there twice in one mapping. Keep one." for key in twice])
    return Text(bounded(data))


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
            return _plainly(data)
        if count > MAX_NODES:
            raise SpecError([_too_many("")])
    raise SpecError([_too_deep("")])


def _inside(data: Any) -> Iterable[Any]:
    if isinstance(data, Mapping):
        return data.values()
    return data if _is_list(data) else ()


def _is_list(data: Any) -> bool:
    return isinstance(data, Sequence) and not isinstance(data, str | bytes | bytearray)


def _plainly(data: Any) -> Any:
    if isinstance(data, int) and data.bit_length() > _MOST_BITS:
        raise SpecError(
            [
                f"a whole number of more than {_MOST_BITS} bits: too large to be meant. "
                f"Give a smaller one."
            ]
        )
    if isinstance(data, str | int | float | None):
        return data
    if isinstance(data, Mapping):
        return {key: _plainly(value) for key, value in data.items()}
    if _is_list(data):
        return [_plainly(one) for one in data]
    if isinstance(data, Integral):
        return _plainly(int(data))
    return float(data) if isinstance(data, Real) else data


class _Builder:
    """Builds data from YAML's events on a stack of its own."""

    def __init__(self) -> None:
        self.root: list[Any] = []
        self.open: list[tuple[Any, str]] = [(self.root, "")]  # each container with its path
        self.keys: list[Any] = []  # the key that waits for its value, for each open mapping
        self.lines: dict[str, int] = {}
        self.mistakes: list[str] = []
        self.count = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SpecError(
                [f"line {line}: anchors and aliases (& and *) are not taken. Write it out."]
            )
        if isinstance(event, yaml.DocumentStartEvent) and self.root:
            raise SpecError([f"line {line}: a second document begins. Keep one plan a file."])
        if isinstance(event, yaml.ScalarEvent):
            self.put(self.scalar(event, line), line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self.begin({} if isinstance(event, yaml.MappingStartEvent) else [], event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            container, _ = self.open.pop()
            if isinstance(container, dict):
                self.keys.pop()

    def text(self) -> Text:
        if self.mistakes:
            raise SpecError(self.mistakes)
        return Text(self.root[0] if self.root else None, self.lines)

    def begin(self, container: dict[Any, Any] | list[Any], event: yaml.Event, line: int) -> None:
        _refuse_tag(event, line)
        if len(self.open) > MAX_DEPTH:
            raise SpecError([_too_deep(f"line {line}: ")])
        path = self.put(container, line)
        self.open.append((container, path))
        if isinstance(container, dict):
            self.keys.append(_NO_KEY)

    def put(self, value: Any, line: int) -> str:
        """Place a value where the container on top expects it; return its path."""
        self.count += 1
        if self.count > MAX_NODES:
            raise SpecError([_too_many(f"line {line}: ")])
        container, path = self.open[-1]
        if isinstance(container, list):
            path = path if container is self.root else f"{path}[{len(container)}]"
            container.append(value)
        elif self.keys[-1] is _NO_KEY:
            self.keys[-1] = self.key(value, container, path, line)
            return path
        else:
            path = join_path(path, self.keys[-1])
            container[self.keys[-1]] = value
            self.keys[-1] = _NO_KEY
        self.lines[path] = line
        return path

    def key(self, key: Any, container: dict[Any, Any], path: str, line: int) -> Any:
        if isinstance(key, dict | list):
            raise SpecError([f"line {line}: a key must be one word, not a list or mapping."])
        if key in container:
            self.mistakes.append(
                f"line {line}: {join_path(path, key)}: stands there twice. Keep one."
            )
        return key

    def scalar(self, event: yaml.ScalarEvent, line: int) -> Any:
        _refuse_tag(event, line)
        return _plain(event.value) if event.implicit[0] else event.value


_NO_KEY = object()


def _refuse_tag(event: yaml.Event, line: int) -> None:
    tag = getattr(event, "tag", None)
    if tag not in (None, "!"):
        raise SpecError([f"line {line}: tags such as {tag[:40]} are not taken. Write plain data."])


def join_path(path: str, key: object) -> str:
    """Return the path of ``key`` inside ``path``: ``lr.steps``."""
    return f"{path}.{str(key)[:60]}" if path else str(key)[:60]


def describe(data: Any) -> str:
    """Return data for an error, short."""
    if isinstance(data, Mapping):
        return f"a mapping of {', '.join(str(key)[:20] for key in list(data)[:4]) or 'nothing'}"
    if isinstance(data, list | tuple):
        return f"a list of {len(data)}"
    if data is None:
        return "nothing"
    return repr(data)[:40]


def _plain(text: str) -> Any:
    """Return what an unquoted text means."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _without_twins(pairs: list[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        twice.extend(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return data


def _require_size(size: int) -> None:
    if size > MAX_BYTES:
        raise SpecError(
            [f"more than {MAX_BYTES >> 20} MiB: too large for a plan. Put long tables into Python."]
        )


def _too_deep(where: str) -> str:
    return f"{where}more than {MAX_DEPTH} levels deep. Lay it flat: a list is a chain."


def _too_many(where: str) -> str:
    return (
        f"{where}more than {MAX_NODES:,} values: too large for a plan. Put long tables into Python."
    )


def _place_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _way_out(text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    before = (
        ""
        if mark is None
        else "".join(text.splitlines()[mark.line : mark.line + 1])[: mark.column + 1]
    )
    if not before.strip() and "\t" in before:
        return "Indent with spaces; YAML takes no tabs."
    begun = getattr(error, "context_mark", None)
    return "Mend this place." if begun is None else f"Mend what begins in line {begun.line + 1}."


def _problem_of(error: yaml.YAMLError) -> str:
    context, problem = (
        getattr(error, "context", None),
        getattr(error, "problem", None) or getattr(error, "reason", None),
    )
    return ", ".join(part for part in (context, problem) if part) or str(error).splitlines()[0]
