"""Which group follows which target from which base value: told by the caller, by the run, or by what was recorded."""

from __future__ import annotations

__all__ = ["Groups", "bases_in", "driven"]

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from warmdown.plan import Plan, Target
from warmdown.record import Record
from warmdown.schedules import Scale

Groups: TypeAlias = Mapping[str, "float | Mapping[str, float]"]
"""Base values by group: a number is the base learning rate, a mapping has one for each field."""


def driven(plan: Plan, groups: Groups | None) -> Iterator[tuple[str, Target, float | None]]:
    """Yield label, target and base value (``None``: not known) of every number that the plan drives."""
    for name in dict.fromkeys(target.name for target in plan.targets):
        bases = _bases_of(name, groups or {})
        if not bases:
            base = plan.run.lr if name == "lr" else None
            yield from (
                (target.label, target, base) for target in plan.targets if target.name == name
            )
            continue
        places = {group: place for place, group in enumerate(groups or {})}
        found = {
            group: target
            for group in bases
            if (target := _first_fit(plan, name, group, places[group]))
        }
        for group, target in found.items():
            yield f"{name}/{group}" if group else name, target, bases[group]


def bases_in(record: Record, plan: Plan) -> Groups:
    """Return the base values that fit a record: where the plan's factor is highest, what was written divided by it.

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
            steps, values = (np.asarray(column) for column in record.curve(label))
            factors = np.asarray(target.rule.of(steps))
            top = int(np.argmax(np.abs(factors)))
            if factors[top]:
                found.setdefault(group, {})[name] = float(values[top] / factors[top])
    return found


def _bases_of(name: str, groups: Groups) -> dict[str, float]:
    """Return the base value of each group that has one for the field ``name``."""
    fields = {
        group: dict(given) if isinstance(given, Mapping) else {"lr": float(given)}
        for group, given in groups.items()
    }
    return {group: bases[name] for group, bases in fields.items() if name in bases}


def _first_fit(plan: Plan, name: str, group: str, place: int) -> Target | None:
    """Return the target that a group follows: the first whose name, index or pattern fits it."""
    mine = (target for target in plan.targets if target.name == name)
    return next((target for target in mine if target.fits(group, place)), None)
