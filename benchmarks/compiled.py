"""What does a scheduler add to a compiled optimizer step, and how often is it recompiled?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any

import torch
from benchmarks.harness import Peers, Table, in_groups, race
from torch._dynamo.utils import counters

import warmdown as wd
from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.field import as_tensors

TOTAL = 1_000_000
SIZES = (1, 10, 50)
NUMBERS = 16
Build = Callable[[torch.optim.Optimizer], Callable[[], object]]


def main() -> None:
    """Measure time and compilations."""
    warnings.simplefilter("ignore")
    # each contender compiles the same function
    with torch._dynamo.config.patch(recompile_limit=64):
        publish_time()
    publish_recompiles()


def publish_time() -> None:
    """Tell what a step and a scheduler cost over the compiled step alone."""
    question = (
        f"Compiled AdamW of groups of {NUMBERS} numbers, and scheduler, tensor rate, over the "
        f"compiled AdamW alone"
    )
    heads = (*map(in_groups, SIZES), "µs added at 1 group")
    table = Table("compiled", question, ("contender", *heads))
    added: dict[str, float] = {}
    ratios: dict[str, list[float]] = {}
    for size in SIZES:
        torch._dynamo.reset()  # or the limit of recompilations counts the other sizes
        peers = Peers({"AdamW alone": compiled(adamw(size), lambda _: _nothing)})
        peers.add("a bare fill_ of each rate", partial(compiled, adamw(size), bare_fills))
        peers.add("two empty hooks and that", partial(compiled, adamw(size), hooks_and_fills))
        peers.add("warmdown", partial(compiled, adamw(size), ours))
        peers.add("torch CosineAnnealingLR", partial(compiled, adamw(size), torchs))
        warm_up(peers.found.values())
        times = race(peers.found, calls=50, rounds=15)
        for name, measured in times.items():
            ratios.setdefault(name, []).append(measured.over(times["AdamW alone"]))
            added.setdefault(name, (measured.median - times["AdamW alone"].median) * 1e6)
    for name, row in ratios.items():
        table.add(name, *(f"{ratio:.2f}x" for ratio in row), added[name])
        table.figures[name] = row
    table.publish()


def warm_up(updates: Iterable[Callable[[], object]]) -> None:
    """Go past what the compiler still looks at in the first calls."""
    for update in updates:
        for _ in range(20):
            update()


def publish_recompiles() -> None:
    """Count how often the step is compiled anew in 1000 updates."""
    table = Table(
        "recompiles", "Compilations after the first, in 1000 updates", ("contender", "compilations")
    )
    for name, build in COUNTED.items():
        counted = recompiles(build)
        table.add(name, str(counted))
        table.figures[name] = counted
    table.publish()


def recompiles(build: Callable[[], Callable[[], object]]) -> int:
    """Run 1000 updates of a fresh step, and count frames compiled after the first update."""
    torch._dynamo.reset()  # type: ignore[no-untyped-call]
    step = build()
    step()
    counters.clear()
    for _ in range(1000):
        step()
    return int(sum(counters["frames"].values()))


def adamw(groups: int, *, tensor: bool = True) -> torch.optim.Optimizer:
    """An AdamW of so many groups, with gradients."""
    parameters = [torch.zeros(NUMBERS, requires_grad=True) for _ in range(groups)]
    for parameter in parameters:
        parameter.grad = torch.ones(NUMBERS)
    made = torch.optim.AdamW([{"params": [parameter]} for parameter in parameters], lr=1e-3)
    if tensor:
        as_tensors(made, "lr")
    return made


def compiled(optimizer: torch.optim.Optimizer, schedule: Build) -> Callable[[], object]:
    """One compiled update, and the scheduler's step after it."""
    advance = schedule(optimizer)
    step: Any = torch.compile(optimizer.step)

    def update() -> None:
        step()
        advance()

    update()
    return update


def bare_fills(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return a step that only fills each rate: the least that a loop of one's own costs."""
    rates = [group["lr"] for group in optimizer.param_groups]
    steps = count()

    def fill() -> None:
        value = 1e-3 * (1.0 - next(steps) / TOTAL)
        for rate in rates:
            rate.fill_(value)

    return fill


def hooks_and_fills(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return the same beside two hooks that do nothing: the least that seeing updates costs."""

    @leave_uncompiled
    def hook(optimizer: Any, args: Any, kwargs: Any) -> None:
        del optimizer, args, kwargs

    optimizer.register_step_pre_hook(hook)
    optimizer.register_step_post_hook(hook)
    return bare_fills(optimizer)


def ours(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Warmdown's warmup and cosine."""
    return wd.Scheduler(
        optimizer, lr=wd.warmup_cosine(warmup=1000), run=wd.Run(total_steps=TOTAL)
    ).step


def ours_sgd() -> Callable[[], object]:
    """Warmdown's warmup and cosine for a compiled SGD, its rate in a tensor."""
    parameter = torch.zeros(NUMBERS, requires_grad=True)
    parameter.grad = torch.ones(NUMBERS)
    return compiled(torch.optim.SGD([parameter], lr=torch.tensor(1e-3)), ours)


def ours_one_cycle() -> Callable[[], object]:
    """Warmdown's one-cycle with rate and first beta in tensors."""
    optimizer = adamw(1)
    as_tensors(optimizer, "betas[0]")
    return compiled(optimizer, one_cycle)


def one_cycle(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Warmdown's one-cycle."""
    return wd.Scheduler(optimizer, **wd.one_cycle(), run=wd.Run(total_steps=TOTAL)).step


def torchs(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Torch's cosine."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TOTAL).step


def torchs_one_cycle(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Torch's one-cycle."""
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=TOTAL).step


def _nothing() -> None:
    """Advance nothing."""


COUNTED: dict[str, Callable[[], Callable[[], object]]] = {
    "warmdown: lr": lambda: compiled(adamw(1), ours),
    "warmdown: one-cycle, lr and beta1": ours_one_cycle,
    "warmdown: lr of SGD": ours_sgd,
    "torch CosineAnnealingLR": lambda: compiled(adamw(1), torchs),
    "torch OneCycleLR": lambda: compiled(adamw(1), torchs_one_cycle),
}

if __name__ == "__main__":
    main()
