"""Runs as they go: each record is read on from where it was read before, in bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path
from time import time
from typing import TypeAlias, final

import numpy as np

from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import load
from warmdown.plot.groups import bases_in
from warmdown.plot.view import Line, unit_of, view
from warmdown.record import Record, Row
from warmdown.schedules.sampling import Array, thinned
from warmdown.studio.preview.preview import POINTS

Points: TypeAlias = list[tuple[float, float]]
"""Steps and values."""

_ENDING = ".jsonl"
_PLANS = ("plan.yaml", "plan.yml", "plan.json")
_DEEPEST = 4
_MOST_RUNS = 100
_MOST_AT_ONCE = 4_000_000
"""Bytes of one record that are read at a time; what is left waits for the next time."""
_LONGEST_LINE = 20_000
_MOST_POINTS = 20_000
"""Points of a target in memory; then each stretch is reduced to its lowest and highest."""
_MOST_TARGETS = 200
_MOST_EVENTS = 200
_LAST_STEP = 2**53
"""Up to there a curve's numbers represent whole ones exactly."""
_STILL = 15.0
"""Seconds without a new row after which a run counts as stopped."""


@final
@dataclass
class WatchedRun:
    """One record, as far as it was read.

    Args:
        name: Its folder, or its file.
        path: The file.
    """

    name: str
    path: Path
    last: dict[str, tuple[float, float]] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    phase: str = ""
    step: int = 0
    unread: int = 0
    _values: dict[str, Points] = field(default_factory=dict)
    _at: int = 0
    _file: tuple[int, int] = (0, 0)
    _rest: bytes = b""
    _changed: float = 0.0

    @property
    def is_going(self) -> bool:
        """Whether rows came lately."""
        return time() - self._changed < _STILL

    def read_on(self) -> bool:
        """Read what was written since; return whether there was anything."""
        try:
            status = self.path.stat()
            file = (status.st_dev, status.st_ino)
            if file != self._file or status.st_size < self._at:
                # a run that went on from a checkpoint wrote another file in its place
                vars(self).update(vars(WatchedRun(self.name, self.path, _file=file)))
            self._changed = status.st_mtime
            if status.st_size == self._at:
                return False
            with self.path.open("rb") as content:
                content.seek(self._at)
                read = content.read(_MOST_AT_ONCE)
        except OSError:
            return False
        self._at += len(read)
        *lines, rest = (self._rest + read).split(b"\n")
        self._rest = rest[-_LONGEST_LINE:]
        for line in lines:
            if line.strip() and not self._add(line):
                self.unread += 1
        return bool(lines)

    def lines(self) -> tuple[Line, ...]:
        """Return what was recorded."""
        return tuple(
            Line(target, unit_of(target.split("/")[0]), *_fewer(points, POINTS), is_recorded=True)
            for target, points in self._values.items()
        )

    def planned_lines(self, fallback: Plan | None) -> tuple[Line, ...]:
        """Return what was planned, at the base values that fit the record.

        Args:
            fallback: The plan to take where none lies beside the record.
        """
        plan = self._plan() or fallback
        if plan is None or not self._values:
            return ()
        record = Record()
        for target, points in self._values.items():
            for step, value in zip(*_fewer(points, POINTS), strict=True):
                record.add(int(step), target, float(value))
        try:
            plan = plan.over()
            return view(plan, groups=bases_in(record, plan) or None, points=POINTS).lines
        except (WarmdownError, ArithmeticError, ValueError):
            return ()

    def _add(self, line: bytes) -> bool:
        """Add a row; return whether it could be read."""
        try:
            entries = json.loads(line) if len(line) <= _LONGEST_LINE else {}
            step, value = int(entries["step"]), float(entries["value"])
            row = Row(step, str(entries["target"]), value, str(entries.get("reason", "")))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return False
        if not 0 <= step <= _LAST_STEP:
            return False
        self.step = max(self.step, step)
        if row.target == "phase":
            self.phase = row.reason
        elif len(self._values) < _MOST_TARGETS or row.target in self._values:
            points = self._values.setdefault(row.target, [])
            self.last[row.target] = (step, value)
            points.append((step, value))
            if len(points) > _MOST_POINTS:
                points[:] = zip(*_fewer(points, _MOST_POINTS // 2), strict=True)
        if row.reason:
            self.events = [*self.events, row][-_MOST_EVENTS:]
        return True

    def _plan(self) -> Plan | None:
        for name in _PLANS:
            path = self.path.parent / name
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(WarmdownError):
                    return load(path)
        return None


@final
class RunFolder:
    """The records under a folder.

    Args:
        path: Searched a few folders deep; links are not followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[Path, WatchedRun] = {}

    def read_on(self) -> bool:
        """Find new records and read on in all; return whether anything is new."""
        before = self.runs
        paths = islice(self._records(), _MOST_RUNS)
        self.runs = {path: before.get(path) or WatchedRun(self._name(path), path) for path in paths}
        news = [run.read_on() for run in self.runs.values()]
        return any(news) or self.runs.keys() != before.keys()

    def _records(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.path):
            if len(Path(folder).relative_to(self.path).parts) >= _DEEPEST:
                folders.clear()
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(folder) / name
                if name.endswith(_ENDING) and not path.is_symlink() and path.is_file():
                    yield path

    def _name(self, path: Path) -> str:
        inside = path.relative_to(self.path)
        is_usual = inside.stem == "record" and inside.parent != Path()
        return str(inside.parent if is_usual else inside.with_suffix(""))


def _fewer(points: Points, most: int) -> tuple[Array, Array]:
    """Return fewer points in their order, with the lowest and the highest of each stretch."""
    steps, values = np.asarray(sorted(points, key=itemgetter(0)), dtype=np.float64).T
    return thinned(steps, values, most)
