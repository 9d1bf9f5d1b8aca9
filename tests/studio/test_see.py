"""What is shown of a plan: curves, words, the field a finding is about, texts to take away."""

from __future__ import annotations

import ast
import csv
import io
import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from tests.strategies import plans

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.planfile.text import from_yaml
from warmdown.studio.draft.fields import shapes
from warmdown.studio.draft.opening import draft_of
from warmdown.studio.draft.pieces import FOREIGN, Draft, Group, Piece, RunTexts, Track
from warmdown.studio.draft.presets import PRESETS, Preset
from warmdown.studio.draft.writing import written
from warmdown.studio.preview.chart import Layer, moved, options
from warmdown.studio.preview.export import as_csv, as_picture, as_python, as_yaml
from warmdown.studio.preview.look import Curve, Look, Told
from warmdown.studio.preview.resolved import resolved
from warmdown.studio.preview.seeing import see, tell_of
from warmdown.studio.preview.spans import placed, spans
from warmdown.studio.preview.torch_code import CannotSay, as_torch

BASES = {"unet": {"lr": 1e-4}, "embedding": {"lr": 1e-3}}


def draft_with(*phases: Piece, steps: int = 1000, **track: Any) -> Draft:
    """Return a draft of one track."""
    return Draft(run=RunTexts(total_steps=str(steps)), tracks=(Track(phases=phases, **track),))


def test_there_is_a_curve_for_each_group_from_its_base() -> None:
    scene = see(written(draft_with(Piece("cosine"))).data, BASES)
    assert [curve.label for curve in scene.look.curves] == ["lr/unet", "lr/embedding"]
    assert [curve.points[0][1] for curve in scene.look.curves] == [1e-4, 1e-3]


def test_the_area_is_that_under_the_curve() -> None:
    scene = see(written(draft_with(Piece("linear"))).data, {"": {"lr": 2.0}})
    assert scene.look.curves[0].area == pytest.approx(1000.0)


@pytest.mark.parametrize("steps", [1, 700, 10**6, 10**12])
def test_a_curve_has_a_bounded_number_of_points_whatever_the_run(steps: int) -> None:
    scene = see(written(draft_with(Piece("cosine"), steps=steps)).data, {})
    assert 1 < len(scene.look.curves[0].points) <= 1000
    assert scene.look.stop == steps


def test_ten_thousand_phases_are_read_or_refused_within_seconds() -> None:
    began = perf_counter()
    scene = see(
        {"run": {"total_steps": 10**6}, "lr": [{"kind": "linear", "steps": 100}] * 10_000}, {}
    )
    assert scene.look.curves or scene.look.mistakes
    assert perf_counter() - began < 20


@pytest.mark.parametrize("pattern", ["(a+)+$", "*a*a*a*a*a*a*a*a*a*a*b", "[" * 1000])
def test_a_pattern_that_takes_ages_in_other_places_takes_no_time_here(pattern: str) -> None:
    began = perf_counter()
    groups = {"a" * 200: {"lr": 1.0}}
    see(
        {
            "run": {"total_steps": 10},
            "lr": {"groups": {pattern: {"kind": "cosine"}, "*": {"kind": "linear"}}},
        },
        groups,
    )
    see({"run": {"total_steps": 10}, "lr": {"kind": "cosine", "steps": "1" * 100_000}}, groups)
    assert perf_counter() - began < 2


def test_every_mistake_is_told_with_its_path() -> None:
    data = written(
        draft_with(Piece("cosine", (("k", "-1"),)), Piece("linear", (("end", "x"), ("foo", "1"))))
    ).data
    told = see(data, {}).look.mistakes
    assert {mistake.partition(": ")[0] for mistake in told} == {"lr[0]", "lr[1].end", "lr[1].foo"}


def test_what_is_seen_comes_over_from_another_process_unchanged() -> None:
    scene = see(
        written(draft_with(Piece("cosine"), Piece("linear", (("steps", "10%"),)))).data, BASES
    )
    told = tell_of(scene)
    assert Look.from_dict(scene.look.to_dict()) == scene.look
    assert Told.from_dict(told.to_dict()) == told


def warned(draft: Draft) -> dict[str, str]:
    """Return what is said beside which field."""
    scene = see(written(draft).data, {"": {"lr": 1e-3}})
    assert scene.plan is not None
    return placed(tell_of(scene).findings, draft, scene.plan)


def test_a_jump_is_told_at_the_field_where_the_phase_begins() -> None:
    draft = draft_with(
        Piece("linear", (("start", "0.01"), ("end", "1"), ("steps", "10%"))),
        Piece("cosine", (("start", "0.5"),)),
    )
    assert "t0.p1.start" in warned(draft)


def test_a_negative_end_is_told_at_the_end() -> None:
    assert "t0.p0.end" in warned(draft_with(Piece("linear", (("end", "-1"),))))


def test_a_long_warmup_is_told_at_the_warmup() -> None:
    assert "t0.warmup" in warned(draft_with(Piece("cosine"), warmup="80%"))


def test_a_run_without_a_length_is_told_at_its_length() -> None:
    assert "run.total_steps" in warned(Draft(tracks=(Track(phases=(Piece("cosine"),)),)))


def test_each_phase_knows_when_it_is_whether_it_is_a_shape_or_a_recipe() -> None:
    draft = draft_with(
        Piece("wsd", (("warmup", "100"), ("decay", "100"))),
        Piece("constant", (("steps", "200"),)),
        warmup="10",
    )
    scene = see(written(draft).data, {})
    assert scene.plan is not None
    assert spans(draft.tracks[0], scene.plan) == {0: (10, 800), 1: (800, 1000)}


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
    curve = Curve(evil, evil, [[0.0, 1.0], [1.0, 2.0]], [(evil, 0, 1)])
    option = options([Layer([curve], evil)], 1, log=False, dark=False)
    assert [key for key in keys_in(option) if key.startswith(":")] == []
    assert option["tooltip"]["renderMode"] == "richText"


def keys_in(data: Any) -> list[str]:
    """Return every key at any depth."""
    if isinstance(data, dict):
        return [*data, *(key for value in data.values() for key in keys_in(value))]
    return [key for value in data for key in keys_in(value)] if isinstance(data, list) else []


def test_each_unit_has_a_panel_and_a_logarithm_leaves_out_what_it_cannot_show() -> None:
    curves = [Curve("lr", "rate", [[0.0, 0.0], [1.0, 2.0]]), Curve("wd", "decay", [[0.0, 1.0]])]
    option = options([Layer(curves)], 1, log=True, dark=True)
    assert [len(option[name]) for name in ("grid", "xAxis", "yAxis")] == [2, 2, 2]
    assert option["series"][0]["data"] == [[0.0, None], [1.0, 2.0]]
    assert set(moved(option)) == {"series", "xAxis"}


def test_phases_are_shaded_once_for_each_panel() -> None:
    curves = [
        Curve(name, "rate", [[0.0, 1.0]], [("warmup", 0, 5), ("decay", 5, 10)]) for name in "ab"
    ]
    areas = [
        one["markArea"]["data"]
        for one in options([Layer(curves)], 10, log=False, dark=False)["series"]
    ]
    assert [[begin["name"] for begin, _ in area] for area in areas] == [["warmup", "decay"], []]


@pytest.mark.parametrize(("kind", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_made_of_what_is_seen(kind: str, begin: bytes) -> None:
    look = see(written(draft_with(Piece("cosine"))).data, BASES).look
    assert as_picture(look, kind, dark=True, log=False).startswith(begin)


def test_values_are_taken_away_as_columns_and_never_as_formulas() -> None:
    look = Look((Curve("=1+1", "rate", [[0.0, 0.5], [1.0, 1e-5]]),), 1)
    rows = list(csv.reader(io.StringIO(as_csv(look))))
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
    assert made_by(as_python(draft_of(plan.to_dict()))) == plan


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.title)
def test_the_python_of_every_situation_makes_its_plan(preset: Preset) -> None:
    if preset.draft.foreign():
        assert "wd.External" in as_python(preset.draft)
    else:
        assert made_by(as_python(preset.draft)) == see(written(preset.draft).data, {}).plan


PLAIN = [
    Piece("constant", (("value", "0.5"),)),
    Piece("linear", (("start", "0.1"), ("end", "0.9"))),
    Piece("cosine", (("end", "0.1"),)),
    Piece("polynomial", (("power", "1.5"),)),
    Piece("sqrt"),
    Piece("exponential", (("end", "0.05"),)),
    Piece("rex", (("d", "0.9"),)),
    Piece("exponential_decay", (("gamma", "0.9"), ("every", "50"))),
    Piece("inverse_time", (("every", "50"),)),
    Piece("inverse_sqrt", (("timescale", "100"),)),
    Piece("power", (("timescale", "50"), ("exponent", "0.7"))),
    Piece("staircase", (("gamma", "0.5"), ("every", "100"))),
    Piece("milestones", (("gamma", "0.5"), ("at", "100, 50%"))),
    Piece("warmup_cosine", (("warmup", "7%"), ("end", "0.1"))),
    Piece("wsd", (("shape", "linear"),)),
]


SAID = [
    (piece, warmup)
    for piece in PLAIN
    for warmup in ("", "10%")
    if not (warmup and shapes()[piece.kind].is_recipe)
]


@pytest.mark.parametrize(("piece", "warmup"), SAID, ids=lambda given: getattr(given, "kind", given))
def test_plain_torch_says_the_same_at_every_step(piece: Piece, warmup: str) -> None:
    draft = draft_with(piece, warmup=warmup)
    plan = see(written(draft).data, {}).plan
    assert plan is not None
    names: dict[str, Any] = {"math": math}
    code = as_torch(draft, plan).partition("\nscheduler")[0]
    code = code.replace("from torch.optim.lr_scheduler import LambdaLR", "")
    exec(code, names)  # noqa: S102 - the code that the page offers, for its values
    planned = plan.over().targets[0].rule.value(np.arange(1000), 1.0)
    np.testing.assert_allclose(
        [names["factor"](step) for step in range(1000)], planned, rtol=1e-9, atol=1e-12
    )


def test_a_class_of_torch_is_taken_away_as_itself() -> None:
    piece = Piece(
        FOREIGN,
        (("milestones", "50, 100"), ("gamma", "0.5")),
        path="torch.optim.lr_scheduler.MultiStepLR",
    )
    assert as_torch(draft_with(piece), None).endswith(
        "MultiStepLR(optimizer, milestones=[50, 100], gamma=0.5)\n"
    )


@pytest.mark.parametrize(
    "draft",
    [
        draft_with(Piece("tanh")),
        draft_with(Piece("cosine", (("k", "2"),))),
        draft_with(Piece("cosine"), meaning="set"),
        draft_with(Piece("cosine"), low="1e-6"),
        Draft(
            tracks=(Track(phases=(Piece("cosine"),)), Track("momentum", phases=(Piece("cosine"),)))
        ),
    ],
)
def test_what_torch_cannot_say_is_told(draft: Draft) -> None:
    with pytest.raises(CannotSay):
        as_torch(draft, see({**written(draft).data, "run": {"total_steps": 100}}, {}).plan)


EVIL = "x=1); import os; os.system('touch /tmp/pwned') #"


@pytest.mark.parametrize(
    "piece",
    [
        Piece("cosine", ((EVIL, "1"),)),
        Piece("cosine()); import os #"),
        Piece("cosine", (("end", "'); import os #"),), name="a'); import os #\n"),
        Piece(FOREIGN, ((EVIL, "1"),), path="torch.optim.x"),
        Piece(FOREIGN, (), path="os\nimport os #.x"),
    ],
)
def test_no_text_of_a_plan_becomes_other_code_than_a_text(piece: Piece) -> None:
    writers: list[Callable[[Draft], str]] = [as_python, lambda draft: as_torch(draft, None)]
    for write in writers:
        try:
            tree = ast.parse(write(draft_with(piece)))
        except (ScheduleError, CannotSay):
            continue
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names <= {"wd", "plan", "scheduler", "optimizer"}
        assert sum(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree)) == 1


def test_groups_of_many_kinds_have_their_own_bases() -> None:
    groups = (Group("a", (("lr", "1e-4"), ("weight_decay", "0.1"))), Group("b", (("lr", "1e-3"),)))
    tracks = (Track(phases=(Piece("cosine"),)), Track("weight_decay", phases=(Piece("constant"),)))
    draft = Draft(run=RunTexts(total_steps="100"), groups=groups, tracks=tracks)
    bases = {group.name: {name: float(text) for name, text in group.bases} for group in groups}
    labels = [curve.label for curve in see(written(draft).data, bases).look.curves]
    assert labels == ["lr/a", "lr/b", "weight_decay/a"]


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"])
def test_what_a_link_gives_as_a_groups_base_stays_in_the_files_comment(end: str) -> None:
    evil = f"{end}lr: {{class_path: evil.Class}}{end}"
    draft = Draft(groups=(Group(f"a{evil}" + "a" * 200, (("lr", f"0.1{evil}"), (evil, "1"))),))
    assert len(as_yaml(draft).splitlines()) == 2
    assert from_yaml(as_yaml(draft)).data == {}
