"""A plan bound to live objects: it counts, and it is the only thing that writes."""

from __future__ import annotations

__all__ = ["Scheduler"]

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import repeat
from operator import length_hint
from typing import Any, Literal, TypeAlias

import numpy as np
from torch.optim.lr_scheduler import LRScheduler

from warmdown.binding.field import Attribute, Field, group_names, unwrapped
from warmdown.errors import BindingError, ScheduleError, StateError, nearest
from warmdown.plan import AfterEnd, Count, Given, Meaning, Plan
from warmdown.run import Run
from warmdown.schedules import Phase

OnChange: TypeAlias = Literal["ask", "saved", "given", "rescale", "continue"]

_VERSION = 1
_WINDOW = 1024
_SPENT = object()


class Scheduler(LRScheduler):
    """Drives numbers of live objects by a plan; construction writes the values of update 0.

    Args:
        optimizer: An optimizer, or several, that the targets name fields of.
        plan: A finished plan, instead of targets.
        run: Facts about the run, for open lengths such as ``"5%"``.
        auto: Count the optimizer's own updates; ``step()`` then does nothing.
        count: ``"updates"`` that were really made, or all ``"attempts"``.
        after_end: ``"hold"`` the last value past the planned end, or ``"raise"``.
        strict: Raise where a warning would be given.
        on_change: What happens when a saved state is of another plan.
        bind: Plain objects by target name: ``{"kl": Attribute(model, "kl_weight")}``.
        targets: A schedule, ``Scale``, ``Set``, or a mapping from group to one of them, for each field.

    Raises:
        BindingError: A target names something the optimizer does not have.
        ScheduleError: The phases do not fit into the run.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.count, scheduler.values()
        (2, {'lr/0': 0.2})
    """

    _step_count = 1  # accelerate adds to it

    def __init__(
        self,
        optimizer: Any,
        plan: Plan | None = None,
        *,
        run: Run | None = None,
        auto: bool = False,
        count: Count = "updates",
        after_end: AfterEnd = "hold",
        strict: bool = False,
        on_change: OnChange = "ask",
        bind: Mapping[str, Any] | None = None,
        **targets: Given,
    ) -> None:
        several = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
        self.optimizer = several[0]
        self.optimizers = several
        self.auto, self.strict, self.on_change = auto, strict, on_change
        given = _one_plan(plan, targets, run=run, after_end=after_end, count=count)
        self._plan = given.over()
        self._drives = _bind(self._plan, several, bind or {})
        self._write(0)

    # -- the clock ---------------------------------------------------------------------------------------------------

    def step(self, *, samples: int | None = None, tokens: int | None = None) -> None:  # type: ignore[override]
        """Count one update and write the values that the next one uses."""
        if next(self._writes, _SPENT) is _SPENT:
            self._refill()

    @property
    def count(self) -> int:
        """Updates counted so far; the next update is this number."""
        return self._window_end - length_hint(self._left)

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """The count, by torch's name."""
        return self.count

    def seek(self, count: int) -> None:
        """Go to an update by its number alone; the values are those of an unbroken run.

        Raises:
            ScheduleError: The number is negative.
        """
        if count < 0:
            raise ScheduleError(f"Scheduler.seek({count}): an update has a number from 0 on.")
        self._write(count)

    # -- what it says --------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The plan that is followed, its lengths measured."""
        return self._plan

    @property
    def run(self) -> Run:
        """Facts about the run."""
        return self._plan.run

    @property
    def phase(self) -> Phase | None:
        """The named stretch that the next update lies in."""
        here = self.count
        phases = [phase for drive in self._drives[:1] for phase in drive.meanings[0].schedules()[0].phases()]
        inside = [phase for phase in phases if phase.start <= here and (phase.stop is None or here < phase.stop)]
        return inside[0] if inside else None

    def value(self, step: int, target: str = "lr", group: int | str = 0) -> float:
        """Return what update ``step`` uses."""
        drive, index = self._find(target, group)
        return drive.value(step, index)

    def values(self) -> dict[str, float]:
        """Return what is held now, by ``target/group``."""
        held = ((drive, drive.field.read()) for drive in self._drives)
        return {label: value for drive, row in held for label, value in zip(drive.labels, row, strict=True)}

    def get_last_lr(self) -> list[float]:  # type: ignore[override]
        """Return the learning rate that each group holds."""
        return [value for drive in self._drives if drive.name == "lr" for value in drive.field.read()]

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The learning rate of each group that the plan scales."""
        return [base for drive in self._drives if drive.name == "lr" for base in drive.bases]

    # -- state ------------------------------------------------------------------------------------------------------

    def state_dict(self, *, plan: bool = True) -> dict[str, Any]:
        """Return what cannot be computed again: the count, and the plan or its fingerprint.

        Args:
            plan: Whether the whole plan goes in, so that a differing one can be shown; else its fingerprint alone.
        """
        made_from = {"plan": self._plan.to_dict()} if plan else {}
        return {"version": _VERSION, "count": self.count, "print": self._plan.fingerprint, **made_from}

    def load_state_dict(self, state: Mapping[str, Any], on_change: OnChange | None = None) -> None:  # type: ignore[override]
        """Go to where ``state`` was saved and write the values at once.

        Raises:
            StateError: The state is damaged, or of another plan; nothing has changed then.
        """
        if state.get("version") != _VERSION or not isinstance(state.get("count"), int):
            raise StateError(f"Scheduler.load_state_dict: {dict(state)!r:.80} is no state of a Scheduler.")
        policy = on_change or self.on_change
        if state.get("print") != self._plan.fingerprint and policy != "given":
            raise StateError("Scheduler.load_state_dict: the state is of another plan. Pass on_change='given'.")
        self.seek(state["count"])

    # -- windows ----------------------------------------------------------------------------------------------------

    def _write(self, count: int) -> None:
        for drive in self._drives:
            drive.field.write([drive.value(count, index) for index in range(len(drive.meanings))])
        self._window_end, self._left, self._writes = count, iter(()), iter(())

    def _refill(self) -> None:
        start = self.count
        steps = np.arange(start, start + _WINDOW + 1)
        self._left = repeat(None, _WINDOW)
        writes = [drive.writing(steps) for drive in self._drives]
        self._writes = zip(self._left, *writes, strict=False)
        self._window_end = start + _WINDOW
        next(self._writes)

    def _find(self, target: str, group: int | str) -> tuple[_Drive, int]:
        label = f"{target}/{group}"
        for drive in self._drives:
            if label in drive.labels:
                return drive, drive.labels.index(label)
            if drive.name == target and isinstance(group, int) and group < len(drive.labels):
                return drive, group
        known = [label for drive in self._drives for label in drive.labels]
        raise BindingError(f"Scheduler.value({label!r}): no such number is driven. {nearest(label, known)}")


class _Drive:
    """One field, and what each of its groups follows."""

    def __init__(self, name: str, field: Field | Attribute, labels: list[str], meanings: list[Meaning]) -> None:
        self.name, self.field, self.labels, self.meanings = name, field, labels, meanings
        self.bases = field.read()

    def value(self, step: int, index: int) -> float:
        return float(self.meanings[index].value(step, self.bases[index]))

    def writing(self, steps: np.ndarray[Any, Any]) -> Iterator[None]:
        columns = {
            (id(meaning), base): np.asarray(meaning.value(steps, base))
            for meaning, base in zip(self.meanings, self.bases, strict=True)
        }
        moved = np.logical_or.reduce([column[1:] != column[:-1] for column in columns.values()])
        if not moved.any():
            return repeat(None)
        lists = {key: column[1:].tolist() for key, column in columns.items()}
        if len(lists) == 1:
            values = next(iter(lists.values()))
            return self.field.writing_one(
                value if moves else None for value, moves in zip(values, moved.tolist(), strict=True)
            )
        rows = zip(*(lists[id(m), base] for m, base in zip(self.meanings, self.bases, strict=True)), strict=True)
        return self.field.writing(row if moves else None for row, moves in zip(rows, moved.tolist(), strict=True))


def _one_plan(plan: Plan | None, targets: Mapping[str, Given], **facts: Any) -> Plan:
    if plan is None and targets:
        return Plan.of(**facts, **targets)
    if isinstance(plan, Plan) and not targets:
        return plan if facts["run"] is None else plan.over(facts["run"])
    raise ScheduleError("Scheduler: give a Plan, or targets such as lr=schedule, one of the two.")


def _bind(plan: Plan, optimizers: list[Any], bound: Mapping[str, Any]) -> list[_Drive]:
    drives: list[_Drive] = []
    for name in dict.fromkeys(target.name for target in plan.targets):
        mine = [target for target in plan.targets if target.name == name]
        if name in bound:
            drives.append(_Drive(name, bound[name], [name], [mine[0].meaning]))
            continue
        for optimizer in optimizers:
            names = group_names(optimizer)
            chosen = {
                index: next((t.meaning for t in mine if t.groups == str(index) or fnmatchcase(group, t.groups)), None)
                for index, group in enumerate(names)
            }
            driven = {index: meaning for index, meaning in chosen.items() if meaning is not None}
            if driven:
                field = Field(unwrapped(optimizer), name, driven)
                drives.append(_Drive(name, field, [f"{name}/{names[i]}" for i in driven], list(driven.values())))
    return drives
