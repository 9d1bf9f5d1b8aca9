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
"""Keys and indices of a path: no data that is read is deeper, even where keys have dots."""


def with_overrides(data: Any, changes: Mapping[str, Any]) -> Any:
    """Return a copy of ``data`` in which each path holds its new value.

    Args:
        data: Mappings and lists.
        changes: New values by path; a path may name a key that was not there, but no list element.

    Raises:
        SpecError: A path leads nowhere; every such path at once.

    Example:
        >>> data = {"lr": [{"kind": "linear"}, {"kind": "cosine"}]}
        >>> with_overrides(data, {"lr[1].end": 0.1, "run.lr": 1})
        {'lr': [{'kind': 'linear'}, {'kind': 'cosine', 'end': 0.1}], 'run': {'lr': 1}}
    """
    mistakes = []
    for path, value in changes.items():
        try:
            if path.count(".") + path.count("[") > _MOST_PARTS:
                raise LookupError(f"has more than {_MOST_PARTS} parts. Shorten the path.")
            data = _with(data, path, value)
        except LookupError as error:
            mistakes.append(f"{path[:60]}: {error.args[0]}")
    if mistakes:
        raise SpecError(mistakes)
    return bounded(data)


def _with(data: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    copy: Any
    if isinstance(data, list | tuple):
        copy, match = list(data), _INDEX.match(path)
        if match is None or int(match[1]) >= len(copy):
            raise LookupError(
                f"leads to {path[:40]!r} of a list of {len(copy)}. Write [0] for its first element."
            )
        key, written = int(match[1]), match[0]
    elif data is None or isinstance(data, Mapping):
        copy = dict(data or {})
        key = _key_of(copy, path)
        written = str(key)
        copy.setdefault(key)
    else:
        raise LookupError(f"leads into {describe(data)}, which has no parts. Shorten the path.")
    rest = path.removeprefix(written).removeprefix(".")
    copy[key] = _with(copy[key], rest, value)
    return copy


def _key_of(data: Mapping[Any, Any], path: str) -> Any:
    """Return the key at the start of a path: the longest known (``betas[0]``), or a new one."""
    fits = [key for key in data if f"{path}.".startswith((f"{key}.", f"{key}["))]
    if fits:
        return max(fits, key=lambda key: len(str(key)))
    match = _KEY.match(path)
    if match is None:
        raise LookupError("is no path. Write it like lr[1].end.")
    return match[0]
