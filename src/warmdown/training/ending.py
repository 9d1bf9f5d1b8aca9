"""When a run is over: its updates are made, its epochs are over, or a decay that was begun by hand has ended."""

from __future__ import annotations

__all__ = ["comes_to_its_end", "is_full", "is_over", "say_if_moved", "updates_left"]

from math import ceil
from typing import TYPE_CHECKING

from warmdown.binding import Scheduler
from warmdown.binding.events import decay_stop

if TYPE_CHECKING:
    from warmdown.training.progress import Progress
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
    return is_full(trainer) or (
        decay_end(trainer) is None and trainer.progress.epoch >= trainer.run_config.num_epochs
    )


def decay_end(trainer: Trainer) -> float | None:
    """Return where ``decay_now`` ends the run by the scheduler's clock, or ``None`` where nobody has called it."""
    if not isinstance(trainer.scheduler, Scheduler) or not (events := trainer.scheduler.events):
        return None
    if trainer._decay_end[0] != events:
        trainer._decay_end = events, decay_stop(events)
    return trainer._decay_end[1]


def updates_left(trainer: Trainer, progress: Progress) -> int | None:
    """Return how many updates follow after ``progress`` until the epochs are over, or ``None`` if nobody knows."""
    config, source = trainer.run_config, trainer._train_source
    per_epoch = config.num_update_steps_per_epoch
    if source is None or per_epoch is None or (left := source.left(progress.used)) is None:
        return None
    if progress.epoch >= config.num_epochs:
        return 0
    if trainer._train_limit is not None:
        left = min(left, max(0, trainer._train_limit - progress.batch))
    begun = min(left, progress.window_size - progress.window_done) if progress.window_done else 0
    here = (progress.window_done > 0) + ceil((left - begun) / config.gradient_accumulation_steps)
    return here + per_epoch * (config.num_epochs - progress.epoch - 1)


def say_if_moved(trainer: Trainer) -> None:
    """Say that a decay ended the run at another update than was planned."""
    planned, made = trainer.run_config.total_updates, trainer.progress.updates
    if decay_end(trainer) is not None and is_full(trainer) and planned != made:
        trainer.print(
            f"The decay that decay_now began has ended, and the run with it: {made} updates, "
            f"{planned} were planned."
        )
