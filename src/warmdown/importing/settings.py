"""The settings of other trainers: which schedule they would make of them."""

from __future__ import annotations

__all__ = ["export_config", "from_settings", "import_config"]

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.configs import FORMATS, find_section, read_config, read_source
from warmdown.importing.entry import Mode, Report, from_torch
from warmdown.importing.exporting import write_config
from warmdown.importing.formats.classes import read_classes, refuse_without_class
from warmdown.importing.formats.interpolation import interpolated
from warmdown.importing.formats.section import KnownRun
from warmdown.importing.numbers import count_of_setting, number_of_setting
from warmdown.plan import Plan

Settings = Mapping[str, Any]


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
        settings: ``class_path`` and ``init_args``; or ``learning_rate_scheduler`` and what stands
            beside it, a ``CUSTOM`` class and its ``scheduler_params`` too; or a file of one of the
            formats in :mod:`.configs`, or one that has such a part.
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
    if (part := find_section(settings)) is not None:
        return from_settings(part, total_steps=total_steps, lr=lr, steps_per_epoch=steps_per_epoch,
                             epochs=epochs, **options)  # fmt: skip
    refuse_without_class(settings)
    raise ScheduleError(
        f"warmdown import: {sorted(map(str, settings))[:5]} is no scheduler. A class_path, "
        "_target_ (Hydra), a training script's command line or the file of one of "
        f"{', '.join(one.name for one in FORMATS)} is needed."
    )


def import_config(source: str | Path | Settings, **how: Any) -> Plan:
    """Return the plan of another trainer's configuration file, or of its settings.

    Args:
        source: A YAML, JSON or TOML file, or its data; or a training script's command line, or a
            file with it.
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
    settings = source if isinstance(source, Mapping) else read_source(source)
    return from_settings(settings, **how)


def export_config(plan: Plan, *, to: str) -> str:
    """Return a plan as the text of another trainer's configuration.

    Settings are read back, and every update compared with the plan to 1e-9. ``torch`` is code.

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
