"""What those who write a run down look at: the values held, the phase, the speed."""

from __future__ import annotations

__all__ = ["Speed", "Stretch", "comes_next", "held_values", "metrics_of"]

from time import perf_counter
from typing import TYPE_CHECKING, Any

from warmdown.binding import Field, Scheduler
from warmdown.schedules import Phase

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer


def comes_next(trainer: Trainer, every: int) -> bool:
    """Tell whether the batch that begins completes an update of those that are written down."""
    progress = trainer.progress
    return progress.updates % every == 0 and progress.window_done == progress.window_size - 1


def metrics_of(trainer: Trainer) -> dict[str, list[float]]:
    """Return every value of every metric in the history."""
    history = trainer.run_history
    return {name: history.get_metric_values(name) for name in history.get_metric_names()}


def held_values(trainer: Trainer) -> dict[str, float]:
    """Return the numbers that the next update uses, by ``target/group``."""
    if isinstance(trainer.scheduler, Scheduler):
        return trainer.scheduler.values()
    return {f"lr/{group}": rate for group, rate in enumerate(Field(trainer.optimizer, "lr").read())}


class Stretch:
    """The phase that updates lie in, looked for again only where one ends or something has happened to the plan.

    It does not keep the scheduler: two that live would both write.
    """

    def __init__(self) -> None:
        self._events: tuple[Any, ...] | None = None
        self._phases: tuple[Phase, ...] = ()
        self._here = Phase("", 0, 0)

    def name_at(self, scheduler: Any, update: int) -> str:
        """Return the name of the phase, or nothing."""
        if not isinstance(scheduler, Scheduler):
            return ""
        if scheduler.events != self._events:
            self._events, self._here = scheduler.events, Phase("", 0, 0)
            self._phases = scheduler.phases
        if not _holds(self._here, update):
            self._here = next(
                (phase for phase in self._phases if _holds(phase, update)),
                Phase("held", update, None),
            )
        return self._here.name


def _holds(phase: Phase, update: int) -> bool:
    return phase.start <= update and (phase.stop is None or update < phase.stop)


class Speed:
    """How many samples a second were used since it was last asked."""

    def __init__(self, trainer: Trainer) -> None:
        self._begun, self._counted = perf_counter(), trainer.progress.updates

    def since(self, trainer: Trainer) -> float | None:
        """Return it, or ``None`` where no sample was used."""
        updates, seconds = trainer.progress.updates - self._counted, perf_counter() - self._begun
        self._begun, self._counted = perf_counter(), trainer.progress.updates
        size = trainer.run_config.train_total_batch_size
        return updates * size / seconds if updates and size else None
