"""Engines: where runs are made: in this process's workers, through joblib, or on a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

from warmdown.errors import MissingExtra, TrainingError, import_extra, nearest
from warmdown.experiments.cluster import Cluster, connected
from warmdown.experiments.runs import Report, Result, RunSpec, Store
from warmdown.experiments.worker import (
    Needs,
    WorkAnswer,
    WorkerContext,
    WorkRequest,
    answer_in_worker,
    ignored_sigint,
    no_report,
    versions_here,
)

Engine: TypeAlias = Literal["serial", "loky", "dask", "ray"]
ENGINES = get_args(Engine)
_CLUSTERS = ("dask", "ray")

_ATTEMPTS = 3
_FINAL = ("finished", "diverged")
"""What would come out again. A run that failed, died or hung is repeated by the next call: its
cause may be gone."""


@contextmanager
def cluster_of_engine(
    label: str, engine: Engine, jobs: int | None, address: str | None
) -> Iterator[Cluster | None]:
    """Connect to an engine's cluster for a block of several calls; other engines have none.

    Args:
        label: Who asks, as an error names it: ``compare``.
        engine: The engine.
        jobs: Runs at once.
        address: Where the cluster is; ``None``: the current client's, that of the engine's own
            variable, or one that is started on this machine for the time being.

    Raises:
        TrainingError: There is no such engine, it has no address, or no cluster answers there.
        MissingExtra: The engine's library is not installed.
    """
    require_engine(label, engine, jobs, address)
    if engine in _CLUSTERS:
        with connected(label, engine, address, jobs) as cluster:
            yield cluster
    else:
        yield None


def require_engine(label: str, engine: Engine, jobs: int | None, address: str | None) -> None:
    """Refuse an engine that there is not, or that cannot be so.

    Raises:
        TrainingError: It names the argument.
    """
    if engine not in ENGINES:
        raise TrainingError(
            f"{label}(engine={engine!r}): no such engine. {nearest(engine, ENGINES)}"
        )
    if jobs is not None and jobs < 1:
        raise TrainingError(f"{label}(jobs={jobs!r}): at least one run at a time.")
    if address is not None and engine not in _CLUSTERS:
        raise TrainingError(
            f"{label}(address={address!r}): engine {engine!r} works on this machine. Name the "
            "cluster's: engine='dask' or 'ray' (--engine dask)."
        )


def answers(
    requests: Mapping[str, WorkRequest],
    *,
    label: str,
    engine: Engine,
    jobs: int | None,
    address: str | None,
    silence: float,
    needs: Needs,
    cluster: Cluster | None = None,
) -> Iterator[WorkAnswer]:
    """Yield the answer to each request as it comes; what a worker's end takes is made again.

    Args:
        requests: By their keys.
        label: Who asks.
        engine: Where they are answered.
        jobs: At once.
        address: Where the cluster is.
        silence: Seconds without a sign of life after which a request counts as hung.
        needs: What a cluster's workers need, which may be other machines.
        cluster: The engine's cluster, where it is open already.
    """
    is_open: AbstractContextManager[Cluster | None] = nullcontext(cluster)
    if cluster is None:
        is_open = cluster_of_engine(label, engine, jobs, address)
    with is_open as cluster:
        if cluster is None:
            yield from _answers_here(requests, engine, jobs or os.cpu_count() or 1, silence)
        else:
            cluster.require(needs, silence)
            yield from cluster.answers(list(requests.values()), jobs, needs, silence)


def run_all(
    specs: Sequence[RunSpec],
    store: Store,
    *,
    engine: Engine = "loky",
    jobs: int | None = None,
    address: str | None = None,
    silence: float = 600.0,
    progress: Callable[[Result, int, int], None] = lambda result, done, total: None,
    reports: Mapping[str, Callable[[], Report]] | None = None,
    require: Callable[[], str] | None = None,
    label: str = "compare",
    cluster: Cluster | None = None,
) -> list[Result]:
    """Make every run that the store does not have, and return all results in order.

    Each result is stored at once, so that a crash loses only the runs at work and a second call
    goes on. A run that dies, hangs, fails or diverges is a result as well.

    Args:
        specs: The runs; one that is named twice is made once.
        store: Where results are stored.
        engine: ``serial``: one after the other; ``loky``: processes of this machine; ``dask`` and
            ``ray``: a cluster.
        jobs: Runs at once; by default one a core, or as many as the cluster takes.
        address: Where the cluster is, as for :func:`compare`.
        silence: Seconds without a sign of life after which a run counts as hung.
        progress: Called with each result, the number of results so far, and their final number.
        reports: For the key of a run, what makes the function that its evaluations are reported to.
        require: Called by each worker of a cluster before the first run; it returns what is
            lacking there, in a sentence, or nothing.
        label: Who asks, as an error names it.
        cluster: The engine's cluster, where it is open already.

    Raises:
        TrainingError: There is no such engine, no cluster answers, its workers lack what the runs
            need, or they keep breaking.
        MissingExtra: The engine's library is not installed.
    """
    require_engine(label, engine, jobs, address)
    stored = {spec.key: store.load(spec) for spec in specs}
    results = {key: one for key, one in stored.items() if one is not None and one.status in _FINAL}
    missing = {spec.key: spec for spec in specs if spec.key not in results}
    requests = {
        key: WorkRequest(key, {"run": spec.to_dict()}, (reports or {}).get(key, no_report))
        for key, spec in missing.items()
    }
    if not requests:
        return [results[spec.key] for spec in specs]
    spec = next(iter(missing.values()))
    needs = Needs(spec.task, spec.data, spec.allow, versions_here(), require)
    for answer in answers(
        requests,
        label=label,
        engine=engine,
        jobs=jobs,
        address=address,
        silence=silence,
        needs=needs,
        cluster=cluster,
    ):
        result = _result(missing[answer.key], answer)
        if result.status != "pruned":  # that depends on other runs
            store.save(result)
        results[result.key] = result
        progress(result, len(results), len(stored))
    return [results[spec.key] for spec in specs]


def _result(spec: RunSpec, answer: WorkAnswer) -> Result:
    if answer.content is not None:
        return replace(Result.from_dict(answer.content), worker=answer.worker)
    status = answer.status or "failed"
    return Result(spec=spec, status=status, reason=answer.reason, worker=answer.worker)


def _answers_here(
    requests: Mapping[str, WorkRequest], engine: Engine, jobs: int, silence: float
) -> Iterator[WorkAnswer]:
    """Yield answers as they come; when an engine's own worker breaks, the rest starts again."""
    left = dict(requests)
    # a worker that dies takes the whole pool of joblib with it
    for attempt in range(_ATTEMPTS):
        if not left:
            return
        try:
            for answer in _dispatch(list(left.values()), engine, min(jobs, len(left)), silence):
                del left[answer.key]
                yield answer
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or isinstance(error, MissingExtra):
                raise


def _dispatch(
    requests: Sequence[WorkRequest], engine: Engine, jobs: int, silence: float
) -> Iterator[WorkAnswer]:
    joblib = import_extra("joblib", "compare", "joblib", "sweep")
    here = WorkerContext.here()
    tasks = [
        joblib.delayed(_answer_without_sigint)(os.getpid(), request, silence, here)
        for request in requests
    ]
    backend = "sequential" if engine == "serial" else engine
    with joblib.parallel_config(backend=backend, n_jobs=jobs):
        parallel = joblib.Parallel(
            return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
        )
        # the pool is started here, and inherits the blocked signal
        with nullcontext() if engine == "serial" else ignored_sigint():
            found = parallel(tasks)
        yield from found


def _answer_without_sigint(caller: int, *call: Any) -> WorkAnswer:
    """WorkAnswer in a worker that a Ctrl-C does not reach, even if its pool let it through.

    The first pool of a process lets it: what tracks its resources unblocks the signal. A pool of
    one is the caller itself, which a Ctrl-C must reach.
    """
    if os.getpid() != caller:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    return answer_in_worker(*call)
