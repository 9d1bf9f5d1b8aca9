"""A process that makes runs for another: a run a line comes in, signs of life and a result a line go out."""

from __future__ import annotations

__all__ = ["Caller", "Helper", "Pruning", "in_helper", "main"]

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import IO, Any

from warmdown.experiments.data import VARIABLES, named_here
from warmdown.experiments.runs import Report, Result, RunSpec, perform

_ALIVE = "alive"
_LAST_WORDS = 600
_STARTS = 120.0
"""Seconds that a process may take at least to start: it imports torch, and others may be busy beside it."""
_LOOKS = 1.0
"""Seconds between two looks at whether the caller still lives."""


@dataclass(frozen=True)
class Caller:
    """Where a run was asked for: a task's module is looked for there, wherever the run is made.

    Args:
        folder: The working directory.
        paths: Where modules are looked for.
        data: The variables by which data are named, as they are set there.
    """

    folder: str
    paths: tuple[str, ...]
    data: tuple[tuple[str, str], ...] = ()

    @classmethod
    def here(cls) -> Caller:
        """Return this process, as it is now."""
        folder = os.getcwd()
        return cls(
            folder,
            tuple(dict.fromkeys([*(path or folder for path in sys.path), folder])),
            named_here(),
        )

    def started(self, *arguments: str, **how: Any) -> subprocess.Popen[bytes]:
        """Start Python in this place; what this process looks for modules in comes after.

        Modules are looked for in the same order as by the caller: a file of the working directory
        is not taken for an installed library, unless it is there too.
        """
        paths = os.pathsep.join(dict.fromkeys([*self.paths, *Caller.here().paths]))
        folder = (
            self.folder if os.path.isdir(self.folder) else None
        )  # on a cluster it may lie elsewhere
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        environment = {**inherited, **dict(self.data), "PYTHONPATH": paths}
        # -P: what is started as a module would otherwise look into the working directory first
        return subprocess.Popen(
            [sys.executable, "-P", *arguments], cwd=folder, env=environment, **how
        )


class Helper:
    """A process of its own that makes one run after the other, and may die or hang without harm.

    Args:
        silence: Seconds without a sign of life after which a run counts as hung.
        caller: Where the runs are asked for.
    """

    def __init__(self, silence: float, caller: Caller) -> None:
        self.silence, self.caller = silence, caller
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._patience = silence

    def perform(self, spec: RunSpec, report: Report | None = None) -> Result:
        """Make a run in the process; what goes wrong there is a result, not an error here."""
        try:
            return self._perform(spec, report)
        except BaseException:
            self.end()
            raise

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
        process = self._started()
        _send(process.stdin, {"spec": spec.to_dict(), "asks": report is not None})
        while True:
            patience, line = self._patience, self._line(process)
            if line is None:
                self.end()
                return Result(spec=spec, status="hung", says=f"no sign of life for {patience:g} s")
            if not line:
                return self._died(spec)
            told = json.loads(line)
            if "result" in told:
                return Result.from_dict(told["result"])
            if "step" in told and report is not None:
                _send(process.stdin, {"goes_on": report(told["step"], told["metrics"])})

    def _died(self, spec: RunSpec) -> Result:
        assert self._process is not None
        code, words = self._process.wait(), self._last_words()
        self.end()
        return Result(
            spec=spec, status="died", says=f"its process ended with {code}: {words}".rstrip(": ")
        )

    def _last_words(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _LAST_WORDS))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _line(self, process: subprocess.Popen[bytes]) -> bytes | None:
        """Return the next line; nothing at all when the process is gone, ``None`` when it is silent for too long."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], self._patience)
        self._patience = self.silence
        return process.stdout.readline() if ready else None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        self._patience = max(self.silence, _STARTS)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = self.caller.started(
            "-m",
            "warmdown.experiments.worker",
            str(os.getpid()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,  # a Ctrl-C is the caller's to deal with
        )
        return self._process


def main(parent: int) -> None:
    """Make the runs that come in; end when the caller, the process of that number, is gone."""
    inbox = _Inbox(parent)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a run prints must not get between the lines
    import torch

    import_module(
        "warmdown.training"
    )  # now, and not within the first seconds of a run: it takes as long as torch
    torch.set_num_threads(1)
    _send(out, {_ALIVE: True})
    while True:
        asked = inbox.next()
        spec = RunSpec.from_dict(asked["spec"])

        def report(step: int, metrics: Mapping[str, float]) -> bool:
            _send(out, {"step": step, "metrics": dict(metrics)})
            return bool(inbox.next()["goes_on"])

        result = perform(
            spec, lambda: _send(out, {_ALIVE: True}), report if asked["asks"] else None
        )
        _send(out, {"result": result.to_dict()})


class _Inbox:
    """Reads lines in the background, so that the process ends with its caller even in the middle of a run.

    The end of its input tells that the caller is gone, unless a child of the caller inherited the
    other end and lives
    on: so the caller's number is looked at, too.
    """

    def __init__(self, parent: int) -> None:
        import queue

        self._parent = parent
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = json.loads(self._lines.get())
        return message

    def _read(self) -> None:
        left = b""
        while os.getppid() == self._parent:
            if not select.select([0], [], [], _LOOKS)[0]:
                continue
            if not (read := os.read(0, 65_536)):
                break
            *whole, left = (left + read).split(b"\n")
            for line in whole:
                self._lines.put(line)
        os._exit(0)


def _send(pipe: IO[bytes] | None, message: Mapping[str, Any]) -> None:
    assert pipe is not None
    left = memoryview(json.dumps(message).encode() + b"\n")
    while left:  # an unbuffered pipe may take a part
        left = left[pipe.write(left) or 0 :]


_own = threading.local()
"""Holds the helper of each thread: a cluster's worker may make several runs at once."""


@dataclass(frozen=True)
class Pruning:
    """Where a search is kept, so that a worker can ask whether a run is worth going on.

    Args:
        journal: The journal's path.
        study: Name of the study in it.
        trial: Number of the trial in the storage.
        metric: What the search looks at.
    """

    journal: str
    study: str
    trial: int
    metric: str

    def report(self) -> Report:
        """Return what notes an evaluation in the journal and says whether the run goes on."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0)
        storage = JournalStorage(JournalFileBackend(self.journal))
        study = optuna.load_study(study_name=self.study, storage=storage, pruner=pruner)
        trial = optuna.trial.Trial(study, self.trial)

        def report(step: int, metrics: Mapping[str, float]) -> bool:
            value = metrics.get(self.metric)
            if value is None or not isfinite(value):
                return True
            trial.report(value, step)
            return not trial.should_prune()

        return report


def in_helper(
    spec: RunSpec, silence: float, caller: Caller, pruning: Pruning | None = None
) -> dict[str, Any]:
    """Make a run in a process beside this one; engines call it in their workers."""
    return (
        _helper(silence, caller)
        .perform(spec, None if pruning is None else pruning.report())
        .to_dict()
    )


def _helper(silence: float, caller: Caller) -> Helper:
    """Return this thread's helper; one that was started for another place or patience is ended first."""
    held: Helper | None = getattr(_own, "helper", None)
    if held is not None and (held.silence, held.caller) == (silence, caller):
        return held
    if held is not None:
        held.end()
        atexit.unregister(held.end)
    _own.helper = made = Helper(silence, caller)
    atexit.register(made.end)
    return made


if __name__ == "__main__":
    main(int(sys.argv[1]))
