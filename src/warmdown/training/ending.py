"""When a run is over: its updates are made, its epochs are over, or a decay that was begun by hand has ended."""

from __future__ import annotations

__all__ = ["comes_to_its_end", "is_full", "is_over", "say_if_moved"]

from typing import TYPE_CHECKING

from warmdown.binding import Scheduler
from warmdown.binding.events import end_of_decay

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


def is_over(trainer: Trainer) -> bool:
    """Whether nothing is left to do, the last evaluation included."""
    if decay_end(trainer) is not None or trainer.run_config.max_num_train_steps is not None:
        return trainer.progress.finished and is_full(trainer)
    return trainer.progress.epoch >= trainer.run_config.num_epochs


def is_full(trainer: Trainer) -> bool:
    """Whether no update is to be made any more, though the data would give some."""
    if (end := decay_end(trainer)) is not None:
        return bool(trainer.scheduler.position >= end)
    most = trainer.run_config.max_num_train_steps
    return most is not None and trainer.progress.updates >= most


def comes_to_its_end(trainer: Trainer) -> bool:
    """Whether the epoch that was just trained is the last."""
    has_epochs_left = trainer.progress.epoch < trainer.run_config.num_epochs or decay_end(trainer) is not None
    return is_full(trainer) or not has_epochs_left


def decay_end(trainer: Trainer) -> float | None:
    """Return where ``decay_now`` ends the run by the scheduler's clock, or ``None`` where nobody has called it."""
    scheduler = trainer.scheduler
    return end_of_decay(scheduler.events) if isinstance(scheduler, Scheduler) and scheduler.events else None


def say_if_moved(trainer: Trainer) -> None:
    """Say that a decay ended the run at another update than was planned."""
    planned, made = trainer.run_config.total_updates, trainer.progress.updates
    if decay_end(trainer) is not None and is_full(trainer) and planned != made:
        trainer.print(
            f"The decay that decay_now began has ended, and the run with it: {made} updates, {planned} were planned."
        )
