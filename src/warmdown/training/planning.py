"""From what a person gives as schedule to something that steps, with the run's real numbers in it."""

from __future__ import annotations

__all__ = ["facts_of", "plan_of", "run_in", "run_of", "scheduler_for"]

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.field import unwrapped
from warmdown.errors import RunError, SpecError, TrainingError
from warmdown.placeholders import resolve
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.schedules import Scale, Schedule, Set
from warmdown.training.progress import TrainerRunConfig


def plan_of(given: Any, run: Run) -> Plan | None:
    """Return the plan in ``given``: a plan, a schedule for ``lr``, its data or the path of its file; else ``None``.

    Args:
        given: What a person gave.
        run: What placeholders in a file stand for.
    """
    if isinstance(given, Plan):
        return given
    if isinstance(given, Schedule | Scale | Set):
        return Plan.of(lr=given)
    if isinstance(given, str | PathLike):
        from warmdown.spec.plans import load

        return load(Path(given), run=run)
    if isinstance(given, Mapping):
        from warmdown.spec.plans import plan_from_dict

        return plan_from_dict(given, run=run)
    return None


def run_in(given: Any) -> Run:
    """Return the facts about the run that a plan brings along; a file need not be whole for that."""
    if isinstance(given, Plan):
        return given.run
    data = _data(given)
    told = data.get("run") if isinstance(data, Mapping) else None
    if not isinstance(told, Mapping):
        return Run()
    known = {field.name for field in fields(Run)}
    try:
        return Run(**{name: _number(fact) for name, fact in told.items() if name in known})
    except (RunError, TypeError):  # told in full when the plan itself is read
        return Run()


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
    if (plan := plan_of(given, run_of(config, run_in(given)))) is not None:
        return Scheduler(optimizer, plan=plan, run=run_of(config, plan.run))
    factory: Callable[[Any], Any] = resolve(given, facts_of(config))
    if not callable(factory):
        raise TrainingError(
            f"train(create_scheduler_fn={given!r:.60}): a plan, a schedule, the path of a plan, or a function that "
            "takes the optimizer is needed."
        )
    return factory(unwrapped(optimizer))


def _data(given: Any) -> Any:
    if not isinstance(given, str | PathLike):
        return given
    from warmdown.spec.reading import from_json, from_yaml, read_text

    try:
        text = read_text(Path(given))
        return (from_json(text) if Path(given).suffix.lower() == ".json" else from_yaml(text)).data
    except SpecError:
        return None


def _number(fact: Any) -> Any:
    from warmdown.spec.arithmetic import number_in

    return number_in(fact) if isinstance(fact, str) and number_in(fact) is not None else fact
