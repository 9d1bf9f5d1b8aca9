"""What a run leaves: all that is needed to go on, the best weights, its plan, its trunk."""

from __future__ import annotations

__all__ = [
    "SaveBestModelCallback", "SavePlanCallback", "SaveTrainingStateCallback",
    "WSDCheckpointCallback", "decays_of",
]  # fmt: skip

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from warmdown.binding import Scheduler
from warmdown.errors import ScheduleError, TrainingError
from warmdown.lock import Output
from warmdown.plan import Plan
from warmdown.planfile.writing import dumps, write_text
from warmdown.training.callback import OutputCallback, TrainerCallback, require_counts
from warmdown.training.checkpoint import Checkpoints
from warmdown.training.history import BestMetric
from warmdown.training.state import begin_from, save_numbered
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data, FilePath

_FIRST_LINE = "# The plan of the run beside it, every length measured. Each run writes it anew.\n"


class SaveTrainingStateCallback(TrainerCallback):
    """Keeps checkpoints in a folder, so that the run can be gone on with bit for bit.

    While it is there, SIGTERM and Ctrl-C save a checkpoint and end the run, and so does a callback
    that fails.

    Args:
        save_dir: The folder; give each run one of its own.
        save_every_n_epochs: Epochs between two checkpoints, or ``None``.
        save_every_n_steps: Updates between two checkpoints, or ``None``.
        save_at_end: Whether the end of the run is saved.
        max_checkpoints: How many of the newest are kept, or ``None`` for all.
    """

    def __init__(
        self,
        save_dir: FilePath = "training_states",
        save_every_n_epochs: int | None = None,
        save_every_n_steps: int | None = None,
        save_at_end: bool = True,
        max_checkpoints: int | None = None,
    ) -> None:
        require_counts(
            self, save_every_n_epochs=save_every_n_epochs, save_every_n_steps=save_every_n_steps
        )
        self.checkpoints = Checkpoints(Path(save_dir), max_checkpoints)
        self.every_epochs = save_every_n_epochs
        self.every_updates = save_every_n_steps
        self.at_end = save_at_end

    def outputs(self) -> list[Output]:
        """Return the folder."""
        folder = self.checkpoints.folder
        return [Output(f"checkpoints(folder='{folder}')", folder, is_folder=True)]

    def on_init_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Make the folder known to the trainer."""
        trainer.checkpoints = self.checkpoints

    def on_train_update_end(self, trainer: TrainingSteps, update: int = 0, **kwargs: Any) -> None:
        """Save when it is time."""
        if self.every_updates is not None and (update + 1) % self.every_updates == 0:
            save_numbered(trainer)

    def on_training_run_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Save when it is time."""
        epoch = trainer.run_history.current_epoch
        if self.every_epochs is not None and epoch % self.every_epochs == 0:
            save_numbered(trainer)

    def on_training_run_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Save the end, unless the run was stopped because it went wrong."""
        if self.at_end and not trainer.stopped_by:
            save_numbered(trainer)


class SaveBestModelCallback(OutputCallback):
    """Keeps the weights of the epoch whose metric was best in one portable file.

    Args:
        save_path: The file.
        watch_metric: Name of the metric in the history.
        greater_is_better: Whether it should grow.
        reset_on_train: Whether a new call of ``train`` begins without a best value.
        save_optimizer: Whether the optimizer's state goes in.
        save_scheduler: Whether the scheduler's state goes in.
        load_saved_checkpoint: Whether the best weights are put back at the end.
    """

    def __init__(
        self,
        save_path: FilePath = "best_model.pt",
        watch_metric: str = "eval_loss_epoch",
        greater_is_better: bool = False,
        reset_on_train: bool = True,
        save_optimizer: bool = True,
        save_scheduler: bool = True,
        load_saved_checkpoint: bool = True,
    ) -> None:
        self.path = Path(save_path)
        self.best = BestMetric(watch_metric, greater_is_better)
        self.reset_on_train = reset_on_train
        self.load_at_end = load_saved_checkpoint
        self.parts = {"save_optimizer": save_optimizer, "save_scheduler": save_scheduler}

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Begin without a best value, unless the run goes on from a checkpoint."""
        if self.reset_on_train and trainer.progress.updates == 0:
            self.best.reset()

    def on_training_run_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """Save when it is better."""
        history = trainer.run_history
        if self.best.update(history):
            facts = {self.best.name: self.best.value, "epoch": history.current_epoch}
            trainer.save_checkpoint(self.path, facts, save_per_node=False, **self.parts)

    def on_training_run_end(self, trainer: Any, **kwargs: Any) -> None:
        """Load the best weights."""
        if self.load_at_end and isfinite(self.best.score):
            trainer.load_checkpoint(self.path, load_optimizer=False, load_scheduler=False)

    def state_dict(self) -> Data:
        """Return the best value."""
        return {"best": self.best.score}

    def load_state_dict(self, state: Data) -> None:
        """Go on comparing with it."""
        self.best.score = state["best"]


class SavePlanCallback(OutputCallback):
    """Writes down the plan that a run follows, with the run's real numbers, beside the record.

    ``warmdown studio --watch`` draws the record against it. A file of that name that no run
    wrote is left alone.

    Args:
        path: The file, ``plan.yaml`` beside the record.
    """

    path: Path

    def __init__(self, path: FilePath = "plan.yaml") -> None:
        self.path = Path(path)

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Write it; other libraries' schedulers have none."""
        if not trainer.is_main or not isinstance(trainer.scheduler, Scheduler):
            return
        if not _may_replace(self.path):
            trainer.print(
                f"{self.path} is another's file: the plan of this run is not written down beside "
                f"it."
            )
            return
        try:
            text = dumps(_plan_with_base_rate(trainer.scheduler))
        except ScheduleError as error:
            trainer.print(f"{self.path}: the plan of this run is not written down: {error}")
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, _FIRST_LINE + text)


def _may_replace(path: Path) -> bool:
    """Return whether a file may be replaced: it is not there, or an earlier run wrote it."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline() == _FIRST_LINE
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False


def _plan_with_base_rate(scheduler: Scheduler) -> Plan:
    """Return the plan with the base rate that it scales, where all groups have the same."""
    plan, rates = scheduler.plan, set(scheduler.base_lrs)
    return replace(plan, run=replace(plan.run, lr=rates.pop())) if len(rates) == 1 else plan


_DOWN = ("decay", "cooldown", "anneal", "exploit")


class Decay(NamedTuple):
    """One decay of a run.

    Args:
        start: First update that decays.
        stop: First update after it.
    """

    start: int
    stop: int


class WSDCheckpointCallback(OutputCallback):
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

    path: Path
    writes_folder = True

    def __init__(
        self,
        save_dir: FilePath = "checkpoints",
        save_optimizer: bool = True,
        save_scheduler: bool = True,
        initial_checkpoint: FilePath | None = None,
    ) -> None:
        self.path = Path(save_dir)
        self.parts = {"save_optimizer": save_optimizer, "save_scheduler": save_scheduler}
        self.initial = None if initial_checkpoint is None else Path(initial_checkpoint)

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
            trainer.save_training_state(self.path / f"checkpoint_{made}_pre_decay")
        if any(decay.stop == made for decay in self.decays):
            path = self.path / f"checkpoint_{made}_post_decay.pt"
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
