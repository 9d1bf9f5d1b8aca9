"""The lines that stand above a run: on what it trains, and under which rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from warmdown.binding import Scheduler
from warmdown.plot import number, sparkline
from warmdown.training import Trainer, TrainerCallback

_WIDTH = 24


class HeaderCallback(TrainerCallback):
    """Prints a run's name, its task, and its rate as a line of blocks with its phases.

    Args:
        name: The plan's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Print them."""
        task, total = getattr(trainer, "task", None), trainer.run_config.total_updates
        trainer.print(
            f"\n{self.name}: {task.description}"
            if task is not None and task.description
            else f"\n{self.name}"
        )
        if isinstance(trainer.scheduler, Scheduler) and total:
            trainer.print(f"  {_rate_line(trainer.scheduler, total)}")


def _rate_line(scheduler: Scheduler, total: int) -> str:
    steps = np.linspace(0, total - 1, _WIDTH).round().astype(int)
    if "lr" not in {target.name for target in scheduler.plan.targets}:
        return "the rate is not scheduled"
    values = [scheduler.value(step) for step in steps.tolist()]
    highest = max(
        [
            *values,
            *(scheduler.value(phase.start) for phase in scheduler.phases if phase.start < total),
        ]
    )
    phases = ", ".join(
        f"{phase.name} {phase.start}–{total if phase.stop is None else min(phase.stop, total)}"
        for phase in scheduler.phases
        if phase.start < total
    )
    return f"{sparkline(values, width=_WIDTH)}  {phases}; highest rate {number(highest)}"
