"""Schedulers made of schedulers or of functions: read by their parts, then held against the original."""

from __future__ import annotations

__all__ = ["chained", "multiplied", "of_functions", "sequential"]

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from warmdown.importing.imported import ByGroup, Imported, NotImportable, table
from warmdown.importing.simulation import SchedulerCopy
from warmdown.importing.transformers import import_lambda
from warmdown.schedules import Chain, Constant, Product, Rule, Scale, Schedule

Read = Callable[[Any], Imported]

_LOOK_ON = 1000
"""Steps that are looked at of a part that never ends."""


def of_functions(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read ``LambdaLR``: transformers' functions and schedules by what they are, others by asking them."""
    functions = scheduler.lr_lambdas

    def ask(step: int) -> list[float]:
        return [base * float(call(step)) for base, call in zip(copy.bases, functions, strict=True)]

    alike = all(call is functions[0] for call in functions)
    if all(isinstance(call, Schedule) for call in functions):
        return Imported({"lr": [Scale(call) for call in functions]}, ask=ask)
    if alike and (imported := import_lambda(functions[0], copy.bases, ask)) is not None:
        return imported
    rows = [ask(step) for step in range(_told("LambdaLR", total) + 1)]
    return Imported({"lr": table(rows, copy.bases)}, total=total)


def multiplied(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read ``MultiplicativeLR``: the product of its functions so far."""
    steps = range(1, _told("MultiplicativeLR", total) + 1)
    columns = [
        list(accumulate((float(call(step)) for step in steps), operator.mul, initial=base))
        for base, call in zip(copy.bases, scheduler.lr_lambdas, strict=True)
    ]
    return Imported({"lr": table(list(zip(*columns, strict=True)), copy.bases)}, total=total)


def sequential(scheduler: Any, copy: SchedulerCopy, read: Read) -> Imported:
    """Read ``SequentialLR``: each part for its stretch, its clock beginning at the seam."""
    parts = [read(part) for part in scheduler._schedulers]
    seams = [0, *scheduler._milestones]
    lengths = [after - before for before, after in pairwise(seams)]
    if any(length < 0 for length in lengths):
        raise NotImportable("milestones that do not rise")
    last = seams[-1] + (parts[-1].steps or _LOOK_ON)
    corrected = _in_turn([part.corrected for part in parts], lengths)
    faithful = _in_turn([part.done for part in parts], lengths)
    why = "torch's SequentialLR begins its parts otherwise than they begin alone"
    return _held_against(copy, corrected, faithful, last, why, [part.reason for part in parts])


def chained(scheduler: Any, copy: SchedulerCopy, read: Read) -> Imported:
    """Read ``ChainedScheduler``: its parts multiplied."""
    parts = [read(part) for part in scheduler._schedulers]
    steps = max(part.steps or _LOOK_ON for part in parts)
    corrected = _at_once([part.corrected for part in parts])
    faithful = _at_once([part.done for part in parts])
    why = "torch's parts carry on from each other's rounding and floors, so that they do not multiply exactly"
    return _held_against(copy, corrected, faithful, steps, why, [part.reason for part in parts])


def _held_against(
    copy: SchedulerCopy,
    corrected: list[Rule],
    faithful: list[Rule],
    steps: int,
    why: str,
    reasons: Sequence[str],
) -> Imported:
    """Believe the parts where the original does what they say; else write down what it does."""
    rows = copy.walk(steps)["lr"]
    at = np.arange(steps + 1)
    told = np.array(
        [np.asarray(one.value(at, base)) for one, base in zip(faithful, copy.bases, strict=True)]
    ).T
    agrees = bool((np.abs(told - np.array(rows)) <= 1e-9 * np.abs(copy.bases)).all())
    done = faithful if agrees else table(rows, copy.bases)
    why = "; ".join(dict.fromkeys(filter(None, [*reasons, "" if agrees else why])))
    return Imported({"lr": corrected}, {"lr": done}, reason=why, steps=steps)


def _in_turn(parts: Sequence[Mapping[str, ByGroup]], lengths: Sequence[int]) -> list[Rule]:
    return [
        _chain([_plain(part, group) for part in parts], lengths)
        for group in range(len(parts[0]["lr"]))
    ]


def _chain(scales: Sequence[Scale], lengths: Sequence[int]) -> Scale:
    def placed(schedules: Sequence[Schedule]) -> Schedule:
        cut = [schedule.take(length) for schedule, length in zip(schedules, lengths, strict=False)]
        return Chain.of(*cut, schedules[-1])

    added = [scale.offset or Constant(value=0.0) for scale in scales]
    return Scale(
        placed([scale.of for scale in scales]),
        offset=placed(added) if any(s.offset for s in scales) else None,
    )


def _at_once(parts: Sequence[Mapping[str, ByGroup]]) -> list[Rule]:
    scales = [[_plain(part, group) for part in parts] for group in range(len(parts[0]["lr"]))]
    if any(scale.offset for row in scales for scale in row):
        raise NotImportable("a part with a floor of its own")
    return [Scale(Product(factors=tuple(scale.of for scale in row))) for row in scales]


def _plain(part: Mapping[str, ByGroup], group: int) -> Scale:
    rule = part["lr"][group]
    if len(part) > 1 or not isinstance(rule, Scale) or rule.low is not None:
        raise NotImportable("a part that sets rates of its own")
    return rule


def _told(who: str, total: int | None) -> int:
    if total is None:
        raise NotImportable(f"{who} is a function without an end")
    return total
