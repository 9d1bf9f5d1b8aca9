"""The trainer: what a person calls to train, evaluate, save, branch and go on."""

from __future__ import annotations

__all__ = ["DEFAULT_CALLBACKS", "Branch", "Trainer", "branch_cooldowns"]

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from warmdown.binding import Scheduler
from warmdown.binding.field import unwrap
from warmdown.binding.timeline import decay_event
from warmdown.errors import MissingExtra, TrainingError
from warmdown.record import Record
from warmdown.run import Duration
from warmdown.schedules import Schedule
from warmdown.schedules.recipes.shapes import curve_of
from warmdown.shown import brief
from warmdown.training.callback import CallbackOrClass, TrainerCallback
from warmdown.training.callbacks.modules import MoveModulesToDeviceCallback
from warmdown.training.callbacks.monitor import RecordCallback
from warmdown.training.callbacks.progress import (
    LogMetricsCallback,
    PrintProgressCallback,
    ProgressBarCallback,
)
from warmdown.training.callbacks.stopping import TerminateOnNaNCallback
from warmdown.training.data import (
    DataSource,
    Rank,
    data_source,
    samples_in_batch,
    usable_batches,
)
from warmdown.training.handler import CallbackHandler
from warmdown.training.history import InMemoryRunHistory, RunHistory
from warmdown.training.loop import evaluate_once, outputs_locked, train_to_end
from warmdown.training.merging import merge_checkpoints
from warmdown.training.planning import planned_batches, scheduler_for
from warmdown.training.progress import TrainerRunConfig, with_epochs
from warmdown.training.run_state import RunState
from warmdown.training.spikes import Rollback, SpikeGuard
from warmdown.training.state import (
    load_state,
    load_weights,
    model_state,
    optimizer_state,
    require_same_shapes,
    save_state,
)
from warmdown.training.steps import BaseValues, TrainingSteps
from warmdown.training.types import Data, FilePath, Settings
from warmdown.training.weights import digest_of_weights, read_portable, write_portable

_BATCH_SIZE = 8
"""Samples in a batch where nothing is said."""

DEFAULT_CALLBACKS = (
    MoveModulesToDeviceCallback,
    TerminateOnNaNCallback,
    PrintProgressCallback,
    ProgressBarCallback,
    LogMetricsCallback,
)
"""The callbacks of a trainer that was given none."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A cooldown of a trunk, trained or merged.

    Args:
        length: The length that was asked for.
        start: Update at which its rate begins to fall.
        stop: Update at which it ended.
        metrics: The last value of every metric.
        record: What was written down from ``start`` on.
        digest: SHA-256 of its weights.
        path: File with its weights, or ``None``.
        error: Of a merge, how far its checkpoints are from the curve; ``None`` of a training.
    """

    length: Duration
    start: int
    stop: int
    metrics: dict[str, float]
    record: Record
    digest: str
    path: Path | None
    error: float | None = None
    __repr__ = brief


class Trainer(TrainingSteps):
    """Trains a model under any schedule, on one process or many; any run can be gone on with.

    Every step of the training is a method that a subclass may override:
    ``calculate_train_batch_loss``, ``backward_step``, ``optimizer_step``, ``scheduler_step``,
    ``create_train_dataloader`` …

    Args:
        model: The model.
        loss_func: Takes the model's output and the target, returns the mean loss of the batch.
        optimizer: An optimizer over the model's parameters.
        callbacks: Instances or classes; the default ones print progress and metrics and stop at
            NaN.
        run_history: Where metrics are kept.
        seed: Seed of the order of the data; ``None`` takes it from torch's current seed.
        mixed_precision: ``"no"``, ``"fp16"``, ``"bf16"``; ``None`` takes what ``accelerate`` was
            started with.
        log_with: Trackers by accelerate's names: ``"tensorboard"``, ``"wandb"`` …
        logging_dir: Where trackers write.
        on_spike: What is done when the loss or the gradient norm jumps, or is no number:
            ``wd.Rollback(…)``; nothing by default.

    Example:
        >>> import torch, warmdown as wd
        >>> from warmdown.training import Trainer
        >>> data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randn(64, 1))
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> trainer = Trainer(model, torch.nn.functional.mse_loss, optimizer, callbacks=())
        >>> plan = wd.warmup_cosine(warmup="25%")
        >>> trainer.train(data, num_epochs=2, per_device_batch_size=8, plan=plan)
        >>> trainer.progress.updates, len(trainer.run_history.get_metric_values("train_loss_epoch"))
        (16, 2)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss_func: Callable[..., torch.Tensor] | None,
        optimizer: torch.optim.Optimizer,
        callbacks: Iterable[CallbackOrClass] = DEFAULT_CALLBACKS,
        run_history: RunHistory | None = None,
        *,
        seed: int | None = None,
        mixed_precision: str | None = None,
        log_with: Any = None,
        logging_dir: FilePath | None = None,
        on_spike: Rollback | None = None,
    ) -> None:
        self.model = model
        self.on_spike = on_spike
        self.loss_func = loss_func
        self.optimizer = optimizer
        self.run_history = run_history or InMemoryRunHistory()
        self.seed = torch.initial_seed() % 2**63 if seed is None else seed
        self.base_values = BaseValues()
        self.callback_handler = CallbackHandler(callbacks)
        self._accelerator_kwargs = {
            "mixed_precision": mixed_precision, "log_with": log_with, "project_dir": logging_dir,
        }  # fmt: skip
        # by this name the subclasses that people bring along know it
        self._accelerator = self._create_accelerator()
        self._is_prepared = False
        self.run_state = RunState(accelerator=self._accelerator)
        self.call_event("on_init_end")

    def __repr__(self) -> str:
        """Return the classes of model and optimizer, and how far the training has come."""
        parts = [vars(self).get(name) for name in ("model", "optimizer")]
        names = [type(part).__name__ for part in parts if part is not None]
        run = vars(self).get("run_state")
        done = f": {run.progress.updates:,} updates" if run else ""
        return f"<{type(self).__name__} of {' and '.join(names) or 'nothing yet'}{done}>"

    def train(
        self,
        train_dataset: Any,
        num_epochs: int,
        eval_dataset: Any = None,
        per_device_batch_size: int | None = None,
        max_num_train_steps: int | None = None,
        gradient_accumulation_steps: int = 1,
        gradient_clip_value: float | None = None,
        create_scheduler_fn: Any = None,
        train_dataloader_kwargs: Settings | None = None,
        eval_dataloader_kwargs: Settings | None = None,
        reset_run_history: bool = True,
        collate_fn: Callable[..., Any] | None = None,
        resume_from: FilePath | None = None,
        *,
        plan: Any = None,
        gradient_clip_norm: float | None = None,
        on_change: str = "error",
        bind: Mapping[str, Any] | None = None,
    ) -> None:
        """Train the model.

        Args:
            train_dataset: What to train on: a dataset, a list of samples, or a ``DataLoader``,
                which keeps its batches, sampler and workers.
            num_epochs: Passes over it.
            eval_dataset: What to evaluate on after each epoch, likewise.
            per_device_batch_size: Samples in a batch of one process; by default those of a loader,
                else 8.
            max_num_train_steps: Updates to make; it overrides ``num_epochs``.
            gradient_accumulation_steps: Batches of one process that make an update.
            gradient_clip_value: Largest absolute value of a gradient's element.
            create_scheduler_fn: A function that makes a scheduler of the optimizer (its arguments
                may hold placeholders), or what ``plan`` takes.
            train_dataloader_kwargs: For the training loader, over the defaults.
            eval_dataloader_kwargs: For the evaluation's loader, over the defaults.
            reset_run_history: Whether metrics of an earlier call are forgotten.
            collate_fn: Makes a batch of samples.
            resume_from: A checkpoint, or a folder of them: its newest good one.
            plan: A plan, a schedule for the learning rate, the path of a plan's file, or its data.
            gradient_clip_norm: Largest norm of all gradients together.
            on_change: What happens when a checkpoint was made under another plan, or by an
                optimizer made with another rate or weight decay: ``"error"`` (it shows the
                difference; ``"fit"`` where only the size of batches changed), or a policy of the
                scheduler's.
            bind: What the plan drives beside the optimizer, by target name, as for
                :class:`~warmdown.Scheduler`: ``{"drop": Attribute(model[1], "p")}``. Resumes and
                cooldowns drive it too.

        Raises:
            TrainingError: The run cannot start, or a callback failed; the message names the
                checkpoint to go on from.
            StateError: The checkpoint is damaged, or of another plan.
        """
        if create_scheduler_fn is not None and plan is not None:
            raise TrainingError(
                "train(create_scheduler_fn=…, plan=…): both say what is scheduled. Give one of the "
                "two."
            )
        self.scheduler = None  # first: two that live would both write
        self.run_state = RunState(accelerator=self._accelerator)
        self.stopped_by = ""
        if reset_run_history and resume_from is None:
            self.run_history.reset()
        self.train_dataset = train_dataset
        self.eval_dataset = eval_dataset
        self.collate_fn = collate_fn
        self.create_scheduler_fn = plan if create_scheduler_fn is None else create_scheduler_fn
        self.bind = bind
        self.offered = self.callback_handler.targets()
        run = self.run_state
        run.on_change = on_change
        run.guard = None if self.on_spike is None else SpikeGuard(self.on_spike)
        _require_no_settings(
            "train(train_dataset",
            train_dataset,
            per_device_batch_size=per_device_batch_size,
            train_dataloader_kwargs=train_dataloader_kwargs,
            collate_fn=collate_fn,
        )
        kwargs = {"eval_dataloader_kwargs": eval_dataloader_kwargs}
        _require_no_settings("train(eval_dataset", eval_dataset, **kwargs)
        run.train_source, size = self._batches_of(
            self.create_train_dataloader,
            train_dataset,
            per_device_batch_size,
            train_dataloader_kwargs,
        )
        eval_size = size
        if eval_dataset is not None:
            run.eval_source, eval_size = self._batches_of(
                self.create_eval_dataloader, eval_dataset, size, eval_dataloader_kwargs
            )
        self.call_event("on_run_setup")
        run.config = with_epochs(
            self._create_run_config(
                num_epochs,
                size,
                eval_size,
                max_num_train_steps=max_num_train_steps,
                gradient_accumulation_steps=gradient_accumulation_steps,
                gradient_clip_value=gradient_clip_value,
                gradient_clip_norm=gradient_clip_norm,
            )
        )
        taken = {*self.offered, *(bind or {})}
        run.config = planned_batches(self.create_scheduler_fn, run, size, taken, self.optimizer)
        self._prepare()
        # before a scheduler writes: an earlier run must not leave its last rate as the base
        self.base_values.begin(self)
        self.scheduler = self.create_scheduler()
        plan_in_use = getattr(self.scheduler, "plan", None)
        run.counts_attempts = getattr(plan_in_use, "count", "") == "attempts"
        # before a checkpoint is read: another process may be writing the next one
        with outputs_locked(self):
            if resume_from is not None:
                self.load_training_state(resume_from, on_change=on_change)
            train_to_end(self)

    def create_scheduler(self) -> Any:
        """Return what steps once an update, or ``None``."""
        if self.create_scheduler_fn is None and not self.bind:
            return None
        return scheduler_for(
            self.create_scheduler_fn,
            self.optimizer,
            self.run_config,
            bind={**self.run_state.loader_numbers, **(self.bind or {})},
            offered=self.offered,
            loader=self.run_state.loader_number,
        )

    def extend(self, total_updates: int) -> None:
        """Go on with a finished run until it has made ``total_updates``, its plan made longer.

        Args:
            total_updates: Updates in the whole run, more than were made.

        Raises:
            TrainingError: There is no run to go on with, or it has made that many.
        """
        run = self.run_state
        if run.train_source is None:
            raise TrainingError("extend: there is no run to go on with. Call train(…) first.")
        if total_updates <= run.progress.updates:
            raise TrainingError(
                f"extend(total_updates={total_updates}): {run.progress.updates} were made already. "
                f"Ask for more."
            )
        if isinstance(self.scheduler, Scheduler):
            self.scheduler.extend(total_updates)
        run.config = replace(run.config, max_num_train_steps=total_updates)
        if run.guard is not None:
            run.guard.forbid_before(run.progress.updates)
        train_to_end(self)

    def branch_cooldowns(
        self,
        from_checkpoint: FilePath,
        lengths: Sequence[Duration],
        curve: Schedule | str | None = None,
        out_dir: FilePath | None = None,
        callbacks: Iterable[TrainerCallback] = (),
        *,
        by: Literal["training", "merge"] = "training",
    ) -> list[Branch]:
        """Make a cooldown of each length from one checkpoint, and return to that checkpoint.

        Args:
            from_checkpoint: The trunk: a checkpoint, or a folder of them.
            lengths: Length of each cooldown: updates, or a share of the trunk's planned run.
            curve: A schedule from 1 to 0, or a shape's name such as ``"1-sqrt"``; a straight line
                by default.
            out_dir: Where each branch leaves record and weights, or ``None``.
            callbacks: Callbacks of the branches; the trainer's own belong to the trunk and are left
                out.
            by: ``"training"`` goes on from the checkpoint with a falling rate. ``"merge"`` makes
                no update: the checkpoints before it are merged as
                :func:`~warmdown.merge_checkpoints` does, and the cooldown ends at the checkpoint.

        Raises:
            TrainingError: The trainer has not trained, has no plan, or there are too few
                checkpoints to merge.
        """
        if self.run_state.train_source is None:
            raise TrainingError(
                "branch_cooldowns: the trainer has not trained yet. Call train(…) for the trunk "
                "first."
            )
        if not isinstance(self.scheduler, Scheduler):
            raise TrainingError(
                "branch_cooldowns: the trunk has no plan to leave. Train it with train(plan=…)."
            )
        if by not in ("training", "merge"):
            raise TrainingError(f"branch_cooldowns(by={by!r}): 'training' or 'merge' is needed.")
        trunk, trunk_config = Path(from_checkpoint), self.run_config
        trunk_callbacks, checkpoints = self.callback_handler, self.checkpoints
        guard = self.run_state.guard
        self.checkpoints = self.run_state.guard = None
        branches = []
        try:
            for length in lengths:
                folder = None if out_dir is None else Path(out_dir) / _folder_name(length)
                cool = self._merge if by == "merge" else self._cool
                branches.append(cool(trunk, length, curve, folder, callbacks))
                self.run_state.config = trunk_config
        finally:
            self.run_state.config = trunk_config
            self.callback_handler = trunk_callbacks
            self.checkpoints, self.run_state.guard = checkpoints, guard
            _return_to(self, trunk)
            self.run_state.restore_random()
        return branches

    @contextmanager
    def _at_trunk(
        self,
        trunk: Path,
        folder: Path | None,
        callbacks: Iterable[TrainerCallback],
        *before: TrainerCallback,
    ) -> Iterator[RecordCallback]:
        """Return to the trunk's checkpoint, and record there what the block makes."""
        recorder = RecordCallback(None if folder is None else folder / "record.jsonl")
        self.callback_handler = CallbackHandler([*before, recorder, *callbacks])
        with outputs_locked(self):
            if recorder.path is not None and self.is_main:
                recorder.path.unlink(missing_ok=True)  # an earlier branch of that name
            _return_to(self, trunk)
            yield recorder

    def _cool(
        self,
        trunk: Path,
        length: Duration,
        curve: Schedule | str | None,
        folder: Path | None,
        callbacks: Iterable[TrainerCallback],
    ) -> Branch:
        """Train a cooldown from a checkpoint."""
        with self._at_trunk(trunk, folder, callbacks, TerminateOnNaNCallback()) as recorder:
            start = self.progress.updates
            stop = start + _start_decay(self.scheduler, length, curve)
            self.run_state.config = replace(self.run_config, max_num_train_steps=stop)
            # what the trunk was asked is not for its branches
            train_to_end(self, listens=False)
        weights = model_state(self)
        file = None if folder is None else folder / "weights.safetensors"
        if file is not None and self.is_main:
            write_portable(file, {"model_state_dict": weights})
        return Branch(
            length=length,
            start=start,
            stop=self.progress.updates,
            metrics=self.run_history.latest_metrics(),
            record=recorder.record,
            digest=digest_of_weights(weights),
            path=file,
        )

    def _merge(
        self,
        trunk: Path,
        length: Duration,
        curve: Schedule | str | None,
        folder: Path | None,
        callbacks: Iterable[TrainerCallback],
    ) -> Branch:
        """Merge the checkpoints before one into the cooldown that would end with it."""
        with self._at_trunk(trunk, folder, callbacks) as recorder:
            stop = self.progress.updates
            decay = _decay_to_merge(self.scheduler, length, curve)
            checkpoints = trunk.parent if trunk.name.startswith("update-") else trunk
            merged = merge_checkpoints(checkpoints, decay, at=stop)
            own = {name: len(values) for name, values in _values_in(self.run_history)}
            load_weights(self, {**model_state(self), **merged.weights}, None)
            recorder.on_training_run_start(self)
            if self.run_state.eval_source is not None:
                evaluate_once(self, is_observed=False)
            recorder.on_training_run_end(self)
        file = None if folder is None else folder / "weights.safetensors"
        if file is not None and self.is_main:
            merged.save(file)
        history = _values_in(self.run_history)
        return Branch(
            length=length,
            start=merged.start,
            stop=stop,
            metrics={
                name: values[-1] for name, values in history if len(values) > own.get(name, 0)
            },
            record=recorder.record,
            digest=digest_of_weights(merged.weights),
            path=file,
            error=merged.error,
        )

    def evaluate(
        self,
        dataset: Any = None,
        per_device_batch_size: int | None = None,
        dataloader_kwargs: Settings | None = None,
        collate_fn: Callable[..., Any] | None = None,
    ) -> RunHistory:
        """Evaluate the model once; return the history with the metrics.

        A run that was trained goes on as if this had not been: its schedule observes nothing.

        Args:
            dataset: What to evaluate on, as for :meth:`train`.
            per_device_batch_size: Samples in a batch of one process; by default those of a loader,
                else 8.
            dataloader_kwargs: For the loader, over the defaults.
            collate_fn: Makes a batch of samples.
        """
        self.eval_dataset = self.eval_dataset if dataset is None else dataset
        self.collate_fn = self.collate_fn if collate_fn is None else collate_fn
        if self.eval_dataset is None:
            raise TrainingError(
                "evaluate(dataset=None): there is nothing to evaluate on. Give a dataset."
            )
        _require_no_settings(
            "evaluate(dataset",
            self.eval_dataset,
            per_device_batch_size=per_device_batch_size,
            dataloader_kwargs=dataloader_kwargs,
            collate_fn=collate_fn,
        )
        source, size = self._batches_of(
            self.create_eval_dataloader, self.eval_dataset, per_device_batch_size, dataloader_kwargs
        )
        run = self.run_state
        before = run.config, run.eval_source
        run.eval_source = source
        try:
            self.call_event("on_run_setup")
            run.config = self._create_run_config(1, size, size)
            self._prepare()
            self.evaluation_run_start()
            self.call_event("on_evaluation_run_start")
            evaluate_once(self, is_observed=False)
            self.evaluation_run_end()
            self.call_event("on_evaluation_run_end")
        finally:
            source.close()
            if run.train_source is not None:  # that run may go on
                run.config, run.eval_source = before
        return self.run_history

    def evaluate_now(self, **kwargs: Any) -> None:
        """Evaluate in the middle of an epoch; callbacks get ``is_intermediate=True``."""
        if self.run_state.eval_source is None:
            raise TrainingError(
                "evaluate_now(): there is nothing to evaluate on. Give train(eval_dataset=…)."
            )
        evaluate_once(self, **{"is_intermediate": True, **kwargs})

    def save_training_state(self, output_dir: FilePath) -> Path:
        """Write all that the run needs to go on into a folder of its own; all processes call it."""
        return save_state(self, Path(output_dir))

    def load_training_state(self, input_dir: FilePath, *, on_change: str = "error") -> None:
        """Go to where a checkpoint was saved; a folder of checkpoints means its newest good one."""
        load_state(self, Path(input_dir), on_change)

    def save_checkpoint(
        self,
        save_path: FilePath,
        checkpoint_kwargs: Settings | None = None,
        save_optimizer: bool = True,
        save_scheduler: bool = True,
        save_per_node: bool = True,
    ) -> None:
        """Write one portable file with the weights, to be used elsewhere.

        Args:
            save_path: Ends in ``.safetensors`` (weights alone) or in anything else (read with
                ``weights_only``).
            checkpoint_kwargs: Plain data and tensors to put in.
            save_optimizer: Whether the optimizer's state goes in.
            save_scheduler: Whether the scheduler's state goes in.
            save_per_node: Whether every machine writes it, or the first alone.
        """
        content = {"model_state_dict": model_state(self), **(checkpoint_kwargs or {})}
        if save_optimizer:
            content["optimizer_state_dict"] = optimizer_state(self)
        if save_scheduler and hasattr(self.scheduler, "state_dict"):
            content["scheduler_state_dict"] = self.scheduler.state_dict()
        if self._accelerator.is_local_main_process if save_per_node else self.is_main:
            write_portable(Path(save_path), content)
        self._accelerator.wait_for_everyone()

    def load_checkpoint(
        self,
        checkpoint_path: FilePath,
        load_optimizer: bool = True,
        load_scheduler: bool = True,
    ) -> Data:
        """Read what :meth:`save_checkpoint` wrote; return the whole content.

        Raises:
            StateError: It is no such file, damaged, or of another model, optimizer or plan; nothing
                has changed then.
        """
        content = read_portable(Path(checkpoint_path))
        weights = content["model_state_dict"]
        groups = content.get("optimizer_state_dict") if load_optimizer else None
        require_same_shapes(self, weights, groups)  # before anything is loaded
        if load_scheduler and self.scheduler is not None and "scheduler_state_dict" in content:
            self.scheduler.load_state_dict(content["scheduler_state_dict"])
        load_weights(self, weights, groups)
        return content

    def _create_accelerator(self) -> Any:
        """Return the accelerator; override it to give it other arguments."""
        try:
            from accelerate import Accelerator  # type: ignore[import-untyped]
        except ImportError:
            raise MissingExtra("Trainer", "accelerate", "train") from None
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        has_device = torch.cuda.is_available() or torch.accelerator.is_available()
        accelerator = Accelerator(
            # accelerate overlooks several processes that torchrun started without a GPU
            cpu=processes > 1 and not has_device,
            # the trainer counts batches and updates itself
            step_scheduler_with_optimizer=False,
            **self._accelerator_kwargs,
        )
        if accelerator.num_processes != processes:
            raise TrainingError(
                f"Trainer: {processes} processes were started, and accelerate sees "
                f"{accelerator.num_processes}: each would train alone. Make no Accelerator before "
                f"the trainer, or make it as the trainer would."
            )
        return accelerator

    def _prepare(self) -> None:
        """Let accelerate prepare model and optimizer, also after an earlier run."""
        model = self.get_model()
        if self._is_prepared:
            self._accelerator.free_memory()
        self._is_prepared = True
        self.model, self.optimizer = self._accelerator.prepare(model, unwrap(self.optimizer))

    def _batches_of(
        self,
        create: Callable[..., Iterable[Any]],
        data: Any,
        size: int | None,
        kwargs: Settings | None,
    ) -> tuple[DataSource, Any]:
        """Return this process's batches of some data, and how many samples each holds."""
        if size is None and not isinstance(data, DataLoader):
            size = _BATCH_SIZE
        loader, accelerator = create(size, kwargs), self._accelerator
        rank = Rank(accelerator.process_index, accelerator.num_processes)
        source = data_source(loader, seed=self.seed, rank=rank)
        return source, samples_in_batch(loader) or size

    def _create_run_config(
        self, num_epochs: int, train_size: int | None, eval_size: int | None, **limits: Any
    ) -> TrainerRunConfig:
        run, accelerator = self.run_state, self._accelerator
        return TrainerRunConfig(
            num_epochs=num_epochs,
            train_per_device_batch_size=train_size,
            eval_per_device_batch_size=eval_size,
            train_batches_per_epoch=usable_batches(run.train_source, run.train_limit),
            eval_batches=usable_batches(run.eval_source, run.eval_limit),
            num_processes=accelerator.num_processes,
            mixed_precision=accelerator.mixed_precision,
            is_local_process_zero=accelerator.is_local_main_process,
            is_world_process_zero=accelerator.is_main_process,
            **limits,
        )


def _require_no_settings(who: str, data: Any, **settings: Any) -> None:
    """Refuse settings of a loader where a loader is given that has others.

    Raises:
        TrainingError: The message names the setting.
    """
    if not isinstance(data, DataLoader):
        return
    its_own = {
        "per_device_batch_size": samples_in_batch(data) or settings.get("per_device_batch_size"),
        "collate_fn": data.collate_fn,
    }
    for name, value in settings.items():
        if value and value != its_own.get(name):
            raise TrainingError(
                f"{who}=DataLoader, {name}={value!r:.60}): the loader makes its batches itself "
                f"(batch_size={data.batch_size}, collate_fn={data.collate_fn!r:.60}). Leave "
                f"{name} out, or give the loader's dataset."
            )


branch_cooldowns = Trainer.branch_cooldowns


def _return_to(trainer: Trainer, trunk: Path) -> None:
    trainer.replace_scheduler()  # without the events of another branch
    load_state(trainer, trunk, "error", is_quiet=True)


def _start_decay(scheduler: Scheduler, length: Duration, curve: Schedule | str | None) -> int:
    """Begin a decay of the rate; return how many updates it takes."""
    rest = scheduler.run.shifted(scheduler.position)
    updates = rest.measure(length, who="branch_cooldowns")
    if not updates:
        raise TrainingError(
            f"branch_cooldowns(lengths=[{length!r}, …]): a cooldown has at least one update."
        )
    scheduler.decay_now(over=updates, curve=curve)
    return int(updates)


def _decay_to_merge(
    scheduler: Scheduler, length: Duration, curve: Schedule | str | None
) -> Schedule:
    """Return the decay of the rate with its length in updates, as ``decay_now`` would make it."""
    if scheduler.run.clock != "updates":
        raise TrainingError(
            f"branch_cooldowns(by='merge'): the plan's clock is {scheduler.run.clock}, and a merge "
            f"counts updates. Call merge_checkpoints with a decay in updates."
        )
    if isinstance(curve, str):
        curve = curve_of(curve)(1.0, 0.0, "rest")
    return decay_event(0, scheduler.run, length, curve, "lr").curve


def _values_in(history: RunHistory) -> list[tuple[str, list[float]]]:
    return [(name, history.get_metric_values(name)) for name in history.get_metric_names()]


def _folder_name(length: Duration) -> str:
    return "cooldown-" + re.sub(r"\W+", "pct" if str(length).endswith("%") else "-", str(length))
