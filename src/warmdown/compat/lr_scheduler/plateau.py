"""The name that answers to a metric."""

from __future__ import annotations

__all__ = ["ReduceLROnPlateau"]

import math
from collections.abc import Mapping
from typing import Any, Literal, SupportsFloat

from torch.optim import Optimizer
from torch.optim import lr_scheduler as theirs

from warmdown.compat.lr_scheduler.formula import Standing
from warmdown.compat.lr_scheduler.given import (
    Given,
    floats,
    one_a_group,
    require_optimizer,
    say_verbose_is_gone,
)
from warmdown.errors import ScheduleError, TrainingError
from warmdown.schedules import Plateau
from warmdown.schedules.feedback import FeedbackState


class ReduceLROnPlateau(Standing, theirs.ReduceLROnPlateau):
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
        verbose: Gone; accepted, so that older code runs.

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

    mode = Given()
    factor = Given()
    patience = Given()
    threshold = Given()
    threshold_mode = Given()
    cooldown = Given()
    min_lrs = Given()
    default_min_lr = Given()
    eps = Given()

    _WORKED_OUT = frozenset({"mode_worse"})

    _judge: Plateau | None = None
    _NOT_STATE = Standing._NOT_STATE | {"_judge"}

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
        verbose: object = None,
    ) -> None:
        require_optimizer("ReduceLROnPlateau", optimizer)
        say_verbose_is_gone(verbose)
        if not factor < 1:
            raise ScheduleError(
                f"ReduceLROnPlateau(factor={factor}): a factor below 1 is needed, for the rate to "
                f"fall."
            )
        self.optimizer = optimizer
        self.mode, self.factor, self.patience, self.cooldown, self.eps = (
            mode,
            factor,
            patience,
            cooldown,
            eps,
        )
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = one_a_group(
            "ReduceLROnPlateau", "min_lr", min_lr, len(self._grip().field.groups)
        )
        self.last_epoch = 0
        self._rule()
        self._reset()
        self._row = self._grip().read()

    @property
    def mode_worse(self) -> float:  # type: ignore[override]
        """What is worse than any metric."""
        return math.inf if self.mode == "min" else -math.inf

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take in a metric, and lower the rates if it has not improved for too long.

        Args:
            metrics: The metric. NaN says nothing, and changes nothing.
            epoch: Go to this step instead of the next.
        """
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._row = self._said = None
        if math.isnan(metric := float(metrics)):
            return
        seen = self._rule().update_state(self._memory(), self.last_epoch, metric)
        self.best = self.mode_worse if seen.best is None else seen.best
        self.num_bad_epochs, self.cooldown_counter = seen.num_bad, int(seen.cooldown_left)
        if len(seen.levels) > 1:
            self._reduce_lr(self.last_epoch)

    def get_lr(self) -> list[Any]:
        """Return what is held: a plateau has no rate of its own."""
        return self.get_last_lr()

    def _reset(self) -> None:
        self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0

    def _reduce_lr(self, epoch: int) -> None:
        held = self._grip().read()
        self._fit_the_groups(len(held))
        lowered = [
            max(rate * self.factor, low)
            for rate, low in zip(held, floats(self.min_lrs), strict=True)
        ]
        row = [new if old - new > self.eps else old for old, new in zip(held, lowered, strict=True)]
        self._grip().write(row)

    def _fit_the_groups(self, count: int) -> None:
        if len(self.min_lrs) == count:
            return
        if self.default_min_lr is None:
            raise TrainingError(
                f"ReduceLROnPlateau(min_lr=[…]): {len(self.min_lrs)} values, and the optimizer now "
                f"has {count} groups. "
                "Set scheduler.min_lrs to one for each."
            )
        self.min_lrs = [self.default_min_lr] * count

    def _rule(self) -> Plateau:
        """Return the rule that says when to fall; how far, this class says."""
        if self._judge is None:
            self._judge = Plateau(
                metric="metric",
                mode=self.mode,
                factor=0.5,
                patience=self.patience,
                threshold=self.threshold,
                threshold_mode=self.threshold_mode,
                cooldown=self.cooldown,
            )
        return self._judge

    def _memory(self) -> FeedbackState:
        best = None if self.best == self.mode_worse else float(self.best)
        return FeedbackState(
            best=best,
            num_bad=self.num_bad_epochs,
            cooldown_left=float(self.cooldown_counter),
        )

    @property
    def _last_lr(self) -> list[Any]:
        return self._grip().now() if self._said is None else self._said

    @_last_lr.setter
    def _last_lr(self, said: list[Any]) -> None:
        self._said = said

    def _forget(self) -> None:
        self._judge = None

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._require(state, "last_epoch", "best", "num_bad_epochs", "cooldown_counter")
        self._say_what_differs(state)
        vars(self).update(self._own(state))
        self._said = list(state["_last_lr"]) if "_last_lr" in state else None
        self._row = None if self._said is None else floats(self._said)
