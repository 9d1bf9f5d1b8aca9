"""Names that set the rate, and some the momentum against it, in one cycle or in many."""

from __future__ import annotations

__all__ = ["CyclicLR", "OneCycleLR"]

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_sched

from warmdown.binding.field import unwrap
from warmdown.binding.slots import Window, join_writers
from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler.arguments import (
    as_fraction,
    attributes_of,
    floats,
    in_ticks,
    per_group,
    plain,
    require_optimizer,
    require_whole,
)
from warmdown.compat.lr_scheduler.formula import Curve, FormulaLR, power_curve
from warmdown.compat.lr_scheduler.window import (
    Rates,
    RateWriter,
    Row,
    Steps,
    WriteNext,
    write_nothing,
)
from warmdown.errors import BindingError, ScheduleError
from warmdown.schedules import (
    Chain,
    Constant,
    Cosine,
    Function,
    Linear,
    Schedule,
    Triangle,
)


class MomentumLR(FormulaLR):
    """Rates that may come with a momentum: a group's ``momentum``, or its first beta."""

    _arguments: ClassVar[tuple[str, ...]] = ("cycle_momentum", "base_momentums", "max_momentums")

    carries_edits = False
    _momentum_writer: RateWriter | None = None

    _NOT_COPIED = FormulaLR._NOT_COPIED | {"_momentum_writer"}
    _NOT_STATE = FormulaLR._NOT_STATE | {"_momentum_writer", "use_beta1"}

    @property
    def use_beta1(self) -> bool:
        """Whether the momentum is the first of ``betas``."""
        return "betas" in unwrap(self.optimizer).defaults

    def _take_momentum(self, cycle: bool, base: Any, highest: Any, *, is_new: bool) -> None:
        """Store the arguments, and in the groups too, where torch keeps them."""
        self.cycle_momentum = cycle
        if not cycle:
            return
        who, field = type(self).__name__, self._bound_writer().field
        if not {"momentum", "betas"} & set(unwrap(self.optimizer).defaults):
            raise BindingError(
                f"{who}(cycle_momentum=True): {type(self.optimizer).__name__} has neither momentum "
                "nor betas. Give cycle_momentum=False."
            )
        self.base_momentums = per_group(who, "base_momentum", base, self._count_groups())
        self.max_momentums = per_group(who, "max_momentum", highest, self._count_groups())
        if is_new:
            field.set_entry("max_momentum", self.max_momentums)
            field.set_entry("base_momentum", self.base_momentums)

    def _write(self, row: Row) -> None:
        super()._write(row)
        if self.cycle_momentum:
            self._bound_momentum_writer().write(self._momenta())

    def resumed_row(self) -> Row | None:
        """Return this step's rates by arguments that are not the saved ones, or ``None``."""
        row = super().resumed_row()
        if row is None and self._row is not None and self.cycle_momentum:
            writer = self._bound_momentum_writer()
            if writer.read() != writer.rounded(self._momenta()):
                return self._row
        return row

    def _momenta(self) -> Rates:
        """Return the momentum of each group at this step."""
        window = self._momentum_window(np.array([self.last_epoch], dtype=np.float64))
        return window.curves[window.which, 0].tolist()  # type: ignore[no-any-return]

    def _open_window(self) -> WriteNext:
        write_next = super()._open_window()
        if not self.cycle_momentum or write_next is write_nothing:
            return write_next
        first = self.last_epoch
        window = self._momentum_window(np.concatenate([[float(first)], self._steps_ahead()]))
        write = join_writers(self._bound_momentum_writer().field.writers(window))
        if write is None:
            return write_next

        def write_both(step: int) -> Row | None:
            row = write_next(step)
            if row is not None:
                write(step + 1 - first)
            return row

        return write_both

    def _momentum_window(self, steps: Steps) -> Window:
        points = [floats(self.base_momentums), floats(self.max_momentums)]
        # groups of equal momenta share a curve, which is written for all of them at once
        (lows, highs), which = np.unique(points, axis=1, return_inverse=True)
        shares = self._at(steps)
        curves = np.multiply.outer(lows, shares) + np.multiply.outer(highs, 1 - shares)
        return Window(curves, which.ravel().tolist())  # numpy 2.0 gives it a second axis

    def _bound_momentum_writer(self) -> RateWriter:
        if self._momentum_writer is None or not self._momentum_writer.fits():
            name = "betas[0]" if self.use_beta1 else "momentum"
            self._momentum_writer = RateWriter(self.optimizer, name)
        return self._momentum_writer


class CyclicLR(MomentumLR, torch_sched.CyclicLR):  # type: ignore[override]
    """Up from ``base_lr`` to ``max_lr`` and down again, over and over; the momentum against it.

    Args:
        optimizer: A torch optimizer.
        base_lr: The lower rate, for all groups or a list with one for each.
        max_lr: The upper rate, likewise.
        step_size_up: Steps on the way up.
        step_size_down: Steps on the way down, or ``None`` for as many.
        mode: ``"triangular"``; ``"triangular2"`` halves each cycle; ``"exp_range"`` shrinks by
            ``gamma`` each step.
        gamma: The factor of ``"exp_range"``.
        scale_fn: A function that gives the height of a cycle, instead of ``mode``.
        scale_mode: Whether ``scale_fn`` takes the number of the ``"cycle"``, from 1, or of the
            ``"iterations"``.
        cycle_momentum: Whether the momentum moves too.
        base_momentum: The lower momentum, for all groups or a list with one for each.
        max_momentum: The upper momentum, likewise.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

    Raises:
        ScheduleError: The mode is unknown, a length or ``gamma`` is out of range, or a list has
            another length.
        BindingError: The optimizer has no momentum to cycle.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import CyclicLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4, momentum=0.9)
        >>> scheduler = CyclicLR(optimizer, base_lr=0.1, max_lr=0.5, step_size_up=2)
        >>> scheduler.step(2)
        >>> scheduler.get_last_lr(), optimizer.param_groups[0]["momentum"]
        ([0.5], 0.8)
    """

    _arguments = (
        *MomentumLR._arguments,
        "max_lrs",
        "step_sizes",
        "mode",
        "gamma",
        "scale_mode",
    )

    _scale_fn_custom: Callable[[float], float] | None
    _NOT_STATE = MomentumLR._NOT_STATE | {
        "total_size",
        "step_ratio",
        "_scale_fn_ref",
        "_scale_fn_custom",
    }

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Rates,
        max_lr: float | Rates,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        require_optimizer("CyclicLR", optimizer)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ScheduleError(
                f"CyclicLR(mode={mode!r}): use 'triangular', 'triangular2' or 'exp_range', or give "
                f"a scale_fn."
            )
        self.optimizer = optimizer
        count = self._count_groups()
        self._lows = per_group("CyclicLR", "base_lr", base_lr, count)
        self.max_lrs = per_group("CyclicLR", "max_lr", max_lr, count)
        self.step_sizes: list[float] = [
            step_size_up,
            step_size_up if step_size_down is None else step_size_down,
        ]
        self.mode, self.gamma, self._scale_fn_custom = mode, plain(gamma), scale_fn
        self.scale_mode = (
            scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        )
        self.unit_curve()  # refuses before the optimizer is touched
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, is_new=last_epoch == -1)
        super().__init__(optimizer, last_epoch, verbose)

    @property  # type: ignore[override]
    def total_size(self) -> float:
        """Steps of one cycle."""
        return float(sum(self.step_sizes))

    @total_size.setter
    def total_size(self, steps: float) -> None:
        up = steps * self.step_ratio
        self.step_sizes = [up, steps - up]

    @property
    def step_ratio(self) -> float:
        """Share of a cycle that goes up."""
        return float(self.step_sizes[0] / self.total_size)

    @step_ratio.setter
    def step_ratio(self, share: float) -> None:
        up = self.total_size * share
        self.step_sizes = [up, self.total_size - up]

    def scale_fn(self, x: float) -> float:
        """Return the height of cycle ``x``, or of step ``x``, by ``scale_mode``."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return self._height()(x - 1 if self.scale_mode == "cycle" else x)

    def _first_rates(self, last_epoch: int) -> Row:
        if last_epoch == -1:
            self._bound_writer().write(floats(self._lows))
        super()._first_rates(last_epoch)
        return self._lows

    def _points(self, bases: Rates) -> list[Rates]:
        return [floats(self.max_lrs), bases]

    def _at(self, steps: Steps) -> Steps:
        shares = super()._at(steps)
        if self.scale_mode == "cycle":
            return shares
        return shares * self._height()(steps)  # type: ignore[no-any-return]

    def unit_curve(self) -> Curve:
        up, down = self.step_sizes
        ticks, rise, fall = in_ticks("CyclicLR", step_size_up=up, step_size_down=down)
        cycle = Triangle(low=0.0, high=1.0, up=rise, down=fall)
        return cycle.repeat(decay=self._height() if self.scale_mode == "cycle" else 1.0), ticks

    def _height(self) -> Schedule:
        """Return the height of a cycle over its number from 0, or that of a step over its own."""
        custom = self._scale_fn_custom
        if custom is not None:
            per_cycle = self.scale_mode == "cycle"
            return Function(call=(lambda cycle: custom(cycle + 1)) if per_cycle else custom)
        if self.mode == "triangular":
            return Constant()
        return power_curve(0.5 if self.mode == "triangular2" else self.gamma)

    def _rows_ahead(self) -> Iterator[Row] | None:
        # a function of the caller's is not called ahead of its step
        return None if self._scale_fn_custom is not None else super()._rows_ahead()

    def state_dict(self) -> StateDict:
        """Return the state; of ``scale_fn`` only the attributes, if it is an object."""
        custom = self._scale_fn_custom
        return {
            **super().state_dict(),
            "_scale_fn_custom": None if custom is None else attributes_of(custom),
            "total_size": self.total_size,
            "step_ratio": self.step_ratio,
        }

    def restore(self, state: State) -> None:
        """Restore what ``state`` holds, writing nothing."""
        super().restore(state)
        attributes = state.get("_scale_fn_custom")
        if self._scale_fn_custom is not None and attributes:
            vars(self._scale_fn_custom).update(attributes)


class OneCycleLR(MomentumLR, torch_sched.OneCycleLR):  # type: ignore[override]
    """Up to ``max_lr`` and down to almost nothing, where it stays; the momentum moves against it.

    Args:
        optimizer: A torch optimizer.
        max_lr: The highest rate, for all groups or a list with one for each.
        total_steps: Steps of the cycle; its last rate is that of step ``total_steps - 1``. Or give
            the next two.
        epochs: Epochs of the cycle.
        steps_per_epoch: Steps of one epoch.
        pct_start: Share of the steps that go up, a float from 0 to 1.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: Whether the momentum moves too.
        base_momentum: The lower momentum, for all groups or a list with one for each.
        max_momentum: The upper momentum, likewise.
        div_factor: The first rate is ``max_lr`` divided by it.
        final_div_factor: The last rate is the first divided by it.
        three_phase: Come down as one went up, then fall to the last rate over the rest.
        last_epoch: -1 begins; to go on, the number of steps made before, less one.
        verbose: Whether each step prints its rates, in the words of older versions of torch.

    Raises:
        ScheduleError: No length is given, an argument is out of range, or a list has another
            length.
        BindingError: The optimizer has no momentum to cycle.

    Example:
        >>> import torch
        >>> from warmdown.compat.lr_scheduler import OneCycleLR
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4, momentum=0.9)
        >>> scheduler = OneCycleLR(optimizer, max_lr=0.5, total_steps=10, anneal_strategy="linear")
        >>> scheduler.step(2)
        >>> scheduler.get_last_lr(), optimizer.param_groups[0]["momentum"]
        ([0.5], 0.85)
    """

    _arguments = (
        *MomentumLR._arguments,
        "max_lrs",
        "total_steps",
        "pct_start",
        "three_phase",
        "div_factor",
        "final_div_factor",
        "_anneal_func_type",
    )

    pct_start: float
    three_phase: bool

    _NOT_STATE = MomentumLR._NOT_STATE | {"_schedule_phases"}

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Rates,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Rates = 0.85,
        max_momentum: float | Rates = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        require_optimizer("OneCycleLR", optimizer)
        self.total_steps = _cycle_length(total_steps, epochs, steps_per_epoch)
        if not _is_share(pct_start):
            raise ScheduleError(
                f"OneCycleLR(pct_start={pct_start!r}): a float from 0 to 1 is needed."
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ScheduleError(
                f"OneCycleLR(anneal_strategy={anneal_strategy!r}): use 'cos' or 'linear'."
            )
        if div_factor == 0 or final_div_factor == 0:
            raise ScheduleError(
                f"OneCycleLR(div_factor={div_factor}, final_div_factor={final_div_factor}): "
                f"neither can be 0."
            )
        self.optimizer = optimizer
        self.div_factor, self.final_div_factor = plain(div_factor), plain(final_div_factor)
        self.max_lrs = per_group("OneCycleLR", "max_lr", max_lr, self._count_groups())
        if last_epoch == -1:
            self._store_in_groups()
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, is_new=last_epoch == -1)
        super().__init__(
            optimizer,
            last_epoch,
            verbose,
            pct_start=pct_start,
            three_phase=three_phase,
            _anneal_func_type=anneal_strategy,
        )

    def _store_in_groups(self) -> None:
        field, points = self._bound_writer().field, self._points([])
        for key, row in zip(_ONE_CYCLE_POINTS, points, strict=True):
            field.set_entry(key, row)

    def _points(self, bases: Rates) -> list[Rates]:
        """Return the first, the highest and the last rate of each group."""
        highest = floats(self.max_lrs)
        first = [rate / self.div_factor for rate in highest]
        return [first, highest, [rate / self.final_div_factor for rate in first]]

    def phase_ends(self) -> list[Fraction]:
        """Return the steps at which a phase ends; they may lie between two updates."""
        up = as_fraction(self.pct_start, self.total_steps) * self.total_steps - 1
        last = Fraction(self.total_steps - 1)
        return [up, 2 * up, last] if self.three_phase else [up, last]

    def _weights(self, steps: Steps) -> list[Steps]:
        ends = self.phase_ends()
        corners = ONE_CYCLE_CORNERS[len(ends)]
        weights = []
        for point in _ONE_CYCLE_POINTS:
            heights = [float(corner == point) for corner in corners]
            curve, ticks = curve_through(heights, ends, self._anneal_func_type)
            weights.append(curve(np.minimum(steps, self.total_steps - 1) * ticks))
        return weights

    def _at(self, steps: Steps) -> Steps:
        return self._weights(steps)[1]


_ONE_CYCLE_POINTS = ("initial_lr", "max_lr", "min_lr")
ONE_CYCLE_CORNERS = {
    2: _ONE_CYCLE_POINTS,
    3: ("initial_lr", "max_lr", "initial_lr", "min_lr"),
}
"""Of so many phases, the rates that they lead from and to."""


def curve_through(corners: Sequence[float], ends: Sequence[Fraction], anneal: str) -> Curve:
    """Return the curve from each corner to the next, which it reaches at each of ``ends``.

    A phase that would end before it begins is left out.

    Args:
        corners: The value at step 0, and that at each end.
        ends: Steps, also between two updates; before step 0 the curve is under way already.
        anneal: ``"cos"`` or ``"linear"``.
    """
    kind: type[Cosine | Linear] = Cosine if anneal == "cos" else Linear
    ticks = math.lcm(*(end.denominator for end in ends))
    marks = [0, *(int(end * ticks) for end in ends)]
    phases = zip(pairwise(corners), pairwise(marks), strict=True)
    moves: list[Schedule] = [
        kind(start=first, end=last, steps=end - begin)
        for (first, last), (begin, end) in phases
        if end > begin
    ]
    whole = Chain.of(*moves or [Constant(value=corners[-2])])
    begun = min(marks)
    return whole.skip(-begun) if begun else whole, ticks


def _cycle_length(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        require_whole("OneCycleLR", "total_steps", total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ScheduleError(
            "OneCycleLR: its length is missing. Give total_steps, or epochs and steps_per_epoch."
        )
    require_whole("OneCycleLR", "epochs", epochs)
    require_whole("OneCycleLR", "steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def _is_share(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= 1
