"""The steps of a training, which a subclass may override, and the objects they work on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, IterableDataset

from warmdown.binding.field import Attribute, Field, Number, unwrap
from warmdown.errors import BindingError, TrainingError, encodable, printable
from warmdown.schedules.base import widest_float
from warmdown.training.checkpoint import Checkpoints
from warmdown.training.handler import CallbackHandler
from warmdown.training.history import LossTracker, RunHistory
from warmdown.training.progress import Progress, TrainerRunConfig
from warmdown.training.run_state import RunState
from warmdown.training.types import Data, Settings

if TYPE_CHECKING:
    from warmdown.training.spikes import Rollback

_PLAIN = ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP")
"""Ways to train in which an update is the optimizer's own step, unless there is a scaler."""


class BaseValues:
    """The values before a run: the next run starts from the same base values."""

    def __init__(self) -> None:
        self._numbers: dict[Any, Number] = {}
        self._before: dict[Any, list[float]] = {}
        self._after: dict[Any, list[float]] = {}
        self._marks: dict[Any, list[Data]] = {}

    def begin(self, trainer: TrainingSteps) -> None:
        """Undo what the last run left, except where the values were set since; store the values."""
        numbers = self._read_numbers(trainer)
        for key, number in numbers.items():
            before, now = self._before.get(key, []), number.read()
            # a group that was added in the run has no value from before
            if now == self._after.get(key) and len(before) == len(now):
                number.write(before)
                for slot, marks in zip(number.slots, self._marks[key], strict=True):
                    slot.group.update(marks)
                    for name in (name for name, mark in marks.items() if mark is None):
                        del slot.group[name]
        self._before = {key: number.read() for key, number in numbers.items()}
        # what schedulers keep beside a value tells the next one what its base is
        self._marks = {
            key: [
                {name: slot.group.get(name) for name in (slot.initial, slot.written)}
                for slot in number.slots
            ]
            for key, number in numbers.items()
        }

    def given(self) -> dict[str, list[float]]:
        """Return what the optimizer was made with, or set to since; each group's, by field."""
        return {name: row for name, row in self._before.items() if isinstance(name, str)}

    def end(self, trainer: TrainingSteps) -> None:
        """Store what a run leaves."""
        numbers = self._read_numbers(trainer)
        self._after = {key: number.read() for key, number in numbers.items()}

    def _read_numbers(self, trainer: TrainingSteps) -> dict[Any, Number]:
        """Return the optimizer's fields, and the attributes that are bound."""
        numbers: dict[Any, Number] = {}
        for name in ("lr", "weight_decay"):
            with suppress(BindingError):  # not every optimizer has it
                numbers[name] = Field(trainer.optimizer, name)
        for bound in [*trainer.offered.values(), *(trainer.bind or {}).values()]:
            for number in bound if isinstance(bound, list | tuple) else [bound]:
                if isinstance(number, Attribute):
                    numbers[id(number.of), number.name] = number
        self._numbers |= numbers  # an object that is alive keeps its id
        return numbers


class TrainingSteps:
    """What the loop, checkpoints and callbacks use of a trainer."""

    model: torch.nn.Module
    loss_func: Callable[..., torch.Tensor] | None
    optimizer: Any
    scheduler: Any = None
    create_scheduler: Callable[[], Any]
    create_scheduler_fn: Any = None
    bind: Mapping[str, Any] | None = None
    offered: Mapping[str, Any] = MappingProxyType({})
    """What a plan may drive in the callbacks of the run, by target name."""
    train_dataset: Any = None
    eval_dataset: Any = None
    collate_fn: Any = None
    run_history: RunHistory
    callback_handler: CallbackHandler
    checkpoints: Checkpoints | None = None
    run_state: RunState
    base_values: BaseValues
    seed: int
    stopped_by = ""
    on_spike: Rollback | None = None

    def create_train_dataloader(
        self, batch_size: int, train_dl_kwargs: Settings | None = None
    ) -> Iterable[Any]:
        """Return the batches to train on, for one process; the trainer shares them out."""
        defaults = self.get_default_train_dl_kwargs(batch_size)
        return self._loader(self.train_dataset, defaults, train_dl_kwargs)

    def create_eval_dataloader(
        self, batch_size: int, eval_dl_kwargs: Settings | None = None
    ) -> Iterable[Any]:
        """Return the batches to evaluate on, for one process; the trainer shares them out."""
        defaults = self.get_default_eval_dl_kwargs(batch_size)
        return self._loader(self.eval_dataset, defaults, eval_dl_kwargs)

    def get_default_train_dl_kwargs(self, batch_size: int) -> Data:
        """Return what the training loader is made with."""
        pin_memory = self.device.type == "cuda"
        return {"batch_size": batch_size, "shuffle": True, "pin_memory": pin_memory}

    def get_default_eval_dl_kwargs(self, batch_size: int) -> Data:
        """Return what the evaluation's loader is made with."""
        return TrainingSteps.get_default_train_dl_kwargs(self, batch_size) | {"shuffle": False}

    def training_run_start(self) -> None:
        """Begin a training."""

    def train_epoch_start(self) -> None:
        """Begin an epoch: the model learns, the mean loss starts from nothing."""
        self.model.train()
        if self.progress.batch == 0:
            self.run_state.train_loss.reset()

    def calculate_train_batch_loss(self, batch: Any) -> Data:
        """Return ``loss``, ``model_outputs`` and ``batch_size`` of a batch of pairs."""
        inputs, target = batch[0], batch[1]
        outputs = self.model(inputs)
        loss = self.loss_func(outputs, target)  # type: ignore[misc]
        return {"loss": loss, "model_outputs": outputs, "batch_size": len(target)}

    def backward_step(self, loss: torch.Tensor) -> None:
        """Add a batch's part to the gradients."""
        self.run_state.accelerator.backward(loss)

    def optimizer_step(self) -> None:
        """Make an update."""
        accelerator = self.run_state.accelerator
        # accelerate's own step looks for an optional library on the disk twice; where it does no
        # more, it is left out
        is_plain = accelerator.scaler is None and accelerator.distributed_type in _PLAIN
        (unwrap(self.optimizer) if is_plain else self.optimizer).step()

    def scheduler_step(self) -> None:
        """Count the update; called once for each that was applied, on every process."""
        # torch's plateau scheduler steps by a metric, after an evaluation
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def optimizer_zero_grad(self) -> None:
        """Clear the gradients."""
        unwrap(self.optimizer).zero_grad()

    def train_epoch_end(self) -> None:
        """End an epoch of training."""

    def eval_epoch_start(self) -> None:
        """Begin an evaluation, in the model's mode for it."""
        self._was_training = self.model.training
        self.model.eval()
        self.run_state.eval_loss.reset()

    def calculate_eval_batch_loss(self, batch: Any) -> Data:
        """Return ``loss``, ``model_outputs`` and ``batch_size`` of a batch of pairs."""
        return TrainingSteps.calculate_train_batch_loss(self, batch)

    def eval_epoch_end(self) -> None:
        """End an evaluation, in the mode that the model had before."""
        self.model.train(self._was_training)

    def training_run_epoch_end(self) -> None:
        """End an epoch with its evaluation."""

    def training_run_end(self) -> None:
        """End a training."""

    def evaluation_run_start(self) -> None:
        """Begin an evaluation outside of a training."""

    def evaluation_run_end(self) -> None:
        """End an evaluation outside of a training."""

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self.run_state.progress

    @property
    def run_config(self) -> TrainerRunConfig:
        """The run's real numbers."""
        return self.run_state.config

    @property
    def rollbacks(self) -> list[Data]:
        """Where the run went back: ``spike``, the update, ``to``, the checkpoint, and ``cause``."""
        guard = self.run_state.guard
        return [] if guard is None else guard.rollbacks

    @property
    def device(self) -> torch.device:
        """Where the model works."""
        return self.run_state.accelerator.device  # type: ignore[no-any-return]

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints and writes."""
        return bool(self.run_state.accelerator.is_main_process)

    @property
    def window_loss(self) -> float | torch.Tensor:
        """The mean loss of the current update on this process; on a device a tensor."""
        return self.run_state.train_loss.window_loss

    def get_model(self, keep_torch_compile: bool = True) -> torch.nn.Module:
        """Return the model without what the distribution put around it."""
        unwrap = self.run_state.accelerator.unwrap_model
        return unwrap(  # type: ignore[no-any-return]
            self.model, keep_torch_compile=keep_torch_compile
        )

    def gather(self, tensor: torch.Tensor, padding_value: float | None = None) -> torch.Tensor:
        """Return the tensors of all processes in a row; uneven ones are filled up first."""
        accelerator = self.run_state.accelerator
        if padding_value is not None:
            tensor = accelerator.pad_across_processes(tensor, pad_index=int(padding_value))
        return accelerator.gather(tensor)  # type: ignore[no-any-return]

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print, once for all processes of a machine."""
        stream = kwargs.get("file", sys.stdout)
        texts = [encodable(printable(str(part)), stream) for part in args]
        self.run_state.accelerator.print(*texts, **kwargs)

    def call_event(self, event: str, **kwargs: Any) -> None:
        """Call the callbacks' hooks of an event."""
        self.callback_handler.call_event(event, self, **kwargs)

    def add_loss_metric(self, name: str, tracker: LossTracker) -> None:
        """Add the mean over all processes to the history."""
        total, count = tracker.total, tracker.count
        if self.run_config.is_distributed:
            sums = [float(total), float(count)]
            # one exchange for both; a double keeps the count whole
            kind = widest_float(torch, self.device)
            here = torch.tensor(sums, dtype=kind, device=self.device)
            total, count = self.run_state.accelerator.reduce(here, "sum").tolist()
        if count:
            self.run_history.update_metric(name, float(total) / count)

    def replace_scheduler(self) -> None:
        """Create the scheduler again, as if nothing had happened to its plan."""
        self.scheduler = None  # first: two that live would both write
        self.scheduler = self.create_scheduler()

    def _loader(self, dataset: Any, defaults: Data, given: Settings | None) -> DataLoader[Any]:
        if isinstance(dataset, DataLoader):
            return dataset
        if not isinstance(dataset, IterableDataset) and not hasattr(dataset, "__getitem__"):
            raise TrainingError(
                f"data({type(dataset).__name__}): no DataLoader, and it has no item of a number. "
                f"Samples to be read in a row: an IterableDataset; batches: DataLoader(an "
                f"IterableDataset, batch_size=None), or return them from create_train_dataloader."
            )
        if isinstance(dataset, IterableDataset):
            defaults = {name: value for name, value in defaults.items() if name != "shuffle"}
        kwargs = {**defaults, "collate_fn": self.collate_fn, **(given or {})}
        if kwargs.get("sampler") is not None:
            kwargs["shuffle"] = False
        elif kwargs.get("batch_sampler") is not None:
            # DataLoader refuses them beside a batch sampler
            for name in ("batch_size", "shuffle", "sampler", "drop_last"):
                kwargs.pop(name, None)
        return DataLoader(dataset, **kwargs)
