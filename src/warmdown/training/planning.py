"""From what a person gives as schedule to something that steps, with the run's real numbers in it."""

from __future__ import annotations

__all__ = ["LatePlan"]

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from warmdown.binding import Field, Scheduler
from warmdown.binding.field import unwrap
from warmdown.errors import BindingError, RunError, SpecError, TrainingError, nearest
from warmdown.expressions import Facts, resolve
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.schedules import Scale, Schedule, Set
from warmdown.training.progress import TrainerRunConfig


@dataclass(frozen=True)
class LatePlan:
    """A plan that is read when the run's real numbers are known, because placeholders stand for them.

    Args:
        read: Takes the run and what is known of the data by placeholder, returns the plan.
        run: Facts about the run that it brings along.
    """

    read: Callable[[Run, Facts], Plan]
    run: Run = field(default_factory=Run)


class Bases:
    """What an optimizer held before a run scheduled it, so that the next run starts from the same base values."""

    _SCALED = ("lr", "weight_decay")

    def __init__(self) -> None:
        self._before: dict[str, list[float]] = {}
        self._after: dict[str, list[float]] = {}

    def begin(self, optimizer: Any) -> None:
        """Undo what the last run left, except where a hand has written since; note what there is."""
        held = self._held(optimizer)
        for name, row in self._before.items():
            if held.get(name) == self._after.get(name):
                Field(optimizer, name).write(row)
        self._before = self._held(optimizer)

    def end(self, optimizer: Any) -> None:
        """Note what a run leaves."""
        self._after = self._held(optimizer)

    def _held(self, optimizer: Any) -> dict[str, list[float]]:
        held = {}
        for name in self._SCALED:
            with suppress(BindingError):  # not every optimizer has it
                held[name] = Field(optimizer, name).read()
        return held


def plan_of(given: Any, run: Run, facts: Facts) -> Plan | None:
    """Return the plan in ``given``: a plan, a schedule for ``lr``, its data or the path of its file; else ``None``.

    Args:
        given: What a person gave.
        run: What placeholders in a file stand for.
        facts: The same for those that only a trainer knows.
    """
    if isinstance(given, Plan):
        return given
    if isinstance(given, LatePlan):
        return given.read(run, facts)
    if isinstance(given, Schedule | Scale | Set):
        return Plan.of(lr=given)
    if isinstance(given, str | PathLike):
        from warmdown.planfile.plans import load

        return load(Path(given), run=run, loaders=facts)
    if isinstance(given, Mapping):
        from warmdown.planfile.plans import plan_from_dict

        return plan_from_dict(given, run=run, loaders=facts)
    return None


def run_in(given: Any) -> Run:
    """Return the facts about the run that a plan brings along; a file need not be whole for that."""
    if isinstance(given, Plan | LatePlan):
        return given.run
    data = _data(given)
    told = data.get("run") if isinstance(data, Mapping) else None
    if not isinstance(told, Mapping):
        return Run()
    known = {fact.name for fact in fields(Run)}
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
    if (plan := plan_of(given, run_of(config, run_in(given)), facts_of(config))) is not None:
        return Scheduler(optimizer, plan=plan, run=run_of(config, plan.run))
    factory: Callable[[Any], Any] = resolve(given, facts_of(config))
    if not callable(factory):
        raise TrainingError(
            f"train(create_scheduler_fn={given!r:.60}): a plan, a schedule, the path of a plan, or "
            f"a function that "
            "takes the optimizer is needed."
        )
    return factory(unwrap(optimizer))


def tell_metrics(scheduler: Any, measured: Mapping[str, float]) -> None:
    """Tell a scheduler that answers to a metric what was measured, by the names of the history or without ``_epoch``.

    ``val_loss`` is the loss of the evaluation, or of the training where there is no evaluation.

    Raises:
        TrainingError: It waits for a metric that nobody measures.
    """
    known = {**{name.removesuffix("_epoch"): value for name, value in measured.items()}, **measured}
    loss = known.get("eval_loss", known.get("train_loss"))
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(loss)  # type: ignore[arg-type]
        return
    wanted = _metrics_of(scheduler.plan) if isinstance(scheduler, Scheduler) else set()
    if loss is not None:
        known.setdefault("val_loss", loss)
    if missing := sorted(wanted - known.keys()):
        raise TrainingError(
            f"plan(metric={missing[0]!r}): the schedule answers to it, and nobody measures it "
            f"here. "
            f"{nearest(missing[0], known)}"
        )
    if wanted:
        scheduler.observe(**{name: known[name] for name in wanted})


def _metrics_of(plan: Plan) -> set[str]:
    """Return the metrics that the schedules of a plan answer to."""

    def inside(schedule: Schedule) -> set[str]:
        metric = getattr(schedule, "metric", None)
        own: set[str] = {metric} if isinstance(metric, str) else set()
        return own.union(*map(inside, schedule.parts()))

    return set().union(
        *(inside(schedule) for target in plan.targets for schedule in target.rule.schedules())
    )


def _data(given: Any) -> Any:
    if not isinstance(given, str | PathLike):
        return given
    from warmdown.planfile.text import parse, read_text

    try:
        return parse(given, read_text(Path(given))).data
    except SpecError:
        return None


def _number(fact: Any) -> Any:
    from warmdown.expressions import parse_number

    return parse_number(fact) if isinstance(fact, str) and parse_number(fact) is not None else fact
