"""Names whose rate is said by the caller's own functions."""

from __future__ import annotations

__all__ = ["LambdaLR", "MultiplicativeLR"]

import types
from collections.abc import Callable, Mapping
from itertools import accumulate, count, islice
from operator import mul
from typing import Any, TypeAlias

from torch.optim import Optimizer
from torch.optim import lr_scheduler as theirs

from warmdown.compat.lr_scheduler.ahead import Ahead
from warmdown.compat.lr_scheduler.families import Absolute
from warmdown.compat.lr_scheduler.formula import Formula
from warmdown.compat.lr_scheduler.given import one_a_group, require_optimizer
from warmdown.compat.lr_scheduler.hand import Row, Swap
from warmdown.errors import ScheduleError

Factor: TypeAlias = Callable[[int], float]


class NoFunction(ScheduleError, TypeError):
    """What was given as a factor cannot be called."""


class OfFunctions(Formula):
    """What both have in common: one function for each group, which a state does not hold unless it is an object."""

    lr_lambdas: list[Factor]

    def _take(self, optimizer: Optimizer, lr_lambda: Factor | list[Factor]) -> None:
        who = type(self).__name__
        require_optimizer(who, optimizer)
        self.optimizer = optimizer
        self.lr_lambdas = one_a_group(who, "lr_lambda", lr_lambda, len(self._grip().field.groups))
        for function in self.lr_lambdas:
            if not callable(function):
                raise NoFunction(
                    f"{who}(lr_lambda={function!r}): a function of the step is needed."
                )

    def _base_floats(self) -> list[float]:
        joined = len(self._grip().field.groups) - len(self.lr_lambdas)
        if joined > 0 and _is_one(self.lr_lambdas):
            self.lr_lambdas = [*self.lr_lambdas, *self.lr_lambdas[:1] * joined]
        return super()._base_floats()

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of functions only those that are objects, by their attributes."""
        return {
            **super().state_dict(),
            "lr_lambdas": [_attributes(function) for function in self.lr_lambdas],
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        functions = self.lr_lambdas
        super()._restore(state)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state.get("lr_lambdas", ()), strict=False):
            if attributes:
                vars(function).update(attributes)


class LambdaLR(OfFunctions, Absolute, theirs.LambdaLR):
    """The base rate times a function of the step.

    Args:
        optimizer: A torch optimizer.
        lr_lambda: Takes the step, returns the factor; or a list with one for each group. One that
            all groups share is asked once a step.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

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

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        self._take(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch, verbose)

    def _closed_row(self) -> list[float]:
        return _times(self._base_floats(), self.lr_lambdas, self.last_epoch)

    def _ahead(self) -> Ahead:
        return _scaled(self._base_floats(), self.lr_lambdas, self.last_epoch + 1)


class MultiplicativeLR(OfFunctions, theirs.MultiplicativeLR):
    """The rate that is held times a function of the step.

    Args:
        optimizer: A torch optimizer.
        lr_lambda: Takes the step, returns the factor; or a list with one for each group. One that
            all groups share is asked once a step.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Gone; accepted, so that older code runs.

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

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        self._take(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch, verbose)

    def get_lr(self) -> list[Any]:
        """Return the rate of each group at step ``last_epoch``; outside ``step()``, what is held."""
        within = self._get_lr_called_within_step
        return self._grip().typed(self._next_row() if within else self._held())

    def _next_row(self) -> Row:
        if self._is_initial:
            return self._held()
        self._base_floats()
        return _times(self._held(), self.lr_lambdas, self.last_epoch)

    def _closed_row(self) -> Row:
        return self._next_row()

    def _short_way(self) -> Swap:
        ahead = _multiplied(self._row or [], self.lr_lambdas, self.last_epoch + 1)
        return self._grip().swapping(ahead, self.last_epoch)

    def _held(self) -> Row:
        hand = self._grip()
        return self._row if self._row is not None and hand.holds(self._row) else hand.read()


def _times(row: Row, functions: list[Factor], step: int) -> list[float]:
    if _is_one(functions):
        factor = float(functions[0](step))
        return [rate * factor for rate in row]
    return [rate * float(function(step)) for rate, function in zip(row, functions, strict=True)]


def _scaled(bases: list[float], functions: list[Factor], step: int) -> Ahead:
    """Return the base rates times the factors, from ``step`` on; a function is asked when its step has come."""
    if _is_one(functions) and bases.count(bases[0]) == len(bases):
        return Ahead((bases[0] * float(functions[0](at)) for at in count(step)), alike=len(bases))
    return Ahead(_times(bases, functions, at) for at in count(step))


def _multiplied(row: Row, functions: list[Factor], step: int) -> Ahead:
    """Return each row times the factors of the next step, from ``step`` on."""
    if _is_one(functions) and row.count(row[0]) == len(row):
        factors = (float(functions[0](at)) for at in count(step))
        return Ahead(islice(accumulate(factors, mul, initial=row[0]), 1, None), alike=len(row))
    return Ahead(
        islice(
            accumulate(count(step), lambda held, at: _times(held, functions, at), initial=row),
            1,
            None,
        )
    )


def _is_one(functions: list[Factor]) -> bool:
    """Tell whether all groups share one function, which is then asked once a step."""
    return functions.count(functions[0]) == len(functions)


def _attributes(function: Any) -> dict[str, Any] | None:
    return (
        None
        if isinstance(function, types.FunctionType)
        else dict(getattr(function, "__dict__", {}))
    )
