"""The same values from device memory: a captured graph moves them itself, replay by replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from warmdown.binding.field import Field
from warmdown.binding.slots import SlotBatch, TensorSlots
from warmdown.binding.targets import BoundTarget
from warmdown.binding.timeline import Timeline
from warmdown.errors import BindingError, warn_renamed

if TYPE_CHECKING:
    from warmdown.binding.scheduler import Scheduler

_FOREVER = 2**62
_MOST_VALUES, _STRETCH = 2**22, 2**16


class Captured:
    """A scheduler's clock and values on the device: a replay advances them without the host.

    ``advance()`` is recorded into the graph, after ``optimizer.step()``: it adds one to a counter
    on the device, takes the counter's row out of a table there, and writes it into the vector that
    all groups' tensors lie in. What is written is what the scheduler itself would write, bit for
    bit.

    The table holds the whole plan, where that is not too much; what rests at its end needs nothing
    more, however long the run. For a longer plan call ``record_launches()`` after every replay: it
    refills the half that is used up, in the order of the stream, without waiting. A graph follows
    tensors alone: a capturable optimizer's ``lr``, and its betas where they are tensors.

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
        >>> captured.advance()  # on a GPU: inside torch.cuda.graph(graph), then graph.replay()
        >>> optimizer.param_groups[0]["lr"], captured.synchronize(), scheduler.count
        (tensor(0.3750), 1, 1)
    """

    def __init__(self, scheduler: Scheduler, rows: int | None = None) -> None:
        if rows is not None and rows < 2:
            raise BindingError(f"Captured(rows={rows}): a table of at least 2 updates is needed.")
        if scheduler.run.clock != "updates":
            raise BindingError(
                f"Captured: the plan is over {scheduler.run.clock}, which a graph cannot count. "
                "Give one over updates."
            )
        self._scheduler, self._writer = scheduler, scheduler.writer
        self._stop = _stop_of(self._writer.timeline)
        most = max((len(target.groups) for target in self._writer.targets), default=1)
        updates = max(self._stop + 1 - scheduler.count, 2)
        self.rows = rows or (updates if updates * most <= _MOST_VALUES else _STRETCH)
        self._tables = list(self._device_tables())
        scheduler.monitor.count_always()
        self._writer.count_every_step(not scheduler.auto)
        self.refresh()

    def __repr__(self) -> str:
        return f"<Captured: {self.rows:,} rows of {self._scheduler!r}>"

    def advance(self) -> None:
        """Go on by one update, on the device alone.

        Call it where the graph is captured, and in its warmup runs.
        """
        for table in self._tables:
            table.advance()

    def record_launches(self, updates: int = 1) -> None:
        """Record that updates were launched; the table is refilled when half of it is used up.

        Args:
            updates: Replays since the last call, at most half of the table's rows.
        """
        self._launched += updates
        if self._launched + self.rows // 2 >= self._filled_to:
            self._fill(self._filled_to, self._launched + self.rows)

    def synchronize(self) -> int:
        """Wait for the device, put the scheduler where it is, and return the count.

        Call it before saving, and before events.
        """
        count = max((int(table.count) for table in self._tables), default=self._writer.count)
        if min(count, self._stop) >= self._filled_to:
            raise BindingError(
                f"Captured.synchronize(): {count} updates were made, and the table was filled up "
                f"to {self._filled_to}; the last ones used old values. Call record_launches() "
                "after each replay, or give more rows."
            )
        if count != self._writer.count:
            self._writer.seek(count, float(count))
        self._launched = count
        return count

    def refresh(self) -> None:
        """Take the scheduler's count and curves, after ``seek``, a load or an event.

        The captured graph stays valid.
        """
        self._launched = self._writer.count
        self._stop = _stop_of(self._writer.timeline)
        for table in self._tables:
            table.count.fill_(self._launched)
            table.last.fill_(self._stop)
        self._fill(self._launched, self._launched + self.rows)

    def launched(self, updates: int = 1) -> None:
        """Call ``record_launches``, under its former name."""
        warn_renamed("Captured.launched", "record_launches")
        self.record_launches(updates)

    def sync(self) -> int:
        """Call ``synchronize``, under its former name."""
        warn_renamed("Captured.sync", "synchronize")
        return self.synchronize()

    def _fill(self, start: int, stop: int) -> None:
        """Fill the rows of some updates; one row serves all updates after the last move."""
        self._filled_to = stop
        start, stop = min(start, self._stop), min(stop, self._stop + 1)
        for table in self._tables:
            table.fill(self._writer.timeline, start, stop)

    def _device_tables(self) -> Iterator[_DeviceTable]:
        for target in self._writer.targets:
            batches: Sequence[SlotBatch | None] = target.field.batches or [None]
            for batch in batches:
                if isinstance(batch, TensorSlots) and batch.vector is not None:
                    yield _DeviceTable(target, batch, batch.vector, self.rows)
                elif not self._is_flat(target):
                    reason = "it lies outside of the optimizer"
                    if isinstance(target.field, Field):
                        reason = (
                            "torch reads it as a Python number (as_tensors turns rates and betas "
                            "into tensors)"
                        )
                    raise BindingError(
                        f"Captured({target.name}): {reason}; a graph keeps the value it was "
                        "captured with. Drive it by a scheduler of its own, outside of the graph, "
                        "or keep it constant."
                    )

    def _is_flat(self, target: BoundTarget) -> bool:
        """Tell whether a field never moves; in a long run some steps are looked at."""
        steps = np.unique(np.linspace(0, min(self._stop, 10**9), 10_001).round())
        values = target.values(self._writer.timeline, steps, range(len(target.groups)))
        return bool((values == values[:, :1]).all())


class _DeviceTable:
    """One vector on the device, its table of values, and a counter.

    Args:
        target: What its columns follow.
        batch: The slots that lie in the vector.
        vector: The vector.
        rows: Rows of the table.
    """

    def __init__(
        self, target: BoundTarget, batch: TensorSlots, vector: torch.Tensor, rows: int
    ) -> None:
        self._target, self._batch, self._vector, self._rows = target, batch, vector, rows
        self._table = vector.new_empty((rows, len(batch.members)))
        self.count = torch.zeros((), dtype=torch.int64, device=vector.device)
        self.last = torch.zeros((), dtype=torch.int64, device=vector.device)

    def advance(self) -> None:
        """Write the next row; every operation is on the device, and at an address that stays."""
        self.count.add_(1)
        row = torch.remainder(torch.minimum(self.count, self.last), self._rows)
        self._vector.copy_(self._table.index_select(0, row.reshape(1))[0])

    def fill(self, timeline: Timeline, start: int, stop: int) -> None:
        """Put the values of some updates into their rows, in the stream's order."""
        positions = np.arange(start, stop, dtype=np.float64)
        rows = self._batch.table(self._target.values(timeline, positions, self._batch.members))
        if self._table.device.type == "cuda":
            rows = rows.pin_memory()  # or the copy would wait for the device
        first = start % self._rows
        fits = min(self._rows - first, len(rows))
        self._table[first : first + fits].copy_(rows[:fits], non_blocking=True)
        if fits < len(rows):
            self._table[: len(rows) - fits].copy_(rows[fits:], non_blocking=True)


def _stop_of(timeline: Timeline) -> int:
    """Return the update from which on nothing moves, or one that is never reached."""
    stops = [0]
    for target in timeline.lines.values():
        for schedule in target.rule.schedules():
            if not schedule.is_constant:
                length = schedule.length if schedule.holds_end else None
                stops.append(_FOREVER if length is None else length)
    return max(stops)
