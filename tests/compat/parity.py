"""The originals and ours beside each other: drawn cases, and the differences on purpose."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torch_sched
from torch.optim.swa_utils import SWALR

import warmdown.compat.lr_scheduler

OURS: Any = warmdown.compat.lr_scheduler
TORCH: Any = SimpleNamespace(**vars(torch_sched), SWALR=SWALR)


factors = st.floats(0.05, 1.0)
lengths = st.integers(1, 30)
rates = st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=5)

ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "LambdaLR": st.builds(
        dict, lr_lambda=st.sampled_from([lambda step: 0.9**step, lambda step: 1 / (1 + step)])
    ),
    "MultiplicativeLR": st.builds(
        dict, lr_lambda=st.sampled_from([lambda step: 0.9, lambda step: step / (1 + step)])
    ),
    "StepLR": st.builds(dict, step_size=lengths, gamma=factors),
    "MultiStepLR": st.builds(dict, milestones=st.lists(lengths, max_size=5), gamma=factors),
    "ConstantLR": st.builds(dict, factor=factors, total_iters=lengths),
    "LinearLR": st.builds(dict, start_factor=factors, end_factor=factors, total_iters=lengths),
    "ExponentialLR": st.builds(dict, gamma=factors),
    "PolynomialLR": st.builds(dict, total_iters=lengths, power=st.floats(0.5, 3.0)),
    "CosineAnnealingLR": st.builds(dict, T_max=st.integers(31, 60), eta_min=st.floats(0.0, 1e-4)),
    "CosineAnnealingWarmRestarts": st.builds(
        dict, T_0=lengths, T_mult=st.integers(1, 3), eta_min=st.floats(0.0, 1e-4)
    ),
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
    "SWALR": st.builds(
        dict,
        swa_lr=factors,
        anneal_epochs=lengths,
        anneal_strategy=st.sampled_from(["cos", "linear"]),
    ),
    "ReduceLROnPlateau": st.builds(
        dict,
        mode=st.sampled_from(["min", "max"]),
        factor=st.floats(0.1, 0.9),
        patience=st.integers(0, 4),
        threshold_mode=st.sampled_from(["rel", "abs"]),
        cooldown=st.integers(0, 3),
        min_lr=st.floats(0.0, 0.01),
    ),
    "SequentialLR": st.builds(
        dict, seam=st.integers(0, 20), gamma=factors, length=st.integers(31, 60)
    ),
    "ChainedScheduler": st.builds(
        dict, gamma=factors, factor=factors, length=lengths, power=st.floats(0.5, 3.0)
    ),
}


def made(names: Any, name: str, optimizer: Any, arguments: dict[str, Any]) -> Any:
    """Return a scheduler of torch's or of ours."""
    if name == "SequentialLR":
        parts = [
            names.ExponentialLR(optimizer, arguments["gamma"]),
            names.CosineAnnealingLR(optimizer, arguments["length"]),
        ]
        return names.SequentialLR(optimizer, parts, [arguments["seam"]])
    if name == "ChainedScheduler":
        parts = [
            names.ConstantLR(optimizer, arguments["factor"], arguments["length"]),
            names.ExponentialLR(optimizer, arguments["gamma"]),
            names.PolynomialLR(optimizer, 40, arguments["power"]),
        ]
        return names.ChainedScheduler(parts)
    return getattr(names, name)(optimizer, **arguments)


def adam(rates: list[float], kind: str = "float") -> torch.optim.Optimizer:
    """Return one with a group for each rate, a float or a tensor of double precision."""
    groups = [
        {
            "params": [torch.nn.Parameter(torch.ones(1))],
            "lr": rate if kind == "float" else torch.tensor(rate).double(),
        }
        for rate in rates
    ]
    return (
        torch.optim.AdamW(groups)
        if kind == "float"
        else torch.optim.AdamW(groups, foreach=True, capturable=True)
    )


def trace(scheduler: Any, steps: int) -> list[list[float]]:
    """Return each group's rate and first beta at each step; a plateau's metric comes and goes."""
    seen = []
    is_told = isinstance(scheduler, torch_sched.ReduceLROnPlateau)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the originals warn of the order of steps
        for step in range(steps):
            groups = scheduler.optimizer.param_groups
            seen.append(
                [float(group["lr"]) for group in groups]
                + [float(group["betas"][0]) for group in groups]
            )
            scheduler.step(*([2 + math.sin(step)] if is_told else []))
    return seen


def furthest(found: list[list[float]], expected: list[list[float]]) -> float:
    """Return the largest relative difference."""
    pairs = [
        pair
        for here, there in zip(found, expected, strict=True)
        for pair in zip(here, there, strict=True)
    ]
    return max(abs(a - b) / max(abs(a), abs(b), 1e-3) for a, b in pairs)


@dataclass(frozen=True)
class Difference:
    """One difference that is meant, shown by the same lines run on both.

    Args:
        on: The class.
        name: What differs.
        why: Why ours is right.
        show: Takes the names, theirs or ours, and returns rates or the name of an error.
        theirs: What it returns with the other library's names.
        ours: What it returns with ours.
    """

    on: str
    name: str
    why: str
    show: Callable[[Any], Any]
    theirs: Any
    ours: Any


def shown(difference: Difference, names: Any) -> Any:
    """Run a difference's lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return difference.show(names)


def sgd(lr: float = 1.0, **keys: Any) -> Any:
    """Return an optimizer with one group."""
    return torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr, **keys}], lr=lr
    )


def walk(scheduler: Any, steps: int) -> list[Any]:
    """Return the rate before each step; an error ends it by its name."""
    seen: list[Any] = []
    for _ in range(steps):
        seen.append(round(float(scheduler.optimizer.param_groups[0]["lr"]), 6))
        scheduler.optimizer.step()
        try:
            scheduler.step()
        except Exception as error:
            return [*seen, type(error).__name__]
    return seen


def tried(make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns, or the name of the error that torch would raise too."""
    kinds = (KeyError, TypeError, ZeroDivisionError, NotImplementedError, ValueError, RuntimeError)
    try:
        return make()
    except kinds as error:
        return next(kind.__name__ for kind in kinds if isinstance(error, kind))
