"""A run as a value: what it is made of names it, and the same run gives the same result wherever it is made."""

from __future__ import annotations

__all__ = ["Result", "RunSpec", "perform"]

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import isfinite, nan
from typing import Any, Literal, Self, TypeAlias, final, get_args

import numpy as np

from warmdown.errors import TrainingError
from warmdown.experiments.data import VARIABLES, digest_of_named
from warmdown.plan import Plan
from warmdown.record import Record, Row

Status: TypeAlias = Literal["finished", "diverged", "pruned", "failed", "died", "hung"]
Report: TypeAlias = Callable[[int, Mapping[str, float]], bool]
"""Told the update and the metrics after each evaluation; returns whether the run goes on."""

_VERSION = 1
_POINTS = 300


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

    plan: Mapping[str, Any]
    task: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    data: str = ""

    @classmethod
    def of(
        cls,
        plan: Plan,
        task: str,
        seed: int,
        settings: Mapping[str, Any],
        allow: tuple[str, ...] = (),
    ) -> Self:
        """Return the run of a plan; settings that are ``None`` are left to the task."""
        given = {name: value for name, value in sorted(settings.items()) if value is not None}
        data = digest_of_named(task)
        return cls(
            plan=plan.to_dict(), task=task, seed=seed, settings=given, allow=allow, data=data
        )

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that differ when the run does; they name its file."""
        content = {"version": _VERSION, "plan": self.plan, "task": self.task, "seed": self.seed}
        named = {"data": self.data} if self.data else {}
        text = json.dumps(
            {**content, "settings": self.settings, **named}, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        facts = {**asdict(self), "allow": list(self.allow)}
        return (
            facts if self.data else {name: fact for name, fact in facts.items() if name != "data"}
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` described."""
        spec = cls(**{**data, "allow": tuple(data.get("allow", ()))})
        texts = (spec.task, spec.data, *spec.allow)
        if not all(map(_is_text, texts)) or not _is_count(spec.seed):
            raise ValueError("spec: no run is made of this")
        _mapping(spec.plan), _mapping(spec.settings)
        return spec


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a run.

    Args:
        spec: The run.
        status: ``finished``; ``diverged``: the loss was not finite; ``pruned``: it was ended as
            hopeless; ``failed``: an error; ``died``: its process ended; ``hung``: it gave no sign
            of life.
        says: Why it did not finish.
        metrics: The last value of every metric.
        evaluations: Steps and values of every metric that was evaluated.
        curves: Steps and values of loss and scheduled numbers, thinned.
        area: Sum of the learning rate over all updates.
        updates: Updates that were made.
        seconds: How long the training took.
        digest: SHA-256 of the weights.
        made_with: Versions.
    """

    spec: RunSpec
    status: Status
    says: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluations: Mapping[str, tuple[list[int], list[float]]] = field(default_factory=dict)
    curves: Mapping[str, tuple[list[int], list[float]]] = field(default_factory=dict)
    area: float = 0.0
    updates: int = 0
    seconds: float = 0.0
    digest: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The run's name."""
        return self.spec.key

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"key": self.key, **asdict(self), "spec": self.spec.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` described.

        Raises:
            ValueError: It cannot have been written by it.
        """
        facts = {name: value for name, value in _mapping(data).items() if name != "key"}
        for name, is_kind in _KINDS.items():
            if name in facts and not is_kind(facts[name]):
                raise ValueError(f"{name}: no result has this")
        for name in ("metrics", "evaluations", "curves"):
            facts[name] = {
                key: _numbers(value) for key, value in _mapping(facts.get(name, {})).items()
            }
        if not all(map(_is_number, facts["metrics"].values())):
            raise ValueError("metrics: not numbers")
        if not all(map(_is_curve, (*facts["evaluations"].values(), *facts["curves"].values()))):
            raise ValueError("curves: not steps and values")
        return cls(**{**facts, "spec": RunSpec.from_dict(_mapping(data["spec"]))})

    def record(self) -> Record:
        """Return what was written down, as a record that pictures take."""
        record = Record()
        rows = [
            Row(step, target, value)
            for curves in (self.curves, self.evaluations)
            for target, (steps, values) in curves.items()
            for step, value in zip(steps, values, strict=True)
            if isfinite(value)
        ]
        for row in sorted(rows, key=lambda row: row.step):
            record.add(row.step, row.target, row.value)
        return record


def perform(
    spec: RunSpec, alive: Callable[[], None] = lambda: None, report: Report | None = None
) -> Result:
    """Make a run; the same spec gives the same result.

    Args:
        spec: The run.
        alive: Called now and then, so that others see that it goes on.
        report: Asked after each evaluation whether it shall go on.
    """
    from warmdown.experiments.watching import Watching
    from warmdown.planfile import plan_from_dict
    from warmdown.training import run_task

    watching = Watching(alive, report)
    try:
        _require_data(spec)
        plan = plan_from_dict(spec.plan, allow=spec.allow)
        outcome = run_task(spec.task, plan, seed=spec.seed, callbacks=[watching], **spec.settings)
    except Exception as error:
        return Result(
            spec=spec,
            status="failed",
            says=f"{type(error).__name__}: {error}",
            made_with=_versions(),
        )
    status: Status = (
        "pruned" if watching.is_pruned else "diverged" if outcome.stopped else "finished"
    )
    facts = {"metrics": outcome.metrics, "updates": outcome.updates, "seconds": outcome.seconds}
    return _result(spec, status, outcome.stopped, outcome.record, digest=outcome.digest, **facts)


def _require_data(spec: RunSpec) -> None:
    """Refuse to learn on other data than the run is named by: a cluster's machine may have others."""
    if digest_of_named(spec.task) != spec.data:
        raise TrainingError(
            f"task({spec.task!r}): the data that {' or '.join(VARIABLES)} names are not here what "
            f"they are where the "
            "run was asked for. Let every machine have the same, at the same place."
        )


def _result(spec: RunSpec, status: Status, says: str, record: Record, **facts: Any) -> Result:
    evaluated = [name for name in record.targets() if _is_metric(name)]
    drawn = [name for name in record.targets() if name == "loss" or "/" in name]
    return Result(
        spec=spec,
        status=status,
        says=says,
        evaluations={
            name.removesuffix("_epoch"): _once_a_step(*record.curve(name)) for name in evaluated
        },
        curves={name: _thinned(*record.curve(name)) for name in drawn},
        area=float(sum(record.curve("lr/0")[1])),
        made_with=_versions(),
        **facts,
    )


def _is_metric(name: str) -> bool:
    return name not in ("loss", "phase", "samples_per_second") and "/" not in name


def _once_a_step(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    last = dict(zip(steps, values, strict=True))
    return list(last), list(last.values())


def _thinned(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """Return the means of up to 300 stretches of a curve, in seven digits."""
    parts = min(_POINTS, len(steps))
    cuts = np.linspace(0, len(steps), parts + 1).astype(int)
    pairs = [slice(start, stop) for start, stop in pairwise(cuts) if stop > start]
    means = [float(f"{np.mean(values[part]):.7g}") for part in pairs]
    return [steps[part.start] for part in pairs], means


def _numbers(value: Any) -> Any:
    """Return what was stored, with NaN where JSON has nothing to say it with."""
    if isinstance(value, list | tuple):
        return [_numbers(part) for part in value]
    return nan if value is None else value


def _mapping(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError("a mapping is needed")
    return data


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value.values()))


def _is_curve(value: Any) -> bool:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(column, list) for column in value)
    ):
        return False
    steps, values = value
    return len(steps) == len(values) and all(map(_is_count, steps)) and all(map(_is_number, values))


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "status": lambda value: value in get_args(Status),
    "says": _is_text,
    "area": _is_number,
    "updates": _is_count,
    "seconds": _is_number,
    "digest": _is_text,
    "made_with": _is_texts,
}


def _versions() -> dict[str, str]:
    import platform

    import torch

    import warmdown

    return {
        "warmdown": warmdown.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
