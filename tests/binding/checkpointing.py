"""One of several processes of torchrun: it saves, or loads, with torch.distributed.checkpoint."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.fsdp import fully_shard

import warmdown as wd

UPDATES = 12


def main(folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    checkpoint = Path(folder, "checkpoint")
    torch.manual_seed(0)
    model, optimizer, scheduler = made()
    if checkpoint.exists():
        restore(checkpoint, model, optimizer, scheduler)
        events = repr(scheduler.events)
        rates = [*trained(model, optimizer, scheduler, 4)]
        Path(folder, f"loaded-{rank}.txt").write_text(f"{rates}\n{events}")
    else:
        rates = [*trained(model, optimizer, scheduler, 4)]
        scheduler.decay_now(over=8)
        scheduler.observe(loss=1.0)
        scheduler.observe(loss=2.0)
        rates += trained(model, optimizer, scheduler, 4)
        parts = {
            "model": get_model_state_dict(model),
            "optimizer": get_optimizer_state_dict(model, optimizer),
            "scheduler": scheduler,
        }
        save(parts, checkpoint_id=checkpoint)
        events = repr(scheduler.events)
        rates += trained(model, optimizer, scheduler, 4)
        Path(folder, f"saved-{rank}.txt").write_text(f"{rates}\n{events}")
    torch.distributed.destroy_process_group()


def made() -> tuple[Any, Any, wd.Scheduler]:
    """Return a model in pieces, its optimizer, and a plan that follows a metric."""
    model = torch.nn.Linear(4, 4)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    plan = wd.Plan.of(
        lr=wd.warmup_cosine(warmup=2, end=0.1),
        weight_decay=wd.Plateau(metric="loss", factor=0.5, patience=0),
    )
    return model, optimizer, wd.Scheduler(optimizer, plan, run=wd.Run(total_steps=UPDATES))


def restore(path: Path, model: Any, optimizer: Any, scheduler: wd.Scheduler) -> None:
    weights, moments = get_model_state_dict(model), get_optimizer_state_dict(model, optimizer)
    load({"model": weights, "optimizer": moments, "scheduler": scheduler}, checkpoint_id=path)
    set_optimizer_state_dict(model, optimizer, moments)


def trained(model: Any, optimizer: Any, scheduler: wd.Scheduler, updates: int) -> list[list[float]]:
    used = []
    for _ in range(updates):
        model(torch.ones(2, 4)).square().mean().backward()
        group = optimizer.param_groups[0]
        used.append([group["lr"], group["weight_decay"]])
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return used


if __name__ == "__main__":
    main(*sys.argv[1:])
