"""A scheduler that is under way, as a plan: its next rates are the original's, whatever it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.compat.loops import rates
from tests.compat.parity import TORCH
from tests.compat.torch_names import momentum

import warmdown as wd
from warmdown.importing import from_settings, from_torch

# the original says it where a sequence begins with a sequence
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")

Make = Callable[[Any], Any]

EACH: dict[str, Make] = {
    "StepLR": lambda opt: TORCH.StepLR(opt, 3, 0.5),
    "ConstantLR": lambda opt: TORCH.ConstantLR(opt, 0.5, 4),
    "LinearLR": lambda opt: TORCH.LinearLR(opt, 0.25, 1.0, 8),
    "CosineAnnealingLR": lambda opt: TORCH.CosineAnnealingLR(opt, 15, 0.01),
    "CosineAnnealingWarmRestarts": lambda opt: TORCH.CosineAnnealingWarmRestarts(opt, 4, 2),
    "CyclicLR": lambda opt: TORCH.CyclicLR(opt, 0.1, 0.4, 2, 3, "triangular2"),
    "OneCycleLR": lambda opt: TORCH.OneCycleLR(opt, 0.5, 60),
    "SWALR": lambda opt: TORCH.SWALR(opt, 0.05, 9),
    "LambdaLR": lambda opt: TORCH.LambdaLR(opt, lambda step: 0.9**step),
    "MultiplicativeLR": lambda opt: TORCH.MultiplicativeLR(opt, lambda step: 0.9),
    "SequentialLR": lambda opt: TORCH.SequentialLR(
        opt, [TORCH.LinearLR(opt, 0.5, 1.0, 3), TORCH.CosineAnnealingWarmRestarts(opt, 4, 2)], [3]
    ),
    "ChainedScheduler": lambda opt: TORCH.ChainedScheduler(
        [TORCH.ConstantLR(opt, 0.5, 3), TORCH.ExponentialLR(opt, 0.9)]
    ),
    "a chain with a floor": lambda opt: TORCH.ChainedScheduler(
        [TORCH.LinearLR(opt, 0.1, 1.0, 5), TORCH.CosineAnnealingLR(opt, 30, 0.01)]
    ),
    "a sequence in a chain": lambda opt: TORCH.ChainedScheduler(
        [
            TORCH.SequentialLR(
                opt, [TORCH.LinearLR(opt, 0.5, 1.0, 3), TORCH.ExponentialLR(opt, 0.97)], [3]
            ),
            TORCH.StepLR(opt, 5, 0.5),
        ]
    ),
    "a sequence in a sequence": lambda opt: TORCH.SequentialLR(
        opt,
        [
            TORCH.SequentialLR(
                opt, [TORCH.ConstantLR(opt, 0.5, 3), TORCH.ExponentialLR(opt, 0.97)], [3]
            ),
            TORCH.StepLR(opt, 5, 0.5),
        ],
        [8],
    ),
    "an average in a sequence": lambda opt: TORCH.SequentialLR(
        opt, [TORCH.ExponentialLR(opt, 0.9), TORCH.SWALR(opt, 0.02, 4)], [4]
    ),
}


def step(scheduler: Any, count: int) -> Any:
    """Return a scheduler after so many steps."""
    for _ in range(count):
        scheduler.optimizer.step()
        scheduler.step()
    return scheduler


def loaded(make: Make, count: int) -> Any:
    """Return a new scheduler with the states of one that has made so many steps."""
    old, new = step(make(momentum()), count), make(momentum())
    new.optimizer.load_state_dict(copy.deepcopy(old.optimizer.state_dict()))
    new.load_state_dict(copy.deepcopy(old.state_dict()))
    return new


def agrees(scheduler: Any, count: int) -> None:
    """Check the plan of a scheduler that has made so many steps against its next rates."""
    plan = from_torch(scheduler, total_steps=60, report=None)
    bases = [group["initial_lr"] for group in scheduler.optimizer.param_groups]
    ours = wd.Scheduler(momentum(*bases), plan)
    for at in range(count, 30):
        ours.seek(at)
        assert rates(ours.optimizer) == pytest.approx(rates(scheduler.optimizer), rel=1e-7), at
        step(scheduler, 1)


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("name", EACH)
def test_the_plan_of_a_running_scheduler_has_its_next_rates(name: str, count: int) -> None:
    agrees(step(EACH[name](momentum()), count), count)


@pytest.mark.parametrize("name", EACH)
def test_so_has_that_of_one_whose_state_was_loaded(name: str) -> None:
    agrees(loaded(EACH[name], 7), 7)


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "ChainedScheduler", "SWALR"])
def test_so_has_that_of_one_whose_rates_were_edited(name: str) -> None:
    scheduler = step(EACH[name](momentum()), 4)
    for group in scheduler.optimizer.param_groups:
        group["lr"] *= 0.5
    agrees(scheduler, 4)


def test_a_running_chain_is_not_called_inexact_and_says_where_it_is() -> None:
    said: list[str] = []
    from_torch(step(EACH["ChainedScheduler"](momentum()), 5), report=said.append)
    assert said == ["ChainedScheduler: it stands at update 5. Go there with scheduler.seek(5)."]


def test_an_average_begins_at_the_rate_that_the_one_before_it_left() -> None:
    decay = step(TORCH.ExponentialLR(momentum(), 0.9), 5)
    agrees(TORCH.SWALR(decay.optimizer, 0.02, 6), 0)


def test_a_warmup_of_onetrainers_reaches_its_rate_before_a_class_that_sets_its_own() -> None:
    settings = {
        "learning_rate_scheduler": "CUSTOM",
        "custom_learning_rate_scheduler": "torch.optim.lr_scheduler.CyclicLR",
        "learning_rate": 0.1,
        "learning_rate_warmup_steps": 5,
        "scheduler_params": [
            {"key": "base_lr", "value": "0.001"},
            {"key": "max_lr", "value": "%LR%"},
            {"key": "step_size_up", "value": "10"},
            {"key": "cycle_momentum", "value": "False"},
        ],
    }
    scheduler = wd.Scheduler(momentum(0.1), from_settings(settings, total_steps=40, report=None))
    found = [scheduler.value(at) for at in (0, 1, 4, 5, 6, 15)]
    assert found == pytest.approx([0.0, 0.02, 0.08, 0.001, 0.0109, 0.1])
