"""The former name of :mod:`warmdown.importing`, which goes in 0.2."""

from importlib import import_module
from typing import Any

from warmdown.errors import warn_renamed


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'warmdown.compat.importing' has no attribute {name!r}")
    warn_renamed("warmdown.compat.importing", "warmdown.importing")
    return getattr(import_module("warmdown.importing"), name)
