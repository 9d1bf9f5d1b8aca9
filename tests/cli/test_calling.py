"""Ctrl-C ends a command that trains in one line; the same command goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest

from warmdown.cli.signals import add_cwd_to_path, ends_by_ctrl_c

TASK = """
import time, torch
from warmdown.training import Task

def one_after_the_other():
    time.sleep(1.0)
    inputs = torch.ones(24, 1)
    data = torch.utils.data.TensorDataset(inputs, inputs)
    return Task(
        model=torch.nn.Linear(1, 1),
        loss=torch.nn.functional.mse_loss,
        train=data,
        test=data,
        lr=0.1,
        epochs=1,
    )
"""
SPACE = "run: {lr: {low: 1e-3, high: 1.0, log: true}}\nlr: {kind: cosine}\n"
CALLS = {
    "compare": ["compare", "constant", "--seeds", "40", "--out", "out"],
    "search": ["search", "space.yaml", "--trials", "40", "--out", "out"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_ends_the_command_and_all_its_processes_in_one_line(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "held_up_tasks.py").write_text(TASK)
    (tmp_path / "space.yaml").write_text(SPACE)
    process = started(name, tmp_path)
    while not (kept := list((tmp_path / "out").rglob("[!.]*.json"))):  # the lock goes with the run
        assert process.poll() is None
        time.sleep(0.05)  # the other process tells by its files alone
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Interrupted. Every run that was finished is in out")
    ends = time.monotonic() + 60
    while at_work_in(tmp_path):
        assert time.monotonic() < ends, at_work_in(tmp_path)
        time.sleep(0.05)
    for path in kept:
        json.loads(path.read_text())
    assert not list((tmp_path / "out").rglob(".*"))
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = started(name, tmp_path, "--seeds" if name == "compare" else "--trials", "2")
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def started(name: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start a command in a group of its own, as a shell does."""
    call = [
        sys.executable,
        "-m",
        "warmdown",
        *CALLS[name],
        "--task",
        "held_up_tasks:one_after_the_other",
        *more,
    ]
    return subprocess.Popen(
        call, cwd=folder, start_new_session=True, stderr=subprocess.PIPE, text=True
    )


def at_work_in(folder: Path) -> list[str]:
    """Return the processes that were started in a folder and still live."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found += [place.parent.name] if place.readlink() == folder else []
    return found


def test_the_line_says_what_is_left_and_the_code_is_that_of_shells(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(click.exceptions.Exit) as ended, ends_by_ctrl_c("All is well."):
        signal.raise_signal(signal.SIGINT)
    assert ended.value.exit_code == 130
    assert capfd.readouterr().err == "\nInterrupted. All is well.\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait_for_the_tidying_up() -> None:
    twice = """
import signal
from warmdown.cli.signals import ends_by_ctrl_c
with ends_by_ctrl_c(""):
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        print("not reached")
"""
    done = subprocess.run(
        [sys.executable, "-c", twice], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_beside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def inside() -> None:
        with ends_by_ctrl_c(""):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_module_in_the_folder_of_the_call_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    add_cwd_to_path()
    add_cwd_to_path()
    assert sys.path == ["/elsewhere", ""]
