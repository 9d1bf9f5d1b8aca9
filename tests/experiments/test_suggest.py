"""A suggestion is a plan with its evidence; without evidence there is no suggestion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.evidence.choice import JudgedSetting, Method, suggestion_of
from click.testing import CliRunner
from tests.forecast.test_law import PUBLISHED

import warmdown.experiments.suggest as room
from warmdown import load_law
from warmdown.cli import suggest as suggest_command
from warmdown.errors import TrainingError
from warmdown.experiments.suggest import Evidence, evidence, suggest
from warmdown.planfile import loads
from warmdown.run import Run

NOISE = (0.001, -0.001, 0.002, -0.002, 0.0, 0.001)


def judged(**means: float) -> JudgedSetting:
    """Return runs in which methods have these means, seeds all alike but for a little noise."""
    plans: dict[str, Any] = {
        "constant": {"lr": {"kind": "constant", "value": 1.0}},
        "cosine": {"lr": {"kind": "warmup_cosine", "warmup": "5%"}},
        "one-cycle": {"targets": {"kind": "one_cycle"}},
    }
    methods = [
        Method(
            name,
            plan={"run": {"epochs": 30, "lr": 0.1}, **plans[name]},
            values={seed: mean + more * (1 + len(name)) for seed, more in enumerate(NOISE)},
            runs=len(NOISE),
            share=1.0,
        )
        for name, mean in ((key.replace("_", "-"), value) for key, value in means.items())
    ]
    return JudgedSetting(
        "small",
        "images",
        "small pictures",
        updates=2000,
        metric="accuracy",
        higher_is_better=True,
        methods=tuple(methods),
    )


def known(setting: JudgedSetting) -> list[Evidence]:
    """Return the evidence that comes of judged runs, as it is stored."""
    return [json.loads(json.dumps(suggestion_of(setting)))]


def evidence_of(**means: float) -> list[Evidence]:
    """Return evidence in which methods have these means."""
    return known(judged(**means))


def test_the_best_method_is_suggested_with_its_reasons_and_every_row() -> None:
    found = suggest(
        kind="images", updates=3000, known=evidence_of(constant=0.80, cosine=0.86, one_cycle=0.90)
    )
    assert found.method == "one-cycle"
    assert found.plan.run == Run(total_steps=3000, lr=0.1)
    assert {target.label for target in found.plan.targets} == {"lr", "momentum"}
    assert [name for name, _ in found.rows] == ["constant", "cosine", "one-cycle"]
    assert "Against a constant rate, tuned alike: +0.1" in found.summary()
    assert loads("\n".join(found.summary().splitlines())) == found.plan


def test_of_methods_that_the_seeds_do_not_tell_apart_the_simpler_is_suggested() -> None:
    found = suggest(task="fashion", known=evidence_of(constant=0.80, cosine=0.9, one_cycle=0.9001))
    assert found.method == "cosine"
    assert "simpler, and these seeds do not tell it from the best" in found.summary()


def test_a_simpler_method_that_the_seeds_do_not_tell_from_a_worse_constant_is_not_suggested() -> (
    None
):
    one = judged(constant=0.80, cosine=0.83, one_cycle=0.84)
    cosine = one.methods[1]
    values = {seed: value + (0.08 if seed % 2 else -0.08) for seed, value in cosine.values.items()}
    unsure = replace(one, methods=(one.methods[0], replace(cosine, values=values), one.methods[2]))
    assert suggest(kind="images", known=known(one)).method == "one-cycle"
    assert suggest(kind="images", known=known(unsure)).method == "one-cycle"
    assert (
        suggest(kind="images", known=known(replace(unsure, methods=unsure.methods[1:]))).method
        == "cosine"
    )


def test_a_method_of_which_a_run_failed_is_not_suggested() -> None:
    one = judged(constant=0.8, one_cycle=0.9)
    methods = [
        replace(method, runs=method.runs + (method.name != "constant")) for method in one.methods
    ]
    broken = replace(one, methods=tuple(methods))
    assert suggest(task="digits", known=known(broken)).method == "constant"


def test_a_budget_in_time_becomes_the_plans_own() -> None:
    found = suggest(
        kind="images",
        budget="10m",
        seconds_per_update=0.5,
        known=evidence_of(constant=0.8, cosine=0.9),
    )
    assert found.plan.run.budget == "10m"
    assert found.plan.run.length == 1200


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        ({"kind": "audio"}, "no evidence about it"),
        ({"task": "speech"}, "no evidence about it"),
        ({"kind": "images", "updates": 1_000_000}, "about runs of 2,000 updates, too far from it"),
        ({"kind": "images", "updates": 3}, "too far from it"),
        ({"kind": "images", "updates": 0}, "at least 1"),
        ({"kind": "images", "budget": "2h"}, "Give seconds_per_update"),
        ({}, "describe the situation"),
    ],
)
def test_where_there_is_no_evidence_nothing_is_invented(
    situation: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        suggest(**situation, known=evidence_of(constant=0.8))


def test_without_any_evidence_the_error_names_how_to_make_it() -> None:
    with pytest.raises(TrainingError, match=r"benchmarks\.evidence"):
        suggest(kind="images", known=[])


def test_the_evidence_that_comes_along_suggests_plans_and_refuses_what_it_does_not_speak_of() -> (
    None
):
    every = evidence()
    assert {one["kind"] for one in every} == {"images", "text"}
    for one in every:
        found = suggest(kind=one["kind"], updates=one["updates"])
        assert found.plan.over().length == one["updates"]
        assert found.method in {name for name, _ in one["rows"]}
        with pytest.raises(TrainingError, match="too far from it"):
            suggest(kind=one["kind"], updates=100 * one["updates"])
    with pytest.raises(TrainingError, match=r"no evidence about it\. .*images"):
        suggest(kind="audio")


def test_the_command_prints_a_plan_that_can_be_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "evidence", lambda: evidence_of(constant=0.8, cosine=0.9))
    call = ["--kind", "images", "--updates", "1000", "--out", str(tmp_path / "plan.yaml")]
    result = CliRunner().invoke(suggest_command.command, call)
    assert result.exit_code == 0, result.output
    assert loads(result.stdout) == loads((tmp_path / "plan.yaml").read_text())
    printed = json.loads(
        CliRunner().invoke(suggest_command.command, ["--task", "fashion", "--json"]).stdout
    )
    assert printed["method"] == "cosine"
    assert printed["evidence"]["rows"]
    (tmp_path / "law.json").write_text(json.dumps(PUBLISHED))
    foretold = CliRunner().invoke(
        suggest_command.command, [*call[:4], "--law", str(tmp_path / "law.json")]
    )
    final = load_law(tmp_path / "law.json").predict(loads(result.stdout)).final
    assert foretold.stdout == f"{result.stdout}Predicted final loss {final}.\n"
