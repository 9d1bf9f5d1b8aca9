"""The picture: one panel for each unit, drawn by matplotlib without its global state."""

from __future__ import annotations

__all__ = ["figure"]

from collections.abc import Iterable, Sequence
from math import ceil
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from warmdown.errors import MissingExtra, printable
from warmdown.formatting import number, short_count, shortened
from warmdown.plot.axis import Axis, place_names
from warmdown.plot.theme import DARK, DASHES, LIGHT, Theme, tint_of
from warmdown.plot.view import MANY_PHASES, Drawable, Line, Panel, Stroke, View, ViewOptions, view
from warmdown.schedules import Phase
from warmdown.schedules.sampling import Array

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
_MARK_ROWS = 5
_LONGEST_LABEL = 42
"""Characters of a name at a line's end, so that the curves keep half of the paper."""
_FAINT = 0.35
"""Opacity of a plan behind its own record."""
_DASH: Any = (0, (2, 2))
"""Of the line at a mark."""


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
    return draw_view(scene, log=log, dark=dark, title=title)


def draw_view(
    scene: View, *, log: bool, dark: bool, title: str = "", width: float = _WIDTH
) -> Figure:
    """Return the figure of a view."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.text import Text

        from warmdown.plot.paper import Picture
    except ImportError:
        raise MissingExtra("plot", "matplotlib", "plot") from None

    theme = DARK if dark else LIGHT
    title = printable(title or scene.title, as_line=True)
    panels = scene.panels
    longest = max(len(_end_label(line, scene)) for panel in panels for line in panel.lines)
    right = 0.25 + _CHARACTER * longest
    wide = width - _LEFT - right
    most_lines = max(len(panel.lines) for panel in panels)
    usual = _PLOT_HEIGHT if len(panels) == 1 else _PLOT_HEIGHT_OF_MANY
    high = min(max(usual, _LABEL * most_lines), _TALLEST)
    phases = [[(phase.start, phase.name) for phase in panel.phases] for panel in panels]
    rows = [_rows_of(names, scene.axis, wide, rows=3, edge=wide + right) for names in phases]
    names = _ROW * max((row + 1 for found in rows for row in found if row is not None), default=0)
    top = 0.42 + names + (0.32 if title else 0.0)
    gap = 0.66 + names
    foot = _BOTTOM + 0.17 * len(scene.notes)
    height = top + (high + gap) * len(panels) - gap + foot
    picture = Picture(figsize=(width, height), dpi=150, facecolor=theme.paper)
    FigureCanvasAgg(picture)  # a figure with its own canvas needs no pyplot and its global state
    left = _LEFT / width
    picture.subplots(len(panels))
    picture.subplots_adjust(
        left, foot / height, 1 - right / width, 1 - top / height, hspace=gap / high
    )
    for axes, panel, found in zip(picture.axes, panels, rows, strict=True):
        _draw_panel(axes, panel, scene, theme, high, log=log)
        _draw_phases(axes, panel.phases, found, scene.stop, theme, high)
        title_font = {"color": theme.ink, "size": 10, "weight": "bold"}
        axes.set_title(panel.unit, title_font, loc="left", pad=6 + 72 * names)
        for mark in scene.marks:
            axes.axvline(mark.step, color=theme.quiet, linewidth=0.8, linestyle=_DASH, zorder=2)
    _name_marks(picture.axes[0], scene, theme, wide)
    picture.axes[-1].set_xlabel(scene.x, color=theme.quiet, fontsize=9)
    if title:
        above = 1 - 0.12 / height
        picture.text(left, above, title, va="top", color=theme.ink, fontsize=12, weight="bold")
    for row, note in enumerate(scene.notes):
        low = (0.06 + 0.15 * row) / height
        picture.text(left, low, note, color=theme.quiet, fontsize=8)
    for text in picture.findobj(Text):
        text.set_parse_math(False)  # a name with two dollars is a name, not a formula
    return picture


def _rows_of(
    texts: Iterable[tuple[float, str]], axis: Axis, wide: float, *, rows: int, edge: float
) -> list[int | None]:
    """Return the row of each text that begins at a step; lengths are in inches."""
    spans = [(float(axis.share(step)) * wide, 0.1 + _CHARACTER * len(text)) for step, text in texts]
    return place_names(spans, rows, edge)


def _draw_panel(
    axes: Axes, panel: Panel, scene: View, theme: Theme, high: float, *, log: bool
) -> None:
    """Draw axes, lines and the lines' names; ``high`` is the height of the axes in inches."""
    heights = panel.heights(is_cropped=scene.is_cropped)
    y = Axis.of(heights, log=log or panel.spans_decades)
    _draw_axes(axes, scene, y, theme, most_ticks=6 if high > 2 else 5)
    # the limits as drawn, with their margins
    drawn = Axis(*axes.get_ylim(), log=y.log)
    ends = []
    strokes = scene.strokes(panel)
    for index, (line, stroke, finite) in enumerate(zip(panel.lines, strokes, heights, strict=True)):
        colour = theme.quiet if line.is_background else theme.lines[stroke.hue % len(theme.lines)]
        _draw_line(axes, line, stroke, colour, y)
        if not panel.phases:
            _draw_borders(axes, line, colour)
        if finite.size:
            last = max(finite[-1], y.low) if y.log else finite[-1]
            share = float(drawn.share(last))
            ends.append((share, finite.mean(), index, _end_label(line, scene), colour))
    named = sorted(ends)[:: ceil(len(ends) / int(high / _LABEL)) or 1]
    places = _spread([share for share, *_ in named], _LABEL / high)
    for place, (*_, text, colour) in zip(places, named, strict=True):
        _annotate(axes, text, (1, place), "axes fraction", (6, 0), color=colour, va="center")


def _draw_axes(axes: Axes, scene: View, y: Axis, theme: Theme, most_ticks: int) -> None:
    x, low, high = scene.axis, y.low, y.high
    axes.set_facecolor(theme.paper)
    axes.set_xscale("log" if x.log else "linear")
    axes.set_yscale("log" if y.log else "linear")
    axes.set_xlim(x.low, x.high)
    if y.log:
        axes.set_ylim(low * (low / high) ** 0.03, high * (high / low) ** 0.06)
    else:
        height = high - low
        axes.set_ylim(low - (0.06 if low else 0.02) * height, high + 0.06 * height)
    axes.set_xticks(*x_ticks(scene, 9))
    ticks = y.ticks(most_ticks)
    axes.set_yticks(ticks, list(map(number, ticks)))
    axes.minorticks_off()
    axes.tick_params(colors=theme.quiet, labelsize=8.5, length=3, color=theme.grid)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8, zorder=1)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(theme.grid)


def _draw_line(axes: Axes, line: Line, stroke: Stroke, colour: str, y: Axis) -> None:
    """Draw a line; from the seventh of a panel on, colours repeat and dashes differ."""
    values = np.where(line.values > 0, line.values, np.nan) if y.log else line.values
    is_thin = line.is_recorded or line.is_background
    width = 1.0 if is_thin else 2.0
    dash: Any = DASHES[(stroke.dash + stroke.dash // len(DASHES)) % len(DASHES)]
    if line.low is not None and line.high is not None:
        band = axes.fill_between(line.steps, line.low, line.high, color=colour, alpha=0.15)
        band.set(linewidth=0, zorder=2)
    axes.plot(
        line.steps,
        values,
        color=colour,
        linewidth=0.8 if _count_turns(values) > _MANY_TURNS else width,
        linestyle=dash,
        alpha=_FAINT if stroke.is_faint else 0.9 if is_thin else None,
        drawstyle="steps-post" if line.is_stepped else "default",
        solid_capstyle="round",
        label=line.label,
        zorder=2.5 if stroke.is_faint else 3,
    )


def _draw_borders(axes: Axes, line: Line, colour: str) -> None:
    """Draw a dot where each phase begins, if they are few."""
    borders = np.asarray([float(phase.start) for phase in line.phases if phase.start])
    if line.value is not None and 0 < borders.size <= 12:
        axes.plot(borders, line.value(borders), "o", color=colour, markersize=4, zorder=4)


def _draw_phases(
    axes: Axes,
    phases: Sequence[Phase],
    rows: Iterable[int | None],
    stop: int,
    theme: Theme,
    high: float,
) -> None:
    """Shade the phases, and write each one's name above its first step, with a stem down to it."""
    above: Any = axes.get_xaxis_transform()
    for place, (phase, row) in enumerate(zip(phases, rows, strict=True)):
        start = phase.start
        if len(phases) <= MANY_PHASES:
            tint = tint_of(phase.name, place, theme)
            axes.axvspan(start, phase.until(stop), facecolor=tint, edgecolor="none", zorder=0)
            axes.axvline(start, color=theme.grid, linewidth=0.8, zorder=1)
        if row is not None:
            bottom = 1 + (0.03 + row * _ROW) / high
            top = bottom + 0.11 / high
            stem = axes.vlines(start, 1, top, color=theme.quiet, linewidth=0.7, transform=above)
            stem.set_clip_on(False)
            _annotate(
                axes, phase.name, (start, bottom), above, (3, 0), color=theme.quiet, va="bottom"
            )


def _name_marks(axes: Axes, scene: View, theme: Theme, wide: float) -> None:
    """Write each mark's text beside its line, to the left where the right has no room for it."""
    where, ends = axes.get_xaxis_transform(), [0.0] * _MARK_ROWS
    spans = []
    for mark in scene.marks:
        at, width = float(scene.axis.share(mark.step)) * wide, 0.1 + _CHARACTER * len(mark.text)
        is_left = at + width > wide
        spans.append((at - width if is_left else at, width, is_left, mark))
    for left, width, is_left, mark in sorted(spans, key=itemgetter(0)):
        row = next((row for row, end in enumerate(ends) if end <= left), None)
        if row is None:
            continue
        ends[row] = left + width
        shift, side = (-3.0, "right") if is_left else (3.0, "left")
        down = -2 - 11 * row
        how: Any = {"color": theme.quiet, "fontsize": 8, "va": "top", "ha": side}
        how["bbox"] = {"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        _annotate(axes, mark.text, (mark.step, 1), where, (shift, down), **how)


def _annotate(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    where: Any,
    shift: tuple[float, float],
    **how: Any,
) -> None:
    """Write a text, shifted by points from its place, which may lie outside of the axes."""
    style: Any = {"fontsize": 8.5, "textcoords": "offset points", "annotation_clip": False, **how}
    axes.annotate(text, at, xycoords=where, xytext=shift, **style)


def x_ticks(scene: View, at_most: int) -> tuple[list[float], list[str]]:
    """Return the places of the horizontal axis that have a label, and the labels."""
    ticks = scene.axis.ticks(at_most)
    # whole steps get their thousands apart; a rate, below 10, its significant digits
    label = number if scene.log_x or scene.axis.high < 10 else short_count
    return ticks, [label(tick) for tick in ticks]


def _count_turns(values: Any) -> int:
    directions = np.sign(np.diff(values))
    return int(np.count_nonzero(directions[1:] * directions[:-1] < 0))


def _end_label(line: Line, scene: View) -> str:
    """Return what stands at the right end of a line: its last value, and its name among others."""
    end = number(line.values[-1], 3)
    is_compared = any(other.run != line.run for other in scene.lines)
    is_alone = sum(other.unit == line.unit for other in scene.lines) == 1
    if is_alone and not line.is_recorded and not is_compared:
        return end
    return f"{shortened(line.label, _LONGEST_LABEL)}  {end}"


def _spread(shares: Sequence[float], distance: float) -> Array:
    """Move rising heights until neighbours are ``distance`` apart, and none is above 1."""
    # without their offsets, heights that are far enough apart rise; the maximum moves the others
    offsets = distance * np.arange(len(shares))
    moved = np.maximum.accumulate(np.asarray(shares) - offsets) + offsets
    lowered: Array = np.minimum(moved, 1.0 - offsets[::-1])
    return lowered
