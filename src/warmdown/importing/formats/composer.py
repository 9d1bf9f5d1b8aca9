"""composer's and llm-foundry's YAML: ``scheduler`` and times such as ``100ba``."""

from __future__ import annotations

import re
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import Constant, Cosine, Linear, Schedule

_TIME = re.compile(r"\s*([\d.eE+-]+)\s*(ba|ep|dur|iter)\s*")


def _updates_of(text: Any, name: str, total: int | None, known: KnownRun) -> int:
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


def read_composer(settings: Settings, known: KnownRun) -> Plan:
    """Read composer's and llm-foundry's ``scheduler`` and ``max_duration``."""
    given = Section("scheduler", settings["scheduler"])
    kinds = ("constant_with_warmup", "cosine_with_warmup", "linear_decay_with_warmup")
    kind = given.name("name", kinds)
    duration = settings.get("max_duration")
    total = known.total_steps
    if total is None:
        if duration is None:
            raise ScheduleError("max_duration: it is missing. Give --total-steps.")
        total = _updates_of(duration, "max_duration", None, known)
    warmup = _updates_of(given.raw("t_warmup", "0ba"), "scheduler.t_warmup", total, known)
    stop = _updates_of(given.raw("t_max", "1dur"), "scheduler.t_max", total, known)
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
    return rate_plan(in_turn(Linear(start=0.0, end=top, steps=warmup), rest), total, lr)
