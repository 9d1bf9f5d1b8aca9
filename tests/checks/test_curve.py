"""Checks of what a target does, update by update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warmdown as wd

RUN = wd.Run(total_steps=1000, lr=0.1)


def codes(given: Any, run: wd.Run = RUN, severity: str = "warning") -> list[str]:
    """Return the codes of the findings of one severity."""
    plan = given if isinstance(given, wd.Plan | wd.Schedule) else wd.Plan.of(**given)
    return [finding.code for finding in wd.check(plan, run=run) if finding.severity == severity]


def only(given: Any, code: str, run: wd.Run = RUN) -> wd.Finding:
    """Return the one finding with this code."""
    plan = given if isinstance(given, wd.Plan | wd.Schedule) else wd.Plan.of(**given)
    (finding,) = [finding for finding in wd.check(plan, run=run) if finding.code == code]
    return finding


def test_a_value_below_zero_is_found_where_it_is_lowest() -> None:
    finding = only(wd.Linear(start=1.0, end=-0.2), "negative")
    assert finding.step == 999
    assert finding.numbers["value"] == pytest.approx(0.1 * (1 - 1.2 * 0.999))
    assert "is -0.01988 at update 999" in finding.message
    assert "negative" not in codes({"temperature": wd.Set(wd.Linear(start=1.0, end=-1.0))})


def test_a_momentum_that_reaches_one_is_found() -> None:
    assert (
        only({"momentum": wd.Set(wd.Linear(start=0.9, end=1.1))}, "out-of-range").numbers["value"]
        >= 1
    )
    assert codes({"momentum": wd.Set(wd.Linear(start=0.85, end=0.95))}) == []
    assert codes({"lr": wd.Set(wd.Constant(value=2.0))}) == []
    assert codes({"momentum": wd.Constant(value=1.0)}) == [], "a factor of 1 leaves momentum alone"


def test_a_value_written_as_a_factor_is_found_and_the_other_way_round() -> None:
    low = only(wd.Cosine(start=3e-4), "far-below-base", wd.Run(total_steps=1000, lr=3e-4))
    assert "If 3e-4 is the value itself, write {set: …}" in low.message
    assert only(wd.Cosine(start=30.0), "far-above-base").numbers["factor"] == 30
    assert codes({"weight_decay": wd.Constant(value=0.01)}) == ["far-below-base"]
    assert codes({"lr": wd.Set(wd.Cosine(start=3e-4))}) == []
    assert codes({"lr": wd.Scale(wd.Constant(value=0.0), offset=wd.Cosine(start=1e-3))}) == []
    assert codes(wd.noam(d_model=512, warmup=100), wd.Run(total_steps=1000, lr=1.0)) == []


def test_stairs_that_are_multiplied_by_a_warmup_do_not_end_early() -> None:
    warmup = wd.Linear(start=0.001, end=1.0, steps=100)
    assert codes(warmup * wd.Milestones(gamma=0.1, at=(700, 900))) == []
    assert codes(warmup * wd.Cosine(steps=700)) == ["holds-early"]


def test_factors_that_are_set_as_a_rate_are_found() -> None:
    found = only({"lr": wd.Set(wd.warmup_cosine())}, "factors-as-values", wd.Run(total_steps=1000))
    assert (found.step, found.numbers) == (50, {"value": 1.0})
    assert "leave out Set ({set: …})" in found.message
    assert codes({"lr": wd.Set(wd.warmup_cosine(start=0.01))}, wd.Run(total_steps=9000, lr=1)) == []
    assert codes({"lr": wd.Set(wd.range_test(start=1e-6, end=1.0))}) == []
    assert codes({"temperature": wd.Set(wd.Cosine())}) == []
    assert codes({"lr": wd.Set(wd.Cosine(start=2.0))}) == []


def test_a_base_rate_of_zero_that_is_scaled_is_found() -> None:
    nothing = wd.Run(total_steps=1000, lr=0.0)
    assert codes(wd.Cosine(), nothing) == ["zero-base"]
    assert codes({"lr": wd.Set(wd.Cosine(start=0.1))}, nothing) == []
    lowest = only({"lr": wd.Scale(wd.Cosine(), low=1e-5)}, "zero-base", nothing)
    assert "stays at 1e-5" in lowest.message


@pytest.mark.parametrize(
    "flat",
    [
        wd.Linear(start=1.0, end=1.0),
        wd.Staircase(every=5000),
        wd.Milestones(at=(2000,)),
        wd.warmup_cosine(warmup=0, start=1.0, end=1.0),
        wd.Cosine().clip(low=1.0),
    ],
)
def test_a_curve_that_is_a_flat_line_is_found(flat: wd.Schedule) -> None:
    assert "never-moves" in codes(flat)


@pytest.mark.parametrize(
    "meant",
    [
        wd.Constant(value=1.0),
        wd.Constant(value=1.0).named("stable"),
        wd.Constant(value=1.0, steps=10) >> wd.Constant(value=1.0),
        wd.from_dict({"kind": "plateau"}),
        wd.from_dict({"kind": "greedy"}),
    ],
)
def test_what_is_meant_to_stand_may_stand(meant: wd.Schedule) -> None:
    assert codes(meant) == []


def test_the_first_update_at_zero_is_a_note_and_several_are_a_warning() -> None:
    assert codes(wd.warmup_cosine(), severity="note") == ["zero-first-update"]
    assert codes(wd.warmup_cosine(start=0.01), severity="note") == []
    assert only(wd.Constant(value=0.0, steps=37) >> wd.Cosine(), "zero-updates").numbers == {
        "updates": 37
    }
    assert codes(wd.warmup_cosine(warmup=5), wd.Run(total_steps=20, lr=1.0)) == ["zero-updates"], (
        "1 of 20 is 5 %"
    )


def test_the_last_updates_at_zero_are_counted_exactly() -> None:
    run = wd.Run(total_steps=10**9, lr=1.0)
    finding = only(wd.Linear(steps=900_000_001) >> wd.Constant(value=0.0), "zero-updates", run)
    assert finding.numbers == {"updates": 99_999_999}
    assert finding.step == 900_000_001


def test_a_warmup_of_more_than_half_is_found() -> None:
    finding = only(wd.warmup_cosine(warmup=600, start=0.01), "long-warmup")
    assert (finding.step, finding.numbers["share"]) == (600, 0.6)
    assert "60% of the run" in finding.message
    assert codes(wd.warmup_cosine(warmup=499, start=0.01)) == []
    assert codes(wd.range_test(start=0.01, end=1.0)) == []
    assert codes({"weight_decay": wd.warmup_cosine(warmup=600, start=0.1)}) == []


def test_a_rise_that_nobody_wrote_is_found() -> None:
    wave = wd.Function(call=lambda step: 0.55 + 0.45 * np.cos(step / 200))
    finding = only(wave, "rises-again")
    assert finding.numbers["climb"] == pytest.approx(0.1 * 0.45 * (1 + np.cos(999 / 200)), rel=0.01)
    torch_cosine = {
        "class_path": "torch.optim.lr_scheduler.CosineAnnealingLR",
        "init_args": {"T_max": 500},
    }
    assert codes(wd.from_dict(torch_cosine)) == ["rises-again"]
    restarts = {
        "class_path": "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "init_args": {"T_0": 500},
    }
    assert codes(wd.from_dict(restarts)) == []
    assert codes(wd.piecewise(values=[1, 0.1, 1, 0.1], lengths=[300, 300, 400])) == []


def test_a_decay_that_is_over_before_the_run_is_found() -> None:
    finding = only(
        wd.warmup_cosine(warmup=100, start=0.1).parts()[0] >> wd.Cosine(end=0.1, steps=500),
        "holds-early",
    )
    assert (finding.step, finding.numbers["updates"]) == (600, 400)
    assert "the last 40% of the run (400 updates) use 0.01." in finding.message
    assert "which changes nothing" in only(wd.Cosine(steps=500), "holds-early").message
    assert codes(wd.Cosine(steps=500)) == ["holds-early"], "told once, not as zero updates too"


@pytest.mark.parametrize(
    "meant",
    [
        wd.Linear(start=0.1, end=1.0, steps=100),  # a warmup, and then the base value
        wd.Cosine(end=0.1, steps=500) >> wd.Constant(value=0.1),
        wd.Milestones(gamma=0.5, at=(300, 600)),
        wd.InverseSqrt(timescale=100).take(500),
        wd.Cosine(end=0.1, steps=995),
    ],
)
def test_a_tail_that_is_meant_is_no_finding(meant: wd.Schedule) -> None:
    assert codes(meant) == []


def test_an_end_that_the_last_update_is_far_from_is_found() -> None:
    finding = only(wd.Linear(), "never-reaches-end", wd.Run(total_steps=10, lr=1.0))
    assert finding.numbers == {"last": pytest.approx(0.1), "end": 0.0}
    assert "the last update, 9, uses 0.1" in finding.message
    assert codes(wd.Linear(), wd.Run(total_steps=100, lr=1.0)) == []
    assert codes(
        wd.PiecewiseConstant(values=(1.0, 0.1), at=(10,)), wd.Run(total_steps=10, lr=1.0)
    ) != ["never-reaches-end"]
