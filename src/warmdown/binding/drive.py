"""One driven field: which of its groups follows which line of the course, from which base value."""

from __future__ import annotations

__all__ = ["Bound", "Drive"]

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from warmdown.binding.course import Array, Course
from warmdown.binding.field import Attribute, Call, Field
from warmdown.binding.slots import Window
from warmdown.schedules import Scale

Bound: TypeAlias = "Field | Attribute | Call"

_CLOSE = 1e-6
"""Relative difference within which a value held is the one that a plan gives; a float32 has seven digits."""


class Drive:
    """One field of one optimizer, or of a plain object, and what each of its groups follows.

    Args:
        name: The target: ``lr``, ``betas[0]``, a bound name.
        field: Where it is written.
        labels: One name for each group: ``lr/decoder``.
        lines: For each group, which of the course's lines it follows.
        bases: For each group its base value, or ``None``: what is held now.
    """

    def __init__(
        self,
        name: str,
        field: Bound,
        labels: Sequence[str],
        lines: Sequence[int],
        bases: Sequence[float | None] = (None,),
    ) -> None:
        self.name, self.field, self.labels, self.lines = name, field, list(labels), list(lines)
        self._found, self._initials = field.read(), _initials(field)
        started = (_started(*pair) for pair in zip(self._found, self._initials, strict=True))
        self.bases = [
            held if base is None else base for base, held in zip(bases, started, strict=True)
        ]
        self._sort()
        self._planned: Array = np.full((len(self._columns), 1), np.nan)
        self._marks: list[Any] = []

    @property
    def field_key(self) -> tuple[str, int]:
        """What tells one driven field from another: its name, and the optimizer's identity."""
        return self.name, id(self.field.optimizer) if isinstance(self.field, Field) else 0

    def carry_on(self, before: Drive) -> None:
        """Take over what an earlier drive of the same field knows of the groups that both have."""
        for index, label in enumerate(self.labels):
            if label in before.labels:
                old = before.labels.index(label)
                self._found[index], self._initials[index] = (
                    before._found[old],
                    before._initials[old],
                )
                self.bases[index] = before.bases[old]
        self._sort()

    def keep_findings(self, before: Drive) -> None:
        """Take over what an earlier drive found in the very groups that both have."""
        places = {owner: place for place, owner in enumerate(_owners(before.field))}
        for index, owner in enumerate(_owners(self.field)):
            if owner in places:
                old = places[owner]
                self._found[index], self._initials[index] = (
                    before._found[old],
                    before._initials[old],
                )

    def rebase(self, bases: Mapping[str, float]) -> None:
        """Take base values by label; what has none keeps its own."""
        self.bases = [
            bases.get(label, base) for label, base in zip(self.labels, self.bases, strict=True)
        ]
        self._sort()

    def recognised(
        self, course: Course, position: float, bases: Mapping[str, float]
    ) -> dict[str, float]:
        """Return the base values that explain what was found when this was made.

        An optimizer that was loaded before its scheduler was made holds decayed values. Where a
        base (saved with the scheduler, or kept by the group) gives just that value at ``position``,
        it is the base.
        """
        explained: dict[str, float] = {}
        for index, (label, found) in enumerate(zip(self.labels, self._found, strict=True)):
            for base in (self._initials[index], bases.get(label)):
                if base is not None and math.isclose(
                    self._value(course, position, index, base), found, rel_tol=_CLOSE
                ):
                    explained[label] = base
        return explained

    def keep_bases(self, course: Course) -> None:
        """Leave the base values that a scale multiplies where torch and others look for them."""
        scales = [isinstance(course.lines[line].rule, Scale) for line in self.lines]
        if isinstance(self.field, Field) and all(scales):
            self.field.set_initial(self.bases)

    def value(self, course: Course, position: float, index: int) -> float:
        """Return what one group uses when the clock stands at ``position``."""
        return self._value(course, position, index, self.bases[index])

    def hold(self, course: Course, position: float) -> None:
        """Write what the clock at ``position`` asks for."""
        self._planned = self._values(course, np.asarray([position]))
        self.field.write(self.planned(0))
        self.trust()

    def move(self, course: Course, position: float) -> None:
        """Write what the clock at ``position`` asks for, unless it is what was asked for before."""
        before = self._planned[:, -1]
        if (self._values(course, np.asarray([position]))[:, 0] != before).any():
            self.hold(course, position)

    def ahead(self, course: Course, positions: Array) -> list[Iterator[None]]:
        """Return iterators that write one position after the first with each advance; none when nothing moves."""
        if all(course.lines[line].is_still(positions) for line, _ in self._columns):
            self._planned = np.broadcast_to(
                self._planned[:, -1:], (len(self._planned), len(positions))
            )
            return []
        self._planned = self._values(course, positions)
        moves = (self._planned[:, 1:] != self._planned[:, :-1]).any(axis=0)
        return (
            self.field.ahead(Window(self._planned[:, 1:], self._which, moves))
            if moves.any()
            else []
        )

    def columns(self, course: Course, positions: Array, members: Sequence[int]) -> Array:
        """Return the values of some groups (rows) at some positions (columns)."""
        return self._values(course, positions)[[self._which[index] for index in members]]

    def planned(self, step: int) -> list[float]:
        """Return what each group should hold at a step of the window."""
        row: list[float] = self._planned[:, step].tolist()
        return [row[column] for column in self._which]

    def foreign(self, step: int, index: int) -> tuple[Any, float] | None:
        """Return what a group holds and what it should hold, when these differ; a device is not waited for."""
        if not isinstance(self.field, Field):
            return None
        held = self.field.slots[index].value
        is_tensor = isinstance(held, torch.Tensor)
        if is_tensor and self._marks[index] == (id(held), held._version):
            return None
        planned = float(self._planned[self._which[index], step])
        return None if held == planned and not is_tensor else (held, planned)

    def trust(self) -> None:
        """Take the tensors as they are now for written by this hand."""
        if isinstance(self.field, Field) and self.field.is_of_tensors:
            held = self.field.raw_values()
            self._marks = [
                (id(one), one._version) if isinstance(one, torch.Tensor) else None for one in held
            ]

    def _sort(self) -> None:
        curves = list(zip(self.lines, self.bases, strict=True))
        distinct = sorted(set(curves))
        self._which = (
            [distinct.index(curve) for curve in curves] if len(distinct) > 1 else [0] * len(curves)
        )
        self._columns = [
            (line, np.asarray([base for one, base in distinct if one == line]))
            for line in dict.fromkeys(line for line, _ in distinct)
        ]

    @property
    def width(self) -> int:
        """How many distinct values one step has."""
        return max(len(set(self._which)), 1)

    def _values(self, course: Course, positions: Array) -> Array:
        return np.concatenate(
            [course.lines[line].values(positions, bases) for line, bases in self._columns]
        )

    def _value(self, course: Course, position: float, index: int, base: float) -> float:
        line = course.lines[self.lines[index]]
        return float(
            line.values(np.asarray([position], dtype=np.float64), np.asarray([base]))[0, 0]
        )


def _owners(field: Bound) -> list[int]:
    return [id(group) for group in field.groups] if isinstance(field, Field) else [0]


def _initials(field: Bound) -> list[float | None]:
    return field.initials() if isinstance(field, Field) else [None]


def _started(held: float, initial: float | None) -> float:
    """Return the base of a group that names none: what it holds, unless an earlier schedule has brought that to 0."""
    return initial if held == 0 and initial else held
