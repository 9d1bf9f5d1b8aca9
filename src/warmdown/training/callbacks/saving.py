"""What a run leaves: all that is needed to go on, the best weights, and the plan it followed."""

from __future__ import annotations

__all__ = ["SaveBestModelCallback", "SavePlanCallback", "SaveTrainingStateCallback"]

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from warmdown.binding import Scheduler
from warmdown.errors import ScheduleError
from warmdown.lock import Output
from warmdown.plan import Plan
from warmdown.planfile.writing import dumps, write_text
from warmdown.training.callback import TrainerCallback, outputs_at, require_counts
from warmdown.training.checkpoint import Checkpoints
from warmdown.training.history import BestMetric
from warmdown.training.state import save_numbered
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


class SaveBestModelCallback(TrainerCallback):
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

    def outputs(self) -> list[Output]:
        """Return the file."""
        return outputs_at(self, self.path)

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


class SavePlanCallback(TrainerCallback):
    """Writes down the plan that a run follows, with the run's real numbers, beside the record.

    ``warmdown studio --watch`` draws the record against it. A file of that name that no run
    wrote is left alone.

    Args:
        path: The file, ``plan.yaml`` beside the record.
    """

    def __init__(self, path: FilePath = "plan.yaml") -> None:
        self.path = Path(path)

    def outputs(self) -> list[Output]:
        """Return the file."""
        return outputs_at(self, self.path)

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
