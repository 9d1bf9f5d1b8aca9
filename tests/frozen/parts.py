"""What the maker of the frozen files and their test share: the live objects that a file is loaded
into.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import warmdown as wd
import warmdown.compat.lr_scheduler as drop_in
from warmdown.compat.schedulers import CosineLrScheduler, StatefulSchedulerBase, WSDLrScheduler
from warmdown.training import (
    ModelEmaCallback,
    RecordCallback,
    SaveTrainingStateCallback,
    Task,
    Trainer,
)

FOLDER = Path(__file__).parent
STEPS = [0, 1, 16, 59, 99, 150]
"""Updates at which values are asked for."""

Life = Mapping[str, Any]


def arithmetic() -> list[str]:
    """Return some results of this machine's arithmetic: where they differ, so may the last bits of
    a schedule.
    """
    points = np.linspace(0.01, 5.0, 400)
    results: list[Any] = [np.sin, np.cos, np.exp, np.log, np.sqrt, np.tanh, np.log1p, np.expm1]
    sums = [float(function(points) @ np.arange(400.0)) for function in results]
    sums += [math.fsum(function(float(point)) for point in points) for function in results]
    drawn = torch.randn(32, 32, generator=torch.Generator().manual_seed(1))
    return [
        value.hex() for value in [*sums, float((drawn @ drawn).sum()), float((points**1.7).sum())]
    ]


class Timer:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def optimizer_of(plan: wd.Plan) -> torch.optim.Optimizer:
    """Return an optimizer with a group for each name in the plan and one more, each with base
    values of its own.
    """
    names = list(dict.fromkeys(target.groups for target in plan.targets))
    named = [name.replace("*", "x") for name in names if not name.isdigit()]
    groups = [
        {
            "params": [torch.nn.Parameter(torch.ones(1))],
            "name": name,
            "lr": 0.1 * (place + 1),
            "weight_decay": 0.01,
        }
        for place, name in enumerate([*named, "rest"])
    ]
    if any(target.name == "momentum" for target in plan.targets):
        return torch.optim.SGD(groups, momentum=0.9)
    return torch.optim.AdamW(groups, betas=(0.9, 0.99))


def scheduler_of(plan: wd.Plan, **how: Any) -> tuple[wd.Scheduler, Timer]:
    """Return a fresh scheduler of a plan, and the clock that it looks at."""
    timer = Timer()
    return wd.Scheduler(optimizer_of(plan), plan, timer=timer, **how), timer


def live(scheduler: wd.Scheduler, timer: Timer, updates: int) -> list[dict[str, float]]:
    """Make updates; return the values that each used. Metrics are told after each: some better,
    some worse.
    """
    used = []
    for _ in range(updates):
        used.append(scheduler.values())
        scheduler.optimizer.step()
        timer.now += 97.5
        amount: dict[str, Any] = {"tokens": {"tokens": 8000.0}, "samples": {"samples": 60.0}}.get(
            scheduler.run.clock, {}
        )
        scheduler.step(**amount)
        if any(word in str(scheduler.plan) for word in ("Plateau", "Greedy")):
            wave = math.floor(10 * math.sin(scheduler.count)) / 10
            scheduler.observe(loss=2.0 + wave, accuracy=0.5 - 0.1 * wave)
    return used


def values_at(scheduler: wd.Scheduler) -> dict[str, list[float]]:
    """Return every number that is driven at ``STEPS``, or as far along the plan's own clock."""
    length = scheduler.plan.length or 100
    scale = 1.0 if scheduler.run.clock == "updates" else length / 100
    return {
        label: [scheduler.value(step * scale, *_split(label)) for step in STEPS]
        for label in sorted(scheduler.values())
    }


def _split(label: str) -> tuple[str, str]:
    target, _, group = label.partition("/")
    return target, group


class Halving(StatefulSchedulerBase):
    """A person's own scheduler on our base class."""

    def get_updated_values(self, num_updates: int) -> float:
        return float(0.5 ** (num_updates // 4))


def half(step: int) -> float:
    """Return a factor."""
    return float(0.5 ** (step / 3))


DROP_INS: dict[str, Any] = {
    "ChainedScheduler": lambda o: drop_in.ChainedScheduler(
        [drop_in.ConstantLR(o, 0.5, 3), drop_in.ExponentialLR(o, 0.9)]
    ),
    "ConstantLR": lambda o: drop_in.ConstantLR(o, 0.5, 9),
    "CosineAnnealingLR": lambda o: drop_in.CosineAnnealingLR(o, 12, 0.01),
    "CosineAnnealingWarmRestarts": lambda o: drop_in.CosineAnnealingWarmRestarts(o, 3, 2),
    "CosineLrScheduler": lambda o: CosineLrScheduler(
        o, 4, 5, num_warmup_epochs=1, num_cooldown_epochs=1
    ),
    "CyclicLR": lambda o: drop_in.CyclicLR(o, 0.1, 0.4, 2, 3),
    "ExponentialLR": lambda o: drop_in.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: drop_in.LambdaLR(o, half),
    "LinearLR": lambda o: drop_in.LinearLR(o, 0.25, 1.0, 16),
    "MultiStepLR": lambda o: drop_in.MultiStepLR(o, [2, 9, 9, 14], 0.5),
    "MultiplicativeLR": lambda o: drop_in.MultiplicativeLR(o, half),
    "OneCycleLR": lambda o: drop_in.OneCycleLR(o, 0.5, 25),
    "PolynomialLR": lambda o: drop_in.PolynomialLR(o, 15, 2.0),
    "ReduceLROnPlateau": lambda o: drop_in.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1),
    "SWALR": lambda o: drop_in.SWALR(o, 0.05, 12),
    "SequentialLR": lambda o: drop_in.SequentialLR(
        o, [drop_in.LinearLR(o, 0.5, 1.0, 9), drop_in.CosineAnnealingLR(o, 12)], [9]
    ),
    "StatefulSchedulerBase": Halving,
    "StepLR": lambda o: drop_in.StepLR(o, 3, 0.5),
    "WSDLrScheduler": lambda o: WSDLrScheduler(
        o, total_steps=40, num_warmup_steps=4, num_checkpoints=2
    ),
}

OTHERWISE: dict[str, tuple[Any, tuple[str, ...]]] = {
    "ConstantLR": (lambda o: drop_in.ConstantLR(o, 0.25, 3), ("factor", "total_iters")),
    "CosineAnnealingLR": (lambda o: drop_in.CosineAnnealingLR(o, 30), ("T_max", "eta_min")),
    "CosineAnnealingWarmRestarts": (
        lambda o: drop_in.CosineAnnealingWarmRestarts(o, 5),
        ("T_0", "T_mult"),
    ),
    "CyclicLR": (lambda o: drop_in.CyclicLR(o, 0.1, 0.3, 5), ("max_lrs", "step_sizes")),
    "ExponentialLR": (lambda o: drop_in.ExponentialLR(o, 0.7), ("gamma",)),
    "LinearLR": (
        lambda o: drop_in.LinearLR(o, 0.5, 0.9, 30),
        ("start_factor", "end_factor", "total_iters"),
    ),
    "MultiStepLR": (lambda o: drop_in.MultiStepLR(o, [8], 0.1), ("milestones", "gamma")),
    "OneCycleLR": (lambda o: drop_in.OneCycleLR(o, 0.9, 40), ("max_lrs", "total_steps")),
    "PolynomialLR": (lambda o: drop_in.PolynomialLR(o, 30), ("total_iters", "power")),
    "ReduceLROnPlateau": (
        lambda o: drop_in.ReduceLROnPlateau(o),
        ("factor", "patience", "cooldown"),
    ),
    "SWALR": (lambda o: drop_in.SWALR(o, 0.01, 3), ("swa_lrs", "anneal_epochs")),
    "StepLR": (lambda o: drop_in.StepLR(o, 9, 0.1), ("step_size", "gamma")),
}
"""The same classes with other arguments, and the entries of a state in which the difference shows.
"""


def sgd() -> torch.optim.SGD:
    """Return an optimizer with two groups."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.1, 0.3)]
    return torch.optim.SGD(groups, momentum=0.9)


def drive(scheduler: Any, updates: int) -> list[list[float]]:
    """Make updates; return the rate and momentum of each group that each used."""
    used = []
    for update in range(updates):
        used.append(
            [
                float(group[name])
                for group in scheduler.optimizer.param_groups
                for name in ("lr", "momentum")
            ]
        )
        scheduler.optimizer.step()
        scheduler.step(
            *([1.0 + update % 2] if isinstance(scheduler, drop_in.ReduceLROnPlateau) else [])
        )
    return used


UPDATES = 12
SAVED_AT = 11


def data() -> torch.utils.data.TensorDataset:
    """Return a few pairs."""
    inputs = torch.linspace(-1.0, 1.0, 64).reshape(32, 2)
    return torch.utils.data.TensorDataset(inputs, (inputs.sum(1, keepdim=True) > 0).float())


def trainer_in(folder: Path) -> Trainer:
    """Return a trainer with dropout and averaged weights, that keeps a record and checkpoints in a
    folder.
    """
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.Dropout(0.25), torch.nn.Linear(4, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    callbacks = [
        ModelEmaCallback(0.9),
        RecordCallback(folder / "record.jsonl"),
        SaveTrainingStateCallback(
            folder / "checkpoints", save_every_n_steps=SAVED_AT, save_at_end=False
        ),
    ]
    return Trainer(model, torch.nn.functional.mse_loss, optimizer, callbacks=callbacks, seed=5)


def train(trainer: Trainer, **how: Any) -> None:
    """Train to the end of the run, from the beginning or from a checkpoint."""
    trainer.train(
        data(), num_epochs=3, eval_dataset=data(), plan=FOLDER / "trainer" / "plan.yaml", **how
    )


def weights_of(trainer: Trainer) -> dict[str, Any]:
    """Return the weights as plain data."""
    return {name: tensor.tolist() for name, tensor in trainer.get_model().state_dict().items()}


TASK = "tests.frozen.parts:small"
PLANS = {"constant": wd.Constant(value=1.0), "cosine": wd.warmup_cosine(warmup="10%", end=0.1)}
COMPARED: dict[str, Any] = {"seeds": 2, "engine": "serial"}
SPACE = {
    "run": {"lr": {"low": 1e-3, "high": 1.0, "log": True}},
    "lr": {"kind": "constant", "value": 1.0},
}
SEARCHED: dict[str, Any] = {"trials": 3, "engine": "serial"}


def small() -> Task:
    """Return the task of the frozen experiments."""
    return Task(
        model=torch.nn.Linear(2, 1),
        loss=torch.nn.functional.mse_loss,
        train=data(),
        test=data(),
        epochs=2,
        lr=0.1,
    )
