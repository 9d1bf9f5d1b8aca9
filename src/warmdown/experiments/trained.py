"""A range test by a trainer: its own loop, its own batches, its own accumulation and precision."""

from __future__ import annotations

__all__ = ["passes_of_trainer"]

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from warmdown.errors import TrainingError
from warmdown.experiments.sweep import Sweep
from warmdown.training.callbacks.base import CallbackHandler, StopTrainingError, TrainerCallback
from warmdown.training.history import InMemoryRunHistory
from warmdown.training.rng import mixed
from warmdown.training.trainer import Trainer


def passes_of_trainer(
    trainer: Trainer, data: Any, steps: int, training: Mapping[str, Any]
) -> Callable[[Sweep], None]:
    """Return a function that makes one pass of a sweep and leaves the trainer as it was."""
    if data is None:
        raise TrainingError(
            "find_rate(trainer, data=None): give the training data: "
            "find_rate(trainer, data=dataset)."
        )

    passed = count()

    def run(sweep: Sweep) -> None:
        before = dict(vars(trainer))
        if repeat := next(passed):
            trainer.seed = mixed(trainer.seed, repeat)
        trainer.run_history = InMemoryRunHistory()
        trainer.callback_handler = CallbackHandler([_Sweeping(sweep)])
        trainer.checkpoints = None
        trainer.print = _say_nothing  # type: ignore[method-assign]
        try:
            trainer.train(data, 1_000_000, max_num_train_steps=steps, **training)
        finally:
            vars(trainer).clear()
            vars(trainer).update(before)

    return run


def _say_nothing(*words: Any, **how: Any) -> None:
    """Print nothing: a sweep is no training that a person follows."""


class _Sweeping(TrainerCallback):
    """Hands each batch's loss to the sweep, and ends the training when it is through."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep

    def on_train_step_end(
        self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
    ) -> None:
        """Take the loss of a batch."""
        if not self.sweep.observe(batch_output["loss"].detach()):
            raise StopTrainingError("the range test is through")
