"""A scheduler is a part of what torch.distributed.checkpoint saves and loads."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.binding.loops import sgd, torchrun, train
from tests.lazily import Lazily

import warmdown as wd
from warmdown.compat import lr_scheduler as ours

RUN = wd.Run(total_steps=12)
checkpoint: Any = Lazily("torch.distributed.checkpoint")


@pytest.fixture(autouse=True)
def _one_process() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def made(end: float = 0.1) -> tuple[Any, wd.Scheduler]:
    optimizer = sgd()
    return optimizer, wd.Scheduler(optimizer, lr=wd.warmup_cosine(warmup=2, end=end), run=RUN)


def test_it_is_stateful_and_loads_in_place_with_its_events(tmp_path: Path) -> None:
    optimizer, scheduler = made()
    assert isinstance(scheduler, checkpoint.stateful.Stateful)
    train(optimizer, scheduler, 4)
    scheduler.decay_now(over=8)
    scheduler.rescale(0.5)
    checkpoint.save({"scheduler": scheduler}, checkpoint_id=tmp_path)
    again, loaded = made()
    checkpoint.load({"scheduler": loaded}, checkpoint_id=tmp_path)
    assert loaded.events == scheduler.events
    assert train(again, loaded, 8) == train(optimizer, scheduler, 8)


def test_another_plan_is_refused_and_nothing_has_changed(tmp_path: Path) -> None:
    optimizer, scheduler = made()
    train(optimizer, scheduler, 4)
    checkpoint.save({"scheduler": scheduler}, checkpoint_id=tmp_path)
    _, other = made(end=0.5)
    with pytest.raises(wd.StateError, match="on_change"):
        checkpoint.load({"scheduler": other}, checkpoint_id=tmp_path)
    assert other.count == 0


@pytest.mark.parametrize("name", ["OneCycleLR", "ReduceLROnPlateau"])
def test_a_drop_in_loads_in_place(name: str, tmp_path: Path) -> None:
    def one() -> Any:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
        if name == "OneCycleLR":
            return ours.OneCycleLR(optimizer, 0.1, 12)
        return ours.ReduceLROnPlateau(optimizer, patience=1)

    first, second = one(), one()
    for _ in range(5):
        first.optimizer.step()
        first.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    checkpoint.save({"scheduler": first}, checkpoint_id=tmp_path)
    checkpoint.load({"scheduler": second}, checkpoint_id=tmp_path)
    assert second.get_last_lr() == first.get_last_lr()
    assert second.last_epoch == first.last_epoch == 5


@pytest.mark.slow
def test_what_two_processes_saved_one_goes_on_with(tmp_path: Path) -> None:
    torchrun("checkpointing.py", tmp_path, 2)
    torchrun("checkpointing.py", tmp_path, 1)
    saved = [(tmp_path / f"saved-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    loaded = (tmp_path / "loaded-0.txt").read_text().splitlines()
    assert saved[0] == saved[1]
    assert ast.literal_eval(loaded[0]) == ast.literal_eval(saved[0][0])[8:]
    assert loaded[1] == saved[0][1]
    assert "Decayed" in loaded[1]
