"""What comes again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warmdown as wd


def test_a_triangle_goes_up_and_down() -> None:
    assert wd.Triangle(low=0.1, high=0.9, up=2, down=4)([0, 1, 2, 4, 6, 99]) == pytest.approx(
        [0.1, 0.5, 0.9, 0.5, 0.1, 0.1]
    )


def test_a_triangle_may_have_one_side_only() -> None:
    assert wd.Triangle(up=4, down=0)([0, 2, 4]).tolist() == [0.0, 0.5, 1.0]
    assert wd.Triangle(up=0, down=4)([0, 2, 4]).tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(wd.ScheduleError, match="at least one side needs a step"):
        wd.Triangle(up=0, down=0)


@pytest.mark.parametrize("first", [1, 3, 7, 10, 97])
@pytest.mark.parametrize("grow", [2.0, 3.0, 10.0])
def test_growing_cycles_begin_exactly_at_their_starts(first: int, grow: float) -> None:
    cycles = wd.Linear(start=1.0, end=0.0, steps=first).repeat(grow=grow)
    starts = np.array([first * (grow**i - 1) / (grow - 1) for i in range(12)])
    assert cycles(starts).tolist() == [1.0] * 12
    assert (cycles(starts[1:] - 1) < 1.0).all() or first == 1


def test_repeats_shrink_in_height_and_end_where_the_last_cycle_does() -> None:
    cycles = wd.Linear(start=1.0, end=0.5, steps=2).repeat(2, decay=0.5)
    assert cycles([0, 1, 2, 3, 4, 99]).tolist() == [1.0, 0.75, 0.5, 0.375, 0.25, 0.25]


def test_the_height_may_follow_a_schedule_over_the_cycles() -> None:
    cycles = wd.Linear(steps=2).repeat(decay=wd.InverseTime(rate=1.0))
    assert cycles([0, 2, 4]).tolist() == [1.0, 0.5, 1 / 3]


def test_repeats_share_the_room_there_is() -> None:
    cycles = wd.Cosine().repeat(4).over(wd.Run(total_steps=100))
    assert [(phase.name, phase.start) for phase in cycles.phases()] == [
        ("cycle 1", 0), ("cycle 2", 25), ("cycle 3", 50), ("cycle 4", 75),
    ]  # fmt: skip
    doubling = wd.Cosine().repeat(3, grow=2).over(wd.Run(total_steps=70))
    assert [phase.start for phase in doubling.phases()] == [0, 10, 30]


def test_endless_or_countless_cycles_are_one_phase() -> None:
    assert wd.Linear(steps=2).repeat().phases() == (wd.Phase("cycles", 0, None),)
    assert wd.Linear(steps=2).repeat(10_000).phases() == (wd.Phase("cycles", 0, 20_000),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wd.Linear(steps=2).repeat(0), "at least one cycle"),
        (lambda: wd.Linear(steps=2).repeat(grow=0.5), "cycles that shrink"),
        (lambda: wd.InverseSqrt().repeat(), "a cycle needs an end"),
        (lambda: wd.Chebyshev(low=2.0), "0 < low <= high"),
        (lambda: wd.Chebyshev(order=31), "order from 0 to 30"),
    ],
)
def test_a_cycle_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(wd.ScheduleError, match=message):
        make()


def test_chebyshev_rates_are_a_permutation_of_the_inverse_nodes() -> None:
    order = 5
    rates = wd.Chebyshev(low=0.1, high=1.0, order=order)(np.arange(2**order))
    nodes = (1 + 10) / 2 - (10 - 1) / 2 * np.cos(np.pi * (np.arange(2**order) + 0.5) / 2**order)
    np.testing.assert_allclose(np.sort(rates), np.sort(1 / nodes), rtol=1e-12)


def test_chebyshev_rates_of_one_pair_mirror_each_other() -> None:
    schedule = wd.Chebyshev(low=0.1, high=1.0, order=3)
    inverse = 1 / schedule(np.arange(8))
    np.testing.assert_allclose(inverse[0::2] + inverse[1::2], 11.0, rtol=1e-12)


def test_a_constant_of_open_length_can_be_repeated() -> None:
    cycle = wd.Constant(value=1.0, steps="10%").repeat(3, decay=0.5)
    with pytest.raises(wd.ScheduleError, match="lengths are still open"):
        cycle(0)
    assert cycle.over(wd.Run(total_steps=100))([0, 10, 20, 99]).tolist() == [1.0, 0.5, 0.25, 0.25]


def test_a_decay_over_the_cycles_may_take_a_share_of_them() -> None:
    cycle = wd.Linear(start=1.0, end=1.0, steps=10).repeat(10, decay=wd.Linear(start=1.0, end=0.0))
    assert cycle.over(wd.Run(total_steps=100))([0, 55, 95]).round(9).tolist() == [1.0, 0.5, 0.1]
    with pytest.raises(wd.ScheduleError, match=r"cycles without end\. Give times"):
        wd.Linear(steps=10).repeat(decay=wd.Linear())


def test_a_cycle_that_is_rounded_to_nothing_is_refused() -> None:
    with pytest.raises(wd.ScheduleError, match="a cycle of 0 steps"):
        wd.cosine_restarts(first="10%").over(wd.Run(total_steps=3))
