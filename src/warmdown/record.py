"""What was written, and when: rows of step, target, value and reason, as lines of JSON."""

from __future__ import annotations

__all__ = ["Record", "Row"]

import csv
import io
import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from math import isfinite
from pathlib import Path
from sys import intern
from time import monotonic
from typing import Any

from warmdown.errors import MissingExtra, StateError
from warmdown.files import write_whole
from warmdown.registry import Pictured, provided
from warmdown.shown import cut

_SECONDS_UNWRITTEN = 0.5
"""How far the file may lie behind, so that a page that follows it looks alive."""
_ROWS_UNWRITTEN = 4096
_NAMES = 120
"""Characters of the names of targets in a text for people."""
_ROLLED_BACK = ", rolled back "
"""Stands before the number of a rollback in the name of what was left then."""
_ENTRIES = {"step", "target", "value", "reason"}
_NOT_FINITE = ("nan", "inf", "-inf")
_LAST_STEP = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One number that was written or measured.

    Args:
        step: Update that used it.
        target: ``lr/<group>``, ``weight_decay``, ``loss``, ``phase`` …
        value: The number.
        reason: Why it is there, when the plan alone does not say it: an event, a warning's code, a
            phase's name.
    """

    step: int
    target: str
    value: float
    reason: str = ""


class Record(Pictured):
    """The rows of one run, in memory and, when it has a path, in a file that grows with them.

    A row takes 20 bytes of memory. Lines reach the file twice a second, whole ones only, so that
    another process can follow it; ``flush`` writes at once. A last line that a crash cut short is
    removed before the next one is appended.

    Args:
        path: A ``.jsonl`` file to append to, or ``None``.

    Example:
        >>> record = Record()
        >>> record.add(0, "lr", 0.1)
        >>> record.add(1, "lr", 0.2)
        >>> record.curve("lr")
        ([0, 1], [0.1, 0.2])
    """

    _written: int

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._has_whole_lines = False
        self._last_flush = float("-inf")
        self._clear()

    def add(self, step: int, target: str, value: float, reason: str = "") -> None:
        """Append one row."""
        self._append(step, target, value, reason)
        if self.path is None:
            return
        unwritten = len(self._steps) - self._written
        if unwritten >= _ROWS_UNWRITTEN or monotonic() - self._last_flush > _SECONDS_UNWRITTEN:
            self.flush()

    def flush(self) -> None:
        """Write what is not yet in the file."""
        self._last_flush = monotonic()
        if self.path is None or self._written == len(self._steps):
            return
        if not self._has_whole_lines:
            _remove_partial_line(self.path)
            self._has_whole_lines = True
        lines = "".join(_row_line(self._row(at)) for at in range(self._written, len(self._steps)))
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(lines)
        self._written = len(self._steps)

    def rewind(self, step: int) -> None:
        """Remove every row of update ``step`` and later, in memory and in the file.

        Losses that the run left as it went back stay.
        """
        self._replace_rows([row for row in self if row.step < step or _ROLLED_BACK in row.target])

    def roll_back(self, step: int, number: int) -> None:
        """Remove every row of update ``step`` and later, and keep their losses by another name.

        Args:
            step: The update that the run went back to.
            number: Which of its rollbacks it is, from 1 on.

        Example:
            >>> record = Record()
            >>> for update, loss in enumerate([2.0, 1.9, 8.0]):
            ...     record.add(update, "loss", loss)
            >>> record.roll_back(1, 1)
            >>> record.targets(), record.curve("loss, rolled back 1")
            (['loss', 'loss, rolled back 1'], ([1, 2], [1.9, 8.0]))
        """
        name = f"loss{_ROLLED_BACK}{number}"
        left = [
            replace(row, target=name) for row in self if row.step >= step and row.target == "loss"
        ]
        if left:
            left[-1] = replace(left[-1], reason=f"spike: back to update {step}")
        # an earlier process may have gone back here, too, and was killed
        self._replace_rows([row for row in self if row.target != name])
        self.rewind(step)
        self._replace_rows([*self, *left])

    def _replace_rows(self, kept: list[Row]) -> None:
        self._clear()
        for row in kept:
            self._append(row.step, row.target, row.value, row.reason)
        if self.path is not None and self.path.exists():
            write_whole(self.path, "".join(map(_row_line, kept)))
            self._written = len(kept)

    @property
    def rows(self) -> list[Row]:
        """Every row, in the order in which it was added."""
        return list(self)

    def targets(self) -> list[str]:
        """Return the targets there are rows of, in order of appearance."""
        return list(dict.fromkeys(self._targets))

    def curve(self, target: str) -> tuple[list[int], list[float]]:
        """Return the steps and the values of one target."""
        places = [at for at, name in enumerate(self._targets) if name == target]
        return [self._steps[at] for at in places], [self._values[at] for at in places]

    def plot(self, plan: Any = None, **how: Any) -> Any:
        """Return the matplotlib figure of the rows, over the plan that they followed.

        Args:
            plan: A plan or a schedule; it stands faint behind what was recorded of it.
            how: What :func:`warmdown.plot.figure` takes.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        if plan is None:
            return super().plot(**how)
        return provided("plot").figure(plan, record=self, **how)

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return every row as CSV with a heading, each float in full; write it where a path is.

        Example:
            >>> record = Record()
            >>> record.add(0, "lr", 0.1)
            >>> print(record.to_csv(), end="")
            step,target,value,reason
            0,lr,0.1,
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("step", "target", "value", "reason"))
        for row in self:
            texts = harmless(row.target), repr(row.value), harmless(row.reason)
            writer.writerow((row.step, *texts))
        if path is not None:
            write_whole(Path(path), out.getvalue())
        return out.getvalue()

    def to_pandas(self) -> Any:
        """Return a pandas ``DataFrame`` of every row: step, target, value, reason.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise MissingExtra("Record.to_pandas()", "pandas", "pandas") from None
        reasons = [self._reasons.get(at, "") for at in range(len(self))]
        return pandas.DataFrame(
            {
                "step": list(self._steps),
                "target": list(self._targets),
                "value": list(self._values),
                "reason": reasons,
            }
        )

    def __repr__(self) -> str:
        names = ", ".join(self.targets())
        steps = f", updates {min(self._steps):,} to {max(self._steps):,}" if len(self) else ""
        return f"<Record: {len(self):,} rows{steps}{cut(f': {names}' if names else '', _NAMES)}>"

    def __iter__(self) -> Iterator[Row]:
        return (self._row(at) for at in range(len(self._steps)))

    def __len__(self) -> int:
        return len(self._steps)

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read a record; a last line cut short by a crash is left out.

        Raises:
            StateError: The file is no text, or a line other than the last is no row.
        """
        record = cls()
        record._read(Path(path))
        return record

    @classmethod
    def resume(cls, path: str | Path, step: int) -> Record:
        """Open the record of a run that continues at update ``step``, and remove later rows."""
        record = cls(path)
        if record.path is not None and record.path.exists():
            record._read(record.path)
            record.rewind(step)
        return record

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise StateError(
                f"{path}: not a record, for it is not UTF-8 text: {error}. Give a .jsonl file."
            ) from None
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    self._append(**_entries_of(line))
            except (ValueError, TypeError, RecursionError) as error:
                if number < len(lines):
                    raise StateError(
                        f"{path}, line {number}: not a row of a record: {error}. Remove the line."
                    ) from None

    def _append(self, step: int, target: str, value: float, reason: str = "") -> None:
        # both may overflow, and then nothing is appended
        (count,), number = array("q", [int(step)]), float(value)
        # interned, a name is one object for all its rows
        name = intern(target)
        if reason:
            self._reasons[len(self._steps)] = reason
        self._steps.append(count)
        self._values.append(number)
        self._targets.append(name)

    def _row(self, at: int) -> Row:
        reason = self._reasons.get(at, "")
        return Row(self._steps[at], self._targets[at], self._values[at], reason)

    def _clear(self) -> None:
        # arrays: objects of Row would take ten times the memory in a run of a million updates
        self._steps, self._values = array("q"), array("d")
        self._targets: list[str] = []
        self._reasons: dict[int, str] = {}
        self._written = 0


def harmless(label: str) -> str:
    """Return a label, after an apostrophe where a spreadsheet would take it for a formula.

    Example:
        >>> harmless("lr/0"), harmless("=1+1")
        ('lr/0', "'=1+1")
    """
    return f"'{label}" if label.startswith(("=", "+", "-", "@", "\t", "\r")) else label


def _entries_of(line: str) -> dict[str, Any]:
    """Return the entries of a line, if they are those of a row."""
    row = json.loads(line)
    if not isinstance(row, dict) or not {"step", "target", "value"} <= row.keys() <= _ENTRIES:
        raise ValueError(f"the entries {', '.join(sorted(_ENTRIES))} are needed")
    for name in ("target", "reason"):
        if not isinstance(row.get(name, ""), str):
            raise ValueError(f"{name} is no text")
    step, value = row["step"], row["value"]
    if type(step) is not int or not 0 <= step <= _LAST_STEP:
        raise ValueError("step is no update")
    is_small = type(value) is int and value.bit_length() <= 1023  # a float contains no larger one
    if not (type(value) is float or is_small or value in _NOT_FINITE):
        raise ValueError("value is no number")
    return row


def _row_line(row: Row) -> str:
    # not json.dumps of the whole: a row is written for every update, and this is eight times faster
    value = repr(row.value) if isfinite(row.value) else f'"{row.value}"'
    reason = f', "reason": {_json_text(row.reason)}' if row.reason else ""
    return f'{{"step": {row.step}, "target": {_json_text(row.target)}, "value": {value}{reason}}}\n'


@lru_cache(maxsize=256)
def _json_text(text: str) -> str:
    return json.dumps(text)


def _remove_partial_line(path: Path) -> None:
    """Remove a last line that has no end, so that the next line does not join it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
