"""A comparison makes each run once, whatever happens to the others, and tells what came of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.experiments.small import SMALL

import warmdown as wd
from warmdown.cli.compare import command
from warmdown.errors import MissingExtra, TrainingError
from warmdown.experiments import Comparison, compare
from warmdown.experiments.engine import run_all
from warmdown.experiments.perform import perform
from warmdown.experiments.runs import Result, RunSpec, Store

TASK = f"""{SMALL}
def wild():
    seed = torch.initial_seed()
    if seed == 1:
        print("a last word", file=sys.stderr, flush=True)
        os._exit(7)
    if seed == 2:
        time.sleep(600)
    if seed == 3:
        raise ValueError("no such data")
    return small()
"""
PLANS = {"constant": wd.Constant(value=1.0), "cosine": wd.warmup_cosine(warmup="10%")}


@pytest.fixture(autouse=True)
def _tasks(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tasks / "small_tasks.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tasks))


def compared(out: Path | None, **how: Any) -> Comparison:
    settings: dict[str, Any] = {"seeds": 3, "engine": "serial"}
    return compare(PLANS, "small_tasks:small", out=out, **(settings | how))


def test_a_second_call_makes_only_what_is_missing(tmp_path: Path) -> None:
    made: list[str] = []

    def note(name: str, result: Any, done: int, total: int) -> None:
        made.append(f"{name} {result.spec.seed} {done}/{total}")

    first = compared(tmp_path / "runs", progress=note)
    assert made == [f"{name} {seed} {number}/6" for number, (name, seed) in enumerate(
        ((name, seed) for name in PLANS for seed in range(3)), start=1)]  # fmt: skip
    made.clear()
    assert compared(tmp_path / "runs", progress=note).to_dict() == first.to_dict()
    assert made == []
    damaged, *_ = (tmp_path / "runs").glob("*.json")
    damaged.write_text(damaged.read_text()[:-40])
    assert compared(tmp_path / "runs", progress=note, seeds=4).rows()[0].runs == 4
    assert len(made) == 3
    assert (
        sorted(path.suffix for path in (tmp_path / "runs").iterdir())
        == [".json"] * 8 + [".jsonl"] * 8
    )


@pytest.mark.slow
def test_a_run_gives_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    here, there = compared(None), compared(tmp_path / "runs", engine="loky", jobs=2)
    for name in PLANS:
        digests = [
            {seed: r.digest for seed, r in one.results[name].items()} for one in (here, there)
        ]
        assert digests[0] == digests[1]
        assert len(set(digests[0].values())) == 3
    spec = here.results["cosine"][1].spec
    assert perform(spec).digest == here.results["cosine"][1].digest


def test_a_run_is_named_by_all_that_it_is_made_of_and_by_nothing_else() -> None:
    plan = wd.Plan.of(lr=wd.warmup_cosine())
    spec = RunSpec.of(plan, "digits", 1, {"epochs": 2, "batch_size": None})
    assert spec.key == RunSpec.of(plan, "digits", 1, {"epochs": 2}, allow=("mine",)).key
    others = [
        RunSpec.of(wd.Plan.of(lr=wd.warmup_cosine(end=0.1)), "digits", 1, {"epochs": 2}),
        RunSpec.of(plan, "text", 1, {"epochs": 2}),
        RunSpec.of(plan, "digits", 2, {"epochs": 2}),
        RunSpec.of(plan, "digits", 1, {"epochs": 3}),
    ]
    assert len({spec.key, *(other.key for other in others)}) == 5
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).key == spec.key


@pytest.mark.slow
def test_what_dies_hangs_or_fails_is_a_result_and_the_rest_goes_on(tmp_path: Path) -> None:
    comparison = compare(
        {"constant": wd.Constant(value=1.0)},
        "small_tasks:wild",
        seeds=5,
        out=tmp_path,
        engine="serial",
        silence=20,
    )
    found = {seed: (run.status, run.reason) for seed, run in comparison.results["constant"].items()}
    assert found[1] == ("died", "its process ended with 7: a last word")
    assert found[2] == ("hung", "no sign of life for 20 s")
    assert found[3][0] == "failed"
    assert "it raised ValueError: no such data (" in found[3][1]
    assert [found[seed][0] for seed in (0, 4)] == ["finished", "finished"]
    (row,) = comparison.rows()
    assert (row.finished, row.runs, row.metric.count) == (2, 5, 2)
    assert "constant, seed 1: died: its process ended with 7" in comparison.summary()


def test_a_run_that_diverges_is_reported_and_ranked_last(tmp_path: Path) -> None:
    plans: dict[str, Any] = {
        "constant": wd.Constant(value=1.0),
        "wild": wd.Set(wd.Constant(value=3e38)),
    }
    comparison = compare(plans, "small_tasks:small", seeds=2, out=tmp_path, engine="serial")
    constant, wild = comparison.rows()
    assert {run.status for run in comparison.results["wild"].values()} == {"diverged"}
    assert (constant.rank, wild.rank) == (1.0, 2.0)
    assert (wild.finished, wild.metric.count) == (0, 0)
    assert "0/2" in comparison.summary()
    assert comparison.to_dict()["failures"][0]["status"] == "diverged"


def test_the_table_shows_difference_goal_and_area() -> None:
    comparison = compared(None, goal=0.6)
    constant, cosine = comparison.rows()
    assert constant.area == pytest.approx(0.1 * 12)
    assert cosine.area < constant.area
    assert constant.difference.value == 0
    values = {name: comparison.values(name) for name in PLANS}
    mean = sum(values["cosine"][seed] - values["constant"][seed] for seed in range(3)) / 3
    assert cosine.difference.value == pytest.approx(mean)
    assert constant.updates == 12
    assert constant.reached >= 1
    assert constant.to_goal.value in (6.0, 9.0, 12.0)


def test_a_sentence_says_which_plan_is_better_in_how_many_seeds() -> None:
    comparison = compared(None)
    values = {name: comparison.values(name) for name in PLANS}
    gains = [values["cosine"][seed] - values["constant"][seed] for seed in range(3)]
    better, sign = ("cosine", 1) if sum(gains) > 0 else ("constant", -1)
    wins = sum(sign * gain > 0 for gain in gains)
    (sentence,) = comparison.findings()
    assert sentence.startswith("accuracy of constant and cosine: 0.")
    assert sentence.endswith(f"; {better} is better in {wins} of 3 seeds.")
    assert sentence in comparison.summary()
    assert comparison.chart().notes == (sentence,)
    falling = replace(comparison, metric="eval_loss", higher_is_better=False)
    losses = {name: falling.values(name) for name in PLANS}
    drops = [losses["constant"][seed] - losses["cosine"][seed] for seed in range(3)]
    better, sign = ("cosine", 1) if sum(drops) > 0 else ("constant", -1)
    wins = sum(sign * drop > 0 for drop in drops)
    assert falling.findings()[0].endswith(f"; {better} is better in {wins} of 3 seeds.")


def test_the_picture_has_one_colour_a_plan_and_a_dash_for_the_test_and_shows_all_of_a_metric() -> (
    None
):
    scene = compared(None).chart()
    assert [panel.unit for panel in scene.panels] == ["learning rate", "loss", "accuracy"]
    drawn = {
        line.label: (stroke.hue, stroke.dash)
        for panel in scene.panels
        for line, stroke in zip(panel.lines, scene.strokes(panel), strict=True)
    }
    assert drawn == {
        "constant": (0, 0),
        "cosine": (1, 0),
        "constant: training loss": (0, 0),
        "cosine: training loss": (1, 0),
        "constant: test loss": (0, 1),
        "cosine: test loss": (1, 1),
    }
    for panel in scene.panels:
        for line, shown in zip(panel.lines, panel.heights(is_cropped=True), strict=True):
            assert panel.unit == "loss" or shown.tolist() == line.values.tolist()


def test_reports_are_written_whole(tmp_path: Path) -> None:
    comparison = compared(None)
    for ending, begins in (
        (".png", b"\x89PNG"),
        (".svg", b"<?xml"),
        (".html", b"<!doctype html>"),
        (".md", b"| plan |"),
        (".json", b"{"),
    ):
        assert comparison.save(tmp_path / f"report{ending}").read_bytes().startswith(begins)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "cosine" in page


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"engine": "lokki"}, "no such engine. Did you mean 'loky'"),
        ({"seeds": 0}, "at least one"),
        ({"seeds": [1, 1]}, "each once"),
        ({"baseline": "cosinus"}, "Did you mean 'cosine'"),
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"jobs": 0}, "at least one run"),
        ({"metric": "accurcy"}, "no run of 'small_tasks:small' has it. Did you mean 'accuracy'"),
    ],
)
def test_mistakes_are_refused_before_a_run_is_made(how: dict[str, Any], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        compared(None, **how)


def test_what_failed_is_made_again_by_the_next_call(tmp_path: Path) -> None:
    plan = wd.Plan.of(lr=wd.Constant(value=1.0))
    spec = RunSpec.of(plan, "small_tasks:small", 0, {})
    Store(tmp_path).save(Result(spec=spec, status="failed", reason="the data were not installed"))
    (result,) = run_all([spec], Store(tmp_path), engine="serial")
    assert result.status == "finished"


def test_when_no_run_finishes_the_error_gives_the_reason() -> None:
    with pytest.raises(TrainingError, match=r"no run finished \(failed: .*nothing"):
        compare(PLANS, "small_tasks:nothing", seeds=1, engine="serial")


def test_an_engine_whose_library_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match="ray"):
        compared(tmp_path, engine="ray")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("engine", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_cluster_makes_the_same_runs(tmp_path: Path, engine: Any, library: str) -> None:
    pytest.importorskip(library)
    here, there = compared(None), compared(tmp_path / "runs", engine=engine, jobs=2)
    assert [row.metric for row in here.rows()] == [row.metric for row in there.rows()]
    assert all(run.worker for row in there.results.values() for run in row.values())


@pytest.mark.slow
def test_a_killed_comparison_goes_on_where_it_was(tmp_path: Path, tasks: Path) -> None:
    runs = tmp_path / "runs"
    call = [
        sys.executable,
        "-m",
        "warmdown",
        "compare",
        "constant",
        "--task",
        "small_tasks:slow",
        "--seeds",
        "6",
    ]
    call += ["--engine", "serial", "--out", str(runs), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tasks), *sys.path])}
    first = subprocess.Popen(
        call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(list(runs.glob("*.json"))) < 2:
        assert first.poll() is None
        time.sleep(0.05)  # the other process tells by its files alone
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    found = json.loads(
        subprocess.run(call, env=environment, check=True, capture_output=True).stdout
    )
    assert found["plans"][0]["finished"] == 6
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(runs.glob(".*"))


def test_results_come_back_from_the_store_as_they_went(tmp_path: Path) -> None:
    spec = RunSpec.of(wd.Plan.of(lr=wd.Set(wd.Constant(value=3e38))), "small_tasks:small", 0, {})
    (result,) = run_all([spec], Store(tmp_path), engine="serial")
    assert result.status == "diverged"
    (current,) = Store(tmp_path)
    assert current.to_dict()["status"] == "diverged"
    assert current.spec.key == spec.key
    assert wd.Record.load(tmp_path / f"{spec.key}.jsonl").targets()


def test_a_stored_result_runs_nothing_and_counts_under_its_own_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_of_a_store.py").write_text("open('taken', 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    lr = {"class_path": "evil_of_a_store.Class", "init_args": {}}
    evil = RunSpec(plan={"lr": lr}, task="evil_of_a_store:task", seed=0, allow=("evil_of_a_store",))
    store = Store(tmp_path / "store")
    store.save(Result(spec=evil, status="finished", metrics={"accuracy": 1.0}))
    assert store.load(evil) is not None
    assert [result.key for result in store] == [evil.key]
    mine = RunSpec.of(wd.Plan.of(lr=wd.Constant()), "small_tasks:small", 0, {})
    written = (tmp_path / "store" / f"{evil.key}.json").read_text()
    (tmp_path / "store" / f"{mine.key}.json").write_text(written.replace(evil.key, mine.key))
    assert store.load(mine) is None
    assert [result.key for result in store] == [evil.key]
    assert not (tmp_path / "taken").exists()


def test_the_command_takes_files_and_names(tmp_path: Path) -> None:
    plan = tmp_path / "mine.yaml"
    plan.write_text("run: {lr: 0.2}\nlr: [{kind: linear, steps: 10%}, {kind: cosine}]\n")
    call = [
        "constant",
        str(plan),
        "--task",
        "small_tasks:small",
        "--seeds",
        "2",
        "--engine",
        "serial",
    ]
    call += ["--report", str(tmp_path / "report.md"), "--max-steps", "8"]
    result = CliRunner().invoke(command, call)
    assert result.exit_code == 0, result.output
    assert "[1/4] constant, seed 0: " in result.stderr
    assert "mine" in result.stdout
    assert (tmp_path / "report.md").read_text().count("\n| ") == 3
    assert "neither a file nor a shape. Did you mean" in str(
        CliRunner().invoke(command, ["warmup_cosin"]).exception
    )


def test_a_schedule_that_waits_for_a_metric_hears_of_every_evaluation() -> None:
    plateau = wd.Plateau(
        metric="eval_loss", factor=0.5, patience=0, threshold=10.0
    )  # nothing is ever an improvement
    spec = RunSpec.of(wd.Plan.of(lr=plateau), "small_tasks:small", 0, {"epochs": 4})
    steps, rates = perform(spec).curves["lr/0"]
    by_epoch = [rates[steps.index(6 * epoch + 3)] for epoch in range(4)]
    assert by_epoch == pytest.approx([0.1, 0.1, 0.05, 0.025])


@pytest.mark.slow
def test_what_a_law_predicts_stands_beside_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "law.json"
    path.write_text('{"L0": 0.1, "A": 0.6, "a": 0.45, "B": 0.4, "C": 2.1, "b": 0.6, "g": 0.65}')
    law = wd.load_law(path)
    plans = {"cosine": wd.warmup_cosine(), "constant": wd.Constant(1.0)}
    found = wd.compare(plans, "digits", seeds=1, max_steps=20, engine="serial", law=law)
    heads, rows = found.table()
    assert heads[-1] == "predicted loss"
    low, high = (float(row[-1].split()[0]) for row in rows)
    assert high != low
    assert " … " in rows[0][-1]
