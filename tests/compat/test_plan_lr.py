"""A plan file works wherever a program takes the path of a scheduler's class."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import warmdown as wd
from warmdown.compat.lr_scheduler import PlanLR

PATH = "warmdown.compat.lr_scheduler.PlanLR"
PLAN = wd.Plan.of(
    lr=wd.warmup_cosine(warmup=4, end=0.1),
    weight_decay=wd.Set(wd.Linear(start=0.1, end=0.0)),
    run=wd.Run(total_steps=20),
)


def adamw() -> torch.optim.Optimizer:
    return torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1e-2)


def trained(optimizer: torch.optim.Optimizer, scheduler: Any, updates: int) -> list[Any]:
    """Return rate and weight decay of each update."""
    used = []
    for _ in range(updates):
        group = optimizer.param_groups[0]
        used.append((group["lr"], group["weight_decay"]))
        group["params"][0].square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    return used


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return wd.save(PLAN, tmp_path / "plan.yaml")


def named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def by_window(file: Path, optimizer: Any, last_epoch: int) -> Any:
    """Make it as a window with a class path and texts of parameters does."""
    fields = [("plan", str(file)), ("total_steps", "20")]
    values = {}
    for key, text in fields:
        try:
            values[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[key] = text
    return named(PATH)(optimizer=optimizer, last_epoch=last_epoch, **values)


def by_arguments(file: Path, optimizer: Any, last_epoch: int) -> Any:
    """Make it as scripts with ``--lr_scheduler_type PATH`` and ``NAME=VALUE`` do."""
    arguments = dict(one.split("=", 1) for one in [f"plan={file}"])
    return named(PATH)(optimizer, **arguments, last_epoch=last_epoch)


def by_partial(file: Path, optimizer: Any, last_epoch: int) -> Any:
    """Make it as configurations with ``_target_`` or ``class_path`` do."""
    config = {"plan": file.read_text(), "last_epoch": last_epoch}
    return named(PATH)(optimizer, **config)


MAKERS = [by_window, by_arguments, by_partial]


@pytest.mark.parametrize("make", MAKERS)
def test_a_plan_is_followed_saved_and_resumed_by_its_class_path(make: Any, file: Path) -> None:
    optimizer = adamw()
    whole = trained(optimizer, wd.Scheduler(optimizer, PLAN), 20)
    optimizer = adamw()
    scheduler = make(file, optimizer, -1)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    used = trained(optimizer, scheduler, 8)
    states = optimizer.state_dict(), scheduler.state_dict()
    again = adamw()
    resumed = make(file, again, -1)
    again.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    assert used + trained(again, resumed, 12) == whole


def test_a_number_of_steps_made_before_goes_on_from_there(file: Path) -> None:
    optimizer = adamw()
    whole = trained(optimizer, wd.Scheduler(optimizer, PLAN), 20)
    first = adamw()
    trained(first, PlanLR(first, str(file)), 8)
    again = adamw()
    again.load_state_dict(first.state_dict())
    assert trained(again, PlanLR(again, str(file), last_epoch=7), 12) == whole[8:]
    by_number = PlanLR(adamw(), PLAN)
    by_number.step(8)
    assert by_number.get_last_lr() == pytest.approx([whole[8][0]])


def test_a_length_that_the_plan_lacks_is_given_beside_it() -> None:
    scheduler = PlanLR(adamw(), "lr: {kind: warmup_cosine, end: 0.1}", total_steps=50)
    assert scheduler.value(50) == pytest.approx(1e-3)
    with pytest.raises(wd.SpecError):
        PlanLR(adamw(), "lr: {kind: cosin}", total_steps=50)
