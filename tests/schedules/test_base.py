"""What every schedule does, whatever its formula: how it is called, composed and written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warmdown as wd


def test_a_number_gives_a_float_and_an_array_gives_an_array() -> None:
    decay = wd.Linear(steps=4)
    assert type(decay(3)) is float
    assert type(decay(3.5)) is float
    values = decay(np.arange(4))
    assert values.dtype == np.float64
    assert values.tolist() == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    "steps", [[0, 2], (0, 2), range(0, 3, 2), np.array([0, 2], dtype=np.int32)]
)
def test_whatever_lists_steps_is_an_array(steps: Any) -> None:
    assert wd.Linear(steps=4)(steps).tolist() == [1.0, 0.5]


def test_an_array_longer_than_one_block_equals_its_parts() -> None:
    decay = wd.Cosine(steps=100_000)
    whole = decay(np.arange(100_001))
    assert whole.tolist() == [*decay(np.arange(50_000)), *decay(np.arange(50_000, 100_001))]


def test_an_open_length_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        wd.ScheduleError,
        match=r"Linear\(.*steps='5%'\): its lengths are still "
        r"open. Call .over\(",
    ):
        wd.Linear(steps="5%")(0)


def test_the_rest_of_nothing_is_refused() -> None:
    with pytest.raises(wd.ScheduleError, match="'rest' of what"):
        wd.Cosine().over(wd.Run())


def test_the_error_of_what_does_not_fit_shows_both_numbers() -> None:
    with pytest.raises(wd.ScheduleError, match="2000 steps do not fit into the 1000"):
        wd.Linear(steps=2000).over(wd.Run(total_steps=1000))


def test_a_missing_fact_names_the_schedule_that_needs_it() -> None:
    with pytest.raises(
        wd.RunError,
        match=r"Linear\(.*steps='2ep'\): .*Give "
        r"Run\(steps_per_epoch=…\)",
    ):
        wd.Linear(steps="2ep").over(wd.Run(total_steps=100))


@pytest.mark.parametrize("value", ["1", None, True, float("nan"), float("inf"), 1e400, [1.0]])
def test_what_is_no_finite_number_is_refused_at_the_door(value: Any) -> None:
    with pytest.raises(wd.ScheduleError, match=r"Cosine\(start="):
        wd.Cosine(start=value)


@pytest.mark.parametrize("steps", [0.5, 5.0, -1, True, "soon"])
def test_what_is_no_length_is_refused_at_the_door(steps: Any) -> None:
    with pytest.raises(wd.ScheduleError, match=r"Cosine\(steps="):
        wd.Cosine(steps=steps)


def test_a_schedule_is_needed_where_one_is_composed() -> None:
    with pytest.raises(wd.ScheduleError, match=r"Clipped\(of=3\): a schedule is needed. Constant"):
        wd.Clipped(of=3)  # type: ignore[arg-type]


def test_fields_take_the_type_they_declare_so_that_equal_schedules_are_equal() -> None:
    loose: Any = {"start": 1, "end": np.float32(0), "steps": np.int64(5)}
    assert repr(wd.Linear(**loose)) == repr(wd.Linear(start=1.0, end=0.0, steps=5))


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        wd.Linear(steps=4).start = 2.0  # type: ignore[misc]


def test_a_zero_length_is_legal_and_already_at_its_end() -> None:
    assert wd.Linear(start=0.0, end=1.0, steps=0)(0) == 1.0
    assert (wd.Linear(start=0.0, end=1.0, steps=0) >> wd.Cosine(steps=10))(0) == 1.0


def test_the_direction_names_a_phase_that_has_no_name() -> None:
    plan = (
        wd.Linear(start=0.0, end=1.0, steps=2)
        >> wd.Constant(value=1.0, steps=3)
        >> wd.Cosine(steps=4)
    )
    assert [(phase.name, phase.start, phase.stop) for phase in plan.phases()] == [
        ("warmup", 0, 2), ("stable", 2, 5), ("decay", 5, 9),
    ]  # fmt: skip


def test_plain_data_leaves_out_what_is_the_default() -> None:
    assert wd.Cosine(end=0.1).to_dict() == {"kind": "cosine", "end": 0.1}
    assert wd.ExponentialDecay(gamma=0.5).to_dict() == {"kind": "exponential_decay", "gamma": 0.5}


def test_every_verb_wraps_and_leaves_its_schedule_alone() -> None:
    line = wd.Linear(start=1.0, end=0.0, steps=4)
    assert (line * 2)(1) == (2 * line)(1) == line.scale(2)(1) == 1.5
    assert (line + 1)(1) == (1 + line)(1) == 1.75
    assert line.delay(2)(3) == 0.75
    assert line.skip(1)(0) == 0.75
    assert line.take(1)(9) == 0.75
    assert line.stretch(8)(2) == 0.75
    assert line == wd.Linear(start=1.0, end=0.0, steps=4)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda line: line.named("decay"),
        lambda line: line * 0.5,
        lambda line: line + 0.5,
        lambda line: line.clip(low=0.1),
        lambda line: line.noisy(),
        lambda line: wd.Constant(value=1.0).take(1).graft(line, at=1),
    ],
)
def test_what_does_not_fit_does_not_fit_in_any_wrapping(wrapped: Any) -> None:
    with pytest.raises(wd.ScheduleError, match="2000 steps do not fit into the"):
        wrapped(wd.Linear(steps=2000)).over(wd.Run(total_steps=1000))
