"""Merged against cooled: from one trunk, the same data, paired by seed; minutes on one core."""

from __future__ import annotations

__all__ = ["TRUNKS", "merge", "merged_table", "run_seed"]

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.evidence import tasks
from benchmarks.evidence.pipeline import RESULTS
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

import warmdown as wd
from warmdown.experiments.files import write_json
from warmdown.experiments.statistics import bootstrap, higher_is_better, paired
from warmdown.training import (
    SaveTrainingStateCallback,
    Task,
    Trainer,
    TrainerCallback,
    read_weights,
    write_weights,
)
from warmdown.training.rng import seed_everything

Values = dict[str, float]

FOLDER = RESULTS / "merged"
SHAPE = "1-sqrt"
_SHARE = 5
"""One in so many of the updates is cooled."""
_LOOK = {"a checkpoint each update": 1, "10 checkpoints": 10, "4 checkpoints": 4}
_AGAIN = "10 checkpoints, statistics computed again"


@dataclass(frozen=True)
class Trunk:
    """A run that is cooled at its end.

    Args:
        task: Builds it.
        rate: The rate that tuning chose for a constant one.
        updates: Its length.
        metric: What it is judged by.
    """

    task: Callable[[], Task]
    rate: float
    updates: int
    metric: str


TRUNKS: Mapping[str, Trunk] = {
    "fashion": Trunk(tasks.fashion_judge, 0.0736, 800, "accuracy"),
    "text": Trunk(tasks.text_judge, 0.0254, 600, "bits_per_byte"),
}


class _Snapshots(TrainerCallback):
    """Writes the weights after each update from one on.

    Args:
        folder: Where they lie.
        start: The first.
    """

    def __init__(self, folder: Path, start: int) -> None:
        self.folder, self.start = folder, start

    def on_train_update_end(self, trainer: Any, update: int = 0, **kwargs: Any) -> None:
        """Write them."""
        if update + 1 >= self.start:
            write_weights(
                self.folder / f"step_{update + 1}.safetensors", trainer.model.state_dict()
            )


def run_seed(name: str, seed: int) -> Values:
    """Return the metric of the trunk, of its cooldown, and of each merge."""
    trunk = TRUNKS[name]
    length = trunk.updates // _SHARE
    start = trunk.updates - length
    seed_everything(seed)
    task = trunk.task()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "weights").mkdir()
        saving = SaveTrainingStateCallback(
            folder / "states", save_every_n_steps=start, save_at_end=False
        )
        trainer = Trainer(
            task.model,
            task.loss,
            task.optimizer(task.model, trunk.rate),
            [saving, _Snapshots(folder / "weights", start)],
            seed=seed,
        )
        trainer.train(
            task.train,
            num_epochs=1,
            max_num_train_steps=trunk.updates,
            per_device_batch_size=task.batch_size,
            plan=wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Constant(),
        )
        values = {"the trunk": _measured(task, trunk.metric)}
        for label, parts in _LOOK.items():
            every = 1 if parts == 1 else length // parts
            kept = range(start, trunk.updates + 1, every)
            files = {step: folder / "weights" / f"step_{step}.safetensors" for step in kept}
            merged = wd.merge_checkpoints(files, f"{SHAPE} {length}")
            values[f"error, {label}"] = merged.error
            task.model.load_state_dict(merged.weights)
            values[label] = _measured(task, trunk.metric)
            if parts == 10 and any("running_var" in part for part in merged.weights):
                loader: DataLoader[Any] = DataLoader(task.train, batch_size=512)
                update_bn((batch[0] for batch in loader), task.model)
                values[_AGAIN] = _measured(task, trunk.metric)
        (cooled,) = trainer.branch_cooldowns(folder / "states", [length], SHAPE, folder / "cooled")
        assert cooled.path is not None
        task.model.load_state_dict(read_weights(cooled.path))
        values["cooled"] = _measured(task, trunk.metric)
    return values


@torch.no_grad()
def _measured(task: Task, metric: str) -> float:
    task.model.eval()
    batches: DataLoader[Any] = DataLoader(task.test, batch_size=512)
    total = sum(float(task.metrics[metric](task.model(x), y)) * len(x) for x, y in batches)
    task.model.train()
    return total / len(task.test)


def merge(name: str, seeds: int, say: Callable[[str], None]) -> None:
    """Run the seeds that are not stored yet, and store each."""
    for seed in range(100, 100 + seeds):
        file = FOLDER / name / f"{seed}.json"
        if not file.exists():
            write_json(file, {one: float(f"{x:.6g}") for one, x in run_seed(name, seed).items()})
            say(f"{name}, seed {seed}: stored")


def _by_length(label: str) -> tuple[int, str]:
    """Return what sorts merges by the number of their checkpoints, the most first."""
    count = label.partition(" ")[0]
    return (-int(count) if count.isdecimal() else -1_000_000), label


def merged_table(folder: Path = FOLDER) -> str:
    """Return the table of both trunks, from what is stored."""
    lines = []
    for name, trunk in TRUNKS.items():
        rows: dict[int, Values] = {
            int(file.stem): json.loads(file.read_text(encoding="utf-8"))
            for file in sorted((folder / name).glob("*.json"))
        }
        if not rows:
            continue
        sign = 1 if higher_is_better(trunk.metric) else -1
        lines += [
            f"### {name}: {trunk.updates:,} updates, the last fifth cooled by {SHAPE}",
            "",
            f"| | {trunk.metric} | better than cooled by | better than the trunk by | error |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        known = [label for label in rows[min(rows)] if not label.startswith("error")]
        labels = [
            "the trunk",
            "cooled",
            *sorted({*known} - {"the trunk", "cooled"}, key=_by_length),
        ]
        for label in labels:
            by = {
                other: paired(
                    {seed: sign * row[label] for seed, row in rows.items()},
                    {seed: sign * row[other] for seed, row in rows.items()},
                ).text(sign=True)
                for other in ("cooled", "the trunk")
                if other != label
            }
            errors = [row[f"error, {label}"] for row in rows.values() if f"error, {label}" in row]
            what = label if label in ("cooled", "the trunk") else f"merged, {label}"
            lines.append(
                f"| {what} | {bootstrap(row[label] for row in rows.values())} | "
                f"{by.get('cooled', '')} | {by.get('the trunk', '')} | "
                f"{f'{errors[0]:.2%}' if errors else ''} |"
            )
        lines += ["", f"{len(rows)} seeds; differences are paired by seed.", ""]
    return "\n".join(lines).strip()
