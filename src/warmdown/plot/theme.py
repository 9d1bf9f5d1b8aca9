"""Colours that colour-blind readers can distinguish, a dash pattern for each, light and dark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The colours of one scheme.

    Contrast with ``paper`` is at least 4.5 to 1 for every text and 3 to 1 for every line.

    Args:
        paper: Behind everything.
        ink: Titles and values.
        quiet: Ticks, names of phases.
        grid: Lines of the grid.
        lines: The curves, in order.
        tints: Behind phases: that rise, that stay, that fall.
    """

    paper: str
    ink: str
    quiet: str
    grid: str
    lines: tuple[str, ...]
    tints: tuple[str, str, str]


LIGHT = Theme(
    paper="#ffffff",
    ink="#1b1f24",
    quiet="#57606a",
    grid="#e2e6ea",
    lines=("#0067b1", "#c4500a", "#045c4c", "#ad4f88", "#562b05", "#2f1457"),
    tints=("#fdf0e1", "#f6f7f9", "#e6f1fb"),
)
DARK = Theme(
    paper="#12161c",
    ink="#f2f4f7",
    quiet="#a9b4c0",
    grid="#2c333d",
    lines=("#5cb8ff", "#e8963c", "#1fe0a0", "#f06fb4", "#ffef5a", "#dbe9f5"),
    tints=("#2a2219", "#191e26", "#15273a"),
)

DASHES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (6, 2)),
    (0, (1.5, 1.5)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (9, 2, 3, 2)),
    (0, (3, 1.5)),
)
"""Patterns beside the colours, so that lines differ on grey paper and for every colour sight."""

_RISING = ("warm", "ris", "up", "sweep", "wait")
_STAYING = ("stable", "constant", "hold", "held", "explore", "average")


def tint_of(name: str, number: int, theme: Theme) -> str:
    """Return the tint behind a phase: by its name, or in turn."""
    if name.startswith(_RISING):
        return theme.tints[0]
    if name.startswith(_STAYING):
        return theme.tints[1]
    if name[-1:].isdigit():  # cycle 3: neighbours differ
        return theme.tints[1 + number % 2]
    return theme.tints[2]
