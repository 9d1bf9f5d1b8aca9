"""Suggest a plan for a situation, from stored evidence; without evidence, refuse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

from warmdown.errors import TrainingError, nearest
from warmdown.plan import Plan
from warmdown.planfile import dumps, plan_from_dict
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.shown import brief

Evidence: TypeAlias = Mapping[str, Any]
"""What the runs of one setting suggest.

``name``, ``kind`` (``images`` or ``text``) and ``description`` of the setting, ``updates`` of a run
of full length; the ``method`` to start from, its ``plan`` with the base rate that tuning chose, the
``reasons`` as sentences, and ``rows``: every method with its interval.
"""

EVIDENCE = Path(__file__).with_name("evidence.json")
"""The evidence that comes with the package: what the runs of ``docs/evidence.md`` suggest."""

_REACH = 4.0
"""Evidence of a run holds for runs up to so many times longer or shorter."""
_KINDS = {"fashion": "images", "digits": "images", "text": "text"}


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
    reasons: Sequence[str]
    rows: Sequence[Sequence[str]]
    evidence: str

    __repr__ = brief

    def __str__(self) -> str:
        return self.summary()

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

    def to_dict(self) -> PlainData:
        """Return plain data."""
        return {
            "plan": self.plan.to_dict(),
            "method": self.method,
            "reasons": self.reasons,
            "evidence": {"setting": self.evidence, "rows": self.rows},
        }


def evidence() -> list[Evidence]:
    """Return the evidence that comes with the package."""
    settings: list[Evidence] = json.loads(EVIDENCE.read_text(encoding="utf-8"))["settings"]
    return settings


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
    fitting = [setting for setting in every if setting["kind"] == kind]
    if not fitting:
        kinds = sorted({setting["kind"] for setting in every})
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
    setting = fitting[0]
    if length is not None:
        # in decades: half and double are equally far
        distances = [abs(math.log(one["updates"] / length)) for one in fitting]
        setting = fitting[distances.index(min(distances))]
        if min(distances) > math.log(_REACH):
            lengths = ", ".join(f"{one['updates']:,}" for one in fitting)
            raise TrainingError(
                f"suggest(updates={length:,}): the evidence is about runs of {lengths} updates, "
                "too far from it. Compare a few plans on your own task: warmdown compare constant "
                "warmup_cosine wsd one_cycle --task module:function."
            )
    run = dict(setting["plan"]["run"])
    if budget is not None:
        run |= {"budget": budget, "seconds_per_step": seconds_per_update}
    elif length is not None:
        run["total_steps"] = length
    plan = plan_from_dict({**setting["plan"], "run": run})
    source = f"{setting['name']}: {setting['description']}"
    return Suggested(plan, setting["method"], setting["reasons"], setting["rows"], source)
