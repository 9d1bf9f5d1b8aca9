"""A plan underway: what each target follows, and the events that have changed it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, final

import numpy as np

from warmdown.binding.joining import (
    CONTINUED,
    RuleChange,
    feedbacks_in,
    join_rules,
    lasting,
    run_factor,
    with_states,
)
from warmdown.errors import ScheduleError, StateError
from warmdown.plan import Plan, Target, field_phases, unusual_order
from warmdown.run import Run
from warmdown.schedules import (
    Constant,
    Grafted,
    Linear,
    Named,
    Phase,
    PiecewiseConstant,
    Product,
    Rule,
    Scale,
    Schedule,
)
from warmdown.schedules.feedback import Feedback, FeedbackState, feedbacks, observed

if TYPE_CHECKING:
    import numpy.typing as npt  # 3 ms of an import

Array: TypeAlias = "npt.NDArray[np.float64]"


class TargetName(NamedTuple):
    """The name of what groups follow: a target of a plan, by its field and its pattern.

    ``group`` is the key of the one group to which something happened alone.
    """

    name: str
    groups: str
    group: str = ""


UNNAMED = TargetName("", "")
"""Stands for all lines, one after the other: once a state named none."""

FeedbackStates: TypeAlias = Mapping[TargetName, Sequence[FeedbackState]]
"""What the feedback schedules of each line have observed, in their order in it."""


class TargetTimeline:
    """What one target follows: a rule from the start, and perhaps others from some steps on.

    Args:
        rule: What is followed until the first event.
        name: The field.
    """

    def __init__(self, rule: Rule, name: str = "lr") -> None:
        self.name = name
        self.segments: tuple[tuple[float, Rule], ...] = ((0.0, rule),)
        self.joined_at = 0.0
        """Where the present plan took over; later observations change nothing before."""

    @property
    def rule(self) -> Rule:
        """What is followed from now on."""
        return self.segments[-1][1]

    def switch_at(self, step: float, rule: Rule) -> None:
        """Follow ``rule`` from a step on; what was before stays as it was."""
        self.segments = (*(one for one in self.segments if one[0] < step), (step, rule))

    @property
    def is_resolved(self) -> bool:
        """Whether every length is a number, in the past too."""
        rules = (rule for _, rule in self.segments)
        return all(schedule.is_resolved for rule in rules for schedule in rule.schedules())

    def values(self, steps: Array, bases: Array) -> Array:
        """Return the value for each base (rows) at each of the rising steps (columns)."""
        values = np.empty((len(bases), len(steps)))
        column: Any = bases[:, None]  # an array in place of one base
        stop = len(steps)
        for start, rule in reversed(self.segments):
            first = int(np.searchsorted(steps[:stop], start)) if start else 0
            if first < stop:
                values[:, first:stop] = rule.value(steps[first:stop], column)
            stop = first
        return values

    def is_flat(self, steps: Array) -> bool:
        """Tell whether nothing moves over the rising steps, whatever the base value."""
        start, rule = self.segments[-1]
        return start <= steps[0] and all(_is_flat(one, steps) for one in rule.schedules())

    def phases(self) -> Iterator[Phase]:
        """Yield the named stretches, each as far as it went."""
        edges = [*(start for start, _ in self.segments), np.inf]
        for (start, stop), (_, rule) in zip(pairwise(edges), self.segments, strict=True):
            for phase in field_phases(self.name, rule):
                first = max(phase.start, start)
                last = min(np.inf if phase.stop is None else phase.stop, stop)
                if first < last:
                    yield Phase(phase.name, int(first), None if last == np.inf else int(last))

    def observe(self, step: float, metrics: Mapping[str, float]) -> None:
        """Give the feedback schedules that are active at ``step`` the metrics of that step."""
        start, rule = self.segments[-1]
        rule = rule.with_schedules(lambda schedule: observed(schedule, step, metrics))
        self.segments = (*self.segments[:-1], (start, rule))

    def restore_feedback(self, states: Sequence[FeedbackState]) -> None:
        """Restore every feedback schedule's state in all segments since the plan change."""
        self.segments = tuple(
            (start, with_states(rule, states))
            if start >= self.joined_at and len(feedbacks_in(rule)) == len(states)
            else (start, rule)
            for start, rule in self.segments
        )


class Timeline:
    """A plan underway: what each of its targets follows, and the events so far.

    Args:
        given: The plan as it was given, its lengths perhaps still open.

    Raises:
        ScheduleError: A schedule in it can only be previewed.
    """

    def __init__(self, given: Plan) -> None:
        for target in given.targets:
            for schedule in target.rule.schedules():
                _refuse_previews(schedule, target.label)
        self.given = self.active = given
        """The plan that was given last; and the same with the length that the run has now."""
        self.plan = given.over()
        """The active plan with every length measured."""
        self.end = self.plan.run.length
        self.lines = {
            line: TargetTimeline(target.rule, target.name)
            for line, target in _targets_of(self.plan).items()
        }
        self.events: tuple[PlanEvent, ...] = ()

    def after(self, *events: PlanEvent) -> Timeline:
        """Return the timeline on which the events have happened too; this one stays as it is."""
        if self.events and any(event.at < self.events[-1].at for event in events):
            ordered = sorted([*self.events, *events], key=attrgetter("at"))
            timeline = Timeline(first_plan(self.events, self.given)).after(*ordered)
            timeline.restore_feedback(self.feedback_states())
            return timeline
        timeline = copy(self)
        timeline.lines = {line: copy(target) for line, target in self.lines.items()}
        for event in events:
            event.apply(timeline)
            timeline.events = (*timeline.events, event)
        return timeline

    @property
    def moved_end(self) -> int | None:
        """Where events let the run end; ``None`` where it ends as its plan does."""
        lengths = [
            event for event in self.events if isinstance(event, Extended | Postponed | Switched)
        ]
        is_moved = lengths and not isinstance(lengths[-1], Switched)
        return self.end if is_moved or decay_stop(self.events) is not None else None

    @property
    def is_predictable(self) -> bool:
        """Whether values may be computed before their step; a person's own function is not."""
        rules = (target.rule for target in self.lines.values())
        return all(schedule.is_predictable for rule in rules for schedule in rule.schedules())

    def targets_named(self, name: str) -> list[TargetTimeline]:
        """Return every target that drives the field ``name``."""
        return [target for line, target in self.lines.items() if line.name == name]

    def targets_of_event(self, name: str, groups: Sequence[str]) -> list[TargetTimeline]:
        """Return what a field's targets follow; for some groups alone, what only they follow.

        Raises:
            ScheduleError: Nothing drives the field.
        """
        shared = [line for line in self.lines if line.name == name and not line.group]
        if not shared:
            raise ScheduleError(f"Timeline(target={name!r}): nothing drives it.")
        for line in shared:
            for group in groups:
                self.lines.setdefault(line._replace(group=group), copy(self.lines[line]))
        return [
            target
            for line, target in self.lines.items()
            if line.name == name and (not groups or line.group in groups)
        ]

    def line_of(self, name: str, group: str, place: int | None, key: str) -> TargetName | None:
        """Return what a group's field follows, by the group's name or place; ``None``: nothing."""
        fitting = (one for one in self.plan.targets if one.name == name and one.fits(group, place))
        target = next(fitting, None)
        return target and self.own_line(TargetName(name, target.groups), key)

    def own_line(self, line: TargetName, key: str) -> TargetName:
        """Return what a group of the line follows alone, or the line."""
        own, shared = line._replace(group=key), line._replace(group="")
        return own if own in self.lines else shared

    def feedbacks(self) -> list[Feedback]:
        """Return every feedback schedule, always in the same order."""
        return [found for target in self.lines.values() for found in feedbacks_in(target.rule)]

    def feedback_states(self) -> FeedbackStates:
        """Return what each feedback schedule has observed."""
        found = {line: feedbacks_in(target.rule) for line, target in self.lines.items()}
        return {line: [one.state for one in some] for line, some in found.items() if some}

    def observe(self, step: float, metrics: Mapping[str, float]) -> None:
        """Give the feedback schedules that are active at ``step`` the metrics of that step."""
        for target in self.lines.values():
            target.observe(step, metrics)
        self.restore_feedback(self.feedback_states())

    def restore_feedback(self, states: FeedbackStates) -> None:
        """Restore every feedback schedule's state in all segments since the plan change."""
        for line, some in self.named(states).items():
            if line in self.lines:
                self.lines[line].restore_feedback(some)

    def named(self, states: FeedbackStates) -> FeedbackStates:
        """Return the same by line, where the order alone tells them apart."""
        left = list(states.get(UNNAMED, ()))
        if UNNAMED not in states or len(left) != len(self.feedbacks()):
            return states
        found = self.feedback_states()
        return {line: [left.pop(0) for _ in found[line]] for line in found}


@dataclass(frozen=True)
class PlanEvent(ABC):
    """Something that happened to a running plan.

    Args:
        at: The clock when it happened: the first step that it changes.
    """

    kind: ClassVar[str]
    at: int

    @abstractmethod
    def apply(self, timeline: Timeline) -> None:
        """Change a timeline that is not in use yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        data: dict[str, Any] = {"event": self.kind}
        for name, value in vars(self).items():
            if name == "feedback":
                if value:
                    data["seen"] = feedback_rows(value)
            # the plan after a switch is the next one's ``before``, or the state's own
            elif name != "after" and value is not None and value != ():
                data[name] = value.to_dict() if isinstance(value, Plan | Schedule) else value
        return data


@final
@dataclass(frozen=True)
class Rescaled(PlanEvent):
    """From ``at`` on every value of a field is multiplied by ``factor``."""

    kind = "rescale"
    factor: float
    target: str
    groups: tuple[str, ...] = ()
    """Keys of the groups; empty for all of them."""
    steps: int | None = None
    """For how many steps; ``None`` for good."""

    def apply(self, timeline: Timeline) -> None:
        """Multiply what the field's targets follow."""
        for target in timeline.targets_of_event(self.target, self.groups):
            rule = target.rule.with_schedules(self._multiplied)
            if isinstance(rule, Scale) and isinstance(target.rule, Scale):
                rule = replace(rule, low=target.rule.low)  # a bound is no part of the curve
            target.switch_at(self.at, rule)

    def _multiplied(self, schedule: Schedule) -> Schedule:
        if self.steps is None:
            return schedule.multiplied(self.factor)
        back = PiecewiseConstant(values=(self.factor, 1.0), at=(self.at + self.steps,))
        return schedule * Named(of=back, name="rescaled")


@final
@dataclass(frozen=True)
class Decayed(PlanEvent):
    """From ``at`` on ``curve`` scales the value reached; the run ends with it."""

    kind = "decay"
    curve: Schedule
    target: str
    groups: tuple[str, ...] = ()
    """Keys of the groups; empty for all of them."""

    def apply(self, timeline: Timeline) -> None:
        """Graft the curve onto the field's targets, and move the run's end."""
        for target in timeline.targets_of_event(self.target, self.groups):
            decaying = _decaying(target.rule.of, self.curve, self.at)
            target.switch_at(self.at, replace(target.rule, of=decaying))
        timeline.end = decay_stop([*timeline.events, self])

    @property
    def stop(self) -> int:
        """The first step after it."""
        return self.at + (self.curve.length or 0)


@final
@dataclass(frozen=True)
class Postponed(PlanEvent):
    """From ``at`` on the values of that step hold for some steps; the rest follows after them."""

    kind = "hold"
    steps: int
    target: str = ""
    """The field; empty for all that is driven."""
    groups: tuple[str, ...] = ()
    """Keys of the groups; empty for all of them."""

    def apply(self, timeline: Timeline) -> None:
        """Put off what the targets follow, and the run's end."""
        names = [self.target] if self.target else sorted({line.name for line in timeline.lines})
        for name in names:
            for target in timeline.targets_of_event(name, self.groups):
                target.switch_at(self.at, target.rule.with_schedules(self._put_off))
        if timeline.end is not None:
            timeline.end += self.steps

    def _put_off(self, schedule: Schedule) -> Schedule:
        return schedule.skip(self.at).delay(self.at + self.steps)

    def moved(self, target: str, stop: int) -> int:
        """Return the new end of a field's decay."""
        return stop + self.steps if self.target in ("", target) and stop > self.at else stop


@final
@dataclass(frozen=True)
class Extended(PlanEvent):
    """From ``at`` on the run is ``total_steps`` long; joined by the policy ``how``."""

    kind = "extend"
    total_steps: int
    how: str
    feedback: FeedbackStates = field(default_factory=dict)
    """What each feedback schedule had observed then; the value that is joined depends on it."""

    def apply(self, timeline: Timeline) -> None:
        """Join the plan to itself over the new length; rescales and decays are repeated."""
        timeline.restore_feedback(self.feedback)
        repeated: list[PlanEvent] = []
        left_out = (Extended,) if self.how == "given" else (Extended, Postponed)
        for event in timeline.events:
            if isinstance(event, Switched):
                repeated = []
            elif not isinstance(event, left_out):
                repeated.append(event)
        # the plan has the steps that the holds leave, so that the whole is as long as was asked for
        postponed = sum(event.steps for event in repeated if isinstance(event, Postponed))
        total_steps = max(self.total_steps - postponed, 1)
        run = replace(timeline.active.run, total_steps=total_steps, epochs=None)
        longer = replace(timeline.active, run=run)
        _join(timeline, self.at, self.how, longer, Timeline(longer).after(*repeated))


@final
@dataclass(frozen=True)
class Switched(PlanEvent):
    """From ``at`` on another plan holds, joined by the policy ``how``."""

    kind = "switch"
    before: Plan
    after: Plan
    how: str
    feedback: FeedbackStates = field(default_factory=dict)
    """What each feedback schedule had observed then."""

    def apply(self, timeline: Timeline) -> None:
        """Join the plans."""
        timeline.restore_feedback(self.feedback)
        end = decay_stop([*timeline.events, self])
        _join(timeline, self.at, self.how, self.after, Timeline(self.after))
        timeline.given = self.after
        timeline.end = timeline.end if end is None else end

    def moved(self, stop: int) -> int | None:
        """Return the new end of a decay under way; ``None`` where the new plan takes its place."""
        factor = run_factor(self.at, self.before, self.after)
        if self.how != "fit" or stop <= self.at or factor is None:
            return None
        return self.at + round((stop - self.at) * factor)


def feedback_rows(states: FeedbackStates) -> list[list[Any]]:
    """Return plain data: a row for each line, its name and then the state of each schedule."""
    return [[*line, *(state.to_list() for state in some)] for line, some in states.items()]


def first_plan(events: Sequence[PlanEvent], given: Plan) -> Plan:
    """Return the plan before all events; ``given`` is the one after them."""
    return next((event.before for event in events if isinstance(event, Switched)), given)


def decay_event(
    at: int,
    run: Run,
    over: int | str,
    curve: Schedule | None,
    target: str,
    groups: tuple[str, ...] = (),
) -> Decayed:
    """Return the event of a decay that begins at a step; lengths are measured on the run.

    Raises:
        ScheduleError: The decay would have no length.
    """
    steps = run.shifted(at).measure(over, who="Scheduler.decay_now")
    if steps is None:
        steps = max((run.length or 0) - at, 0)
    if steps < 1:
        raise ScheduleError(
            f"Scheduler.decay_now(over={over!r}): that is {steps} steps here. Give at least 1."
        )
    curve = Linear(start=1.0, end=0.0) if curve is None else curve
    if not curve.is_resolved:
        curve = curve.over(lasting(run, steps))
    return Decayed(at, curve if curve.length == steps else curve.stretch(steps), target, groups)


def _decaying(schedule: Schedule, curve: Schedule, at: int) -> Schedule:
    """Return ``schedule`` with ``curve`` on the value that it has reached at a step.

    Of a decay that is under way only the value reached stays, so that decays do not pile up.
    """
    factors = schedule.factors if isinstance(schedule, Product) else (schedule,)
    before, *others = factors
    is_rescaled = all(isinstance(other, Constant) for other in others)
    if isinstance(before, Grafted) and is_rescaled and not any(feedbacks(before.tail)):
        start = before.at if isinstance(before.at, int) else at
        if start <= at:
            reached = prod(other(0) for other in others) * before.tail(at - start)
            return before.of.graft(curve.multiplied(reached).delay(at - start), at=start)
    return schedule.graft(curve, at=at)


def decay_stop(events: Sequence[PlanEvent]) -> int | None:
    """Return where decays end the run; ``None`` where there is none, or a new length came later."""
    stops: dict[tuple[str, str], int] = {}
    for event in events:
        if isinstance(event, Decayed):
            # a second decay of the same field takes the place of the first
            if not event.groups:
                stops = {one: stop for one, stop in stops.items() if one[0] != event.target}
            stops |= {(event.target, group): event.stop for group in event.groups or ("",)}
        elif isinstance(event, Switched):
            moved = {target: event.moved(stop) for target, stop in stops.items()}
            stops = {target: stop for target, stop in moved.items() if stop is not None}
        elif isinstance(event, Postponed):
            stops = {target: event.moved(target[0], stop) for target, stop in stops.items()}
        elif isinstance(event, Extended):
            stops.clear()
    return max(stops.values(), default=None)


def _join(timeline: Timeline, at: int, how: str, after: Plan, follower: Timeline) -> None:
    """Turn a timeline into the one that follows; a target that is new has no past."""
    old, new = timeline.plan, follower.plan
    if how != "given" and (differing := _differing(old, new)):
        asked = "continue" if how == CONTINUED else how
        raise StateError(f"on_change={asked!r}: {differing} Use 'given' or 'saved'.")
    targets = _targets_of(after)
    joined: dict[TargetName, TargetTimeline] = {}
    for line in {**timeline.lines, **follower.lines}:
        shared = line._replace(group="")
        if shared in targets and shared in timeline.lines:
            followed = copy(timeline.lines.get(line, timeline.lines[shared]))
            rules = followed.rule, follower.lines.get(line, follower.lines[shared]).rule
            change = RuleChange(at, timeline.active, after, targets[shared], *rules)
            followed.switch_at(at, join_rules(change, how))
            followed.joined_at = at
            joined[line] = followed
    if (
        how in ("stretch", "rescale")
        and timeline.end is not None
        and old.run.length
        and new.run.length
    ):
        # a decay is stretched with the plan
        timeline.end = round(timeline.end * new.run.length / old.run.length)
    else:
        timeline.end = follower.end if how == "given" else new.run.length
    timeline.active, timeline.plan = after, new
    timeline.lines = follower.lines | joined


def _targets_of(plan: Plan) -> dict[TargetName, Target]:
    """Return the targets by name; of two with one name the first counts."""
    targets: dict[TargetName, Target] = {}
    for target in plan.targets:
        targets.setdefault(TargetName(target.name, target.groups), target)
    return targets


def _differing(old: Plan, new: Plan) -> str:
    """Return which groups' fields do not follow the same lines in both plans, as a sentence."""
    before, after = _targets_of(old), _targets_of(new)
    if lines := before.keys() ^ after.keys():
        labels = sorted((before | after)[line].label for line in lines)
        return f"only one plan drives {', '.join(labels)}."
    if unusual_order(old.patterns) == unusual_order(new.patterns):
        return ""
    return (
        "a group that fits several patterns follows the first, and the plans order them otherwise."
    )


def _is_flat(schedule: Schedule, steps: Array) -> bool:
    if schedule.is_flat(float(steps[0]), float(steps[-1])):
        return True
    # the ends first: most schedules that move differ there, and two values cost less than all
    first, last = schedule(steps[[0, -1]]).tolist()
    return bool(first == last and (schedule(steps) == first).all())


def _refuse_previews(schedule: Schedule, label: str) -> None:
    """Refuse another library's class: its values depend on the base rate of its own optimizer."""
    if schedule.is_preview:
        raise ScheduleError(
            f"Scheduler({label}): a preview of another library's class cannot drive a run: "
            f"{schedule!r}. Train with the class itself, or use a shape of warmdown; see 'warmdown "
            "list'."
        )
    for part in schedule.parts():
        _refuse_previews(part, label)
