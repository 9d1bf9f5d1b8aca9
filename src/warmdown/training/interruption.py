"""A run that a signal or an error ends: a state to go on from, and a message with its place."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import torch

from warmdown.errors import TrainingError
from warmdown.lock import locked
from warmdown.training.loop import run_training
from warmdown.training.state import save_numbered
from warmdown.training.steps import TrainingSteps

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WORDS_OF_LOST_PROCESSES = ("connection", "peer", "gloo", "nccl", "process group", "timed out")


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
            self._group = torch.distributed.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._catch) for number in _SIGNALS}

    def __exit__(self, *exception: object) -> None:
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


def train_to_end(trainer: TrainingSteps) -> None:
    """Train; whatever ends the run early leaves a state to go on from, where there are checkpoints.

    Raises:
        TrainingError: A callback failed, or another process is gone; the message names the
            checkpoint to go on from.
    """
    try:
        with outputs_locked(trainer):
            _train_interruptibly(trainer)
    finally:
        trainer.base_values.end(trainer.optimizer)
        trainer.run_state.close()


def _train_interruptibly(trainer: TrainingSteps) -> None:
    try:
        with Interruption(trainer):
            run_training(trainer)
    except TrainingError as error:
        raise TrainingError(f"{error} {_save_last_state(trainer)}") from error.__cause__
    except Exception as error:
        if trainer.run_config.is_distributed and _is_of_lost_process(error):
            rank = trainer.run_state.accelerator.process_index
            raise TrainingError(
                f"process {rank}: another process is gone, and this one cannot go on alone: "
                f"{str(error).splitlines()[0]} {_last_checkpoint(trainer)}"
            ) from error
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
