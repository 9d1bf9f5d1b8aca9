"""Make one run: train its task under its plan."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from itertools import pairwise
from time import monotonic
from typing import Any, TypeAlias

import numpy as np
import torch

import warmdown
from warmdown.errors import TrainingError, nearest
from warmdown.experiments.data import VARIABLES, digest_of_named
from warmdown.experiments.runs import Result, RunSpec, Status
from warmdown.planfile import plan_from_dict
from warmdown.training import TrainerCallback, run_task, task_of
from warmdown.training.callback import StopTrainingError
from warmdown.training.rng import restore, snapshot

Report: TypeAlias = Callable[[int, Mapping[str, float]], bool]
"""Takes the update and the metrics of each evaluation; returns whether the run goes on."""

_SECONDS_BETWEEN_SIGNS = 1.0
_PROTECTED_SHARE = 0.5
"""Share of a run in which it is not pruned: a rate that falls late looks worse, and ends better."""
_POINTS = 300


def metrics_of(task: str) -> list[str]:
    """Return the metrics of a task's runs, the task's own first metric first.

    The caller's random numbers stay as they are.

    Example:
        >>> metrics_of("digits")
        ['accuracy', 'eval_loss', 'train_loss']
    """
    # building a task draws random numbers
    before = snapshot()
    try:
        made = task_of(task)
    finally:
        restore(before)
    return [
        *made.metrics,
        *(["eval_loss"] if made.test is not None else []),
        "train_loss",
    ]


def require_metric(label: str, task: str, metric: str) -> None:
    """Refuse a metric that no run has, before any run is made.

    Raises:
        TrainingError: The task does not give it.
    """
    known = metrics_of(task)
    if metric not in known:
        raise TrainingError(
            f"{label}(metric={metric!r}): no run of {task!r} has it. {nearest(metric, known)}"
        )


def perform(
    spec: RunSpec, alive: Callable[[], None] = lambda: None, report: Report | None = None
) -> Result:
    """Make a run; the same spec gives the same result.

    Args:
        spec: The run.
        alive: Called about once a second, as a sign of life.
        report: Called after each evaluation; its answer is whether the run goes on.
    """
    versions = {
        "warmdown": warmdown.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    heartbeat = Heartbeat(alive, report)
    try:
        _require_named_data(spec)
        plan = plan_from_dict(spec.plan, allow=spec.allow)
        outcome = run_task(
            spec.task,
            plan,
            seed=spec.seed,
            callbacks=[heartbeat],
            **spec.settings,
        )
    # a run that fails is a result: the others go on
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return Result(spec=spec, status="failed", reason=reason, made_with=versions)
    status: Status = "diverged" if outcome.stopped else "finished"
    curves = {name: outcome.record.curve(name) for name in outcome.record.targets()}
    return Result(
        spec=spec,
        status="pruned" if heartbeat.is_pruned else status,
        reason=outcome.stopped,
        metrics=outcome.metrics,
        evaluations={
            name.removesuffix("_epoch"): _last_of_each_step(*curve)
            for name, curve in curves.items()
            if "/" not in name and name not in ("loss", "phase", "samples_per_second")
        },
        curves={
            name: _thinned(*curve)
            for name, curve in curves.items()
            if name == "loss" or "/" in name
        },
        area=float(sum(outcome.record.curve("lr/0")[1])),
        updates=outcome.updates,
        seconds=outcome.seconds,
        digest=outcome.digest,
        made_with=versions,
    )


class Heartbeat(TrainerCallback):
    """A callback that gives signs of life, reports each evaluation, and ends a hopeless run.

    Args:
        alive: Called about once a second.
        report: Takes the update and the metrics; returns whether the run goes on.
    """

    def __init__(self, alive: Callable[[], None], report: Report | None) -> None:
        self._alive, self._report = alive, report
        self._last_sign = monotonic()
        self.is_pruned = False

    def on_train_update_end(self, trainer: Any, **kwargs: Any) -> None:
        """Give a sign of life."""
        self._beat()

    def on_eval_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        """Give a sign of life."""
        self._beat()

    def on_eval_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
        """Report the evaluation, and end the run when it is not worth going on."""
        if self._report is None:
            return
        history, updates = trainer.run_history, trainer.progress.updates
        metrics = {
            name.removesuffix("_epoch"): history.get_latest_metric(name)
            for name in history.get_metric_names()
        }
        goes_on = self._report(updates, metrics)
        if not goes_on and updates >= _PROTECTED_SHARE * trainer.run_config.total_updates:
            self.is_pruned = True
            raise StopTrainingError("ended as hopeless")

    def _beat(self) -> None:
        if monotonic() - self._last_sign > _SECONDS_BETWEEN_SIGNS:
            self._last_sign = monotonic()
            self._alive()


def _require_named_data(spec: RunSpec) -> None:
    """Refuse to train on other data than the run's key names: a cluster may have others."""
    if digest_of_named(spec.task) != spec.data:
        raise TrainingError(
            f"task({spec.task!r}): the data that {' or '.join(VARIABLES)} names differ from those "
            "where the run was asked for. Let every machine have the same, at the same place."
        )


def _last_of_each_step(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    last = dict(zip(steps, values, strict=True))
    return list(last), list(last.values())


def _thinned(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """Return the means of up to 300 stretches of a curve, in seven digits."""
    parts = min(_POINTS, len(steps))
    cuts = np.linspace(0, len(steps), parts + 1).astype(int).tolist()
    means = [float(f"{np.mean(values[start:stop]):.7g}") for start, stop in pairwise(cuts)]
    return [steps[start] for start in cuts[:-1]], means
