"""Engines: where runs are made, in this process's workers or on a cluster, through joblib.

Each run is made in a process of its own beside the engine's worker, so that it may die or hang
without harm. Messages are lines of JSON: a run goes in; signs of life, evaluations and a result
come out.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import IO, Any, Literal, TypeAlias, get_args

from warmdown.errors import MissingExtra, TrainingError, nearest
from warmdown.experiments.runs import VARIABLES, Report, Result, RunSpec, Store, data_variables
from warmdown.schedules.base import PlainData
from warmdown.system import NEW_GROUP

Engine: TypeAlias = Literal["serial", "loky", "dask", "ray"]
ENGINES = get_args(Engine)

_ATTEMPTS = 3
_FINAL = ("finished", "diverged")
"""What would come out again. A run that failed, died or hung is repeated by the next call: its
cause may be gone."""
_LAST_WORDS = 600
_SECONDS_TO_START = 120.0
"""Least patience until the first message: a process that starts imports torch, and others may be
busy beside it."""


def run_all(
    specs: Sequence[RunSpec],
    store: Store,
    *,
    engine: Engine = "loky",
    jobs: int | None = None,
    silence: float = 600.0,
    progress: Callable[[Result, int, int], None] = lambda result, done, total: None,
    reports: Mapping[str, Callable[[], Report]] | None = None,
) -> list[Result]:
    """Make every run that the store does not have, and return all results in order.

    Each result is stored at once, so that a crash loses only the runs at work and a second call
    goes on. A run that dies, hangs, fails or diverges is a result as well.

    Args:
        specs: The runs; one that is named twice is made once.
        store: Where results are stored.
        engine: ``serial``: one after the other; ``loky``: processes of this machine; ``dask`` and
            ``ray``: a cluster.
        jobs: Runs at once; by default one a core.
        silence: Seconds without a sign of life after which a run counts as hung.
        progress: Called with each result, the number of results so far, and their final number.
        reports: For the key of a run, what makes the function that its evaluations are reported to.

    Raises:
        TrainingError: There is no such engine, or its workers keep breaking.
        MissingExtra: The engine's library is not installed.
    """
    if engine not in ENGINES:
        raise TrainingError(
            f"compare(engine={engine!r}): no such engine. {nearest(engine, ENGINES)}"
        )
    if jobs is not None and jobs < 1:
        raise TrainingError(f"compare(jobs={jobs!r}): at least one run at a time.")
    stored = {spec.key: store.load(spec) for spec in specs}
    results = {key: one for key, one in stored.items() if one is not None and one.status in _FINAL}
    here = WorkerContext.here()
    calls = {
        spec.key: (spec, silence, here, (reports or {}).get(spec.key, _no_report))
        for spec in specs
        if spec.key not in results
    }
    for result in _perform_all(calls, engine, jobs or os.cpu_count() or 1):
        if result.status != "pruned":  # that depends on other runs
            store.save(result)
        results[result.key] = result
        progress(result, len(results), len(stored))
    return [results[spec.key] for spec in specs]


def _no_report() -> Report:
    return lambda step, metrics: True


def _perform_all(calls: PlainData, engine: Engine, jobs: int) -> Iterator[Result]:
    """Yield results as they come; when an engine's own worker breaks, the rest starts again."""
    # a worker that dies takes the whole pool of joblib with it
    for attempt in range(_ATTEMPTS):
        if not calls:
            return
        try:
            for result in _dispatch(list(calls.values()), engine, min(jobs, len(calls))):
                del calls[result.key]
                yield result
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or isinstance(error, MissingExtra):
                raise


def _dispatch(calls: list[Any], engine: Engine, jobs: int) -> Iterator[Result]:
    joblib = import_extra("joblib", "compare", "joblib", "sweep")
    tasks = [joblib.delayed(_run_without_sigint)(os.getpid(), *call) for call in calls]
    backend = "sequential" if engine == "serial" else engine
    with ExitStack() as opened:
        if engine == "ray":
            import_extra("ray.util.joblib", "engine='ray'", "ray", "cluster").register_ray()
        if engine == "dask":
            opened.enter_context(_dask_client(jobs))
        opened.enter_context(joblib.parallel_config(backend=backend, n_jobs=jobs))
        if engine == "ray":
            # its backend gives nothing back before all that it got is done: so many at a time
            for start in range(0, len(tasks), jobs):
                yield from joblib.Parallel(batch_size=1)(tasks[start : start + jobs])
            return
        parallel = joblib.Parallel(
            return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
        )
        # the pool is started here, and inherits the blocked signal
        with nullcontext() if engine == "serial" else _ignore_sigint():
            results = parallel(tasks)
        yield from results


@contextmanager
def _dask_client(jobs: int) -> Iterator[None]:
    """Use the caller's cluster when there is one, else one of this machine for the time being."""
    distributed = import_extra("distributed", "engine='dask'", "dask.distributed", "cluster")
    try:
        distributed.get_client()
    except ValueError:
        with _ignore_sigint():
            client = distributed.Client(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.ERROR,  # that a worker was ended by a Ctrl-C is no news
            )
        with client:
            yield
    else:
        yield


@contextmanager
def _ignore_sigint() -> Iterator[None]:
    """Start workers that a Ctrl-C does not reach: this process deals with it, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # each worker sets it for itself, below
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_without_sigint(caller: int, *call: Any) -> Result:
    """Make a run in a worker that a Ctrl-C does not reach, even if its pool let it through.

    The first pool of a process lets it: what tracks its resources unblocks the signal. A pool of
    one is the caller itself, which a Ctrl-C must reach.
    """
    if os.getpid() != caller:
        with suppress(ValueError):  # a cluster's worker may run it in a thread: no handlers there
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    return run_in_worker(*call)


def import_extra(module: str, feature: str, library: str, extra: str) -> Any:
    """Return a module of an optional library.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(feature, library, extra) from None


@dataclass(frozen=True)
class WorkerContext:
    """Where a run was asked for: wherever it is made, its task's module is looked for as there.

    Args:
        folder: The working directory.
        paths: Where modules are looked for.
        data: The variables by which data are named, with their values.
    """

    folder: str
    paths: Sequence[str]
    data: Mapping[str, str]

    @classmethod
    def here(cls) -> WorkerContext:
        """Return this process, as it is now."""
        folder = os.getcwd()
        return cls(folder, [*(path or folder for path in sys.path), folder], data_variables())

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
            env={**inherited, **self.data, "PYTHONPATH": os.pathsep.join(paths)},
            **options,
        )


class WorkerProcess:
    """A process of its own that makes runs; it starts with the first, and again after it ended.

    Args:
        context: Where the runs are asked for.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: SimpleQueue[bytes] = SimpleQueue()

    def perform(self, spec: RunSpec, silence: float, report: Report) -> Result:
        """Make a run in the process; what goes wrong there is a result, not an error here."""
        process = self.start()
        assert process.stdin
        assert process.stderr
        patience = max(silence, _SECONDS_TO_START)
        with ExitStack() as unfinished:
            unfinished.callback(self.end)
            _send_line(process.stdin, spec.to_dict())
            while True:
                try:
                    line = self._lines.get(timeout=patience)
                except Empty:
                    reason = f"no sign of life for {patience:g} s"
                    return Result(spec=spec, status="hung", reason=reason)
                # the first message ends the longer patience of a start
                patience = silence
                if not line:
                    code = process.wait()
                    process.stderr.seek(0)
                    errors = process.stderr.read().decode(errors="replace").strip().splitlines()
                    last_words = "".join(errors[-1:])[-_LAST_WORDS:]
                    reason = f"its process ended with {code}: {last_words}"
                    return Result(spec=spec, status="died", reason=reason.rstrip(": "))
                message = json.loads(line)
                if "result" in message:
                    unfinished.pop_all()
                    return Result.from_dict(message["result"])
                if "step" in message:
                    goes_on = report(message["step"], message["metrics"])
                    _send_line(process.stdin, {"goes_on": goes_on})

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process where it is not running, and return it."""
        if self._process is None or self._process.poll() is not None:
            self.end()
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
            self._lines = SimpleQueue()
            threading.Thread(
                target=_pass_lines, args=(self._process.stdout, self._lines), daemon=True
            ).start()
        return self._process

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            with self._process:  # waits for it, and closes its pipes
                self._process.kill()
        self._process = None


def _pass_lines(pipe: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    """Pass on what comes in, then an empty line: Windows cannot wait for a pipe for a time."""
    with suppress(OSError, ValueError):  # it was closed meanwhile
        while line := pipe.readline():
            lines.put(line)
    lines.put(b"")


def _send_line(pipe: IO[bytes], message: PlainData) -> None:
    rest = memoryview(json.dumps(message).encode() + b"\n")
    with suppress(OSError):  # the process is gone, and its missing answer is the result
        while rest:  # an unbuffered pipe may take a part
            rest = rest[pipe.write(rest) :]


_of_thread = threading.local()
"""The worker of each thread: a cluster's worker may make several runs at once."""


def run_in_worker(
    spec: RunSpec,
    silence: float,
    context: WorkerContext,
    make_report: Callable[[], Report],
) -> Result:
    """Make a run in a process beside this one; engines call it in their own workers."""
    return worker_of_thread(context).perform(spec, silence, make_report())


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
