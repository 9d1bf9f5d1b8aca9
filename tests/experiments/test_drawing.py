"""Pictures of many runs: whatever the names of their plans hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from warmdown.experiments.chart import Chart, Line
from warmdown.experiments.drawing import svg


@pytest.mark.parametrize("name", ["$\\frac{$", "a $ b $ c"])
def test_a_name_with_dollars_is_shown_as_it_is_and_decades_as_powers(name: str) -> None:
    steps = np.array([1.0, 100.0])
    lines = tuple(Line(label, steps, np.array([2.0, 1.0])) for label in (name, "other"))
    picture = svg(Chart(f"{name}, a title", name, name, lines, marks={name: 10.0}, log_across=True))
    assert picture.count(name) >= 4
    assert "mathdefault" not in re.sub("<!--.*?-->", "", picture)
