"""Where ours differ from transformers', timm's, pytorch-accelerated's and under ignite."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from tests.compat.loops import rates, sgd
from tests.compat.parity import OURS, TORCH, Difference, tried, walk
from tests.compat.timm_parts import timm_scheduler

from warmdown.errors import BindingError


class Library(NamedTuple):
    """Another library's names, ours for them, and where the two part."""

    theirs: Callable[[], Any]
    ours: Callable[[], Any]
    differences: list[Difference]


def _named(module: str) -> Callable[[], Any]:
    return partial(pytest.importorskip, module)


def _ended(scheduler: Any, steps: int) -> list[float]:
    """Return the rates of the groups after so many updates."""
    walk(scheduler, steps)
    return [round(rate, 6) for rate in rates(scheduler.optimizer)]


def _greedy(names: Any, metrics: tuple[float, ...], **arguments: Any) -> float:
    given = {"factor": 0.5, "patience": 0, **arguments}
    scheduler = names.GreedyLR(sgd(0.4), **given)
    for metric in metrics:
        scheduler.step(metric)
    return rates(scheduler.optimizer)[0]


def _adafactor(names: Any, what: str) -> Any:
    kind = pytest.importorskip("transformers.optimization").Adafactor
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    given = what == "given"
    optimizer = kind([parameter], lr=0.1 if given else None, relative_step=not given)
    group = optimizer.param_groups[0]
    group["initial_lr"] = 0.3
    scheduler = names.AdafactorSchedule(optimizer)
    if what == "given":
        return group["lr"]
    if what == "stored":
        return group.get("initial_lr", "gone")
    parameter.grad = torch.ones(2, 2)
    optimizer.step()
    optimizer.zero_grad()
    return float(scheduler.get_lr()[0]) > 0


def _tanh(names: Any) -> list[float]:
    scheduler = names.TanhLRScheduler(sgd(1.0), 4, lb=-1.0, ub=1.0)
    seen = []
    for epoch in range(3):
        seen.append(round(rates(scheduler.optimizer)[0], 6))
        scheduler.step(epoch + 1)
    return seen


def _timm_plateau(names: Any) -> float:
    def made() -> Any:
        return names.PlateauLRScheduler(sgd(1.0), decay_rate=0.5, patience_t=1, mode="min")

    first, again = made(), made()
    for epoch, loss in enumerate((1.0, 1.0), start=1):
        first.step(epoch, loss)
    again.load_state_dict(first.state_dict())
    again.step(3, 1.0)
    return rates(again.optimizer)[0]


def _parts_of_epochs(names: Any) -> list[float]:
    scheduler, _ = names.create_scheduler_v2(
        sgd(1.0), "step", decay_epochs=0.1, decay_rate=0.5, warmup_epochs=0.7, warmup_lr=1.0,
        warmup_prefix=True, num_epochs=4, min_lr=0.0,
    )  # fmt: skip
    scheduler.step(1)
    return rates(scheduler.optimizer)


def _under_ignite(names: Any, kind: str) -> Any:
    handlers: Any = pytest.importorskip("ignite.handlers.param_scheduler")
    optimizer = sgd(1.0)
    parts = [names.ExponentialLR(optimizer, 0.5), names.ExponentialLR(optimizer, 0.5)]
    composed = (
        names.ChainedScheduler(parts)
        if kind == "ChainedScheduler"
        else names.SequentialLR(optimizer, parts, [2])
    )
    handler = handlers.LRScheduler(composed)
    try:
        for _ in range(2):
            handler(None)
    except (NotImplementedError, BindingError) as error:
        return type(error).__name__
    return rates(optimizer)


def _cosine(names: Any, steps: int, **arguments: Any) -> list[float]:
    scheduler = names.CosineLrScheduler(sgd(1.0), 10, 1, **arguments)
    return [round(float(scheduler.get_updated_values(step)[0]), 6) for step in range(steps)]


def _wsd(names: Any, **arguments: Any) -> Any:
    given = {"total_steps": 100, "lr_min": 0.1, **arguments}
    return names.WSDLrScheduler(sgd(1.0), **given)


def _values(scheduler: Any, *steps: int) -> list[float]:
    return [round(float(scheduler.get_updated_values(step)[0]), 6) for step in steps]


def _first_updates(scheduler: Any) -> list[float]:
    return [round(rate, 6) for rate in walk(scheduler, 3)]


def _run_on(scheduler: Any, steps: int) -> Any:
    walk(scheduler, steps)
    return scheduler


def _resumed(names: Any) -> float:
    again = _wsd(names, num_warmup_steps=10)
    again.load_state_dict(_run_on(_wsd(names, num_warmup_steps=10), 50).state_dict())
    again.step()
    return round(rates(again.optimizer)[0], 6)


def _continued(names: Any) -> tuple[Any, bool]:
    """Return a continuation, and whether a warning named what the other would do."""
    state = _run_on(_wsd(names, num_warmup_steps=10), 95).state_dict()
    then = _wsd(names, total_steps=50, lr_min=0.5, is_continuation_from_checkpoint=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        then.load_state_dict(state)
    return then, bool(said)


def _continued_rates(names: Any) -> list[float]:
    then, _ = _continued(names)
    return [*walk(then, 3), *_values(then, 50)]


def _error(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (ValueError, AssertionError, ZeroDivisionError) as error:
        kinds = (ValueError, AssertionError, ZeroDivisionError)
        return next(kind.__name__ for kind in kinds if isinstance(error, kind))


TRANSFORMERS = [
    Difference(
        "every name",
        "past its end",
        "the last value holds; some of theirs climb back",
        lambda names: walk(names.get_cosine_schedule_with_warmup(sgd(1.0), 0, 2), 5),
        [1.0, 0.5, 0.0, 0.5, 1.0],
        [1.0, 0.5, 0.0, 0.0, 0.0],
    ),
    Difference(
        "cosine_with_min_lr",
        "min_lr, of groups with 1 and 0.1",
        "it is a rate, the same for each group; theirs is divided by the optimizer's default",
        lambda names: _ended(
            names.get_cosine_with_min_lr_schedule_with_warmup(sgd(1.0, 0.1), 0, 2, min_lr=0.05), 2
        ),
        [0.05, 0.005],
        [0.05, 0.05],
    ),
    Difference(
        "polynomial",
        "lr_end, of groups with 1 and 0.1",
        "the same",
        lambda names: _ended(
            names.get_polynomial_decay_schedule_with_warmup(sgd(1.0, 0.1), 0, 2, lr_end=0.05), 2
        ),
        [0.05, 0.005],
        [0.05, 0.05],
    ),
    Difference(
        "GreedyLR",
        "a metric that is NaN",
        "it is no metric; theirs counts it as worse",
        lambda names: _greedy(names, (1.0, float("nan"))),
        0.4,
        0.8,
    ),
    Difference(
        "GreedyLR",
        "a relative threshold and a negative metric that stands still",
        "a share of the best is a share of its size",
        lambda names: _greedy(names, (-1.0, -1.0), threshold_mode="rel", threshold=0.1),
        1.0,
        0.4,
    ),
    Difference(
        "GreedyLR",
        "factor=0",
        "it divides, too, so it is refused when it is made",
        lambda names: tried(lambda: _greedy(names, (1.0,), factor=0.0)),
        "ZeroDivisionError",
        "ValueError",
    ),
    Difference(
        "AdafactorSchedule",
        "a rate of 0.1 that was given",
        "Adafactor trains with it, so it is not overwritten",
        lambda names: _adafactor(names, "given"),
        0.0,
        0.1,
    ),
    Difference(
        "AdafactorSchedule",
        "the rate is reported after zero_grad()",
        "it needs no gradient",
        lambda names: _adafactor(names, "reported"),
        False,
        True,
    ),
    Difference(
        "AdafactorSchedule",
        "an initial_lr of 0.3 in a group",
        "nothing is stored in groups, and nothing removed",
        lambda names: _adafactor(names, "stored"),
        "gone",
        0.3,
    ),
]

TIMM = [
    Difference(
        "TanhLRScheduler",
        "the first update, with lb=-1",
        "it has the schedule's value for 0; timm's has what its constructor leaves",
        _tanh,
        [1.0, 0.731059, 0.5],
        [0.880797, 0.731059, 0.5],
    ),
    Difference(
        "PlateauLRScheduler",
        "a resume between two bad epochs",
        "its state is whole, the bad epochs too",
        _timm_plateau,
        1.0,
        0.5,
    ),
    Difference(
        "create_scheduler_v2",
        "parts of an epoch, with warmup_prefix",
        "a double's rounding: a stair or a cycle may end a step sooner or later, three steps of "
        "a run at most",
        _parts_of_epochs,
        [0.125],
        [0.25],
    ),
]

IGNITE = [
    Difference(
        name,
        "in ignite's LRScheduler",
        "its parts count for themselves: refused with the way out, to call step() at each event",
        partial(_under_ignite, kind=name),
        "NotImplementedError",
        "BindingError",
    )
    for name in ("ChainedScheduler", "SequentialLR")
]

ACCELERATED = [
    Difference(
        "CosineLrScheduler",
        "its end, with a warmup of 4 of 10",
        "it runs to its end; theirs ends as many updates early as the warmup has",
        lambda names: _cosine(names, 10, num_warmup_epochs=4)[5:],
        [0.933013, 1e-06, 1e-06, 1e-06, 1e-06],
        [0.933013, 0.75, 0.5, 0.250001, 0.066988],
    ),
    Difference(
        "CosineLrScheduler",
        "warmup_starting_lr_ratio=0.5",
        "it rises from the ratio to the full rate; theirs overshoots",
        lambda names: _cosine(names, 5, num_warmup_epochs=4, warmup_starting_lr_ratio=0.5)[:4],
        [0.5, 0.75, 0.999999, 1.249999],
        [0.5, 0.625, 0.75, 0.875],
    ),
    Difference(
        "WSDLrScheduler",
        "two checkpoints of 100 steps",
        "checkpoints halve the run",
        lambda names: _wsd(names, num_checkpoints=2).get_checkpoint_steps(),
        [25, 50],
        [50, 100],
    ),
    Difference(
        "WSDLrScheduler",
        "the first updates of a warmup",
        "the first uses warmup_starting_lr, not the full rate",
        lambda names: _first_updates(_wsd(names, num_warmup_steps=4, warmup_starting_lr=0.2)),
        [1.0, 0.2, 0.4],
        [0.2, 0.2, 0.4],
    ),
    Difference(
        "WSDLrScheduler",
        "num_warmup_steps=None, of 100",
        "it is 10 %, at most up to the first decay, which is told; theirs is 1 %",
        lambda names: _wsd(names, num_warmup_steps=None).num_warmup_steps,
        1,
        10,
    ),
    Difference(
        "WSDLrScheduler",
        "a warmup that was given past the first decay",
        "it is an error; theirs jumps",
        lambda names: _error(
            lambda: _values(_wsd(names, num_warmup_steps=95, warmup_starting_lr=0.0), 94, 95)
        ),
        [0.989474, 0.363604],
        "ValueError",
    ),
    Difference(
        "WSDLrScheduler",
        "the rate after a resume at step 50",
        "the state has the counter, and loading writes the rate at once; theirs warms up again",
        _resumed,
        1e-06,
        1.0,
    ),
    Difference(
        "WSDLrScheduler",
        "a continuation: three rates and the last",
        "a fresh stable phase of the new length, without warmup, by the arguments given",
        _continued_rates,
        [1.0, 1e-06, 0.100001, 0.1],
        [1.0, 1.0, 1.0, 0.5],
    ),
    Difference(
        "WSDLrScheduler",
        "a continuation tells what the other would do",
        "what was saved may have been meant",
        lambda names: _continued(names)[1],
        False,
        True,
    ),
    Difference(
        "WSDLrScheduler",
        "lr_min=0 with use_inverse_sqrt_decay=False",
        "ratios of 0, short periods and a minimum of 0 mean what they say",
        lambda names: _error(
            lambda: _values(_wsd(names, lr_min=0.0, use_inverse_sqrt_decay=False), 90, 95)
        ),
        "ZeroDivisionError",
        [1.0, 0.0],
    ),
    Difference(
        "every class",
        "a mistake in an argument",
        "an error that names the way out, which python -O keeps",
        lambda names: _error(lambda: _wsd(names, decay_phase_ratio=2.0)),
        "AssertionError",
        "ValueError",
    ),
    Difference(
        "WSDLrScheduler",
        "get_current_step() before the first update",
        "it is the number of updates completed",
        lambda names: _wsd(names).get_current_step(),
        -1,
        0,
    ),
    Difference(
        "CosineLrScheduler",
        "create_scheduler_fn's default length of an epoch",
        "a process makes so many updates, and counts its own",
        lambda names: (
            names.CosineLrScheduler.create_scheduler_fn()
            .keywords["num_update_steps_per_epoch"]
            .name
        ),
        "NUM_UPDATE_STEPS_PER_EPOCH",
        "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH",
    ),
]

LIBRARIES = {
    "transformers": Library(
        _named("transformers.optimization"), _named("warmdown.compat.optimization"), TRANSFORMERS
    ),
    "timm": Library(timm_scheduler, _named("warmdown.compat.scheduler"), TIMM),
    "ignite": Library(lambda: TORCH, lambda: OURS, IGNITE),
    "pytorch-accelerated": Library(
        _named("pytorch_accelerated.schedulers"), _named("warmdown.compat.schedulers"), ACCELERATED
    ),
}
"""By the name of the library, in the order of the pages."""
