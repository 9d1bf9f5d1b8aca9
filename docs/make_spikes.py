"""Draw the picture of ``docs/spikes.md``: ``python docs/make_spikes.py``; a minute on one core.

The task ``text`` at a constant rate, and one update whose gradient is a thousand times too large.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import warmdown as wd
from warmdown import plot
from warmdown.record import Record
from warmdown.training import (
    RecordCallback,
    SaveTrainingStateCallback,
    TaskTrainer,
    TrainerCallback,
    task_of,
)
from warmdown.training.rng import seed_everything

FILE = Path(__file__).parent / "spikes" / "rollback.svg"
UPDATES, HIT, FACTOR, EVERY = 600, 300, 1e3, 50
RUNS: dict[str, wd.Rollback | None] = {
    "left alone": None,
    "rolled back": wd.Rollback(rescale=0.5, over=100, skip=20),
}


class Hit(TaskTrainer):
    """Makes the gradient of one place in the data far too large."""

    def backward_step(self, loss: torch.Tensor) -> None:
        """Add the batch's part to the gradients."""
        super().backward_step(loss * (FACTOR if self.progress.place == HIT else 1.0))


def trained(policy: wd.Rollback | None, folder: Path) -> Record:
    """Return what a run has recorded."""
    torch.set_num_threads(1)
    seed_everything(0)
    task = task_of("text")
    recorder = RecordCallback()
    callbacks: list[TrainerCallback] = [recorder]
    if policy is not None:
        callbacks.append(SaveTrainingStateCallback(folder, save_every_n_steps=EVERY))
    trainer = Hit(task, lr=task.lr, callbacks=callbacks, seed=0, on_spike=policy)
    trainer.train(
        task.train,
        1,
        per_device_batch_size=task.size_of_batch(None),
        max_num_train_steps=UPDATES,
        plan=wd.Linear(start=0.0, end=1.0, steps=50) >> wd.Constant(),
    )
    for one in trainer.rollbacks:
        print(one)
    return recorder.record


def drawn(records: dict[str, Record]) -> Record:
    """Return the losses of both runs, and the rate of the one that went back."""
    shown = Record()
    take: Callable[[str], Any] = records["rolled back"].curve
    for step, loss in zip(*records["left alone"].curve("loss"), strict=True):
        if step >= HIT:
            shown.add(step, "loss, left alone", loss)
    for name in ("loss", "loss, rolled back 1"):
        for step, loss in zip(*take(name), strict=True):
            shown.add(step, name, loss)
    for step, rate in zip(*take("lr/0"), strict=True):
        shown.add(step, "lr", rate)
    return shown


def main() -> None:
    """Train both, and draw them."""
    with tempfile.TemporaryDirectory() as folder:
        records = {name: trained(policy, Path(folder)) for name, policy in RUNS.items()}
    FILE.parent.mkdir(exist_ok=True)
    plot.save(drawn(records), FILE, title="One update with a gradient a thousand times too large")
    for name, record in records.items():
        losses = record.curve("loss")[1]
        print(name, [round(sum(losses[at : at + 20]) / 20, 3) for at in (230, 300, 400, 580)])


if __name__ == "__main__":
    main()
