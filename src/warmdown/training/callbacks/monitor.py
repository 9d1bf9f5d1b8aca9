"""What a run did: a record, trackers, the plan against what was used."""

from __future__ import annotations

__all__ = ["LRMonitorCallback", "RecordCallback", "TrackerCallback"]

from math import isclose
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from warmdown import plot
from warmdown.binding import Field, Scheduler
from warmdown.record import Record, Row
from warmdown.schedules import Phase
from warmdown.training.callback import OutputCallback, require_counts
from warmdown.training.history import Loss, RunHistory
from warmdown.training.run_state import RunState
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data, FilePath

_LOSSES_WAITING = 50


class _UpdateReader(OutputCallback):
    """Reads what updates use, the phases that they begin, and how fast they are.

    It does not keep the scheduler: two that live would both write.

    Args:
        every: Updates between two readings of what is used.
    """

    path: Path | None = None
    _is_writer = True
    _phase: Phase

    def __init__(self, every: int) -> None:
        require_counts(self, every=every)
        self.every = every

    def on_train_step_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Read what the update is going to use: a metric or an event may have changed it."""
        if self._is_writer and _completes_update(trainer.run_state, self.every):
            self._used = _values_in_use(trainer)

    def _begin_reading(self, run: RunState, last_phase: str = "") -> None:
        self._last_phase = last_phase
        self._events: Any = None
        self._read_at = (run.samples_used(), perf_counter())

    def _begun_phase(self, scheduler: Any, update: int) -> str | None:
        """Return the name of the phase where another one begins than that of the last update."""
        if not isinstance(scheduler, Scheduler):
            return None
        # looked up only where one ends or an event has changed the plan
        if scheduler.events != self._events or not self._phase.contains(update):
            self._events = scheduler.events
            phases = (phase for phase in scheduler.phases if phase.contains(update))
            self._phase = next(phases, Phase("held", update, None))  # past the end
        if self._phase.name == self._last_phase:
            return None
        self._last_phase = self._phase.name
        return self._last_phase

    def _read_speed(self, run: RunState) -> dict[str, float]:
        """Return samples a second since the last reading as a metric, or nothing without any."""
        before, began = self._read_at
        self._read_at = (run.samples_used(), perf_counter())
        samples, seconds = self._read_at[0] - before, self._read_at[1] - began
        return {"samples_per_second": samples / seconds} if samples else {}


class RecordCallback(_UpdateReader):
    """Writes down what every update used and what came out: rates, phase, loss, metrics, speed.

    The row of update ``k`` holds what update ``k`` really used. A resumed run goes on in the same
    file; rows that lie after the checkpoint are dropped. Where a run went back after a spike, the
    losses that it left stay as ``loss, rolled back 1``.

    Args:
        path: A ``.jsonl`` file, or ``None`` to keep the record in memory.
        every: Updates between two rows of rates and loss.
    """

    def __init__(self, path: FilePath | None = None, every: int = 1) -> None:
        super().__init__(every)
        self.path = None if path is None else Path(path)
        self.record = Record()
        self._is_writer = False

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Open the record, where the run begins or goes on."""
        self._is_writer = trainer.is_main
        if not self._is_writer:
            return
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.record = Record.resume(self.path, trainer.progress.updates)
        else:
            self.record.rewind(trainer.progress.updates)
        phases = (row.reason for row in reversed(self.record.rows) if row.target == "phase")
        self._begin_reading(trainer.run_state, next(phases, ""))
        self._losses: list[tuple[int, Loss]] = []
        self._written = {name: len(values) for name, values in _metrics(trainer.run_history)}

    def on_train_update_end(self, trainer: TrainingSteps, update: int = 0, **kwargs: Any) -> None:
        """Write down what the update used, its loss, and the phase where another one begins."""
        if not self._is_writer or update % self.every:
            return
        for target, value in self._used.items():
            self.record.add(update, target, value)
        self._losses.append((update, trainer.window_loss))
        # to read a loss is to wait for the device: there they wait, and are read together
        if isinstance(self._losses[0][1], float) or len(self._losses) >= _LOSSES_WAITING:
            self._write_losses()
        phase = self._begun_phase(trainer.scheduler, update)
        if phase is not None:
            self.record.add(update, "phase", update, phase)

    def on_eval_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write down the metrics of an evaluation at the update it came after."""
        if not self._is_writer:
            return
        self._write_losses()
        last = max(0, trainer.progress.updates - 1)
        for name, values in _metrics(trainer.run_history):
            for value in values[self._written.get(name, 0) :]:
                self.record.add(last, name, value)
            self._written[name] = len(values)

    def on_training_run_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write down the metrics of the epoch, and how fast it was."""
        self.on_eval_epoch_end(trainer)
        if self._is_writer:
            for name, speed in self._read_speed(trainer.run_state).items():
                self.record.add(trainer.progress.updates - 1, name, speed)
            self.record.flush()

    def on_rollback(
        self, trainer: TrainingSteps, rollback: Data | None = None, **kwargs: Any
    ) -> None:
        """Keep the losses that the run has left under a name of their own."""
        if self._is_writer and rollback is not None:
            self._write_losses()
            self.record.roll_back(rollback["to"], len(trainer.rollbacks))

    def on_state_saving(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write all that lies before the checkpoint to the file."""
        if self._is_writer:
            self._write_losses()
            self.record.flush()

    def on_training_run_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write all to the file."""
        self.on_state_saving(trainer)

    def _write_losses(self) -> None:
        if not self._losses:
            return
        updates, losses = map(list, zip(*self._losses, strict=True))
        if isinstance(losses[0], torch.Tensor):  # those on a device come over together
            losses = torch.stack(losses).tolist()
        for update, loss in zip(updates, losses, strict=True):
            self.record.add(update, "loss", loss)
        self._losses.clear()


def _metrics(history: RunHistory) -> list[tuple[str, list[float]]]:
    return [(name, history.get_metric_values(name)) for name in history.get_metric_names()]


class TrackerCallback(_UpdateReader):
    """Sends rates, phase, loss, metrics and speed to the trackers of ``Trainer(log_with=…)``.

    Args:
        project_name: What the trackers call the project.
        config: Plain settings that the trackers keep with the run.
        every: Updates between two sendings of rates and loss.
        init_kwargs: More for each tracker, by its name.
    """

    def __init__(
        self,
        project_name: str = "warmdown",
        config: Data | None = None,
        every: int = 10,
        init_kwargs: Data | None = None,
    ) -> None:
        super().__init__(every)
        self.project_name = project_name
        self.config = config or {}
        self.init_kwargs = init_kwargs or {}

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Start the trackers; TensorBoard drops what lies after the update of a checkpoint."""
        updates = trainer.progress.updates
        purge = {"tensorboard": {"purge_step": updates}} if updates else {}
        # what TensorBoard takes as the settings of a run
        plain = int | float | str | bool
        config = {name: value for name, value in self.config.items() if isinstance(value, plain)}
        init_kwargs = {**purge, **self.init_kwargs}
        self._accelerator = trainer.run_state.accelerator
        self._accelerator.init_trackers(self.project_name, config=config, init_kwargs=init_kwargs)
        self._begin_reading(trainer.run_state)

    def on_train_update_end(self, trainer: TrainingSteps, update: int = 0, **kwargs: Any) -> None:
        """Send what the update used, and the phase where another one begins."""
        phase = self._begun_phase(trainer.scheduler, update)
        if phase is not None:
            self._accelerator.log({"phase": phase}, step=update)
        if update % self.every == 0:
            self._accelerator.log({**self._used, "loss": float(trainer.window_loss)}, step=update)

    def on_training_run_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Send the metrics of the epoch, and how fast it was."""
        metrics = trainer.run_history.latest_metrics() | self._read_speed(trainer.run_state)
        self._accelerator.log(metrics, step=trainer.progress.updates - 1)

    def on_run_left(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Let the trackers finish, however the run ended."""
        # not accelerate's end_training: it takes the process group away, and checkpoints are still
        # to be written
        accelerator = trainer.run_state.accelerator
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.trackers = []


class LRMonitorCallback(OutputCallback):
    """Reads from the optimizer what each update uses, compares it with the plan, and draws both.

    A number that the scheduler did not write (a second scheduler did, or a line of a subclass) is
    reported at once, the first time for each group; ``differences`` keeps every such update, with
    the value that was planned. The picture shows the plan as it was given, so that an event such as
    ``decay_now`` is seen as the place where what was used leaves it.

    Args:
        picture: A ``.png``, ``.svg`` or ``.html`` file, drawn when the run ends, or ``None``.
        every: Updates between two looks.
        tolerance: Largest relative difference that is none; a rate in a float32 tensor is off by
            6e-8.

    Example:
        >>> from warmdown.training import LRMonitorCallback
        >>> monitor = LRMonitorCallback("run/lr.png")
        >>> monitor.differences
        []
    """

    def __init__(
        self, picture: FilePath | None = None, every: int = 1, tolerance: float = 1e-6
    ) -> None:
        require_counts(self, every=every)
        self.path = self.picture = None if picture is None else Path(picture)
        self.every = every
        self.tolerance = tolerance
        self.used = Record()
        self.differences: list[Row] = []

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin, or drop what lies after the update that the run goes on from."""
        updates = trainer.progress.updates
        self.used.rewind(updates)
        self.differences = [row for row in self.differences if row.step < updates]

    def on_train_step_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Compare what the update is going to use."""
        if not _completes_update(trainer.run_state, self.every):
            return
        update, scheduler = trainer.progress.updates, trainer.scheduler
        for label, used in _values_in_use(trainer).items():
            self.used.add(update, label, used)
            if not isinstance(scheduler, Scheduler):
                continue
            target, _, group = label.rpartition("/")
            planned = scheduler.value(scheduler.position, target or label, group if target else 0)
            if isclose(planned, used, rel_tol=self.tolerance):
                continue
            if all(row.target != label for row in self.differences):
                trainer.print(
                    f"Update {update} uses {label} = {plot.number(used)}, and the plan says "
                    f"{plot.number(planned)}: something else has written it. Let the plan drive "
                    f"it, or leave it out."
                )
            self.differences.append(Row(update, label, planned))

    def on_run_left(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Print how often they differed, and draw both."""
        if self.differences:
            steps = {row.step for row in self.differences}
            trainer.print(
                f"Not as planned: {len(steps)} updates, from {min(steps)} to {max(steps)}."
            )
        if self.picture is None or not len(self.used) or not trainer.is_main:
            return
        self.picture.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(trainer.scheduler, Scheduler):
            plan = trainer.scheduler.plan
            plot.save(plan, self.picture, record=self.used, title="planned and used")
        else:
            plot.save(self.used, self.picture, title="used")


def _completes_update(run: RunState, every: int) -> bool:
    """Return whether the batch that begins completes an update of those that are written down."""
    progress = run.progress
    return progress.updates % every == 0 and progress.window_done == progress.window_size - 1


def _values_in_use(trainer: TrainingSteps) -> dict[str, float]:
    """Return the numbers that the next update uses, by ``target/group``."""
    if isinstance(trainer.scheduler, Scheduler):
        return trainer.scheduler.values()
    return {f"lr/{group}": rate for group, rate in enumerate(Field(trainer.optimizer, "lr").read())}
