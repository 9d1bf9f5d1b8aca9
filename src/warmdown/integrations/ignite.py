"""ignite: a handler that drives a plan by the updates of an engine."""

from __future__ import annotations

__all__ = ["PlanHandler"]

from collections.abc import Mapping
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.joining import OnChange
from warmdown.errors import MissingExtra
from warmdown.integrations.driver import PlanDriver

try:
    from ignite.engine import Engine, Events
except ModuleNotFoundError:
    raise MissingExtra("warmdown.integrations.ignite", "ignite", package="pytorch-ignite") from None


class PlanHandler:
    """Drives a plan in an engine of ignite; ``Checkpoint`` takes it among the objects to save.

    It counts the updates that the optimizers make, however many iterations one takes.

    Args:
        optimizer: An optimizer, or several.
        plan: A plan, a schedule for the rate, or the path of a plan file; lengths are measured on
            the engine's run.
        accumulation: Iterations for one update.
        total_steps: Updates in the run, where the engine does not know them.
        on_change: What happens when a saved state is of another plan; as for ``Scheduler``.

    Raises:
        StateError: A saved state is of another plan.
    """

    def __init__(
        self,
        optimizer: Any,
        plan: Any,
        *,
        accumulation: int = 1,
        total_steps: int | None = None,
        on_change: OnChange = "error",
    ) -> None:
        self._optimizer, self._accumulation = optimizer, accumulation
        self._goes_on = False
        self._driver = PlanDriver(
            plan, who="PlanHandler", total_steps=total_steps, on_change=on_change
        )

    @property
    def scheduler(self) -> Scheduler | None:
        """The scheduler, from the beginning of the run on."""
        return self._driver.scheduler

    def attach(self, trainer: Engine, evaluator: Engine | None = None) -> None:
        """Drive the plan in the runs of an engine.

        Args:
            trainer: The engine that makes the updates.
            evaluator: The one whose metrics the plan follows, whenever it has run; by default
                those of the trainer, after each epoch.
        """
        trainer.add_event_handler(Events.STARTED, self._begin)
        measuring = trainer if evaluator is None else evaluator
        event = Events.EPOCH_COMPLETED if evaluator is None else Events.COMPLETED
        measuring.add_event_handler(event, self._observe)

    def _begin(self, engine: Engine) -> None:
        state, lengths = engine.state, {}
        iterations = state.max_iters
        if iterations is None and state.max_epochs and state.epoch_length:
            iterations = state.max_epochs * state.epoch_length
        if iterations:
            lengths["total_steps"] = max(1, iterations // self._accumulation)
        if state.epoch_length:
            lengths["steps_per_epoch"] = max(1, state.epoch_length // self._accumulation)
        if not self._driver.begin(self._optimizer, goes_on=state.iteration > 0, **lengths):
            self._seek(state.iteration // self._accumulation)

    def _seek(self, count: int) -> None:
        """Go to the engine's update where it goes on without a state of the plan."""
        if count and self._driver.scheduler is not None:
            self._driver.scheduler.seek(count)

    def _observe(self, engine: Engine) -> None:
        self._driver.observe(engine.state.metrics)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for ignite's ``Checkpoint``."""
        return self._driver.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go where the state was saved, as soon as the engine runs.

        Raises:
            StateError: The state is damaged or of another plan.
        """
        self._driver.load_state_dict(state_dict)
