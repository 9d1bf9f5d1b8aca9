"""Checks of how a target is written: its phases, their joints and their lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from warmdown.checks.curve import Check
from warmdown.checks.finding import Findings
from warmdown.checks.subject import Subject, leaf_at, leaf_at_end, pieces
from warmdown.formatting import count, number
from warmdown.schedules import Schedule

_LEAP = 0.05
"""Share of the height from which a joint is a jump."""
_AGAIN = 10 * (1 + 1e-9)
"""A return to more than so many times the last value is hardly meant, unless it is a cycle's."""
_ALMOST = 0.01
_SAMPLES = 33
"""Values of a phase that are computed for its height."""


def jump(subject: Subject) -> Findings:
    """Find joints of two phases where the value leaps, if the leap is hardly meant."""
    for schedule, begin in pieces(subject.schedule):
        peak = 0.0
        for before, after, joint in _joints(schedule):
            left, right = _end_of(before), schedule(joint)
            heights = np.abs(before(np.linspace(0, before.length or 0, _SAMPLES)))
            peak = max(peak, float(heights.max()), abs(left))
            is_large = abs(right - left) > _LEAP * max(peak, abs(right))
            is_return = left < right <= peak * (1 + _ALMOST)  # a restart, the next period
            begins_again = right > _AGAIN * left and not _is_a_period(after)
            # constant between leaps, as stairs are
            are_steps = leaf_at_end(before)[0].is_stepwise and leaf_at(after, 0)[0].is_stepwise
            if is_large and not are_steps and (begins_again or not is_return):
                step = None if begin is None else begin + joint
                where = "" if step is None else f"at update {count(step)}, "
                way_out = "; a restart that is meant is a repeat" if is_return else ""
                yield subject.finding(
                    "jump",
                    f"leaps from {number(left)} to {number(right)} {where}between two phases. Let "
                    f"the later one start where the earlier one ends{way_out}.",
                    step=step,
                    left=left,
                    right=right,
                )


def _end_of(schedule: Schedule) -> float:
    """Return the value that a schedule ends with; at its end a cycle has begun again."""
    length = schedule.length or 0
    is_cycle = any(part.is_cyclic for part, _ in pieces(schedule))
    return schedule(math.nextafter(length, 0) if is_cycle else length)


def _is_a_period(schedule: Schedule) -> bool:
    """Whether it is stable first and then moves, as a period of WSD-S."""
    return leaf_at(schedule, 0)[0].is_constant and not leaf_at_end(schedule)[0].is_constant


def _joints(schedule: Schedule) -> Iterator[tuple[Schedule, Schedule, int]]:
    """Yield each two parts that follow each other, and the step at which the later one begins."""
    places = list(zip(schedule.parts(), schedule.part_starts(), strict=True))
    for (before, start), (after, joint) in pairwise(places):
        if start is None or joint is None or after.length == 0:
            continue
        if before.length and before.length == joint - start:
            yield before, after, joint


def empty_phase(subject: Subject) -> Findings:
    """Find phases that were given a share or the rest, and got no update."""
    for given, measured, before in _phases_of(subject.given, subject.schedule):
        length = _requested(given)
        if measured.length != 0 or length is None:
            continue
        leaf = leaf_at_end(measured)[0]
        if before is not None and leaf.is_constant and math.isclose(_end_of(before), leaf(0)):
            continue  # what the value rests at behind the run anyway
        kind = type(leaf).__name__
        if length == "rest":
            yield subject.finding(
                "empty-phase",
                f"the other phases fill the run, and {kind}, which takes the rest, has no update. "
                "Shorten them, or lengthen the run.",
            )
        else:
            yield subject.finding(
                "empty-phase",
                f"{length!r} of this run is less than half an update, so that {kind} is left out. "
                "A number of updates would keep it.",
                severity="note",
            )


def _phases_of(
    given: Schedule, measured: Schedule
) -> Iterator[tuple[Schedule, Schedule, Schedule | None]]:
    """Yield phases as they were given, with what each became on the run, and the one before."""
    if type(given) is not type(measured):
        inner = measured.parts()  # an endless phase that takes the rest is cut off there
        measured = inner[0] if len(inner) == 1 else measured
    if type(given) is not type(measured):
        return
    are_phases = not given.keeps_time and len(given.parts()) > 1
    earlier = (None, *measured.parts())
    for part, became, before in zip(given.parts(), measured.parts(), earlier, strict=False):
        if are_phases:
            yield part, became, before
        yield from _phases_of(part, became)


def _requested(schedule: Schedule) -> str | None:
    """Return the length that was given as a text."""
    while schedule.keeps_time and len(schedule.parts()) == 1:
        (schedule,) = schedule.parts()
    steps = getattr(schedule, "steps", None)
    return steps if isinstance(steps, str) else None


def cycle_cut_off(subject: Subject) -> Findings:
    """Find an endless repetition that the end of the run cuts in the middle."""
    for schedule, begin in pieces(subject.schedule):
        is_endless_cycle = schedule.length is None and None in schedule.part_starts()
        if begin is None or not is_endless_cycle or not schedule.parts()[0].length:
            continue
        stop = subject.stop - begin
        start, length = _cycle_at(schedule, stop - 1)
        done = stop - start
        if not _ALMOST < done / length < 1 - _ALMOST:
            continue
        # just before the cycle ends: at its end the next one has begun
        last, end = schedule(stop - 1), schedule(math.nextafter(start + length, 0))
        end = end if abs(end) > 1e-9 * subject.height else 0.0
        if abs(last - end) > 2 * _LEAP * subject.height:
            yield subject.finding(
                "cycle-cut-off",
                f"the last cycle has {count(done)} of its {count(length)} updates, and ends at "
                f"{number(last)} instead of {number(end)}. A run of {count(start + begin)} or "
                f"{count(start + begin + length)} updates ends with a whole cycle.",
                step=start + begin,
                done=done,
                length=length,
            )


def _cycle_at(schedule: Schedule, step: int) -> tuple[float, float]:
    """Return start and length of the cycle that is active at a step, by the pace of its clock."""
    at, before, after = (schedule.part_steps(step + shift)[0] or 0.0 for shift in (0, -0.5, 0.5))
    pace = 2 * max(at - before, after - at)  # one of them may lie in another cycle
    return step - at / pace, (schedule.parts()[0].length or 0) / pace


def mark_beyond_end(subject: Subject) -> Findings:
    """Find milestones that the run never meets."""
    for schedule, begin in pieces(subject.schedule):
        if begin is None:
            continue
        marks = schedule.marks()
        late = [begin + mark for mark in marks if begin + mark >= subject.stop]
        if late:
            shown = ", ".join(map(count, late[:3])) + (" …" if len(late) > 3 else "")
            yield subject.finding(
                "mark-beyond-end",
                f"{len(late)} of {len(marks)} marks ({shown}) lie beyond the last "
                f"update, "
                f"{count(subject.stop - 1)}, and are never met. Give shares such as '80%', or drop "
                f"them.",
                step=late[0],
                marks=len(late),
            )


CHECKS: tuple[Check, ...] = (jump, empty_phase, cycle_cut_off, mark_beyond_end)
