"""BasicSR's YAML: ``train.scheduler``."""

from __future__ import annotations

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.plan import Plan
from warmdown.schedules import Constant, Cosine, Linear, Milestones, Rule, Scale, Set


def read_basicsr(settings: Settings, known: KnownRun) -> Plan:
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
        rule: Rule = Set(in_turn(*curves))
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
    return rate_plan(rule, total, lr)
