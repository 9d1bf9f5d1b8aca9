"""One of two processes of torchrun: accelerate prepares every drop-in, each rate is kept."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from tests.compat.torch_names import EACH, momentum
from torch.optim.lr_scheduler import ReduceLROnPlateau as Told

from warmdown.compat.lr_scheduler import ReduceLROnPlateau
from warmdown.compat.names import get_scheduler
from warmdown.compat.schedulers import CosineLrScheduler, WSDLrScheduler

MORE: dict[str, Any] = {
    "plateau": lambda opt: ReduceLROnPlateau(opt, factor=0.5, patience=1),
    "pytorch-accelerated's cosine": lambda opt: CosineLrScheduler(opt, 1, 12),
    "pytorch-accelerated's wsd": lambda opt: WSDLrScheduler(opt, total_steps=12),
    "transformers' cosine": lambda opt: get_scheduler("cosine", opt, 2, 12),
}
NAMES = [*EACH, *MORE]


def main(folder: str) -> None:
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == int(os.environ["WORLD_SIZE"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        used = {name: train(accelerator, name) for name in NAMES}
    counted = sum("once for each process" in str(each.message) for each in said)
    Path(folder, f"{os.environ['RANK']}.json").write_text(
        json.dumps({"used": used, "said": counted})
    )
    accelerator.end_training()


def train(accelerator: Any, name: str) -> list[list[float]]:
    """Return the rates of twelve updates, with a scheduler that was prepared."""
    net = torch.nn.Linear(2, 1)
    groups = [{"params": [net.weight], "lr": 0.1}, {"params": [net.bias], "lr": 0.3}]
    inner = torch.optim.SGD(groups, momentum=0.9)
    made = {**EACH, **MORE}[name](inner)
    model, optimizer, scheduler = accelerator.prepare(net, inner, made)
    used = []
    for _ in range(12):
        accelerator.backward(model(torch.ones(3, 2)).square().mean())
        used.append([group["lr"] for group in inner.param_groups])
        optimizer.step()
        scheduler.step(*([1.0] if isinstance(made, Told) else []))
        optimizer.zero_grad()
    return used


def alone(name: str) -> list[list[float]]:
    """Return the rates of twelve updates of a loop of one's own."""
    optimizer = momentum()
    scheduler, used = {**EACH, **MORE}[name](optimizer), []
    for _ in range(12):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step(*([1.0] if isinstance(scheduler, Told) else []))
    return used


if __name__ == "__main__":
    main(*sys.argv[1:])
