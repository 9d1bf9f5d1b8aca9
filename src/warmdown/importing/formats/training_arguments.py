"""transformers' ``TrainingArguments``, and what goes by its names: TRL, LLaMA-Factory, unsloth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from warmdown.compat.names import transformers_schedule
from warmdown.compat.names.transformers import TRANSFORMERS_NAMES
from warmdown.errors import ScheduleError, nearest
from warmdown.importing.formats.command_line import refuse_file_beside
from warmdown.importing.formats.section import KnownRun, Settings, rate_plan, refuse_rates
from warmdown.importing.numbers import count_of_setting, number_of_setting, whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe, from_yaml

_RATE = 5e-5
"""What transformers takes where there is no ``learning_rate``; TRL's configurations have others."""
_EPOCHS = 3
_METRIC_NAMES = ("reduce_lr_on_plateau", "greedy")
_TOTALS = ("max_steps", "max_train_steps", "training_steps")
_EPOCH_NAMES = ("num_train_epochs", "num_epochs")
WARMUP_NAMES = ("warmup_steps", "num_warmup_steps", "lr_scheduler_warmup_steps")
RATIO_NAMES = ("warmup_ratio", "lr_scheduler_warmup_ratio")
"""As arguments, in scripts without a ``Trainer``, and in the list of a model's card."""
TRAINER_KEYS = ("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", *_TOTALS,
                *_EPOCH_NAMES, *WARMUP_NAMES, *RATIO_NAMES, "profiler_warmup_steps")  # fmt: skip


def read_training_arguments(settings: Settings, known: KnownRun) -> Plan:
    """Read ``lr_scheduler_type`` and what stands beside it.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or the run's length is not known.
    """
    refuse_file_beside(settings)
    total, lr = updates_of_run(settings, known), rate_of(settings, known)
    name = str(settings.get("lr_scheduler_type") or "linear").rpartition(".")[2].lower()
    warmup = updates_of_warmup(settings, total)
    kwargs = kwargs_of(settings)
    if name == "warmup_stable_decay" and {"stage", "finetuning_type"} & {*settings}:
        # LLaMA-Factory's own: a third of what the warmup leaves is stable
        stable = (total - warmup) // 3
        kwargs = {
            "num_stable_steps": stable,
            "num_decay_steps": total - warmup - stable,
            **kwargs,
        }
    for remark in _remarks(settings, name):
        known.tell(remark)
    refuse_rates("transformers", settings, TRAINER_KEYS, known)
    return named_plan(name, warmup=warmup, total=total, lr=lr, kwargs=kwargs, known=known)


def named_plan(
    name: str, *, warmup: int, total: int, lr: float, kwargs: Mapping[str, Any], known: KnownRun
) -> Plan:
    """Return the plan of a schedule that transformers has a name for.

    Args:
        name: The name.
        warmup: Updates of the warmup.
        total: Updates in the run.
        lr: Base rate.
        kwargs: What the schedule takes besides.
        known: How it is read, and who takes the report.

    Raises:
        ScheduleError: There is no such name, or an argument is wrong.
    """
    if name not in (names := (*TRANSFORMERS_NAMES, *_METRIC_NAMES)):
        raise ScheduleError(f"lr_scheduler_type={name[:60]!r}: {nearest(name[:60], names)}")
    if warmup >= total and name not in ("constant", *_METRIC_NAMES):
        known.tell(f"the warmup of {warmup} updates takes the whole run of {total}.")
        numbers = {key: whole(value) for key, value in kwargs.items()}
        if name == "warmup_stable_decay":
            numbers |= {"num_stable_steps": 0, "num_decay_steps": 0}
        return rate_plan(
            transformers_schedule(
                name, num_warmup_steps=warmup, num_training_steps=warmup, **numbers
            ),
            total,
            lr,
        )
    arguments = {
        "name": name,
        "num_warmup_steps": warmup,
        # transformers warns where a warmup_stable_decay has both lengths, and takes this one
        "num_training_steps": None if kwargs.get("num_stable_steps") is not None else total,
        "scheduler_specific_kwargs": kwargs or None,
    }
    config = {"class_path": "transformers.optimization.get_scheduler", "init_args": arguments}
    return known.read_class(config, total_steps=total, lr=lr)


def updates_of_run(settings: Settings, known: KnownRun) -> int:
    """Return the updates in the run: the file's, those that are given, or epochs of known length.

    Raises:
        ScheduleError: They are not known.
    """
    stated = _first(count_of_setting(settings, name) for name in _TOTALS)
    if stated or known.total_steps:
        return int(stated or known.total_steps or 0)
    there = _first(number_of_setting(settings, name) for name in _EPOCH_NAMES)
    epochs = known.epochs or there or _EPOCHS
    if known.steps_per_epoch is None:
        raise ScheduleError(
            f"warmdown import: there is no max_steps, and {epochs:g} epochs of unknown length "
            "are to be trained. Give --total-steps or --steps-per-epoch."
        )
    return max(math.ceil(epochs * known.steps_per_epoch), 1)


def rate_of(settings: Settings, known: KnownRun) -> float:
    """Return the base rate: the one that is given, the file's, or transformers' own."""
    there = number_of_setting(settings, "learning_rate")
    if known.lr is None and not there:
        known.tell(
            f"learning_rate is missing: transformers' {_RATE:g} is taken; TRL's configurations "
            "have others. Give --lr."
        )
    return known.lr if known.lr is not None else there or _RATE


def updates_of_warmup(settings: Settings, total: int) -> int:
    """Return the updates of the warmup: steps before a ratio, a share of the run rounded up.

    Raises:
        ScheduleError: The ratio is above 1.
    """
    steps = _first(number_of_setting(settings, name) for name in WARMUP_NAMES)
    if steps:
        return int(steps) if steps >= 1 else math.ceil(total * steps)
    for name in RATIO_NAMES:
        if ratio := number_of_setting(settings, name):
            if ratio > 1:
                raise ScheduleError(
                    f"{name}={ratio!r}: a share of the run from 0 to 1 is needed. Updates are "
                    "warmup_steps."
                )
            return math.ceil(total * ratio)
    return 0


def kwargs_of(settings: Settings, name: str = "lr_scheduler_kwargs") -> dict[str, Any]:
    """Return the further arguments of a schedule; a text is taken as JSON, as transformers does.

    Raises:
        ScheduleError: They are no mapping.
    """
    given = settings.get(name)
    if isinstance(given, str):
        given = from_yaml(given).data
    if given is not None and not isinstance(given, Mapping):
        raise ScheduleError(
            f"{name}={describe(settings[name])}: a mapping is needed. Correct the settings."
        )
    return dict(given or {})


def _remarks(settings: Settings, name: str) -> Iterator[str]:
    """Yield what a person should know of settings that do not do what they seem to.

    Raises:
        ScheduleError: Another scheduler takes this one's place.
    """
    warmup = [key for key in (*WARMUP_NAMES, *RATIO_NAMES) if number_of_setting(settings, key)]
    if name in ("constant", *_METRIC_NAMES) and warmup:
        yield f"{warmup[0]}: transformers' {name} has no warmup."
    deepspeed = settings.get("deepspeed")
    if isinstance(deepspeed, Mapping) and deepspeed.get("scheduler"):
        raise ScheduleError(
            "deepspeed.scheduler: it takes the place of lr_scheduler_type. Import it alone."
        )
    if isinstance(deepspeed, str):
        yield (
            f"deepspeed={describe(deepspeed)}: where that file has a scheduler, it takes the "
            "place of this one."
        )


def _first(values: Iterator[Any] | Sequence[Any]) -> Any:
    return next(filter(None, values), None)
