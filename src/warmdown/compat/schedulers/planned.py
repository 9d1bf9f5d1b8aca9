"""What the finished schedulers share: their values come from a schedule, so they can be asked in any order."""

from __future__ import annotations

__all__ = ["Planned", "require", "updates"]

import math
import weakref
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from warmdown.binding.field import unwrap
from warmdown.compat.schedulers.base import StatefulSchedulerBase, require_count
from warmdown.errors import ScheduleError, StateError, WarmdownError
from warmdown.expressions import Placeholder
from warmdown.schedules import Scale

_WINDOW = 1024
_MADE_AGAIN = ("_rewriting", "_seen", "_seen_from", "_writer", "_writing")


class Planned(StatefulSchedulerBase):
    """A stateful scheduler whose every value is a formula of the count.

    A subclass names its arguments in ``_arguments`` (the state is these and the count) and makes
    its schedule of them.
    """

    _arguments: tuple[str, ...]
    _rewriting: Any
    _seen: Sequence[list[float]] = ()
    _seen_from = 0
    _writer: Iterator[None]
    _writing: list[list[float]]

    @abstractmethod
    def _make(self, arguments: Mapping[str, Any]) -> Scale:
        """Return the schedule that ``arguments`` describe, or raise."""

    def _begin(self) -> None:
        """Make the schedule, write its first value, and write again whenever the optimizer was loaded."""
        self._rule = self._make(vars(self))
        self._open_writer()
        self.step_update(0)
        _rewrite_after_loading(self)

    def step(self, epoch: int | None = None) -> None:
        """Count, and write the values for what has been counted.

        Args:
            epoch: Not used; torch's schedulers have it.
        """
        del epoch
        self._num_updates = count = self._num_updates + 1
        at = count - self._seen_from
        if self._is_its_own and 0 <= at < len(self._seen) and self._field.is_current:
            self._writing[0] = self._seen[at]
            next(self._writer)
        else:
            self.step_update(count)

    @property
    def _is_its_own(self) -> bool:
        """Whether no subclass has another value or another way to write it."""
        return type(self).get_updated_values is Planned.get_updated_values

    def _open_writer(self) -> None:
        self._writing = [[]]
        self._writer = self._field.writing(_again_and_again(self._writing))

    @property
    def rule(self) -> Scale:
        """The schedule, as warmdown's own: what each group's base value is multiplied by, and what is added."""
        return self._rule

    def get_updated_values(self, num_updates: int) -> list[float]:
        """Return each group's value after ``num_updates`` updates.

        Args:
            num_updates: Optimizer updates made before.
        """
        at = int(num_updates) - self._seen_from
        if not 0 <= at < len(self._seen):
            self._look_ahead(int(num_updates))
            at = 0
        return self._seen[at].copy()

    def _look_ahead(self, step: int) -> None:
        """Ask the schedule once for many steps: a call of it costs the same for one as for a window of them."""
        bases: Any = np.asarray(self.base_lr_values)
        rows = self._rule.value(np.arange(step, step + _WINDOW)[:, np.newaxis], bases)
        self._seen_from, self._seen = step, np.broadcast_to(rows, (_WINDOW, bases.size)).tolist()

    def _meet_new_groups(self) -> None:
        if not self._field.is_current:
            super()._meet_new_groups()
            self._seen = []
            self._open_writer()

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments and the count."""
        return {name: getattr(self, name) for name in self._arguments} | {
            "num_updates": self._num_updates
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to where ``state_dict`` was saved, with the arguments it holds, and write the value at once.

        Raises:
            StateError: It is no state of such a scheduler; nothing has changed then.
        """
        self._refuse_a_foreign(state_dict)
        self._require_all(state_dict, self._arguments)
        self._resume(
            {name: state_dict[name] for name in self._arguments},
            require_count(self, state_dict, "num_updates"),
        )

    def _require_all(self, state: Mapping[str, Any], names: Iterable[str]) -> None:
        if missing := [name for name in names if name not in state]:
            who = type(self).__name__
            raise StateError(
                f"{who}.load_state_dict: the state lacks {', '.join(missing)}. It is "
                f"no state of a {who}."
            )

    def _resume(self, arguments: Mapping[str, Any], count: int) -> None:
        try:
            rule = self._make(arguments)
        except (WarmdownError, TypeError) as error:
            raise StateError(f"{type(self).__name__}.load_state_dict: {error}") from error
        vars(self).update(arguments)
        self._rule, self._num_updates, self._seen = rule, count, []
        self._rewrite()

    def _rewrite(self) -> None:
        self.step_update(max(self._num_updates, 0))

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in super().__getstate__().items() if name not in _MADE_AGAIN
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._open_writer()
        _rewrite_after_loading(self)


def _again_and_again(held: list[list[float]]) -> Iterator[list[float]]:
    while True:
        yield held[0]


def updates(who: str, name: str, given: Any, *, least: float = 0) -> float:
    """Return a number of epochs or updates, or refuse it.

    Raises:
        ScheduleError: It is a placeholder still, no number, or less than ``least``.
    """
    if isinstance(given, Placeholder):
        raise ScheduleError(
            f"{who}({name}={given!r}): a trainer fills this in. Outside of one, give {name} as a "
            f"number."
        )
    require(
        who,
        name,
        given,
        least <= _number(given) < math.inf,
        f"a number of at least {least:g} is needed, and a finite one",
    )
    return float(given)


def require(who: str, name: str, given: Any, holds: bool, otherwise: str) -> None:
    """Refuse an argument with what is wrong and the way out."""
    if not holds:
        raise ScheduleError(f"{who}({name}={given!r}): {otherwise}.")


def _number(given: Any) -> float:
    return (
        math.nan
        if isinstance(given, bool) or not isinstance(given, int | float | np.number)
        else float(given)
    )


def _rewrite_after_loading(scheduler: Planned) -> None:
    """Write again once the optimizer was loaded: its state may hold the rate of another moment."""
    mine = weakref.ref(scheduler)  # the optimizer must not keep its scheduler alive

    def rewrite(_: Any) -> None:
        if (alive := mine()) is not None:
            alive._rewrite()

    hook = unwrap(scheduler.optimizer).register_load_state_dict_post_hook(rewrite)
    scheduler._rewriting = weakref.finalize(scheduler, hook.remove)
