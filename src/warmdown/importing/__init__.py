"""Other libraries' schedulers: as plans of ours, and as previews in a plan."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from warmdown.errors import MissingExtra

if TYPE_CHECKING:
    from warmdown.importing.difference import Difference as Difference
    from warmdown.importing.entry import *
    from warmdown.importing.external import External as External
    from warmdown.importing.settings import *

_HOMES = {
    "Difference": "difference",
    "External": "external",
    "export_config": "settings",
    "differences": "entry",
    "from_settings": "settings",
    "from_torch": "entry",
    "import_config": "settings",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    # A preview and its process are read where torch is not, or must not be imported yet.
    if name not in _HOMES:
        raise AttributeError(f"module 'warmdown.importing' has no attribute {name!r}")
    try:
        return getattr(import_module(f"warmdown.importing.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise MissingExtra(f"warmdown.importing.{name}", "torch", "torch") from None
