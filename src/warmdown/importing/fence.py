"""Code of other libraries runs in a process of its own, which is ended when it takes too long, or too much."""

from __future__ import annotations

__all__ = ["LONGEST_LOOK", "ask"]

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, final

from warmdown.errors import ScheduleError
from warmdown.importing.fence_worker import LONGEST_START

Question: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]

LONGEST_LOOK = 10.0
"""Seconds that a class of another library may take, its import apart."""
_LONGEST_ANSWER = 64_000_000
"""Bytes of its answer: a million numbers."""
_PATIENCE = 5.0
"""Seconds that the process is left to end itself before it is ended from here."""


def ask(who: str, question: Question, *, seconds: float) -> Answer:
    """Return the answer of the process, which is started at the first question and then stays.

    Args:
        who: What is asked about, for errors.
        question: Plain data; its ``task`` says what to do.
        seconds: After which the process is ended.

    Raises:
        ScheduleError: It took too long, or crashed, as it does when it asks for too much memory.
    """
    return _fence.ask(who, question, seconds)


@final
class _Fence:
    """One process that answers one question at a time, as lines of JSON.

    It looks for modules where this process does, but in the current folder last: what lies there is
    not taken for an installed library. Where it looks is told once, so another place is another
    process.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._place: tuple[str, ...] = ()
        self._owner = 0

    def ask(self, who: str, question: Question, seconds: float) -> Answer:
        with self._turn:
            try:
                process = self._running(who)
                return self._answer(
                    who, process, {**question, "seconds": seconds + _PATIENCE}, seconds
                )
            except BaseException:
                self.end()  # an answer that nobody waits for must not be taken for the next one
                raise

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():  # a fork has no child of its own
            return
        if process.poll() is None:
            _kill(process)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # both were asked for
        process.wait()

    def _running(self, who: str) -> subprocess.Popen[bytes]:
        place = _place()
        alive = (
            self._process is not None
            and self._owner == os.getpid()
            and self._process.poll() is None
        )
        if self._process is not None and alive and place == self._place:
            return self._process
        self.end()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "warmdown.importing.fence_worker", json.dumps(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(place)},
            start_new_session=True,  # so that what it starts is ended with it
        )
        self._process, self._place, self._owner = process, place, os.getpid()
        _line(who, process, LONGEST_START)
        return process

    def _answer(
        self, who: str, process: subprocess.Popen[bytes], question: Question, seconds: float
    ) -> Answer:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what is gone is told by its answer
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        answer = json.loads(_line(who, process, seconds))
        if not isinstance(answer, dict):
            raise ScheduleError(f"{who}: it gave no answer. Mend its class.")
        return answer


_fence = _Fence()
atexit.register(_fence.end)


def _place() -> tuple[str, ...]:
    """Return where modules are looked for, the current folder last."""
    try:
        here = str(Path.cwd())
    except OSError:  # it is gone
        here = ""
    paths = [path for path in dict.fromkeys(sys.path) if path not in ("", here)]
    return (*paths, here) if here and len(paths) < len(set(sys.path)) else tuple(paths)


def _line(who: str, process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return the next line of the process; it is ended when none comes in time."""
    assert process.stdout is not None
    with _ended_after(process, seconds) as is_late:
        line = process.stdout.readline(_LONGEST_ANSWER)
    if line.endswith(b"\n"):
        return line
    if is_late.is_set():
        raise ScheduleError(
            f"{who}: it took longer than {seconds:g} seconds, so it was ended. Give a shorter run."
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    raise ScheduleError(
        f"{who}: it ended its process ({_told(process.returncode)}). It may need too much memory."
    )


@contextlib.contextmanager
def _ended_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _kill(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _told(code: int | None) -> str:
    if code is None:
        return "without an answer"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
