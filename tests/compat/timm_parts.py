"""timm's schedulers without the rest of timm, which asks for torchvision."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def timm_scheduler() -> Any:
    """Return ``timm.scheduler``, under an empty parent if need be; skip without timm."""
    if "timm" not in sys.modules:
        found = importlib.util.find_spec("timm")
        if found is None or found.origin is None:
            pytest.skip("timm is not installed")
        parent = ModuleType("timm")
        parent.__spec__ = found  # others ask whether it is there
        parent.__path__ = [str(Path(found.origin).parent)]
        sys.modules["timm"] = parent
    return importlib.import_module("timm.scheduler")
