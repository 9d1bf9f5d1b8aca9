"""A imported held against the original's own answers, where it gives them for any step."""

from __future__ import annotations

__all__ = ["check_against_original"]

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from warmdown.importing.imported import Ask, Imported, NotImportable, table
from warmdown.schedules import Chain, Constant, Rule, Scale, Schedule

_ASKED = 20_000
"""Up to so many steps each one is asked; of more, so many."""
_FEW = 8
"""So many single steps are mended; more make a table."""


def check_against_original(
    imported: Imported, bases: Sequence[float], total: int | None
) -> Imported:
    """Return the imported, its faithful part mended where the original answers otherwise.

    Args:
        imported: What was read off the attributes.
        bases: Each group's base rate.
        total: Updates in the run, if told.

    Raises:
        NotImportable: It answers otherwise everywhere, and no end is known up to which it could be
            written down.
    """
    if imported.ask is None:
        return imported
    end = total or imported.steps or 1000
    steps = np.unique(np.linspace(0, end, min(end + 1, _ASKED)).astype(int))
    wrong = _mismatches(imported.done["lr"], bases, steps, imported.ask)
    if not wrong:
        return imported
    if len(wrong) <= _FEW and len(steps) == end + 1:
        mended = [
            _mended(rule, group, base, wrong)
            for group, (rule, base) in enumerate(zip(imported.done["lr"], bases, strict=True))
        ]
        return replace(
            imported, faithful={**imported.done, "lr": mended}, reason=imported.reason or _ROUNDING
        )
    if total is None and imported.total is None:
        raise NotImportable("its values are not those of its attributes")
    rows = [list(imported.ask(step)) for step in range(end + 1)]
    return replace(
        imported,
        faithful={**imported.done, "lr": table(rows, bases)},
        reason=imported.reason or _OTHER,
    )


_ROUNDING = "a rounded quotient falls on the wrong side of a seam"
_OTHER = "the original does otherwise than its arguments say"


def _mismatches(
    rules: Sequence[Rule], bases: Sequence[float], steps: np.ndarray, ask: Ask
) -> dict[int, Sequence[float]]:
    told = np.array([ask(int(step)) for step in steps])
    ours = np.array(
        [np.asarray(m.value(steps, base)) for m, base in zip(rules, bases, strict=True)]
    ).T
    apart = np.abs(told - ours) > 1e-9 * np.abs(told) + 1e-12 * np.abs(np.array(bases))
    return {
        int(step): list(row)
        for step, row, bad in zip(steps, told, apart.any(axis=1), strict=True)
        if bad
    }


def _mended(rule: Rule, group: int, base: float, wrong: Mapping[int, Sequence[float]]) -> Rule:
    if not isinstance(rule, Scale) or not base:
        raise NotImportable("single values of its own")
    of = _with(rule.of, {step: row[group] / base for step, row in wrong.items()})
    offset = None if rule.offset is None else _with(rule.offset, dict.fromkeys(wrong, 0.0))
    return Scale(of, offset=offset, low=rule.low)


def _with(schedule: Schedule, single: Mapping[int, float]) -> Schedule:
    """Return a schedule with other values at single steps."""
    parts: list[Schedule] = []
    begun = 0
    for step, value in sorted(single.items()):
        parts += [schedule.skip(begun).take(step - begun), Constant(value=value, steps=1)]
        begun = step + 1
    return Chain(members=(*parts, schedule.skip(begun)))
