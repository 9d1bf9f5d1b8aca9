"""From what a person gives as schedule to what steps, with the run's real numbers in it."""

from __future__ import annotations

__all__ = ["DeferredPlan"]

from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from warmdown.batches import ACCUMULATION, BATCH, Loading, measured
from warmdown.binding import Scheduler
from warmdown.binding.field import Field, unwrap
from warmdown.binding.loading import LoaderNumber, LoaderSetting
from warmdown.binding.misuse import warn_of_batch
from warmdown.errors import BindingError, SpecError, TrainingError, nearest
from warmdown.expressions import Facts, resolve
from warmdown.plan import Plan, instead_of
from warmdown.planfile.plans import plan_of, run_from_dict
from warmdown.planfile.text import parse, read_text
from warmdown.run import Run
from warmdown.schedules import Scale, Schedule, Set
from warmdown.training.data import MapData
from warmdown.training.progress import TrainerRunConfig
from warmdown.training.run_state import RunState

_MOST_READINGS = 10


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
    loader: LoaderNumber | None = None,
) -> Any:
    """Return what steps once an update: a plan's Scheduler, or what a factory returns.

    Args:
        given: What is scheduled.
        optimizer: The optimizer.
        config: The run's real numbers.
        bind: What the plan drives beside it, by target name.
        offered: What it may drive beside it, by target name.
        loader: What decides on the batches by the plan.

    Raises:
        TrainingError: ``given`` is neither, or objects are bound without a plan.
    """
    numbers = _placeholders(config)
    plan = _plan_in(given, _with_real_numbers(run_in(given), config), numbers)
    if plan is not None:
        run = _with_real_numbers(plan.run, config, is_derived=True)
        scheduler = Scheduler(optimizer, plan=plan, run=run, bind={**offered, **(bind or {})})
        if loader is not None:
            loader.attach(scheduler)
        if config.planned_samples is None:
            expected, size = run_in(given).samples_per_step, config.train_total_batch_size
            warn_of_batch(scheduler.monitor.warnings, plan, expected, size)
        return scheduler
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


def planned_batches(
    given: Any, run: RunState, size: int | None, taken: Container[str], optimizer: Any
) -> TrainerRunConfig:
    """Let a plan drive the training data of a run; return its configuration with the updates.

    Args:
        given: What is scheduled.
        run: The run, its data and its configuration without the plan.
        size: Samples in a batch of one process without it.
        taken: Targets that something else is bound to.
        optimizer: Whose fields are no settings of the data.

    Raises:
        TrainingError: The data come in batches of their own.
    """
    source, config = run.train_source, run.config
    plan = _plan_in(given, _with_real_numbers(run_in(given), config), _placeholders(config))
    if plan is None or source is None:
        return config
    wanted = [name for name in plan.patterns if name not in taken]
    driven = [name for name in (BATCH, ACCUMULATION) if name in wanted]
    settings = {
        name: LoaderSetting(owner, name)
        for name in wanted
        if name not in driven
        and not _is_field(optimizer, name)
        and (owner := source.owner_of(name)) is not None
    }
    if not driven and not settings:
        return config
    is_of_samples = isinstance(source, MapData) and not source.has_ready_batches
    if BATCH in driven and not is_of_samples:
        raise TrainingError(
            f"train(plan={{{BATCH!r}: …}}): the training data come in batches of their own, which "
            f"a plan cannot cut otherwise. Give a dataset with items of a number, or schedule "
            f"{ACCUMULATION!r}: how many of these batches make an update."
        )
    times = config.gradient_accumulation_steps
    loading = Loading(
        base=source.cut(times).size,
        world=config.num_processes,
        accumulation=times,
        items=source.items,
        samples=1.0 if is_of_samples else size or 1.0,
        drop_last=source.drop_last,
        limit=run.train_limit,
    )
    multiple = config.num_processes * (1 if ACCUMULATION in driven else times)
    numbers = {name: LoaderNumber(name, loading, multiple) for name in driven}
    run.loader_number = next(iter(numbers.values()), LoaderNumber(BATCH, loading, multiple))
    run.loader_numbers = {**numbers, **settings}
    if source.items is None or not driven:
        return config
    config = replace(config, planned_samples=round(source.items * loading.samples))
    if config.max_num_train_steps is not None:
        return config
    for _ in range(_MOST_READINGS):  # what stands in a file may depend on the run's length
        facts = _with_real_numbers(run_in(given), config)
        plan = _plan_in(given, facts, _placeholders(config)) or plan
        rules = {name: plan.loader_rules[name] for name in driven}
        whole = replace(
            facts, total_steps=None, steps_per_epoch=None, epochs=config.num_epochs,
            samples_per_epoch=config.planned_samples, budget=None,
        )  # fmt: skip
        total = measured(rules, whole, loading).total_steps
        if total == config.planned_updates:
            break
        config = replace(config, planned_updates=total)
    return config


def _is_field(optimizer: Any, name: str) -> bool:
    """Whether an optimizer has a field of this name."""
    with suppress(BindingError):
        Field(optimizer, name)
        return True
    return False


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


def _with_real_numbers(given: Run, config: TrainerRunConfig, *, is_derived: bool = False) -> Run:
    """Return the real numbers of the run; what only the plan can know is kept.

    Args:
        given: The run as the plan has it.
        config: The real numbers.
        is_derived: Whether the length is left to the batches that the plan has for the epochs.
    """
    total, per_epoch = config.total_updates, config.num_update_steps_per_epoch
    size = config.train_total_batch_size or given.samples_per_step
    if config.planned_samples is not None:
        per_epoch, size = None, given.samples_per_step
    has_whole_epochs = per_epoch and total == per_epoch * config.num_epochs
    if is_derived and config.planned_updates is not None and not config.more_updates:
        total = None
    return replace(
        given,
        total_steps=total,
        epochs=config.num_epochs if has_whole_epochs or config.planned_updates else None,
        steps_per_epoch=per_epoch,
        samples_per_epoch=config.planned_samples or given.samples_per_epoch,
        samples_per_step=size,
    )


def _placeholders(config: TrainerRunConfig) -> Facts:
    """Return what placeholders in a plan's file stand for."""
    return {
        "NUM_EPOCHS": config.num_epochs,
        "NUM_UPDATE_STEPS_PER_EPOCH": config.num_update_steps_per_epoch,
        "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH": config.num_update_steps_per_epoch,
        "TRAIN_DATALOADER_LEN": config.train_batches_per_epoch,
        "EVAL_DATALOADER_LEN": config.eval_batches,
    }


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
