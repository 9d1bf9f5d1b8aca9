"""Worker processes: each makes one run after the other, and may die or hang without harm.

Messages are lines of JSON: a run comes in; signs of life, evaluations and a result go out.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from warmdown.experiments.data import VARIABLES, data_variables
from warmdown.experiments.perform import Report, perform
from warmdown.experiments.runs import Result, RunSpec

_LAST_WORDS = 600
_SECONDS_TO_START = 120.0
"""Least patience with a process that starts: it imports torch, and others may be busy beside it."""
_SECONDS_BETWEEN_LOOKS = 1.0
"""How often a worker looks whether its caller still lives."""


@dataclass(frozen=True)
class WorkerContext:
    """Where a run was asked for: wherever it is made, its task's module is looked for as there.

    Args:
        folder: The working directory.
        paths: Where modules are looked for.
        data: The variables by which data are named, with their values.
    """

    folder: str
    paths: tuple[str, ...]
    data: tuple[tuple[str, str], ...] = ()

    @classmethod
    def here(cls) -> WorkerContext:
        """Return this process, as it is now."""
        folder = os.getcwd()
        paths = dict.fromkeys([*(path or folder for path in sys.path), folder])
        return cls(
            folder,
            tuple(paths),
            tuple(data_variables().items()),
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start Python in this place; this process's own module paths come after the context's.

        Modules are looked for in the caller's order: a file of the working directory is not taken
        for an installed library, unless it is there too.
        """
        paths = dict.fromkeys([*self.paths, *WorkerContext.here().paths])
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        return subprocess.Popen(
            # -P: else Python would look into the working directory first
            [sys.executable, "-P", *arguments],
            # on a cluster the folder may lie elsewhere
            cwd=self.folder if os.path.isdir(self.folder) else None,
            env={
                **inherited,
                **dict(self.data),
                "PYTHONPATH": os.pathsep.join(paths),
            },
            **options,
        )


class WorkerProcess:
    """A process of its own that makes runs; it starts with the first, and again after it ended.

    Args:
        silence: Seconds without a sign of life after which a run counts as hung.
        context: Where the runs are asked for.
    """

    def __init__(self, silence: float, context: WorkerContext) -> None:
        self.silence, self.context = silence, context
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def perform(self, spec: RunSpec, report: Report | None = None) -> Result:
        """Make a run in the process; what goes wrong there is a result, not an error here."""
        try:
            return self._perform(spec, report)
        except BaseException:
            self.end()
            raise

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process where it is not running, and return it."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            # it lives as long as the process
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = self.context.start(
                "-c",
                f"from warmdown.experiments.worker import worker_main; worker_main({os.getpid()})",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,  # a Ctrl-C is the caller's to deal with
            )
        return self._process

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._errors):
                if pipe is not None:
                    pipe.close()
        self._process = None

    def _perform(self, spec: RunSpec, report: Report | None) -> Result:
        before, process = self._process, self.start()
        is_new = process is not before
        patience = max(self.silence, _SECONDS_TO_START) if is_new else self.silence
        _send_line(
            process.stdin,
            {"spec": spec.to_dict(), "asks": report is not None},
        )
        assert process.stdout is not None
        while select.select([process.stdout], [], [], patience)[0]:
            # the first message ends the longer patience of a start
            patience = self.silence
            line = process.stdout.readline()
            if not line:
                reason = f"its process ended with {process.wait()}: {self._last_words()}"
                self.end()
                return Result(spec=spec, status="died", reason=reason.rstrip(": "))
            message = json.loads(line)
            if "result" in message:
                return Result.from_dict(message["result"])
            if "step" in message and report is not None:
                goes_on = report(message["step"], message["metrics"])
                _send_line(process.stdin, {"goes_on": goes_on})
        self.end()
        return Result(
            spec=spec,
            status="hung",
            reason=f"no sign of life for {patience:g} s",
        )

    def _last_words(self) -> str:
        """Return the last line that the process wrote to its standard error."""
        assert self._errors is not None
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _LAST_WORDS))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def worker_main(parent: int) -> None:
    """Make the runs that come in; end when the caller, the process of that number, is gone."""
    inbox = _Inbox(parent)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a run prints must not get between the lines
    import torch

    # small models are slower on several threads, and runs share the cores
    torch.set_num_threads(1)

    def beat() -> None:
        _send_line(out, {"alive": True})

    def report(step: int, metrics: Mapping[str, float]) -> bool:
        _send_line(out, {"step": step, "metrics": dict(metrics)})
        return bool(inbox.next()["goes_on"])

    beat()
    while True:
        request = inbox.next()
        spec = RunSpec.from_dict(request["spec"])
        result = perform(
            spec,
            beat,
            report if request["asks"] else None,
        )
        _send_line(out, {"result": result.to_dict()})


class _Inbox:
    """Reads lines in the background, so that the process ends with its caller even during a run.

    The end of its input shows that the caller is gone, unless a child of the caller inherited the
    other end and lives on: so the number of the parent process is looked at, too.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = json.loads(self._lines.get())
        return message

    def _read(self) -> None:
        rest = b""
        while os.getppid() == self._parent:
            if not select.select([0], [], [], _SECONDS_BETWEEN_LOOKS)[0]:
                continue
            if not (read := os.read(0, 65_536)):
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                self._lines.put(line)
        os._exit(0)


def _send_line(pipe: IO[bytes] | None, message: Mapping[str, Any]) -> None:
    assert pipe is not None
    rest = memoryview(json.dumps(message).encode() + b"\n")
    while rest:  # an unbuffered pipe may take a part
        rest = rest[pipe.write(rest) or 0 :]


_of_thread = threading.local()
"""The worker of each thread: a cluster's worker may make several runs at once."""


def run_in_worker(
    spec: RunSpec,
    silence: float,
    context: WorkerContext,
    make_report: Callable[[], Report] | None = None,
) -> dict[str, Any]:
    """Make a run in a process beside this one; engines call it in their own workers."""
    report = None if make_report is None else make_report()
    return worker_of_thread(silence, context).perform(spec, report).to_dict()


def worker_of_thread(silence: float, context: WorkerContext) -> WorkerProcess:
    """Return this thread's worker; one of another context or patience is ended first."""
    current: WorkerProcess | None = getattr(_of_thread, "worker", None)
    if current is not None:
        if (current.silence, current.context) == (silence, context):
            return current
        current.end()
        atexit.unregister(current.end)
    _of_thread.worker = made = WorkerProcess(silence, context)
    # else the process would outlive a cluster's worker until it looks
    atexit.register(made.end)
    return made
