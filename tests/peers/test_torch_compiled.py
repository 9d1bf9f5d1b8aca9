"""A scheduler's step within a compiled training step: torch's own names beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch._dynamo.utils import counters
from torch.optim import lr_scheduler as originals

from warmdown.compat import lr_scheduler as drop_ins
from warmdown.compat.schedulers import CosineLrScheduler

STEPS = 12


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it traces
        yield
    torch._dynamo.reset()


MAKE: dict[str, Callable[[Any, Any], Any]] = {
    "LambdaLR": lambda names, o: names.LambdaLR(o, lambda step: 0.95**step),
    "CosineAnnealingLR": lambda names, o: names.CosineAnnealingLR(o, 31, 0.001),
    "CosineAnnealingWarmRestarts": lambda names, o: names.CosineAnnealingWarmRestarts(o, 7, 2),
    "OneCycleLR": lambda names, o: names.OneCycleLR(o, 0.3, 40),
    "SequentialLR": lambda names, o: names.SequentialLR(
        o, [names.LinearLR(o, 0.1, total_iters=4), names.CosineAnnealingLR(o, 30)], [4]
    ),
    "ChainedScheduler": lambda names, o: names.ChainedScheduler(
        [names.ConstantLR(o, 0.3, 9), names.ExponentialLR(o, 0.93)]
    ),
    "ReduceLROnPlateau": lambda names, o: names.ReduceLROnPlateau(o, factor=0.5, patience=2),
}


def trained(
    make: Callable[[Any], Any], rate: float | torch.Tensor, *, is_compiled: bool = True
) -> tuple[int, list[float], list[torch.Tensor]]:
    """Return how many graphs a run had, the rates that it used, and its parameters."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    net = torch.nn.Linear(2, 1)
    rate = rate.clone() if isinstance(rate, torch.Tensor) else rate
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    scheduler = make(optimizer)
    metrics = (1.0,) if isinstance(scheduler, originals.ReduceLROnPlateau) else ()

    def step() -> None:
        optimizer.zero_grad()
        net(torch.ones(3, 2)).square().mean().backward()
        optimizer.step()
        scheduler.step(*metrics)

    update = torch.compile(step, backend="eager") if is_compiled else step
    used = []
    for _ in range(STEPS):
        used.append(float(optimizer.param_groups[0]["lr"]))
        update()
    return counters["stats"]["unique_graphs"], used, [one.detach() for one in net.parameters()]


@pytest.mark.parametrize(
    ("name", "rate"),
    [*((name, torch.tensor(0.1)) for name in MAKE), ("CosineAnnealingLR", 0.1)],
    ids=[*MAKE, "float"],
)
def test_a_drop_in_costs_no_more_graphs_than_torchs_and_has_its_values(
    name: str, rate: float | torch.Tensor
) -> None:
    graphs, used, parameters = trained(lambda o: MAKE[name](drop_ins, o), rate)
    theirs, _, _ = trained(lambda o: MAKE[name](originals, o), rate)
    assert graphs <= theirs
    _, eager, expected = trained(lambda o: MAKE[name](drop_ins, o), rate, is_compiled=False)
    assert used == eager
    for one, other in zip(parameters, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_scheduler_of_updates_costs_as_few() -> None:
    def make(optimizer: Any) -> Any:
        return CosineLrScheduler(optimizer, total_num_epochs=4, num_update_steps_per_epoch=5)

    graphs, used, _ = trained(make, torch.tensor(0.1))
    assert graphs <= 3
    assert used == trained(make, torch.tensor(0.1), is_compiled=False)[1]
