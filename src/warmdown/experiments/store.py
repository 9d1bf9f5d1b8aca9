"""Results on disk: one JSON a run, named by what the run is made of, and its record beside it."""

from __future__ import annotations

__all__ = ["Store"]

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from warmdown.experiments.files import write_file, write_json
from warmdown.experiments.runs import Result, RunSpec


class Store:
    """A folder of results, or none at all.

    Args:
        folder: Where they are kept; ``None`` keeps nothing.
    """

    def __init__(self, folder: str | PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def load(self, spec: RunSpec) -> Result | None:
        """Return the result of a run, or ``None``; a file that is damaged counts for nothing."""
        return None if self.folder is None else _read(self.folder / f"{spec.key}.json", spec.key)

    def save(self, result: Result) -> None:
        """Write a result as a whole."""
        if self.folder is None:
            return
        rows = result.record().rows
        lines = [
            json.dumps({"step": row.step, "target": row.target, "value": row.value}) for row in rows
        ]
        write_file(self.folder / f"{result.key}.jsonl", "".join(f"{line}\n" for line in lines))
        write_json(self.folder / f"{result.key}.json", result.to_dict())

    def __iter__(self) -> Iterator[Result]:
        paths = [] if self.folder is None else sorted(self.folder.glob("*.json"))
        return (result for path in paths if (result := _read(path, path.stem)) is not None)


def _read(path: Path, key: str) -> Result | None:
    try:
        result = Result.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return result if result.key == key else None
