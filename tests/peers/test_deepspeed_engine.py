"""A stand-in for DeepSpeed's engine, which does not install here: the calls that it documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

import warmdown as wd

UPDATES, MICRO_BATCHES = 20, 4
CONFIG: dict[str, Any] = {
    "train_batch_size": 8,
    "gradient_accumulation_steps": MICRO_BATCHES,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}},
    "scheduler": {
        "type": "WarmupDecayLR",
        "params": {
            "warmup_min_lr": 0,
            "warmup_max_lr": 1e-3,
            "warmup_num_steps": 5,
            "total_num_steps": UPDATES,
            "warmup_type": "linear",
        },
    },
}
PLAN = wd.Plan.of(lr=wd.warmup_cosine(warmup=4, end=0.1), weight_decay=wd.Linear(end=0.0))


class Engine:
    """What ``deepspeed.initialize`` returns, as far as a scheduler is concerned.

    Args:
        model: The model.
        config: The JSON.
        optimizer: The caller's, or ``None``: the JSON's.
        lr_scheduler: A scheduler, or a function that makes one of the engine's optimizer.
        in_pieces: Whether the optimizer steps once for each group, with weights of its own, as
            under ZeRO.
    """

    def __init__(
        self,
        model: Any,
        config: dict[str, Any],
        optimizer: Any = None,
        lr_scheduler: Any = None,
        *,
        in_pieces: bool = False,
    ) -> None:
        self.module, self.config, self.in_pieces = model, config, in_pieces
        decay = [one for one in model.parameters() if one.ndim > 1]
        others = [one for one in model.parameters() if one.ndim <= 1]
        groups: Any = [{"params": decay}, {"params": others, "weight_decay": 0.0}]
        if isinstance(lr_scheduler, LRScheduler):
            assert optimizer is not None, "a scheduler needs the caller's optimizer"
        self.optimizer = optimizer or torch.optim.AdamW(groups, **config["optimizer"]["params"])
        if in_pieces:
            for group in self.optimizer.param_groups:
                group["params"] = [one.detach().clone() for one in group["params"]]
        self.lr_scheduler = lr_scheduler
        if callable(lr_scheduler):
            self.lr_scheduler = lr_scheduler(self.optimizer)
        self.micro_steps = self.skipped_steps = 0
        self.overflows: set[int] = set()

    def backward(self, loss: torch.Tensor) -> None:
        (loss / self.config["gradient_accumulation_steps"]).backward()

    def is_gradient_accumulation_boundary(self) -> bool:
        return bool((self.micro_steps + 1) % self.config["gradient_accumulation_steps"] == 0)

    def step(self, lr_kwargs: dict[str, Any] | None = None) -> None:
        if self.is_gradient_accumulation_boundary():
            if (self.micro_steps + 1) // self.config["gradient_accumulation_steps"] in (
                self.overflows
            ):
                self.skipped_steps += 1
            else:
                self._update()
                try:
                    self.lr_scheduler.step(**(lr_kwargs or {}))
                except TypeError:
                    self.lr_scheduler.step(self.config["train_batch_size"])
            self.module.zero_grad()
        self.micro_steps += 1

    def _update(self) -> None:
        if not self.in_pieces:
            self.optimizer.step()
            return
        groups = self.optimizer.param_groups
        for group in groups:
            for piece in group["params"]:
                piece.grad = torch.ones_like(piece)
            self.optimizer.param_groups = [group]
            self.optimizer.step()
        self.optimizer.param_groups = groups

    def get_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def save_checkpoint(self, path: Path) -> None:
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
        }
        torch.save(state, path)

    def load_checkpoint(self, path: Path) -> None:
        state = torch.load(path)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.lr_scheduler.load_state_dict(state["lr_scheduler"])


def trained(engine: Engine, updates: int) -> list[list[float]]:
    """Return rates and weight decays of each update."""
    used: list[list[float]] = []
    for _ in range(updates * MICRO_BATCHES):
        if engine.is_gradient_accumulation_boundary():
            groups = engine.optimizer.param_groups
            used.append(engine.get_lr() + [group["weight_decay"] for group in groups])
        engine.backward(engine.module(torch.ones(2, 3)).square().mean())
        engine.step()
    return used


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def planned(optimizer: Any) -> wd.Scheduler:
    return wd.Scheduler(optimizer, PLAN, total_steps=UPDATES)


def alone(make: Callable[[Any], Any], updates: int = UPDATES) -> list[list[float]]:
    """Return what a loop of one's own uses."""
    optimizer = Engine(model(), CONFIG, lr_scheduler=make).optimizer
    scheduler, used = make(optimizer), []
    for _ in range(updates):
        groups = optimizer.param_groups
        used.append([g["lr"] for g in groups] + [g["weight_decay"] for g in groups])
        optimizer.step()
        scheduler.step()
    return used


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_function_that_makes_the_scheduler_takes_the_place_of_the_jsons(in_pieces: bool) -> None:
    engine = Engine(model(), CONFIG, lr_scheduler=planned, in_pieces=in_pieces)
    used = trained(engine, UPDATES)
    assert used == alone(planned)
    assert used[0][0] == 0.0
    assert engine.lr_scheduler.get_last_lr() == engine.get_lr() == pytest.approx([1e-4, 1e-4])


def test_a_scheduler_of_the_callers_own_optimizer_is_taken() -> None:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    engine = Engine(net, CONFIG, optimizer, planned(optimizer))
    rates = [row[0] for row in trained(engine, UPDATES)]
    assert rates == [row[0] for row in alone(planned)]


def test_an_update_that_overflowed_is_not_counted() -> None:
    engine = Engine(model(), CONFIG, lr_scheduler=planned)
    engine.overflows = {3, 4}
    used = trained(engine, UPDATES)
    whole = alone(planned)
    assert used == [*whole[:3], whole[2], *whole[2:4], *whole[4 : UPDATES - 2]]
    assert engine.lr_scheduler.count == UPDATES - 2


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_checkpoint_of_the_engine_goes_on(in_pieces: bool, tmp_path: Path) -> None:
    engine = Engine(model(), CONFIG, lr_scheduler=planned, in_pieces=in_pieces)
    used = trained(engine, 8)
    engine.save_checkpoint(tmp_path / "state.pt")
    again = Engine(model(), CONFIG, lr_scheduler=planned, in_pieces=in_pieces)
    again.load_checkpoint(tmp_path / "state.pt")
    assert used + trained(again, UPDATES - 8) == alone(planned)


def test_the_jsons_own_scheduler_is_a_plan_by_import() -> None:
    plan = wd.import_config(CONFIG)

    def imported(optimizer: Any) -> wd.Scheduler:
        return wd.Scheduler(optimizer, plan, on_change="error")

    engine = Engine(model(), CONFIG, lr_scheduler=imported)
    rates = [row[0] for row in trained(engine, UPDATES)]
    # the engine steps its own once when it is made, and again after the first update
    counts = [max(0, update - 1) for update in range(UPDATES)]
    factors = [min(at / 5, max(0.0, (UPDATES - at) / (UPDATES - 5))) for at in counts]
    assert rates == pytest.approx([1e-3 * factor for factor in factors])
