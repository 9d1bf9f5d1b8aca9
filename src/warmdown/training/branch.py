"""One trunk, many cooldowns: each branch goes on from the same checkpoint and decays over a length of its own."""

from __future__ import annotations

__all__ = ["Branch", "branch_cooldowns", "extend"]

import re
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmdown.binding import Scheduler
from warmdown.errors import TrainingError
from warmdown.record import Record
from warmdown.run import Duration
from warmdown.schedules import Schedule
from warmdown.schedules.recipes.shapes import curve_of
from warmdown.training import state
from warmdown.training.callbacks.base import CallbackHandler, TrainerCallback
from warmdown.training.callbacks.monitor import RecordCallback
from warmdown.training.callbacks.stopping import TerminateOnNaNCallback
from warmdown.training.portable import write_file
from warmdown.training.sharded import model_state
from warmdown.training.weights import digest_of_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warmdown.training.trainer import Trainer


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
    trainer: Trainer,
    from_checkpoint: str | PathLike[str],
    lengths: Sequence[Duration],
    curve: Schedule | str | None = None,
    out_dir: str | PathLike[str] | None = None,
    callbacks: Iterable[TrainerCallback] = (),
) -> list[Branch]:
    """Train a cooldown of each length from one checkpoint, and leave the trainer at that checkpoint.

    Args:
        trainer: A trainer that has trained the trunk, or has been set up to.
        from_checkpoint: The trunk: a checkpoint, or a folder of them.
        lengths: Length of each cooldown: updates, or a share of the trunk's planned run.
        curve: A schedule from 1 to 0, or a shape's name such as ``"1-sqrt"``; a straight line by
            default.
        out_dir: Where each branch leaves record and weights, or ``None``.
        callbacks: What looks on; the trainer's own are left out, for they belong to the trunk.

    Raises:
        TrainingError: The trainer has not been told what to train on, or has no plan.
    """
    if trainer._train_source is None:
        raise TrainingError(
            "branch_cooldowns: the trainer has not trained yet. Call train(…) for the trunk first."
        )
    if not isinstance(trainer.scheduler, Scheduler):
        raise TrainingError(
            "branch_cooldowns: the trunk has no plan to leave. Train it with train(plan=…)."
        )
    path = Path(from_checkpoint)
    trunk = trainer.run_config
    branches = []
    try:
        for length in lengths:
            branches.append(_branch(trainer, path, length, curve, out_dir, callbacks))
            trainer.run_config = trunk
    finally:
        trainer.run_config = trunk
        _return_to(trainer, path)
        trainer._restore_random()
    return branches


def extend(trainer: Trainer, total_updates: int) -> None:
    """Go on with a finished run until it has made ``total_updates``."""
    if trainer._train_source is None:
        raise TrainingError("extend: there is no run to go on with. Call train(…) first.")
    if total_updates <= trainer.progress.updates:
        raise TrainingError(
            f"extend(total_updates={total_updates}): {trainer.progress.updates} were made already. "
            f"Ask for more."
        )
    if isinstance(trainer.scheduler, Scheduler):
        trainer.scheduler.extend(total_updates)
    trainer.run_config = replace(trainer.run_config, max_num_train_steps=total_updates)
    trainer._run()


def _branch(
    trainer: Trainer,
    path: Path,
    length: Duration,
    curve: Schedule | str | None,
    out_dir: str | PathLike[str] | None,
    callbacks: Iterable[TrainerCallback],
) -> Branch:
    folder = None if out_dir is None else Path(out_dir) / f"cooldown-{_file_name(length)}"
    recorder = RecordCallback(None if folder is None else folder / "record.jsonl")
    with (
        _looked_on_by(trainer, [TerminateOnNaNCallback(), recorder, *callbacks]),
        trainer._outputs_locked(),
    ):
        if recorder.path is not None and trainer.is_main:
            recorder.path.unlink(missing_ok=True)  # an earlier branch of that name
        _return_to(trainer, path)
        start = trainer.progress.updates
        stop = start + _decay(trainer, length, curve)
        trainer.run_config = replace(trainer.run_config, max_num_train_steps=stop)
        trainer._run()
    weights = model_state(trainer._accelerator, trainer.model)
    file = None if folder is None else folder / "weights.safetensors"
    if file is not None and trainer.is_main:
        write_file(file, {"model_state_dict": weights})
    history = trainer.run_history
    return Branch(
        length=length,
        start=start,
        stop=trainer.progress.updates,
        metrics={name: history.get_latest_metric(name) for name in history.get_metric_names()},
        record=recorder.record,
        digest=digest_of_weights(weights),
        path=file,
    )


def _return_to(trainer: Trainer, path: Path) -> None:
    trainer.scheduler = None  # first: two that live would both write
    trainer.scheduler = trainer.create_scheduler()  # without the events of another branch
    state.load(trainer, path, "ask", aloud=False)


def _decay(trainer: Trainer, length: Duration, curve: Any) -> int:
    """Let the rate go down from here; return over how many updates."""
    updates = trainer.scheduler.run.measure(length, who="branch_cooldowns")
    if not updates:
        raise TrainingError(
            f"branch_cooldowns(lengths=[{length!r}, …]): a cooldown has at least one update."
        )
    trainer.scheduler.decay_now(over=updates, curve=_shape(curve, updates))
    return int(updates)


def _shape(curve: Schedule | str | None, updates: int) -> Schedule | None:
    return curve_of(curve)(1.0, 0.0, updates) if isinstance(curve, str) else curve


@contextmanager
def _looked_on_by(trainer: Trainer, callbacks: Iterable[TrainerCallback]) -> Iterator[None]:
    own, kept = trainer.callback_handler, trainer.checkpoints
    trainer.callback_handler, trainer.checkpoints = CallbackHandler(callbacks), None
    try:
        yield
    finally:
        trainer.callback_handler, trainer.checkpoints = own, kept


def _file_name(length: Duration) -> str:
    return re.sub(r"\W+", "pct" if str(length).endswith("%") else "-", str(length))
