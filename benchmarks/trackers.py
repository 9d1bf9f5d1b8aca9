"""What does it cost to log every scheduled value at each update, over a bare ``add_scalar``?"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Callable

import torch
from benchmarks.harness import Table, race
from torch.utils.tensorboard import SummaryWriter

import warmdown as wd

COUNTS = (1, 10, 100)
BARE, OURS, FUNCTION = "add_scalar of each rate", "ValueLogger", "ValueLogger, to a function"


def main() -> None:
    """Measure a step and its row for some numbers of groups."""
    warnings.simplefilter("ignore")
    table = Table(
        "trackers",
        "A step and its row in TensorBoard, over an `add_scalar` of each group's rate",
        ("contender", *(f"{count} group{'s' * (count > 1)}" for count in COUNTS)),
    )
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        times = {
            count: race(
                {
                    BARE: bare(count, writer),
                    OURS: ours(count, writer),
                    FUNCTION: ours(count, lambda values, update: None),
                },
                calls=50,
                rounds=15,
            )
            for count in COUNTS
        }
    for name in (BARE, OURS, FUNCTION):
        ratios = {count: found[name].over(found[BARE]) for count, found in times.items()}
        table.add(name, *(f"{ratio:.2f}x" for ratio in ratios.values()))
        table.figures[name] = ratios[1]
    table.publish()


def scheduler_of(groups: int) -> wd.Scheduler:
    """Warmup and cosine, of groups with a base rate of their own."""
    parameters = [{"params": [torch.zeros(1)], "lr": 0.1 + at} for at in range(groups)]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    return wd.Scheduler(optimizer, lr=wd.warmup_cosine(), run=10_000_000, count_by="attempts")


def bare(groups: int, writer: SummaryWriter) -> Callable[[], object]:
    """Step, and write what each group holds."""
    scheduler, update = scheduler_of(groups), itertools.count()

    def log() -> None:
        scheduler.step()
        step = next(update)
        for at, group in enumerate(scheduler.optimizer.param_groups):
            writer.add_scalar(f"lr/{at}", group["lr"], step)

    return log


def ours(groups: int, to: object) -> Callable[[], object]:
    """Step, and log what the update used."""
    scheduler = scheduler_of(groups)
    logger = wd.ValueLogger(scheduler, to)

    def log() -> None:
        scheduler.step()
        logger.log()

    return log


if __name__ == "__main__":
    main()
