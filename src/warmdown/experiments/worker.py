"""A process that makes runs beside an engine's worker, so that it may die or hang without harm.

Messages are lines of JSON: a request goes in; signs of life, evaluations and an answer come out.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import IO, Any, Literal
from weakref import WeakSet

import torch

import warmdown
from warmdown.experiments.runs import VARIABLES, Report, data_variables
from warmdown.schedules.base import PlainData
from warmdown.system import NEW_GROUP

_LAST_WORDS = 600
_SECONDS_TO_START = 120.0
"""Least patience until the first message: a process that starts imports torch, and others may be
busy beside it."""


def no_report() -> Report:
    """Return what takes evaluations and lets every run go on."""
    return lambda step, metrics: True


def versions_here() -> dict[str, str]:
    """Return the versions that decide what a run gives."""
    return {"warmdown": warmdown.__version__, "torch": str(torch.__version__)}


@dataclass(frozen=True)
class WorkRequest:
    """What a worker is asked for.

    Args:
        key: Its name among all requests.
        content: What the worker's process gets: ``run``, ``sweep`` or ``needs``, with its facts.
        make_report: Makes what evaluations are reported to; the worker calls it.
    """

    key: str
    content: PlainData
    make_report: Callable[[], Report] = no_report


@dataclass(frozen=True)
class WorkAnswer:
    """What came of a request.

    Args:
        key: The request's.
        content: What the process gave; ``None`` where it gave nothing.
        status: Why not: ``died``, ``hung`` or ``failed``.
        reason: The same in words.
        lacks: What the worker lacks, so that it did not begin.
        worker: The name of the cluster's worker; empty on this machine.
        place: The cluster's own name of it: an address, a node's number.
    """

    key: str
    content: PlainData | None = None
    status: Literal["", "died", "hung", "failed"] = ""
    reason: str = ""
    lacks: tuple[str, ...] = ()
    worker: str = ""
    place: str = ""


@dataclass(frozen=True)
class Needs:
    """What runs need of the machine that makes them.

    Args:
        task: The task, which is built to see whether it can be.
        data: Digest of data that a person named instead of the task's own.
        modules: Modules from which plans take classes.
        versions: Versions where the runs were asked for.
        require: What else is tried; it returns what the worker lacks, or nothing.
    """

    task: str
    data: str = ""
    modules: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    require: Callable[[], str] | None = None

    def to_dict(self) -> PlainData:
        """Return what a worker's process looks for, as plain data."""
        facts = {**vars(self), "modules": list(self.modules), "versions": dict(self.versions)}
        del facts["require"]
        return facts


@dataclass(frozen=True)
class WorkerContext:
    """Where a run was asked for: wherever it is made, its task's module is looked for as there.

    Args:
        folder: The working directory.
        paths: Where modules are looked for.
        data: The variables by which data are named, with their values.
        caller: Names who asks, where workers outlive it: the next caller's runs are made in a new
            process, which imports modules as they are then.
    """

    folder: str
    paths: Sequence[str]
    data: Mapping[str, str]
    caller: str = ""

    @classmethod
    def here(cls) -> WorkerContext:
        """Return this process, as it is now."""
        folder = os.getcwd()
        paths = [*(path or folder for path in sys.path), folder]
        return cls(folder, paths, data_variables())

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start Python in this place; this process's own module paths come after the context's.

        Modules are looked for in the caller's order: a file of the working directory is not taken
        for an installed library, unless it is there too.
        """
        paths = dict.fromkeys([*self.paths, *WorkerContext.here().paths])
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in VARIABLES or self._lies_elsewhere(name, value)
        }
        data = {name: value for name, value in self.data.items() if name not in inherited}
        return subprocess.Popen(
            # -P: else Python would look into the working directory first
            [sys.executable, "-P", *arguments],
            # on a cluster the folder may lie elsewhere
            cwd=self.folder if os.path.isdir(self.folder) else None,
            env={**inherited, **data, "PYTHONPATH": os.pathsep.join(paths)},
            **options,
        )

    def _lies_elsewhere(self, name: str, here: str) -> bool:
        """Return whether this machine has its own place for data that the caller names."""
        there = self.data.get(name)
        return there is not None and not os.path.exists(there) and os.path.exists(here)


class WorkerProcess:
    """A process of its own that makes runs; it starts with the first, and again after it ended.

    Args:
        context: Where the runs are asked for.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._satisfied: list[tuple[PlainData, str]] = []
        _all.add(self)

    def ask(self, request: WorkRequest, silence: float) -> WorkAnswer:
        """Return the answer of the process; what goes wrong there is one as well."""
        try:
            report = request.make_report()
        except Exception as error:
            reason = f"there is nothing to report to: {type(error).__name__}: {error}"
            return WorkAnswer(request.key, status="failed", reason=reason)
        process = self.start()
        assert process.stdin
        assert process.stderr
        patience = max(silence, _SECONDS_TO_START)
        with ExitStack() as unfinished:
            unfinished.callback(self.end)
            _send_line(process.stdin, request.content)
            while True:
                try:
                    line = self._lines.get(timeout=patience)
                except Empty:
                    reason = f"no sign of life for {patience:g} s"
                    return WorkAnswer(request.key, status="hung", reason=reason)
                # the first message ends the longer patience of a start
                patience = silence
                if not line:
                    code = process.wait()
                    process.stderr.seek(0)
                    errors = process.stderr.read().decode(errors="replace").strip().splitlines()
                    last_words = "".join(errors[-1:])[-_LAST_WORDS:]
                    reason = f"its process ended with {code}: {last_words}"
                    return WorkAnswer(request.key, status="died", reason=reason.rstrip(": "))
                message = json.loads(line)
                if "answer" in message:
                    unfinished.pop_all()
                    return WorkAnswer(request.key, message["answer"])
                if "step" in message:
                    try:
                        goes_on = report(message["step"], message["metrics"])
                    except Exception as error:
                        reason = f"its evaluation was not taken: {type(error).__name__}: {error}"
                        return WorkAnswer(request.key, status="failed", reason=reason)
                    _send_line(process.stdin, {"goes_on": goes_on})

    def lacks(self, needs: Needs, silence: float) -> tuple[str, ...]:
        """Return what this machine lacks for runs, in words; each process looks once."""
        asked = (facts := needs.to_dict()), repr(needs.require)
        if self._process is not None and asked in self._satisfied:
            return ()
        answer = self.ask(WorkRequest("needs", {"needs": facts}), silence)
        found = [answer.reason] if answer.content is None else answer.content["lacks"]
        if needs.require is not None and (missing := needs.require()):
            found = [*found, missing]
        if found:
            self.end()  # so that the next look finds what was added
        else:
            self._satisfied.append(asked)
        return tuple(found)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process where it is not running, and return it."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._satisfied.clear()
            errors = tempfile.TemporaryFile()  # noqa: SIM115
            code = (
                f"from warmdown.experiments.perform import worker_main; worker_main({os.getpid()})"
            )
            self._process = self.context.start(
                "-c",
                code,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                **NEW_GROUP,  # a Ctrl-C is the caller's to deal with
            )
            self._process.stderr = errors  # it is closed with the pipes
            # closed while its reader waits, its number would be that of the next process's pipe
            pipe, self._process.stdout = self._process.stdout, None
            self._lines = SimpleQueue()
            threading.Thread(target=_pass_lines, args=(pipe, self._lines), daemon=True).start()
        return self._process

    def kill(self) -> None:
        """End the process while another thread may be waiting for its answer."""
        if (process := self._process) is not None:
            process.kill()

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            with self._process:  # waits for it, and closes its pipes
                self._process.kill()
        self._process = None


def _pass_lines(pipe: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    """Pass on what comes in, then an empty line: Windows cannot wait for a pipe for a time."""
    with pipe:
        while line := pipe.readline():
            lines.put(line)
    lines.put(b"")


def _send_line(pipe: IO[bytes], message: PlainData) -> None:
    rest = memoryview(json.dumps(message).encode() + b"\n")
    with suppress(OSError):  # the process is gone, and its missing answer is the result
        while rest:  # an unbuffered pipe may take a part
            rest = rest[pipe.write(rest) :]


_all: WeakSet[WorkerProcess] = WeakSet()
_of_thread = threading.local()
"""The worker of each thread: a cluster's worker may make several runs at once."""


def answer_in_worker(
    request: WorkRequest, silence: float, context: WorkerContext, needs: Needs | None = None
) -> WorkAnswer:
    """Return the answer to a request from a process beside this one; engines call it.

    A worker that lacks what runs need gives that instead.
    """
    process = worker_of_thread(context)
    if needs is not None and (lacks := process.lacks(needs, silence)):
        return WorkAnswer(request.key, lacks=lacks)
    return process.ask(request, silence) if request.content else WorkAnswer(request.key, {})


@contextmanager
def ignored_sigint() -> Iterator[None]:
    """Start workers that a Ctrl-C does not reach: this process deals with it, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # each worker sets it for itself
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def kill_processes_of(caller: str) -> None:
    """End the processes that work here for a caller; as a coroutine no one waits for it."""
    for process in list(_all):
        if process.context.caller == caller:
            process.kill()


def worker_of_thread(context: WorkerContext) -> WorkerProcess:
    """Return this thread's worker; one of another context is ended first."""
    current: WorkerProcess | None = getattr(_of_thread, "worker", None)
    if current is not None:
        if current.context == context:
            return current
        current.end()
    _of_thread.worker = made = WorkerProcess(context)
    # else the process would outlive a cluster's worker until it looks
    atexit.register(made.end)
    return made
