"""The settings of other trainers: which schedule they would make of them."""

from __future__ import annotations

__all__ = ["export_config", "from_settings", "import_config"]

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.configs import FORMATS, read_config, read_config_file
from warmdown.importing.entry import Mode, Report, from_torch
from warmdown.importing.exporting import write_config
from warmdown.importing.formats.classes import read_classes
from warmdown.importing.formats.interpolation import interpolated
from warmdown.importing.formats.section import KnownRun
from warmdown.importing.numbers import count_of_setting, number_of_setting
from warmdown.plan import Plan
from warmdown.planfile.text import describe, from_yaml

Settings = Mapping[str, Any]

_TRANSFORMERS_RATE = 5e-5
"""The learning rate of transformers' arguments that have none."""


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
    options: dict[str, Any] = {"mode": mode, "report": report, "allow": allow}
    known = KnownRun(
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        lr=lr,
        options=options,
        read_class=partial(from_torch, **options),
    )
    settings = interpolated(settings)
    if (plan := read_config(settings, known)) is not None:
        return plan
    if (plan := read_classes(settings, known)) is not None:
        return plan
    if "lr_scheduler_type" in settings:
        total = _known(count_of_setting(settings, "max_steps") or total_steps)
        config = _transformers_config(settings, total)
        rate = _rate_of(settings, lr) or _TRANSFORMERS_RATE
        return from_torch(config, total_steps=total, lr=rate, **options)
    raise ScheduleError(
        f"warmdown import: {sorted(map(str, settings))[:5]} is no scheduler. A class_path, "
        "lr_scheduler_type (transformers), _target_ (Hydra) or the file of one of "
        f"{', '.join(one.name for one in FORMATS)} is needed."
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


def export_config(plan: Plan, *, to: str) -> str:
    """Return a plan as the text of another trainer's configuration.

    Every update of what is written was compared with the plan, to 1e-9, by reading it back.

    Args:
        plan: The plan; its run has the length and, where it scales a rate, the rate.
        to: The trainer: its name, as ``warmdown export --help`` has it.

    Raises:
        ScheduleError: The trainer cannot say it: the phase, and the nearest that it can say.

    Example:
        >>> from warmdown import Plan, Run, warmup_cosine
        >>> plan = Plan.of(lr=warmup_cosine(warmup=10), run=Run(total_steps=100, lr=3e-4))
        >>> print(export_config(plan, to="composer"))
        max_duration: 100ba
        optimizer: {lr: 0.0003}
        scheduler: {name: cosine_with_warmup, t_warmup: 10ba, t_max: 100ba, alpha_f: 0.0}
        <BLANKLINE>
    """
    return write_config(plan, to, from_settings)


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
