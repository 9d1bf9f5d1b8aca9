"""OneTrainer's presets and configurations."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

from warmdown.compat.names import onetrainer_schedule
from warmdown.compat.names.onetrainer import name_of, warmup_of
from warmdown.errors import RunError, ScheduleError
from warmdown.expressions import Facts, evaluate, has_placeholder
from warmdown.importing.formats.section import KnownRun, Section, Settings, part_plan
from warmdown.importing.numbers import number_of_setting
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import Linear, Scale

_DEFAULTS: Settings = {"learning_rate_scheduler": "CONSTANT", "learning_rate_warmup_steps": 200}
_EPOCHS = 100
_SCALED_BY: Mapping[str, tuple[str, ...]] = {
    "NONE": (),
    "BATCH": ("batch_size",),
    "GRADIENT_ACCUMULATION": ("gradient_accumulation_steps",),
    "BOTH": ("batch_size", "gradient_accumulation_steps"),
}
_OWN_RATE = "_learning_rate"
"""Ends the name of a part's rate in older presets."""
_LONGEST_LITERAL = 4_000
"""Characters of a parameter, such as milestones; Python's parser needs memory for what is deep."""


def read_onetrainer(settings: Settings, known: KnownRun) -> Plan:
    """Read OneTrainer's configuration: one of its names, or a class path."""
    if {"training_method", "model_type"} <= {*settings}:
        settings = {**_DEFAULTS, **settings}
    if known.total_steps is None and known.steps_per_epoch is None:
        raise ScheduleError(
            "warmdown import: these settings do not tell how many updates there are. Give "
            "--total-steps, or --steps-per-epoch."
        )
    epochs = number_of_setting(settings, "epochs", _EPOCHS)
    total = known.total_steps or known.updates(known.epochs or epochs)
    scale = _batch_factor(settings)
    rate = known.lr
    if rate is None and (given := number_of_setting(settings, "learning_rate", 0)):
        rate = given * scale
    accumulated = int(number_of_setting(settings, "gradient_accumulation_steps", 1)) or 1
    given = number_of_setting(settings, "learning_rate_warmup_steps", 0)
    # up to 1 it is a share of the run; above that OneTrainer counts micro-batches
    steps = warmup_of(given if given <= 1 else int(given / accumulated), total)
    parts = {name: own * scale for name, own in _own_rates(settings).items()}
    if name_of(settings["learning_rate_scheduler"]) != "CUSTOM":
        schedule = onetrainer_schedule(
            settings["learning_rate_scheduler"],
            total_steps=total,
            warmup=steps / total if steps == 1 else steps,  # there 1 is the whole run
            cycles=number_of_setting(settings, "learning_rate_cycles", 1.0),
            min_factor=number_of_setting(settings, "learning_rate_min_factor", 0.0),
        )
        return part_plan(Scale(schedule), total, rate, parts)
    plan = _of_class(settings, known, total, steps, rate, accumulated)
    if any(own != rate for own in parts.values()):
        raise ScheduleError(
            f"{next(iter(parts))}.learning_rate: a part's own rate under a CUSTOM class cannot be "
            "imported. Take it out."
        )
    return plan


def _batch_factor(settings: Settings) -> float:
    """Return what OneTrainer multiplies its rates by for a larger batch."""
    given = Section("OneTrainer", settings)
    names = _SCALED_BY[given.name("learning_rate_scaler", _SCALED_BY, "NONE")]
    return sqrt(prod(given.number(name, 1) for name in names))


def _own_rates(settings: Settings) -> dict[str, float]:
    """Return the rate of each part that is trained with one of its own, in either spelling."""
    rates: dict[str, float] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value.get("train", True):
            own, name = number_of_setting(value, "learning_rate"), key
        elif key.endswith(_OWN_RATE) and value is not None:
            name = key.removesuffix(_OWN_RATE)
            own = number_of_setting(settings, key) if settings.get(f"train_{name}", True) else None
        else:
            continue
        if own is not None:
            rates[name] = own
    return rates


def _of_class(
    settings: Settings,
    known: KnownRun,
    total_steps: int,
    steps: int,
    rate: float | None,
    accumulated: int,
) -> Plan:
    """Return the plan of a ``CUSTOM`` class and its ``scheduler_params``, after the warmup."""
    report, mode = known.options.get("report"), known.options.get("mode")
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
    path, parameters = (
        settings.get("custom_learning_rate_scheduler"),
        _parameters_of_class(settings),
    )
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
        from torch.optim.lr_scheduler import LambdaLR, SequentialLR

        from warmdown.binding import Field  # to know what a file is takes no torch
        from warmdown.importing.simulation import build_scheduler

        Field(optimizer, "lr").store_initial()  # there it is the rate of the settings
        scheduler = build_scheduler(config, optimizer, known.options.get("allow", ()))
        if not steps:
            return scheduler
        rise = LambdaLR(optimizer, Linear(start=0.0, end=1.0, steps=steps))
        return SequentialLR(optimizer, [rise, scheduler], [steps])

    return known.read_class(make, total_steps=total_steps, lr=rate)


def _parameters_of_class(settings: Settings) -> dict[str, Any]:
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
