"""Pictures made of characters."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest

import warmdown as wd
from warmdown.plot import sparkline, terminal

RUN = wd.Run(total_steps=10_000, lr=3e-4)
ONE_CYCLE: dict[str, Any] = dict(wd.one_cycle())
BRAILLE = {chr(code) for code in range(0x2801, 0x2900)}


def body(text: str) -> list[str]:
    """Return the rows of the first curve: what stands right of the axis."""
    rows = [
        line for line in text.split("\n\n")[0].splitlines() if "│" in line[:13] or "┤" in line[:13]
    ]
    return [line[12:] for line in rows if line[11] in "│┤"]


def test_a_line_at_the_very_top_is_drawn() -> None:
    for schedule in (wd.Constant(value=1.0), wd.wsd(), wd.warmup_constant()):
        drawn = body(terminal(schedule, run=RUN, width=60, height=8))
        assert any(BRAILLE & set(row[40:45]) for row in drawn)
    assert BRAILLE & set(body(terminal(wd.wsd(), run=RUN, width=60, height=8))[0])


def test_a_curve_falls_from_the_top_left_to_the_bottom_right() -> None:
    rows = body(terminal(wd.Linear(), run=RUN, width=60, height=8))
    assert len(rows) == 8
    assert BRAILLE & set(rows[0][:3])
    assert BRAILLE & set(rows[-1][-3:])
    assert not BRAILLE & set(rows[-1][:30])


def test_rates_steps_phases_and_units_are_named() -> None:
    text = terminal(wd.warmup_cosine(warmup="20%"), run=RUN, width=80)
    for word in (
        "learning rate",
        "3e-4 ┤",
        "1e-4 ┤",
        "│warmup",
        "│decay",
        "over 10,000 updates",
        "2,000",
    ):
        assert word in text


def test_no_line_is_wider_than_asked() -> None:
    text = terminal(wd.wsd_s(), run=RUN, width=60)
    assert max(map(len, text.splitlines())) <= 60


def test_the_values_of_a_logarithmic_axis_are_decades() -> None:
    text = terminal(wd.warmup_cosine(), run=RUN, width=80, height=14, log=True)
    assert "learning rate (logarithmic) over" in text
    assert "1e-5 ┤" in text


def test_a_curve_that_is_never_above_zero_keeps_its_linear_axis() -> None:
    assert "logarithmic" not in terminal(wd.Constant(value=0.0), run=RUN, log=True)


def test_several_lines_carry_letters_and_a_legend() -> None:
    text = terminal({"cosine": wd.warmup_cosine(), "wsd": wd.wsd()}, run=RUN, width=80)
    assert "a cosine" in text
    assert "b wsd" in text
    assert any("a" in row for row in body(text))
    assert any("b" in row for row in body(text))


def test_colour_is_written_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    plan = wd.Plan.of(**ONE_CYCLE, run=RUN)
    assert "\x1b" not in terminal(plan)
    assert "\x1b[" in terminal(plan, colour=True)


def test_each_unit_has_a_curve_of_its_own() -> None:
    plan = wd.Plan.of(**ONE_CYCLE, weight_decay=wd.Set(wd.Constant(value=0.1)), run=RUN)
    heads = [block.splitlines()[0] for block in terminal(plan, width=60).split("\n\n")]
    assert heads == [
        f"{unit} over 10,000 updates" for unit in ("learning rate", "momentum", "weight decay")
    ]


def test_an_assumed_length_is_said_below() -> None:
    assert terminal(wd.Cosine()).endswith(
        "Drawn over 1,000 updates, because the run has no length yet."
    )


def test_many_restarts_fill_their_columns() -> None:
    rows = body(
        terminal(
            wd.cosine_restarts(first=100), run=wd.Run(total_steps=1_000_000), width=60, height=6
        )
    )
    filled = sum(character in BRAILLE for row in rows for character in row)
    assert filled > 0.9 * 6 * 48


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (wd.Linear(start=0.0, end=1.0), "▁▂▃▄▅▆▇█"),
        (wd.Linear(start=1.0, end=0.0), "█▇▆▅▄▃▂▁"),
        ([1.0, 1.0], "▅▅▅▅▅▅▅▅"),
        ([0.0, 1.0, 0.0], "▁▃▆██▆▃▁"),
        ([], ""),
    ],
)
def test_a_sparkline_is_the_shape_in_one_line(given: wd.Schedule | list[float], line: str) -> None:
    assert sparkline(given, width=8) == line


def test_every_recipe_and_shape_has_a_sparkline() -> None:
    for schedule in (
        wd.wsd(),
        wd.one_cycle()["lr"].of,
        wd.Staircase(),
        wd.Chebyshev(),
        wd.cosine_restarts(),
    ):
        assert len(sparkline(schedule)) == 24


def test_a_terminal_needs_no_matplotlib() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import warmdown as wd; from warmdown.plot import terminal, summary\n"
        "print(terminal(wd.wsd(), run=wd.Run(total_steps=100))); print(summary(wd.wsd()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"learning rate" in done.stdout


def test_a_picture_is_of_ascii_where_standard_output_cannot_write_braille(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = wd.wsd().over(wd.Run(total_steps=100))
    with monkeypatch.context() as output:
        output.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
        picture, line = terminal(schedule, width=60), sparkline(schedule)
    assert picture.isascii()
    assert line == "_*" + "#" * 19 + "+-_"
    monkeypatch.setattr(sys, "stdout", None)  # as in a Windows program without a console
    assert not terminal(schedule, width=60).isascii()
