"""Clocks: updates, samples, tokens, seconds; the same on every rank and after every resume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.binding.loops import backward, sgd, warns

import warmdown as wd
from warmdown.binding.clock import mean_over_ranks
from warmdown.errors import AmountMismatch

TOKENS = wd.Run(budget="10000tok", clock="tokens")
LINE = wd.Linear(start=1.0, end=0.0)


def update(optimizer: Any) -> None:
    optimizer.zero_grad()
    backward(optimizer)
    optimizer.step()


def test_tokens_move_the_schedule_through_a_batch_ramp() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS)
    used, seen = [], 0
    for tokens in [100] * 20 + [400] * 10 + [800] * 5:
        assert optimizer.param_groups[0]["lr"] == LINE.over(TOKENS)(seen)
        update(optimizer)
        used.append(optimizer.param_groups[0]["lr"])
        scheduler.step(tokens=tokens)
        seen += tokens
    assert scheduler.position == seen == 10_000
    assert scheduler.count == 35
    assert scheduler.get_last_lr() == [0.0]


def test_samples_that_the_run_gives_need_not_be_given_again() -> None:
    optimizer = sgd()
    run = wd.Run(total_steps=10, samples_per_step=32, clock="samples")
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=run)
    update(optimizer)
    scheduler.step()
    assert scheduler.position == 32
    update(optimizer)
    scheduler.step(samples=64)
    assert scheduler.position == 96
    assert scheduler.get_last_lr() == [0.7]


def test_an_update_whose_tokens_are_not_known_is_refused() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS)
    update(optimizer)
    with pytest.raises(wd.BindingError, match=r"step\(tokens=None\).*Run\(tokens_per_step=…\)"):
        scheduler.step()
    with pytest.raises(wd.BindingError, match=r"step\(tokens=-3\)"):
        scheduler.step(tokens=-3)


def test_micro_batches_tell_their_tokens_and_the_update_counts_them_all() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS)
    for _ in range(3):
        for micro_batch in range(4):
            backward(optimizer)
            before = optimizer.param_groups[0]["lr"]
            if micro_batch == 3:
                optimizer.step()
            scheduler.step(tokens=25)
            assert (optimizer.param_groups[0]["lr"] != before) is (micro_batch == 3)
        optimizer.zero_grad()
    assert (scheduler.count, scheduler.position) == (3, 300)


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_a_resume_on_another_number_of_processes_leaves_the_value(processes: int) -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS)
    for _ in range(10):
        update(optimizer)
        scheduler.step(tokens=4 * 100)  # four processes
    optimizer = sgd()
    again = wd.Scheduler(optimizer, lr=LINE, run=TOKENS)
    again.load_state_dict(scheduler.state_dict())
    assert again.get_last_lr() == scheduler.get_last_lr() == [0.6]
    update(optimizer)
    again.step(tokens=processes * 100)
    assert again.get_last_lr() == [pytest.approx(0.6 - processes / 100)]


def test_events_of_a_token_clock_are_placed_by_tokens() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Constant(), run=TOKENS)
    for _ in range(5):
        update(optimizer)
        scheduler.step(tokens=1000)
    scheduler.decay_now("1000tok")
    assert scheduler.value(5000) == 1.0
    assert scheduler.value(5500) == 0.5
    update(optimizer)
    scheduler.step(tokens=250)
    assert scheduler.get_last_lr() == [0.75]


class Time:
    """A timer that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def timed(time: Time, budget: str = "2h") -> tuple[Any, wd.Scheduler]:
    optimizer = sgd()
    run = wd.Run(budget=budget, clock="seconds")
    return optimizer, wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.1), run=run, timer=time)


def test_the_floor_is_reached_at_the_budgets_end_though_pace_halves_and_it_is_resumed() -> None:
    time = Time()
    optimizer, scheduler = timed(time, "30min")
    spent, pace, resumed = 0.0, 1.0, False
    while spent < 1800:
        asked = 1.0 - 0.9 * spent / 1800
        assert optimizer.param_groups[0]["lr"] == pytest.approx(asked, abs=0.002)
        update(optimizer)
        time.now += pace
        spent += pace
        scheduler.step()
        if spent >= 900:
            pace = 2.0
        if spent >= 1250 and not resumed:
            resumed, state = True, scheduler.state_dict()
            time = Time()  # another machine, later
            time.now = 99_999.0
            optimizer, scheduler = timed(time, "30min")
            time.now += 300.0  # loading a model is not training
            scheduler.load_state_dict(state)
    assert scheduler.get_last_lr() == [pytest.approx(0.1, abs=1e-6)]
    assert scheduler.position == pytest.approx(1800, abs=3)


def test_a_fast_run_reads_the_time_now_and_then_and_never_goes_back() -> None:
    time, readings = Time(), 0

    def timer() -> float:
        nonlocal readings
        readings += 1
        return time.now

    optimizer = sgd()
    run = wd.Run(budget="60s", clock="seconds")
    scheduler = wd.Scheduler(
        optimizer, lr=wd.Linear(start=1.0, end=0.0), run=run, timer=timer, count_by="attempts"
    )
    values = []
    for _ in range(60_000):
        time.now += 0.001
        scheduler.step()
        values.append(optimizer.param_groups[0]["lr"])
    assert readings < 1000
    assert (np.diff(values) <= 0).all()
    assert values[30_000] == pytest.approx(0.5, abs=0.01)
    assert values[-1] == pytest.approx(0.0, abs=1e-4)


def test_all_ranks_take_the_first_ones_time() -> None:
    times = [Time(), Time()]
    said: list[float] = []

    def first_of_two(own: float) -> list[float]:
        said.append(own)
        return [said[-1] if len(said) % 2 else said[-2], own]

    schedulers = []
    for time in times:
        run = wd.Run(budget="100s", clock="seconds")
        schedulers.append(
            wd.Scheduler(
                sgd(), lr=LINE, run=run, timer=time, all_gather=first_of_two, count_by="attempts"
            )
        )
    for _ in range(20):
        times[0].now += 1.0
        times[1].now += 1.3  # a clock that runs ahead
        for scheduler in schedulers:
            scheduler.step()
        assert schedulers[0].get_last_lr() == schedulers[1].get_last_lr()


def test_metrics_are_agreed_on_by_their_mean() -> None:
    assert mean_over_ranks([{"loss": 1.0}, {"loss": 2.0, "accuracy": 0.5}]) == {
        "loss": 1.5,
        "accuracy": 0.5,
    }
    assert np.isnan(mean_over_ranks([{"loss": 1.0}, {"loss": float("nan")}])["loss"])


def test_data_do_not_move_a_clock_of_updates() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=10))
    update(optimizer)
    scheduler.step(samples=32, tokens=4096)
    assert scheduler.position == scheduler.count == 1


def test_an_automatic_clock_takes_what_is_given_after_an_update_for_that_update() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS, auto=True)
    seen = 0
    for tokens in [100] * 5 + [400] * 5:
        update(optimizer)
        scheduler.step(tokens=tokens)
        seen += tokens
        assert scheduler.position == seen
        assert optimizer.param_groups[0]["lr"] == LINE.over(TOKENS)(seen)
    assert scheduler.count == 10


@pytest.mark.parametrize("first", [True, False])
def test_an_automatic_clock_takes_what_is_given_before_an_update_for_that_update(
    first: bool,
) -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS, auto=True)
    for count in range(1, 6):
        if first:
            scheduler.step(tokens=100)
        optimizer.zero_grad()
        backward(optimizer)
        if not first:
            scheduler.step(tokens=100)
        assert scheduler.position == 100 * (count - 1)  # what this update uses
        optimizer.step()
        assert (scheduler.count, scheduler.position) == (count, 100 * count)


def test_an_automatic_clock_adds_the_micro_batches_around_an_update() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS, auto=True)
    for micro_batch in range(8):
        backward(optimizer)
        if micro_batch % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step(tokens=25)
        assert scheduler.count == (micro_batch + 1) // 4
        assert scheduler.position == 100 * scheduler.count


def test_an_automatic_clock_uses_the_runs_amount_until_another_is_given() -> None:
    optimizer = sgd()
    run = wd.Run(total_steps=10, samples_per_step=32, clock="samples")
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=run, auto=True)
    update(optimizer)
    assert (scheduler.count, scheduler.position) == (1, 32)
    update(optimizer)
    scheduler.step(samples=8)
    assert (scheduler.count, scheduler.position) == (2, 40)
    assert scheduler.get_last_lr() == [0.875]
    scheduler.step()  # nothing given: what it was counted with stays
    update(optimizer)
    scheduler.step()
    assert (scheduler.count, scheduler.position) == (3, 72)


def test_an_automatic_clock_that_is_given_nothing_says_so_at_the_second_update() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=TOKENS, auto=True)
    update(optimizer)
    with pytest.raises(wd.BindingError, match=r"step\(tokens=None\)"):
        update(optimizer)
    assert scheduler.count == 1


@pytest.mark.parametrize("auto", [True, False])
def test_an_update_of_no_data_is_counted_and_moves_nothing(auto: bool) -> None:
    optimizer = sgd()
    run = wd.Run(total_steps=10, samples_per_step=32, clock="samples")
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=run, auto=auto)
    update(optimizer)
    scheduler.step(samples=0)
    assert (scheduler.count, scheduler.position) == (1, 0)
    with pytest.raises(wd.BindingError, match=r"samples=inf\)"):
        scheduler.step(samples=float("inf"))


@pytest.mark.parametrize("auto", [True, False])
def test_amounts_other_than_the_runs_are_reported_once_with_both_numbers(auto: bool) -> None:
    optimizer = sgd()
    run = wd.Run(total_steps=20, samples_per_step=16, clock="samples")
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=run, auto=auto)
    for samples in (16, 8, 16, 16, 8, 16):  # the rest of an epoch
        update(optimizer)
        scheduler.step(samples=samples)
    with warns(AmountMismatch, "step(samples=8): Run(samples_per_step=16)"):
        for _ in range(5):
            update(optimizer)
            scheduler.step(samples=8)


def test_micro_batches_that_add_up_to_the_runs_amount_are_right() -> None:
    optimizer = sgd()
    run = wd.Run(total_steps=20, samples_per_step=16, clock="samples")
    for auto in (True, False):
        scheduler = wd.Scheduler(optimizer, lr=LINE, run=run, auto=auto, strict=True)
        for micro_batch in range(8):
            backward(optimizer)
            if micro_batch % 2:
                optimizer.step()
            scheduler.step(samples=8)
        assert scheduler.position == 64
        del scheduler
