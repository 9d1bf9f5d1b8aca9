"""What differs between systems; under the double of tests/windows these try the other branch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from warmdown import system

SLEEPING = "import time; time.sleep(60)"


def wait_until_gone(process: psutil.Process) -> None:
    psutil.wait_procs([process], timeout=20)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_process_is_ended_with_what_it_started() -> None:
    starting = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPING!r}])"
    process = subprocess.Popen([sys.executable, "-c", starting], **system.NEW_GROUP)
    parent = psutil.Process(process.pid)
    while not (children := parent.children()):
        time.sleep(0.01)
    system.end_tree(process)
    process.wait(20)
    wait_until_gone(children[0])


def test_a_process_that_takes_too_much_memory_is_ended() -> None:
    taking = "input(); taken = bytearray(400_000_000); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", taking], stdin=subprocess.PIPE, **system.NEW_GROUP
    )
    system.watch_memory(process, 200_000_000)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.wait(20) != 0
    process.stdin.close()


def test_memory_that_a_process_takes_by_one_that_it_started_counts_too() -> None:
    taking = "input(); taken = bytearray(400_000_000); input()"
    launching = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {taking!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", launching], stdin=subprocess.PIPE, **system.NEW_GROUP
    )
    launcher = psutil.Process(process.pid)
    while not launcher.children():
        time.sleep(0.01)
    system.watch_memory(process, 200_000_000)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.wait(20) != 0
    process.stdin.close()


def test_a_process_that_takes_little_memory_goes_on() -> None:
    taking = "input(); taken = bytearray(20_000_000); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", taking], stdin=subprocess.PIPE, **system.NEW_GROUP
    )
    system.watch_memory(process, 200_000_000)
    process.communicate(b"\n\n", timeout=20)
    assert process.returncode == 0


def test_a_block_that_takes_too_long_ends_its_process() -> None:
    ending = (
        "import time\nfrom warmdown.system import ending_after\n"
        "with ending_after(30): pass\nwith ending_after(None): pass\n"
        "with ending_after(0.2): time.sleep(60)"
    )
    process = subprocess.run([sys.executable, "-c", ending], timeout=50, check=False)
    assert process.returncode != 0


def test_a_file_in_use_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    replace = os.replace

    def busy(source: Any, target: Any, **places: Any) -> None:
        tries.append(target)
        if len(tries) < 3:
            error = PermissionError(13, "in use")
            error.winerror = 32  # type: ignore[attr-defined]
            raise error
        replace(source, target, **places)

    monkeypatch.setattr(os, "replace", busy)
    (tmp_path / "new").write_text("new")
    system.rename_path(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    assert len(tries) == 3


def test_a_right_that_lacks_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def refuse(source: Any, target: Any, **places: Any) -> None:
        tries.append(target)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        system.rename_path(tmp_path / "new", tmp_path / "old")
    assert len(tries) == 1


def test_a_file_that_stays_in_use_is_an_error_after_some_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def busy(source: Any, target: Any, **places: Any) -> None:
        tries.append(target)
        error = PermissionError(13, "in use")
        error.winerror = 5  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(system, "_PATIENCE", 4 * 1e-4)
    monkeypatch.setattr(system, "_PAUSE", 1e-4)
    with pytest.raises(PermissionError, match="in use"):
        system.rename_path(tmp_path / "new", tmp_path / "old")
    assert len(tries) == 5


def test_where_no_folder_can_be_opened_there_is_none_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", frozenset())
    assert system.open_folder(tmp_path) is None
    system.sync_folder(tmp_path)


def test_where_opening_follows_links_they_are_looked_for_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_NOFOLLOW", raising=False)
    monkeypatch.setattr(system, "_READ", os.O_RDONLY)
    (tmp_path / "file").write_text("told")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="link"):
        system.open_no_link(str(tmp_path / "link"))
    os.close(system.open_no_link(str(tmp_path / "file")))


@pytest.mark.unix
def test_where_there_are_no_groups_of_processes_each_child_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "killpg", raising=False)
    process = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], **system.NEW_GROUP)
    parent = psutil.Process(process.pid)
    while not (children := parent.children()):
        time.sleep(0.01)
    system.end_tree(process)
    process.wait(20)
    wait_until_gone(children[0])
    system.end_tree(process)  # and is nothing where it has ended
    alone = subprocess.Popen(["sleep", "60"], **system.NEW_GROUP)
    system.end_tree(alone)
    assert alone.wait(20) != 0


def test_where_no_alarm_can_be_set_a_thread_ends_the_process_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []
    ended = threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.delattr(signal, "setitimer", raising=False)
    monkeypatch.setattr(os, "_exit", end)
    with system.ending_after(None):
        pass
    with system.ending_after(60):
        assert threading.active_count() > 1
    with system.ending_after(0.001):
        assert ended.wait(20)
    assert codes == [142]


def test_where_memory_cannot_be_limited_that_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system.limit_memory(10**9) is False


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("plan", "plan"),
        ("tête à tête", "tête à tête"),
        ("con", "_con"),
        ("COM1.large", "_COM1.large"),
        ("nul .x", "_nul .x"),
        ("console", "console"),
        ("lr*2?", "lr_2_"),
        (r"C:\runs|x", "C__runs_x"),
        ("half. ", "half_"),
        ("..", "_"),
        ("", "_"),
    ],
)
def test_a_name_becomes_that_of_a_folder_on_every_system(name: str, folder: str) -> None:
    assert system.folder_name(name) == folder


def test_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("told")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="link"):
        system.open_no_link(str(tmp_path / "link"))
    with open(system.open_no_link(str(tmp_path / "file")), encoding="utf-8") as file:
        assert file.read() == "told"


def test_what_is_written_can_be_synced_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("told")
    system.sync_file(folder / "file")
    system.sync_folder(folder)
    system.remove_folder(folder)
    assert not folder.exists()
