"""One process writes a run's folder or file at a time: a lock that a crash releases, and a note.

::

    runs/x/
    ├── .lock           locked by the operating system while a run is at work; left by a kill
    └── .lock.json      process, host and time of the one that has the lock

The lock of a file lies beside it, as ``.record.jsonl.lock``; one that failed leaves its error in
the note of its record, ``.record.jsonl.lock.json``. Whoever only reads takes none.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from warmdown.errors import MissingExtra, TrainingError, printable
from warmdown.files import remove_parts, require_writable, require_writable_file, write_whole

_LONGEST_ERROR = 300
_PATIENCE_SECONDS = 1.0
"""How long a start waits: a process that was just killed lets go, a new one writes its note."""


class Output(NamedTuple):
    """What a run writes, and no other process meanwhile.

    Args:
        label: How it is named in an error: ``RecordCallback('run/record.jsonl')``.
        path: The file, or the folder.
        is_folder: Whether it is a folder.
    """

    label: str
    path: Path
    is_folder: bool = False

    @property
    def lock_file(self) -> Path:
        """Where its lock lies."""
        path = self.path.resolve()
        return path / ".lock" if self.is_folder else path.with_name(f".{path.name}.lock")


@contextmanager
def locked(outputs: Iterable[Output]) -> Iterator[None]:
    """Hold the lock of every output, made writable before; the same thread may do so several times.

    Raises:
        TrainingError: One cannot be written, or another process holds it; the message names that
            process.
        MissingExtra: filelock is not installed.

    Example:
        >>> from pathlib import Path
        >>> with locked([Output("train(--out run)", Path("run"), is_folder=True)]):
        ...     sorted(path.name for path in Path("run").iterdir())
        ['.lock', '.lock.json']
        >>> list(Path("run").iterdir())
        []
    """
    with ExitStack() as locks:
        for output in outputs:
            locks.enter_context(_output_locked(output))
        yield


def require_unlocked(folder: Path, label: str) -> None:
    """Refuse where another process writes something in a folder, at any depth.

    Raises:
        TrainingError: One does; the message names it.
    """
    with ExitStack() as locks:
        for file in folder.rglob("*.lock"):
            locks.enter_context(_acquired(file, label))


def is_locked(output: Output) -> bool | None:
    """Return whether a process is at work there; ``None`` where there is no lock to be seen."""
    try:
        from filelock import FileLock
    except ImportError:
        return None
    if not output.lock_file.is_file():
        return None
    try:
        with FileLock(output.lock_file, timeout=0):
            return False
    except OSError:  # its Timeout is one too
        return True


def has_note(folder: Path) -> bool:
    """Return whether a process has noted that it writes a folder."""
    return _note_beside(Output("", folder, is_folder=True).lock_file).exists()


def failure_of(output: Output) -> str:
    """Return the error with which the last process left, where it failed."""
    try:
        note = _note_beside(output.lock_file).read_text(encoding="utf-8")
        return str(json.loads(note)["failed"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextmanager
def _output_locked(output: Output) -> Iterator[None]:
    require = require_writable if output.is_folder else require_writable_file
    require(output.path, output.label)
    file = output.lock_file
    with ExitStack() as released, _acquired(file, output.label) as lock:
        note, failed = _note_beside(file), ""
        try:
            if lock.lock_counter == 1:
                _write_note(note, output.label)
            yield
        except BaseException as error:
            failed = f"{type(error).__name__}: {printable(str(error), as_line=True)}"[
                :_LONGEST_ERROR
            ]
            raise
        finally:
            # a forked child that comes by here has no lock, and must leave the files to its parent
            if lock.lock_counter == 1:
                note.unlink(missing_ok=True)
                if failed and output.path.is_file():
                    # the disk may be full, which is then what failed
                    with suppress(OSError):
                        write_whole(note, json.dumps({"failed": failed}))
                if _is_in_use(file):
                    # open no more, it can go; Windows keeps it where another has opened it since
                    released.callback(_is_in_use, file)


def _is_in_use(lock_file: Path) -> bool:
    """Remove a lock's file; return whether it stays because the system removes no open file."""
    try:
        # a file system without locks (Lustre may have none) gets a file with its holder in it,
        # which filelock removes
        if lock_file.stat().st_size == 0:
            lock_file.unlink()
    except PermissionError as error:
        return getattr(error, "winerror", None) is not None
    except OSError:
        pass
    return False


@contextmanager
def _acquired(file: Path, label: str) -> Iterator[Any]:
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtra("a run that writes files", "filelock", "train") from None
    lock = FileLock(file, timeout=_PATIENCE_SECONDS, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"{label}: {_holder(_note_beside(file))}. Wait until it has ended, end it, or give "
            f"another place."
        ) from None
    except OSError as error:
        raise TrainingError(
            f"{label}: cannot be locked by {file}: {error.strerror or error}."
        ) from None
    try:
        yield lock
    finally:
        lock.release()


def _note_beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _write_note(note: Path, label: str) -> None:
    facts = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
    }
    try:
        remove_parts(note)
        write_whole(note, json.dumps(facts))
    except OSError as error:
        raise TrainingError(
            f"{label}: cannot be written: {error.strerror or error}. Make room, or give another "
            f"place."
        ) from None


def _holder(note: Path) -> str:
    """Return who writes there, as far as it is known."""
    try:
        facts = json.loads(note.read_text(encoding="utf-8"))
        pid, host, since = int(facts["pid"]), str(facts["host"])[:80], str(facts["since"])[:40]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process writes there"
    return f"process {pid} on {ascii(host)[1:-1]} writes there, since {ascii(since)[1:-1]}"
