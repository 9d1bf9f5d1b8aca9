"""A plan that waits for the optimizers and the length of a run, and goes on from a saved state."""

from __future__ import annotations

__all__ = ["PlanDriver"]

from collections.abc import Iterable, Mapping
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.field import unwrap
from warmdown.binding.joining import OnChange
from warmdown.errors import BindingError


class PlanDriver:
    """Makes a scheduler when a trainer has its optimizers, and keeps its state before and after.

    The scheduler counts the optimizers' own updates, so that micro-batches, processes and updates
    that were skipped do not move it, and several updates in one batch do.

    Args:
        plan: What ``Scheduler`` takes as a plan.
        who: The name in errors.
        total_steps: Updates in the run, where the trainer does not know them.
        on_change: What happens when a saved state is of another plan; as for ``Scheduler``.
    """

    def __init__(
        self,
        plan: Any,
        *,
        who: str,
        total_steps: int | None = None,
        on_change: OnChange = "error",
    ) -> None:
        self._plan, self._who = plan, who
        self._total_steps, self._on_change = total_steps, on_change
        self._saved: dict[str, Any] = {}
        self.scheduler: Scheduler | None = None

    def begin(
        self,
        optimizers: Any,
        *,
        goes_on: bool,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        others: Iterable[Any] = (),
    ) -> bool:
        """Bind the plan; return whether it goes on from a saved state, or from the run before.

        Args:
            optimizers: One or several.
            goes_on: Whether the trainer continues its run before, if there was one.
            total_steps: Updates in the run, as the trainer counts them.
            steps_per_epoch: Updates in an epoch.
            others: Schedulers that the trainer has besides.

        Raises:
            BindingError: One of the others writes the same learning rate.
            StateError: The saved state is of another plan.
        """
        saved, self._saved = self._saved, {}
        if self.scheduler is not None:
            if goes_on and not saved:
                saved = self.scheduler.state_dict()
            self.scheduler.close()
        scheduler = Scheduler(
            optimizers,
            self._plan,
            auto=True,
            on_change=self._on_change,
            total_steps=self._total_steps or total_steps,
            steps_per_epoch=steps_per_epoch,
        )
        self._refuse_others(scheduler, others)
        if saved:
            scheduler.load_state_dict(saved)
        self.scheduler = scheduler
        return bool(saved)

    def _refuse_others(self, scheduler: Scheduler, others: Iterable[Any]) -> None:
        if all(target.name != "lr" for target in scheduler.plan.targets):
            return
        driven = list(map(unwrap, scheduler.optimizers))
        for other in others:
            if (optimizer := getattr(other, "optimizer", None)) and unwrap(optimizer) in driven:
                scheduler.close()
                raise BindingError(
                    f"{self._who}(plan=…): a {type(other).__name__} of the trainer writes the "
                    "learning rate of the same optimizer. Let one of the two write it: leave out "
                    "the trainer's, or the plan's lr."
                )

    def observe(self, metrics: Mapping[str, Any]) -> None:
        """Give the plan those of a trainer's metrics that it follows."""
        if self.scheduler is not None:
            observe_followed(self.scheduler, metrics)

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state; before the run begins, what was loaded."""
        return self._saved if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go where ``state`` was saved, now or when the run begins.

        Raises:
            StateError: The state is damaged or of another plan.
        """
        if self.scheduler is None or self.scheduler.writer.is_closed:
            self._saved = dict(state)
        elif state:
            self.scheduler.load_state_dict(state)


def observe_followed(scheduler: Scheduler, metrics: Mapping[str, Any]) -> None:
    """Give a scheduler those metrics that its plan follows; there may be none among them."""
    followed = {name: float(metrics[name]) for name in scheduler.metrics if name in metrics}
    if followed:
        scheduler.observe(**followed)
