"""``warmdown forecast`` answers from logs: which plan, how long, decay now or later."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.forecast.test_law import CONSTANT, COSINE, PUBLISHED, TWO_LEVELS

import warmdown as wd
from warmdown.cli.main import main
from warmdown.forecast import LossLog


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    """Return the paths of two logs, of a run with a drop and of a constant one."""
    return [str(written(log, tmp_path / f"{name}.csv")) for name, log in
            {"drop": TWO_LEVELS, "constant": CONSTANT, "cosine": COSINE}.items()]  # fmt: skip


def written(log: LossLog, path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "lr", "loss"))
        writer.writerows(zip(log.steps, log.rates, log.losses, strict=True))
    return path


def call(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["forecast", *arguments])
    assert done.exit_code == code, done.output
    return done.output


RUN = ("--total-steps", "8000", "--lr", "3e-4")


def test_plans_are_ranked_by_their_final_loss(logs: list[str], tmp_path: Path) -> None:
    said = call(*logs[:2], "--plan", "constant", "--plan", "warmup_linear", *RUN)
    table = said.partition("final loss")[2].splitlines()
    assert [row.split()[0] for row in table[1:3]] == ["constant", "warmup_linear"]
    assert "2.0 times the longest pilot" in said
    assert "drop: 3,984 updates" in said
    for ending in ("png", "svg", "html", "csv", "json"):
        out = tmp_path / f"out.{ending}"
        known = logs[:1] if ending == "png" else ("--law", law_file(tmp_path))
        call(*known, "--plan", "wsd", *RUN, "--out", str(out))
        assert out.stat().st_size > 500


def test_a_log_that_was_held_out_is_compared(logs: list[str]) -> None:
    found = json.loads(call(*logs[:2], "--against", logs[2], "--json"))
    assert found["r2"] > 0.98
    assert found["mean_relative_error"] < found["worst_relative_error"] < 0.02
    assert found["final"].keys() == {"predicted", "low", "high", "measured"}
    assert {"mae", "rmse", "law", "pilots", "command"} <= found.keys()


def test_a_design_is_a_plan_file_that_a_scheduler_takes(logs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "best.yaml"
    how = ("--design", *RUN, "--warmup", "200", "--out", str(out), "--json")
    found: Any = json.loads("{" + call(*logs, *how).partition("{")[2])
    plan = wd.load(out)
    assert plan.run.total_steps == 8000
    assert wd.load_law(law_file(tmp_path)).predict(plan).final.predicted == pytest.approx(
        found["design"]["predicted"], rel=0.01
    )
    assert min(found["design"]["gain"].values()) > -1e-3


def law_file(folder: Path) -> str:
    path = folder / "published.json"
    path.write_text(json.dumps(PUBLISHED))
    return str(path)


def test_a_law_is_kept_and_used_in_place_of_logs(logs: list[str], tmp_path: Path) -> None:
    kept = tmp_path / "law.json"
    call(*logs[:1], "--save", str(kept))
    assert "final loss" in call("--law", str(kept), "--plan", "wsd", *RUN)
    said = call("--law", str(kept), logs[1], "--decay-now", "10%", "--extend", "2000")
    assert "decay now" in said
    assert "decay after 2,000 more" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no logs and no law"),
        (("LOG",), "Add a short pilot"),
        (("LAW", "--design"), "give --total-steps and --lr"),
        (("LAW", "--decay-now", "10%"), "the run's own log"),
        (("LAW", "--plan", "wsd"), "length"),
        (("LAW", "--plan", "wsd", *RUN, "--out", "a.txt"), "no kind of file"),
        (("LAW", "--out", "a.png"), "there is no forecast"),
        (("nowhere.csv",), "no such file"),
    ],
)
def test_what_cannot_be_answered_says_what_is_missing(
    arguments: tuple[str, ...], words: str, logs: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = {"LOG": (logs[1],), "LAW": ("--law", law_file(tmp_path))}
    said = call(*(one for text in arguments for one in given.get(text, (text,))), code=2)
    assert words in said
