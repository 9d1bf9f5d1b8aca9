"""What a person sees while a run goes on."""

from __future__ import annotations

__all__ = ["LogMetricsCallback", "PrintProgressCallback", "ProgressBarCallback"]

import sys
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any

from warmdown.errors import MissingExtra
from warmdown.printable import printable
from warmdown.training.callbacks.base import TrainerCallback

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer

_SECONDS_BETWEEN = 0.1


class ProgressBarCallback(TrainerCallback):
    """One bar for the whole run, with loss, learning rate and phase; nothing where there is no terminal.

    Args:
        title: What stands before the bar.
    """

    def __init__(self, title: str = "training") -> None:
        self.title = title
        self._bar: Any = None
        self._next = 0.0

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Draw the bar."""
        if not trainer.is_main or not sys.stdout.isatty():
            return
        self._bar = _rich_bar()
        self._task = self._bar.add_task(
            printable(self.title, as_line=True),
            total=trainer.run_config.total_updates,
            completed=trainer.progress.updates,
            says="",
        )
        self._bar.start()

    def on_train_update_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Move the bar, ten times a second at most."""
        if self._bar is None or (now := monotonic()) < self._next:
            return
        self._next = now + _SECONDS_BETWEEN
        self._bar.update(self._task, completed=trainer.progress.updates, says=_says(trainer))

    def on_training_run_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Show the end."""
        if self._bar is not None:
            self._bar.update(self._task, completed=trainer.progress.updates, says=_says(trainer))

    def on_run_left(self, trainer: Trainer, **kwargs: Any) -> None:
        """Leave the bar as it is, and the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class PrintProgressCallback(TrainerCallback):
    """Says when a training begins and ends."""

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        """Say how long the run is."""
        config = trainer.run_config
        total = (
            "updates until it is stopped"
            if config.total_updates is None
            else f"{config.total_updates} updates"
        )
        processes = f" on {config.num_processes} processes" if config.is_distributed else ""
        trainer.print(f"Training: {total} in {config.num_epochs} epochs{processes}.")

    def on_training_run_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Say that it is over."""
        trainer.print(f"Done after {trainer.progress.updates} updates.")


class LogMetricsCallback(TrainerCallback):
    """Prints the metrics of each epoch on one line.

    Args:
        at_most: About how many lines a run prints, or ``None``: one for every epoch. The last is
            always told.
    """

    def __init__(self, at_most: int | None = None) -> None:
        self.at_most = at_most

    def on_training_run_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
        """Print the newest value of every metric."""
        every = 1 if self.at_most is None else ceil(trainer.run_config.num_epochs / self.at_most)
        if trainer.run_history.current_epoch % every == 0 or trainer.progress.finished:
            self.log_metrics(trainer, latest_metrics(trainer))

    def log_metrics(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Print; override it to send metrics elsewhere."""
        told = "  ".join(
            f"{name.removesuffix('_epoch')} {value:.4g}" for name, value in metrics.items()
        )
        epoch, epochs = trainer.run_history.current_epoch, trainer.run_config.num_epochs
        trainer.print(f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {told}")


def latest_metrics(trainer: Trainer) -> dict[str, float]:
    """Return the newest value of every metric in the history."""
    history = trainer.run_history
    return {name: history.get_latest_metric(name) for name in history.get_metric_names()}


def _says(trainer: Trainer) -> str:
    says = f"loss {float(trainer.window_loss):.4f}"
    rates: list[Any] = getattr(trainer.scheduler, "get_last_lr", list)()
    if rates:
        says += f"  lr {float(rates[0]):.2e}"
    phase = getattr(trainer.scheduler, "phase", None)
    return f"{says}  {printable(phase.name, as_line=True)}" if phase is not None else says


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
        TextColumn("{task.fields[says]}", markup=False),
    )
