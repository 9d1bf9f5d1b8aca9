"""Named wholes that people search for: each is an expression of curves and compositions."""

from __future__ import annotations

__all__ = ["recipes"]

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def recipes() -> Mapping[str, Callable[..., Any]]:
    """Return every recipe by its name.

    Example:
        >>> "warmup_cosine" in recipes()
        True
    """
    names = ("cyclic", "metric", "stable", "tails", "warmup")
    files = [import_module(f"{__name__}.{name}") for name in names]
    found = {name: getattr(file, name) for file in files for name in file.__all__}
    return dict(sorted(found.items()))


def __getattr__(name: str) -> Any:
    # a plan file may name a recipe by its path: warmdown.schedules.recipes.wsd
    if name.startswith("_") or name not in recipes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return recipes()[name]
