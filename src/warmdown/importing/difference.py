"""What was read of a scheduler beside the original, and beside what it documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from warmdown.importing.imported import ByGroup, ByTarget, Imported, NotImportable, tabulate
from warmdown.importing.simulation import SchedulerCopy
from warmdown.schedules import Chain, Constant, Rule, Scale, Schedule

_LENGTHS = 2
"""How many lengths of a schedule are searched for differences."""
_MOST_COMPARED = 4096
_MOST_ASKED = 20_000
"""Up to so many steps each one is asked; of more, so many."""
_NEXT = 64
"""How many rates a scheduler that is read is asked for, from where it is."""
_FEW = 8
"""So many single steps are corrected; more make a table."""


@dataclass(frozen=True)
class Difference:
    """A stretch of updates on which the original does not do what it documents.

    Args:
        target: The field, and the group where groups differ.
        first: First update of the stretch.
        last: Last update of it that was compared.
        step: Where the two are furthest apart.
        original: What the original uses there.
        corrected: What is documented.
        reason: Why.
    """

    target: str
    first: int
    last: int
    step: int
    original: float
    corrected: float
    reason: str

    def __str__(self) -> str:
        is_one = self.first == self.last
        where = f"update {self.first}" if is_one else f"updates {self.first} to {self.last}"
        return (
            f"{self.target}, {where}: {self.original:.6g} where {self.corrected:.6g} is meant (at "
            f"{self.step}): {self.reason}."
        )


def find_differences(imported: Imported, copy: SchedulerCopy) -> Iterator[Difference]:
    """Yield each stretch on which the faithful and the corrected rules part."""
    length = imported.steps or 0
    end = max(copy.total, length) if copy.total else max(length * _LENGTHS, 1)
    steps = _sample(end, _MOST_COMPARED)
    for name, originals in (imported.faithful or {}).items():
        actual = rates_of(originals, copy.bases, steps).T
        meant = rates_of(imported.corrected[name], copy.bases, steps).T
        apart = np.abs(actual - meant)
        tolerance = 1e-9 * np.abs(meant).max(axis=1, keepdims=True)
        # each stretch of truth begins and ends where the padded array changes
        edges = np.diff(np.pad(apart > tolerance, ((0, 0), (1, 1))).astype(int))
        found = set()
        for group, changes in enumerate(edges):
            first, after = (np.flatnonzero(changes == sign) for sign in (1, -1))
            for stretch in map(slice, first, after):
                where = steps[stretch]
                bounds = int(where[0]), int(where[-1])
                # what all groups share stands there once
                if bounds in found:
                    continue
                found.add(bounds)
                at = stretch.start + apart[group, stretch].argmax()
                values = float(actual[group, at]), float(meant[group, at])
                label = f"{name}/{group}" if group else name
                yield Difference(label, *bounds, int(steps[at]), *values, imported.reason)


def do_part(imported: Imported, bases: Sequence[float], end: int) -> bool:
    """Whether the faithful and the corrected values part up to step ``end``."""
    steps = _sample(end, _MOST_ASKED)
    for name, rules in imported.original.items():
        meant = rates_of(imported.corrected[name], bases, steps)
        if not _are_close(rates_of(rules, bases, steps), meant, bases).all():
            return True
    return False


def check_against_original(imported: Imported, copy: SchedulerCopy) -> Imported:
    """Return what was read, its faithful part corrected where the original answers otherwise.

    Args:
        imported: What was read off the attributes.
        copy: The copy of the scheduler, with each group's base rate.

    Raises:
        NotImportable: It answers otherwise everywhere, and no end is known up to which it could be
            written down.
    """
    ask = imported.ask
    if ask is None:
        return imported
    end = copy.total or imported.steps or 1000
    steps = _sample(end, _MOST_ASKED)
    rules = imported.original["lr"]
    answers = np.array([ask(int(step)) for step in steps])
    read = rates_of(rules, copy.bases, steps)
    differs = ~_are_close(read, answers, copy.bases).all(axis=1)
    wrong = steps[differs].tolist()
    if not wrong:
        return imported
    if len(wrong) <= _FEW and len(steps) == end + 1:
        reason = "a rounded quotient falls on the wrong side of a joint"
        groups = zip(rules, copy.bases, answers[differs].T, strict=True)
        rates: ByGroup = [_corrected(rule, base, wrong, values) for rule, base, values in groups]
    elif copy.total is None and imported.total is None:
        raise NotImportable("its values are not those of its attributes")
    else:
        reason = "the original does otherwise than its arguments say"
        rates = tabulate([list(ask(step)) for step in range(end + 1)], copy.bases)
    faithful = {**imported.original, "lr": rates}
    return replace(imported, faithful=faithful, reason=imported.reason or reason)


def check_next(imported: Imported, scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Return what was read, as far as the scheduler really goes on so from where it is.

    A rate that was edited, or that another scheduler had changed before, is carried on by many
    classes: then the rule is scaled.

    Args:
        imported: What was read off the attributes.
        scheduler: The original; it is left alone.
        copy: The copy of the scheduler, with each group's base rate.

    Raises:
        NotImportable: It goes on otherwise.
    """
    is_asked = isinstance(scheduler, ReduceLROnPlateau) or hasattr(scheduler, "_num_updates")
    if not isinstance(scheduler, LRScheduler) or is_asked or not all(copy.bases):
        return imported
    end = copy.position + _NEXT
    if imported.total is not None:
        end = min(end, max(imported.total - 1, copy.position))
    steps = np.arange(copy.position, end + 1)
    rows = np.array(SchedulerCopy(scheduler, copy.total).walk(end)["lr"])[copy.position :]
    rates = rates_of(imported.original["lr"], copy.bases, steps)
    scales = np.abs(rows).max(axis=0) + np.finfo(float).tiny
    if (np.abs(rates - rows) <= 1e-6 * scales)[1:].all():
        return imported  # a rate that was edited for one update at most
    with np.errstate(all="ignore"):
        factors = np.median(rows / rates, axis=0)
    if not np.isfinite(factors).all() or (np.abs(rates * factors - rows) > 1e-6 * scales).any():
        raise NotImportable("it goes on otherwise than its arguments say")
    return replace(
        imported,
        corrected=_rates_scaled(imported.corrected, factors),
        faithful=imported.faithful and _rates_scaled(imported.faithful, factors),
    )


def _rates_scaled(targets: ByTarget, factors: Any) -> ByTarget:
    rules = []
    for rule, factor in zip(targets["lr"], factors.tolist(), strict=True):
        if not isinstance(rule, Scale) or rule.low is not None:
            raise NotImportable("it goes on otherwise than its arguments say")
        rules.append(Scale(rule.of * factor, offset=rule.offset and rule.offset * factor))
    return {**targets, "lr": rules}


def rates_of(rules: ByGroup, bases: Sequence[float], steps: Any) -> Any:
    """Return the rate of each group, one row a step."""
    groups = zip(rules, bases, strict=True)
    return np.array([np.asarray(rule.value(steps, base)) for rule, base in groups]).T


def _are_close(values: Any, answers: Any, bases: Sequence[float]) -> Any:
    tolerance = 1e-9 * np.abs(answers) + 1e-12 * np.abs(np.array(bases))
    return np.abs(values - answers) <= tolerance


def _sample(end: int, most: int) -> Any:
    """Return the steps from 0 to ``end``, or ``most`` of them."""
    return np.unique(np.linspace(0, end, min(end + 1, most)).astype(int))


def _corrected(rule: Rule, base: float, steps: Sequence[int], rates: Any) -> Rule:
    if not isinstance(rule, Scale) or not base:
        raise NotImportable("single values of its own")
    of = _with_values(rule.of, steps, (rates / base).tolist())
    offset = rule.offset and _with_values(rule.offset, steps, [0.0] * len(steps))
    return Scale(of, offset=offset, low=rule.low)


def _with_values(schedule: Schedule, steps: Sequence[int], values: Sequence[float]) -> Schedule:
    """Return a schedule with other values at single steps."""
    parts: list[Schedule] = []
    begun = 0
    for step, value in zip(steps, values, strict=True):
        parts += [schedule.skip(begun).take(step - begun), Constant(value=value, steps=1)]
        begun = step + 1
    return Chain(members=(*parts, schedule.skip(begun)))
