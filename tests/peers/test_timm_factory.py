"""timm's factory over whole runs: its schedulers drive an optimizer, our schedule has the rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compat.loops import rates, sgd
from tests.compat.timm_parts import timm_scheduler

from warmdown.compat.names import TIMM_NAMES, timm_schedule

BASES = (0.5, 0.05)


def epochs(least: float, most: float) -> st.SearchStrategy[float]:
    """Return lengths as people write them: whole, a decimal, or any number."""
    tenths = st.integers(int(least * 10), int(most * 10)).map(lambda number: number / 10)
    return st.integers(int(least) + 1, int(most)) | tenths | st.floats(least, most)


runs = st.fixed_dictionaries(
    {
        "num_epochs": epochs(18, 40),
        "warmup_epochs": st.just(0) | epochs(0, 6),
        "warmup_lr": st.sampled_from([0.0, 1e-5, 0.02]),
        "warmup_prefix": st.booleans(),
        "min_lr": st.sampled_from([0.0, 1e-3, 0.03]),
        "decay_epochs": st.none() | epochs(0.2, 9) | st.just(0.5),
        "decay_milestones": st.lists(epochs(2, 40), min_size=1, max_size=3).map(sorted),
        "decay_rate": st.sampled_from([0.1, 0.5, 0.97, 1.5]),
        "cooldown_epochs": st.integers(0, 3),
        "cycle_limit": st.integers(1, 3),
        "cycle_decay": st.sampled_from([0.1, 0.5, 1.0]),
        "k_decay": st.sampled_from([1.0, 1.5]),
        "decay_fn": st.none() | st.sampled_from(["linear", "1-sqrt", "cosine", "power", "exp"]),
        "stable_timescale": epochs(1, 20),
    }
)


def used_by_timm(name: str, arguments: dict[str, Any], in_epoch: int) -> list[list[float]]:
    """Return the rates that each step of a whole run uses, under timm's own scheduler."""
    optimizer = sgd(*BASES)
    stepping = {"step_on_epochs": in_epoch == 1, "updates_per_epoch": in_epoch}
    theirs, total = timm_scheduler().create_scheduler_v2(optimizer, name, **arguments, **stepping)
    step = theirs.step if in_epoch == 1 else theirs.step_update
    used = []
    for count in range(int(total * in_epoch)):
        used.append(rates(optimizer))
        step(count + 1)
    return used


def ours(name: str, arguments: dict[str, Any], in_epoch: int, steps: int) -> Any:
    """Return the same of our schedule."""
    given = {key: value for key, value in arguments.items() if key != "cooldown_epochs"}
    schedule = timm_schedule(name, **given, updates_per_epoch=in_epoch)
    return np.transpose([schedule.value(np.arange(steps), base) for base in BASES])


@pytest.mark.parametrize("name", TIMM_NAMES)
@settings(max_examples=60)
@given(arguments=runs, in_epoch=st.sampled_from([1, 3, 17]))
def test_a_whole_run_of_any_length_has_timms_rates(
    name: str, arguments: dict[str, Any], in_epoch: int
) -> None:
    used = used_by_timm(name, arguments, in_epoch)
    had = ours(name, arguments, in_epoch, len(used))
    # where two lengths are subtracted, a double may end a stair or a cycle one step sooner or later
    far = ~np.isclose(had, used, rtol=1e-6, atol=1e-9).all(axis=1)
    assert far.sum() <= (3 if arguments["warmup_prefix"] else 0)


@pytest.mark.parametrize("every", [2.4, 2.1, 0.5, 0.7, 1 / 3, 20 / 3, np.pi])
def test_a_stair_of_parts_of_an_epoch_falls_where_timms_does(every: float) -> None:
    arguments = {"num_epochs": 200, "decay_epochs": every, "decay_rate": 0.97, "warmup_epochs": 5}
    used = used_by_timm("step", arguments, 1)
    np.testing.assert_allclose(ours("step", arguments, 1, 200), used, rtol=1e-9)


def test_the_lowest_rate_of_rsqrt_is_not_that_of_its_warmup() -> None:
    arguments = {"num_epochs": 30, "warmup_epochs": 4.5, "warmup_lr": 1e-5, "min_lr": 0.1}
    used = used_by_timm("rsqrt", arguments, 1)
    assert used[0] == pytest.approx([1e-5, 1e-5])
    np.testing.assert_allclose(ours("rsqrt", arguments, 1, 30), used, rtol=1e-9)
