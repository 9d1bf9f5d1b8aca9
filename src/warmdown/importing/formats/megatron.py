"""Megatron-LM's arguments: a command line, or a mapping with the same names."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.rates import on_ticks
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn
from warmdown.importing.imported import to_plan
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Rule,
    Schedule,
    Set,
    Sqrt,
)

_PARTS = ("MODEL_ARGS", "args", "optimizer", "scheduler", "train", "training", "model")
"""Mappings that may hold arguments, too."""
_STYLES = ("linear", "constant", "cosine", "inverse-square-root", "WSD")
_WSD_STYLES = ("exponential", "linear", "cosine", "minus_sqrt")
_ELSEWHERE = ("decoupled_lr", "decoupled_min_lr", "rampup_batch_size", "step_batch_size_schedule")
"""What changes the rate of some groups, or the samples of an update."""
_DERIVED = ("lr_warmup_steps", "lr_decay_steps")
"""What is computed from the others when training begins."""


def read_megatron(settings: Settings, known: KnownRun) -> Plan:
    """Read Megatron-LM's arguments: the rate, and the weight decay where that moves, too."""
    given = Section("megatron", _arguments_of(settings), meaningless=_DERIVED)
    for name, value in given.entries.items():
        if name in _ELSEWHERE and value not in (None, False, []):
            raise ScheduleError(
                f"megatron.{name}={describe(value)}: this setting cannot be imported. Take it "
                "out, or write the plan by hand."
            )
    lr, low = known.lr or given.number("lr"), given.number("min_lr", 0.0)
    first = given.number("lr_warmup_init", 0.0)
    unit, ticks, whole_run = _counted_in(given, known)
    decay = given.count(f"lr_decay_{unit}", whole_run)
    warmup = Fraction(given.count(f"lr_warmup_{unit}", 0))
    if (share := given.raw("lr_warmup_fraction")) is not None:
        if warmup:
            raise ScheduleError(
                f"megatron.lr_warmup_fraction={describe(share)}: lr_warmup_{unit} is there, too. "
                "Take one of them out."
            )
        warmup = Fraction(str(given.number("lr_warmup_fraction"))) * decay
    if not 0 <= warmup < decay:
        raise ScheduleError(
            f"megatron.lr_warmup_{unit}={float(warmup):g}: it has to be shorter than the decay, "
            f"lr_decay_{unit}={decay}. Shorten it."
        )
    if not 0 <= first <= lr or not 0 <= low <= lr:
        raise ScheduleError(
            f"megatron.min_lr={low:g}, lr_warmup_init={first:g}: they have to lie between 0 and "
            f"lr={lr:g}."
        )
    style = given.name("lr_decay_style", _STYLES, "linear")
    for name in ("lr_wsd_decay_style", f"lr_wsd_decay_{unit}"):
        given.raw(name)  # without effect in the other styles
    finer = warmup.denominator
    if style == "inverse-square-root" and not warmup and unit == "iters":
        finer = given.count("global_batch_size")  # the root of samples, not of updates
    rise, stop = int(warmup * finer), decay * finer
    after = stop - rise
    rest: Schedule
    if style == "constant":
        rest = Constant(lr)
    elif style == "inverse-square-root":
        curve = InverseSqrt(start=lr, timescale=max(rise, 1))
        falling = curve if rise else Constant(lr, steps=1) >> curve
        rest = in_turn(falling.clip(low=low).take(after + 1), Constant(low))
    elif style == "WSD":
        rest = _wsd(given, unit, finer, rise, stop, lr, low)
    else:
        shape = Linear if style == "linear" else Cosine
        rest = shape(start=lr, end=low, steps=after)
    total = known.total_steps or whole_run // ticks
    curve_of_rate = in_turn(Linear(start=first, end=lr, steps=rise), rest)
    rules: dict[str, list[Rule]] = {"lr": [Set(on_ticks(curve_of_rate, ticks * finer, total))]}
    if (weight_decay := _weight_decay(given, whole_run)) is not None:
        rules["weight_decay"] = [Set(on_ticks(weight_decay, ticks, total))]
    for name in given.entries:
        if name.startswith(("lr_", "start_weight", "end_weight", "weight_decay_")):
            continue
        given.raw(name)  # the other arguments are about the model, the data, the machine
    given.refuse_rest()
    return to_plan(rules, Run(total_steps=total, lr=lr))


def _argument_name(name: Any) -> str:
    return str(name).removeprefix("--").replace("-", "_")


def _arguments_of(settings: Settings) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _PARTS and isinstance(value, Mapping):
            flat |= {_argument_name(inner): entry for inner, entry in value.items()}
        else:
            flat[_argument_name(name)] = value
    return flat


def _counted_in(given: Section, known: KnownRun) -> tuple[str, int, int]:
    """Return the unit of lengths, its number in an update, and its number in the run."""
    samples = given.count("train_samples", 0)
    iters = known.total_steps or given.count("train_iters", 0)
    if samples and not given.count("train_iters", 0):
        unit, other, ticks = "samples", "iters", given.count("global_batch_size")
        length = known.total_steps * ticks if known.total_steps else samples
    elif iters:
        unit, other, ticks, length = "iters", "samples", 1, iters
    else:
        raise ScheduleError("megatron.train_iters: it is missing. Give --total-steps.")
    for name in ("lr_warmup", "lr_decay", "lr_wsd_decay"):
        if given.count(f"{name}_{other}", 0):
            raise ScheduleError(
                f"megatron.{name}_{other}: the run is counted in {unit}. Give {name}_{unit}."
            )
    return unit, ticks, length


def _wsd(
    given: Section, unit: str, finer: int, rise: int, stop: int, lr: float, low: float
) -> Schedule:
    """Return what follows the warmup of a schedule that decays at its end alone."""
    style = given.name("lr_wsd_decay_style", _WSD_STYLES, "exponential")
    steps = given.count(f"lr_wsd_decay_{unit}") * finer
    begin = stop - steps
    fall: Schedule = Constant(lr)
    if style == "exponential" and lr > low:
        height = lr - low
        fall = Exponential(start=2 * height, end=height, steps=steps) + (low - height)
    elif style != "exponential":
        shapes = {"linear": Linear, "cosine": Cosine, "minus_sqrt": Sqrt}
        fall = shapes[style](start=lr, end=low, steps=steps)
    if begin < rise:
        # the update at the end of the warmup has the peak all the same
        return Constant(lr, steps=1) >> fall.skip(rise + 1 - begin)
    return Constant(lr, steps=begin - rise) >> fall


def _weight_decay(given: Section, whole_run: int) -> Schedule | None:
    """Return the weight decay where it moves; else the optimizer's own stays."""
    style = given.name("weight_decay_incr_style", ("constant", "linear", "cosine"), "constant")
    if style == "constant":
        given.raw("weight_decay")
        return None  # a start or an end beside it is refused with the rest
    start, end = given.number("start_weight_decay"), given.number("end_weight_decay")
    if not 0 <= start <= end:
        raise ScheduleError(
            f"megatron.end_weight_decay={end:g}: it has to be at least start_weight_decay="
            f"{start:g}, which has to be at least 0."
        )
    shape = Linear if style == "linear" else Cosine
    return shape(start=start, end=end, steps=whole_run)
