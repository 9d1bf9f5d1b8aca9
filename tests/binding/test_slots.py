"""Where numbers lie in groups: whichever loop writes them, each group gets its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.binding.loops import each_rate, sgd

import warmdown as wd

MOMENTUM = wd.Set(wd.Linear(start=0.9, end=0.1, steps=100))
SHAPES = [
    wd.Cosine(steps=400),
    wd.Staircase(gamma=0.5, every=7),
    wd.Linear(start=0.0, end=1.0, steps=5),
]


def adam(*betas: Any) -> torch.optim.Optimizer:
    """Return an optimizer with one group for each pair, which it holds as it is given."""
    made: list[dict[str, Any]] = [
        {"params": [torch.nn.Parameter(torch.ones(1))], "betas": one} for one in betas
    ]
    return torch.optim.Adam(made)


def betas(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [group["betas"] for group in optimizer.param_groups]


def walk(scheduler: wd.Scheduler, steps: int) -> None:
    for _ in range(steps):
        scheduler.step()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
@pytest.mark.parametrize(
    "bases", [[0.1] * 6, [0.1, 0.2] * 3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.1]], ids=str
)
def test_groups_that_share_a_base_all_or_some_or_none_are_each_written(
    shape: wd.Schedule, bases: list[float]
) -> None:
    optimizer = sgd(*bases)
    scheduler = wd.Scheduler(optimizer, lr=shape, count_by="attempts")
    for step in range(300):
        np.testing.assert_array_equal(each_rate(optimizer), [base * shape(step) for base in bases])
        scheduler.step()


def test_groups_of_one_tuple_go_on_sharing_one_and_equal_ones_begin_to() -> None:
    second = float("0.999")  # a float, and so a tuple, of its own
    optimizer = adam((0.9, 0.999), (0.9, second), (0.9, 0.95))
    scheduler = wd.Scheduler(optimizer, momentum=MOMENTUM, count_by="attempts")
    walk(scheduler, 50)
    assert betas(optimizer) == [(0.5, 0.999), (0.5, 0.999), (0.5, 0.95)]
    assert betas(optimizer)[0] is betas(optimizer)[1]


def test_lists_stay_lists_and_apart() -> None:
    optimizer = adam([0.9, 0.999], [0.9, 0.999])
    walk(wd.Scheduler(optimizer, momentum=MOMENTUM, count_by="attempts"), 50)
    assert betas(optimizer) == [[0.5, 0.999], [0.5, 0.999]]
    assert betas(optimizer)[0] is not betas(optimizer)[1]


def test_a_change_of_the_other_beta_is_left_alone() -> None:
    optimizer = adam((0.9, 0.999), (0.9, 0.999))
    scheduler = wd.Scheduler(optimizer, momentum=MOMENTUM, count_by="attempts")
    walk(scheduler, 30)
    optimizer.param_groups[1]["betas"] = (optimizer.param_groups[1]["betas"][0], 0.5)
    walk(scheduler, 20)
    assert betas(optimizer) == [(0.5, 0.999), (0.5, 0.5)]


def test_groups_may_follow_momenta_of_their_own_beside_second_betas_of_their_own() -> None:
    optimizer = adam((0.9, 0.999), (0.8, 0.99), (0.7, 0.9))
    walk(
        wd.Scheduler(
            optimizer, momentum=wd.Linear(start=1.0, end=0.0, steps=100), count_by="attempts"
        ),
        50,
    )
    assert betas(optimizer) == [(0.45, 0.999), (0.4, 0.99), (0.35, 0.9)]
