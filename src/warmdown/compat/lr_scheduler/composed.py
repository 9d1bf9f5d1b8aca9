"""Schedulers of schedulers: one after the other, or all at once."""

from __future__ import annotations

__all__ = ["ChainedScheduler", "SequentialLR"]

import math
import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from torch.optim import Optimizer
from torch.optim import lr_scheduler as theirs

from warmdown.compat.lr_scheduler.ahead import blend
from warmdown.compat.lr_scheduler.base import LRScheduler
from warmdown.compat.lr_scheduler.families import Absolute, Chainable
from warmdown.compat.lr_scheduler.given import (
    NotAnOptimizer,
    floats,
    require_optimizer,
    say_verbose_is_gone,
)
from warmdown.compat.lr_scheduler.hand import Hand, Swap, no_swap
from warmdown.compat.lr_scheduler.slopes import SWALR
from warmdown.errors import BindingError, ScheduleError, StateError


class Composed(LRScheduler):
    """A scheduler that leaves the rates to others of the same optimizer."""

    _schedulers: Any
    _step_count = 1  # others add to it

    def get_lr(self) -> list[Any]:
        """Return what was written last: the others compute."""
        return self.get_last_lr()

    def _take(self, optimizer: Any, schedulers: Sequence[Any]) -> None:
        who = type(self).__name__
        for index, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise NotAnOptimizer(
                    f"{who}: schedulers[{index}] is a {type(scheduler).__name__} without an "
                    f"optimizer."
                )
            if scheduler.optimizer is not optimizer:
                raise BindingError(
                    f"{who}: schedulers[{index}] is of another optimizer. All must be of one."
                )
        require_optimizer(who, optimizer)
        self.optimizer = optimizer
        self._schedulers = schedulers

    def _initial_step(self) -> None:
        begin(self)

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.step()
        else:
            enter(self, epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state: the position, and each scheduler's own."""
        own = {
            key: value
            for key, value in vars(self).items()
            if key not in {*self._NOT_STATE, "_schedulers"}
        }
        parts = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**own, "_last_lr": self.get_last_lr(), "_schedulers": parts}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state; the arguments stay those of this scheduler.

        Args:
            state_dict: What ``state_dict()`` returned, of this class or of torch's.

        Raises:
            StateError: It is of another number of schedulers; nothing has changed then.
        """
        parts = state_dict.get("_schedulers", ())
        if len(parts) != len(self._schedulers):
            raise StateError(
                f"{type(self).__name__}.load_state_dict: it is of {len(parts)} schedulers, here "
                f"are "
                f"{len(self._schedulers)}."
            )
        is_new = self._stands()
        for scheduler, part in zip(self._schedulers, parts, strict=True):
            scheduler.load_state_dict(part)
        self._settle(state_dict, is_new=is_new)

    def _stands(self) -> bool:
        """Tell whether the optimizer holds what was written last: nobody restored it."""
        return self._grip().read() == self._grip().rounded(self.get_last_lr())

    def _settle(self, state: Mapping[str, Any], *, is_new: bool) -> None:
        """Take up the position, after the parts have taken theirs."""
        if is_new and "_last_lr" in state:
            self._grip().write(floats(state["_last_lr"]))


class SequentialLR(Composed, theirs.SequentialLR):
    """One scheduler after the other; each one's steps count from its milestone.

    A ``ReduceLROnPlateau`` may be among them: then give ``step`` the metric. It begins with the
    base rate.

    Args:
        optimizer: A torch optimizer.
        schedulers: At least one, all of ``optimizer``; they may be composed themselves.
        milestones: Steps at which the second, the third … begin, in rising order.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: There is no scheduler, or the milestones do not match them.
        TypeError: One of them is no scheduler.
        BindingError: One is of another optimizer.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> warmup, decay = LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=2)
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
        say_verbose_is_gone(verbose)
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

    @property
    def base_lrs(self) -> list[Any]:  # type: ignore[override]
        """The rate that each group began with."""
        return self._grip().field.get_entry("initial_lr")

    @property  # type: ignore[misc]
    def _last_lr(self) -> list[Any]:  # type: ignore[override]
        turn, _ = whose_turn(self, self.last_epoch)
        return self._schedulers[turn].get_last_lr()  # type: ignore[no-any-return]

    def _settle(self, state: Mapping[str, Any], *, is_new: bool) -> None:
        own = {
            key: value
            for key, value in state.items()
            if key not in {"_schedulers", "_milestones", "_last_lr"}
        }
        vars(self).update(own)
        turn, local = whose_turn(self, self.last_epoch)
        if self._schedulers[turn].last_epoch == local:
            super()._settle(state, is_new=is_new)
        else:  # other milestones than when it was saved: those given now hold
            enter(self._schedulers[turn], local)


class ChainedScheduler(Composed, theirs.ChainedScheduler):
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
        >>> scheduler = ChainedScheduler([ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)])
        >>> for _ in range(3):
        ...     print(scheduler.get_last_lr())
        ...     optimizer.step()
        ...     scheduler.step()
        [0.2]
        [0.1]
        [0.1]
    """

    _swap: Swap = staticmethod(no_swap)
    """Writes the next rates of all parts together; ``None`` leaves the step to the parts."""
    _NOT_STATE = Composed._NOT_STATE | {"_swap"}
    _NOT_COPIED = Composed._NOT_COPIED | {"_swap"}

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ScheduleError(
                "ChainedScheduler(schedulers=[]): at least one scheduler is needed."
            )
        self._take(optimizer or getattr(schedulers[0], "optimizer", None), schedulers)

    def step(self, metrics: SupportsFloat | None = None) -> None:
        """Let each scheduler count one step and write its rates.

        Args:
            metrics: For a plateau among them.
        """
        if metrics is None and self._went_together():
            return
        for scheduler in self._schedulers:
            step(scheduler, metrics)
        self._swap = self._short_way()

    def _went_together(self) -> bool:
        """Write the product of all curves in one pass, while nobody else writes and no argument is given anew."""
        first = self._schedulers[0]
        if self._swap is no_swap or any(part._curve is None for part in self._schedulers):
            return False
        written = self._swap(first.last_epoch)
        if written is None:
            return False
        for part in self._schedulers:
            part._written = written
            part._step_count += 1
            part.last_epoch += 1
        return True

    def _short_way(self) -> Swap:
        parts: Any = self._schedulers
        if not all(isinstance(part, Chainable) and part.is_a_factor() for part in parts):
            return no_swap
        hand = self._grip()
        now = math.prod(part.share_held() for part in parts)
        if now == 0:
            return no_swap
        held = hand.read()
        hand.write(held)  # the very floats that are known by identity
        shares = math.prod(part.shares_to_come() for part in parts)
        for part in parts:
            part.give_up(held)
        return hand.swapping(blend([shares], [[rate / now for rate in held]]), parts[0].last_epoch)

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """Steps made."""
        return self._schedulers[0].last_epoch  # type: ignore[no-any-return]

    @property
    def base_lrs(self) -> list[Any]:  # type: ignore[override]
        """The rate that each group began with."""
        return self._schedulers[0].base_lrs  # type: ignore[no-any-return]

    @property  # type: ignore[misc]
    def _last_lr(self) -> list[Any]:  # type: ignore[override]
        return self._schedulers[-1].get_last_lr()  # type: ignore[no-any-return]


def step(scheduler: Any, metrics: SupportsFloat | None) -> None:
    """Step a scheduler; a plateau needs the metric, and what is composed may pass it on.

    Raises:
        ScheduleError: A plateau's turn has come, and there is no metric.
    """
    if isinstance(scheduler, theirs.ReduceLROnPlateau):
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


def whose_turn(sequence: Any, at: int) -> tuple[int, int]:
    """Return which scheduler of a sequence writes at a step, and that step as it counts."""
    turn = bisect_right(sequence._milestones, at)
    return turn, at - sequence._milestones[turn - 1] if turn else at


def begin(scheduler: Any) -> None:
    """Make a scheduler's first step, from the rates that are held."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is None:
        scheduler.last_epoch = -1
        scheduler._initial_step()
        return
    if hasattr(scheduler, "_milestones"):
        scheduler.last_epoch = 0
        parts = [parts[whose_turn(scheduler, 0)[0]]]
    for part in parts:
        go_to(part, 0)
    if not isinstance(scheduler, Composed):
        scheduler._last_lr = parts[-1].get_last_lr()


def go_to(scheduler: Any, at: int) -> None:
    """Bring a scheduler to its step ``at``, from the rates that are held."""
    if isinstance(scheduler, theirs.ReduceLROnPlateau):
        scheduler.last_epoch, scheduler._last_lr = at, Hand(scheduler.optimizer).now()
    elif at == 0 or not knows_every_step(scheduler):
        begin(scheduler)
        quietly_repeat(scheduler, at)
    elif isinstance(scheduler, Chainable):
        scheduler.join(at)
    elif not hasattr(scheduler, "_schedulers"):
        scheduler._update_lr(at)
    elif hasattr(scheduler, "_milestones"):
        scheduler.last_epoch = at
        turn, local = whose_turn(scheduler, at)
        (enter if turn else go_to)(scheduler._schedulers[turn], local)
    else:
        for part in scheduler._schedulers:
            go_to(part, at)


def enter(scheduler: Any, at: int) -> None:
    """Let a scheduler write the rates of its step ``at``, whatever is held; but SWALR begins where that is."""
    if hasattr(scheduler, "_schedulers") or isinstance(scheduler, theirs.ReduceLROnPlateau):
        to_the_first_rates(scheduler.optimizer)
        go_to(scheduler, at)
    elif at == 0 and isinstance(scheduler, SWALR):
        scheduler.join(0)  # it moves from the rate that is held
    elif knows_every_step(scheduler):
        scheduler._update_lr(at)
    else:
        scheduler._update_lr(0)
        quietly_repeat(scheduler, at)


def knows_every_step(scheduler: Any) -> bool:
    """Tell whether a scheduler can be brought to a step by its number alone."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is not None:
        return all(map(knows_every_step, parts))
    return isinstance(scheduler, Chainable | Absolute | theirs.ReduceLROnPlateau)


def quietly_repeat(scheduler: Any, times: int) -> None:
    """Step a scheduler that knows only how to go on; that no update comes between is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(times):
            scheduler.step()


def to_the_first_rates(optimizer: Any) -> None:
    """Write what the groups began with; each scheduler changed it as it was made."""
    field = Hand(optimizer).field
    field.store_initial()
    field.write(floats(field.get_entry("initial_lr")))
