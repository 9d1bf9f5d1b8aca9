"""OneTrainer's configuration: one of its own names, or a class by its path with parameters and placeholders."""

from __future__ import annotations

__all__ = ["of_onetrainer"]

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.optim.lr_scheduler import LambdaLR, SequentialLR

from warmdown.compat.names import onetrainer_schedule
from warmdown.compat.names.onetrainer import name_of, warmup_of
from warmdown.errors import RunError, ScheduleError
from warmdown.expressions import evaluate, has_placeholder
from warmdown.importing.entry import Mode, from_torch
from warmdown.importing.imported import number_of_setting
from warmdown.importing.simulation import build
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import Linear

Settings = Mapping[str, Any]

_LONGEST_LITERAL = 4_000
"""Characters of a parameter: a long list of milestones; Python's parser needs memory for what is deep."""


def of_onetrainer(
    settings: Settings,
    *,
    mode: Mode,
    total_steps: int,
    lr: float | None,
    report: Callable[[str], object] | None,
    allow: Sequence[str],
) -> Plan:
    """Return the plan of a configuration.

    Args:
        settings: OneTrainer's words, ``learning_rate_scheduler`` among them.
        mode: ``"faithful"``, bug for bug, or ``"corrected"``.
        total_steps: Updates in the run.
        lr: Base rate instead of ``learning_rate``.
        report: Takes each line of the report.
        allow: Modules that the class may be in besides the known ones.

    Raises:
        ScheduleError: A name, a class or a parameter is not one.
    """
    steps = warmup_of(_warmup(settings), total_steps)
    if name_of(settings["learning_rate_scheduler"]) != "CUSTOM":
        return _of_a_name(settings, total_steps, steps)
    rate = lr if lr is not None else number_of_setting(settings, "learning_rate", 0) or None
    config = _class_of(settings, _facts(settings, mode, total_steps, steps, rate))
    if report and _counts_micro_batches(settings):
        report(
            "lr: OneTrainer's %STEPS_PER_EPOCH% counts micro-batches, its other lengths updates; "
            "corrected, it counts "
            "updates too."
        )
    return from_torch(
        _after(steps, config, allow), mode=mode, total_steps=total_steps, lr=rate, report=report
    )


def _of_a_name(settings: Settings, total_steps: int, warmup: int) -> Plan:
    schedule = onetrainer_schedule(
        settings["learning_rate_scheduler"],
        total_steps=total_steps,
        warmup=warmup / total_steps if warmup == 1 else warmup,  # there 1 is the whole run
        cycles=number_of_setting(settings, "learning_rate_cycles", 1.0),
        min_factor=number_of_setting(settings, "learning_rate_min_factor", 0.0),
    )
    return Plan.of(lr=schedule, run=Run(total_steps=total_steps))


def _after(warmup: int, config: Mapping[str, Any], allow: Sequence[str]) -> Callable[[Any], Any]:
    """Return what makes the class for an optimizer, and a straight warmup before it, as OneTrainer joins them."""

    def make(optimizer: Any) -> Any:
        scheduler = build(config, optimizer, allow)
        if not warmup:
            return scheduler
        rise = LambdaLR(optimizer, Linear(start=0.0, end=1.0, steps=warmup))
        return SequentialLR(optimizer, [rise, scheduler], [warmup])

    return make


def _warmup(settings: Settings) -> float:
    """Return the warmup in updates, or as a share of the run; OneTrainer counts micro-batches."""
    given: float = number_of_setting(settings, "learning_rate_warmup_steps", 0)
    return given if given <= 1 else int(given / _accumulated(settings))


def _accumulated(settings: Settings) -> int:
    return int(number_of_setting(settings, "gradient_accumulation_steps", 1)) or 1


def _facts(
    settings: Settings, mode: Mode, total_steps: int, warmup: int, lr: float | None
) -> dict[str, float | None]:
    epochs = number_of_setting(settings, "epochs", 0) or None
    updates = (
        None
        if epochs is None
        else total_steps / epochs * (_accumulated(settings) if mode == "faithful" else 1)
    )
    return {
        "LR": lr,
        "EPOCHS": epochs,
        "STEPS_PER_EPOCH": updates if updates is None or updates % 1 else int(updates),
        "TOTAL_STEPS": total_steps,
        "SCHEDULER_STEPS": total_steps - warmup,
    }


def _class_of(settings: Settings, facts: Mapping[str, float | None]) -> dict[str, Any]:
    path = settings.get("custom_learning_rate_scheduler")
    if not isinstance(path, str) or "." not in path:
        raise ScheduleError(
            f"custom_learning_rate_scheduler={describe(path)}: the class of a CUSTOM scheduler is "
            f"needed, as "
            "<module>.<class>."
        )
    return {
        "class_path": path,
        "init_args": dict(_parameter(each, facts) for each in _parameters(settings)),
    }


def _parameters(settings: Settings) -> list[Mapping[str, Any]]:
    given = settings.get("scheduler_params") or []
    if not isinstance(given, list) or not all(
        isinstance(each, Mapping) and {"key", "value"} <= {*each} for each in given
    ):
        raise ScheduleError(
            f"scheduler_params={given!r:.60}: a list of {{key: …, value: …}} is needed."
        )
    return [
        each for each in given if str(each["key"]).strip()
    ]  # an empty line of OneTrainer's window


def _parameter(given: Mapping[str, Any], facts: Mapping[str, float | None]) -> tuple[str, Any]:
    name, value = str(given["key"]).strip(), given["value"]
    if not isinstance(value, str):
        return name, value
    try:
        return name, evaluate(value, facts) if has_placeholder(value) else _literal(value.strip())
    except RunError as error:
        raise ScheduleError(f"scheduler_params({name}): {error}") from None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ScheduleError(
            f"scheduler_params({name[:60]}={describe(value)}): a number, a list, a placeholder such "
            f"as %TOTAL_STEPS%, or "
            "a text in quotes is needed."
        ) from None


def _literal(text: str) -> Any:
    if len(text) > _LONGEST_LITERAL:
        raise ValueError
    return ast.literal_eval(text)


def _counts_micro_batches(settings: Settings) -> bool:
    values = [str(each["value"]) for each in _parameters(settings)]
    return _accumulated(settings) > 1 and any(
        "%STEPS_PER_EPOCH%" in value.upper() for value in values
    )
