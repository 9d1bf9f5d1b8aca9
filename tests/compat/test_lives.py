"""Schedulers in random lives beside the original: stepped, edited, saved, loaded, copied."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compat.loops import rates as held
from tests.compat.parity import ARGUMENTS, OURS, TORCH, adam, furthest, made, rates

Make = Callable[[Any], Any]
Act = Callable[[Any, Make, Any], Any]


def step(scheduler: Any, make: Make, fresh: Any) -> Any:
    scheduler.optimizer.step()
    scheduler.step()
    return scheduler


def edit(scheduler: Any, make: Make, fresh: Any) -> Any:
    group = scheduler.optimizer.param_groups[-1]
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].mul_(0.7)
    else:
        group["lr"] *= 0.7
    return scheduler


def resume(scheduler: Any, make: Make, fresh: Any) -> Any:
    """Load both states into new objects, the optimizer's first."""
    states = copy.deepcopy((scheduler.optimizer.state_dict(), scheduler.state_dict()))
    again = make(fresh())
    again.optimizer.load_state_dict(states[0])
    again.load_state_dict(states[1])
    return again


def duplicate(scheduler: Any, make: Make, fresh: Any) -> Any:
    return copy.deepcopy(scheduler)


def restore(scheduler: Any, make: Make, fresh: Any) -> Any:
    """Load an optimizer's own state into it, which gives it other groups."""
    scheduler.optimizer.load_state_dict(copy.deepcopy(scheduler.optimizer.state_dict()))
    return scheduler


ACTS: list[Act] = [step] * 8 + [edit, resume, duplicate, restore]


def life(
    names: Any, name: str, arguments: dict[str, Any], fresh: Any, acts: list[Act]
) -> list[list[float]]:
    """Return what every group holds, and what the scheduler says of it, after each act."""

    def make(optimizer: Any) -> Any:
        return made(names, name, optimizer, arguments)

    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the originals warn of the order of steps
        scheduler = make(fresh())
        for act in acts:
            scheduler = act(scheduler, make, fresh)
            said = [float(rate) for rate in scheduler.get_last_lr()] if act is step else []
            seen.append([*held(scheduler.optimizer), *said])
    return seen


@pytest.mark.parametrize("kind", ["float", "tensor"])
@pytest.mark.parametrize("name", [name for name in ARGUMENTS if name != "ReduceLROnPlateau"])
@settings(max_examples=12)
@given(data=st.data())
def test_whatever_happens_to_it_a_scheduler_holds_what_the_original_holds(
    name: str, kind: str, data: st.DataObject
) -> None:
    arguments, groups = data.draw(ARGUMENTS[name]), data.draw(rates)
    acts = data.draw(st.lists(st.sampled_from(ACTS), min_size=1, max_size=30))
    lives = [
        life(names, name, arguments, lambda: adam(groups, kind), acts) for names in (OURS, TORCH)
    ]
    assert furthest(*lives) < 1e-9


@pytest.mark.parametrize("names", [OURS, TORCH], ids=["ours", "torch's"])
def test_the_rate_at_which_weights_are_averaged_is_set_also_after_an_edit(names: Any) -> None:
    optimizer = adam([1.0, 2.0])
    scheduler = names.SWALR(optimizer, 0.5, anneal_epochs=2)
    for act in (step, step, step, edit, step):
        act(scheduler, lambda _: None, None)
    assert held(optimizer) == [0.5, 0.5]


@pytest.mark.parametrize("rates_", [[1.0, 1.0], [1.0, 2.0]], ids=["alike", "each its own"])
def test_an_edit_on_a_stretch_where_the_rate_stands_still_is_seen(rates_: list[float]) -> None:
    lives = [
        life(
            names,
            "StepLR",
            {"step_size": 9, "gamma": 0.5},
            lambda: adam(rates_),
            [*[step] * 5, edit, *[step] * 15],
        )
        for names in (OURS, TORCH)
    ]
    assert furthest(*lives) < 1e-12
    assert lives[0][-1][1] == pytest.approx(rates_[1] * 0.7 * 0.25)
