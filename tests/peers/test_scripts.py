"""Real scripts with only their imports changed: each update's rate, resumed, and no new warning."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.peers import scripts
from tests.peers.scripts import FACTORIES, RESUMED, SCRIPTS, UPDATES
from torch.optim import lr_scheduler as torchs

import warmdown as wd
from warmdown.compat import lr_scheduler as ours

RUNS = [(name, None) for name in SCRIPTS] + list(RESUMED.items())


def run(name: str, names: Any, resume_at: int | None) -> tuple[Any, list[str]]:
    """Return the rates of a script, and what it was warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        used = SCRIPTS[name](names, resume_at)
    return used, [str(one.message) for one in said]


def flat(rows: list[list[float]]) -> list[float]:
    return [rate for row in rows for rate in row]


@pytest.mark.parametrize(("name", "resume_at"), RUNS)
def test_a_script_has_its_rates_and_no_other_warnings(name: str, resume_at: int | None) -> None:
    expected, theirs_said = run(name, torchs, resume_at)
    used, said = run(name, ours, resume_at)
    assert len({*flat(expected)}) > 2
    assert flat(used) == pytest.approx(flat(expected), rel=1e-9, abs=1e-15)
    assert [text for text in said if text not in theirs_said] == []


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_script_has_the_rates_of_a_whole_one(name: str) -> None:
    whole, resumed = (run(name, ours, at)[0] for at in (None, RESUMED[name]))
    assert flat(resumed) == pytest.approx(flat(whole), rel=1e-12)


def nano_gpt(step: int) -> float:
    """Return the rate of nanoGPT's own function, with its names."""
    learning_rate, min_lr, warmup_iters, lr_decay_iters = 6e-4, 6e-5, 5, UPDATES - 2
    if step < warmup_iters:
        return learning_rate * (step + 1) / (warmup_iters + 1)
    if step > lr_decay_iters:
        return min_lr
    ratio = (step - warmup_iters) / (lr_decay_iters - warmup_iters)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


def nano_chat(step: int) -> float:
    """Return the factor of nanochat's own function: a warmup, a stretch, a warmdown."""
    warmup, warmdown, final = 4, 10, 0.1
    if step < warmup:
        return (step + 1) / warmup
    if step <= UPDATES - warmdown:
        return 1.0
    progress = (UPDATES - step) / warmdown
    return progress + (1 - progress) * final


def momentum(step: int) -> float:
    """Return the momentum of nanochat's Muon, which rises over its first updates."""
    share = min(step / 15, 1.0)
    return (1 - share) * 0.85 + share * 0.95


def test_nano_gpts_rate_is_a_plan() -> None:
    plan = wd.Linear(start=1 / 6, end=1.0, steps=5) >> wd.Cosine(end=0.1, steps=UPDATES - 7)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=6e-4)
    scheduler, used = wd.Scheduler(optimizer, lr=plan), []
    for _ in range(UPDATES):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert used == pytest.approx([nano_gpt(step) for step in range(UPDATES)], rel=1e-12)


def test_nanochats_rates_and_momentum_are_a_plan() -> None:
    rate = (
        wd.Linear(start=0.25, end=1.0, steps=3)
        >> wd.Constant(value=1.0, steps=UPDATES - 13)
        >> wd.Linear(start=1.0, end=0.1, steps=10)
    )
    plan = wd.Plan.of(lr=rate, momentum=wd.Set(wd.Linear(start=0.85, end=0.95, steps=15)))
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    groups = [{"params": [weights[0]], "lr": 0.2}, {"params": [weights[1]], "lr": 0.004}]
    optimizer = torch.optim.SGD(groups, lr=0.02, momentum=0.95)
    scheduler, used = wd.Scheduler(optimizer, plan), []
    for _ in range(UPDATES):
        used += [[group["lr"], group["momentum"]] for group in optimizer.param_groups]
        optimizer.step()
        scheduler.step()
    expected = [
        [base * nano_chat(step), momentum(step)] for step in range(UPDATES) for base in (0.2, 0.004)
    ]
    assert flat(used) == pytest.approx(flat(expected), rel=1e-12)


def compare(found: dict[str, Any], *, is_stepped_again: bool = False) -> None:
    for name in FACTORIES:
        (expected, said), (used, ours_said) = found[f"{name}, theirs"], found[f"{name}, ours"]
        assert len({*flat(expected)}) > 4
        assert flat(used) == pytest.approx(flat(expected), rel=1e-9, abs=1e-15)
        assert said == []
        assert ["for each process" in text for text in ours_said] == [True] * is_stepped_again


@pytest.mark.filterwarnings("ignore")
def test_scripts_for_accelerate_have_their_rates() -> None:
    compare(scripts.accelerated())


@pytest.mark.slow
def test_scripts_for_accelerate_have_their_rates_on_two_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, str(Path(scripts.__file__)), str(tmp_path)], check=True, timeout=240)
    for rank in (0, 1):
        compare(json.loads((tmp_path / f"{rank}.json").read_text()), is_stepped_again=True)
