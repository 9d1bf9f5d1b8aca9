"""What is said of a use that goes wrong silently: each once, with the numbers seen and the way out."""

from __future__ import annotations

__all__ = ["Findings"]

import os
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import torch

import warmdown
from warmdown.errors import (
    ForeignWrite,
    MetricForgotten,
    MetricUnusable,
    MetricUnused,
    OptimizerUnused,
    PastEnd,
    SchedulerLost,
    StepBeforeUpdate,
    StepForgotten,
    StepPerEpoch,
    StepPerUpdate,
    StepTwice,
    StoppedEarly,
    WarmdownWarning,
    nearest,
)


class Findings:
    """Says each finding once, as a warning; a strict one raises it.

    Args:
        strict: Whether to raise.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._said: set[type[WarmdownWarning]] = set()

    def step_before_update(self) -> None:
        """Say that a step came before the first update."""
        self._say(
            StepBeforeUpdate,
            "Scheduler.step(): called before the first optimizer.step(); this call is not counted, "
            "so that the first "
            "update uses the first value. Call it after optimizer.step().",
        )

    def step_twice(self) -> None:
        """Say that every update is stepped twice."""
        self._say(
            StepTwice,
            "Scheduler.step(): called twice for each update; the second call is not counted. Call "
            "it once, after "
            "optimizer.step(). A scheduler that accelerate has prepared is stepped again for each "
            "process: do not "
            "prepare it.",
        )

    def step_forgotten(self, updates: int) -> None:
        """Say that nobody steps."""
        self._say(
            StepForgotten,
            f"Scheduler.step(): not called for {updates} updates; the values stand still. Call it "
            f"after each "
            "optimizer.step(), or give auto=True.",
        )

    def step_per_epoch(self, ratio: int) -> None:
        """Say that steps are far fewer than updates."""
        self._say(
            StepPerEpoch,
            f"Scheduler.step(): called once for every {ratio} updates, and the plan counts "
            f"updates. Call it after each "
            "optimizer.step(), or give auto=True. If a step of this plan is meant to last that "
            "long, say so: "
            "count='attempts'.",
        )

    def step_per_update(self, updates: int, end: int) -> None:
        """Say that updates are far more than the plan's steps."""
        self._say(
            StepPerUpdate,
            f"Scheduler.step(): called {updates} times, {updates / end:.3g} times what the plan "
            f"has ({end}). If its "
            "steps mean epochs, say so: Run(epochs=…, steps_per_epoch=…), and lengths like '10ep'.",
        )

    def scheduler_lost(self) -> None:
        """Say that the scheduler is gone."""
        self._say(
            SchedulerLost,
            "Scheduler(auto=True): it is gone, and the values stand still: an optimizer does not "
            "keep its scheduler. "
            "Keep it in a variable as long as you train.",
        )

    def optimizer_unused(self, name: str) -> None:
        """Say that the optimizer is not the one that trains."""
        self._say(
            OptimizerUnused,
            f"Scheduler({name}): training goes on, and this optimizer has made no update. Bind the "
            f"one whose step() is "
            "called; where the optimizer was built anew, build the scheduler anew too.",
        )

    def foreign_write(self, label: str, held: Any, planned: float) -> None:
        """Say that somebody else wrote."""
        other = "something" if isinstance(held, torch.Tensor) else f"{held:g}"
        self._say(
            ForeignWrite,
            f"Scheduler({label}): another hand wrote {other} where the plan says {planned:g}, "
            f"which is restored. "
            "Let one hand write: drop the other scheduler, or change this one by rescale(factor).",
        )

    def metric_forgotten(self, waited_for: Iterable[str], updates: int) -> None:
        """Say that a schedule waits in vain."""
        names = _listed(waited_for)
        self._say(
            MetricForgotten,
            f"Scheduler: the plan waits for {names}, and in {updates} updates nobody has told it. "
            f"Call observe({next(iter(waited_for))}=…) after each evaluation.",
        )

    def metric_unused(self, told: Iterable[str], waited_for: Iterable[str]) -> None:
        """Say that nobody waits for what was told."""
        waiting = sorted(set(waited_for))
        way_out = (
            f"The plan waits for {_listed(waiting)}. {nearest(next(iter(told)), waiting)}"
            if waiting
            else "No schedule of this plan answers to a metric; Plateau(metric=…) does."
        )
        self._say(
            MetricUnused, f"Scheduler.observe({', '.join(told)}): nothing waits for it. {way_out}"
        )

    def metric_unusable(self, name: str, value: float) -> None:
        """Say that a metric was no number."""
        self._say(
            MetricUnusable,
            f"Scheduler.observe({name}={value}): this is no measurement, and is passed over. Look "
            f"at what made it.",
        )

    def past_end(self, end: int, unit: str) -> None:
        """Say that the run is longer than its plan."""
        self._say(
            PastEnd,
            f"Scheduler.step(): an update was made past the planned end, {end} {unit}; the last "
            f"value is held. Give "
            "Run(total_steps=…) the real length, or call extend(total_steps).",
        )

    def stopped_early(self, position: float, end: int, unit: str) -> None:
        """Say that the run is shorter than its plan."""
        self._say(
            StoppedEarly,
            f"Scheduler: the run ended at {position:g} of {end} {unit}; the rest of the plan was "
            f"never used. Give "
            "Run(total_steps=…) the real length, or call decay_now() in time.",
        )

    def _say(self, kind: type[WarmdownWarning], text: str) -> None:
        if kind in self._said:
            return
        self._said.add(kind)
        warning = kind(f"{text} [{kind.code}: docs/misuse.md#{kind.code}]")
        if self._strict:
            raise warning
        warnings.warn(warning, stacklevel=_level_of_the_caller())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in dict.fromkeys(names))


def _level_of_the_caller() -> int:
    """Return the ``stacklevel``, for who asks, of the first frame that is neither ours nor torch's."""
    inside = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (warmdown, torch))
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, level = frame.f_back, level + 1
    return level
