"""A scheduler observes metrics by name; its plateau answers at once, and across a resume."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.binding.loops import as_first_of_two, each_rate, sgd, torchrun, train

import warmdown as wd

PLATEAU = wd.Plateau(metric="val_loss", factor=0.5, patience=1)
PLAN = wd.Plan.of(lr=wd.Linear(start=0.0, end=1.0, steps=10) >> PLATEAU)


def epochs(
    optimizer: torch.optim.Optimizer, scheduler: wd.Scheduler, losses: list[float]
) -> list[float]:
    rates = []
    for loss in losses:
        train(optimizer, scheduler, 5)
        scheduler.observe(val_loss=loss, accuracy=0.5)
        rates.append(each_rate(optimizer)[0])
    return rates


def test_the_plateau_after_a_warmup_answers_at_once() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, PLAN)
    assert epochs(optimizer, scheduler, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]) == [
        0.5,
        1.0,
        1.0,
        0.5,
        0.5,
        0.5,
        0.25,
    ]
    assert scheduler.value(12) == 1.0  # what was used then
    assert scheduler.plan == PLAN.over()  # the plan itself has seen nothing


def test_patience_survives_a_resume_at_any_epoch() -> None:
    losses = [1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.8, 0.8]
    optimizer = sgd()
    unbroken = epochs(optimizer, wd.Scheduler(optimizer, PLAN), losses)
    for stop in range(len(losses)):
        optimizer = sgd()
        scheduler = wd.Scheduler(optimizer, PLAN)
        epochs(optimizer, scheduler, losses[:stop])
        state = json.loads(json.dumps(scheduler.state_dict()))
        optimizer = sgd()
        scheduler = wd.Scheduler(optimizer, PLAN)
        scheduler.load_state_dict(state)
        assert epochs(optimizer, scheduler, losses[stop:]) == unbroken[stop:]


@pytest.mark.parametrize(
    "rule",
    [
        wd.newbob(metric="val_loss", patience=1, threshold=0.1),
        wd.Plateau(metric="val_loss", factor=2.0, patience=1, high=6.0),
    ],
)
def test_newbob_and_a_plateau_that_grows_go_on_at_any_epoch(rule: wd.Schedule) -> None:
    losses = [1.0, 0.99, 0.5, 0.49, 0.48, 0.2, 0.3, 0.3, 0.3, 0.3]
    whole = sgd()
    unbroken = epochs(whole, wd.Scheduler(whole, lr=rule), losses)
    assert len(set(unbroken)) > 2
    for stop in range(1, len(losses)):
        first, second = sgd(), sgd()
        before = wd.Scheduler(first, lr=rule)
        epochs(first, before, losses[:stop])
        after = wd.Scheduler(second, lr=rule)
        after.load_state_dict(json.loads(json.dumps(before.state_dict())))
        assert epochs(second, after, losses[stop:]) == unbroken[stop:]


def test_each_group_has_its_own_smallest_rate() -> None:
    optimizer = sgd(1.0, 0.1)
    falls = wd.Plateau(metric="val_loss", factor=0.1, patience=0)
    scheduler = wd.Scheduler(
        optimizer, lr={0: wd.Scale(falls, low=1e-3), 1: wd.Scale(falls, low=0.05)}
    )
    for _ in range(10):
        scheduler.observe(val_loss=1.0)
    assert each_rate(optimizer) == [1e-3, 0.05]


def test_two_plateaus_listen_to_their_own_metrics() -> None:
    optimizer = sgd()
    both = wd.Plateau(metric="val_loss", factor=0.5, patience=0) * wd.Plateau(
        metric="accuracy", mode="max", patience=0
    )
    scheduler = wd.Scheduler(optimizer, lr=both)
    for accuracy in (0.1, 0.2, 0.3):
        scheduler.observe(accuracy=accuracy)
        scheduler.observe(val_loss=1.0)
    assert scheduler.get_last_lr() == [0.25]
    scheduler.observe(accuracy=0.2)
    assert scheduler.get_last_lr() == [pytest.approx(0.025)]


def test_a_plateau_goes_on_through_events() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=PLATEAU, run=wd.Run(total_steps=100))
    epochs(optimizer, scheduler, [1.0, 1.0, 1.0])
    assert each_rate(optimizer) == [0.5]
    scheduler.rescale(0.5)
    assert epochs(optimizer, scheduler, [1.0, 1.0]) == [0.25, 0.125]
    scheduler.decay_now(10)
    assert scheduler.value(scheduler.count + 5) == pytest.approx(0.0625)
    state = json.loads(json.dumps(scheduler.state_dict()))
    again = wd.Scheduler(sgd(), lr=PLATEAU, run=wd.Run(total_steps=100))
    again.load_state_dict(state)
    assert [again.value(step) for step in range(40)] == [
        scheduler.value(step) for step in range(40)
    ]


def test_ranks_that_measured_differently_agree_on_the_mean() -> None:
    ranks = [
        wd.Scheduler(sgd(), PLAN, all_gather=lambda own: [{"val_loss": 1.0}, {"val_loss": 3.0}])
        for _ in range(2)
    ]
    for own, scheduler in zip((1.0, 3.0), ranks, strict=True):
        scheduler.observe(val_loss=own)
    assert ranks[0].state_dict() == ranks[1].state_dict()


def test_a_state_with_another_number_of_histories_is_refused() -> None:
    scheduler = wd.Scheduler(sgd(), PLAN)
    state = scheduler.state_dict()
    other = wd.Scheduler(sgd(), wd.Plan.of(lr=PLATEAU * PLATEAU)).state_dict()
    mixed = {**state, "seen": other["seen"]}
    with pytest.raises(wd.StateError):
        scheduler.load_state_dict(mixed)


@pytest.mark.parametrize(
    "kind", [float, np.float32, torch.tensor, lambda loss: torch.tensor([loss])]
)
def test_a_framework_gives_the_one_metric_as_the_first_argument_of_step(kind: Any) -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=PLATEAU)
    for loss in (1.0, 1.0, 1.0):
        train(optimizer, scheduler, 5)
        scheduler.step(kind(loss))
    assert scheduler.count == 15
    assert scheduler.get_last_lr() == [0.5]


@pytest.mark.parametrize("epoch", [1, True, torch.tensor(1), np.int64(1), "1"])
def test_an_epoch_is_no_metric(epoch: Any) -> None:
    scheduler = wd.Scheduler(sgd(), lr=PLATEAU)
    with pytest.raises(wd.BindingError, match=r"takes no epoch.*it follows val_loss"):
        scheduler.step(epoch)


def test_a_metric_is_taken_by_place_only_where_the_plan_follows_just_one() -> None:
    both = PLATEAU * wd.Plateau(metric="accuracy", mode="max")
    with pytest.raises(wd.BindingError, match="it follows accuracy, val_loss"):
        wd.Scheduler(sgd(), lr=both).step(1.0)
    with pytest.raises(wd.BindingError, match="it follows none"):
        wd.Scheduler(sgd(), lr=wd.Linear(steps=9)).step(1.0)


def test_a_process_that_measured_nothing_takes_part() -> None:
    scheduler = wd.Scheduler(sgd(), PLAN, all_gather=lambda own: [own, {"val_loss": 3.0}])
    scheduler.observe()
    alone = wd.Scheduler(sgd(), PLAN)
    alone.observe()
    assert [one.metric for one in alone.writer.timeline.feedbacks()] == ["val_loss"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it may have threads
def test_two_processes_follow_the_mean_and_wait_for_each_other_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rates(*losses: float | None) -> list[float]:
        scheduler = wd.Scheduler(sgd(), lr=wd.Plateau(metric="loss", factor=0.5, patience=0))
        found = []
        for loss in losses:
            scheduler.observe(**{} if loss is None else {"loss": loss})
            found += scheduler.get_last_lr()
        return found

    halved = [1.0, 0.5, 0.25, 0.25, 0.125]

    def second() -> None:
        assert rates(3.0, 3.0, None, 0.5, 2.0) == halved

    with as_first_of_two(second, tmp_path):
        # the means are 2, 2.1, 2.2 of one alone, 1, and 2 of the other
        assert rates(1.0, 1.2, 2.2, 1.5, None) == halved
        monkeypatch.setattr("warmdown.binding.clock._PATIENCE", timedelta(milliseconds=50))
        with pytest.raises(wd.BindingError, match="at update 0, process 1 did not call it"):
            rates(1.0)


@pytest.mark.slow
def test_processes_agree_on_a_metric_and_one_alone_is_told_to_call_it_on_all(
    tmp_path: Path,
) -> None:
    torchrun("observers.py", tmp_path, 2)
    (first, error), (second, none) = (
        (tmp_path / f"{rank}.txt").read_text().split("\n") for rank in range(2)
    )
    assert first == second == "[1.0, 0.5, 0.5, 0.5]"
    assert "at update 0, process 1 did not call it" in error
    assert "Call it on every process" in error
    assert not none
