"""Laws that hold for every public schedule."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import curves, open_schedules, plans, schedules

import warmdown as wd
import warmdown.schedules
from warmdown.schedules.base import kinds

RUN = wd.Run(total_steps=1000, steps_per_epoch=50)


@given(schedule=schedules(), count=st.integers(1, 300))
def test_many_steps_at_once_equal_one_step_at_a_time(schedule: wd.Schedule, count: int) -> None:
    one_by_one = [schedule(step) for step in range(count)]
    np.testing.assert_allclose(schedule(np.arange(count)), one_by_one, rtol=1e-12, atol=1e-12)


@given(schedule=schedules(), seed=st.integers(0, 1000))
def test_the_order_of_the_steps_does_not_matter(schedule: wd.Schedule, seed: int) -> None:
    steps = np.random.default_rng(seed).integers(0, 400, size=(7, 9))
    expected = schedule(np.arange(400))[steps]
    np.testing.assert_array_equal(schedule(steps), expected)


@given(schedule=schedules())
def test_every_value_is_finite(schedule: wd.Schedule) -> None:
    assert np.isfinite(schedule(np.array([0, 1, 2, 10, 100, 1000, 10**6, 10**9, 10**12]))).all()


@given(schedule=schedules(), far=st.integers(0, 10**9))
def test_past_its_end_the_end_value_stays_exactly(schedule: wd.Schedule, far: int) -> None:
    unshaken = not _has(schedule, wd.Noisy)
    if schedule.length is not None and unshaken:
        assert schedule(schedule.length + far) == schedule(schedule.length)


@given(schedule=schedules())
def test_before_its_start_the_first_value_holds(schedule: wd.Schedule) -> None:
    assert schedule(-5) == schedule(0)


@given(first=curves(), second=schedules(), step=st.integers(0, 500))
def test_a_chain_is_its_first_part_and_then_its_second(
    first: wd.Schedule, second: wd.Schedule, step: int
) -> None:
    joint = first.length
    assert joint is not None
    expected = first(step) if step < joint else second(step - joint)
    assert (first >> second)(step) == pytest.approx(expected, rel=1e-12)


@given(a=curves(), b=curves(), c=curves())
def test_chaining_is_associative(a: wd.Schedule, b: wd.Schedule, c: wd.Schedule) -> None:
    assert (a >> b) >> c == a >> (b >> c)


@given(a=schedules(), b=schedules(), step=st.integers(0, 500))
def test_products_and_sums_are_those_of_the_values(
    a: wd.Schedule, b: wd.Schedule, step: int
) -> None:
    assert (a * b)(step) == pytest.approx(a(step) * b(step), rel=1e-12)
    assert (a + b)(step) == pytest.approx(a(step) + b(step), rel=1e-12)


@given(schedule=open_schedules() | schedules())
def test_measuring_twice_changes_nothing(schedule: wd.Schedule) -> None:
    run = RUN if not schedule.is_resolved else wd.Run()
    once = schedule.over(run)
    assert once.over(run) == once


@given(schedule=open_schedules())
def test_a_measured_chain_with_a_rest_fills_the_run(schedule: wd.Schedule) -> None:
    measured = schedule.over(RUN)
    assert measured.length == RUN.total_steps
    assert measured.is_resolved


@given(schedule=open_schedules() | schedules())
def test_repr_evaluates_to_an_equal_schedule(schedule: wd.Schedule) -> None:
    assert eval(repr(schedule), vars(warmdown.schedules)) == schedule  # noqa: S307 ours


@given(schedule=schedules(), other=schedules())
def test_hash_agrees_with_equality(schedule: wd.Schedule, other: wd.Schedule) -> None:
    twin = schedule.with_parts(lambda part: part)
    assert twin == schedule
    assert hash(twin) == hash(schedule)
    assert schedule != other or hash(schedule) == hash(other)


@given(schedule=schedules())
def test_phases_lie_in_order_and_cover_no_step_twice(schedule: wd.Schedule) -> None:
    phases = schedule.phases()
    for before, after in pairwise(phases):
        assert before.stop is not None
        assert before.start <= before.stop <= after.start


@given(schedule=open_schedules() | schedules())
def test_a_schedule_is_plain_data_and_back(schedule: wd.Schedule) -> None:
    assert wd.from_dict(schedule.to_dict()) == schedule


@given(plan=plans())
def test_a_plan_keeps_its_fingerprint_through_plain_data(plan: wd.Plan) -> None:
    again = wd.plan_from_dict(plan.to_dict())
    assert again == plan
    assert again.fingerprint == plan.fingerprint


def test_the_laws_draw_every_public_kind() -> None:
    drawn: set[str] = set()

    @given(schedule=schedules())
    def collect(schedule: wd.Schedule) -> None:
        drawn.update(type(part).__name__ for part in _all_parts(schedule))

    settings(max_examples=600)(collect)()
    unserialised = {"Function", "External"}
    assert {
        kind.__name__ for kind in kinds().values() if not kind.__name__.startswith("_")
    } - drawn <= unserialised


def _all_parts(schedule: wd.Schedule) -> list[wd.Schedule]:
    return [schedule, *(deeper for part in schedule.parts() for deeper in _all_parts(part))]


def _has(schedule: wd.Schedule, kind: Any) -> bool:
    return any(isinstance(part, kind) for part in _all_parts(schedule))
