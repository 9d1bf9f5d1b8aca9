"""The trainer: a model, a loss, an optimizer, and the steps of a training that a subclass may change."""

from __future__ import annotations

__all__ = ["Trainer"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from warmdown.binding.field import unwrap
from warmdown.errors import TrainingError
from warmdown.printable import printable
from warmdown.run import Duration
from warmdown.training import state
from warmdown.training.branch import Branch, branch_cooldowns, extend
from warmdown.training.callbacks import DEFAULT_CALLBACKS, CallbackHandler, TrainerCallback
from warmdown.training.checkpoint import Checkpoints
from warmdown.training.history import InMemoryRunHistory, RunHistory
from warmdown.training.inside import Inside
from warmdown.training.loop import evaluate_once, run_evaluation
from warmdown.training.planning import Bases, scheduler_for
from warmdown.training.portable import load_portable, save_portable
from warmdown.training.progress import with_epochs

Batch = Any
Output = dict[str, Any]


class Trainer(Inside):
    """Trains a model on one process or many, under any schedule, so that it can be gone on with at any moment.

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

    Example:
        >>> import torch, warmdown as wd
        >>> from warmdown.training import Trainer
        >>> data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randn(64, 1))
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> trainer = Trainer(model, torch.nn.functional.mse_loss, optimizer, callbacks=())
        >>> trainer.train(data, num_epochs=2, per_device_batch_size=8, plan=wd.warmup_cosine(warmup="25%"))
        >>> trainer.progress.updates, len(trainer.run_history.get_metric_values("train_loss_epoch"))
        (16, 2)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss_func: Callable[..., torch.Tensor] | None,
        optimizer: torch.optim.Optimizer,
        callbacks: Iterable[TrainerCallback | type[TrainerCallback]] = DEFAULT_CALLBACKS,
        run_history: RunHistory | None = None,
        *,
        seed: int | None = None,
        mixed_precision: str | None = None,
        log_with: Any = None,
        logging_dir: str | PathLike[str] | None = None,
    ) -> None:
        self.model, self.loss_func, self.optimizer = model, loss_func, optimizer
        self.run_history = run_history or InMemoryRunHistory()
        self.seed = torch.initial_seed() % 2**63 if seed is None else seed
        self._accelerator_kwargs = {
            "mixed_precision": mixed_precision, "log_with": log_with, "project_dir": logging_dir,
        }  # fmt: skip
        self._accelerator = self._create_accelerator()
        self._forget_run()
        self._bases = Bases()
        self.checkpoints: Checkpoints | None = None
        self.callback_handler = CallbackHandler(callbacks)
        self._call("on_init_end")

    def train(
        self,
        train_dataset: Any,
        num_epochs: int,
        eval_dataset: Any = None,
        per_device_batch_size: int = 8,
        max_num_train_steps: int | None = None,
        gradient_accumulation_steps: int = 1,
        gradient_clip_value: float | None = None,
        create_scheduler_fn: Any = None,
        train_dataloader_kwargs: Mapping[str, Any] | None = None,
        eval_dataloader_kwargs: Mapping[str, Any] | None = None,
        reset_run_history: bool = True,
        collate_fn: Callable[..., Any] | None = None,
        resume_from: str | PathLike[str] | None = None,
        *,
        plan: Any = None,
        gradient_clip_norm: float | None = None,
        on_change: str = "ask",
    ) -> None:
        """Train the model.

        Args:
            train_dataset: What to train on.
            num_epochs: Passes over it.
            eval_dataset: What to evaluate on after each epoch.
            per_device_batch_size: Samples in a batch of one process.
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
            on_change: What happens when a checkpoint was made under another plan: ``"ask"`` (an
                error shows the difference; ``"fit"`` where only the size of batches changed), or a
                policy of the scheduler's.

        Raises:
            TrainingError: The run cannot start, or a callback failed; the message says where it can
                go on from.
            StateError: The checkpoint is damaged, or of another plan.
        """
        self._forget_run()
        if reset_run_history and resume_from is None:
            self.run_history.reset()
        self.train_dataset, self.eval_dataset, self.collate_fn = (
            train_dataset,
            eval_dataset,
            collate_fn,
        )
        self.create_scheduler_fn = _one_schedule(create_scheduler_fn, plan)
        self._make_sources(per_device_batch_size, train_dataloader_kwargs, eval_dataloader_kwargs)
        self._call("on_run_setup")
        told = self._create_run_config(
            num_epochs,
            per_device_batch_size,
            max_num_train_steps=max_num_train_steps,
            gradient_accumulation_steps=gradient_accumulation_steps,
            gradient_clip_value=gradient_clip_value,
            gradient_clip_norm=gradient_clip_norm,
        )
        self.run_config = with_epochs(told)
        self._prepare()
        self._bases.begin(self.optimizer)
        self.scheduler = self.create_scheduler()
        self._counts_attempts = (
            getattr(getattr(self.scheduler, "plan", None), "count", "") == "attempts"
        )
        with self._outputs_locked():
            if resume_from is not None:
                self.load_training_state(resume_from, on_change=on_change)
            self._run()

    def extend(self, total_updates: int) -> None:
        """Go on with a finished run until it has made ``total_updates``; the plan is made longer, and remembers it.

        Args:
            total_updates: Updates in the whole run, more than were made.

        Raises:
            TrainingError: There is no run to go on with, or it has made that many.
        """
        extend(self, total_updates)

    def branch_cooldowns(
        self,
        from_checkpoint: str | PathLike[str],
        lengths: Sequence[Duration],
        curve: Any = None,
        out_dir: str | PathLike[str] | None = None,
        callbacks: Iterable[TrainerCallback] = (),
    ) -> list[Branch]:
        """Train a cooldown of each length from one checkpoint; the trainer then stands at that checkpoint again.

        Args:
            from_checkpoint: The trunk: a checkpoint, or a folder of them.
            lengths: Length of each cooldown: ``["5%", "10%", 200]``, a share is of the trunk's
                planned run.
            curve: A schedule from 1 to 0, or a shape's name such as ``"1-sqrt"``; a straight line
                by default.
            out_dir: Where each branch leaves record and weights.
            callbacks: What looks on; those of the trainer belong to the trunk and are left out.
        """
        return branch_cooldowns(self, from_checkpoint, lengths, curve, out_dir, callbacks)

    def evaluate(
        self,
        dataset: Any = None,
        per_device_batch_size: int = 8,
        dataloader_kwargs: Mapping[str, Any] | None = None,
        collate_fn: Callable[..., Any] | None = None,
    ) -> RunHistory:
        """Evaluate the model once; return the history with the metrics.

        Args:
            dataset: What to evaluate on.
            per_device_batch_size: Samples in a batch of one process.
            dataloader_kwargs: For the loader, over the defaults.
            collate_fn: Makes a batch of samples.
        """
        self.eval_dataset = dataset if dataset is not None else self.eval_dataset
        if self.eval_dataset is None:
            raise TrainingError(
                "evaluate(dataset=None): there is nothing to evaluate on. Give a dataset."
            )
        self.collate_fn = collate_fn if collate_fn is not None else self.collate_fn
        self._eval_source = self._source(
            self.create_eval_dataloader(per_device_batch_size, dataloader_kwargs)
        )
        self._call("on_run_setup")
        self.run_config = self._create_run_config(1, per_device_batch_size)
        self._prepare()
        try:
            run_evaluation(self)
        finally:
            self._close_sources()
        return self.run_history

    def save_training_state(self, output_dir: str | PathLike[str]) -> Path:
        """Write everything that the run needs to go on into a folder of its own; all processes call it."""
        return state.save(self, Path(output_dir))

    def load_training_state(
        self, input_dir: str | PathLike[str], *, on_change: str = "ask"
    ) -> None:
        """Go to where a checkpoint was saved; a folder of checkpoints means its newest good one."""
        state.load(self, Path(input_dir), on_change)

    def save_checkpoint(
        self,
        save_path: str | PathLike[str],
        checkpoint_kwargs: Mapping[str, Any] | None = None,
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
        writes = (
            self._accelerator.is_local_main_process
            if save_per_node
            else self._accelerator.is_main_process
        )
        save_portable(
            self,
            Path(save_path),
            checkpoint_kwargs or {},
            optimizer=save_optimizer,
            scheduler=save_scheduler,
            writes=writes,
        )

    def load_checkpoint(
        self,
        checkpoint_path: str | PathLike[str],
        load_optimizer: bool = True,
        load_scheduler: bool = True,
    ) -> None:
        """Read what :meth:`save_checkpoint` wrote."""
        load_portable(
            self, Path(checkpoint_path), optimizer=load_optimizer, scheduler=load_scheduler
        )

    def create_train_dataloader(
        self, batch_size: int, train_dl_kwargs: Mapping[str, Any] | None = None
    ) -> Iterable[Batch]:
        """Return the batches to train on, for one process; the trainer shares them out."""
        return self._loader(
            self.train_dataset, self.get_default_train_dl_kwargs(batch_size), train_dl_kwargs
        )

    def create_eval_dataloader(
        self, batch_size: int, eval_dl_kwargs: Mapping[str, Any] | None = None
    ) -> Iterable[Batch]:
        """Return the batches to evaluate on, for one process; the trainer shares them out."""
        return self._loader(
            self.eval_dataset, self.get_default_eval_dl_kwargs(batch_size), eval_dl_kwargs
        )

    def get_default_train_dl_kwargs(self, batch_size: int) -> dict[str, Any]:
        """Return what the training loader is made with."""
        return {"batch_size": batch_size, "shuffle": True, "pin_memory": self.device.type == "cuda"}

    def get_default_eval_dl_kwargs(self, batch_size: int) -> dict[str, Any]:
        """Return what the evaluation's loader is made with."""
        return {
            "batch_size": batch_size,
            "shuffle": False,
            "pin_memory": self.device.type == "cuda",
        }

    def create_scheduler(self) -> Any:
        """Return what steps once an update, or ``None``."""
        if self.create_scheduler_fn is None:
            return None
        return scheduler_for(self.create_scheduler_fn, self.optimizer, self.run_config)

    def training_run_start(self) -> None:
        """Begin a training."""

    def train_epoch_start(self) -> None:
        """Begin an epoch: the model learns, the mean loss starts anew."""
        self.model.train()
        if self.progress.batch == 0:
            self._loss_tracker.reset()

    def calculate_train_batch_loss(self, batch: Batch) -> Output:
        """Return ``loss``, ``model_outputs`` and ``batch_size`` of a batch of pairs."""
        inputs, target = batch[0], batch[1]
        outputs = self.model(inputs)
        loss = self.loss_func(outputs, target)  # type: ignore[misc]
        return {"loss": loss, "model_outputs": outputs, "batch_size": len(target)}

    def backward_step(self, loss: torch.Tensor) -> None:
        """Add a batch's part to the gradients."""
        self._accelerator.backward(loss)

    def optimizer_step(self) -> None:
        """Let the optimizer make an update."""
        self._step_optimizer()

    def scheduler_step(self) -> None:
        """Count the update; called once for each that was applied, on every process."""
        if self.scheduler is not None and not _wants_metric(self.scheduler):
            self.scheduler.step()

    def optimizer_zero_grad(self) -> None:
        """Forget the gradients."""
        unwrap(self.optimizer).zero_grad()

    def train_epoch_end(self) -> None:
        """End an epoch of training."""

    def eval_epoch_start(self) -> None:
        """Begin an evaluation: the model is only asked."""
        self._was_training = self.model.training
        self.model.eval()
        self._eval_tracker.reset()

    def calculate_eval_batch_loss(self, batch: Batch) -> Output:
        """Return ``loss``, ``model_outputs`` and ``batch_size`` of a batch of pairs."""
        return Trainer.calculate_train_batch_loss(self, batch)

    def eval_epoch_end(self) -> None:
        """End an evaluation."""
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
    def device(self) -> torch.device:
        """Where the model works."""
        device: torch.device = self._accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints and writes."""
        return bool(self._accelerator.is_main_process)

    @property
    def window_loss(self) -> float | torch.Tensor:
        """The mean loss of the update at hand on this process; on a device, a tensor that nobody waited for."""
        return self._loss_tracker.window_loss

    def get_model(self, keep_torch_compile: bool = True) -> torch.nn.Module:
        """Return the model without what the distribution put around it."""
        model: torch.nn.Module = self._accelerator.unwrap_model(
            self.model, keep_torch_compile=keep_torch_compile
        )
        return model

    def gather(self, tensor: torch.Tensor, padding_value: float | None = None) -> torch.Tensor:
        """Return the tensors of all processes, one after the other; uneven ones are filled up first."""
        if padding_value is not None:
            tensor = self._accelerator.pad_across_processes(tensor, pad_index=int(padding_value))
        gathered: torch.Tensor = self._accelerator.gather(tensor)
        return gathered

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print, once for all processes of a machine."""
        self._accelerator.print(*map(printable, map(str, args)), **kwargs)

    def evaluate_now(self, **kwargs: Any) -> None:
        """Evaluate in the middle of an epoch; callbacks are told ``is_intermediate=True``."""
        if self._eval_source is None:
            raise TrainingError(
                "evaluate_now(): there is nothing to evaluate on. Give train(eval_dataset=…)."
            )
        evaluate_once(self, is_intermediate=True, **kwargs)
        self.model.train()


def _one_schedule(factory: Any, plan: Any) -> Any:
    if factory is not None and plan is not None:
        raise TrainingError(
            "train(create_scheduler_fn=…, plan=…): both say what is scheduled. Give one of the two."
        )
    return plan if factory is None else factory


def _wants_metric(scheduler: Any) -> bool:
    return isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
