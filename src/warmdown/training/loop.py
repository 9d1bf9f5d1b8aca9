"""The loop over epochs, updates and batches: the trainer's steps and the callbacks' hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch

from warmdown.binding import Scheduler
from warmdown.training.callback import StopTrainingError
from warmdown.training.data import BatchWindow
from warmdown.training.planning import observe_metrics
from warmdown.training.steps import TrainingSteps
from warmdown.training.stop_conditions import is_full, is_last_epoch, is_over, report_moved_end


def run_training(trainer: TrainingSteps) -> None:
    """Train until the epochs, the updates or a callback end it."""
    trainer.training_run_start()
    trainer.call_event("on_training_run_start")
    try:
        while not is_over(trainer):
            _run_epoch(trainer)
    except StopTrainingError as stop:
        trainer.stopped_by = str(stop)
        trainer.print(stop)
        trainer.call_event("on_stop_training_error", error=stop)
    report_moved_end(trainer)
    trainer.training_run_end()
    trainer.call_event("on_training_run_end")
    progress, scheduler = trainer.progress, trainer.scheduler
    if progress.finished and not progress.skipped and isinstance(scheduler, Scheduler):
        scheduler.finish()


def run_evaluation(trainer: TrainingSteps) -> None:
    """Evaluate once, outside of a training."""
    trainer.evaluation_run_start()
    trainer.call_event("on_evaluation_run_start")
    evaluate_once(trainer)
    trainer.evaluation_run_end()
    trainer.call_event("on_evaluation_run_end")


def evaluate_once(trainer: TrainingSteps, **kwargs: Any) -> None:
    """Run through the evaluation data."""
    run = trainer.run_state
    assert run.eval_source is not None
    trainer.eval_epoch_start()
    trainer.call_event("on_eval_epoch_start", **kwargs)
    windows = run.eval_source.windows(0, 0, 1)
    with torch.no_grad():
        for step, window in enumerate(islice(windows, run.eval_limit), start=1):
            trainer.call_event("on_eval_step_start", step=step)
            for raw, _ in window.batches:
                batch = run.to_device(raw)
                output = trainer.calculate_eval_batch_loss(batch)
                run.eval_loss.update(output["loss"], output.get("batch_size", 1))
                trainer.call_event("on_eval_step_end", batch=batch, batch_output=output, step=step)
    trainer.add_loss_metric("eval_loss_epoch", run.eval_loss)
    trainer.eval_epoch_end()
    if not trainer.run_history.metric_name_prefix:
        observe_metrics(trainer.scheduler, trainer.run_history.latest_metrics())
    trainer.call_event("on_eval_epoch_end", **kwargs)


def _run_epoch(trainer: TrainingSteps) -> None:
    run = trainer.run_state
    progress = run.progress
    trainer.run_history.set_epoch(progress.epoch + 1)
    if progress.used == 0:  # the random numbers were saved before this epoch's first hooks
        run.restore_random()
    trainer.train_epoch_start()
    trainer.call_event("on_train_epoch_start")
    run.restore_random()
    for window in _windows(trainer):
        _run_window(trainer, window)
        if is_full(trainer):
            break
    trainer.add_loss_metric("train_loss_epoch", run.train_loss)
    trainer.train_epoch_end()
    trainer.call_event("on_train_epoch_end")
    if run.eval_source is not None:
        evaluate_once(trainer)
    else:
        observe_metrics(trainer.scheduler, trainer.run_history.latest_metrics())
    if run.is_epoch_used_up():
        progress.next_epoch()
    progress.finished = is_last_epoch(trainer)
    trainer.training_run_epoch_end()
    trainer.call_event("on_training_run_epoch_end")


def _windows(trainer: TrainingSteps) -> Iterator[BatchWindow]:
    run = trainer.run_state
    source, progress = run.train_source, run.progress
    assert source is not None
    if is_full(trainer):
        return
    if progress.window_done:  # saved between two batches of an update: first the rest of that
        left = progress.window_size - progress.window_done
        yield next(source.windows(progress.epoch, progress.used, left))
    size = run.config.gradient_accumulation_steps
    for window in source.windows(progress.epoch, progress.used, size):
        if run.is_at_train_limit():
            return
        yield window


def _run_window(trainer: TrainingSteps, window: BatchWindow) -> None:
    run = trainer.run_state
    progress, tracker = run.progress, run.train_loss
    if not progress.window_done:
        progress.window_size = window.size
        tracker.begin_window()
    size = progress.window_size
    for raw, used in window.batches:
        trainer.call_event("on_train_step_start", step=progress.batch + 1)
        batch = run.to_device(raw)
        is_last = progress.window_done == size - 1
        run.is_between_batches = False
        with nullcontext() if is_last else run.accelerator.no_sync(trainer.model):
            output = trainer.calculate_train_batch_loss(batch)
            trainer.backward_step(output["loss"] if size == 1 else output["loss"] / size)
        tracker.update(output["loss"], output.get("batch_size", 1))
        progress.used = used
        progress.batch += 1
        progress.window_done += 1
        was_applied = is_last and _update(trainer)
        run.is_between_batches = True
        step = progress.batch
        trainer.call_event("on_train_step_end", batch=batch, batch_output=output, step=step)
        if was_applied:
            trainer.call_event("on_train_update_end", update=progress.updates - 1)
            run.after_update()


def _update(trainer: TrainingSteps) -> bool:
    """Let the optimizer make the update; return whether it was applied."""
    run = trainer.run_state
    progress = run.progress
    run.clip_gradients(trainer.model)
    trainer.optimizer_step()
    accelerator = run.accelerator
    was_skipped = accelerator.scaler is not None and accelerator.optimizer_step_was_skipped
    if was_skipped:
        progress.skipped += 1
    else:
        progress.updates += 1
    if not was_skipped or run.counts_attempts:
        trainer.scheduler_step()
    trainer.optimizer_zero_grad()
    progress.window_done = 0
    return not was_skipped
