"""Native schedulers that other schedulers drive: in turn, multiplied, or under ignite's wrapper."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.binding.loops import backward, each_rate, sgd
from torch.optim import lr_scheduler as torchs

import warmdown as wd
from warmdown.compat import lr_scheduler as ours

DOWN = wd.Cosine(start=1.0, end=0.1, steps=8)
BASES = (0.4, 0.2)
FACTORS: dict[str, Callable[[int], float]] = {
    "native": DOWN,
    "warmup": lambda step: 0.1 + 0.9 * min(step, 4) / 4,
    "decay": lambda step: 0.9**step,
}
NAMES = pytest.mark.parametrize("names", [torchs, ours], ids=["torch", "ours"])
Optimizer = torch.optim.Optimizer


def part(kind: str, names: Any, optimizer: Optimizer) -> Any:
    if kind == "native":
        return wd.Scheduler(optimizer, lr=DOWN)
    if kind == "warmup":
        return names.LinearLR(optimizer, 0.1, total_iters=4)
    return names.ExponentialLR(optimizer, 0.9)


def sequence(kinds: str, names: Any, optimizer: Optimizer) -> Any:
    parts = [part(kind, names, optimizer) for kind in kinds.split()]
    return names.SequentialLR(optimizer, parts, milestones=[4, 9][: len(parts) - 1])


def chain(kinds: str, names: Any, optimizer: Optimizer) -> Any:
    return names.ChainedScheduler([part(kind, names, optimizer) for kind in kinds.split()])


def used(optimizer: Optimizer, scheduler: Any, updates: int) -> list[float]:
    """Return the rates of both groups at each update, one after the other."""
    rates = []
    for _ in range(updates):
        optimizer.zero_grad()
        backward(optimizer)
        rates += each_rate(optimizer)
        optimizer.step()
        scheduler.step()
    return rates


def expected(factor: Callable[[int], float], updates: int) -> Any:
    rates = [base * factor(step) for step in range(updates) for base in BASES]
    return pytest.approx(rates, rel=1e-6)


@pytest.fixture(params=["float", "tensor"])
def optimizer(request: pytest.FixtureRequest) -> Optimizer:
    is_tensor = request.param == "tensor"
    rates: Any = map(torch.tensor, BASES) if is_tensor else BASES
    return sgd(*rates)


@NAMES
@pytest.mark.parametrize("kinds", ["warmup native", "native decay", "native native"])
def test_each_part_of_a_sequence_runs_from_its_own_first_step(
    names: Any, kinds: str, optimizer: Optimizer
) -> None:
    first, second = (FACTORS[kind] for kind in kinds.split())
    scheduler = sequence(kinds, names, optimizer)
    whole = expected(lambda step: first(step) if step < 4 else second(step - 4), 14)
    assert used(optimizer, scheduler, 14) == whole
    assert scheduler.get_last_lr() == each_rate(optimizer)


@NAMES
@pytest.mark.parametrize(
    "kinds", ["warmup native", "native warmup", "decay native decay", "native native"]
)
def test_a_chain_has_the_product_of_its_parts(names: Any, kinds: str, optimizer: Optimizer) -> None:
    product = lambda step: math.prod(FACTORS[kind](step) for kind in kinds.split())  # noqa: E731
    assert used(optimizer, chain(kinds, names, optimizer), 14) == expected(product, 14)


@NAMES
@pytest.mark.parametrize("compose", [sequence, chain])
@pytest.mark.parametrize("at", [2, 6])
@pytest.mark.parametrize("order", [("optimizer", "scheduler"), ("scheduler", "optimizer")])
def test_a_composed_run_resumes_as_a_whole(
    names: Any, compose: Any, at: int, order: tuple[str, str]
) -> None:
    for kinds in ("warmup native", "native decay"):
        optimizer = sgd(*BASES)
        scheduler = compose(kinds, names, optimizer)
        used(optimizer, scheduler, at)
        file = io.BytesIO()
        torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
        file.seek(0)
        states = torch.load(file, weights_only=True)
        rest = used(optimizer, scheduler, 8)
        again = sgd(*BASES)
        made = {"optimizer": again, "scheduler": compose(kinds, names, again)}
        for one in order:
            made[one].load_state_dict(states[one])
        assert used(again, made["scheduler"], 8) == pytest.approx(rest)


@pytest.mark.parametrize("compose", [sequence, chain])
def test_a_copy_of_a_composed_run_goes_on_alike(compose: Any) -> None:
    optimizer = sgd(*BASES)
    scheduler = compose("warmup native", ours, optimizer)
    used(optimizer, scheduler, 2)
    twin_optimizer, twin = copy.deepcopy((optimizer, scheduler))
    rest = used(optimizer, scheduler, 8)
    assert used(twin_optimizer, twin, 8) == pytest.approx(rest)


@NAMES
def test_a_part_leaves_the_rate_alone_while_it_has_no_turn(names: Any) -> None:
    optimizer = sgd(*BASES)
    scheduler = sequence("warmup native", names, optimizer)
    used(optimizer, scheduler, 1)
    optimizer.param_groups[0]["lr"] = 7.0
    optimizer.load_state_dict(optimizer.state_dict())
    assert used(optimizer, scheduler, 1)[0] == 7.0


@NAMES
def test_a_factor_that_begins_at_nothing_is_refused_with_the_way_out(names: Any) -> None:
    optimizer = sgd(*BASES)
    parts = [wd.Scheduler(optimizer, lr=wd.Linear(start=0.0, end=1.0, steps=4))]
    with pytest.raises(wd.ScheduleError, match=r"begins at 0.*first \* second"):
        names.ChainedScheduler([*parts, names.ExponentialLR(optimizer, 0.9)])


def test_a_sequence_that_is_resumed_by_its_number_enters_the_plan_there() -> None:
    """So OneTrainer goes on behind its warmup."""
    optimizer = sgd(*BASES)
    parts = [part("warmup", ours, optimizer), part("native", ours, optimizer)]
    scheduler = ours.SequentialLR(optimizer, parts, milestones=[4], last_epoch=5)
    rest = [base * DOWN(step) for step in range(2, 8) for base in BASES]
    assert used(optimizer, scheduler, 6) == pytest.approx(rest)


@pytest.mark.parametrize("is_warmed", [False, True], ids=["wrapped", "warmed"])
def test_ignites_wrapper_gives_what_it_gives_of_torchs(is_warmed: bool) -> None:
    ignite: Any = pytest.importorskip("ignite.handlers.param_scheduler")

    def rates(make: Callable[[Optimizer], Any]) -> list[float]:
        optimizer = sgd(0.4)
        scheduler = make(optimizer)
        if is_warmed:
            handler = ignite.create_lr_scheduler_with_warmup(scheduler, 0.04, 4)
        else:
            handler = ignite.LRScheduler(scheduler)
        given = []
        for _ in range(10):
            handler(None)
            backward(optimizer)
            given += each_rate(optimizer)
            optimizer.step()
        return given

    native = rates(lambda optimizer: wd.Scheduler(optimizer, lr=DOWN))
    assert native == pytest.approx(rates(lambda optimizer: torchs.LambdaLR(optimizer, DOWN)))
