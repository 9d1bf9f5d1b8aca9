"""How a plan goes on under another one: what each target follows from there on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np

from warmdown.errors import RunError, ScheduleError, StateError
from warmdown.plan import Plan, Target
from warmdown.run import Run
from warmdown.schedules import Linear, Rule, Schedule, Set
from warmdown.schedules.feedback import Feedback, feedbacks, with_feedback_states

OnChange: TypeAlias = Literal[
    "error", "saved", "given", "rescale", "continue", "rewarm", "fit", "ask"
]
"""``"ask"`` is the former name of ``"error"``."""
POLICIES: tuple[str, ...] = get_args(OnChange)[:-1]

_UNITS = {"updates": "steps", "samples": "samples", "tokens": "tok", "seconds": "s"}
_NUM_SAMPLES = 100_000
"""Steps among which the peak of a curve is looked for."""


@dataclass(frozen=True)
class PlanChange:
    """A step at which one plan takes over from another; their lengths may be open."""

    at: int
    before: Plan
    after: Plan

    @cached_property
    def run_factor(self) -> float | None:
        """How much longer the rest of the run is on the new plan; ``None`` if none is left."""
        before, after = self.before.over().run.length, self.after.over().run.length
        if before is None or after is None or min(before, after) <= self.at:
            return None
        return (after - self.at) / (before - self.at)


def join_rules(
    change: PlanChange, how: str, old: Rule, open_target: Target, target: Target
) -> Rule:
    """Return what a target follows after a change of plans.

    Args:
        change: Where, and from which plan to which.
        how: The policy.
        old: What the target followed before.
        open_target: The target in the new plan, its lengths perhaps open.
        target: The same with every length measured.

    Raises:
        StateError: The policy cannot join the two.
    """
    if how not in _JOIN_POLICIES:
        ways = ", ".join(_JOIN_POLICIES)
        raise StateError(f"on_change={how!r}: no plan is joined so. Use one of {ways}.")
    if how not in ("rescale", "fit", "given") and type(old) is not type(target.rule):
        raise StateError(
            f"on_change={how!r}: {target.name}/{target.groups} scales in one plan and is set in "
            "the other. Use 'given'."
        )
    return _with_feedback_state(old, _JOIN_POLICIES[how](change, old, open_target, target), how)


def map_schedules(rule: Rule, change: Callable[[Schedule], Schedule]) -> Rule:
    """Return ``rule`` in which every schedule went through ``change``."""
    if isinstance(rule, Set):
        return Set(change(rule.of))
    offset = None if rule.offset is None else change(rule.offset)
    return replace(rule, of=change(rule.of), offset=offset)


def _with_feedback_state(old: Rule, new: Rule, how: str) -> Rule:
    """Return ``new`` with the state of the feedback schedules of ``old``, where both follow alike.

    What continues from the value reached has its falls in that value: they do not happen again.
    What warms up again starts without a state.
    """
    if how == "rewarm":
        return new
    before, after = (
        [found for schedule in rule.schedules() for found in feedbacks(schedule)]
        for rule in (old, new)
    )
    if len(before) != len(after) or not all(map(Feedback.follows_like, before, after)):
        return new
    states = iter(
        [
            found.restarted_state() if how == "continue" else found.state.at_last_level()
            for found in before
        ]
    )
    return map_schedules(new, lambda schedule: with_feedback_states(schedule, states))


def _join_by_new_plan(change: PlanChange, old: Rule, open_target: Target, target: Target) -> Rule:
    """Take the new plan as it is."""
    return target.rule


def _join_by_stretching(change: PlanChange, old: Rule, open_target: Target, target: Target) -> Rule:
    """Keep the old shape, over the new run's length."""
    before, after = change.before.over().length, change.after.over().length
    if not before or not after:
        raise StateError(
            "on_change='rescale': both plans need a length. Give Run(total_steps=…), or use "
            "'given'."
        )
    return map_schedules(old, lambda schedule: _stretched(schedule, after / before))


def _stretched(schedule: Schedule, factor: float) -> Schedule:
    """Stretch a schedule; where a metric leaves it without a length, those parts that have one."""
    if schedule.length:
        return schedule.stretch(round(schedule.length * factor))
    if schedule.is_stretched_by_parts:
        return schedule.with_parts(lambda part: _stretched(part, factor))
    if any(found is not schedule for found in feedbacks(schedule)):
        raise StateError(
            f"on_change='rescale': {schedule!r:.80} has no length, and a part of it follows a "
            "metric. Use 'given' or 'continue'."
        )
    return schedule


def _join_by_fitting(change: PlanChange, old: Rule, open_target: Target, target: Target) -> Rule:
    """Stretch the rest of the old curve over the rest of the new run.

    No value jumps, and none is left out.
    """
    factor = change.run_factor
    if factor is None:
        raise StateError(
            "on_change='fit': both runs need a length, with some of it left. Use 'given'."
        )

    def fit(schedule: Schedule) -> Schedule:
        if schedule.length is None or schedule.length <= change.at:
            return schedule
        steps = max(1, round((schedule.length - change.at) * factor))
        return schedule.skip(change.at).stretch(steps).delay(change.at)

    return map_schedules(old, fit)


def _join_by_continuing(change: PlanChange, old: Rule, open_target: Target, target: Target) -> Rule:
    """Start the new curve at its peak, scaled to the value reached, over the rest of the run.

    Nothing can be scaled to 0: from there the new curve's own warmup leads up, where it has one.
    """
    reached = old.of(change.at)
    curve, peak = _over_rest(change, open_target)
    length = curve.length
    if reached != curve(0):
        if reached == 0 or curve(peak) == 0:
            raise StateError(
                f"on_change='continue': {target.label} has reached {reached:g}, the new curve "
                f"starts at {curve(peak):g}; no factor but 0 joins them. Use 'given', or give the "
                "new plan a warmup."
            )
        factor = reached / curve(peak)
        if peak:
            curve = curve.skip(peak).stretch(length) if length else curve.skip(peak)
        curve = curve.multiplied(factor)
    return _with_offset_of(old, target.rule, curve.delay(change.at), change.at, length)


def _join_by_rewarming(change: PlanChange, old: Rule, open_target: Target, target: Target) -> Rule:
    """Start the new plan over the rest of the run; its warmup begins at the value reached."""
    reached = old.of(change.at)
    curve, peak = _over_rest(change, open_target)
    if peak:
        warmup = curve.take(peak).clip(low=reached, high=max(reached, curve(peak)))
        curve = warmup >> curve.skip(peak)
    return _with_offset_of(old, target.rule, curve.delay(change.at), change.at, curve.length)


_JOIN_POLICIES: dict[str, Callable[[PlanChange, Rule, Target, Target], Rule]] = {
    "given": _join_by_new_plan,
    "rescale": _join_by_stretching,
    "fit": _join_by_fitting,
    "continue": _join_by_continuing,
    "rewarm": _join_by_rewarming,
}


def _over_rest(change: PlanChange, open_target: Target) -> tuple[Schedule, int]:
    """Return the new curve over the rest of the run, and the step of its peak."""
    run = change.after.run
    rest = None if run.length is None else max(run.length - change.at, 0)
    curve = open_target.rule.of.over(run)
    if rest:
        try:
            curve = open_target.rule.of.over(lasting(run, rest))
        except (ScheduleError, RunError):  # lengths in numbers, made for the whole run
            curve = curve.stretch(rest) if curve.length else curve
    steps = np.unique(np.linspace(0, curve.length or rest or 0, _NUM_SAMPLES).round())
    return curve, int(steps[np.argmax(curve(steps))])


def lasting(run: Run, steps: int) -> Run:
    """Return the same run, ``steps`` of its clock long."""
    return replace(run, total_steps=None, epochs=None, budget=f"{steps}{_UNITS[run.clock]}")


def _with_offset_of(old: Rule, new: Rule, curve: Schedule, at: int, length: int | None) -> Rule:
    """Put ``curve`` into the new rule; a line leads from the old rule's offset over to its own."""
    if isinstance(new, Set) or isinstance(old, Set):
        return replace(new, of=curve)
    before, after = (rule.offset(at) if rule.offset else 0.0 for rule in (old, new))
    if before == after:
        return replace(new, of=curve)
    bridge = Linear(start=before - after, end=0.0, steps=length or 0).delay(at)
    return replace(new, of=curve, offset=bridge if new.offset is None else new.offset + bridge)
