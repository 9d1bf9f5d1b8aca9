"""What a feedback schedule knows of its metric: plain numbers that are saved, and read back with care."""

from __future__ import annotations

__all__ = ["NOTHING_SEEN", "Memory", "level_at", "read_memory", "write_memory"]

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from warmdown.errors import ScheduleError
from warmdown.schedules.base import Namespace, Steps, Values

KEPT = 1_000
"""Levels that stay addressable; who asks for an older step gets the oldest kept."""


class Memory(NamedTuple):
    """What a feedback schedule knows of the metric; plain numbers, so that it can be saved.

    Args:
        levels: The factors so far; the first holds from step 0.
        at: Steps from which each further factor holds.
        best: Best metric so far, or ``None``.
        bad: Observations in a row without an improvement.
        good: Observations in a row with one.
        since: Step of the last improvement, or of what else began the wait anew.
        rest: Observations left, or the step until which it rests, when nothing counts.
        recent: Latest metrics, for the mean over a window.
    """

    levels: tuple[float, ...] = (1.0,)
    at: tuple[float, ...] = ()
    best: float | None = None
    bad: int = 0
    good: int = 0
    since: float = 0.0
    rest: float = 0.0
    recent: tuple[float, ...] = ()

    def moved(self, level: float, step: float) -> Memory:
        """Return the same with ``level`` holding from ``step`` on."""
        if level == self.levels[-1]:
            return self
        known = sum(
            mark < step for mark in self.at
        )  # fewer, when the schedule is told of an earlier step again
        levels, at = (*self.levels[: known + 1], level), (*self.at[:known], step)
        return self._replace(levels=levels[-KEPT:], at=at[1 - KEPT :])


NOTHING_SEEN = Memory()


def level_at(memory: Memory, step: Steps, xp: Namespace) -> Values:
    """Return the level that holds at each step."""
    if xp is np:
        return np.asarray(memory.levels)[
            np.searchsorted(np.asarray(memory.at, dtype=np.float64), step, side="right")
        ]
    value = xp.full_like(step, memory.levels[0])
    for mark, level in zip(memory.at, memory.levels[1:], strict=True):
        value = xp.where(step >= mark, level, value)
    return value


def write_memory(memory: Sequence[Any]) -> list[Any]:
    """Return a memory as plain data."""
    return [list(one) if isinstance(one, tuple) else one for one in memory]


def read_memory(data: Any) -> Memory:
    """Read a memory from plain data.

    Raises:
        ScheduleError: It is none.
    """
    number, count = _is_number, _is_count
    checks: tuple[Callable[[Any], bool], ...] = (
        _is_row, _is_row, lambda best: best is None or number(best), count, count, number, number, _is_row,
    )  # fmt: skip
    if not isinstance(data, list | tuple) or len(data) != len(checks):
        raise ScheduleError(f"{str(data)[:60]}: no memory of a feedback schedule.")
    for name, check, value in zip(Memory._fields, checks, data, strict=True):
        if not check(value):
            raise ScheduleError(
                f"Memory({name}={str(value)[:60]}): no such value can have been saved."
            )
    rows: list[Any] = [tuple(value) if isinstance(value, list) else value for value in data]
    memory = Memory(*rows)
    if len(memory.levels) != len(memory.at) + 1:
        raise ScheduleError(
            f"Memory: {len(memory.levels)} levels and {len(memory.at)} steps do not match."
        )
    return memory


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))
