"""detectron2's YAML: ``SOLVER``."""

from __future__ import annotations

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.plan import Plan
from warmdown.schedules import Cosine, Linear, Milestones, Schedule


def read_detectron2(settings: Settings, known: KnownRun) -> Plan:
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
    return rate_plan(in_turn(rise, rest.skip(warmup)) if warmup else rest, total, lr)
