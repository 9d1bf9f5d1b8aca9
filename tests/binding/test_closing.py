"""A scheduler that is closed: what it leaves in its optimizer, and what it does no more."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.binding.loops import backward, each_rate, sgd, train

import warmdown as wd
from warmdown.binding.targets import BoundTarget

DOWN = wd.Linear(start=1.0, end=0.0, steps=10)


def hooks_of(optimizer: Any) -> list[int]:
    """Return how many hooks of each kind there are."""
    return [
        len(hooks)
        for name, hooks in sorted(vars(optimizer).items())
        if name.startswith("_optimizer_") and name.endswith("_hooks")
    ]


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("updates", [0, 3])
def test_no_hook_stays_on_the_optimizer(auto: bool, updates: int) -> None:
    optimizer = sgd(0.1)
    before = hooks_of(optimizer)
    scheduler = wd.Scheduler(optimizer, lr=DOWN, auto=auto)
    assert hooks_of(optimizer) != before
    for _ in range(updates):
        backward(optimizer)
        optimizer.step()
    scheduler.close()
    scheduler.close()
    assert hooks_of(optimizer) == before


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["float", "tensor"])
def test_the_next_scheduler_begins_at_the_base_and_is_alone(rate: Any) -> None:
    """No warning is given: the first one's writes, and the second one's, surprise neither."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=rate)
    first = wd.Scheduler(optimizer, lr=DOWN)
    train(optimizer, first, 4)
    first.close()
    assert each_rate(optimizer) == [pytest.approx(0.06)]
    second = wd.Scheduler(optimizer, lr=wd.Linear(start=0.5, end=1.5, steps=10))
    assert train(optimizer, second, 3) == pytest.approx([0.05, 0.06, 0.07])
    assert first.count == 4
    second.close()
    third = wd.Scheduler(optimizer, lr=DOWN)
    assert third.base_lrs == pytest.approx([0.1])


def test_one_may_end_by_itself_while_another_one_looks_through_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The garbage collector ends a scheduler at any moment."""
    optimizer, ending = sgd(0.1), [wd.Scheduler(sgd(0.1), lr=DOWN) for _ in range(8)]
    first = wd.Scheduler(optimizer, lr=DOWN)
    plain = BoundTarget.last_written

    def while_all_end(target: BoundTarget, index: int) -> Any:
        ending.clear()
        return plain(target, index)

    monkeypatch.setattr(BoundTarget, "last_written", while_all_end)
    second = wd.Scheduler(optimizer, lr=DOWN)
    assert not ending
    assert second.base_lrs == first.base_lrs


def test_one_that_ends_after_its_successor_began_leaves_that_one_alone() -> None:
    optimizer = sgd(0.1)
    first = wd.Scheduler(optimizer, lr=DOWN)
    train(optimizer, first, 4)
    first.close()
    second = wd.Scheduler(optimizer, lr=wd.Constant(value=0.5))
    del first
    assert "scheduled_lr" not in optimizer.param_groups[0]
    assert train(optimizer, second, 2) == [0.05, 0.05]


def test_training_goes_on_at_the_values_reached() -> None:
    optimizer = sgd(0.1, 0.2)
    scheduler = wd.Scheduler(optimizer, lr=DOWN, auto=True)
    for _ in range(8):
        if scheduler.count == 5:
            scheduler.close()
        backward(optimizer)
        optimizer.step()
    assert each_rate(optimizer) == [0.05, 0.1]


STEPS: dict[str, Callable[[wd.Scheduler], object]] = {
    "step": lambda scheduler: scheduler.step(),
    "seek": lambda scheduler: scheduler.seek(3),
    "load": lambda scheduler: scheduler.load_state_dict(scheduler.state_dict()),
    "observe": lambda scheduler: scheduler.observe(loss=1.0),
    "rescale": lambda scheduler: scheduler.rescale(0.5),
    "extend": lambda scheduler: scheduler.extend(20),
}


@pytest.mark.parametrize("count_by", ["updates", "attempts"])
@pytest.mark.parametrize("action", STEPS.values(), ids=STEPS)
def test_what_would_write_is_refused_and_what_was_is_still_read(
    action: Callable[[wd.Scheduler], object], count_by: Any
) -> None:
    optimizer = sgd(0.1)
    run = wd.Run(total_steps=10)
    scheduler = wd.Scheduler(optimizer, lr=DOWN * wd.Plateau(), run=run, count_by=count_by)
    train(optimizer, scheduler, 2)
    before = scheduler.state_dict()
    scheduler.close()
    with pytest.raises(wd.BindingError, match=r"Scheduler: it was closed.*Make another one"):
        action(scheduler)
    assert scheduler.state_dict() == before
    assert scheduler.count == 2
    assert each_rate(optimizer) == [scheduler.value(2)] == pytest.approx([0.08])


def test_a_copy_of_a_closed_one_is_closed() -> None:
    optimizer = sgd(0.1)
    scheduler = wd.Scheduler(optimizer, lr=DOWN)
    train(optimizer, scheduler, 2)
    scheduler.close()
    twin = copy.deepcopy(scheduler)
    assert twin.count == 2
    assert each_rate(twin.optimizer) == each_rate(optimizer)
    with pytest.raises(wd.BindingError, match="closed"):
        twin.step()
