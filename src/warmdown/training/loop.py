"""A run from its start to its end: epochs, updates, batches, and whatever ends it early."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import islice
from math import ceil
from types import FrameType
from typing import Any

import torch

from warmdown.batches import Cut
from warmdown.binding import Scheduler
from warmdown.errors import LengthMismatch, TrainingError
from warmdown.lock import locked
from warmdown.system import STOP_SIGNALS
from warmdown.training.callback import StopTrainingError
from warmdown.training.data import BatchWindow, usable_batches
from warmdown.training.planning import observe_metrics
from warmdown.training.run_state import do_nothing
from warmdown.training.spikes import SpikeFound
from warmdown.training.state import save_numbered
from warmdown.training.steps import TrainingSteps

_WORDS_OF_LOST_PROCESSES = ("connection", "peer", "gloo", "nccl", "process group", "timed out")


@contextmanager
def outputs_locked(trainer: TrainingSteps) -> Iterator[None]:
    """Lock what callbacks write and open the checkpoints, on the first process for all."""
    with ExitStack() as locks:

        def open_outputs() -> None:
            locks.enter_context(locked(trainer.callback_handler.outputs()))
            if trainer.checkpoints is not None:
                trainer.checkpoints.open()

        trainer.run_state.first_process_decides(open_outputs)
        yield


def train_to_end(trainer: TrainingSteps, *, listens: bool = True) -> None:
    """Train; whatever ends the run early leaves a state to go on from, where there are checkpoints.

    Raises:
        TrainingError: A callback failed, or another process is gone; the message names the
            checkpoint to go on from.
    """
    try:
        with outputs_locked(trainer):
            if listens:
                _listen(trainer)
            _train_interruptibly(trainer)
    finally:
        trainer.base_values.end(trainer)
        trainer.run_state.close()


def _train_interruptibly(trainer: TrainingSteps) -> None:
    try:
        with Interruption(trainer):
            _run_training(trainer)
    except TrainingError as error:
        raise TrainingError(f"{error} {_save_last_state(trainer)}") from error.__cause__
    except Exception as error:
        if trainer.run_config.is_distributed and _is_of_lost_process(error):
            rank = trainer.run_state.accelerator.process_index
            message = (
                f"process {rank}: another process is gone, and this one cannot go on alone: "
                f"{str(error).splitlines()[0]} {_last_checkpoint(trainer)}"
            )
            # at once: whoever started the processes is about to end this one too
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()
            raise TrainingError(message) from error
        error.add_note(_save_last_state(trainer))
        raise
    finally:
        trainer.call_event("on_run_left")


def _save_last_state(trainer: TrainingSteps) -> str:
    """Save the state where it can be gone on with; return a sentence that names what there is."""
    if trainer.checkpoints is None:
        return "No checkpoints were kept; add SaveTrainingStateCallback to be able to go on."
    if trainer.run_config.is_distributed or not trainer.run_state.is_between_batches:
        return _last_checkpoint(trainer)
    try:
        path = save_numbered(trainer)
    except Exception:  # the error that is being reported came first
        return _last_checkpoint(trainer)
    return f"The state after update {trainer.progress.updates} is saved in {path}."


def _last_checkpoint(trainer: TrainingSteps) -> str:
    checkpoints = trainer.checkpoints.all() if trainer.checkpoints is not None else []
    if not checkpoints:
        return "There is no checkpoint yet."
    return f"The last checkpoint is {checkpoints[-1]}: resume from there."


def _is_of_lost_process(error: Exception) -> bool:
    message = str(error).lower()
    is_named = any(word in message for word in _WORDS_OF_LOST_PROCESSES)
    return isinstance(error, RuntimeError) and is_named


class Interruption:
    """Catches SIGTERM and Ctrl-C while a run that keeps checkpoints is at work.

    A second Ctrl-C ends the run at once. Several processes agree on the update after which they
    stop: a signal that one of them caught before an update is known to all after the next.

    Args:
        trainer: The trainer; without checkpoints signals are left alone.
    """

    def __init__(self, trainer: TrainingSteps) -> None:
        self._trainer = trainer
        self._run = trainer.run_state
        self._handlers: dict[int, Any] = {}
        self._group: Any = None
        self._exchange: Any = None
        self._highest = torch.zeros(1, dtype=torch.int32)

    def __enter__(self) -> None:
        if self._trainer.checkpoints is None:
            return
        self._run.stop_signal = None
        self._run.after_update = self._stop_if_asked
        if self._run.config.is_distributed:
            # a group of its own, on the CPU: the exchange of gradients does not wait for it
            self._group = torch.distributed.new_group(backend="gloo")
        # Python lets the main thread alone set handlers
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._catch) for number in STOP_SIGNALS}

    def __exit__(self, *exception: object) -> None:
        # or run and trainer would keep each other and the loader until garbage is collected, where
        # torch waits 5 seconds for each worker that lives on
        self._run.after_update = do_nothing
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._exchange is not None and exception[0] is None:
            self._exchange.wait()

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._run.stop_signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._run.stop_signal = number

    def _stop_if_asked(self) -> None:
        number = self._run.stop_signal if self._group is None else self._agreed_signal()
        if number is None:
            return
        path = save_numbered(self._trainer)
        name, updates = signal.Signals(number).name, self._run.progress.updates
        self._trainer.print(
            f"{name}: stopped after update {updates}; everything is saved in {path}. Resume to go "
            f"on."
        )
        self._trainer.call_event("on_training_run_end")
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def _agreed_signal(self) -> int | None:
        """Return what any process caught before this update; send what this one caught since."""
        known = 0
        if self._exchange is not None:
            self._exchange.wait()
            known = int(self._highest.item())
        self._highest.fill_(self._run.stop_signal or 0)
        # asynchronous: the answer travels while the next update is at work
        self._exchange = torch.distributed.all_reduce(
            self._highest, op=torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        return known or None


def _run_training(trainer: TrainingSteps) -> None:
    """Train until the epochs, the updates or a callback end it."""
    from warmdown.training import rollback  # above, it would lengthen the chain of imports

    trainer.training_run_start()
    trainer.call_event("on_training_run_start")
    if trainer.run_state.guard is not None:
        rollback.begin_guard(trainer)
    try:
        while not _is_over(trainer):
            try:
                _run_epoch(trainer)
            except SpikeFound as found:
                rollback.go_back(trainer, found.spike)
                _listen(trainer)
    except StopTrainingError as stop:
        trainer.stopped_by = str(stop)
        trainer.print(stop)
        trainer.call_event("on_stop_training_error", error=stop)
    _report_moved_end(trainer)
    trainer.training_run_end()
    trainer.call_event("on_training_run_end")
    progress, scheduler = trainer.progress, trainer.scheduler
    if progress.finished and not progress.skipped and isinstance(scheduler, Scheduler):
        scheduler.finish()


def evaluate_once(trainer: TrainingSteps, *, is_observed: bool = True, **kwargs: Any) -> None:
    """Run through the evaluation data; the schedule may observe the metrics."""
    run = trainer.run_state
    assert run.eval_source is not None
    trainer.eval_epoch_start()
    trainer.call_event("on_eval_epoch_start", **kwargs)
    windows = run.eval_source.windows(0, 0, 1)
    step = 0
    with torch.no_grad():
        for step, window in enumerate(islice(windows, run.eval_limit), start=1):
            trainer.call_event("on_eval_step_start", step=step)
            for raw, _ in window.batches:
                batch = run.to_device(raw)
                output = trainer.calculate_eval_batch_loss(batch)
                run.eval_loss.update(output["loss"], output.get("batch_size", 1))
                trainer.call_event("on_eval_step_end", batch=batch, batch_output=output, step=step)
    promised = usable_batches(run.eval_source, run.eval_limit)
    _check_length(trainer, "eval_dataset", step, promised, "The means are over what there was.")
    trainer.add_loss_metric("eval_loss_epoch", run.eval_loss)
    trainer.eval_epoch_end()
    if is_observed and not trainer.run_history.metric_name_prefix:
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
    is_exhausted = not _is_complete(trainer)
    for window in _windows(trainer):
        _run_window(trainer, window)
        if _is_complete(trainer):
            is_exhausted = False
            break
    if run.guard is not None:
        run.guard.look()
    if is_exhausted:
        _check_epoch(trainer)
    trainer.add_loss_metric("train_loss_epoch", run.train_loss)
    trainer.train_epoch_end()
    trainer.call_event("on_train_epoch_end")
    if run.eval_source is not None:
        evaluate_once(trainer)
    else:
        observe_metrics(trainer.scheduler, trainer.run_history.latest_metrics())
    if is_exhausted or run.is_epoch_over(progress):
        progress.epoch += 1
        progress.used = progress.batch = 0
    progress.finished = _is_complete(trainer)
    trainer.training_run_epoch_end()
    trainer.call_event("on_training_run_epoch_end")


def _check_epoch(trainer: TrainingSteps) -> None:
    """Compare a pass over all of the training data with what the run was planned on."""
    config, progress = trainer.run_config, trainer.progress
    left, promised = trainer.run_state.batches_left(progress), config.train_batches_per_epoch
    if trainer.run_state.loader_number is not None:
        left = promised = None
    given = progress.batch if left is None or promised is None else promised - left
    updates = progress.updates + progress.skipped
    updates += ceil(given / config.gradient_accumulation_steps) * (
        config.num_epochs - progress.epoch - 1
    )
    effect = f"The run goes on until it has made {config.total_updates} updates."
    if config.max_num_train_steps is None:
        effect = (
            f"The plan was made for {config.total_updates} updates, and the run ends with its "
            f"{config.num_epochs} epochs, after about {updates}: max_num_train_steps={updates} "
            f"plans for that."
        )
    # an epoch may be passed over as a whole
    _check_length(trainer, "train_dataset", given or progress.passed, promised, effect)


def _check_length(
    trainer: TrainingSteps, data: str, given: int, promised: int | None, effect: str
) -> None:
    """Warn of a pass that was shorter than promised, or could have been longer.

    Raises:
        TrainingError: There was no batch at all.
    """
    name = f"{data}={type(getattr(trainer, data)).__name__}"
    if not given:
        raise TrainingError(
            f"train({name}): epoch {trainer.progress.epoch + 1} has not one batch. Give data that "
            f"is not empty, and that can be read again in each epoch (a generator cannot)."
        )
    run = trainer.run_state
    source = run.train_source if data == "train_dataset" else run.eval_source
    has_more = source is not None and source.has_more
    if has_more:
        effect = "What comes after them is not used."
    if trainer.is_main and (has_more or given != (promised or given)):
        seen = f"{'has more than' if has_more else 'ended after'} {given}"
        run.warnings[data].warn_once(
            LengthMismatch, data=name, seen=seen, promised=promised, effect=effect
        )


def _windows(trainer: TrainingSteps) -> Iterator[BatchWindow]:
    run = trainer.run_state
    source, progress = run.train_source, run.progress
    assert source is not None
    if _is_complete(trainer):
        return
    if progress.window_done:  # saved between two batches of an update: first the rest of that
        left, part = progress.window_size - progress.window_done, run.cut().part
        cuts = [Cut(left * part, part)]
        yield from islice(source.windows(progress.epoch, progress.used, cuts), 1)
    is_over = False
    while not is_over:
        is_over, is_behind = True, False
        for window in source.windows(progress.epoch, progress.used, run.cuts_ahead()):
            if progress.is_passed_over:
                progress.used = window.end
                progress.passed += 1
                is_behind = not source.is_stream  # what it did not load comes next
                continue
            if run.is_at_train_limit():
                return
            # an event, or a skipped update, came after it was read
            if is_behind or window.cut != run.cut():
                is_over = False
                break
            yield window


def _run_window(trainer: TrainingSteps, window: BatchWindow) -> None:
    run = trainer.run_state
    progress, tracker = run.progress, run.train_loss
    if run.loader_number is not None:
        start = progress.used - progress.window_done * window.cut.part
        run.loader_number.samples = (window.end - start) * run.loader_number.loading.samples
    if not progress.window_done:
        progress.window_size = window.size
        tracker.begin_window()
    size = progress.window_size
    for raw, used in window.batches:
        trainer.call_event("on_train_step_start", step=progress.batch + 1)
        batch = run.to_device(raw)
        is_last = progress.window_done == size - 1
        run.is_between_batches = False
        # gradients are exchanged once an update, with its last batch
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
        if was_applied and run.guard is not None:
            # before a checkpoint is saved: it is a part of that update
            run.guard.detector.take(trainer.window_loss, run.grad_norm)
        trainer.call_event("on_train_step_end", batch=batch, batch_output=output, step=step)
        if was_applied:
            trainer.call_event("on_train_update_end", update=progress.updates - 1)
            if run.guard is not None:
                run.guard.look_if_due()
            if getattr(trainer.scheduler, "requests", None):
                _do_as_asked(trainer)
            run.after_update()


def _update(trainer: TrainingSteps) -> bool:
    """Let the optimizer make the update; return whether it was applied."""
    run = trainer.run_state
    progress = run.progress
    run.clip_gradients(trainer.model)
    trainer.optimizer_step()
    accelerator = run.accelerator
    # a scaler skips an update whose gradients overflowed: then nothing was trained
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


def _is_over(trainer: TrainingSteps) -> bool:
    """Return whether nothing is left to do, the last evaluation included."""
    run = trainer.run_state
    has_limit = run.config.max_num_train_steps is not None or _moved_end(trainer) is not None
    has_limit = has_limit or run.progress.passed > 0
    return _is_complete(trainer) and (run.progress.finished or not has_limit)


def _is_complete(trainer: TrainingSteps) -> bool:
    """Return whether no update is to be made any more, though the data would give some."""
    config, progress = trainer.run_config, trainer.progress
    if (stop := _moved_end(trainer)) is not None:
        return bool(trainer.scheduler.position >= stop)
    if config.max_num_train_steps is not None:
        return progress.updates >= config.max_num_train_steps
    if progress.passed and config.total_updates is not None:
        # as many updates as were planned: the first data of one more pass in place of those passed
        return progress.updates + progress.skipped >= config.total_updates
    return progress.epoch >= config.num_epochs


def _moved_end(trainer: TrainingSteps) -> float | None:
    """Return where ``decay_now``, ``hold`` or ``extend`` let the run end, by its clock."""
    scheduler = trainer.scheduler
    return scheduler.writer.timeline.moved_end if isinstance(scheduler, Scheduler) else None


def _listen(trainer: TrainingSteps) -> None:
    """Listen for what is asked of the run in the first folder that it writes."""
    folder = next((one.path for one in trainer.callback_handler.outputs() if one.is_folder), None)
    scheduler = trainer.scheduler
    if folder is not None and isinstance(scheduler, Scheduler) and scheduler.commands is None:
        scheduler.listen(folder)


def _do_as_asked(trainer: TrainingSteps) -> None:
    """Save, and perhaps stop, as a person has asked from outside.

    Raises:
        StopTrainingError: The run is to stop.
    """
    asked, updates = set(trainer.scheduler.requests), trainer.progress.updates
    trainer.scheduler.requests.clear()
    saved = "No checkpoints are kept; add SaveTrainingStateCallback."
    if trainer.checkpoints is not None:
        saved = f"Everything is saved in {save_numbered(trainer)}."
    if "stop" in asked:
        raise StopTrainingError(f"stopped as was asked, after update {updates}. {saved}")
    trainer.print(f"checkpoint asked for after update {updates}. {saved}")


def _report_moved_end(trainer: TrainingSteps) -> None:
    """Print that an event let the run end at another update than was planned."""
    planned, made = trainer.run_config.total_updates, trainer.progress.updates
    if _moved_end(trainer) is not None and _is_complete(trainer) and planned != made:
        kind = trainer.scheduler.events[-1].kind
        how = (
            "decay that decay_now began has ended"
            if kind == "decay"
            else f"{kind} has moved the end"
        )
        trainer.print(f"The {how}, and the run with it: {made} updates, {planned} were planned.")
