"""Runs as they go: their records are read on from where they were read before, and never held as a whole."""

from __future__ import annotations

__all__ = ["Happening", "RunSeen", "Runs"]

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, final

import numpy as np

from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import load
from warmdown.plot.groups import bases_in
from warmdown.plot.sampling import thinned
from warmdown.plot.view import unit_of, view
from warmdown.record import Record
from warmdown.studio.preview.look import POINTS, Curve

_ENDING = ".jsonl"
_PLANS = ("plan.yaml", "plan.yml", "plan.json")
_DEEPEST = 4
_MOST_RUNS = 100
_MOST_AT_ONCE = 4_000_000
"""Bytes of one record that are read at one look; what is left waits for the next."""
_LONGEST_LINE = 20_000
_HELD = 20_000
"""Points of a target that are held; then every stretch of them is left to its lowest and highest."""
_MOST_TARGETS = 200
_MOST_HAPPENINGS = 200
_LAST_STEP = 2**53
"""Up to there a curve's numbers hold whole ones exactly."""
_STILL = 15.0
"""Seconds without a new row after which a run counts as at rest."""


@final
@dataclass(frozen=True)
class Happening:
    """Something that a run wrote down with a reason: a phase, an event, a warning.

    Args:
        step: When.
        target: Of the row.
        reason: What.
    """

    step: int
    target: str
    reason: str


@final
@dataclass
class RunSeen:
    """One record, as far as it was read.

    Args:
        name: Its folder, or its file.
        path: The file.
    """

    name: str
    path: Path
    last: dict[str, tuple[int, float]] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    phase: str = ""
    step: int = 0
    unread: int = 0
    _values: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
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
            if (status.st_dev, status.st_ino) != self._file or status.st_size < self._at:
                self._forget(
                    (status.st_dev, status.st_ino)
                )  # a run that went on from a checkpoint wrote it anew
            self._changed = status.st_mtime
            if status.st_size == self._at:
                return False
            with self.path.open("rb") as file:
                file.seek(self._at)
                content = file.read(_MOST_AT_ONCE)
        except OSError:
            return False
        self._at += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in lines:
            self._take(line)
        return bool(lines)

    def curves(self) -> tuple[Curve, ...]:
        """Return what was recorded."""
        found = []
        for target, points in self._values.items():
            array = np.asarray(points, dtype=np.float64)
            order = np.argsort(array[:, 0], kind="stable")
            steps, values = thinned(array[order, 0], array[order, 1], POINTS)
            found.append(
                Curve(
                    target, unit_of(target.split("/")[0]), np.column_stack([steps, values]).tolist()
                )
            )
        return tuple(found)

    def planned(self, fallback: Plan | None) -> tuple[Curve, ...]:
        """Return what was planned, by the plan beside the record or the one given, at the base values that fit."""
        plan = self._plan() or fallback
        if plan is None or not self._values:
            return ()
        try:
            plan = plan.over()
            scene = view(plan, groups=bases_in(self._record(), plan) or None, points=POINTS)
        except (WarmdownError, ArithmeticError, ValueError):
            return ()
        return tuple(
            Curve(line.label, line.unit, np.column_stack([line.steps, line.values]).tolist())
            for line in scene.lines
        )

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            if len(line) > _LONGEST_LINE:
                raise ValueError("too long")
            row = json.loads(line)
            self._add(
                int(row["step"]),
                str(row["target"]),
                float(row["value"]),
                str(row.get("reason", "")),
            )
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            self.unread += 1

    def _add(self, step: int, target: str, value: float, reason: str) -> None:
        if not 0 <= step <= _LAST_STEP:
            raise ValueError("no step of a run")
        self.step = max(self.step, step)
        if target == "phase":
            self.phase = reason
        elif len(self._values) < _MOST_TARGETS or target in self._values:
            points = self._values.setdefault(target, [])
            points.append((step, value))
            self.last[target] = (step, value)
            if len(points) > _HELD:
                self._values[target] = _fewer(points)
        if reason:
            self.happenings = [*self.happenings, Happening(step, target, reason)][
                -_MOST_HAPPENINGS:
            ]

    def _forget(self, file: tuple[int, int]) -> None:
        self._file, self._at, self._rest = file, 0, b""
        self.last, self.happenings, self._values = {}, [], {}
        self.phase, self.step, self.unread = "", 0, 0

    def _record(self) -> Record:
        record = Record()
        for target, points in self._values.items():
            for step, value in _fewer(points):
                record.add(int(step), target, value)
        return record

    def _plan(self) -> Plan | None:
        for name in _PLANS:
            path = self.path.parent / name
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(WarmdownError):
                    return load(path)
        return None


@final
class Runs:
    """The records under a folder.

    Args:
        folder: Looked through a few folders deep; links are not followed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[Path, RunSeen] = {}

    def look(self) -> bool:
        """Find new records and read on in all; return whether anything is new."""
        found = dict.fromkeys(self._records())
        news = False
        for path in found:
            if path not in self.seen:
                self.seen[path] = RunSeen(self._name(path), path)
                news = True
        for path in [path for path in self.seen if path not in found]:
            del self.seen[path]
            news = True
        for run in self.seen.values():
            news = run.read_on() or news
        return news

    def _records(self) -> Iterator[Path]:
        count = 0
        for folder, folders, files in os.walk(self.folder):
            if len(Path(folder).relative_to(self.folder).parts) >= _DEEPEST:
                folders.clear()
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(folder) / name
                if name.endswith(_ENDING) and not path.is_symlink() and path.is_file():
                    count += 1
                    if count > _MOST_RUNS:
                        return
                    yield path

    def _name(self, path: Path) -> str:
        inside = path.relative_to(self.folder)
        is_usual = inside.stem == "record" and inside.parent != Path()
        return str(inside.parent if is_usual else inside.with_suffix(""))


def _fewer(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return fewer points, with the lowest and the highest of each stretch."""
    array: Any = np.asarray(points, dtype=np.float64)
    steps, values = thinned(array[:, 0], array[:, 1], _HELD // 2)
    return list(zip(steps.tolist(), values.tolist(), strict=True))
