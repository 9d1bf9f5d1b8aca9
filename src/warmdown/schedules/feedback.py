"""Schedules that follow a metric: frozen like all others, their state goes in and out."""

from __future__ import annotations

__all__ = ["Feedback", "FeedbackState"]

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, NamedTuple, Self, TypeAlias

from warmdown.errors import ScheduleError, warn_renamed
from warmdown.schedules.base import (
    Namespace,
    Phase,
    Phases,
    Schedule,
    Steps,
    Values,
    kind_of,
    schedule_class,
)
from warmdown.schedules.interpolate import pick
from warmdown.schedules.parameters import require

Metrics: TypeAlias = Mapping[str, float]

KEPT = 1_000
"""Levels that stay addressable; an older step has the oldest kept."""


class FeedbackState(NamedTuple):
    """What a feedback schedule has observed: plain numbers, so that it can be saved.

    Args:
        levels: The factors so far; the first holds from step 0.
        at: Steps from which each further factor holds.
        best: Best metric so far, or ``None``.
        num_bad: Observations in a row without an improvement.
        num_good: Observations in a row with one.
        since: Step of the last improvement, or of what else restarted the wait.
        cooldown_left: Observations, or the step until which, nothing counts.
        recent: Latest metrics, for the mean over a window.
    """

    levels: tuple[float, ...] = (1.0,)
    at: tuple[float, ...] = ()
    best: float | None = None
    num_bad: int = 0
    num_good: int = 0
    since: float = 0.0
    cooldown_left: float = 0.0
    recent: tuple[float, ...] = ()

    def moved(self, level: float, step: float) -> FeedbackState:
        """Return the same with ``level`` holding from ``step`` on."""
        if level == self.levels[-1]:
            return self
        # fewer than all, when the schedule observes an earlier step again
        known = sum(mark < step for mark in self.at)
        levels, at = (*self.levels[: known + 1], level), (*self.at[:known], step)
        return self._replace(levels=levels[-KEPT:], at=at[1 - KEPT :])

    def at_last_level(self) -> FeedbackState:
        """Return the same with its last level holding from step 0 on."""
        return self._replace(levels=self.levels[-1:], at=())

    def to_list(self) -> list[Any]:
        """Return plain data."""
        return [list(value) if isinstance(value, tuple) else value for value in self]

    @classmethod
    def from_list(cls, data: Any) -> FeedbackState:
        """Return the state that :meth:`to_list` wrote.

        Raises:
            ScheduleError: The data are none.
        """
        if not isinstance(data, list | tuple) or len(data) != len(cls._fields):
            raise ScheduleError(f"{str(data)[:60]}: no state of a feedback schedule.")
        for name, default, value in zip(cls._fields, cls(), data, strict=True):
            if not _is_like(value, default):
                raise ScheduleError(
                    f"FeedbackState({name}={str(value)[:60]}): no such value can have been saved."
                )
        values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in data]
        state = cls(*values)
        if len(state.levels) != len(state.at) + 1:
            raise ScheduleError(
                f"FeedbackState: {len(state.levels)} levels and {len(state.at)} steps do not match."
            )
        return state


START = FeedbackState()


@schedule_class
class Feedback(Schedule):
    """A schedule whose value follows a metric, such as :class:`warmdown.Plateau`.

    A subclass states its rule in :meth:`update_state`; its value at a step is the level that the
    state holds there. It stays frozen: :meth:`observe` returns the schedule with another state.

    Args:
        metric: Name of the metric: ``scheduler.observe(val_loss=…)``.
        state: What was observed so far.
    """

    metric: str = "loss"
    state: FeedbackState = field(default=START, repr=False)

    def check_fields(self) -> None:
        require(self, bool(self.metric.strip()), "a metric's name is needed.", "metric")

    @abstractmethod
    def update_state(self, state: FeedbackState, step: float, value: float) -> FeedbackState:
        """Return the state after ``value`` was measured at ``step``.

        Args:
            state: The state before; that of this schedule is not used.
            step: Where on its own clock the schedule is.
            value: The metric.
        """

    def observe(self, step: float, metrics: Metrics) -> Self:
        """Return the schedule after the metrics were measured at ``step``.

        Args:
            step: Where on its own clock this schedule is.
            metrics: Every metric by name; one that is missing or NaN changes nothing.
        """
        value = metrics.get(self.metric)
        if value is None or math.isnan(value):
            return self
        return replace(self, state=self.update_state(self.state, step, float(value)))

    def with_state(self, state: FeedbackState | Sequence[Any]) -> Self:
        """Return the schedule with a state, or with the plain data of one that was saved."""
        return replace(self, state=FeedbackState.from_list(state))

    def restarted_state(self) -> FeedbackState:
        """Return the state for a clock that starts again, with the value reached as its base."""
        return self.state._replace(levels=(1.0,), at=(), since=0.0)

    def follows_like(self, other: Feedback) -> bool:
        """Whether a state of ``other`` can be taken over: the same rule for the same metric."""
        is_same_mode = getattr(self, "mode", None) == getattr(other, "mode", None)
        return type(self) is type(other) and self.metric == other.metric and is_same_mode

    @property
    def seen(self) -> FeedbackState:
        """The former name of ``state``."""
        warn_renamed(f"{type(self).__name__}.seen", "state")
        return self.state

    def remembering(self, seen: FeedbackState, step: float, value: float) -> FeedbackState:
        """Return what :meth:`update_state` returns, under its former name."""
        warn_renamed(f"{type(self).__name__}.remembering", "update_state")
        return self.update_state(seen, step, value)

    def recall(self, memory: Any) -> Self:
        """Return what :meth:`with_state` returns, under its former name."""
        warn_renamed(f"{type(self).__name__}.recall", "with_state")
        return self.with_state(memory)

    def phases(self) -> Phases:
        """Return the one phase, which has the schedule's name and no end."""
        return (Phase(kind_of(type(self)).replace("_", " "), 0, None),)

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return pick(self.state.levels, self.state.at, step, xp)


def observed(schedule: Schedule, step: float, metrics: Metrics) -> Schedule:
    """Return ``schedule`` after the feedback that is active at ``step`` has observed the metrics.

    A part of a chain before or after its turn is left alone: a plateau after a warmup does not
    observe the warmup.

    Raises:
        ScheduleError: A feedback schedule stands where its clock has no one beginning.
    """
    if isinstance(schedule, Feedback):
        return schedule.observe(step, metrics)
    places = iter(zip(schedule.part_steps(step), schedule.part_starts(), strict=True))

    def change(part: Schedule) -> Schedule:
        own_step, start = next(places)
        if own_step is None or next(feedbacks(part), None) is None:
            return part
        if start is None:
            raise ScheduleError(
                f"{schedule!r}: what answers to a metric has no cycles and no length. Put the "
                f"{type(next(feedbacks(part))).__name__} around it: a * b."
            )
        return observed(part, own_step, metrics)

    return schedule.with_parts(change)


def feedbacks(schedule: Schedule) -> Iterator[Feedback]:
    """Yield every feedback schedule in ``schedule``, always in the same order."""
    if isinstance(schedule, Feedback):
        yield schedule
    for part in schedule.parts():
        yield from feedbacks(part)


def with_feedback_states(schedule: Schedule, states: Iterator[Any]) -> Schedule:
    """Return ``schedule`` with the next state for each feedback schedule, in their order."""
    if isinstance(schedule, Feedback):
        return schedule.with_state(next(states))
    return schedule.with_parts(lambda part: with_feedback_states(part, states))


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value can be that of the field with the default."""
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(_is_like(element, 0.0) for element in value)
    if isinstance(value, bool) or value is None:
        return value is default
    if isinstance(default, int):
        return isinstance(value, int) and value >= 0
    return isinstance(value, int | float) and not math.isnan(value)
