"""Other libraries, imported by the first test that uses them, not while tests are collected."""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import Any

import pytest


class Lazily:
    """A module that is imported when a name of it is first used; without it, that test is skipped.

    Args:
        name: Its dotted name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _module(self) -> ModuleType:
        module: ModuleType = pytest.importorskip(self._name)
        return module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest asks each object of a file whether it is a test
            raise AttributeError(name)
        return getattr(self._module, name)

    def __dir__(self) -> list[str]:
        return dir(self._module)
