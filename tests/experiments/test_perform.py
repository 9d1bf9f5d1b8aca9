"""Whoever looks on hears of every evaluation, and may end a run in its second half."""

from __future__ import annotations

from pathlib import Path

import pytest

import warmdown as wd
from warmdown.experiments.perform import perform
from warmdown.experiments.runs import RunSpec

TASK = """
import torch
from warmdown.training import Task

def watched():
    data = torch.utils.data.TensorDataset(torch.ones(24, 1), torch.ones(24, 1))
    return Task(model=torch.nn.Linear(1, 1), loss=torch.nn.functional.mse_loss,
                train=data, test=data, lr=0.1, epochs=5, batch_size=4)
"""


@pytest.mark.parametrize(
    ("goes_on", "ends", "heard"), [(False, 18, [6, 12, 18]), (True, 30, [6, 12, 18, 24, 30])]
)
def test_a_run_is_not_ended_before_half_of_it_is_made(
    tasks: Path, monkeypatch: pytest.MonkeyPatch, goes_on: bool, ends: int, heard: list[int]
) -> None:
    (tasks / "watched_tasks.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tasks))
    found: list[int] = []

    def report(step: int, metrics: object) -> bool:
        found.append(step)
        return goes_on

    spec = RunSpec.of(wd.Plan.of(lr=wd.Constant(value=1.0)), "watched_tasks:watched", 0, {})
    result = perform(spec, report=report)
    assert (result.status, result.updates) == ("finished" if goes_on else "pruned", ends)
    assert found == heard
