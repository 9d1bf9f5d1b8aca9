"""A task of your own is a function that returns model, loss and data.

From the shell: ``warmdown train plan.yaml --task own_task:build`` in this folder.
"""

from pathlib import Path
from tempfile import mkdtemp

import torch

import warmdown as wd
from warmdown.training import Task, run_task


def build() -> Task:
    """Return the task: a curve to be learnt from noisy points."""
    made = torch.Generator().manual_seed(0)  # the same data for every seed of a run
    where = 6 * torch.rand(512, 1, generator=made) - 3
    heights = where.sin() + 0.1 * torch.randn(512, 1, generator=made)
    return Task(
        model=torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)),
        loss=torch.nn.functional.mse_loss,
        train=torch.utils.data.TensorDataset(where[:384], heights[:384]),
        test=torch.utils.data.TensorDataset(where[384:], heights[384:]),
        metrics={"worst": lambda outputs, heights: (outputs - heights).abs().max()},
        lr=0.05,
        epochs=20,
    )


def short() -> tuple:
    """Return the least that a task is: model, loss, (data to learn from, data to be tested on)."""
    task = build()
    return task.model, task.loss, (task.train, task.test)


if __name__ == "__main__":
    folder = Path(mkdtemp())
    plans = {
        "warmup and cosine": wd.warmup_cosine(warmup="10%"),
        "one cycle": wd.Plan.of(**wd.one_cycle()),
        "constant": wd.Constant(),
    }
    for name, plan in plans.items():
        outcome = run_task(f"{__name__}:build", plan, out=folder / name, seed=0)
        print(
            f"{name:18} test loss {outcome.metrics['eval_loss']:.4f}  weights {outcome.digest[:12]}"
        )
    print(f"records, checkpoints and results: {folder}")
