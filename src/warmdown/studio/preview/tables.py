"""The table of a plan as people write it down: one row for each step from which other values hold."""

from __future__ import annotations

__all__ = ["Row", "changes", "step_text", "value_text"]

from dataclasses import dataclass
from typing import final

from warmdown.plot.formatting import number
from warmdown.studio.preview.look import Told


@final
@dataclass(frozen=True)
class Row:
    """Values at a step.

    Args:
        step: Which.
        what: Happens there.
        values: One for each column.
        is_last: Whether they hold from there on.
    """

    step: int
    what: str
    values: tuple[float, ...]
    is_last: bool = False


def changes(told: Told) -> list[Row]:
    """Return the rows; where the values rest at the end, the row from which they do stands for all that follow.

    Example:
        >>> told = Told("", ("lr",), ((0, "start", (1.0,)), (50, "changes", (0.5,)), (99, "last update", (0.5,))))
        >>> [(step_text(row), row.values[0]) for row in changes(told)]
        [('0', 1.0), ('50+', 0.5)]
    """
    rows = [Row(step, what, values) for step, what, values in told.rows]
    kept = list(rows)
    while len(kept) > 1 and kept[-1].values == kept[-2].values:
        kept.pop()
    if len(kept) < len(rows):
        kept[-1] = Row(kept[-1].step, kept[-1].what, kept[-1].values, is_last=True)
    return kept


def step_text(row: Row) -> str:
    """Return a row's step: ``150+`` where its values hold from there on."""
    return f"{row.step:,}{'+' if row.is_last else ''}"


def value_text(value: float) -> str:
    """Return a value as people write rates.

    Example:
        >>> [value_text(value) for value in (1e-3, 1.25e-5, 0.05, 1.0)]
        ['1e-3', '1.25e-5', '0.05', '1']
    """
    if 0 < abs(value) < 1e-2:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return number(value)
