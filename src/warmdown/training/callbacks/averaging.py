"""Other weights than the model's own, evaluated beside them: averages, merged checkpoints."""

from __future__ import annotations

__all__ = ["AveragedWeightsCallback", "MergedWeightsCallback"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from warmdown.binding import Attribute, Scheduler
from warmdown.errors import ScheduleError, TrainingError
from warmdown.run import Duration, Run
from warmdown.schedules import Schedule
from warmdown.training.averaging import AveragedWeights, AverageRule
from warmdown.training.callback import OutputCallback, TrainerCallback
from warmdown.training.checkpoint import Checkpoints, damage_of
from warmdown.training.merging import (
    WEIGHTS_FILE,
    checkpoints_in,
    curve_to_merge,
    merge_weights,
)
from warmdown.training.run_state import RunState
from warmdown.training.state import is_sharded, load_weights, model_state
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data, FilePath
from warmdown.training.weights import Weights, read_weights, write_portable

_TARGET = "ema_decay"
"""What a plan calls the decay of an average."""
_LONG_RUN = 10**9
"""Updates of a run in which every decay has a place."""


class AveragedWeightsCallback(OutputCallback):
    """Keeps an average of the weights, evaluates it beside them, and saves it in checkpoints.

    Without a rule the plan drives it, by a target ``ema_decay``.
    See :class:`~warmdown.AveragedWeights`.

    Args:
        decay: How slowly it follows, in [0, 1).
        half_life: Updates, or a share of those made so far.
        tail: Last part of the run that is averaged evenly.
        name: What stands before the names of its metrics; by default ``ema_0.999``,
            ``half_life_5pct``, ``tail_25pct``, or ``ema`` where the plan drives it.
        save_path: Where its weights are written at the end, or ``None``.

    Attributes:
        average: The :class:`~warmdown.AveragedWeights` of the run, once it has started.

    Example:
        >>> from warmdown.training import AveragedWeightsCallback
        >>> AveragedWeightsCallback(half_life="5%").name
        'half_life_5pct'
    """

    def __init__(
        self,
        decay: float | None = None,
        half_life: Duration | None = None,
        tail: Duration | None = None,
        name: str | None = None,
        save_path: FilePath | None = None,
    ) -> None:
        self._is_planned = decay is None and half_life is None and tail is None
        rule = AverageRule(0.0 if self._is_planned else decay, half_life, tail)
        self.decay = decay or 0.0
        self.half_life, self.tail = half_life, tail
        self.name = name or ("ema" if self._is_planned else rule.label)
        self.path = None if save_path is None else Path(save_path)
        self.average: AveragedWeights | None = None
        self._run: RunState | None = None
        self._waiting: Data | None = None

    @classmethod
    def of(cls, text: str, folder: Path | None = None) -> AveragedWeightsCallback:
        """Return the average that a text means: ``0.999``, ``half-life 5%`` or ``tail 25%``.

        Args:
            text: The rule; half-lives and tails have the units of durations.
            folder: Where its weights are written at the end, or ``None``.

        Raises:
            TrainingError: It is none of them.
        """
        word, _, length = text.strip().rpartition(" ")
        rule: dict[str, Any] = {}
        if word in ("half-life", "tail"):
            rule[word.replace("-", "_")] = int(length) if length.isdecimal() else length
        elif not word:
            with suppress(ValueError):
                rule["decay"] = float(length)
        if not rule:
            raise TrainingError(
                f"average({text!r}): no such rule. Give 0.999, 'half-life 5%' (of the updates made "
                f"so far), 'half-life 500' or 'tail 25%'."
            )
        average = cls(**rule)
        if folder is not None:
            average.path = folder / f"{average.name}.safetensors"
        return average

    def targets(self) -> dict[str, Any]:
        """Return the decay, where there is no other rule."""
        return {_TARGET: Attribute(self, "decay")} if self._is_planned else {}

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin with the weights as they are, or with the average of the checkpoint."""
        if self._is_planned and not is_planned(trainer.scheduler):
            raise TrainingError(
                "AveragedWeightsCallback(): it has no rule, and the plan has no target "
                "'ema_decay'. Give decay=, half_life= or tail=, or a plan with "
                "ema_decay: {set: {kind: constant, value: 0.999}}."
            )
        require_whole_weights(trainer, self)
        alike = (type(self), self.name)
        if (
            sum(
                (type(one), getattr(one, "name", None)) == alike for one in trainer.callback_handler
            )
            > 1
        ):
            raise TrainingError(
                f"AveragedWeightsCallback(name={self.name!r}): two averages have this name. Give "
                f"each its own name=."
            )
        if self._waiting is None and self._run is trainer.run_state:  # it is made longer
            self._waiting = self.state_dict()
        self._run = trainer.run_state
        is_by_decay = self.half_life is None and self.tail is None
        self.average = AveragedWeights(
            trainer.get_model(keep_torch_compile=False),
            decay=self.decay if is_by_decay else None,
            half_life=self.half_life,
            tail=self.tail,
            run=Run(
                total_steps=trainer.run_config.total_updates,
                steps_per_epoch=trainer.run_config.num_update_steps_per_epoch,
            ),
        )
        if self._waiting is not None:
            self.average.load_state_dict(self._waiting)
            self._waiting = None

    def on_train_step_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Read the decay of the update; after it, the plan has moved on."""
        if self._is_planned and self.average is not None:
            self.average.decay = self.decay

    def on_train_update_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Follow the weights."""
        if self.average is not None:
            self.average.update()

    def on_eval_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """Evaluate the average too."""
        # its own evaluation comes by here, too: with a prefix
        if trainer.run_history.metric_name_prefix or self.average is None:
            return
        if self.average.has_begun:
            with self.average.applied():
                evaluate_as(trainer, self.name, **kwargs)

    def on_training_run_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write the average."""
        if self.path is not None and self.average is not None and trainer.is_main:
            write_portable(self.path, {"model_state_dict": self.average.weights()})

    def state_dict(self) -> Data:
        """Return the average."""
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: Data) -> None:
        """Go on from an average; it is put in place when the run starts."""
        self._waiting = state or None


def is_planned(scheduler: Any) -> bool:
    """Return whether a plan drives the decay of an average."""
    targets = scheduler.plan.targets if isinstance(scheduler, Scheduler) else ()
    return any(target.name == _TARGET for target in targets)


class MergedWeightsCallback(TrainerCallback):
    """Measures what the trunk would be worth if it were cooled now, while it goes on.

    With each evaluation the run's checkpoints and the present weights are merged as
    :func:`~warmdown.merge_checkpoints` does, and evaluated as ``merged_eval_loss_epoch``;
    ``merged_error`` is how far the merge is from the curve. Before the first checkpoint that the
    decay reaches back to, there is nothing to merge; a damaged one is left out.

    Args:
        decay: A shape and its length, or a curve; a share is of the updates made so far.
        name: What stands before the names of the metrics.

    Raises:
        TrainingError: It is no decay.
        ScheduleError: There is no such shape.
        RunError: Its length is none.
    """

    def __init__(self, decay: Schedule | str = "1-sqrt 10%", name: str = "merged") -> None:
        curve_to_merge(decay, _LONG_RUN, type(self).__name__)
        self.decay = decay
        self.name = name
        self._has_reported = False

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Refuse a run that keeps no checkpoints."""
        if trainer.checkpoints is None:
            raise TrainingError(
                "MergedWeightsCallback: the run keeps no checkpoints to merge. Add "
                "SaveTrainingStateCallback(save_every_n_steps=…)."
            )
        require_whole_weights(trainer, self)

    def on_eval_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Merge, and evaluate the mean."""
        history, now = trainer.run_history, trainer.progress.updates
        # its own evaluation comes by here, too: with a prefix
        if history.metric_name_prefix or trainer.checkpoints is None or not now:
            return
        try:
            curve = curve_to_merge(self.decay, now)
        except (TrainingError, ScheduleError):  # as yet a share is no update, or a length too long
            return
        # all processes merge the same ones, or none of them does
        paths = trainer.run_state.first_process_decides(
            partial(_reached_back_to, trainer.checkpoints, now - (curve.length or 0), now)
        )
        readers: dict[int, Callable[[], Weights]] = {
            update: partial(read_weights, path / WEIGHTS_FILE) for update, path in paths.items()
        }
        readers[now] = partial(_tensors_of, trainer)
        merged = merge_weights(readers, curve, now)
        if merged is None:
            self._report_too_few(trainer, now)
            return
        history.update_metric(f"{self.name}_error", merged.error)
        with _in_place_of_own(trainer, merged.weights):
            evaluate_as(trainer, self.name, **kwargs)

    def _report_too_few(self, trainer: TrainingSteps, now: int) -> None:
        """Print once that checkpoints were removed which the decay reaches back to."""
        checkpoints = trainer.checkpoints
        if self._has_reported or checkpoints is None or checkpoints.keep is None:
            return
        if len(checkpoints.all()) >= checkpoints.keep:
            self._has_reported = True
            trainer.print(
                f"{self!r}: the decay that would end at update {now} begins before the oldest of "
                f"the {checkpoints.keep} checkpoints that are kept. Keep more of them."
            )


def evaluate_as(trainer: Any, name: str, *, is_intermediate: bool = False, **kwargs: Any) -> None:
    """Evaluate what is in the model now, under a name of its own.

    Args:
        trainer: At the end of an evaluation of its own weights.
        name: What stands before the names of the metrics.
        is_intermediate: Whether that evaluation is no epoch's.
        kwargs: What else callbacks were given about it.
    """
    trainer.run_history.set_metric_name_prefix(f"{name}_")
    try:
        trainer.evaluate_now(is_intermediate=is_intermediate, **kwargs)
    finally:
        trainer.run_history.set_metric_name_prefix("")


@contextmanager
def _in_place_of_own(trainer: TrainingSteps, weights: Weights) -> Iterator[None]:
    """Put other weights in the model's place; its own return, bit for bit."""
    own = {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in model_state(trainer).items()
    }
    load_weights(trainer, {**own, **weights}, None)
    try:
        yield
    finally:
        load_weights(trainer, own, None)


def require_whole_weights(trainer: TrainingSteps, callback: TrainerCallback) -> None:
    """Refuse weights that lie in pieces on the processes.

    Raises:
        TrainingError: They do.
    """
    if is_sharded(trainer):
        raise TrainingError(
            f"{type(callback).__name__}: the weights lie in pieces on the processes, and no other "
            f"ones can be put in their place. Leave it out, or train without FSDP."
        )


def _reached_back_to(checkpoints: Checkpoints, start: int, stop: int) -> dict[int, Path]:
    """Return the good checkpoints from the last one before a decay on, by their updates."""
    found = checkpoints.all()
    paths = checkpoints_in(found) if found else {}
    first = max((update for update in paths if update <= start), default=start)
    return {
        update: path
        for update, path in paths.items()
        if first <= update < stop and damage_of(path, WEIGHTS_FILE) is None
    }


def _tensors_of(trainer: TrainingSteps) -> Weights:
    state = model_state(trainer).items()
    return {name: value for name, value in state if isinstance(value, torch.Tensor)}
