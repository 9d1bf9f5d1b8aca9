"""A loop that steps the scheduler at the wrong time is told so; a right one never is."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.compat.loops import goes_at_once
from tests.compat.parity import OURS
from tests.compat.torch_names import EACH


def trained(kind: Any = torch.optim.SGD, **options: Any) -> tuple[Any, Callable[[], torch.Tensor]]:
    """Return an optimizer, and a function that computes gradients and returns the loss."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = kind([parameter], lr=0.1, **options)

    def backward() -> torch.Tensor:
        loss = (parameter * parameter).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return optimizer, backward


@contextmanager
def silence() -> Iterator[None]:
    """Check that nothing is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def wrong(optimizer: Any, backward: Any, scheduler: Any) -> None:
    for _ in range(5):
        optimizer.zero_grad()
        backward()
        scheduler.step()
        optimizer.step()


def each_micro_batch(optimizer: Any, backward: Any, scheduler: Any, micro: int) -> None:
    for batch in range(micro * 20):
        backward()
        if (batch + 1) % micro == 0:
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()


@pytest.mark.parametrize("name", EACH)
def test_a_step_before_each_update_is_told(name: str) -> None:
    optimizer, backward = trained(momentum=0.9)
    scheduler = EACH[name](optimizer)
    with pytest.warns(UserWarning, match=r"before the first optimizer\.step\(\)"):
        wrong(optimizer, backward, scheduler)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("micro", [2, 4])
def test_a_step_for_each_micro_batch_is_told_once_with_the_way_out(name: str, micro: int) -> None:
    optimizer, backward = trained(momentum=0.9)
    scheduler = EACH[name](optimizer)
    with pytest.warns(UserWarning, match=rf"{micro} times for each.*right after optim") as said:
        each_micro_batch(optimizer, backward, scheduler, micro)
    assert [warning.filename for warning in said] == [__file__]


@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("name", EACH)
def test_one_step_before_the_first_update_is_told_at_that_update_and_once(
    name: str, with_gradients: bool
) -> None:
    optimizer, backward = trained(momentum=0.9)
    scheduler = EACH[name](optimizer)
    if with_gradients:
        backward()
    scheduler.step()
    with pytest.warns(UserWarning, match=r"first optimizer\.step\(\).*Call optimizer") as said:
        optimizer.step()
    assert [warning.filename for warning in said] == [__file__]
    with silence():
        for _ in range(5):
            scheduler.step()
            backward()
            optimizer.step()


def right(optimizer: Any, backward: Any, scheduler: Any) -> None:
    backward()
    optimizer.step()
    scheduler.step()


def accumulated(optimizer: Any, backward: Any, scheduler: Any) -> None:
    for _ in range(4):
        backward()
    optimizer.step()
    scheduler.step()


def once_an_epoch(optimizer: Any, backward: Any, scheduler: Any) -> None:
    for _ in range(5):
        backward()
        optimizer.step()
    scheduler.step()


def with_others_in_between(optimizer: Any, backward: Any, scheduler: Any) -> None:
    other, _ = trained()
    for _ in range(5):  # as a discriminator is trained
        other.step()
        scheduler.step()
    backward()
    optimizer.step()
    scheduler.step()


@pytest.mark.parametrize("turn", [right, accumulated, once_an_epoch, with_others_in_between])
@pytest.mark.parametrize("name", ["step", "sequence", "chain"])
def test_a_right_loop_is_not_told(turn: Callable[..., None], name: str) -> None:
    optimizer, backward = trained()
    scheduler = EACH[name](optimizer)
    with silence():
        for _ in range(20):
            turn(optimizer, backward, scheduler)


def test_updates_that_a_scaler_skips_are_no_mistake() -> None:
    optimizer, backward = trained()
    scheduler = OURS.StepLR(optimizer, 3)
    with silence():
        for turn in range(20):
            backward()
            if turn not in (0, 1, 5):
                optimizer.step()
            scheduler.step()
            optimizer.zero_grad()


def test_an_optimizer_that_computes_within_its_step_is_no_mistake() -> None:
    optimizer, backward = trained(torch.optim.LBFGS, max_iter=3)
    scheduler = OURS.ExponentialLR(optimizer, 0.9)
    with silence():
        for _ in range(8):
            optimizer.step(backward)
            scheduler.step()


def test_a_curve_that_is_drawn_before_training_is_no_mistake() -> None:
    optimizer, backward = trained()
    scheduler = OURS.CosineAnnealingLR(optimizer, 100)
    with silence():
        for _ in range(50):
            scheduler.step()
        for _ in range(20):
            right(optimizer, backward, scheduler)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_are_no_mistake(copied: Callable[[Any], Any]) -> None:
    optimizer, backward = trained()
    scheduler = OURS.StepLR(optimizer, 3)
    right(optimizer, backward, scheduler)
    twin = copied(scheduler)
    with silence():
        for _ in range(10):
            for parameter in twin.optimizer.param_groups[0]["params"]:
                parameter.grad = torch.ones(2)
            twin.optimizer.step()
            twin.step()
            right(optimizer, backward, scheduler)


def test_accumulation_by_accelerate_is_no_mistake() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    optimizer, backward = trained()
    optimizer = accelerator.prepare(optimizer)
    scheduler = accelerator.prepare(OURS.StepLR(optimizer, 3))
    with silence():
        for _ in range(40):
            with accelerator.accumulate():
                backward()
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()


def test_nothing_is_kept_by_what_is_compared() -> None:
    optimizer, backward = trained()
    scheduler = OURS.StepLR(optimizer, 3)
    for batch in range(9):
        backward()
        if batch % 3 == 2:
            optimizer.step()
        scheduler.step()
    with goes_at_once(scheduler):
        del scheduler
    with goes_at_once(optimizer):
        del optimizer
