"""timm's and pytorch-accelerated's schedulers, read by their attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from warmdown.compat.names.timm import RULES, Attributes, timm_wsd
from warmdown.compat.schedulers.cosine import cosine_rule, rate_or_share
from warmdown.compat.schedulers.planned import call_by_name
from warmdown.compat.schedulers.wsd import wsd_rule
from warmdown.importing.imported import Imported, NotImportable
from warmdown.importing.numbers import whole
from warmdown.importing.simulation import Reader, SchedulerCopy
from warmdown.schedules import Chain, Constant, Cosine, Linear, Rule, Scale


def _timm(rule_of: Callable[[Attributes], Scale]) -> Reader:
    def read(scheduler: Any, copy: SchedulerCopy) -> Imported:
        def ask(step: int) -> list[float]:
            # without the groups' lr_scale, by which a Scheduler multiplies too
            return list(scheduler._add_noise(scheduler._get_lr(step), step))

        in_epochs = ("it counts epochs: one step of the plan is an epoch",)
        total = getattr(scheduler, "get_cycle_length", lambda: None)()
        if scheduler.noise_range_t is not None:
            raise NotImportable("noise")
        whole = rule_of(_timm_attributes(scheduler))
        return Imported(
            {"lr": [whole] * len(copy.bases)},
            total=total,
            steps=total,
            ask=ask,
            remarks=in_epochs if scheduler.t_in_epochs else (),
        )

    return read


def _attributes(scheduler: Any) -> dict[str, Any]:
    """Return a scheduler's attributes; a length may be a float, which our shapes take whole."""
    return {name: whole(value) for name, value in vars(scheduler).items()}


def _timm_attributes(scheduler: Any) -> dict[str, Any]:
    """Return a scheduler's attributes, named as in :mod:`warmdown.compat.names.timm`."""
    found = {"warmup_prefix": True, "k_decay": 1.0, **_attributes(scheduler)}
    if isinstance(found.get("decay_t"), list | tuple):
        found["decay_marks"] = list(found["decay_t"])
    if callable(found.get("decay_fn")):
        raise NotImportable("a function")
    return found


def _accelerated(
    meant: Callable[..., Scale], original: Callable[[Attributes, float], Rule], reason: str
) -> Reader:
    """Return the reader of schedulers whose documented rule is ``meant`` of their attributes."""

    def read(scheduler: Any, copy: SchedulerCopy) -> Imported:
        attributes = _attributes(scheduler)
        is_ours = type(scheduler).__module__.startswith("warmdown")
        firsts = _first_rates(scheduler, copy, is_ours)

        def ask(step: int) -> list[float]:
            if step == 0:
                return firsts
            return [float(value) for value in copy.scheduler.get_updated_values(step - 1)]

        total = attributes.get("total_iterations", attributes.get("total_steps"))
        if is_ours:
            right = scheduler.rule
            faithful: list[Rule] = [_later(right)] * len(firsts)
        else:
            right = call_by_name(meant, attributes)
            rates = zip(firsts, copy.bases, strict=True)
            faithful = [original(attributes, first / base) for first, base in rates]
        why = (
            "its first step() writes the value for no updates: two updates use it, and all later "
            "ones run one behind"
        )
        return Imported(
            {"lr": [right] * len(firsts)},
            {"lr": faithful},
            reason=why if is_ours else f"{why}; {reason}",
            total=total,
            lag=1,
            steps=total,
            ask=ask,
        )

    return read


def _first_rates(scheduler: Any, copy: SchedulerCopy, is_ours: bool) -> list[float]:
    """Return the rates of the first update: what the constructor left."""
    if is_ours:
        return [float(value) for value in scheduler.get_updated_values(0)]
    absolute = scheduler.warmup_lr_init if getattr(scheduler, "warmup_iterations", 0) else None
    return copy.bases if absolute is None else [absolute] * len(copy.bases)


def _later(rule: Scale) -> Scale:
    return Scale(rule.of.delay(1), offset=rule.offset and rule.offset.delay(1))


def _original_cosine(given: Attributes, first: float) -> Rule:
    """Return the cosine that ends early by its warmup, after a warmup of another slope."""
    warmup, start = given["warmup_iterations"], given["warmup_lr_init"]
    cosine = given["total_iterations"] - warmup - given["num_cooldown_iterations"]

    def curve(begin: float, peak: float, top: float, low: float) -> Chain:
        fall = Cosine(start=top, end=low, steps=max(cosine, 1), k=given["k_decay"])
        return Chain.of(
            Linear(start=begin, end=peak, steps=warmup),
            fall.take(max(cosine - warmup, 0)),
            Constant(value=low),
        )

    low, low_ratio = rate_or_share(given["lr_min"], given["lr_min_ratio"])
    begin, begin_ratio = rate_or_share(start, given["warmup_lr_ratio"])
    factor = curve(begin_ratio, begin_ratio + 1.0, 1.0, low_ratio)
    added = curve(begin, begin - start, 0.0, low)
    left = (0.0, start) if warmup else (first, 0.0)  # what the constructor writes
    return Scale(_after(left[0], factor), offset=_after(left[1], added))


def _original_wsd(given: Attributes, first: float) -> Rule:
    """Return the periods between its real checkpoints, after one update at the full rate."""
    rule = call_by_name(wsd_rule, {**given, "checkpoints": given["checkpoint_steps"]})
    return Scale(_after(first, rule.of), offset=rule.offset and _after(0.0, rule.offset))


def _after(first: float, schedule: Any) -> Chain:
    return Chain.of(Constant(value=first, steps=1), schedule)


READERS: Mapping[str, Reader] = {
    "CosineLRScheduler": _timm(RULES["cosine"]),
    "TanhLRScheduler": _timm(RULES["tanh"]),
    "StepLRScheduler": _timm(RULES["step"]),
    "MultiStepLRScheduler": _timm(RULES["multistep"]),
    "PolyLRScheduler": _timm(RULES["poly"]),
    "WSDLRScheduler": _timm(timm_wsd),
    "CosineLrScheduler": _accelerated(
        cosine_rule,
        _original_cosine,
        "its cosine ends as early as its warmup is long, and a starting ratio overshoots",
    ),
    "WSDLrScheduler": _accelerated(
        wsd_rule,
        _original_wsd,
        "its checkpoints are not where it documents them, and its first update skips the warmup",
    ),
}
