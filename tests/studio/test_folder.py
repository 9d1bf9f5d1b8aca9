"""The folder, attacked: paths, links, pipes, large and changing files; writes are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from warmdown.errors import SpecError
from warmdown.studio.security.folder import LARGEST_FILE, Folder, StaleFile


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """Return a folder with a file beside it that must not be had."""
    (tmp_path / "plans").mkdir()
    (tmp_path / "secret.yaml").write_text("secret")
    opened = Folder(tmp_path / "plans")
    yield opened
    opened.close()


PATHS = [
    "../secret.yaml", "/etc/passwd", "..", "", "a/../../secret.yaml", "..\\secret.yaml",
    "C:secret.yaml", "plan.yaml\x00", "plan.py", ".hidden.yaml", "a\nb.yaml", "x" * 200 + ".yaml",
]  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_only_plain_names_of_plan_files_are_taken(folder: Folder, name: str) -> None:
    with pytest.raises(SpecError, match="not a name"):
        folder.read(name)
    with pytest.raises(SpecError, match="not a name"):
        folder.write(name, "x", None)
    assert (folder.path.parent / "secret.yaml").read_text() == "secret"


def test_a_link_is_neither_listed_nor_read_nor_written_through(folder: Folder) -> None:
    (folder.path / "link.yaml").symlink_to(folder.path.parent / "secret.yaml")
    assert folder.names() == []
    with pytest.raises(SpecError, match="link"):
        folder.read("link.yaml")
    with pytest.raises(SpecError, match="link"):
        folder.write("link.yaml", "x", None)
    assert (folder.path.parent / "secret.yaml").read_text() == "secret"


def test_what_is_no_file_is_refused_without_waiting_for_it(folder: Folder) -> None:
    os.mkfifo(folder.path / "pipe.yaml")
    (folder.path / "folder.yaml").mkdir()
    assert folder.names() == []
    for name in ("pipe.yaml", "folder.yaml"):
        with pytest.raises(SpecError, match="not a file"):
            folder.read(name)


def test_what_is_too_large_or_no_text_is_refused(folder: Folder) -> None:
    (folder.path / "large.yaml").write_bytes(b"a" * (LARGEST_FILE + 1))
    (folder.path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="too many"):
        folder.read("large.yaml")
    with pytest.raises(SpecError, match="UTF-8"):
        folder.read("bytes.yaml")
    with pytest.raises(SpecError, match="no such file"):
        folder.read("none.yaml")


@pytest.mark.unix
def test_a_folder_that_was_moved_stays_the_one_it_was(folder: Folder) -> None:
    folder.write("a.yaml", "1", None)
    folder.path.rename(folder.path.with_name("elsewhere"))
    folder.path.symlink_to("/etc")
    assert folder.names() == ["a.yaml"]


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(folder: Folder) -> None:
    stamp = folder.write("a.yaml", "lr: cosine\n", None)
    assert folder.read("a.yaml")[0] == "lr: cosine\n"
    folder.write("a.yaml", "lr: linear\n", stamp)
    assert [path.name for path in folder.path.iterdir()] == ["a.yaml"]


def test_a_file_that_changed_on_disk_is_not_overwritten(folder: Folder) -> None:
    stamp = folder.write("a.yaml", "mine", None)
    (folder.path / "a.yaml").write_text("theirs")
    with pytest.raises(StaleFile, match="changed on disk"):
        folder.write("a.yaml", "mine again", stamp)
    with pytest.raises(StaleFile):
        folder.write("a.yaml", "new", None)
    assert folder.read("a.yaml")[0] == "theirs"
    folder.write("a.yaml", "mine again", folder.stamp("a.yaml"))
    assert folder.read("a.yaml")[0] == "mine again"


def test_a_file_that_was_removed_meanwhile_is_written_anew(folder: Folder) -> None:
    stamp = folder.write("a.yaml", "mine", None)
    (folder.path / "a.yaml").unlink()
    folder.write("a.yaml", "mine again", stamp)
    assert folder.read("a.yaml")[0] == "mine again"


@pytest.mark.unix
def test_a_name_that_is_no_text_or_turns_letters_around_is_not_listed(folder: Folder) -> None:
    for name in (b"gr\xfcn.yaml", "\u202elmay.yaml".encode(), b"plan.yaml"):
        with open(os.fsencode(folder.path) + b"/" + name, "w") as file:
            file.write("lr: cosine\n")
    assert folder.names() == ["plan.yaml"]


def test_a_write_that_fails_leaves_the_old_file(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = folder.write("a.yaml", "old", None)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpecError, match="No space left"):
        folder.write("a.yaml", "new", stamp)
    assert [path.name for path in folder.path.iterdir()] == ["a.yaml"]
    assert folder.read("a.yaml")[0] == "old"


def test_a_folder_that_is_only_read_takes_no_plan(folder: Folder) -> None:
    folder.write("a.yaml", "old", None)
    with closing(Folder(folder.path, is_read_only=True)) as only_read:
        with pytest.raises(SpecError, match="this page writes nothing"):
            only_read.write("a.yaml", "new", only_read.stamp("a.yaml"))
        assert only_read.read("a.yaml")[0] == "old"


def test_a_file_keeps_its_rights_when_it_is_written(folder: Folder) -> None:
    stamp = folder.write("a.yaml", "1", None)
    (folder.path / "a.yaml").chmod(0o600)
    folder.write("a.yaml", "2", stamp)
    assert (folder.path / "a.yaml").stat().st_mode & 0o777 == 0o600
