"""What a callback is: hooks that a trainer calls, and which of them a failure belongs to."""

from __future__ import annotations

__all__ = ["CallbackHandler", "StopTrainingError", "TrainerCallback"]

from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.shown import cut


class StopTrainingError(Exception):
    """Raise it in a callback to end the training in good order; its text is the reason."""


class TrainerCallback:
    """Follows a trainer's work, and may stop it; override the hooks that matter.

    A hook that is not overridden costs nothing. A callback that has a state over the run gives
    it a ``state_dict`` and ``load_state_dict`` (plain data and tensors): it is then part of every
    checkpoint. The trainer is typed as ``Any``, so that a hook may name a Trainer class of its own.

    Example:
        >>> from warmdown.training import TrainerCallback
        >>> class Every(TrainerCallback):
        ...     def on_train_epoch_end(self, trainer, **kwargs):
        ...         trainer.print("another epoch")
    """

    def __repr__(self) -> str:
        kept = vars(self)
        known = (
            f"{name}={kept[name]!r}" for name in signature(type(self)).parameters if name in kept
        )
        return f"{type(self).__name__}({cut(', '.join(known), 200)})"

    def outputs(self) -> Iterable[Output]:
        """Return the files and folders that no other process may write while the run is at work."""
        return ()

    def on_init_end(self, trainer: Any, **kwargs: Any) -> None:
        """The trainer was made."""

    def on_run_setup(self, trainer: Any, **kwargs: Any) -> None:
        """The data is there, the length of the run is not computed yet."""

    def on_training_run_start(self, trainer: Any, **kwargs: Any) -> None:
        """Everything is prepared, and restored where the run is resumed."""

    def on_train_epoch_start(self, trainer: Any, **kwargs: Any) -> None:
        """An epoch of training begins."""

    def on_train_step_start(self, trainer: Any, **kwargs: Any) -> None:
        """A batch is about to be used."""

    def on_train_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        """A batch was used; ``step`` is its number in the epoch, from 1."""

    def on_train_update_end(self, trainer: Any, **kwargs: Any) -> None:
        """An update was made and the scheduler counted it; ``update`` is its number, from 0."""

    def on_train_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """An epoch of training is over, its metrics are in the history."""

    def on_eval_epoch_start(self, trainer: Any, **kwargs: Any) -> None:
        """An evaluation begins."""

    def on_eval_step_start(self, trainer: Any, **kwargs: Any) -> None:
        """A batch of an evaluation is about to be used."""

    def on_eval_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        """A batch of an evaluation was used."""

    def on_eval_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """An evaluation is over, its metrics are in the history."""

    def on_training_run_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """An epoch is over, with its evaluation."""

    def on_training_run_end(self, trainer: Any, **kwargs: Any) -> None:
        """The training is over, also when it was stopped."""

    def on_evaluation_run_start(self, trainer: Any, **kwargs: Any) -> None:
        """``evaluate`` was called and everything is prepared."""

    def on_evaluation_run_end(self, trainer: Any, **kwargs: Any) -> None:
        """``evaluate`` is done."""

    def on_stop_training_error(self, trainer: Any, **kwargs: Any) -> None:
        """A callback stopped the training; ``error`` is the reason."""

    def on_run_left(self, trainer: Any, **kwargs: Any) -> None:
        """The training is left, whatever the reason: put away what was opened."""

    def on_state_saving(self, trainer: Any, **kwargs: Any) -> None:
        """A checkpoint is about to be written."""


CallbackOrClass = TrainerCallback | type[TrainerCallback]
"""A callback, or a class of one that needs no arguments."""


class OutputCallback(TrainerCallback):
    """A callback that writes one file or folder.

    Attributes:
        path: The file or the folder, or ``None`` where it writes nothing.
        writes_folder: Whether it is a folder.
    """

    path: Path | None
    writes_folder = False

    def outputs(self) -> Iterable[Output]:
        """Return the file or the folder."""
        if self.path is None:
            return ()
        label = f"{type(self).__name__}('{self.path}')"
        return [Output(label, self.path, self.writes_folder)]


class CallbackHandler:
    """The callbacks of a trainer, in the order in which they are called.

    Args:
        callbacks: Instances, or classes that need no arguments.
    """

    def __init__(self, callbacks: Iterable[CallbackOrClass]) -> None:
        self.callbacks: list[TrainerCallback] = []
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self.add_callbacks(callbacks)

    def add_callbacks(self, callbacks: Iterable[CallbackOrClass]) -> None:
        """Append several."""
        for callback in callbacks:
            self.add_callback(callback)

    def add_callback(self, callback: CallbackOrClass) -> None:
        """Append one.

        Raises:
            TrainingError: It is there already.
        """
        added = callback() if isinstance(callback, type) else callback
        if any(added is known for known in self.callbacks):
            raise TrainingError(
                f"Trainer(callbacks=…): this {type(added).__name__} is there twice. Leave one out."
            )
        self.callbacks.append(added)
        self._hooks.clear()  # they were looked up without this one

    def outputs(self) -> list[Output]:
        """Return what all of them write."""
        return [output for callback in self.callbacks for output in callback.outputs()]

    def hooks(self, event: str) -> list[Callable[..., Any]]:
        """Return the hooks that do something at ``event``; an event may be one of your own."""
        # looked up once: a hook that is not overridden costs nothing, an event without hooks little
        if event not in self._hooks:
            inherited = getattr(TrainerCallback, event, None)
            found: list[Any] = [getattr(callback, event, None) for callback in self.callbacks]
            self._hooks[event] = [
                hook for hook in found if getattr(hook, "__func__", hook) not in (None, inherited)
            ]
        return self._hooks[event]

    def call_event(self, event: str, trainer: Any, **kwargs: Any) -> None:
        """Call every callback's hook, also after one that fails: all have seen the same run.

        Raises:
            StopTrainingError: A callback asked for the end.
            TrainingError: A callback failed; the message names it, the cause is attached.
        """
        failures: list[Exception] = []
        for hook in self.hooks(event):
            try:
                hook(trainer, **kwargs)
            except Exception as failure:
                failures.append(_attribute_failure(failure, hook, event))
        if failures:
            # a failure comes before a callback's wish to stop
            raise min(failures, key=lambda failure: isinstance(failure, StopTrainingError))

    def __iter__(self) -> Iterator[TrainerCallback]:
        return iter(self.callbacks)


def _attribute_failure(failure: Exception, hook: Any, event: str) -> Exception:
    """Return the failure with the name of its callback."""
    if isinstance(failure, StopTrainingError | TrainingError):
        return failure
    owner = type(hook.__self__).__name__ if hasattr(hook, "__self__") else repr(hook)
    error = TrainingError(f"{owner}.{event}: {type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error


def require_counts(callback: TrainerCallback, **counts: int | None) -> None:
    """Refuse a count that is less than 1.

    Raises:
        TrainingError: One is; the message names it.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise TrainingError(f"{type(callback).__name__}({name}={count}): at least 1 is needed.")
