"""The picture: one panel for each unit, drawn by matplotlib without its global state."""

from __future__ import annotations

__all__ = ["figure"]

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from warmdown.errors import MissingExtra
from warmdown.plot.axis import linear_ticks, log_floor, log_ticks, placed, reach
from warmdown.plot.formatting import number, short_count
from warmdown.plot.groups import Groups
from warmdown.plot.theme import DARK, DASHES, LIGHT, Look, tint_of
from warmdown.plot.view import MANY_PHASES, Drawable, Line, Panel, View, view
from warmdown.printable import printable
from warmdown.record import Record
from warmdown.run import Run
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


def figure(
    plan: Drawable,
    *,
    run: Run | None = None,
    log: bool = False,
    groups: Groups | None = None,
    dark: bool = False,
    record: Record | None = None,
    title: str = "",
) -> Figure:
    """Return a matplotlib figure; save it with its own ``savefig``, or with :func:`warmdown.plot.save`.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run, when the plan has none.
        log: Whether values stand on a logarithmic axis.
        groups: Base values of each parameter group: ``{"unet": 1e-4, "embedding": 1e-3}``.
        dark: Whether the paper is dark.
        record: What was really written, drawn beside the plan.
        title: Above the picture.

    Raises:
        MissingExtra: matplotlib is not installed.

    Example:
        >>> from warmdown import Run, warmup_cosine
        >>> picture = figure(warmup_cosine(), run=Run(total_steps=1000, lr=3e-4))
        >>> [axes.get_title(loc="left") for axes in picture.axes]
        ['learning rate']
    """
    return drawn(
        view(plan, run=run, record=record, groups=groups),
        log=log,
        look=DARK if dark else LIGHT,
        title=title,
    )


def drawn(scene: View, *, log: bool, look: Look, title: str = "", width: float = _WIDTH) -> Figure:
    """Return the figure of a view."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError:
        raise MissingExtra("plot", "matplotlib", "plot") from None

    sheet = _Sheet(scene, title, width)
    picture = Figure(figsize=(width, sheet.height), dpi=150, facecolor=look.paper)
    FigureCanvasAgg(picture)
    for panel, box in zip(scene.panels, sheet.boxes(), strict=True):
        _panel(picture.add_axes(box), panel, scene, sheet, log=log, look=look)
    picture.axes[-1].set_xlabel(scene.clock, color=look.quiet, fontsize=9)
    if title:
        title = printable(title, as_line=True)
        high = 1 - 0.12 / sheet.height
        picture.text(
            _LEFT / width, high, title, va="top", color=look.ink, fontsize=12, weight="bold"
        )
    for row, note in enumerate(scene.notes):
        picture.text(
            _LEFT / width, (0.06 + 0.15 * row) / sheet.height, note, color=look.quiet, fontsize=8
        )
    for text in picture.findobj(Text):
        text.set_parse_math(False)  # a name with two dollars is a name, not a formula
    return picture


class _Sheet:
    """Where everything stands on the paper, in inches."""

    def __init__(self, scene: View, title: str, width: float) -> None:
        self.width = width
        labels = [_end_label(line, panel) for panel in scene.panels for line in panel.lines]
        self.right = 0.25 + _CHARACTER * max(map(len, labels))
        self.plot_width = width - _LEFT - self.right
        usual = _PLOT_HEIGHT if len(scene.panels) == 1 else _PLOT_HEIGHT_OF_MANY
        self.plot_height = min(
            max(usual, _LABEL * max(len(panel.lines) for panel in scene.panels)), _TALLEST
        )
        self.rows = [self._rows_of(panel.phases, scene.stop) for panel in scene.panels]
        self.heads = [0.36 + _ROW * rows for rows in self.rows]
        self.top = 0.38 if title else 0.06
        self.foot = _BOTTOM + 0.17 * len(scene.notes)
        between = 0.3 * (len(scene.panels) - 1)
        self.height = (
            self.top + sum(self.heads) + self.plot_height * len(scene.panels) + between + self.foot
        )

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """Return left, bottom, width and height of each panel, as shares of the paper."""
        found, below = [], self.height - self.top
        for head in self.heads:
            below -= head + self.plot_height
            found.append(
                (
                    _LEFT / self.width,
                    below / self.height,
                    self.plot_width / self.width,
                    self.plot_height / self.height,
                )
            )
            below -= 0.3
        return found

    def names(self, phases: tuple[Phase, ...], stop: int) -> list[int | None]:
        """Return the row of each phase's name above its panel, the lowest first."""
        starts = [phase.start / max(stop, 1) * self.plot_width for phase in phases]
        names = [
            (start, 0.11 + _CHARACTER * len(phase.name))
            for start, phase in zip(starts, phases, strict=True)
        ]
        return placed(names, 3, self.plot_width + self.right)

    def _rows_of(self, phases: tuple[Phase, ...], stop: int) -> int:
        return max((row + 1 for row in self.names(phases, stop) if row is not None), default=0)


def _panel(axes: Axes, panel: Panel, scene: View, sheet: _Sheet, *, log: bool, look: Look) -> None:
    _frame(axes, panel, scene, sheet, look)
    _phases(axes, panel.phases, scene.stop, sheet, look)
    log = log or panel.is_read_by_its_decades
    floor = log_floor(line.values for line in panel.lines) if log else None
    _values_axis(axes, panel, floor, sheet, look)
    for index, line in enumerate(panel.lines):
        _line(axes, line, index, floor, look, dots=not panel.phases)
    _end_labels(axes, panel, sheet, floor, look)
    _marks(axes, scene, sheet, look, named=panel is scene.panels[0])


def _frame(axes: Axes, panel: Panel, scene: View, sheet: _Sheet, look: Look) -> None:
    axes.set_facecolor(look.paper)
    axes.set_xlim(0, max(scene.stop, 1))
    rows = sheet.rows[scene.panels.index(panel)]
    axes.set_title(
        panel.unit, loc="left", color=look.ink, fontsize=10, weight="bold", pad=6 + 72 * _ROW * rows
    )
    ticks = linear_ticks(0, max(scene.stop, 1), 9)
    axes.set_xticks(ticks, [short_count(tick) for tick in ticks])
    axes.tick_params(colors=look.quiet, labelsize=8.5, length=3, color=look.grid)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(look.grid)


def _phases(axes: Axes, phases: tuple[Phase, ...], stop: int, sheet: _Sheet, look: Look) -> None:
    for place, (phase, row) in enumerate(zip(phases, sheet.names(phases, stop), strict=True)):
        if len(phases) <= MANY_PHASES:
            end = stop if phase.stop is None else phase.stop
            axes.axvspan(
                phase.start,
                end,
                facecolor=tint_of(phase.name, place, look),
                edgecolor="none",
                zorder=0,
            )
            axes.axvline(phase.start, color=look.grid, linewidth=0.8, zorder=1)
        if row is not None:
            _name(axes, phase, row, sheet, look)


def _name(axes: Axes, phase: Phase, row: int, sheet: _Sheet, look: Look) -> None:
    """Write a phase's name above its first step, with a stem down to it."""
    bottom = 1 + (0.03 + row * _ROW) / sheet.plot_height
    where: Any = axes.get_xaxis_transform()
    stem: Any = {"color": look.quiet, "linewidth": 0.7, "clip_on": False, "transform": where}
    axes.plot([phase.start] * 2, [1, bottom + 0.11 / sheet.plot_height], **stem)
    axes.annotate(
        phase.name, (phase.start, bottom), xycoords=where, xytext=(3, 0), textcoords="offset points",
        annotation_clip=False, color=look.quiet, fontsize=8.5, va="bottom",
    )  # fmt: skip


def _marks(axes: Axes, scene: View, sheet: _Sheet, look: Look, *, named: bool) -> None:
    """Draw what happened; the first panel says what it was."""
    marks = sorted(scene.marks, key=lambda mark: mark.step)
    spans = [
        (mark.step / max(scene.stop, 1) * sheet.plot_width, 0.1 + _CHARACTER * len(mark.text))
        for mark in marks
    ]
    for mark, row in zip(marks, placed(spans, 4, sheet.plot_width), strict=True):
        axes.axvline(mark.step, color=look.quiet, linewidth=0.8, linestyle=(0, (2, 2)), zorder=2)
        if named and row is not None:
            axes.annotate(
                mark.text, (mark.step, 1), xycoords=axes.get_xaxis_transform(), xytext=(3, -2 - 11 * row),
                textcoords="offset points", color=look.quiet, fontsize=8, va="top",
            )  # fmt: skip


def _values_axis(axes: Axes, panel: Panel, floor: float | None, sheet: _Sheet, look: Look) -> None:
    values = [line.values for line in panel.lines]
    at_most = 6 if sheet.plot_height > 2 else 5
    if floor is None:
        low, high = reach(values)
        room = 0.06 * (high - low)
        axes.set_ylim(low - (room if low else 0.02 * (high - low)), high + room)
        ticks = linear_ticks(low, high, at_most)
    else:
        high = max(float(np.max(line)) for line in values)
        low = floor if floor < high else high / 10
        axes.set_yscale("log")
        axes.set_ylim(low * (low / high) ** 0.03, high * (high / low) ** 0.06)
        axes.minorticks_off()
        ticks = log_ticks(low, high)
    axes.set_yticks(ticks, [number(tick) for tick in ticks])
    axes.grid(axis="y", color=look.grid, linewidth=0.8, zorder=1)
    axes.set_axisbelow(True)


def _line(
    axes: Axes, line: Line, index: int, floor: float | None, look: Look, *, dots: bool
) -> None:
    colour = look.lines[index % len(look.lines)]
    values = line.values if floor is None else np.where(line.values > 0, line.values, np.nan)
    style: dict[str, Any] = {
        "color": colour,
        "linewidth": 2.0,
        "linestyle": DASHES[(index + index // len(DASHES)) % len(DASHES)],
    }
    if line.is_recorded:
        style |= {"linewidth": 1.0, "linestyle": "-", "alpha": 0.9}
    if _turns(values) > _MANY_TURNS:
        style["linewidth"] = 0.8
    if line.is_stepped:
        style["drawstyle"] = "steps-post"
    axes.plot(
        line.steps,
        values,
        zorder=3 + index / 100,
        solid_capstyle="round",
        label=line.label,
        **style,
    )
    if dots and line.value is not None and line.phases:
        borders = np.asarray([float(phase.start) for phase in line.phases if phase.start])
        if 0 < borders.size <= 12:
            axes.plot(borders, line.value(borders), "o", color=colour, markersize=4, zorder=4)


def _turns(values: Any) -> int:
    ways = np.sign(np.diff(values))
    return int(np.count_nonzero(ways[1:] * ways[:-1] < 0))


def _end_label(line: Line, panel: Panel) -> str:
    """Return what stands at the right end of a line: its last value, and its name among others."""
    end = number(float(line.values[-1]), 3)
    return end if len(panel.lines) == 1 and not line.is_recorded else f"{line.label}  {end}"


def _end_labels(axes: Axes, panel: Panel, sheet: _Sheet, floor: float | None, look: Look) -> None:
    heights = [float(line.values[-1]) for line in panel.lines]
    low, high = axes.get_ylim()
    if floor is None:
        shares = [(height - low) / (high - low) for height in heights]
    else:
        shares = [
            float(np.log(max(height, floor) / low) / np.log(high / low)) for height in heights
        ]
    room = int(sheet.plot_height / _LABEL)
    rising = sorted(
        range(len(shares)), key=lambda index: (shares[index], np.mean(panel.lines[index].values))
    )
    named = rising[:: -(-len(shares) // room)]
    apart = _apart([shares[index] for index in named], _LABEL / sheet.plot_height)
    for index, share in zip(named, apart, strict=True):
        axes.annotate(
            _end_label(panel.lines[index], panel), (1, share), xycoords="axes fraction", xytext=(6, 0),
            textcoords="offset points", annotation_clip=False, color=look.lines[index % len(look.lines)],
            fontsize=8.5, va="center",
        )  # fmt: skip


def _apart(shares: list[float], room: float) -> list[float]:
    """Move rising heights so that neighbours are ``room`` apart, as little as a simple rule can."""
    moved = list(accumulate(shares, lambda before, share: max(share, before + room)))
    for index in reversed(range(len(moved))):  # from the top down again, to stay below it
        moved[index] = min(moved[index], 1.0 - room * (len(moved) - 1 - index))
    return moved
