"""Seesaw: where a rate would halve, it falls by the root of that, and the batch grows instead."""

from __future__ import annotations

__all__ = ["seesaw"]

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from warmdown.batches import BATCH
from warmdown.errors import ScheduleError
from warmdown.plan import Plan, Target
from warmdown.run import Run, RunLike
from warmdown.schedules import Chain, PiecewiseConstant, Rule, Scale, Schedule, Set

_LONGEST = 10_000_000
"""Updates that are looked at one by one."""


def seesaw(
    plan: Any,
    *,
    run: RunLike | None = None,
    factor: float = 2.0,
    most: int | None = None,
    **facts: Any,
) -> Plan:
    r"""Return the plan that trades the decay of the rate for a growing batch: fewer updates.

    .. math:: \eta \to \eta / factor \quad\Longrightarrow\quad
              \eta \to \eta / \sqrt{factor},\; B \to factor \cdot B

    The rate stays at its peak until the given one would have fallen to ``1 / factor`` of it, falls
    there by the root of that, and so on; the batch grows at the same places. The run uses as much
    data as before in fewer updates. Lengths become shares of it, so that the plan fits a run of any
    length.

    Args:
        plan: A plan, or a schedule of the rate: it rises to its peak, and falls from there.
        run: Facts about the run with the batch that never changes, in place of the plan's own.
        factor: By how much the batch grows at once, above 1.
        most: How often the batch grows; from there on the rate falls by the whole factor, as one
            does beyond the largest batch that pays. ``None``: to the end.
        facts: Facts of the run by name, such as ``total_steps``.

    Raises:
        ScheduleError: The run has no length, several schedules drive the rate, it rises again after
            its peak, or the batch changes already.

    Example:
        >>> from warmdown import warmup_cosine
        >>> plan = seesaw(warmup_cosine(warmup="10%"), total_steps=1000, samples_per_step=32)
        >>> plan.run.total_steps
        661
        >>> plan.targets[1].rule.of.values
        (32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)

    Reference: Meterez et al. 2025, https://arxiv.org/abs/2510.14717.
    """
    from warmdown.planfile.plans import plan_of  # YAML takes 0.1 s, which a schedule does not need

    given = plan_of(plan, who="seesaw")
    resolved = given.over(run, **facts) if run is not None or facts else given.over()
    _require(factor > 1 and math.isfinite(factor), f"factor={factor!r}", "above 1 is needed.")
    _require(most is None or most >= 1, f"most={most!r}", "at least 1 is needed.")
    target, length = _rate_of(resolved), resolved.run.length
    batch = _first_batch(resolved)
    if length is None or resolved.run.clock != "updates" or length > _LONGEST:
        raise ScheduleError(
            f"seesaw(run={resolved.run!r}): the decay is looked at update by update. Give the "
            f"run's length, at most {_LONGEST:,}: total_steps=…."
        )
    values = target.rule.of(np.arange(length + 1))
    peak = int(np.flatnonzero(values == values.max())[-1])
    if (np.diff(values[peak:]) > 0).any():
        raise ScheduleError(
            "seesaw(plan=…): the rate rises again after its peak. Exchange one decay: a plan that "
            "rises once and falls once."
        )
    cuts = list(_exchanges(values, peak, factor))
    grown = len(cuts) if most is None else min(most, len(cuts))
    sizes = [factor ** min(number, grown) for number in range(len(cuts) + 1)]
    edges = [peak, *cuts, length]
    parts = zip(pairwise(edges), sizes, strict=True)
    updates = [(stop - start) / size for (start, stop), size in parts]
    ends = np.cumsum([peak, *updates])
    total = float(ends[-1])
    marks = tuple(_percent(end / total) for end in ends[1:-1])
    after_peak = tuple(_percent((end - peak) / total) for end in ends[1:-1])
    rates = tuple(
        float(values[peak]) * factor ** -(min(number, grown) / 2 + max(number - grown, 0))
        for number in range(len(cuts) + 1)
    )
    rate: Schedule = PiecewiseConstant(values=rates, at=after_peak)
    if peak:
        rate = _up_to_peak(target.rule.of, peak, _percent(peak / total)) >> rate
    base = 1.0 if batch is None else batch
    kept = sizes[: grown + 1]
    growing = PiecewiseConstant(values=tuple(base * size for size in kept), at=marks[:grown])
    rule: Rule = Scale(growing) if batch is None else Set(growing)
    others = (one for one in given.targets if one.name != BATCH)
    targets = [replace(one, rule=replace(one.rule, of=rate)) if one.name == "lr" else one
               for one in others]  # fmt: skip
    targets.append(Target(BATCH, "*", rule))
    return replace(given, targets=tuple(targets), run=_shortened(resolved.run, round(total)))


def _exchanges(values: Any, peak: int, factor: float) -> Iterator[int]:
    """Yield the updates at which a rate has fallen by one factor more, each worth an update."""
    length = len(values) - 1
    number = 1
    while True:
        below = np.flatnonzero(values[peak:length] <= values[peak] / factor**number)
        if not below.size or (length - peak - below[0]) < factor**number:
            return
        yield peak + int(below[0])
        number += 1


def _rate_of(plan: Plan) -> Target:
    rates = [target for target in plan.targets if target.name == "lr"]
    if len(rates) != 1:
        raise ScheduleError(
            f"seesaw(plan={', '.join(plan.patterns)}): {len(rates)} schedules drive the rate, and "
            "one batch serves all groups. Give one for lr; groups keep their base values."
        )
    rule = rates[0].rule
    if isinstance(rule, Scale) and (rule.offset is not None or rule.low is not None):
        raise ScheduleError(
            "seesaw(plan=…): the rate has an offset or a lowest value beside its schedule, which "
            "cannot be exchanged. Put the end into the schedule."
        )
    return rates[0]


def _first_batch(plan: Plan) -> float | None:
    """Return the batch before the exchange, where it is known."""
    rule = plan.loader_rules.get(BATCH)
    if rule is None:
        return plan.run.samples_per_step
    if not isinstance(rule, Set) or not rule.of.is_constant:
        raise ScheduleError(
            f"seesaw(batch_size={rule!r}): the batch changes already. Leave it out, or give one "
            "size: Set(64)."
        )
    return float(rule.of(0))


def _up_to_peak(schedule: Schedule, peak: int, share: str) -> Schedule:
    """Return what leads to the peak, as a share of the run."""
    members = schedule.members if isinstance(schedule, Chain) else ()
    for number, start in enumerate(schedule.part_starts() if members else ()):
        if start == peak:
            first = members[0] if number == 1 else Chain(members=members[:number])
            return first.stretch(share)
    return schedule.take(peak).stretch(share)


def _shortened(run: Run, total: int) -> Run:
    """Return the run with the updates that the exchange leaves."""
    plain = Run(**run.to_dict())
    return replace(plain, total_steps=total, epochs=None, steps_per_epoch=None)


def _percent(part: float) -> str:
    return f"{100 * part:.8g}%"


def _require(is_right: bool, what: str, reason: str) -> None:
    if not is_right:
        raise ScheduleError(f"seesaw({what}): {reason}")
