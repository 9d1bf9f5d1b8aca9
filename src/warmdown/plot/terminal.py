"""Pictures made of characters: braille curves, and a schedule in one line."""

from __future__ import annotations

__all__ = ["sparkline", "terminal"]

import shutil
from collections.abc import Iterable
from itertools import cycle
from typing import Unpack

import numpy as np

from warmdown.plot.axis import Axis, place_names
from warmdown.plot.formatting import count, number
from warmdown.plot.picture import x_ticks
from warmdown.plot.view import Drawable, Line, Panel, View, ViewOptions, view
from warmdown.schedules import Schedule

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
    width: int | None = None,
    height: int | None = None,
    log: bool = False,
    colour: bool = False,
    **options: Unpack[ViewOptions],
) -> str:
    """Return a picture for a terminal.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        width: Characters of a line, at least 40; the terminal's own when left out.
        height: Lines of each curve, at least 4.
        log: Whether values stand on a logarithmic axis.
        colour: Whether to write colours, where standard output is a terminal or ``FORCE_COLOR`` is
            set, and ``NO_COLOR`` is not.
        options: ``run``, ``record`` and ``groups``, as :func:`warmdown.plot.view` takes them.

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
    scene = view(plan, points=columns * 4, **options)
    rows = max(height or max(6, 15 - 3 * len(scene.panels)), 4)
    texts = [scene.title] if scene.title else []
    for panel in scene.panels:
        drawing = _TextPanel(panel, scene, columns, rows, log=log, colour=colour)
        texts.append("\n".join(drawing.lines()))
    texts += ["\n".join(scene.notes)] if scene.notes else []
    return "\n\n".join([*texts, scene.text] if scene.text else texts)


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
    if isinstance(given, Schedule):
        line = view(given).lines[0]
        steps, values = line.steps, line.values
    else:
        values = np.asarray(list(given), dtype=float)
        steps = np.arange(float(values.size))
    if values.size == 0:
        return ""
    values = np.interp(np.linspace(0, steps[-1], width), steps, values)
    low, high = float(np.min(values)), float(np.max(values))
    share = np.full_like(values, 0.5) if high == low else (values - low) / (high - low)
    return "".join(_BLOCKS[level] for level in np.rint(share * (len(_BLOCKS) - 1)).astype(int))


class _TextPanel:
    """One panel in characters; on a logarithmic axis heights are logarithms."""

    def __init__(
        self, panel: Panel, scene: View, columns: int, rows: int, *, log: bool, colour: bool
    ) -> None:
        self.panel, self.scene, self.columns, self.rows = panel, scene, columns, rows
        shown = tuple(line for line in panel.lines if not line.is_background)
        self.shown = shown or panel.lines
        self.inks = [
            ink if colour else None for ink, _ in zip(cycle(_COLOURS), self.shown, strict=False)
        ]
        values = Panel(panel.unit, self.shown).heights(is_cropped=scene.is_cropped)
        self.y = Axis.of(values, log=log or panel.spans_decades)

    def lines(self) -> list[str]:
        """Return the panel from its heading to its legend."""
        unit = f"{self.panel.unit} (logarithmic)" if self.y.log else self.panel.unit
        if self.scene.log_x:
            heading = f"{unit} over {self.scene.x} (logarithmic)"
        else:
            heading = f"{unit} over {count(self.scene.stop)} {self.scene.x}"
        margin = [f"{label:>{_GUTTER}} {'┤' if label else '│'}" for label in self._y_labels()]
        curves = self._curves()
        body = [left + right for left, right in zip(margin, curves, strict=True)]
        return [heading, *body, *self._x_axis(), *self._phase_names(), *self._legend()]

    def _curves(self) -> list[str]:
        from plotille import Canvas

        # half a dot more than the axis: plotille drops a point that lies exactly on the edge
        right = 1 + 1 / (4 * self.columns)
        limits = {"xmin": 0, "xmax": right, "ymin": 0, "ymax": 1 + _HEADROOM}
        canvas = Canvas(self.columns, self.rows, mode="names", **limits)
        curves = [self._points(line) for line in self.shown]
        for points, ink in zip(curves, self.inks, strict=True):
            for start, end in zip(points, points[1:] or points, strict=False):
                canvas.line(*start, *end, color=ink)
        for index, points in enumerate(curves):
            if points and len(curves) > 1:
                at = int((index + 0.5) / len(curves) * (len(points) - 1))
                canvas.text(*points[at], _letter(index))
        return [row.rstrip(_BLANK) for row in canvas.plot(linesep="\n").split("\n")]

    def _points(self, line: Line) -> list[tuple[float, float]]:
        """Return the points of a line that are finite, as the canvas has them."""
        values = line.values
        if self.y.log or self.scene.is_cropped:
            values = np.clip(values, self.y.low, self.y.high)
        good = np.isfinite(values)
        heights, places = self.y.share(values[good]), self.scene.axis.share(line.steps[good])
        return list(zip(places.tolist(), heights.tolist(), strict=True))

    def _y_labels(self) -> list[str]:
        """Return the text left of each row, from the top."""
        labels = [""] * self.rows
        ends = (self.y.low, self.y.high)
        for value in (*ends, *self.y.ticks(self.rows // 2 + 1)):  # a round number replaces an end
            row = int(self.y.share(value) / (1 + _HEADROOM) * self.rows)
            labels[self.rows - 1 - min(row, self.rows - 1)] = number(value)
        return labels

    def _x_axis(self) -> list[str]:
        line, text = ["─"] * self.columns, [" "] * self.columns
        for tick, label in zip(*x_ticks(self.scene, max(self.columns // 11, 2)), strict=True):
            column = min(int(self.scene.axis.share(tick) * self.columns), self.columns - 1)
            line[column] = "┬"
            column = min(column, self.columns - len(label))
            text[column : column + len(label)] = label
        left = " " * (_GUTTER + 1)
        return [f"{left}└{''.join(line)}", f"{left} {''.join(text).rstrip()}"]

    def _phase_names(self) -> list[str]:
        """Return the names of the phases, each below its first step."""
        phases, axis = self.panel.phases, self.scene.axis
        spans = [
            (int(axis.share(phase.start) * self.columns), len(phase.name) + 2) for phase in phases
        ]
        lines = [[" "] * (self.columns + _GUTTER) for _ in range(2)]
        rows = place_names(spans, 2, self.columns + 1)
        for phase, (start, _), row in zip(phases, spans, rows, strict=True):
            if row is not None:
                name = f"│{phase.name}"
                lines[0][start] = "│"
                lines[row][start : start + len(name)] = name
        texts = ["".join(line).rstrip() for line in lines]
        return [f"{' ' * (_GUTTER + 2)}{text}" for text in texts if text]

    def _legend(self) -> list[str]:
        if len(self.shown) == 1:
            return []
        from plotille import color

        left = " " * (_GUTTER + 2)
        legend = []
        for index, (line, ink) in enumerate(zip(self.shown, self.inks, strict=True)):
            text = color(f"{_letter(index)} {line.label}", fg=ink, no_color=ink is None)
            legend.append(left + text)
        return legend


def _letter(index: int) -> str:
    return chr(ord("a") + index % 26)
