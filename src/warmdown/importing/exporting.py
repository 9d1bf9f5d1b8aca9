"""A plan as another trainer's configuration, where that trainer can say it exactly."""

from __future__ import annotations

__all__ = ["EXPORTS", "write_config"]

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from warmdown.errors import RunError, ScheduleError, nearest
from warmdown.importing.torch_code import NoTorchCode, torch_code
from warmdown.plan import EVERY_GROUP, Plan, Target
from warmdown.planfile.writing import dumps, to_json, to_yaml
from warmdown.schedules.base import PlainData
from warmdown.schedules.sampling import Array

_CLASS = "warmdown.compat.lr_scheduler.PlanLR"
_TOLERANCE = 1e-9
"""Difference of a rate, as a share of it, up to which two are the same."""
_AROUND_ZERO = 1e-12
"""The same as a share of the peak, for rates near zero."""
_MOST_UPDATES = 20_000_000
"""Updates that are compared one by one."""


@dataclass(frozen=True)
class RateForm:
    """The numbers of a rate that other trainers' settings name.

    Args:
        lr: The base rate.
        peak: The highest rate.
        first: The rate of update 0.
        end: The rate at the run's end.
        total: Updates in the run.
        warmup: The first update that uses the peak.
        fall: The last update that does.
        stop: The first update from which the end's rate holds.
        each: Updates in an epoch, or 0.
        text: The plan as YAML.
    """

    lr: float
    peak: float
    first: float
    end: float
    total: int
    warmup: int
    fall: int
    stop: int
    each: int
    text: str

    @property
    def low(self) -> float:
        """The end as a share of the peak."""
        return self.end / self.peak


Candidates: TypeAlias = Iterator[tuple[str, PlainData]]
"""What a trainer could say, each with its own name for it."""


class Export(NamedTuple):
    """A trainer's format.

    Args:
        candidates: Yields settings, of which one may be the plan.
        write: Returns settings as text.
        drives_all: Whether it takes every target, and not the rate alone.
    """

    candidates: Callable[[RateForm], Candidates]
    write: Callable[[Any], str]
    drives_all: bool = False


def write_config(plan: Plan, to: str, read: Callable[..., Plan]) -> str:
    """Return a plan as the text of another trainer's configuration.

    Args:
        plan: The plan.
        to: The trainer's name.
        read: Returns the plan of settings, with which each candidate is compared.

    Raises:
        ScheduleError: The trainer cannot say it.
    """
    if to not in EXPORTS:
        raise ScheduleError(f"export(to={to!r}): no such format. {nearest(to, EXPORTS)}")
    if to == "torch":
        try:
            return torch_code(plan)
        except NoTorchCode as error:
            raise ScheduleError(f"export(to='torch'): {error}") from None
    export = EXPORTS[to]
    target, settled = _only_rate(plan, to, export.drives_all)
    form = _form_of(plan, settled, target, to)
    ours = _rates(settled, target)
    best: tuple[float, str, int] | None = None
    for name, settings in export.candidates(form):
        theirs = _rates_of_settings(settings, form, read)
        if theirs is None:
            continue
        apart = np.abs(ours - theirs) - _TOLERANCE * np.abs(ours) - _AROUND_ZERO * form.peak
        if not np.any(apart > 0):
            return export.write(settings)
        difference = float(np.max(np.abs(ours - theirs))) / form.peak
        if best is None or difference < best[0]:
            best = difference, name, int(np.argmax(apart > 0))
    raise ScheduleError(_cannot_say(to, target, best))


def _cannot_say(to: str, target: Target, best: tuple[float, str, int] | None) -> str:
    way_out = "torch has code for it, and PlanLR is a class for programs that take one."
    if best is None:
        return f"export(to={to!r}): it has no settings for this plan. {way_out}"
    difference, name, update = best
    phase = next((p for p in reversed(target.phases()) if p.contains(update)), None)
    where = f"the phase {phase.name!r}" if phase else "what follows the last phase"
    return (
        f"export(to={to!r}): it cannot say {where}, from update {update:,}. Its nearest is {name}, "
        f"which is off by up to {difference:.2g} of the peak. {way_out}"
    )


def _only_rate(plan: Plan, to: str, drives_all: bool) -> tuple[Target, Plan]:
    settled = plan.over()
    if settled.run.clock != "updates" or settled.run.total_steps is None:
        raise ScheduleError(f"export(to={to!r}): the run's updates are needed. Give --total-steps.")
    if settled.run.total_steps > _MOST_UPDATES:
        raise ScheduleError(
            f"export(to={to!r}): more than {_MOST_UPDATES:,} updates cannot be compared one by one."
        )
    for target in settled.targets:
        if (target.name != "lr" or target.groups != EVERY_GROUP) and not drives_all:
            raise ScheduleError(
                f"export(to={to!r}): it cannot say {target.label}, only one rate for all groups. "
                "Take the target out, or give PlanLR, a class that drives it."
            )
    rates = [target for target in settled.targets if target.name == "lr"]
    if not rates:
        raise ScheduleError(f"export(to={to!r}): there is no learning rate in this plan. Add lr.")
    return rates[0], settled


def _form_of(plan: Plan, settled: Plan, target: Target, to: str) -> RateForm:
    rates = _rates(settled, target)
    total = len(rates)
    peak, end = float(rates.max()), float(target.rule.value(total, settled.run.lr or 1.0))
    if settled.run.lr is None and not EXPORTS[to].drives_all:
        raise ScheduleError(f"export(to={to!r}): the base rate is needed. Give --lr.")
    if not peak and not EXPORTS[to].drives_all:
        raise ScheduleError(f"export(to={to!r}): the rate is 0 at every update. Change the plan.")
    at_peak = np.flatnonzero(np.isclose(rates, peak, rtol=1e-12, atol=0.0))
    moves = np.flatnonzero(~np.isclose(rates, end, rtol=1e-12, atol=_AROUND_ZERO * peak))
    return RateForm(
        lr=settled.run.lr or peak,
        peak=peak,
        first=float(rates[0]),
        end=end,
        total=total,
        warmup=int(at_peak[0]),
        fall=int(at_peak[-1]),
        stop=int(moves[-1]) + 1 if len(moves) else total,
        each=settled.run.steps_per_epoch or 0,
        text=dumps(plan),
    )


def _rates(plan: Plan, target: Target) -> Array:
    steps = np.arange(float(plan.run.total_steps or 0))
    return np.asarray(target.rule.value(steps, plan.run.lr or 1.0)) + 0.0 * steps


def _rates_of_settings(
    settings: PlainData, form: RateForm, read: Callable[..., Plan]
) -> Array | None:
    """Return every rate of settings as they are read back; ``None`` where they are refused."""
    facts: PlainData = {"total_steps": form.total}
    if "sched" in settings:  # timm's, which has its length in epochs
        facts = {"steps_per_epoch": form.each}
    try:
        # a class is made on an optimizer of ours, whose other values are not the user's
        with warnings.catch_warnings(action="ignore"):
            plan = read(settings, lr=form.lr, report=None, **facts).over()
        target = next(target for target in plan.targets if target.name == "lr")
        return _rates(Plan(targets=(target,), run=_same_run(plan, form)), target)
    except (ScheduleError, RunError):
        return None


def _same_run(plan: Plan, form: RateForm) -> Any:
    return type(plan.run)(total_steps=form.total, lr=form.lr)


def _transformers(form: RateForm) -> Candidates:
    decay = form.total - form.fall
    stable = {"num_decay_steps": decay, "min_lr_ratio": form.low}
    named: Mapping[str, PlainData] = {
        "constant": {},
        "constant_with_warmup": {},
        "linear": {},
        "cosine": {},
        "cosine_with_min_lr": {"min_lr_rate": form.low},
        "polynomial": {"lr_end": form.end, "power": 2.0},
        "inverse_sqrt": {},
        "warmup_stable_decay linear": {**stable, "decay_type": "linear"},
        "warmup_stable_decay cosine": {**stable, "decay_type": "cosine"},
        "warmup_stable_decay 1-sqrt": {**stable, "decay_type": "1-sqrt"},
    }
    for name, kwargs in named.items():
        settings: PlainData = {
            "learning_rate": form.lr,
            "max_steps": form.total,
            "lr_scheduler_type": name.split()[0],
            "warmup_steps": form.warmup,
        }
        yield name, {**settings, **({"lr_scheduler_kwargs": kwargs} if kwargs else {})}


def _deepspeed(form: RateForm) -> Candidates:
    bounds = {"warmup_min_lr": form.first, "warmup_max_lr": form.peak, "warmup_type": "linear"}
    ratios = {"warmup_min_ratio": form.first / form.peak, "cos_min_ratio": form.low}
    optimizer = {"params": {"lr": form.peak}}
    for warmup in (form.warmup - 1, form.warmup):  # the first rate is used twice there
        steps = {"warmup_num_steps": max(warmup, 0)}
        ends = {"total_num_steps": form.total, **steps}
        kinds: Mapping[str, PlainData] = {
            "WarmupLR": {**bounds, **steps},
            "WarmupDecayLR": {**bounds, **ends},
            "WarmupCosineLR": {**ratios, **ends, "warmup_type": "linear"},
        }
        for kind, params in kinds.items():
            scheduler = {"type": kind, "params": params}
            yield kind, {"optimizer": optimizer, "scheduler": scheduler}


def _torchtitan(form: RateForm) -> Candidates:
    # a whole number of updates comes back from the ratio
    decay = {"decay_ratio": (form.total - form.fall) / form.total, "min_lr_factor": form.low}
    for kind in ("linear", "sqrt", "cosine"):
        for warmup in (form.warmup + 1, form.warmup):
            scheduler = {"warmup_steps": warmup, **decay, "decay_type": kind}
            yield (
                f"decay_type {kind}",
                {
                    "optimizer": {"lr": form.peak},
                    "lr_scheduler": scheduler,
                    "training": {"steps": form.total},
                },
            )


def _composer(form: RateForm) -> Candidates:
    times = {"t_warmup": f"{form.warmup}ba", "t_max": f"{max(form.stop, form.warmup + 1)}ba"}
    named: Mapping[str, PlainData] = {
        "constant_with_warmup": {"t_warmup": times["t_warmup"]},
        "cosine_with_warmup": {**times, "alpha_f": form.low},
        "linear_decay_with_warmup": {**times, "alpha_f": form.low},
    }
    for name, arguments in named.items():
        for end in (form.total, form.stop):
            own = {**arguments, "t_max": f"{end}ba"} if "t_max" in arguments else arguments
            yield (
                name,
                {
                    "max_duration": f"{form.total}ba",
                    "optimizer": {"lr": form.peak},
                    "scheduler": {"name": name, **own},
                },
            )


def _timm_args(form: RateForm) -> Candidates:
    if not form.each or form.total % form.each:
        raise ScheduleError(
            "export(to='timm'): its rates change once an epoch. Give --steps-per-epoch, of which "
            "the run has a whole number."
        )
    epochs = form.total // form.each
    shared = {"lr": form.lr, "warmup_lr": form.first, "min_lr": form.end, "cooldown_epochs": 0}
    top = form.warmup // form.each
    for kind in ("cosine", "tanh", "poly"):
        for warmup in (top, top + 1):
            for low in (form.end, 0.0, 1e-5, 1e-6):
                own = {**shared, "sched": kind, "epochs": epochs, "warmup_epochs": warmup}
                yield f"sched {kind}", {**own, "min_lr": low, "warmup_prefix": False}
            prefixed = {**shared, "sched": kind, "epochs": epochs - warmup}
            yield f"sched {kind}", {**prefixed, "warmup_epochs": warmup, "warmup_prefix": True}


def _onetrainer(form: RateForm) -> Candidates:
    base: PlainData = {"learning_rate": form.lr, "learning_rate_warmup_steps": form.warmup}
    if form.warmup == 1:  # there 1 is the whole run
        base["learning_rate_warmup_steps"] = 1 / form.total
    base["learning_rate_min_factor"] = form.low
    for name in ("CONSTANT", "LINEAR", "COSINE", "REX"):
        yield name, {**base, "learning_rate_scheduler": name, "learning_rate_cycles": 1.0}
    parameters = {"plan": repr(form.text), "total_steps": str(form.total)}
    yield (
        "CUSTOM with PlanLR",
        {
            "learning_rate": form.lr,
            "learning_rate_warmup_steps": 0,
            "learning_rate_scheduler": "CUSTOM",
            "custom_learning_rate_scheduler": _CLASS,
            "scheduler_params": [{"key": key, "value": it} for key, it in parameters.items()],
        },
    )


def _mmengine(form: RateForm) -> Candidates:
    rise = {"type": "LinearLR", "by_epoch": False, "start_factor": form.first / form.peak,
            "end_factor": 1.0, "begin": 0, "end": form.warmup + 1}  # fmt: skip
    decay = {"by_epoch": False, "begin": form.fall, "end": form.stop + 1}
    falls: Mapping[str, PlainData | None] = {
        "no decay": None,
        "LinearLR": {**decay, "start_factor": 1.0, "end_factor": form.low},
        "CosineAnnealingLR": {
            **decay, "T_max": form.stop - form.fall, "eta_min_ratio": form.low, "end": form.stop,
        },
        "PolyLR": {**decay, "power": 2.0, "eta_min_ratio": form.low},
    }  # fmt: skip
    if form.warmup and not form.first:  # each rate is a factor of the one before: none leaves 0
        return
    for kind, fall in falls.items():
        windows = [rise] if form.warmup else []
        windows += [{"type": kind, **fall}] if fall else []
        if windows:
            yield kind, {"param_scheduler": windows}


def _axolotl(form: RateForm) -> Candidates:
    for stop in (form.total, form.stop):
        yield (
            "lr_scheduler cosine",
            {
                "learning_rate": form.lr,
                "lr_scheduler": "cosine",
                "max_steps": form.total,
                "warmup_steps": form.warmup,
                "cosine_min_lr_ratio": form.low,
                "cosine_constant_lr_ratio": stop / form.total,
            },
        )


def _megatron(form: RateForm) -> Candidates:
    shared: PlainData = {
        "lr": form.peak,
        "min_lr": form.end,
        "train_iters": form.total,
        "lr_decay_iters": form.stop,
        "lr_warmup_iters": form.warmup,
        "lr_warmup_init": form.first if form.warmup else 0.0,
    }
    for decay in dict.fromkeys((form.total, form.stop)):
        for style in ("constant", "linear", "cosine", "inverse-square-root"):
            own = {**shared, "lr_decay_iters": decay, "lr_decay_style": style}
            yield style, {**own, "min_lr": 0.0} if style == "constant" else own
        for style in ("linear", "cosine", "exponential", "minus_sqrt"):
            own = {"lr_wsd_decay_style": style, "lr_wsd_decay_iters": decay - form.fall}
            yield f"WSD {style}", {
                **shared, "lr_decay_iters": decay, "lr_decay_style": "WSD", **own,
            }  # fmt: skip


def _plan_lr(form: RateForm) -> Candidates:
    arguments = {"plan": form.text, "total_steps": form.total}
    yield "PlanLR", {"class_path": _CLASS, "init_args": arguments}


def _to_toml(settings: PlainData) -> str:
    tables = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in part.items())
        for name, part in settings.items()
    )
    return "\n".join(tables)


def _to_options(settings: PlainData) -> str:
    lines = (f"--{name.replace('_', '-')} {value}" for name, value in settings.items())
    return " \\\n".join(lines) + "\n"


EXPORTS: Mapping[str, Export] = {
    "transformers": Export(_transformers, to_json),
    "deepspeed": Export(_deepspeed, to_json),
    "torchtitan": Export(_torchtitan, _to_toml),
    "composer": Export(_composer, to_yaml),
    "timm": Export(_timm_args, to_yaml),
    "onetrainer": Export(_onetrainer, to_json),
    "mmengine": Export(_mmengine, to_yaml),
    "axolotl": Export(_axolotl, to_yaml),
    "megatron": Export(_megatron, _to_options),
    "torch": Export(lambda form: iter(()), str),
    "PlanLR": Export(_plan_lr, to_yaml, drives_all=True),
}
"""Every format by its name; ``torch`` is code that needs nothing but torch."""
