"""Which group follows which target from which base value: of the caller, the run, or a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from warmdown.plan import Plan, Target
from warmdown.record import Record
from warmdown.schedules import Scale

Groups: TypeAlias = Mapping[str, "float | Mapping[str, float]"]
"""Base values by group: a number is the base learning rate, a mapping has one for each field."""


def driven(plan: Plan, groups: Groups | None) -> Iterator[tuple[str, Target, float | None]]:
    """Yield label, target and base value of every number of a plan; ``None``: no base is known."""
    for name in dict.fromkeys(target.name for target in plan.targets):
        has_groups = False
        for place, (group, bases) in enumerate((groups or {}).items()):
            fields = bases if isinstance(bases, Mapping) else {"lr": float(bases)}
            if name in fields:
                has_groups = True
                fit = _first_fit(plan, name, group, place)
                if fit is not None:
                    yield f"{name}/{group}" if group else name, fit, fields[name]
        for target in plan.targets:
            if target.name == name and not has_groups:
                yield target.label, target, plan.run.lr if name == "lr" else None


def bases_in(record: Record, plan: Plan) -> Groups:
    """Return the base values that fit a record: what was written over the plan's highest factor.

    Args:
        record: What was written.
        plan: What was planned, with every length known.
    """
    found: dict[str, dict[str, float]] = {}
    groups = list(dict.fromkeys(label.partition("/")[2] for label in record.targets()))
    for label in record.targets():
        name, _, group = label.partition("/")
        target = _first_fit(plan, name, group, groups.index(group))
        if target is not None and isinstance(target.rule, Scale):
            steps, values = np.asarray(record.curve(label), dtype=np.float64)
            factors = target.rule.of(steps)
            top = np.abs(factors).argmax()
            if factors[top]:
                found.setdefault(group, {})[name] = float(values[top] / factors[top])
    return found


def _first_fit(plan: Plan, name: str, group: str, place: int) -> Target | None:
    """Return the target that a group follows: the first whose name, index or pattern fits it."""
    fits = (target for target in plan.targets if target.name == name and target.fits(group, place))
    return next(fits, None)
