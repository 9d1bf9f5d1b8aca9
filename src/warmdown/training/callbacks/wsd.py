"""Checkpoints around each decay of a warmup-stable-decay run, and a run that goes on from one."""

from __future__ import annotations

__all__ = ["WSDCheckpointCallback", "decays_of"]

from pathlib import Path
from typing import Any, NamedTuple

from warmdown.binding import Scheduler
from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.training.callback import TrainerCallback
from warmdown.training.state import begin_from
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import FilePath

_DOWN = ("decay", "cooldown", "anneal", "exploit")


class Decay(NamedTuple):
    """One decay of a run.

    Args:
        start: First update that decays.
        stop: First update after it.
    """

    start: int
    stop: int


class WSDCheckpointCallback(TrainerCallback):
    """Keeps the trunk: everything before each decay, and the model after it.

    It writes ``checkpoint_<updates>_pre_decay/`` (a checkpoint as any other) and
    ``checkpoint_<updates>_post_decay.pt`` (portable weights).

    A decay that ``decay_now`` begins is kept in the same way; stand behind the callback that calls
    it, in the list.

    A run begins from one of them by ``initial_checkpoint``: weights and optimizer are loaded,
    the schedule and the data begin at their start. From before a decay that is WSD, from after it
    WSD-S.

    Args:
        save_dir: The folder.
        save_optimizer: Whether the optimizer's state goes into the file after a decay.
        save_scheduler: Whether the scheduler's state goes into the file after a decay.
        initial_checkpoint: What to begin from, or ``None``.
    """

    def __init__(
        self,
        save_dir: FilePath = "checkpoints",
        save_optimizer: bool = True,
        save_scheduler: bool = True,
        initial_checkpoint: FilePath | None = None,
    ) -> None:
        self.folder = Path(save_dir)
        self.parts = {"save_optimizer": save_optimizer, "save_scheduler": save_scheduler}
        self.initial = None if initial_checkpoint is None else Path(initial_checkpoint)

    def outputs(self) -> list[Output]:
        """Return the folder."""
        return [Output(f"WSDCheckpointCallback('{self.folder}')", self.folder, is_folder=True)]

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Find the decays, and load what the run begins from."""
        self._find_decays(trainer.scheduler)
        if not self.decays:
            raise TrainingError(
                "WSDCheckpointCallback: the schedule has no decay that it could save before. Give "
                "a plan such as wsd(), or leave the callback out."
            )
        if self.initial is not None and trainer.progress.updates == 0:
            _begin(trainer, self.initial)
        self._save(trainer)

    def on_train_update_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Save where a decay begins or ends."""
        if getattr(trainer.scheduler, "events", ()) != self._events:  # decay_now may have begun one
            self._find_decays(trainer.scheduler)
        self._save(trainer)

    def _find_decays(self, scheduler: Any) -> None:
        self._events = getattr(scheduler, "events", ())
        self.decays = decays_of(scheduler)

    def _save(self, trainer: Any) -> None:
        made = trainer.progress.updates
        if any(decay.start == made for decay in self.decays):
            trainer.save_training_state(self.folder / f"checkpoint_{made}_pre_decay")
        if any(decay.stop == made for decay in self.decays):
            path = self.folder / f"checkpoint_{made}_post_decay.pt"
            trainer.save_checkpoint(path, {"updates": made}, save_per_node=False, **self.parts)


def _begin(trainer: Any, path: Path) -> None:
    """Load weights and optimizer; leave the schedule at its start."""
    if path.is_dir():
        saved = begin_from(trainer, path)
    elif path.is_file():
        content = trainer.load_checkpoint(path, load_scheduler=False)
        saved = content.get("scheduler_state_dict")
    else:
        raise TrainingError(f"WSDCheckpointCallback(initial_checkpoint='{path}'): it is not there.")
    scheduler = trainer.scheduler
    if isinstance(scheduler, Scheduler):
        scheduler.seek(0)
    elif saved is not None and getattr(scheduler, "is_continuation_from_checkpoint", False):
        scheduler.load_state_dict(saved)


def decays_of(scheduler: Any) -> list[Decay]:
    """Return every decay of a scheduler: a plan's phases of that name, or its own report."""
    if hasattr(scheduler, "get_decay_info"):
        periods = scheduler.get_decay_info()
        return [Decay(period["pre_decay_step"], period["period_end"]) for period in periods]
    if not isinstance(scheduler, Scheduler):
        return []
    decays = []
    for phase in scheduler.phases:
        stop = scheduler.plan.length if phase.stop is None else phase.stop
        if phase.name.startswith(_DOWN) and stop is not None and stop > phase.start:
            decays.append(Decay(phase.start, stop))
    return decays
