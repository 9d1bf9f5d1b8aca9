"""Compare plans: train the same task under each of them, over several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from warmdown.errors import TrainingError, nearest
from warmdown.experiments.comparison import Comparison
from warmdown.experiments.engine import Engine, run_all
from warmdown.experiments.perform import require_metric
from warmdown.experiments.runs import Result, RunSpec, Store
from warmdown.files import require_writable
from warmdown.plan import Plan
from warmdown.schedules import Scale, Schedule, Set

CompareProgress: TypeAlias = Callable[[str, Result, int, int], None]
"""Takes a plan's name, its new result, the number of results so far, and their final number."""

_SETTINGS = ("epochs", "max_steps", "batch_size", "accumulate")


def compare(
    plans: Mapping[str, Plan | Schedule | Scale | Set],
    task: str = "digits",
    *,
    seeds: int | Sequence[int] = 8,
    out: str | PathLike[str] | None = None,
    engine: Engine = "loky",
    jobs: int | None = None,
    silence: float = 600.0,
    metric: str | None = None,
    goal: float | None = None,
    baseline: str | None = None,
    progress: CompareProgress = lambda name, result, done, total: None,
    allow: Sequence[str] = (),
    **settings: Any,
) -> Comparison:
    """Train a task under every plan and seed, and compare the results.

    Args:
        plans: By name; the first is what the others are compared with.
        task: ``digits``, ``fashion``, ``text``, or ``module:function``.
        seeds: How many, or which.
        out: Folder of results: a second call makes only what is missing. ``None`` stores nothing.
        engine: ``serial``, ``loky`` (processes), ``dask``, ``ray``.
        jobs: Runs at once.
        silence: Seconds without a sign of life after which a run counts as hung.
        metric: What is compared; by default the task's own first metric, else the loss of the
            evaluation.
        goal: Value of the metric whose first reaching is timed; by default what the baseline
            reaches in the mean.
        baseline: The plan that others are compared with.
        progress: Called with each result.
        allow: Modules from which plans may take classes.
        settings: ``epochs``, ``max_steps``, ``batch_size``, ``accumulate``.

    Raises:
        TrainingError: There is nothing to compare, or no run finished.
        ScheduleError: A plan does not fit into its run.
    """
    named = {
        name: plan if isinstance(plan, Plan) else Plan.of(lr=plan) for name, plan in plans.items()
    }
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise TrainingError(f"compare(seeds={seeds!r}): at least one, and each once.")
    if not plans:
        raise TrainingError(
            "compare(plans={}): there is nothing to compare. Give at least one plan."
        )
    if baseline is not None and baseline not in plans:
        raise TrainingError(
            f"compare(baseline={baseline!r}): no such plan. {nearest(baseline, plans)}"
        )
    for name in settings:
        if name not in _SETTINGS:
            raise TrainingError(
                f"compare({name}=…): a run takes no such setting. {nearest(name, _SETTINGS)}"
            )
    if metric is not None:
        require_metric("compare", task, metric)
    if out is not None:
        require_writable(Path(out), f"compare(out='{out}')")
    specs = {
        name: [RunSpec.of(plan, task, seed, settings, tuple(allow)) for seed in chosen]
        for name, plan in named.items()
    }
    names = {spec.key: name for name, row in specs.items() for spec in row}
    results = iter(
        run_all(
            [spec for row in specs.values() for spec in row],
            Store(out),
            engine=engine,
            jobs=jobs,
            silence=silence,
            progress=lambda result, done, total: progress(names[result.key], result, done, total),
        )
    )
    # each plan takes as many of the results as there are seeds
    by_plan = {name: dict(zip(chosen, results, strict=False)) for name in specs}
    return Comparison.of(by_plan, task=task, metric=metric, goal=goal, baseline=baseline)
