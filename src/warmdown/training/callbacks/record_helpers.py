"""What callbacks that write a run down read of it: the values in use, the phase, the speed."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from warmdown.binding import Field, Scheduler
from warmdown.schedules import Phase
from warmdown.training.run_state import RunState
from warmdown.training.steps import TrainingSteps


def completes_update(run: RunState, every: int) -> bool:
    """Return whether the batch that begins completes an update of those that are written down."""
    progress = run.progress
    return progress.updates % every == 0 and progress.window_done == progress.window_size - 1


def values_in_use(trainer: TrainingSteps) -> dict[str, float]:
    """Return the numbers that the next update uses, by ``target/group``."""
    if isinstance(trainer.scheduler, Scheduler):
        return trainer.scheduler.values()
    return {f"lr/{group}": rate for group, rate in enumerate(Field(trainer.optimizer, "lr").read())}


_NO_PHASE = Phase("", 0, 0)


class PhaseTracker:
    """The phase of each update, looked up only where one ends or an event has changed the plan.

    It does not keep the scheduler: two that live would both write.

    Args:
        last_name: The phase of the update before.
    """

    def __init__(self, last_name: str = "") -> None:
        self._last_name = last_name
        self._events: Any = None
        self._phases: tuple[Phase, ...] = ()
        self._phase = _NO_PHASE

    def begun_at(self, scheduler: Any, update: int) -> str | None:
        """Return the name of the phase where another one begins than that of the last update."""
        if not isinstance(scheduler, Scheduler):
            return None
        if scheduler.events != self._events:
            self._events = scheduler.events
            self._phases = scheduler.phases
            self._phase = _NO_PHASE
        if not _contains(self._phase, update):
            past_the_end = Phase("held", update, None)
            phases = (phase for phase in self._phases if _contains(phase, update))
            self._phase = next(phases, past_the_end)
        if self._phase.name == self._last_name:
            return None
        self._last_name = self._phase.name
        return self._last_name


def _contains(phase: Phase, update: int) -> bool:
    return phase.start <= update and (phase.stop is None or update < phase.stop)


class Speed:
    """How many samples a second were used since it was last read."""

    def __init__(self, run: RunState) -> None:
        self._seconds = perf_counter()
        self._updates = run.progress.updates

    def read(self, run: RunState) -> dict[str, float]:
        """Return it as a metric, or nothing where no sample was used."""
        updates = run.progress.updates - self._updates
        seconds = perf_counter() - self._seconds
        self.__init__(run)  # type: ignore[misc]
        size = run.config.train_total_batch_size
        return {"samples_per_second": updates * size / seconds} if updates and size else {}
