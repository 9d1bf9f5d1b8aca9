"""A scheduler's state: plain data out, and in again only if all of it can be true."""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warmdown.binding.joining import POLICIES, OnChange
from warmdown.binding.targets import BoundTargets
from warmdown.binding.timeline import Decayed, Extended, PlanEvent, Rescaled, Switched, Timeline
from warmdown.binding.writer import ValueWriter
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


@dataclass(frozen=True)
class Resumed:
    """Where a saved run goes on.

    Args:
        timeline: The plan underway.
        bases: Base values by label; a group that is not named keeps its own.
        count: Updates counted.
        position: Where the clock stood.
    """

    timeline: Timeline
    bases: Mapping[str, float]
    count: int
    position: float


@dataclass(frozen=True)
class _SavedState:
    """The content of a state; its timeline is ``None`` where the saved plan is not known."""

    fingerprint: str
    count: int
    clock: float | None
    bases: Mapping[str, float]
    plan: Plan | None
    timeline: Timeline | None

    def position(self, timeline: Timeline) -> float:
        """Return where the clock of a timeline stood."""
        counts_updates = self.clock is None or timeline.plan.run.clock == "updates"
        return float(self.count) if counts_updates else float(self.clock or 0)


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
        state["plan"] = _plan_data(timeline.given)
        state["bases"] = writer.targets.bases(timeline)
    return {**state, "check": checksum(state)}


def resume(state: Any, timeline: Timeline, targets: BoundTargets, policy: OnChange) -> Resumed:
    """Return where a saved run goes on; nothing is changed.

    Args:
        state: What ``write_state`` returned.
        timeline: The plan underway now.
        targets: What is bound.
        policy: What happens when the plans or base values differ.

    Raises:
        StateError: The state is damaged, or the plans differ and the policy cannot join them.
    """
    policy = "error" if policy == "ask" else policy
    if policy not in POLICIES:
        raise StateError(f"{_WHO}(on_change={policy!r}): use one of {', '.join(POLICIES)}.")
    given = timeline.given
    saved = _read_state(_checked_entries(state), given, policy)
    found = saved.timeline or Timeline(given)
    inferred = targets.infer_bases(found, saved.position(found), saved.bases)
    present = targets.bases(timeline) | inferred
    differing = {
        label: (base, present[label])
        for label, base in saved.bases.items()
        if label in present and not math.isclose(base, present[label], rel_tol=1e-6)
    }
    is_same = saved.timeline is not None and fingerprint_of(given) in (
        fingerprint_of(found.given),
        fingerprint_of(found.active),
    )
    if policy == "error" and (differing or not is_same):
        raise StateError(_refusal(saved, given, differing))
    if not is_same:
        found = _joined_timeline(saved, given, policy)
    bases = inferred
    if policy != "given":
        bases |= {label: before for label, (before, _) in differing.items()}
    return Resumed(found, bases, saved.count, saved.position(found))


def fingerprint_of(plan: Plan) -> str:
    """Return the plan's fingerprint; empty for one with a function, which cannot be compared."""
    try:
        return plan.fingerprint
    except WarmdownError:
        return ""


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


def _read_state(state: Mapping[str, Any], given: Plan, policy: OnChange) -> _SavedState:
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


def _parsed(state: Mapping[str, Any], given: Plan, policy: OnChange) -> _SavedState:
    count, fingerprint = _require_count("count", state["count"]), str(state["print"])
    bases = {
        str(label): _require_number(f"bases.{label}", base)
        for label, base in state.get("bases", {}).items()
    }
    feedback = [FeedbackState.from_list(row) for row in state.get("seen", ())]
    data = state.get("plan")
    if data is not None and fingerprint_of_data(data) != fingerprint:
        raise StateError(
            f"{_WHO}(plan=…): its fingerprint is not the state's {fingerprint!r}; one was edited."
        )
    if fingerprint == fingerprint_of(given):
        plan: Plan | None = given  # its classes need not be known by name
    else:
        plan = None if data is None else _plan_of(data, policy)
    events = _events(state.get("events", ()), plan or Plan(targets=()))
    timeline = None
    if plan is not None:
        switches = [event for event in events if isinstance(event, Switched)]
        timeline = Timeline(switches[0].before if switches else plan).after(*events)
        if len(feedback) != len(timeline.feedbacks()):
            raise StateError(
                f"{_WHO}(seen=…): {len(feedback)} metrics' histories for "
                f"{len(timeline.feedbacks())} schedules that follow one. The state is of another "
                "plan."
            )
        timeline.restore_feedback(feedback)
    clock = _require_number("clock", state["clock"]) if "clock" in state else None
    return _SavedState(fingerprint, count, clock, bases, plan, timeline)


def _plan_of(data: Any, policy: OnChange) -> Plan | None:
    """Return the saved plan; ``None`` where it cannot be read, and the given one holds."""
    try:
        return Plan.from_dict(data)
    except WarmdownError as error:
        if policy == "given":
            return None
        raise StateError(f"{_WHO}(plan=…): {error} Or use on_change='given'.") from error


def _joined_timeline(saved: _SavedState, given: Plan, policy: OnChange) -> Timeline:
    if saved.timeline is None and policy == "given":
        return Timeline(given)
    if saved.timeline is None or saved.plan is None:
        raise StateError(
            f"{_WHO}(on_change={policy!r}): the state was saved without its plan. Save it with "
            "state_dict(plan=True), or use 'given'."
        )
    if policy == "saved":
        return saved.timeline
    at, how = int(saved.position(saved.timeline)), policy
    states = tuple(saved.timeline.feedback_states())
    return saved.timeline.after(Switched(at, saved.plan, given, how, states))


def _refusal(saved: _SavedState, given: Plan, bases: Mapping[str, tuple[float, float]]) -> str:
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
        events.append(event)
        if isinstance(event, Switched):
            after = event.before
    return events[::-1]


def _event(row: Mapping[str, Any], after: Plan) -> PlanEvent:
    at, kind = _require_count("at", row["at"]), row["event"]
    states = row.get("seen", row.get("feedback", ()))
    feedback = tuple(map(FeedbackState.from_list, states))
    if kind == "rescale":
        return Rescaled(at, _require_number("factor", row["factor"]), str(row["target"]))
    if kind == "decay":
        return Decayed(at, Schedule.from_dict(row["curve"]), str(row["target"]))
    if kind == "extend" and row["how"] in POLICIES:
        return Extended(at, _require_count("total_steps", row["total_steps"]), row["how"], feedback)
    if kind == "switch" and row["how"] in POLICIES:
        return Switched(at, Plan.from_dict(row["before"]), after, row["how"], feedback)
    raise StateError(f"{_WHO}(events=…): {row!r:.80} is no event that is known.")


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
