"""A plan wherever a program takes a scheduler's class by its path."""

from __future__ import annotations

__all__ = ["PlanLR"]

from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from warmdown.binding import Scheduler
from warmdown.planfile import loads


class PlanLR(Scheduler):
    """Follows a plan file, with the constructor that programs call a scheduler's class with.

    It is a :class:`~warmdown.Scheduler` and drives every target of the plan.

    Args:
        optimizer: A torch optimizer.
        plan: The path of a plan file, its text, data as in one, or a plan.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        total_steps: Updates in the run, where the plan does not have them.
        steps_per_epoch: Updates in an epoch.
        epochs: Epochs in the run.
        lr: Unused: some programs give their rate to every scheduler.
        auto: Whether the optimizer's updates are counted, and calls of ``step`` are not: for
            programs that step a scheduler once for each epoch, as Lightning's command line does.

    Raises:
        SpecError: The file or the text is no plan.
        ScheduleError: It does not fit into the run.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import PlanLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> text = "lr: {kind: linear, start: 1.0, end: 0.0, steps: 4}"
        >>> scheduler = PlanLR(optimizer, plan=text, last_epoch=0)
        >>> scheduler.get_last_lr()
        [0.30000000000000004]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        plan: Any,
        last_epoch: int = -1,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        auto: bool = False,
    ) -> None:
        del lr
        is_text = isinstance(plan, str) and ":" in plan and not Path(plan).suffix[1:].isalpha()
        super().__init__(
            optimizer,
            loads(plan) if is_text else plan,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            auto=auto,
        )
        if last_epoch >= 0:
            self.seek(last_epoch + 1)

    def step(
        self, epoch: Any = None, samples: float | None = None, tokens: float | None = None
    ) -> None:
        """Count an update, or go to one by its number; a float is a metric of the plan's."""
        if isinstance(epoch, int) and not isinstance(epoch, bool):
            self.seek(epoch)
        else:
            super().step(epoch, samples, tokens)
