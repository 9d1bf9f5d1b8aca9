"""OLMo-core's configurations, and the YAML of the OLMo before it.

Both trainers count an update before they ask for its rate: the first one has the rate of step 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.rates import Level, Rate, on_ticks, placed
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Power,
    Schedule,
)

_HOMES = ("", "train_module", "trainer.callbacks.lr_scheduler", "trainer.callbacks.scheduler")
"""Where a scheduler may stand in OLMo-core's files."""
_MEANINGLESS = ("_CLASS_", "type", "lr_field", "initial_lr_field", "enabled")
_SHAPES = {"linear": Linear, "cosine": Cosine}
_Make = Callable[[Section, Level, int], Rate]


def read_olmo_core(settings: Settings, known: KnownRun) -> Plan:
    """Read OLMo-core's ``scheduler``, wherever it stands, and ``max_duration``."""
    found = [home for home in _HOMES if (_part(settings, home) or {}).get("scheduler")]
    if not found:
        raise ScheduleError("scheduler: it is missing. Give it, with its _CLASS_.")
    home = _part(settings, found[0]) or {}
    _refuse_batch_sizes(settings)
    given = Section("scheduler", home["scheduler"], _MEANINGLESS)
    optim = home.get("optim") or settings.get("optim") or settings.get("optimizer") or {}
    lr = known.lr or Section("optim", optim).number("lr")
    total, ticks, length = _olmo_clock(given, settings, known)
    if _kind(given) == "ExponentialScheduler":
        made = _growing(given, length, lr)
    else:
        made = _made(given, Level(1.0), length)
    return _olmo_plan(made, total, ticks, lr)


def read_olmo(settings: Settings, known: KnownRun) -> Plan:
    """Read the YAML of OLMo before OLMo-core: ``scheduler`` and ``max_duration``."""
    given = Section(
        "scheduler",
        settings["scheduler"],
        ("grad_clip_warmup_steps", "grad_clip_warmup_factor"),
    )
    optimizer = Section("optimizer", settings.get("optimizer") or {})
    lr = known.lr or optimizer.number("learning_rate", 1e-4)
    top = Section("olmo", settings)
    by_tokens = given.name("units", ("steps", "tokens"), "steps") == "tokens"

    def batch() -> int:
        model = Section("model", settings.get("model") or {})
        sequences = top.count("global_train_batch_size", 512)
        return sequences * model.count("max_sequence_length", 1024)

    total, tokens = _old_total(top, known, batch)
    ticks = batch() if by_tokens else 1
    length = tokens if tokens and by_tokens else total * ticks
    kinds = ("cosine_with_warmup", "linear_with_warmup", "inverse_sqrt_with_warmup",
             "max_scheduler", "constant", "cosine_linear_envelope",
             "constant_with_warmup")  # fmt: skip
    kind = given.name("name", kinds, "cosine_with_warmup")
    peak, warmup = Level(1.0), given.count("t_warmup", 100)
    alpha = given.number("alpha_f", 0.1)
    stop = given.count("t_max", length)
    first = Level(0.1)
    if given.raw("warmup_min_lr") is not None:
        first = Level(0.0, given.number("warmup_min_lr"))
    given.refuse_rest()
    shape = Linear if kind == "linear_with_warmup" else Cosine
    rest = _move_to(shape, peak, peak.times(alpha), stop - warmup)
    # the root of no warmup is 0
    root = _inverse_root_of(peak, 0.0, warmup) if warmup else Rate.hold(Level(0.0))
    if kind == "inverse_sqrt_with_warmup":
        rest = root
    elif kind in ("constant", "constant_with_warmup"):
        rest = Rate.hold(peak)
    elif kind == "cosine_linear_envelope" and stop > warmup:
        product = Cosine(start=1.0 - alpha, end=0.0, steps=stop - warmup) * Linear(
            start=1.0, end=0.0, steps=stop - warmup
        )
        rest = Rate(product + alpha, Constant(0.0))
    elif kind == "max_scheduler":
        rest = _larger(rest, root, total * ticks + 1 - warmup)
    if kind == "constant":
        warmup = 0
    return _olmo_plan(_risen(first, peak, warmup, rest), total, ticks, lr)


def _olmo_plan(rate: Rate, total: int, ticks: int, lr: float) -> Plan:
    rule = rate.skip(ticks).changed(lambda part: on_ticks(part, ticks, total)).rule
    return rate_plan(rule, total, lr)


def _part(settings: Any, path: str) -> Mapping[str, Any] | None:
    for name in path.split(".") if path else ():
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings if isinstance(settings, Mapping) else None


def _refuse_batch_sizes(settings: Settings) -> None:
    """Refuse a callback that changes the rate with the batch."""
    for name, callback in (_part(settings, "trainer.callbacks") or {}).items():
        is_active = isinstance(callback, Mapping) and callback.get("enabled", True)
        if is_active and callback.get("batch_sizes"):
            raise ScheduleError(
                f"trainer.callbacks.{name}.batch_sizes: they change the rate. Take them out, or "
                "write the plan by hand."
            )


def _olmo_clock(given: Section, settings: Settings, known: KnownRun) -> tuple[int, int, int]:
    """Return the updates in the run, the scheduler's units in an update, and in the run."""
    loader = Section("data_loader", settings.get("data_loader") or {})

    def batch() -> int:
        if "global_batch_size" in loader.entries:
            return loader.count("global_batch_size")
        return Section("olmo_core", settings).count("global_batch_size")

    by_tokens = given.name("units", ("steps", "tokens"), "steps") == "tokens"
    ticks = batch() if by_tokens else 1
    if known.total_steps is not None:
        return known.total_steps, ticks, known.total_steps * ticks
    trainer = _part(settings, "trainer") or {}
    duration = trainer.get("max_duration", settings.get("max_duration"))
    if duration is None and not any(key in trainer for key in ("max_steps", "max_epochs")):
        total = known.updates()
        return total, ticks, total * ticks
    if not isinstance(duration, Mapping):
        unit = "epochs" if "max_epochs" in trainer else "steps"
        duration = {"value": duration or trainer.get(f"max_{unit}"), "unit": unit}
    length = Section("trainer.max_duration", duration, _MEANINGLESS)
    unit = length.name("unit", ("steps", "epochs", "tokens"))
    if unit == "tokens":
        tokens = length.count("value")
        total = ceil(tokens / batch())
        return total, ticks, tokens if by_tokens else total
    total = known.updates(length.number("value")) if unit == "epochs" else length.count("value")
    return total, ticks, total * ticks


def _kind(given: Section) -> str:
    """Return the name of a scheduler's class, which stands there by its path or its short name."""
    name = str(given.raw("_CLASS_", given.raw("type"))).rpartition(".")[2]
    kind = _BY_TYPE.get(name, name)
    if kind not in _CLASSES and kind != "ExponentialScheduler":
        given.name("_CLASS_" if "_CLASS_" in given.entries else "type", _CLASSES)
    return kind


def _made(given: Section, peak: Level, total: int) -> Rate:
    """Return the rate of a scheduler of OLMo-core."""
    kind = _kind(given)
    if kind not in _CLASSES:
        raise ScheduleError(f"{given.who}: {kind} among others cannot be imported. Take it out.")
    made = _CLASSES[kind](given, peak, total)
    given.raw("units")
    given.refuse_rest()
    return made


def _risen(first: Level, peak: Level, warmup: int, rest: Rate) -> Rate:
    """Return what follows a straight warmup of so many steps."""
    if not warmup:
        return rest
    return placed([(0, Rate.move(Linear, first, peak, warmup)), (warmup, rest)])


def _move_to(shape: Callable[..., Schedule], start: Level, end: Level, steps: int) -> Rate:
    return Rate.move(shape, start, end, steps) if steps > 0 else Rate.hold(end)


def _inverse_root_of(peak: Level, alpha: float, warmup: int) -> Rate:
    """Return the inverse square root after a warmup of so many steps."""

    def part(height: float) -> Schedule:
        if not height:
            return Constant(0.0)
        falling = InverseSqrt(start=height * (1 - alpha), timescale=warmup)
        return falling + height * alpha if alpha else falling

    return Rate(part(peak.share), part(peak.added))


def _olmo_length(given: Section, name: str, total: int, share: float | None = None) -> int:
    """Return a length that is given in steps or as a share of the run."""
    steps = given.raw(name, given.raw(f"{name}_steps"))
    fraction = given.raw(f"{name}_fraction")
    if steps is not None:
        given.raw(f"{name}_steps")
        if fraction is not None:
            raise ScheduleError(
                f"scheduler.{name}_fraction={describe(fraction)}: {name} is there, too. Take one "
                "of them out."
            )
        return given.count(name if given.raw(name) is not None else f"{name}_steps")
    value = given.number(f"{name}_fraction", share)
    if not 0 <= value <= 1:
        raise ScheduleError(f"scheduler.{name}_fraction={value:g}: it has to lie from 0 to 1.")
    return round(total * value)


def _first_rate(given: Section) -> Level:
    return Level(0.0, given.number("warmup_min_lr", 0.0))


def _last_rate(given: Section) -> Level:
    return Level(0.0, given.number("decay_min_lr", 0.0))


def _olmo_constant(given: Section, peak: Level, total: int) -> Rate:
    return Rate.hold(peak)


def _constant_with_warmup(given: Section, peak: Level, total: int) -> Rate:
    return _risen(_first_rate(given), peak, _olmo_length(given, "warmup", total), Rate.hold(peak))


def _curve_with_warmup(
    shape: Callable[..., Schedule], given: Section, peak: Level, total: int
) -> Rate:
    stop = given.count("t_max", total)
    warmup = _olmo_length(given, "warmup", stop)
    end = peak.times(given.number("alpha_f", 0.1))
    return _risen(_first_rate(given), peak, warmup, _move_to(shape, peak, end, stop - warmup))


def _olmo_linear(given: Section, peak: Level, total: int) -> Rate:
    return _curve_with_warmup(Linear, given, peak, total)


def _olmo_cosine(given: Section, peak: Level, total: int) -> Rate:
    return _curve_with_warmup(Cosine, given, peak, total)


def _cosine_then_line(given: Section, peak: Level, total: int) -> Rate:
    curve = _curve_with_warmup(Cosine, given, peak, total)
    decay = _olmo_length(given, "decay", total, 0.1)
    fall = Rate.move(Linear, curve.at(total - decay), _last_rate(given), max(decay, 1))
    return placed([(0, curve), (total - decay, fall)]) if decay else curve


def _half_cosine(given: Section, peak: Level, total: int) -> Rate:
    stop = given.count("t_max", total)
    warmup = _olmo_length(given, "warmup", stop)
    end = peak.times(given.number("alpha_f", 0.1))
    middle = Level((peak.share + end.share) / 2, (peak.added + end.added) / 2)
    rest = Rate.hold(end)
    if stop > warmup:
        rest = Rate.move(Cosine, peak, end, 2 * (stop - warmup)).skip(stop - warmup)
    return _risen(_first_rate(given), middle, warmup, rest)


def _inverse_root(given: Section, peak: Level, total: int) -> Rate:
    warmup, first = _olmo_length(given, "warmup", total), _first_rate(given)
    alpha = given.number("alpha_f", 0.1)
    if not warmup:  # the root of nothing: from the first update on it is the lowest rate
        return Rate.hold(peak.times(alpha))
    return _risen(first, peak, warmup, _inverse_root_of(peak, alpha, warmup))


def _with_line_down(given: Section, peak: Level, total: int, warmup: int, middle: Rate) -> Rate:
    """Return a warmup, what follows it, and a line down at the end; the warmup comes first."""
    decay = _olmo_length(given, "decay", total, 0.1)
    rise = Rate.move(Linear, _first_rate(given), peak, max(warmup, 1))
    parts = [(0, rise), (warmup, middle)] if warmup else [(0, middle)]
    begin = total - decay
    if decay:
        high = placed(parts).at(begin) if begin > warmup else peak
        fall = Rate.move(Linear, high, _last_rate(given), decay)
        if begin <= warmup:
            parts.append((warmup + 1, fall.skip(warmup + 1 - begin)))
        else:
            parts.append((begin, fall))
    else:
        _last_rate(given)
    return placed(parts)


def _olmo_wsd(given: Section, peak: Level, total: int) -> Rate:
    warmup = _olmo_length(given, "warmup", total)
    return _with_line_down(given, peak, total, warmup, Rate.hold(peak))


def _olmo_power(given: Section, peak: Level, total: int) -> Rate:
    warmup = _olmo_length(given, "warmup", total)
    exponent = -given.number("b", -0.51)
    if not warmup or exponent <= 0:
        raise ScheduleError(
            "scheduler.b: a negative power after a warmup of at least 1 step is needed."
        )

    if total - _olmo_length(given, "decay", total, 0.1) < warmup:
        raise ScheduleError("scheduler.decay: it begins within the warmup. Shorten one of them.")

    def part(height: float) -> Schedule:
        if not height:
            return Constant(0.0)
        return Power(start=height, timescale=warmup, exponent=exponent)

    return _with_line_down(given, peak, total, warmup, Rate(part(peak.share), part(peak.added)))


def _olmo_periods(given: Section, peak: Level, total: int) -> Rate:
    """Return one warmup, then periods that each stay and fall."""
    periods = [int(period) for period in given.numbers("period_lengths")]
    factors = given.numbers("period_lr_multipliers", [1.0] * len(periods))
    if not periods or len(factors) != len(periods):
        raise ScheduleError(
            "scheduler.period_lr_multipliers: as many as period_lengths are needed."
        )
    warmup = _olmo_length(given, "warmup", periods[0])
    decays = [_olmo_length(given, "decay", period) for period in periods]
    if warmup + decays[0] > periods[0] or any(
        decay > period for decay, period in zip(decays, periods, strict=True)
    ):
        raise ScheduleError("scheduler.decay: it does not fit into its period. Shorten it.")
    low, first = _last_rate(given), peak.times(factors[0])
    rise = Rate.move(Linear, _first_rate(given), first, max(warmup, 1))
    parts = [(0, rise)] if warmup else []
    stop = 0
    for place, (period, factor, decay) in enumerate(zip(periods, factors, decays, strict=True)):
        # a boundary is the end of the period before it
        begin, stop = stop, stop + period
        parts.append((max(begin + 1, warmup) if place else warmup, Rate.hold(peak.times(factor))))
        if decay:
            fall = Rate.move(Linear, peak.times(factor), low, decay)
            late = 1 if decay == period and place else 0
            parts.append((stop - decay + late, fall.skip(late)))
    parts.append((stop, Rate.hold(low)))
    return placed(parts)


def _growing(given: Section, total: int, lr: float) -> Rate:
    lowest = given.number("lr_min", 1e-9)
    given.refuse_rest()
    return Rate(Exponential(start=lowest / lr, end=1.0, steps=total), Constant(0.0))


def _olmo_stages(given: Section, peak: Level, total: int) -> Rate:
    """Return stages that each move to a level of their own."""
    stages = given.raw("stages", [])
    if not isinstance(stages, list) or not stages:
        raise ScheduleError("scheduler.stages: a list of stages is needed.")
    parts: list[tuple[int, Rate]] = []
    begin, level = 0, peak
    for place, entry in enumerate(stages):
        stage = Section(f"scheduler.stages[{place}]", entry, _MEANINGLESS)
        steps, end = stage.count("duration"), _stage_level(stage, "end_lr", peak)
        start = _stage_level(stage, "start_lr", peak, level)
        shape = _SHAPES[stage.name("shape", _SHAPES, "linear")]
        stage.refuse_rest()
        if steps < 1:
            raise ScheduleError(f"{stage.who}.duration={steps}: at least 1 step is needed.")
        parts.append((begin, Rate.move(shape, start, end, steps)))
        begin, level = begin + steps, end
    parts.append((begin, Rate.hold(level)))
    return _overridden(given, placed(parts), peak)


def _stage_level(stage: Section, name: str, peak: Level, default: Level | None = None) -> Level:
    """Return a level that is given as a rate or as a share of the highest one."""
    is_rate, is_share = (stage.raw(key) is not None for key in (name, f"{name}_fraction"))
    if is_rate and is_share:
        raise ScheduleError(f"{stage.who}.{name}: {name}_fraction is there, too. Take one out.")
    if is_rate:
        return Level(0.0, stage.number(name))
    if default is not None and not is_share:
        return default
    return peak.times(stage.number(f"{name}_fraction"))


def _overridden(given: Section, rate: Rate, peak: Level) -> Rate:
    """Return a rate that another decay takes over at some step."""
    entry = given.raw("override_decay")
    if entry is None:
        return rate
    decay = Section("scheduler.override_decay", entry, _MEANINGLESS)
    start, steps = decay.count("start"), decay.count("duration")
    shape, end = (
        _SHAPES[decay.name("shape", _SHAPES, "linear")],
        _stage_level(decay, "end_lr", peak),
    )
    decay.refuse_rest()
    fall = Rate.move(shape, rate.at(start), end, max(steps, 1))
    return placed([(0, rate), (start, fall), (start + steps, Rate.hold(end))])


def _olmo_sequence(given: Section, peak: Level, total: int) -> Rate:
    """Return schedulers in turn; each one's highest rate is where the one before it ended."""
    entries = given.raw("schedulers", [])
    key = "schedulers_max" if given.raw("schedulers_max") is not None else "schedulers_max_steps"
    lengths = [int(length) for length in given.numbers(key)]
    given.raw("schedulers_max_steps")
    if not isinstance(entries, list) or len(lengths) not in (len(entries), len(entries) - 1):
        raise ScheduleError(f"scheduler.{key}: one for each scheduler but the last is needed.")
    parts: list[tuple[int, Rate]] = []
    begin, level = 0, peak
    for place, entry in enumerate(entries):
        part = Section(f"scheduler.schedulers[{place}]", entry, _MEANINGLESS)
        left = total - begin
        steps = left if place == len(entries) - 1 else min(lengths[place], left)
        if steps < 1:
            break  # the run ends before
        rate = _made(part, level, steps)
        # its last step belongs to the scheduler that ends there
        parts.append((begin + 1, rate.skip(1)) if place else (0, rate))
        begin, level = begin + steps, rate.at(steps)
    return _overridden(given, placed(parts), peak)


def _larger(first: Rate, second: Rate, steps: int) -> Rate:
    """Return the larger of two rates that cross here and there."""
    import numpy as np

    at = np.arange(float(max(steps, 1)))
    is_first = np.asarray(first.share(at)) >= np.asarray(second.share(at))
    switches = [0, *(int(step) for step in np.flatnonzero(np.diff(is_first)) + 1)]
    chosen = (first if is_first[step] else second for step in switches)
    return placed([(step, rate.skip(step)) for step, rate in zip(switches, chosen, strict=True)])


def _old_total(top: Section, known: KnownRun, batch: Callable[[], int]) -> tuple[int, int | None]:
    """Return the updates of OLMo's ``max_duration`` and its tokens: steps, ``2e12T``, ``1ep``."""
    if known.total_steps is not None:
        return known.total_steps, None
    given = str(top.raw("max_duration", 10_000)).strip()
    unit = next((unit for unit in ("ep", "T") if given.endswith(unit)), "")
    length = Section("olmo", {"max_duration": given.removesuffix(unit).strip()})
    if unit == "ep":
        return known.updates(length.number("max_duration")), None
    value = int(length.number("max_duration"))
    return (ceil(value / batch()), value) if unit else (value, None)


_CLASSES: Mapping[str, _Make] = {
    "ConstantScheduler": _olmo_constant,
    "ConstantWithWarmup": _constant_with_warmup,
    "LinearWithWarmup": _olmo_linear,
    "CosWithWarmup": _olmo_cosine,
    "CosWithWarmupAndLinearDecay": _cosine_then_line,
    "HalfCosWithWarmup": _half_cosine,
    "InvSqrtWithWarmup": _inverse_root,
    "WSD": _olmo_wsd,
    "WSDS": _olmo_periods,
    "PowerLR": _olmo_power,
    "ComposableScheduler": _olmo_stages,
    "SequentialScheduler": _olmo_sequence,
}
_BY_TYPE = {
    "constant": "ConstantScheduler",
    "constant_with_warmup": "ConstantWithWarmup",
    "linear_with_warmup": "LinearWithWarmup",
    "cos_with_warmup": "CosWithWarmup",
    "cos_with_warmup_and_linear_decay": "CosWithWarmupAndLinearDecay",
    "half_cos_with_warmup": "HalfCosWithWarmup",
    "inv_sqrt_with_warmup": "InvSqrtWithWarmup",
    "wsd": "WSD",
    "wsds": "WSDS",
    "power_lr": "PowerLR",
    "exponential": "ExponentialScheduler",
    "composable": "ComposableScheduler",
    "sequential": "SequentialScheduler",
}
"""OLMo-core's registered names of its classes."""
