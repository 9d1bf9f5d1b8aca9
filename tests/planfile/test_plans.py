"""Plain data, text and files to plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.strategies import plans

import warmdown as wd
from warmdown.errors import SpecError
from warmdown.planfile import from_yaml, merge_run_facts, run_from_dict

DESIGN = """
run: {total_steps: 10000, steps_per_epoch: 500}
lr:
  - {kind: linear, start: 0.0, end: 1.0, steps: 5%}
  - {kind: cosine, end: 0.1}
weight_decay: {set: {kind: constant, value: 0.05}}
"""

BETAS: Any = {"betas[0]": wd.Set(wd.Constant(value=0.9))}
ONE_CYCLE: Any = wd.one_cycle(max_lr=0.1)


def test_the_plan_of_the_documentation_is_read() -> None:
    assert wd.loads(DESIGN) == wd.Plan.of(
        lr=wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Cosine(end=0.1),
        weight_decay=wd.Set(wd.Constant(value=0.05)),
        run=wd.Run(total_steps=10_000, steps_per_epoch=500),
    )


@given(plans())
def test_a_plan_is_the_same_after_a_journey_through_dict_json_and_yaml(plan: wd.Plan) -> None:
    assert wd.plan_from_dict(plan.to_dict()) == plan
    assert wd.plan_from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert wd.loads(wd.dumps(plan)) == plan


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("lr: cosine", wd.Plan.of(lr=wd.Cosine())),
        ("kind: cosine\nend: 0.1", wd.Plan.of(lr=wd.Cosine(end=0.1))),
        ("[linear, cosine]", wd.Plan.of(lr=wd.Linear() >> wd.Cosine())),
        ("wsd", wd.Plan.of(lr=wd.wsd())),
        (
            "kind: cosine\nrun: {total_steps: 5}\nafter_end: raise",
            wd.Plan.of(lr=wd.Cosine(), run=wd.Run(total_steps=5), after_end="raise"),
        ),
        ("lr: cosine\ncount: attempts", wd.Plan.of(lr=wd.Cosine(), count="attempts")),
        ("lr: {set: 3e-4}", wd.Plan.of(lr=wd.Set(wd.Constant(value=3e-4)))),
        ("lr: {scale: 0.5}", wd.Plan.of(lr=wd.Constant(value=0.5))),
        (
            "lr: {scale: cosine, offset: 1e-5, low: 1e-6}",
            wd.Plan.of(lr=wd.Scale(wd.Cosine(), offset=wd.Constant(value=1e-5), low=1e-6)),
        ),
        (
            "lr: {groups: {head: cosine, 0: {set: 1}, '*': linear}}",
            wd.Plan.of(
                lr={"head": wd.Cosine(), "0": wd.Set(wd.Constant(value=1.0)), "*": wd.Linear()}
            ),
        ),
        ("betas[0]: {set: 0.9}", wd.Plan.of(**BETAS)),
        ("targets: {kind: one_cycle, max_lr: 0.1}", wd.Plan.of(**ONE_CYCLE)),
        (
            "run: {total_steps: 1e4, lr: 1e-3}\nlr: linear",
            wd.Plan.of(lr=wd.Linear(), run=wd.Run(total_steps=10000, lr=1e-3)),
        ),
        (
            "run: {epochs: 2, steps_per_epoch: 50}\nlr: {kind: linear, steps: '%TOTAL_STEPS% // "
            "3'}",
            wd.Plan.of(lr=wd.Linear(steps=33), run=wd.Run(epochs=2, steps_per_epoch=50)),
        ),
        (
            "run: {clock: tokens, budget: 2e9tok, tokens_per_step: 1e6}\nlr: linear",
            wd.Plan.of(
                lr=wd.Linear(), run=wd.Run(clock="tokens", budget="2e9tok", tokens_per_step=1e6)
            ),
        ),
    ],
)
def test_short_forms_say_what_long_ones_say(text: str, plan: wd.Plan) -> None:
    assert wd.loads(text) == plan


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["a plan is a mapping, like lr: {kind: cosine}; this is nothing."]),
        ("5", ["a plan is a mapping"]),
        ("{}", ["nothing is scheduled. Give a target"]),
        ("run: {total_steps: 5}", ["nothing is scheduled. Give a target"]),
        (
            "lr: 3e-4",
            [
                "lr: 3e-4 alone could mean two things. {set: 3e-4} is the value itself, "
                "{scale: 3e-4} a factor"
            ],
        ),
        ("lr: 0.1", ["lr: 0.1 alone could mean two things."]),
        ("lr: '%LR%'\nrun: {lr: 1}", ["lr: %LR% alone could mean two things."]),
        ("lr:", ["lr: nothing stands here."]),
        (
            "lr: cosine\ntargets: {kind: one_cycle}",
            [
                "targets: drives lr, which stands in the plan by itself too. Leave one of the two "
                "out."
            ],
        ),
        ("lr: {set: 1, low: 2}", ["lr.low: stands beside set, which says everything."]),
        ("lr: {low: 2}", ["lr: has no scale."]),
        ("lr: {scale: 1, of: 2}", ["lr.of: a scale has no 'of'."]),
        ("lr: {groups: {}}", ["lr.groups: patterns are needed"]),
        ("lr: {groups: [1]}", ["lr.groups: patterns are needed"]),
        (
            "lr: {groups: {head: {kind: x}}, rest: 1}",
            ["lr.rest: stands beside groups.", "lr.groups.head.kind: there is no"],
        ),
        (
            "lr: {kind: one_cycle}",
            ["lr: this drives lr and momentum. Write it at the top of the plan"],
        ),
        ("lr: cosine\nafter_end: stop", ["after_end: one of hold, raise is needed, not 'stop'."]),
        ("lr: cosine\ncount: 5", ["count: one of updates, attempts is needed, not 5."]),
        ("run: [1]\nlr: {kind: x}", ["run: facts are needed", "lr.kind: there is no shape 'x'."]),
        (
            "run: {total_step: 5, epochs: 0.5, lr: x, clock: hours}\nlr: {kind: linear, stps: "
            "5}\nwd: 1",
            [
                "run.total_step: a run has no 'total_step'. Did you mean 'total_steps'?",
                "run.epochs: a whole number is needed, not 0.5.",
                "run.lr: 'x': not a number.",
                "run.clock: one of updates, samples, tokens, seconds is needed, not 'hours'.",
                "lr.stps: Linear has no 'stps'. Did you mean 'steps'?",
                "wd: 1 alone could mean two things.",
            ],
        ),
        (
            "run: {total_steps: 0}\nlr: cosine",
            ["run: Run(total_steps=0): a whole number of at least 1 is needed."],
        ),
        ("run: {total_steps: -5}\nlr: cosine", ["run: Run(total_steps=-5)"]),
        ("run: {budget: soon}\nlr: cosine", ["run: 'soon': not a duration."]),
        (
            "run: {total_steps: 50, epochs: 2, steps_per_epoch: 5}\nlr: {kind: linear, x: '%LR%'}",
            [
                "run: Run(total_steps=50, epochs=2, steps_per_epoch=5): 2 epochs",
                "lr.x: Linear has no 'x'.",
            ],
        ),
    ],
)
def test_every_mistake_is_told_with_its_path(text: str, mistakes: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        wd.loads(text)
    found = caught.value.mistakes
    assert [told[: len(said)] for told, said in zip(found, mistakes, strict=False)] == mistakes
    assert len(found) == len(mistakes)


def test_a_file_is_told_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("run: {total_steps: 10}\nlr:\n- kind: linear\n  stps: 5\n- {kind: noam}\n")
    with pytest.raises(SpecError) as caught:
        wd.load(path)
    assert [mistake.split(": ")[0] for mistake in caught.value.mistakes] == [
        f"{path}:4",
        f"{path}:5",
    ]


def test_a_file_that_is_no_yaml_at_all_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("lr: [")
    with pytest.raises(SpecError, match=r"plan\.yaml: line 2, column 1: not YAML"):
        wd.load(tmp_path / "plan.yaml")
    with pytest.raises(SpecError, match=r"none\.yaml: cannot be read"):
        wd.load(tmp_path / "none.yaml")


def test_a_file_that_ends_in_json_is_json(tmp_path: Path) -> None:
    plan = wd.loads(DESIGN)
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_dict()))
    assert wd.load(tmp_path / "plan.json") == plan
    (tmp_path / "plan.json").write_text(DESIGN)
    with pytest.raises(SpecError, match=r"plan\.json: not JSON"):
        wd.load(tmp_path / "plan.json")


def test_facts_of_the_caller_go_before_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "run: {epochs: 3, steps_per_epoch: 10, lr: 0.5}\nlr: {kind: linear, steps: '%TOTAL_STEPS%'}"
    )
    assert wd.load(path, run=wd.Run(total_steps=77)).targets[0].rule.schedules()[0] == wd.Linear(
        steps=77
    )
    assert wd.load(path, run=wd.Run(total_steps=77)).run == wd.Run(
        total_steps=77, steps_per_epoch=10, lr=0.5
    )


@pytest.mark.parametrize(
    ("own", "given", "length"),
    [
        ({"epochs": 3, "steps_per_epoch": 10}, {"total_steps": 77}, 77),
        ({"epochs": 3, "steps_per_epoch": 10, "total_steps": 30}, {"epochs": 5}, 50),
        ({"epochs": 3, "steps_per_epoch": 10, "total_steps": 30}, {"steps_per_epoch": 20}, 60),
        ({"total_steps": 30}, {"epochs": 5, "steps_per_epoch": 2}, 10),
        ({"budget": "2h", "seconds_per_step": 1}, {"total_steps": 30}, 30),
        ({"total_steps": 30}, {"lr": 1.0}, 30),
    ],
)
def test_a_length_that_is_given_replaces_every_length_of_the_file(
    own: Any, given: Any, length: int
) -> None:
    assert wd.Run(**merge_run_facts(own, given)).length == length


def test_changes_go_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(DESIGN)
    plan = wd.load(tmp_path / "plan.yaml", changes={"lr[1].end": 0.5, "weight_decay.set": 0.1})
    assert plan.to_dict()["lr"]["members"][1] == {"kind": "cosine", "end": 0.5}
    assert plan.to_dict()["weight_decay"] == {"set": {"kind": "constant", "value": 0.1}}
    with pytest.raises(SpecError, match=r"plan\.yaml.*lr\[7\]"):
        wd.load(tmp_path / "plan.yaml", changes={"lr[7].end": 0.5})


def test_a_run_may_be_written_in_texts() -> None:
    assert run_from_dict({"total_steps": "1e4", "lr": "3e-4"}) == wd.Run(
        total_steps=10_000, lr=3e-4
    )
    with pytest.raises(SpecError, match=r"run\.total_steps: a whole number is needed, not '1\.5'"):
        run_from_dict({"total_steps": "1.5"})


def test_yaml_is_read_into_an_equal_plan_whatever_the_spelling_of_numbers() -> None:
    texts = ("1e-4", "1.0e-4", "0.0001", "'1e-4'", "1E-4", "+1e-4", ".0001", "1 / 10000")
    assert len({wd.loads(f"lr: {{kind: cosine, end: {text}}}") for text in texts}) == 1


def test_yaml_anchors_are_refused_in_a_plan() -> None:
    with pytest.raises(SpecError, match="anchors and aliases"):
        wd.loads("lr: &a cosine\nweight_decay: *a")


def test_the_journey_keeps_names_that_look_like_something_else() -> None:
    for name in (
        "1e3",
        "5%",
        "no",
        "null",
        "1.0",
        "a: b",
        "- x",
        "ünï",
        "~",
        "0100",
        "1:30",
        "#1",
        " x",
    ):
        plan = wd.Plan.of(lr={name: wd.Cosine().named(name)})
        assert wd.loads(wd.dumps(plan)) == plan
        assert from_yaml(wd.dumps(plan)).data == plan.to_dict()
