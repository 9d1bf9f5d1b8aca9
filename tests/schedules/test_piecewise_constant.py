"""Values that stand, and then stand elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

import warmdown as wd


def test_a_staircase_falls_at_every_multiple() -> None:
    stairs = wd.Staircase(start=0.1, gamma=0.5, every=10)
    assert stairs([0, 9, 10, 19, 20]) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])


def test_a_stair_can_be_an_epoch() -> None:
    stairs = wd.Staircase(gamma=0.5, every="1ep").over(wd.Run(total_steps=100, steps_per_epoch=20))
    assert stairs(19) == 1.0
    assert stairs(20) == 0.5


def test_a_stair_without_steps_is_refused_at_the_door_and_when_measured() -> None:
    with pytest.raises(wd.ScheduleError, match="a stair needs at least 1 step"):
        wd.Staircase(every=0)
    with pytest.raises(wd.ScheduleError, match=r"'0%' is 0 here"):
        wd.Staircase(every="0%").over(wd.Run(total_steps=100))


def test_the_documented_milestones_give_the_documented_rates() -> None:
    factor = wd.Milestones(gamma=0.5, at=(50, 100, 150))
    table = {step: (1e-4 * factor(step), 1e-3 * factor(step)) for step in (0, 50, 100, 150, 999)}
    assert table == {
        0: (1e-4, 1e-3), 50: (5e-5, 5e-4), 100: (2.5e-5, 2.5e-4), 150: (1.25e-5, 1.25e-4),
        999: (1.25e-5, 1.25e-4),
    }  # fmt: skip


def test_a_milestone_named_twice_counts_twice() -> None:
    assert wd.Milestones(gamma=0.5, at=(3, 3))(3) == 0.25


def test_milestones_may_be_shares_of_the_run() -> None:
    assert wd.Milestones(at=("50%", "75%")).over(wd.Run(total_steps=200)) == wd.Milestones(
        at=(100, 150)
    )


@pytest.mark.parametrize("kind", [wd.Milestones, wd.PiecewiseConstant])
def test_the_rest_is_no_step_to_begin_at(kind: Any) -> None:
    schedule = (
        kind(at=("rest",)) if kind is wd.Milestones else kind(at=("rest",), values=(1.0, 2.0))
    )
    with pytest.raises(wd.ScheduleError, match="'rest' is a length, not a step"):
        schedule.over(wd.Run(total_steps=10))


def test_a_table_holds_each_value_from_its_step_on() -> None:
    table = wd.PiecewiseConstant(values=(1.0, 0.3, 0.1), at=(100, "50%")).over(
        wd.Run(total_steps=400)
    )
    assert table([0, 99, 100, 199, 200, 10**9]).tolist() == [1.0, 1.0, 0.3, 0.3, 0.1, 0.1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"values": (1.0,), "at": (5,)}, "1 values, 1 steps do not match"),
        ({"values": (1.0, 2.0, 3.0), "at": (5, 3)}, "the steps must rise"),
    ],
)
def test_a_table_that_does_not_add_up_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(wd.ScheduleError, match=message):
        wd.PiecewiseConstant(**fields)


def test_a_negative_factor_is_refused() -> None:
    with pytest.raises(wd.ScheduleError, match=r"Milestones\(gamma=-0.5\)"):
        wd.Milestones(gamma=-0.5)


def test_a_function_sees_whole_steps_as_ints() -> None:
    seen: list[object] = []

    def call(step: float) -> float:
        seen.append(step)
        return 1.0

    wd.Function(call=call)([0, 1])
    assert [type(step) for step in seen] == [int, int]


def test_a_function_is_refused_when_it_is_written_down() -> None:
    with pytest.raises(wd.ScheduleError, match="a function cannot be written down"):
        wd.Function(call=float).to_dict()
