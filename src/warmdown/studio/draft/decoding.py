"""Plain data from elsewhere, as values of the types that their annotations describe."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

_hints_of = cache(get_type_hints)


def decoded(kind: Any, data: Any) -> Any:
    """Return plain data as a value of a type.

    Of a dataclass, only fields that are empty by default may be missing; one with another name in
    the data has it in its metadata, as ``stored``. A mapping stands for a tuple of pairs.

    Raises:
        ValueError: The data are of another type.
        KeyError: A field is missing.

    Example:
        >>> decoded(tuple[tuple[str, int], ...], {"a": 1, "b": 2})
        (('a', 1), ('b', 2))
    """
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for one in inside:
            with suppress(ValueError, KeyError):
                return decoded(one, data)
    elif origin is Literal and data in inside:
        return data
    elif origin is np.ndarray:
        return np.asarray(data, dtype=np.float64)
    elif origin is Mapping and isinstance(data, Mapping):
        return {name: decoded(inside[1], value) for name, value in data.items()}
    elif origin is tuple and isinstance(data, list | tuple | Mapping):
        rows = [*data.items()] if isinstance(data, Mapping) else data
        kinds = inside[:1] * len(rows) if inside[-1] is Ellipsis else inside
        return tuple(decoded(one, row) for one, row in zip(kinds, rows, strict=True))
    elif is_dataclass(kind) and isinstance(data, Mapping):
        return _decoded_fields(kind, data)
    elif origin is None and isinstance(data, int | float if kind is float else kind):
        return data
    raise ValueError(f"not of the type {kind}")


def _decoded_fields(kind: Any, data: Mapping[str, Any]) -> Any:
    hints, given = _hints_of(kind), {}
    for part in fields(kind):
        stored = part.metadata.get("stored", part.name)
        if stored in data or (part.default and part.default_factory is MISSING):
            given[part.name] = decoded(hints[part.name], data[stored])
    if len(given) < len(data):
        raise ValueError(f"not a field of {kind}")
    return kind(**given)
