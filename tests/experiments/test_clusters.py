"""Runs on a cluster of dask or ray are those of the caller's machine, whatever its workers do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from tests.experiments.small import SMALL

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import TrainingError, WorkersMissing
from warmdown.experiments import cluster as clusters
from warmdown.experiments import compare, find_rate_of_task, search
from warmdown.experiments.cluster import Cluster, connected
from warmdown.experiments.engine import answers
from warmdown.experiments.perform import lacks
from warmdown.experiments.search import StudyPlace
from warmdown.experiments.worker import (
    Needs,
    WorkAnswer,
    WorkerContext,
    WorkerProcess,
    WorkRequest,
    versions_here,
)

distributed: Any = pytest.importorskip("distributed")
pytest.importorskip("optuna")

PLANS = {"constant": wd.Constant(value=1.0), "cosine": wd.warmup_cosine(warmup="10%")}
SECONDS = 60.0


class Processes:
    """A scheduler and its workers, each a process in a folder of its own.

    Args:
        folder: Where their folders are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.all: dict[str, subprocess.Popen[bytes]] = {}
        self.start(
            "scheduler",
            "--port",
            "0",
            "--scheduler-file",
            str(self.file),
            "--no-jupyter",
            "--dashboard-address",
            ":0",
        )
        until = time.monotonic() + SECONDS
        while not self.file.exists() and time.monotonic() < until:
            time.sleep(0.05)  # another process writes it

    def start(self, kind: str, *arguments: str, name: str = "", module: str = SMALL) -> None:
        """Start a scheduler or a worker, with a task's module in its folder."""
        place = self.folder / (name or kind)
        place.mkdir()
        if module:
            (place / "far_tasks.py").write_text(module)
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, "--no-dashboard"]
        self.all[name or kind] = subprocess.Popen(
            [*command, *arguments],
            cwd=place,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, name: str, **how: str) -> None:
        """Start a worker of a name."""
        self.start("worker", "--scheduler-file", str(self.file), "--name", name, "--nthreads", "1",
                   "--no-nanny", name=name, **how)  # fmt: skip

    def end(self) -> None:
        """End all of them."""
        for process in self.all.values():
            with process:
                process.kill()


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("dask"))
    try:
        for name in ("alpha", "beta"):
            processes.add(name)
        yield processes
    finally:
        processes.end()


@pytest.fixture
def _far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the caller's folders be on no worker, as on another machine."""
    far = WorkerContext("/far", ["/far"], {})
    monkeypatch.setattr(WorkerContext, "here", classmethod(lambda kind: far))


@pytest.fixture
def _near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "far_tasks.py").write_text(SMALL)
    monkeypatch.syspath_prepend(str(tmp_path / "near"))


def workers(address: str, count: int) -> None:
    """Wait for so many workers."""
    with distributed.Client(scheduler_file=address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=SECONDS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("_near")
def test_a_search_and_a_range_test_on_workers_elsewhere_give_what_they_give_here(
    dask: Processes, tmp_path: Path
) -> None:
    file = str(dask.file)
    workers(file, 2)
    far: dict[str, Any] = {"engine": "dask", "address": file}
    names: list[str] = []
    test = find_rate_of_task(
        "far_tasks:small", steps=12, repeats=2,
        progress=lambda number, worker, done, total: names.append(worker), **far,
    )  # fmt: skip
    assert test.to_dict() == find_rate_of_task("far_tasks:small", steps=12, repeats=2).to_dict()
    assert set(names) <= {"alpha", "beta"}
    space = {"run": {"lr": {"low": 1e-3, "high": 1.0, "log": True}}, "lr": {"kind": "constant"}}
    found = search(
        space, "far_tasks:small", trials=2, jobs=1, out=tmp_path / "far",
        storage=f"sqlite:///{tmp_path / 'study.db'}", **far,
    )  # fmt: skip
    here = search(space, "far_tasks:small", trials=2, out=tmp_path / "here", engine="serial")
    assert [trial.metric for trial in found.trials] == [trial.metric for trial in here.trials]
    assert all(set(trial.workers) <= {"alpha", "beta"} != set() for trial in found.trials)
    assert not (tmp_path / "far" / "journal.log").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_far")
def test_what_a_worker_lacks_is_told_by_its_name_before_the_first_run(
    dask: Processes, tmp_path: Path
) -> None:
    workers(str(dask.file), 2)
    made: list[Any] = []
    with pytest.raises(TrainingError) as error:
        compare(PLANS, "missing_tasks:small", seeds=1, out=tmp_path, engine="dask",
                address=str(dask.file), progress=lambda *result: made.append(result))  # fmt: skip
    for name in ("alpha", "beta"):
        assert f"  {name} (tcp://" in str(error.value)
    assert str(error.value).count("there is no module 'missing_tasks'") == 2
    assert not made
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("_near")
def test_the_runs_of_a_killed_worker_are_made_by_one_that_joins(
    dask: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = str(dask.file)
    workers(file, 2)

    def kill_and_add(name: str, result: Any, done: int, total: int) -> None:
        if done == 1:
            dask.all["alpha"].send_signal(signal.SIGKILL)
            dask.all["alpha"].wait()
            dask.add("gamma")
            workers(file, 2)

    with distributed.Client(scheduler_file=file, set_as_default=False) as client:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
    there = compare(PLANS, "far_tasks:slow", seeds=4, engine="dask", progress=kill_and_add)
    here = compare(PLANS, "far_tasks:small", seeds=4, engine="loky", jobs=2)
    for name in PLANS:
        found = there.results[name].items()
        assert {seed: run.digest for seed, run in found} == {
            seed: run.digest for seed, run in here.results[name].items()
        }
    makers = {run.worker for runs in there.results.values() for run in runs.values()}
    assert {"beta", "gamma"} <= makers
    assert {run.worker for run in here.results["cosine"].values()} == {""}


class Workers(Cluster):
    """A cluster in this process: its workers answer at once.

    Args:
        lacks: What each worker lacks, by its place; ``None``: it cannot even read a run.
    """

    engine = "dask"

    def __init__(self, lacks: Mapping[str, str | None]) -> None:
        super().__init__("tcp://here:1", "compare", is_own=False)
        self.workers = dict(lacks)
        self.ended: list[Any] = []
        self.calls: list[tuple[str, str]] = []

    def slots(self) -> Mapping[str, int]:
        return dict.fromkeys(self.workers, 1)

    def submit(self, call: Sequence[Any], only: Sequence[str] | None = None) -> Any:
        request: WorkRequest = call[0]
        # the one that joined last is free
        place = (list(only) if only else list(self.workers))[-1]
        self.calls.append((request.key, place))
        return request.key, place, len(self.calls)

    def has_ended(self, future: Any) -> bool:
        return True

    def watch(self, future: Any) -> None:
        self.ended.append(future)

    def next_done(self) -> Any:
        return self.ended.pop(0) if self.ended else None

    def answer(self, future: Any, key: str) -> WorkAnswer:
        place = future[1]
        lacks = self.workers[place]
        if lacks is None:
            raise ImportError("No module named 'warmdown'")
        return WorkAnswer(key, {}, lacks=(lacks,) if lacks else (), worker=place, place=place)

    def abandon(self, futures: Sequence[Any]) -> None:
        pass

    def close(self) -> None:
        pass


NEEDS = Needs("digits")
REQUESTS = [WorkRequest(str(number), {"run": {}}) for number in range(4)]


def test_a_cluster_whose_workers_lack_something_is_refused_with_all_of_it() -> None:
    workers = Workers({"a": "", "b": "torch 1.0 is there.", "c": None})
    with pytest.raises(TrainingError) as error:
        workers.require(NEEDS, 1.0)
    assert str(error.value).splitlines()[1:3] == [
        "  b: torch 1.0 is there.",
        "  c: it cannot import the runs: No module named 'warmdown'.",
    ]


@pytest.mark.parametrize("lacks", ["torch 1.0 is there.", None])
def test_a_worker_that_joins_and_lacks_something_is_left_out_with_a_warning(
    lacks: str | None,
) -> None:
    workers = Workers({"a": "", "b": ""})
    workers.require(NEEDS, 1.0)
    workers.workers["late"] = lacks
    words = "late is left out: torch 1.0|a worker that joined"
    with pytest.warns(WorkersMissing, match=words) as warned:
        found = [*workers.answers(REQUESTS, 2, NEEDS, 1.0)]
    assert sorted(answer.key for answer in found) == ["0", "1", "2", "3"]
    assert {answer.worker for answer in found} <= {"a", "b"}
    assert len(warned) == (1 if lacks else 4)  # it is left out once, or each run comes back once


def test_runs_end_when_no_worker_is_left_that_can_make_them() -> None:
    workers = Workers({"a": ""})
    workers.require(NEEDS, 1.0)
    workers.workers = {"b": "no data."}
    with pytest.raises(TrainingError, match=r"no worker of dask at tcp://here:1 .* no data\."):
        [*workers.answers(REQUESTS, None, NEEDS, 1.0)]


def test_all_runs_are_given_at_once_and_with_a_number_of_jobs_no_more_than_these() -> None:
    for jobs, at_once in ((None, 4), (2, 2)):
        workers = Workers({"a": "", "b": ""})
        answers = workers.answers(REQUESTS, jobs, NEEDS, 1.0)
        next(answers)
        assert len(workers.calls) == at_once
    assert workers.size() == 2


def test_runs_wait_for_the_first_worker_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers({})
    monkeypatch.setattr(clusters, "sleep", lambda seconds: workers.workers.update(a=""))
    with pytest.warns(WorkersMissing, match=r"there is no worker; .* \[warmdown explain workers-m"):
        workers.require(NEEDS, 1.0)


THREADS: dict[str, Any] = {
    "processes": False, "n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"
}  # fmt: skip


class Here:
    """Dask in this process: its scheduler and its worker are threads.

    Args:
        killed: Gets the caller whose processes are to end.
    """

    def __init__(self, killed: SimpleQueue[str]) -> None:
        self.killed = killed
        self.processes: list[Any] = []

    def answer(
        self, request: WorkRequest, silence: float, context: WorkerContext, needs: Needs | None
    ) -> WorkAnswer:
        """Answer as a worker's process would, without one."""
        killed = self.killed

        class Process(WorkerProcess):
            def kill(self) -> None:
                killed.put(self.context.caller)

        self.processes.append(Process(context))
        if request.key == "3":
            raise AttributeError("WorkRequest has no attribute 'key'")
        return WorkAnswer("", {"answers": request.key})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    made = Here(SimpleQueue())
    monkeypatch.setattr(clusters, "answer_in_worker", made.answer)
    monkeypatch.setattr(clusters, "_SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    yield made
    made.processes.clear()


def by_key(label: str, **how: Any) -> dict[str, WorkAnswer]:
    requests = {request.key: request for request in REQUESTS[:3]}
    found = answers(requests, label=label, silence=1.0, needs=NEEDS, **how)
    return {answer.key: answer for answer in found}


def test_a_client_that_is_there_makes_the_runs_and_then_ends_what_served_them(here: Here) -> None:
    with distributed.Client(**THREADS) as client:
        (place,) = client.nthreads()
        found = by_key("compare", engine="dask", jobs=2, address=None)
        assert found == {
            key: WorkAnswer(key, {"answers": key}, worker="0", place=place) for key in "012"
        }
        callers = {process.context.caller for process in here.processes}
        assert {here.killed.get(timeout=20) for _ in here.processes} == callers
        with connected("compare", "dask", None, None) as cluster:
            assert (cluster.size(), cluster.is_own) == (1, False)
            assert cluster.name_of(place) == "0"
            assert cluster.name_of("tcp://none:1") == "tcp://none:1"
            assert cluster.next_done() is None
            with (
                pytest.warns(WorkersMissing, match="lacks .*: AttributeError: WorkRequest has no"),
                pytest.raises(TrainingError, match="cannot read a run: AttributeError"),
            ):
                [*cluster.answers(REQUESTS[3:], 1, NEEDS, 1.0)]


@pytest.mark.parametrize("by", ["address", "file", "variable", "configuration"])
def test_a_scheduler_is_found_by_its_address_its_file_its_variable_or_dasks_configuration(
    here: Here, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with distributed.LocalCluster(protocol="tcp://", **THREADS) as scheduler:
        address = scheduler.scheduler_address
        given = {"address": address, "file": str(tmp_path / "scheduler.json")}
        (tmp_path / "scheduler.json").write_text(json.dumps({"address": address}))
        if by == "variable":
            monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
        if by == "configuration":
            monkeypatch.setitem(distributed.config, "scheduler-address", address)
        with connected("compare", "dask", given.get(by), None) as cluster:
            assert (cluster.place, cluster.is_own, cluster.size()) == (address, False, 1)


def test_without_an_address_workers_of_this_machine_serve_for_the_time_being(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "Client", partial(distributed.Client, processes=False))
    with connected("compare", "dask", None, 2) as cluster:
        assert (cluster.is_own, cluster.size()) == (True, 2)
        cluster.require(NEEDS, 1.0)  # they have all that is here: nothing is asked
        found = cluster.answers(REQUESTS[:1], None, NEEDS, 1.0)
        assert [answer.content for answer in found] == [{"answers": "0"}]
        assert len(here.processes) == 1
    with pytest.raises(ValueError, match="No global client found"):
        distributed.get_client()


class Lost:
    """The client of a scheduler that ended."""

    scheduler = SimpleNamespace(address="tcp://here:1")

    def nthreads(self) -> Any:
        raise distributed.comm.CommClosedError("reset by peer")

    def scheduler_info(self) -> Any:  # as before 2025
        return {"workers": {"tcp://there:2": {"name": "alpha"}}}


class Broken:
    """A task that ended with an error.

    Args:
        error: The error.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error

    def result(self) -> Any:
        raise self.error


def test_a_scheduler_that_is_gone_ends_the_call_with_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "as_completed", list)
    lost = clusters.DaskCluster(Lost(), label="compare", is_own=False)
    with pytest.raises(TrainingError, match=r"tcp://here:1 is gone\. .* the same call makes"):
        lost.size()
    with pytest.raises(ImportError, match="AttributeError: no attribute 'WorkRequest'"):
        lost.answer(Broken(AttributeError("no attribute 'WorkRequest'")), "0")
    with pytest.raises(ImportError, match=r"^no module"):
        lost.answer(Broken(ImportError("no module")), "0")
    with pytest.raises(TrainingError, match=r"tcp://here:1 is gone\."):
        lost.answer(Broken(CancelledError()), "0")
    ended = distributed.KilledWorker("run", SimpleNamespace(address="tcp://there:2"), 3)
    assert lost.answer(Broken(ended), "0") == WorkAnswer(
        "0", status="died", reason="4 workers ended while they made it, tcp://there:2 last"
    )
    assert lost.name_of("tcp://there:2") == "alpha"
    lost.abandon([Broken(ended)])  # there is no scheduler to hear of it
    lost.close()


class Node(dict[str, Any]):
    """A node of ray's, with so many CPUs and GPUs."""

    def __init__(self, name: str, cpus: int, gpus: int = 0, *, alive: bool = True) -> None:
        resources = {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})
        super().__init__(NodeID=name, Alive=alive, Resources=resources)


class Ray:
    """Ray's functions without its processes: a task is what was asked for, and ends at once.

    Args:
        nodes: The nodes.
        ends: What becomes of the task of each key: an answer or an error.
    """

    class exceptions:
        WorkerCrashedError = type("WorkerCrashedError", (Exception,), {})
        NodeDiedError = type("NodeDiedError", (Exception,), {})
        OutOfMemoryError = type("OutOfMemoryError", (Exception,), {})
        RaySystemError = type("RaySystemError", (Exception,), {})
        LocalRayletDiedError = type("LocalRayletDiedError", (Exception,), {})
        OwnerDiedError = type("OwnerDiedError", (Exception,), {})

    class NodeAffinitySchedulingStrategy:
        def __init__(self, node_id: str, *, soft: bool) -> None:
            self.node = (node_id, soft)

    def __init__(self, nodes: Sequence[Node], ends: Mapping[str, Any] | None = None) -> None:
        self.all, self.ends = nodes, ends or {}
        self.options_given: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.connections: list[dict[str, Any]] = []
        self.refuses: Exception | None = None
        self.connected = False

    def init(self, **how: Any) -> None:
        self.connections.append(how)
        if self.refuses is not None and how["address"] != "local":
            raise self.refuses
        self.connected = True

    def is_initialized(self) -> bool:
        return self.connected

    def shutdown(self) -> None:
        self.connected = False

    def nodes(self) -> Sequence[Node]:
        return self.all

    def cluster_resources(self) -> dict[str, float]:
        gpus = sum(node["Resources"].get("GPU", 0.0) for node in self.all)
        return {"GPU": gpus} if gpus else {}

    def remote(self, function: Any) -> Any:
        assert function is clusters._answer_on_ray
        return self

    def options(self, **how: Any) -> Any:
        self.options_given.append(how)
        return SimpleNamespace(remote=lambda *call: call[0].key)

    def wait(self, futures: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return futures[:1], futures[1:]

    def get(self, future: str) -> WorkAnswer:
        end = self.ends.get(future, WorkAnswer("", {"answers": future}))
        if isinstance(end, Exception):
            raise end
        return end  # type: ignore[no-any-return]

    def cancel(self, future: str) -> None:
        self.cancelled.append(future)
        raise ValueError("it is over")


def on_ray(ray: Ray, jobs: int | None = None) -> clusters.RayCluster:
    return clusters.RayCluster(ray, "ray://there:1", jobs, label="compare", is_own=False)


def test_a_run_on_ray_takes_a_cpu_and_where_there_are_gpus_its_share_of_one() -> None:
    nodes = [Node("a", 4), Node("b", 8), Node("none", 0), Node("gone", 8, alive=False)]
    assert on_ray(Ray(nodes)).slots() == {"a": 4, "b": 8}
    nodes = [Node("a", 4, gpus=2), Node("b", 8)]
    for jobs, slots, share in ((None, 2, 1.0), (1, 2, 1.0), (4, 4, 0.5), (16, 4, 0.125)):
        ray = Ray(nodes)
        cluster = on_ray(ray, jobs)
        assert cluster.slots() == {"a": slots}
        cluster.submit((REQUESTS[0],))
        assert ray.options_given == [{"num_cpus": 1, "num_gpus": share, "max_retries": 3}]


def test_a_run_that_only_some_nodes_of_ray_may_make_is_bound_to_each_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters, "import_extra", lambda name, *rest: Ray)
    ray = Ray([Node("a", 1), Node("b", 1)])
    cluster = on_ray(ray)
    for _ in range(3):
        cluster.submit((REQUESTS[0],), ["a", "b"])
    bound = [how["scheduling_strategy"].node for how in ray.options_given]
    assert bound == [("a", False), ("b", False), ("a", False)]


def test_runs_on_ray_are_answered_or_the_answer_gives_the_reason() -> None:
    crashed = Ray.exceptions.WorkerCrashedError("the worker\n  ended")
    ray = Ray([Node("a", 2)], {"1": crashed})
    found = [*on_ray(ray).answers(REQUESTS[:3], None, NEEDS, 1.0)]
    reason = "4 workers ended while they made it: the worker ended"
    assert found == [
        WorkAnswer("0", {"answers": "0"}),
        WorkAnswer("1", status="died", reason=reason),
        WorkAnswer("2", {"answers": "2"}),
    ]
    assert not ray.cancelled
    left: Any = on_ray(ray).answers(REQUESTS[:3], None, NEEDS, 1.0)
    next(left)
    left.close()
    assert ray.cancelled == ["1", "2"]


def test_what_ray_cannot_do_is_told_apart() -> None:
    ends = {
        "0": RuntimeError("The remote function failed to import on the worker."),
        "1": RuntimeError("no room"),
        "2": Ray.exceptions.OwnerDiedError("gone"),
    }
    cluster = on_ray(Ray([Node("a", 1)], ends))
    with pytest.raises(ImportError, match="failed to import on the worker"):
        cluster.answer("0", "0")
    with pytest.raises(RuntimeError, match="no room"):
        cluster.answer("1", "1")
    with pytest.raises(
        TrainingError, match=r"engine='ray'\): the cluster at ray://there:1 is gone"
    ):
        cluster.answer("2", "2")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    made = Ray([Node("a", 2)])
    monkeypatch.setattr(clusters, "import_extra", lambda name, *rest: made)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return made


def test_ray_is_that_of_this_process_or_one_that_runs_or_one_for_the_time_being(ray: Ray) -> None:
    ray.connected = True
    with connected("compare", "ray", None, None) as cluster:
        assert (cluster.place, cluster.is_own) == ("this process's cluster", False)
    assert ray.connected  # whoever connected it goes on with it
    with pytest.raises(TrainingError, match=r"ray is connected already.*ray\.shutdown\(\)"):
        by_key("compare", engine="ray", jobs=1, address="ray://there:1")
    ray.shutdown()
    with connected("compare", "ray", None, 2) as cluster:
        assert (ray.connections[-1]["address"], cluster.is_own) == ("auto", False)
    assert not ray.is_initialized()
    ray.refuses = ConnectionError("no cluster runs")
    with connected("compare", "ray", None, 2) as cluster:
        assert (ray.connections[-1]["address"], cluster.is_own) == ("local", True)
        assert ray.connections[-1]["num_cpus"] == 2
    assert not ray.is_initialized()


def test_ray_is_connected_where_it_listens_and_nowhere_else(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "SECONDS_TO_CONNECT", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        words = rf"RAY_ADDRESS='{address}'\): no ray cluster answers there within 0\.2 s: .*refused"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(TrainingError, match=rf"{words}.* Start one \(ray start --head\)"):
            by_key("find", engine="ray", jobs=1, address=None)
        assert not ray.connections
        listening.listen()
        with connected("find", "ray", f"ray://{address}", None) as cluster:
            assert (cluster.place, cluster.is_own) == (f"ray://{address}", False)


def test_an_answer_from_a_node_of_ray_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(get_node_id=lambda: "a")
    util = SimpleNamespace(get_node_ip_address=lambda: "10.0.0.1")
    there = SimpleNamespace(get_runtime_context=lambda: context, util=util)
    monkeypatch.setattr(clusters, "import_extra", lambda name, *rest: there)
    monkeypatch.setattr(clusters, "answer_in_worker", lambda *call: WorkAnswer("0", {}))
    assert clusters._answer_on_ray() == WorkAnswer("0", {}, worker="10.0.0.1", place="a")


def test_a_worker_that_leaves_while_it_is_asked_is_not_waited_for() -> None:
    class Leaving(Workers):
        def has_ended(self, future: Any) -> bool:
            self.workers.pop("b", None)
            return bool(future[1] != "b")

        def abandon(self, futures: Sequence[Any]) -> None:
            self.ended += futures

    workers = Leaving({"a": "", "b": ""})
    workers.require(NEEDS, 1.0)
    assert [place for _, place, _ in workers.ended] == ["b"]
    assert workers.calls == [("needs", "a"), ("needs", "b")]


def refused(*arguments: str) -> str:
    """Return what a command that cannot be done prints."""
    result = CliRunner().invoke(main, [*arguments])
    assert result.exit_code == 2, result.output
    return result.stderr


def test_an_address_where_nothing_answers_is_refused_with_who_what_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "SECONDS_TO_CONNECT", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
    space = tmp_path / "space.yaml"
    space.write_text("run: {lr: {low: 1e-3, high: 1.0}}\nlr: {kind: cosine}\n")
    to_dask = ("--engine", "dask", "--address", address)
    words = f"(address='{address}'): no dask cluster answers there within 0.2 s: "
    assert f"compare{words}" in refused("compare", "constant", *to_dask)
    assert f"find{words}" in refused("find", *to_dask)
    assert f"search{words}" in refused("search", str(space), "--out", str(tmp_path / "s"), *to_dask)
    assert not (tmp_path / "s").exists()
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    found = refused("compare", "constant", "--engine", "dask")
    assert f"compare(DASK_SCHEDULER_ADDRESS='{address}'): no dask cluster answers" in found
    assert "Start one (dask scheduler, dask worker), or correct its address" in found
    missing = str(tmp_path / "scheduler.json")
    found = refused("find", "--engine", "dask", "--address", missing)
    assert f"find(address='{missing}'): there is no such scheduler file." in found


def test_an_engine_of_this_machine_has_no_address() -> None:
    for engine in ("serial", "loky"):
        found = refused("compare", "constant", "--engine", engine, "--address", "tcp://far:1")
        assert f"engine '{engine}' works on this machine. Name the cluster's" in found


def test_a_study_in_a_database_is_named_without_its_password() -> None:
    place = StudyPlace("nosql://me:secret@host:5432/studies", "s", is_url=True)
    assert str(place) == "nosql://me:***@host:5432/studies"
    with pytest.raises(TrainingError, match=r"search\(storage='nosql://me:\*\*\*@host") as error:
        place.open()
    assert "secret" not in str(error.value)
    assert "secret" not in place.lacks()


def test_a_worker_that_does_not_see_the_journal_of_a_search_tells_the_way_out(
    tmp_path: Path,
) -> None:
    place = StudyPlace(str(tmp_path / "journal.log"), "s", is_url=False)
    assert "is not there. Give a storage that every worker reaches (--storage" in place.lacks()
    place.load("eval_loss")
    assert place.lacks() == ""
    assert "the search's study: " in StudyPlace(place.storage, "other", is_url=False).lacks()


def test_data_that_lie_elsewhere_on_a_worker_are_found_by_its_own_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path))
    far = WorkerContext(str(tmp_path), sys.path, {"WARMDOWN_TEXT": "/far/texts"})
    code = "import os; print(os.environ['WARMDOWN_TEXT'])"
    with far.start("-c", code, stdout=subprocess.PIPE) as process:
        assert process.communicate()[0].decode().strip() == str(tmp_path)


def test_what_a_machine_lacks_is_said_in_sentences() -> None:
    versions = {**versions_here(), "torch": "1.0.0+cpu"}
    version, module, task = lacks("none_such:task", "", ["far.away"], versions)
    assert version.startswith("torch ")
    assert version.endswith(" is there, and 1.0.0+cpu where the runs were asked for.")
    assert module == "there is no module 'far.away' (--allow)."
    assert "there is no module 'none_such'" in task
    assert lacks("digits", "", [], {**versions_here(), "torch": f"{base_of_torch()}+cu130"}) == []
    (data,) = lacks("text", "0" * 16, [], {})
    assert "the data that WARMDOWN_TEXT or WARMDOWN_FASHION_MNIST names differ" in data


def base_of_torch() -> str:
    return versions_here()["torch"].partition("+")[0]
