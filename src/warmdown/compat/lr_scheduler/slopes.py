"""Chainable names whose rate moves from step to step, and then stays."""

from __future__ import annotations

__all__ = [
    "SWALR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearLR",
    "PolynomialLR",
]

from typing import Any, Literal

from torch.optim import Optimizer, swa_utils
from torch.optim import lr_scheduler as torch_sched

from warmdown.compat.lr_scheduler.arguments import (
    floats,
    in_ticks,
    is_count,
    per_group,
    require_optimizer,
)
from warmdown.compat.lr_scheduler.formula import Curve, FormulaLR, power_curve
from warmdown.compat.lr_scheduler.writer import Row
from warmdown.errors import ScheduleError
from warmdown.schedules import (
    Constant,
    Cosine,
    Linear,
    Polynomial,
    Schedule,
)


class LinearLR(FormulaLR, torch_sched.LinearLR):
    """A factor that moves in a straight line.

    Args:
        optimizer: A torch optimizer.
        start_factor: Factor at step 0, above 0 and at most 1.
        end_factor: Factor from step ``total_iters`` on, 0 to 1.
        total_iters: Steps of the move.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: A factor or ``total_iters`` is out of range.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import LinearLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> scheduler.get_last_lr()
        [0.2]
        >>> scheduler.step(2)
        >>> scheduler.get_last_lr()
        [0.4]
    """

    _arguments = ("start_factor", "end_factor", "total_iters")

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ScheduleError(
                f"LinearLR(start_factor={start_factor}): a factor above 0, at most 1, is needed."
            )
        if not 0 <= end_factor <= 1:
            raise ScheduleError(
                f"LinearLR(end_factor={end_factor}): a factor from 0 to 1 is needed."
            )
        super().__init__(
            optimizer,
            last_epoch,
            verbose,
            start_factor=start_factor,
            end_factor=end_factor,
            total_iters=total_iters,
        )

    def _shape(self) -> Curve:
        ticks, length = in_ticks("LinearLR", total_iters=self.total_iters)
        return Linear(start=self.start_factor, end=self.end_factor, steps=length), ticks


class ExponentialLR(FormulaLR, torch_sched.ExponentialLR):
    """The same factor every step.

    Args:
        optimizer: A torch optimizer.
        gamma: The factor, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: ``gamma`` is negative.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import ExponentialLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = ExponentialLR(optimizer, gamma=0.5)
        >>> scheduler.step(2)
        >>> scheduler.get_last_lr()
        [0.1]
    """

    _arguments = ("gamma",)

    def __init__(
        self, optimizer: Optimizer, gamma: float, last_epoch: int = -1, verbose: object = None
    ) -> None:
        super().__init__(optimizer, last_epoch, verbose, gamma=gamma)

    def _shape(self) -> Curve:
        return power_curve(self.gamma), 1


class PolynomialLR(FormulaLR, torch_sched.PolynomialLR):
    """A power of what is left of the way, down to zero.

    Args:
        optimizer: A torch optimizer.
        total_iters: Steps of the decay.
        power: The power, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: ``power`` or ``total_iters`` is negative.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import PolynomialLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = PolynomialLR(optimizer, total_iters=4, power=2.0)
        >>> scheduler.step(2)
        >>> scheduler.get_last_lr()
        [0.1]
    """

    _arguments = ("total_iters", "power")

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        super().__init__(optimizer, last_epoch, verbose, total_iters=total_iters, power=power)

    def _shape(self) -> Curve:
        ticks, length = in_ticks("PolynomialLR", total_iters=self.total_iters)
        if self.power == 0:
            return Constant(), ticks
        return Polynomial(steps=length, power=self.power), ticks


class CosineAnnealingLR(FormulaLR, torch_sched.CosineAnnealingLR):
    """Half a cosine wave down to ``eta_min``, where it stays.

    Args:
        optimizer: A torch optimizer.
        T_max: Steps of the decay. Past them torch's climbs back; this one holds ``eta_min``.
        eta_min: The rate at the end, the same for every group.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: ``T_max`` is negative.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import CosineAnnealingLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = CosineAnnealingLR(optimizer, T_max=4, eta_min=0.1)
        >>> for _ in range(6):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.1]
    """

    _arguments = ("T_max", "eta_min")

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        super().__init__(optimizer, last_epoch, verbose, T_max=T_max, eta_min=eta_min)

    def _shape(self) -> Curve:
        ticks, length = in_ticks("CosineAnnealingLR", T_max=self.T_max)
        return Cosine(steps=length), ticks

    def _floors(self) -> list[float] | None:
        return None if self.eta_min == 0 else [float(self.eta_min)] * self._count_groups()


class SWALR(FormulaLR, swa_utils.SWALR):
    """A move from the current rate to one for averaging weights, where it stays.

    Args:
        optimizer: A torch optimizer.
        swa_lr: The rate at the end, for all groups or a list with one for each.
        anneal_epochs: Steps of the move.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        ScheduleError: The strategy is unknown, or ``anneal_epochs`` is no whole number from 0 on.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import SWALR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.5)
        >>> scheduler = SWALR(optimizer, swa_lr=0.25, anneal_epochs=2, anneal_strategy="linear")
        >>> for _ in range(3):
        ...     print(scheduler.get_last_lr())
        ...     optimizer.step()
        ...     scheduler.step()
        [0.5]
        [0.375]
        [0.25]
    """

    _arguments = ("anneal_epochs", "_anneal_strategy", "swa_lrs")

    swa_lrs: list[Any]

    _NOT_STATE = FormulaLR._NOT_STATE | {"anneal_func"}

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        require_optimizer("SWALR", optimizer)
        self.optimizer = optimizer
        if anneal_strategy not in ("cos", "linear"):
            raise ScheduleError(
                f"SWALR(anneal_strategy={anneal_strategy!r}): use 'cos' or 'linear'."
            )
        if not is_count(anneal_epochs, 0):
            raise ScheduleError(
                f"SWALR(anneal_epochs={anneal_epochs!r}): a whole number of at least 0 is needed."
            )
        swa_lrs = per_group("SWALR", "swa_lr", swa_lr, self._count_groups())
        self._bound_writer().field.set_entry("swa_lr", swa_lrs)
        super().__init__(
            optimizer,
            last_epoch,
            verbose,
            anneal_epochs=anneal_epochs,
            _anneal_strategy=anneal_strategy,
            swa_lrs=swa_lrs,
        )

    def _shape(self) -> Curve:
        kind: type[Schedule] = Cosine if self._anneal_strategy == "cos" else Linear
        return kind(steps=self.anneal_epochs), 1  # type: ignore[call-arg]

    def _floors(self) -> list[float]:
        return floats(self.swa_lrs)

    def _carried(self, current: Row) -> Row:
        # Past the move its end is set, also after an edit: weights are averaged at that rate.
        return self._floors() if self.share == 0 else super()._carried(current)
