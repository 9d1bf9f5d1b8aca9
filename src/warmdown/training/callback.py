"""What a callback is: hooks that a trainer calls, and whose failure it is when one fails."""

from __future__ import annotations

__all__ = ["StopTrainingError", "TrainerCallback"]

from collections.abc import Iterable, Mapping
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

    def targets(self) -> Mapping[str, Any]:
        """Return what a plan may drive in the callback, by target name."""
        return {}

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

    def on_rollback(self, trainer: Any, **kwargs: Any) -> None:
        """The run went back after a spike, and its state was put back; ``rollback`` has the facts.

        It was left before, and starts again after, as a run that is resumed.
        """

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


def attribute_failure(failure: Exception, hook: Any, event: str) -> Exception:
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
