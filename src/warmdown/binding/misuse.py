"""Warnings of a use that goes wrong silently: each once, with the numbers seen and the way out."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import torch

import warmdown
from warmdown.errors import (
    AmountMismatch,
    BaseDiffers,
    FactorsAsValues,
    FarBelowBase,
    FarFromBase,
    ForeignWrite,
    LengthMismatch,
    MetricForgotten,
    MetricUnusable,
    MetricUnused,
    NegativeValue,
    OptimizerUnused,
    OutOfRange,
    PastEnd,
    SchedulerLost,
    StepBeforeUpdate,
    StepForgotten,
    StepPerEpoch,
    StepPerUpdate,
    StepTwice,
    StoppedEarly,
    UpdatesUnseen,
    WarmdownWarning,
    ZeroBase,
    ZeroOverwritten,
)
from warmdown.plan import Plan, Target

if TYPE_CHECKING:
    from warmdown.binding.targets import ValueWriter
    from warmdown.binding.timeline import TargetName

_VALUE_WARNINGS = (
    ZeroBase,
    ZeroOverwritten,
    FarBelowBase,
    FarFromBase,
    FactorsAsValues,
    NegativeValue,
    OutOfRange,
)
"""Warnings of what a check finds, by the code of the finding."""

_MESSAGES: dict[type[WarmdownWarning], str] = {
    StepBeforeUpdate: (
        "Scheduler.step(): called before the first optimizer.step(); this call is not counted, so "
        "that the first update uses the first value. Call it after optimizer.step()."
    ),
    StepTwice: (
        "Scheduler.step(): called twice for each update; the second call is not counted. Call it "
        "once, after optimizer.step(). A scheduler that accelerate has prepared is stepped again "
        "for each process: do not prepare it."
    ),
    StepForgotten: (
        "Scheduler.step(): not called for {updates} updates; the values stand still. Call it after "
        "each optimizer.step(), or give auto=True."
    ),
    StepPerEpoch: (
        "Scheduler.step(): called once for every {ratio} updates, and the plan counts updates. "
        "Call it after each optimizer.step(), or give auto=True; Lightning does so for "
        '{{"scheduler": …, "interval": "step"}}. If a step of this plan is meant to last that '
        "long: count_by='attempts'."
    ),
    StepPerUpdate: (
        "Scheduler.step(): called {updates} times, {ratio:.3g} times what the plan has ({end}). If "
        "its steps mean epochs: Run(epochs=…, steps_per_epoch=…), and lengths like '10ep'."
    ),
    SchedulerLost: (
        "Scheduler(auto=True): it is gone, and the values stand still: an optimizer does not keep "
        "its scheduler. Keep it in a variable as long as you train."
    ),
    OptimizerUnused: (
        "Scheduler({optimizer}): training goes on, and this optimizer has made no update. Bind the "
        "one whose step() is called; where the optimizer was rebuilt, rebuild the scheduler too. "
        "If it is to begin later, its schedule begins with it."
    ),
    UpdatesUnseen: (
        "Scheduler({optimizer}): none of its updates can be seen: its step() runs no hooks, or "
        "another optimizer changes its parameters; {meanwhile}. Bind the optimizer that makes the "
        "updates; or give count_by='attempts' without auto, and call step() after each update."
    ),
    ForeignWrite: (
        "Scheduler({label}): {label} was set to {value} outside the scheduler (planned: "
        "{planned:g}) and has been restored. Remove the other scheduler, or change this one by "
        "rescale(factor)."
    ),
    BaseDiffers: (
        "Scheduler({label}): it holds {value:g}, and {before}; {base:g} is its base value now. "
        "{way_out}"
    ),
    **dict.fromkeys(_VALUE_WARNINGS, "Scheduler({target}): {message}"),
    MetricForgotten: (
        "Scheduler: the plan follows {metrics}, and in {updates} updates it was not observed. Call "
        "observe({first}=…) after each evaluation."
    ),
    MetricUnused: "Scheduler.observe({metrics}): no schedule follows it. {way_out}",
    MetricUnusable: (
        "Scheduler.observe({metric}={value}): this is no measurement, and is passed over. Look at "
        "what made it."
    ),
    LengthMismatch: (
        "{data}: a pass {seen} batches, and its length promised {promised}. {effect} Let __len__ "
        "of the data return what there is."
    ),
    AmountMismatch: (
        "Scheduler{where}: Run({unit}_per_step={expected:g}) says that an update uses "
        "{expected:g}, and it is given {given:g}. {effect}"
    ),
    PastEnd: (
        "Scheduler.step(): an update was made past the planned end, {end} {unit}; the last value "
        "is held. Give Run(total_steps=…) the real length, or call extend(total_steps)."
    ),
    StoppedEarly: (
        "Scheduler: the run ended at {position:g} of {end} {unit}; the rest of the plan was never "
        "used. Give Run(total_steps=…) the real length, or call decay_now() in time."
    ),
}


class Warnings:
    """Gives each warning once, or raises it.

    Args:
        strict: Whether to raise.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._given: set[type[WarmdownWarning]] = set()

    def warn_once(self, kind: type[WarmdownWarning], **facts: Any) -> None:
        """Give or raise a warning with what was seen, unless one of its kind was given before."""
        if kind in self._given:
            return
        self._given.add(kind)
        message = _MESSAGES[kind].format(**facts)
        warning = kind(f"{message} [warmdown explain {kind.code}]")
        if self._strict:
            raise warning
        warnings.warn(warning, stacklevel=_level_of_the_caller())


def _level_of_the_caller() -> int:
    """Return the ``stacklevel`` of the first frame that is neither ours nor torch's."""
    inside = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (warmdown, torch))
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, level = frame.f_back, level + 1
    return level


def warn_of_amount(warnings: Warnings, unit: str, given: float, expected: float) -> None:
    """Warn of updates that were given another amount of data than the run has."""
    warnings.warn_once(
        AmountMismatch,
        where=f".step({unit}={given:g})",
        unit=unit,
        given=given,
        expected=expected,
        effect=f"The plan's lengths in updates and epochs are measured with that, and are "
        f"{given:g} / {expected:g} as many {unit} as the run uses. Give Run the number that step() "
        f"gives; where it changes, give the plan's lengths in {unit}.",
    )


def warn_of_batch(
    warnings: Warnings, plan: Plan, expected: float | None, given: float | None = None
) -> None:
    """Warn of a plan that has lengths in data, and a batch that is not that of its run.

    Args:
        warnings: Where it is given once.
        plan: The plan as it was given.
        expected: Samples of an update by the run's facts, if they have it.
        given: Samples that updates really use; by default those that the plan begins with.
    """
    batches = getattr(plan.run, "batches", None)
    if given is None and batches is not None and expected:
        given = batches.cut(0.0).size * batches.loading.samples
    lengths = plan.lengths_in_data() if expected and given and given != expected else []
    if lengths:
        warnings.warn_once(
            AmountMismatch,
            where="",
            unit="samples",
            given=given,
            expected=expected,
            effect=f"The plan's lengths in data ({', '.join(lengths[:3])}) are measured on the "
            "batches that are really made, its lengths in updates are as they were. Give Run the "
            "size that is used, or all of the plan's lengths in data or as shares.",
        )


def warn_of_values(writer: ValueWriter, warnings: Warnings) -> None:
    """Warn of what the plan's values are to the groups that are bound, before any update."""
    from warmdown.checks import check_values  # loads pictures and words, which a step never needs

    timeline, kinds = writer.timeline, {kind.code: kind for kind in _VALUE_WARNINGS}
    met: list[tuple[Target, dict[str, float]]] = []
    for bound in writer.targets:
        by_line: dict[TargetName, dict[str, float]] = {}
        for group in bound.groups:
            by_line.setdefault(group.follows, {})[group.label] = group.base
        met += (
            (Target(line.name, line.groups, timeline.lines[line].rule), bases)
            for line, bases in by_line.items()
        )
    for finding in check_values(timeline.plan, met):
        warnings.warn_once(kinds[finding.code], target=finding.target, message=finding.message)
