"""Which steps a picture asks."""

from __future__ import annotations

import numpy as np
import pytest

import warmdown as wd
from warmdown.schedules.sampling import POINTS, Array, sample, thinned

MILLION = wd.Run(total_steps=1_000_000)


def test_a_short_run_is_asked_at_every_step() -> None:
    steps, values = sample(wd.Linear(steps=10), 10)
    assert steps.tolist() == list(range(11))
    assert values.tolist() == pytest.approx([1 - step / 10 for step in range(11)])


@pytest.mark.parametrize(
    "schedule", [wd.warmup_cosine(end=0.1), wd.wsd(), wd.tri_stage(), wd.warmup_linear()]
)
def test_a_long_run_is_asked_at_about_2000_steps_once(schedule: wd.Schedule) -> None:
    settled, asked = schedule.over(MILLION), []

    def counted(steps: Array) -> Array:
        asked.append(steps.size)
        values: Array = settled(steps)
        return values

    sample(counted, 1_000_000, [phase.start for phase in settled.phases()])
    assert len(asked) == 1
    assert asked[0] <= POINTS + 2 * len(settled.phases()) + 2


def test_borders_and_the_steps_before_them_are_always_asked() -> None:
    steps, values = sample(wd.wsd().over(MILLION), 1_000_000, [50_000, 900_000])
    assert {0, 49_999, 50_000, 899_999, 900_000, 999_999, 1_000_000} <= set(steps.tolist())
    assert np.max(values) == 1.0
    assert values[-1] == 0.0


@pytest.mark.parametrize("period", [7, 100, 500, 1000])
def test_many_restarts_fill_the_height_instead_of_showing_waves_that_are_not_there(
    period: int,
) -> None:
    restarts = wd.cosine_restarts(first=period)
    steps, values = sample(restarts, 1_000_000)
    for low in range(0, 1_000_000, 50_000):
        here = values[(steps >= low) & (steps < low + 50_000)]
        assert np.max(here) > 0.98
        assert np.min(here) < restarts(period - 1) + 0.02


def test_noise_keeps_its_whole_width() -> None:
    _, values = sample(wd.Constant(value=1.0).noisy(0.1, seed=3), 100_000)
    assert np.ptp(values) > 0.19


def test_thinning_keeps_ends_peaks_and_the_order_of_steps() -> None:
    steps = np.arange(100_000.0)
    values = np.zeros(100_000)
    values[[17, 54_321]] = 5.0, -3.0
    few, kept = thinned(steps, values, 200)
    assert few.size <= 204
    assert (np.diff(few) > 0).all()
    assert {0.0, 17.0, 54_321.0, 99_999.0} <= set(few.tolist())
    assert kept.max() == 5.0
    assert kept.min() == -3.0


def test_a_run_of_a_trillion_updates_costs_no_more_memory_than_another() -> None:
    steps, values = sample(
        wd.warmup_cosine().over(wd.Run(total_steps=10**12)), 10**12, [5 * 10**10]
    )
    assert steps.size < 2100
    assert values[-1] == 0.0
