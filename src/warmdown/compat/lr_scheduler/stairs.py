"""Chainable names whose rate is constant between steps at which it changes."""

from __future__ import annotations

__all__ = ["ConstantLR", "MultiStepLR", "StepLR"]

import math
from collections import Counter
from collections.abc import Iterable

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.compat.lr_scheduler.arguments import in_ticks
from warmdown.compat.lr_scheduler.formula import Curve, FormulaLR
from warmdown.errors import ScheduleError
from warmdown.schedules import Milestones, PiecewiseConstant, Staircase


class StepLR(FormulaLR, torch_sched.StepLR):
    """A factor every few steps.

    Args:
        optimizer: A torch optimizer.
        step_size: Steps from one factor to the next, above 0.
        gamma: The factor, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: ``step_size`` is not positive, or ``gamma`` is negative.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import StepLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.1]
    """

    _arguments = ("step_size", "gamma")

    def __init__(
        self,
        optimizer: Optimizer,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        super().__init__(optimizer, last_epoch, verbose, step_size=step_size, gamma=gamma)

    def _shape(self) -> Curve:
        ticks, every = in_ticks("StepLR", step_size=self.step_size)
        if self.gamma == 0:
            return Milestones(gamma=0.0, at=(every,)), ticks
        return Staircase(gamma=self.gamma, every=every), ticks


class MultiStepLR(FormulaLR, torch_sched.MultiStepLR):
    """A factor at each milestone.

    Args:
        optimizer: A torch optimizer.
        milestones: Steps from which a further factor holds; one named twice counts twice.
        gamma: The factor, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: A milestone or ``gamma`` is negative.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import MultiStepLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1e-3)
        >>> scheduler = MultiStepLR(optimizer, milestones=[50, 100, 150], gamma=0.5)
        >>> scheduler.step(100)
        >>> scheduler.get_last_lr()
        [0.00025]
    """

    _arguments = ("milestones", "gamma")

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        super().__init__(
            optimizer, last_epoch, verbose, milestones=Counter(milestones), gamma=gamma
        )

    def _shape(self) -> Curve:
        marks = sorted(Counter(self.milestones).elements())
        return Milestones(gamma=self.gamma, at=tuple(math.ceil(mark) for mark in marks)), 1


class ConstantLR(FormulaLR, torch_sched.ConstantLR):
    """A factor that holds for the first steps, and then no more.

    Args:
        optimizer: A torch optimizer.
        factor: The factor, 0 to 1.
        total_iters: Steps for which it holds.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: ``factor`` or ``total_iters`` is out of range.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import ConstantLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = ConstantLR(optimizer, factor=0.5, total_iters=3)
        >>> scheduler.get_last_lr()
        [0.2]
        >>> scheduler.step(3)
        >>> scheduler.get_last_lr()
        [0.4]
    """

    _arguments = ("factor", "total_iters")

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ScheduleError(f"ConstantLR(factor={factor}): a factor from 0 to 1 is needed.")
        super().__init__(optimizer, last_epoch, verbose, factor=factor, total_iters=total_iters)

    def _shape(self) -> Curve:
        ticks, length = in_ticks("ConstantLR", total_iters=self.total_iters)
        return PiecewiseConstant(values=(self.factor, 1.0), at=(length,)), ticks
