"""The same values from device memory: a captured graph moves them itself, replay by replay."""

from __future__ import annotations

__all__ = ["Captured"]

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from warmdown.binding.clock import Updates
from warmdown.binding.course import Course
from warmdown.binding.drive import Drive
from warmdown.binding.field import Field
from warmdown.binding.slots import Tensors
from warmdown.errors import BindingError
from warmdown.schedules import Constant, Noisy, Schedule

if TYPE_CHECKING:
    from warmdown.binding.scheduler import Scheduler

_FOREVER = 2**62
_MOST_VALUES, _STRETCH = 2**22, 2**16


class Captured:
    """A scheduler's clock and values on the device, so that a replay advances them without the host.

    ``advance()`` is recorded into the graph, after ``optimizer.step()``: it adds one to a counter
    on the device, takes the counter's row out of a table there, and writes it into the vector that
    all groups' tensors lie in. What is written is what the scheduler itself would write, bit for
    bit.

    The table holds the whole plan, where that is not too much; what rests at its end needs nothing
    more, however long the run. For a longer plan tell ``launched()`` of every replay: it refills
    the half that is used up, in the order of the stream, without waiting. A graph follows tensors
    alone: a capturable optimizer's ``lr``, and its betas where they are tensors.

    Args:
        scheduler: It drives tensors, and counts updates.
        rows: Updates that the table holds, at least 2; by default all, or 65,536 where all are over
            4 million values.

    Raises:
        BindingError: The scheduler moves something that a graph cannot follow.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.Adam(torch.nn.Linear(2, 2).parameters(), lr=torch.tensor(0.5))
        >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
        >>> captured = Captured(scheduler)
        >>> captured.advance()  # on a GPU: inside torch.cuda.graph(graph), then graph.replay() again and again
        >>> optimizer.param_groups[0]["lr"], captured.sync(), scheduler.count
        (tensor(0.3750), 1, 1)
    """

    def __init__(self, scheduler: Scheduler, rows: int | None = None) -> None:
        if rows is not None and rows < 2:
            raise BindingError(f"Captured(rows={rows}): a table of at least 2 updates is needed.")
        pen, self._scheduler = scheduler._pen, scheduler
        if not isinstance(pen.clock, Updates):
            raise BindingError(
                f"Captured: the plan is over {scheduler.run.clock}, which a graph cannot count. "
                f"Give one over updates."
            )
        self._rests_at = _rest_of(pen.course)
        self._rows = rows or _rows_for(self._rests_at + 1 - scheduler.count, pen.grip.drives)
        self._lanes = list(self._lanes_of(pen.grip.drives, pen.course))
        scheduler._watch.captured()
        self.refresh()

    def advance(self) -> None:
        """Go on by one update, on the device alone; call it where the graph is captured, and in its warmup runs."""
        for lane in self._lanes:
            lane.advance()

    def launched(self, updates: int = 1) -> None:
        """Tell that updates were launched; the table is filled ahead of them when half of it is used up.

        Args:
            updates: Replays since the last call, at most half of the table's rows.
        """
        self._launched += updates
        if self._launched + self._rows // 2 >= self._filled_to:
            self._fill(self._filled_to, self._launched + self._rows)

    def sync(self) -> int:
        """Wait for the device, and put the scheduler where it is; return the count. For saving, and for events."""
        count = max((int(lane.count) for lane in self._lanes), default=self._scheduler.count)
        if min(count, self._rests_at) >= self._filled_to:
            raise BindingError(
                f"Captured.sync(): {count} updates were made, and the table was filled up to "
                f"{self._filled_to}; "
                "the last ones used old values. Call launched() after each replay, or give more "
                "rows."
            )
        pen = self._scheduler._pen
        if count != pen.count:
            pen.go(count, float(count))
        self._launched = count
        return count

    def refresh(self) -> None:
        """Take the scheduler's count and curves, after ``seek``, a load or an event; the captured graph stays valid."""
        self._launched = self._scheduler.count
        self._rests_at = _rest_of(self._scheduler._pen.course)
        for lane in self._lanes:
            lane.count.fill_(self._launched)
            lane.last.fill_(self._rests_at)
        self._fill(self._launched, self._launched + self._rows)

    def _fill(self, start: int, stop: int) -> None:
        """Fill the rows of some updates; what the run rests on from some update on is one row."""
        self._filled_to = stop
        stop = min(stop, self._rests_at + 1)
        if self._rests_at < start:
            start, stop = self._rests_at, self._rests_at + 1
        for lane in self._lanes:
            lane.fill(self._scheduler._pen.course, start, stop)

    def _lanes_of(self, drives: list[Drive], course: Course) -> Iterator[_Lane]:
        for drive in drives:
            places = drive.field.places if isinstance(drive.field, Field) else [None]
            for place in places:
                if isinstance(place, Tensors) and place.vector is not None:
                    yield _Lane(drive, place, self._rows)
                elif not _is_still(drive, course, self._rests_at):
                    raise BindingError(
                        f"Captured({drive.name}): {_why(drive)}; a graph keeps the value it was "
                        f"captured with. "
                        "Drive it by a scheduler of its own, outside of the graph, or let it stand."
                    )


class _Lane:
    """One vector on the device, its table of values, and a counter.

    Args:
        drive: What its columns follow.
        place: Where its vector lies.
        rows: Rows of the table.
    """

    def __init__(self, drive: Drive, place: Tensors, rows: int) -> None:
        vector = place.vector
        assert vector is not None  # or there is no lane
        self._drive, self._place, self._vector, self._rows = drive, place, vector, rows
        self._table = vector.new_empty((rows, len(place.members)))
        self.count = torch.zeros((), dtype=torch.int64, device=vector.device)
        self.last = torch.zeros((), dtype=torch.int64, device=vector.device)

    def advance(self) -> None:
        """Write the next row; every operation is on the device, and at an address that stays."""
        self.count.add_(1)
        row = torch.remainder(torch.minimum(self.count, self.last), self._rows)
        self._vector.copy_(self._table.index_select(0, row.reshape(1))[0])

    def fill(self, course: Course, start: int, stop: int) -> None:
        """Put the values of updates ``start`` to ``stop`` into their rows, in the stream's order."""
        positions = np.arange(start, stop, dtype=np.float64)
        rows = self._place.table(self._drive.columns(course, positions, self._place.members))
        if self._table.device.type == "cuda":
            rows = rows.pin_memory()  # or the copy would wait for the device
        first = start % self._rows
        fits = min(self._rows - first, len(rows))
        self._table[first : first + fits].copy_(rows[:fits], non_blocking=True)
        if fits < len(rows):
            self._table[: len(rows) - fits].copy_(rows[fits:], non_blocking=True)


def _rest_of(course: Course) -> int:
    """Return the update from which on nothing moves, or one that is never reached."""
    return max((_end_of(one) for line in course.lines for one in line.rule.schedules()), default=0)


def _end_of(schedule: Schedule) -> int:
    if isinstance(schedule, Constant):
        return 0
    return _FOREVER if schedule.length is None or _is_shaken(schedule) else schedule.length


def _is_shaken(schedule: Schedule) -> bool:
    return isinstance(schedule, Noisy) or any(map(_is_shaken, schedule.parts()))


def _rows_for(updates: int, drives: list[Drive]) -> int:
    """Return rows for the whole plan, or for a stretch of it."""
    groups = max((len(drive.labels) for drive in drives), default=1)
    return max(updates, 2) if updates * groups <= _MOST_VALUES else _STRETCH


def _is_still(drive: Drive, course: Course, until: int) -> bool:
    """Tell whether a field stands as it is; a long run is looked at here and there."""
    looked_at = np.unique(np.linspace(0, min(until, 10**9), 10_001).round())
    values = drive.columns(course, looked_at, range(len(drive.labels)))
    return bool((values == values[:, :1]).all())


def _why(drive: Drive) -> str:
    if isinstance(drive.field, Field):
        return "torch reads it as a Python number (as_tensors turns rates and betas into tensors)"
    return "it lies outside of the optimizer"
