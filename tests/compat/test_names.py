"""Other libraries' names give their values, step for step, and hold where theirs rise again."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compat.loops import rates, run, sgd
from tests.compat.timm_parts import timm_scheduler
from tests.lazily import Lazily

import warmdown as wd
from warmdown.compat.names import (
    ONETRAINER_NAMES,
    TIMM_NAMES,
    TRANSFORMERS_NAMES,
    get_scheduler,
    onetrainer_schedule,
    timm_schedule,
    transformers_schedule,
)
from warmdown.errors import ScheduleError
from warmdown.planfile import plan_from_dict

transformers: Any = Lazily("transformers.optimization")

lengths = st.tuples(st.integers(0, 40), st.integers(1, 150)).map(
    lambda two: (two[0], two[0] + two[1])
)
bases = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4)


def specific(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return arguments of one of transformers' names; half cycles end at the least value."""
    if name in ("cosine_with_min_lr", "cosine_warmup_with_min_lr"):
        return st.fixed_dictionaries(
            {"min_lr_rate": st.floats(0.0, 1.0), "num_cycles": st.sampled_from([0.5, 1.5])}
        )
    curves = st.sampled_from(["linear", "cosine", "1-sqrt"])
    others: dict[str, st.SearchStrategy[dict[str, Any]]] = {
        "cosine": st.fixed_dictionaries({"num_cycles": st.sampled_from([0.5, 1.5, 2.5])}),
        "cosine_with_restarts": st.fixed_dictionaries({"num_cycles": st.integers(1, 4)}),
        "polynomial": st.fixed_dictionaries(
            {"power": st.floats(0.5, 3.0), "lr_end": st.floats(0.0, 0.5)}
        ),
        "inverse_sqrt": st.fixed_dictionaries({"timescale": st.none() | st.integers(1, 100)}),
        "warmup_stable_decay": st.fixed_dictionaries(
            {"warmup_type": curves, "decay_type": curves, "min_lr_ratio": st.floats(0.0, 1.0)}
        ),
    }
    return others.get(name, st.just({}))


def away_from_seams(steps: int, cycles: int) -> list[int]:
    """Return the steps at which a remainder of floats cannot fall on the other side."""
    return [step for step in range(steps) if (step * cycles) % steps]


@pytest.mark.parametrize("name", TRANSFORMERS_NAMES)
@given(data=st.data(), length=lengths, base=st.floats(0.01, 10.0))
def test_a_name_of_transformers_has_its_values_at_every_step(
    name: str, data: st.DataObject, length: tuple[int, int], base: float
) -> None:
    warmup, total = length
    kwargs = data.draw(specific(name))
    if name == "polynomial":
        kwargs["lr_end"] *= base
    if name == "warmup_stable_decay":
        kwargs["num_decay_steps"] = data.draw(st.integers(0, total - warmup))
    optimizer = sgd(base)
    optimizer.defaults["lr"] = base
    theirs = transformers.get_scheduler(name, optimizer, warmup, total, kwargs)
    ours = transformers_schedule(name, num_warmup_steps=warmup, num_training_steps=total, **kwargs)
    steps = np.arange(total)
    if name == "cosine_with_restarts":
        steps = np.array(
            [
                *range(warmup),
                *(warmup + s for s in away_from_seams(total - warmup, kwargs["num_cycles"])),
            ]
        )
    elif "cosine" not in name:
        steps = np.append(steps, total + 7)
    expected = [base * theirs.lr_lambdas[0](int(step)) for step in steps]
    np.testing.assert_allclose(ours.value(steps, base), expected, rtol=1e-9, atol=1e-12)


def test_get_scheduler_drives_an_optimizer_as_transformers_does() -> None:
    arguments = ("linear", 5, 20)
    ours = get_scheduler(arguments[0], sgd(1.0, 0.1), *arguments[1:])
    theirs = transformers.get_scheduler(arguments[0], sgd(1.0, 0.1), *arguments[1:])
    assert run(ours, 20) == pytest.approx(np.array(run(theirs, 20)))


def test_a_member_of_transformers_enumeration_is_a_name() -> None:
    kind = pytest.importorskip("transformers.trainer_utils").SchedulerType.COSINE
    assert get_scheduler(kind, sgd(1.0), 0, 10).get_last_lr() == [1.0]


def test_an_absolute_minimum_is_the_same_for_every_group() -> None:
    optimizer = sgd(1.0, 0.1)
    scheduler = get_scheduler("cosine_with_min_lr", optimizer, 2, 10, {"min_lr": 0.05})
    run(scheduler, 10)
    assert rates(optimizer) == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize("name", TRANSFORMERS_NAMES)
def test_nothing_rises_after_the_end(name: str) -> None:
    kwargs: dict[str, Any] = {"min_lr_rate": 0.1} if "min_lr" in name else {}
    if name == "warmup_stable_decay":
        kwargs["num_decay_steps"] = 5
    schedule = transformers_schedule(name, num_warmup_steps=2, num_training_steps=20, **kwargs).of
    assert (np.diff(schedule(np.arange(20, 80))) <= 0).all()


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("cosin", {}, "Did you mean 'cosine'"),
        ("greedy", {}, "Use Greedy"),
        ("linear", {"num_training_steps": 10}, "it needs num_warmup_steps"),
        (
            "cosine",
            {"num_warmup_steps": 1, "num_training_steps": 9, "num_cycle": 1},
            "Did you mean 'num_cycles'",
        ),
        ("linear", {"num_warmup_steps": 20, "num_training_steps": 10}, "need 20 updates"),
        (
            "warmup_stable_decay",
            {"num_warmup_steps": 8, "num_training_steps": 10, "num_decay_steps": 6},
            "need 14",
        ),
        (
            "cosine_with_min_lr",
            {"num_warmup_steps": 1, "num_training_steps": 9},
            "give one of the two",
        ),
        (
            "warmup_stable_decay",
            {"num_warmup_steps": 1, "num_decay_steps": 2},
            "num_training_steps or num_stable",
        ),
    ],
)
def test_a_mistake_in_a_name_of_transformers_says_the_way_out(
    name: str, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ScheduleError, match=says):
        transformers_schedule(name, **arguments)


# -- timm

timm_arguments = st.fixed_dictionaries(
    {
        "num_epochs": st.integers(12, 60),
        "warmup_epochs": st.integers(0, 10),
        "warmup_lr": st.floats(0.001, 0.005),
        "min_lr": st.sampled_from([0.0, 0.001]),
        "decay_rate": st.floats(0.1, 2.0),
        "decay_epochs": st.none() | st.integers(1, 2),
        "decay_milestones": st.lists(st.integers(0, 50), min_size=1, max_size=3).map(sorted),
        "cycle_limit": st.integers(1, 3),
        "cycle_decay": st.floats(0.1, 1.0),
        "k_decay": st.floats(0.5, 2.0),
        "warmup_prefix": st.booleans(),
        "decay_fn": st.none() | st.sampled_from(["linear", "1-sqrt", "cosine", "power", "exp"]),
        "stable_timescale": st.integers(1, 20),
    }
)


@pytest.mark.parametrize("name", TIMM_NAMES)
@given(arguments=timm_arguments, groups=bases, in_epoch=st.sampled_from([1, 3]))
def test_a_name_of_timm_has_its_values_at_every_step(
    name: str, arguments: dict[str, Any], groups: list[float], in_epoch: int
) -> None:
    stepping = {"step_on_epochs": in_epoch == 1, "updates_per_epoch": in_epoch}
    theirs, epochs = timm_scheduler().create_scheduler_v2(
        sgd(*groups), sched=name, **arguments, **stepping
    )
    ours = timm_schedule(name, **arguments, updates_per_epoch=in_epoch)
    steps = range(epochs * in_epoch + 5)
    values = np.array([ours.value(np.array(steps), base) for base in groups]).T
    np.testing.assert_allclose(
        values, [theirs._get_lr(step) for step in steps], rtol=1e-9, atol=1e-12
    )


def test_timms_growing_cycles_have_its_values_between_their_seams() -> None:
    theirs, _ = timm_scheduler().create_scheduler_v2(
        sgd(1.0), num_epochs=10, cycle_mul=2.0, cycle_limit=3
    )
    ours = timm_schedule(num_epochs=10, cycle_mul=2.0, cycle_limit=3)
    for epoch in set(range(80)) - {10, 30, 70}:
        assert ours.value(epoch, 1.0) == pytest.approx(theirs._get_lr(epoch)[0], abs=1e-12)
    assert [ours.value(epoch, 1.0) for epoch in (10, 30, 70)] == pytest.approx([0.1, 0.01, 0.0])


def test_timms_defaults_are_timms() -> None:
    import inspect

    theirs = inspect.signature(timm_scheduler().create_scheduler_v2).parameters
    ours = inspect.signature(timm_schedule).parameters
    differing = {name for name, one in ours.items() if one.default != theirs[name].default}
    assert differing == {"updates_per_epoch"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sched": "cosin"}, "Did you mean 'cosine'"),
        ({"sched": "plateau"}, "Use Plateau"),
        ({"sched": "wsd", "decay_fn": "sqrt"}, "no such curve"),
        ({"sched": "wsd", "decay_epochs": 400}, "does not fit into the 300"),
        ({"sched": "rsqrt"}, "Give stable_timescale"),
        ({"updates_per_epoch": 0}, "at least 1"),
    ],
)
def test_a_mistake_in_a_name_of_timm_says_the_way_out(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        timm_schedule(**arguments)


# -- OneTrainer, which cannot be installed: its formulas in our own words


def onetrainer_factor(
    name: str, step: int, total: int, warmup: int, cycles: float, low: float
) -> float:
    if step < warmup:
        return step / warmup
    length = total - warmup
    at = step - warmup
    capped = min(at, length - 1) / length
    left = 1 - min(at / length, 1)
    factor = {
        "CONSTANT": 1.0,
        "LINEAR": left,
        "COSINE": (1 - math.cos(math.pi * left)) / 2,
        "COSINE_WITH_RESTARTS": (1 + math.cos(2 * math.pi * cycles * capped)) / 2,
        "COSINE_WITH_HARD_RESTARTS": (1 + math.cos(math.pi * math.fmod(cycles * capped, 1))) / 2,
        "REX": left / (0.1 + 0.9 * left),
    }[name]
    return factor if name == "CONSTANT" else low + (1 - low) * factor


@pytest.mark.parametrize("name", ONETRAINER_NAMES)
@given(length=lengths, cycles=st.sampled_from([0.5, 1.0, 2.0, 3.0, 1.25]), low=st.floats(0.0, 1.0))
def test_a_name_of_onetrainer_has_its_values_at_every_step(
    name: str, length: tuple[int, int], cycles: float, low: float
) -> None:
    warmup, total = length
    given_warmup = warmup if warmup > 1 else warmup / total
    ours = onetrainer_schedule(
        name, total_steps=total, warmup=given_warmup, cycles=cycles, min_factor=low
    )
    seams = {
        warmup + step
        for step in range(total - warmup)
        if cycles * step / (total - warmup) % 1 in (0.0, 1.0)
    }
    steps = sorted(set(range(total + 5)) - (seams if "HARD" in name else set()))
    expected = [onetrainer_factor(name, step, total, int(warmup), cycles, low) for step in steps]
    np.testing.assert_allclose(ours(np.array(steps)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("warmup", "steps"), [(0, 0), (0.1, 10), (1, 100), (1.0, 100), (2, 2), (30, 30)]
)
def test_a_warmup_of_onetrainer_is_a_share_up_to_one_and_steps_above(
    warmup: float, steps: int
) -> None:
    schedule = onetrainer_schedule("CONSTANT", total_steps=100, warmup=warmup)
    assert int((schedule(np.arange(101)) < 1).sum()) == steps


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "COSIN"}, "Did you mean 'COSINE'"),
        ({"name": "CUSTOM"}, "class_path"),
        ({"name": "REX", "warmup": 101}, "do not fit into the 100"),
        ({"name": "REX", "min_factor": 1.5}, "from 0 to 1"),
        ({"name": "COSINE_WITH_RESTARTS", "cycles": -1}, "cycles from 0"),
    ],
)
def test_a_mistake_in_a_name_of_onetrainer_says_the_way_out(
    arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ScheduleError, match=says):
        onetrainer_schedule(**({"total_steps": 100} | arguments))


# -- all


def test_every_name_is_plain_data() -> None:
    named = [
        timm_schedule(name, num_epochs=50, warmup_epochs=5, stable_timescale=5, min_lr=0.01)
        for name in TIMM_NAMES
    ]
    named += [transformers_schedule("polynomial", num_warmup_steps=5, num_training_steps=50)]
    for scale in named:
        plan = wd.Plan.of(lr=scale, run=wd.Run(total_steps=50))
        assert plan_from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_the_names_need_no_torch() -> None:
    code = (
        "import sys; from warmdown.compat.names import *;"
        "transformers_schedule('cosine', num_warmup_steps=1, num_training_steps=9); "
        "timm_schedule();"
        "onetrainer_schedule('REX', total_steps=9); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_scheduler_has_the_factors_of_its_groups_and_takes_wrappers_of_them_alone() -> None:
    optimizer = sgd(0.5, 2.0)
    arguments = {"num_warmup_steps": 2, "num_training_steps": 10}
    scheduler: Any = get_scheduler(
        "polynomial", optimizer, **arguments, scheduler_specific_kwargs={"lr_end": 0.1}
    )
    factors = pickle.loads(pickle.dumps(scheduler.lr_lambdas))
    for group, factor, base in zip((0, 1), factors, (0.5, 2.0), strict=True):
        expected = [scheduler.value(step, group=group) for step in range(12)]
        assert [base * factor(step) for step in range(12)] == pytest.approx(expected)
    scheduler.lr_lambdas = wrapped = [partial(factor) for factor in factors]
    assert scheduler.lr_lambdas == wrapped
    with pytest.raises(wd.BindingError, match=r"lr_lambdas=.*LambdaLR"):
        scheduler.lr_lambdas = [lambda step: 0.5**step] * 2
    with pytest.raises(wd.BindingError, match=r"lr_lambdas=\[1, 1\].*LambdaLR"):
        scheduler.lr_lambdas = [1, 1]
