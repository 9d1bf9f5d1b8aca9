"""The class that people subclass: ``get_lr`` says the rates, this writes them."""

from __future__ import annotations

__all__ = ["LRScheduler", "_LRScheduler"]

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import lr_scheduler as theirs

from warmdown.compat.lr_scheduler.given import NoBase, require_optimizer, say_verbose_is_gone
from warmdown.compat.lr_scheduler.hand import Hand, Row
from warmdown.compat.lr_scheduler.order import FirstSteps
from warmdown.compat.prepared import PREPARED, Prepared
from warmdown.errors import BindingError


class LRScheduler(theirs.LRScheduler):
    """Sets the learning rate of every parameter group by ``get_lr()``, which a subclass overrides.

    Args:
        optimizer: A torch optimizer.
        last_epoch: -1 begins; to go on, the number of steps made before, less one. The groups then
            say what they began with: ``initial_lr``.
        verbose: Gone; accepted, so that older code runs.

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: It is to go on, and a group has no ``initial_lr``.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import LRScheduler
        >>> class Halved(LRScheduler):
        ...     def get_lr(self):
        ...         return [base * 0.5**self.last_epoch for base in self.base_lrs]
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = Halved(optimizer)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.2]
    """

    _hand: Hand | None = None
    _written: Row | float | None = None
    _said: list[Any] | None = None
    _first_steps: FirstSteps | None = None
    _is_accelerate_prepared = Prepared()

    _NOT_COPIED = PREPARED | {"_hand", "_first_steps"}
    _NOT_STATE = _NOT_COPIED | {
        "optimizer",
        "_written",
        "_said",
        "_is_initial",
        "_get_lr_called_within_step",
    }

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, verbose: object = None) -> None:
        require_optimizer(type(self).__name__, optimizer)
        say_verbose_is_gone(verbose)
        self.optimizer = optimizer
        self.base_lrs = self._first_rates(last_epoch)
        self.last_epoch = last_epoch
        self._first_steps = FirstSteps(optimizer)
        self._initial_step()

    def get_lr(self) -> list[Any]:
        """Return the rate of each group at step ``self.last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__}.get_lr(): override it to say the rates.")

    def step(self, epoch: int | None = None) -> None:
        """Count one step and write its rates.

        Args:
            epoch: Go to this step instead of the next.
        """
        if self._step_count < 3 and self._first_steps is not None:
            self._mind_the_order(self._first_steps, epoch)
        self._step_count += 1
        self._update_lr(epoch)

    def get_last_lr(self) -> list[Any]:
        """Return the rates written last, copies of the kind that each group holds."""
        return self._last_lr

    def print_lr(
        self, is_verbose: bool, group: object, lr: float, epoch: int | None = None
    ) -> None:
        """Print a rate, as older versions did.

        Args:
            is_verbose: Nothing is printed unless it is true.
            group: The group's number.
            lr: Its rate.
            epoch: The epoch, or ``None``.
        """
        if is_verbose:
            when = "" if epoch is None else f"Epoch {epoch}: "
            print(f"{when}group {group} has learning rate {lr:.4e}.")

    def state_dict(self) -> dict[str, Any]:
        """Return the state: plain values, under the names that torch gives them."""
        own = {key: value for key, value in vars(self).items() if key not in self._NOT_STATE}
        return {**own, "_last_lr": self._last_lr}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state.

        Args:
            state_dict: What ``state_dict()`` returned, of this class or of torch's.
        """
        vars(self).update(
            {key: value for key, value in state_dict.items() if key not in self._NOT_STATE}
        )
        self._last_lr = state_dict.get("_last_lr", self._last_lr)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in self._NOT_COPIED}

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            row = self._rates_at(epoch)
        finally:
            self._get_lr_called_within_step = False
        self._write(row)

    def _rates_at(self, epoch: int | None) -> Row:
        if epoch is None:
            self.last_epoch += 1
            return self.get_lr()
        self.last_epoch = epoch
        closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
        return closed_form()

    @property
    def _row(self) -> Row | None:
        """What was written last."""
        if not isinstance(self._written, float):
            return self._written
        return [self._written] * len(
            self._hand.field.groups if self._hand is not None else self.base_lrs
        )

    @_row.setter
    def _row(self, row: Row | None) -> None:
        self._written = row

    @property
    def _last_lr(self) -> list[Any]:
        if self._said is not None:
            return self._said
        row = self._row
        return [] if row is None else self._grip().typed(row)

    @_last_lr.setter
    def _last_lr(self, said: list[Any]) -> None:
        self._said = said

    def _grip(self) -> Hand:
        """Return the hand on the rates; a new one when the optimizer has other groups or tensors than before."""
        if self._hand is None or not self._hand.fits():
            self._hand = Hand(self.optimizer)
        return self._hand

    def _write(self, row: Row) -> None:
        hand = self._grip()
        if len(row) != len(hand.field.groups):
            raise BindingError(
                f"{type(self).__name__}: {len(row)} rates for {len(hand.field.groups)} parameter "
                f"groups. "
                "Give one for each."
            )
        hand.write(row)
        self._row, self._said = row, None

    def _first_rates(self, last_epoch: int) -> list[Any]:
        """Return what each group began with, which the group keeps as ``initial_lr``."""
        field = self._grip().field
        if last_epoch == -1:
            field.store_initial()
        try:
            return [_copy(rate) for rate in field.get_entry("initial_lr")]
        except KeyError:
            raise NoBase(
                f"{type(self).__name__}(last_epoch={last_epoch}): a parameter group has no "
                f"'initial_lr', the rate it "
                "began with. Load the optimizer's state first, or begin with last_epoch=-1."
            ) from None

    def _mind_the_order(self, first_steps: FirstSteps, epoch: int | None) -> None:
        if self._step_count == 1 and epoch is None:  # a number is a way to go on from there
            first_steps.first(self.optimizer)
        elif self._step_count == 2:
            first_steps.second(type(self).__name__)


class _LRScheduler(LRScheduler, theirs._LRScheduler):
    """The same, by the name that older code subclasses."""


def _copy(rate: Any) -> Any:
    return rate.detach().clone() if isinstance(rate, torch.Tensor) else rate
