"""What a lower room uses of an upper one: the package names it, and its first use loads it."""

from __future__ import annotations

__all__ = ["provide", "provided"]

from collections.abc import Callable
from typing import Any

_LOADERS: dict[str, Callable[[], Any]] = {}


def provide(name: str, load: Callable[[], Any]) -> None:
    """Register how an object of an upper room is loaded."""
    _LOADERS[name] = load


def provided(name: str) -> Any:
    """Return the object that an upper room registered under ``name``.

    Raises:
        LookupError: No room has registered the name.
    """
    return _LOADERS[name]()
