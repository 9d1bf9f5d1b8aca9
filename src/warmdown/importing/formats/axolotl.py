"""axolotl's YAML."""

from __future__ import annotations

from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.schedules import Cosine, Linear


def read_axolotl(settings: Settings, known: KnownRun) -> Plan:
    """Read axolotl's cosine with a lowest rate and a constant end."""
    given = Section("axolotl", settings)
    total = (
        known.total_steps
        or whole(settings.get("max_steps"))
        or known.updates(whole(settings.get("num_epochs")))
    )
    given.name("lr_scheduler", ("cosine",))
    warmup = given.count("warmup_steps", 0) or int(given.number("warmup_ratio", 0.0) * total)
    low, level = (
        given.number("cosine_min_lr_ratio", 0.0),
        given.number("cosine_constant_lr_ratio", 1.0),
    )
    stop = int(total * level)
    fall = Cosine(start=1.0, end=low, steps=max(stop - warmup, 1))
    lr = known.lr or given.number("learning_rate")
    return rate_plan(in_turn(Linear(start=0.0, end=1.0, steps=warmup), fall), total, lr)
