"""The arguments of diffusers' training scripts: ``lr_scheduler``, ``lr_warmup_steps`` …."""

from __future__ import annotations

import math
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.command_line import processes_of, refuse_file_beside
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan, refuse_rates
from warmdown.importing.formats.training_arguments import named_plan
from warmdown.importing.numbers import count_of_setting, whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import PiecewiseConstant, Schedule

_NAMES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant",
          "constant_with_warmup", "piecewise_constant")  # fmt: skip
_ASKED = ("learning_rate", "scale_lr", "lr_scheduler", "lr_warmup_steps", "lr_num_cycles",
          "lr_power")  # fmt: skip


def read_diffusers(settings: Settings, known: KnownRun) -> Plan:
    """Read the arguments of a training script.

    The scripts multiply the warmup and the run by the number of processes, and accelerate makes
    that many steps an update: updates stay what they are, but for ``step_rules``.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or the run's length is not known.
    """
    refuse_file_beside(settings)
    given = Section("diffusers", settings)
    processes = whole(processes_of(settings)) or 1
    name = given.name("lr_scheduler", _NAMES, "constant")
    total = _updates_of_script(given, known)
    lr = known.lr or given.number("learning_rate")
    if given.raw("scale_lr") in (True, "true", "True"):
        if processes_of(settings) is None:
            known.tell("scale_lr: one process is taken, as no launcher's option gives another.")
        lr *= processes * given.count("gradient_accumulation_steps", 1)
        lr *= given.count("train_batch_size")
    refuse_rates("diffusers", settings, _ASKED, known)
    if name == "piecewise_constant":
        return rate_plan(_stairs_of_rules(given.raw("step_rules"), processes), total, lr)
    kwargs: dict[str, Any] = {}
    if name == "cosine_with_restarts":
        kwargs["num_cycles"] = given.number("lr_num_cycles", 1)
    if name == "polynomial":
        kwargs["power"] = given.number("lr_power", 1.0)
    warmup = given.count("lr_warmup_steps", 500)
    return named_plan(name, warmup=warmup, total=total, lr=lr, kwargs=kwargs, known=known)


def _updates_of_script(given: Section, known: KnownRun) -> int:
    if total := count_of_setting(given.entries, "max_train_steps") or known.total_steps:
        return total
    epochs = given.number("num_train_epochs", known.epochs)
    return math.ceil(epochs * known.updates(1))


def _stairs_of_rules(rules: Any, processes: int) -> Schedule:
    """Return the factors of ``1:10,0.1:20,0.01``: each up to a step, the last for the rest."""
    try:
        *pairs, last = str(rules).split(",")
        parted = [pair.split(":") for pair in pairs]
        by_end = {int(end): float(factor) for factor, end in parted}
        values = (*(by_end[end] for end in sorted(by_end)), float(last))
    except ValueError:
        raise ScheduleError(
            f"diffusers.step_rules={describe(rules)}: factors and the steps where they end are "
            "needed, such as 1:10,0.1:20,0.01."
        ) from None
    ends = tuple(-(-end // processes) for end in sorted(by_end))
    return PiecewiseConstant(values=values, at=ends)
