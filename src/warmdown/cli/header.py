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
        description = getattr(getattr(trainer, "task", None), "description", "")
        total = trainer.run_config.total_updates
        trainer.print(f"\n{self.name}: {description}" if description else f"\n{self.name}")
        if isinstance(trainer.scheduler, Scheduler) and total:
            trainer.print(f"  {_rate_line(trainer.scheduler, total)}")


def _rate_line(scheduler: Scheduler, total: int) -> str:
    steps = np.linspace(0, total - 1, _WIDTH).round().astype(int)
    if "lr" not in {target.name for target in scheduler.plan.targets}:
        return "the rate is not scheduled"
    values = [scheduler.value(step) for step in steps.tolist()]
    begun = [phase for phase in scheduler.phases if phase.start < total]
    highest = max([*values, *(scheduler.value(phase.start) for phase in begun)])
    phases = ", ".join(f"{phase.name} {phase.start}–{phase.until(total)}" for phase in begun)
    return f"{sparkline(values, width=_WIDTH)}  {phases}; highest rate {number(highest)}"
