"""The cosine in epochs: the original's values, and right where the original is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compat.loops import rates, run, sgd
from tests.lazily import Lazily

from warmdown.compat.schedulers import (
    CosineLrScheduler,
)
from warmdown.placeholders import TrainerPlaceholderValues

theirs: Any = Lazily("pytorch_accelerated.schedulers")


cosines = st.fixed_dictionaries(
    {
        "total_num_epochs": st.integers(1, 12),
        "num_update_steps_per_epoch": st.integers(1, 15),
        "k_decay": st.floats(0.5, 3.0),
        "lr_min": st.floats(0.0, 0.01),
        "min_lr_ratio": st.none() | st.floats(0.0, 1.0),
    }
)
bases = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=5)


@given(arguments=cosines, groups=bases, cooldown=st.integers(0, 3), tensors=st.booleans())
def test_a_cosine_without_warmup_is_the_originals_at_every_step(
    arguments: dict[str, Any], groups: list[float], cooldown: int, tensors: bool
) -> None:
    arguments["num_cooldown_epochs"] = min(cooldown, arguments["total_num_epochs"] - 1)
    ours, original = sgd(*groups), theirs.CosineLrScheduler(sgd(*groups), **arguments)
    for group in ours.param_groups if tensors else ():
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
    updates = arguments["total_num_epochs"] * arguments["num_update_steps_per_epoch"] + 5
    np.testing.assert_allclose(
        run(CosineLrScheduler(ours, **arguments), updates), run(original, updates), rtol=1e-9
    )


@given(arguments=cosines, groups=bases, start=st.floats(0.0, 0.005), warmup=st.integers(1, 4))
def test_the_warmup_is_the_originals_when_it_starts_at_an_absolute_rate(
    arguments: dict[str, Any], groups: list[float], start: float, warmup: int
) -> None:
    arguments["num_warmup_epochs"] = min(warmup, arguments["total_num_epochs"])
    arguments["warmup_starting_lr"] = start
    length = arguments["num_warmup_epochs"] * arguments["num_update_steps_per_epoch"]
    ours = CosineLrScheduler(sgd(*groups), **arguments)
    original = theirs.CosineLrScheduler(sgd(*groups), **arguments)
    for step in range(length):
        assert ours.get_updated_values(step) == pytest.approx(
            original.get_updated_values(step), rel=1e-12
        )


@given(
    arguments=cosines,
    warmup=st.integers(0, 4),
    cooldown=st.integers(0, 4),
    start=st.none() | st.floats(0.0, 1.0),
)
def test_the_cosine_runs_from_the_end_of_warmup_to_the_cooldown_without_a_jump(
    arguments: dict[str, Any], warmup: int, cooldown: int, start: float | None
) -> None:
    epochs, in_epoch = arguments["total_num_epochs"], arguments["num_update_steps_per_epoch"]
    warmup = min(warmup, epochs - 1)
    cooldown = min(cooldown, epochs - 1 - warmup)
    scheduler = CosineLrScheduler(
        sgd(1.0),
        **arguments,
        num_warmup_epochs=warmup,
        num_cooldown_epochs=cooldown,
        warmup_starting_lr_ratio=start,
    )
    low = arguments["lr_min"] if arguments["min_lr_ratio"] is None else arguments["min_lr_ratio"]
    begin, end = warmup * in_epoch, (epochs - cooldown) * in_epoch
    decay = [scheduler.get_updated_values(step)[0] for step in range(begin, end + 1)]
    rest = {scheduler.get_updated_values(step)[0] for step in range(end, epochs * in_epoch + 10)}
    whole = CosineLrScheduler(
        sgd(1.0), **(arguments | {"total_num_epochs": 1, "num_update_steps_per_epoch": end - begin})
    )
    assert decay == pytest.approx(
        [whole.get_updated_values(step)[0] for step in range(end - begin + 1)]
    )
    assert decay[0] == pytest.approx(1.0)
    assert sorted(rest) == pytest.approx([low] * len(rest))


def test_a_starting_ratio_begins_there_and_does_not_overshoot() -> None:
    scheduler = CosineLrScheduler(
        sgd(2.0, 0.2), 10, 10, num_warmup_epochs=2, warmup_starting_lr_ratio=0.5
    )
    assert rates(scheduler.optimizer) == pytest.approx([1.0, 0.1])
    used = np.array([scheduler.get_updated_values(step) for step in range(21)])
    np.testing.assert_allclose(used[20], [2.0, 0.2])
    np.testing.assert_allclose(np.diff(used, axis=0), np.broadcast_to([0.05, 0.005], (20, 2)))


def test_the_minimum_ratio_goes_before_the_minimum() -> None:
    scheduler = CosineLrScheduler(sgd(2.0, 0.2), 1, 10, lr_min=0.01, min_lr_ratio=0.1)
    assert scheduler.get_updated_values(10) == pytest.approx([0.2, 0.02])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"total_num_epochs": 0}, "at least one update"),
        ({"num_update_steps_per_epoch": 0}, "at least 1"),
        ({"total_num_epochs": "10"}, "at least 0 is needed"),
        ({"total_num_epochs": float("nan")}, "at least 0 is needed"),
        ({"lr_min": -1e-3}, "not negative"),
        ({"min_lr_ratio": -0.1}, "not negative"),
        ({"k_decay": 0}, "1 is the plain cosine"),
        ({"num_warmup_epochs": 8, "num_cooldown_epochs": 4}, "do not fit into the 100"),
        ({"num_warmup_epochs": -1}, "at least 0"),
        ({"total_num_epochs": TrainerPlaceholderValues.NUM_EPOCHS}, "a trainer fills this in"),
    ],
)
def test_a_mistake_in_the_cosine_is_refused_before_the_optimizer_is_touched(
    wrong: dict[str, Any], says: str
) -> None:
    optimizer = sgd(1.0)
    with pytest.raises(ValueError, match=says):
        CosineLrScheduler(
            optimizer, **({"total_num_epochs": 10, "num_update_steps_per_epoch": 10} | wrong)
        )
    assert "initial_lr" not in optimizer.param_groups[0]
