"""A scheduler's state: plain data out, and in again only if every word of it can be true."""

from __future__ import annotations

__all__ = ["VERSION", "Saved", "join", "read_state", "write_state"]

import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from warmdown.binding.course import Course, Event
from warmdown.binding.events import POLICIES, Decayed, Extended, OnChange, Rescaled, Switched
from warmdown.binding.pen import Pen
from warmdown.errors import StateError, WarmdownError, nearest
from warmdown.plan import EVERY_GROUP, Plan, Target
from warmdown.run import Run
from warmdown.schedules import Rule, Scale, Schedule, Set
from warmdown.schedules.base import kinds
from warmdown.schedules.feedback import FeedbackState

VERSION = 1
_KEYS = ("version", "count", "print", "check", "clock", "events", "seen", "plan", "bases")
_NEEDED = ("version", "count", "print", "check")
_WHO = "Scheduler.load_state_dict"


@dataclass(frozen=True)
class Saved:
    """A state that was read and found whole.

    Args:
        count: Updates counted.
        clock: Where the clock stood, when it does not count updates; else ``None``.
        fingerprint: The plan's.
        plan: The plan, when it was saved too.
        events: What has happened, given the plan that holds at the end.
        memories: What each feedback schedule has observed.
        bases: Base values by label, when they were saved too.
    """

    count: int
    clock: float | None
    fingerprint: str
    plan: Plan | None
    events: Callable[[Plan], list[Event]]
    memories: list[Any]
    bases: Mapping[str, float]

    def position(self, course: Course) -> float:
        """Return where the clock of ``course`` stood."""
        return (
            float(self.count)
            if self.clock is None or course.plan.run.clock == "updates"
            else self.clock
        )

    def course(self, given: Plan) -> Course:
        """Return the course that the state was saved on, when ``given`` is its plan."""
        events = self.events(given)
        switches = [event for event in events if isinstance(event, Switched)]
        course = Course(switches[0].before if switches else given).after(*events)
        if len(self.memories) != len(course.feedbacks()):
            raise StateError(
                f"{_WHO}(seen=…): {len(self.memories)} metrics' histories for "
                f"{len(course.feedbacks())} schedules that "
                "answer to one. The state is of another plan."
            )
        course.recall(self.memories)
        return course


def write_state(pen: Pen, *, with_plan: bool) -> dict[str, Any]:
    """Return plain data; with the plan it is whole, without it as small as it can be."""
    course = pen.course
    state: dict[str, Any] = {
        "version": VERSION,
        "count": pen.count,
        "print": fingerprint_of(course.given),
    }
    if course.plan.run.clock != "updates":
        state["clock"] = pen.position
    if course.events:
        state["events"] = [event.to_dict() for event in course.events]
    if memories := course.memories():
        state["seen"] = [memory.to_list() for memory in memories]
    if with_plan:
        state |= {"plan": _plan_data(course.given), "bases": pen.grip.bases_of(course)}
    return {**state, "check": _checksum(state)}


def read_state(state: Any) -> Saved:
    """Return what was saved.

    Raises:
        StateError: It is no state, is not whole, or was edited.
    """
    if not isinstance(state, Mapping):
        raise StateError(
            f"{_WHO}({type(state).__name__}): no state of a Scheduler. Give what "
            f"state_dict() returned."
        )
    _require_keys(state)
    if (sum_of_it := _checksum(state)) is None or state["check"] != sum_of_it:
        raise StateError(
            f"{_WHO}(check={state['check']!r}): the state was cut short or edited by hand; it does "
            f"not add up. "
            "To go to an update by its number use seek()."
        )
    try:
        return _read(state)
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


def fingerprint_of(plan: Plan) -> str:
    """Return the plan's fingerprint; empty when it holds a function, which nobody can compare."""
    try:
        return plan.fingerprint
    except WarmdownError:
        return ""


def _plan_data(plan: Plan) -> dict[str, Any] | None:
    """Return the plan as plain data, or ``None`` when it holds a function."""
    try:
        return plan.to_dict()
    except WarmdownError:
        return None


def join(saved: Saved, pen: Pen, policy: OnChange) -> tuple[Course, dict[str, float]]:
    """Return the course on which a saved run goes on, and the base values that hold on it.

    Raises:
        StateError: The plans differ, and ``policy`` is to ask, or cannot join them.
    """
    if policy not in POLICIES:
        raise StateError(f"{_WHO}(on_change={policy!r}): use one of {', '.join(POLICIES)}.")
    given = pen.course.given
    course = saved.course(given) if saved.fingerprint == fingerprint_of(given) else None
    if course is None and saved.plan is not None:
        course = saved.course(saved.plan)
    is_same = course is not None and fingerprint_of(given) in map(
        fingerprint_of, (course.given, course.current)
    )
    bases, differing = _bases_after(saved, pen, course or Course(given))
    if policy == "ask" and (differing or not is_same):
        raise StateError(_question(saved, given, differing))
    if not is_same:
        course = _joined(saved, course, given, policy)
    assert course is not None  # a missing plan was refused, or is not needed
    return course, bases if policy == "given" else {
        **bases,
        **{label: base for label, (base, _) in differing.items()},
    }


def _joined(saved: Saved, course: Course | None, given: Plan, policy: OnChange) -> Course:
    if course is None and policy == "given":
        return Course(given)
    if course is None or saved.plan is None:
        raise StateError(
            f"{_WHO}(on_change={policy!r}): the state was saved without its plan. Save it with "
            f"state_dict(plan=True), "
            "or use 'given'."
        )
    if policy == "saved":
        return course
    seen = tuple(course.memories())
    return course.after(Switched(int(saved.position(course)), saved.plan, given, policy, seen))


def _bases_after(
    saved: Saved, pen: Pen, course: Course
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return the base values that explain what was found, and those saved ones that differ all the same."""
    explained: dict[str, float] = {}
    for drive in pen.grip.drives:
        if {drive.name} <= {target.name for target in course.plan.targets}:
            explained |= drive.recognised(course, saved.position(course), saved.bases)
    now = {**pen.grip.bases_of(pen.course), **explained}
    differing = {
        label: (base, now[label])
        for label, base in saved.bases.items()
        if label in now and not math.isclose(base, now[label], rel_tol=1e-6)
    }
    return explained, differing


def _question(saved: Saved, given: Plan, bases: Mapping[str, tuple[float, float]]) -> str:
    """Return the whole difference, and the ways to go on."""
    if saved.plan is None and saved.fingerprint != fingerprint_of(given):
        lines = [
            f"plan {saved.fingerprint} (saved without its text), {fingerprint_of(given)} (given)"
        ]
    else:
        lines = _differences(
            _plan_data(saved.plan) if saved.plan else _plan_data(given), _plan_data(given)
        )
    lines += [
        f"base value of {label}: {before} (saved), {now} (given)"
        for label, (before, now) in bases.items()
    ]
    ways = ", ".join(repr(policy) for policy in POLICIES if policy != "ask")
    return "\n  ".join(
        [
            f"{_WHO}: the state at update {saved.count} is of another plan:",
            *lines,
            f"Say how to go on: on_change={ways}.",
        ]
    )


def _differences(saved: Any, given: Any) -> list[str]:
    before, after = dict(_leaves(saved or {})), dict(_leaves(given or {}))
    paths = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [
        f"{path}: {before.get(path, 'absent')} (saved), {after.get(path, 'absent')} (given)"
        for path in paths
    ]


def _leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    pairs = (
        data.items()
        if isinstance(data, Mapping)
        else enumerate(data)
        if isinstance(data, list | tuple)
        else None
    )
    if pairs is None:
        yield path, data
        return
    for key, value in pairs:
        yield from _leaves(
            value, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
        )


def _require_keys(state: Mapping[str, Any]) -> None:
    if state.get("version", VERSION) != VERSION:  # first: another version may have other entries
        raise StateError(
            f"{_WHO}(version={state['version']!r}): this warmdown reads version {VERSION}. Use the "
            f"one that saved it."
        )
    if missing := [key for key in _NEEDED if key not in state]:
        torchs = (
            " It looks like one of torch's own schedulers: seek(state['last_epoch']) goes there."
            * ("last_epoch" in state)
        )
        raise StateError(
            f"{_WHO}: the state has no {', '.join(missing)}; it is damaged, or not a "
            f"Scheduler's.{torchs}"
        )
    if unknown := [str(key) for key in state if key not in _KEYS]:
        raise StateError(
            f"{_WHO}({unknown[0]}=…): no such entry is known. {nearest(unknown[0], _KEYS)}"
        )


def _read(state: Mapping[str, Any]) -> Saved:
    plan = None if state.get("plan") is None else plan_of(state["plan"])
    if plan is not None and fingerprint_of(plan) != state["print"]:
        raise StateError(
            f"{_WHO}(plan=…): its fingerprint is not the state's {state['print']!r}; "
            f"one was edited."
        )
    rows = list(state.get("events", ()))
    for row in rows:
        _event(row, plan or Plan(targets=()))
    return Saved(
        count=_count("count", state["count"]),
        clock=None if "clock" not in state else _number("clock", state["clock"]),
        fingerprint=str(state["print"]),
        plan=plan,
        events=lambda given: _events(rows, given),
        memories=[FeedbackState.from_list(memory) for memory in state.get("seen", ())],
        bases={
            str(label): _number(f"bases.{label}", base)
            for label, base in state.get("bases", {}).items()
        },
    )


def _events(rows: Sequence[Mapping[str, Any]], given: Plan) -> list[Event]:
    """Return the events; the plan after a switch is the next one's ``before``, and at last the one given."""
    events: list[Event] = []
    for row in reversed(rows):
        events.append(_event(row, given))
        if isinstance(switch := events[-1], Switched):
            given = switch.before
    return events[::-1]


def _event(row: Mapping[str, Any], after: Plan) -> Event:
    at, kind = _count("at", row["at"]), row["event"]
    seen = tuple(map(FeedbackState.from_list, row.get("seen", ())))
    if kind == "rescale":
        return Rescaled(at, _number("factor", row["factor"]), str(row["target"]))
    if kind == "decay":
        return Decayed(at, schedule_of(row["curve"]), str(row["target"]))
    if kind == "extend" and row["how"] in POLICIES:
        return Extended(at, _count("total_steps", row["total_steps"]), row["how"], seen)
    if kind == "switch" and row["how"] in POLICIES:
        return Switched(at, plan_of(row["before"]), after, row["how"], seen)
    raise StateError(f"{_WHO}(events=…): {row!r:.80} is no event that is known.")


def schedule_of(data: Mapping[str, Any]) -> Schedule:
    """Return the schedule that ``to_dict`` wrote; unlike a file, a state imports nothing and guesses nothing."""
    known = kinds()
    kind = str(data.get("kind", data.get("class_path")))
    if kind not in known:
        raise StateError(f"{_WHO}: {kind!r} cannot be read from a state. Use on_change='given'.")
    names = {field.name for field in fields(known[kind])}
    given = {key: _value(value) for key, value in data.items() if key != "kind" and key in names}
    made = known[kind](**given)
    return made.named(data["name"]) if "name" in data and "name" not in names else made


def _value(data: Any) -> Any:
    if isinstance(data, Mapping):
        return schedule_of(data)
    return tuple(map(_value, data)) if isinstance(data, list | tuple) else data


def plan_of(data: Mapping[str, Any]) -> Plan:
    """Return the plan that ``to_dict`` wrote."""
    words = {key: data[key] for key in ("after_end", "count") if key in data}
    targets = [
        Target(name, groups, _rule(one))
        for name, held in data.items()
        if name not in ("run", *words)
        for groups, one in held.get("groups", {EVERY_GROUP: held}).items()
    ]
    return Plan(targets=tuple(targets), run=Run(**data.get("run", {})), **words)


def _rule(data: Mapping[str, Any]) -> Rule:
    if "set" in data:
        return Set(schedule_of(data["set"]))
    if "scale" in data:
        offset = schedule_of(data["offset"]) if "offset" in data else None
        return Scale(schedule_of(data["scale"]), offset=offset, low=data.get("low"))
    return Scale(schedule_of(data))


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StateError(
            f"{_WHO}({name}={value!r}): a count of updates is a whole number from 0 on."
        )
    return value


def _number(name: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= sys.float_info.max
    ):
        raise StateError(f"{_WHO}({name}={value!r:.40}): a finite number is needed.")
    return float(value)


def _checksum(state: Mapping[str, Any]) -> int | None:
    """Return a number that nearly any change of the state changes, or ``None`` for what is no plain data.

    It is no protection against intent.
    """
    plain = {key: value for key, value in state.items() if key != "check"}
    try:
        return zlib.crc32(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError):
        return None
