"""One pass of a range test: a value before each update, and the loss of the update that really used it."""

from __future__ import annotations

__all__ = ["Sweep"]

import math
from collections.abc import Sequence
from typing import Any

import torch

from warmdown.binding.field import Field
from warmdown.errors import TrainingError

_PATIENCE = 1000
"""Calls without an update after which there will be none."""
_SLOWNESS = 0.9
"""Share of the past in the running mean that tells divergence."""


class Sweep:
    """Writes a value, waits for the update, pairs them with the loss, goes on to the next.

    Args:
        field: What is swept.
        rows: One value for each group, for every update.
        stop_at: The sweep ends when the running mean of the loss lies this many times its own fall
            above its lowest.
    """

    def __init__(self, field: Field, rows: Sequence[Sequence[float]], stop_at: float) -> None:
        self.field, self.rows, self.stop_at = field, rows, stop_at
        self.losses: list[float] = []
        self.ended = ""
        self._pending: list[float] = []
        self._updates = 0
        self._hook = _counted(field.optimizer, self._on_update)
        self._mean = self._first = self._lowest = math.nan
        self._write()

    def observe(self, loss: Any) -> bool:
        """Take the loss of one batch; return whether the sweep goes on."""
        self._pending.append(_number(loss))
        if self._hook is None:
            self._on_update()
        if self._updates > 1:
            raise TrainingError(
                f"find_rate: {self._updates} updates were made in one call. Make one update, or a "
                f"part of one, in each."
            )
        if self._updates == 0:
            if len(self._pending) >= _PATIENCE:
                raise TrainingError(
                    f"find_rate: {_PATIENCE} calls made no update of this optimizer. Let "
                    f"train_step call "
                    "optimizer.step(), and give the optimizer that it steps."
                )
            return math.isfinite(self._pending[-1]) or self._end("the loss was not finite")
        return self._pair()

    def close(self) -> None:
        """Stop watching the optimizer."""
        if self._hook is not None:
            self._hook.remove()

    def _pair(self) -> bool:
        loss = sum(self._pending) / len(self._pending)
        self._pending, self._updates = [], 0
        if not math.isfinite(loss):
            return self._end("the loss was not finite")
        self.losses.append(loss)
        if self._has_diverged(loss):
            return self._end("the loss diverged")
        if len(self.losses) == len(self.rows):
            return self._end("")
        self._write()
        return True

    def _write(self) -> None:
        """Write the next row; a trainer may have made the optimizer's groups anew meanwhile."""
        self._current().write(self.rows[len(self.losses)])

    def _current(self) -> Field:
        """Return the field as the optimizer has it now: a trainer, or another field, may have made its slots anew."""
        self.field = Field(self.field.optimizer, self.field.name)
        return self.field

    def _end(self, why: str) -> bool:
        self.ended = why
        return False

    def _on_update(self, *_: Any) -> None:
        if _is_skipped(self.field.optimizer):
            return
        planned = list(self.rows[len(self.losses)])
        held = self._current().read()
        if not all(
            math.isclose(one, other, rel_tol=1e-5) for one, other in zip(planned, held, strict=True)
        ):
            raise TrainingError(
                f"find_rate: the update used {self.field.name}={held}, where {planned} was to be "
                f"tried: something else "
                "writes it. Leave scheduler.step() out of train_step."
            )
        self._updates += 1

    def _has_diverged(self, loss: float) -> bool:
        if len(self.losses) == 1:
            self._mean = self._first = self._lowest = loss
        self._mean = _SLOWNESS * self._mean + (1 - _SLOWNESS) * loss
        self._lowest = min(self._lowest, self._mean)
        room = max(self._first - self._lowest, abs(self._lowest), 1e-12)
        return len(self.losses) > 5 and self._mean > self._lowest + (self.stop_at - 1) * room


def _counted(optimizer: Any, note: Any) -> Any:
    """Let the optimizer tell of each update before it is made; ``None`` when it can not."""
    return (
        optimizer.register_step_pre_hook(note)
        if hasattr(optimizer, "register_step_pre_hook")
        else None
    )


def _is_skipped(optimizer: Any) -> bool:
    """Whether a fused optimizer is about to leave the update out, as the scaler has told it."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, torch.Tensor) and bool(found)


def _number(loss: Any) -> float:
    try:
        return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
    except (TypeError, ValueError, RuntimeError):
        raise TrainingError(
            f"find_rate: train_step returned {type(loss).__name__}. Return the batch's loss: a "
            f"number, or a tensor "
            "of one element."
        ) from None
