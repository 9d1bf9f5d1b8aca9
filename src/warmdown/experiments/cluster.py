"""Clusters: the workers of dask and ray, each by its own library.

A cluster spreads the runs itself, so that workers that join are used and those that end are
replaced by others. Each worker is asked first whether it has what the runs need.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count as counter
from time import monotonic, sleep
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

from warmdown.errors import TrainingError, WorkersMissing, import_extra
from warmdown.experiments.worker import (
    Needs,
    WorkAnswer,
    WorkerContext,
    WorkRequest,
    answer_in_worker,
    ignored_sigint,
    kill_processes_of,
)

SECONDS_TO_CONNECT = 10
"""After which a cluster that does not answer is given up."""
_SECONDS_BETWEEN_LOOKS = 1.0
_RETRIES = 3
"""How often a run is made again whose worker ended; dask's own number is the same."""
_PAUSE = 0.05
_LONGEST = 300
"""Characters of another library's error that are shown."""
_VARIABLES = {"dask": "DASK_SCHEDULER_ADDRESS", "ray": "RAY_ADDRESS"}
_WAYS_OUT = {
    "dask": "Start one (dask scheduler, dask worker), or correct its address or scheduler file",
    "ray": "Start one (ray start --head), or correct its address",
}


class Cluster(ABC):
    """A cluster that answers requests.

    Args:
        place: Where it is, for a person.
        label: Who asks.
        is_own: Whether it was started here for the time being: then its workers have all that the
            caller has.
    """

    engine: ClassVar[str]

    def __init__(self, place: str, label: str, *, is_own: bool) -> None:
        self.place, self.label, self.is_own = place, label, is_own
        self._context = replace(WorkerContext.here(), caller=uuid4().hex)
        self._names: dict[str, str] = {}
        self._left_out: set[str] = set()

    @abstractmethod
    def slots(self) -> Mapping[str, int]:
        """Return how many runs each worker makes at once, by its place."""

    @abstractmethod
    def submit(self, call: Sequence[Any], only: Sequence[str] | None = None) -> Any:
        """Give a call of :func:`answer_in_worker` to the cluster; return its future.

        Args:
            call: The arguments.
            only: Places of the workers that may make it; all when left out.
        """

    @abstractmethod
    def has_ended(self, future: Any) -> bool:
        """Return whether a future has ended."""

    @abstractmethod
    def watch(self, future: Any) -> None:
        """Let :meth:`next_done` return a future too."""

    @abstractmethod
    def next_done(self) -> Any:
        """Return a watched future that has ended, once; ``None`` after a second without one."""

    @abstractmethod
    def answer(self, future: Any, key: str) -> WorkAnswer:
        """Return the answer of a future that has ended.

        Raises:
            ImportError: A worker could not read the call.
            TrainingError: The cluster is gone.
        """

    @abstractmethod
    def abandon(self, futures: Sequence[Any]) -> None:
        """End what is at work."""

    @abstractmethod
    def close(self) -> None:
        """End the processes that served this caller, and the connection."""

    def name_of(self, place: str) -> str:
        """Return the name of a worker that did not give it."""
        return place

    def size(self) -> int:
        """Return how many runs the cluster makes at once, when its first worker is there."""
        self._wait_for_workers()
        left = (count for place, count in self.slots().items() if place not in self._left_out)
        return max(1, sum(left))

    def require(self, needs: Needs, silence: float) -> None:
        """Ask each worker whether it has what runs need, waiting for the first to join.

        Raises:
            TrainingError: A worker lacks something; each is named with what it lacks.
        """
        while not self._names:
            self._wait_for_workers()
            if self.is_own:
                return
            self._ask_each(needs, silence)

    def _wait_for_workers(self) -> None:
        if not self.slots():
            self._warn("there is no worker; the runs begin when one joins")
            while not self.slots():
                sleep(_SECONDS_BETWEEN_LOOKS)

    def _ask_each(self, needs: Needs, silence: float) -> None:
        call = (WorkRequest("needs", {}), silence, self._context, needs)
        asked = {place: self.submit(call, [place]) for place in self.slots()}
        lines = []
        while asked:
            for place, future in list(asked.items()):
                if not self.has_ended(future):
                    if place not in self.slots():  # it ended, or left
                        self.abandon([asked.pop(place)])
                    continue
                del asked[place]
                try:
                    answer = self.answer(future, "needs")
                except ImportError as error:
                    answer = WorkAnswer("needs", lacks=(f"it cannot import the runs: {error}.",))
                lacks = answer.lacks or ((answer.reason,) if answer.content is None else ())
                if lacks:
                    name = answer.worker or self.name_of(place)
                    shown = place if name == place else f"{name} ({place})"
                    lines += [f"  {shown}: {line}" for line in lacks]
                else:
                    self._names[place] = answer.worker
            sleep(_PAUSE)
        if lines:
            raise TrainingError(
                f"{self.label}: workers of {self.engine} at {self.place} lack what the runs need:\n"
                + "\n".join(lines)
                + "\nGive every worker the same packages, modules and data, or start it in a "
                "folder that has them."
            )

    def answers(
        self, requests: Sequence[WorkRequest], jobs: int | None, needs: Needs, silence: float
    ) -> Iterator[WorkAnswer]:
        """Yield the answer to each request as it comes.

        Without a number of jobs the cluster gets all requests at once, so that one that grows with
        its work does.
        """
        waiting = deque(requests)
        at_work: dict[Any, WorkRequest] = {}
        checked = None if self.is_own else needs
        retried: set[str] = set()
        try:
            while waiting or at_work:
                while waiting and (jobs is None or len(at_work) < jobs):
                    request = waiting.popleft()
                    only = [*self._fit()] if self._left_out or request.key in retried else None
                    call = (request, silence, self._context, checked)
                    future = self.submit(call, only)
                    at_work[future] = request
                    self.watch(future)
                while (future := self.next_done()) is None:
                    self._wait_for_workers()
                request = at_work.pop(future)
                try:
                    answer = self.answer(future, request.key)
                except ImportError as error:
                    if request.key in retried:
                        raise TrainingError(
                            f"{self.label}: a worker of {self.engine} at {self.place} cannot read "
                            f"a run: {error}. Give every worker the same packages."
                        ) from None
                    retried.add(request.key)
                    self._warn(f"a worker that joined lacks what the runs need: {error}")
                    waiting.append(request)
                    continue
                if answer.lacks:
                    self._leave_out(answer)
                    waiting.append(request)
                    continue
                self._names.setdefault(answer.place, answer.worker)
                yield answer
        finally:
            self.abandon(list(at_work))

    def _fit(self) -> dict[str, int]:
        """Return the slots of the workers that were not left out, at best of those that passed."""
        fit = {place: n for place, n in self.slots().items() if place not in self._left_out}
        return {place: n for place, n in fit.items() if place in self._names} or fit

    def _leave_out(self, answer: WorkAnswer) -> None:
        if answer.place in self._left_out:
            return
        self._left_out.add(answer.place)
        self._names.pop(answer.place, None)
        lacks = " ".join(answer.lacks)
        if not self._fit():
            raise TrainingError(
                f"{self.label}: no worker of {self.engine} at {self.place} is left that can make "
                f"the runs; the last lacks this: {lacks} Give every worker the same."
            )
        self._warn(f"worker {answer.worker} is left out: {lacks}")

    def _gone(self) -> TrainingError:
        return TrainingError(
            f"{self.label}(engine={self.engine!r}): the cluster at {self.place} is gone. What was "
            "finished is kept where a folder was given: the same call makes the rest."
        )

    def _warn(self, text: str) -> None:
        warnings.warn(
            f"{self.label}(engine={self.engine!r}): {text} [warmdown explain workers-missing]",
            WorkersMissing,
            stacklevel=2,
        )


class DaskCluster(Cluster):
    """The workers of a dask scheduler.

    Args:
        client: Its client.
        how: As for a cluster.
    """

    engine = "dask"

    def __init__(self, client: Any, **how: Any) -> None:
        super().__init__(client.scheduler.address, **how)
        self._client = client
        self._distributed = _distributed()
        self._ended = self._distributed.as_completed()

    def slots(self) -> Mapping[str, int]:
        """Return the threads of each worker, by its address."""
        try:
            return dict(self._client.nthreads())
        except self._distributed.comm.CommClosedError:
            raise self._gone() from None

    def name_of(self, place: str) -> str:
        """Return the name that the scheduler knows."""
        try:
            known = self._client.scheduler_info(n_workers=-1)
        except TypeError:  # before 2025 it gave all of them
            known = self._client.scheduler_info()
        return str(known["workers"].get(place, {}).get("name", place))

    def submit(self, call: Sequence[Any], only: Sequence[str] | None = None) -> Any:
        """Give a call to the scheduler."""
        # a worker that cannot import the function of a task would end; this one is Python's own
        content = pickle.dumps(_Call(call))
        return self._client.submit(pickle.loads, content, pure=False, workers=only)

    def has_ended(self, future: Any) -> bool:
        """Return whether a future has ended."""
        return bool(future.done())

    def watch(self, future: Any) -> None:
        """Let it be returned when it has ended."""
        self._ended.add(future)

    def next_done(self) -> Any:
        """Return the next future that has ended."""
        until = monotonic() + _SECONDS_BETWEEN_LOOKS
        while not self._ended.has_ready():
            if monotonic() > until:
                return None
            sleep(_PAUSE)
        return next(self._ended)

    def answer(self, future: Any, key: str) -> WorkAnswer:
        """Return the answer of a future."""
        try:
            found: WorkAnswer = future.result()
        except self._distributed.KilledWorker as error:
            tried = f"{error.allowed_failures + 1} workers ended while they made it"
            return WorkAnswer(
                key, status="died", reason=f"{tried}, {error.last_worker.address} last"
            )
        except (self._distributed.comm.CommClosedError, CancelledError):
            raise self._gone() from None
        except ImportError:
            raise
        except Exception as error:  # another warmdown has other names and arguments
            raise ImportError(f"{type(error).__name__}: {error}") from error
        return replace(found, key=key)

    def abandon(self, futures: Sequence[Any]) -> None:
        """Take back what is not done."""
        if futures:
            with suppress(Exception):  # it may be the scheduler that is gone
                self._client.cancel(futures)

    def close(self) -> None:
        """End the processes that served this caller."""
        if not self.is_own:
            with suppress(Exception):
                self._client.run(
                    kill_processes_of, self._context.caller, wait=False, on_error="ignore"
                )


class _Call:
    """What answers a request where it is read.

    Args:
        call: The arguments of :func:`answer_in_worker`.
    """

    def __init__(self, call: Sequence[Any]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return _answer_on_dask, tuple(self._call)


def _answer_on_dask(*call: Any) -> WorkAnswer:
    worker = _distributed().get_worker()
    with suppress(ValueError):  # a thread has no handlers; a Ctrl-C there is not the run's
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return replace(answer_in_worker(*call), worker=str(worker.name), place=worker.address)


class RayCluster(Cluster):
    """The nodes of a ray cluster; each run is a task of ray's own.

    A run takes one CPU and, where the cluster has GPUs, one of them; of a number of runs at once
    that is larger than theirs, each takes its share.

    Args:
        ray: The module, connected.
        jobs: Runs at once.
        how: As for a cluster.
    """

    engine = "ray"

    def __init__(self, ray: Any, place: str, jobs: int | None, **how: Any) -> None:
        super().__init__(place, **how)
        self._ray, self._jobs = ray, jobs
        self._at_work: list[Any] = []
        self._turn = counter()

    def slots(self) -> Mapping[str, int]:
        """Return the runs that each node's CPUs and GPUs take, by its number."""
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        share = self._gpus_of_a_run()
        slots = {}
        for node in alive:
            resources = node["Resources"]
            found = int(resources.get("CPU", 0))
            if share:
                found = min(found, int(resources.get("GPU", 0) / share))
            if found:
                slots[node["NodeID"]] = found
        return slots

    def _gpus_of_a_run(self) -> float:
        gpus = self._ray.cluster_resources().get("GPU", 0)
        return min(1.0, gpus / (self._jobs or 1)) if gpus else 0.0

    def submit(self, call: Sequence[Any], only: Sequence[str] | None = None) -> Any:
        """Give a call to ray."""
        options = {"num_cpus": 1, "num_gpus": self._gpus_of_a_run(), "max_retries": _RETRIES}
        if only:
            strategies = import_extra("ray.util.scheduling_strategies", "ray", "ray", "cluster")
            node = only[next(self._turn) % len(only)]
            options["scheduling_strategy"] = strategies.NodeAffinitySchedulingStrategy(
                node_id=node, soft=False
            )
        return self._ray.remote(_answer_on_ray).options(**options).remote(*call)

    def watch(self, future: Any) -> None:
        """Let it be returned when it has ended."""
        self._at_work.append(future)

    def has_ended(self, future: Any) -> bool:
        """Return whether a future has ended."""
        return bool(self._ray.wait([future], timeout=0)[0])

    def next_done(self) -> Any:
        """Return the next future that has ended."""
        done, self._at_work = self._ray.wait(self._at_work, timeout=_SECONDS_BETWEEN_LOOKS)
        return done[0] if done else None

    def answer(self, future: Any, key: str) -> WorkAnswer:
        """Return the answer of a future."""
        errors = self._ray.exceptions
        try:
            found: WorkAnswer = self._ray.get(future)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            reason = " ".join(str(error).split())[:_LONGEST]
            tried = f"{_RETRIES + 1} workers ended while they made it"
            return WorkAnswer(key, status="died", reason=f"{tried}: {reason}")
        except RuntimeError as error:
            if "failed to import" in str(error):  # ray's words for a function that it cannot load
                raise ImportError(" ".join(str(error).split())[:_LONGEST]) from None
            raise
        except (errors.RaySystemError, errors.LocalRayletDiedError, errors.OwnerDiedError):
            raise self._gone() from None
        return replace(found, key=key)

    def abandon(self, futures: Sequence[Any]) -> None:
        """Take back what is not done; what is at work is interrupted, and ends its process."""
        for future in futures:
            with suppress(Exception):
                self._ray.cancel(future)

    def close(self) -> None:
        """Leave the rest to ray, which ends the workers of a caller with it."""


def _answer_on_ray(*call: Any) -> WorkAnswer:
    ray = import_extra("ray", "engine='ray'", "ray", "cluster")
    node = ray.get_runtime_context().get_node_id()
    return replace(answer_in_worker(*call), worker=ray.util.get_node_ip_address(), place=node)


@contextmanager
def connected(label: str, engine: str, address: str | None, jobs: int | None) -> Iterator[Cluster]:
    """Yield the cluster of an engine.

    It is that of the address; else that which this process is connected to; else that which the
    engine's own variable names; else one of this machine for the time being.

    Raises:
        TrainingError: No cluster answers at the address within ten seconds.
        MissingExtra: The engine's library is not installed.
    """
    connect = _connected_dask if engine == "dask" else _connected_ray
    with connect(label, address, jobs) as cluster:
        try:
            yield cluster
        finally:
            cluster.close()


@contextmanager
def _connected_dask(label: str, address: str | None, jobs: int | None) -> Iterator[Cluster]:
    distributed = _distributed()
    if address is None:
        try:
            current = distributed.get_client()
        except ValueError:
            pass
        else:
            yield DaskCluster(current, label=label, is_own=False)
            return
    place = address or os.environ.get(_VARIABLES["dask"])
    if place is None:  # a configuration file of dask's may have it
        dask = import_extra("dask", "engine='dask'", "dask", "cluster")
        place = dask.config.get("scheduler-address", None)
    if place is None:
        with ignored_sigint():
            client = distributed.Client(
                n_workers=jobs or os.cpu_count() or 1,
                threads_per_worker=1,
                dashboard_address=":0",  # no port that another may have
                silence_logs=logging.ERROR,  # that a worker was ended by a Ctrl-C is no news
            )
    else:
        who = _who(label, "dask", address, place)
        is_file = place.endswith(".json")
        if is_file and not os.path.isfile(place):
            raise TrainingError(f"{who}: there is no such scheduler file. {_WAYS_OUT['dask']}.")
        try:
            client = distributed.Client(
                **{"scheduler_file" if is_file else "address": place}, timeout=SECONDS_TO_CONNECT
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _unreachable(who, "dask", error) from None
    with client:
        yield DaskCluster(client, label=label, is_own=place is None)


@contextmanager
def _connected_ray(label: str, address: str | None, jobs: int | None) -> Iterator[Cluster]:
    ray = import_extra("ray", "engine='ray'", "ray", "cluster")
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if ray.is_initialized():
        if address is not None:
            raise TrainingError(
                f"{label}(address={address!r}): ray is connected already. Leave address out, or "
                "call ray.shutdown() first."
            )
        yield RayCluster(ray, "this process's cluster", jobs, label=label, is_own=False)
        return
    place = address or os.environ.get(_VARIABLES["ray"])
    is_own = False
    if place is None:
        try:
            ray.init(address="auto", **how)
        except ConnectionError:
            is_own = True
            with ignored_sigint():
                ray.init(address="local", num_cpus=jobs, include_dashboard=False, **how)
    else:
        who = _who(label, "ray", address, place)
        try:
            _look_for(place)
            ray.init(address=place, **how)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreachable(who, "ray", error) from None
    try:
        yield RayCluster(ray, place or "this machine", jobs, label=label, is_own=is_own)
    finally:
        ray.shutdown()


def _who(label: str, engine: str, address: str | None, place: str) -> str:
    """Return who names a place, for an error: an argument, or a variable."""
    return f"{label}({f'address={place!r}' if address else f'{_VARIABLES[engine]}={place!r}'})"


def _unreachable(who: str, engine: str, error: Exception) -> TrainingError:
    reason = " ".join(str(error).split())[:_LONGEST].rstrip(".")
    return TrainingError(
        f"{who}: no {engine} cluster answers there within {SECONDS_TO_CONNECT} s: "
        f"{reason or type(error).__name__}. {_WAYS_OUT[engine]}."
    )


def _look_for(address: str) -> None:
    """Connect to a port for a moment: ray itself tries for minutes.

    Raises:
        OSError: Nothing listens there.
    """
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), SECONDS_TO_CONNECT).close()


def _distributed() -> Any:
    return import_extra("distributed", "engine='dask'", "dask.distributed", "cluster")
