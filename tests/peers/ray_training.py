"""A training in ray's workers: it reports checkpoints, fails once, and ray starts it again."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

UPDATES = 12
SAVES_AT, FAILS_AT = 4, 6


def main(folder: str) -> None:
    import ray
    from ray.train import (
        FailureConfig,
        RunConfig,
        ScalingConfig,
    )
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(num_cpus=3, include_dashboard=False)
    trainer = TorchTrainer(
        train,
        train_loop_config={"folder": folder},
        scaling_config=ScalingConfig(num_workers=2),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(
            name="run",
            storage_path=str(Path(folder, "ray")),
            failure_config=FailureConfig(max_failures=1),
        ),
    )
    result = trainer.fit()
    with result.checkpoint.as_directory() as last:
        count = json.loads(Path(last, "count.json").read_text())
    Path(folder, "result.json").write_text(json.dumps(count))


def train(config: dict[str, Any]) -> None:
    """Train one worker's share; write the values of each update beside the others'."""
    import torch
    from ray import train
    from ray.train.torch import prepare_model

    import warmdown as wd

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = prepare_model(torch.nn.Linear(2, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = wd.Scheduler(optimizer, plan(), total_steps=UPDATES)
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as saved:
            state = torch.load(Path(saved, "state.pt"))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
    rank = train.get_context().get_world_rank()
    used: list[list[float]] = []
    while scheduler.count < UPDATES:
        if checkpoint is None and scheduler.count == FAILS_AT:
            write(config, f"{rank}-first", used)
            torch.distributed.barrier()  # the first to fail ends the others
            raise RuntimeError("on purpose")
        loss = model(torch.ones(2, 2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        group = optimizer.param_groups[0]
        used.append([group["lr"], group["weight_decay"]])
        optimizer.step()
        scheduler.step()
        if scheduler.count % SAVES_AT == 0:
            scheduler.observe(loss=1.0)
            metrics = {"lr": scheduler.get_last_lr()[0]}
            with tempfile.TemporaryDirectory() as folder:
                given = None
                if rank == 0:
                    state = {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "scheduler": scheduler.state_dict(),
                    }
                    torch.save(state, Path(folder, "state.pt"))
                    Path(folder, "count.json").write_text(json.dumps(scheduler.count))
                    given = train.Checkpoint.from_directory(folder)
                train.report(metrics, checkpoint=given)
    write(config, f"{rank}-second", used)


def plan() -> Any:
    """Return a rate that moves, and a weight decay that follows a metric."""
    import warmdown as wd

    return wd.Plan.of(
        lr=wd.warmup_cosine(warmup=2, end=0.1),
        weight_decay=wd.Plateau(metric="loss", factor=0.5, patience=0),
    )


def write(config: dict[str, Any], name: str, rows: list[list[float]]) -> None:
    Path(config["folder"], f"{name}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
