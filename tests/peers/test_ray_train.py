"""A plan in the loop of ray's TorchTrainer: two workers, a failure, and the last checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.peers.ray_training import FAILS_AT, SAVES_AT, UPDATES, plan

import warmdown as wd

pytest.importorskip("ray.train")


def expected() -> list[list[float]]:
    """Return the values of each update in a loop of one's own."""
    optimizer = torch.optim.AdamW(torch.nn.Linear(2, 1).parameters(), lr=0.1)
    scheduler, used = wd.Scheduler(optimizer, plan(), total_steps=UPDATES), []
    for _ in range(UPDATES):
        group = optimizer.param_groups[0]
        used.append([group["lr"], group["weight_decay"]])
        optimizer.step()
        scheduler.step()
        if scheduler.count % SAVES_AT == 0:
            scheduler.observe(loss=1.0)
    return used


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_use_the_plans_values_and_go_on_from_the_last_report(tmp_path: Path) -> None:
    script = Path(__file__).with_name("ray_training.py")
    subprocess.run(
        [sys.executable, str(script), str(tmp_path)], check=True, capture_output=True, timeout=590
    )
    used = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    whole: list[Any] = expected()
    assert len({decay for _, decay in whole}) > 1  # the metric was observed
    assert used == {
        "0-first": whole[:FAILS_AT],
        "1-first": whole[:FAILS_AT],
        "0-second": whole[SAVES_AT:],
        "1-second": whole[SAVES_AT:],
        "result": UPDATES,
    }
