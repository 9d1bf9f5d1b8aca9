"""The name that begins again and again."""

from __future__ import annotations

__all__ = ["CosineAnnealingWarmRestarts"]

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.compat.lr_scheduler.arguments import is_count
from warmdown.compat.lr_scheduler.formula import Curve, FormulaLR
from warmdown.compat.lr_scheduler.window import Steps
from warmdown.compat.lr_scheduler.writer import Row
from warmdown.errors import ScheduleError
from warmdown.schedules import Cosine


class CosineAnnealingWarmRestarts(FormulaLR, torch_sched.CosineAnnealingWarmRestarts):
    """Half a cosine wave down to ``eta_min``, again and again.

    Args:
        optimizer: A torch optimizer.
        T_0: Steps of the first cycle.
        T_mult: Factor on the length of each further cycle, at least 1.
        eta_min: The rate at the end of a cycle, the same for every group.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

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

    _NOT_STATE = FormulaLR._NOT_STATE | {"_fraction", "T_cur", "T_i"}

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        for name, count in (("T_0", T_0), ("T_mult", T_mult)):
            if not is_count(count, 1):
                raise ScheduleError(
                    f"CosineAnnealingWarmRestarts({name}={count!r}): a whole number from 1 on is "
                    "needed."
                )
        if not isinstance(eta_min, float | int):
            raise ScheduleError(
                f"CosineAnnealingWarmRestarts(eta_min={eta_min!r}): a number is needed."
            )
        super().__init__(optimizer, last_epoch, verbose, T_0=T_0, T_mult=T_mult, eta_min=eta_min)

    @property
    def T_cur(self) -> float:  # type: ignore[override]
        """Steps since the last restart."""
        return self.last_epoch + self._fraction - self._restart()[0]

    @property
    def T_i(self) -> int:  # type: ignore[override]
        """Steps of the cycle that it is in."""
        return self._restart()[1]

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

    def _rates_at(self, epoch: float | None) -> Row:
        if epoch is None:
            return super()._rates_at(None)
        whole = math.floor(epoch)
        self._fraction = epoch - whole
        return super()._rates_at(whole)

    def _restart(self) -> tuple[int, int]:
        """Return the step of the last restart, and the length of the cycle that began there."""
        start, length = 0, self.T_0
        if self.T_mult == 1:
            return max(self.last_epoch, 0) // length * length, length
        while start + length <= self.last_epoch:
            start, length = start + length, length * self.T_mult
        return start, length

    def _shape(self) -> Curve:
        return Cosine(steps=self.T_0).repeat(grow=self.T_mult), 1

    def _floors(self) -> list[float]:
        return [float(self.eta_min)] * self._count_groups()

    def _at(self, steps: Steps) -> Steps:
        return super()._at(steps + self._fraction)

    def state_dict(self) -> dict[str, Any]:
        """Return the state: plain values, under the names that torch gives them."""
        return {**super().state_dict(), "T_cur": self.T_cur, "T_i": self.T_i}

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        self._fraction = float(state.get("T_cur", 0)) % 1
