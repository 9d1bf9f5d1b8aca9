"""Where axes have marks and names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmdown.formatting import count, number, short_count
from warmdown.plot.axis import Axis, place_names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-4, "3e-4"),
        (2.5e-5, "2.5e-5"),
        (0.0, "0"),
        (-3e-4, "-3e-4"),
        (0.001, "0.001"),
        (1e-3 / 3, "3.333e-4"),
    ],
)
def test_a_small_rate_is_not_written_as_nought(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_said_to_be_none(value: float) -> None:
    assert number(value) in {"nan", "inf", "-inf"}


@given(st.floats(1e-300, 1e300))
def test_a_written_number_is_the_number_to_four_digits(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=5.1e-4)


def test_steps_are_counted_in_thousands_and_millions() -> None:
    assert [short_count(value) for value in (0, 2.5, 9_999, 10_000, 250_000, 10**6, 2.5e9)] == [
        "0", "2.5", "9,999", "10k", "250k", "1M", "2.5B",
    ]  # fmt: skip
    assert count(1234567) == "1,234,567"


@given(st.floats(-1e3, 1e3), st.floats(1e-9, 1e3), st.integers(2, 12))
def test_linear_marks_are_few_and_inside(low: float, height: float, at_most: int) -> None:
    ticks = Axis(low, low + height).ticks(at_most)
    assert len(ticks) <= at_most
    assert all(
        low - 1e-9 * (1 + abs(low)) <= tick <= low + height + 1e-9 * (1 + abs(low))
        for tick in ticks
    )


def test_logarithmic_marks_are_powers_of_ten_or_finer_when_those_are_few() -> None:
    assert Axis(1e-6, 1e-2, log=True).ticks(9) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
    assert Axis(3e-5, 3e-4, log=True).ticks(9) == [5e-5, 1e-4, 2e-4]


def test_a_logarithmic_axis_ends_six_decades_below_the_peak() -> None:
    assert Axis.of([np.array([0.0, 1e-30, 1.0])], log=True).low == pytest.approx(1e-6)
    assert Axis.of([np.array([0.0, 1e-2, 1.0])], log=True).low == pytest.approx(1e-2)
    assert not Axis.of([np.array([0.0, -1.0])], log=True).log


def test_an_axis_begins_at_zero_unless_the_curve_stays_far_from_it() -> None:
    assert Axis.of([np.array([3e-5, 3e-4])], log=False) == Axis(0.0, 3e-4)
    assert Axis.of([np.array([0.85, 0.95])], log=False) == Axis(0.85, 0.95)
    assert Axis.of([np.array([-1.0, -0.1])], log=False) == Axis(-1.0, 0.0)
    assert Axis.of([np.array([0.0, 0.0])], log=False) == Axis(-1.0, 1.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.5, 30)), max_size=60), st.integers(1, 3))
def test_names_never_overlap_each_other_nor_a_stem(
    names: list[tuple[float, float]], rows: int
) -> None:
    names.sort()
    found = place_names(names, rows, edge=110)
    shown = [
        (start, start + width, row)
        for (start, width), row in zip(names, found, strict=True)
        if row is not None
    ]
    for index, (_, end, row) in enumerate(shown):
        assert end <= 110
        for start, _, other in shown[index + 1 :]:
            assert other < row or end <= start, (
                "a name runs into a later name of its row, or the stem of a higher one"
            )


def test_the_first_name_is_kept_when_not_all_find_room() -> None:
    found = place_names([(float(start), 10.0) for start in range(50)], rows=3, edge=60)
    assert found[0] == 0
    assert 3 <= sum(row is not None for row in found) <= 6
