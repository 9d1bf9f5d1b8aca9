"""SIGKILL at any moment: the resumed run ends with the weights of one that was never killed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.training import small
from tests.training.processes import end, start

from warmdown.training import Checkpoints, ModelEmaCallback

TOLD: dict[str, Any] = {"gradient_accumulation_steps": 2, "num_epochs": 12}


def test_a_run_that_is_killed_a_few_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert _kill_until(2, tmp_path, random.Random(1)) >= 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(6))
def test_runs_that_are_killed_again_and_again_end_with_the_same_bits(
    seed: int, tmp_path: Path
) -> None:
    """Sixty kills in all."""
    assert _kill_until(10, tmp_path, random.Random(100 + seed)) >= 10


def _kill_until(kills: int, folder: Path, chance: random.Random) -> int:
    """Train again and again until so many kills are survived; return how many."""
    small.train(
        small.make(folder / "first"), max_num_train_steps=1
    )  # torch loads some of itself at the first step
    began = time.perf_counter()
    digest = small.train(small.make(folder / "whole", [ModelEmaCallback(0.9)], every=3), **TOLD)
    lasts, killed, run = time.perf_counter() - began, 0, 0
    while killed < kills:
        killed += _survive(folder / str(run), digest, lasts, chance)
        run += 1
    return killed


def _survive(folder: Path, digest: str, lasts: float, chance: random.Random) -> int:
    """Let one run come to its end, killed as often as it happens; return how often that was."""
    folder.mkdir()
    killed = 0
    while True:
        child = start(lambda: _work(folder), folder / "said")
        time.sleep(chance.uniform(0.0, lasts))
        os.kill(child, signal.SIGKILL)  # a process that is over is not bothered by it
        code = end(child)
        if code == 0:
            break
        assert code == -signal.SIGKILL, (folder / "said").read_text()
        killed += 1
    assert (folder / "digest").read_text() == digest
    assert not [path for path in (folder / "checkpoints").iterdir() if path.name.startswith(".")]
    return killed


def _work(folder: Path) -> None:
    trainer = small.make(folder, [ModelEmaCallback(0.9)], every=3)
    newest, damages = Checkpoints(folder / "checkpoints").newest_good()
    assert not damages
    digest = small.train(trainer, **TOLD, resume_from=newest)
    (folder / "digest").write_text(digest)
