"""A compiled update follows the schedule without another compilation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.binding.loops import model

import warmdown as wd
from warmdown.binding import compiled as compiling

RUN = wd.Run(total_steps=1003)
"""A thousand updates, after two that compile."""


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, while it traces
        yield
    torch._dynamo.reset()


def graphs() -> int:
    """Return how often anything was compiled."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def optimizer_of(net: torch.nn.Module, kind: str) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(net.parameters(), lr=torch.tensor(0.1))
    return torch.optim.AdamW(net.parameters(), lr=0.1)


def targets(kind: str) -> dict[str, Any]:
    return wd.one_cycle() if kind == "one-cycle" else {"lr": wd.warmup_cosine(end=0.1)}


def test_what_an_older_torch_would_trace_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "KNOWS_MARKS", False)
    seen: list[int] = []
    note = compiling.leave_uncompiled(seen.append)

    @torch.compile(backend="eager")
    def update(tensor: torch.Tensor) -> torch.Tensor:
        note(len(seen))
        return tensor + 1

    for _ in range(3):
        update(torch.ones(1))
    assert seen == [0, 1, 2]
    assert graphs() <= 2


def compiled_update(net: Any, optimizer: Any, whole: bool) -> Callable[[], None]:
    def whole_step() -> None:
        optimizer.zero_grad()
        net(torch.ones(3, 2)).square().mean().backward()
        optimizer.step()

    if whole:
        update_all: Callable[[], None] = torch.compile(whole_step, backend="aot_eager")
        return update_all
    step: Any = torch.compile(optimizer.step, backend="aot_eager")

    def update() -> None:
        optimizer.zero_grad()
        net(torch.ones(3, 2)).square().mean().backward()
        step()

    return update


@pytest.mark.parametrize("whole", [False, True], ids=["optimizer", "whole"])
@pytest.mark.parametrize("made", ["before", "after"])
@pytest.mark.parametrize("kind", ["lr", "one-cycle", "sgd"])
@pytest.mark.slow
def test_nothing_is_compiled_again_in_a_thousand_updates(kind: str, made: str, whole: bool) -> None:
    assert_nothing_is_compiled_again(kind, made, whole, 1000)


@pytest.mark.parametrize(
    ("kind", "made", "whole"),
    [
        ("lr", "before", False),
        ("lr", "after", True),
        ("one-cycle", "before", True),
        ("one-cycle", "after", False),
    ],
)
def test_nothing_is_compiled_again_while_the_schedule_moves(
    kind: str, made: str, whole: bool
) -> None:
    assert_nothing_is_compiled_again(kind, made, whole, 60)


def assert_nothing_is_compiled_again(kind: str, made: str, whole: bool, updates: int) -> None:
    net = model()
    optimizer = optimizer_of(net, kind)
    wd.as_tensors(optimizer, *(["lr"] if kind != "one-cycle" else ["lr", "betas[0]"]))
    if made == "before":
        scheduler = wd.Scheduler(optimizer, run=RUN, strict=True, **targets(kind))
    update = compiled_update(net, optimizer, whole)
    update()
    if made == "after":
        scheduler = wd.Scheduler(optimizer, run=RUN, strict=True, **targets(kind))
    else:
        scheduler.step()
    for _ in range(2):  # torch 2.6 compiles once more when the first step keeps a base value
        update()
        scheduler.step()
    first = graphs()
    for _ in range(updates):
        update()
        scheduler.step()
    assert graphs() == first
    assert scheduler.count == updates + (3 if made == "before" else 2)


@pytest.mark.parametrize("whole", [False, True], ids=["optimizer", "whole"])
def test_a_compiled_run_makes_the_updates_of_an_eager_one(whole: bool) -> None:
    def parameters(compile_it: bool) -> list[torch.Tensor]:
        net = model()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        wd.as_tensors(optimizer, "lr", "betas[0]")
        scheduler = wd.Scheduler(optimizer, run=wd.Run(total_steps=30), **targets("one-cycle"))
        update = (
            compiled_update(net, optimizer, whole) if compile_it else eager_update(net, optimizer)
        )
        for _ in range(30):
            update()
            scheduler.step()
        return [one.detach() for one in net.parameters()]

    for compiled, eager in zip(parameters(True), parameters(False), strict=True):
        torch.testing.assert_close(compiled, eager)


def eager_update(net: Any, optimizer: Any) -> Callable[[], None]:
    def update() -> None:
        optimizer.zero_grad()
        net(torch.ones(3, 2)).square().mean().backward()
        optimizer.step()

    return update


def test_the_clock_of_a_compiled_run_counts_by_itself() -> None:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=torch.tensor(0.1))
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(steps=100), auto=True)
    update = compiled_update(net, optimizer, whole=True)
    for _ in range(20):
        update()
    assert scheduler.count == 20


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["float", "tensor"])
@pytest.mark.parametrize("count_by", ["updates", "attempts"])
def test_a_step_within_the_compiled_step_is_called_as_it_is(count_by: Any, rate: Any) -> None:
    """One graph before it, and one after it where the rate is known again; nothing of a window."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    scheduler = wd.Scheduler(optimizer, lr=wd.warmup_cosine(warmup=5), run=RUN, count_by=count_by)

    @torch.compile(backend="eager")
    def update() -> None:
        optimizer.zero_grad()
        net(torch.ones(3, 2)).square().mean().backward()
        optimizer.step()
        scheduler.step()
        scheduler.get_last_lr()

    for step in range(40):
        planned = scheduler.value(step)
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(planned, rel=1e-6)
        update()
    assert scheduler.count == 40
    assert graphs() <= 3
