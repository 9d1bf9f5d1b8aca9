"""What is saved can be read without trust, and what is given need not be Python's own number."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tests.compat.loops import rates, sgd, through_a_file
from tests.compat.parity import OURS, TORCH
from tests.compat.torch_names import EACH, momentum, steps

from warmdown.compat.lr_scheduler import LRScheduler


def rows(scheduler: Any, count: int = 8) -> list[list[float]]:
    """Return the rates of so many steps, as numbers."""
    return [[float(rate) for rate in row] for row in steps(scheduler, count)]


class _Old:
    """An object that states of old versions hold."""

    def anneal(self, start: float, end: float, share: float) -> float:
        return start + (end - start) * share


@pytest.mark.parametrize("name", EACH)
def test_methods_and_objects_of_an_old_state_are_not_saved_again(name: str) -> None:
    saved, resumed = EACH[name](momentum()), EACH[name](momentum())
    steps(saved, 3)
    old = {
        **saved.state_dict(),
        "anneal_func": _Old().anneal,
        "scale_fn": partial(_Old().anneal, 0.0),
        "is_better": _Old(),
        "verbose": False,
    }
    resumed.load_state_dict(old)
    assert through_a_file(resumed.state_dict()).keys() == saved.state_dict().keys()
    assert rows(resumed) == [pytest.approx(row, rel=1e-12) for row in rows(saved)]


def test_a_class_of_ones_own_saves_what_it_holds() -> None:
    class Own(LRScheduler):
        def __init__(self, optimizer: Any) -> None:
            self.helper = _Old()
            super().__init__(optimizer)

        def get_lr(self) -> list[Any]:
            return list(self.base_lrs)

    scheduler = Own(sgd())
    assert scheduler.state_dict()["helper"] is scheduler.helper


class Height:
    """A function that is an object, whose attribute a state holds."""

    def __init__(self, height: float) -> None:
        self.height = height

    def __call__(self, step: float) -> float:
        return self.height


@pytest.mark.parametrize("names", [OURS, TORCH], ids=["ours", "torch's"])
def test_a_function_that_is_an_object_has_its_attributes_back(names: Any) -> None:
    makes: list[Any] = [
        lambda opt, call: names.LambdaLR(opt, call),
        lambda opt, call: names.MultiplicativeLR(opt, call),
        lambda opt, call: names.CyclicLR(opt, 0.1, 0.4, 2, scale_fn=call),
    ]
    expected = [[0.5] * 3, [0.125, 0.0625, 0.03125], [0.175, 0.1, 0.175]]
    for make, rates_ in zip(makes, expected, strict=True):
        saved, resumed = (make(sgd(1.0, momentum=0.9), Height(height)) for height in (0.5, 0.25))
        steps(saved, 3)
        resumed.optimizer.load_state_dict(saved.optimizer.state_dict())
        resumed.load_state_dict(saved.state_dict())
        assert [row[0] for row in steps(resumed, 3)] == pytest.approx(rates_)


def test_of_a_function_that_is_an_object_the_plain_attributes_are_saved() -> None:
    class Factor:
        def __init__(self) -> None:
            self.calls, self.by, self.of = 0, np.float64(0.5), _Old()

        def __call__(self, step: int) -> float:
            self.calls += 1
            return float(self.by**step)

    scheduler = OURS.LambdaLR(sgd(), Factor())
    steps(scheduler, 2)
    saved = through_a_file(scheduler.state_dict())
    assert saved["lr_lambdas"] == [{"calls": 3, "by": 0.5}]


KINDS: dict[str, Callable[[float], Any]] = {
    "float32": np.float32,
    "float64": np.float64,
    "an array": np.array,
    "a tensor": lambda value: torch.tensor(value, dtype=torch.float64),
}
GIVEN: dict[str, Callable[[Any, Any, Callable[[float], Any]], Any]] = {
    "StepLR": lambda names, opt, of: names.StepLR(opt, np.int64(3), of(0.5)),
    "MultiStepLR": lambda names, opt, of: names.MultiStepLR(opt, np.array([2, 4]), of(0.5)),
    "ConstantLR": lambda names, opt, of: names.ConstantLR(opt, of(0.5), 4.0),
    "LinearLR": lambda names, opt, of: names.LinearLR(opt, of(0.25), of(1.0), 6.0),
    "ExponentialLR": lambda names, opt, of: names.ExponentialLR(opt, of(0.9)),
    "PolynomialLR": lambda names, opt, of: names.PolynomialLR(opt, 12.0, of(2.0)),
    "CosineAnnealingLR": lambda names, opt, of: names.CosineAnnealingLR(opt, 100.0, of(0.01)),
    "CyclicLR": lambda names, opt, of: names.CyclicLR(
        opt, of(0.1), of(0.4), np.int64(2), 3.0, "exp_range", gamma=float(of(0.9))
    ),
    "OneCycleLR": lambda names, opt, of: names.OneCycleLR(
        opt, of(0.5), 12, div_factor=of(10.0), base_momentum=float(of(0.8))
    ),
    "SWALR": lambda names, opt, of: names.SWALR(opt, [of(0.05), of(0.06)], 5),
    "LambdaLR": lambda names, opt, of: names.LambdaLR(opt, lambda step: of(0.9**step)),
    "ChainedScheduler": lambda names, opt, of: names.ChainedScheduler(
        (names.ConstantLR(opt, of(0.5), 3), names.ExponentialLR(opt, of(0.9)))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in GIVEN if name != "CyclicLR"])
def test_a_number_of_any_kind_is_taken_where_the_original_takes_it(name: str, kind: str) -> None:
    pair = [GIVEN[name](names, momentum(), KINDS[kind]) for names in (OURS, TORCH)]
    assert rows(pair[0]) == [pytest.approx(row, rel=1e-6) for row in rows(pair[1])]
    through_a_file(pair[0].state_dict())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GIVEN)
def test_a_rate_of_any_kind_is_scheduled_as_the_original_does(name: str, kind: str) -> None:
    runs = []
    for names in (OURS, TORCH):
        optimizer = momentum()
        for group in optimizer.param_groups:
            group["lr"] = KINDS[kind](group["lr"])
        scheduler = GIVEN[name](names, optimizer, float)
        runs.append(rows(scheduler))
        if names is OURS:
            through_a_file(scheduler.state_dict())
            through_a_file(optimizer.state_dict())
    assert runs[0] == [pytest.approx(row, rel=1e-6) for row in runs[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plateau_takes_numbers_of_any_kind(kind: str) -> None:
    of = KINDS[kind]
    pair = [
        names.ReduceLROnPlateau(
            momentum(), "min", of(0.5), 1.0, of(1e-4), cooldown=0.0, min_lr=[of(0.06), of(0.1)]
        )
        for names in (OURS, TORCH)
    ]
    for _ in range(6):
        for scheduler in pair:
            scheduler.step(1.0)
        expected = [float(rate) for rate in rates(pair[1].optimizer)]
        assert rates(pair[0].optimizer) == pytest.approx(expected, rel=1e-6)
    through_a_file(pair[0].state_dict())


def test_an_argument_assigned_as_a_number_of_numpys_is_followed_and_saved() -> None:
    scheduler = OURS.CosineAnnealingLR(momentum(), 20)
    scheduler.eta_min = np.float32(0.01)
    scheduler.base_lrs = np.array([0.2, 0.3])
    steps(scheduler, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = OURS.CosineAnnealingLR(momentum(), 20, np.float32(0.01))
        again.load_state_dict(copy.deepcopy(through_a_file(scheduler.state_dict())))
    assert again.base_lrs == [0.2, 0.3]
