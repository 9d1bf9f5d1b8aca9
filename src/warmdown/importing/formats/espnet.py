"""ESPnet's YAML: ``scheduler`` and ``scheduler_conf``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import (
    KnownRun,
    Section,
    Settings,
    in_turn,
    rate_plan,
    stairs_of,
    value_table,
)
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Rule,
    Scale,
    Schedule,
    Set,
)

_BY_EPOCH = {
    "steplr": "StepLR",
    "multisteplr": "MultiStepLR",
    "exponentiallr": "ExponentialLR",
    "cosineannealinglr": "CosineAnnealingLR",
    "reducelronplateau": "ReduceLROnPlateau",
}
_BY_UPDATE = {
    "cycliclr": "CyclicLR",
    "onecyclelr": "OneCycleLR",
    "cosineannealingwarmrestarts": "CosineAnnealingWarmRestarts",
}
"""torch's classes, and how often ESPnet steps each of them."""


def read_espnet(settings: Settings, known: KnownRun) -> Plan:
    """Read ESPnet's ``scheduler``, ``scheduler_conf`` and ``optim_conf.lr``."""
    top = Section("espnet", settings)
    for other in ("scheduler2", "scheduler3"):
        if top.raw(other):
            raise ScheduleError(f"espnet.{other}: a second optimizer cannot be imported.")
    lr = known.lr or top.part("optim_conf").number("lr")
    names = (*_OWN, *_BY_EPOCH, *_BY_UPDATE, "none")
    name = str(top.raw("scheduler", "none")).lower()
    if name not in names:
        top.name("scheduler", names)
    conf = top.part("scheduler_conf")
    total = _updates_of_run(top, known)
    if name == "none":
        return rate_plan(Scale(Constant(1.0)), total, lr)
    if name in _OWN:
        rule = _OWN[name](conf, lr, total)
        conf.refuse_rest()
        # Noam's peak is far below the optimizer's rate, which is a factor there
        return rate_plan(rule, total, _noam_peak(conf, lr) if name == "noamlr" else lr)
    path = f"torch.optim.lr_scheduler.{_BY_EPOCH.get(name) or _BY_UPDATE[name]}"
    config = {"class_path": path, "init_args": conf.entries}
    if name == "reducelronplateau":
        return known.read_class(config, total_steps=total, lr=lr)
    each = _updates_of_epoch(top, known) if name in _BY_EPOCH else 1
    count = ceil(total / each)
    plan = known.read_class(config, total_steps=count, lr=lr).over()
    targets = [replace(one, rule=stairs_of(one.rule, count, each)) for one in plan.targets]
    return Plan(targets=tuple(targets), run=Run(total_steps=total, lr=lr))


def _updates_of_epoch(top: Section, known: KnownRun) -> int:
    """Return the updates in an epoch: ESPnet may have a number of batches."""
    if known.steps_per_epoch is None and top.raw("num_iters_per_epoch") is not None:
        return max(top.count("num_iters_per_epoch") // top.count("accum_grad", 1), 1)
    return known.updates(1)


def _updates_of_run(top: Section, known: KnownRun) -> int:
    if known.total_steps is not None:
        return known.total_steps
    return (known.epochs or top.count("max_epoch", 40)) * _updates_of_epoch(top, known)


def _rise_and_root(conf: Section, peak: float = 1.0) -> Schedule:
    """Return the rise and the inverse root that ESPnet counts from 1."""
    steps = conf.count("warmup_steps", 25_000)
    if steps < 1:
        raise ScheduleError(f"{conf.who}.warmup_steps={steps}: at least 1 is needed.")
    rise = Linear(start=peak / steps, end=peak, steps=steps - 1)
    return in_turn(rise, InverseSqrt(start=peak, timescale=steps))


def _noam(conf: Section, lr: float, total: int) -> Rule:
    return Set(_rise_and_root(conf, _noam_peak(conf, lr)))


def _noam_peak(conf: Section, lr: float) -> float:
    size, steps = conf.number("model_size", 320), conf.number("warmup_steps", 25_000)
    return float(lr * (size * steps) ** -0.5)


def _warmup_step(conf: Section, lr: float, total: int) -> Rule:
    warmup, each = conf.count("warmup_steps", 25_000), conf.count("steps_per_epoch", 10_000)
    every, gamma = conf.count("step_size", 1), conf.number("gamma", 0.1)
    later = [
        gamma ** ((at // each - warmup // each) // every) for at in range(warmup + 1, total + 1)
    ]
    rise = Linear(start=1 / max(warmup, 1), end=1.0, steps=max(warmup - 1, 0))
    top = Constant(1.0, steps=min(warmup, 1))
    return Scale(in_turn(rise, top, value_table(later or [1.0])))


def _tristage(conf: Section, lr: float, total: int) -> Rule:
    most = conf.count("max_steps", 25_000)
    shares = {"warmup_ratio": 0.1, "hold_ratio": 0.4, "decay_ratio": 0.5}
    warm, hold, decay = (conf.number(name, usual) for name, usual in shares.items())
    if abs(warm + hold + decay - 1) > 1e-9:
        raise ScheduleError(f"{conf.who}.decay_ratio={decay:g}: the three ratios must add up to 1.")
    first, last = conf.number("init_lr_scale", 0.01), conf.number("final_lr_scale", 0.01)
    rise, level = int(most * warm), int(most * hold)
    fall = Exponential(start=1.0, end=last, steps=most - rise - level)
    parts = Linear(start=first, end=1.0, steps=rise), Constant(1.0, steps=level), fall
    return Scale(in_turn(*parts).skip(1))


def _piecewise(conf: Section, lr: float, total: int) -> Rule:
    steps = [int(step) for step in conf.numbers("warmup_steps_list", [0, 25_000])]
    rates = conf.numbers("warmup_lr_list", [0.0, 0.001])
    if len(steps) != len(rates) or steps != sorted(steps) or steps[-1] < 1:
        raise ScheduleError(f"{conf.who}.warmup_lr_list: as many as the rising steps are needed.")
    lines = [Linear(start=before, end=after, steps=stop - start) for start, stop, before, after
             in zip(steps, steps[1:], rates, rates[1:], strict=False)]  # fmt: skip
    fall = InverseSqrt(start=lr, timescale=steps[-1]).skip(1)
    before = Constant(rates[0], steps=steps[0])
    return Set(in_turn(before, *lines, Constant(rates[-1], steps=1), fall).skip(1))


def _restarts(conf: Section, lr: float, total: int) -> Rule:
    length, grow = conf.count("first_cycle_steps"), conf.number("cycle_mult", 1.0)
    high, low = conf.number("max_lr", 0.1), conf.number("min_lr", 0.001)
    warmup, gamma = conf.count("warmup_steps", 0), conf.number("gamma", 1.0)
    if warmup >= length:
        raise ScheduleError(f"{conf.who}.warmup_steps={warmup}: fewer than a cycle's are needed.")
    cycles: list[Schedule] = []
    done = 0
    while done < total:
        if length < 1:
            raise ScheduleError(f"{conf.who}.cycle_mult={grow:g}: a cycle would have no update.")
        cycles.append(in_turn(Linear(start=low, end=high, steps=warmup),
                              Cosine(start=high, end=low, steps=length - warmup)))  # fmt: skip
        done += length
        length, high = int((length - warmup) * grow) + warmup, high * gamma
    # the constructor leaves the lowest rate, whatever the first cycle begins with
    return Set(in_turn(Constant(low, steps=1), in_turn(*cycles).skip(1)))


def _exponential_decay(conf: Section, lr: float, total: int) -> Rule:
    high, low = conf.number("max_lr"), conf.number("min_lr")
    end, warmup = conf.count("total_steps"), conf.count("warmup_steps", 0)
    if warmup >= end:
        raise ScheduleError(f"{conf.who}.warmup_steps={warmup}: fewer than total_steps are needed.")
    from_zero = bool(conf.raw("warm_from_zero", False))
    gamma = (low / high) ** (1 / (end - warmup))
    fall = Exponential(start=high, end=high * gamma ** max(total, end), steps=max(total, end))
    first = Constant(0.0 if from_zero else high, steps=1)
    if warmup == 0:
        return Set(in_turn(first, fall.skip(1)))
    rise: Schedule = Constant(lr, steps=warmup - 1)
    if from_zero and warmup > 1:
        rise = Linear(start=2 * high / warmup, end=high, steps=max(warmup - 2, 1)).take(warmup - 1)
        if warmup > 2:
            rise = in_turn(Linear(start=2 * high / warmup, end=high, steps=warmup - 2),
                           Constant(high, steps=1))  # fmt: skip
    return Set(in_turn(first, rise, fall))


_OWN: Mapping[str, Callable[[Section, float, int], Rule]] = {
    "warmuplr": lambda conf, lr, total: Scale(_rise_and_root(conf)),
    "noamlr": _noam,
    "warmupsteplr": _warmup_step,
    "tristagelr": _tristage,
    "piecewiselinearwarmuplr": _piecewise,
    "cosineannealingwarmuprestarts": _restarts,
    "exponentialdecaywarmup": _exponential_decay,
}
