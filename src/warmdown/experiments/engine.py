"""Engines: where runs are made, in this process's workers or on a cluster, through joblib."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any, Literal, TypeAlias, get_args

from warmdown.errors import MissingExtra, TrainingError, nearest
from warmdown.experiments.perform import Report
from warmdown.experiments.runs import Result, RunSpec, Store
from warmdown.experiments.worker import WorkerContext, run_in_worker

Engine: TypeAlias = Literal["serial", "loky", "dask", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)
RunProgress: TypeAlias = Callable[[Result, int, int], None]
"""Takes each result, the number of results so far, and the number there will be."""

_ATTEMPTS = 3
_Call: TypeAlias = tuple[RunSpec, float, WorkerContext, Callable[[], Report] | None]

_FINAL = ("finished", "diverged")
"""What would come out again. A run that failed, died or hung is repeated by the next call: its
cause may be gone."""


def run_all(
    specs: Sequence[RunSpec],
    store: Store,
    *,
    engine: Engine = "loky",
    jobs: int | None = None,
    silence: float = 600.0,
    progress: RunProgress = lambda result, done, total: None,
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
        progress: Called with each result.
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
        spec.key: (spec, silence, here, (reports or {}).get(spec.key))
        for spec in specs
        if spec.key not in results
    }
    for result in _perform_all(calls, engine, jobs or os.cpu_count() or 1):
        if result.status != "pruned":  # that depends on other runs
            store.save(result)
        results[result.key] = result
        progress(result, len(results), len(stored))
    return [results[spec.key] for spec in specs]


def _perform_all(calls: dict[str, _Call], engine: Engine, jobs: int) -> Iterator[Result]:
    """Yield results as they come; when an engine's own worker breaks, the rest starts again."""
    rest = dict(calls)
    # a worker that dies takes the whole pool of joblib with it
    for attempt in range(_ATTEMPTS):
        if not rest:
            return
        try:
            for data in _dispatch(list(rest.values()), engine, min(jobs, len(rest))):
                result = Result.from_dict(data)
                del rest[result.key]
                yield result
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or isinstance(error, MissingExtra):
                raise


def _dispatch(calls: list[_Call], engine: Engine, jobs: int) -> Iterator[dict[str, Any]]:
    joblib = _import_extra("joblib", "compare", "joblib", "sweep")
    tasks = [joblib.delayed(run_in_worker)(*call) for call in calls]
    if engine == "ray":
        _import_extra("ray.util.joblib", "engine='ray'", "ray", "cluster").register_ray()
    backend = "sequential" if engine == "serial" else engine
    cluster: AbstractContextManager[None] = (
        _dask_client(jobs) if engine == "dask" else nullcontext()
    )
    with cluster, joblib.parallel_config(backend=backend):
        if engine == "ray":
            # its backend gives nothing back before all that it got is done: so many at a time
            for start in range(0, len(tasks), jobs):
                parallel = joblib.Parallel(n_jobs=jobs, batch_size=1)
                yield from parallel(tasks[start : start + jobs])
            return
        parallel = joblib.Parallel(
            n_jobs=jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
        )
        # the pool is started here, and inherits the blocked signal
        with nullcontext() if engine == "serial" else _ignore_sigint():
            results = parallel(tasks)
        yield from results


@contextmanager
def _dask_client(jobs: int) -> Iterator[None]:
    """Use the caller's cluster when there is one, else one of this machine for the time being."""
    distributed = _import_extra("distributed", "engine='dask'", "dask.distributed", "cluster")
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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _import_extra(module: str, feature: str, library: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(feature, library, extra) from None
