"""Search the numbers of a plan: optuna proposes, the engine makes the runs, what falls behind is pruned."""

from __future__ import annotations

__all__ = ["Search", "Trial", "search"]

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, final

from warmdown.errors import MissingExtra, StateError, TrainingError
from warmdown.experiments.compare import higher_is_better
from warmdown.experiments.data import digest_of_named
from warmdown.experiments.engine import Engine, run_all
from warmdown.experiments.files import write_json
from warmdown.experiments.metrics import metrics_of, require_metric
from warmdown.experiments.runs import Result, RunSpec
from warmdown.experiments.space import Space
from warmdown.experiments.store import Store
from warmdown.experiments.worker import Pruning
from warmdown.lock import Output, locked
from warmdown.plan import Plan
from warmdown.planfile import plan_from_dict
from warmdown.planfile.text import is_json
from warmdown.planfile.writing import write_text

Progress: TypeAlias = Callable[["Trial", int, int], None]
"""Told each trial that is done, how many are, and how many there will be."""

_LOST = 1e9
"""What a trial that did not finish is told as: worse than anything."""

_IN_VAIN = ("failed", "died", "hung")
"""What became of a trial without its numbers having been judged."""

_AT_RANDOM = 5
"""Trials before the first that is proposed by what the others gave: a search of a dozen shall learn, too."""


@final
@dataclass(frozen=True)
class Trial:
    """One choice of numbers and what came of it.

    Args:
        number: Its number, from 0.
        values: What the plan held, by path.
        state: ``finished``, ``pruned``, or what went wrong.
        metric: The mean over the seeds; NaN when it did not finish.
        runs: The keys of its runs, by seed.
    """

    number: int
    values: Mapping[str, Any]
    state: str
    metric: float
    runs: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        facts = {
            "number": self.number,
            "values": dict(self.values),
            "state": self.state,
            "runs": dict(self.runs),
        }
        return {**facts, "metric": None if math.isnan(self.metric) else self.metric}


@final
@dataclass(frozen=True)
class Search:
    """What came of a search.

    Args:
        plan: The plan that won.
        best: The trial that won.
        trials: All of them.
        metric: What was searched for.
        space: What was chosen from.
    """

    plan: Plan
    best: Trial
    trials: tuple[Trial, ...]
    metric: str
    space: Space

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the evidence."""
        trials = [trial.to_dict() for trial in self.trials]
        return {
            "metric": self.metric,
            "best": self.best.to_dict(),
            "plan": self.plan.to_dict(),
            "trials": trials,
        }

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the plan that won as a plan file: the space's own, with the numbers that were found in place."""
        path = Path(path)
        write_text(path, self.space.written(self.best.values, as_json=is_json(path)))
        return path

    def summary(self) -> str:
        """Return the best trials and the plan that won, as text."""
        done = sorted((t for t in self.trials if t.state == "finished"), key=lambda t: t.metric)
        if higher_is_better(self.metric):
            done.reverse()
        states = {
            state: sum(t.state == state for t in self.trials)
            for state in dict.fromkeys(t.state for t in self.trials)
        }
        lines = [f"  {t.metric:<10.4g} {_shown(t.values)}" for t in done[:5]]
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        return "\n".join(
            [
                f"{len(self.trials)} trials: {told}. The best by {self.metric}:",
                *lines,
                "",
                self.space.written(self.best.values, as_json=self.space.is_json),
            ]
        )


def search(
    space: Space | Mapping[str, Any] | str | PathLike[str],
    task: str = "digits",
    *,
    trials: int = 20,
    seeds: int | Sequence[int] = 1,
    out: str | PathLike[str],
    engine: Engine = "loky",
    jobs: int = 1,
    silence: float = 600.0,
    metric: str | None = None,
    seed: int = 0,
    prunes: bool = True,
    progress: Progress = lambda trial, done, total: None,
    allow: Sequence[str] = (),
    **settings: Any,
) -> Search:
    """Choose the numbers of a plan by trials; a second call goes on where the first was.

    Args:
        space: A plan with ranges, as data or as a file.
        task: The task.
        trials: Trials in all, those of earlier calls too.
        seeds: Seeds of each trial; its value is their mean. Only the first is pruned by.
        out: Folder of the journal, the runs and the evidence.
        engine: Where runs are made.
        jobs: Trials at once. With one, the same call gives the same search.
        silence: Seconds without a sign of life after which a run counts as hung.
        metric: What is searched for; the task's own first metric when left out.
        seed: Seed of the proposals.
        prunes: Whether trials that fall behind are ended.
        progress: Told of each trial.
        allow: Modules from which plans may take classes.
        settings: ``epochs``, ``max_steps``, ``batch_size``, ``accumulate``.

    Raises:
        SpecError: The space has no range, or makes no plan.
        TrainingError: No trial finished, the folder cannot be written, or another search is at work
            in it.
        MissingExtra: optuna is not installed.
    """
    if not isinstance(space, Space):
        space = Space.of(space) if isinstance(space, Mapping) else Space.load(space)
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if trials < 1 or not chosen:
        raise TrainingError(f"search(trials={trials!r}, seeds={seeds!r}): at least one of each.")
    given = {name: value for name, value in settings.items() if value is not None}
    hunt = _Hunt(
        space,
        task,
        chosen,
        Path(out),
        engine,
        jobs,
        silence,
        metric,
        seed,
        prunes,
        tuple(allow),
        given,
    )
    # another search in the folder would end the trials that are at work in this one
    with locked([Output(f"search(out='{out}')", Path(out), is_folder=True)]):
        return hunt.run(trials, progress)


@dataclass
class _Hunt:
    """A search at work."""

    space: Space
    task: str
    seeds: list[int]
    out: Path
    engine: Engine
    jobs: int
    silence: float
    metric: str | None
    seed: int
    prunes: bool
    allow: tuple[str, ...]
    settings: dict[str, Any]

    def run(self, trials: int, progress: Progress) -> Search:
        plan_from_dict(
            self.space.filled(self._first_values()), allow=self.allow
        )  # a space that makes no plan ends here
        if self.metric is None:
            self.metric = metrics_of(self.task)[0]
        else:
            require_metric("search", self.task, self.metric)
        self.study = self._study()
        if (before := self._done()) and all(trial.state in _IN_VAIN for trial in before):
            self._forget()
        while (done := len(self._done())) < trials:
            asked = [self._asked(done + index) for index in range(min(self.jobs, trials - done))]
            for trial in self._tried(asked):
                progress(trial, len(self._done()), trials)
        return self._found()

    def _tried(self, asked: list[tuple[Any, dict[str, Any]]]) -> list[Trial]:
        """Make the first seed of every trial, then the others of those that were not pruned."""
        plans = [plan_from_dict(self.space.filled(values), allow=self.allow) for _, values in asked]
        first = self._made([(plan, self.seeds[0]) for plan in plans], [trial for trial, _ in asked])
        alive = [index for index, result in enumerate(first) if result.status == "finished"]
        rest = self._made(
            [(plans[index], seed) for index in alive for seed in self.seeds[1:]], None
        )
        told = []
        for index, (trial, values) in enumerate(asked):
            start = alive.index(index) * len(self.seeds[1:]) if index in alive else 0
            more = rest[start : start + len(self.seeds[1:])] if index in alive else []
            told.append(self._tell(trial, values, [first[index], *more]))
        return told

    def _made(self, runs: list[tuple[Plan, int]], trials: list[Any] | None) -> list[Result]:
        specs = [
            RunSpec.of(plan, self.task, seed, self.settings, self.allow) for plan, seed in runs
        ]
        pruning = {}
        if self.prunes and trials is not None:
            name = self.study.study_name
            pruning = {
                spec.key: Pruning(str(self._journal), name, trial._trial_id, str(self.metric))
                for spec, trial in zip(specs, trials, strict=True)
            }
        store = Store(self.out / "runs")
        how: Any = {
            "engine": self.engine,
            "jobs": self.jobs,
            "silence": self.silence,
            "pruning": pruning,
        }
        return run_all(specs, store, **how)

    def _tell(self, trial: Any, values: dict[str, Any], results: list[Result]) -> Trial:
        states = list(dict.fromkeys(result.status for result in results))
        state = (
            "finished"
            if states == ["finished"]
            else next(one for one in states if one != "finished")
        )
        numbers = [result.metrics.get(str(self.metric), math.nan) for result in results]
        mean = sum(numbers) / len(numbers) if state == "finished" else math.nan
        facts = Trial(trial.number, values, state, mean, {str(r.spec.seed): r.key for r in results})
        trial.set_user_attr("told", facts.to_dict())
        optuna = _optuna()
        if state == "pruned":
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            worst = -_LOST if higher_is_better(str(self.metric)) else _LOST
            self.study.tell(trial, worst if math.isnan(mean) else mean)
        return facts

    def _asked(self, number: int) -> tuple[Any, dict[str, Any]]:
        """Ask for the next trial; its randomness comes from its number, so that a search that goes on is the same."""
        optuna = _optuna()
        self.study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=_AT_RANDOM, seed=self.seed * 1_000_003 + number, multivariate=False
        )
        trial = self.study.ask()
        return trial, self.space.ask(trial)

    def _done(self) -> list[Trial]:
        states = _optuna().trial.TrialState
        finished = (states.COMPLETE, states.PRUNED)
        held = [
            trial.user_attrs["told"]
            for trial in self.study.get_trials(states=finished)
            if "told" in trial.user_attrs
        ]
        return [
            Trial(**{**one, "metric": math.nan if one["metric"] is None else one["metric"]})
            for one in held
        ]

    def _found(self) -> Search:
        trials = tuple(self._done())
        good = [
            trial for trial in trials if trial.state == "finished" and not math.isnan(trial.metric)
        ]
        if not good:
            states = ", ".join(dict.fromkeys(trial.state for trial in trials))
            raise TrainingError(
                f"search({self.task!r}): no trial finished ({states}). Look at the "
                f"runs in {self.out}."
            )
        sign = -1 if higher_is_better(str(self.metric)) else 1
        best = min(good, key=lambda trial: sign * trial.metric)
        plan = plan_from_dict(self.space.filled(best.values), allow=self.allow)
        found = Search(plan, best, trials, str(self.metric), self.space)
        write_json(self.out / "search.json", found.to_dict())
        return found

    @property
    def _journal(self) -> Path:
        return self.out / "journal.log"

    def _study(self) -> Any:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction = "maximize" if higher_is_better(str(self.metric)) else "minimize"
        pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0)
        study = optuna.create_study(
            storage=_storage(self._journal),
            study_name=self._name(),
            direction=direction,
            pruner=pruner,
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(
                trial.number, state=optuna.trial.TrialState.FAIL
            )  # a call that was broken off left it
        return study

    def _forget(self) -> None:
        """Begin anew: where nothing came of any trial, the cause lay beside the plan, and may be mended."""
        _optuna().delete_study(study_name=self._name(), storage=_storage(self._journal))
        self.study = self._study()

    def _name(self) -> str:
        """Return a name that differs when the search does."""
        content: dict[str, Any] = {
            "space": self.space.data,
            "task": self.task,
            "seeds": self.seeds,
            "settings": self.settings,
        }
        if data := digest_of_named(self.task):
            content["data"] = data
        text = json.dumps(
            {**content, "metric": self.metric, "seed": self.seed}, sort_keys=True, default=str
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _first_values(self) -> dict[str, Any]:
        from warmdown.experiments.space import Range

        return {
            path: (
                f"{spot.low:g}{spot.unit}"
                if spot.unit
                else int(spot.low)
                if spot.is_whole
                else spot.low
            )
            if isinstance(spot, Range)
            else spot.options[0]
            for path, spot in self.space.spots.items()
        }


def _storage(journal: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(journal)))
    except (ValueError, KeyError) as error:
        raise StateError(
            f"{journal}: not a journal of a search: {error}. Give another folder."
        ) from None


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtra("search", "optuna", "sweep") from None
    return optuna


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{path} {value:.6g}" if isinstance(value, float) else f"{path} {value}"
        for path, value in values.items()
    )
