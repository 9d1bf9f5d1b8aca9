"""A drop-in that accelerate has prepared counts updates, whatever the number of processes."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.compat import processes
from tests.compat.loops import goes_at_once, rates, sgd
from tests.compat.torch_names import EACH, momentum

from warmdown.compat.lr_scheduler import ExponentialLR
from warmdown.compat.schedulers import WSDLrScheduler

ROOT = Path(__file__).parents[2]


def prepared(scheduler: Any) -> Any:
    """Return a scheduler as two processes' accelerate steps it: twice an update."""
    assert scheduler._is_accelerate_prepared is False
    return scheduler


def train(scheduler: Any, turns: int, calls: int, updates: int = 1) -> list[list[float]]:
    """Return the rates of each turn: so many updates, and then so many calls of ``step``."""
    used = []
    for _ in range(turns):
        used.append(rates(scheduler.optimizer))
        for _ in range(updates):
            scheduler.optimizer.step()
        for _ in range(calls):
            scheduler.step()
    return used


@pytest.mark.slow
def test_two_processes_use_the_rates_of_one_prepared_or_not(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = [str(Path(processes.__file__)), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*torchrun, *script], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1]
    assert found[0]["used"] == {name: processes.alone(name) for name in processes.NAMES}
    assert found[0]["said"] == len(processes.NAMES) - 1  # the native one says it in its own words


@pytest.mark.parametrize("name", EACH)
def test_a_second_call_for_one_update_counts_nothing_and_says_so_once(name: str) -> None:
    plain, twice = EACH[name](momentum()), prepared(EACH[name](momentum()))
    expected = train(plain, turns=9, calls=1)
    way_out = r"Give its lengths in updates: remove `\* accelerator\.num_processes`.*do not prepare"
    with pytest.warns(UserWarning, match=rf"counts once for each update\. {way_out}") as said:
        assert train(twice, turns=9, calls=2) == expected
    assert len(said) == 1
    assert twice.state_dict() == plain.state_dict()


def test_a_prepared_scheduler_that_steps_once_an_epoch_counts_epochs() -> None:
    scheduler = prepared(ExponentialLR(sgd(1.0), 0.5))
    with pytest.warns(UserWarning, match="in updates"):
        train(scheduler, turns=3, calls=2, updates=5)
    assert scheduler.last_epoch == 3


def test_a_prepared_curve_can_be_drawn_without_training() -> None:
    scheduler = prepared(ExponentialLR(sgd(1.0), 0.5))
    for _ in range(3):
        scheduler.step()
    assert rates(scheduler.optimizer) == [0.125]


def test_where_updates_cannot_be_seen_every_call_counts() -> None:
    scheduler = prepared(ExponentialLR(sgd(1.0), 0.5))
    for _ in range(4):  # a wrapper steps an optimizer of its own
        scheduler.step()
        scheduler.step()
    assert scheduler.last_epoch == 8


@pytest.mark.parametrize("make", [EACH["cosine"], lambda opt: WSDLrScheduler(opt, total_steps=12)])
def test_a_prepared_scheduler_is_saved_copied_and_let_go_like_any(make: Any) -> None:
    plain, scheduler = make(momentum()), prepared(make(momentum()))
    assert scheduler.state_dict() == plain.state_dict()
    for other in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        other.optimizer.step()
        other.step()
        other.step()
        assert other.last_epoch == 2  # nobody prepared the copy
    step = scheduler.step
    with goes_at_once(scheduler):
        del scheduler
    step()  # and does nothing
    assert not type(plain)._is_accelerate_prepared
    assert "step" not in vars(plain)


def test_updates_are_counted_on_the_optimizer_inside_whichever_is_given() -> None:
    accelerate = pytest.importorskip("accelerate")
    inner = sgd(1.0)
    scheduler = prepared(ExponentialLR(accelerate.Accelerator(cpu=True).prepare(inner), 0.5))
    with pytest.warns(UserWarning, match="in updates"):
        train(scheduler, turns=3, calls=2)
    assert rates(inner) == [0.125]
