"""Configuration files of other trainers: one reader a format, known by what stands in the file."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from warmdown.compat import scheduler as timm_names
from warmdown.errors import ScheduleError, SpecError, nearest
from warmdown.importing.imported import to_plan
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe, parse, read_text
from warmdown.run import Run
from warmdown.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    Linear,
    Milestones,
    PiecewiseConstant,
    Polynomial,
    Rule,
    Scale,
    Schedule,
    Set,
    Sqrt,
    Staircase,
)

Settings: TypeAlias = Mapping[str, Any]
_MOST_ROWS = 10_000
"""Values of a table: a plan is to be read by people."""


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """What the caller knows of the run, where a file does not have it.

    Args:
        total_steps: Updates in the run.
        steps_per_epoch: Updates in an epoch.
        epochs: Epochs in the run.
        lr: Base learning rate.
    """

    total_steps: int | None = None
    steps_per_epoch: int | None = None
    epochs: int | None = None
    lr: float | None = None

    def updates(self, epochs: float | None = None) -> int:
        """Return the updates of the run, or of so many epochs.

        Raises:
            ScheduleError: They are not known.
        """
        if epochs is None and self.total_steps is not None:
            return self.total_steps
        epochs = self.epochs if epochs is None else epochs
        if epochs is None:
            raise ScheduleError(
                "warmdown import: the file does not tell how many updates there are. Give "
                "--total-steps."
            )
        if self.steps_per_epoch is None:
            raise ScheduleError(
                "warmdown import: the file counts in epochs. Give --steps-per-epoch."
            )
        return round(epochs * self.steps_per_epoch)


class Section:
    """A part of a file: what is not asked for by its name is refused at the end.

    Args:
        who: The format, and where the part stands, for an error.
        entries: The part.
        meaningless: Keys that do not change the rate.
    """

    def __init__(self, who: str, entries: Any, meaningless: Iterable[str] = ()) -> None:
        if not isinstance(entries, Mapping):
            raise ScheduleError(f"{who}={describe(entries)}: a mapping is needed.")
        self.who, self.entries = who, entries
        self._asked = {*meaningless}

    def raw(self, name: str, default: Any = None) -> Any:
        """Return an entry as it stands there."""
        self._asked.add(name)
        given = self.entries.get(name, default)
        return default if given is None else given

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number.

        Raises:
            ScheduleError: It is none, or it is missing and needed.
        """
        given = self.raw(name, default)
        value = whole(given)
        if given is None:
            raise ScheduleError(f"{self.who}.{name}: it is missing. Give it.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            auto = " Give the number that it stands for." if given == "auto" else ""
            raise ScheduleError(f"{self.who}.{name}={describe(given)}: a number is needed.{auto}")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """Return a whole number from 0.

        Raises:
            ScheduleError: It is none, or it is missing and needed.
        """
        value = self.number(name, default)
        if value < 0 or value != int(value):
            raise ScheduleError(f"{self.who}.{name}={value!r}: a whole number from 0 is needed.")
        return int(value)

    def numbers(self, name: str, default: Sequence[float] | None = None) -> list[float]:
        """Return a list of numbers, written as a tuple perhaps.

        Raises:
            ScheduleError: It is none.
        """
        given = self.raw(name, default)
        if isinstance(given, str):
            try:
                given = ast.literal_eval(given)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                given = None
        values: list[Any] = (
            [whole(one) for one in given] if isinstance(given, list | tuple) else [None]
        )
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
            found = describe(self.entries.get(name))
            raise ScheduleError(f"{self.who}.{name}={found}: a list of numbers is needed.")
        return values

    def name(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        """Return an entry that is one of these names.

        Raises:
            ScheduleError: It is another.
        """
        given = str(self.raw(key, default))
        if given not in (names := list(known)):
            raise ScheduleError(f"{self.who}.{key}={given!r}: {nearest(given, names)}")
        return given

    def part(self, name: str, meaningless: Iterable[str] = ()) -> Section:
        """Return a part of this part; one that is missing is empty."""
        return Section(f"{self.who}.{name}", self.raw(name, {}), meaningless)

    def refuse_rest(self) -> None:
        """Refuse what was not asked for.

        Raises:
            ScheduleError: Something is left that may change the rate.
        """
        for name, value in self.entries.items():
            if name not in self._asked and value is not None:
                raise ScheduleError(
                    f"{self.who}.{name}={describe(value)}: this setting cannot be imported. Take "
                    "it out, or write the plan by hand."
                )


def _rate_plan(rule: Schedule | Rule, total: int, lr: float | None) -> Plan:
    """Return the plan of a rate; what is longer than the run is cut off."""
    made = rule if isinstance(rule, Scale | Set) else Scale(rule)
    return to_plan({"lr": [made]}, Run(total_steps=total, lr=lr))


def _in_turn(*parts: Schedule) -> Schedule:
    """Return parts one after the other; those without a step are left out."""
    kept = [part for part in parts if getattr(part, "steps", 1) != 0] or [parts[-1]]
    whole_schedule = kept[0]
    for part in kept[1:]:
        whole_schedule = whole_schedule >> part
    return whole_schedule


def value_table(values: Sequence[float], every: int = 1) -> Schedule:
    """Return stairs with a value for every so many updates.

    Raises:
        ScheduleError: There are too many different ones.
    """
    marks = [at for at in range(1, len(values)) if values[at] != values[at - 1]]
    if len(marks) > _MOST_ROWS:
        raise ScheduleError(f"warmdown import: a table of {len(marks)} values is too long.")
    chosen = [float(values[0]), *(float(values[at]) for at in marks)]
    return PiecewiseConstant(values=tuple(chosen), at=tuple(at * every for at in marks))


def _deepspeed(settings: Settings, known: KnownRun) -> Plan:
    """Read DeepSpeed's ``scheduler``; its first rate is used twice."""
    scheduler = Section("scheduler", settings["scheduler"])
    kinds = ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR")
    kind = scheduler.name("type", kinds)
    given = scheduler.part("params", meaningless=("last_batch_iteration",))
    optimizer = Section("optimizer", settings.get("optimizer") or {}).part("params")
    top = given.number("warmup_max_lr", 0.001) if kind != "WarmupCosineLR" else None
    rate = known.lr or top or (optimizer.number("lr") if optimizer.entries else None)
    warmup = max(given.count("warmup_num_steps", 1000), 2)
    form = given.name("warmup_type", ("linear", "log"), "log")
    rise: Schedule = Linear(start=0.0, end=1.0, steps=warmup)
    if form == "log":
        rise = value_table([log(at + 1) / log(warmup) for at in range(warmup)])
    total = given.count("total_num_steps") if kind != "WarmupLR" else known.updates()
    if kind == "WarmupCosineLR":
        low = given.number("warmup_min_ratio", 0.0)
        end = given.number("cos_min_ratio", 0.0001)
        rise = rise * (1 - low) + Constant(low)
        curve = rise.take(warmup) >> Cosine(start=1.0, end=end, steps=max(total - warmup, 1))
        rule: Rule = Scale(_in_turn(Constant(curve(0), steps=1), curve))
    else:
        low, top = given.number("warmup_min_lr", 0.0), top or 0.001
        rest: Schedule = Constant(1.0)
        if kind == "WarmupDecayLR":
            rest = Linear(start=1.0, end=0.0, steps=max(total - warmup, 1))
        curve = rise.take(warmup) >> rest
        rule = Set(_in_turn(Constant(curve(0), steps=1), curve) * (top - low) + Constant(low))
    given.refuse_rest()
    return _rate_plan(rule, total, rate)


def _torchtitan(settings: Settings, known: KnownRun) -> Plan:
    """Read torchtitan's ``lr_scheduler`` and ``training.steps``."""
    given = Section("lr_scheduler", settings["lr_scheduler"])
    optimizer = Section("optimizer", settings.get("optimizer") or {})
    training = Section("training", settings.get("training") or {})
    total = known.total_steps or training.count("steps")
    warmup = min(given.count("warmup_steps", 200), total)
    ratio = given.raw("decay_ratio")
    decay = total - warmup if ratio is None else round(total * given.number("decay_ratio"))
    decay = min(decay, total - warmup)
    stable = total + 1 - warmup - decay
    end = given.number("min_lr_factor", 0.0)
    form = given.name("decay_type", ("linear", "sqrt", "cosine"), "linear")
    given.refuse_rest()
    curves = {"linear": Linear, "sqrt": Sqrt, "cosine": Cosine}
    fall = curves[form](start=1.0, end=end, steps=max(decay, 1))
    rise = Linear(start=1 / max(warmup, 1), end=1.0, steps=max(warmup - 1, 0))
    level = Constant(1.0, steps=stable if warmup else stable - 1)
    lr = known.lr or (optimizer.number("lr") if optimizer.entries else None)
    return _rate_plan(_in_turn(rise, level, fall), total, lr)


_TIME = re.compile(r"\s*([\d.eE+-]+)\s*(ba|ep|dur|iter)\s*")


def _composer_time(text: Any, name: str, total: int | None, known: KnownRun) -> int:
    """Return the updates of composer's time: ``100ba``, ``3ep``, ``0.1dur``."""
    found = _TIME.fullmatch(str(text))
    if found is None:
        raise ScheduleError(
            f"{name}={describe(text)}: a time such as 100ba, 3ep or 0.1dur is needed."
        )
    amount, unit = float(found[1]), found[2]
    if unit in ("ba", "iter"):
        return int(amount)
    return round(amount * (total or known.updates())) if unit == "dur" else known.updates(amount)


def _composer(settings: Settings, known: KnownRun) -> Plan:
    """Read composer's and llm-foundry's ``scheduler`` and ``max_duration``."""
    given = Section("scheduler", settings["scheduler"])
    kinds = ("constant_with_warmup", "cosine_with_warmup", "linear_decay_with_warmup")
    kind = given.name("name", kinds)
    duration = settings.get("max_duration")
    total = known.total_steps
    if total is None:
        if duration is None:
            raise ScheduleError("max_duration: it is missing. Give --total-steps.")
        total = _composer_time(duration, "max_duration", None, known)
    warmup = _composer_time(given.raw("t_warmup", "0ba"), "scheduler.t_warmup", total, known)
    stop = _composer_time(given.raw("t_max", "1dur"), "scheduler.t_max", total, known)
    if given.raw("scale_warmup", False):
        raise ScheduleError("scheduler.scale_warmup: it cannot be imported. Take it out.")
    start = given.number("alpha_i", 1.0) if kind == "linear_decay_with_warmup" else 1.0
    rest: Schedule = Constant(given.number("alpha", 1.0) if kind == "constant_with_warmup" else 1.0)
    steps = max(stop - warmup, 1)
    if kind == "cosine_with_warmup":
        rest = Cosine(start=1.0, end=given.number("alpha_f", 0.0), steps=steps)
    elif kind == "linear_decay_with_warmup":
        rest = Linear(start=start, end=given.number("alpha_f", 0.0), steps=steps)
    given.refuse_rest()
    optimizer = Section("optimizer", settings.get("optimizer") or {})
    lr = known.lr or (optimizer.number("lr") if optimizer.entries else None)
    top = rest(0)
    return _rate_plan(_in_turn(Linear(start=0.0, end=top, steps=warmup), rest), total, lr)


def _basicsr(settings: Settings, known: KnownRun) -> Plan:
    """Read BasicSR's ``train.scheduler``."""
    train = Section("train", settings["train"])
    optimizer = train.part("optim_g")
    lr = known.lr or optimizer.number("lr")
    total = known.total_steps or train.count("total_iter")
    given = train.part("scheduler")
    kinds = (
        "MultiStepLR",
        "MultiStepRestartLR",
        "CosineAnnealingRestartLR",
        "TrueCosineAnnealingLR",
    )
    kind = given.name("type", kinds)
    if kind == "CosineAnnealingRestartLR":
        periods = [int(period) for period in given.numbers("periods")]
        weights = given.numbers("restart_weights", [1.0])
        low = given.number("eta_min", 0.0)
        if len(weights) != len(periods):
            raise ScheduleError("train.scheduler.restart_weights: as many as periods are needed.")
        curves = [Cosine(start=low + (lr - low) * weight, end=low, steps=period)
                  for weight, period in zip(weights, periods, strict=True)]  # fmt: skip
        rule: Rule = Set(_in_turn(*curves))
    elif kind == "TrueCosineAnnealingLR":
        low = given.number("eta_min", 0.0)
        rule = Set(Cosine(start=lr, end=low, steps=given.count("T_max")))
    else:
        marks = tuple(int(mark) for mark in given.numbers("milestones"))
        if given.numbers("restarts", [0]) != [0] or given.numbers("restart_weights", [1]) != [1]:
            raise ScheduleError("train.scheduler.restarts: they cannot be imported. Take them out.")
        rule = Scale(Milestones(marks, gamma=given.number("gamma", 0.1)))
    given.refuse_rest()
    warmup = int(train.number("warmup_iter", -1))
    if warmup > 0:
        rise = Linear(start=1 / warmup, end=1.0, steps=max(warmup - 1, 1)) >> Constant(1.0)
        rule = type(rule)(rule.of * rise)
    return _rate_plan(rule, total, lr)


def _detectron2(settings: Settings, known: KnownRun) -> Plan:
    """Read detectron2's ``SOLVER``; what stands in its base file has detectron2's defaults."""
    given = Section("SOLVER", settings["SOLVER"])
    kind = given.name(
        "LR_SCHEDULER_NAME", ("WarmupMultiStepLR", "WarmupCosineLR"), "WarmupMultiStepLR"
    )
    total = known.total_steps or given.count("MAX_ITER", 40_000)
    lr = known.lr or given.number("BASE_LR", 0.001)
    warmup, first = given.count("WARMUP_ITERS", 1000), given.number("WARMUP_FACTOR", 0.001)
    if given.raw("WARMUP_METHOD", "linear") != "linear":
        raise ScheduleError("SOLVER.WARMUP_METHOD: only linear can be imported.")
    if kind == "WarmupMultiStepLR":
        marks = tuple(int(mark) for mark in given.numbers("STEPS", [30_000]))
        rest: Schedule = Milestones(marks, gamma=given.number("GAMMA", 0.1))
    else:
        rest = Cosine(start=1.0, end=given.number("BASE_LR_END", 0.0) / lr, steps=total)
    after = rest(warmup)
    rise = Linear(start=first * rest(0), end=after, steps=warmup)
    return _rate_plan(_in_turn(rise, rest.skip(warmup)) if warmup else rest, total, lr)


def _nemo(settings: Settings, known: KnownRun) -> Plan:
    """Read NeMo's ``optim.sched``."""
    model = settings.get("model", settings)
    optim = Section("optim", model["optim"])
    given = optim.part("sched", meaningless=("monitor", "reduce_on_plateau", "last_epoch"))
    given.name("name", ("CosineAnnealing",))
    lr = known.lr or optim.number("lr")
    trainer = Section("trainer", settings.get("trainer") or {})
    total = known.total_steps or given.count("max_steps", trainer.count("max_steps", 0))
    if not total:
        raise ScheduleError("optim.sched.max_steps: it is missing. Give --total-steps.")
    warmup = given.count("warmup_steps", ceil(given.number("warmup_ratio", 0.0) * total))
    hold = given.count("constant_steps", ceil(given.number("constant_ratio", 0.0) * total))
    low = given.number("min_lr", 0.0)
    given.refuse_rest()
    rise = Linear(start=lr / (warmup + 1), end=lr, steps=warmup)
    fall = Cosine(start=lr, end=low, steps=max(total - hold - warmup, 1))
    return _rate_plan(Set(_in_turn(rise, fall)), total, lr)


def _axolotl(settings: Settings, known: KnownRun) -> Plan:
    """Read axolotl's cosine with a lowest rate and a constant end."""
    given = Section("axolotl", settings)
    total = (
        known.total_steps
        or whole(settings.get("max_steps"))
        or known.updates(whole(settings.get("num_epochs")))
    )
    given.name("lr_scheduler", ("cosine",))
    warmup = given.count("warmup_steps", 0) or int(given.number("warmup_ratio", 0.0) * total)
    low, level = (
        given.number("cosine_min_lr_ratio", 0.0),
        given.number("cosine_constant_lr_ratio", 1.0),
    )
    stop = int(total * level)
    fall = Cosine(start=1.0, end=low, steps=max(stop - warmup, 1))
    lr = known.lr or given.number("learning_rate")
    return _rate_plan(_in_turn(Linear(start=0.0, end=1.0, steps=warmup), fall), total, lr)


def _timm_arguments(settings: Settings, known: KnownRun) -> Plan:
    """Read timm's ``args.yaml``, whose rates change once an epoch."""
    given = Section("timm", settings)
    kind = given.name("sched", ("cosine", "tanh", "poly", "step", "multistep"))
    lr = known.lr or given.number("lr")
    epochs, warmup = given.count("epochs"), given.count("warmup_epochs", 5)
    cooldown = given.count("cooldown_epochs", 0)
    prefix = bool(given.raw("warmup_prefix", False))
    for name in ("lr_noise", "sched_on_updates", "lr_k_decay"):
        if given.raw(name) not in (None, False, 1, 1.0):
            raise ScheduleError(f"timm.{name}: it cannot be imported. Take it out.")
    shared = {
        "warmup_t": warmup,
        "warmup_lr_init": given.number("warmup_lr", 1e-5),
        "warmup_prefix": prefix,
    }
    cycles = {
        "t_initial": epochs,
        "lr_min": given.number("min_lr", 0.0),
        "cycle_mul": given.number("lr_cycle_mul", 1.0),
        "cycle_decay": given.number("lr_cycle_decay", 0.5),
        "cycle_limit": given.count("lr_cycle_limit", 1),
    }
    rate = given.number("decay_rate", 0.1)
    own: dict[str, dict[str, Any]] = {
        "cosine": cycles,
        "tanh": cycles,
        "poly": {**cycles, "power": rate},
        "step": {"decay_t": given.raw("decay_epochs", 90), "decay_rate": rate},
        "multistep": {"decay_t": given.raw("decay_milestones", [90, 180, 270]), "decay_rate": rate},
    }
    classes = {"cosine": "CosineLRScheduler", "tanh": "TanhLRScheduler", "poly": "PolyLRScheduler",
               "step": "StepLRScheduler", "multistep": "MultiStepLRScheduler"}  # fmt: skip
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    made = getattr(timm_names, classes[kind])(optimizer, **shared, **own[kind])
    last = epochs + cooldown + (warmup if prefix else 0)
    rates = [made.values(at)[0] for at in range(last)]
    return _rate_plan(Set(value_table(rates, every=known.updates(1))), known.updates(last), lr)


def _mmengine(settings: Settings, known: KnownRun) -> Plan:
    """Read mmengine's ``param_scheduler``: windows that may lie over each other."""
    entries = settings["param_scheduler"]
    if isinstance(entries, Mapping):
        entries = [entries]
    if not isinstance(entries, list) or not entries:
        raise ScheduleError("param_scheduler: a list of schedulers is needed.")
    lr = known.lr
    windows = [_mmengine_window(f"param_scheduler[{at}]", entry, known, lr)
               for at, entry in enumerate(entries)]  # fmt: skip
    stop = max(end for _, end, _, _ in windows)
    product = windows[0][2]
    for _, _, curve, _ in windows[1:]:
        product = product * curve
    for at, (begin, end, _, has_floor) in enumerate(windows):
        beside = (other for place, other in enumerate(windows) if place != at)
        if has_floor and any(one[0] < end and begin < one[1] for one in beside):
            raise ScheduleError(
                f"param_scheduler[{at}].eta_min: a lowest rate under a window of another scheduler "
                "cannot be imported. Part the windows."
            )
    return _rate_plan(product, known.total_steps or stop, lr)


def _mmengine_window(
    who: str, entry: Any, known: KnownRun, lr: float | None
) -> tuple[int, int, Schedule, bool]:
    """Return begin, end, the factor from update 0 on, and whether it has a lowest rate."""
    given = Section(who, entry, meaningless=("convert_to_iter_based", "verbose", "last_step"))
    kinds = ("LinearLR", "ConstantLR", "CosineAnnealingLR", "MultiStepLR", "StepLR", "PolyLR",
             "ExponentialLR")  # fmt: skip
    kind = given.name("type", kinds)
    by_epoch = bool(given.raw("by_epoch", True))
    each = known.updates(1) if by_epoch else 1
    is_smooth = not by_epoch or bool(entry.get("convert_to_iter_based", False))
    begin = given.count("begin", 0) * each
    length = given.raw("end")
    total = known.updates() if length is None and kind not in ("MultiStepLR", "StepLR") else 0
    end = total if length is None else given.count("end") * each
    unit = each if is_smooth else 1
    steps = ((end - begin) if is_smooth else (end - begin) // each) - 1
    floor = 0.0
    if kind in ("CosineAnnealingLR", "PolyLR"):
        ratio = given.number("eta_min_ratio", 0.0)
        least = given.number("eta_min", 0.0)
        if least and lr is None:
            raise ScheduleError(f"{who}.eta_min={least:g}: it is a rate. Give --lr.")
        floor = ratio or (least / lr if lr else 0.0)
    curve: Schedule
    if kind == "LinearLR":
        first, last = given.number("start_factor", 1 / 3), given.number("end_factor", 1.0)
        curve = Linear(start=first, end=last, steps=max(steps, 1))
    elif kind == "ConstantLR":
        curve = _in_turn(
            Constant(given.number("factor", 1 / 3), steps=max(steps, 1)), Constant(1.0)
        )
    elif kind == "CosineAnnealingLR":
        whole_way = given.count("T_max", steps + 1) * (unit if "T_max" in entry else 1)
        curve = Cosine(start=1.0, end=floor, steps=whole_way)
    elif kind == "PolyLR":
        curve = Polynomial(
            start=1.0, end=floor, steps=max(steps, 1), power=given.number("power", 1.0)
        )
    elif kind == "MultiStepLR":
        marks = tuple(int(mark) * unit for mark in given.numbers("milestones"))
        curve = Milestones(marks, gamma=given.number("gamma", 0.1))
        end = end or max(marks) * (1 if is_smooth else each)
    elif kind == "StepLR":
        curve = Staircase(gamma=given.number("gamma", 0.1), every=given.count("step_size") * unit)
    else:
        curve = ExponentialDecay(gamma=given.number("gamma"))
        curve = curve.stretch(unit) if unit > 1 else curve
    given.refuse_rest()
    if not is_smooth:
        many = max(steps + 2, 1) if end else 1
        curve = value_table(
            np.asarray(curve.over(many)(np.arange(float(many)))).tolist(), every=each
        )
    if begin:
        curve = Constant(1.0, steps=begin) >> curve
    return begin, end, curve, floor > 0


def _is_kind(settings: Settings, part: str, *keys: str) -> bool:
    inside = settings.get(part)
    return isinstance(inside, Mapping) and all(key in inside for key in keys)


Reader: TypeAlias = Callable[[Settings, KnownRun], Plan]
FORMATS: Sequence[tuple[str, Callable[[Settings], bool], Reader]] = (
    ("DeepSpeed", lambda s: _is_kind(s, "scheduler", "type", "params"), _deepspeed),
    ("torchtitan", lambda s: _is_kind(s, "lr_scheduler", "warmup_steps")
     or _is_kind(s, "lr_scheduler", "decay_ratio"), _torchtitan),
    ("composer", lambda s: _is_kind(s, "scheduler", "name"), _composer),
    ("BasicSR", lambda s: _is_kind(s, "train", "scheduler"), _basicsr),
    ("detectron2", lambda s: "SOLVER" in s, _detectron2),
    ("NeMo", lambda s: _is_kind(s.get("model", s), "optim", "sched"), _nemo),
    ("axolotl", lambda s: "cosine_min_lr_ratio" in s or "cosine_constant_lr_ratio" in s, _axolotl),
    ("timm", lambda s: "sched" in s and "warmup_epochs" in s, _timm_arguments),
    ("mmengine", lambda s: "param_scheduler" in s, _mmengine),
)  # fmt: skip
"""Name, how it is recognised, reader."""


def read_config(settings: Settings, known: KnownRun) -> Plan | None:
    """Return the plan of a configuration whose format is known, else ``None``.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or the run's length is not known.
    """
    for _, fits, read in FORMATS:
        if fits(settings):
            return read(settings, known)
    return None


def read_config_file(path: str | Path) -> Settings:
    """Return the settings of a file: TOML by its ending, else YAML or JSON.

    Raises:
        SpecError: It cannot be read, or it is no mapping.
    """
    try:
        text = read_text(path)
        if str(path).lower().endswith(".toml"):
            data: Any = tomllib.loads(text)
        else:
            # YAML's own marks of a number; our reader refuses tags
            data = parse(path, re.sub(r"(?<=[:\s\[,])!!(?:float|int)\s+", "", text)).data
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: no TOML: {error}.") from None
    except SpecError as error:
        raise SpecError([f"{path}: {mistake}" for mistake in error.mistakes]) from None
    if not isinstance(data, Mapping):
        raise SpecError(
            f"{path}: a mapping is needed, like class_path: torch.optim.lr_scheduler.StepLR."
        )
    return data
