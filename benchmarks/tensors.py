"""What does a step cost where rates are 0-d tensors, which a compiled or captured step reads?"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from benchmarks.harness import Peers, Table, race

import warmdown as wd

TOTAL, GROUPS = 10_000_000, 100


def main() -> None:
    """Measure 100 tensor rates on the CPU."""
    warnings.simplefilter("ignore")
    peers = Peers({"fill_ in a loop": fill_loop(), "warmdown": ours()})
    peers.add("torch CosineAnnealingLR", torchs)
    times = race(peers.found, calls=50, rounds=15)
    table = Table(
        "tensors",
        f"`step()`, {GROUPS} rates in 0-d tensors, on the CPU",
        ("contender", "µs", "over warmdown"),
    )
    for name, measured in times.items():
        table.add(name, measured.median * 1e6, f"{measured.over(times['warmdown']):.3g}x")
        table.figures[name] = measured.median * 1e6
    table.publish(peers.skipped)


def optimizer() -> torch.optim.Optimizer:
    """An AdamW whose groups each have a rate in a tensor of its own."""
    groups = [
        {"params": [torch.zeros(1, requires_grad=True)], "lr": torch.tensor(1e-3)}
        for _ in range(GROUPS)
    ]
    return torch.optim.AdamW(groups)


def fill_loop() -> Callable[[], object]:
    """The loop one would write by hand."""
    groups = optimizer().param_groups

    def write() -> None:
        for group in groups:
            group["lr"].fill_(0.1)

    return write


def ours() -> Callable[[], object]:
    """warmdown: the tensors are views of one vector, and one write serves them all."""
    plan = wd.warmup_cosine(warmup=100_000)
    return wd.Scheduler(
        optimizer(), lr=plan, run=wd.Run(total_steps=TOTAL), count_by="attempts"
    ).step


def torchs() -> Callable[[], object]:
    """Torch's cosine."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer(), TOTAL).step


if __name__ == "__main__":
    main()
