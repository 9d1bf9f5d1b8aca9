"""A resumed run writes the very rates of an unbroken one, whatever is loaded first."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

import warmdown as wd
from warmdown.compat import lr_scheduler as names

MAKE: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: names.LambdaLR(o, lambda step: 0.95**step),
    "MultiplicativeLR": lambda o: names.MultiplicativeLR(o, lambda _: 0.93),
    "StepLR": lambda o: names.StepLR(o, 3, 0.7),
    "LinearLR": lambda o: names.LinearLR(o, 0.3, 1.0, 15),
    "ExponentialLR": lambda o: names.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda o: names.PolynomialLR(o, 30, 1.3),
    "CosineAnnealingLR": lambda o: names.CosineAnnealingLR(o, 31, 0.001),
    "CosineAnnealingWarmRestarts": lambda o: names.CosineAnnealingWarmRestarts(o, 7, 2),
    "OneCycleLR": lambda o: names.OneCycleLR(o, 0.3, 40),
    "SequentialLR": lambda o: names.SequentialLR(
        o, [names.LinearLR(o, 0.1, total_iters=4), names.CosineAnnealingLR(o, 30)], [4]
    ),
    "ChainedScheduler": lambda o: names.ChainedScheduler(
        [names.ConstantLR(o, 0.3, 9), names.ExponentialLR(o, 0.93)]
    ),
    "native": lambda o: wd.Scheduler(
        o, lr=wd.warmup_cosine(warmup=5, end=0.1), run=wd.Run(total_steps=40)
    ),
}
KINDS: dict[str, Callable[[float], Any]] = {
    "float": float,
    "float64": lambda rate: torch.tensor(rate, dtype=torch.float64),
    "float32": torch.tensor,
}


def sgd(kind: str) -> torch.optim.Optimizer:
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(2))], "lr": KINDS[kind](rate)}
        for rate in (0.1, 0.037)
    ]
    return torch.optim.SGD(groups, lr=KINDS[kind](1.0), momentum=0.9)


def train(optimizer: Any, scheduler: Any, updates: int) -> list[list[float]]:
    used = []
    for _ in range(updates):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        used.append([float(group["lr"]) for group in optimizer.param_groups])
        used.append([float(group["momentum"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return used


def edit(optimizer: Any, factor: float = 0.5) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].mul_(factor)
        else:
            group["lr"] *= factor


def saved(optimizer: Any, scheduler: Any) -> tuple[Any, Any]:
    file = io.BytesIO()
    torch.save((optimizer.state_dict(), scheduler.state_dict()), file)
    file.seek(0)
    loaded: tuple[Any, Any] = torch.load(file)
    return loaded


def resumed(
    kind: str, make: Callable[[Any], Any], states: tuple[Any, Any], order: str
) -> tuple[Any, Any]:
    """Return a new optimizer and its scheduler; M makes it, O and S load the two states."""
    optimizer, scheduler = sgd(kind), None
    for act in order:
        if act == "M":
            scheduler = make(optimizer)
        else:
            loads: Any = optimizer if act == "O" else scheduler
            loads.load_state_dict(copy.deepcopy(states["OS".index(act)]))
    return optimizer, scheduler


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAKE)
def test_the_rates_are_those_of_an_unbroken_run_bit_for_bit(name: str, kind: str) -> None:
    make = MAKE[name]
    for start in (1, 6):
        optimizer = sgd(kind)
        scheduler = make(optimizer)
        train(optimizer, scheduler, start)
        states = saved(optimizer, scheduler)
        expected = train(optimizer, scheduler, 12)
        for order in ("MOS", "MSO", "OMS"):
            assert train(*resumed(kind, make, states, order), 12) == expected, (start, order)


@pytest.mark.parametrize("kind", ["float", "float32"])
@pytest.mark.parametrize("name", sorted(MAKE.keys() - {"native"}))
def test_a_rate_that_was_edited_before_saving_is_carried_on_bit_for_bit(
    name: str, kind: str
) -> None:
    make = MAKE[name]
    optimizer = sgd(kind)
    scheduler = make(optimizer)
    train(optimizer, scheduler, 6)
    edit(optimizer)
    states = saved(optimizer, scheduler)
    expected = train(optimizer, scheduler, 12)
    for order in ("MOS", "MSO", "OMS", "MS"):
        again, other = resumed(kind, make, states, order)
        rates = train(again, other, 12)
        assert rates[::2] == expected[::2], order


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ExponentialLR", "ChainedScheduler", "SequentialLR"])
def test_an_edited_rate_that_a_fresh_run_has_too_is_the_restored_one(name: str, kind: str) -> None:
    """It was set back by hand to what a new scheduler begins with, and is not the saved one."""
    make = MAKE[name]
    optimizer = sgd(kind)
    scheduler = make(optimizer)
    first = [copy.deepcopy(group["lr"]) for group in optimizer.param_groups]
    train(optimizer, scheduler, 6)
    for group, rate in zip(optimizer.param_groups, first, strict=True):
        group["lr"] = rate
    states = saved(optimizer, scheduler)
    expected = train(optimizer, scheduler, 4)
    states[1].pop("_edited_lr")  # an older state has no such entry
    assert train(*resumed(kind, make, states, "MOS"), 4) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_state_has_the_entries_that_it_was_resumed_from(kind: str) -> None:
    make = MAKE["CosineAnnealingLR"]
    optimizer = sgd(kind)
    scheduler = make(optimizer)
    train(optimizer, scheduler, 6)
    states = saved(optimizer, scheduler)
    again, other = resumed(kind, make, states, "MOS")
    assert other.state_dict() == states[1]
    train(again, other, 2)
    train(optimizer, scheduler, 2)
    assert other.state_dict() == scheduler.state_dict()
    assert "_bases" not in other.state_dict()
    kinds = {type(rate) for rate in other.get_last_lr()}
    assert kinds == {float if kind == "float" else torch.Tensor}


def test_windows_of_a_chain_that_end_elsewhere_have_the_same_rates() -> None:
    make = MAKE["ChainedScheduler"]
    optimizer = sgd("float")
    scheduler = make(optimizer)
    train(optimizer, scheduler, 100)
    states = saved(optimizer, scheduler)
    again, other = resumed("float", make, states, "MOS")
    for _ in range(4200):  # one of the two has begun a new window, and the other has not
        scheduler.step()
        other.step()
    assert train(again, other, 3) == train(optimizer, scheduler, 3)
