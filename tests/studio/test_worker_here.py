"""What is asked of the process for foreign classes, answered in this one; its seats, without it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.studio.hostile import HOSTILE

from warmdown.errors import ScheduleError
from warmdown.importing.fence_worker import _run_task
from warmdown.studio.security import child, worker
from warmdown.studio.security.worker import Ended, Worker

MULTISTEP = {
    "class_path": "torch.optim.lr_scheduler.MultiStepLR",
    "init_args": {"milestones": [50, 100, 150], "gamma": 0.5},
}


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a module of one's own be found; return its name."""
    (tmp_path / "hostile_here.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hostile_here", raising=False)
    return "hostile_here"


def answer(task: str, **question: Any) -> Any:
    """Return the answer to a question, as it comes over the wire."""
    return json.loads(json.dumps(_run_task(child._tasks(), {"task": task, **question})))


def test_a_class_is_described_by_its_signature_and_docstring(hostile: str) -> None:
    shape = answer("describe", path=f"{hostile}.Takes", allow=[hostile])["shape"]
    rate, mode = shape["fields"]
    assert (rate["name"], rate["kind"], rate["default"]) == ("rate", "number", "0.5")
    assert rate["help"] == 'How fast, "<b>bold</b>".'
    assert (mode["name"], mode["choices"]) == ("mode", ["a", "b"])
    assert shape["takes_more"]
    cosine = answer("describe", path="torch.optim.lr_scheduler.CosineAnnealingLR")["shape"]
    defaults = {field["name"]: field["default"] for field in cosine["fields"]}
    assert defaults == {"T_max": None, "eta_min": "0", "last_epoch": "-1"}
    lambdas = answer("describe", path="torch.optim.lr_scheduler.LambdaLR")["shape"]
    assert lambdas["fields"][0]["name"] == "lr_lambda"
    assert "not imported" in answer("describe", path=f"{hostile}.Takes")["mistakes"][0]


def test_each_group_is_looked_at_from_its_own_base() -> None:
    bases = {"LoRA Unet": {"lr": 1e-4}, "Embedding": {"lr": 1e-3}}
    seen = answer("look", data={"run": {"total_steps": 200}, "lr": MULTISTEP}, bases=bases)
    summary = seen["summary"]
    assert summary["labels"] == ["lr/LoRA Unet", "lr/Embedding"]
    assert [row[2] for row in summary["rows"]][:4] == [
        [1e-4, 1e-3], [5e-5, 5e-4], [2.5e-5, 2.5e-4], [1.25e-5, 1.25e-4],
    ]  # fmt: skip
    # a class need not scale with the base rate
    one_cycle = {"class_path": "torch.optim.lr_scheduler.OneCycleLR",
                 "init_args": {"max_lr": 0.1, "total_steps": 102}}  # fmt: skip
    seen = answer("look", data={"run": {"total_steps": 100}, "lr": one_cycle}, bases=bases)
    assert [max(line["values"]) for line in seen["view"]["lines"]] == pytest.approx(
        [0.1, 0.1], rel=1e-3
    )


def test_a_run_that_is_too_long_to_step_through_is_refused_at_once() -> None:
    (mistake,) = answer("look", data={"run": {"total_steps": 10**12}, "lr": MULTISTEP})["mistakes"]
    assert mistake.startswith("run.total_steps: a class of another library is stepped one update")
    assert mistake.endswith("Give a shorter run to look at it.")


@pytest.mark.parametrize(
    ("name", "what"),
    [("Raises", "gone"), ("No", "there is no such class")],
)
def test_whatever_a_class_does_wrong_is_an_answer(hostile: str, name: str, what: str) -> None:
    lr = {"class_path": f"{hostile}.{name}"}
    data = {"run": {"total_steps": 9}, "lr": lr}
    assert any(what in one for one in answer("look", data=data, allow=[hostile])["mistakes"])


def test_a_task_that_leaves_is_told_by_its_error() -> None:
    def leave(_: Any) -> Any:
        raise SystemExit("x" * 9_000)

    (mistake,) = _run_task({"leave": leave}, {"task": "leave"})["mistakes"]
    assert mistake == f"SystemExit: {'x' * 1988}"


def test_the_process_ends_with_its_parent_before_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(child, "end_with_parent", lambda: done.append("bound"))
    monkeypatch.setattr(child, "serve", done.append)
    child.answer_the_page()
    assert done == ["bound", child._tasks]


class StandIn:
    """A fence without a process."""

    made: list[StandIn]

    def __init__(self, *_: Any) -> None:
        self.pid: int | None = None
        self.made.append(self)

    def start(self, who: str) -> None:
        """Be there."""
        assert who == "class"
        self.pid = 4000 + len(self.made)

    def ask(self, who: str, question: Any, seconds: float) -> Any:
        """Answer what the question says."""
        self.start(who)
        if "error" in question:
            raise ScheduleError(f"{who}: {question['error']}")
        return question["answer"]

    def end(self) -> None:
        """Be gone."""
        self.pid = None


@pytest.fixture
def fences(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """Return the fences that are made, none of which starts a process."""
    monkeypatch.setattr(StandIn, "made", [], raising=False)
    monkeypatch.setattr(worker, "Fence", StandIn)
    return StandIn.made


def test_a_process_that_answers_is_asked_again_and_its_errors_are_its_words(
    fences: list[StandIn], tmp_path: Path
) -> None:
    async def act() -> None:
        asked = Worker(tmp_path)
        await asked.start()
        assert asked.processes == [4001]
        assert await asked.ask({"answer": {"a": 1}}, seconds=1.0) == {"a": 1}
        with pytest.raises(Ended, match=r"^it took longer\.$"):
            await asked.ask({"error": "it took longer."}, seconds=1.0)
        with pytest.raises(Ended, match=r"^it gave no answer\.$"):
            await asked.ask({"answer": [1]}, seconds=1.0)
        assert len(fences) == 1
        await asked.close()
        assert asked.processes == []

    asyncio.run(act())


def test_a_question_that_is_given_up_ends_its_process_and_what_rests_long_is_ended(
    fences: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        asked = Worker(tmp_path)
        has_begun = asyncio.Event()

        async def run(*_: Any) -> Any:
            has_begun.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(worker._Seat, "run", run)
            asking = asyncio.create_task(asked.ask({"answer": {}}, seconds=1.0))
            await has_begun.wait()
            fences[0].pid = 7
            assert asked.processes == [7]
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert asked.processes == []
        monkeypatch.setattr(worker, "_REST", 0.0)
        await asked.start()
        assert len(asked.processes) == 1
        await asyncio.sleep(0.01)
        assert asked.processes == []
        await asked.close()

    asyncio.run(act())
