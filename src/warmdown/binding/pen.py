"""The hand that writes: it holds the values of some steps ahead, and writes one step's with each advance."""

from __future__ import annotations

__all__ = ["SPENT", "Pen"]

from collections.abc import Iterator
from itertools import repeat
from operator import length_hint
from typing import Any

import numpy as np

from warmdown.binding.clock import Clock, Updates
from warmdown.binding.course import Array, Course
from warmdown.binding.grip import Grip

_SHORTEST, _LONGEST, _CELLS = 32, 4_096, 65_536
"""Steps of the first window and of the longest one, and values in one, however many groups there are."""

SPENT: Any = object()
"""What ``next(pen.writes, SPENT)`` returns when the window is used up."""


class Pen:
    """Writes what a course asks of some drives, and knows how far it is; nothing is counted twice.

    The count is read off the iterator that walks the window, so that a step has nothing to add up.

    Args:
        course: The plan underway.
        grip: What it drives.
        clock: What the course is a function of.
    """

    __slots__ = (
        "_last_count",
        "_left",
        "_positions",
        "_size",
        "clock",
        "course",
        "fresh",
        "grip",
        "trusting",
        "writes",
    )

    def __init__(self, course: Course, grip: Grip, clock: Clock) -> None:
        self.course, self.grip, self.clock = course, grip, clock
        self.fresh = self.trusting = False
        """``fresh``: an update was made since the last step. ``trusting``: it is taken as always so."""
        self.writes: Iterator[object] = iter(())
        self._left: Any = self.writes
        self._positions: Array = np.zeros(1)
        self._last_count, self._size = 0, _SHORTEST

    @property
    def count(self) -> int:
        """Updates counted so far."""
        return self._last_count - length_hint(self._left)

    @property
    def place(self) -> int:
        """The step of the window whose values are held."""
        return len(self._positions) - 1 - length_hint(self._left)

    @property
    def position(self) -> float:
        """Where the clock stands."""
        return float(self._positions[self.place])

    def trust(self, always: bool) -> None:
        """Take every step for one that an update came before, or only those where one was seen."""
        self.fresh = self.trusting = always

    def go(self, count: int, position: float) -> None:
        """Write what is held at ``count`` when the clock stands at ``position``; the next window begins there."""
        for drive in self.grip.drives:
            drive.hold(self.course, position)
            drive.keep_bases(self.course)
        self.clock.begin(position)
        self._open(count, np.asarray([position]), [])
        self._size = _SHORTEST

    def turn(self, samples: float | None, tokens: float | None) -> None:
        """Go on by one step, past the end of the window."""
        count, position = self.count, self.position
        can_be_foreseen = self.course.can_be_foreseen
        steps = self._steps_until_the_end(position) if can_be_foreseen else 1
        positions = self.clock.ahead(count, position, steps)
        if positions is None:
            self._move(count + 1, self.clock.tick(position, samples, tokens))
        elif not can_be_foreseen:
            self._move(count + 1, float(positions[1]))
        else:
            self._open(count, positions, self._writes_ahead(positions))
            next(self.writes)

    def _writes_ahead(self, positions: Array) -> list[Iterator[None]]:
        return [
            write for drive in self.grip.drives for write in drive.ahead(self.course, positions)
        ]

    def foreign(self, turn: int) -> Iterator[tuple[str, Any, float]]:
        """Yield label, value held and value written where these differ: of each first group, and of one in turn."""
        place = self.place
        for drive in self.grip.drives:
            for index in (0, turn % len(drive.labels)) if len(drive.labels) > 1 else (0,):
                if differing := drive.foreign(place, index):
                    yield (drive.labels[index], *differing)

    def _move(self, count: int, position: float) -> None:
        for drive in self.grip.drives:
            drive.move(self.course, position)
        self._open(count, np.asarray([position]), [])

    def _open(self, count: int, positions: Array, writes: list[Iterator[None]]) -> None:
        """Make the positions the window; where nothing moves in it, an advance does nothing but count."""
        steps = len(positions) - 1
        self._positions, self._last_count = positions, count + steps
        self._left = repeat(None, steps)
        self.writes = zip(self._left, *writes, strict=False) if writes else self._left

    def _steps_until_the_end(self, position: float) -> int:
        """Return the length of the next window; one ends where the plan does, so that passing the end is noticed."""
        cells = max(_CELLS // max(sum(drive.width for drive in self.grip.drives), 1), 1)
        self._size = min(self._size * 2, _LONGEST)
        size = self._size if self._size <= cells or self._is_still(position) else cells
        end = self.course.end
        if end is None or position >= end or not isinstance(self.clock, Updates):
            return size
        return max(min(size, int(end - position)), 1)

    def _is_still(self, position: float) -> bool:
        """Tell whether nothing moves for a whole window, which then holds no values, however many groups there are."""
        steps = np.arange(position, position + self._size + 1)
        return all(line.is_still(steps) for line in self.course.lines)
