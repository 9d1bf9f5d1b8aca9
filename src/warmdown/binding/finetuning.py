"""Parameter groups that Lightning's finetuning callbacks add: their rate is the present one."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from warmdown.binding.field import unwrap

_FILES_OF_A_TRAINER = {"lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer"}


def is_unfrozen_by_lightning(optimizer: Any, index: int) -> bool:
    """Tell whether a ``BaseFinetuning`` callback of the running trainer has added a group.

    It gives the group a tenth of what the first group holds at that time, or another present rate.
    The trainer is found among the callers, and the callback keeps the groups that it has seen.

    Args:
        optimizer: A torch optimizer.
        index: The group's index in it.
    """
    trainer = _calling_trainer()
    for callback in getattr(trainer, "callbacks", ()):
        if hasattr(callback, "unfreeze_and_add_param_group"):
            seen = callback.state_dict().get("internal_optimizer_metadata", {})
            for place, one in enumerate(trainer.optimizers):
                if unwrap(one) is optimizer and index < len(seen.get(place, ())):
                    return True
    return False


def _calling_trainer() -> Any:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if any(base.__module__ in _FILES_OF_A_TRAINER for base in type(owner).__mro__):
            return owner
        frame = frame.f_back
    return None
