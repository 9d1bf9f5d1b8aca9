"""What a torch ``LRScheduler`` has besides ``step``, on a native scheduler."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.binding.loops import each_rate, sgd, train

import warmdown as wd

DOWN = wd.Linear(start=1.0, end=0.0, steps=10)


def test_get_lr_is_the_plans_rate_and_get_last_lr_what_is_there() -> None:
    optimizer = sgd(0.4, 0.2)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    train(optimizer, scheduler, 5)
    optimizer.param_groups[1]["lr"] = 7.0
    assert scheduler.get_lr() == [0.2, 0.1]
    assert scheduler.get_last_lr() == scheduler._last_lr == [0.2, 7.0]
    assert scheduler.count == 5


def test_a_curve_is_drawn_through_get_lr() -> None:
    optimizer = sgd(0.4)
    scheduler, rates = wd.Scheduler(optimizer, lr=DOWN), []
    for _ in range(12):
        rates += scheduler.get_lr()
        scheduler.step()
    assert rates == [scheduler.value(step) for step in range(12)]


@pytest.mark.parametrize("plan", [{"lr": {"1": DOWN}}, {"weight_decay": wd.Set(DOWN)}])
def test_each_group_has_a_rate_whatever_the_plan_drives(plan: Any) -> None:
    """Trainers log the first of them."""
    optimizer = sgd(0.4, 0.2)
    scheduler = wd.Scheduler(optimizer, **plan)
    train(optimizer, scheduler, 5)
    expected = [0.4, 0.1 if "lr" in plan else 0.2]
    assert scheduler.get_last_lr() == scheduler.get_lr() == expected
    assert scheduler.base_lrs == [0.4, 0.2]


@pytest.mark.parametrize("rates", [(0.4, 0.2), (torch.tensor(0.4), torch.tensor(0.2))])
def test_base_rates_can_be_assigned_on_the_way(rates: Any) -> None:
    optimizer, other = sgd(*rates), sgd(0.8, 0.5)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    train(optimizer, scheduler, 5)
    scheduler.base_lrs = [0.8, 0.5]
    assert each_rate(optimizer) == pytest.approx([0.4, 0.25])
    assert scheduler.base_lrs == [0.8, 0.5]
    whole = wd.Scheduler(other, lr=DOWN)
    train(other, whole, 5)
    used = train(optimizer, scheduler, 5)
    assert used == pytest.approx(train(other, whole, 5))
    again = wd.Scheduler(sgd(0.8, 0.5), lr=DOWN)
    again.load_state_dict(scheduler.state_dict())
    assert again.base_lrs == [0.8, 0.5]


def test_one_base_rate_can_be_replaced_in_the_list() -> None:
    optimizer = sgd(0.4, 0.2)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    scheduler.base_lrs[1] = 0.5
    assert each_rate(optimizer) == [0.4, 0.5]
    copied = copy.deepcopy(scheduler.base_lrs)
    copied[0] = 3.0
    assert scheduler.base_lrs == [0.4, 0.5]


@pytest.mark.parametrize("rates", [[0.1], 0.1, [0.1, "x"], [0.1, -1.0], [0.1, float("nan")]])
def test_base_rates_that_are_none_are_refused(rates: Any) -> None:
    optimizer = sgd(0.4, 0.2)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    with pytest.raises(wd.BindingError, match=r"base_lrs=.*each of 2 groups"):
        scheduler.base_lrs = rates
    assert scheduler.base_lrs == each_rate(optimizer) == [0.4, 0.2]


def test_a_base_rate_that_no_plan_scales_is_not_replaced() -> None:
    scheduler = wd.Scheduler(sgd(0.4, 0.2), lr={"0": DOWN, "1": wd.Set(DOWN)})
    scheduler.base_lrs = [0.1, 0.2]
    with pytest.raises(wd.BindingError, match=r"does not scale the rate of group 1"):
        scheduler.base_lrs = [0.1, 0.1]
    assert scheduler.base_lrs == [0.1, 0.2]


def test_last_epoch_goes_to_an_update() -> None:
    optimizer = sgd(0.4)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    scheduler.last_epoch = 5
    assert (scheduler.last_epoch, scheduler.count, scheduler._step_count) == (5, 5, 6)
    assert each_rate(optimizer) == [0.2]


@pytest.mark.parametrize("count", [-1, 1.5, float("nan"), float("inf"), "3", None, True, [3]])
def test_no_other_thing_than_a_count_is_gone_to(count: Any) -> None:
    scheduler = wd.Scheduler(sgd(0.4), lr=DOWN)
    with pytest.raises(wd.ScheduleError, match=r"whole number from 0 on.*seek\(0\)"):
        scheduler.last_epoch = count


@pytest.mark.parametrize("rate", [0.4, torch.tensor(0.4)], ids=["float", "tensor"])
def test_the_schedule_goes_on_with_another_optimizer(rate: Any) -> None:
    """As torch's does: at the same place, from the same base rates."""
    first, second = sgd(0.4), sgd(rate)
    scheduler = wd.Scheduler(first, lr=DOWN)
    train(first, scheduler, 5)
    scheduler.optimizer = second
    assert scheduler.optimizer is second
    assert each_rate(second) == pytest.approx([0.2])
    assert train(second, scheduler, 2) == pytest.approx([0.2, 0.16])
    train(first, wd.Scheduler(sgd(1.0), lr=DOWN), 3)
    assert scheduler.count == 7
    assert each_rate(first) == [0.2]


def test_what_wraps_the_same_optimizer_takes_its_place() -> None:
    class Wrapper:
        def __init__(self, optimizer: Any) -> None:
            self.optimizer, self.param_groups = optimizer, optimizer.param_groups

    optimizer = sgd(0.4)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    writer = scheduler.writer
    scheduler.optimizer = wrapper = Wrapper(optimizer)
    assert scheduler.optimizer is wrapper
    assert scheduler.writer is writer
    assert train(optimizer, scheduler, 2) == pytest.approx([0.4, 0.36])


def test_what_is_read_from_the_optimizer_cannot_be_assigned() -> None:
    scheduler = wd.Scheduler(sgd(0.4), lr=DOWN)
    with pytest.raises(wd.BindingError, match=r"_last_lr=.*base_lrs.*rescale"):
        scheduler._last_lr = [1.0]


def test_accelerate_may_count_for_itself() -> None:
    scheduler = wd.Scheduler(sgd(0.4), lr=DOWN)
    scheduler._step_count += 3
    assert (scheduler._step_count, scheduler.count) == (1, 0)


def test_a_rate_is_printed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = wd.Scheduler(sgd(0.4), lr=DOWN)
    scheduler.print_lr(False, 0, 0.25)
    scheduler.print_lr(True, 0, 0.25, 3)
    assert capsys.readouterr().out == (
        "Epoch 00003: adjusting learning rate of group 0 to 2.5000e-01.\n"
    )


@pytest.mark.parametrize(
    ("argument", "way_out"), [({"last_epoch": 5}, r"seek\(count\)"), ({"verbose": True}, "Print")]
)
def test_arguments_of_torchs_schedulers_are_refused_with_the_way_out(
    argument: Any, way_out: str
) -> None:
    with pytest.raises(wd.ScheduleError, match=rf"{next(iter(argument))}=.*{way_out}"):
        wd.Scheduler(sgd(0.4), lr=DOWN, **argument)
