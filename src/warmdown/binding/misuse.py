"""Warnings of a use that goes wrong silently: each once, with the numbers seen and the way out."""

from __future__ import annotations

__all__ = ["Warnings"]

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


class Warnings:
    """Gives each warning once, or raises it.

    Args:
        strict: Whether to raise.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._given: set[type[WarmdownWarning]] = set()

    def warn_once(self, kind: type[WarmdownWarning], text: str) -> None:
        """Give or raise a warning, unless one of its kind was given before."""
        if kind in self._given:
            return
        self._given.add(kind)
        warning = kind(f"{text} [{kind.code}: docs/misuse.md#{kind.code}]")
        if self._strict:
            raise warning
        warnings.warn(warning, stacklevel=_level_of_the_caller())

    def step_before_update(self) -> None:
        """Warn of a step before the first update."""
        self.warn_once(
            StepBeforeUpdate,
            "Scheduler.step(): called before the first optimizer.step(); this call is not counted, "
            "so that the first update uses the first value. Call it after optimizer.step().",
        )

    def step_twice(self) -> None:
        """Warn of two steps for each update."""
        self.warn_once(
            StepTwice,
            "Scheduler.step(): called twice for each update; the second call is not counted. Call "
            "it once, after optimizer.step(). A scheduler that accelerate has prepared is stepped "
            "again for each process: do not prepare it.",
        )

    def step_forgotten(self, updates: int) -> None:
        """Warn of many updates without a step."""
        self.warn_once(
            StepForgotten,
            f"Scheduler.step(): not called for {updates} updates; the values stand still. Call it "
            "after each optimizer.step(), or give auto=True.",
        )

    def step_per_epoch(self, ratio: int) -> None:
        """Warn of steps that are far fewer than updates."""
        self.warn_once(
            StepPerEpoch,
            f"Scheduler.step(): called once for every {ratio} updates, and the plan counts "
            "updates. Call it after each optimizer.step(), or give auto=True. If a step of this "
            "plan is meant to last that long: count_by='attempts'.",
        )

    def step_per_update(self, updates: int, end: int) -> None:
        """Warn of updates that are far more than the plan's steps."""
        self.warn_once(
            StepPerUpdate,
            f"Scheduler.step(): called {updates} times, {updates / end:.3g} times what the plan "
            f"has ({end}). If its steps mean epochs: Run(epochs=…, steps_per_epoch=…), and lengths "
            "like '10ep'.",
        )

    def scheduler_lost(self) -> None:
        """Warn that the scheduler is gone."""
        self.warn_once(
            SchedulerLost,
            "Scheduler(auto=True): it is gone, and the values stand still: an optimizer does not "
            "keep its scheduler. Keep it in a variable as long as you train.",
        )

    def optimizer_unused(self, name: str) -> None:
        """Warn that the optimizer is not the one that trains."""
        self.warn_once(
            OptimizerUnused,
            f"Scheduler({name}): training goes on, and this optimizer has made no update. Bind the "
            "one whose step() is called; where the optimizer was rebuilt, rebuild the scheduler "
            "too.",
        )

    def foreign_write(self, label: str, value: Any, planned: float) -> None:
        """Warn of a write from outside the scheduler."""
        shown = "something else" if isinstance(value, torch.Tensor) else f"{value:g}"
        self.warn_once(
            ForeignWrite,
            f"Scheduler({label}): {label} was set to {shown} outside the scheduler (planned: "
            f"{planned:g}) and has been restored. Remove the other scheduler, or change this one "
            "by rescale(factor).",
        )

    def metric_forgotten(self, waiting: Iterable[str], updates: int) -> None:
        """Warn of a schedule whose metric never comes."""
        self.warn_once(
            MetricForgotten,
            f"Scheduler: the plan follows {_names_of(waiting)}, and in {updates} updates it was not "
            f"observed. Call observe({next(iter(waiting))}=…) after each evaluation.",
        )

    def metric_unused(self, metrics: Iterable[str], waiting: Iterable[str]) -> None:
        """Warn of a metric that no schedule follows."""
        known = sorted(set(waiting))
        way_out = "No schedule of this plan follows a metric; Plateau(metric=…) does."
        if known:
            way_out = f"The plan follows {_names_of(known)}. {nearest(next(iter(metrics)), known)}"
        self.warn_once(
            MetricUnused,
            f"Scheduler.observe({', '.join(metrics)}): no schedule follows it. {way_out}",
        )

    def metric_unusable(self, name: str, value: float) -> None:
        """Warn of a metric that is no number."""
        self.warn_once(
            MetricUnusable,
            f"Scheduler.observe({name}={value}): this is no measurement, and is passed over. Look "
            "at what made it.",
        )

    def past_end(self, end: int, unit: str) -> None:
        """Warn of a run that is longer than its plan."""
        self.warn_once(
            PastEnd,
            f"Scheduler.step(): an update was made past the planned end, {end} {unit}; the last "
            "value is held. Give Run(total_steps=…) the real length, or call extend(total_steps).",
        )

    def stopped_early(self, position: float, end: int, unit: str) -> None:
        """Warn of a run that is shorter than its plan."""
        self.warn_once(
            StoppedEarly,
            f"Scheduler: the run ended at {position:g} of {end} {unit}; the rest of the plan was "
            "never used. Give Run(total_steps=…) the real length, or call decay_now() in time.",
        )


def _names_of(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in dict.fromkeys(names))


def _level_of_the_caller() -> int:
    """Return the ``stacklevel`` of the first frame that is neither ours nor torch's."""
    inside = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (warmdown, torch))
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, level = frame.f_back, level + 1
    return level
