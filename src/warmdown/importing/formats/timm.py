"""timm's ``args.yaml``."""

from __future__ import annotations

from typing import Any

import torch

from warmdown.compat import scheduler as timm_names
from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan, value_table
from warmdown.plan import Plan
from warmdown.schedules import Set


def read_timm(settings: Settings, known: KnownRun) -> Plan:
    """Read timm's ``args.yaml``, whose rates change once an epoch."""
    given = Section("timm", settings)
    kind = given.name("sched", ("cosine", "tanh", "poly", "step", "multistep"))
    lr = known.lr or given.number("lr")
    epochs, warmup = given.count("epochs"), given.count("warmup_epochs", 5)
    cooldown = given.count("cooldown_epochs", 0)
    prefix = bool(given.raw("warmup_prefix", False))
    for name in ("lr_noise", "sched_on_updates", "lr_k_decay"):
        if given.raw(name) not in (None, False, 1, 1.0):
            raise ScheduleError(f"timm.{name}: it cannot be imported. Take it out.")
    shared = {
        "warmup_t": warmup,
        "warmup_lr_init": given.number("warmup_lr", 1e-5),
        "warmup_prefix": prefix,
    }
    cycles = {
        "t_initial": epochs,
        "lr_min": given.number("min_lr", 0.0),
        "cycle_mul": given.number("lr_cycle_mul", 1.0),
        "cycle_decay": given.number("lr_cycle_decay", 0.5),
        "cycle_limit": given.count("lr_cycle_limit", 1),
    }
    rate = given.number("decay_rate", 0.1)
    own: dict[str, dict[str, Any]] = {
        "cosine": cycles,
        "tanh": cycles,
        "poly": {**cycles, "power": rate},
        "step": {"decay_t": given.raw("decay_epochs", 90), "decay_rate": rate},
        "multistep": {"decay_t": given.raw("decay_milestones", [90, 180, 270]), "decay_rate": rate},
    }
    classes = {"cosine": "CosineLRScheduler", "tanh": "TanhLRScheduler", "poly": "PolyLRScheduler",
               "step": "StepLRScheduler", "multistep": "MultiStepLRScheduler"}  # fmt: skip
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    made = getattr(timm_names, classes[kind])(optimizer, **shared, **own[kind])
    last = epochs + cooldown + (warmup if prefix else 0)
    rates = [made.values(at)[0] for at in range(last)]
    return rate_plan(Set(value_table(rates, every=known.updates(1))), known.updates(last), lr)
