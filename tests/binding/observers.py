"""One of several processes of torchrun: it observes a metric as its case says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

import warmdown as wd
from warmdown.binding import clock


def main(folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    plateau = wd.Plateau(metric="loss", factor=0.5, patience=0)
    scheduler = wd.Scheduler(optimizer, lr=plateau)
    cases: list[tuple[dict[str, float], ...]] = [
        ({"loss": 1.0}, {"loss": 3.0}),
        ({"loss": 2.5}, {}),  # only the main process measures
        ({"loss": float("nan")}, {"loss": 0.1}),
        ({"loss": 1.0}, {"other": 9.0}),
    ]
    rates = []
    for case in cases:
        scheduler.observe(**case[rank])
        rates.append(scheduler.get_last_lr()[0])
    clock._PATIENCE /= 300
    error = ""
    if rank == 0:
        try:
            scheduler.observe(loss=1.0)
        except wd.BindingError as one:
            error = str(one)
    torch.distributed.barrier()
    Path(folder, f"{rank}.txt").write_text(f"{rates}\n{error}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
