"""Every name beside the original: random arguments, one to five groups, floats and tensors, value for value."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as theirs
from torch.optim.swa_utils import SWALR

import warmdown.compat.lr_scheduler as ours

factors = st.floats(0.05, 1.0)
lengths = st.integers(1, 30)
rates = st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=5)

ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "LambdaLR": st.builds(dict, lr_lambda=st.sampled_from([lambda step: 0.9**step, lambda step: 1 / (1 + step)])),
    "MultiplicativeLR": st.builds(
        dict, lr_lambda=st.sampled_from([lambda step: 0.9, lambda step: 1 - 0.5 / (1 + step)])
    ),
    "StepLR": st.builds(dict, step_size=lengths, gamma=factors),
    "MultiStepLR": st.builds(dict, milestones=st.lists(lengths, max_size=5), gamma=factors),
    "ConstantLR": st.builds(dict, factor=factors, total_iters=lengths),
    "LinearLR": st.builds(dict, start_factor=factors, end_factor=factors, total_iters=lengths),
    "ExponentialLR": st.builds(dict, gamma=factors),
    "PolynomialLR": st.builds(dict, total_iters=lengths, power=st.floats(0.5, 3.0)),
    "CosineAnnealingLR": st.builds(dict, T_max=st.integers(31, 60), eta_min=st.floats(0.0, 1e-4)),
    "CosineAnnealingWarmRestarts": st.builds(dict, T_0=lengths, T_mult=st.integers(1, 3), eta_min=st.floats(0.0, 1e-4)),
    "CyclicLR": st.builds(
        dict,
        base_lr=st.floats(1e-4, 0.1),
        max_lr=st.floats(0.1, 1.0),
        step_size_up=lengths,
        step_size_down=st.none() | lengths,
        mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
        gamma=st.floats(0.8, 1.0),
    ),
    "OneCycleLR": st.builds(
        dict,
        max_lr=st.floats(0.1, 1.0),
        total_steps=st.integers(31, 60),
        pct_start=st.floats(0.05, 0.95),
        anneal_strategy=st.sampled_from(["cos", "linear"]),
        three_phase=st.booleans(),
    ),
    "SWALR": st.builds(dict, swa_lr=factors, anneal_epochs=lengths, anneal_strategy=st.sampled_from(["cos", "linear"])),
}


def original(name: str) -> Any:
    """Return torch's class of a name."""
    return SWALR if name == "SWALR" else getattr(theirs, name)


def optimizer(rates: list[float], kind: str) -> torch.optim.Optimizer:
    """Return one with a group for each rate, a float or a tensor of double precision."""
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate if kind == "float" else torch.tensor(rate).double()}
        for rate in rates
    ]
    return torch.optim.AdamW(groups) if kind == "float" else torch.optim.AdamW(groups, foreach=True, capturable=True)


def trace(scheduler: Any, steps: int) -> list[list[float]]:
    """Return every group's rate and first beta at each step."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the originals warn of the order of steps
        for _ in range(steps):
            groups = scheduler.optimizer.param_groups
            seen.append([float(group["lr"]) for group in groups] + [float(group["betas"][0]) for group in groups])
            scheduler.step()
    return seen


@pytest.mark.parametrize("kind", ["float", "tensor"])
@pytest.mark.parametrize("name", ARGUMENTS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_step_has_the_original_value(name: str, kind: str, data: st.DataObject) -> None:
    arguments, groups = data.draw(ARGUMENTS[name]), data.draw(rates)
    steps = data.draw(st.integers(1, 30))
    expected = trace(original(name)(optimizer(groups, kind), **arguments), steps)
    found = trace(getattr(ours, name)(optimizer(groups, kind), **arguments), steps)
    for here, there in zip(found, expected, strict=True):
        assert here == pytest.approx(there, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", [*theirs.__all__, "SWALR", "_LRScheduler"])
def test_every_name_takes_the_originals_arguments_and_then_verbose(name: str) -> None:
    expected, found = inspect.signature(original(name)), inspect.signature(getattr(ours, name))
    here = [(each.name, each.default, each.kind) for each in found.parameters.values() if each.name != "verbose"]
    assert here == [(each.name, each.default, each.kind) for each in expected.parameters.values()]
    assert name == "ChainedScheduler" or list(found.parameters)[-1] == "verbose"


@pytest.mark.parametrize("name", [*ARGUMENTS, "SequentialLR", "ChainedScheduler", "ReduceLROnPlateau", "_LRScheduler"])
def test_every_name_is_an_instance_of_the_original(name: str) -> None:
    assert issubclass(getattr(ours, name), original(name))
