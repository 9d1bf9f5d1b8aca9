"""timm's and pytorch-accelerated's schedulers, read by their attributes."""

from __future__ import annotations

__all__ = ["READERS"]

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from warmdown.compat.names import timm as named
from warmdown.compat.schedulers.cosine import cosine_meaning
from warmdown.compat.schedulers.wsd import periods_rule, wsd_meaning
from warmdown.importing.imported import Imported, NotImportable
from warmdown.importing.simulation import SchedulerCopy
from warmdown.schedules import Chain, Constant, Cosine, Linear, Power, Rule, Scale

_IN_EPOCHS = "it counts epochs: one step of the plan is an epoch"


def _timm(kind: Callable[[Mapping[str, Any]], Scale]) -> Callable[[Any, SchedulerCopy], Imported]:
    def read(scheduler: Any, copy: SchedulerCopy) -> Imported:
        scales = copy.read("lr_scale") or [1.0] * len(copy.bases)

        def ask(step: int) -> list[float]:
            values = scheduler._add_noise(scheduler._get_lr(step), step)
            return [value * scale for value, scale in zip(values, scales, strict=True)]

        remarks = (_IN_EPOCHS,) if scheduler.t_in_epochs else ()
        total = scheduler.get_cycle_length() if hasattr(scheduler, "get_cycle_length") else None
        if scheduler.noise_range_t is not None:
            raise NotImportable("noise")
        whole = kind(_arguments(scheduler))
        targets = {"lr": [_times(whole, scale) for scale in scales]}
        return Imported(targets, total=total, steps=total, ask=ask, remarks=remarks)

    return read


def _arguments(scheduler: Any) -> dict[str, Any]:
    """Return a scheduler's attributes by the names that :mod:`warmdown.compat.names.timm` has for them."""
    held = {"warmup_prefix": True, "k_decay": 1.0, **vars(scheduler)}
    if isinstance(held.get("decay_t"), list | tuple):
        held["decay_marks"] = list(held["decay_t"])
    if callable(held.get("decay_fn")) or any(
        held[name] != int(held[name]) for name in ("warmup_t",)
    ):
        raise NotImportable("a function, or parts of a step")
    return held


def _wsd(given: Mapping[str, Any]) -> Scale:
    if given["stable_fn"] == "power":
        trunk = Power(
            start=1.0, timescale=given["stable_timescale"], exponent=given["stable_power"]
        )
        return named.trunk(given, trunk, given["decay_fn"])
    return named.rsqrt(given) if given["stable_fn"] == "rsqrt" else named.wsd(given)


def _times(scale: Scale, factor: float) -> Scale:
    if factor == 1:
        return scale
    low = None if scale.low is None else scale.low * factor
    return Scale(
        scale.of * factor, offset=None if scale.offset is None else scale.offset * factor, low=low
    )


def _accelerated(
    right: Callable[[Mapping[str, Any]], Scale],
    done: Callable[[Mapping[str, Any], float], Rule],
    reason: str,
) -> Callable[[Any, SchedulerCopy], Imported]:
    def read(scheduler: Any, copy: SchedulerCopy) -> Imported:
        held = vars(scheduler)
        firsts = _first_rates(scheduler, copy)
        theirs = copy.scheduler

        def ask(step: int) -> list[float]:
            return (
                firsts
                if step == 0
                else [float(value) for value in theirs.get_updated_values(step - 1)]
            )

        total = held.get("total_iterations", held.get("total_steps"))
        if type(scheduler).__module__.startswith("warmdown"):
            rule: Scale = scheduler.rule
            targets = [rule] * len(firsts)
            return Imported(
                {"lr": targets}, {"lr": [_later(rule)] * len(firsts)}, _TWICE, total, total, ask
            )
        corrected = [right(held)] * len(firsts)
        faithful = [
            done(held, first / base) for first, base in zip(firsts, copy.bases, strict=True)
        ]
        return Imported(
            {"lr": corrected}, {"lr": faithful}, f"{_TWICE}; {reason}", total, total, ask
        )

    return read


def _first_rates(scheduler: Any, copy: SchedulerCopy) -> list[float]:
    """Return the rates of the first update: what the constructor left."""
    if type(scheduler).__module__.startswith("warmdown"):
        return [float(value) for value in scheduler.get_updated_values(0)]
    absolute = scheduler.warmup_lr_init if getattr(scheduler, "warmup_iterations", 0) else None
    return list(copy.bases) if absolute is None else [absolute] * len(copy.bases)


def _right_cosine(held: Mapping[str, Any]) -> Scale:
    return cosine_meaning(
        **{name: held[name] for name in inspect.signature(cosine_meaning).parameters}
    )


def _right_wsd(held: Mapping[str, Any]) -> Scale:
    return wsd_meaning(**{name: held[name] for name in inspect.signature(wsd_meaning).parameters})


def _their_cosine(held: Mapping[str, Any], first: float) -> Rule:
    """Return the cosine that ends as many updates early as its warmup has, after a warmup of a slope of its own."""
    total, warmup, cooldown = (
        held[f"{name}_iterations"] for name in ("total", "warmup", "num_cooldown")
    )
    cosine = total - warmup - cooldown
    steps = max(cosine - warmup, 0)
    low, ratio = held["lr_min"], held["lr_min_ratio"]
    start, start_ratio = held["warmup_lr_init"], held["warmup_lr_ratio"]
    low, ratio = (low, 0.0) if ratio is None else (0.0, ratio)
    begins = (start, 0.0) if start_ratio is None else (0.0, start_ratio)
    form = {"steps": max(cosine, 1), "k": held["k_decay"]}
    factor = Chain.of(
        Linear(start=begins[1], end=begins[1] + 1.0, steps=warmup),
        Cosine(start=1.0, end=ratio, **form).take(steps),
        Constant(value=ratio),
    )
    added = Chain.of(
        Linear(start=begins[0], end=begins[0] - start, steps=warmup),
        Cosine(start=0.0, end=low, **form).take(steps),
        Constant(value=low),
    )
    left = (0.0, start) if warmup else (first, 0.0)  # what the constructor writes
    return Scale(
        Constant(value=left[0], steps=1) >> factor, offset=Constant(value=left[1], steps=1) >> added
    )


def _their_wsd(held: Mapping[str, Any], first: float) -> Rule:
    """Return the periods between the checkpoints that it really has, after one update at the full rate."""
    names = inspect.signature(periods_rule).parameters
    warmup = 0 if held["is_continuation_from_checkpoint"] else held["num_warmup_steps"]
    given = {**held, "checkpoints": held["checkpoint_steps"], "warmup": warmup}
    rule = periods_rule(**{name: given[name] for name in names})
    offset = None if rule.offset is None else Constant(value=0.0, steps=1) >> rule.offset
    return Scale(Constant(value=first, steps=1) >> rule.of, offset=offset)


def _later(rule: Scale) -> Scale:
    return Scale(rule.of.delay(1), offset=None if rule.offset is None else rule.offset.delay(1))


_TWICE = "its first step() writes the value for no updates: two updates use it, and all later ones run one behind"
_COSINE_BUGS = "its cosine ends as early as its warmup is long, and a starting ratio overshoots"
_WSD_BUGS = "its checkpoints are not where it documents them, and its first update skips the warmup"

READERS: Mapping[str, Callable[[Any, SchedulerCopy], Imported]] = {
    "CosineLRScheduler": _timm(named.cosine),
    "TanhLRScheduler": _timm(named.tanh),
    "StepLRScheduler": _timm(named.step),
    "MultiStepLRScheduler": _timm(named.multistep),
    "PolyLRScheduler": _timm(named.poly),
    "WSDLRScheduler": _timm(_wsd),
    "CosineLrScheduler": _accelerated(_right_cosine, _their_cosine, _COSINE_BUGS),
    "WSDLrScheduler": _accelerated(_right_wsd, _their_wsd, _WSD_BUGS),
}
