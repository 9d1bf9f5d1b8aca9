"""NeMo's YAML: ``optim.sched``."""

from __future__ import annotations

from math import ceil

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.plan import Plan
from warmdown.schedules import Cosine, Linear, Set


def read_nemo(settings: Settings, known: KnownRun) -> Plan:
    """Read NeMo's ``optim.sched``."""
    home = settings if "optim" in settings else settings["model"]
    optim = Section("optim", home["optim"])
    given = optim.part("sched", meaningless=("monitor", "reduce_on_plateau", "last_epoch"))
    given.name("name", ("CosineAnnealing",))
    lr = known.lr or optim.number("lr")
    trainer = Section("trainer", settings.get("trainer") or {})
    total = known.total_steps or given.count("max_steps", trainer.count("max_steps", 0))
    if not total:
        raise ScheduleError("optim.sched.max_steps: it is missing. Give --total-steps.")
    warmup = given.count("warmup_steps", ceil(given.number("warmup_ratio", 0.0) * total))
    hold = given.count("constant_steps", ceil(given.number("constant_ratio", 0.0) * total))
    low = given.number("min_lr", 0.0)
    given.refuse_rest()
    rise = Linear(start=lr / (warmup + 1), end=lr, steps=warmup)
    fall = Cosine(start=lr, end=low, steps=max(total - hold - warmup, 1))
    return rate_plan(Set(in_turn(rise, fall)), total, lr)
