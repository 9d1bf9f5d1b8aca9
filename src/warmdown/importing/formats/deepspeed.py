"""DeepSpeed's JSON: ``scheduler``."""

from __future__ import annotations

from math import log

from warmdown.importing.formats.section import (
    KnownRun,
    Section,
    Settings,
    in_turn,
    rate_plan,
    value_table,
)
from warmdown.plan import Plan
from warmdown.schedules import Constant, Cosine, Linear, Rule, Scale, Schedule, Set


def read_deepspeed(settings: Settings, known: KnownRun) -> Plan:
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
        rule: Rule = Scale(in_turn(Constant(curve(0), steps=1), curve))
    else:
        low, top = given.number("warmup_min_lr", 0.0), top or 0.001
        rest: Schedule = Constant(1.0)
        if kind == "WarmupDecayLR":
            rest = Linear(start=1.0, end=0.0, steps=max(total - warmup, 1))
        curve = rise.take(warmup) >> rest
        rule = Set(in_turn(Constant(curve(0), steps=1), curve) * (top - low) + Constant(low))
    given.refuse_rest()
    return rate_plan(rule, total, rate)
