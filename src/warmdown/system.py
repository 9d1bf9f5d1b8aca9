"""What differs between systems, decided by what is there and not by the system's name.

Windows opens no folder, refuses to replace or remove a file that is open, and has no process
groups, alarms or limits of memory; macOS has no ``/proc``, and no end of a child with its parent.
"""

from __future__ import annotations

__all__ = [
    "NEW_GROUP",
    "STOP_SIGNALS",
    "WRITE_FRESH",
    "end_tree",
    "end_with_parent",
    "ending_after",
    "folder_name",
    "limit_memory",
    "open_folder",
    "open_no_link",
    "remove_folder",
    "rename_path",
    "sync_file",
    "sync_folder",
    "watch_memory",
]

import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from operator import or_
from pathlib import Path
from time import sleep
from typing import Any

_SHARING = frozenset({5, 32})
"""Windows' numbers of "access denied" and "in use": a virus scanner lets go in a moment."""
_PATIENCE = 2.0
"""Seconds for which a file in use is tried again."""
_PAUSE = 0.05
"""Seconds between two tries, and between two looks at another process."""

_NO_PART_OF_A_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]+$')
_NAME_OF_A_DEVICE = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)( *\..*)?", re.IGNORECASE
)

_ENDED_LATE = 142
"""The exit code of a process that an alarm ended, as shells have it."""
_DEATH_SIGNAL = 1
"""Linux's ``PR_SET_PDEATHSIG``."""


def _flags(*names: str) -> int:
    return reduce(or_, (getattr(os, name, 0) for name in names))


STOP_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)
)
"""What asks a program to end: Ctrl-Break is Windows' own."""

_READ = os.O_RDONLY | _flags("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
"""How a file is opened that must be no link, and no pipe that waits for its writer."""

WRITE_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flags("O_NOFOLLOW", "O_BINARY")
"""How a file is opened that must not be there yet."""

NEW_GROUP: dict[str, Any] = {
    "start_new_session": True,
    "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
}
"""How a process is started that a Ctrl-C in the terminal does not reach."""


def folder_name(name: str) -> str:
    """Return a name as every system takes it for a folder, so that a folder can move between them.

    Example:
        >>> folder_name("cosine"), folder_name("a:b"), folder_name("aux.v2"), folder_name("..")
        ('cosine', 'a_b', '_aux.v2', '_')
    """
    name = _NO_PART_OF_A_NAME.sub("_", name)
    return f"_{name}" if _NAME_OF_A_DEVICE.fullmatch(name) else name or "_"


def sync_file(file: Path) -> None:
    """Wait until what a file holds is on the disk."""
    with file.open("rb+") as opened:  # Windows syncs only what may be written
        os.fsync(opened.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where a folder can be opened for that."""
    handle = open_folder(folder)
    if handle is not None:
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_folder(folder: Path) -> int | None:
    """Return a descriptor of a folder, or ``None`` where the system opens none.

    Raises:
        OSError: There is no such folder, or it may not be read.
    """
    if os.open not in os.supports_dir_fd:
        return None
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def open_no_link(file: str, folder: int | None = None) -> int:
    """Return a descriptor to read a file that is no link; of a pipe without waiting for a writer.

    Args:
        file: The file.
        folder: Descriptor of the folder that it is named in.

    Raises:
        OSError: It is a link, or not readable.
    """
    if not hasattr(os, "O_NOFOLLOW") and os.path.islink(file):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), file)
    return os.open(file, _READ, dir_fd=folder)


def rename_path(source: Path | str, target: Path | str, folder: int | None = None) -> None:
    """Put a file or folder in another's place; what is in use for a moment is waited for.

    Args:
        source: What is moved.
        target: Where to.
        folder: Descriptor of the folder that both are named in.

    Raises:
        OSError: It cannot be put there; the target is untouched.
    """
    _patiently(lambda: os.replace(source, target, src_dir_fd=folder, dst_dir_fd=folder))


def remove_folder(folder: Path) -> None:
    """Remove a folder with what is in it; what cannot be removed stays."""
    try:
        _patiently(lambda: shutil.rmtree(folder))
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)


def _patiently(act: Callable[[], object]) -> None:
    for _ in range(int(_PATIENCE / _PAUSE)):
        try:
            act()
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in _SHARING:
                raise
        sleep(_PAUSE)
    act()


def end_tree(process: subprocess.Popen[Any]) -> None:
    """End a process that was started with ``NEW_GROUP``, and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
            return
        import psutil

        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.kill()


def end_with_parent() -> None:
    """End this process when the one that started it is gone, where the system does that.

    Linux does, with the thread that started it. Elsewhere a process learns it from its standard
    input, when it reads on.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


@contextmanager
def ending_after(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer, also when the one that asked for it is gone."""
    if seconds is None:
        yield
    elif hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    else:
        timer = threading.Timer(seconds, os._exit, [_ENDED_LATE])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def limit_memory(extra: int) -> bool:
    """Let this process take ``extra`` bytes beyond what it has; return whether the system can.

    Where it cannot, ``watch_memory`` of the process that started it takes its place.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + extra
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):
        return False
    return True


def watch_memory(process: subprocess.Popen[Any], extra: int) -> None:
    """End a process when it, and what it started, take ``extra`` bytes beyond what they have now.

    In a virtual environment of Windows the process that is started starts Python.
    """
    import psutil

    watched = psutil.Process(process.pid)

    def taken() -> int:
        total = 0
        for one in (watched, *watched.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
        return total

    limit = taken() + extra

    def watch() -> None:
        with suppress(psutil.Error):
            while watched.is_running():
                if taken() > limit:
                    end_tree(process)
                    return
                sleep(_PAUSE)

    threading.Thread(target=watch, daemon=True).start()
