"""The picture that matplotlib draws."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import warmdown as wd
from warmdown.plot import figure
from warmdown.plot.theme import DARK, LIGHT, Theme

RUN = wd.Run(total_steps=10_000, lr=3e-4)
ONE_CYCLE: dict[str, Any] = dict(wd.one_cycle())
FIVE = wd.Plan.of(
    **ONE_CYCLE,
    weight_decay=wd.Set(wd.Cosine(start=0.04, end=0.4)),
    kl_weight=wd.Set(wd.Linear(start=0.0, end=1.0, steps="20%")),
    dropout=wd.Set(wd.Constant(value=0.1)),
    run=RUN,
)
HARD = {
    "one": wd.warmup_cosine(end=0.1),
    "five": FIVE,
    "tiny warmup": wd.warmup_cosine(warmup=1),
    "many phases": wd.wsd_s(checkpoints=5),
    "cycles": wd.Cosine().repeat(40),
    "too many": wd.Cosine(steps=100).repeat(90) >> wd.Constant(value=0.0).named("the end"),
    "compare": {
        "a cosine": wd.warmup_cosine(),
        "wsd": wd.wsd(),
        "linear": wd.warmup_linear(),
        "rex": wd.warmup_rex(warmup=0),
    },
}


def texts(picture: Figure) -> list[Text]:
    return [text for text in picture.findobj(Text) if text.get_text() and text.get_visible()]


def words(picture: Figure) -> list[str]:
    return [text.get_text() for text in texts(picture)]


def test_one_panel_for_each_unit_top_to_bottom() -> None:
    picture = figure(FIVE)
    titles = [axes.get_title(loc="left") for axes in picture.axes]
    assert titles == ["learning rate", "momentum", "weight decay", "kl weight", "dropout"]
    tops = [axes.get_position().y1 for axes in picture.axes]
    assert tops == sorted(tops, reverse=True)


def test_the_line_is_the_schedule() -> None:
    schedule = wd.warmup_cosine(end=0.1)
    line = next(
        line for line in figure(schedule, run=RUN).axes[0].get_lines() if line.get_label() == "lr"
    )
    steps, values = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    np.testing.assert_allclose(values, 3e-4 * schedule.over(RUN)(steps), rtol=1e-12)
    assert steps[[0, -1]].tolist() == [0, 10_000]


def test_phases_are_shaded_and_named() -> None:
    picture = figure(wd.wsd(), run=RUN)
    spans = [patch.get_extents().width for patch in picture.axes[0].patches]
    assert len(spans) == 3
    assert {"warmup", "stable", "decay"} <= set(words(picture))


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("log", [False, True])
def test_no_text_overlaps_another_or_leaves_the_paper(name: str, log: bool) -> None:
    given: Any = HARD[name]
    picture = figure(given, run=RUN, log=log, title="A title")
    picture.draw_without_rendering()
    renderer: Any = picture.canvas.get_renderer()  # type: ignore[attr-defined]  # Agg has one
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(picture)]
    paper = picture.bbox
    for text, box in boxes:
        assert box.x0 >= paper.x0 - 1, text
        assert box.x1 <= paper.x1 + 1, text
        assert box.y0 >= paper.y0 - 1, text
        assert box.y1 <= paper.y1 + 1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide < 2 or high < 3, f"{one!r} lies over {other!r}"


def test_ticks_are_written_as_people_write_rates() -> None:
    labels = [
        label.get_text() for label in figure(wd.warmup_cosine(), run=RUN).axes[0].get_yticklabels()
    ]
    assert labels == ["0", "1e-4", "2e-4", "3e-4"]


def test_a_logarithmic_axis_has_decades() -> None:
    axes = figure(wd.warmup_cosine(), run=RUN, log=True).axes[0]
    assert axes.get_yscale() == "log"
    assert "1e-5" in [label.get_text() for label in axes.get_yticklabels()]


def test_a_curve_that_is_never_above_zero_keeps_its_linear_axis() -> None:
    assert figure(wd.Constant(value=0.0), run=RUN, log=True).axes[0].get_yscale() == "linear"


def test_a_staircase_is_drawn_with_upright_sides() -> None:
    line = figure(wd.Milestones(at=(50, 100)), run=wd.Run(total_steps=200)).axes[0].get_lines()
    assert next(one for one in line if one.get_label() == "lr").get_drawstyle() == "steps-post"


def test_the_last_value_stands_at_the_end_of_the_line_and_the_name_too_among_others() -> None:
    assert "3e-5" in words(figure(wd.warmup_cosine(end=0.1), run=RUN))
    assert {"cosine  0", "wsd  0"} <= set(
        words(figure({"cosine": wd.warmup_cosine(), "wsd": wd.wsd()}, run=RUN))
    )


def test_events_of_a_record_are_drawn_and_named() -> None:
    record = wd.Record()
    for step in range(100):
        record.add(step, "lr", 0.1, "decay_now" if step == 50 else "")
    picture = figure(record)
    assert "decay_now" in words(picture)
    assert 50 in [line.get_xdata()[0] for line in picture.axes[0].get_lines()]  # type: ignore[index]


def test_lines_differ_by_pattern_as_well_as_by_colour() -> None:
    many = {f"plan {number}": wd.Linear(end=number / 12) for number in range(12)}
    lines = [
        line
        for line in figure(many, run=RUN).axes[0].get_lines()
        if str(line.get_label()).startswith("plan")
    ]
    looks = {(line.get_color(), str(line._dash_pattern)) for line in lines}  # type: ignore[attr-defined]
    assert len(looks) == 12
    assert len({str(line._dash_pattern) for line in lines[:6]}) == 6  # type: ignore[attr-defined]


def test_drawing_leaves_no_trace_in_pyplot_or_the_settings() -> None:
    code = (
        "import matplotlib, sys\n"
        "def settings(): return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "
        "'backend'}\n"
        "before = settings(); import warmdown as wd; from warmdown.plot import svg, figure\n"
        "svg(wd.wsd()); figure(wd.wsd()); assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        wd.MissingExtra,
        match=r"plot needs matplotlib: pip install "
        r"'warmdown\[plot\]'",
    ):
        figure(wd.wsd())
    assert wd.wsd()._repr_html_() is None


Rgb = npt.NDArray[np.float64]
SIGHT = {  # Machado, Oliveira & Fernandes 2009, severity 1.0, on linear light
    "usual": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}


def light(colour: str) -> Rgb:
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    dark, bright = sorted(
        float(light(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other)
    )
    return (bright + 0.05) / (dark + 0.05)


def lab(linear: Rgb) -> Rgb:
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = matrix @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_and_line_stands_out(theme: Theme) -> None:
    assert (
        min(contrast(text, theme.paper) for text in (theme.ink, theme.quiet, *theme.lines)) >= 4.5
    )
    assert min(contrast(line, tint) for line in theme.lines for tint in theme.tints) >= 3


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_lines_differ_for_every_colour_sight(theme: Theme, sight: str) -> None:
    seen = [lab(SIGHT[sight] @ light(colour)) for colour in theme.lines]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > 14


def test_neighbouring_cycles_have_different_tints() -> None:
    spans = figure(wd.Cosine().repeat(6), run=RUN).axes[0].patches
    colours = [patch.get_facecolor() for patch in spans]
    assert all(one != other for one, other in pairwise(colours))


@pytest.mark.parametrize("name", ["$\\frac{$", "$x$ and $\\input{/etc/passwd}$", "a $ b $ c"])
def test_a_name_with_dollars_is_shown_as_it_is(name: str) -> None:
    plan = wd.Plan.of(lr=wd.Cosine(end=0.1).named(name), run=wd.Run(total_steps=100))
    assert name in wd.plot.svg(plan, title=name)


def test_a_line_that_is_alone_in_its_panel_has_its_name_where_plans_are_compared() -> None:
    targets: dict[str, Any] = dict(wd.one_cycle())
    cycle = wd.Plan.of(**targets, run=RUN)
    compared = words(figure({"cycle": cycle, "cosine": wd.warmup_cosine()}, run=RUN))
    assert {"cycle: lr  1.2e-9", "cosine: lr  0", "cycle: momentum  0.95"} <= {*compared}
    assert "0.95" in words(figure(cycle))
