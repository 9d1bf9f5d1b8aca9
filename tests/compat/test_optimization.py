"""The functions of transformers.optimization by their names: signatures and rates are theirs."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from tests.compat.loops import run, sgd
from tests.lazily import Lazily

import warmdown.compat.optimization as named
from warmdown.errors import ScheduleError

theirs: Any = Lazily("transformers.optimization")

FUNCTIONS = [
    name
    for name in named.__all__
    if name.startswith("get_") and name.endswith(("schedule", "warmup", "warmup_lr_rate"))
]
NO_CURVES = ("get_adafactor_schedule", "get_greedy_schedule", "get_reduce_on_plateau_schedule")
CURVES = [name for name in FUNCTIONS if name not in NO_CURVES]
SPECIFIC: dict[str, dict[str, Any]] = {
    "get_wsd_schedule": {"num_decay_steps": 6},
    "get_cosine_with_min_lr_schedule_with_warmup": {"min_lr_rate": 0.1},
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": {"min_lr_rate": 0.1},
}


def test_every_function_of_transformers_is_there() -> None:
    there = {name for name in dir(theirs) if name.startswith("get_") and "sched" in name}
    assert {*FUNCTIONS, "get_scheduler"} == there
    assert len(FUNCTIONS) == 13


@pytest.mark.parametrize("name", CURVES)
def test_a_function_takes_what_transformers_takes_and_has_its_rates(name: str) -> None:
    ours, original = getattr(named, name), getattr(theirs, name)
    assert {key: one.default for key, one in inspect.signature(ours).parameters.items()} == {
        key: one.default for key, one in inspect.signature(original).parameters.items()
    }
    takes = inspect.signature(original).parameters
    steps = {"num_warmup_steps": 5, "num_training_steps": 20}
    given = {key: value for key, value in steps.items() if key in takes} | SPECIFIC.get(name, {})
    used, expected = run(ours(sgd(1.0), **given), 20), run(original(sgd(1.0), **given), 20)
    assert [rate for (rate,) in used] == pytest.approx([rate for (rate,) in expected], abs=1e-9)


WHOLE: tuple[Any, ...] = (float, np.float32, np.float64, np.int64, torch.tensor)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("name", CURVES)
def test_lengths_that_are_whole_in_another_type_give_the_same_rates(name: str, kind: Any) -> None:
    make = getattr(named, name)
    steps = {"num_warmup_steps": 5, "num_training_steps": 20, "num_decay_steps": 6, "timescale": 9}
    taken = inspect.signature(make).parameters
    lengths = {key: value for key, value in steps.items() if key in taken}
    others = {k: v for k, v in SPECIFIC.get(name, {}).items() if k not in steps}
    typed = {key: kind(value) for key, value in lengths.items()}
    used = run(make(sgd(1.0), **typed, **others), 20)
    assert used == run(make(sgd(1.0), **lengths, **others), 20)


@pytest.mark.parametrize("wrong", [10.5, np.float32(2.5), float("nan"), float("inf"), "10", True])
@pytest.mark.parametrize("field", ["num_warmup_steps", "num_training_steps"])
def test_a_length_that_is_not_whole_is_refused_with_the_way_out(field: str, wrong: Any) -> None:
    steps = {"num_warmup_steps": 2, "num_training_steps": 20} | {field: wrong}
    with pytest.raises(ScheduleError, match=rf"{field}=.*: a whole number .*=round\("):
        named.get_scheduler("cosine", sgd(1.0), **steps)


def test_arguments_by_position_are_transformers() -> None:
    ours = named.get_cosine_schedule_with_warmup(sgd(1.0), 2, 10, 1.5)
    original = theirs.get_cosine_schedule_with_warmup(sgd(1.0), 2, 10, 1.5)
    assert [rate for (rate,) in run(ours, 10)] == pytest.approx(
        [rate for (rate,) in run(original, 10)]
    )


def test_last_epoch_goes_on_where_transformers_goes_on() -> None:
    made = []
    for module in (named, theirs):
        optimizer = sgd(0.5)
        optimizer.param_groups[0]["initial_lr"] = 1.0
        made.append(module.get_linear_schedule_with_warmup(optimizer, 2, 10, last_epoch=4))
    assert made[0].get_last_lr() == pytest.approx(made[1].get_last_lr())


def test_the_names_are_transformers() -> None:
    kinds = pytest.importorskip("transformers.trainer_utils").SchedulerType
    assert {one.name: one.value for one in named.SchedulerType} == {
        one.name: one.value for one in kinds
    }


def test_a_plateau_is_made_by_its_function() -> None:
    scheduler = named.get_reduce_on_plateau_schedule(sgd(1.0), factor=0.5, patience=0)
    for loss in (1.0, 1.0):
        scheduler.step(loss)
    assert scheduler.get_last_lr() == [0.5]


def test_a_call_that_does_not_fit_says_what_is_taken() -> None:
    with pytest.raises(ScheduleError, match="missing a required argument: 'num_training_steps'"):
        named.get_linear_schedule_with_warmup(sgd(1.0), 5)


@pytest.mark.parametrize("module", ["cosine_scheduler", "wsd_scheduler", "scheduler_base"])
def test_a_module_of_pytorch_accelerateds_schedulers_has_its_names(module: str) -> None:
    from importlib import import_module

    ours = import_module(f"warmdown.compat.schedulers.{module}")
    original = import_module(f"pytorch_accelerated.schedulers.{module}")
    own = {name for name, one in vars(original).items() if inspect.getmodule(one) is original}
    assert set(ours.__all__) == {name for name in own if not name.startswith("_")}


@pytest.mark.parametrize("module", ["lr_scheduler", "schedulers", "names", "optimization"])
def test_a_star_import_brings_names_and_no_modules(module: str) -> None:
    brought: dict[str, Any] = {}
    exec(f"from warmdown.compat.{module} import *", brought)  # noqa: S102
    own = {name: one for name, one in brought.items() if name != "__builtins__"}
    assert own
    assert [name for name, one in own.items() if inspect.ismodule(one)] == []
    originals = {
        "lr_scheduler": "torch.optim.lr_scheduler",
        "schedulers": "pytorch_accelerated.schedulers",
    }
    if module in originals:
        from importlib import import_module

        there = vars(import_module(originals[module]))
        public = {name for name, one in there.items() if inspect.isclass(one) and "LR" in name}
        assert {name for name in public if not name.startswith("_")} <= own.keys()
