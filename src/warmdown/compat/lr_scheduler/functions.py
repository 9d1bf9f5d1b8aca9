"""Names whose rate follows the caller's own functions."""

from __future__ import annotations

__all__ = ["LambdaLR", "MultiplicativeLR"]

from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeAlias

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler.arguments import attributes_of, per_group, require_optimizer
from warmdown.compat.lr_scheduler.formula import FormulaLR
from warmdown.compat.lr_scheduler.window import Rates, Row, for_all
from warmdown.errors import ScheduleError

Factor: TypeAlias = Callable[[int], float]


class NoFunction(ScheduleError, TypeError):
    """What was given as a factor cannot be called."""


class FunctionLR(FormulaLR):
    """One function for each group; a state holds a function only if it is an object."""

    _followed = ("lr_lambdas",)

    lr_lambdas: list[Factor]

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Factor | list[Factor],
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        who = type(self).__name__
        require_optimizer(who, optimizer)
        self.optimizer = optimizer
        self.lr_lambdas = per_group(who, "lr_lambda", lr_lambda, self._count_groups())
        for function in self.lr_lambdas:
            if not callable(function):
                raise NoFunction(
                    f"{who}(lr_lambda={function!r}): a function of the step is needed."
                )
        super().__init__(optimizer, last_epoch, verbose)

    def _base_floats(self) -> Rates:
        joined = self._count_groups() - len(self.lr_lambdas)
        if joined > 0 and _are_one(self.lr_lambdas):
            vars(self)["lr_lambdas"] = [*self.lr_lambdas, *self.lr_lambdas[:1] * joined]
        return super()._base_floats()

    def _row_of(self, bases: Rates | None, step: float) -> Rates:
        row = self._base_floats() if bases is None else bases
        return for_all(next(_scale_row(row, self.lr_lambdas, int(step))), row)

    def state_dict(self) -> StateDict:
        """Return the state; of functions only those that are objects, by their attributes."""
        functions = [attributes_of(function) for function in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": functions}

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        functions = self.lr_lambdas
        super().restore({**state, "lr_lambdas": functions})
        for function, attributes in zip(functions, state.get("lr_lambdas", ()), strict=False):
            if attributes:
                vars(function).update(attributes)


class LambdaLR(FunctionLR, torch_sched.LambdaLR):
    """The base rate times a function of the step.

    Args:
        optimizer: A torch optimizer.
        lr_lambda: Takes the step, returns the factor; or a list with one for each group. One that
            all groups share is called once a step.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

    Raises:
        ScheduleError: The list has not one function for each group, or one cannot be called.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import LambdaLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = LambdaLR(optimizer, lambda step: 1 / (1 + step))
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.2]
    """

    carries_edits = False

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        super().restore(state)
        self._has_other_arguments = True  # functions cannot be compared; their rates are

    def _rows_ahead(self) -> Iterator[Row]:
        return _scale_row(self._base_floats(), self.lr_lambdas, self.last_epoch + 1)


class MultiplicativeLR(FunctionLR, torch_sched.MultiplicativeLR):
    """The current rate times a function of the step.

    Args:
        optimizer: A torch optimizer.
        lr_lambda: Takes the step, returns the factor; or a list with one for each group. One that
            all groups share is called once a step.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

    Raises:
        ScheduleError: The list has not one function for each group, or one cannot be called.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import MultiplicativeLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = MultiplicativeLR(optimizer, lambda step: 0.5)
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.1]
    """

    is_factor = False

    def _next_row(self) -> Row:
        if self._is_initial:
            return self._current_row()
        self._base_floats()  # a group may have joined
        return self._row_of(self._current_row(), self.last_epoch)

    def _closed_row(self) -> Row:
        return self._next_row()

    def _written_bases(self) -> None:
        return None

    def resumed_row(self) -> Row | None:
        """Return ``None``: how the functions led to the saved rates is not known."""

    def _rows_ahead(self) -> Iterator[Row]:
        row = self._row or []
        return _scale_row(row, self.lr_lambdas, self.last_epoch + 1, is_cumulative=True)

    def _current_row(self) -> Row:
        return self._rates_beside(self._row) or self._row or []


def _scale_row(
    row: Row, functions: list[Factor], step: int, *, is_cumulative: bool = False
) -> Iterator[Rates]:
    """Yield the rates times the factors from ``step`` on; no function is called early.

    Args:
        row: The rates that the factors multiply.
        functions: One for each group; one that all groups share is called once a step.
        step: The first step.
        is_cumulative: Whether each row scales the one before it.
    """
    first = last = None
    is_one = False
    for at in count(step):
        # at first, and when one was replaced; all of them would cost ten groups a twentieth
        if functions[0] is not first or functions[-1] is not last:
            first, last, is_one = functions[0], functions[-1], _are_one(functions)
            row = for_all(row, functions)
            if is_one and row.count(row[0]) == len(row):
                row = row[:1]  # one number serves all groups
        if is_one:
            factor = float(functions[0](at))
            # a comprehension costs a tenth of a step
            scaled = [row[0] * factor] if len(row) == 1 else [rate * factor for rate in row]
        else:
            pairs = zip(row, functions, strict=True)
            scaled = [rate * float(function(at)) for rate, function in pairs]
        yield scaled
        if is_cumulative:
            row = scaled


def _are_one(functions: list[Factor]) -> bool:
    """Return whether all groups share one function."""
    return functions.count(functions[0]) == len(functions)
