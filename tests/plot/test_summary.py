"""Pictures in words and tables."""

from __future__ import annotations

import pytest

import warmdown as wd
from warmdown.plot.summary import summary, table

RUN = wd.Run(total_steps=1000, lr=3e-4)


def test_a_summary_tells_peak_end_last_update_phases_and_area() -> None:
    said = summary(wd.wsd(warmup=100, decay=200, shape="linear"), run=RUN)
    assert said == (
        "lr starts at 0, peaks at 3e-4 (updates 100 to 800) and ends at 0 (update 1,000). "
        "The last update, 999, uses 1.5e-6. "
        "Phases: warmup (0 to 100), stable (100 to 800), decay (800 to 1,000). "
        "Mean 2.55e-4, area under the curve 0.255."
    )


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (wd.Constant(value=1.0), "lr stays at 3e-4 for all 1,000 updates."),
        (wd.Linear(), "lr falls from 3e-4 to 0 (update 1,000)."),
        (wd.Linear(start=0.0, end=1.0), "lr rises from 0 to 3e-4 (update 1,000)."),
        (
            wd.Triangle(low=1.0, high=0.5, up=500, down=500),
            "lr starts at 3e-4, is lowest at 1.5e-4 (update 500) and",
        ),
        (
            wd.Triangle(up=5, down=5).repeat(100),
            "lr starts at 0, peaks at 3e-4 (first at update 5) and ends at 0",
        ),
    ],
)
def test_a_course_is_told_in_the_words_that_fit_it(schedule: wd.Schedule, said: str) -> None:
    assert said in summary(schedule, run=RUN)


@pytest.mark.parametrize("schedule", [wd.warmup_cosine(), wd.wsd_s(), wd.cosine_restarts(first=50)])
def test_the_area_is_the_sum_over_all_updates(schedule: wd.Schedule) -> None:
    settled = schedule.over(RUN)
    exact = sum(3e-4 * settled(step) for step in range(1000))
    said = float(summary(schedule, run=RUN).rstrip(".").rsplit(" ", 1)[1])
    assert said == pytest.approx(exact, rel=1e-3)


def test_the_area_of_a_long_run_is_its_sum_too() -> None:
    run = wd.Run(total_steps=1_000_000, lr=1.0)
    said = float(summary(wd.warmup_linear(warmup="10%"), run=run).rstrip(".").rsplit(" ", 1)[1])
    assert said == pytest.approx(500_000, rel=1e-3)


def test_many_phases_are_told_by_their_first_and_last() -> None:
    said = summary(wd.Cosine().repeat(40), run=RUN)
    assert "cycle 3 (50 to 75), 36 more, cycle 40 (975 to 1,000)" in said


def test_a_table_has_each_border_extreme_the_last_update_and_the_end() -> None:
    rows = table(wd.one_cycle(warm=300), run=RUN)
    assert [(row.step, row.what) for row in rows] == [
        (0, "start"),
        (300, "down begins, peak, rising begins, lowest"),
        (999, "last update"),
        (1000, "end"),
    ]
    assert rows[1].values == {"lr": 3e-4, "momentum": 0.85}


def test_a_table_has_each_step_of_a_staircase() -> None:
    milestones = wd.Milestones(gamma=0.5, at=(123_457, 500_000, 700_001))
    rows = table(milestones, run=wd.Run(total_steps=1_000_000, lr=1.0))
    assert [row.step for row in rows if "changes" in row.what] == [123_457, 500_000, 700_001]


def test_the_table_of_the_pivotal_tuning_example_is_reproduced() -> None:
    rows = table(
        wd.Milestones(gamma=0.5, at=(50, 100, 150)),
        run=wd.Run(total_steps=200),
        groups={"LoRA UNet": 1e-4, "embedding": 1e-3},
    )
    told = {row.step: list(row.values.values()) for row in rows}
    assert [told[step] for step in (0, 50, 100, 150)] == [
        pytest.approx([1e-4, 1e-3]),
        pytest.approx([5e-5, 5e-4]),
        pytest.approx([2.5e-5, 2.5e-4]),
        pytest.approx([1.25e-5, 1.25e-4]),
    ]


def recorded(factor: float) -> wd.Record:
    record, settled = wd.Record(), wd.Cosine().over(RUN)
    for step in range(1000):
        record.add(step, "lr", settled(step) * 0.1 * (factor if step > 600 else 1.0))
    return record


def test_a_record_that_followed_its_plan_is_said_to_have() -> None:
    plan = wd.Plan.of(lr=wd.Cosine(), run=wd.Run(total_steps=1000))
    assert "It followed the plan." in summary(plan, record=recorded(1.0))
    assert "It differs from the plan by up to" in summary(plan, record=recorded(0.5))
    assert ", at 601." in summary(plan, record=recorded(0.5))


def test_a_record_alone_tells_from_where_to_where_it_went() -> None:
    record = wd.Record()
    for step, loss in enumerate([2.0, 3.0, 0.5, 1.0]):
        record.add(step, "loss", loss, "decay_now" if step == 2 else "")
    assert summary(record) == (
        "loss went from 2 (update 0) to 1 (update 3); lowest 0.5 at 2, highest 3 at 1."
    )
    assert [(row.step, row.what) for row in table(record)] == [
        (0, "first recorded"),
        (2, "decay_now"),
        (3, "last recorded"),
    ]
