"""GreedyLR and the proxy of Adafactor beside transformers' own: rates, words, states."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compat.loops import rates, sgd
from tests.lazily import Lazily

import warmdown.compat.optimization as named
from warmdown.errors import BindingError, ScheduleError, TrainingError

theirs: Any = Lazily("transformers.optimization")

GREEDY = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["min", "max"]),
        "factor": st.sampled_from([0.5, 0.9]),
        "patience": st.integers(0, 2),
        "threshold": st.sampled_from([0.0, 0.1]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 2),
        "warmup": st.integers(0, 2),
        "min_lr": st.sampled_from([0.01, 0.1, [0.05, 0.3]]),
        "max_lr": st.sampled_from([0.5, [0.6, 0.2]]),
        "eps": st.sampled_from([1e-8, 0.05]),
        "smooth": st.booleans(),
        "window_size": st.integers(1, 3),
        "reset_start": st.integers(0, 3),
    },
)
LOSSES = st.lists(st.sampled_from([0.5, 1.0, 1.03, 2.0, 3.0]), min_size=20, max_size=40)


@settings(max_examples=15)
@given(arguments=GREEDY, losses=LOSSES, saved=st.integers(1, 19))
def test_greedy_has_transformers_rates_live_and_after_a_resume(
    arguments: dict[str, Any], losses: list[float], saved: int
) -> None:
    ours, original = (
        module.get_greedy_schedule(sgd(0.1, 0.4), **arguments) for module in (named, theirs)
    )
    for step, loss in enumerate(losses):
        if step == saved:
            states = ours.state_dict(), original.state_dict()
            ours, original = (
                module.get_greedy_schedule(sgd(0.1, 0.4), **arguments) for module in (named, theirs)
            )
            ours.load_state_dict(states[1])  # each goes on from the other's
            original.load_state_dict(states[0])
        ours.step(loss)
        original.step(loss)
        assert rates(ours.optimizer) == pytest.approx(rates(original.optimizer), rel=1e-12)
        assert ours.get_last_lr() == rates(ours.optimizer)


def test_greedy_is_a_plateau_for_trainers_and_has_transformers_arguments() -> None:
    import inspect

    ours, original = (inspect.signature(module.GreedyLR) for module in (named, theirs))
    assert {key: one.default for key, one in ours.parameters.items()} == {
        key: one.default for key, one in original.parameters.items()
    }
    scheduler = named.get_scheduler("greedy", sgd(0.1), scheduler_specific_kwargs={"patience": 0})
    assert isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    assert isinstance(scheduler, named.GreedyLR)


def test_greedy_prints_transformers_words(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for module in (named, theirs):
        scheduler = module.GreedyLR(
            sgd(0.2, 0.4), factor=0.5, patience=0, min_lr=0.1, reset_start=1, verbose=True
        )
        for loss in (2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
            scheduler.step(loss)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "reset to initial state" in printed[0]


def test_greedy_takes_a_nan_for_no_metric() -> None:
    scheduler = named.GreedyLR(sgd(0.4), factor=0.5, patience=0, smooth=True)
    for loss in (1.0, math.nan):
        scheduler.step(loss)
    assert rates(scheduler.optimizer) == [0.8]


def test_a_group_that_joins_greedy_has_its_default_bounds_or_says_what_to_set() -> None:
    scheduler = named.GreedyLR(sgd(0.4), factor=0.5, patience=0, max_lr=0.6)
    own = named.GreedyLR(sgd(0.4), patience=0, max_lr=[0.6])
    for each in (scheduler, own):
        each.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.5})
    scheduler.step(1.0)
    assert rates(scheduler.optimizer) == [0.6, 0.6]
    with pytest.raises(TrainingError, match=r"GreedyLR\(max_lr=.*scheduler\.max_lrs"):
        own.step(1.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"factor": 1.0}, r"GreedyLR\(factor=1.0\).*below 1"),
        ({"factor": 0.0}, r"GreedyLR\(factor=0.0\).*above 0"),
        ({"window_size": 0}, r"GreedyLR\(window_size=0\)"),
        ({"warmup": -1}, r"GreedyLR\(warmup=-1\)"),
        ({"max_lr": [1.0, 2.0]}, r"GreedyLR\(max_lr=…\): 2 values for 1"),
        ({"patient": 3}, r"greedy\(patient=…\).*patience"),
    ],
)
def test_a_greedy_that_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        named.get_greedy_schedule(sgd(0.4), **wrong)


def adafactor(**options: Any) -> Any:
    parameters = [torch.nn.Parameter(torch.full((2, 2), float(size))) for size in (1, 3)]
    groups = [{"params": [one]} for one in parameters]
    return theirs.Adafactor(groups, **options)


def trained(module: Any, optimizer: Any, steps: int = 5) -> list[list[float]]:
    """Return what is reported before each update, and held by the groups."""
    scheduler = module.get_adafactor_schedule(optimizer, 0.5)
    seen = []
    for _ in range(steps):
        held = [group["lr"] for group in optimizer.param_groups]
        seen.append([float(rate) for rate in [*scheduler.get_last_lr(), *held]])
        for group in optimizer.param_groups:
            group["params"][0].grad = torch.ones(2, 2)
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("options", [{}, {"warmup_init": True}, {"scale_parameter": False}])
def test_the_proxy_reports_what_transformers_reports(options: dict[str, Any]) -> None:
    expected = trained(theirs, adafactor(**options))
    assert trained(named, adafactor(**options)) == [pytest.approx(row) for row in expected]
    assert expected[0] == [0.5] * 4


def test_the_proxy_leaves_a_rate_that_was_given_alone() -> None:
    optimizer = adafactor(lr=0.1, relative_step=False)
    reported = trained(named, optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]
    assert reported[-1][1] > 0.1  # times the parameter's size


def test_the_proxy_reports_with_no_gradient_at_hand_and_leaves_no_mark() -> None:
    optimizer = adafactor()
    trained(named, optimizer, 2)
    optimizer.zero_grad()
    scheduler = named.AdafactorSchedule(optimizer)
    assert 0 < scheduler.get_lr()[0] != 0.5
    assert "initial_lr" not in optimizer.param_groups[0]


def test_the_proxy_goes_on_where_optimizer_and_scheduler_are_restored() -> None:
    optimizer = adafactor()
    trained(named, optimizer, 3)
    again = adafactor()
    scheduler = named.AdafactorSchedule(again)
    again.load_state_dict(optimizer.state_dict())
    scheduler.load_state_dict(scheduler.state_dict())
    assert scheduler.get_lr() == named.AdafactorSchedule(optimizer).get_lr()


def test_the_proxy_refuses_an_optimizer_that_computes_no_rate() -> None:
    with pytest.raises(BindingError, match=r"optimizer=SGD.*get_constant_schedule"):
        named.get_adafactor_schedule(sgd(0.1))
