"""Compare plans: the same task under each of them, over several seeds, told with intervals."""

from __future__ import annotations

__all__ = ["Comparison", "Row", "compare", "higher_is_better"]

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np

from warmdown.errors import TrainingError, nearest
from warmdown.experiments.engine import Engine, run_all
from warmdown.experiments.metrics import require_metric
from warmdown.experiments.runs import Result, RunSpec
from warmdown.experiments.statistics import Interval, bootstrap, mean_ranks, paired
from warmdown.experiments.store import Store
from warmdown.files import require_writable
from warmdown.plan import Plan
from warmdown.schedules import Scale, Schedule, Set

Progress: TypeAlias = Callable[[str, Result, int, int], None]
"""Told a plan's name, its new result, how many there are now, and how many there will be."""

_HIGHER = re.compile(r"acc|auc|f1|score|bleu|precision|recall|reward|iou", re.IGNORECASE)
_PLAIN = ("train_loss", "eval_loss")


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
    progress: Progress = lambda name, result, done, total: None,
    allow: Sequence[str] = (),
    **settings: Any,
) -> Comparison:
    """Train a task under every plan and seed, and tell what came of it.

    Args:
        plans: By name; the first is what the others are compared with.
        task: ``digits``, ``fashion``, ``text``, or ``module:function``.
        seeds: How many, or which.
        out: Folder of results: a second call makes only what is missing. ``None`` keeps nothing.
        engine: ``serial``, ``loky`` (processes), ``dask``, ``ray``.
        jobs: Runs at once.
        silence: Seconds without a sign of life after which a run counts as hung.
        metric: What is compared; by default the task's own first metric, else the loss of the
            evaluation.
        goal: Value of the metric whose first reaching is timed; by default what the baseline
            reaches in the mean.
        baseline: The plan that others are compared with.
        progress: Told of each result.
        allow: Modules from which plans may take classes.
        settings: ``epochs``, ``max_steps``, ``batch_size``, ``accumulate``.

    Raises:
        TrainingError: There is nothing to compare, or no run finished.
        ScheduleError: A plan does not fit into its run.
    """
    named = {
        name: plan if isinstance(plan, Plan) else Plan.of(lr=plan) for name, plan in plans.items()
    }
    chosen = _checked(named, seeds, baseline, settings)
    if metric is not None:
        require_metric("compare", task, metric)
    if out is not None:
        require_writable(Path(out), f"compare(out='{out}')")
    specs = [
        RunSpec.of(plan, task, seed, settings, tuple(allow))
        for plan in named.values()
        for seed in chosen
    ]
    owners = [name for name in named for _ in chosen]
    names = {spec.key: owner for owner, spec in zip(owners, specs, strict=True)}
    results = run_all(
        specs,
        Store(out),
        engine=engine,
        jobs=jobs,
        silence=silence,
        progress=lambda result, done, total: progress(names[result.key], result, done, total),
    )
    by_plan = {
        name: {r.spec.seed: r for owner, r in zip(owners, results, strict=True) if owner == name}
        for name in named
    }
    return Comparison.of(by_plan, task=task, metric=metric, goal=goal, baseline=baseline)


@final
@dataclass(frozen=True)
class Row:
    """What is told of one plan.

    Args:
        name: The plan.
        metric: Mean over the seeds that finished.
        difference: Mean difference to the baseline over common seeds.
        rank: Mean rank over the seeds; who did not finish is last.
        to_goal: Median updates until the goal was reached, over the seeds that reached it.
        reached: How many did.
        area: Mean sum of the learning rate over all updates.
        seconds: Mean time of a run.
        updates: Mean updates of a run.
        finished: How many runs finished.
        runs: How many runs there were.
    """

    name: str
    metric: Interval
    difference: Interval
    rank: float
    to_goal: Interval
    reached: int
    area: float
    seconds: float
    updates: float
    finished: int
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        intervals = {
            name: getattr(self, name).to_dict() for name in ("metric", "difference", "to_goal")
        }
        rest = ("name", "rank", "reached", "area", "seconds", "updates", "finished", "runs")
        return {**{name: getattr(self, name) for name in rest}, **intervals}


@final
@dataclass(frozen=True)
class Comparison:
    """What came of a comparison.

    Args:
        results: Every run by plan and seed.
        task: The task.
        metric: What is compared.
        higher_is_better: Whether more of it is better.
        goal: The value whose first reaching is timed.
        baseline: The plan that others are compared with.
    """

    results: Mapping[str, Mapping[int, Result]]
    task: str
    metric: str
    higher_is_better: bool
    goal: float
    baseline: str

    @classmethod
    def of(
        cls,
        results: Mapping[str, Mapping[int, Result]],
        *,
        task: str,
        metric: str | None = None,
        goal: float | None = None,
        baseline: str | None = None,
    ) -> Comparison:
        """Return the comparison of results that are there.

        Raises:
            TrainingError: No run finished, or none has the metric.
        """
        every = [result for held in results.values() for result in held.values()]
        known = list(dict.fromkeys(name for result in every for name in result.metrics))
        if not any(result.status == "finished" for result in every):
            words = "; ".join(dict.fromkeys(f"{result.status}: {result.says}" for result in every))
            raise TrainingError(
                f"compare({task!r}): no run finished ({words}). Try one alone: warmdown train."
            )
        own = [name for name in known if name not in _PLAIN]
        chosen = metric or (
            own[0] if own else "eval_loss" if "eval_loss" in known else "train_loss"
        )
        if chosen not in known:
            raise TrainingError(
                f"compare(metric={chosen!r}): no run tells it. {nearest(chosen, known)}"
            )
        first = baseline or next(iter(results))
        made = cls(results, task, chosen, higher_is_better(chosen), math.nan, first)
        given = made.rows()[list(results).index(first)].metric.value if goal is None else goal
        return cls(results, task, chosen, made.higher_is_better, given, first)

    def values(self, name: str) -> dict[int, float]:
        """Return the last value of the metric for each seed of a plan that finished."""
        held = self.results[name].items()
        found = {
            seed: result.metrics.get(self.metric, math.nan)
            for seed, result in held
            if result.status == "finished"
        }
        return {seed: value for seed, value in found.items() if math.isfinite(value)}

    def rows(self) -> list[Row]:
        """Return what is told of each plan, in the order given."""
        values = {name: self.values(name) for name in self.results}
        ranks = mean_ranks(values, higher_is_better=self.higher_is_better)
        return [self._row(name, values, ranks[name]) for name in self.results]

    @property
    def failures(self) -> list[tuple[str, Result]]:
        """Every run that did not finish, with its plan's name."""
        runs = ((name, result) for name, held in self.results.items() for result in held.values())
        return [(name, result) for name, result in runs if result.status != "finished"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "task": self.task,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "goal": self.goal,
            "baseline": self.baseline,
            "plans": [row.to_dict() for row in self.rows()],
            "failures": [
                {
                    "plan": name,
                    "seed": result.spec.seed,
                    "status": result.status,
                    "says": result.says,
                    "key": result.key,
                }
                for name, result in self.failures
            ],
            "runs": {
                name: {str(seed): result.key for seed, result in held.items()}
                for name, held in self.results.items()
            },
        }

    def _row(self, name: str, values: Mapping[str, Mapping[int, float]], rank: float) -> Row:
        runs = list(self.results[name].values())
        done = [result for result in runs if result.status == "finished"]
        times = [step for result in done if (step := self._reached(result)) is not None]
        return Row(
            name=name,
            metric=bootstrap(list(values[name].values())),
            difference=paired(values[name], values[self.baseline]),
            rank=rank,
            to_goal=bootstrap(times, of=lambda drawn: np.asarray(np.median(drawn, axis=-1))),
            reached=len(times),
            area=_mean([result.area for result in done]),
            seconds=_mean([result.seconds for result in done]),
            updates=_mean([float(result.updates) for result in done]),
            finished=len(done),
            runs=len(runs),
        )

    def _reached(self, result: Result) -> float | None:
        """Return the updates after which an evaluation first reached the goal."""
        steps, values = result.evaluations.get(self.metric, ([], []))
        for step, value in zip(steps, values, strict=True):
            if value >= self.goal if self.higher_is_better else value <= self.goal:
                return float(step + 1)
        return None


def higher_is_better(metric: str) -> bool:
    """Tell by a metric's name whether more of it is better.

    Example:
        >>> from warmdown.experiments.compare import higher_is_better
        >>> higher_is_better("accuracy"), higher_is_better("eval_loss")
        (True, False)
    """
    return bool(_HIGHER.search(metric))


def _checked(
    plans: Mapping[str, Plan], seeds: int | Sequence[int], baseline: str | None, settings: Any
) -> list[int]:
    if not plans:
        raise TrainingError(
            "compare(plans={}): there is nothing to compare. Give at least one plan."
        )
    if baseline is not None and baseline not in plans:
        raise TrainingError(
            f"compare(baseline={baseline!r}): no such plan. {nearest(baseline, plans)}"
        )
    known = ("epochs", "max_steps", "batch_size", "accumulate")
    for name in settings:
        if name not in known:
            raise TrainingError(
                f"compare({name}=…): a run takes no such setting. {nearest(name, known)}"
            )
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise TrainingError(f"compare(seeds={seeds!r}): at least one, and each once.")
    return chosen


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
