"""A run is made in a worker that finds the caller's modules and ends with the caller."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import warmdown as wd
from warmdown.experiments import Comparison, compare, engine, perform, worker
from warmdown.experiments.engine import run_all
from warmdown.experiments.runs import RunSpec, Store
from warmdown.experiments.worker import (
    Needs,
    WorkAnswer,
    WorkerContext,
    WorkerProcess,
    WorkRequest,
    answer_in_worker,
    kill_processes_of,
    worker_of_thread,
)

CALLER = """
import os, signal
from warmdown.experiments.worker import WorkerContext, WorkerProcess

worker = WorkerProcess(WorkerContext.here())
child = worker.start().pid
if (heir := os.fork()) == 0:
    signal.pause()  # it inherited all that is open, and lives on
print(child, heir, flush=True)
signal.pause()
"""


def found() -> int:
    """Return the number in the module that a process started by this one finds."""
    with WorkerContext.here().start(
        "-c", "import a_place; print(a_place.NUMBER)", stdout=subprocess.PIPE
    ) as process:
        return int(process.communicate()[0])


def test_a_module_is_found_where_the_caller_looks_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (1, 2):
        (tmp_path / str(place)).mkdir()
        (tmp_path / str(place) / "a_place.py").write_text(f"NUMBER = {place}")
    monkeypatch.syspath_prepend(str(tmp_path / "1"))
    first = worker_of_thread(WorkerContext.here())
    assert found() == 1
    monkeypatch.syspath_prepend(str(tmp_path / "2"))
    assert found() == 2
    assert worker_of_thread(WorkerContext.here()) is not first
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path / "1")
    assert found() == 1


def test_a_file_of_the_working_directory_is_not_taken_for_an_installed_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("json", "numpy", "warmdown"):
        (tmp_path / f"{library}.py").write_text("open('taken', 'w')")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    with WorkerContext.here().start(
        "-m", "warmdown", "--version", stdout=subprocess.PIPE
    ) as process:
        assert b"warmdown" in process.communicate()[0]
    assert not (tmp_path / "taken").exists()


def test_a_folder_that_is_not_on_this_machine_is_left_out(tmp_path: Path) -> None:
    far = WorkerContext(str(tmp_path / "none"), [str(tmp_path / "none"), *sys.path], {})
    with far.start("-c", "import os; print(os.getcwd())", stdout=subprocess.PIPE) as process:
        assert process.communicate()[0].decode().strip() == os.getcwd()


def test_the_process_ends_with_its_caller_though_a_child_of_the_caller_holds_its_input() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        worker, heir = map(int, caller.stdout.readline().split())
        caller.kill()
    end = os.pidfd_open(worker)
    try:
        assert select.select([end], [], [], 60.0)[0]
    finally:
        os.close(end)
        os.kill(heir, signal.SIGKILL)


def test_a_process_goes_on_while_its_caller_does_whoever_started_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = Event()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(perform, "_SECONDS_BETWEEN_SIGNS", 0.01)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as caller:
        watching = Thread(target=perform._end_with, args=(caller.pid,))
        watching.start()
        assert not ended.wait(0.1)
        caller.kill()
        assert ended.wait(20)  # it is over, though no one has asked for its exit code
        watching.join()


def test_a_process_that_is_gone_before_it_is_asked_is_a_result() -> None:
    class Gone(WorkerContext):
        def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
            process = super().start("-c", "raise SystemExit(7)", **options)
            process.wait()
            return process

    spec = RunSpec.of(wd.Plan.of(lr=wd.Constant(value=1.0)), "digits", 0, {})
    request = WorkRequest(spec.key, {"run": spec.to_dict()})
    answer = WorkerProcess(Gone.here()).ask(request, 20.0)
    assert (answer.status, answer.reason) == ("died", "its process ended with 7")


SCRIPTED = """
import json, sys, time
send = lambda **message: print(json.dumps(message), flush=True)
for request in map(json.loads, sys.stdin):
    send(alive=True)
    if "needs" in request:
        send(answer={"lacks": request["needs"]["modules"]})
    elif request == {"sleeps": True}:
        time.sleep(600)
    else:
        send(step=3, metrics={"loss": 0.5})
        send(answer=json.loads(sys.stdin.readline()))
"""


class Scripted(WorkerContext):
    """Starts a process that answers at once, without torch."""

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return super().start("-c", SCRIPTED, **options)


@pytest.fixture
def scripted() -> Iterator[WorkerProcess]:
    process = WorkerProcess(Scripted.here())
    yield process
    process.end()


def test_an_evaluation_is_reported_and_its_answer_given_to_the_process(
    scripted: WorkerProcess,
) -> None:
    heard: list[Any] = []

    def report(step: int, metrics: Any) -> bool:
        heard.append((step, metrics))
        return False

    answer = scripted.ask(WorkRequest("a", {"run": {}}, lambda: report), 20.0)
    assert answer == WorkAnswer("a", {"goes_on": False})
    assert heard == [(3, {"loss": 0.5})]


def test_a_report_that_cannot_be_made_or_fails_is_a_result(scripted: WorkerProcess) -> None:
    def fail(*_: Any) -> Any:
        raise OSError("no study")

    answer = scripted.ask(WorkRequest("a", {"run": {}}, fail), 20.0)
    assert (answer.status, answer.reason) == (
        "failed",
        "there is nothing to report to: OSError: no study",
    )
    answer = scripted.ask(WorkRequest("b", {"run": {}}, lambda: fail), 20.0)
    assert (answer.status, answer.reason) == (
        "failed",
        "its evaluation was not taken: OSError: no study",
    )
    # the process that waits for an answer is ended, and the next request has a new one
    assert scripted.ask(WorkRequest("c", {"run": {}}), 20.0).content == {"goes_on": True}


def test_a_process_without_a_sign_of_life_is_ended(scripted: WorkerProcess) -> None:
    process = scripted.start()
    answer = scripted.ask(WorkRequest("a", {"sleeps": True}), 0.1)
    assert answer == WorkAnswer("a", status="hung", reason="no sign of life for 0.1 s")
    assert process.returncode == -signal.SIGKILL


HEIR = """
import json, subprocess, sys
heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
sys.stdin.readline()
print(json.dumps({"answer": heir.pid}), flush=True)
sys.stdin.readline()
"""


def test_what_is_still_read_from_is_not_closed_so_that_no_reader_reads_from_the_next_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class WithHeir(WorkerContext):
        def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
            return super().start("-c", HEIR, **options)

    pipes: list[Any] = []
    ended = Event()

    def read(pipe: Any, lines: Any) -> None:
        pipes.append(pipe)
        pass_lines(pipe, lines)
        ended.set()

    pass_lines = worker._pass_lines
    monkeypatch.setattr(worker, "_pass_lines", read)
    process = WorkerProcess(WithHeir.here())
    answer: Any = process.ask(WorkRequest("a", {"run": {}}), 20.0)
    process.end()  # its heir has the other end of the pipe, and lives on
    (pipe,) = pipes
    was_closed = pipe.closed
    os.kill(answer.content, signal.SIGKILL)
    assert ended.wait(20)
    assert (was_closed, pipe.closed) == (False, True)


def test_a_process_looks_once_for_what_runs_need_and_again_when_something_is_missing(
    scripted: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ask = scripted.ask

    def count(*how: Any) -> WorkAnswer:
        asked.append(how)
        return ask(*how)

    monkeypatch.setattr(scripted, "ask", count)
    assert scripted.lacks(Needs("digits"), 20.0) == ()
    assert scripted.lacks(Needs("digits"), 20.0) == ()
    assert len(asked) == 1
    assert scripted.lacks(Needs("digits", modules=("far",)), 20.0) == ("far",)
    missing = Needs("digits", modules=("far",), require=lambda: "no journal")
    assert scripted.lacks(missing, 20.0) == ("far", "no journal")
    assert scripted.lacks(Needs("digits"), 20.0) == ()
    assert len(asked) == 4  # another process may find what was added
    assert scripted.lacks(Needs("digits", require=str), 20.0) == ()
    monkeypatch.setattr(scripted, "ask", lambda *_: WorkAnswer("needs", reason="it ended"))
    assert scripted.lacks(missing, 20.0) == ("it ended", "no journal")


def test_a_worker_that_lacks_something_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Scripted.here()
    needs = Needs("digits", modules=("far",))
    try:
        found = answer_in_worker(WorkRequest("a", {"run": {}}), 20.0, context, needs)
        assert found == WorkAnswer("a", lacks=("far",))
        # a request without content only asks for that
        assert answer_in_worker(WorkRequest("b", {}), 20.0, context) == WorkAnswer("b", {})
        found = answer_in_worker(WorkRequest("c", {"run": {}}), 20.0, context, Needs("digits"))
        assert found == WorkAnswer("c", {"goes_on": True})
    finally:
        worker_of_thread(context).end()


def test_the_processes_of_one_caller_are_ended_and_no_others() -> None:
    here = Scripted.here()
    mine, other = (WorkerProcess(replace(here, caller=name)) for name in ("mine", "other"))
    try:
        ended, lives = mine.start(), other.start()
        asyncio.run(kill_processes_of("mine"))
        assert ended.wait(20) == -signal.SIGKILL
        assert lives.poll() is None
    finally:
        mine.end()
        other.end()


class Breaking:
    """What answers requests in the place of a worker's process, and breaks the first times.

    Args:
        errors: What it raises, one after the other, before it answers.
    """

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.asked = [*errors], 0

    def __call__(self, request: WorkRequest, *_: Any) -> WorkAnswer:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return WorkAnswer(request.key, status="died", reason="out of memory")


def test_what_a_broken_engine_did_not_answer_is_made_again_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec.of(wd.Plan.of(lr=wd.Constant(value=1.0)), "digits", 0, {})
    lost = RuntimeError("the pool is gone")
    for errors, asked in (((lost, lost), 3), ((lost,) * 3, 3), ((wd.MissingExtra("a", "b"),), 1)):
        breaking = Breaking(*errors)
        monkeypatch.setattr(engine, "answer_in_worker", breaking)
        if asked == len(errors):
            with pytest.raises(type(errors[0])):
                run_all([spec], Store(tmp_path), engine="serial")
        else:
            (result,) = run_all([spec], Store(tmp_path), engine="serial")
            assert (result.status, result.reason) == ("died", "out of memory")
        assert breaking.asked == asked


def test_two_threads_of_a_worker_do_not_talk_into_one_process() -> None:
    helpers = []
    for _ in range(2):
        thread = Thread(target=lambda: helpers.append(worker_of_thread(WorkerContext.here())))
        thread.start()
        thread.join()
    here = worker_of_thread(WorkerContext.here())
    assert len({id(helper) for helper in [*helpers, here]}) == 3
    assert worker_of_thread(WorkerContext.here()) is here


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "loky", "dask"])
def test_runs_are_compared_while_an_event_loop_runs_as_in_a_notebook(engine: Any) -> None:
    async def cell() -> Comparison:
        plans = {"cosine": wd.warmup_cosine(), "constant": wd.Constant(1.0)}
        how: Any = {"max_steps": 5, "engine": engine, "jobs": 2}
        return compare(plans, "digits", seeds=1, **how)

    assert {row.name for row in asyncio.run(cell()).rows()} == {"cosine", "constant"}
