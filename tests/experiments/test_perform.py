"""Whoever looks on hears of every evaluation, and may end a run in its second half."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import warmdown as wd
from warmdown.experiments import find_rate_of_task
from warmdown.experiments import perform as module
from warmdown.experiments.perform import make_pass, perform
from warmdown.experiments.runs import RunSpec
from warmdown.experiments.worker import WorkAnswer, WorkRequest, versions_here

TASK = """
import torch
from warmdown.training import Task

def watched():
    data = torch.utils.data.TensorDataset(torch.ones(24, 1), torch.ones(24, 1))
    return Task(model=torch.nn.Linear(1, 1), loss=torch.nn.functional.mse_loss,
                train=data, test=data, lr=0.1, epochs=5, batch_size=4)
"""


@pytest.fixture(autouse=True)
def _tasks(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tasks / "watched_tasks.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tasks))


SPEC = RunSpec.of(wd.Plan.of(lr=wd.Constant(value=1.0)), "watched_tasks:watched", 0, {})


@pytest.mark.parametrize(
    ("goes_on", "ends", "heard"), [(False, 18, [6, 12, 18]), (True, 30, [6, 12, 18, 24, 30])]
)
def test_a_run_is_not_ended_before_half_of_it_is_made(
    goes_on: bool, ends: int, heard: list[int]
) -> None:
    found: list[int] = []

    def report(step: int, metrics: object) -> bool:
        found.append(step)
        return goes_on

    result = perform(SPEC, report=report)
    assert (result.status, result.updates) == ("finished" if goes_on else "pruned", ends)
    assert found == heard


SWEEP = {
    "task": "watched_tasks:watched", "target": "lr", "start": 1e-3, "end": 1.0, "steps": 12,
    "shape": "exponential", "stop_at": 4.0, "batch_size": None, "accumulate": 1, "seed": 0,
}  # fmt: skip


def messages(
    requests: Iterable[Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[list[Any], str]:
    """Return what the worker's process sends for these requests, and what its runs print."""
    lines = (json.dumps(request).encode() for request in requests)
    capfd.readouterr()
    with monkeypatch.context() as patch, open(1, "w", buffering=1, closefd=False) as stdout:
        patch.setattr(module, "_end_with", lambda parent: None)
        patch.setattr("sys.stdin", SimpleNamespace(buffer=lines))
        patch.setattr("sys.stdout", stdout)  # as a process has it, not as pytest captures it
        module.worker_main(0)
    sent, printed = capfd.readouterr()
    return [json.loads(line) for line in sent.splitlines()], printed


def test_a_process_answers_what_comes_in_with_signs_of_life_between(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    needs: dict[str, Any] = {
        "task": SPEC.task,
        "data": "",
        "modules": ["far"],
        "versions": versions_here(),
    }
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_SIGNS", -1.0)  # one after each update and batch
    requests = [
        {"needs": needs},
        {"sweep": {**SWEEP, "number": 1}},
        {"run": SPEC.to_dict()},
        *[{"goes_on": True}, {"goes_on": True}, {"goes_on": False}],
    ]
    found, printed = messages(requests, monkeypatch, capfd)
    assert "ended as hopeless" in printed
    answers = [message["answer"] for message in found if "answer" in message]
    assert answers[0] == {"lacks": ["there is no module 'far' (--allow)."]}
    assert answers[1] == make_pass(1, alive=lambda: None, **SWEEP)
    assert (answers[2]["status"], answers[2]["updates"]) == ("pruned", 18)
    assert answers[2]["digest"] == perform(SPEC, report=lambda step, _: step < 18).digest
    reports = [message for message in found if "step" in message]
    assert [report["step"] for report in reports] == [6, 12, 18]
    assert reports[0]["metrics"].keys() == {"train_loss", "eval_loss"}
    run = found[found.index({"answer": answers[1]}) + 1 :]
    assert (
        run.count({"alive": True}) == 1 + 18 + 3 * 6
    )  # it begins; updates; batches of data to test


def test_a_range_test_on_workers_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: WorkRequest, *_: Any) -> WorkAnswer:
        return WorkAnswer(request.key, make_pass(**request.content["sweep"], alive=lambda: None))

    monkeypatch.setattr("warmdown.experiments.engine.answer_in_worker", answer)
    heard: list[Any] = []
    there: Any = {"engine": "loky", "jobs": 1, "progress": lambda *facts: heard.append(facts)}
    how: Any = {"task": "watched_tasks:watched", "steps": 12, "repeats": 2}
    assert find_rate_of_task(**how, **there).to_dict() == find_rate_of_task(**how).to_dict()
    assert heard == [(0, "", 1, 2), (1, "", 2, 2)]
    with pytest.raises(
        wd.WarmdownError, match=r"find\('watched_tasks:watched'\): pass 0: .*dropout"
    ):
        find_rate_of_task(**how, **there, target="dropout")


def test_a_pass_that_no_worker_answers_ends_a_range_test_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    died = WorkAnswer("0", status="died", reason="out of memory", worker="alpha")
    monkeypatch.setattr("warmdown.experiments.engine.answer_in_worker", lambda *_: died)
    words = "pass 0 on worker alpha died: out of memory. Try it with --engine serial"
    with pytest.raises(wd.TrainingError, match=words):
        find_rate_of_task("watched_tasks:watched", steps=12, engine="loky", jobs=1)
