"""Finished schedulers are resumed exactly, in any order, and made by factories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.compat.loops import rates, run, sgd, through_a_file
from tests.lazily import Lazily

from warmdown.compat.schedulers import (
    CosineLrScheduler,
    WSDLrScheduler,
)
from warmdown.errors import ScheduleError, StateError
from warmdown.placeholders import resolve

theirs: Any = Lazily("pytorch_accelerated.schedulers")


MAKERS: dict[str, Callable[[Any], Any]] = {
    "cosine": lambda o: CosineLrScheduler(o, 10, 10, num_warmup_epochs=2, num_cooldown_epochs=1),
    "wsd": lambda o: WSDLrScheduler(o, total_steps=100, num_warmup_steps=10, num_checkpoints=2),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("saved_at", [0, 1, 5, 47, 60, 100])
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_resumed_run_uses_the_rates_of_an_unbroken_one(
    kind: str, saved_at: int, optimizer_first: bool
) -> None:
    unbroken = run(MAKERS[kind](sgd(1.0, 0.1)), 110)
    first = MAKERS[kind](sgd(1.0, 0.1))
    before = run(first, saved_at)
    optimizer = sgd(1.0, 0.1)
    second = MAKERS[kind](optimizer)
    states = through_a_file(
        {"optimizer": first.optimizer.state_dict(), "scheduler": first.state_dict()}
    )
    for part in ("optimizer", "scheduler") if optimizer_first else ("scheduler", "optimizer"):
        (optimizer if part == "optimizer" else second).load_state_dict(states[part])
    assert before + run(second, 110 - saved_at) == unbroken


def test_loading_writes_the_rate_at_once() -> None:
    first = MAKERS["cosine"](sgd(1.0))
    run(first, 30)
    second = MAKERS["cosine"](sgd(1.0))
    second.load_state_dict(first.state_dict())
    assert rates(second.optimizer) == rates(first.optimizer)


def test_a_cosine_takes_the_state_that_pytorch_accelerated_saved() -> None:
    original = theirs.CosineLrScheduler(sgd(1.0), 10, 10, lr_min=0.0)
    run(original, 31)
    ours = CosineLrScheduler(sgd(1.0), 10, 10)
    ours.load_state_dict(original.state_dict())
    assert run(ours, 69) == pytest.approx(np.array(run(original, 69)))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_state_that_lacks_a_part_changes_nothing(kind: str) -> None:
    scheduler = MAKERS[kind](sgd(1.0))
    run(scheduler, 7)
    before = scheduler.state_dict()
    state = dict(before)
    state.pop("lr_min")
    with pytest.raises(StateError, match="lacks lr_min"):
        scheduler.load_state_dict(state)
    with pytest.raises(StateError, match="lr_min"):
        scheduler.load_state_dict(before | {"lr_min": -1.0})
    assert scheduler.state_dict() == before


def test_a_wsd_state_without_a_counter_is_refused_with_what_to_set() -> None:
    original = theirs.WSDLrScheduler(sgd(1.0), total_steps=100)
    run(original, 5)
    with pytest.raises(
        StateError,
        match=r"state\['num_updates'\] to the number of step\(\) calls "
        r"less one",
    ):
        WSDLrScheduler(sgd(1.0), total_steps=100).load_state_dict(original.state_dict())


def test_a_trainer_fills_in_what_a_factory_leaves_open() -> None:
    facts = {
        "NUM_EPOCHS": 10,
        "NUM_UPDATE_STEPS_PER_EPOCH": 20,
        "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH": 20,
    }
    make = resolve(
        WSDLrScheduler.create_scheduler_fn(num_warmup_epochs=2, num_checkpoints=2), facts
    )
    scheduler = make(sgd())
    assert (scheduler.total_steps, scheduler.num_warmup_steps) == (200, 40)
    cosine = resolve(CosineLrScheduler.create_scheduler_fn(num_warmup_epochs=0.5), facts)(sgd())
    assert (cosine.total_iterations, cosine.warmup_iterations) == (200, 10)


@pytest.mark.parametrize(
    "make", [WSDLrScheduler.create_scheduler_fn(), CosineLrScheduler.create_scheduler_fn()]
)
def test_a_factory_called_without_a_trainer_says_what_it_lacks(make: Callable[[Any], Any]) -> None:
    with pytest.raises(ScheduleError, match="a trainer fills this in"):
        make(sgd())


def test_a_subclass_that_changes_the_values_is_asked_for_every_one() -> None:
    class Doubled(CosineLrScheduler):
        def get_updated_values(self, num_updates: int) -> list[float]:
            return [2 * value for value in super().get_updated_values(num_updates)]

    scheduler = Doubled(sgd(1.0), 1, 10)
    assert run(scheduler, 3)[2] == pytest.approx(
        [2 * CosineLrScheduler(sgd(1.0), 1, 10).get_updated_values(1)[0]]
    )
