"""mmengine's ``param_scheduler``: windows that may lie over each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import (
    KnownRun,
    Section,
    Settings,
    in_turn,
    rate_plan,
    value_table,
)
from warmdown.plan import Plan
from warmdown.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    Linear,
    Milestones,
    Polynomial,
    Schedule,
    Staircase,
)


def read_mmengine(settings: Settings, known: KnownRun) -> Plan:
    """Read mmengine's ``param_scheduler``: windows that may lie over each other."""
    entries = settings["param_scheduler"]
    if isinstance(entries, Mapping):
        entries = [entries]
    if not isinstance(entries, list) or not entries:
        raise ScheduleError("param_scheduler: a list of schedulers is needed.")
    lr = known.lr
    windows = [_window(f"param_scheduler[{at}]", entry, known, lr)
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
    return rate_plan(product, known.total_steps or stop, lr)


def _window(
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
        curve = in_turn(Constant(given.number("factor", 1 / 3), steps=max(steps, 1)), Constant(1.0))
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
