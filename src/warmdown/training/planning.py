"""From what a person gives as schedule to something that steps, with the run's real numbers in it."""

from __future__ import annotations

__all__ = ["facts_of", "plan_of", "run_of", "scheduler_for"]

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.field import unwrapped
from warmdown.errors import TrainingError
from warmdown.placeholders import resolve
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.schedules import Scale, Schedule, Set
from warmdown.training.progress import TrainerRunConfig

Facts = Mapping[str, float | None]


def plan_of(given: Any, facts: Facts) -> Plan | None:
    """Return the plan in ``given``: a plan, a schedule for ``lr``, its data or the path of its file; else ``None``."""
    if isinstance(given, Plan):
        return given
    if isinstance(given, Schedule | Scale | Set):
        return Plan.of(lr=given)
    if isinstance(given, str | PathLike | Mapping):
        return _read(given, facts)
    return None


def run_of(config: TrainerRunConfig, given: Run) -> Run:
    """Return the real numbers of the run; what only the plan can know is kept."""
    total, per_epoch = config.total_updates, config.num_update_steps_per_epoch
    return replace(
        given,
        total_steps=total,
        epochs=config.num_epochs if per_epoch and total == per_epoch * config.num_epochs else None,
        steps_per_epoch=per_epoch,
        samples_per_step=config.train_total_batch_size or given.samples_per_step,
    )


def facts_of(config: TrainerRunConfig) -> dict[str, float | None]:
    """Return the numbers behind the placeholders."""
    return {
        "NUM_EPOCHS": config.num_epochs,
        "NUM_UPDATE_STEPS_PER_EPOCH": config.num_update_steps_per_epoch,
        "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH": config.num_update_steps_per_epoch,
        "TRAIN_DATALOADER_LEN": config.train_batches_per_epoch,
        "EVAL_DATALOADER_LEN": config.eval_batches,
    }


def scheduler_for(given: Any, optimizer: Any, config: TrainerRunConfig) -> Any:
    """Return what steps once an update: a Scheduler of a plan, or what a factory makes of the optimizer.

    Raises:
        TrainingError: ``given`` is neither.
    """
    facts = facts_of(config)
    if (plan := plan_of(given, facts)) is not None:
        return Scheduler(optimizer, plan=plan, run=run_of(config, plan.run))
    factory: Callable[[Any], Any] = resolve(given, facts)
    if not callable(factory):
        raise TrainingError(
            f"train(create_scheduler_fn={given!r:.60}): a plan, a schedule, the path of a plan, or a function that "
            "takes the optimizer is needed."
        )
    return factory(unwrapped(optimizer))


def _read(given: Any, facts: Facts) -> Plan:
    from warmdown import spec

    return spec.load(given)
