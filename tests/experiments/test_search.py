"""A search finds the numbers of a plan, goes on where it was, and ends with the evidence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import warmdown as wd
from warmdown.cli.search import command
from warmdown.errors import SpecError, TrainingError
from warmdown.experiments.runs import RunSpec
from warmdown.experiments.search import Search, search
from warmdown.experiments.space import Choice, Range, Space
from warmdown.experiments.worker import WorkerContext, worker_of_thread

pytest.importorskip("optuna")

TASK = '''
import torch
from warmdown.training import Task

def bowl():
    """A loss that is lowest when the rate is right: too small learns nothing, too large leaves."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 3, generator=generator)
    data = torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True))
    return Task(model=torch.nn.Linear(3, 1), loss=torch.nn.functional.mse_loss,
                train=data, test=data, lr=1e-3, epochs=2, batch_size=16)
'''
SPACE = {
    "run": {"lr": {"low": 1e-5, "high": 10.0, "log": True}},
    "lr": {"kind": "constant", "value": 1.0},
}


@pytest.fixture(autouse=True)
def _tasks(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tasks / "bowl_tasks.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tasks))


def found(out: Path, **how: Any) -> Search:
    settings: dict[str, Any] = {"trials": 8, "engine": "serial"}
    return search(SPACE, "bowl_tasks:bowl", out=out, **(settings | how))


def test_the_best_rate_is_found_and_written_as_a_plan_with_its_evidence(tmp_path: Path) -> None:
    numbers: list[int] = []
    result = found(tmp_path / "s", progress=lambda trial, done, total: numbers.append(done))
    assert numbers == list(range(1, 9))
    assert result.plan.run.lr is not None
    assert 1e-3 < result.plan.run.lr < 1.0
    assert result.best.metric == min(t.metric for t in result.trials if t.state == "finished")
    assert wd.load(result.save(tmp_path / "best.yaml")) == result.plan
    evidence = json.loads((tmp_path / "s" / "search.json").read_text())
    assert len(evidence["trials"]) == 8
    kept = {path.stem for path in (tmp_path / "s" / "runs").glob("*.json")}
    assert {t.runs["0"] for t in result.trials if t.state != "pruned"} == kept
    assert "run.lr" in result.summary()


def test_a_search_goes_on_where_it_was_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    found(tmp_path / "halved", trials=3)
    result = found(tmp_path / "halved", trials=6)
    whole = found(tmp_path / "whole", trials=6)
    assert [t.to_dict() for t in result.trials] == [t.to_dict() for t in whole.trials]
    assert found(tmp_path / "whole", trials=6).best == whole.best


def test_trials_that_fall_behind_are_pruned(tmp_path: Path) -> None:
    result = found(tmp_path, trials=14)
    states = [trial.state for trial in result.trials]
    assert "pruned" in states
    assert "finished" in states
    assert "pruned" not in [
        trial.state for trial in found(tmp_path / "all", trials=8, prunes=False).trials
    ]


def test_a_trial_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    result = found(tmp_path, trials=2, seeds=2, prunes=False)
    for trial in result.trials:
        losses = [
            json.loads((tmp_path / "runs" / f"{key}.json").read_text())["metrics"]["eval_loss"]
            for key in trial.runs.values()
        ]
        assert len(losses) == 2
        assert trial.metric == pytest.approx(sum(losses) / 2)


def test_ranges_are_read_wherever_they_stand() -> None:
    space = Space.of(
        {
            "run": {"epochs": {"low": 2, "high": 5}},
            "lr": [
                {"kind": "linear", "steps": {"low": "1%", "high": "10%"}},
                {
                    "kind": {"choices": ["cosine", "linear"]},
                    "end": {"low": "1e-4", "high": 0.1, "log": True},
                },
            ],
            "weight_decay": {"set": {"kind": "clipped", "of": "cosine", "low": 0.1, "high": 0.2}},
        }
    )
    assert space.spots == {
        "run.epochs": Range(2.0, 5.0, is_whole=True),
        "lr[0].steps": Range(1.0, 10.0, unit="%"),
        "lr[1].kind": Choice(("cosine", "linear")),
        "lr[1].end": Range(1e-4, 0.1, log=True),
    }
    filled = space.filled(
        {"run.epochs": 3, "lr[0].steps": "4%", "lr[1].kind": "linear", "lr[1].end": 0.01}
    )
    assert wd.plan_from_dict({**filled, "run": {"total_steps": 100}}).targets[0].label == "lr"
    assert filled["lr"][1] == {"kind": "linear", "end": 0.01}


class Given:
    """Proposes a number, as optuna does."""

    def __init__(self, number: float) -> None:
        self.number = number

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float:
        return self.number

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        return int(self.number)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return choices[0]


@pytest.mark.parametrize(
    ("spot", "proposed", "tried"),
    [
        (Range(1e-4, 1.0, log=True), 0.000123456789, 0.0001235),
        (Range(0.0, 0.2), 0.1234567, 0.1235),
        (Range(0.0, 0.2), 0.0, 0.0),
        (
            Range(0.99, 0.9999),
            0.9934567891,
            0.993457,
        ),  # four digits of 0.99 would leave three places
        (Range(0.9999, 1.0), 0.9999999999, 1.0),
        (Range(0.1, 0.91238), 0.912375, 0.91238),  # never outside
        (Range(0.0, 1.0, step=0.1), 0.30000000000000004, 0.3),
        (Range(1.0, 2.0, step=1e-6), 1.000003, 1.000003),
        (Range(1.0, 10.0, unit="%"), 4.321987654, "4.322%"),
        (Range(1e9, 2e13, unit="tok"), 1.23456789e12, "1.235e+12tok"),
        (Range(2, 5, is_whole=True), 3, 3),
    ],
)
def test_a_number_is_rounded_before_it_is_tried(spot: Range, proposed: float, tried: Any) -> None:
    assert spot.ask(Given(proposed), "lr") == tried
    if isinstance(tried, str):
        assert wd.Cosine(steps=tried).steps is not None


def test_the_plan_that_won_reads_like_the_space(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "# which rate, and how far down\n"
        "run: {total_steps: 90, lr: {low: 1e-3, high: 1.0, log: true}}  # the base\n"
        "lr:\n"
        "  - {kind: linear, start: 0.0, end: 1.0, steps: {low: 1%, high: 10%}}\n"
        "  - kind: {choices: [cosine, linear]}\n\n"
        "    # after the warmup\n"
        "    end:\n      low: 0.0  # nothing\n      high: 0.2  # not more\n\n"
        "weight_decay:\n  set: {kind: constant, value: {low: 1e-6, high: 1e-1, log: true}}\n"
    )
    space = Space.load(path)
    values = {"run.lr": 0.02345, "lr[0].steps": "4.3%", "lr[1].kind": "linear", "lr[1].end": 0.1}
    values["weight_decay.set.value"] = 3e-5
    assert space.written(values) == (
        "# which rate, and how far down\n"
        "run: {total_steps: 90, lr: 0.02345}  # the base\n"
        "lr:\n"
        "  - {kind: linear, start: 0.0, end: 1.0, steps: 4.3%}\n"
        "  - kind: linear\n\n"
        "    # after the warmup\n"
        "    end: 0.1  # not more\n\n"
        "weight_decay:\n  set: {kind: constant, value: 3.0e-05}\n"
    )
    assert wd.loads(space.written(values)) == wd.plan_from_dict(space.filled(values))
    assert json.loads(space.written(values, as_json=True)) == space.filled(values)


def test_a_space_in_json_is_written_back_as_json(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    for gap, kept in (
        ("  ", True),
        ("\t", False),
    ):  # YAML, by which places are found, reads no tabs
        path.write_text(f'{{{gap}"lr": {{"kind": "cosine", "end": {{"low": 0.0, "high": 0.2}}}}}}')
        written = Space.load(path).written({"lr.end": 0.1}, as_json=True)
        assert json.loads(written) == {"lr": {"kind": "cosine", "end": 0.1}}
        assert (written == '{  "lr": {"kind": "cosine", "end": 0.1}}') is kept


@pytest.mark.parametrize(
    ("spot", "words"),
    [
        ({"low": 2.0, "high": 1.0}, "low lies below high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "above 0 with log"),
        ({"low": "1%", "high": "2ep"}, "different units"),
        ({"low": "much", "high": 1}, "'much' is no number"),
        ({"low": 0.1, "high": 1.0, "step": -1}, "positive number"),
        ({"low": 0.1, "high": 1.0, "log": "yes"}, "true or false"),
        ({"choices": []}, "at least one"),
        (0.5, "no range to search"),
    ],
)
def test_what_is_no_range_is_reported_with_its_path(spot: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Space.of({"lr": {"kind": "cosine", "end": spot}})


def test_a_space_that_makes_no_plan_or_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cosin"):
        search({"lr": {"kind": "cosin", "end": {"low": 0.1, "high": 0.2}}}, out=tmp_path)
    with pytest.raises(
        TrainingError,
        match=r"search\(metric='eval_los'\): .* Did you mean "
        r"'eval_loss'",
    ):
        found(tmp_path, metric="eval_los")
    with pytest.raises(TrainingError, match="at least one of each"):
        found(tmp_path, trials=0)
    with pytest.raises(TrainingError, match="no trial finished"):
        search(
            {"lr": {"set": {"kind": "constant", "value": {"low": 2e38, "high": 3e38}}}},
            "bowl_tasks:bowl", out=tmp_path, trials=1, engine="serial",
        )  # fmt: skip


def test_a_search_in_which_every_trial_failed_begins_again_when_the_cause_is_gone(
    tasks: Path, tmp_path: Path
) -> None:
    (tasks / "repaired_tasks.py").write_text(
        # it takes no such targets; of another length, so that no compiled file is taken for it
        "# fails\n" + TASK.replace("mse_loss", "nll_loss")
    )
    with pytest.raises(TrainingError, match=r"no trial finished \(failed"):
        search(SPACE, "repaired_tasks:bowl", out=tmp_path, trials=2, engine="serial")
    (tasks / "repaired_tasks.py").write_text(TASK)
    worker_of_thread(WorkerContext.here()).end()  # a process keeps the module that it has imported
    result = search(SPACE, "repaired_tasks:bowl", out=tmp_path, trials=2, engine="serial")
    assert [trial.state for trial in result.trials] == ["finished", "finished"]


def test_the_command_writes_the_plan_that_won(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "run: {lr: {low: 1e-3, high: 1.0, log: true}}  # the base\nlr: {kind: cosine}\n"
    )
    call = [
        str(space),
        "--task",
        "bowl_tasks:bowl",
        "--trials",
        "2",
        "--engine",
        "serial",
        "--out",
        str(tmp_path / "s"),
    ]
    result = CliRunner().invoke(command, call)
    assert result.exit_code == 0, result.output
    assert "[2/2] " in result.stderr
    written = (tmp_path / "s" / "best.yaml").read_text()
    assert re.fullmatch(r"run: \{lr: 0\.\d{3,7}\}  # the base\nlr: \{kind: cosine\}\n", written), (
        written
    )
    plan = wd.load(tmp_path / "s" / "best.yaml")
    evidence = json.loads((tmp_path / "s" / "search.json").read_text())
    assert evidence["best"]["values"] == {"run.lr": plan.run.lr}
    (key,) = evidence["best"]["runs"].values()
    assert (
        RunSpec.of(plan, "bowl_tasks:bowl", 0, {}).key == key
    )  # what is written is what was tried
