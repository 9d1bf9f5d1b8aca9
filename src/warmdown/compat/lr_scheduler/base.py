"""The class that people subclass: ``get_lr`` returns the rates, this class writes them."""

from __future__ import annotations

__all__ = ["LRScheduler", "_LRScheduler"]

import weakref
from typing import ClassVar

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.field import has_gradients, unwrap
from warmdown.binding.groups import print_rate
from warmdown.binding.monitor import autograd_sequence_number
from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler.arguments import (
    NoBase,
    floats,
    is_verbose,
    plain_entries,
    require_optimizer,
)
from warmdown.compat.lr_scheduler.window import Rates, RateWriter, Row, copied, for_all
from warmdown.compat.prepared import PREPARED, Prepared, Updates, warn_of_early_step
from warmdown.errors import BindingError
from warmdown.shown import cut


class LRScheduler(torch_sched.LRScheduler):
    """Sets the learning rate of every parameter group by ``get_lr()``, which a subclass overrides.

    Args:
        optimizer: A torch optimizer.
        last_epoch: -1 begins; to go on, the number of steps made before, less one. Every group
            then needs its ``initial_lr``, the rate it began with.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer.
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

    verbose: bool = False
    _writer: RateWriter | None = None
    _written: Row | None = None
    """The rates written last; one number serves all groups."""
    _assigned: Row | None = None
    """What a subclass has assigned as ``_last_lr`` since."""
    _updates: Updates | None = None
    _is_stepping: bool = False
    """Whether it writes rates; ignite sets torch's own mark of it by hand, and writes itself."""
    _is_early: bool = False
    """Whether the first step came before any update and any gradient."""
    _worked: int | None = None
    """What autograd had done at the first step, if no update was made before it."""
    _is_accelerate_prepared = Prepared()

    _NOT_COPIED = PREPARED | {"_writer", "_updates"}
    _NOT_STATE = _NOT_COPIED | {
        "optimizer",
        "verbose",
        "_written",
        "_assigned",
        "_is_early",
        "_worked",
        "_is_initial",
        "_is_stepping",
        "_edited_lr",
        "_get_lr_called_within_step",
    }

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, verbose: object = None) -> None:
        require_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        self.verbose = is_verbose(verbose)
        self.base_lrs = self._first_rates(last_epoch)
        self.last_epoch = last_epoch
        self._updates = Updates.of(optimizer)
        self._initial_step()
        self._updates.watch(self)

    def get_lr(self) -> Row:
        """Return the rate of each group at step ``self.last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__}.get_lr(): override it to give the rates.")

    @leave_uncompiled
    def step(self, epoch: int | None = None) -> None:
        """Count one step and write its rates.

        Args:
            epoch: Go to this step instead of the next.
        """
        if self._step_count < 3 and self._updates is not None:
            self._check_order(self._updates, epoch)
        self._step_count += 1
        self._update_lr(epoch)

    def __repr__(self) -> str:
        try:
            rates = cut(repr(floats(self.get_last_lr())), 120)
            return f"<{type(self).__name__} at step {self.last_epoch}, lr {rates}>"
        except AttributeError:  # half made, in a debugger or an error
            return f"<{type(self).__name__}, not yet made>"

    def get_last_lr(self) -> Row:
        """Return the rates written last, copies of the kind that each group holds."""
        return self._last_lr

    print_lr = staticmethod(print_rate)

    def state_dict(self) -> StateDict:
        """Return the state: plain values, under the names that torch gives them."""
        entries = self._state_entries(vars(self))
        if type(self).__module__.startswith("warmdown."):  # others keep what they like
            entries = plain_entries(entries)
        exact = self._assigned is None and self._row
        # a tensor may have fewer digits than what was written there, and will be written
        return {**entries, "_last_lr": floats(exact or self._last_lr)}

    def load_state_dict(self, state_dict: State) -> None:
        """Go on from a state.

        Args:
            state_dict: What ``state_dict()`` returned, of this class or of torch's.
        """
        vars(self).update(self._state_entries(state_dict))
        rates = state_dict.get("_last_lr", self._last_lr)
        self._last_lr = self._bound_writer().typed(rates)

    def __getstate__(self) -> StateDict:
        return {key: value for key, value in vars(self).items() if key not in self._NOT_COPIED}

    def _state_entries(self, attributes: State) -> StateDict:
        return {key: value for key, value in attributes.items() if key not in self._NOT_STATE}

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = self._is_stepping = True
        try:
            row = self._rates_at(epoch)
        finally:
            self._get_lr_called_within_step = self._is_stepping = False
        self._write(row)
        if self.verbose:
            self._print_rates(row, epoch)

    def _print_rates(self, row: Row, epoch: float | None) -> None:
        for group, rate in enumerate(row):
            self.print_lr(True, group, rate, epoch)

    def _rates_at(self, epoch: int | None) -> Row:
        if epoch is None:
            self.last_epoch += 1
            return self.get_lr()
        self.last_epoch = epoch
        closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
        return closed_form()

    @property
    def _row(self) -> Row | None:
        """The rates written last, one for each group."""
        if self._written is None:
            return None
        groups = self.base_lrs if self._writer is None else self._writer.field.groups
        return for_all(self._written, groups)

    @property
    def _last_lr(self) -> Row:
        if self._assigned is not None:
            return self._assigned
        return self._bound_writer().typed(self._row or [])

    @_last_lr.setter
    def _last_lr(self, rates: Row) -> None:
        self._assigned = rates

    def _bound_writer(self) -> RateWriter:
        """Return the writer, a new one when the optimizer has other groups or tensors."""
        if self._writer is None or not self._writer.fits():
            self._writer = RateWriter(self.optimizer)
        return self._writer

    def _count_groups(self) -> int:
        return len(self._bound_writer().field.groups)

    def _write(self, row: Row) -> None:
        writer = self._bound_writer()
        if len(row) != self._count_groups():
            raise BindingError(
                f"{type(self).__name__}: {len(row)} rates for {self._count_groups()} parameter "
                "groups. Give one for each."
            )
        writer.write(row)
        self._written, self._assigned = row, None

    def _rates_beside(self, row: Row | None) -> Rates | None:
        """Return what the groups hold if it is not ``row``, which was written last."""
        writer = self._bound_writer()
        if row is not None and writer.holds(row):
            return None
        current = writer.read()
        return None if row is not None and current == writer.rounded(row) else current

    def _first_rates(self, last_epoch: int) -> Row:
        """Return what each group began with, which the group keeps as ``initial_lr``."""
        field = self._bound_writer().field
        if last_epoch == -1:
            field.store_initial()
        try:
            return [copied(rate) for rate in field.get_entry("initial_lr")]
        except KeyError:
            raise NoBase(
                f"{type(self).__name__}(last_epoch={last_epoch}): a parameter group has no "
                "'initial_lr', the rate it began with. Load the optimizer's state first, or begin "
                "with last_epoch=-1."
            ) from None

    def _check_order(self, updates: Updates, epoch: int | None) -> None:
        """Note the first step; warn once training shows that it came before its update.

        Not at once: a loop that only draws the curve is right, and so is one whose first update a
        gradient scaler skipped: there something is computed before the next. Most often the first
        update shows it; one that is compiled shows nothing, and the second step does.
        """
        if self._step_count == 1 and epoch is None:  # a number is a way to go on from there
            self._is_early = not updates.made and not has_gradients(self.optimizer)
            self._worked = None if updates.made else autograd_sequence_number()
        elif self._step_count == 2 and self.was_early(updates):
            warn_of_early_step(self, stacklevel=5)

    def was_early(self, updates: Updates) -> bool:
        """Return once whether the first step came before the first update, and forget it."""
        is_next = updates.begun != self._worked == updates.first_worked
        is_early = (self._is_early or is_next) and updates.made > 0
        self._is_early, self._worked = False, None
        return is_early


class ResumedLR(LRScheduler):
    """A scheduler that goes on from a state with the arguments that it was made with."""

    _arguments: ClassVar[tuple[str, ...]] = ()
    """Arguments of the constructor that stay attributes."""

    def state_dict(self) -> StateDict:
        """Return the state: plain values, under the names that torch gives them.

        Rates that another has written since the last step have a name of their own.
        """
        state = super().state_dict()
        edited = None if self._row is None else self._rates_beside(self._row)
        return state if edited is None else {**state, "_edited_lr": edited}

    def load_state_dict(self, state_dict: State) -> None:
        """Go on from a state; the arguments stay those given, with a warning if they differ.

        An optimizer that was not restored gets the saved rates at once; one that was is left as it
        is. Where the arguments differ, both get the rates of this step by those given, also when
        the optimizer is restored afterwards.

        Args:
            state_dict: What ``state_dict()`` returned, of this class or of torch's.

        Raises:
            StateError: It is no state, or one of more groups; nothing has changed then.
        """
        is_new = self._is_unchanged()
        self.restore(state_dict)
        saved = floats(state_dict["_last_lr"]) if "_last_lr" in state_dict else self._row
        row, edited = self.resumed_row(), state_dict.get("_edited_lr")
        if is_new and edited is not None:
            writer = self._bound_writer()
            writer.write([*edited, *writer.read()[len(edited) :]])
        elif row is not None:
            self._write_resumed(row, saved, is_new=is_new)
        elif is_new and saved is not None:
            self.write_saved(saved)

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        raise NotImplementedError

    def write_saved(self, row: Row) -> None:
        """Write the saved rates of this step."""
        self._write(row)

    def resumed_row(self) -> Row | None:
        """Return this step's rates by arguments that are not the saved ones, or ``None``."""
        return None

    def _is_unchanged(self) -> bool:
        """Return whether the groups are those of before, and have the rates written last."""
        return self._row is not None and (self._writer or self._bound_writer()).holds(self._row)

    def _write_resumed(self, row: Row, saved: Row | None, *, is_new: bool) -> None:
        """Write ``row`` instead of the saved one, and again when the optimizer is restored."""
        writer, this = self._bound_writer(), weakref.ref(self)
        if not is_new and saved is not None and writer.read() != writer.rounded(saved):
            return  # it was given a rate of its own
        self._write(row)
        position = self.last_epoch

        def write_again(_: object) -> None:
            handle.remove()
            scheduler = this()
            if scheduler is not None and scheduler.last_epoch == position:
                scheduler._write_resumed(row, saved, is_new=False)

        handle = unwrap(self.optimizer).register_load_state_dict_post_hook(write_again)


class _LRScheduler(LRScheduler, torch_sched._LRScheduler):
    """The same, by the name that older code subclasses."""
