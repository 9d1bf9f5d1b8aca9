"""What torch's names have in common: a curve over the steps, a window of rates, a state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from torch.optim import Optimizer

from warmdown.binding.compiled import leave_uncompiled
from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler.arguments import (
    Argument,
    floats,
    kept_arguments,
    plain,
    plain_entries,
    require_entries,
)
from warmdown.compat.lr_scheduler.base import LRScheduler, ResumedLR
from warmdown.compat.lr_scheduler.window import (
    Rates,
    Row,
    Steps,
    WriteNext,
    blend,
    for_all,
    write_ahead,
    write_nothing,
)
from warmdown.errors import ScheduleError, StateError
from warmdown.schedules import Constant, ExponentialDecay, Milestones, Schedule

Curve: TypeAlias = tuple[Schedule, int]
"""A schedule, and the ticks of its clock in one step."""

_AHEAD = 4096
"""Steps whose weights are computed at once: one call costs as much as some hundred steps."""
_SHARES = 256
_NEAR = 1e-9
"""Relative: a rate this near to the formula's is the formula's, with another library's rounding."""


class FormulaLR(ResumedLR):
    r"""A scheduler whose rates are points of each group, weighed by unit curves.

    .. math:: rate_i(t) = top_i \cdot u(t) + floor_i \cdot (1 - u(t))

    A chainable name scales the base rates. While no other writes, its closed form is written
    exactly. A rate edited from outside is carried on: its distance from the floor changes by the
    same factor as the curve does. The other names set their rates, whatever the groups hold.

    A step writes the next row of a window. It is computed alone when there is more to it: the first
    steps, a number, an edited rate, other groups, or no row left.
    """

    _followed: ClassVar[tuple[str, ...]] = ()
    """Attributes that may be assigned as arguments may, and that a state does not compare."""
    base_lrs: Row = Argument("base_lrs")  # type: ignore[assignment]
    carries_edits = True
    """Whether an edited rate is carried on, not overwritten."""
    _is_ours = True
    """Whether ``get_lr`` is not overridden, so that rates may be computed ahead."""

    _write_next: WriteNext = staticmethod(write_nothing)
    """Writes the row of the next step, while it is known ahead."""
    _known_base_lrs: Sequence[Any] = ()
    """The base rates that the rows ahead were computed from."""
    _bases: Rates | None = None
    """What the curve scales: the base rates, or what they would be for rates that were edited."""
    _has_other_arguments: bool = False
    """Whether the arguments were others where the state was saved."""
    _lead: int | None = None
    """How far ``last_epoch`` is ahead of the steps counted, when rates were written; ``None`` after
    an argument was assigned."""
    _computed: Row | None = None
    """What ``get_lr`` of this library returned; a subclass may have changed it since."""
    _curve: Curve | None = None
    _shares: Sequence[float] = ()
    _shares_from: float = 0

    _NOT_COPIED = LRScheduler._NOT_COPIED | {"_curve", "_shares", "_write_next"}
    _NOT_STATE = LRScheduler._NOT_STATE | {
        "_computed",
        "_curve",
        "_known_base_lrs",
        "_has_other_arguments",
        "_lead",
        "_shares",
        "_shares_from",
        "_write_next",
        "_last_lr",
    }

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._is_ours = cls.get_lr.__module__.startswith("warmdown.compat.lr_scheduler")
        for name in (*vars(cls).get("_arguments", ()), *vars(cls).get("_followed", ())):
            setattr(cls, name, Argument(name))

    def __init__(
        self,
        optimizer: Optimizer,
        last_epoch: int = -1,
        verbose: object = None,
        **arguments: object,
    ) -> None:
        vars(self).update({name: plain(value) for name, value in arguments.items()})
        self._curve = self.unit_curve()  # refuses before the optimizer is touched
        super().__init__(optimizer, last_epoch, verbose)

    @leave_uncompiled
    def step(self, epoch: int | None = None) -> None:
        """Count one step and write its rates.

        Args:
            epoch: Go to this step instead of the next.
        """
        if (
            epoch is None
            and (self.carries_edits or self.base_lrs == self._known_base_lrs)
            and (row := self._write_next(self.last_epoch)) is not None
        ):
            self._written = row
            self._step_count += 1
            self.last_epoch += 1
            return
        self._written = self._row
        super().step(epoch)
        self._known_base_lrs = list(self.base_lrs)
        if self._is_ours and self._step_count > 2 and not self.verbose:
            self._write_next = self._open_window()

    def get_lr(self) -> Row:
        """Return the rate of each group at step ``last_epoch``.

        Inside ``step()`` an edited rate is carried on. Outside of it, where rates, ``last_epoch``
        or an argument were assigned, it is what the original returns.
        """
        writer = self._bound_writer()
        if self._get_lr_called_within_step and (self._is_stepping or not self.carries_edits):
            self._computed = self._next_row()
            return writer.typed(self._computed)
        if self._get_lr_called_within_step:
            return writer.typed(self._original_row())
        if not self.carries_edits:
            return writer.typed(self._row_of(None, self.last_epoch))
        if self._is_moved or self._edited_row() is not None:
            return writer.typed(self._original_row())
        return writer.typed(self._row or [])

    def _get_closed_form_lr(self) -> Row:
        if not self.carries_edits:
            return self.get_lr()
        self._computed = self._closed_row()
        return self._bound_writer().typed(self._computed)

    def unit_curve(self) -> Curve:
        """Return the unit curve: a constant where a scheduler has none."""
        return Constant(), 1

    def _floors(self) -> Rates | None:
        """Return the rate that each group falls to, or ``None``: all fall to zero."""
        return None

    def _weights(self, steps: Steps) -> list[Steps]:
        """Return the weight of each point at ``steps``."""
        shares = self._at(steps)
        return [shares, 1 - shares]

    def _points(self, bases: Rates) -> list[Rates]:
        """Return the points: one number for each group."""
        floors = self._floors()
        return [bases] if floors is None else [bases, floors]

    def _row_of(self, bases: Rates | None, step: float) -> Rates:
        weights = self._weights(np.array([step], dtype=np.float64))
        points = self._points(self._base_floats() if bases is None else bases)
        return for_all(next(blend(weights, points)), points[0])

    def _rows_ahead(self) -> Iterator[Row] | None:
        """Return the rows of the steps to come, or ``None`` where they are not known ahead."""
        bases = self._bases if self.carries_edits else self._base_floats()
        if bases is None:
            return None
        # Not a generator of this object: it would keep its own scheduler alive.
        return blend(self._weights(self._steps_ahead()), self._points(bases))

    def _open_window(self) -> WriteNext:
        rows, row = self._rows_ahead(), self._row
        if rows is None or row is None:
            return write_nothing
        return write_ahead(
            self._bound_writer(), rows, row, self.last_epoch, overwrites=not self.carries_edits
        )

    def _rates_at(self, epoch: int | None) -> Row:
        if not self._is_ours:
            return super()._rates_at(epoch)
        if epoch is None:
            self.last_epoch += 1
            return self._next_row()
        self.last_epoch = epoch
        return self._closed_row()

    def _closed_row(self) -> Row:
        """Return the rates of step ``last_epoch``, whatever the groups hold."""
        bases = self._base_floats()
        if self.carries_edits:
            self._bases = bases
        return self._row_of(bases, self.last_epoch)

    def _next_row(self) -> Row:
        """Return the rates of step ``last_epoch``, which was just counted."""
        if not self.carries_edits:
            return self._closed_row()
        if self._is_initial:
            return self._first_row()
        row = self._edited_row()
        if self.last_epoch <= 0:  # it was set back
            self._bases = None
            return self._original_row()
        if row is not None:
            self._bases = None
            return self._carried(row)
        row = self._row or []
        if self._is_moved:
            self._bases = None
        if self._bases is None:
            self._bases = self._bases_under(row, self.last_epoch - 1)
        if self._bases is None:
            return self._carried(row)
        return self._row_of(self._bases, self.last_epoch)

    def _first_row(self) -> Rates:
        """Return the first rates: the curve's, or those that are there already, when it goes on.

        An optimizer that was not restored holds its base rates, and gets the curve's.
        """
        current, step = self._bound_writer().read(), self.last_epoch
        if step <= 0:
            self._bases = current
            return self._row_of(current, step)
        bases = self._base_floats()
        known = (bases, self._row_of(bases, step - 1), self._row_of(bases, step))
        if not any(are_near(current, row) for row in known):
            return current
        self._bases = bases
        return known[-1]

    def _write(self, row: Row) -> None:
        super()._write(row)
        self._lead = self.last_epoch - self._step_count

    @property
    def _is_moved(self) -> bool:
        """Whether ``last_epoch`` or an argument was assigned since the last rates."""
        return self._lead != self.last_epoch - self._step_count

    def _original_row(self) -> Rates:
        """Return what the original's ``get_lr`` makes of the rates that the groups hold."""
        self._base_floats()  # a group may have joined
        within, self._get_lr_called_within_step = self._get_lr_called_within_step, True
        try:
            return floats(super(LRScheduler, self).get_lr())
        except (ArithmeticError, LookupError):  # where the original has no answer
            return self._carried(self._bound_writer().read())
        finally:
            self._get_lr_called_within_step = within

    def _edited_row(self) -> Rates | None:
        """Return what the groups hold if it is not what was written last, else ``None``."""
        return self._rates_beside(self._row if self._is_ours else self._computed)

    def _carried(self, current: Row) -> Row:
        before, now = self._share(self.last_epoch - 1), self._share(self.last_epoch)
        if before == now:
            return current
        if before == 0:
            return self._row_of(self._base_floats(), self.last_epoch)
        return self._moved(current, now / before)

    def _bases_under(self, row: Row, step: float) -> Rates | None:
        share = self._share(step)
        return None if share == 0 else self._moved(row, 1 / share)

    def _moved(self, row: Row, factor: float) -> Rates:
        floors = self._floors() or [0.0] * len(row)
        return [floor + (rate - floor) * factor for rate, floor in zip(row, floors, strict=True)]

    @property
    def curve(self) -> Curve:
        """The unit curve, of the arguments as they are now."""
        if self._curve is None:
            self._curve = self.unit_curve()
        return self._curve

    def _at(self, steps: Steps) -> Steps:
        curve, ticks = self.curve
        with np.errstate(all="ignore"):  # a growing rate may overflow long after the run's end
            return curve(steps * ticks)  # type: ignore[no-any-return]

    def _share(self, step: float) -> float:
        """Return the curve's value at one step, from a list: a call costs 50 times as much."""
        index = step - self._shares_from
        if not 0 <= index < len(self._shares) or index % 1:
            self._shares = self._at(np.arange(step, step + _SHARES) * 1.0).tolist()
            self._shares_from, index = step, 0
        return self._shares[int(index)]

    def _steps_ahead(self) -> Steps:
        return np.arange(self.last_epoch + 1, self.last_epoch + 1 + _AHEAD, dtype=np.float64)

    @property
    def is_factor(self) -> bool:
        """Whether it does nothing but multiply, and its first steps are behind it."""
        is_plain = self._is_ours and self.carries_edits and not self.verbose
        return is_plain and self._step_count > 2 and self._floors() is None

    @property
    def share(self) -> float:
        """The curve's value at this step."""
        return self._share(self.last_epoch)

    def shares_ahead(self) -> Steps:
        """Return the curve's values at the steps to come."""
        return self._at(self._steps_ahead())

    def adopt(self, row: Row, steps: int) -> None:
        """Count ``steps`` that ended at ``row``, which another scheduler has written.

        What the curve scales is found again when this one steps alone.
        """
        self._written, self._bases, self._write_next = row, None, write_nothing
        self._step_count += steps
        self.last_epoch += steps

    def join(self, step: int) -> None:
        """Write the rates of ``step`` as if the curve had begun from those that the groups hold."""
        self.last_epoch, self._bases = step, self._bound_writer().read()
        self._write(self._row_of(self._bases, step))

    def invalidate(self) -> None:
        """Drop what was computed from the arguments: one was assigned."""
        self._bases = self._curve = self._lead = None
        self._shares, self._write_next = (), write_nothing

    def _base_floats(self) -> Rates:
        """Return each group's base rate; a group added later begins with its own."""
        joined = self._count_groups() - len(self.base_lrs)
        if joined > 0:
            own = self._bound_writer().field.store_initial()[-joined:]
            vars(self)["base_lrs"] = [*self.base_lrs, *own]
        return floats(self.base_lrs)

    def state_dict(self) -> StateDict:
        """Return the state: plain values, under the names that torch gives them."""
        state = super().state_dict()
        if self._bases in (None, floats(self.base_lrs)):
            state.pop("_bases", None)
        if self._is_moved:  # one that drives it by hand writes the rates: they are no edit
            state.pop("_edited_lr", None)
        return state

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        who = type(self).__name__
        require_entries(who, state, "last_epoch", "base_lrs")
        saved, known = len(state["base_lrs"]), len(self.base_lrs)
        if saved > known:
            raise StateError(
                f"{who}.load_state_dict: it is of {saved} parameter groups, the optimizer has "
                f"{known}."
            )
        given = kept_arguments(self, self._arguments, state)
        base_lrs = [*state["base_lrs"], *self.base_lrs[saved:]]
        entries = plain_entries(self._state_entries(state))
        self._has_other_arguments = any(
            entries.get(name, value) != value for name, value in given.items()
        )
        vars(self).update({**entries, "base_lrs": base_lrs})
        self.invalidate()
        self._assigned = None
        self._written = floats(state["_last_lr"]) if "_last_lr" in state else None
        bases = state.get("_bases")
        if self.carries_edits and bases is None:
            bases = self._written_bases()
        vars(self).update(given)
        self.invalidate()
        self._bases, self._lead = bases, self.last_epoch - self._step_count

    def resumed_row(self) -> Row | None:
        """Return this step's rates by arguments that are not the saved ones, or ``None``."""
        if self._row is None or not (self._is_ours and self._has_other_arguments):
            return None  # rates that differ are of another step: it was driven by hand
        row = self._row_of(self._bases if self.carries_edits else None, self.last_epoch)
        return None if are_near(self._row, self._bound_writer().rounded(row)) else row

    def _written_bases(self) -> Rates | None:
        """Return what the curve scales, by the rates that were written last."""
        if self._row is None:
            return None
        try:
            bases = self._base_floats()
            # one that drives it by hand writes no rates here: they are of the step before, or first
            steps, rounded = (self.last_epoch, self.last_epoch - 1, 0), self._bound_writer().rounded
            rows = (self._row_of(bases, step) for step in steps)
            if any(are_near(self._row, row) or are_near(self._row, rounded(row)) for row in rows):
                return bases
            return self._bases_under(self._row, self.last_epoch)
        except ScheduleError:  # other arguments were saved, and they make no curve
            return None


def are_near(row: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether the rates are the same, but for another library's rounding."""
    pairs = zip(row, other, strict=False)
    return all(math.isclose(a, b, rel_tol=_NEAR, abs_tol=1e-300) for a, b in pairs)


def power_curve(gamma: float) -> Schedule:
    """Return ``gamma`` to the power of the step; 0 is 1 at step 0 and 0 from then on."""
    return Milestones(gamma=0.0, at=(1,)) if gamma == 0 else ExponentialDecay(gamma=gamma)
