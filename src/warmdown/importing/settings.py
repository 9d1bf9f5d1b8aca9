"""The settings of other trainers: which schedule they would make of them."""

from __future__ import annotations

__all__ = ["from_settings"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.entry import Mode, from_torch
from warmdown.importing.imported import number_of_setting
from warmdown.importing.onetrainer import of_onetrainer
from warmdown.plan import Plan


def from_settings(
    settings: Mapping[str, Any],
    *,
    mode: Mode = "faithful",
    total_steps: int | None = None,
    lr: float | None = None,
    report: Callable[[str], object] | None = print,
    allow: Sequence[str] = (),
) -> Plan:
    """Return the plan of a class path, of transformers' arguments, or of OneTrainer's settings.

    Args:
        settings: ``class_path`` and ``init_args``; or ``lr_scheduler_type`` and what stands beside
            it; or ``learning_rate_scheduler`` and what stands beside it, a ``CUSTOM`` class and its
            ``scheduler_params`` too.
        mode: As in :func:`from_torch`.
        total_steps: Updates in the run, where the settings do not have them.
        lr: Base rate, where the settings do not have it.
        report: Takes each line of the report.
        allow: Modules that a class path may name besides the known ones.

    Raises:
        ScheduleError: The settings are none of these, or lack the length of the run.

    Example:
        >>> from warmdown.importing import from_settings
        >>> settings = {"learning_rate_scheduler": "COSINE", "learning_rate_warmup_steps": 0.1}
        >>> plan = from_settings(settings, total_steps=100, report=None)
        >>> [round(plan.targets[0].rule.of(step), 6) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    options: dict[str, Any] = {"mode": mode, "report": report, "allow": allow}
    if "class_path" in settings:
        return from_torch(settings, total_steps=total_steps, lr=lr, **options)
    if "lr_scheduler_type" in settings:
        steps = settings.get("max_steps", -1)
        total = _known(steps if isinstance(steps, int) and steps > 0 else total_steps)
        rate = lr or number_of_setting(settings, "learning_rate", 0) or None
        config = _transformers_config(settings, total)
        return from_torch(config, total_steps=total_steps, lr=rate, **options)
    if "learning_rate_scheduler" in settings:
        return of_onetrainer(settings, total_steps=_known(total_steps), lr=lr, **options)
    raise ScheduleError(
        f"warmdown import: {sorted(settings)[:5]} is no scheduler. A class_path, lr_scheduler_type "
        "(transformers) or learning_rate_scheduler (OneTrainer) is needed."
    )


def _known(total_steps: int | None) -> int:
    if total_steps is None:
        raise ScheduleError(
            "warmdown import: these settings do not tell how many updates there are. Give "
            "--total-steps."
        )
    return total_steps


def _transformers_config(settings: Mapping[str, Any], total: int) -> dict[str, Any]:
    steps = number_of_setting(settings, "warmup_steps", 0)
    warmup = steps or number_of_setting(settings, "warmup_ratio", 0)
    arguments = {
        "name": settings["lr_scheduler_type"],
        # below 1 it is a share of the run, rounded up
        "num_warmup_steps": -int(-warmup * total // 1) if warmup < 1 else int(warmup),
        "num_training_steps": total,
        "scheduler_specific_kwargs": settings.get("lr_scheduler_kwargs") or None,
    }
    return {"class_path": "transformers.optimization.get_scheduler", "init_args": arguments}
