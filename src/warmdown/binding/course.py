"""The way a plan really goes: its curves, and what has happened to them since."""

from __future__ import annotations

__all__ = ["Course", "Event", "Line", "on_schedules", "one_plan"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from warmdown.errors import ScheduleError
from warmdown.plan import Given, Plan
from warmdown.schedules import Phase, Rule, Schedule, Set
from warmdown.schedules.feedback import (
    Feedback,
    FeedbackState,
    feedbacks,
    observed,
    with_feedback_states,
)

Array = npt.NDArray[np.float64]


class Event(Protocol):
    """Something that happened to a running plan."""

    @property
    def at(self) -> float:
        """The clock when it happened: the first step that it changes."""

    def apply(self, course: Course) -> None:
        """Turn the lines of a course that is not in use yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""


class Line:
    """What one target follows: a meaning from the start, and perhaps another from some step on.

    Args:
        rule: What is followed until it is turned.
    """

    def __init__(self, rule: Rule) -> None:
        self.turns: list[tuple[float, Rule]] = [(0.0, rule)]
        self.joined = 0.0
        """Where the plan that it follows now took over: what is observed from there on is nothing to those before."""

    def copy(self) -> Line:
        """Return a line that can be turned without this one."""
        twin = Line(self.rule)
        twin.turns, twin.joined = list(self.turns), self.joined
        return twin

    @property
    def rule(self) -> Rule:
        """What is followed from now on."""
        return self.turns[-1][1]

    def turn(self, at: float, rule: Rule) -> None:
        """Follow ``rule`` from step ``at`` on; what was before stays as it was."""
        self.turns = [*(turn for turn in self.turns if turn[0] < at), (at, rule)]

    def values(self, steps: Array, bases: Array) -> Array:
        """Return the value for each base (rows) at each of the rising steps (columns)."""
        values = np.empty((len(bases), len(steps)))
        cuts = [
            0,
            *np.searchsorted(steps, [start for start, _ in self.turns[1:]]).tolist(),
            len(steps),
        ]
        for (first, stop), (_, rule) in zip(pairwise(cuts), self.turns, strict=True):
            if first < stop:
                values[:, first:stop] = rule.value(steps[first:stop], bases[:, None])  # type: ignore[arg-type]
        return values

    def is_still(self, steps: Array) -> bool:
        """Tell whether nothing moves over the rising steps, whatever the base value."""
        begun, rule = self.turns[-1]
        return begun <= steps[0] and all(_is_flat(schedule, steps) for schedule in rule.schedules())

    def phases(self) -> Iterator[Phase]:
        """Yield the named stretches, each as far as it went."""
        edges = [*(start for start, _ in self.turns), np.inf]
        for (start, stop), (_, rule) in zip(pairwise(edges), self.turns, strict=True):
            for phase in rule.of.phases():
                first, last = (
                    max(phase.start, start),
                    min(np.inf if phase.stop is None else phase.stop, stop),
                )
                if first < last:
                    yield Phase(phase.name, int(first), None if last == np.inf else int(last))


class Course:
    """A plan underway: one line for each target, and the events that turned them.

    Args:
        given: The plan as it was given, its lengths perhaps still open.

    Raises:
        ScheduleError: Something in it can only be looked at.
    """

    def __init__(self, given: Plan) -> None:
        for target in given.targets:
            for schedule in target.rule.schedules():
                _refuse_previews(schedule, target.label)
        self.origin = self.given = self.current = given
        """What was given first, and what was given last; ``current`` is that with the length that the run has now."""
        self.plan = given.over()
        self.end = self.plan.run.length
        self.lines = [Line(target.rule) for target in self.plan.targets]
        self.events: list[Event] = []

    def after(self, *events: Event) -> Course:
        """Return the course on which the events have happened too; this one stays as it is."""
        if self.events and any(event.at < self.events[-1].at for event in events):
            course = Course(self.origin).after(
                *sorted([*self.events, *events], key=lambda event: event.at)
            )
            course.recall(self.memories())
        else:
            course = self._copy()
            for event in events:
                event.apply(course)
                course.events.append(event)
        return course

    def _copy(self) -> Course:
        course = Course(self.given)
        course.origin, course.current, course.plan, course.end = (
            self.origin,
            self.current,
            self.plan,
            self.end,
        )
        course.lines = [line.copy() for line in self.lines]
        course.events = list(self.events)
        return course

    @property
    def can_be_foreseen(self) -> bool:
        """Whether values can be asked for before their step; a person's own function is not asked ahead of time."""
        schedules = (schedule for line in self.lines for schedule in line.rule.schedules())
        return all(schedule.is_predictable for schedule in schedules)

    def lines_of(self, name: str) -> list[Line]:
        """Return the lines of every target that drives the field ``name``."""
        return [
            line
            for line, target in zip(self.lines, self.plan.targets, strict=True)
            if target.name == name
        ]

    def feedbacks(self) -> list[Feedback]:
        """Return every schedule that answers to a metric, always in the same order."""
        schedules = (schedule for line in self.lines for schedule in line.rule.schedules())
        return [found for schedule in schedules for found in feedbacks(schedule)]

    def observe(self, step: float, metrics: Mapping[str, float]) -> None:
        """Tell the schedules that are active at ``step`` what was measured."""
        for line in self.lines:
            start, rule = line.turns[-1]
            line.turns[-1] = (
                start,
                on_schedules(rule, lambda schedule: observed(schedule, step, metrics)),
            )
        self.recall(self.memories())

    def memories(self) -> list[FeedbackState]:
        """Return what each feedback schedule has observed."""
        return [found.state for found in self.feedbacks()]

    def recall(self, memories: Sequence[Any]) -> None:
        """Give each feedback schedule of the plan that holds now, as it was before an event too, what it observed."""
        if not memories or len(memories) != len(self.feedbacks()):
            return
        left = iter(memories)
        for line in self.lines:
            mine = [next(left) for schedule in line.rule.schedules() for _ in feedbacks(schedule)]
            line.turns = [
                (start, _recalled(rule, mine) if start >= line.joined else rule)
                for start, rule in line.turns
            ]


def one_plan(plan: Plan | None, targets: Mapping[str, Given], **facts: Any) -> Plan:
    """Return the plan that was given, or that of the targets.

    Raises:
        ScheduleError: Neither was given, or both.
    """
    if plan is None and targets:
        made: Any = {**facts, **targets}
        return Plan.of(**made)
    if isinstance(plan, Plan) and not targets:
        untold = {"run": None, "after_end": "hold", "count": "updates"}
        return replace(plan, **{name: fact for name, fact in facts.items() if fact != untold[name]})
    raise ScheduleError(
        "Scheduler: one of the two is needed, a Plan, or targets such as lr=schedule. Several make "
        "one: Plan.of(lr=…)."
    )


def _is_flat(schedule: Schedule, steps: Array) -> bool:
    if schedule.is_flat(float(steps[0]), float(steps[-1])):
        return True
    first, last = schedule(steps[[0, -1]]).tolist()
    return bool(first == last and (schedule(steps) == first).all())


def on_schedules(rule: Rule, change: Callable[[Schedule], Schedule]) -> Rule:
    """Return ``rule`` in which every schedule went through ``change``."""
    if isinstance(rule, Set):
        return Set(change(rule.of))
    return replace(
        rule, of=change(rule.of), offset=None if rule.offset is None else change(rule.offset)
    )


def _refuse_previews(schedule: Schedule, label: str) -> None:
    """Refuse another library's class: what it does hangs on the base rate of an optimizer of its own."""
    if schedule.is_preview:
        raise ScheduleError(
            f"Scheduler({label}): a preview of another library's class cannot drive a run: "
            f"{schedule!r}. "
            "Train with the class itself, or use a shape of warmdown; see 'warmdown list'."
        )
    for part in schedule.parts():
        _refuse_previews(part, label)


def _recalled(rule: Rule, memories: Sequence[Any]) -> Rule:
    known = sum(1 for schedule in rule.schedules() for _ in feedbacks(schedule))
    left = iter(memories)
    return (
        on_schedules(rule, lambda one: with_feedback_states(one, left))
        if known == len(memories)
        else rule
    )
