"""What a schedule leaves in the weights is what AdamW leaves there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import warmdown as wd
from warmdown.errors import ForecastError
from warmdown.forecast.weights import contributions_of


@pytest.mark.parametrize("decay", [0.0, 0.3, wd.Linear(start=0.1, end=0.9)])
@pytest.mark.parametrize("rate", [wd.warmup_cosine(peak=0.05), wd.Set(wd.wsd() * 0.1)], ids=str)
def test_start_and_updates_so_weighted_are_the_final_weights(rate: wd.Set, decay: Any) -> None:
    steps = 60
    plan = wd.Plan.of(lr=rate, weight_decay=wd.Set(decay), run=wd.Run(total_steps=steps))
    weight = torch.nn.Parameter(torch.tensor([1.5, -0.7], dtype=torch.float64))
    start = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight])
    scheduler = wd.Scheduler(optimizer, plan)
    updates = []
    for _ in range(steps):
        (weight - torch.tensor([0.3, 2.0], dtype=torch.float64)).square().sum().backward()  # type: ignore[no-untyped-call]
        group, before = optimizer.param_groups[0], weight.detach().clone()
        lr, kept = group["lr"], 1 - group["lr"] * group["weight_decay"]
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        updates.append(np.zeros(2) if lr == 0 else ((before * kept - weight.detach()) / lr).numpy())
    left = contributions_of(plan)
    final = left.initial * start.numpy() - left.coefficients @ np.array(updates)
    np.testing.assert_allclose(final, weight.detach().numpy(), rtol=0, atol=1e-12)
    if decay:
        assert left.weights.sum() + left.initial == pytest.approx(1.0)


def test_half_of_the_weights_comes_from_the_last_updates() -> None:
    plan = wd.Plan.of(lr=wd.Set(0.01), weight_decay=wd.Set(0.1), run=wd.Run(total_steps=10_000_000))
    left = contributions_of(plan)
    assert left.timescale == pytest.approx(1000)
    assert left.half_life == pytest.approx(693, abs=5)
    assert left.initial == 0.0


def test_a_base_that_is_not_known_is_asked_for() -> None:
    plan = wd.Plan.of(lr=wd.Set(0.1), weight_decay=wd.Cosine(), run=10)
    with pytest.raises(ForecastError, match="base weight_decay"):
        contributions_of(plan)
    assert contributions_of(plan, weight_decay=0.1).timescale == pytest.approx(100)


def test_rows_of_a_long_run_stand_for_all_of_their_updates() -> None:
    rate, decay, steps = 1e-7, 0.1, 9_999_999
    plan = wd.Plan.of(lr=wd.Set(rate), weight_decay=wd.Set(decay), run=wd.Run(total_steps=steps))
    left = contributions_of(plan)
    assert left.initial == pytest.approx((1 - rate * decay) ** steps)
    assert left.weights.sum() + left.initial == pytest.approx(1.0)


def test_a_weight_decay_that_waits_for_a_metric_is_refused() -> None:
    plan = wd.Plan.of(lr=wd.Set(0.1), weight_decay=wd.Set(wd.Plateau()), run=10)
    with pytest.raises(ForecastError, match="metric"):
        contributions_of(plan)


@pytest.mark.parametrize("decay", [-1.0, 20.0, float("nan")])
def test_a_weight_decay_that_turns_the_weights_is_refused(decay: float) -> None:
    with pytest.raises(ForecastError, match="0 to 1"):
        contributions_of(wd.Plan.of(lr=wd.Set(0.1), run=10), weight_decay=decay)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (wd.Plan.of(lr=wd.Set(0.1)), r"its length is not known\. Give Run\(total_steps\)"),
        (wd.Plan.of(weight_decay=wd.Set(0.1), run=10), "the plan has no lr"),
    ],
)
def test_what_the_weights_depend_on_is_asked_for(plan: wd.Plan, words: str) -> None:
    with pytest.raises(ForecastError, match=words):
        contributions_of(plan)


def test_updates_without_a_rate_leave_nothing_and_forget_nothing() -> None:
    left = contributions_of(wd.Plan.of(lr=wd.Set(0.0), run=10), weight_decay=0.1)
    assert (left.half_life, left.initial, left.timescale) == (0, 1.0, float("inf"))
    assert str(left).startswith("weights: 1 of the initial ones are left; half of the rest comes")
