"""What a script reads: --json of every command by its schema, errors and exit codes too."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from tests.cli.test_forecast import law_file, written
from tests.forecast.test_law import CONSTANT, TWO_LEVELS

from warmdown.cli.main import COMMANDS, DEFECT, EXIT_CODES, main
from warmdown.cli.schema import SCHEMAS, schema_of
from warmdown.planfile.schema import plan_schema

ROOT = Path(__file__).parents[2]
NOT_FOR_SCRIPTS = {"studio", "mcp", "schema"}
"""Two servers, and what prints schemas."""
TASK = """
import torch

def build():
    inputs = torch.randn(24, 1, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(inputs, inputs)
    return torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, (data, data)

def broken():
    raise ValueError("no such data")
"""
FILES = {
    "tiny_task_of_schema.py": TASK,
    "plan.yaml": "run: {total_steps: 20, lr: 0.1}\nlr: {kind: warmup_cosine, warmup: 15}\n",
    "space.yaml": "run: {lr: {low: 1e-3, high: 1.0, log: true}}\nlr: {kind: cosine}\n",
    "bad.yaml": "lr: {kind: cosin}\nwd: {kind: linear, stps: 3}\n",
    "long.yaml": "run: {total_steps: 3}\nlr: {kind: cosine, steps: 7}\n",
    "script.py": "from torch.optim.lr_scheduler import StepLR\ns = StepLR(opt, 10, verbose=True)\n",
    "no_script.py": "def (:\n",
    "config.json": '{"lr_scheduler_type": "cosine", "max_steps": 100}',
}
TINY = ("--task", "tiny_task_of_schema:build", "--engine", "serial", "--epochs", "1")

NOT_THERE = "--engine serial --task tiny_task_of_schema:broken"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("tiny_task_of_schema", None)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    written(TWO_LEVELS, tmp_path / "drop.csv")
    written(CONSTANT, tmp_path / "constant.csv")
    law_file(tmp_path)
    return tmp_path


def not_json(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def result_of(*words: str, code: int = 0) -> Any:
    """Return what a command prints, which must be one document that its schema takes."""
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == code, done.output
    data = json.loads(done.stdout, parse_constant=not_json)
    Draft202012Validator(schema_of(words[0])).validate(data)
    assert ("error" in data) == (code not in (0, 1)) or isinstance(data, list) or "errors" in data
    return data


CALLS: list[tuple[str, int]] = [
    ("list", 0),
    ("list no-such-shape", 0),
    ("show plan.yaml", 0),
    ("show warmup_cosine --total-steps 1e9 --points 5 --group head=0.1", 0),
    ("show plan.yaml --out out.svg", 0),
    ("check plan.yaml", 1),
    ("check constant --total-steps 10", 0),
    ("check long.yaml", 2),
    ("explain", 0),
    ("explain step-twice", 0),
    ("import config.json", 0),
    ("import torch.optim.lr_scheduler.CosineAnnealingLR -p T_max=5 --total-steps 20", 0),
    ("import torch.optim.lr_scheduler.StepLR -p step_size=5 --total-steps 9 --out out.yaml", 0),
    ("export plan.yaml --to torch", 0),
    ("export wsd --total-steps 100 --lr 0.1 --to PlanLR --out out.yaml", 0),
    ("lint script.py", 1),
    ("lint script.py no_script.py", 2),
    ("lint --rules", 0),
    ("suggest --task digits --updates 2000", 0),
    ("forecast drop.csv --plan wsd --plan constant --total-steps 8000 --lr 3e-4", 0),
    ("forecast drop.csv --against constant.csv", 0),
    ("forecast drop.csv --against constant.csv --against drop.csv", 0),
    ("forecast --law published.json --design --total-steps 8000 --lr 3e-4 --warmup 200", 0),
    ("forecast --law published.json drop.csv --decay-now 10%", 0),
    ("compare constant plan.yaml --theory --total-steps 100", 0),
]


@pytest.mark.parametrize(("call", "code"), CALLS, ids=lambda one: str(one))
def test_what_a_command_prints_fits_its_schema(call: str, code: int) -> None:
    if call.startswith("check long") or "no_script" in call:
        # there is a result, and it says why it is of no use
        done = CliRunner().invoke(main, [*call.split(), "--json"])
        assert done.exit_code == code
        Draft202012Validator(schema_of(call.split()[0])).validate(json.loads(done.stdout))
        return
    result_of(*call.split(), code=code)


@pytest.mark.slow
def test_numbers_that_are_not_finite_are_null() -> None:
    data = result_of("compare", "constant", "cosine", *TINY, "--seeds", "1", "--goal", "-1")
    one = data["plans"][0]
    assert one["metric"]["low"] is one["to_goal"]["value"] is None
    assert one["finished"] == 1


def test_what_trains_prints_nothing_but_its_result(here: Path) -> None:
    found = result_of("find", "--task", TINY[1], "--steps", "20", "--repeats", "1")
    assert {one["rule"] for one in found["suggestions"]} > {"steepest"}
    train = ("train", "constant", "--task", TINY[1], "--max-steps", "4", "--track", "none")
    trained = result_of(*train)
    assert [Path(run["folder"]) for run in trained["runs"]] == [Path("runs/constant")]
    both = result_of(*train, "--against", "cosine")
    assert [run["name"] for run in both["runs"]] == ["constant", "cosine"]
    assert all(Path(run["folder"], "record.jsonl").is_file() for run in both["runs"])


@pytest.mark.slow
def test_a_search_prints_nothing_but_its_result() -> None:
    searched = result_of("search", "space.yaml", *TINY, "--trials", "1", "--out", "out")
    assert searched["best"]["state"] == "finished"


MISTAKES = [
    ("check bad.yaml", "SpecError", "cosin"),
    ("show no.yaml", "SpecError", "cannot be read"),
    ("show wsd --points 1", "BadParameter", "--points"),
    ("show", "MissingParameter", "NAME_OR_FILE"),
    ("check os.system --total-steps 3", "SpecError", "not imported"),
    ("list --colour", "NoSuchOption", "--colour"),
    ("import config.json --total-steps x", "BadParameter", "--total-steps"),
    ("explain nothing", "WarmdownError", "no such code"),
    ("forecast", "ForecastError", "no logs"),
    ("suggest --updates 3", "", "suggest"),
    ("lint", "UsageError", "give a Python file"),
    ("compare cosin", "SpecError", "cosine"),
    pytest.param(
        f"compare constant --seeds 1 {NOT_THERE}", "TrainingError", "no such data",
        marks=pytest.mark.slow,
    ),
    ("find --out a.txt", "ScheduleError", "a.txt"),
    ("search none.yaml", "BadParameter", "none.yaml"),
    ("train bad.yaml", "SpecError", "cosin"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), MISTAKES, ids=lambda one: str(one)[:40])
def test_an_error_is_a_document_too(call: str, kind: str, words: str) -> None:
    error = result_of(*call.split(), code=2)["error"]
    assert error["type"] == kind or not kind
    assert words in error["message"]
    assert error["message"] == "\n".join(error["mistakes"])
    assert error["exit_code"] == 2


def test_every_mistake_of_a_file_stands_by_itself() -> None:
    assert len(result_of("check", "bad.yaml", code=2)["error"]["mistakes"]) == 2


def test_the_message_stays_on_standard_error_for_people() -> None:
    done = CliRunner().invoke(main, ["show", "no.yaml", "--json"])
    assert done.stderr.startswith("Error: no.yaml: cannot be read")


def test_an_unknown_command_answers_as_any_error() -> None:
    done = CliRunner().invoke(main, ["shwo", "--json"])
    assert json.loads(done.stdout)["error"]["mistakes"] == [
        "there is no command 'shwo'. Did you mean 'show'?"
    ]


@pytest.mark.parametrize(
    ("raised", "code", "kind"),
    [
        (ZeroDivisionError("by 0"), DEFECT, "ZeroDivisionError"),
        (KeyboardInterrupt(), 130, "KeyboardInterrupt"),
        (SystemExit(143), 143, "SystemExit"),
    ],
)
def test_whatever_ends_a_command_has_a_code_and_a_document(
    raised: BaseException, code: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(**asked: Any) -> None:
        raise raised

    monkeypatch.setattr("warmdown.checks.check", lambda plan: end())
    done = CliRunner().invoke(main, ["check", "wsd", "--total-steps", "9", "--json"])
    assert done.exit_code == code
    error = json.loads(done.stdout)
    Draft202012Validator(schema_of("check")).validate(error)
    assert (error["error"]["type"], error["error"]["exit_code"]) == (kind, code)


@pytest.mark.slow
def test_after_a_result_no_second_document_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*asked: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("warmdown.cli.compare.write_report", fail)
    done = CliRunner().invoke(main, ["compare", "constant", *TINY, "--seeds", "1", "--json"])
    assert done.exit_code == DEFECT
    assert "plans" in json.loads(done.stdout)
    assert "the disk is full" in done.stderr


def test_every_command_that_a_script_calls_has_json_and_a_schema() -> None:
    for name in COMMANDS.keys() - NOT_FOR_SCRIPTS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert any(one.name == "as_json" for one in command.params), name
    assert set(SCHEMAS) == (COMMANDS.keys() - NOT_FOR_SCRIPTS) | {"plan"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_of_a_command_is_printed(name: str) -> None:
    printed = json.loads(CliRunner().invoke(main, ["schema", name]).stdout)
    Draft202012Validator.check_schema(printed)
    assert printed == (plan_schema() if name == "plan" else schema_of(name))


def test_the_names_of_schemas_are_listed_and_a_wrong_one_gets_the_nearest() -> None:
    assert CliRunner().invoke(main, ["schema"]).stdout.split() == list(SCHEMAS)
    assert "Did you mean 'check'?" in CliRunner().invoke(main, ["schema", "chekc"]).stderr


def test_a_key_that_is_taken_away_or_added_does_not_fit() -> None:
    one = {"path": "a.py", "code": "WDL001", "line": 1, "column": 1, "message": "m", "cell": None,
           "fixable": True, "page": "p"}  # fmt: skip
    fits = Draft202012Validator(schema_of("lint")).is_valid
    assert fits({"findings": [one], "fixed": 0, "errors": []})
    assert not fits({"findings": [{**one, "colour": 1}], "fixed": 0, "errors": []})
    assert not fits({"findings": [one], "fixed": 0})


def test_the_page_has_the_table_of_exit_codes() -> None:
    page = (ROOT / "docs" / "scripts-and-agents.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert {int(code): text for code, text in rows} == EXIT_CODES
