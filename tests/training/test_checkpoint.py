"""A checkpoint is whole or not there; what is damaged is named; the newest good one is found."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from warmdown import StateError, TrainingError
from warmdown.training import Checkpoints
from warmdown.training.checkpoint import Writer, verify, write_folder


def text(content: str) -> dict[str, Writer]:
    return {"a.txt": writer(content), "b.bin": writer("\x00" * 100)}


def writer(content: str) -> Writer:
    def write(path: Path) -> None:
        path.write_text(content)

    return write


def save(checkpoints: Checkpoints, *updates: int) -> list[Path]:
    checkpoints.open()
    return [checkpoints.save(update, text(f"state {update}")) for update in updates]


def test_what_was_saved_is_found_and_whole(tmp_path: Path) -> None:
    (path,) = save(Checkpoints(tmp_path / "new" / "folder"), 300)
    assert path.name == "update-00000300"
    assert (path / "a.txt").read_text() == "state 300"
    assert set(verify(path)) == {"a.txt", "b.bin"}


def test_the_newest_good_one_is_found(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    paths = save(checkpoints, 9, 100, 1000)
    assert checkpoints.newest_good() == (paths[2], [])
    assert Checkpoints(tmp_path / "nothing here").newest_good() == (None, [])


@pytest.mark.parametrize("file", ["a.txt", "b.bin", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "empty"])
def test_a_damaged_file_is_named_and_the_one_before_is_taken(
    tmp_path: Path, file: str, damage: str
) -> None:
    checkpoints = Checkpoints(tmp_path)
    before, newest = save(checkpoints, 1, 2)
    content = bytearray((newest / file).read_bytes())
    if damage == "lose":
        (newest / file).unlink()
    else:
        content[len(content) // 2] ^= 1
        changed = {
            "flip": bytes(content),
            "cut": bytes(content[: len(content) // 2]),
            "empty": b"",
        }[damage]
        (newest / file).write_bytes(changed)
    with pytest.raises(StateError, match=file):
        verify(newest)
    good, damages = checkpoints.newest_good()
    assert good == before
    assert len(damages) == 1
    assert file in damages[0]


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    save(checkpoints, 1, 2, 3, 4)
    assert [path.name for path in checkpoints.all()] == ["update-00000003", "update-00000004"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "update-00000003",
        "update-00000004",
    ]
    with pytest.raises(TrainingError, match="at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_a_full_disk_leaves_the_last_one_and_no_rubbish(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        path.write_bytes(b"half")
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"x" * 10)

    checkpoints = Checkpoints(tmp_path)
    (good,) = save(checkpoints, 1)
    with pytest.raises(
        TrainingError,
        match=r"update=2.*No space left.*last good one is "
        r".*update-00000001",
    ) as told:
        checkpoints.save(2, {"a.txt": full})
    assert isinstance(told.value.__cause__, OSError)
    assert told.value.__cause__.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == [good]
    verify(good)


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot be written.*Give a folder"):
        Checkpoints(tmp_path / "file" / "checkpoints").open()


@pytest.mark.unix
def test_a_folder_without_the_right_to_write_is_refused_at_once(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(TrainingError, match="Permission denied"):
        Checkpoints(tmp_path).open()


@pytest.mark.parametrize(
    "moment", ["writing a file", "after the files", "between two names", "letting go"]
)
def test_a_kill_leaves_a_whole_checkpoint(tmp_path: Path, moment: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    save(checkpoints, 1)
    child = os.fork()
    if child == 0:  # the process that is killed, for real
        _die_at(moment)
        checkpoints.save(1 if moment == "between two names" else 2, text("newer"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    again = Checkpoints(tmp_path, keep=1)
    again.open()
    found, damages = again.newest_good()
    assert found is not None
    assert damages == []
    assert (found / "a.txt").read_text() in ("state 1", "newer")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def _die_at(moment: str) -> None:
    from warmdown.training import checkpoint

    module: Any = checkpoint

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "writing a file":
        module.sync_file = die
    elif moment == "after the files":
        module._write_manifest = die
    elif moment == "letting go":
        shutil.rmtree = lambda path, **kwargs: die() if str(path).endswith(".leaving") else None  # type: ignore[assignment]
    else:
        move = module.rename_path

        def once(source: Path, target: Path) -> None:
            move(source, target)
            if str(target).endswith(".leaving"):
                die()

        module.rename_path = once


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", {"a": writer("1"), "b": writer("2")})
    write_folder(tmp_path / "x", {"a": writer("3")})
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["a", "manifest.json"]
    assert (tmp_path / "x" / "a").read_text() == "3"


def test_a_checkpoint_of_a_later_format_is_not_guessed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.training.checkpoint._FORMAT", 2)
    write_folder(tmp_path / "x", {"a": writer("1")})
    monkeypatch.undo()
    with pytest.raises(StateError, match=r"format 2, and this version reads 1\. Upgrade"):
        verify(tmp_path / "x")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..", "sub/a"])
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("1")
    path = write_folder_with_manifest(tmp_path / "update-1", {name: [1, digest_of_text("1")]})
    with pytest.raises(StateError, match=r"manifest\.json is damaged"):
        verify(path)


@pytest.mark.parametrize("files", [["a"], {"a": 1}, {"a": [1, 2, 3]}, None, "a"])
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, files: object) -> None:
    with pytest.raises(StateError, match=r"manifest\.json is damaged"):
        verify(write_folder_with_manifest(tmp_path / "update-1", files))


def write_folder_with_manifest(path: Path, files: object) -> Path:
    """Write what an attacker would: a manifest that adds up."""
    path.mkdir()
    manifest: dict[str, object] = {"format": 1, "files": files}
    manifest["sha256"] = digest_of_text(json.dumps(manifest, sort_keys=True))
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
