"""Warmup, stable, decay: one decay before each checkpoint."""

from __future__ import annotations

__all__ = ["WSDLrScheduler", "estimate_checkpoint_steps"]

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Self, TypeAlias

from warmdown.compat import State
from warmdown.compat.schedulers.planned import (
    PlannedScheduler,
    call_by_name,
    require_argument,
    updates,
)
from warmdown.errors import ScheduleError
from warmdown.expressions import TrainerPlaceholderValues
from warmdown.schedules import Chain, Constant, InverseProportional, Linear, Scale, Schedule, Sqrt

_EPOCHS: Any = TrainerPlaceholderValues.NUM_EPOCHS
_UPDATES: Any = TrainerPlaceholderValues.PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH

_KEPT_BY_CONTINUATION = (
    "decay_phase_ratio",
    "lr_min",
    "use_inverse_sqrt_decay",
    "num_checkpoints",
)
"""The arguments that shape a continuation."""

Period: TypeAlias = dict[str, int]
"""What :meth:`WSDLrScheduler.get_phase_info` returns."""


class WSDLrScheduler(PlannedScheduler):
    """Warmup, then for each checkpoint a stable phase and a decay that ends at it.

    The checkpoints halve the run: of four, they lie at an eighth, a quarter, the half and the
    whole.

    A continuation starts a fresh stable phase of its own length, without warmup, from the state of
    another run that was saved before or after its decay; ``load_state_dict`` takes that run's base
    rates. To go on with an interrupted continuation itself, make the scheduler with
    ``is_continuation_from_checkpoint=False`` and load its state.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        num_epochs: Epochs of the training; with ``num_update_steps_per_epoch`` instead of
            ``total_steps``.
        num_update_steps_per_epoch: Optimizer updates in an epoch.
        total_steps: Optimizer updates in the training.
        num_warmup_steps: Updates of the warmup; ``None`` is a tenth of the training, at most up to
            the first decay.
        decay_phase_ratio: Share of each period that decays, 0 to 1.
        lr_min: Lowest rate as a share of each group's own, 0 to 1: 0.1 is a tenth.
        warmup_starting_lr: First rate of the warmup, the same for every group.
        use_inverse_sqrt_decay: Decay as 1-sqrt; else along the straight line of the reciprocal.
        num_checkpoints: Number of checkpoints, at least 1.
        is_continuation_from_checkpoint: Whether the state that is loaded is another run's, to go on
            from.

    Raises:
        ScheduleError: A number is out of range, or the phases do not fit into the training.

    Example:
        >>> import torch
        >>> from warmdown.compat.schedulers import WSDLrScheduler
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1.0)
        >>> scheduler = WSDLrScheduler(
        ...     optimizer, total_steps=1000, num_warmup_steps=50, lr_min=0.1, num_checkpoints=2
        ... )
        >>> scheduler.get_checkpoint_steps()
        [500, 1000]
        >>> [round(scheduler.get_updated_values(step)[0], 6) for step in (0, 50, 499, 500, 1000)]
        [1e-06, 1.0, 0.109045, 1.0, 0.1]

    Reference: Wen et al. 2024, https://arxiv.org/abs/2410.05192.
    """

    _arguments = (
        "total_steps",
        "num_warmup_steps",
        "decay_phase_ratio",
        "lr_min",
        "warmup_starting_lr",
        "use_inverse_sqrt_decay",
        "num_checkpoints",
        "is_continuation_from_checkpoint",
        "base_lr_values",
    )

    def __init__(
        self,
        optimizer: Any,
        num_epochs: int | None = None,
        num_update_steps_per_epoch: int | None = None,
        total_steps: int | None = None,
        num_warmup_steps: int | None = 0,
        decay_phase_ratio: float = 0.1,
        lr_min: float = 1e-6,
        warmup_starting_lr: float = 1e-6,
        use_inverse_sqrt_decay: bool = True,
        num_checkpoints: int = 1,
        is_continuation_from_checkpoint: bool = False,
    ) -> None:
        self.total_steps = _total_steps(num_epochs, num_update_steps_per_epoch, total_steps)
        self.decay_phase_ratio = decay_phase_ratio
        self.lr_min = lr_min
        self.warmup_starting_lr = warmup_starting_lr
        self.use_inverse_sqrt_decay = use_inverse_sqrt_decay
        self.num_checkpoints = num_checkpoints
        self.is_continuation_from_checkpoint = is_continuation_from_checkpoint
        self.num_warmup_steps = _warmup(
            num_warmup_steps, self.total_steps, num_checkpoints, decay_phase_ratio
        )
        self._rule = self._make({})  # refuses before the optimizer is touched
        super().__init__(optimizer)
        self._require_a_rising_warmup()
        self._begin()

    @classmethod
    def create_scheduler_fn(
        cls,
        total_num_epochs: int = _EPOCHS,
        num_update_steps_per_epoch: int = _UPDATES,
        num_warmup_epochs: float | None = None,
        decay_phase_ratio: float = 0.1,
        lr_min: float = 1e-6,
        warmup_starting_lr: float = 1e-6,
        use_inverse_sqrt_decay: bool = True,
        num_checkpoints: int = 1,
        is_continuation_from_checkpoint: bool = False,
    ) -> Callable[[Any], Self]:
        """Return a function that makes this scheduler; a trainer fills in what is left open.

        Args:
            total_num_epochs: Epochs of the training.
            num_update_steps_per_epoch: Optimizer updates in an epoch.
            num_warmup_epochs: Epochs of the warmup; ``None`` is a tenth of the training.
            decay_phase_ratio: As in the class.
            lr_min: As in the class.
            warmup_starting_lr: As in the class.
            use_inverse_sqrt_decay: As in the class.
            num_checkpoints: As in the class.
            is_continuation_from_checkpoint: As in the class.

        Example:
            >>> import torch
            >>> from warmdown.compat.schedulers import WSDLrScheduler
            >>> make = WSDLrScheduler.create_scheduler_fn(4, 25)
            >>> make(torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1.0)).num_warmup_steps
            10
        """
        warmup: Any = (
            None if num_warmup_epochs is None else num_update_steps_per_epoch * num_warmup_epochs
        )
        return partial(
            cls,
            num_epochs=total_num_epochs,
            num_update_steps_per_epoch=num_update_steps_per_epoch,
            num_warmup_steps=warmup,
            decay_phase_ratio=decay_phase_ratio,
            lr_min=lr_min,
            warmup_starting_lr=warmup_starting_lr,
            use_inverse_sqrt_decay=use_inverse_sqrt_decay,
            num_checkpoints=num_checkpoints,
            is_continuation_from_checkpoint=is_continuation_from_checkpoint,
        )

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps at which a decay ends."""
        return estimate_checkpoint_steps(self.total_steps, self.num_checkpoints)

    def get_checkpoint_steps(self) -> list[int]:
        """Return the steps at which a decay ends."""
        return self.checkpoint_steps

    def get_decay_info(self) -> list[Period]:
        """Return ``period_start``, ``period_end``, ``decay_steps``, ``pre_decay_step`` of each."""
        return _periods(self.checkpoint_steps, self.decay_phase_ratio)

    def get_phase_info(self, num_updates: int) -> Period:
        """Return the period of ``num_updates``, its end included, as :meth:`get_decay_info`."""
        periods = self.get_decay_info()
        return next(
            (period for period in periods if num_updates <= period["period_end"]), periods[-1]
        )

    def get_current_phase_info(self) -> Period:
        """Return the period that the training is in."""
        return self.get_phase_info(self.get_current_step())

    def get_current_step(self) -> int:
        """Return the number of optimizer updates completed."""
        return self._num_updates + 1

    def load_state_dict(self, state_dict: State) -> None:
        """Resume what was saved; or, as a continuation, begin with the base rates that were saved.

        A warning names what pytorch-accelerated's continuation would do otherwise.

        Raises:
            StateError: It is no state of such a scheduler; nothing has changed then.
        """
        if not self.is_continuation_from_checkpoint:
            super().load_state_dict(state_dict)
            return
        self._require_state(state_dict, ("base_lr_values",))
        bases = list(state_dict["base_lr_values"])
        is_alike = len(bases) == len(self.base_lr_values)
        self._warn_of_continuing(state_dict)
        self._resume({"base_lr_values": bases if is_alike else self.base_lr_values}, -1)

    def _warn_of_continuing(self, state: State) -> None:
        warmup = state.get("num_warmup_steps") or 0
        saved = {name: state[name] for name in _KEPT_BY_CONTINUATION if name in state}
        differing = {name: value for name, value in saved.items() if value != getattr(self, name)}
        theirs = [f"warms up again for {warmup} updates"] if warmup else []
        if differing:
            texts = (f"{name}={value!r}" for name, value in differing.items())
            theirs.append(f"takes {', '.join(texts)} from the state")
        if theirs:
            own = "".join(f", {name}={getattr(self, name)!r}" for name in differing)
            warnings.warn(
                f"WSDLrScheduler.load_state_dict: the continuation is a stable phase and a decay "
                f"in {self.total_steps} updates, without a warmup{own}. pytorch-accelerated's "
                f"{' and '.join(theirs)}.",
                UserWarning,
                stacklevel=3,
            )

    def _make(self, arguments: State) -> Scale:
        return call_by_name(wsd_rule, {**vars(self), **arguments})

    def _require_a_rising_warmup(self) -> None:
        highest = max(self.base_lr_values, default=self.warmup_starting_lr)
        if (
            self.num_warmup_steps
            and not self.is_continuation_from_checkpoint
            and self.warmup_starting_lr > highest
        ):
            raise ScheduleError(
                f"WSDLrScheduler(warmup_starting_lr={self.warmup_starting_lr}): a warmup rises, "
                f"and the highest rate "
                f"of the optimizer is {highest}. Start below it."
            )


def estimate_checkpoint_steps(total_steps: int, num_checkpoints: int = 3) -> list[int]:
    """Return the steps of checkpoints that halve the run: each lies at half of the next.

    Args:
        total_steps: Updates in the run.
        num_checkpoints: How many, at least 1.

    Raises:
        ScheduleError: The run is too short for so many.

    Example:
        >>> from warmdown.compat.schedulers import estimate_checkpoint_steps
        >>> estimate_checkpoint_steps(200_000, 4)
        [25000, 50000, 100000, 200000]
    """
    total = round(updates("estimate_checkpoint_steps", "total_steps", total_steps, least=1))
    count = round(updates("estimate_checkpoint_steps", "num_checkpoints", num_checkpoints, least=1))
    if total.bit_length() < count:
        raise ScheduleError(
            f"estimate_checkpoint_steps(total_steps={total}, num_checkpoints={count}): so many "
            f"halvings need "
            f"{2 ** min(count - 1, 63)} steps. Ask for {total.bit_length()} checkpoints at most."
        )
    return [total >> halvings for halvings in reversed(range(count))]


def wsd_rule(
    *,
    total_steps: int,
    num_warmup_steps: int,
    decay_phase_ratio: float,
    lr_min: float,
    warmup_starting_lr: float,
    use_inverse_sqrt_decay: bool,
    num_checkpoints: int,
    is_continuation_from_checkpoint: bool,
    checkpoints: Sequence[int] = (),
) -> Scale:
    """Return :class:`WSDLrScheduler`'s schedule; the names are those of its state.

    It is a warmup, and then a stable phase and a decay before each of the checkpoints: those given,
    or those that halve the run.
    """
    who = "WSDLrScheduler"
    require_argument(
        who,
        "decay_phase_ratio",
        decay_phase_ratio,
        0 <= decay_phase_ratio <= 1,
        "a share from 0 to 1 is needed",
    )
    require_argument(
        who,
        "lr_min",
        lr_min,
        0 <= lr_min <= 1,
        "a share of the base rate is needed, 0.1 for a tenth of it",
    )
    require_argument(
        who,
        "warmup_starting_lr",
        warmup_starting_lr,
        warmup_starting_lr >= 0,
        "a rate is not negative",
    )
    warmup = 0 if is_continuation_from_checkpoint else num_warmup_steps
    checkpoints = checkpoints or estimate_checkpoint_steps(total_steps, num_checkpoints)
    periods = _periods(checkpoints, decay_phase_ratio)
    first_decay = periods[0]["pre_decay_step"]
    if warmup > first_decay:
        raise ScheduleError(
            f"{who}(num_warmup_steps={warmup}): the first decay begins at step {first_decay}. "
            "Shorten the warmup, ask for fewer checkpoints, or lower decay_phase_ratio."
        )
    phases: list[Schedule] = [Linear(start=0.0, end=1.0, steps=warmup).named("warmup")]
    for period in periods:
        begun = period["period_start"] or warmup
        phases.append(Constant(value=1.0, steps=period["pre_decay_step"] - begun).named("stable"))
        phases.extend(_decay(period["decay_steps"], lr_min, use_inverse_sqrt_decay))
    added = (
        Linear(start=warmup_starting_lr, end=0.0, steps=warmup)
        if warmup and warmup_starting_lr
        else None
    )
    return Scale(Chain(members=tuple(phases)), offset=added)


def _decay(steps: int, end: float, use_inverse_sqrt_decay: bool) -> list[Schedule]:
    if steps == 0:
        return []
    if use_inverse_sqrt_decay:
        return [Sqrt(start=1.0, end=end, steps=steps).named("decay")]
    if end > 0:
        return [InverseProportional(start=1.0, end=end, steps=steps).named("decay")]
    # the limit of that curve: a reciprocal that is to end without bound is so at once
    return [(Constant(value=1.0, steps=1) >> Constant(value=0.0, steps=steps - 1)).named("decay")]


def _periods(checkpoints: Sequence[int], ratio: float) -> list[Period]:
    periods = []
    for start, end in pairwise([0, *checkpoints]):
        decay = int((end - start) * ratio)
        periods.append(
            {
                "period_start": start,
                "period_end": end,
                "decay_steps": decay,
                "pre_decay_step": end - decay,
            }
        )
    return periods


def _total_steps(num_epochs: Any, in_epoch: Any, total_steps: Any) -> int:
    who = "WSDLrScheduler"
    by_epochs = num_epochs is not None and in_epoch is not None
    if by_epochs == (total_steps is not None):
        raise ScheduleError(
            f"{who}(num_epochs={num_epochs!r}, num_update_steps_per_epoch={in_epoch!r}, "
            f"total_steps={total_steps!r}): "
            "give either total_steps, or num_epochs and num_update_steps_per_epoch."
        )
    if not by_epochs:
        return round(updates(who, "total_steps", total_steps, least=1))
    epochs = updates(who, "num_epochs", num_epochs)
    total = round(epochs * updates(who, "num_update_steps_per_epoch", in_epoch, least=1))
    require_argument(who, "num_epochs", num_epochs, total >= 1, "at least one update is needed")
    return total


def _warmup(given: Any, total: int, num_checkpoints: int, ratio: float) -> int:
    if given is not None:
        return round(updates("WSDLrScheduler", "num_warmup_steps", given))
    first = _periods(estimate_checkpoint_steps(total, num_checkpoints), ratio)[0]
    wanted, most = total // 10, max(first["pre_decay_step"], 0)
    if wanted > most:
        warnings.warn(
            f"WSDLrScheduler(num_warmup_steps=None): a tenth of the training is {wanted} updates, "
            f"and the first decay begins at {most}, where the warmup ends. pytorch-accelerated's "
            "goes on into the decay, and drops. Give num_warmup_steps.",
            UserWarning,
            stacklevel=4,
        )
    return min(wanted, most)
