"""One pass of a range test: a value before each update, and the loss of the update that used it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, count
from typing import Any

import numpy as np
import torch

from warmdown.binding.field import Field
from warmdown.errors import TrainingError
from warmdown.training.callback import CallbackHandler, StopTrainingError, TrainerCallback
from warmdown.training.history import InMemoryRunHistory
from warmdown.training.rng import derive_seed
from warmdown.training.trainer import Trainer

_MOST_CALLS = 1000
"""Calls without an update after which there will be none."""
_KEPT_SHARE = 0.9
"""Share of the past in the running mean that shows divergence."""
_EARLIEST_END = 5
"""Updates before a loss can count as diverged: the running mean needs some."""


class Sweep:
    """Writes a value, waits for the update, pairs it with the loss, goes on to the next value.

    Args:
        field: What is swept.
        rows: One value for each group, for every update.
        stop_at: The sweep ends when the running mean of the loss lies this many times its own fall
            above its lowest.
    """

    def __init__(self, field: Field, rows: Sequence[Sequence[float]], stop_at: float) -> None:
        self.losses: list[float] = []
        self.ended = ""
        self._rows, self._stop_at = rows, stop_at
        self._optimizer, self._name = field.optimizer, field.name
        self._pending: list[float] = []
        self._updates = 0
        # some optimizers of other libraries have no hooks: then each call counts as an update
        register = getattr(self._optimizer, "register_step_pre_hook", None)
        self._hook = register(self._count_update) if register else None
        self._current_field().write(rows[0])

    def observe(self, loss: Any) -> bool:
        """Take the loss of one batch; return whether the sweep goes on."""
        self._pending.append(_as_float(loss))
        if self._hook is None:
            self._count_update()
        if self._updates > 1:
            raise TrainingError(
                f"find_rate: {self._updates} updates were made in one call. Make one update, or a "
                "part of one, in each."
            )
        if not self._updates and len(self._pending) >= _MOST_CALLS:
            raise TrainingError(
                f"find_rate: {_MOST_CALLS} calls made no update of this optimizer. Let train_step "
                "call optimizer.step(), and give the optimizer that it steps."
            )
        if not math.isfinite(self._pending[-1]):
            self.ended = "the loss was not finite"
        elif self._updates:
            self.losses.append(sum(self._pending) / len(self._pending))
            self._pending, self._updates = [], 0
            if self._has_diverged():
                self.ended = "the loss diverged"
            elif len(self.losses) < len(self._rows):
                self._current_field().write(self._rows[len(self.losses)])
        return not self.ended and len(self.losses) < len(self._rows)

    def close(self) -> None:
        """Remove the hook from the optimizer."""
        if self._hook is not None:
            self._hook.remove()

    def _current_field(self) -> Field:
        """Return the field as it is now: a trainer may have replaced the optimizer's groups."""
        return Field(self._optimizer, self._name)

    def _count_update(self, *_: Any) -> None:
        found_inf = getattr(self._optimizer, "found_inf", None)
        if isinstance(found_inf, torch.Tensor) and found_inf:
            return  # a fused optimizer leaves this update out, as the scaler asks it to
        planned = list(self._rows[len(self.losses)])
        current = self._current_field().read()
        if not np.allclose(current, planned, rtol=1e-5, atol=0):
            raise TrainingError(
                f"find_rate: the update used {self._name}={current}, where {planned} was to be "
                "tried: something else writes it. Leave scheduler.step() out of train_step."
            )
        self._updates += 1

    def _has_diverged(self) -> bool:
        means = list(accumulate(self.losses, _running_mean))
        lowest = min(means)
        fall = max(self.losses[0] - lowest, abs(lowest), 1e-12)
        is_high = means[-1] > lowest + (self._stop_at - 1) * fall
        return is_high and len(means) > _EARLIEST_END


def _running_mean(mean: float, loss: float) -> float:
    return _KEPT_SHARE * mean + (1 - _KEPT_SHARE) * loss


def trainer_sweep(
    trainer: Trainer, data: Any, steps: int, training: Mapping[str, Any]
) -> Callable[[Sweep], None]:
    """Return a function that makes one pass of a sweep and leaves the trainer as it was.

    The trainer's own loop, batches, accumulation and precision are used.
    """
    if data is None:
        raise TrainingError(
            "find_rate(trainer, data=None): give the training data: "
            "find_rate(trainer, data=dataset)."
        )
    passes = count()

    def run(sweep: Sweep) -> None:
        before = dict(vars(trainer))
        if repeat := next(passes):
            trainer.seed = derive_seed(trainer.seed, repeat)
        trainer.run_history = InMemoryRunHistory()
        trainer.callback_handler = CallbackHandler([_SweepCallback(sweep)])
        trainer.checkpoints = None
        # a sweep is no training that a person follows
        trainer.print = lambda *words, **options: None  # type: ignore[method-assign]
        try:
            trainer.train(data, 1_000_000, max_num_train_steps=steps, **training)
        finally:
            # also what training has added to the trainer
            vars(trainer).clear()
            vars(trainer).update(before)

    return run


class _SweepCallback(TrainerCallback):
    """Gives each batch's loss to the sweep, and ends the training with it."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def on_train_step_end(
        self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
    ) -> None:
        """Take the loss of a batch."""
        if not self._sweep.observe(batch_output["loss"].detach()):
            raise StopTrainingError("the range test is through")


def _as_float(loss: Any) -> float:
    try:
        return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
    except (TypeError, ValueError, RuntimeError):
        raise TrainingError(
            f"find_rate: train_step returned {type(loss).__name__}. Return the batch's loss: a "
            "number, or a tensor of one element."
        ) from None
