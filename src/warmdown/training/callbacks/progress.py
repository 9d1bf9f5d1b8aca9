"""What a person sees while a run goes on."""

from __future__ import annotations

__all__ = ["LogMetricsCallback", "PrintProgressCallback", "ProgressBarCallback"]

import sys
from math import ceil
from time import monotonic
from typing import Any

from warmdown.errors import MissingExtra, printable
from warmdown.training.callback import TrainerCallback
from warmdown.training.steps import TrainingSteps

_SECONDS_BETWEEN = 0.1


class ProgressBarCallback(TrainerCallback):
    """One bar for the run, with loss, learning rate and phase; nothing without a terminal.

    Args:
        title: What stands before the bar.
    """

    def __init__(self, title: str = "training") -> None:
        self.title = title
        self._bar: Any = None
        self._next = 0.0

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Draw the bar."""
        if not trainer.is_main or not sys.stdout.isatty():
            return
        self._bar = _rich_bar()
        title, total = printable(self.title, as_line=True), trainer.run_config.total_updates
        self._task = self._bar.add_task(
            title, total=total, completed=trainer.progress.updates, details=""
        )
        self._bar.start()

    def on_train_update_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Move the bar, ten times a second at most."""
        if self._bar is not None and (now := monotonic()) >= self._next:
            self._next = now + _SECONDS_BETWEEN
            self.on_training_run_end(trainer)

    def on_training_run_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Show the end."""
        if self._bar is not None:
            made, details = trainer.progress.updates, _details(trainer)
            self._bar.update(self._task, completed=made, details=details)

    def on_run_left(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Leave the bar as it is, and the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class PrintProgressCallback(TrainerCallback):
    """Prints a line when a training begins and ends."""

    def on_training_run_start(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Print how long the run is."""
        config = trainer.run_config
        total = config.total_updates
        length = "updates until it is stopped" if total is None else f"{total} updates"
        processes = f" on {config.num_processes} processes" if config.is_distributed else ""
        trainer.print(f"Training: {length} in {config.num_epochs} epochs{processes}.")

    def on_training_run_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Print how many updates were made."""
        trainer.print(f"Done after {trainer.progress.updates} updates.")


class LogMetricsCallback(TrainerCallback):
    """Prints the metrics of each epoch on one line.

    Args:
        at_most: About how many lines a run prints, or ``None``: one for every epoch. The last is
            always printed.
    """

    def __init__(self, at_most: int | None = None) -> None:
        self.at_most = at_most

    def on_training_run_epoch_end(self, trainer: TrainingSteps, **kwargs: Any) -> None:
        """Print the newest value of every metric."""
        epochs = trainer.run_config.num_epochs
        every = 1 if self.at_most is None else ceil(epochs / self.at_most)
        if trainer.run_history.current_epoch % every == 0 or trainer.progress.finished:
            self.log_metrics(trainer, trainer.run_history.latest_metrics())

    def log_metrics(self, trainer: TrainingSteps, metrics: dict[str, float]) -> None:
        """Print; override it to send metrics elsewhere."""
        line = "  ".join(f"{key.removesuffix('_epoch')} {metrics[key]:.4g}" for key in metrics)
        epoch, epochs = trainer.run_history.current_epoch, str(trainer.run_config.num_epochs)
        trainer.print(f"epoch {epoch:>{len(epochs)}}/{epochs}  {line}")


def _details(trainer: TrainingSteps) -> str:
    details = [f"loss {float(trainer.window_loss):.4f}"]
    rates: list[Any] = getattr(trainer.scheduler, "get_last_lr", list)()
    if rates:
        details.append(f"lr {float(rates[0]):.2e}")
    phase = getattr(trainer.scheduler, "phase", None)
    if phase is not None:
        details.append(printable(phase.name, as_line=True))
    return "  ".join(details)


def _rich_bar() -> Any:
    try:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        raise MissingExtra("ProgressBarCallback", "rich", "train") from None
    return Progress(
        TextColumn("{task.description}", markup=False),  # a name is no markup
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}", markup=False),
    )
