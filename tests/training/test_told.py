"""A training is told things from outside, by the command and from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.forecast.test_law import PUBLISHED
from tests.training.processes import wait_until

import warmdown as wd
from warmdown.cli.main import main
from warmdown.mailbox import Answer, Mailbox, Request
from warmdown.training import TrainerCallback, run_task


class Asking(TrainerCallback):
    """Asks after an update, and lets the run look again at once.

    Args:
        folder: Of the run.
        requests: What is asked after which update.
    """

    def __init__(self, folder: Path, requests: dict[int, dict[str, Any]]) -> None:
        self.folder, self.requests = folder, requests

    def on_training_run_start(self, trainer: Any, **kwargs: Any) -> None:
        trainer.scheduler.commands.seconds = 0.0

    def on_train_update_end(self, trainer: Any, update: int = 0, **kwargs: Any) -> None:
        if update + 1 in self.requests:
            Mailbox(self.folder).send(Request(**self.requests[update + 1]))


def told(folder: Path, requests: dict[int, dict[str, Any]], **how: Any) -> Any:
    callbacks = [Asking(folder, requests)]
    return run_task("digits", wd.wsd(), out=folder, max_steps=60, callbacks=callbacks, **how)


def answers(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("commands/*.answer.json"))]


def test_a_hold_makes_the_run_longer(tmp_path: Path) -> None:
    outcome = told(tmp_path, {30: {"command": "hold", "arguments": {"over": 15}}})
    assert outcome.updates == 75
    at = answers(tmp_path)[0]["update"]
    steps, rates = outcome.record.curve("lr/0")
    assert rates[at : at + 16] == [rates[at]] * 16
    assert len(steps) == 75
    assert rates[-1] < 0.2 * rates[at]


def test_the_run_ends_with_the_length_that_was_asked_for(tmp_path: Path) -> None:
    longer = told(tmp_path / "a", {5: {"command": "extend", "arguments": {"total_steps": 80}}})
    assert longer.updates == 80
    short = told(tmp_path / "b", {20: {"command": "decay-now", "arguments": {"over": 10}}})
    assert short.updates == answers(tmp_path / "b")[0]["update"] + 10


def test_a_run_that_is_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = told(tmp_path / "whole", {})
    stopped = told(tmp_path / "run", {20: {"command": "stop"}})
    assert stopped.updates == answers(tmp_path / "run")[0]["update"] < 60
    assert "as was asked" in stopped.stopped
    assert told(tmp_path / "run", {}, resume=True).digest == whole.digest


def test_a_checkpoint_is_saved_where_it_was_asked_for(tmp_path: Path) -> None:
    told(tmp_path, {20: {"command": "checkpoint"}})
    at = answers(tmp_path)[0]["update"]
    assert any(str(at) in path.name for path in (tmp_path / "checkpoints").iterdir())


def test_a_run_that_nobody_asked_leaves_no_folder(tmp_path: Path) -> None:
    told(tmp_path, {})
    assert not (tmp_path / "commands").exists()


@pytest.mark.slow
def test_the_command_asks_a_training_that_runs(tmp_path: Path) -> None:
    runner = CliRunner()
    train = [sys.executable, "-m", "warmdown", "train", "wsd", "--max-steps", "100000",
             "--out", "run", "--track", "none"]  # fmt: skip
    process = subprocess.Popen(train, cwd=tmp_path, env=dict(os.environ), stdout=subprocess.PIPE)
    try:
        wait_until((tmp_path / "run" / "record.jsonl").exists)
        run = str(tmp_path / "run")
        seen = runner.invoke(main, ["tell", run, "rescale", "0.5", "--dry-run"])
        assert seen.exit_code == 0, seen.output
        assert "lr/0" in seen.output
        done = runner.invoke(main, ["tell", run, "rescale", "0.5", "--json"])
        assert json.loads(done.output)["outcome"] == "done", done.output
        refused = runner.invoke(main, ["tell", run, "rescale", "0.5", "--target", "momentun"])
        assert refused.exit_code == 2
        assert "momentun" in refused.output
        assert runner.invoke(main, ["tell", run, "stop"]).exit_code == 0
        process.communicate(timeout=120)
        assert process.returncode == 0
    finally:
        process.kill()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "as was asked" in result["stopped"]


def test_the_command_draws_what_would_come_and_what_a_law_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = {
        "steps": list(range(0, 100, 10)), "ends": (100, 50),
        "lines": {"lr/0": {"before": [3e-4] * 10, "after": [3e-4] * 3 + [1e-4] * 7}},
    }  # fmt: skip
    shown = Answer(outcome="shown", text="It would hold from update 30.", update=30, curves=curves)
    monkeypatch.setattr("warmdown.cli.tell.tell", lambda *_, **__: shown)
    law = tmp_path / "law.json"
    law.write_text(json.dumps(PUBLISHED))
    words = ["tell", str(tmp_path), "rescale", "0.5", "--dry-run", "--law", str(law)]
    text = CliRunner().invoke(main, words).output
    assert text.startswith("It would hold from update 30.\n")
    assert "The run ends after 50 updates; before it was 100." in text
    data = json.loads(CliRunner().invoke(main, [*words, "--json"]).output)
    before, after = (data["finals"]["lr/0"][name]["predicted"] for name in ("before", "after"))
    assert f"Predicted loss at the end by lr/0: {before:.4g}"[:40] in text
    assert before != after
    refused = Answer(outcome="refused", text="There is no such group.")
    monkeypatch.setattr("warmdown.cli.tell.tell", lambda *_, **__: refused)
    ended = CliRunner().invoke(main, words)
    assert (ended.exit_code, ended.stderr) == (2, "There is no such group.\n")


@pytest.mark.parametrize(
    "words",
    [["nowhere", "stop"], [".", "stop", "3"], [".", "fly"], [".", "rescale"]],
)
def test_the_command_refuses_in_words(words: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["tell", *words])
    assert ended.exit_code == 2
    assert ended.output
