"""Checks of how a target is written: its phases, their seams and their lengths."""

from __future__ import annotations

__all__ = ["CHECKS"]

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from warmdown.checks.curve import STAIRS, Check
from warmdown.checks.finding import Finding
from warmdown.checks.subject import Subject, leaf_at_end, pieces
from warmdown.plot.formatting import count, number
from warmdown.schedules import Chain, Milestones, Named, Repeat, Schedule, Table, Taken

_LEAP = 0.05
"""Share of a chain's height from which a seam is a jump."""
_ALMOST = 0.01
_LOOKS = 33
"""Values of a phase that are asked for its height."""


def jump(subject: Subject) -> Iterator[Finding]:
    """Find seams where the value leaps and nobody can have meant it."""
    for piece in pieces(subject.schedule):
        if not isinstance(piece.schedule, Chain):
            continue
        seam, peak = piece.start, 0.0
        for before, after in pairwise(piece.schedule.members):
            seam = None if seam is None else seam + (before.length or 0)
            left, right = before(before.length or 0), after(0)
            peak = max(peak, _height(before), abs(left))
            if abs(right - left) > _LEAP * max(peak, abs(right)) and not _is_meant(
                before, after, peak
            ):
                yield _leap(subject, seam, left, right)


def _leap(subject: Subject, seam: int | None, left: float, right: float) -> Finding:
    where = "between two phases" if seam is None else f"at update {count(seam)}, between two phases"
    return subject.finding(
        "jump",
        f"leaps from {number(left)} to {number(right)} {where}. Let the later one start where the "
        f"earlier one ends.",
        step=seam,
        left=left,
        right=right,
    )


def _is_meant(before: Schedule, after: Schedule, peak: float) -> bool:
    """Whether a leap is a stair, or a return to a height of before: a restart, the next period of a trunk."""
    left, right = before(before.length or 0), after(0)
    are_stairs = isinstance(leaf_at_end(before), STAIRS) and isinstance(_first(after), STAIRS)
    return (
        are_stairs
        or before.length == 0
        or after.length == 0
        or left < right <= peak * (1 + _ALMOST)
    )


def _height(phase: Schedule) -> float:
    return float(np.max(np.abs(phase(np.linspace(0, phase.length or 0, _LOOKS)))))


def _first(schedule: Schedule) -> Schedule:
    while isinstance(schedule, Chain | Named | Taken):
        schedule = schedule.members[0] if isinstance(schedule, Chain) else schedule.of
    return schedule


def empty_phase(subject: Subject) -> Iterator[Finding]:
    """Find phases that were given a share or the rest, and got no update."""
    for given, measured in _members(subject.given, subject.schedule):
        length = _length_in_words(given)
        if measured.length != 0 or length is None:
            continue
        kind = type(leaf_at_end(given)).__name__
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


def _members(given: Schedule, measured: Schedule) -> Iterator[tuple[Schedule, Schedule]]:
    """Yield the phases of chains as they were given, each with what it became."""
    if isinstance(measured, Taken) and not isinstance(given, Taken):
        measured = measured.of  # an endless phase that took the rest
    if type(given) is not type(measured):
        return
    for one, other in zip(given.parts(), measured.parts(), strict=False):
        if isinstance(given, Chain):
            yield one, other
        yield from _members(one, other)


def _length_in_words(schedule: Schedule) -> str | None:
    while isinstance(schedule, Named):
        schedule = schedule.of
    steps = getattr(schedule, "steps", None)
    return steps if isinstance(steps, str) and not isinstance(schedule, Chain) else None


def cycle_cut_off(subject: Subject) -> Iterator[Finding]:
    """Find an endless repetition that the end of the run cuts in the middle."""
    for piece in pieces(subject.schedule):
        cycle = piece.schedule
        if (
            not isinstance(cycle, Repeat)
            or cycle.times is not None
            or piece.start is None
            or not cycle.of.length
        ):
            continue
        start, length = _cycle_at(cycle, cycle.of.length, subject.stop - piece.start)
        done = subject.stop - piece.start - start
        last, end = cycle(subject.stop - piece.start - 1), cycle(math.nextafter(start + length, 0))
        end = end if abs(end) > 1e-9 * subject.height else 0.0
        if _ALMOST < done / length < 1 - _ALMOST and abs(last - end) > 2 * _LEAP * subject.height:
            yield subject.finding(
                "cycle-cut-off",
                f"the last cycle has {count(done)} of its {count(length)} updates, and ends at "
                f"{number(last)} instead "
                f"of {number(end)}. A run of {count(subject.stop - done)} or "
                f"{count(subject.stop - done + length)} "
                "updates ends with a whole cycle.",
                step=subject.stop - done,
                done=done,
                length=length,
            )


def _cycle_at(cycle: Repeat, first: int, step: float) -> tuple[float, float]:
    """Return start and length of the cycle in which the update before ``step`` falls."""
    if cycle.grow == 1:
        index = math.ceil(step / first) - 1
        return float(index * first), float(first)
    index = max(
        math.ceil(math.log1p(step * (cycle.grow - 1) / first) / math.log(cycle.grow) - 1e-9) - 1, 0
    )
    return first * (cycle.grow**index - 1) / (cycle.grow - 1), first * cycle.grow**index


def mark_beyond_end(subject: Subject) -> Iterator[Finding]:
    """Find milestones that the run never meets."""
    for piece in pieces(subject.schedule):
        if not isinstance(piece.schedule, Milestones | Table) or piece.start is None:
            continue
        late = [
            piece.start + int(mark)
            for mark in piece.schedule.at
            if piece.start + int(mark) >= subject.stop
        ]
        if late:
            marks = ", ".join(map(count, late[:3])) + (" …" if len(late) > 3 else "")
            yield subject.finding(
                "mark-beyond-end",
                f"{len(late)} of {len(piece.schedule.at)} marks ({marks}) lie beyond the last "
                f"update, "
                f"{count(subject.stop - 1)}, and are never met. Give shares such as '80%', or drop "
                f"them.",
                step=late[0],
                marks=len(late),
            )


CHECKS: tuple[Check, ...] = (jump, empty_phase, cycle_cut_off, mark_beyond_end)
