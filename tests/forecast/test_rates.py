"""A plan's rate as a polygon has the plan's values and sums, however long the run is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from tests.strategies import schedules

import warmdown as wd
from warmdown.errors import ForecastError
from warmdown.forecast import RateCurve


@given(schedule=schedules())
def test_a_short_run_has_the_rate_of_every_update(schedule: wd.Schedule) -> None:
    plan = wd.Plan.of(lr=wd.Scale(schedule), run=wd.Run(total_steps=200, lr=0.5))
    try:
        curve = RateCurve.of(plan)
    except (ForecastError, wd.ScheduleError):
        return
    steps = np.arange(201.0)
    wanted = plan.over().targets[0].rule.value(steps, 0.5)
    np.testing.assert_allclose(np.interp(steps, curve.steps, curve.rates), wanted, atol=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [
        wd.warmup_cosine(end=0.1),
        wd.wsd(),
        wd.one_cycle()["lr"].of,
        wd.Milestones((30_001, 600_007), gamma=0.1),
        wd.cosine_restarts(first=140_000),
        wd.noam(d_model=512) * 1000.0,
    ],
    ids=str,
)
def test_a_long_run_has_few_knots_and_the_sum_of_every_update(schedule: wd.Schedule) -> None:
    plan = wd.Plan.of(lr=schedule, run=wd.Run(total_steps=1_000_000, lr=1.0))
    curve = RateCurve.of(plan)
    every = plan.over().targets[0].rule.value(np.arange(1_000_000.0), 1.0)
    assert curve.steps.size < 20_000
    assert curve.total == pytest.approx(every.sum(), rel=1e-4)
    assert curve.peak == pytest.approx(every.max(), rel=1e-4)


def test_a_logged_rate_leaps_where_its_rows_are_level_and_is_straight_where_it_falls() -> None:
    steps = np.arange(0.0, 1000.0, 100.0)
    rates = np.where(steps < 500, 1.0, 0.1)
    curve = RateCurve.logged(steps, rates)
    assert curve.total == pytest.approx(500 * 1.0 + 400 * 0.1)
    falling = RateCurve.logged(steps, 1 - steps / 1000)
    assert falling.total == pytest.approx(900 - 900**2 / 2000)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (wd.Plan.of(weight_decay=wd.Set(0.1), run=10), "no lr"),
        (wd.Plan.of(lr=wd.Set(wd.Constant(0.1))), "length"),
        (wd.Plan.of(lr=wd.Cosine(), run=10), r"Run\(lr=…\)"),
        (wd.Plan.of(lr=wd.Set(wd.Plateau()), run=10), "metric"),
    ],
    ids=["no rate", "no length", "no base", "metric"],
)
def test_a_plan_without_a_known_rate_is_refused_with_the_way_out(plan: wd.Plan, words: str) -> None:
    with pytest.raises(ForecastError, match=words):
        RateCurve.of(plan)


@pytest.mark.parametrize(
    ("steps", "rates", "words"),
    [
        ([0, 1], [0.1], r"\(\(2,\) steps, \(1,\) rates\): as many rates as steps"),
        ([0], [0.1], "at least two"),
        ([0, 1], [0.1, -0.1], "rates must be finite and not negative"),
        ([1, 0], [0.1, 0.1], "steps must not fall"),
    ],
)
def test_points_that_no_rate_goes_through_are_refused(
    steps: list[int], rates: list[float], words: str
) -> None:
    with pytest.raises(ForecastError, match=words):
        RateCurve.between(steps, rates)
