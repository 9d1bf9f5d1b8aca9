"""Charts of one's own: lines with bands and marks over any horizontal axis."""

from __future__ import annotations

import re
import threading
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import warmdown as wd
from warmdown.plot import Line, Mark, View, figure, html, svg, terminal

RATES = np.geomspace(1e-5, 1.0, 50)
LOSSES = np.concatenate([np.linspace(2.0, 1.0, 40), np.geomspace(1.0, 100.0, 10)])


def range_test(**options: Any) -> View:
    mean = Line("mean", "loss", RATES, LOSSES, low=LOSSES - 0.1, high=LOSSES + 0.1)
    raw = Line("raw", "loss", RATES, LOSSES + 0.05, is_background=True)
    marks = (Mark(1e-2, "steepest 0.01"),)
    return View(lines=(raw, mean), x="rate", marks=marks, log_x=True, is_cropped=True, **options)


def test_a_band_a_mark_and_decades_are_drawn() -> None:
    axes = figure(range_test(title="A test")).axes[0]
    assert axes.get_xscale() == "log"
    assert len(axes.collections) == 1, "one line has a band"
    assert "1e-4" in [label.get_text() for label in axes.get_xticklabels()]
    assert "steepest 0.01" in [text.get_text() for text in axes.texts]
    assert 1e-2 in [line.get_xdata()[0] for line in axes.get_lines()]  # type: ignore[index]


def test_a_burst_at_the_end_is_cut_off_and_the_fall_before_it_fills_the_height() -> None:
    assert figure(range_test()).axes[0].get_ylim()[1] < 3
    assert "100" not in terminal(range_test(), width=60)


def test_a_line_in_the_background_is_left_out_of_a_terminal_and_grey_on_paper() -> None:
    assert "raw" not in terminal(range_test(), width=60)
    lines = figure(range_test()).axes[0].get_lines()
    colours = {line.get_label(): line.get_color() for line in lines}
    assert colours["raw"] != colours["mean"]


def test_a_terminal_has_title_axis_and_words() -> None:
    text = terminal(range_test(title="A test", text="In words."), width=60)
    assert text.startswith("A test\n\nloss over rate (logarithmic)\n")
    assert text.endswith("\n\nIn words.")
    assert re.search(r"1e-5 +1e-4 .*0\.1 +1\n", text)


def test_a_page_has_the_words_the_tables_and_a_dozen_points_of_each_line() -> None:
    tables = {"Rules": (["rule", "rate"], [["steepest", "<0.01>"]])}
    page = html(range_test(title="A test", text="a < b", tables=tables))
    assert "<h1>A test</h1>" in page
    assert "<pre>a &lt; b</pre>" in page
    assert "<caption>Rules</caption>" in page
    assert "&lt;0.01&gt;" in page
    assert page.count(">mean</th>") == page.count(">raw</th>") == 12
    assert "1.9 … 2.1" in page


def test_points_that_are_not_finite_leave_a_gap() -> None:
    values = np.where(np.arange(50) % 7 == 6, np.nan, 1.0 + np.arange(50.0))
    line = Line("loss", "loss", np.arange(50.0), np.append(values[:-1], np.inf))
    chart = View(lines=(line,), text="Some points are not finite.")
    figure(chart).draw_without_rendering()
    assert "nan" not in terminal(chart, width=60)


@pytest.mark.parametrize("name", ["$\\frac{$", "a $ b $ c", "a<b>&\"'"])
def test_a_name_is_shown_as_it_is_and_decades_as_powers(name: str) -> None:
    steps = np.array([1.0, 100.0])
    lines = tuple(Line(label, name, steps, np.array([2.0, 1.0])) for label in (name, "other"))
    chart = View(lines=lines, x=name, marks=(Mark(10.0, name),), log_x=True, title=name)
    picture = svg(chart)
    shown = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert picture.count(shown) >= 4
    assert "mathdefault" not in re.sub("<!--.*?-->", "", picture)


def test_a_very_long_name_leaves_the_curves_their_place() -> None:
    plans = {"x" * 300: wd.Cosine(), "y" * 300: wd.Linear()}
    picture = figure(plans, run=wd.Run(total_steps=100))
    assert picture.axes[0].get_position().width > 0.4


def test_two_threads_that_draw_leave_the_settings_of_matplotlib_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each thread changes the settings for its file; the first waits a moment for the second."""
    entered, seconds = threading.Event(), 0.3
    save = Figure.savefig

    def meet(self: Figure, *args: Any, **options: Any) -> None:
        if threading.current_thread() is first:
            entered.wait(seconds)  # only without a common lock do both change them at a time
        else:
            entered.set()
            first.join(seconds)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", meet)
    before = dict(mpl.rcParams)
    first = threading.Thread(target=svg, args=(range_test(),))
    second = threading.Thread(target=svg, args=(wd.Cosine(),))
    first.start()
    second.start()
    first.join()
    second.join()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("rates", [(0.012, 0.0138, 0.055, 0.079), (1e-3, 0.9, 0.95, 0.99)])
def test_names_of_marks_touch_neither_each_other_nor_the_edge(rates: tuple[float, ...]) -> None:
    loss = Line("loss", "loss", np.geomspace(1e-4, 1.0, 50), np.linspace(2.0, 1.0, 50))
    marks = tuple(Mark(rate, f"suggestion {rate}") for rate in rates)
    picture = figure(View(lines=(loss,), x="learning rate", log_x=True, marks=marks))
    picture.canvas.draw()
    (axes,) = picture.axes
    names = [text for text in axes.texts if text.get_text().startswith("suggestion")]
    boxes = [text.get_window_extent() for text in names]
    assert len(boxes) == len(rates)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(box.x1 <= axes.bbox.x1 + 1 for box in boxes)
