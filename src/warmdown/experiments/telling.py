"""The old place of a comparison's reports; they are methods of the comparison now."""

from __future__ import annotations

from typing import Any

from warmdown.errors import warn_renamed
from warmdown.experiments.comparison import Comparison

_METHODS = ("chart", "markdown", "save", "summary", "table")


def __getattr__(name: str) -> Any:
    if name not in _METHODS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(f"telling.{name}(comparison)", f"comparison.{name}()")
    return getattr(Comparison, name)
