"""Checks of how a target is written."""

from __future__ import annotations

import pytest
from tests.checks.test_curve import RUN, codes, only

import warmdown as wd


def test_a_leap_at_a_seam_is_found_with_both_sides() -> None:
    finding = only(wd.Linear(start=0.1, end=1.0, steps=100) >> wd.Cosine(start=0.5), "jump")
    assert (finding.step, finding.numbers) == (100, {"left": 1.0, "right": 0.5})
    assert finding.message.startswith("leaps from 1 to 0.5 at update 100, between two phases.")


def test_leaps_are_found_inside_other_schedules() -> None:
    inner = wd.Linear(start=0.1, end=1.0, steps=100) >> wd.Cosine(start=0.5, end=0.1, steps=100)
    assert only(inner.stretch("rest"), "jump").step is None
    assert (
        only(
            wd.Constant(value=0.1, steps=50) >> inner.clip(low=0.0), "jump", wd.Run(total_steps=250)
        ).step
        == 150
    )
    assert "jump" in codes(inner.repeat(5))
    assert "jump" in codes(wd.Linear(start=0.1, end=0.5, steps=100) >> wd.Cosine(start=1.0)), (
        "upwards too"
    )


@pytest.mark.parametrize(
    "meant",
    [
        wd.Constant(value=1.0, steps=500) >> wd.Constant(value=0.1),
        wd.Cosine(end=0.1, steps=500) >> wd.Cosine(end=0.1),
        wd.Cosine(end=0.1, steps=500) >> wd.Cosine(start=0.5, end=0.1),
        wd.wsd_s(start=0.1),
        wd.Linear(start=0.1, end=1.0, steps=0) >> wd.Cosine(end=0.1),
        wd.Linear(start=0.1, end=1.0, steps=100) >> wd.Cosine(start=0.99, end=0.1),
    ],
)
def test_stairs_restarts_and_what_no_eye_sees_are_no_leaps(meant: wd.Schedule) -> None:
    assert codes(meant) == []


@pytest.mark.parametrize(
    ("again", "left"),
    [
        (wd.Cosine(steps=500) >> wd.Cosine(), 0.0),
        (wd.Cosine(end=0.05, steps=500) >> wd.Linear(start=0.9), 0.05),
        (wd.Cosine(steps=500) >> wd.Constant(value=1.0), 0.0),
    ],
)
def test_a_phase_that_begins_far_above_the_end_of_the_one_before_is_found(
    again: wd.Schedule, left: float
) -> None:
    finding = only(again, "jump")
    assert (finding.step, finding.numbers["left"]) == (500, left)
    assert "a restart that is meant is a repeat" in finding.message


@pytest.mark.parametrize(
    "meant",
    [
        wd.Cosine(steps=250).repeat(),
        wd.Linear(start=0.01, end=1.0, steps=100) >> wd.Cosine(steps=225).repeat(4),
        wd.wsd_s(start=0.1, end=0.0, shape="linear"),
        wd.Constant(value=0.01, steps=500) >> wd.Constant(value=1.0),
        # past the last of its cycles another would begin: that is no leap down to the rest
        wd.Cosine(steps=50).repeat().take(900) >> wd.Constant(value=0.0),
    ],
)
def test_cycles_periods_and_stairs_up_are_no_leaps(meant: wd.Schedule) -> None:
    assert "jump" not in codes(meant)


@pytest.mark.parametrize(
    "stairs",
    [
        wd.Milestones(gamma=0.1, at=(700, 900)),
        wd.Staircase(gamma=0.1, every=300),
        wd.PiecewiseConstant(values=(1.0, 0.1), at=(700,)),
    ],
)
@pytest.mark.parametrize(
    "rise",
    [wd.Linear(start=0.001, end=1.0, steps=50), wd.PiecewiseConstant(values=(0.1, 1.0), at=(50,))],
)
def test_a_warmup_times_stairs_is_clean(rise: wd.Schedule, stairs: wd.Schedule) -> None:
    assert codes(rise * stairs) == []


def test_a_phase_that_holds_the_last_value_behind_the_run_is_no_empty_phase() -> None:
    assert codes(wd.Cosine(end=0.1, steps=1000) >> wd.Constant(value=0.1)) == []
    assert "empty-phase" in codes(wd.Cosine(end=0.1, steps=1000) >> wd.Constant(value=0.5))


def test_a_share_that_rounds_to_nothing_is_a_note() -> None:
    run = wd.Run(total_steps=25, lr=1.0)
    (finding,) = [
        one for one in wd.check(wd.warmup_cosine(warmup="1%"), run=run) if one.code == "empty-phase"
    ]
    assert finding.severity == "note"
    assert finding.message.startswith(
        "'1%' of this run is less than half an update, so that Linear is left out."
    )
    assert "empty-phase" not in codes(wd.warmup_cosine(warmup=0), severity="note")


def test_a_rest_of_nothing_is_a_warning() -> None:
    finding = only(wd.Constant(value=1.0, steps=1000) >> wd.Cosine(), "empty-phase")
    assert finding.severity == "warning"
    assert finding.message.startswith(
        "the other phases fill the run, and Cosine, which takes the rest, has no update."
    )


@pytest.mark.parametrize(
    ("schedule", "total", "start", "done", "length"),
    [
        (wd.sawtooth(period=300), 1000, 900, 100, 300),
        (wd.triangular(up=100), 1000, None, None, None),
        (wd.triangular(up=100), 900, 800, 100, 200),
        (wd.triangular2(up=100), 500, 400, 100, 200),
        (wd.cosine_restarts(first=100, grow=2.0), 900, 700, 200, 800),
        (wd.cosine_restarts(first=100, grow=2.0), 1500, None, None, None),
        (wd.Linear(start=0.1, end=1.0, steps=50) >> wd.sawtooth(period=300), 1050, 950, 100, 300),
    ],
)
def test_a_cycle_that_the_end_cuts_is_found(
    schedule: wd.Schedule, total: int, start: int | None, done: int | None, length: int | None
) -> None:
    found = [
        one
        for one in wd.check(schedule, run=wd.Run(total_steps=total, lr=0.1))
        if one.code == "cycle-cut-off"
    ]
    told = [(one.step, one.numbers) for one in found]
    assert told == ([] if start is None else [(start, {"done": done, "length": length})])


def test_a_cut_cycle_tells_which_lengths_would_end_whole() -> None:
    finding = only(wd.sawtooth(period=300), "cycle-cut-off")
    assert "A run of 900 or 1,200 updates ends with a whole cycle." in finding.message


def test_marks_beyond_the_end_are_counted() -> None:
    finding = only(wd.Milestones(gamma=0.5, at=(500, 1000, 2000)), "mark-beyond-end")
    assert (finding.step, finding.numbers) == (1000, {"marks": 2})
    assert "2 of 3 marks (1,000, 2,000) lie beyond the last update, 999" in finding.message
    late = wd.Milestones(gamma=0.5, at=(300, 500)).delay(600)
    assert only(late, "mark-beyond-end").step == 1100
    assert codes(wd.Milestones(gamma=0.5, at=("50%", 999)), RUN) == []
