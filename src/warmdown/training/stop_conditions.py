"""When a run is over: its updates are made, its epochs are over, or ``decay_now`` ended it."""

from __future__ import annotations

from math import ceil

from warmdown.binding import Scheduler
from warmdown.binding.timeline import decay_stop
from warmdown.training.progress import Progress
from warmdown.training.run_state import RunState
from warmdown.training.steps import TrainingSteps


def is_over(trainer: TrainingSteps) -> bool:
    """Return whether nothing is left to do, the last evaluation included."""
    run = trainer.run_state
    if _decay_stop(trainer) is not None or run.config.max_num_train_steps is not None:
        return run.progress.finished and is_full(trainer)
    return run.progress.epoch >= run.config.num_epochs


def is_full(trainer: TrainingSteps) -> bool:
    """Return whether no update is to be made any more, though the data would give some."""
    stop = _decay_stop(trainer)
    if stop is not None:
        return bool(trainer.scheduler.position >= stop)
    most = trainer.run_config.max_num_train_steps
    return most is not None and trainer.progress.updates >= most


def is_last_epoch(trainer: TrainingSteps) -> bool:
    """Return whether the epoch that was just trained is the last."""
    epochs_are_over = trainer.progress.epoch >= trainer.run_config.num_epochs
    return is_full(trainer) or (_decay_stop(trainer) is None and epochs_are_over)


def _decay_stop(trainer: TrainingSteps) -> float | None:
    """Return where ``decay_now`` ends the run, by the scheduler's clock."""
    scheduler = trainer.scheduler
    return decay_stop(scheduler.events) if isinstance(scheduler, Scheduler) else None


def updates_left(run: RunState, progress: Progress) -> int | None:
    """Return how many updates follow after ``progress``, ``None`` where it is unknown."""
    config, source = run.config, run.train_source
    per_epoch = config.num_update_steps_per_epoch
    left = None if source is None else source.left(progress.used)
    if per_epoch is None or left is None:
        return None
    if progress.epoch >= config.num_epochs:
        return 0
    if run.train_limit is not None:
        left = min(left, max(0, run.train_limit - progress.batch))
    begun = min(left, progress.window_size - progress.window_done) if progress.window_done else 0
    here = (progress.window_done > 0) + ceil((left - begun) / config.gradient_accumulation_steps)
    return here + per_epoch * (config.num_epochs - progress.epoch - 1)


def report_moved_end(trainer: TrainingSteps) -> None:
    """Print that a decay ended the run at another update than was planned."""
    planned, made = trainer.run_config.total_updates, trainer.progress.updates
    if _decay_stop(trainer) is not None and is_full(trainer) and planned != made:
        trainer.print(
            f"The decay that decay_now began has ended, and the run with it: {made} updates, "
            f"{planned} were planned."
        )
