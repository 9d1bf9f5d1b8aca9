"""The name that answers to a metric."""

from __future__ import annotations

__all__ = ["ReduceLROnPlateau"]

import math
from typing import Any, ClassVar, Literal, SupportsFloat

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.groups import print_rate
from warmdown.compat import State
from warmdown.compat.lr_scheduler.arguments import (
    floats,
    is_verbose,
    kept_arguments,
    per_group,
    plain,
    plain_entries,
    require_entries,
    require_optimizer,
)
from warmdown.compat.lr_scheduler.base import ResumedLR
from warmdown.compat.lr_scheduler.window import Rates, Row
from warmdown.errors import ScheduleError, TrainingError
from warmdown.schedules import Plateau
from warmdown.schedules.plateau import is_better


class ReduceLROnPlateau(ResumedLR, torch_sched.ReduceLROnPlateau):
    """A factor on the rate whenever a metric has stopped improving.

    Args:
        optimizer: A torch optimizer.
        mode: Whether ``"min"`` or ``"max"`` is better.
        factor: What the rate is multiplied by, at least 0 and below 1.
        patience: Steps without improvement that are tolerated.
        threshold: Smallest change that is an improvement.
        threshold_mode: Whether it is a share of the best (``"rel"``) or absolute (``"abs"``).
        cooldown: Steps after a fall in which nothing counts.
        min_lr: Lowest rate, for all groups or a list with one for each.
        eps: Smallest fall that is made.
        verbose: Whether each fall is printed, in the words of older versions of torch.

    Raises:
        ScheduleError: An argument is out of range, or a list has another length.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import ReduceLROnPlateau
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for val_loss in (1.0, 1.0, 1.0):
        ...     scheduler.step(val_loss)
        >>> scheduler.get_last_lr()
        [0.2]
    """

    _arguments: ClassVar[tuple[str, ...]] = (
        "mode",
        "factor",
        "patience",
        "threshold",
        "threshold_mode",
        "cooldown",
        "min_lrs",
        "default_min_lr",
        "eps",
    )

    _NOT_STATE = ResumedLR._NOT_STATE | {"_last_lr", "mode_worse"}

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: Rates | float = 0,
        eps: float = 1e-8,
        verbose: object = None,
    ) -> None:
        who = type(self).__name__
        require_optimizer(who, optimizer)
        self.verbose = is_verbose(verbose)
        factor, threshold, eps = map(plain, (factor, threshold, eps))
        patience, cooldown = map(plain, (patience, cooldown))
        if not factor < 1:
            raise ScheduleError(
                f"{who}(factor={factor}): a factor below 1 is needed, for the rate to fall."
            )
        Plateau(  # raises where an argument is out of range
            mode=mode,
            patience=_as_whole(patience),
            threshold=threshold,
            threshold_mode=threshold_mode,
            cooldown=_as_whole(cooldown),
        )
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else plain(min_lr)
        self.min_lrs = per_group(who, "min_lr", min_lr, self._count_groups())
        self.last_epoch = 0
        self._reset()
        self._written = self._bound_writer().read()

    @property
    def mode_worse(self) -> float:  # type: ignore[override]
        """What is worse than any metric."""
        return math.inf if self.mode == "min" else -math.inf

    @leave_uncompiled
    def step(  # type: ignore[override]
        self, metrics: SupportsFloat, epoch: int | None = None
    ) -> None:
        """Take in a metric, and lower the rates if it has not improved for too long.

        Args:
            metrics: The metric. NaN changes nothing.
            epoch: Go to this step instead of the next.
        """
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._written = self._assigned = None
        metric = float(metrics)
        if metric == metric:
            self._take_metric(metric)

    def _take_metric(self, metric: float) -> None:
        """Compare a metric that is a number, and lower the rates where it is time."""
        form = self.mode, self.threshold, self.threshold_mode
        if is_better(metric, self.best, *form):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def get_lr(self) -> Row:
        """Return the current rates: a plateau has none of its own."""
        return self.get_last_lr()

    def _reduce_lr(self, epoch: int) -> None:
        writer = self._bound_writer()
        current = writer.read()
        self._fit_bounds("min_lr", len(current))
        row = []
        for group, (rate, lowest) in enumerate(zip(current, floats(self.min_lrs), strict=True)):
            lowered = max(rate * self.factor, lowest)
            falls = rate - lowered > self.eps
            row.append(lowered if falls else rate)
            print_rate(self.verbose and falls, group, lowered, epoch, change="reducing")
        writer.write(row)

    def _fit_bounds(self, name: str, groups: int) -> None:
        count, default = len(vars(self)[f"{name}s"]), vars(self)[f"default_{name}"]
        if count == groups:
            return
        if default is None:
            raise TrainingError(
                f"{type(self).__name__}({name}=[…]): {count} values, and the optimizer now has "
                f"{groups} groups. Set scheduler.{name}s to one for each."
            )
        vars(self)[f"{name}s"] = [default] * groups

    @property
    def _last_lr(self) -> Row:
        return self._bound_writer().copies() if self._assigned is None else self._assigned

    @_last_lr.setter
    def _last_lr(self, rates: Row) -> None:
        self._assigned = rates

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        who = type(self).__name__
        require_entries(who, state, "last_epoch", "best", "num_bad_epochs", "cooldown_counter")
        given = kept_arguments(self, self._arguments, state)
        vars(self).update({**plain_entries(self._state_entries(state)), **given})
        self._assigned = list(state["_last_lr"]) if "_last_lr" in state else None
        self._written = self._assigned and floats(self._assigned)


def _as_whole(steps: Any) -> Any:
    """Return a number of steps as a whole one, if it is one."""
    return int(steps) if isinstance(steps, float) and steps.is_integer() else steps
