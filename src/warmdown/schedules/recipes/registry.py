"""Every recipe by its name."""

from __future__ import annotations

__all__ = ["recipes"]

from collections.abc import Callable, Mapping
from typing import Any

from warmdown.schedules.recipes import cyclic, warmup, wsd


def recipes() -> Mapping[str, Callable[..., Any]]:
    """Return every recipe by its name.

    Example:
        >>> "warmup_cosine" in recipes()
        True
    """
    found = {
        name: getattr(available, name)
        for available in (cyclic, wsd, warmup)
        for name in available.__all__
    }
    return dict(sorted(found.items()))
