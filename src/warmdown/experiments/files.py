"""Results as files, in folders that are made when they are needed."""

from __future__ import annotations

__all__ = ["write_file", "write_json"]

import json
from pathlib import Path
from typing import Any

from warmdown.files import write_whole


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON, in one move; a number that is not finite is ``null``."""
    write_file(path, json.dumps(_finite(content), indent=1, ensure_ascii=False))


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file beside its place, and move it there when all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not abs(content) < float("inf"):
        return None
    return content
