"""Schedulers of schedulers: one after the other, or all at once."""

from __future__ import annotations

__all__ = ["ChainedScheduler", "SequentialLR"]

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NoReturn, SupportsFloat

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.binding import Scheduler
from warmdown.binding.compiled import leave_uncompiled
from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler.arguments import (
    NotAnOptimizer,
    floats,
    plain_entries,
    require_optimizer,
)
from warmdown.compat.lr_scheduler.base import LRScheduler, ResumedLR
from warmdown.compat.lr_scheduler.curves import SWALR
from warmdown.compat.lr_scheduler.formula import Curve, FormulaLR, are_near
from warmdown.compat.lr_scheduler.functions import MultiplicativeLR
from warmdown.compat.lr_scheduler.window import (
    RateWriter,
    Row,
    WriteNext,
    blend,
    write_ahead,
    write_nothing,
)
from warmdown.errors import BindingError, ScheduleError, StateError


class ComposedLR(ResumedLR):
    """A scheduler that leaves the rates to others of the same optimizer."""

    _schedulers: Any
    _step_count = 1  # others add to it

    _NOT_COPIED = LRScheduler._NOT_COPIED | {"_curves", "_write_next"}
    _NOT_STATE = LRScheduler._NOT_STATE | {"_curves", "_write_next"}

    @property
    def base_lrs(self) -> Row:
        """The rate that each group began with."""
        return self._bound_writer().field.get_entry("initial_lr")

    @base_lrs.setter
    def base_lrs(self, rates: Row) -> None:
        self._bound_writer().field.set_entry("initial_lr", rates)

    def get_lr(self) -> Row:
        """Return what was written last: the others compute."""
        return self.get_last_lr()

    def _take(self, optimizer: Any, schedulers: Sequence[Any]) -> None:
        who = type(self).__name__
        for index, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise NotAnOptimizer(
                    f"{who}: schedulers[{index}] is a {type(scheduler).__name__} without an "
                    "optimizer. Give schedulers."
                )
            if scheduler.optimizer is not optimizer:
                raise BindingError(
                    f"{who}: schedulers[{index}] is of another optimizer. All must be of one."
                )
        require_optimizer(who, optimizer)
        for scheduler in schedulers:
            if isinstance(scheduler, Scheduler):
                scheduler.become_part(is_factor=isinstance(self, ChainedScheduler))
        self.optimizer = optimizer
        self._schedulers = schedulers
        self._bound_writer()  # it sees whether the optimizer is restored later

    def _initial_step(self) -> None:
        go_to(self, 0)

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.step()
        else:
            enter(self, epoch)

    def state_dict(self) -> StateDict:
        """Return the state: the position, and each scheduler's own."""
        parts = [scheduler.state_dict() for scheduler in self._schedulers]
        for part in parts:
            part.pop("_edited_lr", None)  # what one wrote, another may have overwritten
        return {**super().state_dict(), "_schedulers": parts}

    def load_state_dict(self, state_dict: State) -> None:
        """Go on from a state; the arguments stay those of this scheduler.

        Args:
            state_dict: What ``state_dict()`` returned, of this class or of torch's.

        Raises:
            StateError: It is of another number of schedulers; nothing has changed then.
        """
        super().load_state_dict(state_dict)

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds; only what is not ours may write."""
        parts = state.get("_schedulers", ())
        if len(parts) != len(self._schedulers):
            raise StateError(
                f"{type(self).__name__}.load_state_dict: it is of {len(parts)} schedulers, here "
                f"are {len(self._schedulers)}."
            )
        for scheduler, part in zip(self._schedulers, parts, strict=True):
            is_ours = isinstance(scheduler, ResumedLR)
            (scheduler.restore if is_ours else scheduler.load_state_dict)(part)

    def _writing_part(self) -> Any:
        """Return the scheduler that has written the rates of this step."""
        raise NotImplementedError

    @property
    def _row(self) -> Row:
        part = self._writing_part()
        exact = part._row if isinstance(part, LRScheduler) else None
        return exact or floats(part.get_last_lr())

    @property  # type: ignore[misc]
    def _last_lr(self) -> Row:  # type: ignore[override]
        return self._writing_part().get_last_lr()  # type: ignore[no-any-return]

    def _is_unchanged(self) -> bool:
        writer = self._writer or self._bound_writer()
        return writer.fits() and writer.read() == writer.rounded(self._row)

    def _write(self, row: Row) -> None:
        part = self._writing_part()
        if isinstance(part, LRScheduler):
            part._write(row)
        else:
            self._bound_writer().write(row)
            part._last_lr = self._bound_writer().copies()


class SequentialLR(ComposedLR, torch_sched.SequentialLR):
    """One scheduler after the other; each one's steps count from its milestone.

    A ``ReduceLROnPlateau`` may be among them: then give ``step`` the metric. It begins with the
    base rate.

    Args:
        optimizer: A torch optimizer.
        schedulers: At least one, all of ``optimizer``; they may be composed themselves.
        milestones: Steps at which the second, the third … begin, in rising order.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Not used, as in torch: the schedulers print by their own.

    Raises:
        ScheduleError: There is no scheduler, or the milestones do not match them.
        TypeError: One of them is no scheduler.
        BindingError: One is of another optimizer.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> warmup = LinearLR(optimizer, 0.5, total_iters=2)
        >>> decay = CosineAnnealingLR(optimizer, T_max=2)
        >>> scheduler = SequentialLR(optimizer, [warmup, decay], milestones=[2])
        >>> for _ in range(5):
        ...     print(round(optimizer.param_groups[0]["lr"], 6))
        ...     optimizer.step()
        ...     scheduler.step()
        0.2
        0.3
        0.4
        0.2
        0.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[Any],
        milestones: list[int],
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        del verbose
        if not schedulers:
            raise ScheduleError("SequentialLR(schedulers=[]): at least one scheduler is needed.")
        self._take(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(milestones):
            raise ScheduleError(
                f"SequentialLR(milestones={list(milestones)}): {len(schedulers)} schedulers need "
                f"{len(schedulers) - 1} milestones, in rising order."
            )
        self._milestones = list(milestones)
        to_the_first_rates(optimizer)
        go_to(self, last_epoch + 1)

    @leave_uncompiled
    def step(self, metrics: SupportsFloat | None = None) -> None:
        """Count one step and let the scheduler whose turn it is write its rates.

        Args:
            metrics: For a plateau, when it is its turn.
        """
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            enter(scheduler, 0)
        else:
            step(scheduler, metrics)

    def get_lr(self) -> Row:
        """Return what was written last: the others compute.

        Raises:
            BindingError: ``last_epoch`` was moved from outside.
        """
        part, (_, local) = self._writing_part(), active_part(self, self.last_epoch)
        if part.last_epoch != local:
            refuse_moved(self, self.last_epoch)
        return super().get_lr()

    def _writing_part(self) -> Any:
        turn, _ = active_part(self, self.last_epoch)
        return self._schedulers[turn]

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds; only what is not ours may write."""
        super().restore(state)
        others = {"_schedulers", "_milestones", "_last_lr", "_edited_lr", "verbose"}
        entries = plain_entries(state)
        vars(self).update({key: value for key, value in entries.items() if key not in others})

    def resumed_row(self) -> Row | None:
        """Return this step's rates by arguments that are not the saved ones, or ``None``."""
        part, writer = self._writing_part(), self._bound_writer()
        _, local = active_part(self, self.last_epoch)
        if part.last_epoch == local:
            return part.resumed_row() if isinstance(part, ResumedLR) else None
        before = writer.read()
        enter(part, local)  # the milestones given now differ from the saved ones
        row = writer.read()
        writer.write(before)
        return row


class ChainedScheduler(ComposedLR, torch_sched.ChainedScheduler):
    """Several schedulers at once; their factors multiply.

    Args:
        schedulers: At least one, all of one optimizer. With a ``ReduceLROnPlateau``, ``step`` takes
            the metric.
        optimizer: Their optimizer, or ``None``.

    Raises:
        ScheduleError: There is no scheduler.
        TypeError: One of them is no scheduler.
        BindingError: One is of another optimizer.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> parts = [ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
        >>> scheduler = ChainedScheduler(parts)
        >>> for _ in range(3):
        ...     print(scheduler.get_last_lr())
        ...     optimizer.step()
        ...     scheduler.step()
        [0.2]
        [0.1]
        [0.1]
    """

    _write_next: WriteNext = staticmethod(write_nothing)
    """Writes the product of all parts, while no part and no rate is changed from outside."""
    _curves: Sequence[Curve] = ()
    _scaled: Row | None = None
    """What the product scales, while the rates are the product."""

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ScheduleError(
                "ChainedScheduler(schedulers=[]): at least one scheduler is needed."
            )
        self._take(optimizer or getattr(schedulers[0], "optimizer", None), schedulers)

    @leave_uncompiled
    def step(self, metrics: SupportsFloat | None = None) -> None:
        """Let each scheduler count one step and write its rates.

        Args:
            metrics: For a plateau among them.
        """
        if metrics is None and self._stepped_together():
            return
        for scheduler in self._schedulers:
            step(scheduler, metrics)
        self._scaled = None
        self._write_next = self._open_window()

    def _stepped_together(self) -> bool:
        if self._wrote_next():
            return True
        if self._scaled is None:
            return False
        self._write_next = self._open_window()  # the last one has ended, or was not saved
        return self._wrote_next()

    def _wrote_next(self) -> bool:
        parts = self._schedulers
        if self._write_next is write_nothing or [part.curve for part in parts] != self._curves:
            return False
        row = self._write_next(parts[0].last_epoch)
        if row is None:
            return False
        for part in parts:
            part.adopt(row, steps=1)
        return True

    def _open_window(self) -> WriteNext:
        parts: Any = self._schedulers
        if not all(isinstance(part, FormulaLR) and part.is_factor for part in parts):
            return write_nothing
        now = math.prod(part.share for part in parts)
        if now == 0:
            return write_nothing
        writer = self._bound_writer()
        current = writer.read()
        if self._scaled is None:
            self._scaled = [rate / now for rate in current]
        elif len(current) != len(self._scaled) or not are_near(
            current, writer.rounded([rate * now for rate in self._scaled])
        ):
            return write_nothing
        shares = math.prod(part.shares_ahead() for part in parts)
        for part in parts:
            part.adopt(current, steps=0)
        self._curves = [part.curve for part in parts]
        rows = blend([shares], [self._scaled])
        return write_ahead(writer, rows, current, parts[0].last_epoch)

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds; only what is not ours may write."""
        super().restore(state)
        self._scaled, self._write_next = state.get("_scaled"), write_nothing

    @property
    def last_epoch(self) -> int:
        """Steps made."""
        return self._schedulers[0].last_epoch  # type: ignore[no-any-return]

    @last_epoch.setter
    def last_epoch(self, step: int) -> None:
        refuse_moved(self, step)

    def _writing_part(self) -> Any:
        return self._schedulers[-1]

    def _write(self, row: Row) -> None:
        super()._write(row)
        for part in self._schedulers:
            if isinstance(part, FormulaLR):
                part.adopt(row, steps=0)

    def write_saved(self, row: Row) -> None:
        """Write the saved rates of this step; each part has its own from its state."""
        self._bound_writer().write(row)

    def resumed_row(self) -> Row | None:
        """Return this step's rates by arguments that are not the saved ones, or ``None``."""
        row = self._row
        changed = False
        for part in self._schedulers:
            bent = part.resumed_row() if isinstance(part, ResumedLR) else None
            if bent is not None:
                changed = True
                rates = zip(row, bent, floats(part.get_last_lr()), strict=True)
                row = [rate * now / saved if saved else now for rate, now, saved in rates]
        return row if changed else None


def step(scheduler: Any, metrics: SupportsFloat | None) -> None:
    """Step a scheduler; a plateau needs the metric, and what is composed may pass it on.

    Raises:
        ScheduleError: A plateau's turn has come, and there is no metric.
    """
    if isinstance(scheduler, torch_sched.ReduceLROnPlateau):
        if metrics is None:
            raise ScheduleError(
                "step(metrics=None): it is ReduceLROnPlateau's turn. Give the "
                "metric: step(val_loss)."
            )
        scheduler.step(metrics)
    elif metrics is not None and isinstance(scheduler, SequentialLR | ChainedScheduler):
        scheduler.step(metrics)
    else:
        scheduler.step()


def refuse_moved(scheduler: Any, step: int) -> NoReturn:
    """Raise where ``last_epoch`` is moved from outside, as ignite's LRScheduler does.

    Raises:
        BindingError: Always.
    """
    raise BindingError(
        f"{type(scheduler).__name__}(last_epoch={step!r}): each of its schedulers counts for "
        "itself. Call step(), also under ignite: engine.add_event_handler(event, lambda _: "
        "scheduler.step()) instead of its LRScheduler."
    )


def active_part(sequence: Any, at: int) -> tuple[int, int]:
    """Return which scheduler of a sequence writes at a step, and that step as it counts."""
    turn = bisect_right(sequence._milestones, at)
    return turn, at - sequence._milestones[turn - 1] if turn else at


def go_to(scheduler: Any, at: int) -> None:
    """Bring a scheduler to its step ``at``, from the current rates."""
    parts = getattr(scheduler, "_schedulers", None)
    if isinstance(scheduler, torch_sched.ReduceLROnPlateau):
        scheduler.last_epoch, scheduler._last_lr = at, RateWriter(scheduler.optimizer).copies()
    elif at > 0 and not knows_every_step(scheduler):
        go_to(scheduler, 0)
        quietly_repeat(scheduler, at)
    elif parts is not None:
        _go_to_parts(scheduler, parts, at)
    elif at == 0:
        scheduler.last_epoch = -1
        scheduler._initial_step()
    elif isinstance(scheduler, FormulaLR) and scheduler.carries_edits:
        scheduler.join(at)
    else:
        _write_step(scheduler, at)


def _write_step(scheduler: Any, step: int) -> None:
    """Let a scheduler write the rates of a step; older torches take it as the epoch, and warn."""
    if hasattr(scheduler, "_update_lr"):
        scheduler._update_lr(step)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scheduler.step(step)


def _go_to_parts(scheduler: Any, parts: Sequence[Any], at: int) -> None:
    if hasattr(scheduler, "_milestones"):
        scheduler.last_epoch = at
        turn, local = active_part(scheduler, at)
        (enter if turn and at else go_to)(parts[turn], local)
        parts = parts[turn : turn + 1]
    else:
        for part in parts:
            go_to(part, at)
    if not isinstance(scheduler, ComposedLR):
        scheduler._last_lr = parts[-1].get_last_lr()


def enter(scheduler: Any, at: int) -> None:
    """Let a scheduler write the rates of its step ``at``; only SWALR begins where the rates are."""
    if hasattr(scheduler, "_schedulers") or isinstance(scheduler, torch_sched.ReduceLROnPlateau):
        to_the_first_rates(scheduler.optimizer)
        go_to(scheduler, at)
    elif at == 0 and isinstance(scheduler, SWALR):
        scheduler.join(0)  # it moves from the current rate
    elif knows_every_step(scheduler):
        _write_step(scheduler, at)
    else:
        _write_step(scheduler, 0)
        quietly_repeat(scheduler, at)


def knows_every_step(scheduler: Any) -> bool:
    """Return whether a scheduler can be brought to a step by its number alone."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is not None:
        return all(map(knows_every_step, parts))
    if isinstance(scheduler, FormulaLR):
        return not isinstance(scheduler, MultiplicativeLR)
    return isinstance(scheduler, torch_sched.ReduceLROnPlateau | Scheduler)


def quietly_repeat(scheduler: Any, times: int) -> None:
    """Step a scheduler that knows only how to go on; that no update comes between is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(times):
            scheduler.step()


def to_the_first_rates(optimizer: Any) -> None:
    """Write what the groups began with; each scheduler changed it as it was made."""
    field = RateWriter(optimizer).field
    field.store_initial()
    field.write(floats(field.get_entry("initial_lr")))
