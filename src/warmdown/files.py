"""Files that are there as a whole or not at all, in folders that can be written."""

from __future__ import annotations

__all__ = ["replaced", "require_writable", "require_writable_file", "write_whole"]

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warmdown.errors import TrainingError
from warmdown.system import rename_path, sync_file

_BELOW = 64
"""Characters that the longest path below a run's folder has; a probe's name has as many."""
_LONG = 180
"""Characters of a folder's path from which a system may find it too long: Windows' limit is 260."""


def write_whole(path: Path, content: bytes | str) -> None:
    r"""Write ``content`` beside its place, and move it there when all of it is on the disk.

    Whoever reads the file meanwhile, or after the machine stopped, finds what was there before or
    what is there now. A file that was there keeps its rights; a text is written as UTF-8.

    Raises:
        OSError: It cannot be written; what was there is untouched.

    Example:
        >>> from pathlib import Path
        >>> write_whole(Path("plan.yaml"), "lr: 0.1\n")
        >>> Path("plan.yaml").read_text()
        'lr: 0.1\n'
    """
    with replaced(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a place beside ``path`` to write to, and move it to ``path`` after the block.

    The name cannot be guessed, so that no other user of the folder can place a link there. The part
    has the rights of the file that was there from the first byte on.

    Raises:
        OSError: It cannot be written; what was there is untouched.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        part.touch(exist_ok=False)
        if path.exists():
            part.chmod(path.stat().st_mode & 0o7777 | 0o200)
        yield part
        sync_file(part)
        if path.exists():
            part.chmod(path.stat().st_mode & 0o7777)
        rename_path(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(path: Path) -> None:
    """Remove what writers of a file left that were killed; no other may write it meanwhile."""
    for part in path.parent.iterdir():
        if part.name.startswith(f".{path.name}.") and part.suffix == ".tmp":
            part.unlink(missing_ok=True)


def require_writable(folder: Path, label: str) -> None:
    """Make a folder where it is missing, and refuse it where no file can be written into it.

    Args:
        folder: The folder.
        label: How it is named in the error: ``train(--out runs/x)``.

    Raises:
        TrainingError: It cannot be made, or not written.
    """
    probe = folder / f".{secrets.token_hex(4)}{'_' * _BELOW}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"0")
        finally:
            # with it those of processes that were killed between these two lines
            for left in folder.glob(f".{'?' * 8}{'_' * _BELOW}.tmp"):
                left.unlink(missing_ok=True)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        length = len(str(folder.absolute()))
        way_out = "Give a folder that you may write to, and that has room."
        if length > _LONG:
            way_out = f"Its path has {length} characters, which may be too many. {way_out}"
        raise TrainingError(f"{label}: {reason}. {way_out}") from None


def require_writable_file(file: Path, label: str) -> None:
    """Refuse a file that could not be written, before what is to be in it is made.

    Raises:
        TrainingError: It is a folder, or its folder cannot be made or written.
    """
    if file.is_dir():
        raise TrainingError(f"{label}: cannot be written: it is a folder. Give the name of a file.")
    require_writable(file.parent, label)
