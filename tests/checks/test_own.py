"""Checks of schedules that the package does not know: by the protocol, not by the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.checks.test_curve import RUN, codes, only

import warmdown as wd


@dataclass(frozen=True, kw_only=True)
class _Halves(wd.Schedule):
    """One schedule for the first half of the run, another for the second."""

    first: wd.Schedule
    second: wd.Schedule
    at: int

    @property
    def length(self) -> int | None:
        return None if self.second.length is None else self.at + self.second.length

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        return (step, None) if step < self.at else (None, step - self.at)

    def part_starts(self) -> tuple[int | None, ...]:
        return 0, self.at

    def evaluate(self, step: Any, xp: Any) -> Any:
        later = self.second.evaluate(xp.maximum(step - self.at, 0.0), xp)
        return xp.where(step < self.at, self.first.evaluate(step, xp), later)


@dataclass(frozen=True, kw_only=True)
class _Loop(wd.Schedule):
    """A schedule again and again."""

    is_cyclic = True

    of: wd.Schedule

    @property
    def length(self) -> int | None:
        return None

    def part_steps(self, step: float) -> tuple[float | None, ...]:
        return (step % (self.of.length or 1),)

    def part_starts(self) -> tuple[int | None, ...]:
        return (None,)

    def evaluate(self, step: Any, xp: Any) -> Any:
        return self.of.evaluate(xp.asarray(step) % (self.of.length or 1), xp)


def halves(first: wd.Schedule, second: wd.Schedule, at: int = 500) -> wd.Schedule:
    return _Halves(first=first, second=second, at=at)


def test_a_leap_between_the_parts_of_a_wrapper_of_ones_own_is_found() -> None:
    leap = only(halves(wd.Linear(start=0.1, end=1.0, steps=500), wd.Cosine(start=0.5)), "jump")
    assert (leap.step, leap.numbers) == (500, {"left": 1.0, "right": 0.5})
    stairs = halves(wd.Constant(value=1.0, steps=500), wd.Constant(value=0.1, steps=500))
    assert codes(stairs) == []


def test_marks_in_the_second_part_count_from_its_beginning() -> None:
    late = halves(wd.Cosine(end=0.1, steps=500), wd.Milestones(start=0.1, at=(400, 600)))
    assert only(late, "mark-beyond-end").step == 1100


def test_a_cycle_of_ones_own_that_the_end_cuts_is_found() -> None:
    finding = only(_Loop(of=wd.Linear(end=0.1, steps=300)), "cycle-cut-off")
    assert finding.numbers == {"done": 100, "length": 300}
    assert "A run of 900 or 1,200 updates ends with a whole cycle." in finding.message


def test_a_cycle_of_ones_own_may_rise_again_and_a_function_may_not() -> None:
    wave = _Loop(of=wd.Linear(end=0.1, steps=500)) * wd.Constant(value=1.0)
    assert "rises-again" not in codes(wave, RUN)
    function = wd.Function(call=lambda step: 0.55 + 0.45 * np.cos(step / 200))
    assert "rises-again" in codes(function * wd.Constant(value=1.0))
