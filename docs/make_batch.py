"""Draw the pictures of ``docs/batch-size.md``: ``python docs/make_batch.py``, a minute on one core.

Runs of the task ``digits``: one whose batch grows, and from three seeds a cosine beside what Seesaw
makes of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import warmdown as wd
from warmdown import plot
from warmdown.training import Outcome, run_task

FOLDER = Path(__file__).parent / "batch"
GROWING = """
lr:
- {kind: linear, start: 0.05, end: 1.0, steps: 1437samples}
- {kind: cosine, end: 0.05, steps: rest}
batch_size: {set: {kind: table, values: [16, 32, 64], at: [40%, 70%]}}
rate_rule: sqrt
"""
EPOCHS, SIZE, ITEMS, SEEDS = 12, 32, 1437, 3


def main() -> None:
    """Train, and write the pictures."""
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    grown = run_task("digits", wd.loads(GROWING), epochs=EPOCHS)
    assert grown.plan is not None
    plot.save(plot.view(grown.plan, record=_without_speed(grown)), FOLDER / "growing.svg")
    given = wd.warmup_cosine(warmup="10%", start=0.05)
    exchanged = wd.seesaw(given, total_steps=EPOCHS * ITEMS // SIZE, samples_per_step=SIZE)
    lines = []
    for name, plan in {f"cosine, batch {SIZE}": given, "seesaw": exchanged}.items():
        runs = [
            run_task("digits", plan, epochs=EPOCHS, batch_size=SIZE, seed=seed)
            for seed in range(SEEDS)
        ]
        lines.append(_test_loss(f"{name}: {runs[0].updates} updates", runs))
        print(name, runs[0].updates, [round(run.metrics["eval_loss"], 4) for run in runs])
    plot.save(plot.View(lines=tuple(lines), x="samples"), FOLDER / "seesaw.svg")


def _without_speed(run: Outcome) -> wd.Record:
    kept = wd.Record()
    for row in run.record.rows:
        if row.target.startswith(("lr", "batch_size")) or row.target == "loss":
            kept.add(row.step, row.target, row.value)
    return kept


def _test_loss(name: str, runs: list[Outcome]) -> plot.Line:
    """Return the mean test loss after each epoch, over the samples that were used."""
    values = [run.record.curve("eval_loss_epoch")[1] for run in runs]
    used = ITEMS * np.arange(1, EPOCHS + 1, dtype=float)
    return plot.Line(name, "test loss", used, np.mean(values, axis=0))


if __name__ == "__main__":
    main()
