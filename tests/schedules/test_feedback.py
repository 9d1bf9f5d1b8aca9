"""Plateau and Greedy: what they do with a metric, and where in a composition they hear it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import warmdown as wd
from warmdown.schedules.feedback import feedbacks, observed, with_feedback_states

LOSSES = st.lists(st.floats(0.01, 10.0).map(lambda loss: round(loss, 3)), min_size=1, max_size=60)


def after_metrics(schedule: Any, losses: list[float], metric: str = "loss", every: int = 1) -> Any:
    for step, loss in enumerate(losses):
        schedule = observed(schedule, step * every, {metric: loss})
    return schedule


def levels(schedule: Any, steps: int) -> list[float]:
    return [schedule(step) for step in range(steps)]


def test_a_plateau_falls_after_its_patience_and_past_values_stay() -> None:
    plateau = after_metrics(wd.Plateau(factor=0.5, patience=2), [1.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    assert levels(plateau, 6) == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    assert plateau(np.arange(6)).tolist() == levels(plateau, 6)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@given(losses=LOSSES)
def test_a_plateau_falls_when_torchs_does(
    mode: Any, threshold_mode: Any, losses: list[float]
) -> None:
    facts: dict[str, Any] = {
        "mode": mode, "factor": 0.5, "patience": 2, "threshold": 0.01,
        "threshold_mode": threshold_mode, "cooldown": 1,
    }  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **facts, eps=0.0)
    ours = wd.Plateau(**facts)
    for step, loss in enumerate(losses):
        torchs.step(loss)
        ours = ours.observe(step, {"loss": loss})
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("patience", [0, 1, 2])
@given(losses=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0, 2.0]), max_size=40))
def test_newbob_anneals_by_what_the_last_value_was_improved(
    patience: int, losses: list[float]
) -> None:
    rate, left, last = 1.0, patience, None
    schedule: Any = wd.newbob(threshold=0.25, patience=patience)
    for step, loss in enumerate(losses):
        if last is not None and ((last - loss) / last if last else 0.0) < 0.25:
            rate, left = (rate / 2, patience) if left == 0 else (rate, left - 1)
        last = loss
        schedule = schedule.observe(step, {"loss": loss})
        assert schedule(step) == rate


def test_newbob_of_a_metric_that_should_grow_and_of_one_that_is_infinite() -> None:
    grown = after_metrics(wd.newbob(mode="max", threshold=0.1), [0.5, 0.6, 0.62, 0.5])
    assert levels(grown, 4) == [1.0, 1.0, 0.5, 0.25]
    infinity = float("inf")
    assert levels(after_metrics(wd.newbob(), [infinity, 1.0, infinity, infinity]), 4) == [
        1.0, 1.0, 0.5, 0.25,
    ]  # fmt: skip


def test_a_plateau_may_grow_up_to_a_bound() -> None:
    growing = wd.Plateau(factor=2.0, patience=0, high=5.0)
    assert levels(after_metrics(growing, [1.0, 1.0, 1.0, 1.0, 1.0]), 5) == [1.0, 2.0, 4.0, 5.0, 5.0]
    falling_loss = [1.0, 0.8, 0.6, 0.7]  # a loss that falls does not improve where it should grow
    ramp = wd.Plateau(mode="max", compare="last", factor=1.5, patience=0, high=8.0)
    assert levels(after_metrics(ramp, falling_loss), 4) == [1.0, 1.5, 2.25, 2.25]


def test_a_relative_threshold_asks_for_a_share_of_a_negative_metric_too() -> None:
    falling = [-1.0, -1.05, -1.1, -1.16]  # each by less than a tenth
    assert after_metrics(wd.Plateau(factor=0.5, patience=2, threshold=0.1), falling[:3])(9) == 1.0
    worse = [-1.0, -0.95, -0.93, -0.92]  # torch calls the second an improvement
    assert after_metrics(wd.Plateau(factor=0.5, patience=2, threshold=0.1), worse)(9) == 0.5


def test_patience_may_be_a_length_of_the_run() -> None:
    run = wd.Run(total_steps=1000, steps_per_epoch=10)
    plateau = wd.Plateau(factor=0.5, patience="2ep").over(run)
    assert plateau.patience == "20steps"
    assert plateau.over(run) == plateau
    falls_at = after_metrics(plateau, [1.0] * 9, every=5)
    assert [falls_at(step) for step in (20, 24, 25, 40)] == [1.0, 1.0, 0.5, 0.5]


def test_cooldown_may_be_a_length_of_the_run() -> None:
    plateau = wd.Plateau(factor=0.5, patience=0, cooldown="30").over(wd.Run(total_steps=100))
    fallen = after_metrics(plateau, [1.0] * 10, every=10)
    assert [fallen(step) for step in (9, 10, 30, 40, 49, 50)] == [1.0, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_plateau_whose_patience_is_open_must_be_measured_first() -> None:
    with pytest.raises(wd.ScheduleError, match="lengths are still open"):
        wd.Plateau(patience="2ep")(0)
    with pytest.raises(wd.ScheduleError, match="it would never end"):
        wd.Plateau(patience="rest").over(wd.Run(total_steps=10))
    with pytest.raises(wd.RunError, match=r"Plateau\(patience\).*steps_per_epoch"):
        wd.Plateau(patience="2ep").over(wd.Run(total_steps=10))


def test_a_plateau_never_falls_under_its_lowest() -> None:
    assert after_metrics(wd.Plateau(factor=0.1, patience=0, low=0.05), [1.0] * 9)(99) == 0.05


@pytest.mark.parametrize("metrics", [{}, {"accuracy": 0.3}, {"loss": float("nan")}])
def test_a_metric_that_is_missing_or_no_number_changes_nothing(metrics: dict[str, float]) -> None:
    plateau = wd.Plateau(patience=0).observe(0, {"loss": 1.0})
    assert plateau.observe(1, metrics) is plateau


def test_a_metric_of_infinity_is_worse_than_any_and_then_anything_is_better() -> None:
    plateau = after_metrics(wd.Plateau(factor=0.5, patience=0), [float("inf"), 1.0, float("inf")])
    assert levels(plateau, 3) == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factor": 1.0}, r"Plateau\(factor=1.0\): a factor between 0 and 1"),
        ({"factor": 0.0}, r"Plateau\(factor=0.0\): a factor between 0 and 1"),
        ({"factor": 2.0}, r"Plateau\(factor=2.0\): it would grow without a bound.*high=8.0"),
        ({"factor": 2.0, "high": 0.5}, r"Plateau\(high=0.5\): the largest factor"),
        ({"compare": "first"}, r"Plateau\(compare='first'\): one of best, last is needed"),
        ({"low": 2.0}, r"Plateau\(low=2.0\): the smallest factor"),
        ({"mode": "least"}, r"Plateau\(mode='least'\): one of min, max is needed"),
        ({"threshold_mode": "x"}, r"Plateau\(threshold_mode='x'\): one of rel, abs is needed"),
        ({"threshold": -1.0}, r"Plateau\(threshold=-1.0\)"),
        ({"metric": " "}, r"Plateau\(metric=' '\)"),
        ({"patience": 1.5}, r"Plateau\(patience=1.5\)"),
    ],
)
def test_a_plateau_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(wd.ScheduleError, match=message):
        wd.Plateau(**wrong)


@given(
    losses=st.lists(st.floats(0.01, 10.0).map(lambda x: round(x, 3)), min_size=1, max_size=60),
    patience=st.integers(0, 3),
)
def test_greedy_rises_and_falls_when_transformers_does(losses: list[float], patience: int) -> None:
    optimization = pytest.importorskip("transformers.optimization")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = optimization.GreedyLR(
        optimizer,
        factor=0.5,
        patience=patience,
        cooldown=1,
        warmup=2,
        min_lr=0.1,
        max_lr=4.0,
        reset_start=10**9,
    )
    ours = wd.Greedy(factor=0.5, patience=patience, cooldown=1, pause=2, low=0.1, high=4.0)
    for step, loss in enumerate(losses):
        theirs.step(loss)
        ours = ours.observe(step, {"loss": loss})
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_greedy_compares_the_mean_of_a_window() -> None:
    noisy = [3.0, 1.0, 2.8, 0.9, 2.6, 0.8, 2.4, 0.7, 2.2]
    assert after_metrics(wd.Greedy(factor=0.5, patience=3, window=2, high=8.0), noisy)(99) > 1.0
    assert after_metrics(wd.Greedy(factor=0.5, patience=3, window=1, high=8.0), noisy)(99) <= 1.0


def test_greedy_remembers_the_latest_levels_alone() -> None:
    greedy = after_metrics(wd.Greedy(factor=0.5, patience=0), [1.0, 2.0] * 3000)
    assert len(greedy.state.levels) <= 1000
    assert greedy(10**6) == greedy.state.levels[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factor": 1.0}, "a factor between"),
        ({"low": 11.0}, "low <= high"),
        ({"high": 0.001}, "low <= high"),
        ({"window": 0}, r"Greedy\(window=0\): a count of at least 1"),
        ({"patience": -1}, r"Greedy\(patience=-1\): a count of at least 0"),
    ],
)
def test_a_greedy_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(wd.ScheduleError, match=message):
        wd.Greedy(**wrong)


PLATEAU = wd.Plateau(factor=0.5, patience=1)
FLAT = [1.0] * 30


def test_after_a_warmup_the_warmup_is_not_heard() -> None:
    whole = after_metrics(wd.Linear(start=0.0, end=1.0, steps=10) >> PLATEAU, FLAT[:13])
    assert [whole(step) for step in (9, 10, 11, 12)] == [0.9, 1.0, 1.0, 0.5]


def test_under_a_cosine_both_are_multiplied() -> None:
    cosine = wd.Cosine(steps=20)
    whole = after_metrics(PLATEAU * cosine, FLAT[:3])
    assert [whole(step) for step in (1, 2, 10)] == [cosine(1), cosine(2) / 2, cosine(10) / 2]


@pytest.mark.parametrize(
    ("wrapped", "first_fall"),
    [
        (PLATEAU.delay(5), 7),
        (PLATEAU.named("feedback"), 2),
        (PLATEAU.clip(low=0.1), 2),
        (PLATEAU + 0.0, 2),
        (wd.Constant().graft(PLATEAU, at=4), 6),
        (PLATEAU.graft(wd.Linear(steps=5), at=20), 2),
        (PLATEAU.take(20), 2),
        (PLATEAU.skip(3), 2),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, wd.Schedule) else str(given),
)
def test_wherever_it_stands_it_hears_from_its_own_beginning_on(
    wrapped: wd.Schedule, first_fall: int
) -> None:
    whole = after_metrics(wrapped, FLAT[: first_fall + 1])
    assert whole(first_fall) == pytest.approx(0.5)
    assert whole(first_fall - 1) == 1.0


def test_what_was_taken_hears_no_more_after_its_end() -> None:
    once = after_metrics(PLATEAU.take(3), FLAT)
    assert next(feedbacks(once)).state.levels == (1.0, 0.5)
    grafted = after_metrics(PLATEAU.graft(wd.Linear(start=1.0, end=1.0, steps=5), at=3), FLAT)
    assert next(feedbacks(grafted)).state.levels == (1.0, 0.5)


@pytest.mark.parametrize(
    "cyclic", [PLATEAU.take(10).repeat(), PLATEAU.take(10).stretch(100)], ids=["repeat", "stretch"]
)
def test_in_cycles_it_is_refused_with_the_way_out(cyclic: wd.Schedule) -> None:
    with pytest.raises(wd.ScheduleError, match="no cycles and no length"):
        observed(cyclic, 0, {"loss": 1.0})


def test_the_schedule_given_stays_as_it_was() -> None:
    whole = wd.Linear(start=0.0, end=1.0, steps=2) >> PLATEAU
    twin = copy.deepcopy(whole)
    after_metrics(whole, FLAT)
    assert whole == twin


def test_what_was_observed_is_no_part_of_the_plan_and_can_be_recalled() -> None:
    whole = (wd.Linear(start=0.0, end=1.0, steps=2) >> PLATEAU) * wd.Plateau(
        metric="other", patience=0
    )
    heard = after_metrics(whole, FLAT)
    assert heard.to_dict() == whole.to_dict()
    assert repr(heard) == repr(whole)
    memories = [list(found.state) for found in feedbacks(heard)]
    assert with_feedback_states(whole, iter(memories)) == heard


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        [[1.0], [], None, 0, 0, 0.0, 0.0],
        [[1.0], [3.0], None, 0, 0, 0.0, 0.0, []],
        [["1"], [], None, 0, 0, 0.0, 0.0, []],
    ],
    ids=str,
)
def test_a_memory_that_is_none_is_refused(damaged: Any) -> None:
    with pytest.raises(wd.ScheduleError, match=r"state|State"):
        PLATEAU.with_state(damaged)


def test_its_levels_are_the_same_for_a_tensor() -> None:
    heard = after_metrics(PLATEAU, FLAT[:9])
    steps = torch.arange(12, dtype=torch.float64)
    assert heard(steps).tolist() == levels(heard, 12)
