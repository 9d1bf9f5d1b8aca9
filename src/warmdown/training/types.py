"""Types that several files of this room pass on."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

FilePath = str | PathLike[str]

Data = dict[str, Any]
"""Plain data and tensors by name."""

Settings = Mapping[str, Any]
"""Keyword arguments by name."""
