"""Writes that are made only while nobody else writes: look and write in one pass over the groups."""

from __future__ import annotations

__all__ = ["swap_one", "swap_rows"]

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeAlias

from warmdown.binding.field import Field, groups_of
from warmdown.binding.slots import Group

Asked: TypeAlias = int
"""The number of the last step."""


def swap_rows(
    field: Field, rows: Iterator[list[float]], held: Sequence[float], at: Asked
) -> Generator[list[float] | None, Asked, None]:
    """Return a generator that is sent the number of the last step, and writes the next row into a field of floats.

    It yields the row; or ``None``, having written nothing: it was not sent ``at``, ``at + 1`` …, or
    no row is left, or the optimizer has other groups, or one of them does not hold the very float
    that was written last.

    Args:
        field: All its groups keep the number under one key.
        rows: One value for each group.
        held: What the groups hold now: the very floats.
        at: The number that is asked for first.
    """
    groups, key = field.groups, field.slots[0].key
    optimizer, seen, count = _as_it_is(field)
    asked, row = (yield None), None
    while True:
        now = groups_of(optimizer)
        row = next(rows, None) if asked == at and now is seen and len(now) == count else None
        if row is held:
            for group, old in zip(groups, held):  # noqa: B905  # the same: a constant stretch is only looked at
                if group[key] is not old:
                    row = None
                    break
            at += row is not None
        elif row is not None:
            for group, value, old in zip(groups, row, held):  # noqa: B905  # strict= costs a tenth of the loop
                if group[key] is not old:
                    _undo(groups, group, key, held)
                    row = None
                    break
                group[key] = value
            else:
                held, at = row, at + 1
        asked = yield row


def swap_one(
    field: Field, values: Iterator[float], held: float, at: Asked
) -> Generator[float | None, Asked, None]:
    """Return the same for one value that all groups share.

    Args:
        field: All its groups keep the number under one key.
        values: The value of each step.
        held: What every group holds now: the very float.
        at: The number that is asked for first.
    """
    groups, key = field.groups, field.slots[0].key
    optimizer, seen, count = _as_it_is(field)
    asked, value = (yield None), None
    while True:
        now = groups_of(optimizer)
        value = next(values, None) if asked == at and now is seen and len(now) == count else None
        if value is held:
            for group in groups:
                if group[key] is not held:
                    value = None
                    break
            at += value is not None
        elif value is not None:
            for group in groups:
                if group[key] is not held:
                    _undo(groups, group, key, [held] * len(groups))
                    value = None
                    break
                group[key] = value
            else:
                held, at = value, at + 1
        asked = yield value


def _as_it_is(field: Field) -> tuple[Any, Any, int]:
    """Return what tells without a call whether a field is current: the optimizer, its groups, how many they are."""
    seen = groups_of(field.optimizer) if field.is_current else None
    return field.optimizer, seen, len(field.groups)


def _undo(groups: Sequence[Group], first: Group, key: str, held: Sequence[float]) -> None:
    """Put back what was written before the group in which another hand has been."""
    for group, old in zip(groups, held, strict=True):
        if group is first:
            return
        group[key] = old
