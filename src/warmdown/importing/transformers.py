"""transformers' schedules, which are functions with arguments inside a ``LambdaLR``."""

from __future__ import annotations

__all__ = ["import_lambda"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from warmdown.compat.names import transformers_schedule
from warmdown.compat.names.shapes import after_warmup, waves
from warmdown.errors import ScheduleError
from warmdown.importing.imported import Ask, Imported, uniform
from warmdown.schedules import Scale

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
_WAVES = 1000
"""How many runs long a wave goes on that never stops."""


def import_lambda(function: Any, bases: Sequence[float], ask: Ask) -> Imported | None:
    """Return what was read of one of transformers' functions, or ``None`` when it is none of them or is misused."""
    call = function.func if isinstance(function, partial) else function
    name = _NAMES.get(getattr(call, "__name__", ""))
    if name is None or call.__module__ != "transformers.optimization":
        return None
    given = dict(function.keywords) if isinstance(function, partial) else {}
    try:
        return _read(name, given, bases, ask)
    except ScheduleError:  # arguments that make no schedule: what it does is still told as a table
        return None


def _read(name: str, given: dict[str, Any], bases: Sequence[float], ask: Ask) -> Imported:
    total = given.get("num_training_steps")
    facts: dict[str, Any] = {"total": total, "steps": total, "ask": ask}
    if name == "warmup_stable_decay":
        spent = [
            given[phase] for phase in ("num_warmup_steps", "num_stable_steps", "num_decay_steps")
        ]
        facts |= {"total": sum(spent), "steps": sum(spent)}
    if name == "polynomial":
        return _polynomial(given, bases, facts)
    if name == "cosine_with_min_lr":
        given.setdefault("min_lr_rate", 0.0)
    corrected = transformers_schedule(name, **given)
    if name in _PAST_THE_END:
        return uniform(
            len(bases), corrected, _PAST_THE_END[name](given, corrected), reason=_CLIMBS, **facts
        )
    return uniform(len(bases), corrected, **facts)


def _polynomial(given: dict[str, Any], bases: Sequence[float], facts: dict[str, Any]) -> Imported:
    """Read the one that divides an absolute rate by the optimizer's default instead of by each group's own."""
    first, last = given.pop("lr_init"), given.pop("lr_end")
    corrected = transformers_schedule("polynomial", lr_end=last, **given)
    share, warmup = last / first, given["num_warmup_steps"]
    alone = {"num_warmup_steps": 0, "num_training_steps": _rest(given), "power": given["power"]}
    decay = transformers_schedule("polynomial", lr_end=0.0, **alone).of
    done = after_warmup(Scale(decay * (1 - share) + share), steps=warmup)
    reason = "transformers divides lr_end by the optimizer's default rate, so that other groups end elsewhere"
    return uniform(len(bases), corrected, done, reason=reason, **facts)


def _on_and_on(given: Mapping[str, Any], corrected: Scale) -> Scale:
    """Return the waves of a cosine, as they go on after the end."""
    del corrected
    warmup, total = given["num_warmup_steps"], given["num_training_steps"]
    halves = 2 * given["num_cycles"] * _WAVES
    going = waves(halves, given["min_lr_rate"], max(total - warmup, 1) * _WAVES)
    return after_warmup(Scale(going), steps=warmup)


def _on_and_on_from_one(given: Mapping[str, Any], corrected: Scale) -> Scale:
    """Return the same of the variant that counts from 1."""
    if given["num_warmup_steps"] < 2:
        return corrected
    given = {**given, "warmup_lr_rate": given.get("warmup_lr_rate")}
    going = _on_and_on(
        {**given, "num_warmup_steps": 0, "num_training_steps": _rest(given)}, corrected
    )
    first = (
        1 / given["num_warmup_steps"]
        if given["warmup_lr_rate"] is None
        else given["warmup_lr_rate"]
    )
    return after_warmup(going, steps=given["num_warmup_steps"] - 1, first_ratio=first)


def _rest(given: Mapping[str, Any]) -> int:
    rest: int = given["num_training_steps"] - given["num_warmup_steps"]
    return rest


_CLIMBS = "transformers' cosine climbs back after the last step"
_PAST_THE_END: Mapping[str, Callable[[Mapping[str, Any], Scale], Scale]] = {
    "cosine_with_min_lr": _on_and_on,
    "cosine_warmup_with_min_lr": _on_and_on_from_one,
}
