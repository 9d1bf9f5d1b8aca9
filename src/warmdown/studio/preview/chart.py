"""From lines to the options of an ECharts picture; the numbers are ours, the drawing is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np

from warmdown.plot.theme import DARK, LIGHT, Theme, tint_of
from warmdown.plot.view import Line

Option: TypeAlias = dict[str, Any]

_DASHES = ("solid", [8, 4], [2, 3], [8, 3, 2, 3], [12, 4, 4, 4], [4, 6])
_MOST_PHASES = 40
_TOP, _BOTTOM = 50, 62
"""Pixels above the first panel and below the last."""
_LETTER = 1 / 90
"""Width of a letter of a phase's name, as a share of the picture; a wider name is left out."""


@final
@dataclass(frozen=True)
class Layer:
    """Lines that belong together.

    Args:
        lines: To be drawn.
        name: Of a candidate or a run, put before each label; empty for the plan on the page.
        is_faint: Whether it stays in the background.
        number: Of the colour that all its lines have; ``None`` gives each line its own.
    """

    lines: Sequence[Line]
    name: str = ""
    is_faint: bool = False
    number: int | None = None


def options(
    layers: Sequence[Layer], stop: int, *, log: bool, dark: bool, clock: str = "updates"
) -> Option:
    """Return the options of ECharts: one panel for each unit, phases shaded, one axis of steps.

    No text of a plan becomes a key: the framework runs keys that begin with a colon as code.
    """
    theme = DARK if dark else LIGHT
    pairs = [(layer, line) for layer in layers for line in layer.lines]
    units = list(dict.fromkeys(line.unit for _, line in pairs)) or ["value"]
    series, shaded = [], set()
    for number, (layer, line) in enumerate(pairs):
        # the phases of a panel are those of its first line that has any
        panel = units.index(line.unit)
        areas = [] if line.unit in shaded else _phase_areas(line, theme)
        if line.phases:
            shaded.add(line.unit)
        series.append(
            {
                **_series(layer, line, number, theme, log=log),
                "xAxisIndex": panel,
                "yAxisIndex": panel,
                "markArea": {"silent": True, "data": areas},
            }
        )
    panels = range(len(units))
    return {
        "animation": False,
        "textStyle": {"fontFamily": "system-ui, Roboto, sans-serif"},
        "grid": [_panel_grid(panel, len(units)) for panel in panels],
        "xAxis": [
            _steps_axis(panel, stop, clock if panel + 1 == len(units) else "", theme)
            for panel in panels
        ],
        "yAxis": [_values_axis(panel, units[panel], theme, log=log) for panel in panels],
        "series": series,
        "legend": _series_legend(len(series) > len(units), theme),
        "tooltip": _tooltip(theme),
        "axisPointer": {"link": [{"xAxisIndex": "all"}], "snap": True},
        "dataZoom": _zoom(len(units), theme),
    }


def changing_options(option: Option) -> Option:
    """Return the options that change while a number is typed: points, phases, ends of the axes."""
    series = [{"data": one["data"], "markArea": one["markArea"]} for one in option["series"]]
    return {"series": series, "xAxis": [{"max": axis["max"]} for axis in option["xAxis"]]}


def _series(layer: Layer, line: Line, number: int, theme: Theme, *, log: bool) -> Option:
    """Return a line with a colour and a dash.

    Lines of one run have its colour, and are dashed where they were only planned.
    """
    points = np.column_stack([line.steps, line.values]).tolist()
    if log:
        points = [[step, value if value > 0 else None] for step, value in points]
    colour, dash = number, number % len(_DASHES)
    if layer.number is not None:
        colour, dash = layer.number, int(layer.is_faint)
    return {
        "type": "line",
        "name": f"{layer.name}: {line.label}" if layer.name else line.label,
        "data": points,
        "symbol": "none",
        "color": theme.lines[colour % len(theme.lines)],
        "lineStyle": {
            "width": 1.5 if layer.is_faint else 2.25,
            "opacity": 0.6 if layer.is_faint else 1.0,
            "type": _DASHES[dash],
        },
        "emphasis": {"disabled": True},
        "z": 1 if layer.is_faint else 3,
    }


def _phase_areas(line: Line, theme: Theme) -> list[list[Option]]:
    """Return a shaded area for each phase, with its name where there is room for it."""
    if len(line.phases) > _MOST_PHASES:
        return []
    areas: list[list[Option]] = []
    for number, phase in enumerate(line.phases):
        stop = line.stop if phase.stop is None else phase.stop
        label = {
            "show": len(phase.name) * _LETTER <= (stop - phase.start) / max(line.stop, 1),
            "position": "insideTop",
            "color": theme.quiet,
            "fontSize": 11,
            "distance": 4,
        }
        tint = {"color": tint_of(phase.name, number, theme)}
        begin = {"name": phase.name, "xAxis": phase.start, "itemStyle": tint, "label": label}
        areas.append([begin, {"xAxis": stop}])
    return areas


def _panel_grid(panel: int, panels: int) -> Option:
    """Return a panel's share of the height; the last has the axis of steps under it."""
    share = 100 / panels
    top = f"{panel * share + 4:.2f}%" if panel else _TOP
    bottom = f"{100 - (panel + 1) * share + 5:.2f}%" if panel + 1 < panels else _BOTTOM
    return {"left": 66, "right": 22, "top": top, "bottom": bottom}


def _steps_axis(panel: int, stop: int, name: str, theme: Theme) -> Option:
    return {
        "type": "value",
        "gridIndex": panel,
        "min": 0,
        "max": max(stop, 1),
        "name": name,
        "nameLocation": "middle",
        "nameGap": 26,
        "nameTextStyle": {"color": theme.quiet},
        "axisLine": {"lineStyle": {"color": theme.quiet}},
        "axisLabel": {"show": bool(name), "color": theme.quiet, "hideOverlap": True},
        "splitLine": {"show": False},
        "axisPointer": {"label": {"show": False}},
    }


def _values_axis(panel: int, unit: str, theme: Theme, *, log: bool) -> Option:
    name = {"color": theme.ink, "align": "left", "fontWeight": 600, "padding": [0, 0, 0, -54]}
    return {
        "type": "log" if log else "value",
        "gridIndex": panel,
        "name": unit,
        "nameTextStyle": name,
        "nameGap": 12,
        "axisLabel": {"color": theme.quiet},
        "splitLine": {"lineStyle": {"color": theme.grid}},
    }


def _series_legend(is_needed: bool, theme: Theme) -> Option:
    """Return the names of the lines, where a panel's own name does not say enough."""
    return {
        "show": is_needed,
        "type": "scroll",
        "right": 14,
        "top": 2,
        "left": 180,
        "align": "left",
        "textStyle": {"color": theme.ink},
        "pageTextStyle": {"color": theme.quiet},
        "pageIconColor": theme.quiet,
        "itemWidth": 24,
        "itemHeight": 12,
        "itemStyle": {"opacity": 0},  # the line alone: its dashes tell curves apart too
    }


def _tooltip(theme: Theme) -> Option:
    return {
        "trigger": "axis",
        "renderMode": "richText",  # drawn, never HTML: a phase or group may be called anything
        "backgroundColor": theme.paper,
        "borderColor": theme.quiet,
        "textStyle": {"color": theme.ink},
        "confine": True,
        "axisPointer": {"lineStyle": {"color": theme.quiet}},
    }


def _zoom(panels: int, theme: Theme) -> list[Option]:
    every = {"xAxisIndex": list(range(panels))}
    wheel = {"type": "inside", "zoomOnMouseWheel": "ctrl", "moveOnMouseWheel": False}
    slider = {
        "type": "slider",
        "height": 10,
        "bottom": 4,
        "borderColor": "transparent",
        "backgroundColor": "transparent",
        "fillerColor": theme.grid,
        "handleStyle": {"color": theme.quiet, "borderColor": theme.quiet},
        "moveHandleSize": 0,
        "showDetail": False,
        "showDataShadow": False,
        "brushSelect": False,
    }
    return [{**wheel, **every}, {**slider, **every}]
