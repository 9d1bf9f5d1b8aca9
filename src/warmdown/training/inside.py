"""What a trainer keeps and does for itself, so that its own file shows only what a person calls and overrides."""

from __future__ import annotations

__all__ = ["Inside"]

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from warmdown.binding.field import unwrap
from warmdown.errors import MissingExtra, TrainingError
from warmdown.lock import Output, locked
from warmdown.training import state
from warmdown.training.callbacks.base import CallbackHandler
from warmdown.training.checkpoint import Checkpoints
from warmdown.training.data import Place, Source, source_of
from warmdown.training.guard import run_guarded
from warmdown.training.history import LossTracker, RunHistory
from warmdown.training.loop import run_training
from warmdown.training.planning import Bases, tell_metrics
from warmdown.training.progress import Progress, TrainerRunConfig
from warmdown.training.rng import restore

_PLAIN = ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP")
"""Ways to train in which an update is the optimizer's own step, unless there is a scaler."""


class Inside:
    """The parts of a trainer that nobody overrides, except ``_create_accelerator``."""

    model: torch.nn.Module
    optimizer: Any
    run_history: RunHistory
    callback_handler: CallbackHandler
    checkpoints: Checkpoints | None
    run_config: TrainerRunConfig
    seed: int
    _is_prepared = False
    _accelerator_kwargs: dict[str, Any]
    _accelerator: Any
    _bases: Bases
    _guard: Any

    def _create_accelerator(self) -> Any:
        """Return the accelerator; override it to give it other arguments."""
        try:
            from accelerate import Accelerator  # type: ignore[import-untyped]
        except ImportError:
            raise MissingExtra("Trainer", "accelerate", "train") from None
        # the trainer counts batches and updates: accelerate's own accumulation and scheduler
        # stepping stay off
        accelerator = Accelerator(
            cpu=_is_many_on_cpu(), step_scheduler_with_optimizer=False, **self._accelerator_kwargs
        )
        if accelerator.num_processes != (started := int(os.environ.get("WORLD_SIZE", "1"))):
            raise TrainingError(
                f"Trainer: {started} processes were started, and accelerate sees "
                f"{accelerator.num_processes}: each "
                "would train alone. Make no Accelerator before the trainer, or make it as the "
                "trainer would."
            )
        return accelerator

    def _forget_run(self) -> None:
        self.progress = Progress()
        self.scheduler: Any = None
        self.create_scheduler_fn: Any = None
        self.train_dataset: Any = None
        self.eval_dataset: Any = None
        self.collate_fn: Any = None
        self.stopped_by = ""
        self._saved: dict[str, Any] | None = None
        self._train_source: Source | None = None
        self._eval_source: Source | None = None
        self._train_limit: int | None = None
        self._eval_limit: int | None = None
        self._loss_tracker, self._eval_tracker = LossTracker(), LossTracker()
        self._random: dict[str, Any] | None = None
        self._between_batches = True
        self._counts_attempts = False
        self._decay_end: tuple[tuple[Any, ...], int | None] = ((), None)

    def _loader(
        self, dataset: Any, kwargs: dict[str, Any], given: Mapping[str, Any] | None
    ) -> DataLoader[Any]:
        kwargs = {**kwargs, "collate_fn": self.collate_fn, **(given or {})}
        if isinstance(dataset, IterableDataset):
            kwargs.pop("shuffle", None)
        elif kwargs.get("sampler") is not None:
            kwargs["shuffle"] = False
        elif kwargs.get("batch_sampler") is not None:
            for name in ("batch_size", "shuffle", "sampler", "drop_last"):
                kwargs.pop(name, None)
        return DataLoader(dataset, **kwargs)

    def _source(self, loader: Iterable[Any]) -> Source:
        place = Place(rank=self._accelerator.process_index, world=self._accelerator.num_processes)
        return source_of(loader, seed=self.seed, place=place)

    def _place(self, batch: Any) -> Any:
        if self._accelerator.device.type == "cpu":
            return batch
        from accelerate.utils import send_to_device  # type: ignore[import-untyped]

        return send_to_device(batch, self._accelerator.device, non_blocking=True)

    def _make_sources(
        self, batch_size: int, train: Mapping[str, Any] | None, evaluation: Mapping[str, Any] | None
    ) -> None:
        self._train_source = self._source(self.create_train_dataloader(batch_size, train))
        if self.eval_dataset is not None:
            self._eval_source = self._source(self.create_eval_dataloader(batch_size, evaluation))

    def create_train_dataloader(
        self, batch_size: int, train_dl_kwargs: Mapping[str, Any] | None = None
    ) -> Iterable[Any]:
        """Return the batches to train on."""
        raise NotImplementedError

    def create_eval_dataloader(
        self, batch_size: int, eval_dl_kwargs: Mapping[str, Any] | None = None
    ) -> Iterable[Any]:
        """Return the batches to evaluate on."""
        raise NotImplementedError

    def _create_run_config(self, num_epochs: int, batch_size: int, **told: Any) -> TrainerRunConfig:
        accelerator = self._accelerator
        return TrainerRunConfig(
            num_epochs=num_epochs,
            train_per_device_batch_size=batch_size,
            eval_per_device_batch_size=batch_size,
            train_batches_per_epoch=_batches(self._train_source, self._train_limit),
            eval_batches=_batches(self._eval_source, self._eval_limit),
            num_processes=accelerator.num_processes,
            mixed_precision=accelerator.mixed_precision,
            is_local_process_zero=accelerator.is_local_main_process,
            is_world_process_zero=accelerator.is_main_process,
            **told,
        )

    def _prepare(self) -> None:
        """Hand model and optimizer to accelerate, also when an earlier run has done so before."""
        model = self._accelerator.unwrap_model(self.model, keep_torch_compile=True)
        if self._is_prepared:
            self._accelerator.free_memory()
        self._is_prepared = True
        self.model, self.optimizer = self._accelerator.prepare(model, unwrap(self.optimizer))

    def _outputs(self) -> list[Output]:
        """Return what the run writes."""
        return self.callback_handler.outputs()

    @contextmanager
    def _outputs_locked(self) -> Iterator[None]:
        """Hold what the run writes: the first process does it for all."""
        with ExitStack() as held:
            state.agreed(self, lambda: self._open_outputs(held))  # type: ignore[arg-type]
            yield

    def _open_outputs(self, held: ExitStack) -> None:
        held.enter_context(locked(self._outputs()))
        if self.checkpoints is not None:
            self.checkpoints.open()

    def _run(self) -> None:
        try:
            with self._outputs_locked():
                run_guarded(self, run_training)  # type: ignore[arg-type]
        finally:
            self._bases.end(self.optimizer)
            self._close_sources()

    def _close_sources(self) -> None:
        for source in (self._train_source, self._eval_source):
            if source is not None:
                source.close()

    def _step_optimizer(self) -> None:
        accelerator = self._accelerator
        # accelerate's own step looks for an optional library on the disk twice; where it does no
        # more, it is left out
        is_plain = accelerator.scaler is None and accelerator.distributed_type in _PLAIN
        (unwrap(self.optimizer) if is_plain else self.optimizer).step()

    def _clip_gradients(self) -> None:
        if self.run_config.gradient_clip_value is not None:
            self._accelerator.clip_grad_value_(
                self.model.parameters(), self.run_config.gradient_clip_value
            )
        if self.run_config.gradient_clip_norm is not None:
            self._accelerator.clip_grad_norm_(
                self.model.parameters(), self.run_config.gradient_clip_norm
            )

    def _tell_metrics(self) -> None:
        history = self.run_history
        tell_metrics(
            self.scheduler,
            {name: history.get_latest_metric(name) for name in history.get_metric_names()},
        )

    def _was_skipped(self) -> bool:
        return self._accelerator.scaler is not None and bool(
            self._accelerator.optimizer_step_was_skipped
        )

    def _note_epoch_loss(self, name: str, tracker: LossTracker) -> None:
        total, count = tracker.total, tracker.count
        if self._accelerator.num_processes > 1:
            here = torch.tensor(
                [float(total), float(count)], dtype=torch.float64, device=self._accelerator.device
            )
            total, count = self._accelerator.reduce(here, "sum").tolist()
        if count:
            self.run_history.update_metric(name, float(total) / count)

    def _reseed(self) -> None:
        """Let the order of the data follow a seed that came from a checkpoint."""
        if self._train_source is not None:
            self._train_source.reseed(self.seed)

    def _restore_random(self) -> None:
        if self._random is not None:
            restore(self._random)
            self._random = None

    def _call(self, event: str, **kwargs: Any) -> None:
        self.callback_handler.call_event(event, self, **kwargs)  # type: ignore[arg-type]


def _is_many_on_cpu() -> bool:
    """Whether ``torchrun`` started several processes on a machine without a GPU, which accelerate overlooks."""
    has_device = torch.cuda.is_available() or (
        hasattr(torch, "accelerator") and torch.accelerator.is_available()
    )
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not has_device


def _batches(source: Source | None, limit: int | None) -> int | None:
    known = [
        count
        for count in (source.batches if source is not None else None, limit)
        if count is not None
    ]
    return min(known) if known else None
