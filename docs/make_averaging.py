"""Draw the pictures of ``docs/merge.md`` and ``docs/averaging.md``.

``python docs/make_averaging.py``: one run of the evidence's task ``text``; minutes on one core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from benchmarks.evidence.tasks import text_judge

import warmdown as wd
from warmdown import plot
from warmdown.training import (
    AveragedWeightsCallback,
    MergedWeightsCallback,
    RecordCallback,
    SaveTrainingStateCallback,
    StepBasedEvaluationCallback,
    Trainer,
)
from warmdown.training.rng import seed_everything

FOLDER = Path(__file__).parent / "averaging"
UPDATES, EVERY, RATE = 600, 20, 0.0254
COOLDOWN = "1-sqrt 20%"
FROM = (160, 320, 480)
"""Updates of the trunk from which a cooldown is trained."""
MERGED = {"the trunk": "eval", "merged: cooled now": "merged_eval"}
AVERAGES = {
    "the weights": "eval",
    "half-life 5% of the updates so far": "half_life_5pct_eval",
    "decay 0.9": "ema_0.9_eval",
    "decay 0.99": "ema_0.99_eval",
    "tail 25%": "tail_25pct_eval",
}


def main() -> None:
    """Train, cool from three places, and write both pictures."""
    torch.set_num_threads(1)
    seed_everything(0)
    task = text_judge()
    with tempfile.TemporaryDirectory() as place:
        states = Path(place) / "states"
        recorder = RecordCallback()
        trainer = Trainer(
            task.model,
            task.loss,
            task.optimizer(task.model, RATE),
            [
                recorder,
                SaveTrainingStateCallback(states, save_every_n_steps=4),
                MergedWeightsCallback(COOLDOWN),
                AveragedWeightsCallback(half_life="5%"),
                AveragedWeightsCallback(decay=0.9),
                AveragedWeightsCallback(decay=0.99),
                AveragedWeightsCallback(tail="25%"),
                StepBasedEvaluationCallback(EVERY),
            ],
            seed=0,
        )
        trainer.train(
            task.train,
            num_epochs=1,
            max_num_train_steps=UPDATES,
            eval_dataset=task.test,
            per_device_batch_size=task.batch_size,
            plan=wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Constant(),
        )
        cooled = {}
        for start in FROM:
            # a fifth of the updates with which the cooldown ends
            (branch,) = trainer.branch_cooldowns(
                states / f"update-{start:08d}",
                [start // 4],
                "1-sqrt",
                callbacks=[StepBasedEvaluationCallback(EVERY)],
            )
            cooled[f"cooled from {start}"] = branch.record
    lines = [_line(name, recorder.record, metric) for name, metric in MERGED.items()]
    lines += [_line(name, record, "eval") for name, record in cooled.items()]
    _draw("merge", lines)
    _draw("averages", [_line(name, recorder.record, metric) for name, metric in AVERAGES.items()])


def _line(name: str, record: wd.Record, metric: str) -> plot.Line:
    steps, values = record.curve(f"{metric}_loss_epoch")
    # the fall of the first updates would flatten the rest
    kept = {step + 1: value for step, value in zip(steps, values, strict=True) if step > 100}
    return plot.Line(name, "test loss", np.array([*kept], dtype=float), np.array([*kept.values()]))


def _draw(name: str, lines: list[plot.Line]) -> None:
    FOLDER.mkdir(exist_ok=True)
    plot.save(plot.View(lines=tuple(lines)), FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
