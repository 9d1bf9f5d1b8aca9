"""transformers' schedulers of rates that a metric moves, or that Adafactor computes itself."""

from __future__ import annotations

__all__ = ["AdafactorSchedule", "GreedyLR"]

import math
from typing import Any, Literal

from torch.optim import Optimizer

from warmdown.binding.field import Field, unwrap
from warmdown.compat.lr_scheduler import LRScheduler, ReduceLROnPlateau
from warmdown.compat.lr_scheduler.arguments import (
    floats,
    per_group,
    plain,
    require_optimizer,
    require_whole,
)
from warmdown.compat.lr_scheduler.window import Rates, Row
from warmdown.errors import BindingError, ScheduleError
from warmdown.schedules.plateau import is_better


class GreedyLR(ReduceLROnPlateau):
    """A factor on the rate whenever a metric has stopped improving, and its inverse while it does.

    Args:
        optimizer: A torch optimizer.
        mode: Whether ``"min"`` or ``"max"`` is better.
        factor: What the rate is multiplied by at a fall, and divided by at a rise; between 0 and 1.
        patience: Steps that are tolerated without improvement, or with it, before the rate moves.
        threshold: Smallest change that is an improvement.
        threshold_mode: Whether it is a share of the best (``"rel"``) or absolute (``"abs"``).
        cooldown: Steps after a fall in which nothing counts.
        warmup: Steps after a rise in which nothing counts.
        min_lr: Lowest rate, for all groups or a list with one for each.
        max_lr: Highest rate, likewise.
        eps: Smallest move that is made.
        verbose: Whether each move is printed.
        smooth: Whether means of the last metrics are compared.
        window_size: How many metrics a mean is of.
        reset_start: Falls that would be made at the lowest rate, before all begins again.

    Raises:
        ScheduleError: An argument is out of range, or a list has another length.

    Example:
        >>> import torch
        >>> from warmdown.compat.optimization import GreedyLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = GreedyLR(optimizer, factor=0.5, patience=0)
        >>> for loss in (3.0, 3.0, 2.0):
        ...     scheduler.step(loss)
        ...     print(scheduler.get_last_lr())
        [0.8]
        [0.4]
        [0.8]

    Reference: https://arxiv.org/abs/2512.14527.
    """

    _arguments = (
        *ReduceLROnPlateau._arguments,
        "warmup",
        "max_lrs",
        "default_max_lr",
        "smooth",
        "window_size",
        "reset_start_original",
    )

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.95,
        patience: int = 10,
        threshold: float = 1e-6,
        threshold_mode: Literal["rel", "abs"] = "abs",
        cooldown: int = 0,
        warmup: int = 0,
        min_lr: Rates | float = 1e-3,
        max_lr: Rates | float = 1.0,
        eps: float = 1e-8,
        verbose: bool = False,
        smooth: bool = False,
        window_size: int = 50,
        reset_start: int = 500,
    ) -> None:
        require_optimizer("GreedyLR", optimizer)
        if not plain(factor) > 0:
            raise ScheduleError(f"GreedyLR(factor={factor}): it divides, too. Give one above 0.")
        self.warmup, self.reset_start_original = plain(warmup), plain(reset_start)
        self.smooth, self.window_size = bool(smooth), plain(window_size)
        require_whole("GreedyLR", "warmup", self.warmup, least=0)
        require_whole("GreedyLR", "window_size", self.window_size)
        require_whole("GreedyLR", "reset_start", self.reset_start_original, least=0)
        self.optimizer = optimizer
        self._init_lrs = self._bound_writer().read()
        self.default_max_lr = None if isinstance(max_lr, list | tuple) else plain(max_lr)
        self.max_lrs = per_group("GreedyLR", "max_lr", max_lr, self._count_groups())
        super().__init__(
            optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps,
            verbose,
        )  # fmt: skip

    def _reset(self) -> None:
        super()._reset()
        self.num_good_epochs = self.warmup_counter = 0
        self.reset_start = self.reset_start_original
        if self.smooth:
            self._take_levels([])

    def _take_metric(self, metric: float) -> None:
        """Compare a metric, and move the rates if it was better or worse for long enough."""
        if self.smooth:
            metric = self._take_levels([*self._streaming_avg["values"], metric])
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = self.num_good_epochs = 0
        elif self.warmup_counter > 0:
            self.warmup_counter -= 1
            self.num_bad_epochs = self.num_good_epochs = 0
        else:
            self._compare(metric)

    def _compare(self, metric: float) -> None:
        if is_better(metric, self.best, self.mode, self.threshold, self.threshold_mode):
            self.best, self.num_bad_epochs = metric, 0
            self.num_good_epochs += 1
        else:
            self.num_good_epochs = 0
            self.num_bad_epochs += 1
        if self.num_good_epochs > self.patience:
            self._increase_lr()
            self.warmup_counter, self.num_good_epochs = self.warmup, 0
        elif self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _increase_lr(self) -> None:
        current = self._current_rates()
        highest = floats(self.max_lrs)
        raised = [
            min(rate / self.factor, high) for rate, high in zip(current, highest, strict=True)
        ]
        self._move(current, raised, 1, "increasing")
        self.reset_start = self.reset_start_original

    def _reduce_lr(self, epoch: int) -> None:
        current = self._current_rates()
        lowest = floats(self.min_lrs)
        lowered = [max(rate * self.factor, low) for rate, low in zip(current, lowest, strict=True)]
        row = self._move(current, lowered, -1, "reducing")
        if any(rate > low for rate, low in zip(row, lowest, strict=True)):
            return
        self.reset_start -= 1
        if self.reset_start <= 0:
            self._bound_writer().write(self._init_lrs)
            self._reset()
            if self.verbose:
                print("Scheduler reset to initial state.")

    def _move(self, current: Rates, wanted: Rates, sign: int, change: str) -> Rates:
        """Write the rates that move by more than ``eps``, and return all."""
        row = []
        for group, (rate, moved) in enumerate(zip(current, wanted, strict=True)):
            moves = sign * (moved - rate) > self.eps
            row.append(moved if moves else rate)
            if moves and self.verbose:
                print(f"Epoch {self.last_epoch}: {change} learning rate of group {group} to "
                      f"{moved:.4e}.")  # fmt: skip
        self._bound_writer().write(row)
        return row

    def _current_rates(self) -> Rates:
        """Return the rates, and see that each group has its bounds: also one added later."""
        rates = self._bound_writer().read()
        self._fit_bounds("min_lr", len(rates))
        self._fit_bounds("max_lr", len(rates))
        self._init_lrs = [*self._init_lrs, *rates[len(self._init_lrs) :]]
        return rates

    def _take_levels(self, metrics: Rates) -> float:
        """Store the last metrics as transformers' states have them; return their mean."""
        values = metrics[-self.window_size :]
        total = math.fsum(values)
        self._streaming_avg = {"window_size": self.window_size, "values": values, "sum": total}
        return total / max(len(values), 1)


class AdafactorSchedule(LRScheduler):
    """Reports the rate that transformers' Adafactor computes by itself; it moves none.

    A group that computes its rate (``relative_step=True``) also gets it as its ``lr``, for what
    reads rates there.

    Args:
        optimizer: transformers' ``Adafactor``, or what wraps one.
        initial_lr: What is reported before the first update.

    Raises:
        BindingError: The optimizer computes no rate of its own.
    """

    def __init__(self, optimizer: Any, initial_lr: float = 0.0) -> None:
        require_optimizer("AdafactorSchedule", optimizer)
        computing = unwrap(optimizer)
        if "relative_step" not in computing.defaults:
            raise BindingError(
                f"AdafactorSchedule(optimizer={type(computing).__name__}): it reports the rate "
                "that transformers' Adafactor computes, and this one computes none. Use "
                "get_constant_schedule(optimizer)."
            )
        self._initial_lr = float(initial_lr)
        field = Field(optimizer, "decay_rate")  # a number that every group has
        pairs = zip(field.get_entry("relative_step"), field.get_entry("lr"), strict=True)
        field.set_entry("lr", [self._initial_lr if own else lr for own, lr in pairs])
        super().__init__(optimizer)

    def get_lr(self) -> Row:
        """Return the rate of each group's first parameter that was updated, as it is computed."""
        return [self._rate_of(index) for index in range(self._count_groups())]

    def _own_rates(self) -> list[bool]:
        """Return which groups compute their rate."""
        return self._bound_writer().field.get_entry("relative_step")

    def _rate_of(self, index: int) -> float:
        adafactor: Any = unwrap(self.optimizer)
        group = self._bound_writer().field.groups[index]
        states = (adafactor.state[one] for one in group["params"] if one in adafactor.state)
        state = next((state for state in states if state.get("step")), None)
        return self._initial_lr if state is None else float(adafactor._get_lr(group, state))

    def _first_rates(self, last_epoch: int) -> Row:
        return [self._initial_lr] * self._count_groups()  # stored in no group

    def _write(self, row: Row) -> None:
        triples = zip(self._own_rates(), row, self._bound_writer().read(), strict=True)
        super()._write([new if own else lr for own, new, lr in triples])
        self._written = row
