"""What the finished schedulers share: values that a schedule computes, in any order."""

from __future__ import annotations

import inspect
import math
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from warmdown.binding.field import unwrap
from warmdown.compat import State, StateDict
from warmdown.compat.schedulers.base import StatefulSchedulerBase, require_count
from warmdown.errors import ScheduleError, StateError, WarmdownError
from warmdown.expressions import Placeholder
from warmdown.schedules import Scale

T = TypeVar("T")

_WINDOW = 1024
"""Updates whose values are computed at once: a call costs the same for one and for as many."""


class PlannedScheduler(StatefulSchedulerBase):
    """A stateful scheduler whose every value is a formula of the count.

    A subclass names its arguments in ``_arguments`` (the state is these and the count) and makes
    its rule of them.
    """

    _arguments: tuple[str, ...]
    _rule: Scale
    _rows: Sequence[list[float]] = ()
    _rows_from = 0
    _finalizer: Any

    _NOT_COPIED = StatefulSchedulerBase._NOT_COPIED | {"_finalizer", "_rows", "_rows_from"}

    @abstractmethod
    def _make(self, arguments: State) -> Scale:
        """Return the rule that ``arguments`` and the attributes describe, or raise."""

    def _begin(self) -> None:
        """Write the rule's first value now and whenever the optimizer was loaded."""
        self._write_current()
        self._write_after_loading()

    @property
    def rule(self) -> Scale:
        """The schedule as warmdown's own: what scales each group's base value and is added."""
        return self._rule

    def get_updated_values(self, num_updates: int) -> list[float]:
        """Return each group's value after ``num_updates`` updates.

        Args:
            num_updates: Optimizer updates made before.
        """
        index = int(num_updates) - self._rows_from
        if not 0 <= index < len(self._rows):
            self._rows_from, index = int(num_updates), 0
            bases: Any = np.asarray(self.base_lr_values)
            steps = np.arange(self._rows_from, self._rows_from + _WINDOW)
            rows = self._rule.value(steps[:, np.newaxis], bases)
            self._rows = np.broadcast_to(rows, (_WINDOW, bases.size)).tolist()
        return self._rows[index].copy()

    def _bind_new_groups(self) -> None:
        if not self._field.is_current:
            super()._bind_new_groups()
            self._rows = ()

    def state_dict(self) -> StateDict:
        """Return the arguments and the count."""
        arguments = {name: getattr(self, name) for name in self._arguments}
        return {**arguments, "num_updates": self._num_updates}

    def load_state_dict(self, state_dict: State) -> None:
        """Go to where ``state_dict`` was saved, with its arguments, and write the value at once.

        Raises:
            StateError: It is no state of such a scheduler; nothing has changed then.
        """
        self._require_state(state_dict, self._arguments)
        arguments = {name: state_dict[name] for name in self._arguments}
        self._resume(arguments, require_count(self, state_dict, "num_updates"))

    def _resume(self, arguments: State, count: int) -> None:
        try:
            rule = self._make(arguments)
        except (WarmdownError, TypeError) as error:
            raise StateError(f"{type(self).__name__}.load_state_dict: {error}") from error
        vars(self).update(arguments)
        self._rule, self._num_updates, self._rows = rule, count, ()
        self._write_current()

    def _write_current(self) -> None:
        self.step_update(max(self._num_updates, 0))

    def _write_after_loading(self) -> None:
        """Write again once the optimizer was loaded: it may have the rate of another moment."""
        reference = weakref.ref(self)  # the optimizer must not keep its scheduler alive

        def write_again(_: Any) -> None:
            if (scheduler := reference()) is not None:
                scheduler._write_current()

        hook = unwrap(self.optimizer).register_load_state_dict_post_hook(write_again)
        self._finalizer = weakref.finalize(self, hook.remove)

    def __setstate__(self, state: StateDict) -> None:
        super().__setstate__(state)
        self._write_after_loading()


def call_by_name(function: Callable[..., T], given: State) -> T:
    """Return what a function makes of those of the values that it takes."""
    names = inspect.signature(function).parameters.keys() & given.keys()
    return function(**{name: given[name] for name in names})


def updates(who: str, name: str, given: Any, *, least: float = 0) -> float:
    """Return a number of epochs or updates.

    Raises:
        ScheduleError: It is a placeholder still, no number, or less than ``least``.
    """
    if isinstance(given, Placeholder):
        raise ScheduleError(
            f"{who}({name}={given!r}): a trainer fills this in. Outside of one, give {name} as a "
            "number."
        )
    is_number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    require_argument(
        who,
        name,
        given,
        is_number and least <= float(given) < math.inf,
        f"a number of at least {least:g} is needed, and a finite one",
    )
    return float(given)


def require_argument(who: str, name: str, given: Any, holds: bool, otherwise: str) -> None:
    """Raise unless an argument holds what it has to.

    Raises:
        ScheduleError: It does not.
    """
    if not holds:
        raise ScheduleError(f"{who}({name}={given!r}): {otherwise}.")
