"""mmengine's ``param_scheduler``: windows that may lie over each other.

Each scheduler multiplies what stands in the group, or moves it towards a lowest value, so that
what one leaves is where the next begins. The values are followed step by step; where a product of
curves has the same ones, that is the plan, else a table of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import cos, inf, pi
from typing import Any

import numpy as np

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, value_table
from warmdown.importing.imported import MAX_STEPS, to_plan
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    Linear,
    Milestones,
    Polynomial,
    Rule,
    Scale,
    Schedule,
    Set,
    Staircase,
)

_SHAPES = ("Linear", "Constant", "CosineAnnealing", "MultiStep", "Step", "Poly", "Exponential",
           "CosineRestart", "OneCycle")  # fmt: skip
_SUFFIXES = {"LR": "lr", "Momentum": "momentum", "ParamScheduler": ""}
_KINDS = {f"{shape}{suffix}": (shape, field)
          for shape in _SHAPES for suffix, field in _SUFFIXES.items()
          if (shape, suffix) != ("OneCycle", "Momentum")}  # fmt: skip
_MEANINGLESS = ("convert_to_iter_based", "verbose", "last_step", "_scope_")
_WITH_MOMENTUM = ("SGD", "RMSprop", "")
_Next = Callable[[int, float, float], float]
"""Returns the value at a step from that before it and the group's own."""


@dataclass(frozen=True)
class _Window:
    """A scheduler from its begin to its end, on a clock of so many updates a step.

    Args:
        who: Where it stands in the file.
        field: What it drives.
        begin: Its first update.
        steps: How many steps it has.
        each: Updates in a step.
        absolute: The setting in which it has an absolute value, if there is one.
        following: The value at a step from the one before.
        curve: The factor on what it finds, from its own step 0 on, for what that is.
    """

    who: str
    field: str
    begin: int
    steps: float
    each: int
    absolute: str
    following: _Next
    curve: Callable[[float, float], Schedule | None]


def read_mmengine(settings: Settings, known: KnownRun) -> Plan:
    """Read mmengine's ``param_scheduler``; the run's length and the rate may stand beside it."""
    entries = settings["param_scheduler"]
    if isinstance(entries, Mapping):
        if "type" not in entries:
            raise ScheduleError(
                f"param_scheduler={', '.join(map(str, entries))[:60]}: each optimizer has "
                "schedulers of its own. Import one of them at a time."
            )
        entries = [entries]
    if not isinstance(entries, list | tuple) or not entries:
        raise ScheduleError("param_scheduler: a list of schedulers is needed.")
    optimizer = _optimizer_of(settings)
    known = _with_length(settings, known)
    lr = known.lr or whole(optimizer.get("lr"))
    windows = [_window(f"param_scheduler[{at}]", entry, known)
               for at, entry in enumerate(entries)]  # fmt: skip
    ends = [one.begin + one.steps * one.each for one in windows]
    total = known.total_steps or int(max((end for end in ends if end < inf), default=0))
    if not total:
        raise ScheduleError("train_cfg: the length of the run is missing. Give --total-steps.")
    rules: dict[str, list[Rule]] = {}
    for field in dict.fromkeys(one.field for one in windows):
        target, base = _driven_field(field, optimizer, lr)
        of_field = [one for one in windows if one.field == field]
        rules[target] = [_rule(of_field, total, base)]
    return to_plan(rules, Run(total_steps=total, lr=lr if isinstance(lr, int | float) else None))


def _optimizer_of(settings: Settings) -> Mapping[str, Any]:
    wrapper = settings.get("optim_wrapper") or {}
    optimizer = wrapper.get("optimizer") if isinstance(wrapper, Mapping) else None
    return optimizer if isinstance(optimizer, Mapping) else settings.get("optimizer") or {}


def _with_length(settings: Settings, known: KnownRun) -> KnownRun:
    """Return what is known of the run, with what ``train_cfg`` has."""
    config = Section("train_cfg", settings.get("train_cfg") or {})
    total, epochs = known.total_steps, known.epochs
    if total is None and config.raw("max_iters") is not None:
        total = config.count("max_iters")
    if epochs is None and config.raw("max_epochs") is not None:
        epochs = config.count("max_epochs")
    if total is None and epochs and known.steps_per_epoch:
        total = epochs * known.steps_per_epoch
    return replace(known, total_steps=total, epochs=epochs)


def _driven_field(field: str, optimizer: Mapping[str, Any], lr: Any) -> tuple[str, float | None]:
    """Return the field of torch's optimizer, and its value in the file."""
    if field == "lr":
        return "lr", None if lr is None else float(lr)
    if field == "momentum" and str(optimizer.get("type", "")) not in _WITH_MOMENTUM:
        betas = optimizer.get("betas") or (0.9, 0.999)
        return "betas[0]", float(whole(betas[0]))
    base = whole(optimizer.get(field))
    return field, None if base is None else float(base)


def _rule(windows: Sequence[_Window], total: int, base: float | None) -> Rule:
    """Return the rule of a field that these windows drive."""
    absolute = next((one for one in windows if one.absolute), None)
    cycle = next((one for one in windows if one.absolute == "eta_max"), None)
    if cycle and len(windows) > 1:  # it replaces the value that the others start from
        raise ScheduleError(
            f"{cycle.who}.type: OneCycle beside another scheduler of {cycle.field} cannot be "
            "imported. Take one of them out."
        )
    is_cycle = cycle is not None and base is None
    if base is None and absolute is not None and not is_cycle:
        raise ScheduleError(
            f"{absolute.who}.{absolute.absolute}: it is a value, and that of the optimizer is "
            f"missing. Give {'--lr' if absolute.field == 'lr' else 'optim_wrapper.optimizer'}."
        )
    height = 1.0 if base is None else base
    values = np.asarray(_followed(windows, total, height))
    factor = _product(windows, total, height)
    if factor is not None:
        found = np.asarray(factor(np.arange(float(total)))) * height
        if np.allclose(found, values, rtol=1e-9, atol=1e-15 * abs(height)):
            return Set(factor) if is_cycle else Scale(factor)
    try:
        return Set(value_table(values.tolist())) if absolute else Scale(
            value_table((values / height).tolist()))  # fmt: skip
    except ScheduleError:
        raise ScheduleError(
            f"{windows[-1].who}: a lowest value under a window of another scheduler cannot be "
            "imported. Part the windows."
        ) from None


def _followed(windows: Sequence[_Window], total: int, base: float) -> list[float]:
    """Return the value of each update, as mmengine's hook steps the schedulers."""
    if total > MAX_STEPS:
        raise ScheduleError(f"warmdown import: more than {MAX_STEPS} updates. Shorten the run.")
    values, value = [], base
    for update in range(total):
        for one in windows:
            if update < one.begin or (update - one.begin) % one.each:
                continue
            step = (update - one.begin) // one.each
            if step < one.steps:
                value = one.following(step, value, base)
        values.append(value)
    return values


def _product(windows: Sequence[_Window], total: int, base: float) -> Schedule | None:
    """Return the product of the windows' factors, or ``None`` where they have none."""
    product: Schedule | None = None
    for one in sorted(windows, key=lambda window: window.begin):
        height = base if product is None else product(one.begin) * base
        curve = one.curve(height, base)
        if curve is None:
            return None
        last = total // one.each + 1 if one.steps == inf else int(one.steps) - 1
        if not last:
            curve = Constant(curve(0))  # one step alone, which stays
        elif one.each > 1:
            table = np.asarray(curve(np.arange(float(last + 1)))).tolist()
            curve = value_table(table, every=one.each)
        elif one.steps < inf and curve.length != last and not isinstance(curve, Constant):
            curve = curve.take(last)
        if one.begin:
            curve = Constant(1.0, steps=one.begin) >> curve
        product = curve if product is None else product * curve
    return product


def _window(who: str, entry: Any, known: KnownRun) -> _Window:
    given = Section(who, entry, _MEANINGLESS)
    named = str(given.raw("type"))
    if named.startswith("ReduceOnPlateau"):
        raise ScheduleError(f"{who}.type={named!r}: it follows a metric. Use Plateau.")
    shape, field = _KINDS[given.name("type", _KINDS)]
    field = field or str(given.raw("param_name", "lr"))
    if not given.raw("by_epoch", True):
        each, unit = 1, 1
    elif bool(entry.get("convert_to_iter_based", False)):
        each, unit = 1, known.updates(1)
    else:
        each, unit = known.updates(1), 1
    begin = given.count("begin", 0) * unit
    end = given.raw("end")
    steps = inf
    if end is not None and whole(end) != inf:
        steps = given.count("end") * unit - begin
        if steps < 1:
            raise ScheduleError(f"{who}.end={describe(end)}: it has to be after begin.")
    elif shape in ("Linear", "Constant", "CosineAnnealing", "Poly", "OneCycle"):
        # without an end these last for the run
        total = known.updates()
        steps = (total if each == 1 else total // each) - begin
    following, curve = _MAKERS[shape](given, unit, steps)
    given.refuse_rest()
    least = shape in ("CosineAnnealing", "Poly", "CosineRestart") and whole(entry.get("eta_min"))
    absolute = "eta_max" if shape == "OneCycle" else "eta_min" if least else ""
    return _Window(who, field, begin * each, steps, each, absolute, following, curve)


_Made = tuple[_Next, Callable[[float, float], Schedule | None]]


def _times_a_factor(factor: Callable[[int], float], curve: Schedule) -> _Made:
    """Return a scheduler whose value is what it finds times a factor of the step."""
    state = {"before": 1.0}

    def following(step: int, value: float, base: float) -> float:
        before = state["before"] if step else 1.0
        state["before"] = factor(step)
        return value * state["before"] / before

    return following, lambda height, base: curve


def _linear_window(given: Section, unit: int, steps: float) -> _Made:
    first, last = given.number("start_factor", 1 / 3), given.number("end_factor", 1.0)
    many = int(max(steps - 1, 1))
    line = Linear(start=first, end=last, steps=many)
    return _times_a_factor(lambda step: first + (last - first) * step / many, line)


def _constant_window(given: Section, unit: int, steps: float) -> _Made:
    factor = given.number("factor", 1 / 3)
    if steps == 1:
        return _times_a_factor(lambda step: factor, Constant(factor))
    curve = Constant(factor, steps=int(steps) - 1) >> Constant(1.0)
    return _times_a_factor(lambda step: factor if step < steps - 1 else 1.0, curve)


def _multistep_window(given: Section, unit: int, steps: float) -> _Made:
    marks = sorted(int(mark) * unit for mark in given.numbers("milestones"))
    gamma = given.number("gamma", 0.1)
    counts = Counter(marks)
    falls = dict(zip(counts, accumulate(counts.values()), strict=True))
    reached = [*falls.items()]

    def factor(step: int) -> float:
        return gamma ** max((count for mark, count in reached if mark <= step), default=0)

    curve: Schedule = Milestones(tuple(mark for mark in marks if mark > 0), gamma=gamma)
    if at_once := counts[0]:
        curve = curve * gamma**at_once
    return _times_a_factor(factor, curve)


def _step_window(given: Section, unit: int, steps: float) -> _Made:
    every, gamma = given.count("step_size") * unit, given.number("gamma", 0.1)
    if not every:
        raise ScheduleError(f"{given.who}.step_size=0: at least 1 is needed.")
    curve = Staircase(gamma=gamma, every=every)
    return _times_a_factor(lambda step: gamma ** (step // every), curve)


def _exponential_window(given: Section, unit: int, steps: float) -> _Made:
    gamma = given.number("gamma")
    return _times_a_factor(lambda step: gamma**step, ExponentialDecay(gamma=gamma))


def _lowest_of(given: Section) -> Callable[[float], float]:
    """Return the lowest value for a group's own, which is absolute or a share of it."""
    ratio = given.raw("eta_min_ratio")
    if ratio is not None:
        if given.raw("eta_min") is not None:
            raise ScheduleError(f"{given.who}.eta_min: eta_min_ratio is there, too. Take one out.")
        share = given.number("eta_min_ratio")
        return lambda base: share * base
    least = given.number("eta_min", 0.0)
    return lambda base: least


def _towards(
    given: Section,
    weight: Callable[[int], float],
    shape: Callable[[float], Schedule],
    steps: float,
) -> _Made:
    """Return a scheduler that moves what it finds towards a lowest value.

    Args:
        given: Its settings.
        weight: How much of the way is left at a step.
        shape: The factor that ends at a share of what it finds.
        steps: Its length.
    """
    lowest = _lowest_of(given)

    def following(step: int, value: float, base: float) -> float:
        least = lowest(base)
        if not step:
            return value
        before = weight(step - 1)
        if not before:
            return value + (base - least) * weight(step)
        return (value - least) * weight(step) / before + least

    def curve(height: float, base: float) -> Schedule | None:
        return shape(lowest(base) / height) if height else None

    return following, curve


def _cosine_window(given: Section, unit: int, steps: float) -> _Made:
    period = given.count("T_max", 0) * unit or int(steps)

    def shape(end: float) -> Schedule:
        down = Cosine(start=1.0, end=end, steps=period)
        return down if steps <= period + 1 else (down >> Cosine(
            start=end, end=1.0, steps=period)).repeat()  # fmt: skip

    def weight(step: int) -> float:
        at = step % (2 * period)
        return 0.0 if at == period else (1 + cos(pi * at / period)) / 2

    return _towards(given, weight, shape, steps)


def _poly_window(given: Section, unit: int, steps: float) -> _Made:
    power, many = given.number("power", 1.0), int(max(steps - 1, 1))
    return _towards(
        given,
        lambda step: max(1 - step / many, 0.0) ** power,
        lambda end: Polynomial(start=1.0, end=end, steps=many, power=power),
        steps,
    )


def _restart_window(given: Section, unit: int, steps: float) -> _Made:
    periods = [int(period) * unit for period in given.numbers("periods")]
    weights = given.numbers("restart_weights", [1.0])
    if len(weights) != len(periods) or min(periods, default=0) < 1:
        raise ScheduleError(f"{given.who}.restart_weights: as many as periods are needed.")
    lowest = _lowest_of(given)
    stops = [*accumulate(periods)]

    def following(step: int, value: float, base: float) -> float:
        place = next((at for at, stop in enumerate(stops) if step < stop), None)
        if place is None:
            return value
        at, period, least = step - stops[place] + periods[place], periods[place], lowest(base)
        if not at:
            return base * weights[place]
        # from the value that stands there, which another window may have moved
        before = 1 + cos(pi * (at - 1) / period)
        return least + (value - least) * (1 + cos(pi * at / period)) / before

    def curve(height: float, base: float) -> Schedule | None:
        low = lowest(base) / height if height else 0.0
        scale = base / height if height else 1.0
        chain: Schedule | None = None
        for weight, period in zip(weights, periods, strict=True):
            cosine = Cosine(start=weight * scale, end=low, steps=period)
            chain = cosine if chain is None else chain >> cosine
        # the last period has not quite reached its end when it stays
        return None if chain is None else chain.take(stops[-1] - 1)

    return following, curve


def _one_cycle_window(given: Section, unit: int, steps: float) -> _Made:
    top = given.number("eta_max")
    total = given.count("total_steps", 0) * unit or int(steps)
    peak, form = given.number("pct_start", 0.3), given.name("anneal_strategy", ("cos", "linear"),
                                                            "cos")  # fmt: skip
    if peak * total == 1:
        raise ScheduleError(f"{given.who}.pct_start={peak:g}: the rise has no step. Lengthen it.")
    first = top / given.number("div_factor", 25.0)
    last = first / given.number("final_div_factor", 1e4)
    phases = [(peak * total - 1, first, top)]
    if given.raw("three_phase", False):
        phases.append((2 * peak * total - 2, top, first))
    phases.append((total - 1, phases[-1][2], last))

    def following(step: int, value: float, base: float) -> float:
        begin = 0.0
        for place, (stop, start, end) in enumerate(phases):
            if step <= stop or place == len(phases) - 1:
                share = (step - begin) / (stop - begin)
                left = (1 + cos(pi * share)) / 2 if form == "cos" else 1 - share
                return end + (start - end) * left
            begin = stop
        return value

    def curve(height: float, base: float) -> Schedule | None:
        stops = [int(stop) for stop, _, _ in phases]
        is_on_steps = all(stop == at for (stop, _, _), at in zip(phases, stops, strict=True))
        if not is_on_steps or not height:
            return None
        shape = Cosine if form == "cos" else Linear
        chain: Schedule | None = None
        begin = 0
        for (_, start, end), stop in zip(phases, stops, strict=True):
            if stop > begin:
                part = shape(start=start / height, end=end / height, steps=stop - begin)
                chain = part if chain is None else chain >> part
            begin = stop
        return chain

    return following, curve


_MAKERS: Mapping[str, Callable[[Section, int, float], _Made]] = {
    "Linear": _linear_window,
    "Constant": _constant_window,
    "MultiStep": _multistep_window,
    "Step": _step_window,
    "Exponential": _exponential_window,
    "CosineAnnealing": _cosine_window,
    "Poly": _poly_window,
    "CosineRestart": _restart_window,
    "OneCycle": _one_cycle_window,
}
