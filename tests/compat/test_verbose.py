"""Rates that are printed: in the words of older versions of torch, and at no cost where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.compat.loops import sgd
from tests.compat.torch_names import momentum, steps, wlr

from warmdown.compat.lr_scheduler.window import write_nothing

MADE: dict[str, Callable[..., Any]] = {
    "LRScheduler": lambda opt, **k: Halved(opt, **k),
    "StepLR": lambda opt, **k: wlr.StepLR(opt, 2, 0.5, **k),
    "MultiStepLR": lambda opt, **k: wlr.MultiStepLR(opt, [2], 0.5, **k),
    "ConstantLR": lambda opt, **k: wlr.ConstantLR(opt, 0.5, 2, **k),
    "LinearLR": lambda opt, **k: wlr.LinearLR(opt, 0.5, **k),
    "ExponentialLR": lambda opt, **k: wlr.ExponentialLR(opt, 0.5, **k),
    "PolynomialLR": lambda opt, **k: wlr.PolynomialLR(opt, 9, **k),
    "CosineAnnealingLR": lambda opt, **k: wlr.CosineAnnealingLR(opt, 9, **k),
    "SWALR": lambda opt, **k: wlr.SWALR(opt, 0.1, 3, **k),
    "CyclicLR": lambda opt, **k: wlr.CyclicLR(opt, 0.1, 0.2, 3, **k),
    "OneCycleLR": lambda opt, **k: wlr.OneCycleLR(opt, 0.1, 9, **k),
    "LambdaLR": lambda opt, **k: wlr.LambdaLR(opt, lambda step: 0.5**step, **k),
    "MultiplicativeLR": lambda opt, **k: wlr.MultiplicativeLR(opt, lambda step: 0.5, **k),
}


class Halved(wlr._LRScheduler):  # type: ignore[misc]
    """A class of one's own, as older code writes them."""

    def __init__(self, optimizer: Any, last_epoch: int = -1, verbose: bool = False) -> None:
        super().__init__(optimizer, last_epoch, verbose)

    def get_lr(self) -> list[float]:
        return [base * 0.5**self.last_epoch for base in self.base_lrs]


@pytest.mark.parametrize("name", MADE)
def test_each_step_prints_the_rate_of_each_group(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = MADE[name](momentum(), verbose=True)
    used = steps(scheduler, 5)
    assert used == steps(MADE[name](momentum()), 5)
    printed = capsys.readouterr().out.splitlines()
    assert printed[: 2 * len(used)] == [
        f"Adjusting learning rate of group {group} to {rate:.4e}."
        for row in used
        for group, rate in enumerate(row)
    ]


def test_a_step_that_is_given_an_epoch_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = wlr.StepLR(sgd(0.1), 2, verbose=True)
    scheduler.step(5)
    assert capsys.readouterr().out.splitlines() == [
        "Adjusting learning rate of group 0 to 1.0000e-01.",
        "Epoch 00005: adjusting learning rate of group 0 to 1.0000e-03.",
    ]


def test_warm_restarts_always_print_the_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = wlr.CosineAnnealingWarmRestarts(sgd(0.1), 2, verbose=True)
    scheduler.step()
    scheduler.step(1.5)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "Epoch 00000",
        "Epoch 00001",
        "Epoch 1.50",
    ]


@pytest.mark.parametrize("kind", ["float", "tensor"])
def test_a_plateau_prints_its_falls_alone(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    rate: Any = 0.1 if kind == "float" else torch.tensor(0.1)
    parameters = [torch.nn.Parameter(torch.ones(1))]
    optimizer = torch.optim.AdamW(parameters, lr=rate, foreach=True, capturable=kind != "float")
    scheduler = wlr.ReduceLROnPlateau(optimizer, patience=2, min_lr=0.01, verbose=True)
    for _ in range(9):
        scheduler.step(1.0)
    assert capsys.readouterr().out == (
        "Epoch 00004: reducing learning rate of group 0 to 1.0000e-02.\n"
    )


def test_parts_print_within_what_is_composed_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = sgd(0.4)
    parts = [wlr.ExponentialLR(optimizer, 0.5, verbose=True), wlr.StepLR(optimizer, 2)]
    chain = wlr.ChainedScheduler(parts)
    for _ in range(3):
        optimizer.step()
        chain.step()
    assert len(capsys.readouterr().out.splitlines()) == 4
    wlr.SequentialLR(optimizer, parts[1:], [], verbose=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("silent", [None, False, "deprecated"])
def test_nothing_is_printed_and_rates_are_computed_ahead_where_it_is_off(
    silent: object, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = wlr.StepLR(momentum(), 3, verbose=silent)
    steps(scheduler, 4)
    assert capsys.readouterr().out == ""
    assert scheduler._write_next is not write_nothing


def test_a_class_of_ones_own_may_print_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    class Terse(wlr.StepLR):  # type: ignore[misc]
        def print_lr(self, is_verbose: bool, group: int, lr: float, epoch: Any = None) -> None:
            print(group, lr, epoch)

    Terse(sgd(0.5), 2, verbose=True)
    assert capsys.readouterr().out == "0 0.5 None\n"


def test_a_state_neither_has_it_nor_sets_it() -> None:
    scheduler = wlr.StepLR(sgd(0.5), 2, verbose=True)
    silent = wlr.StepLR(sgd(0.5), 2)
    assert scheduler.state_dict() == silent.state_dict()
    silent.load_state_dict({**scheduler.state_dict(), "verbose": True})
    assert not silent.verbose
