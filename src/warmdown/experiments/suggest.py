"""Suggest a plan for a situation, from stored evidence; without evidence, refuse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from warmdown.errors import TrainingError, nearest
from warmdown.experiments.statistics import Interval, bootstrap, paired
from warmdown.plan import Plan
from warmdown.planfile import dumps, plan_from_dict
from warmdown.run import Run

EVIDENCE = Path(__file__).with_name("evidence.json")
"""The evidence that comes with the package: the content of ``docs/evidence.md``, as data."""

_REACH = 4.0
"""Evidence of a run holds for runs up to so many times longer or shorter."""
_SIMPLEST_FIRST = ("constant", "step", "cosine", "wsd", "plateau", "one-cycle")
_KINDS = {"fashion": "images", "digits": "images", "text": "text"}


@final
@dataclass(frozen=True)
class Method:
    """The results of one method.

    Args:
        name: Its name.
        plan: Its plan, as data, with the base rate that tuning chose.
        values: The metric for each seed that finished.
        runs: Number of seeds.
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
        return bootstrap(self.values.values())

    @property
    def rate(self) -> float | None:
        """The base rate that tuning chose."""
        rate: float | None = self.plan.get("run", {}).get("lr")
        return rate

    @property
    def complexity(self) -> int:
        """Its place among the methods, the simplest first."""
        ranks = (rank for rank, name in enumerate(_SIMPLEST_FIRST) if self.name.startswith(name))
        return next(ranks, len(_SIMPLEST_FIRST))


@final
@dataclass(frozen=True)
class Evidence:
    """The results of all methods in one setting.

    Args:
        name: The setting.
        kind: ``images`` or ``text``.
        description: Data, model, optimizer, in words.
        updates: Updates of a run of full length.
        metric: What was measured.
        higher_is_better: Whether more of it is better.
        methods: All of them.
    """

    name: str
    kind: str
    description: str
    updates: int
    metric: str
    higher_is_better: bool
    methods: tuple[Method, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """Return the evidence of one setting of the file."""
        methods = []
        for method in data["methods"]:
            values = {int(seed): value for seed, value in method["values"].items()}
            methods.append(Method(**{**method, "values": values}))
        facts = {**data, "methods": tuple(methods)}
        facts["description"] = facts.pop("says")
        return cls(**facts)

    @cached_property
    def ranked(self) -> list[Method]:
        """Methods of full length of which every run finished, the best mean first."""
        good = [
            method
            for method in self.methods
            if method.share == 1.0 and 0 < len(method.values) == method.runs
        ]
        return sorted(good, key=lambda method: method.interval.value, reverse=self.higher_is_better)

    def gap(self, method: Method, other: Method) -> Interval:
        """Return by how much a method is better than another, above 0 when it is."""
        difference = paired(method.values, other.values)
        return difference if self.higher_is_better else -difference

    @property
    def constant(self) -> Method | None:
        """The constant rate, tuned as the others."""
        return next((method for method in self.methods if method.name == "constant"), None)

    @property
    def equal_to_best(self) -> list[Method]:
        """The best method, and those whose difference from it is within the noise of the seeds.

        A method that is no better than a worse constant rate is left out.
        """
        best, constant = self.ranked[0], self.constant
        equal = [
            method
            for method in self.ranked
            if method is best or not self.gap(best, method).excludes_zero
        ]
        if constant in equal or constant not in self.ranked:
            return equal
        return [method for method in equal if method is best or self.gap(method, constant).low > 0]


@final
@dataclass(frozen=True)
class Suggested:
    """A plan to start from, and why.

    Args:
        plan: The plan.
        method: Its method.
        reasons: Why this one, as sentences.
        rows: The evidence: every method with its interval.
        evidence: The setting of the evidence.
    """

    plan: Plan
    method: str
    reasons: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    evidence: str

    def summary(self) -> str:
        """Return plan, reasons and evidence as text."""
        return "\n".join(
            [
                f"# {self.method}: a plan to start from",
                dumps(self.plan),
                "# Why:",
                *(f"# - {reason}" for reason in self.reasons),
                f"# Evidence ({self.evidence}):",
                *(f"#     {name:<18} {result}" for name, result in self.rows),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "plan": self.plan.to_dict(),
            "method": self.method,
            "reasons": list(self.reasons),
            "evidence": {"setting": self.evidence, "rows": [list(row) for row in self.rows]},
        }


def evidence() -> list[Evidence]:
    """Return the evidence that comes with the package."""
    settings = json.loads(EVIDENCE.read_text(encoding="utf-8"))["settings"]
    return list(map(Evidence.from_dict, settings))


def suggest(
    *,
    task: str | None = None,
    kind: str | None = None,
    updates: int | None = None,
    budget: str | None = None,
    seconds_per_update: float | None = None,
    known: Sequence[Evidence] | None = None,
) -> Suggested:
    """Return a plan to start from, for a situation that the evidence covers.

    Args:
        task: ``fashion``, ``text``, ``digits``: gives the kind and, where it is left out, the
            length.
        kind: ``images`` or ``text``.
        updates: Updates of the run.
        budget: Length in time instead: ``"2h"``; needs ``seconds_per_update``.
        seconds_per_update: Duration of an update.
        known: The evidence; what comes with the package when left out.

    Raises:
        TrainingError: There is no evidence for this situation.
    """
    every = evidence() if known is None else known
    if not every:
        raise TrainingError(
            "suggest: no evidence is stored. Make it: python -m benchmarks.evidence; then compare."
        )
    if not kind:
        if task is None:
            raise TrainingError(
                "suggest(): describe the situation: task='fashion', or kind='images' and updates=…."
            )
        if task not in _KINDS:
            raise TrainingError(
                f"suggest(task={task!r}): no evidence about it. {nearest(task, _KINDS)} Or give "
                "kind and updates."
            )
        kind = _KINDS[task]
    fitting = [setting for setting in every if setting.kind == kind]
    if not fitting:
        kinds = sorted({setting.kind for setting in every})
        raise TrainingError(f"suggest(kind={kind!r}): no evidence about it. {nearest(kind, kinds)}")
    if updates is not None and updates < 1:
        raise TrainingError(f"suggest(updates={updates}): at least 1.")
    length = updates
    if length is None and budget is not None:
        if seconds_per_update is None:
            raise TrainingError(
                f"suggest(budget={budget!r}): how many updates is that? Give seconds_per_update, "
                "or updates."
            )
        length = Run(seconds_per_step=seconds_per_update).measure(budget)
    setting = fitting[0] if length is None else _nearest_setting(fitting, length)
    if not setting.ranked:
        raise TrainingError(
            f"suggest: in the evidence about {setting.kind}, no method finished every run."
        )
    chosen = min(setting.equal_to_best, key=lambda method: method.complexity)
    run: dict[str, Any] = {}
    if chosen.rate is not None:
        run["lr"] = float(f"{chosen.rate:.3g}")
    if budget is not None:
        run |= {"budget": budget, "seconds_per_step": seconds_per_update}
    elif length is not None:
        run["total_steps"] = length
    return Suggested(
        plan_from_dict({**chosen.plan, "run": run}),
        chosen.name,
        _reasons(setting, chosen),
        tuple((method.name, f"{setting.metric} {method.interval}") for method in setting.methods),
        f"{setting.name}: {setting.description}",
    )


def _nearest_setting(fitting: Sequence[Evidence], length: int) -> Evidence:
    # in decades: half and double are equally far
    setting = min(fitting, key=lambda one: abs(math.log(one.updates / length)))
    if not 1 / _REACH <= length / setting.updates <= _REACH:
        known = ", ".join(f"{one.updates:,}" for one in fitting)
        raise TrainingError(
            f"suggest(updates={length:,}): the evidence is about runs of {known} updates, too far "
            "from it. Compare a few plans on your own task: warmdown compare constant "
            "warmup_cosine wsd one_cycle --task module:function."
        )
    return setting


def _reasons(setting: Evidence, chosen: Method) -> tuple[str, ...]:
    best, constant = setting.ranked[0], setting.constant
    reasons = [
        f"{best.name} had the best mean {setting.metric}: {best.interval} over {best.runs} seeds."
    ]
    others = [method.name for method in setting.equal_to_best if method is not best]
    if chosen is not best:
        reasons.append(
            f"{chosen.name} is simpler, and these seeds do not tell it from the best: it is behind "
            f"by {setting.gap(best, chosen)}."
        )
    elif others:
        reasons.append(f"Not told apart from it: {', '.join(others)}.")
    if constant is not None and constant is not chosen and constant.values:
        gap = setting.gap(chosen, constant).text(sign=True)
        reasons.append(f"Against a constant rate, tuned alike: {gap}.")
    if chosen.rate is not None:
        reasons.append(
            f"The base rate {chosen.rate:.3g} was found for {setting.description}; find your own: "
            "warmdown find."
        )
    return tuple(reasons)
