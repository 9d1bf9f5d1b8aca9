"""How a plan goes on under another one: what each target follows from there on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Literal, TypeAlias

import numpy as np

from warmdown.errors import RunError, ScheduleError, StateError
from warmdown.plan import Plan, Target
from warmdown.run import Run
from warmdown.schedules import Constant, Grafted, Linear, Rule, Scale, Schedule, Set
from warmdown.schedules.feedback import Feedback, FeedbackState, feedbacks, with_feedback_states

OnChange: TypeAlias = Literal[
    "error", "saved", "given", "stretch", "continue", "rewarm", "fit", "ask", "rescale"
]
"""The last two are former names."""
FORMER_POLICIES = {"ask": "error", "rescale": "stretch"}
CONTINUED = "continued"
"""What an event of ``"continue"`` has; of older states the word itself scales the whole curve."""
POLICIES: Mapping[str, str] = {
    "error": "refuse, and change nothing",
    "saved": "the saved plan goes on, and holds its last value past its end",
    "given": "the given plan goes on, as if it had been there from the start",
    "stretch": "the saved curve goes on, stretched to the given run",
    "continue": "the given curve from its peak, begun at the value held now, to its own end",
    "rewarm": "the given curve from its beginning, with its warmup",
    "fit": "what is left of the saved curve, over what is left of the given run",
}
"""How to go on under another plan, each in a few words."""

_UNITS = {"updates": "steps", "samples": "samples", "tokens": "tok", "seconds": "s"}
_NUM_SAMPLES = 100_000
"""Steps among which the peak of a curve is looked for."""


@dataclass(frozen=True)
class RuleChange:
    """A step at which what a target follows is taken over by another plan.

    Args:
        at: The step.
        before: The plan until then, its lengths perhaps open.
        after: The plan that takes over, likewise.
        target: The target in it.
        old: What the target followed.
        new: What it follows in the new plan alone, every length measured.
    """

    at: int
    before: Plan
    after: Plan
    target: Target
    old: Rule
    new: Rule


def run_factor(at: int, before: Plan, after: Plan) -> float | None:
    """Return how much longer the rest of the run is on the new plan; ``None`` if none is left."""
    old, new = before.over().run.length, after.over().run.length
    if old is None or new is None or min(old, new) <= at:
        return None
    return (new - at) / (old - at)


def join_rules(change: RuleChange, how: str) -> Rule:
    """Return what a target follows after a change of plans, by a policy.

    Raises:
        StateError: The policy cannot join the two.
    """
    how = FORMER_POLICIES.get(how, how)
    continues = how in ("continue", CONTINUED)
    asked = "continue" if continues else how
    if how not in _JOIN_POLICIES:
        ways = ", ".join(_JOIN_POLICIES)
        raise StateError(f"on_change={how!r}: no plan is joined so. Use one of {ways}.")
    if (continues or how == "rewarm") and type(change.old) is not type(change.new):
        name = f"{change.target.name}/{change.target.groups}"
        raise StateError(
            f"on_change={asked!r}: {name} scales in one plan and is set in the other. Use 'given'."
        )
    lows = [rule.low for rule in (change.old, change.new) if isinstance(rule, Scale)]
    if (continues or how == "rewarm") and lows and lows[0] is not None and lows[0] != lows[-1]:
        raise StateError(
            f"on_change={asked!r}: {change.target.label} may be at its lowest value, "
            f"{lows[0]!r}, which the new plan does not have. Give it low={lows[0]!r}, or use "
            "'given'."
        )
    return _with_feedback_state(change.old, _JOIN_POLICIES[how](change), how)


def feedbacks_in(rule: Rule) -> list[Feedback]:
    """Return every feedback schedule of a rule, always in the same order."""
    return [found for schedule in rule.schedules() for found in feedbacks(schedule)]


def _with_feedback_state(old: Rule, new: Rule, how: str) -> Rule:
    """Return ``new`` with the state of the feedback schedules of ``old``, where both follow alike.

    What continues from the value reached has its falls in that value: they do not happen again.
    What warms up again starts without a state.
    """
    before, after = feedbacks_in(old), feedbacks_in(new)
    is_alike = len(before) == len(after) and all(map(Feedback.follows_like, before, after))
    if how == "rewarm" or not is_alike:
        return new
    states = [
        found.restarted_state() if how in ("continue", CONTINUED) else found.state.at_last_level()
        for found in before
    ]
    return with_states(new, states)


def with_states(rule: Rule, states: Iterable[FeedbackState]) -> Rule:
    """Return ``rule`` with the state of each of its feedback schedules."""
    left = iter(states)
    return rule.with_schedules(lambda schedule: with_feedback_states(schedule, left))


def _join_by_stretching(change: RuleChange) -> Rule:
    """Keep the old shape, over the new run's length."""
    before, after = change.before.over().length, change.after.over().length
    if not before or not after:
        raise StateError(
            "on_change='stretch': both plans need a length. Give Run(total_steps=…), or use "
            "'given'."
        )
    return change.old.with_schedules(lambda schedule: _stretched(schedule, after / before))


def _stretched(schedule: Schedule, factor: float) -> Schedule:
    """Stretch a schedule; where a part follows a metric, those parts that have a length."""
    if schedule.length and not any(feedbacks(schedule)):
        return schedule.stretch(round(schedule.length * factor))
    if schedule.is_stretched_by_parts:
        return schedule.with_parts(lambda part: _stretched(part, factor))
    if isinstance(schedule, Grafted) and isinstance(schedule.at, int):
        stretched = schedule.with_parts(lambda part: _stretched(part, factor))
        return replace(stretched, at=round(schedule.at * factor))
    _refuse_metric_inside(schedule, "stretch")
    return schedule


def _refuse_metric_inside(schedule: Schedule, how: str) -> None:
    """Refuse to move a part that follows a metric: its clock must begin and go as it did."""
    if any(found is not schedule for found in feedbacks(schedule)):
        raise StateError(
            f"on_change={how!r}: {schedule!r:.80} has no length of its own, and a part of it "
            "follows a metric. Use 'given' or 'continue'."
        )


def _join_by_fitting(change: RuleChange) -> Rule:
    """Stretch the rest of the old curve over the rest of the new run.

    No value jumps, and none is left out.
    """
    factor = run_factor(change.at, change.before, change.after)
    if factor is None:
        raise StateError(
            "on_change='fit': both runs need a length, with some of it left. Use 'given'."
        )
    rest = factor
    return change.old.with_schedules(lambda schedule: _fit_rest(schedule, change.at, rest))


def _fit_rest(schedule: Schedule, at: float, factor: float) -> Schedule:
    """Stretch what is left of a schedule at a step."""
    if schedule.length is None or schedule.length <= at:
        return schedule
    if not any(feedbacks(schedule)):
        steps = max(1, round((schedule.length - at) * factor))
        return schedule.skip(int(at)).stretch(steps).delay(int(at))
    is_grafted = isinstance(schedule, Grafted)
    if not schedule.is_stretched_by_parts and not is_grafted:
        _refuse_metric_inside(schedule, "fit")
    starts = iter(schedule.part_starts())

    def fit(part: Schedule) -> Schedule:
        own = at - (next(starts) or 0)
        return _fit_rest(part, own, factor) if own > 0 else _stretched(part, factor)

    fitted = schedule.with_parts(fit)
    if isinstance(fitted, Grafted) and isinstance(fitted.at, int) and fitted.at > at:
        fitted = replace(fitted, at=int(at + round((fitted.at - at) * factor)))
    return fitted


def _join_by_continuing(change: RuleChange, *, to_its_end: bool = True) -> Rule:
    """Start the new curve at its peak, moved to the value reached, over the rest of the run.

    It ends at its own end; one that ends at its peak, such as a constant, is scaled as a whole.
    Nothing can be moved to 0: from there the new curve's own warmup leads up, where it has one.
    """
    reached = change.old.of(change.at)
    curve, peak = _over_rest(change)
    length = curve.length
    if reached != curve(0):
        if reached == 0 or curve(peak) == 0:
            raise StateError(
                f"on_change='continue': {change.target.label} has reached {reached:g}, the new "
                f"curve starts at {curve(peak):g}; no factor but 0 joins them. Use 'given', or "
                "give the new plan a warmup."
            )
        top = curve(peak)
        end = curve(length) if to_its_end and length and curve.is_predictable else 0.0
        if peak:
            curve = curve.skip(peak).stretch(length) if length else curve.skip(peak)
        if end in (0.0, top):
            curve = curve.multiplied(reached / top)
        else:
            share = (reached - end) / (top - end)
            curve = curve.multiplied(share) + Constant(end * (1 - share))
    return _with_old_offset(change, curve, length)


def _join_by_rewarming(change: RuleChange) -> Rule:
    """Start the new plan over the rest of the run; its warmup begins at the value reached."""
    reached = change.old.of(change.at)
    curve, peak = _over_rest(change)
    if peak:
        warmup = curve.take(peak).clip(low=reached, high=max(reached, curve(peak)))
        curve = warmup >> curve.skip(peak)
    return _with_old_offset(change, curve, curve.length)


_JOIN_POLICIES: dict[str, Callable[[RuleChange], Rule]] = {
    "given": attrgetter("new"),
    "stretch": _join_by_stretching,
    "fit": _join_by_fitting,
    "continue": partial(_join_by_continuing, to_its_end=False),
    CONTINUED: _join_by_continuing,
    "rewarm": _join_by_rewarming,
}


def _over_rest(change: RuleChange) -> tuple[Schedule, int]:
    """Return the new curve over the rest of the run, and the step of its peak."""
    run = change.after.run
    rest = None if run.length is None else max(run.length - change.at, 0)
    curve = change.target.rule.of.over(run)
    if rest:
        try:
            curve = change.target.rule.of.over(lasting(run, rest))
        except (ScheduleError, RunError):  # lengths in numbers, made for the whole run
            curve = curve.stretch(rest) if curve.length else curve
    steps = np.unique(np.linspace(0, curve.length or rest or 0, _NUM_SAMPLES).round())
    return curve, int(steps[np.argmax(curve(steps))])


def lasting(run: Run, steps: int) -> Run:
    """Return the same run, ``steps`` of its clock long."""
    return replace(run, total_steps=None, epochs=None, budget=f"{steps}{_UNITS[run.clock]}")


def _with_old_offset(change: RuleChange, curve: Schedule, length: int | None) -> Rule:
    """Return the new rule with ``curve``; a line leads from the old rule's offset to its own."""
    old, new, at = change.old, change.new, change.at
    joined = replace(new, of=curve.delay(at))
    if isinstance(joined, Set) or isinstance(old, Set):
        return joined
    before, after = (rule.offset(at) if rule.offset else 0.0 for rule in (old, joined))
    if before == after:
        return joined
    bridge: Schedule = Constant(value=before - after)  # where nothing ends, for good
    if length:
        bridge = Linear(start=before - after, end=0.0, steps=length).delay(at)
    return replace(joined, offset=joined.offset + bridge if joined.offset else bridge)
