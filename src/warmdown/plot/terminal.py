"""Pictures made of characters: braille curves, and a schedule in one line."""

from __future__ import annotations

__all__ = ["sparkline", "terminal"]

import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import cycle, pairwise
from string import ascii_lowercase
from typing import Unpack

import numpy as np

from warmdown.errors import encodable
from warmdown.formatting import count, number
from warmdown.plot.axis import Axis, place_names
from warmdown.plot.picture import x_ticks
from warmdown.plot.view import Drawable, Panel, View, ViewOptions, view
from warmdown.schedules import Phase, Schedule
from warmdown.schedules.sampling import Array

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
_MARGIN = " " * (_GUTTER + 2)
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
    """Return a picture for a terminal, in ASCII where standard output cannot write braille.

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
    panels = [
        _panel_text(panel, scene, columns, rows, log=log, colour=colour) for panel in scene.panels
    ]
    texts = (scene.title, *panels, "\n".join(scene.notes), scene.text)
    return encodable("\n\n".join(filter(None, texts)), sys.stdout)


def sparkline(given: Schedule | Iterable[float], width: int = 24) -> str:
    """Return a schedule, or numbers, as one line of blocks, or of ASCII as :func:`terminal`.

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
    span = np.ptp(values)
    share = (values - values.min()) / span if span else np.full_like(values, 0.5)
    blocks = "".join(_BLOCKS[level] for level in np.rint(7 * share).astype(int))
    return encodable(blocks, sys.stdout)


def _panel_text(
    panel: Panel, scene: View, columns: int, rows: int, *, log: bool, colour: bool
) -> str:
    """Return a panel from its heading to its legend."""
    from plotille import color

    shown = tuple(line for line in panel.lines if not line.is_background) or panel.lines
    heights = Panel(panel.unit, shown).heights(is_cropped=scene.is_cropped)
    y = Axis.of(heights, log=log or panel.spans_decades)
    x = scene.axis
    span = f"{scene.x} (logarithmic)" if x.log else f"{count(scene.stop)} {scene.x}"
    heading = f"{panel.unit}{' (logarithmic)' if y.log else ''} over {span}"
    # where each line passes, as shares of the axes
    curves = []
    for line in shown:
        is_clipped = y.log or scene.is_cropped
        values = np.clip(line.values, y.low, y.high) if is_clipped else line.values
        good = np.isfinite(values)
        curves.append(np.column_stack([x.share(line.steps[good]), y.share(values[good])]))
    inks = _COLOURS if colour else (None,)
    drawn = _draw_curves(curves, inks, columns, rows)
    body = [
        f"{label:>{_GUTTER}} {'┤' if label else '│'}{row}"
        for label, row in zip(_y_labels(y, rows), drawn, strict=True)
    ]
    legend = [
        f"{_MARGIN}{color(f'{letter} {line.label}', fg=ink, no_color=not colour)}"
        for line, letter, ink in zip(shown, cycle(ascii_lowercase), cycle(inks), strict=False)
    ]
    below = [*_x_axis(scene, columns), *_phase_names(panel.phases, x, columns)]
    return "\n".join([heading, *body, *below, *(legend if len(shown) > 1 else ())])


def _draw_curves(
    curves: Sequence[Array], inks: Sequence[str | None], columns: int, rows: int
) -> list[str]:
    from plotille import Canvas

    # half a dot more than the axis: plotille drops a point that lies exactly on the edge
    right = 1 + 1 / (4 * columns)
    canvas = Canvas(columns, rows, xmin=0, xmax=right, ymin=0, ymax=1 + _HEADROOM, mode="names")
    for points, ink in zip(curves, cycle(inks), strict=False):
        # a single point is a line to itself
        for start, end in pairwise(points if len(points) > 1 else points.repeat(2, axis=0)):
            canvas.line(*start, *end, color=ink)
    for index, (points, letter) in enumerate(zip(curves, cycle(ascii_lowercase), strict=False)):
        if len(points) and len(curves) > 1:
            place = int((index + 0.5) / len(curves) * (len(points) - 1))
            canvas.text(*points[place], letter)
    return [row.rstrip(_BLANK) for row in canvas.plot(linesep="\n").split("\n")]


def _y_labels(y: Axis, rows: int) -> list[str]:
    """Return the text left of each row, from the top."""
    labels = [""] * rows
    for value in (y.low, y.high, *y.ticks(rows // 2 + 1)):  # a round number replaces an end
        row = int(y.share(value) / (1 + _HEADROOM) * rows)
        labels[rows - 1 - min(row, rows - 1)] = number(value)
    return labels


def _x_axis(scene: View, columns: int) -> list[str]:
    ticks, labels = x_ticks(scene, max(columns // 11, 2))
    places = [min(int(scene.axis.share(tick) * columns), columns - 1) for tick in ticks]
    line, names = "─" * columns, ""
    for place, label in zip(places, labels, strict=True):
        line = _put(line, place, "┬")
        names = _put(names, min(place, columns - len(label)), label)
    return [f"{_MARGIN[:-1]}└{line}", f"{_MARGIN}{names}"]


def _phase_names(phases: Sequence[Phase], x: Axis, columns: int) -> list[str]:
    """Return the names of the phases, each below its first step."""
    spans = [(int(x.share(phase.start) * columns), len(phase.name) + 2) for phase in phases]
    lines = ["", ""]
    rows = place_names(spans, 2, columns + 1)
    for phase, (start, _), row in zip(phases, spans, rows, strict=True):
        if row is not None:
            lines[0] = _put(lines[0], start, "│")
            lines[row] = _put(lines[row], start, f"│{phase.name}")
    return [f"{_MARGIN}{line}" for line in lines if line]


def _put(line: str, start: int, text: str) -> str:
    """Return a line with a text at its place, over what stood there."""
    return line[:start].ljust(start) + text + line[start + len(text) :]
