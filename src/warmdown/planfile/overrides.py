"""Values by their path, put into plain data: ``lr[1].end`` is 0.2 now."""

from __future__ import annotations

__all__ = ["with_overrides"]

import re
from collections.abc import Mapping
from typing import Any

from warmdown.errors import SpecError
from warmdown.planfile.text import MAX_DEPTH, bounded, describe

_INDEX = re.compile(r"\[(\d{1,9})\]")
_KEY = re.compile(r"[^.\[]++(?:\[\d++\])?+")
_MOST_PARTS = 2 * MAX_DEPTH
"""Keys and indices of a path: no data that is taken lies deeper, even where keys have dots of their own."""


def with_overrides(data: Any, changes: Mapping[str, Any]) -> Any:
    """Return a copy of ``data`` in which each path holds its new value.

    Args:
        data: Mappings and lists.
        changes: New values by path; a path may name a key that was not there, but no list element.

    Raises:
        SpecError: A path leads nowhere; every such path at once.

    Example:
        >>> with_overrides({"lr": [{"kind": "linear"}, {"kind": "cosine"}]}, {"lr[1].end": 0.1, "run.lr": 1})
        {'lr': [{'kind': 'linear'}, {'kind': 'cosine', 'end': 0.1}], 'run': {'lr': 1}}
    """
    mistakes = []
    for path, value in changes.items():
        try:
            data = _with(data, _require_short(path), value)
        except LookupError as error:
            mistakes.append(f"{path[:60]}: {error.args[0]}")
    if mistakes:
        raise SpecError(mistakes)
    return bounded(data)


def _require_short(path: str) -> str:
    if path.count(".") + path.count("[") > _MOST_PARTS:
        raise LookupError(f"has more than {_MOST_PARTS} parts. Shorten the path.")
    return path


def _with(data: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    if isinstance(data, list | tuple):
        return _with_element(list(data), path, value)
    if data is None or isinstance(data, Mapping):
        return _with_key(dict(data or {}), path, value)
    raise LookupError(f"leads into {describe(data)}, which has no parts. Shorten the path.")


def _with_element(data: list[Any], path: str, value: Any) -> list[Any]:
    match = _INDEX.match(path)
    if match is None or int(match[1]) >= len(data):
        raise LookupError(
            f"leads to {path[:40]!r} of a list of {len(data)}. Write [0] for its first element."
        )
    index = int(match[1])
    data[index] = _with(data[index], path[match.end() :].removeprefix("."), value)
    return data


def _with_key(data: dict[Any, Any], path: str, value: Any) -> dict[Any, Any]:
    key = _key_of(data, path)
    data[key] = _with(data.get(key), path[len(str(key)) :].removeprefix("."), value)
    return data


def _key_of(data: Mapping[Any, Any], path: str) -> Any:
    """Return the key that a path begins with: the longest that is there (``betas[0]`` is one), or a new one."""
    fits = [key for key in data if path == str(key) or path.startswith((f"{key}.", f"{key}["))]
    if fits:
        return max(fits, key=lambda key: len(str(key)))
    match = _KEY.match(path)
    if match is None:
        raise LookupError("is no path. Write it like lr[1].end.")
    return match[0]
