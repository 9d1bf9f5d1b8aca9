"""Files that are there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmdown.errors import TrainingError
from warmdown.files import replaced, require_writable, write_whole


@pytest.mark.parametrize("content", ["ä\n", "ä\n".encode()])
def test_a_text_is_written_as_utf_8_and_bytes_as_they_are(
    tmp_path: Path, content: str | bytes
) -> None:
    write_whole(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\n"


def test_a_file_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_was_there_stays_and_nothing_lies_beside_it_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "a", []
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda handle: seen.append(path.read_text()))
    write_whole(path, "new")
    assert (seen, path.read_text()) == (["old"], "new")


def test_what_is_written_beside_a_file_has_its_rights_from_the_first_byte_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o600)
    with replaced(path) as part:
        assert part.stat().st_mode & 0o777 == 0o600
        part.write_text("new")
    assert path.read_text() == "new"


def test_the_place_beside_a_file_is_another_each_time_so_that_no_link_can_wait_there(
    tmp_path: Path,
) -> None:
    names = []
    for _ in range(3):
        with replaced(tmp_path / "a") as part:
            names.append(part.name)
    assert len(set(names)) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_probe_of_a_process_that_was_killed_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*args: object, **kwargs: object) -> None:
        raise Killed

    other = tmp_path / ".other.tmp"
    other.touch()
    with monkeypatch.context() as moment:
        moment.setattr(Path, "unlink", killed)
        with pytest.raises(Killed):
            require_writable(tmp_path, "train(--out x)")
    assert len([*tmp_path.iterdir()]) == 2
    require_writable(tmp_path, "train(--out x)")
    assert [*tmp_path.iterdir()] == [other]


def test_a_folder_in_which_a_runs_files_would_have_too_long_a_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("deep" * 50)
    written: list[int] = []
    write = Path.write_bytes

    def refuse_what_is_long(path: Path, content: bytes) -> int:
        written.append(len(str(path)) - len(str(folder)) - 1)
        if len(str(path)) > 259:
            raise FileNotFoundError(2, "The system cannot find the path specified")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse_what_is_long)
    length = len(str(folder))
    with pytest.raises(TrainingError, match=f"Its path has {length} characters, which may be too"):
        require_writable(folder, "train(--out deep)")
    # a checkpoint's files: update-00000300 under a hidden name, with the longest name in it
    assert written[0] >= len("checkpoints/.update-00000300.writing/model.safetensors")
