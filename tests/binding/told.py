"""One of several processes of torchrun: what the first is asked, all of them do at one update."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch.nn.parameter import Parameter

import warmdown as wd
from warmdown.mailbox import Mailbox, Request


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    optimizer = torch.optim.SGD([Parameter(torch.ones(1))], lr=1.0)
    scheduler = wd.Scheduler(
        optimizer,
        lr=wd.Linear(start=1.0, end=0.0),
        total_steps=200,
        commands=wd.Commands(folder, every=10, seconds=0.0),
    )
    used = []
    for update in range(200):
        if update in (20, 90) and rank == 0:
            Mailbox(Path(folder)).send(Request(command="rescale", arguments={"factor": 0.5}))
        if update == 140 and rank == 1:
            Mailbox(Path(folder)).send(Request(command="stop"))
        if scheduler.requests:
            break
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    Path(folder, f"used-{rank}.txt").write_text("\n".join(map(repr, used)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
