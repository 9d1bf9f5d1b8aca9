"""What happens to a run that is told to stop or fails: a state to go on from, and a message that says where it is."""

from __future__ import annotations

__all__ = ["Guard", "run_guarded"]

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from warmdown.errors import TrainingError
from warmdown.training import state

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Guard:
    """Listens for SIGTERM and Ctrl-C while a run that keeps checkpoints is at work.

    A second Ctrl-C ends it at once. Several processes agree on the update after which they stop:
    what one of them was told at an update, all of them know after the next.

    Args:
        trainer: The trainer; without checkpoints signals are left alone.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._told: int | None = None
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._asking: Any = None
        self._answer = torch.zeros(1, dtype=torch.int32)

    def __enter__(self) -> Guard:
        if self._trainer.checkpoints is None:
            return self
        if self._trainer.run_config.is_distributed:
            self._group = torch.distributed.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._listen) for number in _SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._asking is not None and exception[0] is None:
            self._asking.wait()

    def after_update(self) -> None:
        """Save and end the run when it was told to.

        Raises:
            SystemExit: It was told by SIGTERM.
            KeyboardInterrupt: It was told by Ctrl-C.
        """
        told = self._told if self._group is None else self._agreed()
        if told is not None:
            self._leave(told)

    def _listen(self, number: int, frame: FrameType | None) -> None:
        if self._told is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._told = number

    def _agreed(self) -> int | None:
        """Learn what was told before the update that is just done; ask about what was told since."""
        known = 0
        if self._asking is not None:
            self._asking.wait()
            known = int(self._answer.item())
        self._answer.fill_(self._told or 0)
        # asynchronous: the answer travels while the next update is at work
        self._asking = torch.distributed.all_reduce(
            self._answer, op=torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        return known or None

    def _leave(self, number: int) -> NoReturn:
        path = state.save_numbered(self._trainer)
        name = signal.Signals(number).name
        self._trainer.print(
            f"{name}: stopped after update {self._trainer.progress.updates}; everything is saved "
            f"in {path}. "
            "Resume to go on."
        )
        self._trainer._call("on_training_run_end")
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def run_guarded(trainer: Trainer, run: Callable[[Trainer], None]) -> None:
    """Run; whatever ends it early leaves a state to go on from, where there are checkpoints.

    Raises:
        TrainingError: A callback failed, or another process is gone; the message says where to go
            on from.
    """
    try:
        with Guard(trainer) as guard:
            trainer._guard = guard
            run(trainer)
    except TrainingError as error:
        raise TrainingError(f"{error} {_last_words(trainer)}") from error.__cause__
    except Exception as error:
        if trainer.run_config.is_distributed and _is_about_others(error):
            raise TrainingError(
                f"process {trainer._accelerator.process_index}: another process is gone, and this "
                f"one cannot go on "
                f"alone: {str(error).splitlines()[0]} {_last_good(trainer)}"
            ) from error
        error.add_note(_last_words(trainer))
        raise
    finally:
        trainer._call("on_run_left")


def _last_words(trainer: Trainer) -> str:
    """Save the state where it is one to go on from; say what there is."""
    if trainer.checkpoints is None:
        return "No checkpoints were kept; add SaveTrainingStateCallback to be able to go on."
    if trainer.run_config.is_distributed or not trainer._between_batches:
        return _last_good(trainer)
    try:
        return f"The state after update {trainer.progress.updates} is saved in {state.save_numbered(trainer)}."
    except Exception:  # the error that is being told came first
        return _last_good(trainer)


def _last_good(trainer: Trainer) -> str:
    assert trainer.checkpoints is not None
    kept = trainer.checkpoints.all()
    return (
        f"The last checkpoint is {kept[-1]}: resume from there."
        if kept
        else "There is no checkpoint yet."
    )


def _is_about_others(error: Exception) -> bool:
    words = ("connection", "peer", "gloo", "nccl", "process group", "timed out")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
