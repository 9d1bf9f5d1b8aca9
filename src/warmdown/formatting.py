"""Numbers as people read them: ``3e-4`` and not ``0``, ``10,000`` and ``250k``."""

from __future__ import annotations

__all__ = ["count", "number", "short_count"]

import json
from collections.abc import Collection, Sequence
from typing import Any


def number(value: float, digits: int = 4) -> str:
    """Return a value of a schedule in as few characters as tell it.

    Args:
        value: Any float.
        digits: Significant digits at most.

    Example:
        >>> [number(value) for value in (0.0, 3e-4, 0.05, 1.0, 12345.6)]
        ['0', '3e-4', '0.05', '1', '1.235e4']
    """
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e4:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        if not exponent:  # inf and nan have none
            return mantissa
        return f"{_trimmed(mantissa)}e{int(exponent)}"
    return f"{value:.{digits}g}"


def count(value: float) -> str:
    """Return a number of updates with its thousands apart.

    Example:
        >>> count(10000)
        '10,000'
    """
    return f"{round(value):,}"


def short_count(value: float) -> str:
    """Return a number of updates for an axis.

    Example:
        >>> [short_count(value) for value in (500, 2500, 20_000, 1_500_000, 3e12)]
        ['500', '2,500', '20k', '1.5M', '3T']
    """
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{_trimmed(f'{value / size:.4f}')}{letter}"
    return _trimmed(f"{value:,.1f}")


def shortened(text: str, longest: int) -> str:
    """Return a text, cut off where it has more characters.

    Example:
        >>> shortened("decoder.layers", 8)
        'decoder…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """Return rows in columns; those of ``left`` begin at their left edge, the others end right.

    Example:
        >>> print(aligned([["step", "value"], ["10", "0.5"]], left=[1]))
        step  value
          10  0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if at in left else ">" for at in range(len(widths))]
    forms = [f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True)]
    return "\n".join("  ".join(forms).format(*row).rstrip() for row in rows)


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def strict_json(data: Any, **how: Any) -> str:
    """Return plain data as JSON that every reader takes: a number that is not finite is ``null``.

    Args:
        data: Plain data.
        how: What :func:`json.dumps` takes.

    Example:
        >>> strict_json({"loss": float("nan")})
        '{"loss": null}'
    """
    try:
        return json.dumps(data, allow_nan=False, **how)
    except ValueError:
        finite = json.loads(json.dumps(data), parse_constant=lambda name: None)
        return json.dumps(finite, **how)
