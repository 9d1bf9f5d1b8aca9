"""Pictures made of characters: braille curves, and a schedule in one line."""

from __future__ import annotations

__all__ = ["sparkline", "terminal"]

import shutil
from collections.abc import Iterable

import numpy as np

from warmdown.plot.axis import linear_ticks, log_floor, log_ticks, placed, reach
from warmdown.plot.formatting import count, number, short_count
from warmdown.plot.groups import Groups
from warmdown.plot.sampling import Array
from warmdown.plot.view import Drawable, Panel, View, view
from warmdown.record import Record
from warmdown.run import Run
from warmdown.schedules import Phase, Schedule

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLOURS = (
    "bright_blue",
    "bright_yellow",
    "bright_magenta",
    "bright_green",
    "bright_cyan",
    "bright_red",
)
_BLANK = " \u2800"
"""Characters without ink: the space, and braille without a dot."""
_GUTTER = 10
"""Characters left of the axis."""
_HEADROOM = 0.04
"""Of the height, above the curve: plotille drops a line that lies exactly on the upper edge."""


def terminal(
    plan: Drawable,
    *,
    run: Run | None = None,
    width: int | None = None,
    height: int | None = None,
    log: bool = False,
    record: Record | None = None,
    groups: Groups | None = None,
    colour: bool = False,
) -> str:
    """Return a picture for a terminal.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run, when the plan has none.
        width: Characters of a line, at least 40; the terminal's own when left out.
        height: Lines of each curve, at least 4.
        log: Whether values stand on a logarithmic axis.
        record: What was really written, drawn beside the plan.
        groups: Base values of each parameter group.
        colour: Whether to write colours, where standard output is a terminal (or ``FORCE_COLOR``
            says so) and ``NO_COLOR`` is not set.

    Example:
        >>> from warmdown import Linear, Run
        >>> print(terminal(Linear(), run=Run(total_steps=100, lr=0.1), width=40, height=4))
        learning rate over 100 updates
               0.1 ┤⠉⠙⠒⠲⠤⢄⣀⡀
                   │⠀⠀⠀⠀⠀⠀⠀⠉⠉⠒⠒⠤⢄⣀⡀
              0.05 ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠉⠓⠒⠦⢤⣀⣀
                 0 ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠉⠑⠒⠢⠤⣀
                   └┬──────────────────────────┬
                    0                        100
                    │decay
    """
    columns = max((width or min(shutil.get_terminal_size().columns, 100)) - _GUTTER - 2, 28)
    scene = view(plan, run=run, record=record, groups=groups, points=columns * 4)
    rows = max(height or max(6, 15 - 3 * len(scene.panels)), 4)
    drawn = (_panel(panel, scene, columns, rows, log=log, colour=colour) for panel in scene.panels)
    return "\n\n".join(
        ["\n".join(lines) for lines in drawn] + ["\n".join(scene.notes)] * bool(scene.notes)
    )


def sparkline(given: Schedule | Iterable[float], width: int = 24) -> str:
    """Return a schedule, or numbers, as one line of blocks.

    Args:
        given: A schedule, over its own length or 1,000 updates, or the numbers themselves.
        width: Characters.

    Example:
        >>> from warmdown import Cosine, Linear
        >>> sparkline(Linear(start=0.0, end=1.0, steps="20%") >> Cosine(), width=16)
        '▁▃▆███▇▆▅▄▄▃▂▁▁▁'
    """
    values = (
        _schedule_values(given, width)
        if isinstance(given, Schedule)
        else np.asarray(list(given), dtype=float)
    )
    if values.size == 0:
        return ""
    values = np.interp(np.linspace(0, values.size - 1, width), np.arange(values.size), values)
    low, high = float(np.min(values)), float(np.max(values))
    share = np.full_like(values, 0.5) if high == low else (values - low) / (high - low)
    return "".join(_BLOCKS[level] for level in np.rint(share * (len(_BLOCKS) - 1)).astype(int))


def _schedule_values(schedule: Schedule, width: int) -> Array:
    line = view(schedule).lines[0]
    return np.interp(np.linspace(0, line.stop, width), line.steps, line.values)


def _panel(
    panel: Panel, scene: View, columns: int, rows: int, *, log: bool, colour: bool
) -> list[str]:
    scale = _Scale.of(panel, log=log or panel.is_read_by_its_decades)
    head = f"{panel.unit}{' (logarithmic)' if scale.log else ''} over {count(scene.stop)} {scene.clock}"
    body = _curves(panel, scene, scale, columns, rows, colour=colour)
    beside = [f"{label:>{_GUTTER}} {'┤' if label else '│'}" for label in _beside(scale, rows)]
    drawn = [label + line for label, line in zip(beside, body, strict=True)]
    return [
        head,
        *drawn,
        *_below(scene, columns),
        *_names(panel.phases, scene.stop, columns),
        *_legend(panel, colour),
    ]


class _Scale:
    """Values to heights: as they are, or their logarithms."""

    def __init__(self, low: float, high: float, *, log: bool) -> None:
        self.low, self.high, self.log = low, high, log
        self.top = high + _HEADROOM * (high - low)

    @classmethod
    def of(cls, panel: Panel, *, log: bool) -> _Scale:
        values = [line.values for line in panel.lines]
        floor = log_floor(values) if log else None
        if floor is None:
            return cls(*reach(values), log=False)
        highest = float(np.log10(max(np.max(line) for line in values)))
        lowest = float(np.log10(floor))
        return cls(lowest if lowest < highest else highest - 1, highest, log=True)

    def height(self, values: Array) -> Array:
        return np.log10(np.maximum(values, 10.0**self.low)) if self.log else values

    def ends(self) -> list[tuple[float, str]]:
        ends = (self.low, self.high)
        return [(end, number(10.0**end if self.log else end)) for end in ends]

    def ticks(self, at_most: int) -> list[tuple[float, str]]:
        if not self.log:
            return [(tick, number(tick)) for tick in linear_ticks(self.low, self.high, at_most)]
        return [
            (float(np.log10(tick)), number(tick))
            for tick in log_ticks(10.0**self.low, 10.0**self.high)
        ]


def _curves(
    panel: Panel, scene: View, scale: _Scale, columns: int, rows: int, *, colour: bool
) -> list[str]:
    from plotille import Canvas

    right = max(scene.stop, 1) * (1 + 1 / (4 * columns))
    canvas = Canvas(columns, rows, xmin=0, ymin=scale.low, xmax=right, ymax=scale.top, mode="names")
    for index, line in enumerate(panel.lines):
        ink = _COLOURS[index % len(_COLOURS)] if colour else None
        heights = scale.height(line.values)
        points = list(zip(line.steps.tolist(), heights.tolist(), strict=True))
        for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
            canvas.line(x0, y0, x1, y1, color=ink)
    for index, line in enumerate(panel.lines if len(panel.lines) > 1 else ()):
        at = int((index + 0.5) / len(panel.lines) * (line.steps.size - 1))
        canvas.text(float(line.steps[at]), float(scale.height(line.values)[at]), _letter(index))
    return [row.rstrip(_BLANK) for row in canvas.plot(linesep="\n").split("\n")]


def _beside(scale: _Scale, rows: int) -> list[str]:
    """Return the text left of each row, from the top."""
    labels = [""] * rows
    for height, text in [
        *scale.ends(),
        *scale.ticks(rows // 2 + 1),
    ]:  # a round number before an end
        row = int((height - scale.low) / (scale.top - scale.low) * rows)
        labels[rows - 1 - min(row, rows - 1)] = text
    return labels


def _below(scene: View, columns: int) -> list[str]:
    line, text = ["─"] * columns, [" "] * columns
    for tick in linear_ticks(0, scene.stop, max(columns // 11, 2)):
        column = min(int(tick / max(scene.stop, 1) * columns), columns - 1)
        line[column] = "┬"
        label = short_count(tick)
        column = min(column, columns - len(label))
        text[column : column + len(label)] = label
    left = " " * (_GUTTER + 1)
    return [f"{left}└{''.join(line)}", f"{left} {''.join(text).rstrip()}"]


def _names(phases: tuple[Phase, ...], stop: int, columns: int) -> list[str]:
    """Return the names of the phases, each below its first step."""
    starts = [int(phase.start / max(stop, 1) * columns) for phase in phases]
    names = [f"│{phase.name}" for phase in phases]
    rows = placed(
        [(start, len(name) + 1) for start, name in zip(starts, names, strict=True)], 2, columns + 1
    )
    lines = [[" "] * (columns + _GUTTER) for _ in range(2)]
    for start, name, row in zip(starts, names, rows, strict=True):
        if row is not None:
            lines[0][start] = "│"
            lines[row][start : start + len(name)] = name
    return [f"{' ' * (_GUTTER + 2)}{text}" for line in lines if (text := "".join(line).rstrip())]


def _legend(panel: Panel, colour: bool) -> list[str]:
    if len(panel.lines) == 1:
        return []
    from plotille import color

    named = (
        (_letter(index), line, _COLOURS[index % len(_COLOURS)])
        for index, line in enumerate(panel.lines)
    )
    left = " " * (_GUTTER + 2)
    return [
        left + color(f"{letter} {line.label}", fg=ink, no_color=not colour)
        for letter, line, ink in named
    ]


def _letter(index: int) -> str:
    return chr(ord("a") + index % 26)
