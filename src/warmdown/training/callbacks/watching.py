"""The plan against what was really used."""

from __future__ import annotations

__all__ = ["LRMonitorCallback"]

from math import isclose
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmdown.binding import Scheduler
from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.plot import number
from warmdown.record import Record, Row
from warmdown.training.callbacks.base import TrainerCallback
from warmdown.training.callbacks.looking import comes_next, held_values

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


class LRMonitorCallback(TrainerCallback):
    """Reads from the optimizer what each update uses, holds it against the plan, and draws both.

    A number that is not the one that the scheduler would write there (another hand has: a second
    scheduler, a line of a subclass) is told at once, the first time for each group; ``differences``
    keeps every such update, with the value that was planned. The picture shows the plan as it was
    given, so that an event such as ``decay_now`` is seen as the place where what was used leaves
    it.

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
        self, picture: str | PathLike[str] | None = None, every: int = 1, tolerance: float = 1e-6
    ) -> None:
        if every < 1:
            raise TrainingError(f"LRMonitorCallback(every={every}): at least 1 is needed.")
        self.picture = None if picture is None else Path(picture)
        self.every, self.tolerance = every, tolerance
        self.used, self.differences = Record(), list[Row]()

    def outputs(self) -> list[Output]:
        """Return the picture."""
        return (
            []
            if self.picture is None
            else [Output(f"LRMonitorCallback('{self.picture}')", self.picture)]
        )

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Begin, or forget what lies after the update that the run goes on from."""
        self.used.rewind(trainer.progress.updates)
        self.differences = [row for row in self.differences if row.step < trainer.progress.updates]

    def on_train_step_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Look at what the update is going to use."""
        if not comes_next(trainer, self.every):
            return
        for label, held in held_values(trainer).items():
            self.used.add(trainer.progress.updates, label, held)
            planned = _planned(trainer.scheduler, label)
            if planned is not None and not isclose(planned, held, rel_tol=self.tolerance):
                self._note(trainer, Row(trainer.progress.updates, label, planned), held)

    def on_run_left(self, trainer: Trainer, **kwargs: Any) -> None:
        """Tell how often they differed, and draw both."""
        if self.differences:
            steps = [row.step for row in self.differences]
            trainer.print(
                f"Not as planned: {len(set(steps))} updates, from {min(steps)} to {max(steps)}."
            )
        if self.picture is not None and len(self.used) and trainer.is_main:
            self._draw(trainer.scheduler, self.picture)

    def _note(self, trainer: Trainer, planned: Row, held: float) -> None:
        if all(row.target != planned.target for row in self.differences):
            trainer.print(
                f"Update {planned.step} uses {planned.target} = {number(held)}, and the plan says "
                f"{number(planned.value)}: something else has written it. Let the plan drive it, "
                f"or leave it out."
            )
        self.differences.append(planned)

    def _draw(self, scheduler: Any, file: Path) -> None:
        from warmdown import plot

        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(scheduler, Scheduler):
            plot.save(scheduler.plan, file, record=self.used, title="planned and used")
        else:
            plot.save(self.used, file, title="used")


def _planned(scheduler: Any, label: str) -> float | None:
    """Return what the plan, with all that has happened to it, says for the update at hand."""
    if not isinstance(scheduler, Scheduler):
        return None
    target, _, group = label.rpartition("/")
    return scheduler.value(scheduler.position, target or label, group if target else 0)
