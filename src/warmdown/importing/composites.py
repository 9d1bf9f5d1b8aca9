"""A scheduler read by its kind; one made of others or of functions by its parts."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from warmdown.importing import timm_and_accelerated
from warmdown.importing import torch as torch_readers
from warmdown.importing.difference import rates_of
from warmdown.importing.imported import ByGroup, Imported, NotImportable, tabulate
from warmdown.importing.numbers import whole
from warmdown.importing.simulation import Reader, SchedulerCopy
from warmdown.importing.transformers import import_greedy, import_lambda
from warmdown.schedules import Chain, Constant, Product, Scale, Schedule

_LIBRARIES = ("torch", "transformers", "timm", "pytorch_accelerated", "warmdown")
_OPEN_LENGTH = 1000
"""Steps that are compared of a part that never ends."""


def read_by_kind(scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Return what the reader of a scheduler's class reads.

    Raises:
        NotImportable: There is no reader for the class, or for these arguments of it.
    """
    kind = type(scheduler)
    if kind.__module__.split(".")[0] not in _LIBRARIES:
        raise NotImportable(f"{kind.__name__} is a class of one's own")
    if kind.__name__ not in _READERS:
        raise NotImportable(f"{kind.__name__} is not known")
    imported = _READERS[kind.__name__](scheduler, copy)
    if kind.__module__.startswith("warmdown.compat.lr_scheduler"):
        # our drop-in does what torch's documents
        return Imported(imported.corrected, total=imported.total, steps=imported.steps)
    return imported


def _of_functions(scheduler: Any, copy: SchedulerCopy) -> Imported:
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
    rows = [ask(step) for step in range(_known_end("LambdaLR", copy) + 1)]
    return Imported({"lr": tabulate(rows, copy.bases)}, total=copy.total)


def _multiplied(scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Read ``MultiplicativeLR``: the product of its functions so far."""
    steps = range(1, _known_end("MultiplicativeLR", copy) + 1)
    columns = [
        accumulate((float(call(step)) for step in steps), operator.mul, initial=base)
        for base, call in zip(copy.bases, scheduler.lr_lambdas, strict=True)
    ]
    rows = list(zip(*columns, strict=True))
    return Imported({"lr": tabulate(rows, copy.bases)}, total=copy.total)


def _known_end(who: str, copy: SchedulerCopy) -> int:
    if copy.total is None:
        raise NotImportable(f"{who} is a function without an end")
    return copy.total


def _sequential(scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Read ``SequentialLR``: each part for its stretch, its clock beginning where it joins."""
    joints = [0, *map(whole, scheduler._milestones)]
    lengths = [after - before for before, after in pairwise(joints)]
    if any(length < 0 for length in lengths):
        raise NotImportable("milestones that do not rise")

    def joined(schedules: Sequence[Schedule]) -> Schedule:
        cut = map(Schedule.take, schedules, lengths)
        return Chain.of(*cut, schedules[-1])

    def in_turn(scales: Sequence[Scale]) -> Scale:
        has_offset = any(scale.offset for scale in scales)
        offsets = [scale.offset or Constant(value=0.0) for scale in scales]
        offset = joined(offsets) if has_offset else None
        return Scale(joined([scale.of for scale in scales]), offset=offset)

    parts = _parts(scheduler, copy)
    steps = joints[-1] + (parts[-1].steps or _OPEN_LENGTH)
    why = "torch's SequentialLR begins its parts otherwise than they begin alone"
    return _combined(copy, parts, in_turn, steps, why)


def _chained(scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Read ``ChainedScheduler``: its parts multiplied."""

    def at_once(scales: Sequence[Scale]) -> Scale:
        if any(scale.offset for scale in scales):
            raise NotImportable("a part with a floor of its own")
        return Scale(Product(factors=tuple(scale.of for scale in scales)))

    parts = _parts(scheduler, copy)
    steps = max(part.steps or _OPEN_LENGTH for part in parts)
    why = (
        "torch's parts carry on from each other's rounding and floors, so that they do not "
        "multiply exactly"
    )
    return _combined(copy, parts, at_once, steps, why)


def _parts(scheduler: Any, copy: SchedulerCopy) -> list[Imported]:
    schedulers = scheduler._schedulers
    return [read_by_kind(part, SchedulerCopy(part, copy.total)) for part in schedulers]


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
    steps = max(steps, copy.position + min(steps, _OPEN_LENGTH))
    rows = copy.walk(steps)["lr"]
    differences = np.abs(rates_of(faithful, copy.bases, np.arange(steps + 1)) - np.array(rows))
    differences = differences[copy.position :]  # what is past can not be used again
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


_READERS: Mapping[str, Reader] = {
    **torch_readers.READERS,
    **timm_and_accelerated.READERS,
    "GreedyLR": import_greedy,
    "LambdaLR": _of_functions,
    "MultiplicativeLR": _multiplied,
    "SequentialLR": _sequential,
    "ChainedScheduler": _chained,
}
