"""transformers' schedules, which are functions with arguments inside a ``LambdaLR``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from warmdown.compat.names import transformers_schedule
from warmdown.compat.names.shapes import after_warmup, waves
from warmdown.errors import ScheduleError
from warmdown.importing.imported import Ask, Imported, uniform
from warmdown.importing.numbers import whole
from warmdown.importing.simulation import SchedulerCopy
from warmdown.schedules import Cosine, Greedy, Polynomial, Scale

_NAMES: Mapping[str, str] = {
    "_get_constant_lambda": "constant",
    "_get_constant_schedule_with_warmup_lr_lambda": "constant_with_warmup",
    "_get_linear_schedule_with_warmup_lr_lambda": "linear",
    "_get_cosine_schedule_with_warmup_lr_lambda": "cosine_with_min_lr",
    "_get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda": "cosine_with_restarts",
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda": "polynomial",
    "_get_inverse_sqrt_schedule_lr_lambda": "inverse_sqrt",
    "_get_cosine_with_min_lr_schedule_with_warmup_lr_rate_lambda": "cosine_warmup_with_min_lr",
    "_get_wsd_scheduler_lambda": "warmup_stable_decay",
}
_CLIMBS = "transformers' cosine climbs back after the last step"
_REPEATS = 1000
"""How many runs long waves go on that never stop, where one is no whole number of updates."""


def import_lambda(function: Any, bases: Sequence[float], ask: Ask) -> Imported | None:
    """Return what was read of one of transformers' functions, or ``None`` for any other.

    Arguments that make no schedule give ``None`` too: what the function does is then a table.
    """
    call = function.func if isinstance(function, partial) else function
    name = _NAMES.get(getattr(call, "__name__", ""))
    if name is None or call.__module__ != "transformers.optimization":
        return None
    keywords = function.keywords if isinstance(function, partial) else {}
    given = {key: whole(value) for key, value in keywords.items()}
    try:
        return _import_named(name, given, len(bases), ask)
    except ScheduleError:
        return None


def _import_named(name: str, given: dict[str, Any], groups: int, ask: Ask) -> Imported:
    total = given.get("num_training_steps")
    faithful, reason = None, ""
    match name:
        case "warmup_stable_decay":
            phases = ("num_warmup_steps", "num_stable_steps", "num_decay_steps")
            total = sum(given[phase] for phase in phases)
        case "polynomial":
            first = given.pop("lr_init")
            faithful = _polynomial_from(first, **given)
            reason = (
                "transformers divides lr_end by the optimizer's default rate, so that other groups "
                "end elsewhere"
            )
        case "cosine_with_min_lr":
            reason = _CLIMBS
            given.setdefault("min_lr_rate", 0.0)
            faithful = _on_and_on(given)
        case "cosine_warmup_with_min_lr":
            reason = _CLIMBS
            faithful = _on_and_on_from_one(given)
    corrected = transformers_schedule(name, **given)
    return uniform(groups, corrected, faithful, reason=reason, total=total, steps=total, ask=ask)


def import_greedy(scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Return what was read of a live ``GreedyLR``, which follows a metric."""
    names = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown")
    shared = {name: getattr(scheduler, name) for name in names}
    window = scheduler.window_size if scheduler.smooth else 1
    rules = [
        Scale(
            Greedy(
                pause=scheduler.warmup, window=window, low=low / base, high=high / base, **shared
            )
        )
        for base, low, high in zip(copy.bases, scheduler.min_lrs, scheduler.max_lrs, strict=True)
    ]
    remark = (
        "it follows a metric, not the step: give it by scheduler.observe(loss=…); eps and "
        "reset_start are left out"
    )
    return Imported({"lr": rules}, remarks=(remark,))


def _polynomial_from(
    first: float, *, num_warmup_steps: int, num_training_steps: int, lr_end: float, power: float
) -> Scale:
    """Return the decay to a share of each group's own rate, where an absolute one is documented."""
    share, steps = lr_end / first, num_training_steps - num_warmup_steps
    decay = Polynomial(start=1.0, end=0.0, steps=steps, power=power)
    return after_warmup(Scale(decay * (1 - share) + share), steps=num_warmup_steps)


def _on_and_on(given: Mapping[str, Any]) -> Scale:
    """Return the waves of a cosine, as they go on after the end."""
    warmup, total = given["num_warmup_steps"], given["num_training_steps"]
    low, steps = given["min_lr_rate"], max(total - warmup, 1)
    if given["num_cycles"] == 0.5:  # as nearly always
        down, up = Cosine(end=low, steps=steps), Cosine(start=low, end=1.0, steps=steps)
        waving = (down >> up).repeat()
    else:
        waving = waves(2 * given["num_cycles"] * _REPEATS, low, steps * _REPEATS)
    return after_warmup(Scale(waving), steps=warmup)


def _on_and_on_from_one(given: Mapping[str, Any]) -> Scale | None:
    """Return the same of the variant that counts from 1."""
    warmup, first = given["num_warmup_steps"], given.get("warmup_lr_rate")
    if warmup < 2:
        return None
    steps = given["num_training_steps"] - warmup
    waving = _on_and_on({**given, "num_warmup_steps": 0, "num_training_steps": steps})
    first = 1 / warmup if first is None else first
    return after_warmup(waving, steps=warmup - 1, first_ratio=first)
