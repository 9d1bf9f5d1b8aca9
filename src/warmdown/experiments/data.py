"""Digests of the data that a person names instead of a task's own: a run on them is another run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

VARIABLES: Mapping[str, tuple[str, str]] = {
    "WARMDOWN_TEXT": ("text", "**/*.txt"),
    "WARMDOWN_FASHION_MNIST": ("fashion", "*-ubyte.gz"),
}
"""The variables that name data, each with its task and the files of a folder.

A task from outside the package may build on any of them.
"""

_TASKS_OF_THE_PACKAGE = ("digits", *(task for task, _ in VARIABLES.values()))
_DIGITS = 16


def data_variables() -> dict[str, str]:
    """Return the variables that are set here; a worker process gets the same."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def digest_of_named(task: str) -> str:
    """Return sixteen hexadecimal digits of the data named for a task; empty when it has its own.

    Two files differ by their content and by their names under the folder; the folder's own
    place does not matter.

    Example:
        >>> digest_of_named("digits")
        ''
    """
    contents = [
        (name, *_contents(Path(place), VARIABLES[name][1]))
        for name, place in data_variables().items()
        if task == VARIABLES[name][0] or task not in _TASKS_OF_THE_PACKAGE
    ]
    return hashlib.sha256(repr(contents).encode()).hexdigest()[:_DIGITS] if contents else ""


def _contents(place: Path, files: str) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each file; a missing file is the task's own error to raise."""
    for file in sorted(place.glob(files)) if place.is_dir() else [place]:
        if file.is_file():
            name = "" if file == place else file.relative_to(place).as_posix()
            # a large file is read once, not at every run
            stat = file.stat()
            yield name, _digest(file.absolute(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _digest(file: Path, changed_at: int, size: int) -> str:
    del changed_at, size  # part of the cache's key: a file that was changed is read again
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
