"""From what a person gives as schedule to what steps, with the run's real numbers in it."""

from __future__ import annotations

__all__ = ["DeferredPlan"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from warmdown.binding import Scheduler
from warmdown.binding.field import unwrap
from warmdown.errors import SpecError, TrainingError, nearest
from warmdown.expressions import Facts, resolve
from warmdown.plan import Plan, instead_of
from warmdown.planfile.plans import plan_of, run_from_dict
from warmdown.planfile.text import parse, read_text
from warmdown.run import Run
from warmdown.schedules import Scale, Schedule, Set
from warmdown.training.progress import TrainerRunConfig


@dataclass(frozen=True)
class DeferredPlan:
    """A plan with placeholders, read when the run's real numbers are known.

    Args:
        read: Takes the run and what is known of the data by placeholder, returns the plan.
        run: Facts about the run that it brings along.
    """

    read: Callable[[Run, Facts], Plan]
    run: Run = field(default_factory=Run)


def scheduler_for(
    given: Any,
    optimizer: Any,
    config: TrainerRunConfig,
    *,
    bind: Mapping[str, Any] | None = None,
    offered: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Return what steps once an update: a plan's Scheduler, or what a factory returns.

    Args:
        given: What is scheduled.
        optimizer: The optimizer.
        config: The run's real numbers.
        bind: What the plan drives beside it, by target name.
        offered: What it may drive beside it, by target name.

    Raises:
        TrainingError: ``given`` is neither, or objects are bound without a plan.
    """
    numbers: Facts = {
        "NUM_EPOCHS": config.num_epochs,
        "NUM_UPDATE_STEPS_PER_EPOCH": config.num_update_steps_per_epoch,
        "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH": config.num_update_steps_per_epoch,
        "TRAIN_DATALOADER_LEN": config.train_batches_per_epoch,
        "EVAL_DATALOADER_LEN": config.eval_batches,
    }
    plan = _plan_in(given, _with_real_numbers(run_in(given), config), numbers)
    if plan is not None:
        run = _with_real_numbers(plan.run, config)
        return Scheduler(optimizer, plan=plan, run=run, bind={**offered, **(bind or {})})
    if bind:
        raise TrainingError(
            f"train(bind={{{', '.join(map(repr, bind))}: …}}): there is no plan that drives it. "
            f"Give plan=…; a function that makes a scheduler binds by itself: Scheduler(…, bind=…)."
        )
    factory: Callable[[Any], Any] = resolve(given, numbers)
    if not callable(factory):
        raise TrainingError(
            f"train(create_scheduler_fn={given!r:.60}): a plan, a schedule, the path of a plan, or "
            f"a function that takes the optimizer is needed. {instead_of(given)}"
        )
    return factory(unwrap(optimizer))


def _plan_in(given: Any, run: Run, numbers: Facts) -> Plan | None:
    """Return a plan of a plan, a schedule for ``lr``, data or a path; ``None`` of anything else."""
    if isinstance(given, Plan):
        return given
    if isinstance(given, DeferredPlan):
        return given.read(run, numbers)
    if isinstance(given, Schedule | Scale | Set | str | PathLike | Mapping | list):
        return plan_of(given, who="train", run=run, loaders=numbers)
    return None


def run_in(given: Any) -> Run:
    """Return the facts about the run that a plan brings along; a file may have mistakes."""
    if isinstance(given, Plan | DeferredPlan):
        return given.run
    try:
        if isinstance(given, str | PathLike):
            given = parse(given, read_text(Path(given))).data
        return run_from_dict(given.get("run")) if isinstance(given, Mapping) else Run()
    except SpecError:  # reported when the plan itself is read
        return Run()


def _with_real_numbers(given: Run, config: TrainerRunConfig) -> Run:
    """Return the real numbers of the run; what only the plan can know is kept."""
    total, per_epoch = config.total_updates, config.num_update_steps_per_epoch
    has_whole_epochs = per_epoch and total == per_epoch * config.num_epochs
    return replace(
        given,
        total_steps=total,
        epochs=config.num_epochs if has_whole_epochs else None,
        steps_per_epoch=per_epoch,
        samples_per_step=config.train_total_batch_size or given.samples_per_step,
    )


def observe_metrics(scheduler: Any, measured: Mapping[str, float]) -> None:
    """Pass metrics to a scheduler that answers to them.

    Their names are those of the history, or without ``_epoch``.
    ``val_loss`` is the loss of the evaluation, or of the training where there is no evaluation.

    Raises:
        TrainingError: It waits for a metric that is not measured.
    """
    known = dict(measured)
    for name, value in measured.items():
        known.setdefault(name.removesuffix("_epoch"), value)
    loss = known.get("eval_loss", known.get("train_loss"))
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(loss)  # type: ignore[arg-type]
    if not isinstance(scheduler, Scheduler):
        return
    if loss is not None:
        known.setdefault("val_loss", loss)
    wanted = set(scheduler.metrics)
    if missing := sorted(wanted - known.keys()):
        raise TrainingError(
            f"plan(metric={missing[0]!r}): the schedule answers to it, and it is not measured "
            f"here. {nearest(missing[0], known)}"
        )
    if wanted:
        scheduler.observe(**{name: known[name] for name in wanted})
