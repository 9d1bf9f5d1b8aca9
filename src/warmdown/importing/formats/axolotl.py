"""axolotl's YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import (
    KnownRun,
    Section,
    Settings,
    in_turn,
    rate_plan,
    refuse_rates,
)
from warmdown.importing.formats.training_arguments import kwargs_of, named_plan
from warmdown.importing.numbers import count_of_setting
from warmdown.plan import Plan
from warmdown.schedules import Constant, Cosine, Linear, Product, Rex, Scale, Schedule

_ASKED = ("learning_rate", "lr_scheduler", "lr_scheduler_kwargs", "lr_quadratic_warmup",
          "lr_div_factor", "cosine_min_lr_ratio", "cosine_constant_lr_ratio", "warmup_steps",
          "warmup_ratio", "jagged_restart_steps", "jagged_restart_warmup_steps",
          "jagged_restart_anneal_steps")  # fmt: skip
_DEFAULT_WARMUP, _MOST_WARMUP = 0.03, 100
"""Share of the run, and updates, where neither ``warmup_steps`` nor ``warmup_ratio`` stands."""


def read_axolotl(settings: Settings, known: KnownRun) -> Plan:
    """Read ``lr_scheduler``: axolotl's own names and settings, or one of transformers'.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or the run's length is not known.
    """
    given = Section("axolotl", settings)
    total, of_data = _updates_of_axolotl(given, known)
    warmup = _warmup_of(given, min(total, of_data))
    lr = known.lr or given.number("learning_rate")
    name = str(given.raw("lr_scheduler", "cosine"))
    kwargs = kwargs_of(settings)
    refuse_rates("axolotl", settings, _ASKED, known)
    curve = _own_curve(name, given, warmup, total)
    if curve is not None:
        plan = rate_plan(curve, total, lr)
    elif name == "one_cycle":
        plan = _cycle_of_torch(warmup, total, lr, kwargs, known)
    else:
        for key in ("cosine_min_lr_ratio", "lr_quadratic_warmup"):
            if given.raw(key) and name != "cosine":
                known.tell(f"{key}: axolotl's {name} does not use it.")
        plan = named_plan(name, warmup=warmup, total=total, lr=lr, kwargs=kwargs, known=known)
    return _with_jags(plan, given, total, lr) if given.raw("jagged_restart_steps") else plan


def _updates_of_axolotl(given: Section, known: KnownRun) -> tuple[int, int]:
    """Return the updates in the run, and those that the data has for its epochs."""
    most = count_of_setting(given.entries, "max_steps") or known.total_steps
    epochs = given.number("num_epochs", known.epochs or 1)
    if known.steps_per_epoch is None:
        total = most or known.updates(epochs)
        return total, total
    of_data = max(math.ceil(epochs * known.steps_per_epoch), 1)
    return most or of_data, of_data


def _warmup_of(given: Section, total: int) -> int:
    if given.raw("warmup_steps") is not None:
        steps = given.number("warmup_steps")
    elif given.raw("warmup_ratio") is not None:
        steps = int(given.number("warmup_ratio") * total)
    else:
        steps = min(int(_DEFAULT_WARMUP * total), _MOST_WARMUP)
    if steps == 1:
        return 2  # axolotl's own
    return int(steps) if steps >= 1 else math.ceil(steps * total)


def _own_curve(name: str, given: Section, warmup: int, total: int) -> Schedule | None:
    """Return what axolotl computes itself; ``None`` where torch or transformers do."""
    low, level = (given.number(f"cosine_{key}_lr_ratio", 0.0) for key in ("min", "constant"))
    if not (0 <= low <= 1 and 0 <= level <= 1):
        raise ScheduleError(
            f"axolotl(cosine_min_lr_ratio={low}, cosine_constant_lr_ratio={level}): shares from 0 "
            "to 1 are needed."
        )
    rise, rest = Linear(start=0.0, end=1.0, steps=warmup), max(total - warmup, 1)
    if name == "rex":  # begins with its second value
        return in_turn(rise, Rex(start=1.0, end=low, steps=rest, d=0.9)).skip(1)
    if name == "cosine" and given.raw("lr_quadratic_warmup") is True:
        fall = Cosine(start=1.0, end=0.0, steps=rest)
        return (rise * rise) >> fall if warmup else fall
    if name != "cosine" or not low:
        return None
    if not level:
        return in_turn(rise, Cosine(start=1.0, end=low, steps=rest))
    return in_turn(rise, _to_level(int(total * level) - warmup, low))


def _to_level(steps: int, low: float) -> Schedule:
    """Return the cosine that ends before the run; one without steps is at a wave's top or foot."""
    if steps > 0:
        return Cosine(start=1.0, end=low, steps=steps)
    return Constant(low if steps % 2 else 1.0)


def _cycle_of_torch(
    warmup: int, total: int, lr: float, kwargs: Mapping[str, Any], known: KnownRun
) -> Plan:
    """Return torch's one cycle, whose rise is the warmup; it moves the momentum, too."""
    arguments = {
        "max_lr": lr,
        "total_steps": total,
        "pct_start": warmup / total,
        "anneal_strategy": "cos",
        **kwargs,
    }
    config = {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": arguments}
    return known.read_class(config, total_steps=total, lr=lr)


def _with_jags(plan: Plan, given: Section, total: int, lr: float) -> Plan:
    """Return a plan with axolotl's warmup after each restart, which counts from step 1."""
    every, low = given.count("jagged_restart_steps"), given.number("cosine_min_lr_ratio", 0) or 1e-3
    rise = given.count("jagged_restart_warmup_steps", 10) or 10
    fall = given.count("jagged_restart_anneal_steps", 1) or 1
    rule = plan.targets[0].rule
    if len(plan.targets) > 1 or not isinstance(rule, Scale) or rule.offset or rise + fall > every:
        raise ScheduleError(
            f"axolotl.jagged_restart_steps={every}: restarts of this schedule cannot be imported. "
            "Take them out, or write the plan by hand."
        )
    level = Constant(1.0)
    sink = Linear(start=1.0, end=low, steps=fall)
    restart = in_turn(Linear(start=low, end=1.0, steps=rise), level.take(every - rise - fall), sink)
    jags = in_turn(level.take(every - fall), sink) >> restart.repeat()
    return rate_plan(Product(factors=(rule.of, jags)).skip(1), total, lr)
