"""What is shown of a plan: curves, words, the field a finding is about, texts to take away."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from nicegui.json import dumps
from tests.strategies import OURS, plans

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.planfile.text import from_yaml
from warmdown.plot.export import as_csv
from warmdown.plot.page import png_bytes, svg_bytes
from warmdown.plot.view import Line, View
from warmdown.schedules import Phase
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.catalogue import GalleryEntry, catalogue, example_data
from warmdown.studio.draft.decoding import decoded
from warmdown.studio.draft.document import Draft, read, targets_in
from warmdown.studio.draft.fields import known_shapes
from warmdown.studio.draft.files import document_from, saved_text
from warmdown.studio.page.edit.inputs import resolved
from warmdown.studio.page.show.export_panel import drawn_rows
from warmdown.studio.preview.chart import Layer, changing_options, lines_in, options
from warmdown.studio.preview.preview import (
    Summary,
    preview,
    summarize,
    view_to_plain,
)
from warmdown.studio.preview.python_code import as_python
from warmdown.studio.preview.spans import findings_by_mark, spans
from warmdown.studio.preview.torch_code import NoTorchCode, as_torch, is_one_class

BASES = {"unet": {"lr": 1e-4}, "embedding": {"lr": 1e-3}}


def data_with(*phases: Any, steps: int = 1000, **plan: Any) -> PlainData:
    """Return a plan file's data of one target."""
    return {"run": {"total_steps": steps}, "lr": list(phases), **plan}


def test_there_is_a_curve_for_each_group_from_its_base() -> None:
    scene = preview(data_with("cosine"), BASES)
    assert [curve.label for curve in scene.view.lines] == ["lr/unet", "lr/embedding"]
    assert [curve.values[0] for curve in scene.view.lines] == [1e-4, 1e-3]


def test_the_area_is_the_sum_over_the_updates() -> None:
    scene = preview(data_with("linear"), {"": {"lr": 2.0}})
    assert scene.view.lines[0].totals.area == pytest.approx(1001.0)


def test_a_long_run_with_many_restarts_is_read_exactly() -> None:
    restarts = {"kind": "repeat", "of": {"kind": "cosine", "steps": 100}}
    (line,) = preview(data_with(restarts, steps=10**6), {"": {"lr": 1e-3}}).view.lines
    once = wd.Cosine(steps=100)(np.arange(100.0))
    assert line.at(99) == 1e-3 * once[99]
    assert line.totals.area == pytest.approx(10.0 * once.sum())
    assert (line.totals.low, line.totals.low_at) == (1e-3 * once[99], 99)


@pytest.mark.parametrize("low", [0, 437_000, 999_300])
def test_a_window_shows_every_update_of_a_long_run_with_many_restarts(low: int) -> None:
    restarts = {"kind": "repeat", "of": {"kind": "cosine", "steps": 100}}
    seen = preview(data_with(restarts, steps=10**6), {"": {"lr": 1e-3}}).view
    (line,) = lines_in(seen, (low, low + 600))
    inside = (line.steps >= low) & (line.steps <= low + 600)
    assert line.steps[inside].tolist() == list(range(low, low + 601))
    once = 1e-3 * wd.Cosine(steps=100)(np.arange(100.0))
    assert line.values[inside].tolist() == [once[step % 100] for step in range(low, low + 601)]
    assert (np.diff(line.steps) > 0).all()
    assert (line.steps[0], line.stop) == (0, 10**6)


def test_a_wide_window_has_a_bounded_number_of_points_and_the_extremes_of_each_stretch() -> None:
    restarts = {"kind": "repeat", "of": {"kind": "cosine", "steps": 100}}
    seen = preview(data_with(restarts, steps=10**6), {"": {"lr": 1.0}}).view
    (line,) = lines_in(seen, (100_000, 130_000))
    inside = (line.steps >= 100_000) & (line.steps <= 130_000)
    assert 600 < np.count_nonzero(inside) < 800
    assert (np.diff(line.values[inside]) > 0.9).sum() > 250  # each of 300 restarts
    assert line.at(100_099) == seen.lines[0].at(99)


@pytest.mark.parametrize("steps", [1, 700, 10**6, 10**12])
def test_a_curve_has_a_bounded_number_of_points_whatever_the_run(steps: int) -> None:
    scene = preview(data_with("cosine", steps=steps), {})
    assert 1 < len(scene.view.lines[0].steps) <= 1000
    assert scene.view.stop == steps


def test_ten_thousand_phases_are_read_or_refused_within_seconds() -> None:
    began = perf_counter()
    scene = preview(
        {"run": {"total_steps": 10**6}, "lr": [{"kind": "linear", "steps": 100}] * 10_000}, {}
    )
    assert scene.view.lines or scene.mistakes
    assert perf_counter() - began < 20


@pytest.mark.parametrize("pattern", ["(a+)+$", "*a*a*a*a*a*a*a*a*a*a*b", "[" * 1000])
def test_a_pattern_that_takes_ages_in_other_places_takes_no_time_here(pattern: str) -> None:
    began = perf_counter()
    groups = {"a" * 200: {"lr": 1.0}}
    preview(
        {
            "run": {"total_steps": 10},
            "lr": {"groups": {pattern: {"kind": "cosine"}, "*": {"kind": "linear"}}},
        },
        groups,
    )
    preview({"run": {"total_steps": 10}, "lr": {"kind": "cosine", "steps": "1" * 100_000}}, groups)
    assert perf_counter() - began < 2


def test_every_mistake_is_told_with_its_path() -> None:
    data = data_with({"kind": "cosine", "k": -1}, {"kind": "linear", "end": "x", "foo": 1})
    told = preview(data, {}).mistakes
    assert {mistake.partition(": ")[0] for mistake in told} == {"lr[0]", "lr[1].end", "lr[1].foo"}


def test_what_is_seen_comes_over_from_another_process_unchanged() -> None:
    scene = preview(data_with("cosine", {"kind": "linear", "steps": "10%"}), BASES)
    assert scene.plan is not None
    told = summarize(scene.view, scene.plan)
    plain = json.loads(json.dumps([view_to_plain(scene.view), asdict(told)]))
    again = decoded(View, plain[0])
    drawn, drawn_again = (
        options([Layer(seen.lines)], 1, log=False, dark=False) for seen in (scene.view, again)
    )
    assert dumps(drawn_again) == dumps(drawn)
    assert (again.notes, again.x) == (scene.view.notes, scene.view.x)
    assert decoded(Summary, plain[1]) == told


def warned(data: PlainData) -> dict[str, str]:
    """Return what stands beside which field."""
    document = document_from(data)
    scene = preview(read(document).data, {"": {"lr": 1e-3}})
    assert scene.plan is not None
    findings = summarize(scene.view, scene.plan).findings
    return findings_by_mark(findings, document, scene.plan)


def test_a_jump_is_told_at_the_field_where_the_phase_begins() -> None:
    rise = {"kind": "linear", "start": 0.01, "end": 1, "steps": "10%"}
    assert "plan.lr[1].start" in warned(data_with(rise, {"kind": "cosine", "start": 0.5}))


def test_a_negative_end_is_told_at_the_end() -> None:
    assert "plan.lr[0].end" in warned(data_with({"kind": "linear", "end": -1}))


def test_a_long_warmup_is_told_at_the_warmup() -> None:
    rise = {"kind": "linear", "start": 0, "end": 1, "steps": "80%", "name": "warmup"}
    assert "plan.lr[0].steps" in warned(data_with(rise, "cosine"))


def test_a_run_without_a_length_is_told_at_its_length() -> None:
    assert "plan.run.total_steps" in warned({"lr": "cosine"})


def test_a_run_that_is_shorter_than_its_epochs_is_told_at_its_length() -> None:
    run = {"total_steps": 77, "epochs": 3, "steps_per_epoch": 500}
    told = warned({"run": run, "lr": "cosine"})["plan.run.total_steps"]
    assert told == "3 epochs of 500 are 1,500 updates: this run ends at 77."
    assert warned({"run": {**run, "total_steps": 1500}, "lr": "cosine"}) == {}


def test_each_phase_knows_when_it_is_whether_it_is_a_shape_or_a_recipe() -> None:
    document = document_from(
        data_with(
            {"kind": "linear", "steps": 10},
            {"kind": "wsd", "warmup": 100, "decay": 100},
            {"kind": "constant", "steps": 200},
        )
    )
    scene = preview(read(document).data, {})
    assert scene.plan is not None
    (row,) = targets_in(document)
    assert [*spans(document, row, scene.plan).values()] == [(0, 10), (10, 800), (800, 1000)]


RESOLVED = [
    ("5%", "= 500"), ("2ep", "= 1,000"), ("%LR% / 10", "= 3e-5"), ("%TOTAL_STEPS% // 3", "= 3,333"),
    ("rest", ""), ("0.5", ""), ("%NO%", ""), ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), RESOLVED)
def test_a_field_shows_the_number_it_comes_to(text: str, told: str) -> None:
    assert resolved(text, wd.Run(total_steps=10_000, steps_per_epoch=500, lr=3e-4)) == told


def test_nothing_that_a_plan_says_becomes_a_key_of_the_picture_because_keys_may_run_as_code() -> (
    None
):
    evil = ":formatter"
    evil_line = line(evil, evil, [1.0, 2.0], Phase(evil, 0, 1))
    option = options([Layer([evil_line], evil)], 1, log=False, dark=False)
    assert [key for key in keys_in(option) if key.startswith(":")] == []
    assert option["tooltip"]["renderMode"] == "richText"


def line(label: str, unit: str, values: list[float], *phases: Phase) -> Line:
    """Return a line from step 0 on."""
    return Line(label, unit, np.arange(float(len(values))), np.asarray(values), phases)


def keys_in(data: Any) -> list[str]:
    """Return every key at any depth."""
    if isinstance(data, dict):
        return [*data, *(key for value in data.values() for key in keys_in(value))]
    return [key for value in data for key in keys_in(value)] if isinstance(data, list) else []


def test_each_unit_has_a_panel_and_a_logarithm_leaves_out_what_it_cannot_show() -> None:
    curves = [line("lr", "rate", [0.0, 2.0]), line("wd", "decay", [1.0])]
    option = options([Layer(curves)], 1, log=True, dark=True)
    assert [len(option[name]) for name in ("grid", "xAxis", "yAxis")] == [2, 2, 2]
    assert json.loads(dumps(option["series"][0]["points"])) == {"x": [0, 1], "y": [None, 2.0]}
    assert set(changing_options(option)) == {"series", "xAxis"}


def test_a_multiple_of_a_curve_is_sent_as_one_number_and_no_other_curve_is() -> None:
    falls = [4e-4, 3e-4, 1e-4]
    curves = [
        line("lr/a", "rate", falls),
        line("lr/b", "rate", [value * 3 for value in falls]),
        line("lr/c", "rate", [4e-4, 3e-4, 2e-4]),
        line("lr/d", "rate", [1e300, 1e-300, 0.5]),
        line("lr/e", "rate", falls[:2]),
    ]
    points = [one["points"] for one in options([Layer(curves)], 2, log=False, dark=True)["series"]]
    assert points[1] == {"of": 0, "times": pytest.approx(3.0)}
    assert [one["y"].tolist() for one in points[2:]] == [
        pytest.approx(curve.values.tolist(), rel=1e-6) for curve in curves[2:]
    ]


def test_phases_are_shaded_once_for_each_panel() -> None:
    curves = [
        line(name, "rate", [1.0], Phase("warmup", 0, 5), Phase("decay", 5, 10)) for name in "ab"
    ]
    areas = [
        one["markArea"]["data"]
        for one in options([Layer(curves)], 10, log=False, dark=False)["series"]
    ]
    assert [[begin["name"] for begin, _ in area] for area in areas] == [["warmup", "decay"], []]


@pytest.mark.parametrize(("kind", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_made_of_what_is_seen(kind: str, begin: bytes) -> None:
    seen = preview(data_with("cosine"), BASES).view
    draw = {"png": png_bytes, "svg": svg_bytes}[kind]
    assert draw(decoded(View, view_to_plain(seen)), dark=True, log=False).startswith(begin)


def test_values_are_taken_away_as_columns_and_never_as_formulas() -> None:
    seen = View(lines=(line("=1+1", "rate", [0.5, 1e-5]),))
    rows = list(csv.reader(io.StringIO(as_csv(drawn_rows(seen)))))
    assert rows == [["step", "target", "value"], ["0", "'=1+1", "0.5"], ["1", "'=1+1", "1e-05"]]


class Made:
    """Stands in for a scheduler: it keeps what it was given."""

    def __init__(self, optimizer: Any, given: Any, **more: Any) -> None:
        self.given, self.more = given, more


def made_by(code: str) -> Any:
    """Return what the code makes, with a scheduler that only keeps what it is given."""
    names: dict[str, Any] = {"optimizer": None}
    exec(code.replace("wd.Scheduler", "_Made"), {"_Made": Made, "wd": wd}, names)  # noqa: S102  # our own text
    return names["scheduler"].given


@given(plan=plans())
def test_the_python_of_a_plan_makes_that_plan(plan: wd.Plan) -> None:
    assert made_by(as_python(plan.to_dict())) == plan


@pytest.mark.parametrize(
    "entry", [entry for entry in catalogue() if entry.text], ids=lambda entry: entry.mark
)
def test_the_python_of_every_start_makes_its_plan(entry: GalleryEntry) -> None:
    plan = preview(read(entry.draft.document).data, {}).plan
    assert plan is not None
    assert made_by(as_python(plan.to_dict())) == plan


PLAIN: list[PlainData] = [
    {"kind": "constant", "value": 0.5},
    {"kind": "linear", "start": 0.1, "end": 0.9},
    {"kind": "cosine", "end": 0.1},
    {"kind": "polynomial", "power": 1.5},
    {"kind": "sqrt"},
    {"kind": "exponential", "end": 0.05},
    {"kind": "rex", "d": 0.9},
    {"kind": "exponential_decay", "gamma": 0.9, "every": 50},
    {"kind": "inverse_time", "every": 50},
    {"kind": "inverse_sqrt", "timescale": 100},
    {"kind": "power", "timescale": 50, "exponent": 0.7},
    {"kind": "staircase", "gamma": 0.5, "every": 100},
    {"kind": "milestones", "gamma": 0.5, "at": [100, "50%"]},
    {"kind": "warmup_cosine", "warmup": "7%", "end": 0.1},
    {"kind": "wsd", "shape": "linear"},
]
RISE = {"kind": "linear", "start": 0.0, "end": 1.0, "steps": "10%"}


def said_by_torch(data: PlainData) -> None:
    """Compare the code's factor with the plan's at every update."""
    plan = preview(data, {}).plan
    assert plan is not None
    names: dict[str, Any] = {"math": math}
    code = as_torch(data, plan).partition("\nscheduler")[0]
    code = code.replace("from torch.optim.lr_scheduler import LambdaLR", "")
    exec(code, names)  # noqa: S102 - the code that the page offers, for its values
    planned = plan.over().targets[0].rule.value(np.arange(1000), 1.0)
    np.testing.assert_allclose(
        [names["factor"](step) for step in range(1000)], planned, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("phases", [(), (RISE,)], ids=["alone", "after a warmup"])
@pytest.mark.parametrize("schedule", PLAIN, ids=lambda one: one["kind"])
def test_plain_torch_has_the_same_value_at_every_step(
    schedule: PlainData, phases: tuple[PlainData, ...]
) -> None:
    said_by_torch(data_with(*phases, schedule))


FOLLOWING = ("plateau", "greedy", "newbob")


@pytest.mark.parametrize("kind", [kind for kind in OURS if kind not in FOLLOWING])
def test_every_schedule_has_code_of_plain_torch(kind: str) -> None:
    shape = known_shapes()[kind]
    if not shape.drives_several and (preview(data_with(example_data(kind)), {}).plan is not None):
        said_by_torch(data_with(example_data(kind)))


def test_a_class_of_torch_is_taken_away_as_itself_with_numbers_for_placeholders() -> None:
    one = {
        "class_path": "torch.optim.lr_scheduler.MultiStepLR",
        "init_args": {"milestones": [50, "%TOTAL_STEPS% * 0.5"], "gamma": "5e-1"},
    }
    assert as_torch(data_with(one), None).endswith(
        "MultiStepLR(optimizer, milestones=[50, 500], gamma=0.5)\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        data_with("greedy"),
        data_with("cosine", batch_size={"set": "cosine"}),
        data_with({"kind": "noisy", "of": "cosine", "spread": 0.1}, steps=10**6),
    ],
)
def test_what_torch_cannot_say_is_told(data: PlainData) -> None:
    with pytest.raises(NoTorchCode):
        as_torch(data, preview(data, {}).plan)


EVIL = "x=1); import os; os.system('touch /tmp/pwned') #"


@pytest.mark.parametrize(
    "piece",
    [
        {"kind": "cosine", EVIL: 1},
        {"kind": "cosine()); import os #"},
        {"kind": "cosine", "end": "'); import os #", "name": "a'); import os #\n"},
        {"class_path": "torch.optim.x", "init_args": {EVIL: 1}},
        {"class_path": "os\nimport os #.x"},
    ],
)
def test_no_text_of_a_plan_becomes_other_code_than_a_text(piece: PlainData) -> None:
    writers: list[Callable[[PlainData], str]] = [as_python, lambda data: as_torch(data, None)]
    for write in writers:
        try:
            tree = ast.parse(write(data_with(piece)))
        except (ScheduleError, NoTorchCode):
            continue
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names <= {"wd", "plan", "scheduler", "optimizer"}
        assert sum(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree)) == 1


def test_groups_of_many_kinds_have_their_own_bases() -> None:
    document = {
        **document_from(data_with("cosine", steps=100, weight_decay="constant")),
        "groups": [{"name": "a", "lr": "1e-4", "weight_decay": "0.1"}, {"name": "b", "lr": "1e-3"}],
    }
    found = read(document)
    labels = [curve.label for curve in preview(found.data, found.bases).view.lines]
    assert labels == ["lr/a", "lr/b", "weight_decay/a"]


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"])
def test_what_a_link_gives_as_a_groups_base_stays_in_the_files_comment(end: str) -> None:
    evil = f"{end}lr: {{class_path: evil.Class}}{end}"
    group = {"name": f"a{evil}" + "a" * 200, "lr": f"0.1{evil}", evil: "1"}
    text = saved_text(Draft({"plan": {"lr": "cosine"}, "groups": [group], "loader": {}}), "a.yaml")
    assert len(text.splitlines()) == 2
    assert from_yaml(text).data == {"lr": "cosine"}


@pytest.mark.parametrize(
    "change",
    [{"text": 5}, {"labels": "lr"}, {"rows": [[1, "start"]]}, {"findings": [{}]}, {"more": ""}],
)
def test_what_another_process_gives_is_refused_where_it_is_of_another_type(change: Any) -> None:
    assert decoded(Summary, asdict(Summary())) == Summary()
    with pytest.raises((ValueError, KeyError)):
        decoded(Summary, {**asdict(Summary()), **change})


def test_an_argument_of_many_parts_is_code_and_a_class_beside_others_has_none() -> None:
    path = "torch.optim.lr_scheduler.X"
    inside = {"class_path": "a.b.Inner", "init_args": {"n": 2}}
    arguments = {"shape": {"a": [1, "x"]}, "most": float("inf"), "inner": inside}
    one = {"class_path": path, "init_args": arguments}
    code = as_torch(data_with(one), None)
    assert code.endswith(
        "X(optimizer, shape={'a': [1, 'x']}, most=float('inf'), inner=Inner(optimizer, n=2))\n"
    )
    assert "from a.b import Inner\n" in code
    assert (is_one_class(data_with(one)), is_one_class(data_with(one, "cosine"))) == (True, False)
    with pytest.raises(NoTorchCode, match="has to be turned into a schedule first"):
        as_torch(data_with(one, "cosine"), None)
    bad = {**one, "init_args": {"gamma": "%NO%"}}
    with pytest.raises(NoTorchCode, match="%NO%"):
        as_torch(data_with(bad), None)


def test_findings_about_an_end_or_a_pattern_stand_at_their_fields() -> None:
    run = {"total_steps": 100}
    groups = {"groups": {"*": {"kind": "cosine"}, "head": {"kind": "linear"}}}
    assert "plan.lr.groups.head.@groups" in warned({"run": run, "lr": groups})
    early = [{"kind": "constant", "steps": 10}, {"kind": "cosine", "steps": 20}]
    assert warned({"run": run, "lr": early})["plan.lr[1].steps"].startswith("its decay ends at")
