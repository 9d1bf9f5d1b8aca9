"""The process in which code of other libraries runs: it reads a question a line, and answers a line each."""

from __future__ import annotations

__all__ = ["LONGEST_START", "MEMORY", "Task", "is_here", "main", "serve"]

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeAlias

from warmdown.errors import WarmdownError

Task: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

MEMORY = 2 * 2**30
"""Bytes that a class of another library may use beyond what its library needs."""
LONGEST_START = 120.0
"""Seconds until a process for other libraries' classes is ready; it imports torch."""

_here = False


def is_here() -> bool:
    """Whether this process is one of these, so that a preview need not start another."""
    return _here


def serve(tasks: Callable[[], Mapping[str, Task]]) -> None:
    """Answer until the other end is closed.

    Args:
        tasks: Returns what can be asked, by name, with its libraries imported.
    """
    global _here
    questions, answers = _private_pipes()
    _here = True
    known = tasks()
    _warm_up()
    _limit_memory()
    _send(answers, {"ready": True})
    for line in questions:
        _send(answers, _answer(known, json.loads(line)))


def main() -> None:
    """Answer what previews ask."""
    from warmdown.importing.external import TASKS

    serve(lambda: TASKS)


def _warm_up() -> None:
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        # the first optimizer imports as much again as torch itself: now, and not in the time that a
        # class may take
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def _answer(tasks: Mapping[str, Task], question: dict[str, Any]) -> dict[str, Any]:
    try:
        with _alarm(question.get("seconds")):
            return tasks[question["task"]](question)
    except WarmdownError as error:
        return {"mistakes": [str(error)]}
    except MemoryError:
        os._exit(137)  # what is left of the memory may not do for an answer
    except BaseException as error:  # whatever a foreign class raises, SystemExit too, is an answer
        return {"mistakes": [f"{type(error).__name__}: {error}"[:2000]]}


@contextlib.contextmanager
def _alarm(seconds: float | None) -> Any:
    """Let the system end this process after so long, even when who asked is gone and cannot."""
    if seconds is None or not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep both ends for ourselves, so that what a foreign class prints or reads does not mix with answers."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    return questions, answers


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as sizes:
            now = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


if __name__ == "__main__":
    # a question must find the module that everybody else imports, not this second copy of it
    from warmdown.importing import fence_worker

    sys.path[:] = json.loads(sys.argv[1])
    fence_worker.main()
