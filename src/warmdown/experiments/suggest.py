"""Suggest a plan for a situation, from evidence that is stored; where there is none, say so."""

from __future__ import annotations

__all__ = ["EVIDENCE", "Evidence", "Suggested", "evidence", "suggest"]

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from warmdown.errors import TrainingError, nearest
from warmdown.experiments.statistics import Interval, bootstrap, paired
from warmdown.experiments.telling import interval
from warmdown.plan import Plan
from warmdown.planfile import dumps, plan_from_dict
from warmdown.run import Run

EVIDENCE = Path(__file__).with_name("evidence.json")
"""The evidence that comes with the package: what ``docs/evidence.md`` tells, as data."""

_REACH = 4.0
"""Evidence of a run speaks for runs up to so many times longer or shorter."""
_SIMPLEST_FIRST = ("constant", "step", "cosine", "wsd", "plateau", "one-cycle")


@final
@dataclass(frozen=True)
class Method:
    """How one method did.

    Args:
        name: Its name.
        plan: Its plan, as data, with the base rate that tuning chose.
        values: The metric for each seed that finished.
        runs: How many seeds there were.
        share: Its share of the full number of epochs.
    """

    name: str
    plan: Mapping[str, Any]
    values: Mapping[int, float]
    runs: int
    share: float

    @property
    def interval(self) -> Interval:
        """The mean over the seeds."""
        return bootstrap(list(self.values.values()))


@final
@dataclass(frozen=True)
class Evidence:
    """How all methods did in one setting.

    Args:
        name: The setting.
        kind: ``images`` or ``text``.
        says: Data, model, optimizer, in words.
        updates: Updates of a run of full length.
        metric: What was measured.
        higher_is_better: Whether more of it is better.
        methods: All of them.
    """

    name: str
    kind: str
    says: str
    updates: int
    metric: str
    higher_is_better: bool
    methods: tuple[Method, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """Return what the file holds of one setting."""
        methods = [
            Method(
                one["name"],
                one["plan"],
                {int(seed): value for seed, value in one["values"].items()},
                one["runs"],
                one["share"],
            )
            for one in data["methods"]
        ]
        facts = {
            name: data[name]
            for name in ("name", "kind", "says", "updates", "metric", "higher_is_better")
        }
        return cls(**facts, methods=tuple(methods))

    @cached_property
    def ranked(self) -> list[Method]:
        """Methods of full length whose every run finished, the best mean first."""
        good = [
            one
            for one in self.methods
            if one.share == 1.0 and len(one.values) == one.runs and one.runs
        ]
        return sorted(good, key=lambda one: one.interval.value, reverse=self.higher_is_better)

    def gap(self, one: Method, other: Method) -> Interval:
        """Return by how much a method is better than another, above 0 when it is."""
        found = paired(one.values, other.values)
        return (
            found
            if self.higher_is_better
            else Interval(-found.value, -found.high, -found.low, found.count)
        )


@final
@dataclass(frozen=True)
class Suggested:
    """A plan to start from, and why.

    Args:
        plan: The plan.
        method: The method it is.
        reasons: Why this one, as sentences.
        rows: The evidence: every method with its interval.
        evidence: Where it is from.
    """

    plan: Plan
    method: str
    reasons: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    evidence: str

    def summary(self) -> str:
        """Return plan, reasons and evidence as text."""
        reasons = "\n".join(f"# - {reason}" for reason in self.reasons)
        rows = "\n".join(f"#     {name:<18} {told}" for name, told in self.rows)
        head = f"# {self.method}: a plan to start from\n{dumps(self.plan)}"
        return f"{head}\n# Why:\n{reasons}\n# Evidence ({self.evidence}):\n{rows}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "plan": self.plan.to_dict(),
            "method": self.method,
            "reasons": list(self.reasons),
            "evidence": {"setting": self.evidence, "rows": [list(row) for row in self.rows]},
        }


def evidence(path: Path = EVIDENCE) -> list[Evidence]:
    """Return the evidence in a file."""
    if not path.exists():
        return []
    return [
        Evidence.from_dict(data)
        for data in json.loads(path.read_text(encoding="utf-8"))["settings"]
    ]


def suggest(
    *,
    task: str | None = None,
    kind: str | None = None,
    updates: int | None = None,
    budget: str | None = None,
    seconds_per_update: float | None = None,
    held: Sequence[Evidence] | None = None,
) -> Suggested:
    """Return a plan to start from, for a situation that the evidence speaks about.

    Args:
        task: ``fashion``, ``text``, ``digits``: tells the kind and, where it is left out, the
            length.
        kind: ``images`` or ``text``.
        updates: Updates of the run.
        budget: Length in time instead: ``"2h"``; needs ``seconds_per_update``.
        seconds_per_update: How long an update takes.
        held: The evidence; what comes with the package when left out.

    Raises:
        TrainingError: There is no evidence for this situation.
    """
    every = evidence() if held is None else held
    if not every:
        raise TrainingError(
            "suggest: no evidence is stored. Make it: python -m benchmarks.evidence; then compare."
        )
    wanted = _kind(task, kind)
    fitting = [one for one in every if one.kind == wanted]
    if not fitting:
        known = sorted({one.kind for one in every})
        raise TrainingError(
            f"suggest(kind={wanted!r}): no evidence about it. {nearest(wanted, known)}"
        )
    length = _length(updates, budget, seconds_per_update)
    near = fitting[0] if length is None else _nearest(fitting, length)
    return _suggested(near, length, budget, seconds_per_update)


_KINDS = {"fashion": "images", "digits": "images", "text": "text"}


def _kind(task: str | None, kind: str | None) -> str:
    if kind is not None:
        return kind
    if task is None:
        raise TrainingError(
            "suggest(): tell the situation: task='fashion', or kind='images' and updates=…."
        )
    if task not in _KINDS:
        raise TrainingError(
            f"suggest(task={task!r}): no evidence about it. {nearest(task, _KINDS)} Or give kind "
            f"and updates."
        )
    return _KINDS[task]


def _length(updates: int | None, budget: str | None, seconds: float | None) -> int | None:
    if updates is not None:
        if updates < 1:
            raise TrainingError(f"suggest(updates={updates}): at least 1.")
        return updates
    if budget is None:
        return None
    if seconds is None:
        raise TrainingError(
            f"suggest(budget={budget!r}): how many updates is that? Give seconds_per_update, or "
            f"updates."
        )
    return Run(seconds_per_step=seconds).measure(budget)


def _nearest(fitting: Sequence[Evidence], length: int) -> Evidence:
    near = min(fitting, key=lambda one: abs(math.log(one.updates / length)))
    if not 1 / _REACH <= length / near.updates <= _REACH:
        known = ", ".join(f"{one.updates:,}" for one in fitting)
        raise TrainingError(
            f"suggest(updates={length:,}): the evidence is about runs of {known} updates, too far "
            f"from it. Compare a "
            "few plans on your own task: warmdown compare constant warmup_cosine wsd one_cycle "
            "--task module:function."
        )
    return near


def _suggested(
    near: Evidence, length: int | None, budget: str | None, seconds: float | None
) -> Suggested:
    if not near.ranked:
        raise TrainingError(
            f"suggest: in the evidence about {near.kind}, no method finished every run."
        )
    best, equal = near.ranked[0], _equal_to_best(near)
    chosen = min(equal, key=_simplicity)
    data = dict(chosen.plan)
    rate = data.get("run", {}).get("lr")
    facts: dict[str, Any] = {"lr": None if rate is None else float(f"{rate:.3g}")}
    if budget is not None:
        facts |= {"budget": budget, "seconds_per_step": seconds}
    elif length is not None:
        facts |= {"total_steps": length}
    data["run"] = {name: fact for name, fact in facts.items() if fact is not None}
    rows = tuple((one.name, f"{near.metric} {interval(one.interval)}") for one in near.methods)
    return Suggested(
        plan_from_dict(data),
        chosen.name,
        _reasons(near, best, chosen, equal),
        rows,
        f"{near.name}: {near.says}",
    )


def _equal_to_best(near: Evidence) -> list[Method]:
    """Return the best and all that the seeds do not tell from it, unless they do not tell it from a worse constant."""
    best = near.ranked[0]
    equal = [one for one in near.ranked if one is best or not near.gap(best, one).excludes_zero]
    constant = next((one for one in near.ranked if one.name == "constant"), None)
    if constant is None or constant in equal:
        return equal
    return [one for one in equal if one is best or near.gap(one, constant).low > 0]


def _simplicity(method: Method) -> int:
    return next(
        (rank for rank, name in enumerate(_SIMPLEST_FIRST) if method.name.startswith(name)),
        len(_SIMPLEST_FIRST),
    )


def _reasons(
    near: Evidence, best: Method, chosen: Method, equal: Sequence[Method]
) -> tuple[str, ...]:
    found = [
        f"{best.name} had the best mean {near.metric}: {interval(best.interval)} over "
        f"{best.runs} seeds."
    ]
    if chosen is not best:
        found.append(
            f"{chosen.name} is simpler, and these seeds do not tell it from the best: it is behind "
            f"by "
            f"{interval(near.gap(best, chosen))}."
        )
    elif len(equal) > 1:
        found.append(
            f"Not told apart from it: {', '.join(one.name for one in equal if one is not best)}."
        )
    constant = next((one for one in near.methods if one.name == "constant"), None)
    if constant is not None and chosen.name != "constant" and constant.values:
        found.append(
            f"Against a constant rate, tuned alike: "
            f"{interval(near.gap(chosen, constant), sign=True)}."
        )
    rate = chosen.plan.get("run", {}).get("lr")
    if rate is not None:
        found.append(
            f"The base rate {rate:.3g} was found for {near.says}; find your own: warmdown find."
        )
    return tuple(found)
