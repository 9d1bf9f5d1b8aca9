"""A cosine with warmup and cooldown, in epochs."""

from __future__ import annotations

__all__ = ["CosineLrScheduler"]

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from warmdown.compat import State
from warmdown.compat.schedulers.planned import (
    PlannedScheduler,
    call_by_name,
    require_argument,
    updates,
)
from warmdown.errors import ScheduleError
from warmdown.expressions import TrainerPlaceholderValues
from warmdown.schedules import Chain, Constant, Cosine, Linear, Scale, Schedule

_EPOCHS: Any = TrainerPlaceholderValues.NUM_EPOCHS
# pytorch-accelerated's other number counts an update once for each process that makes it
_UPDATES: Any = TrainerPlaceholderValues.PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH


class CosineLrScheduler(PlannedScheduler):
    """Warmup, half a cosine that reaches its minimum, and a cooldown that holds it.

    The rate rises in equal steps from ``warmup_starting_lr`` to each group's own, follows the
    cosine over all epochs that are neither warmup nor cooldown, and stays at the minimum from there
    on.

    Args:
        optimizer: A torch optimizer, or what wraps one.
        total_num_epochs: Epochs of the whole training, warmup and cooldown included.
        num_update_steps_per_epoch: Optimizer updates in an epoch.
        k_decay: Order of the decay; above 1 the rate stays high for longer.
        lr_min: Lowest rate, the same for every group.
        min_lr_ratio: Lowest rate as a share of each group's own; goes before ``lr_min``.
        num_warmup_epochs: Epochs until the full rate is reached.
        warmup_starting_lr: First rate of the warmup, the same for every group.
        warmup_starting_lr_ratio: First rate as a share of each group's own; goes before
            ``warmup_starting_lr``.
        num_cooldown_epochs: Epochs at the lowest rate.

    Raises:
        ScheduleError: A number is out of range, or warmup and cooldown do not fit into the
            training.

    Example:
        >>> import torch
        >>> from warmdown.compat.schedulers import CosineLrScheduler
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1.0)
        >>> scheduler = CosineLrScheduler(
        ...     optimizer, 10, num_update_steps_per_epoch=10, num_warmup_epochs=2, min_lr_ratio=0.1
        ... )
        >>> [round(scheduler.get_updated_values(step)[0], 6) for step in (0, 10, 20, 60, 100)]
        [1e-06, 0.5, 1.0, 0.55, 0.1]
    """

    _arguments = (
        "total_iterations",
        "lr_min_ratio",
        "lr_min",
        "warmup_iterations",
        "warmup_lr_init",
        "warmup_lr_ratio",
        "k_decay",
        "num_cooldown_iterations",
    )

    def __init__(
        self,
        optimizer: Any,
        total_num_epochs: int,
        num_update_steps_per_epoch: int,
        k_decay: float = 1.0,
        lr_min: float = 1e-6,
        min_lr_ratio: float | None = None,
        num_warmup_epochs: float = 0,
        warmup_starting_lr: float = 1e-6,
        warmup_starting_lr_ratio: float | None = None,
        num_cooldown_epochs: float = 0,
    ) -> None:
        in_epoch = updates(
            "CosineLrScheduler", "num_update_steps_per_epoch", num_update_steps_per_epoch, least=1
        )
        total = updates("CosineLrScheduler", "total_num_epochs", total_num_epochs)
        warmup = updates("CosineLrScheduler", "num_warmup_epochs", num_warmup_epochs)
        cooldown = updates("CosineLrScheduler", "num_cooldown_epochs", num_cooldown_epochs)
        self.total_iterations = round(total * in_epoch)
        self.lr_min_ratio = min_lr_ratio
        self.lr_min = lr_min
        self.warmup_iterations = round(warmup * in_epoch)
        self.warmup_lr_init = warmup_starting_lr
        self.warmup_lr_ratio = warmup_starting_lr_ratio
        self.k_decay = k_decay
        self.num_cooldown_iterations = round(cooldown * in_epoch)
        self._rule = self._make({})  # refuses before the optimizer is touched
        super().__init__(optimizer)
        self._begin()

    @classmethod
    def create_scheduler_fn(
        cls,
        total_num_epochs: int = _EPOCHS,
        num_update_steps_per_epoch: int = _UPDATES,
        k_decay: float = 1.0,
        lr_min: float = 1e-6,
        min_lr_ratio: float | None = None,
        num_warmup_epochs: float = 0,
        warmup_starting_lr: float = 1e-6,
        warmup_starting_lr_ratio: float | None = None,
        num_cooldown_epochs: float = 0,
    ) -> Callable[[Any], Self]:
        """Return a function that makes this scheduler; a trainer fills in what is left open.

        The arguments are those of the class.

        Example:
            >>> import torch
            >>> from warmdown.compat.schedulers import CosineLrScheduler
            >>> make = CosineLrScheduler.create_scheduler_fn(4, 25, num_warmup_epochs=1)
            >>> make(torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1.0)).get_last_lr()
            [1e-06]
        """
        return partial(
            cls,
            total_num_epochs=total_num_epochs,
            num_update_steps_per_epoch=num_update_steps_per_epoch,
            k_decay=k_decay,
            lr_min=lr_min,
            min_lr_ratio=min_lr_ratio,
            num_warmup_epochs=num_warmup_epochs,
            warmup_starting_lr=warmup_starting_lr,
            warmup_starting_lr_ratio=warmup_starting_lr_ratio,
            num_cooldown_epochs=num_cooldown_epochs,
        )

    def _make(self, arguments: State) -> Scale:
        return call_by_name(cosine_rule, {**vars(self), **arguments})


def cosine_rule(
    *,
    total_iterations: int,
    lr_min_ratio: float | None,
    lr_min: float,
    warmup_iterations: int,
    warmup_lr_init: float,
    warmup_lr_ratio: float | None,
    k_decay: float,
    num_cooldown_iterations: int,
) -> Scale:
    """Return :class:`CosineLrScheduler`'s schedule; the names are those of its state."""
    who = "CosineLrScheduler"
    decay = total_iterations - warmup_iterations - num_cooldown_iterations
    require_argument(
        who,
        "total_num_epochs",
        total_iterations,
        total_iterations > 0,
        "at least one update is needed",
    )
    if decay < 0:
        raise ScheduleError(
            f"{who}: {warmup_iterations} updates of warmup and {num_cooldown_iterations} of "
            f"cooldown do not fit into the {total_iterations} of the whole training, which "
            "includes them. Shorten them, or raise total_num_epochs."
        )
    shares = {"min_lr_ratio": lr_min_ratio, "warmup_starting_lr_ratio": warmup_lr_ratio}
    for name, rate in {"lr_min": lr_min, "warmup_starting_lr": warmup_lr_init, **shares}.items():
        require_argument(who, name, rate, rate is None or rate >= 0, "a rate is not negative")
    require_argument(
        who,
        "k_decay",
        k_decay,
        k_decay > 0,
        "the order of the decay is above 0; 1 is the plain cosine",
    )
    low, low_ratio = rate_or_share(lr_min, lr_min_ratio)
    first, first_ratio = rate_or_share(warmup_lr_init, warmup_lr_ratio)
    phases = (warmup_iterations, decay, num_cooldown_iterations, k_decay)
    added = (
        _cosine_phases(first, 0.0, low, *phases) if low or (first and warmup_iterations) else None
    )
    return Scale(_cosine_phases(first_ratio, 1.0, low_ratio, *phases), offset=added)


def rate_or_share(rate: float, share: float | None) -> tuple[float, float]:
    """Return an absolute rate and a share of each group's own: one of them is 0."""
    return (rate, 0.0) if share is None else (0.0, share)


def _cosine_phases(
    first: float, full: float, low: float, warmup: int, decay: int, cooldown: int, k: float
) -> Schedule:
    return Chain.of(
        Linear(start=first, end=full, steps=warmup).named("warmup"),
        Cosine(start=full, end=low, steps=decay, k=k).named("decay"),
        Constant(value=low, steps=cooldown).named("cooldown"),
    )
