"""A scheduler's state: plain data out, and in again only if all of it can be true."""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from warmdown.binding.joining import CONTINUED, FORMER_POLICIES, POLICIES, OnChange
from warmdown.binding.timeline import (
    UNNAMED,
    Decayed,
    Extended,
    FeedbackStates,
    PlanEvent,
    Postponed,
    Rescaled,
    Switched,
    TargetName,
    Timeline,
    feedback_rows,
    first_plan,
)
from warmdown.errors import StateError, WarmdownError, nearest
from warmdown.plan import Plan, fingerprint_of_data, unusual_order
from warmdown.run import PER_UPDATE
from warmdown.schedules import Schedule
from warmdown.schedules.feedback import FeedbackState, feedbacks
from warmdown.shown import brief

if TYPE_CHECKING:
    from warmdown.binding.targets import ValueWriter

VERSION = 2
"""1 is that of a state without its plan, which has only the entries that say something."""
_NEEDED = ("version", "count", "print", "check")
_TEXTS = ("events", "seen", "plan", "bases")
"""Entries that are one text in a whole state: however much there is to say, its keys are the same,
so that torch.distributed.checkpoint can load one into another, and the order in them is kept."""
_KEYS = (*_NEEDED, "clock", "owed", *_TEXTS)
_SYNONYMS = {"fingerprint": "print", "feedback": "seen"}
"""Read as well; what is written stays as it is."""
_WHO = "Scheduler.load_state_dict"
_MOST = 10**15
"""Updates that a state may count."""
_COMPARED = 4097
"""Steps at which two plans are compared, besides those where their phases begin."""


@dataclass
class SavedState:
    """Where a saved run goes on.

    Args:
        fingerprint: Of its plan.
        plan: Its plan; ``None`` where that is not known.
        timeline: That plan underway, or the given one where it is not known.
        bases: Base values by key; a group that is not named keeps its own.
        count: Updates counted.
        position: Where the timeline's clock stood.
        owed: What the clock owed.
    """

    fingerprint: str
    plan: Plan | None
    timeline: Timeline
    bases: dict[str, float]
    count: int
    position: float
    owed: float | None
    __repr__ = brief


def write_state(writer: ValueWriter, *, with_plan: bool) -> dict[str, Any]:
    """Return plain data; with the plan it is whole, without it as small as it can be."""
    timeline = writer.timeline
    state = {
        "version": VERSION if with_plan else 1,
        "count": writer.count,
        "print": fingerprint_of(timeline.given),
    }
    counts_updates = timeline.plan.run.clock == "updates"
    rest: dict[str, Any] = {
        "clock": None if counts_updates else writer.position,
        "owed": writer.clock.owed(writer.position),
        "events": [event.to_dict() for event in timeline.events] or None,
        "seen": feedback_rows(timeline.feedback_states()) or None,
    }
    if with_plan:
        rest |= {"plan": _plan_data(timeline.given), "bases": writer.bases()}
        state |= rest | {key: _as_text(rest[key]) for key in _TEXTS}
    else:
        state |= {key: value for key, value in rest.items() if value is not None}
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
    policy = FORMER_POLICIES.get(policy, policy)  # type: ignore[assignment]
    if policy not in POLICIES:
        raise StateError(f"{_WHO}(on_change={policy!r}): use one of {', '.join(POLICIES)}.")
    given = writer.timeline.given
    entries = _checked_entries(state)
    saved = _content(entries, given, policy)
    if entries["version"] == 1:
        saved.bases = {writer.groups.key_of(label): base for label, base in saved.bases.items()}
    inferred = writer.infer_bases(saved.timeline, saved.position, saved.bases)
    present = writer.bases() | inferred
    differing = {
        key: (base, present[key])
        for key, base in saved.bases.items()
        if key in present and not math.isclose(base, present[key], rel_tol=1e-6)
    }
    known = (fingerprint_of(plan) for plan in (saved.timeline.given, saved.timeline.active))
    is_same = saved.plan is not None and fingerprint_of(given) in known
    if policy == "error" and not is_same and _only_lasts_otherwise(saved, given):
        timeline = Timeline(given)
        timeline.restore_feedback(saved.timeline.feedback_states())
        saved, is_same = replace(saved, plan=given, timeline=timeline), True
    if policy == "error" and (differing or not is_same):
        raise StateError(_refusal(saved, given, differing))
    if not is_same:
        saved = _joined(saved, given, policy)
    unchanged = present.keys() - differing.keys()
    kept = {key: base for key, base in saved.bases.items() if key not in unchanged}
    agreed = {key: present[key] for key in saved.bases if key in present}
    saved.bases = inferred | agreed | ({} if policy == "given" else kept)
    _require_values(saved, present | saved.bases)
    return saved


def _only_lasts_otherwise(saved: SavedState, given: Plan) -> bool:
    """Whether the given plan is the saved one on a run of another length, and no value changes."""
    before = saved.timeline.plan
    is_alike = saved.plan is not None and replace(saved.plan, run=given.run) == given
    if not is_alike or saved.timeline.events or before.run.clock != given.run.clock:
        return False
    after = Timeline(given)
    ends = [length for plan in (before, after.plan) if (length := plan.length) is not None]
    return saved.timeline.is_predictable and all(
        _are_equal(one, other, max(ends, default=0))
        for target, follower in zip(before.targets, after.plan.targets, strict=True)
        for one, other in zip(target.rule.schedules(), follower.rule.schedules(), strict=True)
    )


def _are_equal(one: Schedule, other: Schedule, end: int) -> bool:
    """Whether a schedule on two runs has the same values up to a step, whatever is observed.

    It is asked at many steps, and where phases begin; what follows a metric has to be the same.
    """
    if one == other:
        return True
    if any(feedbacks(one)):
        parts = zip(one.parts(), other.parts(), strict=True)
        return one.keeps_time and all(_are_equal(*pair, end) for pair in parts)
    starts = [phase.start for schedule in (one, other) for phase in schedule.phases()]
    marks = np.array([*starts, *one.marks(), *other.marks()], dtype=float)
    steps = np.concatenate([np.rint(np.linspace(0, end, _COMPARED)), marks - 1, marks])
    return np.allclose(one(steps), other(steps), rtol=1e-12, atol=0.0)


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


def _as_text(data: Any) -> str:
    return "" if data is None else json.dumps(data, separators=(",", ":"))


def _checked_entries(state: Any) -> dict[str, Any]:
    """Return a state that is whole, under the names that are written."""
    if not isinstance(state, Mapping):
        raise StateError(
            f"{_WHO}({type(state).__name__}): no state of a Scheduler. Give what state_dict() "
            "returned."
        )
    if state.get("version", VERSION) not in range(1, VERSION + 1):  # first: others have other keys
        raise StateError(
            f"{_WHO}(version={state['version']!r}): this warmdown reads version 1 and {VERSION}. "
            "Use the one that saved it."
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
    except Exception as error:
        raise StateError(f"{_WHO}: the state cannot be read: {error}") from error


def _parsed(state: Mapping[str, Any], given: Plan, policy: OnChange) -> SavedState:
    texts = {key: state[key] for key in _TEXTS if state.get(key)}
    if state["version"] == VERSION:
        texts = {key: json.loads(text) for key, text in texts.items()}
    count, fingerprint = _require_count("count", state["count"]), str(state["print"])
    bases = {
        str(key): _require_number(f"bases.{key}", base)
        for key, base in texts.get("bases", {}).items()
    }
    data = texts.get("plan")
    fingerprint = _fingerprint(fingerprint, data, given)
    plan: Plan | None = given  # its classes need not be known by name
    if fingerprint != fingerprint_of(given):
        plan = None if data is None else _plan_of(data, policy)
    events = _events(texts.get("events", ()), plan or Plan(targets=()))
    if plan is None:
        timeline = Timeline(given)
    else:
        timeline = Timeline(first_plan(events, plan)).after(*events)
        feedback = timeline.named(_feedback(texts.get("seen")))
        if feedback.keys() != timeline.feedback_states().keys():
            raise StateError(
                f"{_WHO}(seen=…): not the metrics' histories of this plan. The state is of another."
            )
        timeline.restore_feedback(feedback)
    clock, owed = (
        None if state.get(key) is None else _require_amount(key, state[key])
        for key in ("clock", "owed")
    )
    unit = timeline.plan.run.clock
    is_of_unit = (clock is None) == (unit == "updates")
    if plan is not None and not is_of_unit:
        raise StateError(f"{_WHO}(clock={clock}): the plan counts {unit}; the state was edited.")
    position = float(count) if clock is None else clock
    saved = SavedState(fingerprint, plan, timeline, bases, count, position, owed)
    if is_of_unit:
        return saved
    # without its plan a state tells of its clock alone whether that counted updates
    return _on_clock_of(given, saved, "updates" if clock is None else "something else")


def _on_clock_of(given: Plan, saved: SavedState, unit: str) -> SavedState:
    """Return the same under the given plan alone, which counts something else than ``unit``."""
    run = given.run
    per_update = 1.0 if run.clock == "updates" else getattr(run, PER_UPDATE[run.clock])
    if per_update is None:
        raise StateError(
            f"{_WHO}: the state counts {unit}, the given plan {run.clock}; how many the "
            f"{saved.count} updates used is not known. Give Run({PER_UPDATE[run.clock]}=…), or use "
            "on_change='saved'."
        )
    position = saved.count * per_update
    return replace(saved, timeline=Timeline(given), position=position, owed=None)


def _fingerprint(saved: str, data: Any, given: Plan) -> str:
    """Return the fingerprint of the saved plan as it is today.

    That of an earlier state did not know the order of groups' patterns.
    """
    known = data if data is not None else _plan_data(given)
    if known is not None and saved == fingerprint_of_data(known, with_order=False):
        return fingerprint_of_data(known)
    if data is not None and saved != fingerprint_of_data(data):
        raise StateError(
            f"{_WHO}(plan=…): its fingerprint is not the state's {saved!r}; one was edited."
        )
    return saved


def _plan_of(data: Any, policy: OnChange) -> Plan | None:
    """Return the saved plan; ``None`` where it cannot be read, and the given one holds."""
    try:
        return Plan.from_dict(data)
    except WarmdownError as error:
        if policy == "given":
            return None
        raise StateError(f"{_WHO}(plan=…): {error} Or use on_change='given'.") from error


def _joined(saved: SavedState, given: Plan, policy: OnChange) -> SavedState:
    """Return where the run goes on under another plan than the saved one."""
    if policy == "saved" and saved.plan is not None:
        return saved
    if saved.plan is None:
        if policy == "given":
            return saved
        raise StateError(
            f"{_WHO}(on_change={policy!r}): the state was saved without its plan. Save it with "
            "state_dict(plan=True), or use 'given'."
        )
    if (unit := saved.timeline.plan.run.clock) != given.run.clock:
        if policy == "given":
            return _on_clock_of(given, saved, unit)
        raise StateError(
            f"{_WHO}(on_change={policy!r}): the saved plan counts {unit}, the given one "
            f"{given.run.clock}. Use 'given' or 'saved'."
        )
    states = saved.timeline.feedback_states()
    how = CONTINUED if policy == "continue" else policy
    event = Switched(int(saved.position), saved.plan, given, how, states)
    try:
        return replace(saved, timeline=saved.timeline.after(event))
    except WarmdownError as error:
        raise StateError(f"{_WHO}: {error}") from error


def _require_values(saved: SavedState, bases: Mapping[str, float]) -> None:
    """Refuse a state whose values cannot be computed, before anything is written."""
    at, rows = np.asarray([saved.position]), np.asarray([*bases.values(), 1.0])
    for line, target in saved.timeline.lines.items():
        who = f"{_WHO}({'/'.join(filter(None, line))})"
        try:
            with np.errstate(all="ignore"):
                is_finite = target.is_resolved and np.isfinite(target.values(at, rows)).all()
        except Exception as error:
            raise StateError(f"{who}: no value: {error}") from error
        if not is_finite:
            raise StateError(f"{who}: it has no finite value at {saved.position:g}.")


def _refusal(saved: SavedState, given: Plan, bases: Mapping[str, tuple[float, float]]) -> str:
    """Return the whole difference, and the ways to go on."""
    if saved.plan is None:
        lines = [
            f"plan {saved.fingerprint} (saved without its text), {fingerprint_of(given)} (given)"
        ]
    else:
        before, after = (dict(_leaves(_shown(plan))) for plan in (saved.plan, given))
        lines = [
            f"{path}: {before.get(path, 'absent')} (saved), {after.get(path, 'absent')} (given)"
            for path in before | after
            if before.get(path) != after.get(path)
        ]
    lines += [
        f"base value of {key}: {before} (saved), {now} (given)"
        for key, (before, now) in bases.items()
    ]
    if saved.plan is not None:
        lines += _rate_of_other_length(saved.plan, given)
    ways = [f"  {policy!r}: {what}" for policy, what in POLICIES.items() if policy != "error"]
    return "\n  ".join(
        [
            f"{_WHO}: the state at update {saved.count} is of another plan:",
            *lines,
            "Choose how to go on with on_change=…, or scheduler.on_change=… where a trainer loads "
            "the state:",
            *ways,
        ]
    )


def _rate_of_other_length(saved: Plan, given: Plan) -> list[str]:
    """Return which rate a run of another length wants, by the last-iterate bound."""
    from warmdown.forecast.bound import best_rate  # for this error alone

    lengths = saved.length, given.length
    if None in lengths or lengths[0] == lengths[1]:
        return []
    # the bound is of the shapes; any base will do
    asked, known = (replace(plan, run=replace(plan.run, lr=1.0)) for plan in (given, saved))
    try:
        share = best_rate(asked, known, 1.0)
    except WarmdownError:  # no rate, or one that a metric decides
        return []
    return [f"rate: the given run wants {share:.2f} of the saved one's, by the last-iterate bound"]


def _shown(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data, with the order of patterns that a group may both fit."""
    return {**(_plan_data(plan) or {}), "first fits": unusual_order(plan.patterns)}


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
    if kind is None or row.get("how", "given") not in {*POLICIES, *FORMER_POLICIES, CONTINUED}:
        raise StateError(f"{_WHO}(events=…): {row!r:.80} is no event that is known.")
    entries = {"feedback": row.get("seen", ()), "groups": (), "steps": None, **row, "after": after}
    values = {field.name: entries[field.name] for field in fields(kind)}
    return kind(**{name: _READERS[name](value) for name, value in values.items()})


def _feedback(rows: Any) -> FeedbackStates:
    """Return what feedback schedules observed, by line; states of old name none."""
    if rows and not isinstance(rows[0][0], str):
        rows = [[*UNNAMED, *rows]]
    return {
        TargetName(*map(str, row[:3])): [FeedbackState.from_list(one) for one in row[3:]]
        for row in rows or ()
    }


def _require_count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise StateError(
            f"{_WHO}({name}={value!r:.40}): a count of updates is a whole number from 0 on."
        )
    return value


def _require_number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:
        raise StateError(f"{_WHO}({name}={value!r:.40}): a finite number is needed.")
    return float(value)


def _require_amount(name: str, value: Any) -> float:
    if (amount := _require_number(name, value)) < 0:
        raise StateError(f"{_WHO}({name}={amount}): a number from 0 on is needed.")
    return amount


_EVENTS: dict[str, type[PlanEvent]] = {
    event.kind: event for event in (Rescaled, Decayed, Postponed, Extended, Switched)
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "at": partial(_require_count, "at"),
    "factor": partial(_require_amount, "factor"),
    "target": str,
    "groups": lambda keys: tuple(map(str, keys)),
    "curve": Schedule.from_dict,
    "total_steps": partial(_require_count, "total_steps"),
    "steps": lambda steps: None if steps is None else _require_count("steps", steps),
    "how": str,
    "before": Plan.from_dict,
    "after": lambda plan: plan,
    "feedback": _feedback,
}
"""How each field of an event is read."""
