"""Search the numbers of a plan: optuna proposes, the engine makes the runs, hopeless ones end."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, final
from urllib.parse import urlsplit

from warmdown.errors import StateError, TrainingError, import_extra
from warmdown.experiments.engine import Engine, cluster_of_engine, run_all
from warmdown.experiments.files import write_json
from warmdown.experiments.perform import require_metric
from warmdown.experiments.runs import (
    Report,
    Result,
    RunSpec,
    Store,
    digest_of_named,
    digest_of_text,
)
from warmdown.experiments.space import Space
from warmdown.experiments.statistics import higher_is_better
from warmdown.lock import Output, locked
from warmdown.plan import Plan
from warmdown.planfile import plan_from_dict
from warmdown.planfile.text import is_json
from warmdown.planfile.writing import write_text
from warmdown.schedules.base import PlainData
from warmdown.shown import brief
from warmdown.training.types import FilePath

_WORST_SCORE = 1e9
"""Score of a trial that did not finish: worse than any other."""
_NOT_JUDGED = ("failed", "died", "hung")
"""States of a trial whose numbers were not judged."""
_RANDOM_TRIALS = 5
"""Trials before the first that uses the others' results: a search of a dozen must learn, too."""
_SHOWN_TRIALS = 5
_ATTRIBUTE = "told"
"""The journal's key of a trial's facts."""
_JOURNAL = "journal.log"
_LONGEST = 300
"""Characters of another library's error that are shown."""


@final
@dataclass(frozen=True)
class Trial:
    """One choice of numbers and its result.

    Args:
        number: Its number, from 0.
        values: The chosen numbers, by their path in the plan.
        state: ``finished``, ``pruned``, or what went wrong.
        metric: The mean over the seeds; NaN when it did not finish.
        runs: The keys of its runs, by seed.
        workers: The cluster's workers that made them; none on the caller's own machine.
    """

    number: int
    values: PlainData
    state: str
    metric: float
    runs: Mapping[str, str]
    workers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{path} {value}" for path, value in self.values.items())

    def to_dict(self) -> PlainData:
        """Return plain data; ``None`` stands for NaN."""
        facts = {**vars(self), "metric": None if math.isnan(self.metric) else self.metric}
        facts["workers"] = list(self.workers)
        if not self.workers:
            del facts["workers"]
        return facts

    @classmethod
    def from_dict(cls, data: PlainData) -> Trial:
        """Return the trial that :meth:`to_dict` described."""
        metric = math.nan if data["metric"] is None else data["metric"]
        return cls(**{**data, "metric": metric, "workers": tuple(data.get("workers", ()))})


@final
@dataclass(frozen=True)
class Search:
    """The result of a search.

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

    __repr__ = brief

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> PlainData:
        """Return plain data: the evidence."""
        return {
            "metric": self.metric,
            "best": self.best.to_dict(),
            "plan": self.plan.to_dict(),
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def save(self, path: FilePath) -> Path:
        """Write the plan that won as a plan file: the space's own, with its numbers filled in."""
        path = Path(path)
        write_text(
            path,
            self.space.written(self.best.values, as_json=is_json(path)),
        )
        return path

    def summary(self) -> str:
        """Return the best trials and the plan that won, as text."""
        states = Counter(trial.state for trial in self.trials)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        headline = f"{len(self.trials)} trials: {counts}. The best by {self.metric}:"
        lines = [
            f"  {trial.metric:<10.4g} {trial}"
            for trial in _ranked(self.trials, self.metric)[:_SHOWN_TRIALS]
        ]
        plan = self.space.written(
            self.best.values,
            as_json=self.space.is_json,
        )
        return "\n".join([headline, *lines, "", plan])


def search(
    space: Space | Mapping[str, Any] | FilePath,
    task: str = "digits",
    *,
    trials: int = 20,
    seeds: int | Sequence[int] = 1,
    out: FilePath,
    engine: Engine = "loky",
    jobs: int | None = None,
    address: str | None = None,
    storage: str | None = None,
    silence: float = 600.0,
    metric: str | None = None,
    seed: int = 0,
    prunes: bool = True,
    progress: Callable[[Trial, int, int], None] = lambda trial, done, total: None,
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
        jobs: Trials at once; one when left out, and on a cluster as many as it takes. With one, the
            same call gives the same search.
        address: Where the cluster is, as for :func:`compare`.
        storage: URL of the database in which optuna keeps the study, instead of a journal in the
            folder: for workers that do not see the folder. ``postgresql://…``, ``redis://…``.
        silence: Seconds without a sign of life after which a run counts as hung.
        metric: What is searched for; the task's own first metric when left out.
        seed: Seed of the proposals.
        prunes: Whether trials that fall behind are ended.
        progress: Called with each trial that is done, the number of them so far, and their final
            number.
        allow: Modules from which plans may take classes.
        settings: ``epochs``, ``max_steps``, ``batch_size``, ``accumulate``.

    Raises:
        SpecError: The space has no range, or makes no plan.
        TrainingError: No trial finished, the folder cannot be written, another search is at work
            in it, the storage cannot be opened, no cluster answers, or its workers lack what the
            runs need.
        MissingExtra: optuna is not installed.
    """
    if not isinstance(space, Space):
        space = Space.of(space) if isinstance(space, Mapping) else Space.load(space)
    out = Path(out)
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if trials < 1 or not chosen:
        raise TrainingError(f"search(trials={trials!r}, seeds={seeds!r}): at least one of each.")
    # a space that makes no plan is refused before any run is made
    first = {path: spot.first for path, spot in space.spots.items()}
    plan_from_dict(space.filled(first), allow=allow)
    with (
        cluster_of_engine("search", engine, jobs, address) as cluster,
        # another search in the folder would end the trials that are at work in this one
        locked([Output(f"search(out='{out}')", out, is_folder=True)]),
    ):
        if jobs is None:
            jobs = cluster.size() if cluster else 1
        metric = require_metric("search", task, metric)
        content = {
            "space": space.data,
            "task": task,
            "seeds": chosen,
            "settings": {key: value for key, value in settings.items() if value is not None},
            "metric": metric,
            "seed": seed,
        }
        if data := digest_of_named(task):
            content["data"] = data
        # another search has another study in the same journal
        if storage is not None:  # others may search the same in one database
            content["folder"] = str(out.resolve())
        name = digest_of_text(json.dumps(content, sort_keys=True, default=str))
        place = StudyPlace(storage or str(out.resolve() / _JOURNAL), name, is_url=bool(storage))
        study = _open_study(place, metric)
        make_runs = partial(
            run_all,
            store=Store(out / "runs"),
            engine=engine,
            jobs=jobs,
            silence=silence,
            require=place.lacks if prunes else None,
            label="search",
            cluster=cluster,
        )

        def spec_of(values: PlainData, seed: int) -> RunSpec:
            plan = plan_from_dict(space.filled(values), allow=allow)
            return RunSpec.of(plan, task, seed, settings, allow)

        while (done := len(_done_trials(study))) < trials:
            proposals = []
            for number in range(done, min(done + jobs, trials)):
                # seeded by its number, so that going on gives the same
                study.sampler = _optuna().samplers.TPESampler(
                    n_startup_trials=_RANDOM_TRIALS, seed=seed * 1_000_003 + number
                )
                proposal = study.ask()
                proposals.append((proposal, space.ask(proposal)))
            specs = [spec_of(values, chosen[0]) for _, values in proposals]
            reports = {
                spec.key: partial(pruning_report, place, proposal._trial_id, metric)
                for spec, (proposal, _) in zip(specs, proposals, strict=True)
                if prunes
            }
            results = make_runs(specs, reports=reports)
            # the other seeds only confirm: a trial that was pruned or failed needs none
            others = [
                [spec_of(values, other) for other in chosen[1:] if result.status == "finished"]
                for (_, values), result in zip(proposals, results, strict=True)
            ]
            confirming = iter(make_runs(list(chain.from_iterable(others))))
            for (proposal, values), result, row in zip(proposals, results, others, strict=True):
                runs = [result, *islice(confirming, len(row))]
                trial = _tell(study, proposal, values, runs, metric)
                progress(trial, len(_done_trials(study)), trials)
        every = tuple(_done_trials(study))
        ranked = _ranked(every, metric)
        if not ranked:
            states = ", ".join(dict.fromkeys(trial.state for trial in every))
            raise TrainingError(
                f"search({task!r}): no trial finished ({states}). Look at the runs in {out}."
            )
        plan = plan_from_dict(space.filled(ranked[0].values), allow=allow)
        found = Search(plan, ranked[0], every, metric, space)
        write_json(out / "search.json", found.to_dict())
        return found


@final
@dataclass(frozen=True)
class StudyPlace:
    """Where a search's study is.

    Args:
        storage: The file of a journal, or the URL of a database.
        name: The study's name.
        is_url: Which of the two it is.
    """

    storage: str
    name: str
    is_url: bool

    def __str__(self) -> str:
        """Return the place without the password of a URL."""
        if not self.is_url:
            return self.storage
        parts = urlsplit(self.storage)
        user, _, host = parts.netloc.rpartition("@")
        shown = f"{user.partition(':')[0]}:***@{host}" if ":" in user else parts.netloc
        return parts._replace(netloc=shown).geturl()

    def open(self) -> Any:
        """Return optuna's storage.

        Raises:
            StateError: A file is no journal.
            TrainingError: The database cannot be opened.
        """
        storages = _optuna().storages
        if not self.is_url:
            try:
                return storages.JournalStorage(storages.journal.JournalFileBackend(self.storage))
            except (ValueError, KeyError) as error:
                raise StateError(
                    f"{self.storage}: not a journal of a search: {error}. Give another folder."
                ) from None
        try:
            return storages.get_storage(self.storage)
        # whatever the database's own library raises
        except Exception as error:
            reason = " ".join(str(error).split()).replace(self.storage, str(self))
            raise TrainingError(
                f"search(storage={str(self)!r}): optuna cannot open it: {type(error).__name__}: "
                f"{reason[:_LONGEST]} Correct the URL, or install the library that it needs."
            ) from None

    def load(self, metric: str) -> Any:
        """Return the study; it is made when there is none."""
        optuna = _optuna()
        return optuna.create_study(
            storage=self.open(),
            study_name=self.name,
            direction="maximize" if higher_is_better(metric) else "minimize",
            pruner=_pruner(),
            load_if_exists=True,
        )

    def lacks(self) -> str:
        """Return why a worker cannot reach the study, in a sentence; empty where it can."""
        way_out = (
            "Give a storage that every worker reaches (--storage postgresql://…), or --no-prune."
        )
        try:
            if not self.is_url and not Path(self.storage).is_file():
                return f"the search's journal {self.storage} is not there. {way_out}"
            _optuna().load_study(study_name=self.name, storage=self.open())
        except Exception as error:
            reason = str(error) or f"there is no study {self.name}."
            return f"the search's study: {reason} {way_out}"
        return ""


def pruning_report(place: StudyPlace, number: int, metric: str) -> Report:
    """Return what writes an evaluation to the study and answers whether the run goes on.

    A worker calls it, which may be a process of another machine.

    Args:
        place: Where the study is.
        number: Number of the trial in the study's storage.
        metric: What is searched for.
    """
    optuna = _optuna()
    study = optuna.load_study(study_name=place.name, storage=place.open(), pruner=_pruner())
    trial = optuna.trial.Trial(study, number)

    def report(step: int, metrics: Mapping[str, float]) -> bool:
        value = metrics.get(metric)
        if value is None or not math.isfinite(value):
            return True
        trial.report(value, step)
        return not trial.should_prune()

    return report


def _open_study(place: StudyPlace, metric: str) -> Any:
    """Return the study of a search, without the trials that a call left when it was broken off."""
    optuna = _optuna()
    study = place.load(metric)
    states = optuna.trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)
    before = _done_trials(study)
    if before and all(trial.state in _NOT_JUDGED for trial in before):
        # then the cause lay beside the plan, and may be gone
        optuna.delete_study(study_name=place.name, storage=place.open())
        study = place.load(metric)
    return study


def _pruner() -> Any:
    return _optuna().pruners.MedianPruner(n_startup_trials=4)


def _tell(
    study: Any, proposal: Any, values: PlainData, results: list[Result], metric: str
) -> Trial:
    """Write the result of a trial to the journal."""
    # the first that went wrong
    state = next((one.status for one in results if one.status != "finished"), "finished")
    numbers = [result.metrics.get(metric, math.nan) for result in results]
    mean = sum(numbers) / len(numbers) if state == "finished" else math.nan
    runs = {str(result.spec.seed): result.key for result in results}
    workers = tuple(dict.fromkeys(result.worker for result in results if result.worker))
    trial = Trial(proposal.number, values, state, mean, runs, workers)
    proposal.set_user_attr(_ATTRIBUTE, trial.to_dict())
    # optuna learns from the reports of a pruned trial, not from a score
    if state == "pruned":
        study.tell(proposal, state=_optuna().trial.TrialState.PRUNED)
    else:
        worst = -_WORST_SCORE if higher_is_better(metric) else _WORST_SCORE
        study.tell(proposal, worst if math.isnan(mean) else mean)
    return trial


def _done_trials(study: Any) -> list[Trial]:
    states = _optuna().trial.TrialState
    return [
        Trial.from_dict(trial.user_attrs[_ATTRIBUTE])
        for trial in study.get_trials(states=(states.COMPLETE, states.PRUNED))
        if _ATTRIBUTE in trial.user_attrs
    ]


def _ranked(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """Return the trials that finished, the best first."""
    good = [trial for trial in trials if trial.state == "finished" and not math.isnan(trial.metric)]
    return sorted(good, key=lambda trial: trial.metric, reverse=higher_is_better(metric))


def _optuna() -> Any:
    optuna = import_extra("optuna", "search", "optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
