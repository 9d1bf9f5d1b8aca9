"""Runs as they go: each file is read on from where it was read before, in bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from math import log1p
from pathlib import Path
from time import monotonic, time
from typing import Any, Literal, NamedTuple, TypeAlias, final

import numpy as np

from warmdown.errors import MissingExtra, TrainingError, WarmdownError, printable
from warmdown.forecast import Law
from warmdown.forecast.events import ScalarEvents, is_event_file
from warmdown.formatting import shortened
from warmdown.lock import Output, failure_of, is_locked
from warmdown.mailbox import Mailbox
from warmdown.plan import Plan
from warmdown.planfile.plans import load
from warmdown.plot.groups import bases_in
from warmdown.plot.view import Line, View, unit_of, view
from warmdown.record import Record, Row
from warmdown.run import PER_UPDATE
from warmdown.schedules.sampling import Array, thinned
from warmdown.studio.draft.files import opened
from warmdown.studio.draft.links import to_fragment
from warmdown.studio.preview.outlook import Outlook, foresee
from warmdown.studio.preview.preview import POINTS, Preview
from warmdown.studio.security.folder import LARGEST_FILE

_ENDING = ".jsonl"
_PLANS = ("plan.yaml", "plan.yml", "plan.json")
_DEEPEST = 4
_MOST_RUNS = 200
_MOST_AT_ONCE = 4_000_000
"""Bytes of one record that are read at a time; what is left waits for the next time."""
_MOST_EVENTS_AT_ONCE = 20_000
_LONGEST_LINE = 20_000
_MOST_POINTS = 10_000
"""Points of a target in memory; then each stretch is reduced to its lowest and highest."""
_MOST_TARGETS = 200
_MOST_EVENTS = 200
_LONGEST_NAME = 200
_LAST_STEP = 2**53
"""Up to there a curve's numbers represent whole ones exactly."""
_STILL = 15.0
"""Seconds without a new row after which a run that has no lock counts as stopped."""
_STALLED = 60.0
"""Seconds without a new row, and so many updates' time, after which one with a lock is stalled."""
_STALLED_UPDATES = 20.0
_LONGEST_LOOK = 0.5
"""Seconds after which the next run waits for its turn."""
_SEEN = 60
"""Looks at a run that its pace is measured over."""

RunState: TypeAlias = Literal["running", "stalled", "finished", "crashed", "stopped"]


class RunCondition(NamedTuple):
    """Whether a run is at work.

    Args:
        state: One word.
        why: What is known of it, where the word alone does not say it.
    """

    state: RunState
    why: str = ""


@final
class Points:
    """Numbers of one target over rising steps, in bounded memory."""

    def __init__(self) -> None:
        self._steps, self._values = array("d"), array("d")

    def add(self, step: float, value: float) -> None:
        """Append a number; where a run went back to an earlier step, the later rows count."""
        if self._steps and step <= self._steps[-1]:
            at = bisect_left(self._steps, step)
            del self._steps[at:], self._values[at:]
        self._steps.append(step)
        self._values.append(value)
        if len(self._steps) > _MOST_POINTS:
            steps, values = self.fewer(_MOST_POINTS // 2)
            self._steps, self._values = array("d", steps), array("d", values)

    def all(self) -> tuple[Array, Array]:
        """Return the steps and the numbers in memory."""
        return np.array(self._steps), np.array(self._values)

    def fewer(self, most: int) -> tuple[Array, Array]:
        """Return so many points at most, the lowest and the highest of each stretch."""
        return thinned(*self.all(), most)

    def __len__(self) -> int:
        return len(self._steps)


@final
@dataclass
class WatchedRun:
    """One run, as far as it was read: a record, or a folder of TensorBoard events.

    Args:
        name: Its folder, or its file.
        path: The record, or the folder of the events.
    """

    name: str
    path: Path
    last: dict[str, tuple[float, float]] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    points: dict[str, Points] = field(default_factory=dict)
    times: dict[str, Points] = field(default_factory=dict)
    outlook: Outlook = field(default_factory=Outlook)
    condition: RunCondition = field(default_factory=lambda: RunCondition("stopped"))
    plan: Plan | None = None
    plan_link: str = ""
    phase: str = ""
    step: int = 0
    unread: int = 0
    looked_at: float = 0.0
    changed: float = 0.0
    _files: dict[Path, ScalarEvents] = field(default_factory=dict)
    _sizes: dict[Path, int] = field(default_factory=dict)
    _seen: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_SEEN))
    _plan_stamp: Any = None
    _end: int | None = None
    _asked_stamp: int = 0
    _planned: tuple[Any, tuple[Line, ...]] = (None, ())
    _predicted: Any = None
    _at: int = 0
    _file: tuple[int, int] = (0, 0)
    _rest: bytes = b""

    @property
    def is_record(self) -> bool:
        """Whether it is a record, and not TensorBoard's events alone."""
        return self.path.suffix == _ENDING

    @property
    def is_at_work(self) -> bool:
        """Whether rows are still to come."""
        return self.condition.state in ("running", "stalled")

    @property
    def folder(self) -> Path:
        """Where its plan lies."""
        return self.path.parent if self.is_record else self.path

    @property
    def length(self) -> int | None:
        """Updates of the whole run, by what it was asked last or by its plan."""
        planned = None if self.plan is None else self.plan.run.total_steps
        return planned if self._end is None else self._end

    @property
    def updates(self) -> int:
        """Updates that were made, as far as it was read; TensorBoard's steps as they are."""
        return self.step + self.is_record if self.last else 0

    @property
    def seconds_left(self) -> float | None:
        """Time until the last update at the pace of late, where both are known."""
        pace = self._seconds_per_update()
        if pace is None or self.length is None or self.condition.state != "running":
            return None
        return pace * max(self.length - self.updates, 0)

    def times_of(self, target: str) -> Points | None:
        """Return the seconds at updates, of a target's own events or of those with the most."""
        return self.times.get(target) or max(self.times.values(), key=len, default=None)

    def read_on(self, files: tuple[Path, ...] = ()) -> bool:
        """Read what was written since; return whether there was anything, or another condition.

        Args:
            files: TensorBoard's event files of the run.
        """
        before = self.condition, self.plan_link
        news = self._read_record() if self.is_record else False
        for path in files:
            news = self._read_events(path) or news
        self._read_plan()
        self._read_answers()
        if news and self.last:
            self._seen.append((self.changed, self.step))
        self.condition = self._found_condition()
        return news or before != (self.condition, self.plan_link)

    def planned_lines(self, fallback: Plan | None) -> tuple[Line, ...]:
        """Return what was planned over updates, at the base values that fit what was recorded.

        Args:
            fallback: The plan to take where none lies beside the run.
        """
        plan = self.plan or fallback
        if plan is None or not self.points:
            return ()
        clock = plan.run.clock
        # of its clock in an update; a record counts updates
        size = 1.0 if clock == "updates" else getattr(plan.run, PER_UPDATE[clock])
        if not size:
            return ()
        record = Record()
        for target, points in self.points.items():
            is_other = is_rate(target) and not target.startswith("lr/")
            for step, value in zip(*points.fewer(POINTS), strict=True):
                record.add(int(step * size), "lr" if is_other else target, float(value))
        try:
            plan = plan.over()
            bases = bases_in(record, plan)
            if self._planned[0] != (plan, bases):
                lines = view(plan, groups=bases or None, points=POINTS).lines
                if clock != "updates":
                    lines = tuple(
                        replace(line, steps=line.steps / size, value=None, phases=())
                        for line in lines
                    )
                self._planned = (plan, bases), lines
        except (WarmdownError, ArithmeticError, ValueError):
            return ()
        return self._planned[1]

    def predict(self, law: Law | None, fallback: Plan | None) -> bool:
        """Predict the loss along the planned rate, or the recorded one; return whether it changed.

        Args:
            law: The law, or ``None``: nothing is predicted.
            fallback: The plan to take where none lies beside the run.
        """
        planned = self.planned_lines(fallback)
        lines = planned or tuple(
            Line(name, unit_of("lr"), *points.fewer(POINTS))
            for name, points in self.points.items()
            if is_rate(name)
        )
        # without a plan again with each twentieth that the run grows by
        what = law, planned, 0 if planned else round(20 * log1p(self.step))
        if what == self._predicted:
            return False
        self._predicted, self.outlook = what, Outlook()
        if law is not None and self.points:
            none = Outlook(notes=("no rate is recorded or planned that a law could follow.",))
            self.outlook = foresee(law, Preview(View(lines=lines)), {}) if lines else none
        return True

    def _read_record(self) -> bool:
        try:
            status = self.path.stat()
            file = (status.st_dev, status.st_ino)
            if file != self._file or status.st_size < self._at:
                # a run that went on from a checkpoint wrote another file in its place
                vars(self).update(vars(WatchedRun(self.name, self.path, _file=file)))
            self.changed = status.st_mtime
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
            if line.strip() and not self._add_line(line):
                self.unread += 1
        return bool(lines)

    def _add_line(self, line: bytes) -> bool:
        """Add a row; return whether it could be read."""
        try:
            entries = json.loads(line) if len(line) <= _LONGEST_LINE else {}
            step, value = int(entries["step"]), float(entries["value"])
            row = Row(step, str(entries["target"]), value, str(entries.get("reason", "")))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return False
        return self._add(row)

    def _add(self, row: Row) -> bool:
        if not 0 <= row.step <= _LAST_STEP:
            return False
        self.step = max(self.step, row.step)
        if row.target == "phase":
            self.phase = row.reason
        elif len(self.points) < _MOST_TARGETS or row.target in self.points:
            self.last[row.target] = (row.step, row.value)
            self.points.setdefault(row.target, Points()).add(row.step, row.value)
        if row.reason:
            self.events = [*self.events, row][-_MOST_EVENTS:]
        return True

    def _read_events(self, path: Path) -> bool:
        """Read on in an event file: all of it, or beside a record the times alone."""
        news = False
        try:
            status = path.stat()
            self.changed = max(self.changed, status.st_mtime)
            if self._sizes.get(path) == status.st_size:
                return False
            if path not in self._files:
                self._files[path] = ScalarEvents(path)
            for event in self._files[path].read_on(_MOST_EVENTS_AT_ONCE):
                news = True
                name = shortened(printable(event.tag, as_line=True), _LONGEST_NAME)
                if len(self.times) < _MOST_TARGETS or name in self.times:
                    self.times.setdefault(name, Points()).add(event.step, event.time)
                if not self.is_record:
                    self._add(Row(event.step, name, event.value))
            if not news:  # to its end
                self._sizes[path] = status.st_size
        except MissingExtra:
            return False
        except Exception:  # a damaged file, whatever its reader makes of it
            self.unread += 1
            self._sizes[path] = status.st_size
        return news

    def _read_plan(self) -> None:
        """Read the plan beside it, where it is another one than before."""
        for path in (self.folder / name for name in _PLANS):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                stamp = (path, status.st_mtime_ns, status.st_size)
                if stamp != self._plan_stamp:
                    self._plan_stamp, self.plan, self.plan_link = stamp, None, ""
                    if status.st_size <= LARGEST_FILE:
                        with contextlib.suppress(WarmdownError, OSError, UnicodeDecodeError):
                            self.plan = load(path)
                            draft = opened(path.read_text(encoding="utf-8-sig"), path)
                            self.plan_link = f"#{to_fragment(draft.document)}"
                return
        self._plan_stamp, self.plan, self.plan_link = None, None, ""

    def _read_answers(self) -> None:
        """Read which length the run was given from outside, where anything was asked since."""
        with contextlib.suppress(OSError):
            mailbox = Mailbox(self.folder)
            stamp = mailbox.folder.stat().st_mtime_ns
            if stamp != self._asked_stamp:
                self._asked_stamp, self._end = stamp, mailbox.end()

    def _found_condition(self) -> RunCondition:
        outputs = [Output("", self.folder, is_folder=True), Output("", self.path)]
        locks = [is_locked(output) for output in outputs]
        silent = time() - self.changed
        if self.last and self.length is not None and self.step + 1 >= self.length:
            return RunCondition("finished")
        if any(locks):
            patience = max(_STALLED, _STALLED_UPDATES * (self._seconds_per_update() or 0.0))
            if silent > patience:
                return RunCondition("stalled", f"nothing written for {time_text(silent)}")
            return RunCondition("running")
        error = next(filter(None, map(failure_of, outputs)), "")
        if error.startswith(("KeyboardInterrupt", "SystemExit")):
            return RunCondition("stopped", "it was interrupted")
        if error:
            return RunCondition("crashed", error)
        if False in locks:
            return RunCondition("crashed", "its process was killed")
        result = self._result()
        if result is not None:
            return RunCondition("finished", str(result.get("stopped", ""))[:_LONGEST_NAME])
        if silent <= _STILL:
            return RunCondition("running")
        return RunCondition("stopped", f"nothing written for {time_text(silent)}")

    def _result(self) -> dict[str, Any] | None:
        """Return what ``warmdown train`` writes when it is done, if that is after the last row."""
        path = self.folder / "result.json"
        try:
            if path.stat().st_mtime < self.changed or path.stat().st_size > LARGEST_FILE:
                return None
            result = json.loads(path.read_text(encoding="utf-8"))
            return result if isinstance(result, dict) else None
        except (OSError, ValueError, RecursionError):
            return None

    def _seconds_per_update(self) -> float | None:
        """Return the pace of late: by the times of TensorBoard's events, or by what was seen."""
        times = self.times_of("")
        seen = list(self._seen)
        if times is not None and len(times) > 1:
            steps, seconds = times.all()
            seen = list(zip(seconds[-_SEEN:], steps[-_SEEN:], strict=True))
        if len(seen) < 2:
            return None
        (first, begin), (last, end) = seen[0], seen[-1]
        return float((last - first) / (end - begin)) if end > begin and last > first else None


@final
class RunFolder:
    """The runs under a folder.

    Args:
        path: Searched a few folders deep; links are not followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[Path, WatchedRun] = {}
        self._known: dict[Path, WatchedRun] = {}

    def read_on(self) -> bool:
        """Find new runs and read on in them; return whether anything is new.

        What takes longer than a moment goes on at the next call, with the runs left over first.
        """
        before, known, news = self.runs.keys(), self._known, False
        found = dict(islice(self._found(), _MOST_RUNS))
        fresh = {path: WatchedRun(self._name(path), path) for path in found.keys() - known.keys()}
        self._known = {path: (known | fresh)[path] for path in found}
        began = monotonic()
        for path in sorted(self._known, key=lambda path: self._known[path].looked_at):
            run = self._known[path]
            news = run.read_on(found[path]) or news
            run.looked_at = monotonic()
            if run.looked_at - began > _LONGEST_LOOK:
                break
        # TensorBoard keeps settings and histograms in such files too
        self.runs = {path: run for path, run in self._known.items() if run.is_record or run.points}
        return news or self.runs.keys() != before

    def job_of(self, run: WatchedRun) -> Path:
        """Return the folder in which a run's job is asked for something.

        Raises:
            TrainingError: It is gone, or it leads out of this folder.
        """
        here, there = self.path.resolve(), run.folder.resolve()
        if run.path not in self.runs or not there.is_relative_to(here):
            raise TrainingError(f"{run.name}: no run of this folder any more. Look at the list.")
        return there

    def _found(self) -> Iterator[tuple[Path, tuple[Path, ...]]]:
        """Yield each run, with the event files that belong to it.

        Those in a record's folder and below it are of the same run.
        """
        records: list[Path] = []
        events: dict[Path, list[Path]] = {}
        for path in self._files():
            if path.name.endswith(_ENDING):
                records.append(path)
            else:
                events.setdefault(path.parent, []).append(path)
        of_records: dict[Path, list[Path]] = {record.parent: [] for record in records}
        for folder in list(events):
            owner = next((up for up in (folder, *folder.parents) if up in of_records), None)
            if owner is not None:
                of_records[owner] += events.pop(folder)
        for record in records:
            yield record, tuple(of_records[record.parent])
        for folder, files in events.items():
            yield folder, tuple(files)

    def _files(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.path):
            if len(Path(folder).relative_to(self.path).parts) >= _DEEPEST:
                folders.clear()
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(folder) / name
                is_read = name.endswith(_ENDING) or is_event_file(name)
                if is_read and not path.is_symlink() and path.is_file():
                    yield path

    def _name(self, path: Path) -> str:
        inside = path.relative_to(self.path)
        if path.suffix != _ENDING:
            return str(inside) if inside != Path() else path.name
        is_usual = inside.stem == "record" and inside.parent != Path()
        return str(inside.parent if is_usual else inside.with_suffix(""))


def time_text(seconds: float) -> str:
    """Return a time as people say it.

    Example:
        >>> [time_text(seconds) for seconds in (8, 90, 5_400, 36_000, 500_000)]
        ['8 s', '90 s', '90 min', '10 h', '6 days']
    """
    for size, most, unit in ((1, 120, "s"), (60, 120, "min"), (3_600, 48, "h")):
        if seconds < size * most:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86_400)} days"


def is_rate(target: str) -> bool:
    """Return whether a recorded number is a learning rate, by any of the usual names.

    Example:
        >>> [is_rate(name) for name in ("lr/0", "train/learning_rate", "lr-AdamW", "loss")]
        [True, True, True, False]
    """
    words = target.lower().replace("_", " ").replace("-", " ").split("/")
    return any(word == "lr" or word.startswith(("lr ", "learning rate")) for word in words)
