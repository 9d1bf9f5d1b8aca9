"""Curves with bands: what the pictures of experiments show, and the picture for a terminal."""

from __future__ import annotations

__all__ = ["Chart", "Line"]

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from warmdown.errors import ScheduleError
from warmdown.experiments.files import write_file, write_json
from warmdown.plot.formatting import number

Array = npt.NDArray[np.float64]

_COLOURS = (
    "bright_blue",
    "bright_yellow",
    "bright_green",
    "bright_magenta",
    "bright_cyan",
    "bright_red",
)
_GUTTER = 12


@final
@dataclass(frozen=True, eq=False)
class Line:
    """One curve.

    Args:
        label: Its name.
        across: Where its points stand.
        up: How high they stand.
        low: Lower edge of its band, or ``None``.
        high: Upper edge, or ``None``.
        is_quiet: Whether it stands behind the others.
    """

    label: str
    across: Array
    up: Array
    low: Array | None = None
    high: Array | None = None
    is_quiet: bool = False


@final
@dataclass(frozen=True, eq=False)
class Chart:
    """What one picture shows.

    Args:
        title: Above it.
        across: What the horizontal axis is.
        up: What the vertical axis is.
        lines: The curves.
        marks: Places on the horizontal axis, by name.
        log_across: Whether the horizontal axis is logarithmic.
        log_up: Whether the vertical one is.
        says: The same in words.
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    marks: Mapping[str, float] = field(default_factory=dict)
    log_across: bool = False
    log_up: bool = False
    says: str = ""

    @property
    def top(self) -> float:
        """The upper end of the vertical axis: a last burst above the beginning is cut off."""
        ups = [line.up[np.isfinite(line.up)] for line in self.lines]
        low, high = (
            min(np.min(up) for up in ups if up.size),
            max(np.max(up) for up in ups if up.size),
        )
        begins = max(float(up[0]) for up in ups if up.size)
        return float(min(high, low + 1.6 * (begins - low))) if begins > low else float(high)

    def terminal(self, width: int | None = None, height: int = 14) -> str:
        """Return the picture for a terminal."""
        width = width or min(shutil.get_terminal_size().columns, 100)
        canvas = _figure(self, max(width - _GUTTER - 12, 30), height)
        return f"{self.title}\n{canvas}\n{self.says}"

    def save(self, path: str | PathLike[str], data: Any = None) -> Path:
        """Write the picture as ``.png``, ``.svg`` or ``.html``, or ``data`` as ``.json``."""
        from warmdown.experiments import drawing

        path = Path(path)
        writers: Mapping[str, Callable[[Chart], bytes]] = {
            ".png": drawing.png,
            ".svg": lambda chart: drawing.svg(chart).encode(),
            ".html": lambda chart: drawing.page(chart).encode(),
        }
        if path.suffix == ".json" and data is not None:
            write_json(path, data)
        elif path.suffix in writers:
            write_file(path, writers[path.suffix](self))
        else:
            raise ScheduleError(
                f"save(path={str(path)!r}): not a kind of picture. Use .png, .svg, .html or .json."
            )
        return path

    def inline(self) -> str:
        """Return what a notebook shows."""
        from warmdown.experiments import drawing

        return drawing.inline(self)

    def __str__(self) -> str:
        return json.dumps({line.label: line.up.tolist() for line in self.lines})


def _figure(chart: Chart, width: int, height: int) -> str:
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height, figure.color_mode = width, height, "names"
    figure.with_colors = False
    figure.x_label, figure.y_label = chart.across, chart.up
    figure.register_label_formatter(float, lambda value, chars, delta, left=False: number(value, 3))
    log = np.log10 if chart.log_across else np.asarray
    xs = np.concatenate([line.across for line in chart.lines])
    low, high = float(log(xs.min())), float(log(xs.max()))
    bottom = min(float(np.nanmin(line.up)) for line in chart.lines)
    room = max(chart.top - bottom, 1e-12)
    figure.set_x_limits(low, high if high > low else low + 1)
    figure.set_y_limits(bottom, chart.top + 0.05 * room)
    figure.x_ticks_fkt = lambda value, _: number(10**value if chart.log_across else value, 2)
    figure.y_ticks_fkt = lambda value, _: number(value, 3)
    shown = [line for line in chart.lines if not line.is_quiet] or list(chart.lines)
    for line, colour in zip(shown, _COLOURS * len(shown), strict=False):
        good = np.isfinite(line.up)
        figure.plot(
            log(line.across[good]).tolist(), line.up[good].tolist(), lc=colour, label=line.label
        )
    return str(figure.show(legend=len(shown) > 1))
