"""Where ours differ from torch's on purpose: name, reason, and lines that show it on both."""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from inspect import signature
from io import StringIO
from typing import Any

import pytest
import torch
from tests.compat.parity import TORCH, Difference, sgd, tried, walk


def _restored(names: Any, lr: float, make: Any, steps: int) -> list[Any]:
    """Go on by ``last_epoch`` on an optimizer that holds the rate it held."""
    optimizer = sgd(lr, initial_lr=1.0)
    return walk(make(names, optimizer), steps)


def _horizon(names: Any) -> list[float]:
    old = names.CosineAnnealingLR(sgd(), 4)
    walk(old, 2)
    longer = names.CosineAnnealingLR(old.optimizer, 8)
    longer.load_state_dict(old.state_dict())
    return walk(longer, 7)[1:]


def _state_alone(names: Any) -> list[float]:
    old = names.ExponentialLR(sgd(), 0.5)
    walk(old, 2)
    fresh = names.ExponentialLR(sgd(), 0.5)
    fresh.load_state_dict(old.state_dict())
    return walk(fresh, 2)


def _resumed_sequence(names: Any) -> list[float]:
    optimizer = sgd(0.25, initial_lr=1.0)
    parts = [names.ConstantLR(optimizer, 0.1, 9), names.ExponentialLR(optimizer, 0.5)]
    return walk(names.SequentialLR(optimizer, parts, [2], last_epoch=3), 2)


def _nested(names: Any, first: bool) -> list[float]:
    optimizer = sgd()
    inner = [names.ConstantLR(optimizer, 0.1, 9), names.ConstantLR(optimizer, 0.2, 9)]
    sequence = names.SequentialLR(optimizer, inner, [2])
    other = names.ConstantLR(optimizer, 0.5, 9)
    return walk(
        names.SequentialLR(optimizer, [sequence, other] if first else [other, sequence], [3]), 6
    )


def _chain_in_sequence(names: Any) -> list[float]:
    optimizer = sgd()
    chain = names.ChainedScheduler(
        [names.ConstantLR(optimizer, 0.5, 9), names.ExponentialLR(optimizer, 0.5)]
    )
    return walk(names.SequentialLR(optimizer, [chain, names.ConstantLR(optimizer, 1.0, 9)], [2]), 3)


def _plateau_in_sequence(names: Any) -> Any:
    optimizer = sgd()
    parts = [
        names.ConstantLR(optimizer, 0.5, 9),
        names.ReduceLROnPlateau(optimizer, factor=0.1, patience=0),
    ]
    scheduler = tried(lambda: names.SequentialLR(optimizer, parts, [1]))
    if isinstance(scheduler, str):
        return scheduler
    seen = []
    for loss in (1.0, 1.0, 1.0):
        scheduler.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def _plateau(names: Any, *metrics: float) -> float:
    scheduler = names.ReduceLROnPlateau(sgd(), factor=0.5, patience=0)
    for metric in metrics:
        scheduler.step(metric)
    return float(scheduler.optimizer.param_groups[0]["lr"])


def _cyclic_second(names: Any) -> list[float]:
    optimizer = sgd(0.5, momentum=0.9)
    names.StepLR(optimizer, 9)
    return walk(names.CyclicLR(optimizer, 0.1, 0.2, 1, cycle_momentum=False), 3)


def _added_group(names: Any) -> Any:
    scheduler = names.LambdaLR(sgd(), lambda step: 0.5**step)
    scheduler.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 8.0})
    seen = walk(scheduler, 2)
    return seen[-1] if isinstance(seen[-1], str) else scheduler.optimizer.param_groups[1]["lr"]


def _betas(names: Any) -> bool:
    parameter = torch.nn.Parameter(torch.ones(1))
    betas = (torch.tensor(0.9), torch.tensor(0.99))
    optimizer = torch.optim.Adam([parameter], lr=torch.tensor(0.1), betas=betas, capturable=True)
    names.OneCycleLR(optimizer, 0.1, 10)
    return optimizer.param_groups[0]["betas"][0] is betas[0]


def _swa_resumed(names: Any) -> list[Any]:
    return _restored(
        names, 0.5, lambda names, opt: names.SWALR(opt, 0.0, 4, "linear", last_epoch=1), 4
    )


def _bent_cycle(names: Any) -> list[float]:
    scheduler = names.CyclicLR(
        sgd(), 0.1, 1.0, 2, mode="exp_range", gamma=0.5**0.5, cycle_momentum=False
    )
    walk(scheduler, 1)
    seen = walk(scheduler, 1)
    scheduler.gamma = 0.5
    return [*seen, *walk(scheduler, 3)]


def _longer_cycle(names: Any) -> list[float]:
    scheduler = names.OneCycleLR(
        sgd(), 1.0, 8, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False
    )
    walk(scheduler, 3)
    scheduler.total_steps = 16
    return walk(scheduler, 3)


def _told_early(names: Any) -> str:
    """Return which call is told that a step came before the first update."""
    scheduler = names.StepLR(sgd(), 9)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        scheduler.step()
        at_once = bool(said)
        scheduler.optimizer.step()
    return "scheduler.step()" if at_once else "optimizer.step()" if said else "none"


def _printed(names: Any) -> Any:
    if names is TORCH and "verbose" in signature(names.SequentialLR).parameters:
        pytest.skip("an older torch takes it")
    optimizer = sgd()
    parts = [names.ConstantLR(optimizer, 0.5, 9), names.ExponentialLR(optimizer, 0.5)]
    with redirect_stdout(StringIO()) as printed:
        scheduler = tried(lambda: names.SequentialLR(optimizer, parts, [2], verbose=True))
        if isinstance(scheduler, str):
            return scheduler
        walk(scheduler, 3)
    return len(printed.getvalue().splitlines())


def _warned(names: Any, kind: str) -> bool:
    """Tell whether a loop that is right is warned of its order."""
    scheduler = names.StepLR(sgd(), 9)
    if kind == "scaler":
        scheduler.optimizer.param_groups[0]["params"][0].grad = torch.zeros(1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(3):
            if kind == "scaler" and step:
                scheduler.optimizer.step()
            scheduler.step()
    return bool(said)


def _asked(names: Any) -> int:
    asked: list[int] = []
    optimizer = torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(3)], lr=1.0
    )

    def ask(step: int) -> float:
        asked.append(step)
        return 1.0

    names.LambdaLR(optimizer, ask)
    return len(asked)


def _prepared(names: Any) -> list[float]:
    """Do what accelerate does with two processes: prepare, and step twice for each update."""
    scheduler = names.ExponentialLR(sgd(), 0.5)
    assert not getattr(scheduler, "_is_accelerate_prepared", False)
    seen = []
    for _ in range(3):
        seen.append(float(scheduler.optimizer.param_groups[0]["lr"]))
        scheduler.optimizer.step()
        scheduler.step()
        scheduler.step()
    return seen


def _looked(names: Any) -> list[float]:
    scheduler = names.StepLR(sgd(), 2, 0.5)
    walk(scheduler, 2)
    return [float(rate) for rate in scheduler.get_lr()]


def _patched(names: Any) -> bool:
    optimizer = sgd()
    names.StepLR(optimizer, 3)
    return "step" in vars(optimizer)


def _drift(names: Any) -> bool:
    """Tell whether a rate of single precision is off by more than one rounding after 2000 steps."""
    parameter, rate = torch.nn.Parameter(torch.ones(1)), torch.tensor(0.1)
    first = float(rate)
    optimizer = torch.optim.AdamW([parameter], lr=rate, foreach=True, capturable=True)
    scheduler = names.ExponentialLR(optimizer, 0.999)
    for _ in range(2000):
        scheduler.step()
    return abs(float(rate) / (first * 0.999**2000) - 1) > 1e-7


DIFFERENCES = [
    Difference(
        "CosineAnnealingLR",
        "past its end",
        "a decay that is over does not climb back to the full rate",
        lambda names: walk(names.CosineAnnealingLR(sgd(), 2), 5),
        [1.0, 0.5, 0.0, 0.5, 1.0],
        [1.0, 0.5, 0.0, 0.0, 0.0],
    ),
    Difference(
        "CosineAnnealingLR",
        "no length",
        "a decay of no length is at its end; it does not divide by zero",
        lambda names: walk(names.CosineAnnealingLR(sgd(), 0), 2),
        [1.0, "ZeroDivisionError"],
        [0.0, 0.0],
    ),
    Difference(
        "OneCycleLR",
        "past its end",
        "the last rate holds; torch's rebounds once and then stops the run",
        lambda names: walk(
            names.OneCycleLR(
                sgd(), 1.0, 4, pct_start=0.5, anneal_strategy="linear", cycle_momentum=False
            ),
            7,
        )[3:],
        [4e-06, -0.499994, "ValueError"],
        [4e-06] * 4,
    ),
    Difference(
        "OneCycleLR",
        "a rise of one step",
        "pct_start * total_steps may be 1: the peak comes first",
        lambda names: tried(
            lambda: walk(names.OneCycleLR(sgd(), 1.0, 4, pct_start=0.25, cycle_momentum=False), 2)
        ),
        "ZeroDivisionError",
        [1.0, 0.750001],
    ),
    Difference(
        "OneCycleLR",
        "betas that are tensors",
        "they are filled in place; a float costs a compiled step a recompile",
        _betas,
        False,
        True,
    ),
    Difference(
        "OneCycleLR",
        "total_steps assigned",
        "an argument that is assigned bends the curve, as with every name",
        _longer_cycle,
        [0.666668, 0.500002, 0.333336],
        [0.666668, 0.916667, 0.833334],
    ),
    Difference(
        "ExponentialLR",
        "last_epoch on an optimizer that was not restored",
        "the rate is that of the step; the other chainable names do the same",
        lambda names: _restored(
            names, 1.0, lambda names, opt: names.ExponentialLR(opt, 0.5, last_epoch=1), 2
        ),
        [1.0, 0.5],
        [0.25, 0.125],
    ),
    Difference(
        "StepLR",
        "last_epoch at a stair",
        "a restored rate has already had its factor (MultiStepLR, ConstantLR too)",
        lambda names: _restored(
            names, 0.5, lambda names, opt: names.StepLR(opt, 2, 0.5, last_epoch=1), 2
        ),
        [0.25, 0.25],
        [0.5, 0.5],
    ),
    Difference(
        "StepLR",
        "a stair of no length",
        "refused when it is made, not at the first step",
        lambda names: tried(lambda: walk(names.StepLR(sgd(), 0), 2)),
        [1.0, "ZeroDivisionError"],
        "ValueError",
    ),
    Difference(
        "MultiStepLR",
        "a milestone between two steps",
        "it takes effect at the next step, instead of never",
        lambda names: walk(names.MultiStepLR(sgd(), [1.5], 0.5), 3),
        [1.0, 1.0, 1.0],
        [1.0, 1.0, 0.5],
    ),
    Difference(
        "ConstantLR",
        "a factor of 0",
        "the rate comes back from zero",
        lambda names: walk(names.ConstantLR(sgd(), 0.0, 1), 2),
        [0.0, "ZeroDivisionError"],
        [0.0, 1.0],
    ),
    Difference(
        "ConstantLR",
        "no length",
        "a factor that holds for no step does not hold for ever",
        lambda names: walk(names.ConstantLR(sgd(), 0.5, 0), 2),
        [0.5, 0.5],
        [1.0, 1.0],
    ),
    Difference(
        "LinearLR",
        "no length",
        "a move of no length is at its end, not at its start",
        lambda names: walk(names.LinearLR(sgd(), 0.5, 1.0, 0), 2),
        [0.5, 0.5],
        [1.0, 1.0],
    ),
    Difference(
        "PolynomialLR",
        "no length",
        "the same: it is at its end",
        lambda names: walk(names.PolynomialLR(sgd(), 0), 2),
        [1.0, 1.0],
        [0.0, 0.0],
    ),
    Difference(
        "CosineAnnealingWarmRestarts",
        "step(epoch) at a restart",
        "a logarithm there rounds to the wrong cycle",
        lambda names: [_at(names.CosineAnnealingWarmRestarts(sgd(), 3, 3), 363)],
        [0.0],
        [1.0],
    ),
    Difference(
        "CosineAnnealingWarmRestarts",
        "last_epoch after the first cycle",
        "the cycle is the one that was left",
        lambda names: _restored(
            names,
            1.0,
            lambda names, opt: names.CosineAnnealingWarmRestarts(opt, 1, 2, last_epoch=3),
            3,
        ),
        [1.0, 0.5, 1.0],
        [0.853553, 0.5, 0.146447],
    ),
    Difference(
        "CosineAnnealingWarmRestarts",
        "last_epoch assigned",
        "the curve goes there, as with every name (SWALR too)",
        lambda names: _set_to(names.CosineAnnealingWarmRestarts(sgd(), 4), 1),
        [0.853553, 0.5],
        [0.5, 0.146447],
    ),
    Difference(
        "CyclicLR",
        "after another scheduler",
        "it begins at base_lr, as documented, not at another's initial_lr",
        _cyclic_second,
        [0.5, 0.2, 0.1],
        [0.1, 0.2, 0.1],
    ),
    Difference(
        "CyclicLR",
        "gamma assigned, of exp_range",
        "an argument that is assigned bends the curve, as with every name",
        _bent_cycle,
        [0.418198, 0.55, 0.259099, 0.1],
        [0.418198, 0.55, 0.15625, 0.1],
    ),
    Difference(
        "SWALR",
        "last_epoch",
        "it goes on with its move instead of beginning it again",
        _swa_resumed,
        [0.5, 0.375, 0.25, 0.125],
        [0.5, 0.25, 0.0, 0.0],
    ),
    Difference(
        "SequentialLR",
        "last_epoch",
        "it goes on at that step; torch's begins again with the first part",
        _resumed_sequence,
        [0.1, 0.05],
        [0.25, 0.125],
    ),
    Difference(
        "SequentialLR",
        "a sequence as its first part",
        "every part lasts as long as it says",
        lambda names: _nested(names, True),
        [0.1, 0.2, 0.2, 0.5, 0.5, 0.5],
        [0.1, 0.1, 0.2, 0.5, 0.5, 0.5],
    ),
    Difference(
        "SequentialLR",
        "a sequence as a later part",
        "it can be one; a chain too",
        lambda names: _nested(names, False),
        [0.5, 0.5, 0.5, "NotImplementedError"],
        [0.5, 0.5, 0.5, 0.1, 0.1, 0.2],
    ),
    Difference(
        "SequentialLR",
        "a chain as its first part",
        "its factors begin at the first step, none of them early",
        _chain_in_sequence,
        [0.25, 0.125, 1.0],
        [0.5, 0.25, 1.0],
    ),
    Difference(
        "SequentialLR",
        "a plateau as a part",
        "warm up, then answer to a metric: step(val_loss)",
        _plateau_in_sequence,
        "ValueError",
        [1.0, 1.0, 0.1],
    ),
    Difference(
        "SequentialLR",
        "lines printed by verbose=True",
        "taken as by older versions of torch; its parts print, it does not",
        _printed,
        "TypeError",
        0,
    ),
    Difference(
        "ReduceLROnPlateau",
        "a metric that is NaN",
        "it says nothing; torch's counts it as bad and lowers the rate",
        lambda names: _plateau(names, 1.0, float("nan")),
        0.5,
        1.0,
    ),
    Difference(
        "ReduceLROnPlateau",
        "a negative metric that stands still",
        "a share of the best is a share of its size",
        lambda names: _plateau(names, -1.0, -1.0),
        1.0,
        0.5,
    ),
    Difference(
        "every name",
        "load_state_dict after the arguments changed",
        "a state says where one stands, arguments what is meant",
        _horizon,
        [0.146447, 0.0, 0.146447, 0.5, 0.853553, 1.0],
        [0.691342, 0.5, 0.308658, 0.146447, 0.038060, 0.0],
    ),
    Difference(
        "every name",
        "load_state_dict alone",
        "an optimizer that nobody restored gets the rates at once",
        _state_alone,
        [1.0, 0.5],
        [0.25, 0.125],
    ),
    Difference(
        "every name",
        "a group added later (where torch's raises)",
        "it joins with its own base rate",
        _added_group,
        "ValueError",
        2.0,
    ),
    Difference(
        "every name",
        "a rate of single precision after 2000 steps",
        "each value is rounded once; errors do not add up",
        _drift,
        True,
        False,
    ),
    Difference(
        "every name",
        "a warning when a gradient scaler skipped the first update",
        "that loop is right",
        lambda names: _warned(names, "scaler"),
        True,
        False,
    ),
    Difference(
        "every name",
        "a warning when a loop only draws the curve",
        "that loop is right",
        lambda names: _warned(names, "drawing"),
        True,
        False,
    ),
    Difference(
        "every name",
        "the call that is told of one early step",
        "the first update shows it; until then the loop may only draw the curve",
        _told_early,
        "scheduler.step()",
        "optimizer.step()",
    ),
    Difference(
        "every name",
        "prepared by accelerate on two processes",
        "an update is one step, however many processes make it",
        _prepared,
        [1.0, 0.25, 0.0625],
        [1.0, 0.5, 0.25],
    ),
    Difference(
        "every name",
        "get_lr() outside of step()",
        "it returns the rate of this step, and needs no warning",
        _looked,
        [0.25],
        [0.5],
    ),
    Difference(
        "every name",
        "optimizer.step is replaced",
        "a hook of the optimizer's own tells as much",
        _patched,
        True,
        False,
    ),
    Difference(
        "LambdaLR",
        "calls of a function that three groups share",
        "it is asked once a step",
        _asked,
        3,
        1,
    ),
]


def _set_to(scheduler: Any, last_epoch: int) -> list[float]:
    scheduler.last_epoch = last_epoch
    return walk(scheduler, 3)[1:]


def _at(scheduler: Any, step: int) -> float:
    scheduler.step(step)
    return round(float(scheduler.optimizer.param_groups[0]["lr"]), 6)
