"""Where runs are made: here, in processes of this machine, or on a cluster; joblib is the one seam."""

from __future__ import annotations

__all__ = ["ENGINES", "Engine", "run_all"]

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from warmdown.errors import MissingExtra, TrainingError, nearest
from warmdown.experiments.runs import Result, RunSpec
from warmdown.experiments.store import Store
from warmdown.experiments.worker import Caller, Pruning, in_helper

Engine: TypeAlias = Literal["serial", "loky", "dask", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)
Progress: TypeAlias = Callable[[Result, int, int], None]
"""Told each result, how many there are now, and how many there will be."""

_TRIES = 3
Call: TypeAlias = tuple[RunSpec, float, Caller, Pruning | None]

_FINAL = ("finished", "diverged")
"""What would come out again; a run that failed, died or hung is made anew by the next call: the cause may be mended."""


def run_all(
    specs: Sequence[RunSpec],
    store: Store,
    *,
    engine: Engine = "loky",
    jobs: int | None = None,
    silence: float = 600.0,
    progress: Progress = lambda result, done, total: None,
    pruning: Mapping[str, Pruning] = MappingProxyType({}),
) -> list[Result]:
    """Make every run that the store does not hold, and return all results in order.

    Each result is stored the moment it is there, so that a crash loses the runs at work and a
    second call goes on. A run that dies, hangs, fails or diverges is a result as well.

    Args:
        specs: The runs; one that is named twice is made once.
        store: Where results are kept.
        engine: ``serial``: one after the other; ``loky``: processes of this machine; ``dask`` and
            ``ray``: a cluster.
        jobs: Runs at once; by default one a core.
        silence: Seconds without a sign of life after which a run counts as hung.
        progress: Told of each result.
        pruning: For a run by its key: who is asked whether it is worth going on.

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
    found: dict[str, Result] = {}
    for spec in specs:
        if (held := store.load(spec)) is not None and held.status in _FINAL:
            found[spec.key] = held
    todo = {spec.key: spec for spec in specs if spec.key not in found}
    total = len(found) + len(todo)
    here = Caller.here()
    calls = [(spec, silence, here, pruning.get(spec.key)) for spec in todo.values()]
    for result in _made(calls, engine, jobs or os.cpu_count() or 1):
        if result.status != "pruned":  # that depends on other runs
            store.save(result)
        found[result.key] = result
        progress(result, len(found), total)
    return [found[spec.key] for spec in specs]


def _made(calls: list[Call], engine: Engine, jobs: int) -> Iterator[Result]:
    """Yield results as they come; when an engine's own worker breaks, the runs that are left start anew."""
    left = {call[0].key: call for call in calls}
    for attempt in range(_TRIES):
        if not left:
            return
        try:
            for data in _dispatched(list(left.values()), engine, min(jobs, len(left))):
                result = Result.from_dict(data)
                left.pop(result.key)
                yield result
        except Exception as error:
            if attempt == _TRIES - 1 or isinstance(error, MissingExtra):
                raise
    assert not left


def _dispatched(calls: list[Call], engine: Engine, jobs: int) -> Iterator[dict[str, Any]]:
    joblib = _joblib()
    make = joblib.delayed(in_helper)
    with _backend(joblib, engine, jobs):
        if engine == "ray":
            yield from _in_groups(joblib, [make(*call) for call in calls], jobs)
            return
        parallel = joblib.Parallel(
            n_jobs=jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
        )
        with nullcontext() if engine == "serial" else _deaf_to_ctrl_c():
            results = parallel(make(*call) for call in calls)
        yield from results


def _in_groups(joblib: Any, tasks: list[Any], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield results of so many runs at a time: ray's backend gives nothing back before all that it got is done."""
    for start in range(0, len(tasks), jobs):
        yield from joblib.Parallel(n_jobs=jobs, batch_size=1)(tasks[start : start + jobs])


@contextmanager
def _backend(joblib: Any, engine: Engine, jobs: int) -> Iterator[None]:
    with ExitStack() as stack:
        if engine == "dask":
            stack.enter_context(_dask_client(jobs))
        elif engine == "ray":
            _register_ray()
        names = {"serial": "sequential"}
        stack.enter_context(joblib.parallel_config(backend=names.get(engine, engine)))
        yield


@contextmanager
def _dask_client(jobs: int) -> Iterator[None]:
    """Use the caller's cluster when there is one, else one of this machine for the time being."""
    try:
        from distributed import Client, get_client
    except ImportError:
        raise MissingExtra("engine='dask'", "dask.distributed", "cluster") from None
    try:
        get_client()
    except ValueError:
        with _deaf_to_ctrl_c():
            client = Client(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.ERROR,
            )  # that a worker at work was ended after a Ctrl-C is no news
        with client:
            yield
    else:
        yield


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start workers that a Ctrl-C does not reach: this process deals with it, and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _register_ray() -> None:
    try:
        bridge = import_module("ray.util.joblib")
    except ImportError:
        raise MissingExtra("engine='ray'", "ray", "cluster") from None
    bridge.register_ray()


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise MissingExtra("compare", "joblib", "sweep") from None
    return joblib
