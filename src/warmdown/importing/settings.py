"""The settings of other trainers: which schedule they would make of them."""

from __future__ import annotations

__all__ = ["from_settings", "import_config"]

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim.lr_scheduler import LambdaLR, SequentialLR

from warmdown.binding import Field
from warmdown.compat.names import onetrainer_schedule
from warmdown.compat.names.onetrainer import name_of, warmup_of
from warmdown.errors import RunError, ScheduleError
from warmdown.expressions import Facts, evaluate, has_placeholder
from warmdown.importing.configs import FORMATS, read_config, read_config_file
from warmdown.importing.entry import Mode, Report, from_torch
from warmdown.importing.formats.section import KnownRun, Section, value_table
from warmdown.importing.numbers import count_of_setting, number_of_setting, whole
from warmdown.importing.simulation import build_scheduler
from warmdown.plan import Plan
from warmdown.planfile.text import describe, from_yaml
from warmdown.run import Run
from warmdown.schedules import Linear

Settings = Mapping[str, Any]

_TRANSFORMERS_RATE = 5e-5
"""The learning rate of transformers' arguments that have none."""
_ONETRAINER: Settings = {"learning_rate_scheduler": "CONSTANT", "learning_rate_warmup_steps": 200}
"""What OneTrainer takes where a preset does not have it."""
_ONETRAINER_EPOCHS = 100
_LONGEST_LITERAL = 4_000
"""Characters of a parameter, such as milestones; Python's parser needs memory for what is deep."""


def from_settings(
    settings: Settings,
    *,
    mode: Mode = "faithful",
    total_steps: int | None = None,
    lr: float | None = None,
    report: Report = print,
    allow: Sequence[str] = (),
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
) -> Plan:
    """Return the plan of a class path, or of another trainer's configuration.

    Args:
        settings: ``class_path`` and ``init_args``; or ``lr_scheduler_type`` and what stands beside
            it; or ``learning_rate_scheduler`` and what stands beside it, a ``CUSTOM`` class and its
            ``scheduler_params`` too; or a file of one of the formats in :mod:`.configs`.
        mode: As in :func:`from_torch`.
        total_steps: Updates in the run, where the settings do not have them.
        lr: Base rate, where the settings do not have it.
        report: Takes each line of the report.
        allow: Modules that a class path may name besides the known ones.
        steps_per_epoch: Updates in an epoch, where the settings count in epochs.
        epochs: Epochs in the run, where the settings do not have them.

    Raises:
        ScheduleError: The settings are none of these, or lack the length of the run.

    Example:
        >>> from warmdown.importing import from_settings
        >>> settings = {"learning_rate_scheduler": "COSINE", "learning_rate_warmup_steps": 0.1}
        >>> plan = from_settings(settings, total_steps=100, report=None)
        >>> [round(plan.targets[0].rule.of(step), 6) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    total_steps = count_of_setting({"total_steps": total_steps}, "total_steps")
    lr = number_of_setting({"lr": lr}, "lr")
    known = KnownRun(total_steps=total_steps, steps_per_epoch=steps_per_epoch, epochs=epochs, lr=lr)
    if (plan := read_config(settings, known)) is not None:
        return plan
    options: dict[str, Any] = {"mode": mode, "report": report, "allow": allow}
    if isinstance(nested := settings.get("lr_scheduler"), Mapping) and "class_path" in nested:
        return _of_lightning(settings, known, **options)
    if "_target_" in settings:  # of Hydra
        arguments = {name: value for name, value in settings.items() if name[:1] != "_"}
        settings = {"class_path": settings["_target_"], "init_args": arguments}
    if "class_path" in settings:
        return from_torch(settings, total_steps=total_steps, lr=lr, **options)
    if "lr_scheduler_type" in settings:
        total = _known(count_of_setting(settings, "max_steps") or total_steps)
        config = _transformers_config(settings, total)
        rate = _rate_of(settings, lr) or _TRANSFORMERS_RATE
        return from_torch(config, total_steps=total, lr=rate, **options)
    is_preset = {"training_method", "model_type"} <= {*settings}
    if "learning_rate_scheduler" in settings or is_preset:
        settings = {**_ONETRAINER, **settings} if is_preset else settings
        epochs_there = number_of_setting(settings, "epochs", _ONETRAINER_EPOCHS)
        per_epoch = steps_per_epoch is not None and total_steps is None
        total = known.updates(epochs or epochs_there) if per_epoch else _known(total_steps)
        return _of_onetrainer(settings, total_steps=total, lr=lr, **options)
    raise ScheduleError(
        f"warmdown import: {sorted(map(str, settings))[:5]} is no scheduler. A class_path, "
        "lr_scheduler_type (transformers), learning_rate_scheduler (OneTrainer) or the file of "
        f"one of {', '.join(one.name for one in FORMATS)} is needed."
    )


def import_config(source: str | Path | Settings, **how: Any) -> Plan:
    """Return the plan of another trainer's configuration file, or of its settings.

    Args:
        source: A YAML, JSON or TOML file, or its data.
        how: ``total_steps``, ``steps_per_epoch``, ``epochs``, ``lr``, ``mode`` and the rest that
            :func:`from_settings` takes.

    Raises:
        ScheduleError: The settings are of no known format, or one of them cannot be said.
        SpecError: The file cannot be read.

    Example:
        >>> settings = {"scheduler": {"name": "cosine_with_warmup", "t_warmup": "10ba"},
        ...             "max_duration": "100ba", "optimizer": {"lr": 6e-4}}
        >>> print(import_config(settings).targets[0].rule)
        Linear(0 -> 1, 10) >> Cosine(1 -> 0, 90)
    """
    settings = source if isinstance(source, Mapping) else read_config_file(source)
    return from_settings(settings, **how)


def _of_lightning(settings: Settings, known: KnownRun, **how: Any) -> Plan:
    """Read a whole file of Lightning's command line, which steps a class once an epoch."""
    given = settings["lr_scheduler"]
    trainer = Section("trainer", settings.get("trainer") or {})
    optimizer = settings.get("optimizer") or {}
    lr = known.lr or whole((optimizer.get("init_args") or {}).get("lr"))
    epochs = known.epochs or trainer.count("max_epochs", 0) or None
    if epochs is None:
        raise ScheduleError("trainer.max_epochs: it is missing. Give --epochs.")
    by_epoch = from_torch(given, total_steps=epochs, lr=lr, **how)
    each = known.updates(1)
    rules = {target.name: target.rule for target in by_epoch.over().targets}
    at = np.arange(float(epochs))
    staircases: dict[str, Any] = {}
    for name, rule in rules.items():
        staircases[name] = type(rule)(value_table(np.asarray(rule.of(at)).tolist(), every=each))
    return Plan.of(run=Run(total_steps=epochs * each, lr=lr), **staircases)


def _known(total_steps: int | None) -> int:
    if total_steps is None:
        raise ScheduleError(
            "warmdown import: these settings do not tell how many updates there are. Give "
            "--total-steps."
        )
    return total_steps


def _rate_of(settings: Settings, lr: float | None) -> float | None:
    """Return the base rate that was given, or the settings' own."""
    return lr if lr is not None else number_of_setting(settings, "learning_rate", 0) or None


def _mapping_setting(settings: Settings, name: str) -> Any:
    """Return a setting that is a mapping; a text is taken as JSON, as transformers does."""
    given = settings.get(name)
    if isinstance(given, str):
        given = from_yaml(given).data
    if given is not None and not isinstance(given, Mapping):
        raise ScheduleError(
            f"{name}={describe(settings[name])}: a mapping is needed. Correct the settings."
        )
    return given


def _transformers_config(settings: Settings, total: int) -> dict[str, Any]:
    steps = number_of_setting(settings, "warmup_steps", 0)
    warmup = steps or number_of_setting(settings, "warmup_ratio", 0)
    arguments = {
        "name": settings["lr_scheduler_type"],
        # below 1 it is a share of the run, rounded up
        "num_warmup_steps": -int(-warmup * total // 1) if warmup < 1 else int(warmup),
        "num_training_steps": total,
        "scheduler_specific_kwargs": _mapping_setting(settings, "lr_scheduler_kwargs") or None,
    }
    return {"class_path": "transformers.optimization.get_scheduler", "init_args": arguments}


def _of_onetrainer(
    settings: Settings,
    *,
    mode: Mode,
    total_steps: int,
    lr: float | None,
    report: Report,
    allow: Sequence[str],
) -> Plan:
    """Return the plan of OneTrainer's configuration: one of its names, or a class path."""
    rate = _rate_of(settings, lr)
    accumulated = int(number_of_setting(settings, "gradient_accumulation_steps", 1)) or 1
    given = number_of_setting(settings, "learning_rate_warmup_steps", 0)
    # up to 1 it is a share of the run; above that OneTrainer counts micro-batches
    steps = warmup_of(given if given <= 1 else int(given / accumulated), total_steps)
    if name_of(settings["learning_rate_scheduler"]) != "CUSTOM":
        schedule = onetrainer_schedule(
            settings["learning_rate_scheduler"],
            total_steps=total_steps,
            warmup=steps / total_steps if steps == 1 else steps,  # there 1 is the whole run
            cycles=number_of_setting(settings, "learning_rate_cycles", 1.0),
            min_factor=number_of_setting(settings, "learning_rate_min_factor", 0.0),
        )
        return Plan.of(lr=schedule, run=Run(total_steps=total_steps, lr=rate))

    epochs = number_of_setting(settings, "epochs", 0) or None
    per_epoch = total_steps / epochs if epochs else None
    if per_epoch and mode == "faithful":
        per_epoch *= accumulated
    facts = {
        "LR": rate,
        "EPOCHS": epochs,
        "STEPS_PER_EPOCH": int(per_epoch) if per_epoch and per_epoch % 1 == 0 else per_epoch,
        "TOTAL_STEPS": total_steps,
        "SCHEDULER_STEPS": total_steps - steps,
    }
    path, parameters = settings.get("custom_learning_rate_scheduler"), _parameters(settings)
    if not isinstance(path, str) or "." not in path:
        raise ScheduleError(
            f"custom_learning_rate_scheduler={describe(path)}: the class of a CUSTOM scheduler is "
            "needed, as <module>.<class>."
        )
    init_args = {name: _parameter_value(name, value, facts) for name, value in parameters.items()}
    config = {"class_path": path, "init_args": init_args}
    counts = any("%STEPS_PER_EPOCH%" in str(value).upper() for value in parameters.values())
    if report and accumulated > 1 and counts:
        report(
            "lr: OneTrainer's %STEPS_PER_EPOCH% counts micro-batches, its other lengths updates; "
            "corrected, it counts updates too."
        )

    def make(optimizer: Any) -> Any:
        Field(optimizer, "lr").store_initial()  # there it is the rate of the settings
        scheduler = build_scheduler(config, optimizer, allow)
        if not steps:
            return scheduler
        rise = LambdaLR(optimizer, Linear(start=0.0, end=1.0, steps=steps))
        return SequentialLR(optimizer, [rise, scheduler], [steps])

    return from_torch(make, mode=mode, total_steps=total_steps, lr=rate, report=report)


def _parameters(settings: Settings) -> dict[str, Any]:
    given = settings.get("scheduler_params") or []
    if not isinstance(given, list) or not all(
        isinstance(entry, Mapping) and {"key", "value"} <= {*entry} for entry in given
    ):
        raise ScheduleError(
            f"scheduler_params={given!r:.60}: a list of {{key: …, value: …}} is needed."
        )
    named = {str(entry["key"]).strip(): entry["value"] for entry in given}
    named.pop("", None)  # an empty line of OneTrainer's window
    return named


def _parameter_value(name: str, given: Any, facts: Facts) -> Any:
    if not isinstance(given, str):
        return given
    try:
        if has_placeholder(given):
            return evaluate(given, facts)
        if len(given.strip()) > _LONGEST_LITERAL:
            raise ValueError
        return ast.literal_eval(given.strip())
    except RunError as error:
        raise ScheduleError(f"scheduler_params({name}): {error}") from None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ScheduleError(
            f"scheduler_params({name[:60]}={describe(given)}): a number, a list, a placeholder "
            "such as %TOTAL_STEPS%, or a text in quotes is needed."
        ) from None
