"""Another library's scheduler to a plan of ours, bug for bug or corrected, and where they part."""

from __future__ import annotations

__all__ = ["Mode", "differences", "from_torch"]

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from warmdown.errors import ScheduleError, WarmdownError
from warmdown.importing import timm_and_accelerated
from warmdown.importing import torch as torch_readers
from warmdown.importing.composites import chained, multiplied, of_functions, sequential
from warmdown.importing.difference import Difference, find_differences
from warmdown.importing.imported import Imported, NotImportable, tabulate, to_plan
from warmdown.importing.simulation import SchedulerCopy, live_scheduler
from warmdown.importing.verification import check_against_original
from warmdown.plan import Plan

Mode: TypeAlias = Literal["faithful", "corrected"]
MODES = ("faithful", "corrected")

_LIBRARIES = ("torch", "transformers", "timm", "pytorch_accelerated", "warmdown")
_OF_FUNCTIONS = {"LambdaLR": of_functions, "MultiplicativeLR": multiplied}
_OF_SCHEDULERS = {"SequentialLR": sequential, "ChainedScheduler": chained}
_READERS = {**torch_readers.READERS, **timm_and_accelerated.READERS}


def from_torch(
    scheduler: Any,
    *,
    mode: Mode = "faithful",
    total_steps: int | None = None,
    lr: float | None = None,
    report: Callable[[str], object] | None = print,
    allow: Sequence[str] = (),
) -> Plan:
    """Return the plan of another library's scheduler, and report its undocumented behaviour.

    Args:
        scheduler: A live scheduler of torch, transformers, timm or pytorch-accelerated (it is left
            alone), a function that makes one for an optimizer, or its configuration:
            ``{"class_path": …, "init_args": {…}}``.
        mode: ``"faithful"``, bug for bug, or ``"corrected"``, as documented.
        total_steps: Updates in the run, where the scheduler does not have that number.
        lr: Base rate of a scheduler that is not live, 1 unless given.
        report: Takes each line of the report; ``None`` for silence.
        allow: Modules that a ``class_path`` may name besides the known ones.

    Raises:
        ScheduleError: It is no scheduler, has no end that is known, or is too long for a table.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
        >>> cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
        >>> plan = wd.from_torch(cosine, mode="corrected")
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
    imported = _read_scheduler(live, copy, total_steps)
    if report:
        for line in _report_lines(live, imported, copy.bases, total_steps):
            report(line)
    targets = imported.original if mode == "faithful" else imported.corrected
    return to_plan(targets, total_steps or imported.total)


def differences(
    scheduler: Any, *, total_steps: int | None = None, lr: float | None = None
) -> tuple[Difference, ...]:
    """Return where a scheduler parts from its documentation; arguments as of :func:`from_torch`."""
    live = live_scheduler(scheduler, lr)
    copy = SchedulerCopy(live)
    imported = _read_scheduler(live, copy, total_steps)
    return tuple(find_differences(imported, copy.bases, total_steps))


def _report_lines(
    scheduler: Any, imported: Imported, bases: Sequence[float], total: int | None
) -> Iterator[str]:
    yield from map(str, find_differences(imported, bases, total))
    who = type(scheduler).__name__
    yield from (f"{who}: {remark}." for remark in imported.remarks)
    count = getattr(scheduler, "last_epoch", 0)
    if count > 0 and not imported.remarks:
        yield f"{who}: it stands at update {count}. Go there with scheduler.seek({count})."


def _read_scheduler(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    """Read a scheduler by its kind where that is known, else by walking it."""
    who = type(scheduler).__name__
    try:
        return check_against_original(_read_kind(scheduler, copy, total), copy.bases, total)
    except (NotImportable, ScheduleError) as error:
        end = total or getattr(scheduler, "total_steps", None)
        if end is None:
            raise ScheduleError(
                f"from_torch({who}): {error}: it can only be walked. Give total_steps=…."
            ) from error
    except WarmdownError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        # a length that is a list, or infinite: torch's classes take what they are given unseen
        raise ScheduleError(
            f"from_torch({who}): its arguments make no schedule: {error}. Correct them."
        ) from error
    return _walk_whole(scheduler, end)


def _read_kind(scheduler: Any, copy: SchedulerCopy, total: int | None) -> Imported:
    kinds = type(scheduler).__mro__
    kind = next((kind for kind in kinds if kind.__module__.split(".")[0] in _LIBRARIES), object)
    name = kind.__name__
    if kind is not type(scheduler):
        raise NotImportable(f"{type(scheduler).__name__} is a class of one's own")

    def part(inner: Any) -> Imported:
        return _read_kind(inner, SchedulerCopy(inner), total)

    if name in _OF_FUNCTIONS:
        return _OF_FUNCTIONS[name](scheduler, copy, total)
    if name in _OF_SCHEDULERS:
        return _OF_SCHEDULERS[name](scheduler, copy, part)
    if name not in _READERS:
        raise NotImportable(f"{name} is not known")
    imported = _READERS[name](scheduler, copy)
    if kind.__module__.startswith("warmdown.compat.lr_scheduler"):
        # our drop-in does what torch's documents
        return Imported(imported.corrected, total=imported.total, steps=imported.steps)
    return imported


def _walk_whole(scheduler: Any, steps: int) -> Imported:
    try:
        copy = SchedulerCopy(scheduler)
        values = copy.walk(steps)
    except NotImportable as error:
        raise ScheduleError(f"from_torch: {error}.") from error
    no_bases = [0.0] * len(copy.bases)  # a table of the values themselves
    targets = {name: tabulate(rows, no_bases) for name, rows in values.items()}
    if not _sets_rates(scheduler):
        targets["lr"] = tabulate(values["lr"], copy.bases)
    return Imported(targets, total=steps, steps=steps)


def _sets_rates(scheduler: Any) -> bool:
    """Whether a scheduler, or one in it, replaces the rates that the groups began with."""
    if isinstance(scheduler, OneCycleLR | CyclicLR):
        return True
    return any(map(_sets_rates, getattr(scheduler, "_schedulers", ())))
