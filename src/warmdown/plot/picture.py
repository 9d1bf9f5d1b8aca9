"""The picture: one panel for each unit, drawn by matplotlib without its global state."""

from __future__ import annotations

__all__ = ["figure"]

from itertools import accumulate, cycle
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from warmdown.errors import MissingExtra
from warmdown.plot.axis import Axis, place_names
from warmdown.plot.formatting import number, short_count
from warmdown.plot.theme import DARK, DASHES, LIGHT, Theme, tint_of
from warmdown.plot.view import MANY_PHASES, Drawable, Line, Panel, View, ViewOptions, view
from warmdown.printable import printable
from warmdown.schedules import Phase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 8.0
"""Inches; a character of the small type is about 0.07 of them."""
_LEFT, _BOTTOM = 0.72, 0.5
_PLOT_HEIGHT, _PLOT_HEIGHT_OF_MANY = 2.7, 1.75
_CHARACTER = 0.073
_ROW = 0.15
"""Height of a row of phase names."""
_LABEL = 0.16
"""Height of a line's name at its end."""
_TALLEST = 6.0
"""Height of a panel with very many lines; not all of them find room for their names."""
_MANY_TURNS = 200
"""A line that turns more often is drawn thin, so that it does not become a block."""
_LONGEST_LABEL = 42
"""Characters of a name at a line's end, so that the curves keep half of the paper."""


def figure(
    plan: Drawable,
    *,
    log: bool = False,
    dark: bool = False,
    title: str = "",
    **options: Unpack[ViewOptions],
) -> Figure:
    """Return a matplotlib figure; its ``savefig`` writes it, or :func:`warmdown.plot.save`.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        log: Whether values stand on a logarithmic axis.
        dark: Whether the paper is dark.
        title: Above the picture.
        options: ``run``, ``record`` and ``groups``, as :func:`warmdown.plot.view` takes them.

    Raises:
        MissingExtra: matplotlib is not installed.

    Example:
        >>> from warmdown import Run, warmup_cosine
        >>> picture = figure(warmup_cosine(), run=Run(total_steps=1000, lr=3e-4))
        >>> [axes.get_title(loc="left") for axes in picture.axes]
        ['learning rate']
    """
    scene = view(plan, **options)
    return draw_view(scene, log=log, theme=DARK if dark else LIGHT, title=title)


def draw_view(
    scene: View, *, log: bool, theme: Theme, title: str = "", width: float = _WIDTH
) -> Figure:
    """Return the figure of a view."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError:
        raise MissingExtra("plot", "matplotlib", "plot") from None

    title = printable(title or scene.title, as_line=True)
    layout = _Layout(scene, title, width)
    picture = Figure(figsize=(width, layout.height), dpi=150, facecolor=theme.paper)
    FigureCanvasAgg(picture)  # a figure with its own canvas needs no pyplot and its global state
    for index, box in enumerate(layout.boxes()):
        _PanelDrawing(picture.add_axes(box), index, layout, theme, log=log).draw()
    picture.axes[-1].set_xlabel(scene.x, color=theme.quiet, fontsize=9)
    left = _LEFT / width
    if title:
        high = 1 - 0.12 / layout.height
        picture.text(left, high, title, va="top", color=theme.ink, fontsize=12, weight="bold")
    for row, note in enumerate(scene.notes):
        low = (0.06 + 0.15 * row) / layout.height
        picture.text(left, low, note, color=theme.quiet, fontsize=8)
    for text in picture.findobj(Text):
        text.set_parse_math(False)  # a name with two dollars is a name, not a formula
    return picture


class _Layout:
    """Where everything stands on the paper, in inches."""

    def __init__(self, scene: View, title: str, width: float) -> None:
        self.scene, self.width, self.panels = scene, width, scene.panels
        labels = [_end_label(line, panel) for panel in self.panels for line in panel.lines]
        self.right = 0.25 + _CHARACTER * max(map(len, labels))
        self.plot_width = width - _LEFT - self.right
        usual = _PLOT_HEIGHT if len(self.panels) == 1 else _PLOT_HEIGHT_OF_MANY
        most_lines = max(len(panel.lines) for panel in self.panels)
        self.plot_height = min(max(usual, _LABEL * most_lines), _TALLEST)
        self.name_rows = [self.rows_of_names(panel.phases) for panel in self.panels]
        used = [[row + 1 for row in rows if row is not None] for rows in self.name_rows]
        self.rows = [max(rows, default=0) for rows in used]
        self.top = 0.38 if title else 0.06
        foot = _BOTTOM + 0.17 * len(scene.notes)
        between = 0.3 * (len(self.panels) - 1)
        heads = sum(0.36 + _ROW * rows for rows in self.rows)
        plots = self.plot_height * len(self.panels)
        self.height = self.top + heads + plots + between + foot

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """Return left, bottom, width and height of each panel, as shares of the paper."""
        boxes, below = [], self.height - self.top
        left, wide = _LEFT / self.width, self.plot_width / self.width
        for rows in self.rows:
            below -= 0.36 + _ROW * rows + self.plot_height
            boxes.append((left, below / self.height, wide, self.plot_height / self.height))
            below -= 0.3
        return boxes

    def rows_of_names(self, phases: tuple[Phase, ...]) -> list[int | None]:
        """Return the row of each phase's name above its panel, the lowest first."""
        names = [(self.place(phase.start), 0.11 + _CHARACTER * len(phase.name)) for phase in phases]
        return place_names(names, 3, self.plot_width + self.right)

    def place(self, step: float) -> float:
        """Return how far right of the vertical axis a step stands."""
        return float(self.scene.axis.share(step)) * self.plot_width


class _PanelDrawing:
    """One panel on its axes."""

    def __init__(self, axes: Axes, index: int, layout: _Layout, theme: Theme, *, log: bool) -> None:
        self.axes, self.index, self.layout, self.theme = axes, index, layout, theme
        self.scene, self.panel = layout.scene, layout.panels[index]
        self.heights = self.panel.heights(is_cropped=self.scene.is_cropped)
        self.y = Axis.of(self.heights, log=log or self.panel.spans_decades)
        # lines in the foreground take the colours in turn
        colours = cycle(theme.lines)
        self.colours = [
            theme.quiet if line.is_background else next(colours) for line in self.panel.lines
        ]

    def draw(self) -> None:
        """Draw frame, phases, axes, lines, names and marks, from the back to the front."""
        self._frame()
        self._phases()
        self._y_axis()
        rank = 0
        for index, line in enumerate(self.panel.lines):
            self._line(line, index, rank)
            rank += not line.is_background
        self._end_labels()
        self._marks()

    def _frame(self) -> None:
        axes, theme, x = self.axes, self.theme, self.scene.axis
        axes.set_facecolor(theme.paper)
        if self.scene.log_x:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xlim(x.low, x.high)
        pad = 6 + 72 * _ROW * self.layout.rows[self.index]
        axes.set_title(
            self.panel.unit, loc="left", color=theme.ink, fontsize=10, weight="bold", pad=pad
        )
        axes.set_xticks(*x_ticks(self.scene, 9))
        axes.tick_params(colors=theme.quiet, labelsize=8.5, length=3, color=theme.grid)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(theme.grid)

    def _phases(self) -> None:
        axes, theme, phases = self.axes, self.theme, self.panel.phases
        names = zip(phases, self.layout.name_rows[self.index], strict=True)
        for place, (phase, row) in enumerate(names):
            if len(phases) <= MANY_PHASES:
                end = self.scene.stop if phase.stop is None else phase.stop
                tint = tint_of(phase.name, place, theme)
                axes.axvspan(phase.start, end, facecolor=tint, edgecolor="none", zorder=0)
                axes.axvline(phase.start, color=theme.grid, linewidth=0.8, zorder=1)
            if row is not None:
                self._phase_name(phase, row)

    def _phase_name(self, phase: Phase, row: int) -> None:
        """Write a phase's name above its first step, with a stem down to it."""
        bottom = 1 + (0.03 + row * _ROW) / self.layout.plot_height
        where: Any = self.axes.get_xaxis_transform()
        stem: Any = {"linewidth": 0.7, "clip_on": False, "transform": where}
        top = bottom + 0.11 / self.layout.plot_height
        self.axes.plot([phase.start] * 2, [1, top], color=self.theme.quiet, **stem)
        self._write(phase.name, (phase.start, bottom), where, (3, 0), va="bottom")

    def _write(
        self, text: str, at: tuple[float, float], where: Any, shift: tuple[float, float], **how: Any
    ) -> None:
        """Write a text, shifted by points from its place, which may lie outside of the axes."""
        style = {"color": self.theme.quiet, "fontsize": 8.5, **how}
        self.axes.annotate(
            text,
            at,
            xycoords=where,
            xytext=shift,
            textcoords="offset points",
            annotation_clip=False,
            **style,
        )

    def _marks(self) -> None:
        """Draw a line at each mark; the first panel has their texts."""
        marks = sorted(self.scene.marks, key=lambda mark: mark.step)
        spans = [
            (self.layout.place(mark.step), 0.1 + _CHARACTER * len(mark.text)) for mark in marks
        ]
        rows = place_names(spans, 4, self.layout.plot_width)
        dash: Any = (0, (2, 2))
        for mark, row in zip(marks, rows, strict=True):
            self.axes.axvline(
                mark.step, color=self.theme.quiet, linewidth=0.8, linestyle=dash, zorder=2
            )
            if self.index == 0 and row is not None:
                where = self.axes.get_xaxis_transform()
                self._write(
                    mark.text, (mark.step, 1), where, (3, -2 - 11 * row), fontsize=8, va="top"
                )

    def _y_axis(self) -> None:
        axes, low, high = self.axes, self.y.low, self.y.high
        if self.y.log:
            axes.set_yscale("log")
            axes.set_ylim(low * (low / high) ** 0.03, high * (high / low) ** 0.06)
            axes.minorticks_off()
        else:
            margin = 0.06 * (high - low)
            axes.set_ylim(low - (margin if low else 0.02 * (high - low)), high + margin)
        ticks = self.y.ticks(6 if self.layout.plot_height > 2 else 5)
        axes.set_yticks(ticks, [number(tick) for tick in ticks])
        axes.grid(axis="y", color=self.theme.grid, linewidth=0.8, zorder=1)
        axes.set_axisbelow(True)

    def _line(self, line: Line, index: int, rank: int) -> None:
        """Draw a line, the ``rank``-th in the foreground: from the seventh on, dashes differ."""
        axes, colour, values = self.axes, self.colours[index], line.values
        if self.y.log:
            values = np.where(values > 0, values, np.nan)
        is_thin = line.is_recorded or line.is_background
        width = 1.0 if is_thin else 2.0
        dash: Any = "-" if is_thin else DASHES[(rank + rank // len(DASHES)) % len(DASHES)]
        if line.low is not None and line.high is not None:
            axes.fill_between(
                line.steps, line.low, line.high, color=colour, alpha=0.15, linewidth=0, zorder=2
            )
        axes.plot(
            line.steps,
            values,
            color=colour,
            linewidth=0.8 if _count_turns(values) > _MANY_TURNS else width,
            linestyle=dash,
            alpha=0.9 if is_thin else None,
            drawstyle="steps-post" if line.is_stepped else "default",
            solid_capstyle="round",
            label=line.label,
            zorder=3 + index / 100,
        )
        if not self.panel.phases and line.value is not None and line.phases:
            borders = np.asarray([float(phase.start) for phase in line.phases if phase.start])
            if 0 < borders.size <= 12:
                axes.plot(borders, line.value(borders), "o", color=colour, markersize=4, zorder=4)

    def _end_labels(self) -> None:
        # the limits as drawn, with their margins
        drawn = Axis(*self.axes.get_ylim(), log=self.y.log)
        ends = []
        for index, values in enumerate(self.heights):
            if values.size:
                last = max(values[-1], self.y.low) if self.y.log else values[-1]
                ends.append((float(drawn.share(last)), np.mean(values), index))
        ends.sort()
        rows = int(self.layout.plot_height / _LABEL)
        named = ends[:: -(-len(ends) // rows) or 1]
        heights = _spread([share for share, _, _ in named], _LABEL / self.layout.plot_height)
        for (_, _, index), height in zip(named, heights, strict=True):
            text = _end_label(self.panel.lines[index], self.panel)
            colour = self.colours[index]
            self._write(text, (1, height), "axes fraction", (6, 0), color=colour, va="center")


def x_ticks(scene: View, at_most: int) -> tuple[list[float], list[str]]:
    """Return the places of the horizontal axis that have a label, and the labels."""
    ticks = scene.axis.ticks(at_most)
    # whole steps get their thousands apart; a rate, below 10, its significant digits
    label = number if scene.log_x or scene.axis.high < 10 else short_count
    return ticks, [label(tick) for tick in ticks]


def _count_turns(values: Any) -> int:
    directions = np.sign(np.diff(values))
    return int(np.count_nonzero(directions[1:] * directions[:-1] < 0))


def _end_label(line: Line, panel: Panel) -> str:
    """Return what stands at the right end of a line: its last value, and its name among others."""
    end = number(float(line.values[-1]), 3)
    if len(panel.lines) == 1 and not line.is_recorded:
        return end
    is_long = len(line.label) > _LONGEST_LABEL
    return f"{line.label[: _LONGEST_LABEL - 1]}…  {end}" if is_long else f"{line.label}  {end}"


def _spread(shares: list[float], distance: float) -> list[float]:
    """Move rising heights until neighbours are ``distance`` apart, and none is above 1."""
    moved = list(accumulate(shares, lambda before, share: max(share, before + distance)))
    for index in reversed(range(len(moved))):  # from the top down again, to stay below it
        moved[index] = min(moved[index], 1.0 - distance * (len(moved) - 1 - index))
    return moved
