"""One pass of a range test: a value before each update, and the loss of the update that used it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

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
_NOT_FINITE = "the loss was not finite"


class Sweep:
    """Writes a value, waits for the update, pairs it with the loss, goes on to the next value.

    Args:
        field: What is swept.
        rows: One value for each group, for every update.
        stop_at: The sweep ends when the running mean of the loss lies this many times its own fall
            above its lowest.
    """

    def __init__(self, field: Field, rows: Sequence[Sequence[float]], stop_at: float) -> None:
        self.rows, self.stop_at = rows, stop_at
        self.losses: list[float] = []
        self.ended = ""
        self._optimizer, self._name = field.optimizer, field.name
        self._pending: list[float] = []
        self._updates = 0
        self._mean = self._first = self._lowest = math.nan
        # some optimizers of other libraries have no hooks: then each call counts as an update
        register = getattr(self._optimizer, "register_step_pre_hook", None)
        self._hook = register(self._count_update) if register else None
        self._write()

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
        if self._updates == 1:
            return self._next()
        if len(self._pending) >= _MOST_CALLS:
            raise TrainingError(
                f"find_rate: {_MOST_CALLS} calls made no update of this optimizer. Let train_step "
                "call optimizer.step(), and give the optimizer that it steps."
            )
        return math.isfinite(self._pending[-1]) or self._end(_NOT_FINITE)

    def close(self) -> None:
        """Remove the hook from the optimizer."""
        if self._hook is not None:
            self._hook.remove()

    def _next(self) -> bool:
        loss = sum(self._pending) / len(self._pending)
        self._pending, self._updates = [], 0
        if not math.isfinite(loss):
            return self._end(_NOT_FINITE)
        self.losses.append(loss)
        if self._has_diverged(loss):
            return self._end("the loss diverged")
        if len(self.losses) == len(self.rows):
            return self._end("")
        self._write()
        return True

    def _write(self) -> None:
        self._current_field().write(self.rows[len(self.losses)])

    def _current_field(self) -> Field:
        """Return the field as it is now: a trainer may have replaced the optimizer's groups."""
        return Field(self._optimizer, self._name)

    def _end(self, why: str) -> bool:
        self.ended = why
        return False

    def _count_update(self, *_: Any) -> None:
        found_inf = getattr(self._optimizer, "found_inf", None)
        if isinstance(found_inf, torch.Tensor) and found_inf:
            return  # a fused optimizer leaves this update out, as the scaler asks it to
        planned = list(self.rows[len(self.losses)])
        current = self._current_field().read()
        if not all(map(_is_close, planned, current)):
            raise TrainingError(
                f"find_rate: the update used {self._name}={current}, where {planned} was to be "
                "tried: something else writes it. Leave scheduler.step() out of train_step."
            )
        self._updates += 1

    def _has_diverged(self, loss: float) -> bool:
        if len(self.losses) == 1:
            self._mean = self._first = self._lowest = loss
        self._mean = _KEPT_SHARE * self._mean + (1 - _KEPT_SHARE) * loss
        self._lowest = min(self._lowest, self._mean)
        fall = max(
            self._first - self._lowest,
            abs(self._lowest),
            1e-12,
        )
        is_high = self._mean > self._lowest + (self.stop_at - 1) * fall
        return is_high and len(self.losses) > _EARLIEST_END


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


def _is_close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-5)


def _as_float(loss: Any) -> float:
    try:
        return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
    except (TypeError, ValueError, RuntimeError):
        raise TrainingError(
            f"find_rate: train_step returned {type(loss).__name__}. Return the batch's loss: a "
            "number, or a tensor of one element."
        ) from None
