"""Choose the method that the judged runs of a setting suggest, with the reasons."""

from __future__ import annotations

__all__ = ["JudgedSetting", "Method", "suggestion_of"]

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from warmdown.experiments.statistics import Interval, bootstrap, paired

_SIMPLEST_FIRST = ("constant", "step", "cosine", "wsd", "plateau", "one-cycle")


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
    def rate(self) -> float:
        """The base rate that tuning chose."""
        rate: float = self.plan["run"]["lr"]
        return rate

    @property
    def complexity(self) -> int:
        """Its place among the methods, the simplest first."""
        ranks = (rank for rank, name in enumerate(_SIMPLEST_FIRST) if self.name.startswith(name))
        return next(ranks, len(_SIMPLEST_FIRST))


@final
@dataclass(frozen=True)
class JudgedSetting:
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
        better, worse = (method, other) if self.higher_is_better else (other, method)
        return paired(better.values, worse.values)

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
        if constant is None or constant in equal or constant not in self.ranked:
            return equal
        return [method for method in equal if method is best or self.gap(method, constant).low > 0]


def suggestion_of(setting: JudgedSetting) -> dict[str, Any]:
    """Return what ``warmdown suggest`` needs of one setting, as plain data.

    Raises:
        IndexError: No method of full length finished every run.
    """
    chosen = min(setting.equal_to_best, key=lambda method: method.complexity)
    return {
        "name": setting.name,
        "kind": setting.kind,
        "description": setting.description,
        "updates": setting.updates,
        "method": chosen.name,
        "plan": {**chosen.plan, "run": {"lr": float(f"{chosen.rate:.3g}")}},
        "reasons": _reasons(setting, chosen),
        "rows": [
            [method.name, f"{setting.metric} {method.interval}"] for method in setting.methods
        ],
    }


def _reasons(setting: JudgedSetting, chosen: Method) -> list[str]:
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
    reasons.append(
        f"The base rate {chosen.rate:.3g} was found for {setting.description}; find your own: "
        "warmdown find."
    )
    return reasons
