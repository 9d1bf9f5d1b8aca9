"""What can happen to a running plan: it is scaled, told to decay, made longer, or changed for another."""

from __future__ import annotations

__all__ = [
    "POLICIES",
    "Decayed",
    "Extended",
    "OnChange",
    "Rescaled",
    "Switched",
    "decay",
    "decay_stop",
]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, final, get_args

import numpy as np

from warmdown.binding.course import Course, Event, Line, on_schedules
from warmdown.errors import RunError, ScheduleError, StateError
from warmdown.plan import Plan, Target
from warmdown.run import Run
from warmdown.schedules import Constant, Linear, Product, Rule, Schedule, Set
from warmdown.schedules.feedback import Feedback, FeedbackState, feedbacks, with_feedback_states

OnChange: TypeAlias = Literal["ask", "saved", "given", "rescale", "continue", "rewarm", "fit"]
POLICIES: tuple[str, ...] = get_args(OnChange)
Memories: TypeAlias = tuple[FeedbackState, ...]
"""What each feedback schedule had observed when a plan was joined to another; the value held there hangs on it."""

_UNITS = {"updates": "steps", "samples": "samples", "tokens": "tok", "seconds": "s"}
_LOOKED_AT = 100_000
"""Steps among which the peak of a curve is looked for."""


@final
@dataclass(frozen=True)
class Rescaled:
    """From ``at`` on every value of a field is multiplied by ``factor``."""

    at: int
    factor: float
    target: str

    def apply(self, course: Course) -> None:
        """Turn the field's lines."""
        for line in course.lines_of(self.target):
            line.turn(
                self.at, on_schedules(line.rule, lambda schedule: _times(schedule, self.factor))
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"event": "rescale", "at": self.at, "factor": self.factor, "target": self.target}


@final
@dataclass(frozen=True)
class Decayed:
    """From ``at`` on ``curve`` scales the value reached; the run ends with it."""

    at: int
    curve: Schedule
    target: str

    def apply(self, course: Course) -> None:
        """Turn the field's lines, and move the run's end."""
        for line in course.lines_of(self.target):
            grafted = line.rule.of.graft(self.curve, at=self.at)
            line.turn(self.at, replace(line.rule, of=grafted))
        course.end = decay_stop([*course.events, self])

    @property
    def stop(self) -> int:
        """The first step after it."""
        return self.at + (self.curve.length or 0)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "event": "decay",
            "at": self.at,
            "curve": self.curve.to_dict(),
            "target": self.target,
        }


@final
@dataclass(frozen=True)
class Extended:
    """From ``at`` on the run is ``total_steps`` long; the plan for it is joined as ``how`` says."""

    at: int
    total_steps: int
    how: OnChange
    seen: Memories = ()

    def apply(self, course: Course) -> None:
        """Join the plan to itself, measured anew; what has happened to it before happens to it again."""
        course.recall(self.seen)
        run = replace(course.current.run, total_steps=self.total_steps, epochs=None)
        longer = replace(course.current, run=run)
        kept = [
            event
            for event in _since_the_last_switch(course.events)
            if isinstance(event, Rescaled | Decayed)
        ]
        _join(course, _Seam(self.at, course.current, longer), self.how, Course(longer).after(*kept))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        data = {"event": "extend", "at": self.at, "total_steps": self.total_steps, "how": self.how}
        return _with_seen(data, self.seen)


@final
@dataclass(frozen=True)
class Switched:
    """From ``at`` on another plan was given, and is joined to the one before as ``how`` says."""

    at: int
    before: Plan
    after: Plan
    how: OnChange
    seen: Memories = ()

    def apply(self, course: Course) -> None:
        """Join the plans."""
        course.recall(self.seen)
        decay_ends = decay_stop([*course.events, self])
        _join(course, _Seam(self.at, course.current, self.after), self.how, Course(self.after))
        course.given = self.after
        if decay_ends is not None:
            course.end = decay_ends

    def moved(self, stop: int) -> int | None:
        """Return where a decay under way ends on the joined course; ``None`` where the new plan takes its place."""
        if (
            self.how == "fit"
            and stop > self.at
            and (factor := _factor(self.at, self.before, self.after)) is not None
        ):
            return self.at + round((stop - self.at) * factor)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; the plan after it is the next one's ``before``, or the state's own."""
        data = {"event": "switch", "at": self.at, "before": self.before.to_dict(), "how": self.how}
        return _with_seen(data, self.seen)


def decay(at: int, run: Run, over: int | str, curve: Schedule | None, target: str) -> Decayed:
    """Return the event of a decay that begins now; lengths are measured on the run.

    Raises:
        ScheduleError: The decay would have no length.
    """
    steps = run.measure(over, who="Scheduler.decay_now")
    if steps is None:
        steps = max((run.length or 0) - at, 0)
    if steps < 1:
        raise ScheduleError(
            f"Scheduler.decay_now(over={over!r}): that is {steps} steps here. Give at least 1."
        )
    whole = Linear(start=1.0, end=0.0) if curve is None else curve
    fits = whole.over(_lasting(run, steps)) if not whole.is_resolved else whole
    return Decayed(at, fits if fits.length == steps else fits.stretch(steps), target)


def decay_stop(events: Sequence[Event]) -> int | None:
    """Return where the decays that were begun end the run; ``None`` where its length was told anew since, or never."""
    stops: dict[str, int] = {}
    for event in events:
        if isinstance(event, Decayed):
            stops[event.target] = (
                event.stop
            )  # a second decay of the same field takes the place of the first
        elif isinstance(event, Switched):
            moved = {target: event.moved(stop) for target, stop in stops.items()}
            stops = {target: stop for target, stop in moved.items() if stop is not None}
        elif isinstance(event, Extended):
            stops.clear()
    return max(stops.values(), default=None)


@dataclass(frozen=True)
class _Seam:
    """Where a plan ends and another begins; their lengths may be open."""

    at: int
    before: Plan
    after: Plan


def _join(course: Course, seam: _Seam, how: OnChange, follower: Course) -> None:
    """Turn a course to the one that follows it, target by target; a new target has no past, and begins with it."""
    past = {
        (old.name, old.groups): line
        for old, line in zip(course.plan.targets, course.lines, strict=True)
    }
    _require_same_targets(past, follower.plan, how)
    for index, target in enumerate(follower.plan.targets):
        if line := past.get((target.name, target.groups)):
            new = replace(target, rule=follower.lines[index].rule)
            joined = _JOINTS[how](seam, line.rule, seam.after.targets[index], new)
            line.turn(seam.at, _knowing(line.rule, joined, how))
            line.joined = seam.at
            follower.lines[index] = line
    course.end = _end_of_joined(course, follower, how)
    course.current, course.plan, course.lines = seam.after, follower.plan, follower.lines


def _end_of_joined(course: Course, follower: Course, how: OnChange) -> int | None:
    """Return where the joined plan ends: a decay that was begun before is stretched with it, or is left behind."""
    before, after = course.plan.run.length, follower.plan.run.length
    if how == "given":
        return follower.end
    if how == "rescale" and course.end is not None and before and after:
        return round(course.end * after / before)
    return after


def _knowing(old: Rule, new: Rule, how: OnChange) -> Rule:
    """Return ``new``, whose feedback schedules know what those of ``old`` do, where they wait for the same.

    What continues from the value held has its falls in that value: they do not happen again. What
    is begun anew, with a warmup, knows nothing.
    """
    if how == "rewarm":
        return new
    known, asked = (
        [one for part in each.schedules() for one in feedbacks(part)] for each in (old, new)
    )
    if len(known) != len(asked) or not all(map(Feedback.follows_like, known, asked)):
        return new
    memories = iter(
        [one.restarted_state() if how == "continue" else one.state.at_last_level() for one in known]
    )
    return on_schedules(new, lambda schedule: with_feedback_states(schedule, memories))


def _with_seen(data: dict[str, Any], seen: Memories) -> dict[str, Any]:
    return {**data, "seen": [state.to_list() for state in seen]} if seen else data


def _since_the_last_switch(events: Sequence[Event]) -> Sequence[Event]:
    switches = [index for index, event in enumerate(events) if isinstance(event, Switched)]
    return events[switches[-1] + 1 :] if switches else events


def _given(seam: _Seam, old: Rule, open_target: Target, target: Target) -> Rule:
    """Take the new plan as it is."""
    del seam, old, open_target
    return target.rule


def _stretched(seam: _Seam, old: Rule, open_target: Target, target: Target) -> Rule:
    """Keep the old shape, over the new run's length."""
    del open_target, target
    before, after = seam.before.over().length, seam.after.over().length
    if not before or not after:
        raise StateError(
            "on_change='rescale': both plans need a length. Give Run(total_steps=…), "
            "or use 'given'."
        )
    return on_schedules(old, lambda schedule: _longer(schedule, after / before))


def _longer(schedule: Schedule, factor: float) -> Schedule:
    """Stretch a schedule; in one without a length, because it answers to a metric, those parts that have one."""
    if schedule.length:
        return schedule.stretch(round(schedule.length * factor))
    if schedule.is_stretched_by_parts:
        return schedule.with_parts(lambda part: _longer(part, factor))
    if any(feedbacks(schedule)) and not isinstance(schedule, Feedback):
        raise StateError(
            f"on_change='rescale': {schedule!r:.80} has no length, and a part of it that answers "
            f"to a metric. "
            "Use 'given' or 'continue'."
        )
    return schedule


def _fitted(seam: _Seam, old: Rule, open_target: Target, target: Target) -> Rule:
    """Give what is left of the old curve what is left of the new run: no value jumps, and none is left out."""
    del open_target, target
    factor = _factor(seam.at, seam.before, seam.after)
    if factor is None:
        raise StateError(
            "on_change='fit': both runs need a length, with some of it left. Use 'given'."
        )
    return on_schedules(old, lambda one: _rest_stretched(one, seam.at, factor))


def _factor(at: int, before: Plan, after: Plan) -> float | None:
    """Return by how much longer the rest of the run is on the new plan."""
    lengths = before.over().run.length, after.over().run.length
    if lengths[0] is None or lengths[1] is None or min(lengths[0], lengths[1]) <= at:
        return None
    return (lengths[1] - at) / (lengths[0] - at)


def _rest_stretched(schedule: Schedule, at: int, factor: float) -> Schedule:
    if schedule.length is None or schedule.length <= at:
        return schedule
    rest = schedule.skip(at)
    return rest.stretch(max(1, round((schedule.length - at) * factor))).delay(at)


def _continued(seam: _Seam, old: Rule, open_target: Target, target: Target) -> Rule:
    """Begin the new curve at its peak, scaled to the value held, and give it the rest of the run.

    Nothing can be scaled to 0: from there the new curve's own warmup leads up, where it has one.
    """
    held = old.of(seam.at)
    fresh, peak = _rest_of(seam, open_target)
    left = fresh.length
    if held == fresh(0):
        return _with_offset_of(old, target.rule, fresh.delay(seam.at), seam.at, left)
    if held == 0 or fresh(peak) == 0:
        raise StateError(
            f"on_change='continue': {target.label} is held at {held:g}, the new curve begins at "
            f"{fresh(peak):g}; no "
            "factor but 0 joins them. Use 'given', or give the new plan a warmup."
        )
    curve = fresh if peak == 0 else fresh.skip(peak).stretch(left) if left else fresh.skip(peak)
    scaled = _times(curve, held / fresh(peak)).delay(seam.at)
    return _with_offset_of(old, target.rule, scaled, seam.at, left)


def _rewarmed(seam: _Seam, old: Rule, open_target: Target, target: Target) -> Rule:
    """Begin the new plan anew over the rest of the run; its warmup starts at the value held."""
    held = old.of(seam.at)
    fresh, peak = _rest_of(seam, open_target)
    if peak:
        fresh = fresh.take(peak).clip(low=held, high=max(held, fresh(peak))) >> fresh.skip(peak)
    return _with_offset_of(old, target.rule, fresh.delay(seam.at), seam.at, fresh.length)


_JOINTS: dict[str, Callable[[_Seam, Rule, Target, Target], Rule]] = {
    "given": _given,
    "rescale": _stretched,
    "fit": _fitted,
    "continue": _continued,
    "rewarm": _rewarmed,
}


def _require_same_targets(past: Mapping[tuple[str, str], Line], plan: Plan, how: OnChange) -> None:
    new = {(target.name, target.groups): target.rule for target in plan.targets}
    if how == "given":
        return
    if new.keys() != past.keys():
        differing = sorted("/".join(key) for key in new.keys() ^ past.keys())
        raise StateError(
            f"on_change={how!r}: only one plan drives {', '.join(differing)}. Use "
            f"'given' or 'saved'."
        )
    for key, line in past.items():
        if how not in ("rescale", "fit") and type(line.rule) is not type(new[key]):
            raise StateError(
                f"on_change={how!r}: {'/'.join(key)} scales in one plan and is set in the other. "
                f"Use 'given'."
            )


def _rest_of(seam: _Seam, open_target: Target) -> tuple[Schedule, int]:
    """Return the new curve over what is left of the run, and the step of its peak."""
    run = seam.after.run
    left = None if run.length is None else max(run.length - seam.at, 0)
    fresh = open_target.rule.of.over(run)
    if left:
        try:
            fresh = open_target.rule.of.over(_lasting(run, left))
        except (ScheduleError, RunError):  # lengths in numbers, made for the whole run
            fresh = fresh.stretch(left) if fresh.length else fresh
    looked_at = np.unique(np.linspace(0, fresh.length or left or 0, _LOOKED_AT).round())
    return fresh, int(looked_at[np.argmax(fresh(looked_at))])


def _with_offset_of(old: Rule, new: Rule, curve: Schedule, at: int, left: int | None) -> Rule:
    """Put ``curve`` into the new meaning; an absolute part that differs from the old one's is led over to it."""
    if isinstance(new, Set) or isinstance(old, Set):
        return replace(new, of=curve)
    before, after = (part.offset(at) if part.offset else 0.0 for part in (old, new))
    if before == after:
        return replace(new, of=curve)
    bridge = Linear(start=before - after, end=0.0, steps=left or 0).delay(at)
    return replace(new, of=curve, offset=bridge if new.offset is None else new.offset + bridge)


def _lasting(run: Run, steps: int) -> Run:
    """Return the same run, ``steps`` of its clock long."""
    return replace(run, total_steps=None, epochs=None, budget=f"{steps}{_UNITS[run.clock]}")


def _times(schedule: Schedule, factor: float) -> Schedule:
    """Return the product; a factor that is there already takes the new one in."""
    if isinstance(schedule, Product) and isinstance(last := schedule.factors[-1], Constant):
        return replace(
            schedule, factors=(*schedule.factors[:-1], replace(last, value=last.value * factor))
        )
    return schedule.scale(factor)
