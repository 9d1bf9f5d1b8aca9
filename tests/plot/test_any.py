"""Whatever a schedule or plan is, it can be seen in every way."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import plans, schedules

import warmdown as wd
from warmdown import plot

NUMBERS = st.floats(-1e30, 1e30)
ROWS = st.lists(
    st.tuples(st.integers(0, 10**7), st.sampled_from(["lr/0", "loss", "x"]), st.floats()),
    min_size=1,
)


@given(schedule=schedules(), log=st.booleans())
def test_any_schedule_has_a_picture_for_a_terminal_words_and_a_table(
    schedule: wd.Schedule, log: bool
) -> None:
    text = plot.terminal(schedule, log=log, width=60)
    assert text.startswith("learning rate")
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in plot.summary(schedule)
    rows = plot.table(schedule)
    assert [row.step for row in rows] == sorted({row.step for row in rows})
    assert rows[0].step == 0
    assert all(math.isfinite(value) for row in rows for value in row.values.values())


@given(plan=plans())
def test_a_line_has_the_values_of_its_schedule(plan: wd.Plan) -> None:
    for line in plot.view(plan).lines:
        assert line.value is not None
        np.testing.assert_array_equal(line.values, line.value(line.steps))
        assert (np.diff(line.steps) > 0).all()
        assert line.steps[0] == 0
        assert line.steps[-1] == line.stop


@settings(max_examples=8)
@given(plan=plans(), log=st.booleans(), dark=st.booleans())
def test_any_plan_has_a_picture(plan: wd.Plan, log: bool, dark: bool) -> None:
    ElementTree.fromstring(plot.svg(plan, log=log, dark=dark))


@given(low=NUMBERS, high=NUMBERS, log=st.booleans())
def test_any_height_has_an_axis_of_characters(low: float, high: float, log: bool) -> None:
    line = wd.Set(wd.Linear(start=low, end=high, steps=100))
    assert "learning rate" in plot.terminal({"lr": line}, log=log, width=60)


@settings(max_examples=8)
@given(low=NUMBERS, high=NUMBERS, log=st.booleans())
def test_any_height_has_an_axis_in_a_picture(low: float, high: float, log: bool) -> None:
    plot.figure(
        {"lr": wd.Set(wd.Linear(start=low, end=high, steps=100))}, log=log
    ).draw_without_rendering()


@pytest.mark.parametrize(
    "heights", [(4.7e-260, 4.7e-260), (0.0, 0.0), (-1.0, -1.0), (1.0, 1.0 + 1e-12), (-1e30, 1e30)]
)
@pytest.mark.parametrize("log", [False, True])
def test_a_height_that_is_none_has_an_axis_too(heights: tuple[float, float], log: bool) -> None:
    line = wd.Set(wd.Linear(start=heights[0], end=heights[1], steps=100))
    assert "learning rate" in plot.terminal({"lr": line}, log=log, width=60)
    plot.figure({"lr": line}, log=log).draw_without_rendering()


@given(rows=ROWS)
def test_any_record_is_drawn_or_refused_with_a_reason(rows: list[tuple[int, str, float]]) -> None:
    record = wd.Record()
    for step, target, value in rows:
        record.add(step, target, value)
    if any(math.isfinite(value) for _, _, value in rows):
        assert plot.terminal(record, width=60)
        assert plot.summary(record)
        assert plot.table(record)
