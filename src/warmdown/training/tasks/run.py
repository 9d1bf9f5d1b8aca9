"""One run: a task under a plan from a seed. The same three give the same weights, bit for bit."""

from __future__ import annotations

__all__ = ["Outcome", "TaskTrainer", "run_task"]

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from warmdown.files import write_whole
from warmdown.lock import Output
from warmdown.plan import Plan
from warmdown.record import Record
from warmdown.shown import brief
from warmdown.training.callback import TrainerCallback
from warmdown.training.callbacks import (
    AveragedWeightsCallback,
    MergedWeightsCallback,
    RecordCallback,
    SavePlanCallback,
    SaveTrainingStateCallback,
    StopAfterCallback,
    TerminateOnNaNCallback,
    TrackerCallback,
)
from warmdown.training.callbacks.averaging import is_planned
from warmdown.training.history import LossTracker
from warmdown.training.planning import run_in
from warmdown.training.rng import derive_seed, seed_everything
from warmdown.training.spikes import Rollback
from warmdown.training.steps import TrainingSteps
from warmdown.training.tasks.task import Task, task_of
from warmdown.training.trainer import Trainer
from warmdown.training.types import Data, FilePath
from warmdown.training.weights import digest_of_weights

_UPDATES_TO_GO_BACK = 100
"""Updates between two checkpoints of a run that may go back."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a run.

    Args:
        metrics: The last value of every metric.
        digest: SHA-256 of the weights.
        updates: Updates that were made.
        seconds: How long the training took, in this process.
        stopped: Why it ended early, or nothing.
        record: Everything that was written down.
        plan: What was followed, its lengths measured on the run; ``None`` for a constant rate.
    """

    metrics: dict[str, float]
    digest: str
    updates: int
    seconds: float
    stopped: str
    record: Record
    plan: Plan | None

    __repr__ = brief

    def to_dict(self) -> Data:
        """Return everything but the record and the plan as plain data."""
        return {name: fact for name, fact in vars(self).items() if name not in ("record", "plan")}


def run_task(
    name: str,
    plan: Any = None,
    *,
    out: FilePath | None = None,
    seed: int = 0,
    epochs: int | None = None,
    max_steps: int | None = None,
    stop_after: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    accumulate: int = 1,
    resume: bool = False,
    checkpoint_every: int | None = None,
    keep: int | None = 3,
    track: Sequence[str] = (),
    on_change: str = "error",
    on_spike: Rollback | None = None,
    average: Iterable[str] = (),
    merge: str | None = None,
    callbacks: Iterable[TrainerCallback] = (),
) -> Outcome:
    """Train a task under a plan.

    Args:
        name: The task, as for :func:`task_of`.
        plan: What is scheduled, as for :meth:`Trainer.train`; ``None`` is a constant rate. The
            ``lr``, ``epochs`` and ``total_steps`` of its run count where nothing else is said.
        out: Folder for record, plan, checkpoints, events and result, or ``None``: nothing is
            written.
        seed: Seed of weights, order and everything else that is random.
        epochs: Passes over the data.
        max_steps: Updates in the run.
        stop_after: Updates after which to stop; the plan stays that of the whole run.
        lr: Base learning rate.
        batch_size: Samples in a batch of one process.
        accumulate: Batches of one process that make an update.
        resume: Whether to go on from the newest good checkpoint in ``out``, where there is one.
        checkpoint_every: Updates between two checkpoints; the end is always saved when there is a
            folder.
        keep: How many checkpoints are kept.
        track: Trackers by accelerate's names.
        on_change: What happens when the checkpoint was made under another plan.
        on_spike: What is done when the loss jumps, as for a trainer; checkpoints are then saved
            every 100 updates where nothing else is said.
        average: Averages of the weights, each evaluated beside them: ``"0.999"``, ``"half-life
            5%"`` or ``"tail 25%"``. Where the plan has a target ``ema_decay``, there is one more.
        merge: A decay, as ``"1-sqrt 10%"``: what the run would be worth if it were cooled now is
            measured beside its loss, from its checkpoints.
        callbacks: More of them.
    """
    seed_everything(seed)
    task = task_of(name)
    folder = None if out is None else Path(out)
    if on_spike is not None and checkpoint_every is None:
        checkpoint_every = _UPDATES_TO_GO_BACK
    run = run_in(plan)
    recorder = RecordCallback(None if folder is None else folder / "record.jsonl")
    resume_from = None
    others: list[TrainerCallback] = [TrackerCallback("events")] if track else []
    if folder is not None:
        saving = SaveTrainingStateCallback(
            folder / "checkpoints", save_every_n_steps=checkpoint_every, max_checkpoints=keep
        )
        others += [_RunFolder(folder), SavePlanCallback(folder / "plan.yaml"), saving]
        if resume:
            resume_from, damages = saving.checkpoints.newest_good()
            for damage in damages:
                print(damage)
    others += [AveragedWeightsCallback.of(text, folder) for text in average]
    others.append(_PlannedAverage(folder))
    others += [] if merge is None else [MergedWeightsCallback(merge)]
    # the last of all, so that the last update is written down
    stops = [] if stop_after is None else [StopAfterCallback(stop_after)]
    rates = (lr, run.lr, task.lr)
    trainer = TaskTrainer(
        task,
        lr=next(rate for rate in rates if rate is not None),
        callbacks=[TerminateOnNaNCallback(), recorder, *others, *callbacks, *stops],
        seed=seed,
        log_with=list(track) or None,
        on_spike=on_spike,
        logging_dir=folder,
    )
    rank = trainer.run_state.accelerator.process_index
    seed_everything(derive_seed(seed, rank))  # dropout differs between processes
    epochs = epochs or run.epochs
    began = perf_counter()
    trainer.train(
        task.train,
        epochs or task.epochs,
        task.test,
        per_device_batch_size=task.size_of_batch(batch_size),
        max_num_train_steps=max_steps or (None if epochs else run.total_steps),
        gradient_accumulation_steps=accumulate,
        plan=plan,
        resume_from=resume_from,
        on_change=on_change,
        bind=None if plan is None else task.bind,
    )
    seconds = perf_counter() - began
    metrics = trainer.run_history.latest_metrics()
    outcome = Outcome(
        metrics={name.removesuffix("_epoch"): value for name, value in metrics.items()},
        digest=digest_of_weights(trainer.get_model(keep_torch_compile=False)),
        updates=trainer.progress.updates,
        seconds=seconds,
        stopped=trainer.stopped_by,
        record=recorder.record,
        plan=getattr(trainer.scheduler, "plan", None),
    )
    if folder is not None and trainer.is_main:
        result = {"task": name, "seed": seed, **outcome.to_dict()}
        write_whole(folder / "result.json", json.dumps(result, indent=1))
    return outcome


class TaskTrainer(Trainer):
    """A trainer that also measures a task's metrics.

    Args:
        task: What to train on.
        lr: Base learning rate.
        kwargs: As for a trainer.
    """

    def __init__(self, task: Task, *, lr: float, **kwargs: Any) -> None:
        self.task = task
        self._metrics = {name: LossTracker() for name in task.metrics}
        super().__init__(task.model, task.loss, task.optimizer(task.model, lr), **kwargs)

    def eval_epoch_start(self) -> None:
        """Begin an evaluation."""
        super().eval_epoch_start()
        for tracker in self._metrics.values():
            tracker.reset()

    def calculate_eval_batch_loss(self, batch: Any) -> Data:
        """Return loss and outputs, and add the batch to the task's metrics."""
        output = super().calculate_eval_batch_loss(batch)
        for name, metric in self.task.metrics.items():
            value = metric(output["model_outputs"], batch[1])
            self._metrics[name].update(value, output["batch_size"])
        return output

    def eval_epoch_end(self) -> None:
        """Add the metrics to the history."""
        for name, tracker in self._metrics.items():
            self.add_loss_metric(name, tracker)
        super().eval_epoch_end()


class _PlannedAverage(AveragedWeightsCallback):
    """An average that is kept where the plan has a decay for it.

    Args:
        folder: Where its weights are written at the end, or ``None``.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__(save_path=None if folder is None else folder / "ema.safetensors")

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin, unless the plan has none."""
        if is_planned(trainer.scheduler):
            super().on_training_run_start(trainer, **kwargs)


class _RunFolder(TrainerCallback):
    """Locks the folder of a run for one process.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def outputs(self) -> list[Output]:
        """Return the folder."""
        return [Output(f"run_task(out='{self.folder}')", self.folder, is_folder=True)]
