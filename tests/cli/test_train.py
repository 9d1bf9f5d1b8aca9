"""``warmdown train``: a run from the shell, resumed, compared by digest, drawn beside another."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from warmdown import Record
from warmdown.cli.main import main
from warmdown.plot.view import Line
from warmdown.studio.preview.watch import RunFolder

TASK = """
import torch

def build():
    made = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 4, generator=made)
    data = torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True))
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
    return model, torch.nn.functional.mse_loss, (data, data)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "sums.py").write_text(TASK)
    (tmp_path / "plan.yaml").write_text(
        "run: {epochs: 4, lr: 0.05}\nlr: {kind: warmup_cosine, warmup: 25%}\n"
    )
    (tmp_path / "constant.yaml").write_text("run: {epochs: 4, lr: 0.05}\nlr: {kind: constant}\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes seconds; the tests that look at pictures are marked."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("warmdown.plot.save", lambda drawn, file, **_: file)


@pytest.fixture
def pictures() -> None:
    """Let pictures be drawn."""


SPIKY = """
import torch

def build():
    made = torch.Generator().manual_seed(0)
    inputs = torch.randn(1600, 4, generator=made)
    targets = inputs.sum(1, keepdim=True)
    targets[8] = 1e5
    data = torch.utils.data.TensorDataset(inputs, targets)
    test = torch.utils.data.TensorDataset(inputs[:32], targets[32:64])
    return torch.nn.Linear(4, 1), torch.nn.functional.mse_loss, (data, test)
"""


def train(*told: Any, task: str = "sums:build", code: int = 0, track: str = "none") -> Result:
    arguments = ["train", *map(str, told), "--task", task, "--track", track]
    result = CliRunner().invoke(main, arguments, catch_exceptions=code != 0)
    assert result.exit_code == code, result.output
    return result


def digest(result: Result) -> str:
    found: list[str] = re.findall(r"\b[0-9a-f]{64}\b", result.output)
    return found[-1]


def test_a_run_leaves_record_result_checkpoint_and_pictures(here: Path, pictures: None) -> None:
    result = train("plan.yaml")
    folder = here / "runs" / "plan"
    assert Record.load(folder / "record.jsonl").curve("lr/0")[0] == list(range(12))
    told = json.loads((folder / "result.json").read_text())
    assert told["digest"] == digest(result)
    assert told["metrics"]["eval_loss"] > 0
    assert (told["updates"], told["seed"], told["task"]) == (12, 0, "sums:build")
    assert (folder / "checkpoints" / "update-00000012").is_dir()
    assert (folder / "picture.png").stat().st_size > 1000
    assert "test loss" in result.output
    assert (
        str(folder / "picture.html") in result.output.replace(str(here) + "/", str(here) + "/")
        or "picture.html" in result.output
    )


def test_the_picture_of_a_run_has_its_plan_behind_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Any] = []

    def save(scene: Any, file: Path, **_: Any) -> Path:
        drawn.append(scene)
        return file

    monkeypatch.setattr("warmdown.plot.save", save)
    train("plan.yaml", "--stop-after", 5)
    rate, recorded = (line for line in drawn[0].lines if line.unit == "learning rate")
    assert (rate.label, rate.stop, rate.is_recorded) == ("lr", 12, False)
    assert (recorded.label, recorded.stop) == ("lr (recorded)", 4)
    np.testing.assert_allclose(recorded.values, rate.value(recorded.steps), rtol=1e-12)


def test_a_run_is_watched_against_its_plan_without_more_ado(here: Path) -> None:
    train(
        "plan.yaml",
        "--against",
        "constant.yaml",
        "--out",
        "both",
        "--accumulate",
        2,
        "--max-steps",
        9,
    )
    assert (here / "plan.yaml").read_text().startswith("run: {epochs: 4")  # the one that was given
    runs = RunFolder(here / "both")
    assert runs.read_on()
    for run in runs.runs.values():
        recorded = dict(zip(*run.points["lr/0"].all(), strict=True))
        planned = points(run.planned_lines(None))["lr/0"]
        assert sorted(recorded) == list(range(9))
        assert [planned[step] for step in recorded] == pytest.approx(
            list(recorded.values()), rel=1e-12
        )
    assert {run.name for run in runs.runs.values()} == {"plan", "constant"}


def points(lines: Iterable[Line]) -> dict[str, dict[float, float]]:
    return {
        line.label: dict(zip(line.steps.tolist(), line.values.tolist(), strict=True))
        for line in lines
    }


def test_a_plan_without_a_rate_comes_through_a_pipe_and_its_header_says_so(here: Path) -> None:
    text = "run: {epochs: 1, lr: 0.05}\nweight_decay: {set: 0.1}\n"
    words = ["train", "-", "--task", "sums:build", "--track", "none", "--out", "run"]
    done = CliRunner().invoke(main, words, input=text)
    assert done.exit_code == 0, done.output
    assert "  the rate is not scheduled\n" in done.output
    steps, values = Record.load(here / "run" / "record.jsonl").curve("weight_decay/0")
    assert (len(steps), values[0]) == (3, 0.1)  # of one epoch, as the plan has it


def test_the_same_plan_task_and_seed_give_the_same_weights() -> None:
    first, again, other = (
        train("plan.yaml"),
        train("plan.yaml", "--out", "b"),
        train("plan.yaml", "--seed", 1),
    )
    assert digest(first) == digest(again) != digest(other)


def test_two_plans_are_drawn_together(here: Path, pictures: None) -> None:
    result = train("plan.yaml", "--against", "constant.yaml", "--out", "both")
    assert "a plan" in result.output
    assert "b constant" in result.output
    assert (here / "both" / "compare.png").is_file()
    page = (here / "both" / "compare.html").read_text()
    assert "plan: lr" in page
    assert "constant: lr" in page
    assert Record.load(here / "both" / "constant" / "record.jsonl").curve("lr/0")[1] == [0.05] * 12


def test_a_recipe_is_trained_under_by_its_name(here: Path) -> None:
    train("one_cycle", "--param", "warm=50%", "--epochs", 4, "--lr", 0.05, "--out", "a")
    rates = Record.load(here / "a" / "record.jsonl").curve("lr/0")[1]
    assert max(rates) == rates[6] == pytest.approx(0.05)


@pytest.mark.unix
def test_a_folder_of_a_run_has_a_name_that_every_system_takes(here: Path) -> None:
    for name in ("aux", "a:b"):
        (here / f"{name}.yaml").write_text("lr: {kind: constant}\n")
    train("aux.yaml", "--against", "a:b.yaml", "--max-steps", 1)
    folders = [path.name for path in (here / "runs" / "_aux").iterdir() if path.is_dir()]
    assert sorted(folders) == ["_aux", "a_b"]


def test_placeholders_stand_for_the_runs_real_numbers(here: Path) -> None:
    (here / "half.yaml").write_text(
        "lr: {kind: linear, start: 1.0, end: 0.0, steps: '%TOTAL_STEPS% / 2'}\n"
    )
    train("half.yaml", "--epochs", 4, "--lr", 0.01, "--out", "a")
    assert Record.load(here / "a" / "record.jsonl").curve("lr/0")[1][:7] == pytest.approx(
        [0.01 * (1 - step / 6) for step in range(7)]
    )


def test_what_the_shell_says_goes_before_what_the_plan_says(here: Path) -> None:
    train("plan.yaml", "--epochs", 2, "--batch-size", 16, "--accumulate", 2, "--out", "a")
    assert json.loads((here / "a" / "result.json").read_text())["updates"] == 6
    train("plan.yaml", "--max-steps", 5, "--out", "b")
    assert json.loads((here / "b" / "result.json").read_text())["updates"] == 5


def test_the_first_updates_of_a_long_plan_are_made_under_it(here: Path) -> None:
    rise = "{kind: linear, start: 0.0, end: 1.0, steps: 500}"
    (here / "long.yaml").write_text(
        f"run: {{total_steps: 10000, lr: 0.1}}\nlr: [{rise}, {{kind: cosine}}]\n"
    )
    train("long.yaml", "--stop-after", 3, "--out", "first")
    record = Record.load(here / "first" / "record.jsonl")
    assert record.curve("lr/0")[1] == pytest.approx([0.0, 0.0002, 0.0004])


def test_resume_starts_fresh_where_there_is_nothing_and_does_no_more_where_all_is_done(
    here: Path,
) -> None:
    first = train("plan.yaml", "--out", "a", "--resume")
    again = train("plan.yaml", "--out", "a", "--resume")
    assert digest(first) == digest(again)
    assert "Resumed from a/checkpoints/update-00000012" in again.output


def test_resume_goes_on_from_the_newest_good_checkpoint(here: Path) -> None:
    whole = train("plan.yaml", "--out", "whole")
    train("plan.yaml", "--out", "cut", "--checkpoint-every", 5)
    (here / "cut" / "checkpoints" / "update-00000012" / "optimizer.pt").write_bytes(b"damaged")
    again = train("plan.yaml", "--out", "cut", "--resume")
    assert "optimizer.pt has 7 bytes" in again.output
    assert "at update 10" in again.output
    assert digest(again) == digest(whole)
    rows = [Record.load(here / name / "record.jsonl").curve("loss") for name in ("whole", "cut")]
    assert rows[0] == rows[1]


def test_a_changed_plan_is_refused_unless_a_policy_says_what_to_do(here: Path) -> None:
    train("plan.yaml", "--out", "a", "--checkpoint-every", 5)
    (here / "plan.yaml").write_text("run: {epochs: 4, lr: 0.05}\nlr: {kind: cosine}\n")
    result = train("plan.yaml", "--out", "a", "--resume", code=2)
    assert "on_change" in result.output
    train("plan.yaml", "--out", "a", "--resume", "--on-change", "given")


def test_an_earlier_run_is_moved_out_of_the_way(here: Path) -> None:
    first = train("plan.yaml", "--out", "a")
    result = train("plan.yaml", "--out", "a", "--seed", 1)
    assert "The run that was in a is now in a.1" in result.output
    assert json.loads((here / "a.1" / "result.json").read_text())["digest"] == digest(first)


def test_only_so_many_checkpoints_are_kept(here: Path) -> None:
    train("plan.yaml", "--out", "a", "--checkpoint-every", 1, "--keep", 2)
    assert len(list((here / "a" / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["plan.yaml", "--task", "digit"], "no such task. Did you mean 'digits'"),
        (["plan.yaml", "--task", "nowhere:build"], "no module 'nowhere'"),
        (["plan.yaml", "--task", "sums:make"], "sums has no 'make'"),
        (["plan.yaml", "--task", "json:dumps"], "dumps"),
        (["lost.yaml"], "lost.yaml"),
        (["plan.yaml", "--against", "plan.yaml"], "both plans are called 'plan'"),
        (["plan.yaml", "--against", "Plan.yaml"], "called 'plan' or 'Plan', one folder for all"),
        (["broken.yaml"], "cosin"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_leaves_by_2(
    told: list[str], says: str, here: Path
) -> None:
    (here / "broken.yaml").write_text("lr: {kind: cosin}\n")
    (here / "Plan.yaml").write_text("lr: {kind: constant}\n")
    result = CliRunner().invoke(main, ["train", "--task", "sums:build", *told])
    assert (result.exit_code, "Traceback" in result.output) in [
        (2, False),
        (70, True),  # what the task itself raised
    ]
    assert says in result.output or says in str(result.exception)


def test_digits_are_learnt_and_events_written(here: Path) -> None:
    result = train("plan.yaml", "--epochs", 1, task="digits", track="tensorboard")
    told = json.loads((here / "runs" / "plan" / "result.json").read_text())
    assert told["metrics"]["accuracy"] > 0.5
    assert list((here / "runs" / "plan" / "events").glob("events.out.tfevents.*"))
    assert "accuracy" in result.output


@pytest.mark.slow
def test_from_a_shell_of_its_own(here: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "warmdown",
        "train",
        "plan.yaml",
        "--task",
        "sums:build",
        "--track",
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout  # colours are for a terminal
    assert re.search(r"\b[0-9a-f]{64}\b", done.stdout)


@pytest.mark.parametrize(
    "command", [("train", "plan.yaml"), ("compare", "plan.yaml", "constant.yaml"), ("find",)]
)
@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("def build():\n    return 1 / 0\n", 2),
        ("import nowhere_at_all\n", 1),
        ("import torch\n\ndef build():\n    return torch.nn.Linear('two', 1)\n", 4),
    ],
    ids=["a line of its own", "an import", "inside a library"],
)
def test_a_task_that_raises_ends_every_command_with_the_same_code_and_the_place(
    here: Path, command: tuple[str, ...], body: str, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "wrong.py").write_text(body)
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    result = CliRunner().invoke(main, [*command, "--task", "wrong:build"])
    assert result.exit_code == 2, result.output
    assert re.search(rf"task\('wrong:build'\): it raised .*wrong\.py, line {line}\)", result.output)


def test_a_run_that_spikes_goes_back_and_its_pictures_and_the_page_show_both_parts(
    here: Path, pictures: None
) -> None:
    (here / "spiky.py").write_text(SPIKY)
    told = ("constant.yaml", "--epochs", 1, "--batch-size", 8, "--lr", 0.01, "--out", "a")
    spike = ("--on-spike", "rollback to=10 skip=10 over=20", "--checkpoint-every", 10)
    result = train(*told, *spike, task="spiky:build")
    assert re.search(r"The loss is .* at update \d+, .* back to update \d+\.", result.output)
    record = Record.load(here / "a" / "record.jsonl")
    assert record.curve("loss")[0] == list(range(200))
    left, losses = record.curve("loss, rolled back 1")
    assert max(losses) > 1e6
    assert (here / "a" / "picture.html").exists()
    folder = RunFolder(here / "a")
    folder.read_on()
    (run,) = folder.runs.values()
    assert {"loss", "loss, rolled back 1"} <= set(run.points)
    assert any(row.reason == f"spike: back to update {left[0]}" for row in run.events)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stop", "rollback"),
        ("rollback skp=3", "skip"),
        ("rollback rescale=half", "rescale='half'"),
        ("rollback skip=-1", "skip"),
    ],
)
def test_what_to_do_about_a_spike_is_refused_in_words(text: str, said: str) -> None:
    result = train("constant.yaml", "--out", "a", "--on-spike", text, code=2)
    assert said in result.output
