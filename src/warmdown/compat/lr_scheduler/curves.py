"""Names whose rate follows one curve over the steps."""

from __future__ import annotations

__all__ = [
    "SWALR",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "PolynomialLR",
    "StepLR",
]

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from torch.optim import Optimizer, swa_utils
from torch.optim import lr_scheduler as torch_sched

from warmdown.binding.compiled import leave_uncompiled
from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler.arguments import (
    floats,
    in_ticks,
    per_group,
    require_optimizer,
    require_whole,
)
from warmdown.compat.lr_scheduler.formula import Curve, FormulaLR, power_curve
from warmdown.compat.lr_scheduler.window import Rates, Row, Steps
from warmdown.errors import ScheduleError
from warmdown.schedules import (
    Constant,
    Cosine,
    Linear,
    Milestones,
    PiecewiseConstant,
    Polynomial,
    Schedule,
    Staircase,
)


class StepLR(FormulaLR, torch_sched.StepLR):
    """A factor every few steps.

    Args:
        optimizer: A torch optimizer.
        step_size: Steps from one factor to the next, above 0.
        gamma: The factor, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
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
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
        marks = sorted(Counter(self.milestones).elements())
        return Milestones(gamma=self.gamma, at=tuple(math.ceil(mark) for mark in marks)), 1


class ConstantLR(FormulaLR, torch_sched.ConstantLR):
    """A factor that holds for the first steps, and then no more.

    Args:
        optimizer: A torch optimizer.
        factor: The factor, 0 to 1.
        total_iters: Steps for which it holds.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
        ticks, length = in_ticks("ConstantLR", total_iters=self.total_iters)
        return PiecewiseConstant(values=(self.factor, 1.0), at=(length,)), ticks


class LinearLR(FormulaLR, torch_sched.LinearLR):
    """A factor that moves in a straight line.

    Args:
        optimizer: A torch optimizer.
        start_factor: Factor at step 0, above 0 and at most 1.
        end_factor: Factor from step ``total_iters`` on, 0 to 1.
        total_iters: Steps of the move.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
        ticks, length = in_ticks("LinearLR", total_iters=self.total_iters)
        return Linear(start=self.start_factor, end=self.end_factor, steps=length), ticks


class ExponentialLR(FormulaLR, torch_sched.ExponentialLR):
    """The same factor every step.

    Args:
        optimizer: A torch optimizer.
        gamma: The factor, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
        return power_curve(self.gamma), 1


class PolynomialLR(FormulaLR, torch_sched.PolynomialLR):
    """A power of what is left of the way, down to zero.

    Args:
        optimizer: A torch optimizer.
        total_iters: Steps of the decay.
        power: The power, not negative.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
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
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    def unit_curve(self) -> Curve:
        ticks, length = in_ticks("CosineAnnealingLR", T_max=self.T_max)
        return Cosine(steps=length), ticks

    def _floors(self) -> Rates | None:
        return None if self.eta_min == 0 else [float(self.eta_min)] * self._count_groups()


class SWALR(FormulaLR, swa_utils.SWALR):
    """A move from the current rate to one for averaging weights, where it stays.

    Args:
        optimizer: A torch optimizer.
        swa_lr: The rate at the end, for all groups or a list with one for each.
        anneal_epochs: Steps of the move.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

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

    swa_lrs: Row

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
        require_whole("SWALR", "anneal_epochs", anneal_epochs, least=0)
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

    @property
    def anneal_func(self) -> Callable[[float], float]:  # type: ignore[override]
        """The share of the move that is made after a share of its steps."""
        return self._cosine_anneal if self._anneal_strategy == "cos" else self._linear_anneal

    def unit_curve(self) -> Curve:
        kind: type[Schedule] = Cosine if self._anneal_strategy == "cos" else Linear
        return kind(steps=self.anneal_epochs), 1  # type: ignore[call-arg]

    def _floors(self) -> Rates:
        return floats(self.swa_lrs)

    def _carried(self, current: Row) -> Row:
        # Past the move its end is set, also after an edit: weights are averaged at that rate.
        return self._floors() if self.share == 0 else super()._carried(current)


class CosineAnnealingWarmRestarts(FormulaLR, torch_sched.CosineAnnealingWarmRestarts):
    """Half a cosine wave down to ``eta_min``, again and again.

    Args:
        optimizer: A torch optimizer.
        T_0: Steps of the first cycle.
        T_mult: Factor on the length of each further cycle, at least 1.
        eta_min: The rate at the end of a cycle, the same for every group.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

    Raises:
        ScheduleError: ``T_0`` or ``T_mult`` is no whole number from 1 on, or ``eta_min`` is no
            number.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import CosineAnnealingWarmRestarts
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
        >>> scheduler.step(1 + 0.5)  # a share of an epoch
        >>> scheduler.T_cur, scheduler.T_i
        (1.5, 2)
        >>> scheduler.step(4)
        >>> round(scheduler.get_last_lr()[0], 6), scheduler.T_i
        (0.2, 4)
    """

    _arguments = ("T_0", "T_mult", "eta_min")

    carries_edits = False
    _fraction: float = 0.0
    """How far between two steps the last number lay."""
    _cycle: tuple[float, float] | None = None
    """The step at which a cycle began, and its length; ``None``: the first, of ``T_0`` steps."""
    _written_at: int = -1
    """The step of the rates that were written last; ``last_epoch`` may have been assigned since."""

    _is_cycle_assigned: bool = False
    """Whether ``T_cur`` was assigned since."""

    _NOT_STATE = FormulaLR._NOT_STATE | {
        "_cycle",
        "_fraction",
        "_is_cycle_assigned",
        "_written_at",
        "T_cur",
        "T_i",
    }

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        require_whole("CosineAnnealingWarmRestarts", "T_0", T_0)
        require_whole("CosineAnnealingWarmRestarts", "T_mult", T_mult)
        if not isinstance(eta_min, float | int):
            raise ScheduleError(
                f"CosineAnnealingWarmRestarts(eta_min={eta_min!r}): a number is needed."
            )
        super().__init__(optimizer, last_epoch, verbose, T_0=T_0, T_mult=T_mult, eta_min=eta_min)

    @property  # type: ignore[override]
    def T_cur(self) -> float:
        """Steps since the last restart."""
        return self._written_at + self._fraction - self._restart()[0]

    @T_cur.setter
    def T_cur(self, steps: float) -> None:
        self.invalidate()
        self._cycle = self._written_at + self._fraction - steps, self.T_i
        self._is_cycle_assigned = True

    @property  # type: ignore[override]
    def T_i(self) -> float:
        """Steps of the cycle that it is in."""
        return self._restart()[1]

    @T_i.setter
    def T_i(self, steps: float) -> None:
        self.invalidate()
        self._cycle = self._restart()[0], steps

    @leave_uncompiled
    def step(self, epoch: float | None = None) -> None:
        """Count one step and write its rates.

        Args:
            epoch: Go here instead of to the next step; ``epoch + batch / batches`` moves within an
                epoch.

        Raises:
            ScheduleError: ``epoch`` is negative.
        """
        if epoch is not None and epoch < 0:
            raise ScheduleError(
                f"CosineAnnealingWarmRestarts.step({epoch}): a step from 0 on is needed."
            )
        super().step(epoch)  # type: ignore[arg-type]
        self._written_at = self.last_epoch

    def _write(self, row: Row) -> None:
        super()._write(row)
        self._written_at, self._is_cycle_assigned = self.last_epoch, False

    def _print_rates(self, row: Row, epoch: float | None) -> None:
        super()._print_rates(row, self.last_epoch if epoch is None else epoch)

    def _rates_at(self, epoch: float | None) -> Row:
        if self._is_cycle_assigned and epoch is None:  # it goes on, wherever last_epoch is now
            start, length = self._restart()
            self._cycle = start + self.last_epoch - self._written_at, length
        if self._cycle and (epoch is not None or self._is_initial):
            self.invalidate()
            self._cycle = None
        if epoch is None:
            return super()._rates_at(None)
        whole = math.floor(epoch)
        self._fraction = epoch - whole
        return super()._rates_at(whole)

    def _restart(self) -> tuple[float, float]:
        """Return the step of the last restart, and the length of the cycle that began there."""
        start, length = self._cycle or (0, self.T_0)
        if self.T_mult == 1:
            return start + max(self._written_at - start, 0) // length * length, length
        while start + length <= self._written_at:
            start, length = start + length, length * self.T_mult
        return start, length

    def invalidate(self) -> None:
        if self._lead is not None:  # the cycle that it is in ends as it began
            self._cycle = self._restart()
        super().invalidate()

    def unit_curve(self) -> Curve:
        _, length = self._cycle or (0, self.T_0)
        ticks, steps = in_ticks("CosineAnnealingWarmRestarts", T_i=length)
        return Cosine(steps=steps).repeat(grow=self.T_mult), ticks

    def _floors(self) -> Rates:
        return [float(self.eta_min)] * self._count_groups()

    def _at(self, steps: Steps) -> Steps:
        start, _ = self._cycle or (0, self.T_0)
        return super()._at(steps + (self._fraction - start))

    def state_dict(self) -> StateDict:
        """Return the state: plain values, under the names that torch gives them."""
        return {**super().state_dict(), "T_cur": self.T_cur, "T_i": self.T_i}

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        given = self.T_0, self.T_mult
        super().restore(state)
        current, self._cycle = float(state.get("T_cur", 0)), None
        self._written_at = self.last_epoch
        self._fraction = current % 1
        if "T_i" in state and (state.get("T_0"), state.get("T_mult")) == given:
            self._cycle = self.last_epoch + self._fraction - current, state["T_i"]
