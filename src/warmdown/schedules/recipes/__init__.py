"""Named wholes that people search for: each is an expression of curves and compositions, nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from warmdown.schedules.recipes import cyclic, trunks, warmed
from warmdown.schedules.recipes.cyclic import *
from warmdown.schedules.recipes.trunks import *
from warmdown.schedules.recipes.warmed import *

__all__ = ["recipes"]
__all__ += cyclic.__all__  # one by one, so that type checkers know the names
__all__ += trunks.__all__
__all__ += warmed.__all__


def recipes() -> Mapping[str, Callable[..., Any]]:
    """Return every recipe by its name.

    Example:
        >>> "warmup_cosine" in recipes()
        True
    """
    return {name: globals()[name] for name in sorted(__all__) if name != "recipes"}
