"""The two families of names: those that carry on from what is held, and those that set it."""

from __future__ import annotations

__all__ = ["Absolute", "Blended", "Chainable", "Curve"]

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, TypeAlias

import numpy as np

from warmdown.compat.lr_scheduler.ahead import Ahead, Steps, blend
from warmdown.compat.lr_scheduler.formula import Formula, given_names
from warmdown.compat.lr_scheduler.given import floats
from warmdown.compat.lr_scheduler.hand import Row, Swap, no_swap
from warmdown.errors import ScheduleError
from warmdown.schedules import Schedule

Curve: TypeAlias = tuple[Schedule, int]
"""A schedule, and the ticks of its clock in one step."""

_SHARES = 256
_NEAR = 1e-9
"""Relative: a rate this near to the formula's is the formula's, with another library's rounding."""


class Chainable(Formula):
    """One unit curve that scales the base rate, or what another hand left of it, above a floor.

    While nobody else writes, the closed form is written exactly. A rate edited by hand, or by
    another scheduler, is carried on: its distance from the floor changes by the same factor as the
    curve does.
    """

    _bases: list[float] | None = None
    """What the curve scales: the base rates, or what they would be for the rates that another hand left."""
    _curve: Curve | None = None
    _shares: Sequence[float] = ()
    _shares_from: float = 0

    _NOT_STATE = Formula._NOT_STATE | {"_curve", "_shares", "_shares_from"}
    _NOT_COPIED = Formula._NOT_COPIED | {"_shares"}

    @abstractmethod
    def _shape(self) -> Curve:
        """Return the unit curve."""

    def _floors(self) -> list[float] | None:
        """Return the rate that each group falls to, or ``None``: all fall to zero."""
        return None

    def get_lr(self) -> list[Any]:
        """Return the rate of each group at step ``last_epoch``; inside ``step()``, carried on from what is held."""
        self._row = (
            self._next_row()
            if self._get_lr_called_within_step
            else self._row_of(self._bases, self.last_epoch)
        )
        return self._grip().typed(self._row)

    def _get_closed_form_lr(self) -> list[Any]:
        self._row = self._closed_row()
        return self._grip().typed(self._row)

    def _closed_row(self) -> list[float]:
        self._bases = self._base_floats()
        return self._row_of(self._bases, self.last_epoch)

    def _write(self, row: Row) -> None:
        ours = row if self._is_ours else self._row
        super()._write(row)
        self._row = (
            ours  # an overridden get_lr may have changed it: what it left is then carried on
        )

    def _next_row(self) -> Row:
        if self._is_initial:
            return self._first_row()
        edited = self._edited()
        if edited is not None or self._row is None:
            self._bases = None
            return self._carried(edited or self._grip().read())
        if self._bases is None:
            self._bases = self._bases_under(self._row, self.last_epoch - 1)
        return (
            self._carried(self._row)
            if self._bases is None
            else self._row_of(self._bases, self.last_epoch)
        )

    def _short_way(self) -> Swap:
        if self._bases is not None:
            ahead = blend(self._weights(self._steps_to_come()), self._points(self._bases))
            return self._grip().swapping(ahead, self.last_epoch)
        return self._grip().carrying(self._factors_to_come(), self._floors(), self.last_epoch)

    def _edited(self) -> list[float] | None:
        """Return what the groups hold if it is not what was written, else ``None``."""
        hand = self._grip()
        if self._row is not None and hand.holds(self._row):
            return None
        held = hand.read()
        return None if self._row is not None and held == hand.rounded(self._row) else held

    def _first_row(self) -> list[float]:
        """Return the first rates: the curve's, of what is held; or, going on, those that stand already.

        An optimizer that was not restored holds its base rates, and gets the curve's.
        """
        held, bases, step = self._grip().read(), self._base_floats(), self.last_epoch
        if step <= 0:
            self._bases = held
            return self._row_of(held, step)
        known = (bases, self._row_of(bases, step - 1), self._row_of(bases, step))
        self._bases = bases if any(_are_near(held, row) for row in known) else None
        return held if self._bases is None else known[-1]

    def join(self, step: int) -> None:
        """Write the rates of ``step`` as if the curve had begun from those that are held."""
        self.last_epoch, self._bases = step, self._grip().read()
        self._write(self._row_of(self._bases, step))

    def _carried(self, held: Row) -> Row:
        before, now = self._share(self.last_epoch - 1), self._share(self.last_epoch)
        if before == now:
            return held
        if before == 0:
            return self._row_of(self._base_floats(), self.last_epoch)
        return self._moved(held, now / before)

    def _bases_under(self, row: Row, step: float) -> list[float] | None:
        share = self._share(step)
        return None if share == 0 else self._moved(row, 1 / share)

    def _moved(self, row: Row, factor: float) -> list[float]:
        floors = self._floors() or [0.0] * len(row)
        return [floor + (rate - floor) * factor for rate, floor in zip(row, floors, strict=True)]

    def is_a_factor(self) -> bool:
        """Tell whether it does nothing but multiply, and its first steps are behind it."""
        return self._is_ours and self._step_count > 2 and self._floors() is None

    def share_held(self) -> float:
        """Return what the curve says of this step."""
        return self._share(self.last_epoch)

    def shares_to_come(self) -> Steps:
        """Return what the curve says of the steps to come."""
        return self._at(self._steps_to_come())

    def give_up(self, row: Row) -> None:
        """Take ``row``, which others made too, for what was written; what it scales is found when it steps alone."""
        self._row, self._bases, self._swap = row, None, no_swap

    def _weights(self, steps: Steps) -> list[Steps]:
        shares = self._at(steps)
        return [shares] if self._floors() is None else [shares, 1 - shares]

    def _points(self, bases: list[float]) -> list[list[float]]:
        floors = self._floors()
        return [bases] if floors is None else [bases, floors]

    def _row_of(self, bases: list[float] | None, step: float) -> list[float]:
        points = self._points(self._base_floats() if bases is None else bases)
        return blend(self._weights(np.array([step], dtype=np.float64)), points).first()

    def _share(self, step: float) -> float:
        index = step - self._shares_from
        if not 0 <= index < len(self._shares) or index % 1:
            self._shares, self._shares_from, index = (
                self._at(np.arange(step, step + _SHARES) * 1.0).tolist(),
                step,
                0,
            )
        return self._shares[int(index)]

    def _factors_to_come(self) -> Iterator[float]:
        shares = self._at(self._steps_to_come() - 1.0).tolist()
        pairs = takewhile(lambda pair: pair[0] != 0, pairwise(shares))
        return iter([1.0 if before == now else now / before for before, now in pairs])

    def _at(self, steps: Steps) -> Steps:
        if self._curve is None:
            self._curve = self._shape()
        curve, ticks = self._curve
        with np.errstate(all="ignore"):  # a growing rate may overflow long after the run's end
            return curve(steps * ticks)  # type: ignore[no-any-return]

    def _forget(self) -> None:
        super()._forget()
        self._bases, self._curve, self._shares = None, None, ()

    def state_dict(self) -> dict[str, Any]:
        """Return the state: plain values, under the names that torch gives them."""
        state = super().state_dict()
        if self._bases is None or self._bases == floats(self.base_lrs):
            state.pop("_bases", None)
        return state

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        bases = self._saved_bases(state)
        self._forget()
        self._bases = bases

    def _saved_bases(self, state: Mapping[str, Any]) -> list[float] | None:
        """Return what was scaled when the state was saved: its own curve tells, not the one given now."""
        if self._row is None or state.get("_bases") is not None:
            return state.get("_bases")
        given = {name: vars(self)[name] for name in given_names(type(self))}
        try:
            vars(self).update({name: state.get(name, value) for name, value in given.items()})
            bases = self._base_floats()
            is_on_it = _are_near(self._row, self._row_of(bases, self.last_epoch))
            return bases if is_on_it else self._bases_under(self._row, self.last_epoch)
        except ScheduleError:
            return None
        finally:
            vars(self).update(given)


class Absolute(Formula):
    """Rates that are set, whatever is held."""

    _based: list[Any] | None = None
    """The base rates that the steps to come were computed from."""
    _is_alone: bool = True
    """Whether no other hand wrote before the last long step: then looking and writing is one pass."""

    _NOT_STATE = Formula._NOT_STATE | {"_based", "_is_alone"}

    @abstractmethod
    def _closed_row(self) -> list[float]:
        """Return the rates of step ``last_epoch``."""

    @abstractmethod
    def _ahead(self) -> Ahead:
        """Return the rates of the steps to come."""

    def step(self, epoch: int | None = None) -> None:
        """Count one step and write its rates.

        Args:
            epoch: Go to this step instead of the next.
        """
        if (
            epoch is None
            and self._based == self.base_lrs
            and (written := self._swap(self.last_epoch)) is not None
        ):
            self._written = written
            self._step_count += 1
            self.last_epoch += 1
        else:
            self._based = list(self.base_lrs)
            self._go_the_long_way(epoch)

    def get_lr(self) -> list[Any]:
        """Return the rate of each group at step ``last_epoch``."""
        return self._grip().typed(self._closed_row())

    def _next_row(self) -> list[float]:
        hand = self._grip()
        self._is_alone = self._row is None or hand.holds(self._row)
        return self._closed_row()

    def _short_way(self) -> Swap:
        hand = self._grip()
        return (hand.swapping if self._is_alone else hand.setting)(self._ahead(), self.last_epoch)


class Blended(Absolute):
    """Rates that blend fixed points of each group by unit curves."""

    @abstractmethod
    def _weights(self, steps: Steps) -> list[Steps]:
        """Return the unit curves at ``steps``."""

    @abstractmethod
    def _points(self) -> list[list[float]]:
        """Return what each curve weighs: one number for each group."""

    def _closed_row(self) -> list[float]:
        return blend(
            self._weights(np.array([self.last_epoch], dtype=np.float64)), self._points()
        ).first()

    def _ahead(self) -> Ahead:
        return blend(self._weights(self._steps_to_come()), self._points())


def _are_near(row: Sequence[float], other: Sequence[float]) -> bool:
    return all(
        math.isclose(a, b, rel_tol=_NEAR, abs_tol=1e-300) for a, b in zip(row, other, strict=False)
    )
