"""Named wholes: what people search for is there, fills its run and has the heights its name
promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import warmdown as wd
from warmdown.schedules.base import kinds
from warmdown.schedules.recipes import recipes
from warmdown.schedules.recipes.shapes import SHAPES

RUN = wd.Run(total_steps=1000, steps_per_epoch=100)
NEEDS: dict[str, dict[str, Any]] = {
    "noam": {"d_model": 512, "warmup": 100},
    "piecewise": {"values": [0.0, 1.0, 0.1], "lengths": ["10%", "rest"]},
    "with_warmup": {"schedule": wd.Cosine()},
}


def _made(name: str) -> list[wd.Schedule]:
    made = recipes()[name](**NEEDS.get(name, {}))
    rules = made.values() if isinstance(made, Mapping) else [wd.Scale(made)]
    return [part.over(RUN) for rule in rules for part in rule.schedules()]


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_is_an_expression_that_measures_on_any_run(name: str) -> None:
    for schedule in _made(name):
        values = schedule(np.arange(1001))
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert schedule.over(RUN) == schedule


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_is_found_by_its_name(name: str) -> None:
    assert (recipes()[name].__doc__ or "").startswith("Return ")


def test_no_recipe_has_the_name_of_a_shape() -> None:
    assert set(recipes()) & set(kinds()) == set()


@pytest.mark.parametrize("shape", SHAPES)
def test_wsd_decays_by_every_shape_from_the_trunk_to_its_end(shape: Any) -> None:
    plan = wd.wsd(warmup="5%", decay="20%", shape=shape, end=0.1).over(RUN)
    assert [(phase.name, phase.start, phase.stop) for phase in plan.phases()] == [
        ("warmup", 0, 50), ("stable", 50, 800), ("decay", 800, 1000),
    ]  # fmt: skip
    assert plan(800) == pytest.approx(1.0)
    assert plan(1000) == pytest.approx(0.1)
    assert (np.diff(plan(np.arange(800, 1001))) < 0).all()


def test_wsd_s_ends_its_periods_at_doubling_steps() -> None:
    plan = wd.wsd_s(checkpoints=4, warmup=10, decay=0.1).over(RUN)
    ends = [phase.stop for phase in plan.phases() if phase.name == "decay"]
    assert ends == [125, 250, 500, 1000]
    assert [plan(end) for end in ends] == pytest.approx([1.0, 1.0, 1.0, 0.1])


def test_wsd_s_takes_any_periods() -> None:
    plan = wd.wsd_s(periods=[100, 300, "50%"], warmup=0, decay=0.5).over(RUN)
    assert [(phase.name, phase.start) for phase in plan.phases()] == [
        ("stable", 0), ("decay", 50), ("stable", 100), ("decay", 250), ("stable", 400), ("decay",
        650),
    ]  # fmt: skip


def test_one_cycle_moves_momentum_against_the_rate() -> None:
    targets = {name: rule.over(RUN) for name, rule in wd.one_cycle(max_lr=0.4).items()}
    rate = targets["lr"].value(np.arange(1001), base=9.9)
    momentum = targets["momentum"].value(np.arange(1001), base=0.5)
    assert rate[[0, 300, 1000]] == pytest.approx([0.4 / 25, 0.4, 0.4 / 25 / 1e4])
    assert momentum[[0, 300, 1000]] == pytest.approx([0.95, 0.85, 0.95])


def test_one_cycle_in_three_phases_comes_down_as_it_went_up() -> None:
    lr = wd.one_cycle(three_phase=True, shape="linear", momentum=None)["lr"].over(RUN)
    assert [lr.value(step, base=1.0) for step in (0, 300, 600, 1000)] == pytest.approx(
        [0.04, 1.0, 0.04, 4e-6]
    )


def test_noam_is_the_formula_of_its_paper() -> None:
    plan = wd.noam(d_model=64, warmup=50)
    step = np.arange(1, 400)
    np.testing.assert_allclose(
        plan(step - 1), 64**-0.5 * np.minimum(step**-0.5, step * 50**-1.5), rtol=1e-12
    )


def test_the_infinite_schedule_holds_its_constant_for_as_long_as_the_run_lasts() -> None:
    for total in (1000, 100_000):
        plan = wd.infinite(warmup=10, cooldown=100, anneal=100, constant=0.4).over(
            wd.Run(total_steps=total)
        )
        assert set(plan(np.arange(110, total - 100)).tolist()) == {0.4}


def test_triangular2_halves_and_exp_range_decays_above_the_floor() -> None:
    halving = wd.triangular2(low=0.1, high=1.1, up=10)
    assert halving([10, 30, 50]) == pytest.approx([1.1, 0.6, 0.35])
    decaying = wd.exp_range(low=0.1, high=1.1, up=10, gamma=0.99)
    assert decaying([10, 30]) == pytest.approx([0.1 + 0.99**10, 0.1 + 0.99**30])


def test_restarts_may_warm_up_in_every_cycle() -> None:
    plan = wd.cosine_restarts(first=100, warmup=10, grow=2).over(RUN)
    assert plan([0, 10, 100, 120]) == pytest.approx([0.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wd.wsd(shape="liner"), "Did you mean 'linear'"),  # type: ignore[arg-type]
        (lambda: wd.wsd_s(decay=2.0), "a share of each period"),
        (lambda: wd.wsd_s(checkpoints=0), "1 to 17 doubling periods"),
        (lambda: wd.wsd_s(periods=["2ep"]), "periods as updates or as shares"),
        (lambda: wd.noam(d_model=0), "at least 1"),
        (lambda: wd.one_cycle(div=0), "above 0"),
        (lambda: wd.cosine_waves(cycles=0), "at least one cycle"),
        (lambda: wd.piecewise(values=[1.0], lengths=[]), "give one value more than lengths"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(wd.ScheduleError, match=message):
        make()
