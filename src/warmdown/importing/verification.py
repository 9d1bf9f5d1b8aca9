"""What was read of a scheduler, checked against the original where it answers for any step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from warmdown.importing.imported import ByGroup, Imported, NotImportable, tabulate
from warmdown.schedules import Chain, Constant, Rule, Scale, Schedule

_MOST_ASKED = 20_000
"""Up to so many steps each one is asked; of more, so many."""
_FEW = 8
"""So many single steps are corrected; more make a table."""


def check_against_original(
    imported: Imported, bases: Sequence[float], total: int | None
) -> Imported:
    """Return what was read, its faithful part corrected where the original answers otherwise.

    Args:
        imported: What was read off the attributes.
        bases: Each group's base rate.
        total: Updates in the run, if given.

    Raises:
        NotImportable: It answers otherwise everywhere, and no end is known up to which it could be
            written down.
    """
    ask = imported.ask
    if ask is None:
        return imported
    end = total or imported.steps or 1000
    steps = np.unique(np.linspace(0, end, min(end + 1, _MOST_ASKED)).astype(int))
    rules = imported.original["lr"]
    answers = np.array([ask(int(step)) for step in steps])
    tolerance = 1e-9 * np.abs(answers) + 1e-12 * np.abs(np.array(bases))
    differs = (np.abs(answers - rates_of(rules, bases, steps)) > tolerance).any(axis=1)
    wrong = {int(step): row for step, row in zip(steps[differs], answers[differs], strict=True)}
    if not wrong:
        return imported
    if len(wrong) <= _FEW and len(steps) == end + 1:
        reason = "a rounded quotient falls on the wrong side of a joint"
        columns = zip(rules, bases, zip(*wrong.values(), strict=True), strict=True)
        rates: ByGroup = [
            _corrected(rule, base, dict(zip(wrong, column, strict=True)))
            for rule, base, column in columns
        ]
    elif total is None and imported.total is None:
        raise NotImportable("its values are not those of its attributes")
    else:
        reason = "the original does otherwise than its arguments say"
        rates = tabulate([list(ask(step)) for step in range(end + 1)], bases)
    faithful = {**imported.original, "lr": rates}
    return replace(imported, faithful=faithful, reason=imported.reason or reason)


def rates_of(rules: ByGroup, bases: Sequence[float], steps: Any) -> Any:
    """Return the rate of each group, one row a step."""
    groups = zip(rules, bases, strict=True)
    return np.array([np.asarray(rule.value(steps, base)) for rule, base in groups]).T


def _corrected(rule: Rule, base: float, rates: Mapping[int, Any]) -> Rule:
    if not isinstance(rule, Scale) or not base:
        raise NotImportable("single values of its own")
    of = _with_values(rule.of, {step: float(rate) / base for step, rate in rates.items()})
    offset = rule.offset and _with_values(rule.offset, dict.fromkeys(rates, 0.0))
    return Scale(of, offset=offset, low=rule.low)


def _with_values(schedule: Schedule, values: Mapping[int, float]) -> Schedule:
    """Return a schedule with other values at single steps."""
    parts: list[Schedule] = []
    begun = 0
    for step, value in sorted(values.items()):
        parts += [schedule.skip(begun).take(step - begun), Constant(value=value, steps=1)]
        begun = step + 1
    return Chain(members=(*parts, schedule.skip(begun)))
