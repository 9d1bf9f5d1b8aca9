"""The classes that people subclass: documented use, state with the count, any field."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.compat.loops import goes_at_once, rates, run, sgd
from tests.lazily import Lazily

from warmdown.compat.schedulers import (
    CosineLrScheduler,
    SchedulerBase,
    StatefulSchedulerBase,
    WSDLrScheduler,
)
from warmdown.errors import BindingError, StateError

theirs: Any = Lazily("pytorch_accelerated.schedulers")


class Counted(StatefulSchedulerBase):
    """Keeps what it was asked for, and answers with a fixed value."""

    def __init__(self, optimizer: Any, answer: Any, param_group_field: str = "lr") -> None:
        super().__init__(optimizer, param_group_field)
        self.answer = answer
        self.asked: list[int] = []

    def get_updated_values(self, num_updates: int) -> Any:
        self.asked.append(num_updates)
        return self.answer


def test_the_first_step_asks_for_no_updates_and_each_further_one_for_one_more() -> None:
    scheduler = Counted(sgd(), answer=None)
    for _ in range(3):
        scheduler.step()
    assert scheduler.asked == [0, 1, 2]


def test_the_stateless_base_is_told_the_number_of_updates() -> None:
    class Halving(SchedulerBase):
        def get_updated_values(self, num_updates: int) -> list[float]:
            return [base * 0.5**num_updates for base in self.base_lr_values]

    optimizer = sgd(1.0, 0.1)
    Halving(optimizer).step_update(3)
    assert rates(optimizer) == [0.125, 0.0125]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (0.5, [0.5, 0.5]),
        (1, [1.0, 1.0]),
        (np.float32(0.25), [0.25, 0.25]),
        (torch.tensor(0.5), [0.5, 0.5]),
        ([0.1, 0.2], [0.1, 0.2]),
        ((0.1, 0.2), [0.1, 0.2]),
        (np.array([0.1, 0.2]), [0.1, 0.2]),
        (torch.tensor([0.5, 0.25]), [0.5, 0.25]),
        (None, [1.0, 0.1]),
    ],
)
def test_one_number_one_for_each_group_or_none_can_be_returned(
    answer: Any, expected: list[float]
) -> None:
    optimizer = sgd(1.0, 0.1)
    Counted(optimizer, answer).step()
    assert rates(optimizer) == expected


def test_a_generator_of_values_serves_the_groups_in_turn() -> None:
    optimizer = sgd(1.0, 0.1)
    Counted(optimizer, (value / 10 for value in (1, 2))).step()
    assert rates(optimizer) == [0.1, 0.2]


@pytest.mark.parametrize("answer", [[0.1], [0.1, 0.2, 0.3], "0.1", ["a", "b"], object()])
def test_an_answer_that_is_not_one_number_a_group_is_refused_and_nothing_is_written(
    answer: Any,
) -> None:
    optimizer = sgd(1.0, 0.1)
    with pytest.raises(BindingError, match=r"Counted.get_updated_values: .* Return"):
        Counted(optimizer, answer).step()
    assert rates(optimizer) == [1.0, 0.1]


@pytest.mark.parametrize("field", ["momentum", "weight_decay", "betas[0]"])
def test_any_field_of_a_group_can_be_scheduled(field: str) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))])
    scheduler = Counted(optimizer, 0.25, field)
    scheduler.step()
    held = optimizer.param_groups[0]["weight_decay" if field == "weight_decay" else "betas"]
    assert (held if field == "weight_decay" else held[0]) == 0.25
    assert scheduler.get_last_lr() == [1e-3]


def test_a_field_that_no_group_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(BindingError, match=r"has no 'weight_decy'.*Did you mean 'weight_decay'"):
        Counted(sgd(), None, "weight_decy")


def test_the_base_value_is_the_one_that_the_optimizers_state_remembers() -> None:
    first = sgd(1.0)
    run(CosineLrScheduler(first, 1, 10), 8)
    resumed = sgd(0.5)
    resumed.load_state_dict(first.state_dict())
    assert Counted(resumed, None).base_lr_values == [1.0]


def test_a_group_that_is_added_joins_with_its_own_base() -> None:
    optimizer = sgd(1.0)
    scheduler = CosineLrScheduler(optimizer, 1, 10, lr_min=0.0)
    run(scheduler, 5)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.1})
    run(scheduler, 1)
    assert rates(optimizer) == pytest.approx([0.5, 0.05])


def test_a_tensor_rate_stays_the_tensor_it_is() -> None:
    rate = torch.tensor(1.0)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=rate)
    scheduler = CosineLrScheduler(optimizer, 1, 10, lr_min=0.0)
    run(scheduler, 6)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.5)
    assert scheduler.base_lr_values == [1.0]


def test_a_users_scheduler_is_saved_with_its_count_and_goes_on_where_it_was() -> None:
    first = Counted(sgd(), None)
    run(first, 3)
    second = Counted(sgd(), None)
    second.load_state_dict(first.state_dict())
    second.step()
    assert second.asked[-1] == 3
    assert "optimizer" not in first.state_dict()


@pytest.mark.parametrize(
    "damage", [{"_num_updates": None}, {"_num_updates": "3"}, {"_num_updates": -2}]
)
def test_a_state_without_its_count_is_refused(damage: dict[str, Any]) -> None:
    state = Counted(sgd(), None).state_dict() | damage
    with pytest.raises(StateError, match="does not say how far"):
        Counted(sgd(), None).load_state_dict(state)


@pytest.mark.parametrize("state", [None, [], "state"])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(StateError, match=r"a state_dict\(\) of a CosineLrScheduler is needed"):
        CosineLrScheduler(sgd(), 1, 10).load_state_dict(state)


def test_the_state_of_another_field_is_refused() -> None:
    state = Counted(sgd(), None, "momentum").state_dict()
    with pytest.raises(StateError, match="schedules 'momentum', this scheduler 'lr'"):
        Counted(sgd(), None).load_state_dict(state)


def test_it_is_a_scheduler_of_torch_to_those_who_ask() -> None:
    scheduler = CosineLrScheduler(sgd(1.0, 0.1), 1, 10)
    run(scheduler, 3)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert scheduler.get_last_lr() == rates(scheduler.optimizer)
    assert (scheduler.last_epoch, scheduler.base_lrs) == (3, [1.0, 0.1])


def test_optimizer_step_is_not_replaced() -> None:
    optimizer = sgd()
    step = optimizer.step.__func__  # type: ignore[attr-defined]
    CosineLrScheduler(optimizer, 1, 10)
    assert optimizer.step.__func__ is step  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "make", [lambda o: CosineLrScheduler(o, 1, 10), lambda o: Counted(o, None)]
)
def test_the_optimizer_does_not_keep_its_scheduler_alive(make: Callable[[Any], Any]) -> None:
    optimizer = sgd()
    scheduler = make(optimizer)
    with goes_at_once(scheduler):
        del scheduler


def test_an_optimizer_whose_scheduler_is_gone_loads_what_it_is_given() -> None:
    optimizer = sgd(1.0)
    scheduler = CosineLrScheduler(optimizer, 1, 10)
    run(scheduler, 3)
    state = optimizer.state_dict()
    scheduler.load_state_dict(scheduler.state_dict())
    assert scheduler.get_lr() == scheduler.get_last_lr() == rates(optimizer)
    del scheduler
    state["param_groups"][0]["lr"] = 0.7
    optimizer.load_state_dict(state)
    assert rates(optimizer) == [0.7]


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copied", "pickled"]
)
def test_a_copied_scheduler_drives_the_copied_optimizer(again: Callable[[Any], Any]) -> None:
    scheduler = WSDLrScheduler(sgd(), total_steps=10, decay_phase_ratio=0.5, lr_min=0.0)
    run(scheduler, 7)
    twin = again(scheduler)
    assert run(twin, 4) == run(scheduler, 4)
    assert twin.optimizer is not scheduler.optimizer
