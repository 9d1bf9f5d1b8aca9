"""What was written, and when: rows of step, target, value and reason, as lines of JSON."""

from __future__ import annotations

__all__ = ["Record", "Row"]

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from warmdown.errors import StateError


@dataclass(frozen=True)
class Row:
    """One number that was written or measured.

    Args:
        step: Update that used it.
        target: ``lr/<group>``, ``weight_decay``, ``loss``, ``phase`` …
        value: The number.
        reason: Why it is there, when the plan alone does not say it: an event, a warning's code.
    """

    step: int
    target: str
    value: float
    reason: str = ""


class Record:
    """The rows of one run, in memory and, when it has a path, in a file that grows with it.

    Args:
        path: A ``.jsonl`` file to append to, or ``None``.

    Example:
        >>> record = Record()
        >>> record.add(0, "lr", 0.1)
        >>> record.add(1, "lr", 0.2)
        >>> record.curve("lr")
        ([0, 1], [0.1, 0.2])
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.rows: list[Row] = []

    def add(self, step: int, target: str, value: float, reason: str = "") -> None:
        """Append one row."""
        row = Row(int(step), target, float(value), reason)
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(_line(row) + "\n")

    def targets(self) -> list[str]:
        """Return the targets there are rows of, in order of appearance."""
        return list(dict.fromkeys(row.target for row in self.rows))

    def curve(self, target: str) -> tuple[list[int], list[float]]:
        """Return the steps and the values of one target."""
        mine = [row for row in self.rows if row.target == target]
        return [row.step for row in mine], [row.value for row in mine]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read a record; a last line cut short by a crash is left out.

        Raises:
            StateError: A line other than the last is no row.
        """
        record = cls()
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    record.rows.append(Row(**json.loads(line)))
            except (ValueError, TypeError) as error:
                if number < len(lines):
                    raise StateError(
                        f"{path}, line {number}: not a row of a record: {error}. Remove the line."
                    ) from None
        return record


def _line(row: Row) -> str:
    return json.dumps({key: value for key, value in asdict(row).items() if value != ""})
