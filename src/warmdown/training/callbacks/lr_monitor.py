"""The plan against what was really used."""

from __future__ import annotations

__all__ = ["LRMonitorCallback"]

from math import isclose
from pathlib import Path
from typing import Any

from warmdown import plot
from warmdown.binding import Scheduler
from warmdown.lock import Output
from warmdown.record import Record, Row
from warmdown.training.callback import TrainerCallback, outputs_at, require_counts
from warmdown.training.callbacks.record_helpers import completes_update, values_in_use
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import FilePath


class LRMonitorCallback(TrainerCallback):
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
        self.picture = None if picture is None else Path(picture)
        self.every = every
        self.tolerance = tolerance
        self.used = Record()
        self.differences: list[Row] = []

    def outputs(self) -> list[Output]:
        """Return the picture."""
        return outputs_at(self, self.picture)

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin, or drop what lies after the update that the run goes on from."""
        updates = trainer.progress.updates
        self.used.rewind(updates)
        self.differences = [row for row in self.differences if row.step < updates]

    def on_train_step_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Compare what the update is going to use."""
        if not completes_update(trainer.run_state, self.every):
            return
        update, scheduler = trainer.progress.updates, trainer.scheduler
        for label, used in values_in_use(trainer).items():
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
