"""Real processes that train, are stopped or killed; forked, for importing torch takes seconds."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

_PATIENCE = 120.0


def start(work: Callable[[], object], said: Path) -> int:
    """Run ``work`` in a process of its own, what it prints goes to ``said``; return its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    # a shell lets what it starts in the background ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        work()
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:  # never back into the test that this process is a copy of
        os._exit(code)


def end(child: int) -> int:
    """Wait for a process; return its exit code, minus the signal where one ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_until(true: Callable[[], bool], child: int | None = None) -> None:
    """Wait until something is true, or a process is over."""
    deadline = time.monotonic() + _PATIENCE
    while not true():
        if (
            child is not None
            and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        ):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true")
        time.sleep(0.001)
