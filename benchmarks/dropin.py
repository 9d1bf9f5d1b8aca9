"""What do the drop-in names cost, beside torch's own?

The fastest of many short rounds is told: where other programs run, a long call is interrupted more
often than a short one, and a median would tell of them, in our favour.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from benchmarks.compiled import adamw, compiled
from benchmarks.harness import Peers, Table, in_groups, race
from torch.optim import lr_scheduler, swa_utils

import warmdown.compat.lr_scheduler as ours

SIZES = (1, 10, 100)
COMPILED_SIZES = (1, 10)
TORCH = SimpleNamespace(**vars(lr_scheduler), SWALR=swa_utils.SWALR)
Build = Callable[[Any, torch.optim.Optimizer], Any]

NAMES: dict[str, Build] = {
    "StepLR": lambda names, opt: names.StepLR(opt, 30, 0.9),
    "MultiStepLR": lambda names, opt: names.MultiStepLR(opt, [30, 60, 90], 0.9),
    "ConstantLR": lambda names, opt: names.ConstantLR(opt, 0.5, 1000),
    "LinearLR": lambda names, opt: names.LinearLR(opt, 0.1, 1.0, 10_000_000),
    "ExponentialLR": lambda names, opt: names.ExponentialLR(opt, 0.999999),
    "PolynomialLR": lambda names, opt: names.PolynomialLR(opt, 10_000_000, 2.0),
    "CosineAnnealingLR": lambda names, opt: names.CosineAnnealingLR(opt, 10_000_000, 1e-5),
    "CosineAnnealingWarmRestarts": lambda names, opt: names.CosineAnnealingWarmRestarts(
        opt, 1000, 2
    ),
    "LambdaLR": lambda names, opt: names.LambdaLR(
        opt, lambda step: 0.5 * (1 + math.cos(step * 1e-7))
    ),
    "MultiplicativeLR": lambda names, opt: names.MultiplicativeLR(opt, lambda step: 0.999999),
    "OneCycleLR, with momentum": lambda names, opt: names.OneCycleLR(opt, 0.1, 10_000_000),
    "CyclicLR, with momentum": lambda names, opt: names.CyclicLR(opt, 0.1, 0.5, 1000),
    "SWALR": lambda names, opt: names.SWALR(opt, 0.05, 10_000_000),
    "SequentialLR": lambda names, opt: names.SequentialLR(
        opt, [names.LinearLR(opt, 0.1, 1.0, 100), names.CosineAnnealingLR(opt, 10_000_000)], [100]
    ),
    "ChainedScheduler": lambda names, opt: names.ChainedScheduler(
        [names.LinearLR(opt, 0.1, 1.0, 10_000_000), names.ExponentialLR(opt, 0.999999)]
    ),
    "ReduceLROnPlateau": lambda names, opt: Told(
        names.ReduceLROnPlateau(opt, patience=1_000_000_000)
    ),
}


class Told:
    """A plateau whose metric stands still."""

    def __init__(self, scheduler: Any) -> None:
        self._step = scheduler.step

    def step(self) -> None:
        """Tell it."""
        self._step(1.0)


def main() -> None:
    """Measure all names, over groups alike and not alike, and one with a compiled step."""
    warnings.simplefilter("ignore")
    publish("dropin", "`step()` of torch's names: torch's time over ours", alike)
    publish("dropin_own_bases", "The same, each group with a base rate of its own", each_its_own)
    publish_compiled()


def publish(name: str, question: str, groups: Callable[[int], torch.optim.Optimizer]) -> None:
    """Race every name against its original at each size."""
    table = Table(name, question, ("name", *map(in_groups, SIZES)))
    for each, build in NAMES.items():
        cells = [compared(build, partial(groups, size), 3000 // (size + 10)) for size in SIZES]
        table.add(each, *(f"{ratio:.1f}x, {mine * 1e6:.2f} µs" for ratio, mine in cells))
        table.figures[each] = [ratio for ratio, _ in cells]
    table.publish()


def publish_compiled() -> None:
    """Tell what a name adds to a compiled step whose rates are tensors."""
    question = (
        "Compiled AdamW and CosineAnnealingLR, rates that are tensors, "
        "over the compiled AdamW alone"
    )
    table = Table("dropin_compiled", question, ("contender", *map(in_groups, COMPILED_SIZES)))
    ratios: dict[str, list[float]] = {"ours": [], "torch": []}
    torch.set_num_threads(1)  # before: a compiled step is compiled again for another number
    for size in COMPILED_SIZES:
        torch._dynamo.reset()  # or the limit of recompilations counts the other sizes
        peers = Peers({"alone": compiled(adamw(size), lambda _: lambda: None)})
        for name, names in (("ours", ours), ("torch", TORCH)):
            peers.add(name, partial(compiled, adamw(size), partial(cosine, names)))
        times = race(peers.found, calls=20, rounds=41)
        for name, row in ratios.items():
            row.append(min(times[name].seconds) / min(times["alone"].seconds))
    for name, row in ratios.items():
        table.add(name, *(f"{ratio:.2f}x" for ratio in row))
    table.figures.update(ratios)
    table.publish()


def cosine(names: Any, optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return the step of a cosine of torch's or of ours."""
    step: Callable[[], object] = NAMES["CosineAnnealingLR"](names, optimizer).step
    return step


def compared(
    build: Build, groups: Callable[[], torch.optim.Optimizer], calls: int
) -> tuple[float, float]:
    """Return torch's time over ours, and ours in seconds."""
    pair = {"ours": build(ours, groups()).step, "torch": build(TORCH, groups()).step}
    for step in pair.values():
        step(), step(), step()
    times = race(pair, calls=calls, rounds=41)
    theirs, mine = (min(times[name].seconds) for name in ("torch", "ours"))
    return theirs / mine, mine


def alike(size: int) -> torch.optim.Optimizer:
    """Return an optimizer whose groups have one rate."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(size)]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def each_its_own(size: int) -> torch.optim.Optimizer:
    """Return an optimizer whose groups have rates of their own, as layer-wise decay gives them."""
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1 * 0.9**index}
        for index in range(size)
    ]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


if __name__ == "__main__":
    main()
