"""A run's configuration, and how far the run has come."""

from __future__ import annotations

__all__ = ["Progress", "TrainerRunConfig", "with_epochs"]

from dataclasses import asdict, dataclass, field, replace
from math import ceil

from warmdown.errors import TrainingError
from warmdown.training.types import Data


@dataclass(frozen=True, kw_only=True)
class TrainerRunConfig:
    """The configuration of a run, and the numbers that follow from it.

    Args:
        num_epochs: Passes over the data.
        max_num_train_steps: Updates after which the run ends, or ``None``: the epochs decide.
        more_updates: By how many the run has more than its epochs hold, since it went on with other
            batches.
        planned_updates: Updates that the epochs hold where a plan changes the batch, or ``None``.
        planned_samples: Samples in an epoch, likewise.
        train_per_device_batch_size: Samples in a batch of one process.
        eval_per_device_batch_size: Samples in a batch of an evaluation of one process.
        gradient_accumulation_steps: Batches of one process that make an update.
        gradient_clip_value: Largest absolute value of a gradient's element, or ``None``.
        gradient_clip_norm: Largest norm of all gradients, or ``None``.
        train_batches_per_epoch: Batches that one process uses in an epoch, or ``None`` where it is
            unknown.
        eval_batches: Batches that one process uses in an evaluation, or ``None``.
        num_processes: Processes that train together.
        mixed_precision: ``"no"``, ``"fp16"``, ``"bf16"``, ``"fp8"``.
        is_local_process_zero: Whether this is the first process of its machine.
        is_world_process_zero: Whether this is the first process of all.
    """

    num_epochs: int = 1
    max_num_train_steps: int | None = None
    more_updates: int = 0
    planned_updates: int | None = None
    planned_samples: int | None = None
    train_per_device_batch_size: int | None = None
    eval_per_device_batch_size: int | None = None
    gradient_accumulation_steps: int = 1
    gradient_clip_value: float | None = None
    gradient_clip_norm: float | None = None
    train_batches_per_epoch: int | None = None
    eval_batches: int | None = None
    num_processes: int = 1
    mixed_precision: str = "no"
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True

    @property
    def is_distributed(self) -> bool:
        """Whether several processes train together."""
        return self.num_processes > 1

    @property
    def num_update_steps_per_epoch(self) -> int | None:
        """Updates in an epoch, on average; all processes make each together."""
        if self.planned_updates is not None:
            return ceil(self.planned_updates / self.num_epochs)
        batches = self.train_batches_per_epoch
        return None if batches is None else ceil(batches / self.gradient_accumulation_steps)

    num_local_update_steps_per_epoch = num_update_steps_per_epoch
    """The same number: an update that several processes make together is one."""

    @property
    def total_updates(self) -> int | None:
        """Updates in the whole run."""
        if self.max_num_train_steps is not None:
            return self.max_num_train_steps
        per_epoch = self.num_update_steps_per_epoch
        if self.planned_updates is not None:
            return self.planned_updates + self.more_updates
        return None if per_epoch is None else per_epoch * self.num_epochs + self.more_updates

    @property
    def train_total_batch_size(self) -> int | None:
        """Samples that one update uses, over all processes."""
        size = self.train_per_device_batch_size
        micro_batches = self.num_processes * self.gradient_accumulation_steps
        return None if size is None else size * micro_batches

    @property
    def eval_total_batch_size(self) -> int | None:
        """Samples that one batch of an evaluation holds, over all processes."""
        size = self.eval_per_device_batch_size
        return None if size is None else size * self.num_processes

    def to_dict(self) -> Data:
        """Return everything as plain data, with the numbers that follow from it."""
        return asdict(self) | {
            "is_distributed": self.is_distributed,
            "num_update_steps_per_epoch": self.num_update_steps_per_epoch,
            "total_updates": self.total_updates,
            "train_total_batch_size": self.train_total_batch_size,
        }


def with_epochs(config: TrainerRunConfig) -> TrainerRunConfig:
    """Return the configuration, its epochs as many as the updates asked for need.

    Raises:
        TrainingError: A number cannot be, or the length of the run is unknown.
    """
    for name in ("num_epochs", "max_num_train_steps", "gradient_accumulation_steps"):
        count = getattr(config, name)
        if count is not None and (type(count) is not int or count < 1):
            raise TrainingError(f"train({name}={count!r}): a whole number of at least 1 is needed.")
    per_epoch, most = config.num_update_steps_per_epoch, config.max_num_train_steps
    if most is None and per_epoch is None:
        raise TrainingError(
            "train(max_num_train_steps=None): how many batches an epoch holds is not known, so the "
            "length of the run is not either. Give max_num_train_steps, or data with a length."
        )
    if most is None or per_epoch is None:
        return config
    return replace(config, num_epochs=ceil(most / per_epoch))


@dataclass
class Progress:
    """How far a run has come; every number that a resumed run needs to go on.

    Args:
        updates: Updates that were applied.
        skipped: Updates that the scaler skipped.
        epoch: Epoch that runs, from 0.
        used: Items of the epoch that are used up, over all processes.
        batch: Batches of the epoch that this process used.
        window_done: Batches of an unfinished update whose gradients wait.
        window_size: Batches in that update.
        finished: Whether the run came to its end, the last evaluation included.
        more: By how many updates the run is longer than its epochs say, since it went on with
            batches of another size.
        passed: Updates whose data were passed over.
        to_pass: Places in the data that are passed over: for each stretch the first, and the first
            after it.
    """

    updates: int = 0
    skipped: int = 0
    epoch: int = 0
    used: int = 0
    batch: int = 0
    window_done: int = 0
    window_size: int = 0
    finished: bool = False
    more: int = 0
    passed: int = 0
    to_pass: list[list[int]] = field(default_factory=list)

    @property
    def place(self) -> int:
        """The place in the data: updates made, skipped and passed over since the run began."""
        return self.updates + self.skipped + self.passed

    @property
    def is_passed_over(self) -> bool:
        """Whether the data at this place are passed over."""
        return any(start <= self.place < stop for start, stop in self.to_pass)
