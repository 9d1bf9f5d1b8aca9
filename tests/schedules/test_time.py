"""One schedule at another time."""

from __future__ import annotations

from typing import Any

import pytest

import warmdown as wd

LINE = wd.Linear(start=1.0, end=0.0, steps=4)


def test_stretching_moves_values_and_phases() -> None:
    plan = (LINE >> LINE).stretch(80)
    assert plan([0, 20, 40, 60, 80]).tolist() == [1.0, 0.5, 1.0, 0.5, 0.0]
    assert [phase.start for phase in plan.phases()] == [0, 40]
    assert LINE.stretch(0)(0) == 0.0


def test_a_delay_waits_at_the_first_value() -> None:
    plan = wd.Cosine().delay("10%").over(wd.Run(total_steps=100))
    assert plan([0, 10]).tolist() == [1.0, 1.0]
    assert plan.length == 100
    assert [phase.name for phase in plan.phases()] == ["wait", "decay"]


def test_skipping_begins_in_the_middle() -> None:
    plan = wd.Cosine().skip("10%").over(wd.Run(total_steps=100))
    assert plan(0) == wd.Cosine(steps=110)(10)
    assert plan.length == 100


def test_what_is_taken_keeps_its_phases_as_far_as_it_goes() -> None:
    plan = (LINE >> LINE).take(6)
    assert [(phase.start, phase.stop) for phase in plan.phases()] == [(0, 4), (4, 6)]
    assert plan(99) == 0.5


def test_a_graft_scales_the_value_reached_at_any_step() -> None:
    trunk = wd.InverseSqrt(timescale=1)
    plan = trunk.graft(LINE, at=8)
    assert plan(7) == trunk(7)
    assert plan(8) == trunk(8)
    assert plan([10, 12, 99]) == pytest.approx([trunk(8) / 2, 0.0, 0.0])


def test_a_graft_at_the_rest_ends_with_the_run() -> None:
    plan = (
        wd.InverseSqrt(timescale=10)
        .graft(wd.Linear(steps="10%"), at="rest")
        .over(wd.Run(total_steps=100))
    )
    assert plan.length == 100
    assert [phase.start for phase in plan.phases()] == [0, 90]
    with pytest.raises(wd.ScheduleError, match="where does the tail of 10 steps begin"):
        wd.InverseSqrt().graft(wd.Linear(steps=10), at="rest").over(wd.Run())


def test_what_is_cut_or_stretched_may_be_longer_than_the_run() -> None:
    run = wd.Run(total_steps=5)
    long = wd.Constant(steps=50) >> wd.Cosine(steps=50)
    assert long.take(5).over(run).length == 5
    assert long.stretch(5).over(run)([0, 5]).tolist() == [1.0, 0.0]
    assert long.graft(wd.Linear(steps=2), at=3).over(run).length == 5
    with pytest.raises(wd.ScheduleError, match="the run has 5"):
        long.over(run)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wd.InverseSqrt().stretch(10), "what never ends has no length to change"),
        (lambda: LINE.delay("rest").over(wd.Run(total_steps=10)), "'rest' has no meaning here"),
    ],
)
def test_a_time_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(wd.WarmdownError, match=message):
        make()


def test_more_of_an_endless_schedule_may_be_skipped_than_the_run_is_long() -> None:
    later = wd.InverseSqrt().skip(200).over(wd.Run(total_steps=100))
    assert later(0) == wd.InverseSqrt()(200)


def test_a_delay_and_what_it_delays_must_fit_together() -> None:
    with pytest.raises(wd.ScheduleError, match="90 steps do not fit into the 80"):
        wd.Linear(steps=90).delay(20).over(wd.Run(total_steps=100))


@pytest.mark.parametrize(
    "schedule",
    [
        wd.Linear(steps=10).delay(10),
        wd.InverseSqrt().skip(10),
        wd.InverseSqrt().graft(wd.Linear(steps=10), at=10),
        wd.Milestones(at=(10, "5%")),
    ],
)
def test_on_a_clock_of_tokens_no_length_is_measured_twice(schedule: wd.Schedule) -> None:
    run = wd.Run(total_steps=100, tokens_per_step=1000, clock="tokens")
    assert schedule.over(run).over(run) == schedule.over(run)
    assert "=10" in repr(schedule.over(run)) or "(10," in repr(schedule.over(run))


def test_a_constant_of_open_length_can_be_stretched() -> None:
    assert wd.Constant(value=2.0, steps="10%").stretch(5).over(wd.Run(total_steps=100)).length == 5
