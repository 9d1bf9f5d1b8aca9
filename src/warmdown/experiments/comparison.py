"""Compare plans: train the same task under each of them, over several seeds.

The comparison has statistics, a table, pictures and a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from warmdown.errors import TrainingError, nearest, printable, shortly
from warmdown.experiments.engine import Engine, run_all
from warmdown.experiments.files import save_result, write_file
from warmdown.experiments.perform import require_metric
from warmdown.experiments.runs import Result, RunSpec, Store
from warmdown.experiments.statistics import (
    Interval,
    bootstrap,
    higher_is_better,
    mean_or_nan,
    mean_ranks,
    paired,
)
from warmdown.files import require_writable
from warmdown.formatting import aligned
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_of
from warmdown.plot import Line, View, count, notebook, number
from warmdown.schedules import Scale, Schedule, Set
from warmdown.schedules.base import PlainData
from warmdown.shown import brief
from warmdown.training.curves import running_mean
from warmdown.training.types import FilePath

if TYPE_CHECKING:
    from warmdown.forecast import Law

_SETTINGS = ("epochs", "max_steps", "batch_size", "accumulate")
_LOSSES = ("train_loss", "eval_loss")
_POINTS = 200


def compare(
    plans: Mapping[str, Plan | Schedule | Scale | Set],
    task: str = "digits",
    *,
    seeds: int | Sequence[int] = 8,
    out: FilePath | None = None,
    engine: Engine = "loky",
    jobs: int | None = None,
    address: str | None = None,
    silence: float = 600.0,
    metric: str | None = None,
    goal: float | None = None,
    baseline: str | None = None,
    progress: Callable[[str, Result, int, int], None] = lambda name, result, done, total: None,
    allow: Sequence[str] = (),
    law: Law | None = None,
    **settings: Any,
) -> Comparison:
    """Train a task under every plan and seed, and compare the results.

    Args:
        plans: By name, each a plan, a schedule, targets, the path of a file, or its data; the first
            is what the others are compared with.
        task: ``digits``, ``fashion``, ``text``, or ``module:function``.
        seeds: How many, or which.
        out: Folder of results: a second call makes only what is missing. ``None`` stores nothing.
        engine: ``serial``, ``loky`` (processes), ``dask``, ``ray``.
        jobs: Runs at once; as many as there are cores, or the cluster takes, when left out.
        address: Where the cluster is: of a dask scheduler, its file, or of ray. When left out it is
            that of the current client, else that of the variable ``DASK_SCHEDULER_ADDRESS`` or
            ``RAY_ADDRESS``, else a cluster of this machine for the time being.
        silence: Seconds without a sign of life after which a run counts as hung.
        metric: What is compared; by default the task's own first metric, else the loss of the
            evaluation.
        goal: Value of the metric whose first reaching is timed; by default what the baseline
            reaches in the mean.
        baseline: The plan that others are compared with.
        progress: Called with a plan's name, its new result, the number of results so far, and
            their final number.
        allow: Modules from which plans may take classes.
        law: A law of the loss, to show what it predicts beside what is measured.
        settings: ``epochs``, ``max_steps``, ``batch_size``, ``accumulate``.

    Raises:
        TrainingError: There is nothing to compare, or no run finished; no cluster answers, or its
            workers lack what the runs need.
        ScheduleError: A plan does not fit into its run.
    """
    if not isinstance(plans, Mapping):
        raise TrainingError(
            f"compare({shortly(plans)}): plans by name are needed. Give {{'cosine': Cosine(), …}}."
        )
    named = {name: plan_of(plan, who=f"compare({name}") for name, plan in plans.items()}
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
        (name, seed): RunSpec.of(plan, task, seed, settings, allow)
        for name, plan in named.items()
        for seed in chosen
    }
    names = {spec.key: name for (name, _), spec in specs.items()}
    results = run_all(
        list(specs.values()),
        Store(out),
        engine=engine,
        jobs=jobs,
        address=address,
        silence=silence,
        progress=lambda result, done, total: progress(names[result.key], result, done, total),
    )
    by_plan: dict[str, dict[int, Result]] = {name: {} for name in named}
    for (name, seed), result in zip(specs, results, strict=True):
        by_plan[name][seed] = result
    made = Comparison.of(by_plan, task=task, metric=metric, goal=goal, baseline=baseline)
    return replace(made, law=law)


@final
@dataclass(frozen=True)
class PlanStatistics:
    """The statistics of one plan.

    Args:
        name: The plan.
        metric: Mean over the seeds that finished.
        difference: Mean difference to the baseline over common seeds.
        rank: Mean rank over the seeds; a run that did not finish is last.
        to_goal: Median updates until the goal was reached, over the seeds that reached it.
        reached: Number of those seeds.
        area: Mean sum of the learning rate over all updates.
        seconds: Mean time of a run.
        updates: Mean updates of a run.
        finished: Number of runs that finished.
        runs: Number of runs.
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

    def to_dict(self) -> PlainData:
        """Return plain data."""
        return {
            name: fact.to_dict() if isinstance(fact, Interval) else fact
            for name, fact in vars(self).items()
        }


@final
@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Args:
        results: Every run by plan and seed.
        task: The task.
        metric: What is compared.
        higher_is_better: Whether more of it is better.
        goal: The value whose first reaching is timed.
        baseline: The plan that others are compared with.
        law: A law of the loss: what it predicts stands beside what was measured.
    """

    results: Mapping[str, Mapping[int, Result]]
    task: str
    metric: str
    higher_is_better: bool
    goal: float
    baseline: str
    law: Law | None = None

    __repr__ = brief

    def __str__(self) -> str:
        return self.summary()

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
        """Return the comparison of existing results.

        Raises:
            TrainingError: No run finished, or none has the metric.
        """
        runs = [result for row in results.values() for result in row.values()]
        if not any(result.status == "finished" for result in runs):
            reasons = dict.fromkeys(f"{result.status}: {result.reason}" for result in runs)
            raise TrainingError(
                f"compare({task!r}): no run finished ({'; '.join(reasons)}). "
                "Try one alone: warmdown train."
            )
        known = dict.fromkeys(name for result in runs for name in result.metrics)
        # the task's own first metric, else the loss of the evaluation, else that of the training
        own = [name for name in known if name not in _LOSSES]
        metric = metric or next(iter(own or sorted(known)), "train_loss")
        if metric not in known:
            raise TrainingError(
                f"compare(metric={metric!r}): no run has it. {nearest(metric, known)}"
            )
        baseline = baseline or next(iter(results))
        made = cls(results, task, metric, higher_is_better(metric), math.nan, baseline)
        if goal is None:
            goal = bootstrap(made.values(baseline).values()).value
        return replace(made, goal=goal)

    def values(self, name: str) -> dict[int, float]:
        """Return the last value of the metric for each seed of a plan that finished."""
        values = {
            seed: result.metrics.get(self.metric, math.nan)
            for seed, result in self.results[name].items()
            if result.status == "finished"
        }
        return {seed: value for seed, value in values.items() if math.isfinite(value)}

    def rows(self) -> list[PlanStatistics]:
        """Return the statistics of each plan, in the given order."""
        values = {name: self.values(name) for name in self.results}
        ranks = mean_ranks(values, higher_is_better=self.higher_is_better)
        rows = []
        for name, runs in self.results.items():
            done = [result for result in runs.values() if result.status == "finished"]
            to_goal = bootstrap(map(self._updates_to_goal, done), of=np.median)
            row = PlanStatistics(
                name=name,
                metric=bootstrap(values[name].values()),
                difference=paired(values[name], values[self.baseline]),
                rank=ranks[name],
                to_goal=to_goal,
                reached=to_goal.count,
                area=mean_or_nan([result.area for result in done]),
                seconds=mean_or_nan([result.seconds for result in done]),
                updates=mean_or_nan([result.updates for result in done]),
                finished=len(done),
                runs=len(runs),
            )
            rows.append(row)
        return rows

    @property
    def failures(self) -> list[tuple[str, Result]]:
        """Every run that did not finish, with its plan's name."""
        return [
            (name, result)
            for name, row in self.results.items()
            for result in row.values()
            if result.status != "finished"
        ]

    def to_dict(self) -> PlainData:
        """Return plain data."""
        facts = dict(vars(self))
        del facts["results"], facts["law"]
        return {
            **facts,
            "plans": [row.to_dict() for row in self.rows()],
            "failures": [
                {
                    "plan": name,
                    "seed": result.spec.seed,
                    "status": result.status,
                    "says": result.reason,
                    "key": result.key,
                }
                for name, result in self.failures
            ],
            "runs": {
                name: {str(seed): result.key for seed, result in row.items()}
                for name, row in self.results.items()
            },
        }

    def summary(self) -> str:
        """Return the table and its notes as text for a terminal."""
        heads, rows = self.table()
        lines = aligned([heads, *rows], left=range(len(heads)))
        plans = _counted(len(self.results), "plan")
        seeds = _counted(max(map(len, self.results.values())), "seed")
        better = "higher" if self.higher_is_better else "lower"
        headline = f"{self.task}: {plans}, {seeds}; {self.metric}, {better} is better."
        found = [*self.findings(), ""] if len(self.results) > 1 else []
        return "\n".join([headline, "", lines, "", *found, *self._notes()])

    def findings(self) -> list[str]:
        """Return what was seen of the baseline and each other plan, a sentence a pair.

        Example:
            >>> from warmdown.experiments import compare
            >>> plans = {"one": "constant", "same": "constant"}
            >>> compare(plans, seeds=2, max_steps=5, engine="serial").findings()
            ['accuracy of one and same: 0... and 0...; 0 of 2 seeds differ.']
        """
        first, sentences = self.values(self.baseline), []
        sign = 1.0 if self.higher_is_better else -1.0
        for name in self.results:
            other = self.values(name)
            gains = sign * np.array([first[seed] - other[seed] for seed in first if seed in other])
            if name == self.baseline or not gains.size:
                continue
            better, wins = self.baseline, int((gains > 0).sum())
            if gains.sum() < 0:
                better, wins = name, int((gains < 0).sum())
            of_all = f"of {_counted(gains.size, 'seed')}"
            seen = f"{better} is better in {wins} {of_all}" if gains.any() else f"0 {of_all} differ"
            means = f"{bootstrap(first.values())} and {bootstrap(other.values())}"
            sentences.append(f"{self.metric} of {self.baseline} and {name}: {means}; {seen}.")
        return sentences

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the table's heads and rows."""
        heads = ["plan", "finished", self.metric, "difference", "rank", "to goal"]
        heads += ["area under lr", "updates", "seconds"]
        heads += ["predicted loss"] if self.law else []
        cells = []
        for row in self.rows():
            means = (row.area, row.updates, row.seconds)
            to_goal = count(row.to_goal.value) if row.reached else "never"
            cells.append(
                [
                    row.name,
                    f"{row.finished}/{row.runs}",
                    str(row.metric),
                    "" if row.name == self.baseline else row.difference.text(sign=True),
                    f"{row.rank:.2f}",
                    f"{to_goal} ({row.reached}/{row.runs})",
                    *("–" if math.isnan(mean) else number(mean, 4) for mean in means),
                    *([self._predicted(row.name)] if self.law else []),
                ]
            )
        return heads, cells

    def _predicted(self, name: str) -> str:
        """Return the final loss that the law predicts for the rates that a plan's runs used."""
        used = [run.curves.get("lr/0") for run in self.results[name].values()]
        known = [curve for curve in used if curve and len(curve[0]) > 1]
        return str(self.law.final_of(*known[0])) if self.law and known else "–"

    def markdown(self) -> str:
        """Return the table as Markdown, with its notes."""
        heads, rows = self.table()
        rule = ["---", *["---:"] * (len(heads) - 1)]
        lines = [f"| {' | '.join(map(_in_markdown, row))} |" for row in (heads, rule, *rows)]
        return "\n".join([*lines, "", *map(_in_markdown, self._notes()), ""])

    def chart(self) -> View:
        """Return the picture: metric and loss over the updates, with bands, and the rates."""
        panels = [
            ("curves", "lr/0", "learning rate", ""),
            ("curves", "loss", "loss", "training loss"),
            ("evaluations", "eval_loss", "loss", "test loss"),
            ("evaluations", self.metric, self.metric, ""),
        ]
        lines = [
            _mean_line(name, row.values(), *panel)
            for panel in panels
            for name, row in self.results.items()
        ]
        return View(
            lines=tuple(filter(None, lines)),
            is_cropped=True,
            title=f"Comparison on {self.task}",
            notes=tuple(self.findings()),
            text=self.summary(),
            tables={"Plans": self.table()},
        )

    def plot(self, **how: Any) -> Any:
        """Return the picture as a matplotlib figure; ``how`` is what ``plot.figure`` takes."""
        return self.chart().plot(**how)

    def _repr_html_(self) -> Any:
        return notebook(self.chart())

    def save(self, path: FilePath) -> Path:
        """Write a picture (``.html``, ``.png``, ``.pdf``, ``.svg``), ``.md`` or ``.json``."""
        path = Path(path)
        if path.suffix != ".md":
            return save_result(path, self.chart(), self.to_dict())
        write_file(path, self.markdown())
        return path

    def _updates_to_goal(self, result: Result) -> float:
        """Return the updates after which an evaluation first reached the goal, else NaN."""
        for step, value in zip(*result.evaluations.get(self.metric, ([], [])), strict=True):
            if value >= self.goal if self.higher_is_better else value <= self.goal:
                return step + 1.0
        return math.nan

    def _notes(self) -> list[str]:
        goal = f" The goal is {self.metric} {self.goal:.4g}."
        note = (
            "Means over the seeds that finished, with 95 % bootstrap intervals; differences are "
            f"paired by seed, to {self.baseline!r}. To goal: median updates, over the seeds that "
            f"reached it.{'' if math.isnan(self.goal) else goal}"
        )
        failures = [
            f"{name}, seed {result.spec.seed}: {result.status}: {result.reason}"
            for name, result in self.failures
        ]
        return [note, *failures]


def _mean_line(
    name: str, results: Iterable[Result], kind: str, target: str, unit: str, of: str
) -> Line | None:
    """Return the mean curve of the runs that finished, with its 95 % band as far as runs lie in it.

    Args:
        name: The plan.
        results: Its runs.
        kind: Field of a result that has the curves.
        target: The curve there.
        unit: The panel.
        of: What the curve is, where its panel has others of the same plan.
    """
    curves = []
    for result in results:
        steps, values = getattr(result, kind).get(target, ([], []))
        seen = running_mean(values) if target == "loss" else values
        curve = np.array([steps, seen], dtype=float)
        finite = curve[:, np.isfinite(curve[1])]
        if result.status == "finished" and finite.size:
            curves.append(finite)
    if not curves:
        return None
    steps = curves[0][0]
    stop = min(other[-1] for other, _ in curves)
    across = steps[steps <= stop]
    if len(steps) > _POINTS:
        across = np.linspace(steps[0], stop, _POINTS)
    # seeds evaluate at their own steps: on common steps they can be averaged
    rows = np.stack([np.interp(across, *curve) for curve in curves])
    mean, error = rows.mean(axis=0), rows.std(axis=0) * 1.96 / math.sqrt(len(rows))
    low, high = (
        np.maximum(mean - error, rows.min(axis=0)),
        np.minimum(mean + error, rows.max(axis=0)),
    )
    label = f"{name}: {of}" if of else name
    return Line(label, unit, across, mean, low=low, high=high, is_recorded=True, run=name)


def _in_markdown(text: str) -> str:
    """Return a text that stays in its cell and is no markup."""
    return escape(printable(text, as_line=True), quote=False).replace("|", "\\|")


def _counted(number_of: int, noun: str) -> str:
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"
