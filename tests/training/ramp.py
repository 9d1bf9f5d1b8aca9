"""A run whose batches grow, and what each of its updates used; also as what two processes do."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from tests.training import small
from torch.utils.data import Dataset

import warmdown as wd
from warmdown.training import Trainer, TrainerCallback

RAMP = wd.PiecewiseConstant(values=(4.0, 8.0, 12.0), at=("30%", "60%"))


class Numbered(Dataset[Any]):
    """Pairs that have their number in them."""

    def __init__(self, items: int = small.ITEMS) -> None:
        self.inputs = small.Plain(items).inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, item: int) -> Any:
        return torch.cat([self.inputs[item, :5], torch.tensor([float(item)])]), torch.ones(1)


class Items(TrainerCallback):
    """Keeps the items of every batch, by update."""

    def __init__(self) -> None:
        self.used: dict[int, list[list[int]]] = {}
        self.positions: list[float] = []

    def on_train_step_start(self, trainer: Any, **kwargs: Any) -> None:
        self.update = trainer.progress.updates + trainer.progress.skipped

    def on_train_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        numbers = [int(number) for number in batch[0][:, 5]]
        self.used.setdefault(self.update, []).append(numbers)

    def on_train_update_end(self, trainer: Any, **kwargs: Any) -> None:
        self.positions.append(trainer.scheduler.position)

    def sizes(self) -> list[int]:
        """Return the samples of each update on this process."""
        return [sum(map(len, batches)) for batches in self.used.values()]

    def items(self) -> list[int]:
        """Return every item in the order of its use."""
        return [item for batches in self.used.values() for batch in batches for item in batch]


def plan(**targets: Any) -> wd.Plan:
    """Return a plan with a warmup in samples, and batches that grow."""
    lr = wd.Linear(start=0.1, end=1.0, steps="32samples") >> wd.Cosine(end=0.1)
    return wd.Plan.of(**{"lr": lr, "batch_size": wd.Set(RAMP), **targets})


def train(trainer: Trainer, **kwargs: Any) -> str:
    """Train for three epochs under the plan; return the digest of the weights."""
    return small.train(
        trainer,
        **{
            "train_dataset": Numbered(),
            "plan": plan(),
            "eval_dataset": None,
            "per_device_batch_size": None,
            **kwargs,
        },
    )


class Kill(TrainerCallback):
    """Ends every process without a word, after so many updates."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if update + 1 == self.after:
            os._exit(9)


def main(folder: Path, after: int) -> None:
    """Train on one of several processes; write down what it used."""
    torch.set_num_threads(1)
    rank, items = int(os.environ["RANK"]), Items()
    kill = [Kill(after)] if after > 0 else []
    trainer = small.make(folder, [items, *kill], every=3, model=small.perceptron)
    resumed = {"resume_from": folder / "checkpoints"} if after < 0 else {}
    digest = train(trainer, gradient_accumulation_steps=2, **resumed)
    answer = {"digest": digest, "used": list(items.used.values()), "positions": items.positions}
    (folder / f"answer-{rank}.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    torch.distributed.destroy_process_group()
