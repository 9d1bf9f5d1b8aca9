"""Lightning: a callback that drives a plan, and what ``configure_optimizers`` returns for one."""

from __future__ import annotations

__all__ = ["PlanCallback", "configure_plan"]

import math
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.joining import OnChange
from warmdown.errors import BindingError, MissingExtra, StateError
from warmdown.integrations.driver import PlanDriver

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError:
        raise MissingExtra(
            "warmdown.integrations.lightning", "lightning", package="lightning"
        ) from None


class PlanCallback(Callback):  # type: ignore[misc]
    """Drives a plan in Lightning's ``Trainer``, with state in its checkpoints.

    It counts the updates that the optimizers make, in automatic and in manual optimization.
    Metrics that the plan follows are those that were logged, after each validation; where there is
    none, after each epoch.

    Args:
        plan: A plan, a schedule for the rate, or the path of a plan file; lengths are measured on
            the trainer's run.
        optimizer: The index of the optimizer that is driven, where ``configure_optimizers`` returns
            several; all of them by default. One callback each gives each a plan of its own.
        total_steps: Updates in the run, where Lightning does not know them: several in one batch.
        on_change: What happens when a checkpoint is of another plan; as for ``Scheduler``.

    Raises:
        BindingError: ``configure_optimizers`` returned a scheduler for the same learning rate.
        StateError: A checkpoint is of another plan; or it has none, and updates cannot be counted.
    """

    def __init__(
        self,
        plan: Any,
        *,
        optimizer: int | None = None,
        total_steps: int | None = None,
        on_change: OnChange = "error",
    ) -> None:
        self._index = optimizer
        self._driver = PlanDriver(
            plan, who="PlanCallback", total_steps=total_steps, on_change=on_change
        )
        self._goes_on = False

    @property
    def scheduler(self) -> Scheduler | None:
        """The scheduler, from the beginning of ``fit`` on."""
        return self._driver.scheduler

    @property
    def state_key(self) -> str:
        """The name in a checkpoint; each optimizer's callback has its own."""
        return f"warmdown.PlanCallback[{'all' if self._index is None else self._index}]"

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Bind the plan; what was loaded from a checkpoint holds at once."""
        optimizers = trainer.optimizers
        if self._index is not None:
            if not -len(optimizers) <= self._index < len(optimizers):
                raise BindingError(
                    f"PlanCallback(optimizer={self._index}): configure_optimizers returned "
                    f"{len(optimizers)}. Give an index from 0 to {len(optimizers) - 1}."
                )
            optimizers = [optimizers[self._index]]
        self._goes_on = self._driver.begin(
            optimizers[0] if len(optimizers) == 1 else optimizers,
            goes_on=trainer.global_step > 0,
            others=[config.scheduler for config in trainer.lr_scheduler_configs],
            **_lengths(trainer, pl_module),
        )

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Go to the trainer's update where its checkpoint was written without this callback."""
        scheduler = self._driver.scheduler
        if scheduler is None or scheduler.count or self._goes_on or not trainer.global_step:
            return
        if not pl_module.automatic_optimization:
            raise StateError(
                f"PlanCallback: the checkpoint of step {trainer.global_step} was written without "
                "it, and in manual optimization that is no count of updates. Resume from one that "
                "was written with it."
            )
        scheduler.seek(trainer.global_step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the plan the metrics that it follows."""
        if not trainer.sanity_checking:
            self._driver.observe(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the plan the metrics of training, where nothing is validated."""
        if not trainer.enable_validation:
            self._driver.observe(trainer.callback_metrics)

    def state_dict(self) -> dict[str, Any]:
        """Return what Lightning puts into its checkpoint."""
        return self._driver.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; Lightning calls it before there is an optimizer."""
        self._driver.load_state_dict(state_dict)


def configure_plan(
    module: Any,
    optimizer: Any,
    plan: Any,
    *,
    total_steps: int | None = None,
    on_change: OnChange = "error",
) -> dict[str, Any]:
    """Return what ``configure_optimizers`` returns for an optimizer under a plan.

    Lightning saves and restores the scheduler, and ``LearningRateMonitor`` logs its rates.

    Args:
        module: The ``LightningModule``.
        optimizer: Its optimizer.
        plan: What ``Scheduler`` takes as a plan; lengths are measured on the trainer's run.
        total_steps: Updates in the run, where Lightning does not know them.
        on_change: What happens when a checkpoint is of another plan.

    Raises:
        BindingError: The plan follows a metric, which Lightning gives to no such scheduler.
    """
    lengths = _lengths(module.trainer, module)
    if total_steps is not None:
        lengths["total_steps"] = total_steps
    scheduler = Scheduler(optimizer, plan, auto=True, on_change=on_change, **lengths)
    if scheduler.metrics:
        scheduler.close()
        raise BindingError(
            f"configure_plan(plan=…): it follows {', '.join(scheduler.metrics)}, and "
            "Lightning gives no metric to a scheduler that moves with updates. Return the "
            "optimizer alone, and give PlanCallback(plan) to the Trainer."
        )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _lengths(trainer: Any, module: Any) -> dict[str, Any]:
    """Return how many updates the trainer will make, as far as it knows."""
    lengths: dict[str, Any] = {}
    total = trainer.estimated_stepping_batches
    if not module.automatic_optimization and trainer.max_steps != -1:
        # there max_steps counts the updates of all optimizers together
        total = min(total, trainer.max_steps // max(1, len(trainer.optimizers)))
    if 0 < total < math.inf:
        lengths["total_steps"] = int(total)
    if 0 < (batches := trainer.num_training_batches) < math.inf:
        lengths["steps_per_epoch"] = math.ceil(batches / trainer.accumulate_grad_batches)
    return lengths
