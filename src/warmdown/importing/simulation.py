"""A copy of somebody's scheduler on a small optimizer of its own, to be asked without touching the original."""

from __future__ import annotations

__all__ = ["MAX_WALK", "SchedulerCopy"]

import copy
import warnings
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from warmdown.binding import Field
from warmdown.binding.field import proxy_optimizer, unwrap
from warmdown.errors import BindingError, ScheduleError
from warmdown.importing.imported import NotImportable

MAX_WALK = 1_000_000
"""A foreign class knows no step but the next one; so many are walked, no more."""
_DRIVEN = {
    "lr": "lr",
    "betas[0]": "momentum",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
}
"""What a scheduler may move, and the target that it is for us."""


class SchedulerCopy:
    """A copy of a scheduler at its beginning, on an optimizer whose groups hold the original's numbers.

    Args:
        scheduler: The original; it is left alone.

    Raises:
        NotImportable: It cannot be copied.
    """

    def __init__(self, scheduler: Any) -> None:
        original = scheduler.optimizer
        self.optimizer = proxy_optimizer(original)
        self.bases = self.held("initial_lr") or self.held("lr") or []
        memo = {id(original): self.optimizer, id(unwrap(original)): self.optimizer}
        try:
            self.scheduler = copy.deepcopy(scheduler, memo)
        except Exception as error:  # whatever somebody's class holds
            raise NotImportable(f"{type(scheduler).__name__} cannot be copied: {error}") from error

    def held(self, name: str) -> list[float] | None:
        """Return what every group holds under ``name``, or ``None`` when some group lacks it."""
        try:
            return Field(self.optimizer, name).read()
        except BindingError:
            return None

    def walk(self, steps: int) -> dict[str, list[list[float]]]:
        """Return what updates 0 to ``steps`` use, for the rate and for whatever else moves.

        Raises:
            NotImportable: The original has been stepped, and only its class could bring it back.
            ScheduleError: There are too many steps, or the scheduler itself fails.
        """
        if steps > MAX_WALK:
            raise ScheduleError(
                f"from_torch: {steps} steps are too many to walk. Give total_steps "
                f"up to {MAX_WALK}."
            )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what the class says of its use concerns a training loop
            self._to_the_beginning()
            return self._walked(steps)

    def _walked(self, steps: int) -> dict[str, list[list[float]]]:
        fields = {
            name: Field(self.optimizer, name) for name in _DRIVEN if self.held(name) is not None
        }
        seen = {name: [field.read()] for name, field in fields.items()}
        self.optimizer.step()
        try:
            for step in range(1, steps + 1):
                _advance(self.scheduler, step)
                for name, field in fields.items():
                    seen[name].append(field.read())
        except Exception as error:  # whatever somebody's class raises
            who, done = type(self.scheduler).__name__, len(seen["lr"])
            raise ScheduleError(
                f"from_torch: {who} fails at step {done}: {error}. Give total_steps={done - 1}."
            ) from error
        moving = {
            name: rows
            for name, rows in seen.items()
            if name == "lr" or any(row != rows[0] for row in rows)
        }
        return {_DRIVEN[name]: rows for name, rows in moving.items()}

    def _to_the_beginning(self) -> None:
        """Set the copy back to update 0, and let it write what it writes first."""
        who = type(self.scheduler).__name__
        stepped = (
            getattr(self.scheduler, "last_epoch", 0) > 0
            or getattr(self.scheduler, "_num_updates", -1) > -1
        )
        if not stepped:
            return
        if not isinstance(self.scheduler, LRScheduler) or hasattr(self.scheduler, "_num_updates"):
            raise NotImportable(
                f"{who} has been stepped, and only it knows what that changed. Make it afresh"
            )
        Field(self.optimizer, "lr").write(self.bases)
        _rewound(self.scheduler)[0]._initial_step()


def _advance(scheduler: Any, step: int) -> None:
    """Make one step, as the class wants to be called: timm's are told the number of it."""
    if hasattr(scheduler, "t_in_epochs"):
        (scheduler.step if scheduler.t_in_epochs else scheduler.step_update)(step)
    else:
        scheduler.step()


def _rewound(scheduler: Any) -> list[Any]:
    """Set a scheduler of torch, and those in it, to before their first step; return those without others in them."""
    scheduler._step_count = 0
    parts = getattr(scheduler, "_schedulers", None)
    scheduler.last_epoch = -1 if parts is None else 0
    return [scheduler] if parts is None else [leaf for part in parts for leaf in _rewound(part)]
