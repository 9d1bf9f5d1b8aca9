"""The pipeline of the evidence makes each run once; its page shows the stored runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from warmdown.experiments import Comparison
from warmdown.experiments.runs import Result, RunSpec
from warmdown.experiments.suggest import EVIDENCE, suggest

pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]
TASK = """
import torch
from warmdown.training import Task

def bowl():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 4, generator=generator)
    data = torch.utils.data.TensorDataset(inputs, (inputs.sum(1) > 0).long())
    return Task(model=torch.nn.Linear(4, 2), loss=torch.nn.functional.cross_entropy,
                train=data, test=data,
                metrics={"accuracy": lambda out, y: (out.argmax(-1) == y).float().mean()},
                lr=0.1, batch_size=16)
"""


@pytest.fixture(autouse=True)
def _beside(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tasks / "bowl_of_evidence.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(tasks))


@pytest.mark.slow
def test_the_whole_pipeline_runs_and_a_second_time_makes_nothing(tmp_path: Path) -> None:
    from benchmarks.evidence.methods import METHODS, Setting
    from benchmarks.evidence.pipeline import judge, stored_runs, tune
    from benchmarks.evidence.report import facts, report

    task = "bowl_of_evidence:bowl"
    setting = Setting("tiny", "images", "points", task, task, 2, 1e-3, 1.0, trials=1, seeds=2)
    said: list[str] = []
    how: dict[str, Any] = {"engine": "serial", "jobs": 1, "say": said.append}
    tune(setting, tmp_path / "work", tmp_path / "results", **how)
    judge(setting, tmp_path / "work", tmp_path / "results", **how)
    runs = stored_runs("tiny", tmp_path / "results")
    assert set(runs) == {
        *METHODS,
        "one-cycle, 1 x",
        "one-cycle, 3 x",
        "one-cycle, 10 x",
        "one-cycle, 30 x",
    }
    assert {result.status for current in runs.values() for result in current.values()} == {
        "finished"
    }
    page = report("tiny", tmp_path / "results")
    for claim in ("91.2 %", "30-50 %", "max_lr 10x", "step_size a third", "patience 5-10"):
        assert claim in page
    one = json.loads(json.dumps(facts(setting, tmp_path / "results")))
    assert suggest(kind="images", updates=one["updates"], known=[one]).plan.run.total_steps == 12
    largest = max(path.stat().st_size for path in (tmp_path / "results").rglob("*.json"))
    assert largest < 8_000
    said.clear()
    before = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "work").rglob("*.json")
        if path.name != "search.json"
    }
    tune(setting, tmp_path / "work", tmp_path / "results", **how)
    judge(setting, tmp_path / "work", tmp_path / "results", **how)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert report("tiny", tmp_path / "results") == page


def comparison_of(values: dict[str, list[float]]) -> Comparison:
    """Return a comparison of runs of 10 updates with these accuracies at updates 4 and 9."""
    runs = {
        name: {seed: _result(name, seed, value) for seed, value in enumerate(current)}
        for name, current in values.items()
    }
    return Comparison.of(runs, task="none", baseline="constant")


def _result(name: str, seed: int, value: float) -> Result:
    spec = RunSpec(plan={"lr": {"kind": "constant", "value": 1.0}}, task=name, seed=seed)
    evaluations = {"accuracy": ([4, 9], [value - 0.1, value])}
    return Result(
        spec=spec,
        status="finished",
        metrics={"accuracy": value},
        evaluations=evaluations,
        updates=10,
    )


def test_a_claim_holds_when_the_interval_of_the_pairs_lies_above_zero() -> None:
    from benchmarks.evidence.report import claims

    constant = [0.80, 0.82, 0.81, 0.83, 0.80]
    for shift, words in ((0.05, "holds here"), (-0.05, "does not hold here"), (0.0, "do not tell")):
        noise = [0.001, -0.001, 0.002, -0.002, 0.0]
        other = [value + shift + more for value, more in zip(constant, noise, strict=True)]
        found = dict(claims(comparison_of({"constant": constant, "one-cycle, 60 %": other})))
        (line,) = [
            line
            for line in found["constant 91.2 % in 100 epochs, one-cycle 93.8 % in 60"]
            if "one-cycle" in line
        ]
        assert line.endswith(f"{words}.") or words in line


def test_time_saved_is_the_share_of_updates_after_which_constants_best_is_reached() -> None:
    from benchmarks.evidence.report import claims

    found = dict(
        claims(
            comparison_of(
                {"constant": [0.7] * 4, "one-cycle, 60 %": [0.85] * 4, "cosine, 60 %": [0.6] * 4}
            )
        )
    )
    lines = found["schedulers reduce training time by 30-50 %"]
    assert "| one-cycle, 60 % | 0.5 (0.5 … 0.5) | 4/4 |" in lines
    assert "| constant | 1 (1 … 1) | 4/4 |" in lines
    assert "| cosine, 60 % | never (never … never) | 0/4 |" in lines


def test_every_method_makes_a_plan_for_its_length() -> None:
    from benchmarks.evidence.methods import METHODS, settings, space_of

    from warmdown.experiments.space import Space
    from warmdown.planfile import plan_from_dict
    from warmdown.run import Run

    for setting in settings.values():
        for method in setting.methods:
            space = Space.of(space_of(method, setting))
            assert list(space.spots) == ["run.lr"]
            plan = plan_from_dict(space.filled({"run.lr": 0.1}))
            assert plan.run.epochs == round(METHODS[method][1] * setting.epochs)
            plan.over(Run(epochs=plan.run.epochs, steps_per_epoch=79))


def test_the_page_names_what_the_stored_runs_say() -> None:
    from benchmarks.evidence.__main__ import _BEGIN, _BEGIN_MERGED, _END, _END_MERGED, tables
    from benchmarks.evidence.merging import merged_table

    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    assert page.partition(_BEGIN)[2].partition(_END)[0].strip() == tables().strip()
    assert page.partition(_BEGIN_MERGED)[2].partition(_END_MERGED)[0].strip() == merged_table()


def test_the_package_brings_what_the_stored_runs_say_of_at_least_eight_seeds_and_equal_trials() -> (
    None
):
    from benchmarks.evidence.__main__ import stored
    from benchmarks.evidence.methods import settings
    from benchmarks.evidence.pipeline import RESULTS, stored_runs

    brought = json.loads(EVIDENCE.read_text(encoding="utf-8"))
    assert brought == json.loads(json.dumps(stored()))
    assert {one["kind"] for one in brought["settings"]} == {"images", "text"}
    for one in brought["settings"]:
        assert {len(row) for row in stored_runs(one["name"]).values()} == {8}
        tuned = (RESULTS / one["name"] / "tuned").glob("*.json")
        assert {len(json.loads(path.read_text(encoding="utf-8"))["trials"]) for path in tuned} == {
            settings[one["name"]].trials
        }
