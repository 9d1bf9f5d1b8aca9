"""The loop: epochs, updates, batches. It calls the trainer's steps and the callbacks' hooks, in this order."""

from __future__ import annotations

__all__ = ["evaluate_once", "run_evaluation", "run_training"]

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from warmdown.binding import Scheduler
from warmdown.training.callbacks.base import StopTrainingError
from warmdown.training.data import Window
from warmdown.training.ending import comes_to_its_end, is_full, is_over, say_if_moved

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


def run_training(trainer: Trainer) -> None:
    """Train until the epochs, the updates or a callback say that it is enough."""
    trainer.training_run_start()
    trainer._call("on_training_run_start")
    try:
        while not is_over(trainer):
            _run_epoch(trainer)
    except StopTrainingError as stop:
        trainer.stopped_by = str(stop)
        trainer.print(stop)
        trainer._call("on_stop_training_error", error=stop)
    say_if_moved(trainer)
    trainer.training_run_end()
    trainer._call("on_training_run_end")
    if (
        trainer.progress.finished
        and not trainer.progress.skipped
        and isinstance(trainer.scheduler, Scheduler)
    ):
        trainer.scheduler.finish()


def run_evaluation(trainer: Trainer) -> None:
    """Evaluate once, outside of a training."""
    trainer.evaluation_run_start()
    trainer._call("on_evaluation_run_start")
    evaluate_once(trainer)
    trainer.evaluation_run_end()
    trainer._call("on_evaluation_run_end")


def evaluate_once(trainer: Trainer, **kwargs: Any) -> None:
    """Run through the evaluation data."""
    assert trainer._eval_source is not None
    trainer.eval_epoch_start()
    trainer._call("on_eval_epoch_start", **kwargs)
    starts, ends = trainer.callback_handler.hooks("on_eval_step_start"), "on_eval_step_end"
    tracker = trainer._eval_tracker
    limit = trainer._eval_limit
    with torch.no_grad():
        for step, window in enumerate(trainer._eval_source.windows(0, 0, 1), start=1):
            if limit is not None and step > limit:
                break
            if starts:
                trainer._call("on_eval_step_start", step=step)
            for raw, _ in window.batches:
                batch = trainer._place(raw)
                output = trainer.calculate_eval_batch_loss(batch)
                tracker.update(output["loss"], output.get("batch_size", 1))
                trainer._call(ends, batch=batch, batch_output=output, step=step)
    trainer._note_epoch_loss("eval_loss_epoch", tracker)
    trainer.eval_epoch_end()
    if not trainer.run_history.metric_name_prefix:
        trainer._tell_metrics()
    trainer._call("on_eval_epoch_end", **kwargs)


def _run_epoch(trainer: Trainer) -> None:
    progress = trainer.progress
    trainer.run_history.set_epoch(progress.epoch + 1)
    if progress.used == 0:  # the random numbers were saved before this epoch's first hooks
        trainer._restore_random()
    trainer.train_epoch_start()
    trainer._call("on_train_epoch_start")
    trainer._restore_random()
    for window in _windows(trainer):
        _run_window(trainer, window)
        if is_full(trainer):
            break
    trainer._note_epoch_loss("train_loss_epoch", trainer._loss_tracker)
    trainer.train_epoch_end()
    trainer._call("on_train_epoch_end")
    if trainer._eval_source is not None:
        evaluate_once(trainer)
    else:
        trainer._tell_metrics()
    if _is_used_up(trainer):
        progress.next_epoch()
    progress.finished = comes_to_its_end(trainer)
    trainer.training_run_epoch_end()
    trainer._call("on_training_run_epoch_end")


def _windows(trainer: Trainer) -> Iterator[Window]:
    source, progress = trainer._train_source, trainer.progress
    assert source is not None
    size, limit = trainer.run_config.gradient_accumulation_steps, trainer._train_limit
    if is_full(trainer):
        return
    if progress.window_done:  # saved between two batches of an update: first the rest of that
        yield next(
            source.windows(
                progress.epoch, progress.used, progress.window_size - progress.window_done
            )
        )
    for window in source.windows(progress.epoch, progress.used, size):
        if limit is not None and progress.batch >= limit:
            return
        yield window


def _is_used_up(trainer: Trainer) -> bool:
    assert trainer._train_source is not None
    limit = trainer._train_limit
    return trainer._train_source.left(trainer.progress.used) == 0 or (
        limit is not None and trainer.progress.batch >= limit
    )


def _run_window(trainer: Trainer, window: Window) -> None:
    progress, handler, tracker = trainer.progress, trainer.callback_handler, trainer._loss_tracker
    if not progress.window_done:
        progress.window_size = window.size
        tracker.begin_window()
    size = progress.window_size
    starts, ends = handler.hooks("on_train_step_start"), handler.hooks("on_train_step_end")
    for raw, used in window.batches:
        if starts:
            trainer._call("on_train_step_start", step=progress.batch + 1)
        batch = trainer._place(raw)
        is_last = progress.window_done == size - 1
        trainer._between_batches = False
        with nullcontext() if is_last else trainer._accelerator.no_sync(trainer.model):
            output = trainer.calculate_train_batch_loss(batch)
            trainer.backward_step(output["loss"] if size == 1 else output["loss"] / size)
        tracker.update(output["loss"], output.get("batch_size", 1))
        progress.used, progress.batch, progress.window_done = (
            used,
            progress.batch + 1,
            progress.window_done + 1,
        )
        applied = is_last and _update(trainer)
        trainer._between_batches = True
        if ends:
            trainer._call(
                "on_train_step_end", batch=batch, batch_output=output, step=progress.batch
            )
        if applied:
            trainer._call("on_train_update_end", update=progress.updates - 1)
            trainer._guard.after_update()


def _update(trainer: Trainer) -> bool:
    """Let the optimizer make the update; return whether it was applied."""
    progress = trainer.progress
    trainer._clip_gradients()
    trainer.optimizer_step()
    skipped = trainer._was_skipped()
    if skipped:
        progress.skipped += 1
    else:
        progress.updates += 1
    if not skipped or trainer._counts_attempts:
        trainer.scheduler_step()
    trainer.optimizer_zero_grad()
    progress.window_done = 0
    return not skipped
