"""Other libraries' code runs in its own process, which is ended when it takes too long or much."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any, final

from warmdown.errors import ScheduleError
from warmdown.importing.fence_worker import LONGEST_START, MEMORY, Answer, Question
from warmdown.system import NEW_GROUP, end_tree, watch_memory

LONGEST_LOOK = 10.0
"""Seconds that a class of another library may take, its import apart."""
_LONGEST_ANSWER = 64_000_000
"""Bytes of its answer: a million numbers."""
_PATIENCE = 5.0
"""Seconds that the process has to end itself before it is ended from here."""


def ask(who: str, question: Question, *, seconds: float) -> Answer:
    """Return the answer of the process, which is started at the first question and then stays.

    Args:
        who: What is asked about, for errors.
        question: Plain data; its ``task`` names what to do.
        seconds: After which the process is ended.

    Raises:
        ScheduleError: It refused, took too long, or crashed, as it does when it asks for too much
            memory.
    """
    answer = _fence.ask(who, question, seconds)
    if isinstance(answer, dict) and "values" in answer:
        return answer
    mistakes = answer.get("mistakes", ()) if isinstance(answer, dict) else ()
    raise ScheduleError("; ".join(map(str, mistakes)) or f"{who}: it gave no answer.")


@final
class Fence:
    """One process that answers one question at a time, as lines of JSON.

    It looks for modules where this process does, but in the current folder last: what lies there is
    not taken for an installed library. It gets that list at its start, so another list is another
    process.

    Args:
        module: What the process runs.
        folder: Where it works, and looks for modules last; the current folder when left out.
    """

    def __init__(
        self, module: str = "warmdown.importing.preview_worker", folder: Path | None = None
    ) -> None:
        self.module = module
        self.folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._path: list[str] = []
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """Return the number that the system gave to the process, while there is one."""
        return None if self._process is None else self._process.pid

    def start(self, who: str) -> None:
        """Start the process, so that the first question need not wait for its imports."""
        with self._lock:
            self._running(who)

    def ask(self, who: str, question: Question, seconds: float) -> Any:
        """Return the answer.

        Raises:
            ScheduleError: It took too long, or crashed.
        """
        with self._lock:
            try:
                process = self._running(who)
                assert process.stdin is not None
                data = json.dumps({**question, "seconds": seconds + _PATIENCE})
                with contextlib.suppress(OSError):  # it is gone: the missing answer is the error
                    process.stdin.write(data.encode() + b"\n")
                    process.stdin.flush()
                return json.loads(_read_line(who, process, seconds))
            except BaseException:
                self.end()  # a late answer must not be taken for the next one
                raise

    def end(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():  # a fork has no child of its own
            return
        if process.poll() is None:
            end_tree(process)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # both were asked for
        process.wait()

    def _running(self, who: str) -> subprocess.Popen[bytes]:
        path = _module_path()
        if self.folder is not None:
            path = [*(place for place in path if place != str(self.folder)), str(self.folder)]
        is_ours = (self._owner, self._path) == (os.getpid(), path)
        if self._process is not None and is_ours and self._process.poll() is None:
            return self._process
        self.end()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", self.module, json.dumps(path)],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            **NEW_GROUP,  # so that what it starts is ended with it
        )
        self._process, self._path, self._owner = process, path, os.getpid()
        if not json.loads(_read_line(who, process, LONGEST_START))["is_limited"]:
            watch_memory(process, MEMORY)
        return process


_fence = Fence()
atexit.register(_fence.end)


def _module_path() -> list[str]:
    """Return where modules are looked for, the current folder last."""
    try:
        here = str(Path.cwd())
    except OSError:  # it is gone
        here = ""
    path = [folder for folder in dict.fromkeys(sys.path) if folder not in ("", here)]
    is_searched = here and len(path) < len(set(sys.path))
    return [*path, here] if is_searched else path


def _read_line(who: str, process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return the next line of the process, which is ended when none comes in time."""
    assert process.stdout is not None
    timer = threading.Timer(seconds, end_tree, [process])
    timer.daemon = True
    began = monotonic()
    timer.start()
    try:
        line = process.stdout.readline(_LONGEST_ANSWER)
    finally:
        timer.cancel()
    if line.endswith(b"\n"):
        return line
    if monotonic() - began >= seconds:
        raise ScheduleError(
            f"{who}: it took longer than {seconds:g} seconds, so it was ended. Give a shorter run."
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    code = process.returncode
    end = f"signal {-code}" if code and code < 0 else f"exit code {code}"
    raise ScheduleError(
        f"{who}: it ended its process ({'without an answer' if code is None else end}). It may "
        "need too much memory."
    )
