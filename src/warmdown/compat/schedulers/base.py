"""The classes that people subclass: one method to override, any field of a parameter group."""

from __future__ import annotations

__all__ = ["SchedulerBase", "StatefulSchedulerBase"]

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any, TypeAlias

from torch.optim.lr_scheduler import LRScheduler

from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.field import Field
from warmdown.compat import State, StateDict
from warmdown.compat.prepared import PREPARED, Prepared
from warmdown.errors import BindingError, StateError

Updated: TypeAlias = "float | Iterable[float] | None"
"""Nothing to change, one number for all groups, or one for each."""


class SchedulerBase(ABC):
    """A parameter scheduler without a count: call ``step_update(num_updates)`` after each update.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        param_group_field: The field that is scheduled, in every parameter group; also an element:
            ``betas[0]``.

    Raises:
        BindingError: A group does not have the field.

    Example:
        >>> import torch
        >>> from warmdown.compat.schedulers import SchedulerBase
        >>> class Halving(SchedulerBase):
        ...     def get_updated_values(self, num_updates):
        ...         return [base * 0.5**num_updates for base in self.base_lr_values]
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = Halving(optimizer)
        >>> scheduler.step_update(2)
        >>> optimizer.param_groups[0]["lr"]
        0.1
    """

    _NOT_COPIED = PREPARED | {"_field"}

    def __init__(self, optimizer: Any, param_group_field: str = "lr") -> None:
        self.optimizer = optimizer
        self.param_group_field = param_group_field
        self._field = Field(optimizer, param_group_field)
        self.base_lr_values = self._field.store_initial()
        self._write(self.base_lr_values)

    @abstractmethod
    def get_updated_values(self, num_updates: int) -> Updated:
        """Return the field's value after ``num_updates`` updates.

        Args:
            num_updates: Optimizer updates made before.

        Returns:
            One number for all groups, one for each group, or ``None`` to leave them as they are.
        """

    @leave_uncompiled
    def step_update(self, num_updates: int) -> None:
        """Write what :meth:`get_updated_values` returns for ``num_updates``.

        Raises:
            BindingError: It returned something else than numbers, or not one for each group.
        """
        self._bind_new_groups()
        values = self.get_updated_values(num_updates)
        if values is not None:
            self._write(values)

    def state_dict(self) -> StateDict:
        """Return every attribute except the optimizer, which is saved separately."""
        return self._state_entries(vars(self))

    def load_state_dict(self, state_dict: State) -> None:
        """Set the attributes that ``state_dict`` holds.

        Raises:
            StateError: It is no state of such a scheduler; nothing has changed then.
        """
        self._require_state(state_dict)
        vars(self).update(self._state_entries(state_dict))

    def _state_entries(self, attributes: State) -> StateDict:
        others = {"optimizer", *self._NOT_COPIED}
        return {name: value for name, value in attributes.items() if name not in others}

    def _require_state(self, state: State, names: Iterable[str] = ()) -> None:
        who = type(self).__name__
        if not isinstance(state, Mapping):
            raise StateError(
                f"{who}.load_state_dict({state!r:.60}): a state_dict() of a {who} is needed."
            )
        field = state.get("param_group_field", self.param_group_field)
        if field != self.param_group_field:
            raise StateError(
                f"{who}.load_state_dict: the state schedules {field!r}, this scheduler "
                f"{self.param_group_field!r}. "
                "Load the state that belongs to it."
            )
        if missing := [name for name in names if name not in state]:
            raise StateError(
                f"{who}.load_state_dict: the state lacks {', '.join(missing)}. Load a state that "
                f"a {who} has saved."
            )

    def _write(self, values: float | Iterable[float]) -> None:
        self._field.write(values_per_group(self, values, len(self._field.groups)))

    def _bind_new_groups(self) -> None:
        """Bind groups that were added since; their base is the value they came with."""
        if self._field.is_current:
            return
        self._field = Field(self.optimizer, self.param_group_field)
        known, now = len(self.base_lr_values), self._field.store_initial()
        self.base_lr_values = now if len(now) < known else [*self.base_lr_values, *now[known:]]

    def __getstate__(self) -> StateDict:
        return {name: value for name, value in vars(self).items() if name not in self._NOT_COPIED}

    def __setstate__(self, state: StateDict) -> None:
        vars(self).update(state)
        self._field = Field(self.optimizer, self.param_group_field)


class StatefulSchedulerBase(SchedulerBase, LRScheduler, ABC):
    """A parameter scheduler that counts: ``step()`` at the end of each optimizer update.

    The first ``step()`` writes the values for 0 updates, the second those for 1, as subclasses of
    this ecosystem expect it. So the first two updates use the same value;
    :class:`warmdown.Scheduler` gives update *k* value *k*.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        param_group_field: The field that is scheduled, in every parameter group; also an element:
            ``betas[0]``.

    Raises:
        BindingError: A group does not have the field.

    Example:
        >>> import torch
        >>> from warmdown.compat.schedulers import StatefulSchedulerBase
        >>> class Ramp(StatefulSchedulerBase):
        ...     def get_updated_values(self, num_updates):
        ...         return 0.01 * (num_updates + 1)
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = Ramp(optimizer, param_group_field="weight_decay")
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["weight_decay"], optimizer.param_groups[0]["lr"]
        (0.03, 0.4)
    """

    _is_accelerate_prepared = Prepared()

    def __init__(self, optimizer: Any, param_group_field: str = "lr") -> None:
        # torch's own constructor would wrap optimizer.step
        SchedulerBase.__init__(self, optimizer, param_group_field)
        self._num_updates = -1

    @leave_uncompiled
    def step(self, epoch: int | None = None) -> None:
        """Count, and write the values for what has been counted.

        Args:
            epoch: Not used; torch's schedulers have it.
        """
        del epoch
        self._num_updates += 1
        self.step_update(self._num_updates)

    def load_state_dict(self, state_dict: State) -> None:
        """Set the attributes that ``state_dict`` holds, the count among them.

        Raises:
            StateError: It is no state of such a scheduler; nothing has changed then.
        """
        self._require_state(state_dict)
        require_count(self, state_dict, "_num_updates")
        super().load_state_dict(state_dict)

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """How often ``step()`` was called."""
        return self._num_updates + 1

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The base value of each group."""
        return list(self.base_lr_values)

    @property
    def _step_count(self) -> int:
        return self._num_updates + 2

    @_step_count.setter
    def _step_count(self, count: int) -> None:
        """Ignore it: accelerate adds one for each micro-batch, and would stop before the end."""

    def get_last_lr(self) -> list[float]:  # type: ignore[override]
        """Return the learning rate that each group holds."""
        is_rate = self.param_group_field == "lr"
        return (self._field if is_rate else Field(self.optimizer, "lr")).read()

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Return the learning rate that each group holds."""
        return self.get_last_lr()


def require_count(owner: object, state: State, name: str) -> int:
    """Return a state's counter, or refuse the state."""
    count = state.get(name)
    if isinstance(count, bool) or not isinstance(count, int) or count < -1:
        who = type(owner).__name__
        raise StateError(
            f"{who}.load_state_dict({name}={count!r}): the state does not say how far it had come. "
            f"Set "
            f"state[{name!r}] to the number of step() calls less one, or load a state that this "
            f"{who} has saved."
        )
    return count


def values_per_group(owner: SchedulerBase, values: Any, groups: int) -> list[float]:
    """Return one number for each group, whatever of the allowed kinds was returned."""
    if type(values) is list and len(values) == groups and set(map(type, values)) == {float}:
        return values
    what = f"{type(owner).__name__}.get_updated_values"
    single = isinstance(values, Number) or getattr(values, "ndim", None) == 0
    try:
        row = [float(values)] * groups if single else [float(value) for value in values]
    except (TypeError, ValueError):
        row = None
    if row is None or isinstance(values, str):
        raise BindingError(
            f"{what}: {values!r:.80} is no number. Return one, one for each group, or None."
        )
    if len(row) != groups:
        raise BindingError(
            f"{what}: {len(row)} values for {groups} groups. Return one number, or one for each "
            f"parameter group."
        )
    return row
