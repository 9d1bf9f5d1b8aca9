"""Results as files, in folders that are made when they are needed."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from warmdown import plot
from warmdown.errors import ScheduleError
from warmdown.files import write_whole
from warmdown.formatting import strict_json


def save_result(path: str | PathLike[str], picture: plot.View, data: Any) -> Path:
    """Write a picture (``.png``, ``.svg``, ``.pdf``, ``.html``), or data as ``.json``.

    Raises:
        ScheduleError: The ending is none of these.
    """
    path = Path(path)
    if path.suffix == ".json":
        write_json(path, data)
    elif path.suffix in (".png", ".svg", ".pdf", ".html"):
        path.parent.mkdir(parents=True, exist_ok=True)
        plot.save(picture, path)
    else:
        raise ScheduleError(
            f"save(path={str(path)!r}): not a kind of picture. Use .png, .svg, .pdf, .html or "
            ".json."
        )
    return path


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON, in one move; a number that is not finite is ``null``."""
    write_file(path, strict_json(content, indent=1, ensure_ascii=False))


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file beside its place, and move it there when all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
