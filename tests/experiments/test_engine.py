"""A run is made in a worker that finds the caller's modules and ends with the caller."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import warmdown as wd
from warmdown.experiments import Comparison, compare, perform
from warmdown.experiments.runs import RunSpec
from warmdown.experiments.worker import WorkerContext, WorkerProcess, WorkRequest, worker_of_thread

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
