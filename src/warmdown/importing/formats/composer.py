"""composer's and llm-foundry's YAML: ``scheduler`` and times such as ``100ba``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    ExponentialDecay,
    InverseSqrt,
    Linear,
    Milestones,
    Polynomial,
    Schedule,
    Staircase,
)

_TIME = re.compile(r"\s*([\d.eE+-]+)\s*(ba|ep|dur|tok|sp)\s*")
_NAMES = {
    "constant_with_warmup": "constant_with_warmup",
    "cosine_with_warmup": "cosine_with_warmup",
    "cosine_annealing_with_warmup": "cosine_with_warmup",
    "cosine_decay_with_warmup": "cosine_with_warmup",
    "linear_with_warmup": "linear_with_warmup",
    "linear_decay_with_warmup": "linear_with_warmup",
    "polynomial_with_warmup": "polynomial_with_warmup",
    "multistep_with_warmup": "multistep_with_warmup",
    "inv_sqrt_with_warmup": "inv_sqrt_with_warmup",
    "constant": "constant",
    "linear": "linear",
    "linear_decay": "linear",
    "cosine": "cosine",
    "cosine_annealing": "cosine",
    "cosine_decay": "cosine",
    "cosine_warmrestart": "restarts",
    "cosine_annealing_warm_restarts": "restarts",
    "exponential": "exponential",
    "polynomial": "polynomial",
    "step": "step",
    "multistep": "multistep",
}
_OWN = Level(1.0)


@dataclass(frozen=True)
class _Times:
    """How long the times of a file are, all of them in one unit."""

    settings: Settings
    known: KnownRun
    scale: float

    def ticks(self, unit: str) -> int:
        """Return how many of a unit an update has."""
        if unit == "ba":
            return 1
        who = Section("composer", self.settings)
        samples = who.count("global_train_batch_size")
        return samples * who.count("max_seq_len") if unit == "tok" else samples

    def read(self, text: Any, name: str, *, is_scaled: bool = True) -> tuple[float, str]:
        """Return a time in batches, samples or tokens, and its unit; a share has the run's."""
        found = _TIME.fullmatch(str(text))
        if found is None:
            raise ScheduleError(
                f"{name}={describe(text)}: a time such as 100ba, 3ep or 0.1dur is needed."
            )
        amount, unit = float(found[1]), found[2]
        if unit == "dur":
            length, of_run = self.run()
            return int(amount * length), of_run
        if unit == "ep":
            amount, unit = self.known.updates(1) * amount, "ba"
        return int(amount * self.scale) if is_scaled else int(amount), unit

    def run(self) -> tuple[float, str]:
        """Return the length of the run and its unit."""
        duration = self.settings.get("max_duration")
        if self.known.total_steps is not None:
            return self.known.total_steps, "ba"
        if duration is None:
            raise ScheduleError("max_duration: it is missing. Give --total-steps.")
        if isinstance(duration, int):  # epochs, where it has no unit
            duration = f"{duration}ep"
        found = _TIME.fullmatch(str(duration))
        if found is not None and found[2] == "dur":
            raise ScheduleError(f"max_duration={describe(duration)}: a length is needed.")
        if found is not None and found[2] == "ep":  # composer scales whole epochs
            return self.known.updates(int(float(found[1]) * self.scale)), "ba"
        return self.read(duration, "max_duration")


def read_composer(settings: Settings, known: KnownRun) -> Plan:
    """Read composer's and llm-foundry's ``scheduler`` and ``max_duration``."""
    given = Section("scheduler", settings["scheduler"])
    top = Section("composer", settings)
    if top.raw("step_schedulers_every_batch", True) is False:
        raise ScheduleError(
            "step_schedulers_every_batch=False: a scheduler that is stepped once an epoch cannot "
            "be imported. Take it out."
        )
    times = _Times(settings, known, top.number("scale_schedule_ratio", 1.0))
    kind = _NAMES[given.name("name", _NAMES)]
    length, unit_of_run = times.run()
    total = ceil(length / times.ticks(unit_of_run))
    units = {"scheduler": unit_of_run} if kind == "inv_sqrt_with_warmup" else {}

    def time(name: str, default: str | None = None, *, is_scaled: bool = True) -> int:
        text = given.raw(name, default)
        if text is None:
            raise ScheduleError(f"scheduler.{name}: it is missing. Give it, like 100ba.")
        found, unit = times.read(text, f"scheduler.{name}", is_scaled=is_scaled)
        other = next((key for key, one in units.items() if one != unit), None)
        if other is not None:
            raise ScheduleError(
                f"scheduler.{name}={describe(text)}: its unit has to be that of {other}, "
                f"{units[other]}. Give it in that."
            )
        units[name] = unit
        return int(found)

    def ticks() -> int:
        return times.ticks(next(iter(units.values()), "ba"))

    if kind.endswith("with_warmup"):
        rate = _warmed_up(given, kind, time, times, length)
    elif kind == "restarts":
        rate = _composer_restarts(given, time, lambda: total * ticks())
    else:
        rate = _composer_rate(given, kind, time)
    given.refuse_rest()
    optimizer = Section("optimizer", settings.get("optimizer") or {})
    has_rate = optimizer.raw("lr") is not None
    lr = known.lr or (optimizer.number("lr") if has_rate else None)
    return rate_plan(on_ticks(rate.share, ticks(), total), total, lr)


def _composer_rate(given: Section, kind: str, time: Callable[..., int]) -> Rate:
    """Return the factor of a kind without a warmup, on the clock of its unit."""
    if kind == "constant":
        alpha = Level(given.number("alpha", 1.0))
        stop = time("t_max", "1dur")
        return placed([(0, Rate.hold(alpha)), (stop, Rate.hold(_OWN))])
    if kind == "step":
        every = time("step_size")
        return _of_share(Staircase(gamma=given.number("gamma", 0.1), every=every))
    if kind == "multistep":
        return _of_share(_composer_milestones(given, time))
    if kind == "exponential":
        period = time("decay_period", "1ep")
        return _of_share(ExponentialDecay(gamma=given.number("gamma"), every=period))
    steps = max(time("t_max", "1dur"), 1)
    return _curve(given, kind, steps)


def _of_share(schedule: Schedule) -> Rate:
    return Rate(schedule, Constant(0.0))


def _curve(given: Section, kind: str, steps: int) -> Rate:
    start = Level(given.number("alpha_i", 1.0)) if kind.startswith("linear") else _OWN
    end = Level(given.number("alpha_f", 0.0))
    if kind.startswith("polynomial"):
        default = 2.0 if kind.endswith("warmup") else None
        return Rate.move(Polynomial, start, end, steps, power=given.number("power", default))
    return Rate.move(Linear if kind.startswith("linear") else Cosine, start, end, steps)


def _composer_milestones(given: Section, time: Callable[..., int]) -> Milestones:
    texts = given.raw("milestones", [])
    if not isinstance(texts, Sequence) or isinstance(texts, str):
        raise ScheduleError(
            f"scheduler.milestones={describe(texts)}: a list of times such as 10ep is needed."
        )
    read = (time(f"milestones[{place}]", text) for place, text in enumerate(texts))
    return Milestones(tuple(read), gamma=given.number("gamma", 0.1))


def _composer_restarts(
    given: Section, time: Callable[..., int], ticks_of_run: Callable[[], int]
) -> Rate:
    first, factor = time("t_0"), given.number("t_mult", 1.0)
    low = Level(given.number("alpha_f", 0.0))
    cycle = Rate.move(Cosine, _OWN, low, max(first, 1))
    if factor == 1:
        return cycle.changed(lambda part: part.repeat())
    parts, begin, steps = [], 0, first
    stop = ticks_of_run()
    while begin < stop:
        if steps < 1:
            raise ScheduleError("scheduler.t_mult: its cycles become shorter than an update.")
        parts.append((begin, Rate.move(Cosine, _OWN, low, steps)))
        begin, steps = begin + steps, int(factor * steps)
    return placed(parts)


def _warmed_up(
    given: Section, kind: str, time: Callable[..., int], times: _Times, length: float
) -> Rate:
    warmup = time("t_warmup", is_scaled=False)
    shortened = warmup
    if given.raw("scale_warmup", False) and kind != "inv_sqrt_with_warmup":
        shortened = time("t_warmup")
    peak = _OWN
    if kind == "multistep_with_warmup":
        rest = _of_share(_composer_milestones(given, time)).skip(warmup)
    elif kind == "inv_sqrt_with_warmup":
        rest = _root_then_cooldown(given, time, warmup)
    else:
        stop = time("t_max", "1dur")
        if stop < int(length) and times.run()[1] == times.read(given.raw("t_max", "1dur"), "")[1]:
            raise ScheduleError(
                f"scheduler.t_max={describe(given.raw('t_max'))}: it is shorter than the run. "
                "Lengthen it."
            )
        if kind == "constant_with_warmup":
            peak = Level(given.number("alpha", 1.0))
            rest = Rate.hold(peak)
        else:
            rest = _curve(given, kind, stop - warmup) if stop > warmup else Rate.hold(_OWN)
            peak = Level(given.number("alpha_i", 1.0)) if kind.startswith("linear") else _OWN
            if stop <= warmup:
                for name in ("alpha_f", "power"):
                    given.raw(name)  # never reached
                rest = Rate.hold(peak)
    if not warmup:
        return rest
    rise = Rate.move(Linear, Level(0.0), peak, max(shortened, 1))
    return placed([(0, rise), (warmup, rest)])


def _root_then_cooldown(given: Section, time: Callable[..., int], warmup: int) -> Rate:
    """Return what follows the warmup: an inverse square root, then a line down."""
    scale, cooldown, stop = time("t_scale"), time("t_cooldown"), time("t_max", "1dur")
    far, end = given.number("alpha_f_decay", 0.0), given.number("alpha_f_cooldown", 0.0)
    if far < end:
        raise ScheduleError(
            f"scheduler.alpha_f_cooldown={end:g}: it has to be at most alpha_f_decay={far:g}."
        )
    root = InverseSqrt(start=1 - far, timescale=scale)
    falling = _of_share(root + far if far else root)
    begin = max(stop - cooldown, warmup) - warmup
    last = falling.at(begin)
    fall = Rate.move(Linear, last, Level(end), cooldown) if cooldown else Rate.hold(last)
    return placed([(0, falling), (begin, fall)])
