"""The lock of what a run writes: who holds it is named, and whoever is gone holds nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.training.processes import end, start, wait_until

from warmdown.errors import MissingExtra, TrainingError
from warmdown.lock import Output, failure_of, is_locked, locked, require_unlocked


@pytest.fixture
def folder(tmp_path: Path) -> Output:
    return Output("train(--out run)", tmp_path / "run", is_folder=True)


@contextmanager
def held_elsewhere(output: Output, tmp_path: Path) -> Iterator[int]:
    """Hold it in another process, which has a child of its own that outlives it."""
    holds, worker = tmp_path / "holds", tmp_path / "worker"

    def work() -> None:
        with locked([output]):
            child = os.fork()  # as a loader's worker
            if not child:
                signal.pause()
                os._exit(0)
            worker.write_text(str(child))
            holds.touch()
            signal.pause()

    process = start(work, tmp_path / "said")
    wait_until(holds.exists, process)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        end(process)
        os.kill(int(worker.read_text()), signal.SIGKILL)


def test_a_second_process_is_refused_in_words_that_name_the_first(
    folder: Output, tmp_path: Path
) -> None:
    with (
        held_elsewhere(folder, tmp_path) as holder,
        pytest.raises(TrainingError) as refusal,
        locked([folder]),
    ):
        pass
    assert refusal.match(rf"train\(--out run\): process {holder} on \S+ writes there, since ")
    assert refusal.match(r".*since [-: \d]{19}\. Wait until")


def test_a_killed_process_holds_nothing_though_a_worker_of_it_lives_on(
    folder: Output, tmp_path: Path
) -> None:
    with held_elsewhere(folder, tmp_path) as holder:
        os.kill(holder, signal.SIGSTOP)
        with pytest.raises(TrainingError, match=f"process {holder} "), locked([folder]):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitid(os.P_PID, holder, os.WEXITED | os.WNOWAIT)
        with locked([folder]):
            assert f'"pid": {os.getpid()}' in (folder.path / ".lock.json").read_text()


def test_a_note_that_is_no_note_is_not_repeated(folder: Output, tmp_path: Path) -> None:
    with held_elsewhere(folder, tmp_path):
        for text, words in [
            ("{", "another process writes there"),
            (
                '{"pid": 7, "host": "\\u001b[2Jx", "since": "now"}',
                r"process 7 on \\x1b\[2Jx writes "
                r"there, since now",
            ),
        ]:
            (folder.path / ".lock.json").write_text(text)
            with pytest.raises(TrainingError, match=words), locked([folder]):
                pass


def test_another_thread_is_another_writer_and_the_same_one_is_not(folder: Output) -> None:
    refused: list[str] = []

    def try_it() -> None:
        try:
            with locked([folder]):
                pass
        except TrainingError as error:
            refused.append(str(error))

    with locked([folder]):
        with locked([folder]):
            pass
        other = threading.Thread(target=try_it)
        other.start()
        other.join()
    assert f"process {os.getpid()} on" in refused[0]
    assert list(folder.path.iterdir()) == []


def test_two_files_in_one_folder_do_not_hinder_each_other(tmp_path: Path) -> None:
    first, second = (Output(name, tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    with held_elsewhere(first, tmp_path):
        with locked([second]):
            pass
        with pytest.raises(TrainingError, match=r"a\.jsonl"), locked([second, first]):
            pass
        with locked([second]):  # the one before the refused one was let go
            pass


def test_a_lock_deep_in_a_folder_is_found(tmp_path: Path) -> None:
    inside = Output("x", tmp_path / "run" / "checkpoints", is_folder=True)
    require_unlocked(tmp_path / "run", "train")
    with (
        held_elsewhere(inside, tmp_path) as holder,
        pytest.raises(TrainingError, match=f"train: process {holder} "),
    ):
        require_unlocked(tmp_path / "run", "train")


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_cannot_be_written_is_refused(is_folder: bool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (
        Path("/proc/none/run"),
        tmp_path / "file" / "run",
        tmp_path / "file" / "x" / "run",
    ):
        with (
            pytest.raises(TrainingError, match=r"^me: cannot be written: .*\. Give"),
            locked([Output("me", path, is_folder)]),
        ):
            pass
    with (
        pytest.raises(TrainingError, match=r"it is a folder\. Give the name of a file"),
        locked([Output("me", tmp_path)]),
    ):
        pass


def test_a_disk_that_is_full_leaves_no_lock(
    folder: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("warmdown.lock.write_whole", full)
        with (
            pytest.raises(TrainingError, match="cannot be written: No space left"),
            locked([folder]),
        ):
            pass
    with locked([folder]):
        pass


def test_a_file_system_without_locks_is_made_do(
    folder: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lustre may be mounted so; the lock is then a file that names its holder."""

    def missing(fd: int, how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.warns(UserWarning, match="falling back"), locked([folder]):
        assert (folder.path / ".lock").stat().st_size
    assert list(folder.path.iterdir()) == []


def test_without_filelock_nothing_is_known_and_nothing_is_written(
    folder: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    assert is_locked(folder) is None
    with (
        pytest.raises(MissingExtra, match=r"filelock: pip install 'warmdown\[train\]'"),
        locked([folder]),
    ):
        pass
    assert [*folder.path.iterdir()] == []


def test_a_lock_that_cannot_be_made_is_an_error_that_names_it(folder: Output) -> None:
    (folder.path / ".lock").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"cannot be locked by .*\.lock: "), locked([folder]):
        pass


@pytest.mark.parametrize(
    ("error", "winerror", "tries"),
    [(PermissionError, 32, 2), (PermissionError, None, 1), (FileNotFoundError, None, 1)],
)
def test_a_lock_that_another_has_opened_goes_with_the_last_of_them(
    error: type[OSError],
    winerror: int | None,
    tries: int,
    folder: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows removes no file that is open; then it is tried once more when this one is closed."""
    unlink, tried = Path.unlink, 0

    def busy(path: Path, missing_ok: bool = False) -> None:
        nonlocal tried
        tried += path.name == ".lock"
        if path.name == ".lock" and tried == 1:
            refusal: Any = error(13, "in use, or gone")
            if winerror:
                refusal.winerror = winerror
            raise refusal
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", busy)
    with locked([folder]):
        pass
    assert tried == tries
    assert (folder.path / ".lock").exists() is (tries == 1)


def test_a_note_that_a_kill_cut_short_is_gone_once_the_next_has_the_lock(folder: Output) -> None:
    folder.path.mkdir()
    left = folder.path / "..lock.json.26b215e0887b170c.tmp"
    left.write_text('{"pi')
    with locked([folder]):
        assert not left.exists()
    assert list(folder.path.iterdir()) == []


def test_whether_a_process_is_at_work_is_seen_without_a_trace(
    folder: Output, tmp_path: Path
) -> None:
    assert is_locked(folder) is None
    with held_elsewhere(folder, tmp_path):
        assert is_locked(folder) is True
    assert is_locked(folder) is False
    assert (folder.path / ".lock").exists()
    with locked([folder]):
        assert is_locked(folder) is True
    assert is_locked(folder) is None


def test_whoever_fails_leaves_its_error_beside_its_record_alone(folder: Output) -> None:
    record = Output("record", folder.path / "record.jsonl")
    with pytest.raises(RuntimeError), locked([folder, record]):
        raise RuntimeError("nothing was written yet")
    assert list(folder.path.iterdir()) == []

    def fail() -> None:
        record.path.touch()
        raise RuntimeError("out of memory\nin two lines")

    with pytest.raises(RuntimeError), locked([folder, record]):
        fail()
    assert not (folder.path / ".lock.json").exists()
    assert failure_of(record).startswith("RuntimeError: out of memory")
    assert "\n" not in failure_of(record)
    with locked([folder, record]):
        assert failure_of(record) == ""
    assert [path.name for path in folder.path.iterdir()] == ["record.jsonl"]
