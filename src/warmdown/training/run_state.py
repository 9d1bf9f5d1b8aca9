"""What one run works with: accelerator, data, limits, losses, and how far it has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from warmdown.batches import Cut, epoch_windows
from warmdown.binding.loading import LoaderNumber
from warmdown.binding.misuse import Warnings
from warmdown.errors import StateError, TrainingError
from warmdown.shown import brief
from warmdown.training.data import DataSource
from warmdown.training.history import LossTracker
from warmdown.training.progress import Progress, TrainerRunConfig
from warmdown.training.rng import restore
from warmdown.training.types import Data

if TYPE_CHECKING:
    from warmdown.training.spikes import SpikeGuard

T = TypeVar("T")


def do_nothing() -> None:
    """Do nothing."""


@dataclass(kw_only=True)
class RunState:
    """The state of one training or evaluation; a trainer begins each with a new one.

    Args:
        accelerator: Distributes the run.
        config: The run's real numbers.
        progress: How far the run has come.
        train_source: The batches to train on.
        eval_source: The batches to evaluate on.
        train_limit: Most batches that an epoch uses.
        eval_limit: Most batches that an evaluation uses.
        loader_numbers: What a plan drives of the data to train on, by target name.
        loader_number: What decides on the batch of each update, where a plan does.
        train_loss: The loss of the epoch.
        eval_loss: The loss of the evaluation.
        random: Random numbers of a checkpoint, to be restored before the next batch is drawn.
        counts_attempts: Whether the scheduler counts updates that the scaler skipped, too.
        is_between_batches: Whether a checkpoint of this moment could be gone on with.
        saved_at: Where the newest checkpoint was saved.
        stop_signal: The signal that asked the run to stop.
        after_update: Called after each update; it ends the run that was asked to stop.
        guard: Looks for spikes, where something is done about them.
        grad_norm: Norm of the gradients of the update, before they were clipped by it; measured
            where there is a guard.
        on_change: What happens when a checkpoint was made under another plan.
        warnings: Of the data to train on and to evaluate on, each given once.
    """

    accelerator: Any
    config: TrainerRunConfig = field(default_factory=TrainerRunConfig)
    progress: Progress = field(default_factory=Progress)
    train_source: DataSource | None = None
    eval_source: DataSource | None = None
    train_limit: int | None = None
    eval_limit: int | None = None
    loader_numbers: dict[str, Any] = field(default_factory=dict)
    loader_number: LoaderNumber | None = None
    train_loss: LossTracker = field(default_factory=LossTracker)
    eval_loss: LossTracker = field(default_factory=LossTracker)
    random: Data | None = None
    counts_attempts: bool = False
    is_between_batches: bool = True
    saved_at: Progress | None = None
    stop_signal: int | None = None
    after_update: Callable[[], None] = do_nothing
    guard: SpikeGuard | None = None
    grad_norm: Any = None
    on_change: str = "error"
    warnings: dict[str, Warnings] = field(
        default_factory=lambda: defaultdict(partial(Warnings, strict=False))
    )

    __repr__ = brief

    def to_device(self, batch: Any) -> Any:
        """Return a batch on the device of the run."""
        device = self.accelerator.device
        if device.type == "cpu":
            return batch
        from accelerate.utils import send_to_device  # type: ignore[import-untyped]

        return send_to_device(batch, device, non_blocking=True)

    def clip_gradients(self, model: torch.nn.Module) -> None:
        """Clip the gradients as the run's configuration asks for."""
        value, norm = self.config.gradient_clip_value, self.config.gradient_clip_norm
        if value is not None:
            self.accelerator.clip_grad_value_(model.parameters(), value)
        if norm is not None:
            self.grad_norm = self.accelerator.clip_grad_norm_(model.parameters(), norm)
        elif self.guard is not None:
            self.accelerator.unscale_gradients()
            gradients = [one.grad for one in model.parameters() if one.grad is not None]
            total = torch.nn.utils.get_total_norm(gradients)
            # of weights in pieces it is one in pieces
            self.grad_norm = total.full_tensor() if hasattr(total, "full_tensor") else total

    def restore_random(self) -> None:
        """Restore the random numbers of a checkpoint, once."""
        if self.random is not None:
            restore(self.random)
            self.random = None

    def samples_used(self) -> float:
        """Return the samples that the updates so far have used; 0 where that is not known."""
        if self.loader_number is None:
            return self.progress.updates * (self.config.train_total_batch_size or 0)
        loading = self.loader_number.loading
        items = self.progress.epoch * (loading.items or 0) + self.progress.used
        return items * loading.samples

    def is_at_train_limit(self) -> bool:
        """Return whether the epoch has used as many batches as it may."""
        return self.train_limit is not None and self.progress.batch >= self.train_limit

    def cut(self) -> Cut:
        """Return the batches of the update to be made next."""
        assert self.train_source is not None
        if self.loader_number is None:
            return self.train_source.cut(self.config.gradient_accumulation_steps)
        return self.loader_number.cut_now()

    def cuts_ahead(self) -> Iterator[Cut]:
        """Yield the batches of the update to be made next, and of each after it."""
        source, number = self.train_source, self.loader_number
        assert source is not None
        if number is None:
            return repeat(source.cut(self.config.gradient_accumulation_steps))
        return number.cuts_ahead()

    def batches_left(self, progress: Progress) -> int | None:
        """Return how many batches of the epoch follow by its length, ``None`` without one."""
        left = None if self.train_source is None else self.train_source.left(progress.used)
        if self.train_limit is None:
            return left
        limit = max(0, self.train_limit - progress.batch)
        return limit if left is None else min(left, limit)

    def updates_left(self, progress: Progress) -> int | None:
        """Return how many updates follow after ``progress``, ``None`` where it is unknown."""
        config = self.config
        if self.loader_number is not None:
            is_known = self.loader_number.loading.items is not None
            return self._planned_updates_left(progress, self.loader_number) if is_known else None
        per_epoch, left = config.num_update_steps_per_epoch, self.batches_left(progress)
        if per_epoch is None or left is None:
            return None
        if progress.epoch >= config.num_epochs:
            return 0
        begun = 0
        if progress.window_done:
            begun = min(left, progress.window_size - progress.window_done)
        size = config.gradient_accumulation_steps
        here = (progress.window_done > 0) + ceil((left - begun) / size)
        return here + per_epoch * (config.num_epochs - progress.epoch - 1)

    def is_epoch_over(self, progress: Progress) -> bool:
        """Return whether no batch of the epoch follows, as far as its length tells."""
        if self.loader_number is None:
            return self.batches_left(progress) == 0
        if self.is_at_train_limit():
            return True
        windows = epoch_windows(progress.used, [self.cut()], self.loader_number.loading)
        return self.loader_number.loading.items is not None and next(windows, None) is None

    def _planned_updates_left(self, progress: Progress, number: LoaderNumber) -> int:
        """Return how many updates follow, by the batches that the plan has for them."""
        count, used, done = 0, progress.used, progress.batch
        if progress.window_done:
            left = progress.window_size - progress.window_done
            used += left * next(number.cuts_from(progress.updates)).part
            count, done = 1, done + left
        for _ in range(progress.epoch, self.config.num_epochs):
            cuts = number.cuts_from(progress.updates + count)
            for _, ends in epoch_windows(used, cuts, number.loading):
                if self.train_limit is not None and done >= self.train_limit:
                    break
                count, done = count + 1, done + len(ends)
            used = done = 0
        return count

    def first_process_decides(self, decide: Callable[[], T]) -> T:
        """Return on all processes what the first one decides, or raise its error.

        Raises:
            StateError: The first process met one.
            TrainingError: The first process met one.
        """
        if self.accelerator.num_processes == 1:
            return decide()
        answer: list[Any] = [None]
        if self.accelerator.is_main_process:
            try:
                answer[0] = decide()
            except (StateError, TrainingError) as error:
                answer[0] = error
        torch.distributed.broadcast_object_list(answer)
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the workers of the data."""
        for source in (self.train_source, self.eval_source):
            if source is not None:
                source.close()
