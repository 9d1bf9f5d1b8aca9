"""``warmdown show``."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.forecast.test_law import PUBLISHED

import warmdown as wd
from warmdown.cli.main import main

TEXT = """
run: {total_steps: 10000, steps_per_epoch: 500}
lr:
  - {kind: linear, start: 0.0, end: 1.0, steps: 5%}
  - {kind: cosine, end: 0.1}
weight_decay: {set: {kind: constant, value: 0.05}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """Return the path of a plan."""
    path = tmp_path / "plan.yaml"
    path.write_text(TEXT)
    return str(path)


def show(*words: str, given: str | None = None) -> Result:
    """Return what ``warmdown show`` did."""
    return CliRunner().invoke(main, ["show", *words], input=given)


def values(result: Result) -> dict[str, list[float]]:
    """Return the values of each target of a CSV."""
    found: dict[str, list[float]] = {}
    for row in csv.DictReader(io.StringIO(result.stdout)):
        found.setdefault(row["target"], []).append(float(row["value"]))
    return found


def test_the_terminal_shows_curve_phases_and_key_values(plan: str) -> None:
    result = show(plan, "--lr", "3e-4", "--width", "80")
    assert result.exit_code == 0
    assert "learning rate" in result.stdout
    assert "⠤" in result.stdout
    said = " ".join(result.stdout.split())
    assert "Phases: warmup (0 to 500), decay (500 to 10,000)." in said
    assert "500 decay begins, peak 3e-4 0.05" in said
    assert "9,999 last update 3e-5 0.05" in said
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_law_s_loss_is_drawn_below_the_rate_and_said(plan: str, tmp_path: Path) -> None:
    law = tmp_path / "law.json"
    law.write_text(json.dumps(PUBLISHED))
    result = show(plan, "--lr", "3e-4", "--law", str(law), "--width", "80")
    assert result.exit_code == 0, result.output
    final = wd.load_law(law).predict(wd.load(plan).over(total_steps=10_000, lr=3e-4)).final
    assert f"Predicted final loss {final}." in " ".join(result.stdout.split())
    assert "loss" in result.stdout.partition("Phases")[0]
    assert "Predicted" not in show(plan, "--lr", "3e-4").stdout


def test_many_rows_are_thinned_aloud() -> None:
    result = show("wsd", "--total-steps", "1000000", "--lr", "1", "--format", "csv")
    stride = int(result.stderr.split("every ")[1].split()[0].replace(",", ""))
    assert "updates. Give --points for more or fewer" in result.stderr
    assert len(values(result)["lr"]) == pytest.approx(1_000_000 / stride, abs=2)


def test_the_values_are_those_of_the_plan(plan: str) -> None:
    found = values(show(plan, "--lr", "3e-4", "--total-steps", "1000", "--format", "csv"))
    curve = (wd.Linear(start=0.0, end=1.0, steps=50) >> wd.Cosine(end=0.1)).over(
        wd.Run(total_steps=1000)
    )
    assert found["lr"] == [3e-4 * curve(step) for step in range(1000)]
    assert found["weight_decay"] == [0.05] * 1000


def test_a_recipe_takes_parameters() -> None:
    result = show(
        "warmup_cosine",
        "--param",
        "warmup=5%",
        "--param",
        "end=0.1",
        "--total-steps",
        "1000",
        "--format",
        "csv",
    )
    curve = wd.warmup_cosine(warmup="5%", end=0.1).over(wd.Run(total_steps=1000))
    assert values(result)["lr"] == [curve(step) for step in range(1000)]
    assert (
        result.stderr
        == "note: lr is a factor on the base value, which is not known here. Give --lr for rates.\n"
    )


def test_json_and_table_have_the_same_columns() -> None:
    data = json.loads(show("linear", "--total-steps", "4", "--lr", "1", "--format", "json").stdout)
    assert data[1] == {"step": 1, "target": "lr", "value": 0.75}
    table = show("linear", "--total-steps", "4", "--lr", "1", "--format", "table").stdout
    assert table.splitlines()[:2] == ["step  target  value", "   0  lr      1"]


def test_a_recipe_of_several_targets_shows_them_all() -> None:
    found = values(
        show("one_cycle", "--param", "max_lr=0.1", "--total-steps", "100", "--format", "csv")
    )
    assert max(found["lr"]) == 0.1
    assert (min(found["momentum"]), max(found["momentum"])) == (0.85, 0.95)


def test_another_librarys_class_is_shown_as_it_is() -> None:
    result = show(
        "torch.optim.lr_scheduler.MultiStepLR",
        "--param", "milestones=[50, 100, 150]", "--param", "gamma=0.5",
        "--total-steps", "200", "--lr", "1e-4", "--format", "csv",
    )  # fmt: skip
    rates = values(result)["lr"]
    assert [rates[step] for step in (0, 50, 100, 150)] == pytest.approx(
        [1e-4, 5e-5, 2.5e-5, 1.25e-5], rel=1e-12
    )


def test_parameters_of_a_file_are_changed_by_their_path(plan: str) -> None:
    assert values(show(plan, "--param", "lr[1].end=1", "--format", "csv"))["lr"][-1] == 1
    result = show(plan, "--param", "lr[1].ende=1")
    assert result.exit_code == 2
    assert "plan.yaml:5: lr[1].ende: Cosine has no 'ende'. Did you mean 'end'?" in result.stderr


def test_other_facts_of_the_run_are_given_by_name() -> None:
    words = ["--run", "clock=tokens", "--run", "tokens_per_step=10", "--run", "budget=100tok"]
    assert len(values(show("linear", *words, "--format", "csv"))["lr"]) == 100


def test_groups_are_shown_with_their_own_rates() -> None:
    words = [
        "milestones",
        "--param",
        "at=[50, 100]",
        "--param",
        "gamma=0.5",
        "--total-steps",
        "200",
    ]
    groups = ["--group", "unet=1e-4", "--group", "embedding=1e-3"]
    found = values(show(*words, *groups, "--format", "csv"))
    assert (found["lr/unet"][100], found["lr/embedding"][50]) == (2.5e-5, 5e-4)
    assert "lr/embedding" in show(*words, *groups).stdout
    assert "run.lr: 'fast': not a number." in show(*words, "--group", "unet=fast").stderr


def test_a_plan_may_come_through_a_pipe() -> None:
    assert values(show("-", "--format", "csv", given="lr: linear\nrun: {total_steps: 2}"))[
        "lr"
    ] == [1, 0.5]


def test_points_thin_the_rows() -> None:
    assert (
        len(
            values(show("linear", "--total-steps", "1e9", "--points", "11", "--format", "csv"))[
                "lr"
            ]
        )
        == 11
    )


@pytest.mark.parametrize("ending", [".png", ".svg", ".html", ".csv", ".json", ".yaml"])
def test_out_writes_what_the_ending_says_and_nothing_else(
    plan: str, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / "new" / f"curve{ending}"
    out.parent.mkdir()
    result = show(plan, "--out", str(out))
    assert result.exit_code == 0
    assert (result.stdout, result.stderr.splitlines()[-1]) == ("", f"wrote {out}")
    assert os.listdir(out.parent) == [out.name]
    beginnings = {
        ".png": b"\x89PNG",
        ".svg": b"<?xml",
        ".html": b"<!doctype html>",
        ".csv": b"step,target,value",
        ".json": b"[\n{",
    }
    assert out.read_bytes().startswith(beginnings.get(ending, b"run: "))
    if ending == ".yaml":
        assert wd.load(out) == wd.load(plan)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cosin"], "'cosin': neither a file nor a shape. Did you mean 'cosine'?"),
        (["none.yaml"], "none.yaml: cannot be read: No such file or directory. Check the path."),
        (["linear", "--total-steps", "many"], "run.total_steps: 'many': not a number."),
        (
            ["linear", "--total-steps", "-5"],
            "run: Run(total_steps=-5): a whole number of at least 1 is needed.",
        ),
        (["linear", "--run", "tokens=5"], "run.tokens: a run has no 'tokens'. Known: "),
        (
            ["linear", "--param", "end"],
            "--param end: a name and a value are needed. Write --param end=0.1.",
        ),
        (["linear", "--param", "ende=1"], "lr.ende: Linear has no 'ende'. Did you mean 'end'?"),
        (["linear", "--param", "end=.nan"], "lr.end: a finite number is needed, not nan."),
        (
            ["linear", "--param", "steps=500", "--total-steps", "100"],
            "500 steps do not fit into the 100",
        ),
        (
            ["linear", "--out", "curve.gif"],
            "--out curve.gif: the ending says what is written, and",
        ),
        (["os.system", "--param", "command=ls"], "class_path: 'os.system': not imported"),
        (
            ["torch.optim.lr_scheduler.ReduceLROnPlateau"],
            "its step needs metrics, which only a run can tell",
        ),
        (
            ["linear", "--out", "no/such/folder/curve.csv"],
            "no/such/folder/curve.csv: cannot be written",
        ),
        (
            ["linear", "--out", "no/such/folder/curve.svg"],
            "no/such/folder/curve.svg: cannot be written",
        ),
        (
            ["exponential_decay", "--param", "gamma=2", "--total-steps", "10000"],
            "too large to draw",
        ),
    ],
)
def test_a_mistake_is_told_on_the_other_stream_with_code_two(words: list[str], said: str) -> None:
    result = show(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr
