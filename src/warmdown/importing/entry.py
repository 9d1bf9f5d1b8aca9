"""A scheduler of another library to a plan of ours, bug for bug or corrected, with a list of where the two part."""

from __future__ import annotations

__all__ = ["Difference", "differences", "from_torch"]

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from warmdown.errors import ScheduleError, WarmdownError
from warmdown.importing import timm_and_accelerated
from warmdown.importing import torch as torch_readers
from warmdown.importing.composites import chained, multiplied, of_functions, sequential
from warmdown.importing.imported import ByGroup, Imported, NotImportable, in_plan, table
from warmdown.importing.simulation import SchedulerCopy, live_scheduler
from warmdown.importing.verification import check_against_original
from warmdown.plan import Plan

Mode: TypeAlias = Literal["faithful", "corrected"]
MODES = ("faithful", "corrected")

_HOMES = ("torch", "transformers", "timm", "pytorch_accelerated", "warmdown")
_READERS = {**torch_readers.READERS, **timm_and_accelerated.READERS}
_LOOK_PAST = 2
"""How many lengths of a schedule are looked at for differences."""
_LOOKED_AT = 4096


@dataclass(frozen=True)
class Difference:
    """A stretch of updates on which the original does not do what it documents.

    Args:
        target: The field, and the group where groups differ.
        first: First update of the stretch.
        last: Last update of it that was looked at.
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
        where = (
            f"update {self.first}"
            if self.first == self.last
            else f"updates {self.first} to {self.last}"
        )
        return (
            f"{self.target}, {where}: {self.original:.6g} where {self.corrected:.6g} is meant (at "
            f"{self.step}): "
            f"{self.reason}."
        )


def from_torch(
    scheduler: Any,
    *,
    mode: Mode = "faithful",
    total_steps: int | None = None,
    lr: float | None = None,
    report: Callable[[str], object] | None = print,
    allow: Sequence[str] = (),
) -> Plan:
    """Return the plan of another library's scheduler, and report where the original parts from its documentation.

    Args:
        scheduler: A live scheduler of torch, transformers, timm or pytorch-accelerated (it is left
            alone), a function that makes one for an optimizer, or its configuration:
            ``{"class_path": …, "init_args": {…}}``.
        mode: ``"faithful"``, bug for bug, or ``"corrected"``, as documented.
        total_steps: Updates in the run, for what does not tell it itself.
        lr: Base rate of a scheduler that is not live, 1 unless given.
        report: Takes each line of the report; ``None`` for silence.
        allow: Modules that a ``class_path`` may name besides the known ones.

    Raises:
        ScheduleError: It is no scheduler, has no end that is known, or is too long for a table.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
        >>> plan = wd.from_torch(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10), mode="corrected")
        lr, updates 11 to 20: 0.1 where 0 is meant (at 20): torch's cosine climbs back after T_max.
        >>> plan.targets[0].rule.of
        Cosine(start=1.0, end=0.0, steps=10, k=1.0, exponent=1.0)
    """
    if mode not in MODES:
        raise ScheduleError(f"from_torch(mode={mode!r}): use one of {', '.join(MODES)}.")
    live = live_scheduler(scheduler, lr, allow)
    if isinstance(getattr(live, "plan", None), Plan):
        plan: Plan = live.plan
        return plan
    copy = SchedulerCopy(live)
    imported = _understood(live, copy, total_steps)
    for line in _lines(live, imported, copy.bases, total_steps) if report else ():
        report(line)  # type: ignore[misc]
    targets = imported.done if mode == "faithful" else imported.corrected
    return in_plan(targets, total_steps or imported.total)


def differences(
    scheduler: Any, *, total_steps: int | None = None, lr: float | None = None
) -> tuple[Difference, ...]:
    """Return where a scheduler parts from its documentation; the arguments are those of :func:`from_torch`."""
    live = live_scheduler(scheduler, lr)
    copy = SchedulerCopy(live)
    return tuple(_apart(_read(live, copy, total_steps), copy.bases, total_steps))


def _understood(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read a scheduler; arguments that its class took unseen (a length that is a list, or infinite) may be nonsense."""
    try:
        return _read(scheduler, copy, total)
    except WarmdownError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        who = type(scheduler).__name__
        raise ScheduleError(
            f"from_torch({who}): its arguments make no schedule: {error}. Mend them."
        ) from error


def _read(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read a scheduler by its kind where that is known, else by walking it."""
    try:
        return check_against_original(_by_kind(scheduler, copy, total), copy.bases, total)
    except (NotImportable, ScheduleError) as unread:
        if total is None and not hasattr(scheduler, "total_steps"):
            raise ScheduleError(
                f"from_torch({type(scheduler).__name__}): {unread}: it can only be walked. Give "
                f"total_steps=…."
            ) from unread
    return _walked(scheduler, total or scheduler.total_steps)


def _by_kind(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    kind = next(
        (k for k in type(scheduler).__mro__ if k.__module__.split(".")[0] in _HOMES), object
    )
    name = kind.__name__
    if kind is not type(scheduler):
        raise NotImportable(f"{type(scheduler).__name__} is a class of one's own")

    def part(inner: Any) -> Imported:
        return _by_kind(inner, SchedulerCopy(inner), total)

    if name in ("LambdaLR", "MultiplicativeLR"):
        return (of_functions if name == "LambdaLR" else multiplied)(scheduler, copy, total)
    if name in ("SequentialLR", "ChainedScheduler"):
        return (sequential if name == "SequentialLR" else chained)(scheduler, copy, part)
    if name not in _READERS:
        raise NotImportable(f"{name} is not known")
    imported = _READERS[name](scheduler, copy)
    is_torchs_own = kind.__module__.startswith("warmdown.compat.lr_scheduler")
    return (
        Imported(imported.corrected, total=imported.total, steps=imported.steps)
        if is_torchs_own
        else imported
    )


def _walked(scheduler: Any, steps: int) -> Imported:
    try:
        copy = SchedulerCopy(scheduler)
        seen = copy.walk(steps)
    except NotImportable as error:
        raise ScheduleError(f"from_torch: {error}.") from error
    sets = [0.0] * len(copy.bases)  # no base: the values themselves
    bases = {"lr": sets if _sets_rates(scheduler) else copy.bases}
    done = {name: table(rows, bases.get(name, sets)) for name, rows in seen.items()}
    return Imported(done, total=steps, steps=steps)


def _sets_rates(scheduler: Any) -> bool:
    """Tell whether it, or one in it, puts rates of its own in the place of what the groups began with."""
    return any(isinstance(part, OneCycleLR | CyclicLR) for part in _parts(scheduler))


def _parts(scheduler: Any) -> Iterator[Any]:
    yield scheduler
    for part in getattr(scheduler, "_schedulers", ()):
        yield from _parts(part)


def _lines(
    scheduler: Any, imported: Imported, bases: Sequence[float], total: int | None
) -> Iterator[str]:
    yield from map(str, _apart(imported, bases, total))
    who = type(scheduler).__name__
    yield from (f"{who}: {remark}." for remark in imported.remarks)
    if (count := getattr(scheduler, "last_epoch", 0)) > 0 and not imported.remarks:
        yield f"{who}: it stands at update {count}. Go there with scheduler.seek({count})."


def _apart(imported: Imported, bases: Sequence[float], total: int | None) -> Iterator[Difference]:
    if imported.faithful is None:
        return
    end = max(total or 0, (imported.steps or 0) * (1 if total else _LOOK_PAST), 1)
    steps = np.unique(np.linspace(0, end, min(end + 1, _LOOKED_AT)).astype(int))
    for name, rules in imported.faithful.items():
        yield from _of_target(name, rules, imported.corrected[name], bases, steps, imported.reason)


def _of_target(
    name: str, done: ByGroup, right: ByGroup, bases: Sequence[float], steps: Any, reason: str
) -> Iterator[Difference]:
    told: set[tuple[Any, ...]] = set()
    for group, (one, other, base) in enumerate(zip(done, right, bases, strict=True)):
        original, corrected = (
            np.asarray(one.value(steps, base)),
            np.asarray(other.value(steps, base)),
        )
        size = max(float(np.abs(corrected).max()), 1e-300)
        for first, last in _runs(np.abs(original - corrected) > 1e-9 * size):
            at = first + int(np.abs(original - corrected)[first : last + 1].argmax())
            where = (int(steps[first]), int(steps[last]), int(steps[at]))
            if where[:2] not in told:
                told.add(where[:2])
                label = name if group == 0 else f"{name}/{group}"
                yield Difference(label, *where, float(original[at]), float(corrected[at]), reason)


def _runs(apart: Any) -> Iterator[tuple[int, int]]:
    """Return first and last index of each stretch of truth."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], apart, [False])).astype(int)))
    yield from zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
