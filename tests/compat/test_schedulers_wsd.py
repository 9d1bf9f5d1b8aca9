"""Warmup, stable, decay: the original's values, and right where the original is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compat.loops import rates, run, sgd, through_a_file
from tests.lazily import Lazily

from warmdown.compat.schedulers import (
    WSDLrScheduler,
    estimate_checkpoint_steps,
)
from warmdown.errors import ScheduleError

theirs: Any = Lazily("pytorch_accelerated.schedulers")

bases = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("total", "count", "steps"),
    [
        (100_000, 2, [50_000, 100_000]),
        (200_000, 3, [50_000, 100_000, 200_000]),
        (200_000, 4, [25_000, 50_000, 100_000, 200_000]),
        (100, 1, [100]),
        (8, 4, [1, 2, 4, 8]),
    ],
)
def test_checkpoints_halve_the_run(total: int, count: int, steps: list[int]) -> None:
    assert estimate_checkpoint_steps(total, count) == steps
    assert (
        WSDLrScheduler(sgd(), total_steps=total, num_checkpoints=count).get_checkpoint_steps()
        == steps
    )


def test_more_checkpoints_than_halvings_are_refused_with_how_many_fit() -> None:
    with pytest.raises(ScheduleError, match=r"num_checkpoints=5\): .* 16 steps. Ask for 3"):
        estimate_checkpoint_steps(7, 5)


wsds = st.fixed_dictionaries(
    {
        "total_steps": st.integers(20, 300),
        "decay_phase_ratio": st.floats(0.2, 0.9),
        "lr_min": st.floats(1e-6, 1.0),
        "use_inverse_sqrt_decay": st.booleans(),
    }
)


@given(arguments=wsds, groups=bases, warmup=st.floats(0.0, 0.99))
def test_one_checkpoint_is_the_originals_at_every_step(
    arguments: dict[str, Any], groups: list[float], warmup: float
) -> None:
    total = arguments["total_steps"]
    free = total - int(total * arguments["decay_phase_ratio"])
    arguments["num_warmup_steps"] = int(free * warmup)
    ours = WSDLrScheduler(sgd(*groups), **arguments)
    original = theirs.WSDLrScheduler(sgd(*groups), **arguments)
    for step in range(total + 10):
        assert ours.get_updated_values(step) == pytest.approx(
            original.get_updated_values(step), rel=1e-9
        ), step


@given(arguments=wsds, count=st.integers(2, 4))
def test_each_period_is_a_run_of_its_own_length(arguments: dict[str, Any], count: int) -> None:
    whole = WSDLrScheduler(sgd(), **arguments, num_checkpoints=count)
    for info in whole.get_decay_info():
        length = info["period_end"] - info["period_start"]
        alone = WSDLrScheduler(sgd(), **(arguments | {"total_steps": length}))
        for step in range(length):
            assert whole.get_updated_values(
                info["period_start"] + step
            ) == alone.get_updated_values(step)


@pytest.mark.filterwarnings("ignore:WSDLrScheduler:UserWarning")
def test_the_documented_run_and_its_continuation() -> None:
    first = WSDLrScheduler(sgd(), total_steps=1000, num_warmup_steps=50, lr_min=0.1)
    assert first.get_decay_info() == [
        {"period_start": 0, "period_end": 1000, "decay_steps": 100, "pre_decay_step": 900}
    ]
    assert all(0 < first.get_updated_values(step)[0] < 1 for step in range(50))
    assert {first.get_updated_values(step)[0] for step in range(50, 901)} == {1.0}
    assert all(0.1 < first.get_updated_values(step)[0] < 1 for step in range(901, 1000))
    assert first.get_updated_values(1000) == pytest.approx([0.1])
    then = WSDLrScheduler(
        sgd(),
        total_steps=500,
        num_warmup_steps=50,
        lr_min=0.1,
        is_continuation_from_checkpoint=True,
    )
    then.load_state_dict(first.state_dict())
    assert {then.get_updated_values(step)[0] for step in range(451)} == {1.0}
    assert then.get_updated_values(500) == pytest.approx([0.1])


def test_the_first_update_uses_the_warmups_start() -> None:
    scheduler = WSDLrScheduler(
        sgd(1.0, 0.1), total_steps=100, num_warmup_steps=10, warmup_starting_lr=0.01
    )
    assert run(scheduler, 1) == [[0.01, 0.01]]


def test_no_warmup_given_is_a_tenth_of_the_run() -> None:
    assert WSDLrScheduler(sgd(), total_steps=500, num_warmup_steps=None).num_warmup_steps == 50
    assert WSDLrScheduler.create_scheduler_fn(5, 100)(sgd()).num_warmup_steps == 50
    assert WSDLrScheduler(sgd(), total_steps=500).num_warmup_steps == 0


@pytest.mark.filterwarnings("ignore:WSDLrScheduler:UserWarning")
@given(
    total=st.integers(1, 200),
    warmup=st.none() | st.just(0),
    ratio=st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0]),
    low=st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0]),
    sqrt=st.booleans(),
    halvings=st.integers(1, 8),
    continued=st.booleans(),
)
def test_no_legal_argument_fails_and_every_value_lies_between_minimum_and_base(
    total: int,
    warmup: int | None,
    ratio: float,
    low: float,
    sqrt: bool,
    halvings: int,
    continued: bool,
) -> None:
    scheduler = WSDLrScheduler(
        sgd(1.0, 0.1),
        total_steps=total,
        num_warmup_steps=warmup,
        decay_phase_ratio=ratio,
        lr_min=low,
        warmup_starting_lr=0.0,
        use_inverse_sqrt_decay=sqrt,
        num_checkpoints=min(halvings, total.bit_length()),
        is_continuation_from_checkpoint=continued,
    )
    values = np.array([scheduler.get_updated_values(step) for step in range(total + 3)])
    begin = 0 if continued else scheduler.num_warmup_steps
    assert np.isfinite(values).all()
    assert (values <= np.array([1.0, 0.1]) * (1 + 1e-12)).all()
    assert (values[begin:] >= np.array([low, low / 10]) * (1 - 1e-12)).all()
    if scheduler.get_decay_info()[-1]["decay_steps"]:
        assert values[total] == pytest.approx([low, low / 10])


def test_a_reciprocal_decay_to_nothing_is_there_at_once() -> None:
    scheduler = WSDLrScheduler(
        sgd(), total_steps=10, decay_phase_ratio=0.3, lr_min=0.0, use_inverse_sqrt_decay=False
    )
    assert [scheduler.get_updated_values(step)[0] for step in (6, 7, 8, 10, 99)] == [
        1.0,
        1.0,
        0.0,
        0.0,
        0.0,
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"total_steps": 0}, "at least 1"),
        (
            {"total_steps": None},
            "give either total_steps, or num_epochs and num_update_steps_per_epoch",
        ),
        ({"num_epochs": 10, "num_update_steps_per_epoch": 10}, "give either total_steps"),
        ({"decay_phase_ratio": 1.5}, "from 0 to 1"),
        ({"decay_phase_ratio": -0.1}, "from 0 to 1"),
        ({"lr_min": 10}, "0.1 for a tenth"),
        ({"lr_min": -1e-6}, "0.1 for a tenth"),
        ({"num_checkpoints": 0}, "at least 1"),
        ({"num_warmup_steps": 95}, "the first decay begins at step 90"),
        (
            {"num_warmup_steps": 10, "warmup_starting_lr": 2.0},
            "the highest rate of the optimizer is 1.0",
        ),
        ({"num_warmup_steps": -1}, "at least 0"),
    ],
)
def test_a_mistake_in_wsd_is_a_value_error_with_the_way_out(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(ScheduleError, match=says):
        WSDLrScheduler(sgd(1.0), **({"total_steps": 100} | wrong))


def test_where_a_training_stands_can_be_asked() -> None:
    scheduler = WSDLrScheduler(sgd(), total_steps=400, num_checkpoints=2)
    assert (scheduler.get_current_step(), scheduler.get_current_phase_info()["period_end"]) == (
        0,
        200,
    )
    run(scheduler, 201)
    assert (scheduler.get_current_step(), scheduler.get_current_phase_info()["period_end"]) == (
        201,
        400,
    )
    assert scheduler.get_phase_info(200)["period_end"] == 200
    assert scheduler.get_phase_info(10_000)["period_end"] == 400


@pytest.mark.filterwarnings("ignore:WSDLrScheduler:UserWarning")
@pytest.mark.parametrize("saved_at", [90, 100], ids=["before the decay", "after the decay"])
@pytest.mark.parametrize("order", ["optimizer scheduler", "scheduler optimizer", "scheduler"])
def test_a_continuation_starts_a_fresh_stable_phase_without_warmup(
    saved_at: int, order: str
) -> None:
    first = WSDLrScheduler(sgd(1.0, 0.1), total_steps=100, num_warmup_steps=10, lr_min=0.01)
    run(first, saved_at + 1)
    states = through_a_file(
        {"optimizer": first.optimizer.state_dict(), "scheduler": first.state_dict()}
    )
    optimizer = sgd(1.0, 0.1)
    then = WSDLrScheduler(
        optimizer, total_steps=60, num_warmup_steps=10, decay_phase_ratio=0.5, lr_min=0.01,
        is_continuation_from_checkpoint=True,
    )  # fmt: skip
    for part in order.split():
        (optimizer if part == "optimizer" else then).load_state_dict(states[part])
    used = run(then, 62)
    assert used[:32] == [[1.0, 0.1]] * 32
    assert all(low < high for (low, _), (high, _) in zip(used[33:], used[32:-1], strict=True))
    assert used[61] == pytest.approx([0.01, 0.001])


def test_a_continuation_takes_the_base_rates_of_the_run_it_continues() -> None:
    first = WSDLrScheduler(sgd(1.0), total_steps=100)
    then = WSDLrScheduler(sgd(0.3), total_steps=50, is_continuation_from_checkpoint=True)
    then.load_state_dict(first.state_dict())
    assert rates(then.optimizer) == [1.0]


@pytest.mark.filterwarnings("ignore:WSDLrScheduler:UserWarning")
def test_a_continuation_goes_on_from_what_pytorch_accelerated_saved() -> None:
    original = theirs.WSDLrScheduler(sgd(1.0), total_steps=100)
    run(original, 100)
    then = WSDLrScheduler(
        sgd(1.0), total_steps=50, lr_min=0.5, is_continuation_from_checkpoint=True
    )
    then.load_state_dict(original.state_dict())
    assert [used for (used,) in run(then, 52)[::10]] == [
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        pytest.approx(0.5, abs=0.1),
    ]


def test_an_interrupted_continuation_is_resumed_by_a_scheduler_that_continues_nothing_new() -> None:
    first = WSDLrScheduler(sgd(), total_steps=100)
    run(first, 91)

    def continued() -> WSDLrScheduler:
        then = WSDLrScheduler(sgd(), total_steps=50, is_continuation_from_checkpoint=True)
        then.load_state_dict(first.state_dict())
        return then

    unbroken = run(continued(), 50)
    broken = continued()
    before = run(broken, 47)
    resumed = WSDLrScheduler(sgd(), total_steps=50, num_warmup_steps=5)
    resumed.load_state_dict(broken.state_dict())
    assert before + run(resumed, 3) == unbroken


def test_a_continuation_says_what_pytorch_accelerateds_would_do_otherwise() -> None:
    first = WSDLrScheduler(sgd(), total_steps=100, num_warmup_steps=10, lr_min=0.1)
    then = WSDLrScheduler(sgd(), total_steps=50, lr_min=0.5, is_continuation_from_checkpoint=True)
    says = r"in 50 updates, without a warmup, lr_min=0.5.*again for 10 updates and takes lr_min=0.1"
    with pytest.warns(UserWarning, match=says):
        then.load_state_dict(first.state_dict())


def test_a_tenth_of_warmup_that_reaches_into_the_first_decay_is_cut_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="is 10 updates, and the first decay begins at 9"):
        scheduler = WSDLrScheduler(
            sgd(), total_steps=100, num_warmup_steps=None, decay_phase_ratio=0.3, num_checkpoints=4
        )
    assert scheduler.num_warmup_steps == 9
