"""A run, its result, and the folder in which results are stored.

What a run is made of gives its key: the same run gives the same result, wherever it is made. A run
on data that a person names instead of a task's own is another run.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from math import isfinite, nan
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, final, get_args

from warmdown.experiments.files import write_file, write_json
from warmdown.plan import Plan, fingerprint_of_data
from warmdown.record import Record
from warmdown.schedules.base import PlainData
from warmdown.shown import brief

Status: TypeAlias = Literal["finished", "diverged", "pruned", "failed", "died", "hung"]
Curves: TypeAlias = Mapping[str, tuple[list[int], list[float]]]
Report: TypeAlias = Callable[[int, Mapping[str, float]], bool]
"""Takes the update and the metrics of each evaluation; returns whether the run goes on."""

VARIABLES = {
    "WARMDOWN_TEXT": ("text", "**/*.txt"),
    "WARMDOWN_FASHION_MNIST": ("fashion", "*-ubyte.gz"),
}
"""The variables that name data, each with its task and the files of a folder.

A task from outside the package may build on any of them.
"""

_TASKS_OF_THE_PACKAGE = ("digits", "fashion", "text")
_VERSION = 1


def digest_of_text(text: str) -> str:
    """Return sixteen hexadecimal digits that differ when the text does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_variables() -> dict[str, str]:
    """Return the variables that are set here; a worker process gets the same."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def digest_of_named(task: str) -> str:
    """Return the digest of the data named for a task; empty when it has its own.

    Two files differ by their content and by their names under the folder; the folder's own
    place does not matter.

    Example:
        >>> digest_of_named("digits")
        ''
    """
    contents = [
        (name, *_contents(Path(place), VARIABLES[name][1]))
        for name, place in data_variables().items()
        if task == VARIABLES[name][0] or task not in _TASKS_OF_THE_PACKAGE
    ]
    return digest_of_text(repr(contents)) if contents else ""


def _contents(place: Path, files: str) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each file; a missing file is the task's own error to raise."""
    for file in sorted(place.glob(files)) if place.is_dir() else [place]:
        if file.is_file():
            name = "" if file == place else file.relative_to(place).as_posix()
            # a large file is read once, not at every run
            stat = file.stat()
            yield name, _file_digest(file.absolute(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _file_digest(file: Path, changed_at: int, size: int) -> str:
    del changed_at, size  # part of the cache's key: a file that was changed is read again
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@final
@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that decides what a run gives.

    Args:
        plan: The plan, as plain data.
        task: The task's name.
        seed: Seed of weights, order and all else that is random.
        settings: What else a run of a task takes: ``epochs``, ``max_steps``, ``batch_size``,
            ``accumulate``.
        allow: Modules from which the plan may take classes.
        data: Digest of data that a person named instead of the task's own; empty when they did not.
    """

    plan: PlainData
    task: str
    seed: int
    settings: PlainData = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    data: str = ""

    __repr__ = brief

    @classmethod
    def of(
        cls,
        plan: Plan,
        task: str,
        seed: int,
        settings: PlainData,
        allow: Sequence[str] = (),
    ) -> Self:
        """Return the run of a plan; settings that are ``None`` are left to the task."""
        return cls(
            plan=plan.to_dict(),
            task=task,
            seed=seed,
            settings={name: fact for name, fact in sorted(settings.items()) if fact is not None},
            allow=tuple(allow),
            data=digest_of_named(task),
        )

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that differ when the run does; they name its file."""
        content = {"version": _VERSION, **self.to_dict()}
        del content["allow"]  # where a class is found does not change what it gives
        fingerprint = fingerprint_of_data(self.plan)
        if fingerprint != fingerprint_of_data(self.plan, with_order=False):
            content["fingerprint"] = fingerprint  # sorted keys lose the order of group patterns
        return digest_of_text(json.dumps(content, sort_keys=True, separators=(",", ":")))

    def to_dict(self) -> PlainData:
        """Return plain data."""
        facts = {**asdict(self), "allow": list(self.allow)}
        if not self.data:
            del facts["data"]  # so that runs on a task's own data keep the keys of older versions
        return facts

    @classmethod
    def from_dict(cls, data: PlainData) -> Self:
        """Return the run that :meth:`to_dict` described; its key shows whether it is that run."""
        return cls(**{**data, "allow": tuple(data.get("allow", ()))})


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a run.

    Args:
        spec: The run.
        status: ``finished``; ``diverged``: the loss was not finite; ``pruned``: it was ended as
            hopeless; ``failed``: an error; ``died``: its process ended; ``hung``: it gave no sign
            of life.
        reason: Why it did not finish.
        metrics: The last value of every metric.
        evaluations: Steps and values of every metric that was evaluated.
        curves: Steps and values of loss and scheduled numbers, thinned.
        area: Sum of the learning rate over all updates.
        updates: Updates that were made.
        seconds: Duration of the training.
        digest: SHA-256 of the weights.
        made_with: Versions.
        worker: The name of the cluster's worker that made it; empty on the caller's own machine.
    """

    spec: RunSpec
    status: Status
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluations: Curves = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    area: float = 0.0
    updates: int = 0
    seconds: float = 0.0
    digest: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)
    worker: str = ""

    __repr__ = brief

    @property
    def key(self) -> str:
        """The key of its run."""
        return self.spec.key

    def to_dict(self) -> PlainData:
        """Return plain data."""
        facts = {"key": self.key, **asdict(self), "spec": self.spec.to_dict()}
        facts["says"] = facts.pop("reason")
        if not self.worker:
            del facts["worker"]
        return facts

    @classmethod
    def from_dict(cls, data: PlainData) -> Self:
        """Return the result that :meth:`to_dict` described.

        Each fact is used once as its type allows: else statistics and pictures would fail later.

        Raises:
            ValueError: It is not such data; also TypeError, KeyError and OverflowError.
        """
        facts = {**data, "spec": RunSpec.from_dict(data["spec"])}
        facts.pop("key", None)
        facts["reason"] = facts.pop("says", "")
        for name in ("metrics", "evaluations", "curves", "made_with"):
            facts[name] = {key: _with_nan(value) for key, value in {**facts.get(name, {})}.items()}
        result = cls(**facts)
        if result.status not in get_args(Status):
            raise ValueError(f"status={result.status!r}: not one of a result")
        "".join((result.reason, result.digest, result.worker, *result.made_with.values()))
        numbers = (result.area, result.seconds, result.updates, *result.metrics.values())
        sum(map(abs, numbers), 0.0)
        for steps, _ in (*result.curves.values(), *result.evaluations.values()):
            array("q", steps)
        result.record()
        return result

    def record(self) -> Record:
        """Return the curves and evaluations as a record, for pictures."""
        rows = [
            (step, target, value)
            for curves in (self.curves, self.evaluations)
            for target, (steps, values) in curves.items()
            for step, value in zip(steps, values, strict=True)
            if isfinite(value)
        ]
        record = Record()
        for row in sorted(rows, key=itemgetter(0)):
            record.add(*row)
        return record


class Store:
    """A folder with one JSON file a run, named by its key, and the run's record beside it.

    Args:
        folder: The folder; ``None`` stores nothing.
    """

    def __init__(self, folder: str | PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def load(self, spec: RunSpec) -> Result | None:
        """Return the result of a run, or ``None``; a damaged file counts for nothing."""
        return None if self.folder is None else _read_result(self.folder / f"{spec.key}.json")

    def save(self, result: Result) -> None:
        """Write a result as a whole."""
        if self.folder is None:
            return
        rows = (
            {"step": row.step, "target": row.target, "value": row.value} for row in result.record()
        )
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        write_file(self.folder / f"{result.key}.jsonl", lines)
        write_json(self.folder / f"{result.key}.json", result.to_dict())

    def __iter__(self) -> Iterator[Result]:
        paths = [] if self.folder is None else sorted(self.folder.glob("*.json"))
        return filter(None, map(_read_result, paths))


def _read_result(path: Path) -> Result | None:
    try:
        result = Result.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    # a copied or changed file would pass for another run
    return result if result.key == path.stem else None


def _with_nan(value: Any) -> Any:
    """Return a stored value with NaN for ``null``: JSON has no NaN."""
    if isinstance(value, list | tuple):
        return [_with_nan(part) for part in value]
    return nan if value is None else value
