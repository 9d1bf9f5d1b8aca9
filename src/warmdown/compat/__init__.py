"""Other people's names: constructors and spellings, never a formula, never a loop over groups."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeAlias

_FILES = ("lr_scheduler", "optimization", "scheduler", "schedulers")


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


State: TypeAlias = Mapping[str, Any]
"""A scheduler's state, or some of its attributes, by their names."""
StateDict: TypeAlias = dict[str, Any]
"""What ``state_dict()`` returns."""
