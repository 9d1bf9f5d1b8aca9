"""The process in which code of other libraries runs: it reads a question a line, and answers a line each."""

from __future__ import annotations

__all__ = ["main"]

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from warmdown.app.studio.safe.limits import MEMORY

_DEATH_SIGNAL = 1
"""Linux's ``PR_SET_PDEATHSIG``."""


def main(folder: str) -> None:
    """Answer until the parent is gone."""
    _end_with_parent()
    questions, answers = _private_pipes()
    sys.path.append(folder)  # last, so that no file there is taken for an installed library
    tasks = _tasks()
    _limit_memory()
    _send(answers, {"ready": True})
    for line in questions:
        _send(answers, _answer(tasks, json.loads(line)))


def _tasks() -> Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return what can be asked, with its libraries imported."""
    from warmdown.app.studio.see.foreign import described, looked

    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        # the first optimizer imports as much again as torch itself: now, and not in the time that a class may take
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return {"describe": described, "look": looked}


def _answer(
    tasks: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]], question: dict[str, Any]
) -> dict[str, Any]:
    try:
        return tasks[question["task"]](question)
    except MemoryError:
        os._exit(137)  # what is left of the memory may not do for an answer
    except BaseException as error:  # whatever a foreign class raises, SystemExit too, is an answer
        return {"mistakes": [f"{type(error).__name__}: {error}"[:2000]]}


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


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as sizes:
            now = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


if __name__ == "__main__":
    main(sys.argv[1])
