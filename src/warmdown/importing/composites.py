"""Schedulers made of schedulers or of functions: read by parts, checked against the original."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from warmdown.importing.imported import ByGroup, Imported, NotImportable, tabulate
from warmdown.importing.simulation import SchedulerCopy
from warmdown.importing.transformers import import_lambda
from warmdown.importing.verification import rates_of
from warmdown.schedules import Chain, Constant, Product, Scale, Schedule

Read = Callable[[Any], Imported]

_OPEN_LENGTH = 1000
"""Steps that are compared of a part that never ends."""


def of_functions(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read ``LambdaLR``: schedules and transformers' functions by kind, others by values."""
    functions = scheduler.lr_lambdas

    def ask(step: int) -> list[float]:
        return [base * float(call(step)) for base, call in zip(copy.bases, functions, strict=True)]

    if all(isinstance(call, Schedule) for call in functions):
        return Imported({"lr": list(map(Scale, functions))}, ask=ask)
    if all(call is functions[0] for call in functions):
        imported = import_lambda(functions[0], copy.bases, ask)
        if imported is not None:
            return imported
    rows = [ask(step) for step in range(_known_end("LambdaLR", total) + 1)]
    return Imported({"lr": tabulate(rows, copy.bases)}, total=total)


def multiplied(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read ``MultiplicativeLR``: the product of its functions so far."""
    steps = range(1, _known_end("MultiplicativeLR", total) + 1)
    columns = [
        list(accumulate((float(call(step)) for step in steps), operator.mul, initial=base))
        for base, call in zip(copy.bases, scheduler.lr_lambdas, strict=True)
    ]
    return Imported({"lr": tabulate(list(zip(*columns, strict=True)), copy.bases)}, total=total)


def _known_end(who: str, total: int | None) -> int:
    if total is None:
        raise NotImportable(f"{who} is a function without an end")
    return total


def sequential(scheduler: Any, copy: SchedulerCopy, read: Read) -> Imported:
    """Read ``SequentialLR``: each part for its stretch, its clock beginning where it joins."""
    joints = [0, *scheduler._milestones]
    lengths = [after - before for before, after in pairwise(joints)]
    if any(length < 0 for length in lengths):
        raise NotImportable("milestones that do not rise")

    def joined(schedules: Sequence[Schedule]) -> Schedule:
        cut = [schedule.take(length) for schedule, length in zip(schedules, lengths, strict=False)]
        return Chain.of(*cut, schedules[-1])

    def in_turn(scales: Sequence[Scale]) -> Scale:
        offsets = [scale.offset or Constant(value=0.0) for scale in scales]
        has_offset = any(scale.offset for scale in scales)
        return Scale(
            joined([scale.of for scale in scales]),
            offset=joined(offsets) if has_offset else None,
        )

    parts = [read(part) for part in scheduler._schedulers]
    steps = joints[-1] + (parts[-1].steps or _OPEN_LENGTH)
    why = "torch's SequentialLR begins its parts otherwise than they begin alone"
    return _combined(copy, parts, in_turn, steps, why)


def chained(scheduler: Any, copy: SchedulerCopy, read: Read) -> Imported:
    """Read ``ChainedScheduler``: its parts multiplied."""

    def at_once(scales: Sequence[Scale]) -> Scale:
        if any(scale.offset for scale in scales):
            raise NotImportable("a part with a floor of its own")
        return Scale(Product(factors=tuple(scale.of for scale in scales)))

    parts = [read(part) for part in scheduler._schedulers]
    steps = max(part.steps or _OPEN_LENGTH for part in parts)
    why = (
        "torch's parts carry on from each other's rounding and floors, so that they do not "
        "multiply exactly"
    )
    return _combined(copy, parts, at_once, steps, why)


def _combined(
    copy: SchedulerCopy,
    parts: Sequence[Imported],
    combine: Callable[[Sequence[Scale]], Scale],
    steps: int,
    why: str,
) -> Imported:
    """Return the combined rules where the original does the same; else a table of what it does."""

    def by_group(targets: Sequence[Any]) -> ByGroup:
        groups = zip(*map(_plain_scales, targets), strict=True)
        return [combine(scales) for scales in groups]

    corrected = by_group([part.corrected for part in parts])
    faithful = by_group([part.original for part in parts])
    rows = copy.walk(steps)["lr"]
    differences = np.abs(rates_of(faithful, copy.bases, np.arange(steps + 1)) - np.array(rows))
    reasons = [part.reason for part in parts]
    if (differences > 1e-9 * np.abs(copy.bases)).any():
        faithful = tabulate(rows, copy.bases)
        reasons.append(why)
    reason = "; ".join(dict.fromkeys(filter(None, reasons)))
    return Imported({"lr": corrected}, {"lr": faithful}, reason=reason, steps=steps)


def _plain_scales(targets: Any) -> Sequence[Scale]:
    for rule in targets["lr"]:
        if len(targets) > 1 or not isinstance(rule, Scale) or rule.low is not None:
            raise NotImportable("a part that sets rates of its own")
    scales: Sequence[Scale] = targets["lr"]
    return scales
