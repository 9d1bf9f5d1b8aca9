"""Names that set the rate, and some the momentum against it, in one cycle or in many."""

from __future__ import annotations

__all__ = ["CyclicLR", "OneCycleLR"]

import math
import types
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from torch.optim import Optimizer
from torch.optim import lr_scheduler as theirs

from warmdown.binding.field import unwrap
from warmdown.compat.lr_scheduler.ahead import Ahead, Steps, blend
from warmdown.compat.lr_scheduler.families import Blended, Curve
from warmdown.compat.lr_scheduler.given import (
    Given,
    as_fraction,
    floats,
    in_ticks,
    one_a_group,
    require_optimizer,
)
from warmdown.compat.lr_scheduler.hand import Hand, Row, Swap, no_swap
from warmdown.errors import BindingError, ScheduleError
from warmdown.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    Function,
    Linear,
    Milestones,
    Schedule,
    Triangle,
)


class Cycled(Blended):
    """Rates that may come with a momentum: a group's ``momentum``, or its first beta."""

    cycle_momentum = Given()
    base_momentums = Given()
    max_momentums = Given()

    _momentum: Hand | None = None

    _NOT_STATE = Blended._NOT_STATE | {"_momentum"}
    _NOT_COPIED = Blended._NOT_COPIED | {"_momentum"}
    _WORKED_OUT = frozenset({"use_beta1"})

    @abstractmethod
    def _falls(self, steps: Steps) -> Steps:
        """Return the share of the way from the highest momentum to the lowest."""

    @property
    def use_beta1(self) -> bool:
        """Whether the momentum is the first of ``betas``."""
        return "betas" in unwrap(self.optimizer).defaults

    def _take_momentum(self, cycle: bool, base: Any, highest: Any, *, is_new: bool) -> None:
        """Take the arguments, and keep them in the groups, where torch keeps them."""
        self.cycle_momentum = cycle
        if not cycle:
            return
        who, field = type(self).__name__, self._grip().field
        if not {"momentum", "betas"} & set(unwrap(self.optimizer).defaults):
            raise BindingError(
                f"{who}(cycle_momentum=True): {type(self.optimizer).__name__} has neither momentum "
                f"nor betas. "
                "Give cycle_momentum=False."
            )
        self.base_momentums = one_a_group(who, "base_momentum", base, len(field.groups))
        self.max_momentums = one_a_group(who, "max_momentum", highest, len(field.groups))
        if is_new:
            field.set_entry("max_momentum", self.max_momentums)
            field.set_entry("base_momentum", self.base_momentums)

    def _write(self, row: Row) -> None:
        super()._write(row)
        if self.cycle_momentum:
            at = np.array([self.last_epoch], dtype=np.float64)
            self._momentum_grip().write(self._momenta(at).first())

    def _short_way(self) -> Swap:
        rates = super()._short_way()
        if not self.cycle_momentum:
            return rates
        momenta = self._momenta(self._steps_to_come()).rows()
        return _both(rates, self._momentum_grip().field.writing(momenta))

    def _momenta(self, steps: Steps) -> Ahead:
        falls = self._falls(steps)
        return blend([falls, 1 - falls], [floats(self.base_momentums), floats(self.max_momentums)])

    def _momentum_grip(self) -> Hand:
        if self._momentum is None or not self._momentum.fits():
            self._momentum = Hand(self.optimizer, "betas[0]" if self.use_beta1 else "momentum")
        return self._momentum


def _both(rates: Swap, momenta: Iterator[None]) -> Swap:
    def swap(at: int) -> Any:
        if (written := rates(at)) is not None:
            next(momenta)
        return written

    return swap


class CyclicLR(Cycled, theirs.CyclicLR):  # type: ignore[override]
    """Up from ``base_lr`` to ``max_lr`` and down again, over and over; the momentum moves against it.

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
        verbose: Gone; accepted, so that older code runs.

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

    max_lrs = Given()
    step_sizes = Given()
    mode = Given()
    gamma = Given()
    scale_mode = Given()

    _scale_fn_custom: Callable[[float], float] | None
    _WORKED_OUT = Cycled._WORKED_OUT | {
        "total_size",
        "step_ratio",
        "_scale_fn_ref",
        "_scale_fn_custom",
    }

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
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
        count = len(self._grip().field.groups)
        self._lows = one_a_group("CyclicLR", "base_lr", base_lr, count)
        self.max_lrs = one_a_group("CyclicLR", "max_lr", max_lr, count)
        self.step_sizes = [step_size_up, step_size_up if step_size_down is None else step_size_down]
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = (
            scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        )
        self._wave()
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, is_new=last_epoch == -1)
        super().__init__(optimizer, last_epoch, verbose)

    @property
    def total_size(self) -> float:  # type: ignore[override]
        """Steps of one cycle."""
        return float(sum(self.step_sizes))

    @property
    def step_ratio(self) -> float:  # type: ignore[override]
        """Share of a cycle that goes up."""
        return float(self.step_sizes[0] / self.total_size)

    def scale_fn(self, x: float) -> float:
        """Return the height of cycle ``x``, or of step ``x``, as ``scale_mode`` says."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return self._height()(x - 1 if self.scale_mode == "cycle" else x)

    def _first_rates(self, last_epoch: int) -> list[Any]:
        if last_epoch == -1:
            self._grip().write(floats(self._lows))
        super()._first_rates(last_epoch)
        return self._lows

    def _weights(self, steps: Steps) -> list[Steps]:
        share = self._falls(steps)
        return [share, 1 - share]

    def _points(self) -> list[list[float]]:
        return [floats(self.max_lrs), self._base_floats()]

    def _falls(self, steps: Steps) -> Steps:
        wave, ticks = self._wave()
        share = wave(steps * ticks)
        return share * self._height()(steps) if self.scale_mode == "iterations" else share  # type: ignore[no-any-return]

    def _wave(self) -> Curve:
        ticks, up, down = in_ticks(
            "CyclicLR", step_size_up=self.step_sizes[0], step_size_down=self.step_sizes[1]
        )
        cycle = Triangle(low=0.0, high=1.0, up=up, down=down)
        return cycle.repeat(decay=self._height() if self.scale_mode == "cycle" else 1.0), ticks

    def _height(self) -> Schedule:
        """Return the height of a cycle over its number from 0, or that of a step over its own."""
        custom = self._scale_fn_custom
        if custom is not None:
            return Function(
                call=custom if self.scale_mode == "iterations" else lambda cycle: custom(cycle + 1)
            )
        if self.mode == "triangular":
            return Constant()
        gamma = 0.5 if self.mode == "triangular2" else self.gamma
        return Milestones(gamma=0.0, at=(1,)) if gamma == 0 else ExponentialDecay(gamma=gamma)

    def _short_way(self) -> Swap:
        # nobody's function is asked ahead of its step
        return super()._short_way() if self._scale_fn_custom is None else no_swap

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of ``scale_fn`` only the attributes, if it is an object."""
        custom = self._scale_fn_custom
        kept = (
            None if custom is None or isinstance(custom, types.FunctionType) else dict(vars(custom))
        )
        return {
            **super().state_dict(),
            "_scale_fn_custom": kept,
            "total_size": self.total_size,
            "step_ratio": self.step_ratio,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        if self._scale_fn_custom is not None and state.get("_scale_fn_custom"):
            vars(self._scale_fn_custom).update(state["_scale_fn_custom"])


class OneCycleLR(Cycled, theirs.OneCycleLR):  # type: ignore[override]
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
        verbose: Gone; accepted, so that older code runs.

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

    max_lrs = Given()
    total_steps = Given()
    pct_start = Given()
    three_phase = Given()
    div_factor = Given()
    final_div_factor = Given()
    _anneal_func_type = Given()

    _WORKED_OUT = Cycled._WORKED_OUT | {"_schedule_phases"}

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
        verbose: object = None,
    ) -> None:
        require_optimizer("OneCycleLR", optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
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
        self.pct_start, self.three_phase, self._anneal_func_type = (
            pct_start,
            three_phase,
            anneal_strategy,
        )
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.max_lrs = one_a_group("OneCycleLR", "max_lr", max_lr, len(self._grip().field.groups))
        if last_epoch == -1:
            self._keep_in_the_groups()
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, is_new=last_epoch == -1)
        super().__init__(optimizer, last_epoch, verbose)

    def _keep_in_the_groups(self) -> None:
        field, (first, highest, last) = self._grip().field, self._points()
        field.set_entry("initial_lr", first)
        field.set_entry("max_lr", highest)
        field.set_entry("min_lr", last)

    def _points(self) -> list[list[float]]:
        highest = floats(self.max_lrs)
        first = [rate / self.div_factor for rate in highest]
        return [first, highest, [rate / self.final_div_factor for rate in first]]

    def _weights(self, steps: Steps) -> list[Steps]:
        """Return how much of the first, the highest and the last rate there is."""
        at, legs = self._legs(steps)
        highest, last = self._falls(steps), legs[-1][0](at)
        if len(legs) == 2:
            return [legs[0][1](at), highest, last]
        return [legs[0][1](at) + legs[1][0](at) * legs[2][1](at), highest, last]

    def _falls(self, steps: Steps) -> Steps:
        at, legs = self._legs(steps)
        return legs[0][0](at) * legs[1][1](at)  # type: ignore[no-any-return]

    def _legs(self, steps: Steps) -> tuple[Steps, list[tuple[Schedule, Schedule]]]:
        """Return the steps in ticks, and each leg of the way twice: as it rises to 1, and as it falls to 0."""
        last = self.total_steps - 1
        up = as_fraction(self.pct_start, self.total_steps) * self.total_steps - 1
        seams = (
            [Fraction(0), up, 2 * up, Fraction(last)]
            if self.three_phase
            else [Fraction(0), up, Fraction(last)]
        )
        ticks = math.lcm(*(seam.denominator for seam in seams))
        whole = [int(seam * ticks) for seam in seams]
        whole[-1] = max(
            whole[-1], whole[-2] + 1
        )  # a last leg that begins at the end stays at its beginning
        legs = [(self._leg(a, b, 0.0, 1.0), self._leg(a, b, 1.0, 0.0)) for a, b in pairwise(whole)]
        return np.minimum(steps, last) * ticks, legs

    def _leg(self, begin: int, end: int, start: float, stop: float) -> Schedule:
        kind: type[Cosine | Linear] = Cosine if self._anneal_func_type == "cos" else Linear
        leg = kind(start=start, end=stop, steps=max(end - begin, 0))
        return leg.delay(begin) if begin >= 0 else leg.skip(-begin)


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        return _whole("total_steps", total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ScheduleError(
            "OneCycleLR: how long is it? Give total_steps, or epochs and steps_per_epoch."
        )
    return _whole("epochs", epochs) * _whole("steps_per_epoch", steps_per_epoch)


def _is_share(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def _whole(name: str, count: Any) -> int:
    if not isinstance(count, int) or count <= 0:
        raise ScheduleError(f"OneCycleLR({name}={count!r}): a whole number from 1 on is needed.")
    return count
