"""The values of some steps ahead, written step by step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from warmdown.binding.clock import Clock
from warmdown.binding.slots import Writer, join_writers
from warmdown.binding.targets import BoundTargets
from warmdown.binding.timeline import Array, Timeline

_SHORTEST, _LONGEST, _CELLS = 32, 4_096, 65_536
"""Steps of the first window and of the longest, and most values in one, whatever the groups."""


class ValueWriter:
    """Writes what a timeline asks of some targets: a window of steps ahead, walked by an index.

    One array call fills a window, so that a step computes nothing.

    Args:
        timeline: The plan underway.
        targets: What it drives.
        clock: What the timeline is a function of.
    """

    __slots__ = (
        "_first_count",
        "_positions",
        "_size",
        "clock",
        "counts_every_step",
        "index",
        "last",
        "targets",
        "timeline",
        "update_seen",
        "write",
    )

    def __init__(self, timeline: Timeline, targets: BoundTargets, clock: Clock) -> None:
        self.timeline, self.targets, self.clock = timeline, targets, clock
        self.update_seen = self.counts_every_step = False
        """Whether an update was made since the last step; and whether that is taken for granted."""
        self.seek(0, 0.0)

    @property
    def count(self) -> int:
        """Updates counted so far."""
        return self._first_count + self.index

    @property
    def position(self) -> float:
        """Where the clock stands."""
        return float(self._positions[self.index])

    def count_every_step(self, always: bool) -> None:
        """Count every ``step()``, or only those preceded by an observed update."""
        self.update_seen = self.counts_every_step = always

    def seek(self, count: int, position: float) -> None:
        """Write the values at ``position``; the next window begins there."""
        for target in self.targets:
            target.write(self.timeline, position)
            target.store_bases(self.timeline)
        self.clock.begin(position)
        self._open(count, np.asarray([position]))
        self._size = _SHORTEST

    def follow(self, timeline: Timeline) -> None:
        """Follow another timeline from here on."""
        self.timeline = timeline
        self.seek(self.count, self.position)

    def next_window(self, samples: float | None, tokens: float | None) -> None:
        """Go on by one step, past the end of the window."""
        count, position = self.count, self.position
        size = self._steps_ahead(position) if self.timeline.is_predictable else 1
        self.clock.use(samples, tokens)
        positions = self.clock.ahead(count, position, size)
        if len(positions) == 2:
            for target in self.targets:
                target.write(self.timeline, float(positions[1]), only_changes=True)
            self._open(count + 1, positions[1:])
            return
        writers = (target.writers(self.timeline, positions) for target in self.targets)
        self._open(count, positions, join_writers(chain.from_iterable(writers)))
        self.index = 1
        if self.write is not None:
            self.write(1)

    def external_writes(self, turn: int) -> Iterator[tuple[str, Any, float]]:
        """Yield label, value and planned value where these differ.

        Each target's first group is looked at, and one other by turns: that costs the same however
        many groups there are.
        """
        for target in self.targets:
            for index in {0, turn % len(target.groups)}:
                if differing := target.external_write(self.index, index):
                    yield (target.groups[index].label, *differing)

    def _open(self, count: int, positions: Array, write: Writer | None = None) -> None:
        self._positions, self._first_count, self.write = positions, count, write
        self.index, self.last = 0, len(positions) - 1

    def _steps_ahead(self, position: float) -> int:
        """Return the length of the next window, which ends where the plan does."""
        cells = _CELLS // max(sum(target.num_curves for target in self.targets), 1)
        self._size = size = min(self._size * 2, _LONGEST)
        if size > cells:  # where nothing moves, a window has no values, however many groups
            steps = np.arange(position, position + size + 1)
            if not all(target.is_flat(steps) for target in self.timeline.targets):
                size = max(cells, 1)
        end = self.timeline.end
        counts_updates = self.timeline.plan.run.clock == "updates"
        if counts_updates and end is not None and position < end:
            size = max(min(size, int(end - position)), 1)
        return size
