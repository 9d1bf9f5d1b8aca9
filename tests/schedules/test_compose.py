"""Schedules after each other, multiplied, added."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import warmdown as wd

RUN = wd.Run(total_steps=1000)


def test_a_chain_measures_shares_rests_and_numbers_together() -> None:
    plan = (
        wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Constant(value=1.0) >> wd.Cosine(steps=200)
    )
    assert [(phase.name, phase.start, phase.stop) for phase in plan.over(RUN).phases()] == [
        ("warmup", 0, 50), ("stable", 50, 800), ("decay", 800, 1000),
    ]  # fmt: skip


def test_phases_longer_than_the_run_show_the_numbers() -> None:
    plan = wd.Linear(steps=700) >> wd.Cosine(steps=500)
    with pytest.raises(
        wd.ScheduleError,
        match=r"need 700 \+ 500 = 1200 steps, and the run has "
        r"1000",
    ):
        plan.over(RUN)


def test_only_one_phase_can_take_the_rest() -> None:
    with pytest.raises(wd.ScheduleError) as refused:
        (wd.Staircase(every="10%").named("stairs") >> wd.Cosine()).over(RUN)
    assert str(refused.value) == (
        "Chain: 2 of its phases take the rest of the run: Staircase (no end of its own), Cosine "
        "(steps='rest'). Only one can. Give the others a length, like Staircase(…).take('50%')."
    )
    plan = (wd.Staircase(every="10%").take("50%") >> wd.Cosine()).over(RUN)
    assert [plan(step) for step in (0, 499, 500, 1000)] == pytest.approx([1.0, 1e-4, 1.0, 0.0])


def test_what_never_ends_takes_the_rest_when_something_follows() -> None:
    plan = (wd.InverseSqrt(timescale=100) >> wd.Linear(steps="10%")).over(RUN)
    assert plan(899) == pytest.approx((100 / 999) ** 0.5)
    assert plan(900) == 1.0
    assert plan.length == 1000


@pytest.mark.parametrize(
    "endless",
    [
        wd.Staircase(gamma=0.5, every="10%"),
        wd.Staircase(gamma=0.5, every="2ep").delay("5%"),
        wd.Staircase(gamma=0.5, every="10%") * wd.Linear(start=0.5, end=1.0, steps="5%"),
        wd.InverseSqrt().skip("5%").clip(low=0.1),
        wd.Linear(steps="5%").repeat(),
        wd.Linear(start=0.0, end=1.0, steps=5) >> wd.Staircase(gamma=0.5, every="10%"),
        wd.Plateau(patience="2ep").named("follow"),
        wd.Function(call=lambda step: 1 / (1 + step)),
    ],
)
def test_what_never_ends_takes_the_rest_whatever_in_it_waits_for_the_run(
    endless: wd.Schedule,
) -> None:
    run = wd.Run(total_steps=1000, steps_per_epoch=50)
    plan = (endless >> wd.Linear(steps="10%")).over(run)
    steps = np.arange(900)
    assert plan.length == 1000
    assert plan(steps).tolist() == endless.over(run)(steps).tolist()
    assert plan([900, 1000]).tolist() == [1.0, 0.0]
    with pytest.raises(wd.WarmdownError, match=r"Run\((total_steps|steps_per_epoch)"):
        (endless >> wd.Linear(steps=10)).over(wd.Run())


def test_milestones_in_shares_are_as_long_as_those_in_steps() -> None:
    shares = wd.Milestones(at=("10%", "20%")) >> wd.Cosine()
    steps = wd.Milestones(at=(100, 200)) >> wd.Cosine()
    assert shares.over(RUN) == steps.over(RUN)


def test_a_chain_inside_a_chain_keeps_its_own_rest() -> None:
    inner = wd.Constant(value=1.0) >> wd.Linear(steps=10)
    plan = wd.Chain(members=(inner.take(100), inner.take("rest"))).over(RUN)
    assert [phase.start for phase in plan.phases()] == [0, 90, 100, 990]


@pytest.mark.parametrize(
    "make",
    [lambda: wd.Chain(members=()), lambda: wd.Product(factors=()), lambda: wd.Sum(terms=())],
    ids=["chain", "product", "sum"],
)
def test_a_composition_of_nothing_is_refused(make: Callable[[], wd.Schedule]) -> None:
    with pytest.raises(wd.ScheduleError, match="at least one schedule is needed"):
        make()


def test_a_chain_knows_which_member_is_active() -> None:
    plan = wd.Linear(steps=10) >> wd.Linear(steps=0) >> wd.Cosine(steps=20)
    assert isinstance(plan, wd.Chain)
    assert [plan.at(step) for step in (0, 9, 10, 999)] == [(0, 0), (0, 0), (2, 10), (2, 10)]


def test_a_product_is_as_long_as_its_longest_moving_factor() -> None:
    warmup, decay = wd.Linear(start=0.0, end=1.0, steps="5%"), wd.Cosine()
    plan = (warmup * decay * 0.5).over(RUN)
    assert plan.length == 1000
    assert plan(50) == pytest.approx(0.5 * wd.Cosine(steps=1000)(50))


def test_a_product_in_a_chain_has_the_length_of_what_moves() -> None:
    plan = ((wd.Linear(steps=10) * 0.5) >> wd.Cosine()).over(RUN)
    assert [phase.start for phase in plan.phases()] == [0, 10]


def test_products_and_sums_are_laid_flat() -> None:
    line = wd.Linear(steps=4)
    assert len((line * 2 * 3).parts()) == 3
    assert len((line + 2 + 3).parts()) == 3


def test_a_sum_of_constants_never_needs_a_length() -> None:
    assert (wd.Constant(value=1.0) + 2)(10**9) == 3.0
    assert (wd.Constant(value=1.0) + 2).over(wd.Run())(0) == 3.0


@pytest.mark.parametrize(
    "scaled", [wd.Constant(value=1.0, steps=10) * 0.5, wd.Constant(value=0.25, steps="1%") + 0.25]
)
def test_a_constant_keeps_its_length_when_it_is_scaled(scaled: wd.Schedule) -> None:
    plan = (scaled >> wd.Linear(start=0.5, end=0.0)).over(RUN)
    assert [phase.start for phase in plan.phases()] == [0, 10]
    assert plan([0, 9, 10]).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("total", "joints"), [(6, [0, 2, 3, 5]), (10, [0, 3, 5, 8]), (14, [0, 4, 7, 11])]
)
def test_shares_of_the_whole_fit_into_a_run_of_any_length(total: int, joints: list[int]) -> None:
    quarter = wd.Linear(steps="25%")
    plan = wd.Chain.of(quarter, quarter.named("second"), quarter * 0.5, quarter.clip(low=0.0)).over(
        wd.Run(total_steps=total)
    )
    assert [phase.start for phase in plan.phases()] == joints
    assert plan.length == total


def test_rounding_makes_no_room_for_what_is_too_long() -> None:
    with pytest.raises(wd.ScheduleError, match="need 4 \\+ 4 = 8 steps, and the run has 7"):
        (wd.Linear(steps=4) >> wd.Linear(steps="50%")).over(wd.Run(total_steps=7))
    with pytest.raises(wd.ScheduleError, match="need 8 steps, and the run has 7"):
        (wd.Linear(steps=8) >> wd.Cosine()).over(wd.Run(total_steps=7))


def test_two_halves_in_epochs_fit_into_an_odd_epoch() -> None:
    half = wd.Linear(steps="0.5ep").delay(0)
    with pytest.raises(
        wd.ScheduleError, match=r"3 \+ 3 = 6"
    ):  # what is delayed has another length than its steps
        (half >> half).over(wd.Run(total_steps=5, steps_per_epoch=5))
    plan = (wd.Linear(steps="0.5ep") >> wd.Linear(steps="0.5ep")).over(
        wd.Run(total_steps=5, steps_per_epoch=5)
    )
    assert [phase.stop for phase in plan.phases()] == [3, 5]
