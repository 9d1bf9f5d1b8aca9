"""One trunk, many cooldowns: each branch goes on from one checkpoint and decays over its length."""

from __future__ import annotations

__all__ = ["Branch", "branch_cooldowns"]

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from warmdown.binding import Scheduler
from warmdown.errors import TrainingError
from warmdown.record import Record
from warmdown.run import Duration
from warmdown.schedules import Schedule
from warmdown.schedules.recipes.shapes import curve_of
from warmdown.training.callback import CallbackHandler, TrainerCallback
from warmdown.training.callbacks.monitor import RecordCallback
from warmdown.training.callbacks.stopping import TerminateOnNaNCallback
from warmdown.training.interruption import outputs_locked, train_to_end
from warmdown.training.sharded import model_state
from warmdown.training.state import load_state
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import FilePath
from warmdown.training.weights import digest_of_weights, write_portable


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A cooldown that was trained from a trunk.

    Args:
        length: The length that was asked for.
        start: Update at which it left the trunk.
        stop: Update at which it ended.
        metrics: The last value of every metric.
        record: What was written down from ``start`` on.
        digest: SHA-256 of its weights.
        path: File with its weights, or ``None``.
    """

    length: Duration
    start: int
    stop: int
    metrics: dict[str, float]
    record: Record
    digest: str
    path: Path | None


def branch_cooldowns(
    trainer: TrainingSteps,
    from_checkpoint: FilePath,
    lengths: Sequence[Duration],
    curve: Schedule | str | None = None,
    out_dir: FilePath | None = None,
    callbacks: Iterable[TrainerCallback] = (),
) -> list[Branch]:
    """Train a cooldown of each length from one checkpoint, and return to that checkpoint.

    Args:
        trainer: A trainer that has trained the trunk, or has been set up to.
        from_checkpoint: The trunk: a checkpoint, or a folder of them.
        lengths: Length of each cooldown: updates, or a share of the trunk's planned run.
        curve: A schedule from 1 to 0, or a shape's name such as ``"1-sqrt"``; a straight line by
            default.
        out_dir: Where each branch leaves record and weights, or ``None``.
        callbacks: Callbacks of the branches; the trainer's own belong to the trunk and are left
            out.

    Raises:
        TrainingError: The trainer has not trained, or has no plan.
    """
    if trainer.run_state.train_source is None:
        raise TrainingError(
            "branch_cooldowns: the trainer has not trained yet. Call train(…) for the trunk first."
        )
    if not isinstance(trainer.scheduler, Scheduler):
        raise TrainingError(
            "branch_cooldowns: the trunk has no plan to leave. Train it with train(plan=…)."
        )
    trunk, trunk_config = Path(from_checkpoint), trainer.run_config
    trunk_callbacks, checkpoints = trainer.callback_handler, trainer.checkpoints
    trainer.checkpoints = None
    branches = []
    try:
        for length in lengths:
            branches.append(_branch(trainer, trunk, length, curve, out_dir, callbacks))
            trainer.run_state.config = trunk_config
    finally:
        trainer.run_state.config = trunk_config
        trainer.callback_handler = trunk_callbacks
        trainer.checkpoints = checkpoints
        _return_to(trainer, trunk)
        trainer.run_state.restore_random()
    return branches


def _branch(
    trainer: TrainingSteps,
    trunk: Path,
    length: Duration,
    curve: Schedule | str | None,
    out_dir: FilePath | None,
    callbacks: Iterable[TrainerCallback],
) -> Branch:
    folder = None if out_dir is None else Path(out_dir) / f"cooldown-{_file_name(length)}"
    recorder = RecordCallback(None if folder is None else folder / "record.jsonl")
    trainer.callback_handler = CallbackHandler([TerminateOnNaNCallback(), recorder, *callbacks])
    with outputs_locked(trainer):
        if recorder.path is not None and trainer.is_main:
            recorder.path.unlink(missing_ok=True)  # an earlier branch of that name
        _return_to(trainer, trunk)
        start = trainer.progress.updates
        stop = start + _start_decay(trainer.scheduler, length, curve)
        trainer.run_state.config = replace(trainer.run_config, max_num_train_steps=stop)
        train_to_end(trainer)
    weights = model_state(trainer)
    file = None if folder is None else folder / "weights.safetensors"
    if file is not None and trainer.is_main:
        write_portable(file, {"model_state_dict": weights})
    return Branch(
        length=length,
        start=start,
        stop=trainer.progress.updates,
        metrics=trainer.run_history.latest_metrics(),
        record=recorder.record,
        digest=digest_of_weights(weights),
        path=file,
    )


def _return_to(trainer: TrainingSteps, trunk: Path) -> None:
    trainer.replace_scheduler()  # without the events of another branch
    load_state(trainer, trunk, "error", is_quiet=True)


def _start_decay(scheduler: Scheduler, length: Duration, curve: Schedule | str | None) -> int:
    """Begin a decay of the rate; return how many updates it takes."""
    updates = scheduler.run.measure(length, who="branch_cooldowns")
    if not updates:
        raise TrainingError(
            f"branch_cooldowns(lengths=[{length!r}, …]): a cooldown has at least one update."
        )
    shape = curve_of(curve)(1.0, 0.0, updates) if isinstance(curve, str) else curve
    scheduler.decay_now(over=updates, curve=shape)
    return int(updates)


def _file_name(length: Duration) -> str:
    return re.sub(r"\W+", "pct" if str(length).endswith("%") else "-", str(length))
