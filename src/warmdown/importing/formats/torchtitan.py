"""torchtitan's TOML: ``lr_scheduler``."""

from __future__ import annotations

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.plan import Plan
from warmdown.schedules import Constant, Cosine, Linear, Sqrt


def read_torchtitan(settings: Settings, known: KnownRun) -> Plan:
    """Read torchtitan's ``lr_scheduler`` and ``training.steps``."""
    given = Section("lr_scheduler", settings.get("lr_scheduler") or {})
    optimizer = Section("optimizer", settings.get("optimizer") or {})
    training = Section("training", settings.get("training") or {})
    run = known.total_steps or training.count("steps", 10_000)
    total = given.count("total_steps", run)
    if run > total + 1:
        raise ScheduleError(
            f"lr_scheduler.total_steps={total}: the run has {run} updates, and torchtitan's rate "
            f"goes below its end after that. Give --total-steps {total}, or take it out."
        )
    warmup = min(int(given.number("warmup_steps", 200)), total)
    ratio = given.raw("decay_ratio")
    decay = total - warmup if ratio is None else round(total * given.number("decay_ratio"))
    decay = min(decay, total - warmup)
    stable = total + 1 - warmup - decay
    former = "lr_min" if given.raw("lr_min") is not None else "min_lr_factor"
    end = given.number(former, 0.0)
    form = given.name("decay_type", ("linear", "sqrt", "cosine"), "linear")
    given.refuse_rest()
    curves = {"linear": Linear, "sqrt": Sqrt, "cosine": Cosine}
    fall = curves[form](start=1.0, end=end, steps=max(decay, 1))
    rise = Linear(start=1 / max(warmup, 1), end=1.0, steps=max(warmup - 1, 0))
    level = Constant(1.0, steps=stable if warmup else stable - 1)
    lr = known.lr or optimizer.number("lr", 8e-4)
    return rate_plan(in_turn(rise, level, fall), run, lr)
