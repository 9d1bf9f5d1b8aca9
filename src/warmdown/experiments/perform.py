"""Make one run: train its task under its plan; or one pass of a range test."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from time import monotonic, sleep
from typing import Any

import numpy as np
import psutil
import torch

from warmdown.errors import TrainingError, WarmdownError, nearest
from warmdown.experiments.find import Pass, make_passes
from warmdown.experiments.runs import VARIABLES, Report, Result, RunSpec, Status, digest_of_named
from warmdown.experiments.worker import versions_here
from warmdown.planfile import plan_from_dict
from warmdown.schedules.base import PlainData
from warmdown.training.callback import StopTrainingError, TrainerCallback
from warmdown.training.rng import OwnNumbers, seed_everything
from warmdown.training.tasks.run import TaskTrainer, run_task
from warmdown.training.tasks.task import task_of

_SECONDS_BETWEEN_SIGNS = 1.0
_PROTECTED_SHARE = 0.5
"""Share of a run in which it is not pruned: a rate that falls late looks worse, and ends better."""
_POINTS = 300


def require_metric(label: str, task: str, metric: str | None) -> str:
    """Return a metric of a task's runs, its own first one by default, before any run is made.

    The caller's random numbers stay as they are.

    Raises:
        TrainingError: The task does not give it.

    Example:
        >>> require_metric("search", "digits", None)
        'accuracy'
    """
    # building a task draws random numbers
    with OwnNumbers(0):
        made = task_of(task)
    losses = ["train_loss"] if made.test is None else ["eval_loss", "train_loss"]
    known = [*made.metrics, *losses]
    metric = metric or known[0]
    if metric not in known:
        raise TrainingError(
            f"{label}(metric={metric!r}): no run of {task!r} has it. {nearest(metric, known)}"
        )
    return metric


def perform(
    spec: RunSpec,
    alive: Callable[[], None] = lambda: None,
    report: Report = lambda step, metrics: True,
) -> Result:
    """Make a run; the same spec gives the same result.

    Args:
        spec: The run.
        alive: Called about once a second, as a sign of life.
        report: Called after each evaluation; its answer is whether the run goes on.
    """
    versions = {**versions_here(), "python": platform.python_version()}
    heartbeat = _Heartbeat(alive, report)
    try:
        # a cluster may have other data than those that the run's key names
        if digest_of_named(spec.task) != spec.data:
            raise TrainingError(_other_data(spec.task))
        outcome = run_task(
            spec.task,
            plan_from_dict(spec.plan, allow=spec.allow),
            seed=spec.seed,
            callbacks=[heartbeat],
            **spec.settings,
        )
    # a run that fails is a result: the others go on
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return Result(spec=spec, status="failed", reason=reason, made_with=versions)
    status: Status = "diverged" if outcome.stopped else "finished"
    evaluations, curves = {}, {}
    for name in outcome.record.targets():
        steps, values = outcome.record.curve(name)
        if name == "loss" or "/" in name:
            curves[name] = _thinned(steps, values)
        elif name not in ("phase", "samples_per_second"):
            last = dict(zip(steps, values, strict=True))
            evaluations[name.removesuffix("_epoch")] = list(last), list(last.values())
    return Result(
        spec=spec,
        status="pruned" if heartbeat.is_pruned else status,
        reason=outcome.stopped,
        metrics=outcome.metrics,
        evaluations=evaluations,
        curves=curves,
        area=float(sum(outcome.record.curve("lr/0")[1])),
        updates=outcome.updates,
        seconds=outcome.seconds,
        digest=outcome.digest,
        made_with=versions,
    )


def lacks(task: str, data: str, modules: Sequence[str], versions: Mapping[str, str]) -> list[str]:
    """Return what this machine lacks for runs that were asked for elsewhere, each in a sentence.

    Args:
        task: The task; it is built, which takes its module and its data.
        data: Digest of data that a person named.
        modules: Modules from which plans take classes.
        versions: Versions where the runs were asked for.

    Example:
        >>> lacks("digits", "", ["no_such_module"], versions_here())
        ["there is no module 'no_such_module' (--allow)."]
    """
    here = versions_here()
    found = [
        f"{name} {here[name]} is there, and {version} where the runs were asked for."
        for name, version in versions.items()
        # builds for CPU and CUDA are of one version
        if here[name].partition("+")[0] != version.partition("+")[0]
    ]
    found += [
        f"there is no module {module!r} (--allow)." for module in modules if not _is_found(module)
    ]
    if digest_of_named(task) != data:
        found.append(_other_data(task))
        return found
    try:
        with OwnNumbers(0):
            task_of(task)
    except Exception as error:
        found.append(str(error))
    return found


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # there is no package around it
        return False


def _other_data(task: str) -> str:
    names = " or ".join(VARIABLES)
    return (
        f"task({task!r}): the data that {names} names differ from those where the run was asked "
        "for. Let every machine have the same, at the same place or named by its own variable."
    )


def make_pass(number: int, *, alive: Callable[[], None], **sweep: Any) -> PlainData:
    """Make one pass of a task's sweep in a worker's process, and return it as plain data."""
    try:
        (made,) = passes_of_task(sweep, [number], alive)
    except WarmdownError as error:
        return {"error": str(error)}
    return made._asdict()


def passes_of_task(
    sweep: PlainData, numbers: Iterable[int], alive: Callable[[], None] = lambda: None
) -> list[Pass]:
    """Make passes of a range test of a task, which is built from its seed.

    Args:
        sweep: The task, its settings and those of the sweep.
        numbers: Which passes, from 0.
        alive: Called after each batch.
    """
    how = dict(sweep)
    name, batch_size, accumulate = (how.pop(key) for key in ("task", "batch_size", "accumulate"))
    seed_everything(sweep["seed"])
    task = task_of(name)
    trainer = TaskTrainer(task, lr=task.lr, callbacks=(), seed=sweep["seed"])
    training = {
        "per_device_batch_size": task.size_of_batch(batch_size),
        "gradient_accumulation_steps": accumulate,
    }
    return make_passes(
        trainer,
        None,
        task.train,
        restore=(),
        numbers=numbers,
        training=training,
        alive=alive,
        **how,
    )


def worker_main(parent: int) -> None:
    """Make the runs that come in; end when the caller, the process of that number, is gone."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    requests = map(json.loads, sys.stdin.buffer)
    # small models are slower on several threads, and runs share the cores
    torch.set_num_threads(1)
    with os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n") as out:
        os.dup2(2, 1)  # what a run prints must not get between the lines

        def send(**message: Any) -> None:
            print(json.dumps(message), file=out, flush=True)

        def report(step: int, metrics: Mapping[str, float]) -> bool:
            send(step=step, metrics=metrics)
            return bool(next(requests)["goes_on"])

        def beat() -> None:
            send(alive=True)

        for request in requests:
            beat()
            if "needs" in request:
                send(answer={"lacks": lacks(**request["needs"])})
            elif "sweep" in request:
                send(answer=make_pass(**request["sweep"], alive=beat))
            else:
                result = perform(RunSpec.from_dict(request["run"]), beat, report)
                send(answer=result.to_dict())


def _end_with(parent: int) -> None:
    """End this process with its parent, even during a run.

    The end of the input does not show it: a child of the caller may have inherited the other end.
    """
    # not os.getppid(): in a virtual environment of Windows a launcher is between the two
    with suppress(psutil.Error):
        caller = psutil.Process(parent)
        while caller.is_running() and caller.status() != psutil.STATUS_ZOMBIE:
            sleep(_SECONDS_BETWEEN_SIGNS)
    os._exit(0)


class _Heartbeat(TrainerCallback):
    """Gives signs of life, reports each evaluation, and ends a hopeless run."""

    def __init__(self, alive: Callable[[], None], report: Report) -> None:
        self._alive, self._report = alive, report
        self._last_sign = monotonic()
        self.is_pruned = False

    def on_train_update_end(self, trainer: Any, **kwargs: Any) -> None:
        """Give a sign of life."""
        if monotonic() - self._last_sign > _SECONDS_BETWEEN_SIGNS:
            self._last_sign = monotonic()
            self._alive()

    def on_eval_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        """Give a sign of life."""
        self.on_train_update_end(trainer)

    def on_eval_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """Report the evaluation, and end the run when it is not worth going on."""
        history, updates = trainer.run_history, trainer.progress.updates
        metrics = {
            name.removesuffix("_epoch"): history.get_latest_metric(name)
            for name in history.get_metric_names()
        }
        goes_on = self._report(updates, metrics)
        if not goes_on and updates >= _PROTECTED_SHARE * trainer.run_config.total_updates:
            self.is_pruned = True
            raise StopTrainingError("ended as hopeless")


def _thinned(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """Return the means of up to 300 stretches of a curve, in seven digits."""
    parts = min(_POINTS, len(steps))
    cuts = np.linspace(0, len(steps), parts + 1).astype(int).tolist()
    means = [float(f"{np.mean(values[start:stop]):.7g}") for start, stop in pairwise(cuts)]
    return [steps[start] for start in cuts[:-1]], means
