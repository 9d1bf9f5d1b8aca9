"""What the names have in common: a state that says where one stands, and rates that are computed ahead."""

from __future__ import annotations

__all__ = ["Formula", "Standing", "given_names"]

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from warmdown.compat.lr_scheduler.ahead import Steps
from warmdown.compat.lr_scheduler.base import LRScheduler
from warmdown.compat.lr_scheduler.given import Given, floats
from warmdown.compat.lr_scheduler.hand import Row, Swap, no_swap
from warmdown.errors import StateError

_AHEAD = 4096
"""Steps whose weights are computed at once."""


class Standing(LRScheduler):
    """A scheduler whose state is where it stands, not what it was given."""

    _WORKED_OUT: ClassVar[frozenset[str]] = frozenset()
    """Entries of torch's state that follow from the arguments."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` says, writing nothing."""

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what was computed: an argument was given anew."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state; the arguments stay those of this scheduler, and what differs is said.

        An optimizer that nobody restored gets the saved rates at once; one that somebody did is
        left as it is.

        Args:
            state_dict: What ``state_dict()`` returned, of this class or of torch's.

        Raises:
            StateError: It is no state, or one of more groups; nothing has changed then.
        """
        is_new = self._row is not None and self._grip().holds(self._row)
        self._restore(state_dict)
        if is_new and self._row is not None:
            self._write(self._row)

    def _require(self, state: Mapping[str, Any], *entries: str) -> None:
        missing = [entry for entry in entries if entry not in state]
        if missing:
            raise StateError(
                f"{type(self).__name__}.load_state_dict: no {' and no '.join(missing)} in it. "
                "Give what state_dict() of such a scheduler returned."
            )

    def _own(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries that are neither arguments nor computed."""
        others = {*given_names(type(self)), *self._NOT_STATE, *self._WORKED_OUT, "_last_lr"}
        return {key: value for key, value in state.items() if key not in others}

    def _say_what_differs(self, state: Mapping[str, Any]) -> None:
        pairs = {
            name: (state[name], getattr(self, name))
            for name in given_names(type(self))
            if name in state
        }
        changed = [(name, *pair) for name, pair in sorted(pairs.items()) if pair[0] != pair[1]]
        parts = [f"{name}={given!r}, not the saved {saved!r}" for name, saved, given in changed]
        if parts:
            warnings.warn(
                f"{type(self).__name__}.load_state_dict: it goes on with {'; '.join(parts)}. "
                "A state restores where a scheduler stands; its arguments are those it was made "
                "with.",
                UserWarning,
                stacklevel=4,
            )


class Formula(Standing):
    """A scheduler whose next rates are computed ahead, and written one row a step.

    A step goes the short way while all is as it was left, and the long way when there is more to
    it: the first steps, a number given, another hand on the rates, other groups, or no row left.
    """

    _swap: Swap = staticmethod(no_swap)
    """The short way: writes the row of the next step and returns it, or ``None``."""
    _is_ours: ClassVar[bool] = True
    """Whether ``get_lr`` is not overridden, so that rates may be computed ahead."""

    _NOT_STATE = LRScheduler._NOT_STATE | {"_swap"}
    _NOT_COPIED = LRScheduler._NOT_COPIED | {"_swap"}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._is_ours = cls.get_lr.__module__.startswith("warmdown.compat.lr_scheduler")

    def step(self, epoch: int | None = None) -> None:
        """Count one step and write its rates.

        Args:
            epoch: Go to this step instead of the next.
        """
        if epoch is None and (written := self._swap(self.last_epoch)) is not None:
            self._written = written
            self._step_count += 1
            self.last_epoch += 1
        else:
            self._go_the_long_way(epoch)

    def _go_the_long_way(self, epoch: int | None) -> None:
        self._row = self._row
        super().step(epoch)
        if self._is_ours and self._step_count > 2:
            self._swap = self._short_way()

    @abstractmethod
    def _short_way(self) -> Swap:
        """Return what makes the steps after this one."""

    @abstractmethod
    def _next_row(self) -> Row:
        """Return the rates of step ``last_epoch``, which was just counted."""

    @abstractmethod
    def _closed_row(self) -> Row:
        """Return the rates of step ``last_epoch``, whatever is held."""

    def _rates_at(self, epoch: int | None) -> Row:
        if not self._is_ours:
            return super()._rates_at(epoch)
        if epoch is not None:
            self.last_epoch = epoch
            return self._closed_row()
        self.last_epoch += 1
        return self._next_row()

    def _steps_to_come(self) -> Steps:
        return np.arange(self.last_epoch + 1, self.last_epoch + 1 + _AHEAD, dtype=np.float64)

    def _forget(self) -> None:
        self._swap = no_swap

    def _base_floats(self) -> list[float]:
        """Return each group's base rate; a group added later begins with its own."""
        field = self._grip().field
        joined = len(field.groups) - len(self.base_lrs)
        if joined > 0:
            self.base_lrs = [*self.base_lrs, *field.store_initial()[-joined:]]
        return floats(self.base_lrs)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._require(state, "last_epoch", "base_lrs")
        saved, held = len(state["base_lrs"]), len(self.base_lrs)
        if saved > held:
            raise StateError(
                f"{type(self).__name__}.load_state_dict: it is of {saved} parameter groups, the "
                f"optimizer has {held}."
            )
        self._say_what_differs(state)
        vars(self).update(
            {**self._own(state), "base_lrs": [*state["base_lrs"], *self.base_lrs[saved:]]}
        )
        self._forget()
        self._said, self._row = None, floats(state["_last_lr"]) if "_last_lr" in state else None


def given_names(kind: type) -> set[str]:
    """Return the names of a class's arguments that stay attributes."""
    return {
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, Given)
    }
