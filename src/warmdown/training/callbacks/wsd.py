"""Checkpoints around each decay of a warmup-stable-decay run, and a run that goes on from one."""

from __future__ import annotations

__all__ = ["WSDCheckpointCallback", "decays_of"]

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from warmdown.binding import Scheduler
from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.training import state
from warmdown.training.callbacks.base import TrainerCallback
from warmdown.training.portable import load_portable

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer

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
    """Keeps the trunk: everything before the first decayed update of each period, and the model after the decay.

    It writes ``checkpoint_<updates>_pre_decay/`` (a checkpoint as any other) and
    ``checkpoint_<updates>_post_decay.pt`` (portable weights).

    A decay that ``decay_now`` begins is kept in the same way; stand behind the callback that calls
    it, in the list.

    A run begins from one of them by ``initial_checkpoint``: weights and optimizer are taken over,
    the schedule and the data begin anew. From before a decay that is WSD, from after it WSD-S.

    Args:
        save_dir: The folder.
        save_optimizer: Whether the optimizer's state goes into the file after a decay.
        save_scheduler: Whether the scheduler's state goes into the file after a decay.
        initial_checkpoint: What to begin from, or ``None``.
    """

    def __init__(
        self,
        save_dir: str | PathLike[str] = "checkpoints",
        save_optimizer: bool = True,
        save_scheduler: bool = True,
        initial_checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        self.folder = Path(save_dir)
        self.save_optimizer, self.save_scheduler = save_optimizer, save_scheduler
        self.initial = None if initial_checkpoint is None else Path(initial_checkpoint)

    def outputs(self) -> list[Output]:
        """Return the folder."""
        return [Output(f"WSDCheckpointCallback('{self.folder}')", self.folder, is_folder=True)]

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Find the decays, and take over what the run begins from."""
        self._look(trainer)
        if not self.decays:
            raise TrainingError(
                "WSDCheckpointCallback: the schedule has no decay that it could save before. Give "
                "a plan such as "
                "wsd(), or leave the callback out."
            )
        if self.initial is not None and trainer.progress.updates == 0:
            self._begin(trainer, self.initial)
        self._save(trainer)

    def on_train_update_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Save where a decay begins or ends."""
        if _events(trainer) != self._events:
            self._look(trainer)
        self._save(trainer)

    def _look(self, trainer: Trainer) -> None:
        """Find the decays that there are since the last event: ``decay_now`` may have begun one."""
        self._events, self.decays = _events(trainer), decays_of(trainer.scheduler)

    def _save(self, trainer: Trainer) -> None:
        here = trainer.progress.updates
        if any(decay.start == here for decay in self.decays):
            trainer.save_training_state(self.folder / f"checkpoint_{here}_pre_decay")
        if any(decay.stop == here for decay in self.decays):
            trainer.save_checkpoint(
                self.folder / f"checkpoint_{here}_post_decay.pt",
                {"updates": here},
                save_optimizer=self.save_optimizer,
                save_scheduler=self.save_scheduler,
                save_per_node=False,
            )

    def _begin(self, trainer: Trainer, path: Path) -> None:
        if path.is_dir():
            saved = state.begin_from(trainer, path)
        elif path.is_file():
            saved = load_portable(trainer, path, optimizer=True, scheduler=False).get(
                "scheduler_state_dict"
            )
        else:
            raise TrainingError(
                f"WSDCheckpointCallback(initial_checkpoint='{path}'): it is not there."
            )
        if isinstance(trainer.scheduler, Scheduler):
            trainer.scheduler.seek(0)
        elif saved is not None and getattr(
            trainer.scheduler, "is_continuation_from_checkpoint", False
        ):
            trainer.scheduler.load_state_dict(saved)


def _events(trainer: Trainer) -> tuple[Any, ...]:
    return trainer.scheduler.events if isinstance(trainer.scheduler, Scheduler) else ()


def decays_of(scheduler: Any) -> list[Decay]:
    """Return every decay of a scheduler: a plan's phases of that name, or what a WSD scheduler tells of itself."""
    if hasattr(scheduler, "get_decay_info"):
        periods = scheduler.get_decay_info()
        return [Decay(period["pre_decay_step"], period["period_end"]) for period in periods]
    if not isinstance(scheduler, Scheduler):
        return []
    total = scheduler.plan.length
    going_down = [phase for phase in scheduler.phases if phase.name.startswith(_DOWN)]
    ends = [total if phase.stop is None else phase.stop for phase in going_down]
    pairs = zip(going_down, ends, strict=True)
    return [
        Decay(phase.start, stop) for phase, stop in pairs if stop is not None and stop > phase.start
    ]
