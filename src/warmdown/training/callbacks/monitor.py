"""What a run did, written down: a record of every update, and the trackers that accelerate knows."""

from __future__ import annotations

__all__ = ["RecordCallback", "TrackerCallback"]

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.record import Record
from warmdown.training.callbacks.base import TrainerCallback
from warmdown.training.callbacks.looking import Speed, Stretch, comes_next, held_values, metrics_of
from warmdown.training.callbacks.progress import latest_metrics

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer

_LOSSES_WAITING = 50


class RecordCallback(TrainerCallback):
    """Writes down what every update used and what came out: rates, phase, loss, metrics, throughput.

    The row of update ``k`` holds what update ``k`` really used. A resumed run goes on in the same
    file; rows that lie after the checkpoint are forgotten.

    Args:
        path: A ``.jsonl`` file, or ``None`` to keep the record in memory.
        every: Updates between two rows of rates and loss.
    """

    def __init__(self, path: str | PathLike[str] | None = None, every: int = 1) -> None:
        if every < 1:
            raise TrainingError(f"RecordCallback(every={every}): at least 1 is needed.")
        self.path = None if path is None else Path(path)
        self.every = every
        self.record = Record()

    def outputs(self) -> list[Output]:
        """Return the record."""
        return [] if self.path is None else [Output(f"RecordCallback('{self.path}')", self.path)]

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Open the record, where the run begins or goes on."""
        self._on = trainer.is_main
        if not self._on:
            return
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.record = Record.resume(self.path, trainer.progress.updates)
        else:
            self.record.rewind(trainer.progress.updates)
        self._stretch = Stretch()
        self._phase = next(
            (row.reason for row in reversed(self.record.rows) if row.target == "phase"), ""
        )
        self._losses: list[tuple[int, float | torch.Tensor]] = []
        self._speed = Speed(trainer)
        self._told = {name: len(values) for name, values in metrics_of(trainer).items()}

    def on_train_step_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Look at what the update is going to use; since the last one, a metric or an event may have changed it."""
        if self._on and comes_next(trainer, self.every):
            self._used = held_values(trainer)

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        """Write down what the update used, and its loss."""
        if not self._on or update % self.every:
            return
        for target, value in self._used.items():
            self.record.add(update, target, value)
        self._losses.append((update, trainer.window_loss))
        if isinstance(self._losses[0][1], float) or len(self._losses) >= _LOSSES_WAITING:
            self._write_losses()
        self._note_phase(trainer, update)

    def on_eval_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Write down the metrics of an evaluation at the update it came after."""
        self._note_metrics(trainer)

    def on_training_run_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Write down the metrics of the epoch, and how fast it was."""
        if not self._on:
            return
        self._note_metrics(trainer)
        if (speed := self._speed.since(trainer)) is not None:
            self.record.add(trainer.progress.updates - 1, "samples_per_second", speed)
        self.record.flush()

    def on_state_saving(self, trainer: Trainer, **kwargs: Any) -> None:
        """Let the file hold all that lies before the checkpoint."""
        if getattr(self, "_on", False):
            self._write_losses()
            self.record.flush()

    def on_training_run_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Let the file hold all."""
        self.on_state_saving(trainer)

    def _note_metrics(self, trainer: Trainer) -> None:
        if self._on:
            self._write_losses()
            for name, values in metrics_of(trainer).items():
                for value in values[self._told.get(name, 0) :]:
                    self.record.add(max(0, trainer.progress.updates - 1), name, value)
                self._told[name] = len(values)

    def _note_phase(self, trainer: Trainer, update: int) -> None:
        name = self._stretch.name_at(trainer.scheduler, update)
        if name != self._phase:
            self._phase = name
            self.record.add(update, "phase", update, name)

    def _write_losses(self) -> None:
        """Write the losses that wait; those on a device come over together."""
        updates = [update for update, _ in self._losses]
        waiting = [loss for _, loss in self._losses]
        if waiting and isinstance(waiting[0], torch.Tensor):
            waiting = torch.stack(waiting).tolist()  # type: ignore[arg-type]
        for update, loss in zip(updates, waiting, strict=True):
            self.record.add(update, "loss", float(loss))
        self._losses.clear()


class TrackerCallback(TrainerCallback):
    """Sends rates, phase, loss, metrics and throughput to the trackers that the trainer was given by ``log_with``.

    Args:
        project_name: What the trackers call the project.
        config: Plain settings that the trackers keep with the run.
        every: Updates between two sendings of rates and loss.
        init_kwargs: More for each tracker, by its name.
    """

    def __init__(
        self,
        project_name: str = "warmdown",
        config: dict[str, Any] | None = None,
        every: int = 10,
        init_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if every < 1:
            raise TrainingError(f"TrackerCallback(every={every}): at least 1 is needed.")
        self.project_name, self.config, self.every = project_name, config or {}, every
        self.init_kwargs = init_kwargs or {}

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Start the trackers; TensorBoard forgets what lies after the update that the run goes on from."""
        told = (
            {"tensorboard": {"purge_step": trainer.progress.updates}}
            if trainer.progress.updates
            else {}
        )
        settings = {
            name: value
            for name, value in self.config.items()
            if isinstance(value, int | float | str | bool)
        }
        trainer._accelerator.init_trackers(
            self.project_name, config=settings, init_kwargs={**told, **self.init_kwargs}
        )
        self._stretch, self._speed, self._phase = Stretch(), Speed(trainer), ""

    def on_train_step_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Look at what the update is going to use."""
        if comes_next(trainer, self.every):
            self._used = held_values(trainer)

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        """Send what the update used, and the phase where another one begins."""
        phase = self._stretch.name_at(trainer.scheduler, update)
        if phase != self._phase:
            self._phase = phase
            trainer._accelerator.log({"phase": phase}, step=update)
        if update % self.every == 0:
            trainer._accelerator.log(
                {**self._used, "loss": float(trainer.window_loss)}, step=update
            )

    def on_training_run_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Send the metrics of the epoch, and how fast it was."""
        speed = self._speed.since(trainer)
        told = {"samples_per_second": speed} if speed is not None else {}
        trainer._accelerator.log(
            {**latest_metrics(trainer), **told}, step=trainer.progress.updates - 1
        )

    def on_run_left(self, trainer: Trainer, **kwargs: Any) -> None:
        """Let the trackers finish, however the run ended."""
        # not accelerate's end_training: it takes the process group away, and checkpoints are still
        # to be written
        for tracker in trainer._accelerator.trackers:
            tracker.finish()
        trainer._accelerator.trackers = []
