"""The process in which code of other libraries runs: a line for a question, and one back."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeAlias

from warmdown.errors import WarmdownError
from warmdown.system import ending_after, limit_memory

Question: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]
Task: TypeAlias = Callable[[Question], Answer]

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
        tasks: Returns the tasks by name, with their libraries imported.
    """
    global _here
    # What a foreign class prints or reads goes nowhere, so that it does not mix with answers.
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    _here = True
    known = tasks()
    _warm_up()
    _send(answers, {"is_limited": limit_memory(MEMORY)})
    for line in questions:
        _send(answers, _run_task(known, json.loads(line)))


def _warm_up() -> None:
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        # The first optimizer imports as much again as torch itself: now, and not in the time that
        # a class may take.
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def _send(answers: BinaryIO, answer: Answer) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _run_task(tasks: Mapping[str, Task], question: Question) -> Answer:
    try:
        # the system ends this process even when the one that asked is gone and cannot
        with ending_after(question.get("seconds")):
            return tasks[question["task"]](question)
    except WarmdownError as error:
        return {"mistakes": [str(error)]}
    except MemoryError:
        os._exit(137)  # what is left of the memory may not do for an answer
    except BaseException as error:  # whatever a foreign class raises, SystemExit too, is an answer
        return {"mistakes": [f"{type(error).__name__}: {error}"[:2000]]}
