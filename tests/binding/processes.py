"""One of several processes of torchrun: it trains, and writes the rate of each update."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import warmdown as wd


def main(folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for how in (in_ddp, prepared_by_accelerate):
        rates = train(how)
        Path(folder, f"{how.__name__}-{os.environ['RANK']}.txt").write_text(
            "\n".join(map(repr, rates))
        )
    torch.distributed.destroy_process_group()


def train(prepare: Callable[[Any, Any], tuple[Any, Any, Any]]) -> list[float]:
    net: Any = torch.nn.Linear(2, 1)
    net, optimizer, backward = prepare(net, torch.optim.SGD(net.parameters(), lr=1.0))
    schedule = wd.Linear(start=0.0, end=1.0, steps=50) >> wd.Cosine(start=1.0, end=0.1)
    scheduler = wd.Scheduler(optimizer, lr=schedule, run=wd.Run(total_steps=100), strict=True)
    used = []
    for _ in range(100):
        backward(net(torch.ones(3, 2)).square().mean())
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return used


def in_ddp(net: Any, optimizer: Any) -> tuple[Any, Any, Any]:
    return torch.nn.parallel.DistributedDataParallel(net), optimizer, lambda loss: loss.backward()


def prepared_by_accelerate(net: Any, optimizer: Any) -> tuple[Any, Any, Any]:
    from accelerate import Accelerator  # type: ignore[import-untyped]

    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == int(os.environ["WORLD_SIZE"])
    return *accelerator.prepare(net, optimizer), accelerator.backward


if __name__ == "__main__":
    main(*sys.argv[1:])
