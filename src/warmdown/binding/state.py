"""A scheduler's state: plain data out, and in again only if all of it can be true."""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from warmdown.binding.joining import POLICIES, OnChange
from warmdown.binding.targets import ValueWriter
from warmdown.binding.timeline import (
    Decayed,
    Extended,
    PlanEvent,
    Rescaled,
    Switched,
    Timeline,
    first_plan,
)
from warmdown.errors import StateError, WarmdownError, nearest
from warmdown.plan import Plan, fingerprint_of_data
from warmdown.schedules import Schedule
from warmdown.schedules.feedback import FeedbackState

VERSION = 1
_NEEDED = ("version", "count", "print", "check")
_KEYS = (*_NEEDED, "clock", "events", "seen", "plan", "bases")
_SYNONYMS = {"fingerprint": "print", "feedback": "seen"}
"""Read as well; what is written stays as it is, so that version 0.1.0 reads it."""
_WHO = "Scheduler.load_state_dict"


@dataclass
class SavedState:
    """Where a saved run goes on.

    Args:
        fingerprint: Of its plan.
        plan: Its plan; ``None`` where that is not known.
        timeline: That plan underway, or the given one where it is not known.
        bases: Base values by label; a group that is not named keeps its own.
        count: Updates counted.
        clock: Where the clock stood; ``None`` where it counts updates.
    """

    fingerprint: str
    plan: Plan | None
    timeline: Timeline
    bases: dict[str, float]
    count: int
    clock: float | None

    @property
    def position(self) -> float:
        """Where the timeline's clock stood."""
        if self.clock is None or self.timeline.plan.run.clock == "updates":
            return float(self.count)
        return self.clock


def write_state(writer: ValueWriter, *, with_plan: bool) -> dict[str, Any]:
    """Return plain data; with the plan it is whole, without it as small as it can be."""
    timeline = writer.timeline
    state: dict[str, Any] = {
        "version": VERSION,
        "count": writer.count,
        "print": fingerprint_of(timeline.given),
    }
    if timeline.plan.run.clock != "updates":
        state["clock"] = writer.position
    if timeline.events:
        state["events"] = [event.to_dict() for event in timeline.events]
    if states := timeline.feedback_states():
        state["seen"] = [feedback.to_list() for feedback in states]
    if with_plan:
        state |= {"plan": _plan_data(timeline.given), "bases": writer.bases()}
    return {**state, "check": checksum(state)}


def read_state(state: Any, writer: ValueWriter, policy: OnChange) -> SavedState:
    """Return where a saved run goes on; nothing is changed.

    Args:
        state: What ``write_state`` returned.
        writer: The plan underway now, and what is bound.
        policy: What happens when the plans or base values differ.

    Raises:
        StateError: The state is damaged, or the plans differ and the policy cannot join them.
    """
    policy = "error" if policy == "ask" else policy
    if policy not in POLICIES:
        raise StateError(f"{_WHO}(on_change={policy!r}): use one of {', '.join(POLICIES)}.")
    given = writer.timeline.given
    saved = _content(_checked_entries(state), given, policy)
    inferred = writer.infer_bases(saved.timeline, saved.position, saved.bases)
    present = writer.bases() | inferred
    differing = {
        label: (base, present[label])
        for label, base in saved.bases.items()
        if label in present and not math.isclose(base, present[label], rel_tol=1e-6)
    }
    known = (fingerprint_of(plan) for plan in (saved.timeline.given, saved.timeline.active))
    is_same = saved.plan is not None and fingerprint_of(given) in known
    if policy == "error" and (differing or not is_same):
        raise StateError(_refusal(saved, given, differing))
    if not is_same:
        saved.timeline = _joined_timeline(saved, given, policy)
    kept = {} if policy == "given" else {label: saved.bases[label] for label in differing}
    saved.bases = inferred | kept
    return saved


def fingerprint_of(plan: Plan) -> str:
    """Return the plan's fingerprint; empty for one with a function, which cannot be compared."""
    data = _plan_data(plan)
    return "" if data is None else fingerprint_of_data(data)


def checksum(state: Mapping[str, Any]) -> int | None:
    """Return a number that nearly any change of a state changes; ``None`` if it is no plain data.

    It is no protection against intent.
    """
    plain = {key: value for key, value in state.items() if key != "check"}
    try:
        return zlib.crc32(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError):
        return None


def _checked_entries(state: Any) -> dict[str, Any]:
    """Return a state that is whole, under the names that are written."""
    if not isinstance(state, Mapping):
        raise StateError(
            f"{_WHO}({type(state).__name__}): no state of a Scheduler. Give what state_dict() "
            "returned."
        )
    if state.get("version", VERSION) != VERSION:  # first: another version may have other entries
        raise StateError(
            f"{_WHO}(version={state['version']!r}): this warmdown reads version {VERSION}. Use the "
            "one that saved it."
        )
    renamed = {_SYNONYMS.get(str(key), str(key)): value for key, value in state.items()}
    if missing := [key for key in _NEEDED if key not in renamed]:
        way_out = ""
        if "last_epoch" in state:
            way_out = " It looks like torch's own: seek(state['last_epoch']) goes there."
        raise StateError(
            f"{_WHO}: the state has no {', '.join(missing)}; it is damaged, or not a Scheduler's."
            f"{way_out}"
        )
    if unknown := [key for key in renamed if key not in _KEYS]:
        raise StateError(
            f"{_WHO}({unknown[0]}=…): no such entry is known. {nearest(unknown[0], _KEYS)}"
        )
    if (expected := checksum(state)) is None or state["check"] != expected:
        raise StateError(
            f"{_WHO}(check={state['check']!r}): the state was cut short or edited by hand; it does "
            "not add up. To go to an update by its number use seek()."
        )
    return renamed


def _content(state: Mapping[str, Any], given: Plan, policy: OnChange) -> SavedState:
    """Return the content of a state; every failure on the way is the state's."""
    try:
        return _parsed(state, given, policy)
    except StateError:
        raise
    except (
        WarmdownError,
        TypeError,
        LookupError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise StateError(f"{_WHO}: the state cannot be read: {error}") from error


def _parsed(state: Mapping[str, Any], given: Plan, policy: OnChange) -> SavedState:
    count, fingerprint = _require_count("count", state["count"]), str(state["print"])
    bases = {
        str(label): _require_number(f"bases.{label}", base)
        for label, base in state.get("bases", {}).items()
    }
    feedback = _feedback(state.get("seen", ()))
    data = state.get("plan")
    if data is not None and fingerprint_of_data(data) != fingerprint:
        raise StateError(
            f"{_WHO}(plan=…): its fingerprint is not the state's {fingerprint!r}; one was edited."
        )
    plan: Plan | None = given  # its classes need not be known by name
    if fingerprint != fingerprint_of(given):
        plan = None if data is None else _plan_of(data, policy)
    events = _events(state.get("events", ()), plan or Plan(targets=()))
    timeline = Timeline(given)
    if plan is not None:
        timeline = Timeline(first_plan(events, plan)).after(*events)
        if len(feedback) != len(timeline.feedbacks()):
            raise StateError(
                f"{_WHO}(seen=…): {len(feedback)} metrics' histories for "
                f"{len(timeline.feedbacks())} schedules that follow one. The state is of another "
                "plan."
            )
        timeline.restore_feedback(feedback)
    clock = _require_number("clock", state["clock"]) if "clock" in state else None
    return SavedState(fingerprint, plan, timeline, bases, count, clock)


def _plan_of(data: Any, policy: OnChange) -> Plan | None:
    """Return the saved plan; ``None`` where it cannot be read, and the given one holds."""
    try:
        return Plan.from_dict(data)
    except WarmdownError as error:
        if policy == "given":
            return None
        raise StateError(f"{_WHO}(plan=…): {error} Or use on_change='given'.") from error


def _joined_timeline(saved: SavedState, given: Plan, policy: OnChange) -> Timeline:
    if saved.plan is None:
        if policy == "given":
            return saved.timeline
        raise StateError(
            f"{_WHO}(on_change={policy!r}): the state was saved without its plan. Save it with "
            "state_dict(plan=True), or use 'given'."
        )
    if policy == "saved":
        return saved.timeline
    states = tuple(saved.timeline.feedback_states())
    event = Switched(int(saved.position), saved.plan, given, policy, states)
    return saved.timeline.after(event)


def _refusal(saved: SavedState, given: Plan, bases: Mapping[str, tuple[float, float]]) -> str:
    """Return the whole difference, and the ways to go on."""
    if saved.plan is None:
        lines = [
            f"plan {saved.fingerprint} (saved without its text), {fingerprint_of(given)} (given)"
        ]
    else:
        before, after = (dict(_leaves(_plan_data(plan) or {})) for plan in (saved.plan, given))
        lines = [
            f"{path}: {before.get(path, 'absent')} (saved), {after.get(path, 'absent')} (given)"
            for path in before | after
            if before.get(path) != after.get(path)
        ]
    lines += [
        f"base value of {label}: {before} (saved), {now} (given)"
        for label, (before, now) in bases.items()
    ]
    ways = ", ".join(repr(policy) for policy in POLICIES if policy != "error")
    return "\n  ".join(
        [
            f"{_WHO}: the state at update {saved.count} is of another plan:",
            *lines,
            f"Choose how to go on: on_change={ways}.",
        ]
    )


def _leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}".lstrip("."))
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, data


def _plan_data(plan: Plan) -> dict[str, Any] | None:
    """Return the plan as plain data; ``None`` for one with a function."""
    try:
        return plan.to_dict()
    except WarmdownError:
        return None


def _events(rows: Sequence[Mapping[str, Any]], after: Plan) -> list[PlanEvent]:
    """Return the events; ``after`` is the plan that holds at the end.

    The plan after a switch is the ``before`` of the next one.
    """
    events: list[PlanEvent] = []
    for row in reversed(rows):
        event = _event(row, after)
        events.insert(0, event)
        if isinstance(event, Switched):
            after = event.before
    return events


def _event(row: Mapping[str, Any], after: Plan) -> PlanEvent:
    kind = _EVENTS.get(row["event"])
    if kind is None or row.get("how", "given") not in POLICIES:
        raise StateError(f"{_WHO}(events=…): {row!r:.80} is no event that is known.")
    entries = {"feedback": row.get("seen", ()), **row, "after": after}
    values = {field.name: entries[field.name] for field in fields(kind)}
    return kind(**{name: _READERS[name](value) for name, value in values.items()})


def _feedback(rows: Any) -> tuple[FeedbackState, ...]:
    return tuple(map(FeedbackState.from_list, rows))


def _require_count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StateError(
            f"{_WHO}({name}={value!r}): a count of updates is a whole number from 0 on."
        )
    return value


def _require_number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:
        raise StateError(f"{_WHO}({name}={value!r:.40}): a finite number is needed.")
    return float(value)


_EVENTS: dict[str, type[PlanEvent]] = {
    event.kind: event for event in (Rescaled, Decayed, Extended, Switched)
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "at": partial(_require_count, "at"),
    "factor": partial(_require_number, "factor"),
    "target": str,
    "curve": Schedule.from_dict,
    "total_steps": partial(_require_count, "total_steps"),
    "how": str,
    "before": Plan.from_dict,
    "after": lambda plan: plan,
    "feedback": _feedback,
}
"""How each field of an event is read."""
