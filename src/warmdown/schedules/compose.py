"""Several schedules made one: after each other, multiplied, added."""

from __future__ import annotations

__all__ = ["Chain", "Product", "Sum"]

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import fields, replace
from fractions import Fraction
from functools import cached_property, reduce
from itertools import accumulate, pairwise
from operator import add, mul
from typing import Any, Self, final

import numpy as np

from warmdown.errors import ScheduleError
from warmdown.run import Length, Run
from warmdown.schedules.base import (
    Namespace,
    PartStarts,
    PartSteps,
    Phases,
    Schedule,
    Schedules,
    Steps,
    Values,
    is_endless,
    schedule_class,
)
from warmdown.schedules.curves.basic import Constant
from warmdown.schedules.parameters import require


class _Composition(Schedule):
    """Schedules made one; its one field has them."""

    def check_fields(self) -> None:
        (field,) = fields(self)
        require(self, bool(self.parts()), "at least one schedule is needed.", field.name)

    @classmethod
    def of(cls, *parts: Schedule | float) -> Self:
        """Return the parts in one; those that are of this class themselves are laid flat."""
        flat: list[Schedule] = []
        for part in parts:
            schedule = part if isinstance(part, Schedule) else Constant(value=part)
            flat.extend(schedule.parts() if isinstance(schedule, cls) else (schedule,))
        (field,) = fields(cls)
        return cls(**{field.name: tuple(flat)})

    def spoken(self) -> str:
        """Return the parts with the operator between them; a number is a number."""
        first, *others = self.parts()
        texts = [first.spoken_within(self.symbol)]
        for part in others:
            is_number = isinstance(part, Constant) and self.keeps_time
            texts.append(f"{part(0):g}" if is_number else part.spoken_within(self.symbol))
        return f" {self.symbol} ".join(texts)


@final
@schedule_class
class Chain(_Composition):
    r"""Schedules one after the other; each one's clock starts at its start.

    .. math:: v(t) = members_i(t - t_i),\; t_i \le t < t_{i+1}

    One part may take the rest of the run; a part without an end that stands before others does so.

    Args:
        members: At least one schedule.

    Raises:
        ScheduleError: It is empty, or (when measured) two parts take the rest, or the parts do not
            fit.

    Example:
        >>> from warmdown import Cosine, Linear, Run
        >>> plan = Linear(start=0.0, end=1.0, steps="20%") >> Cosine(start=1.0, end=0.0)
        >>> plan.over(Run(total_steps=10))([0, 1, 2, 6, 10])
        array([0. , 0.5, 1. , 0.5, 0. ])
    """

    members: Schedules

    symbol = ">>"

    @property
    def length(self) -> Length:
        """Steps of all members, or ``None`` when the last has no end."""
        return _total([member.length for member in self.members])

    @property
    def is_resolved(self) -> bool:
        """Whether every member is, and all but the last have an end."""
        ended = all(member.length is not None for member in self.members[:-1])
        return ended and all(member.is_resolved for member in self.members)

    def phases(self) -> Phases:
        """Return the members' phases, each moved to its place."""
        placed = zip(self.members, self._starts, strict=True)
        moved = (phase.moved(origin) for member, origin in placed for phase in member.phases())
        return tuple(phase for phase in moved if phase.start != phase.stop)

    def at(self, step: float) -> tuple[int, int]:
        """Return which member is active at ``step``, and the step at which it began."""
        index = bisect_right(self._starts, step, lo=1) - 1
        return index, self._starts[index]

    @property
    def is_stretched_by_parts(self) -> bool:
        """Members that have a length are stretched in their places."""
        return True

    def is_flat(self, first: float, last: float) -> bool:
        """Whether one member, which is flat, is active at both steps."""
        index, start = self.at(first)
        is_inside = self.at(last)[0] == index
        return is_inside and self.members[index].is_flat(first - start, last - start)

    def part_steps(self, step: float) -> PartSteps:
        """Return the active member's own step, and ``None`` for the others."""
        active, start = self.at(step)
        return tuple(step - start if i == active else None for i in range(len(self.members)))

    def part_starts(self) -> PartStarts:
        """Return the step at which each member begins."""
        return tuple(self._starts)

    @cached_property
    def _starts(self) -> list[int]:
        """Step at which each member begins."""
        return [0, *accumulate(member.length or 0 for member in self.members[:-1])]

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        if xp is np:
            return self._numpy_values(np.asarray(step))
        starts = self._starts
        value = self.members[-1].evaluate(step - starts[-1], xp)
        for index in reversed(range(len(starts) - 1)):
            member, start, stop = self.members[index], starts[index], starts[index + 1]
            value = xp.where(step < stop, member.evaluate(step - start, xp), value)
        return value

    def _numpy_values(self, step: Any) -> Any:
        """Ask each member for its own steps alone, so that a chain costs what its parts cost."""
        if step.ndim == 0:
            index, origin = self.at(float(step))
            return self.members[index].evaluate(step - origin, np)
        values = np.empty_like(step)
        for member, origin, mine in self._shares_of(step):
            values[mine] = member.evaluate(step[mine] - origin, np)
        return values

    def _shares_of(self, step: Any) -> Iterable[tuple[Schedule, int, Any]]:
        starts = self._starts
        # slices of rising steps are views, where masks would copy
        if step.ndim == 1 and (step[1:] >= step[:-1]).all():
            cuts = [0, *np.searchsorted(step, starts[1:]).tolist(), step.size]
            mine: list[Any] = [slice(start, stop) for start, stop in pairwise(cuts)]
        else:
            which = np.searchsorted(starts[1:], step, side="right")
            mine = [which == index for index in range(len(starts))]
        return zip(self.members, starts, mine, strict=True)

    def requested_length(self, run: Run) -> Length:
        return _total(_claims(self.members, run, None))

    def resolve(self, run: Run, available: Length) -> Self:
        members = _rounded(self.members, run, available)
        claims = _claims(members, run, available)
        fixed, open_ends = sum(claim or 0 for claim in claims), claims.count(None)
        if open_ends > 1:
            takers = [m for m, claim in zip(members, claims, strict=True) if claim is None]
            raise ScheduleError(
                f"Chain: {open_ends} of its phases take the rest of the run: "
                f"{', '.join(map(_openness, takers))}. Only one can. Give the others a length, "
                f"like {_inner_name(takers[0])}(…).take('50%')."
            )
        if available is not None and fixed > available:
            needs = " + ".join(str(claim) for claim in claims if claim is not None)
            total = f" = {fixed}" if len(claims) - open_ends > 1 else ""
            raise ScheduleError(
                f"Chain: its phases need {needs}{total} steps, and the run has {available}. "
                "Shorten a phase, give shares like '5%', or lengthen the run."
            )
        left = None if available is None else available - fixed
        lengths = [left if claim is None else claim for claim in claims]
        starts = accumulate((length or 0 for length in lengths), initial=0)
        *others, last = (
            member.resolve(run.shifted(start), length)
            for member, start, length in zip(members, starts, lengths, strict=False)
        )
        # a part without an end takes the rest, when other parts follow it
        ended = (
            part.take("rest").resolve(run, left) if is_endless(part) else part for part in others
        )
        return replace(self, members=(*ended, last))


@final
@schedule_class
class Product(_Composition):
    r"""Schedules multiplied.

    .. math:: v(t) = \prod_i factors_i(t)

    Args:
        factors: At least one schedule.

    Example:
        >>> from warmdown import Constant, Linear
        >>> (Linear(start=0.0, end=1.0, steps=4) * 0.1)(2)
        0.05
    """

    factors: Schedules

    keeps_time = True
    symbol = "*"

    def multiplied(self, factor: float) -> Schedule:
        """Return this product times ``factor``; its last constant takes it in.

        So a run that is rescaled again and again does not grow more costly.
        """
        *others, last = self.factors
        if isinstance(last, Constant):
            return replace(self, factors=(*others, replace(last, value=last.value * factor)))
        return self * factor

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return reduce(mul, (factor.evaluate(step, xp) for factor in self.factors))


@final
@schedule_class
class Sum(_Composition):
    r"""Schedules added.

    .. math:: v(t) = \sum_i terms_i(t)

    Args:
        terms: At least one schedule.

    Example:
        >>> from warmdown import Linear
        >>> (Linear(start=1.0, end=0.0, steps=4) + 0.1)(4)
        0.1
    """

    terms: Schedules

    keeps_time = True
    symbol = "+"

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return reduce(add, (term.evaluate(step, xp) for term in self.terms))


def _total(lengths: list[Length]) -> Length:
    return None if None in lengths else sum(length or 0 for length in lengths)


def _claims(members: Schedules, run: Run, available: Length) -> list[Length]:
    """Return the length that each member asks for, measured where it stands in the run."""
    if run.is_even:
        return [member.requested_length(run) for member in members]
    claims: list[Length] = []
    reach = 0
    before, after = run, run if available is None else run.ending_at(available)
    # what ends with the run is measured from there back, up to the part that takes the rest
    for member in reversed(members) if run.is_before else members:
        claims.append(member.requested_length(before.shifted(-reach if run.is_before else reach)))
        reach += claims[-1] or 0
        if claims[-1] is None and available is not None:
            break
    reach = 0
    tail: list[Length] = []
    for member in reversed(members[len(claims) :]):
        tail.append(member.requested_length(after.shifted(-reach)))
        reach += tail[-1] or 0
    return [*(reversed(claims) if run.is_before else claims), *reversed(tail)]


def _openness(member: Schedule) -> str:
    why = "steps='rest'" if member.open_length == "rest" else "no end of its own"
    return f"{_inner_name(member)} ({why})"


def _inner_name(member: Schedule) -> str:
    """Return the class that a person thinks of: not that of a name or a bound around it."""
    while member.keeps_time and len(member.parts()) == 1:
        (member,) = member.parts()
    return type(member).__name__


def _rounded(members: Schedules, run: Run, available: Length) -> Schedules:
    """Round starts and not lengths, where lengths that were each rounded up would not fit.

    Two halves of 5 steps are 3 and 3 by themselves; their starts at 2.5 and 5 make them 3 and 2.
    """
    claims = [claim or 0 for claim in _claims(members, run, available)]
    if available is None or sum(claims) <= available:
        return members
    texts = [member.open_length for member in members]
    if not (run.is_even or all(text is None or text.endswith("%") for text in texts)):
        return members
    exact = [
        Fraction(claim) if text is None else run.exactly(text) or Fraction(0)
        for text, claim in zip(texts, claims, strict=True)
    ]
    if sum(exact) > available:
        return members
    starts = [int(origin + Fraction(1, 2)) for origin in accumulate(exact, initial=Fraction(0))]
    return tuple(
        member if share.denominator == 1 else _lasting(member, stop - start)
        for member, share, (start, stop) in zip(members, exact, pairwise(starts), strict=True)
    )


def _lasting(member: Schedule, steps: int) -> Schedule:
    """Return the member with ``steps`` in place of its one length."""
    if hasattr(member, "steps"):
        return replace(member, steps=steps)  # type: ignore[call-arg]
    return member.with_parts(
        lambda part: part if part.open_length in (None, "rest") else _lasting(part, steps)
    )
