"""Another library's scheduler to a plan of ours, bug for bug or corrected, and where they part."""

from __future__ import annotations

__all__ = ["Mode", "differences", "from_torch"]

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from warmdown.errors import ScheduleError, WarmdownError
from warmdown.importing.composites import read_by_kind
from warmdown.importing.difference import (
    Difference,
    check_against_original,
    check_next,
    do_part,
    find_differences,
)
from warmdown.importing.imported import Imported, NotImportable, tabulate, to_plan
from warmdown.importing.numbers import count_of_setting, number_of_setting
from warmdown.importing.simulation import SchedulerCopy, follows_metric, live_scheduler
from warmdown.plan import Plan
from warmdown.run import Run

Mode: TypeAlias = Literal["faithful", "corrected"]
Report: TypeAlias = Callable[[str], object] | None
MODES = ("faithful", "corrected")


def from_torch(
    scheduler: Any,
    *,
    mode: Mode = "faithful",
    total_steps: int | None = None,
    lr: float | None = None,
    report: Report = print,
    allow: Sequence[str] = (),
) -> Plan:
    """Return the plan of another library's scheduler, and report its undocumented behaviour.

    Args:
        scheduler: A live scheduler of torch, transformers, timm or pytorch-accelerated (it is left
            alone), a function that makes one for an optimizer, or its configuration:
            ``{"class_path": …, "init_args": {…}}``.
        mode: ``"faithful"``, bug for bug, or ``"corrected"``, as documented.
        total_steps: Updates in the run, where the scheduler does not have that number.
        lr: Base rate of a scheduler that is not live, 1 unless given; the plan's run has it then.
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
        Cosine(steps=10)
    """
    if mode not in MODES:
        raise ScheduleError(f"from_torch(mode={mode!r}): use one of {', '.join(MODES)}.")
    total_steps = count_of_setting({"total_steps": total_steps}, "total_steps")
    lr = number_of_setting({"lr": lr}, "lr")
    live = live_scheduler(scheduler, lr, allow)
    if isinstance(getattr(live, "plan", None), Plan):
        plan: Plan = live.plan
        return plan
    copy = _copy_of(live, total_steps)
    imported = _read_scheduler(live, copy)
    if report:
        for line in _report_lines(live, imported, copy):
            report(line)
    end = total_steps or imported.total
    if mode == "corrected" or (end and not do_part(imported, copy.bases, end)):
        return to_plan(imported.corrected, Run(total_steps=end, lr=lr))
    late = imported.lag if total_steps is None else 0
    return to_plan(imported.original, Run(total_steps=end and end + late, lr=lr))


def differences(
    scheduler: Any, *, total_steps: int | None = None, lr: float | None = None
) -> tuple[Difference, ...]:
    """Return where a scheduler parts from its documentation; arguments as of :func:`from_torch`."""
    live = live_scheduler(scheduler, lr)
    copy = _copy_of(live, total_steps)
    return tuple(find_differences(_read_scheduler(live, copy), copy))


def _copy_of(scheduler: Any, total_steps: int | None) -> SchedulerCopy:
    try:
        return SchedulerCopy(scheduler, total_steps)
    except NotImportable as error:
        raise ScheduleError(
            f"from_torch: {error}. Give its class and arguments: class_path, init_args."
        ) from error


def _report_lines(scheduler: Any, imported: Imported, copy: SchedulerCopy) -> Iterator[str]:
    yield from map(str, find_differences(imported, copy))
    who = type(scheduler).__name__
    yield from (f"{who}: {remark}." for remark in imported.remarks)
    count = copy.position
    if count > 0 and not imported.remarks:
        yield f"{who}: it stands at update {count}. Go there with scheduler.seek({count})."


def _read_scheduler(scheduler: Any, copy: SchedulerCopy) -> Imported:
    """Read a scheduler by its kind where that is known, else by walking it."""
    who = type(scheduler).__name__
    try:
        imported = check_against_original(read_by_kind(scheduler, copy), copy)
        return check_next(imported, scheduler, copy)
    except (NotImportable, ScheduleError) as error:
        if follows_metric(scheduler):
            raise ScheduleError(f"from_torch({who}): {error}") from error
        end = copy.total or getattr(scheduler, "total_steps", None)
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


def _walk_whole(scheduler: Any, steps: int) -> Imported:
    try:
        copy = SchedulerCopy(scheduler, steps)
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
