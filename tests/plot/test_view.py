"""What a picture shows of what was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warmdown as wd
from warmdown.plot.view import view

RUN = wd.Run(total_steps=1000, lr=3e-4)
ONE_CYCLE: dict[str, Any] = dict(wd.one_cycle())
RECIPE = wd.warmup_cosine(end=0.1)


def recorded(factor: float = 1.0) -> wd.Record:
    record = wd.Record()
    settled = RECIPE.over(RUN)
    for step in range(1000):
        record.add(step, "lr/body", settled(step) * 1e-4 * factor)
        record.add(step, "lr/head", settled(step) * 1e-3, "rescale(0.5)" if step == 700 else "")
        record.add(step, "loss", 1.0 / (1 + step))
    return record


def test_a_schedule_drives_the_learning_rate_of_the_run() -> None:
    scene = view(RECIPE, run=RUN)
    assert [(panel.unit, [line.label for line in panel.lines]) for panel in scene.panels] == [
        ("learning rate", ["lr"])
    ]
    assert np.max(scene.lines[0].values) == 3e-4
    assert scene.stop == 1000


def test_a_factor_whose_base_nobody_knows_says_so() -> None:
    assert view(RECIPE, run=wd.Run(total_steps=10)).panels[0].unit == "learning rate (× base)"


def test_numbers_of_one_unit_share_a_panel_and_others_do_not() -> None:
    plan = wd.Plan.of(
        lr={"head": wd.Linear(), "*": RECIPE},
        weight_decay=wd.Set(wd.Constant(value=0.05)),
        kl_weight=wd.Set(wd.Linear(start=0.0, end=1.0)),
        run=RUN,
    )
    assert [(panel.unit, len(panel.lines)) for panel in view(plan).panels] == [
        ("learning rate", 2),
        ("weight decay", 1),
        ("kl weight", 1),
    ]


def test_the_targets_of_one_cycle_are_drawn_as_they_are() -> None:
    assert [panel.unit for panel in view(wd.one_cycle(), run=RUN).panels] == [
        "learning rate",
        "momentum",
    ]


def test_candidates_by_name_are_compared_in_one_panel() -> None:
    scene = view({"cosine": RECIPE, "wsd": wd.wsd()}, run=RUN)
    assert [line.label for line in scene.panels[0].lines] == ["cosine", "wsd"]
    assert len(scene.panels) == 1


def test_plans_by_name_are_compared_target_by_target() -> None:
    one = wd.Plan.of(**ONE_CYCLE, run=RUN)
    other = wd.Plan.of(lr=RECIPE, run=RUN)
    labels = [[line.label for line in panel.lines] for panel in view({"a": one, "b": other}).panels]
    assert labels == [["a: lr", "b: lr"], ["a: momentum"]]


def test_each_group_has_its_own_line_at_its_own_base() -> None:
    steps = wd.Milestones(gamma=0.5, at=(50, 100, 150))
    scene = view(steps, groups={"unet": 1e-4, "embedding": {"lr": 1e-3}})
    assert {line.label: line.values[0] for line in scene.lines} == {
        "lr/unet": 1e-4,
        "lr/embedding": 1e-3,
    }


def test_groups_that_differ_by_their_base_share_their_points_and_every_value_is_the_rules() -> None:
    plan = wd.Plan.of(lr=wd.wsd(), weight_decay=wd.Scale(wd.Cosine(), low=0.01), run=RUN)
    groups = {"a": {"lr": 1e-4, "weight_decay": 0.1}, "b": {"lr": 7e-3, "weight_decay": 0.02}}
    lines = view(plan, groups=groups).lines
    assert [line.label for line in lines[:2]] == ["lr/a", "lr/b"]
    assert lines[0].steps is lines[1].steps
    for line in lines:
        assert line.value is not None
        assert line.values.tolist() == np.asarray(line.value(line.steps)).tolist()


def test_the_first_target_that_fits_a_group_counts() -> None:
    plan = wd.Plan.of(lr={"dec.*": wd.Constant(value=0.5), "*": wd.Constant(value=1.0)}, run=RUN)
    scene = view(plan, groups={"dec.3": 1.0, "enc": 1.0})
    assert {line.label: line.values[0] for line in scene.lines} == {"lr/dec.3": 0.5, "lr/enc": 1.0}


def test_a_group_is_found_by_its_place_too() -> None:
    plan = wd.Plan.of(lr={1: wd.Constant(value=0.5), "*": wd.Constant(value=1.0)}, run=RUN)
    scene = view(plan, groups={"body": 1.0, "head": 1.0})
    assert {line.label: line.values[0] for line in scene.lines} == {"lr/body": 1.0, "lr/head": 0.5}


def test_phases_are_those_inside_the_run_and_what_is_held_after_them() -> None:
    phases = view(wd.Linear(start=0.0, end=1.0, steps=50).named("warmup"), run=RUN).lines[0].phases
    assert [(phase.name, phase.start, phase.stop) for phase in phases] == [
        ("warmup", 0, 50),
        ("held", 50, 1000),
    ]


def test_lines_with_different_phases_share_none() -> None:
    assert view({"cosine": RECIPE, "wsd": wd.wsd()}, run=RUN).panels[0].phases == ()
    assert len(view({"one": RECIPE, "two": RECIPE.scale(0.5)}, run=RUN).panels[0].phases) == 2


@pytest.mark.parametrize(
    ("schedule", "stop", "told"),
    [
        (RECIPE, 1000, True),
        (wd.Linear(steps=40), 40, False),
        (wd.Linear(start=0.0, end=1.0, steps=2000) >> wd.Cosine(), 6000, True),
        (wd.InverseSqrt(timescale=500), 1500, True),
        (wd.Constant(value=1.0), 1000, True),
    ],
)
def test_a_run_without_a_length_is_given_one_that_shows_the_schedule(
    schedule: wd.Schedule, stop: int, told: bool
) -> None:
    scene = view(schedule)
    assert scene.stop == stop
    assert bool(scene.notes) is told


def test_a_unit_that_nobody_can_measure_is_an_error_that_names_the_fact() -> None:
    with pytest.raises(wd.RunError, match="tokens_per_step"):
        view(wd.warmup_cosine(warmup="2e9tok"))


def test_phases_longer_than_the_run_are_an_error_that_shows_the_numbers() -> None:
    with pytest.raises(wd.ScheduleError, match="2000"):
        view(wd.warmup_cosine(warmup=2000), run=RUN)


def test_what_is_no_schedule_is_refused_with_what_can_be_drawn() -> None:
    with pytest.raises(wd.ScheduleError, match="Give a plan, a schedule, a record"):
        view(3.0)  # type: ignore[arg-type]
    with pytest.raises(wd.ScheduleError, match="nothing to draw"):
        view(wd.Record())


def test_steps_are_named_by_the_clock() -> None:
    run = wd.Run(budget="1e6tok", tokens_per_step=1000, clock="tokens")
    scene = view(wd.warmup_cosine(), run=run)
    assert (scene.x, scene.stop) == ("tokens", 1_000_000)


def test_what_was_recorded_stands_beside_what_was_planned_at_the_base_it_had() -> None:
    scene = view(wd.Plan.of(lr=RECIPE, run=wd.Run(total_steps=1000)), record=recorded())
    rate, loss = scene.panels
    assert [line.label for line in rate.lines] == [
        "lr/body",
        "lr/head",
        "lr/body (recorded)",
        "lr/head (recorded)",
    ]
    assert [line.values[50] for line in rate.lines] == pytest.approx([1e-4, 1e-3, 1e-4, 1e-3])
    assert [line.label for line in loss.lines] == ["loss"]


def test_a_record_alone_shows_its_numbers_events_and_phases() -> None:
    record = recorded()
    record.add(0, "phase", 0, "warmup")
    record.add(50, "phase", 1, "decay")
    scene = view(record)
    assert [panel.unit for panel in scene.panels] == ["learning rate", "loss"]
    assert [(mark.step, mark.text) for mark in scene.marks] == [(700, "rescale(0.5)")]
    assert [(phase.name, phase.start, phase.stop) for phase in scene.panels[1].phases] == [
        ("warmup", 0, 50),
        ("decay", 50, 999),
    ]


def test_a_loss_that_was_no_number_is_told_and_left_out() -> None:
    record = wd.Record()
    for step, loss in enumerate([1.0, float("nan"), float("inf"), 0.5]):
        record.add(step, "loss", loss)
    scene = view(record)
    assert scene.notes == ("loss: not finite 2 times, first at 1.",)
    assert scene.lines[0].values.tolist() == [1.0, 0.5]


def test_a_loss_that_falls_through_decades_is_read_by_them_and_a_rate_is_not() -> None:
    record = wd.Record()
    for step in range(50):
        record.add(step, "lr", 0.1 * 0.8**step)
        record.add(step, "loss", 2.0 * 0.8**step)
    rate, loss = view(record).panels
    assert (rate.spans_decades, loss.spans_decades) == (False, True)


@pytest.mark.parametrize(
    "schedule",
    [
        wd.ExponentialDecay(gamma=2.0),
        wd.Linear(start=1e308, end=-1e308),
        wd.Staircase(gamma=1e300, every=1),
    ],
)
def test_values_too_large_for_an_axis_are_refused_with_the_step(schedule: wd.Schedule) -> None:
    with pytest.raises(
        wd.ScheduleError,
        match=r"plot: lr is .* at update [\d,]+: too large to "
        r"draw",
    ):
        view(schedule, run=wd.Run(total_steps=10_000))


def test_a_run_has_one_colour_in_every_panel_and_a_dash_for_each_split() -> None:
    runs = {name: wd.Record() for name in ("first", "second")}
    for record in runs.values():
        for step in range(5):
            for target in ("lr", "loss", "val_loss"):
                record.add(step, target, 1.0 + step)
    scene = view({**runs})
    rate, loss = (scene.strokes(panel) for panel in scene.panels)
    assert [stroke.hue for stroke in rate] == [0, 1]
    assert [(stroke.hue, stroke.dash) for stroke in loss] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_plan_stands_faint_behind_its_own_record_in_its_colour() -> None:
    record = wd.Record()
    for step in range(10):
        record.add(step, "lr/0", 0.1)
        record.add(step, "lr/1", 0.2)
    plan = wd.Plan.of(lr=wd.Constant(1.0), run=wd.Run(total_steps=10))
    scene = view(plan, record=record)
    (panel,) = scene.panels
    strokes = {
        line.label: stroke for line, stroke in zip(panel.lines, scene.strokes(panel), strict=True)
    }
    assert strokes["lr/1"].is_faint
    assert not strokes["lr/1 (recorded)"].is_faint
    assert strokes["lr/1"].hue == strokes["lr/1 (recorded)"].hue != strokes["lr/0"].hue


@pytest.mark.parametrize("name", ["run", "kind", "class_path"])
def test_a_record_may_have_the_name_of_a_key_of_plan_data(name: str) -> None:
    scene = view({name: recorded()})
    assert [line.label for line in scene.lines] == ["lr/body", "lr/head", "loss"]
    assert view({name: wd.Cosine(steps=9)}).lines[0].label == name
    data: Any = {"run": {"total_steps": 7}, "lr": {"kind": "cosine"}}
    assert view(data).stop == 7
