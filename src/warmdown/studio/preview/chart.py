"""From lines to the options of an ECharts picture; the numbers are ours, the drawing is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from string import Template
from typing import Any, TypeAlias, final

import numpy as np
import yaml

from warmdown.plot.theme import DARK, LIGHT, Theme, tint_of
from warmdown.plot.view import Line, View
from warmdown.schedules.sampling import Array
from warmdown.studio.preview.preview import POINTS, Window

Option: TypeAlias = dict[str, Any]

_DASHES = ("solid", [8, 4], [8, 3, 2, 3], [12, 4, 4, 4], [4, 6], [16, 3])
_FAINT = ([2, 3], [2, 7], [2, 3, 2, 9], [2, 12], [2, 3, 2, 3, 2, 9], [1, 2])
"""Dots: of what is only planned, or kept."""
_MOST_PHASES = 40
_TOP, _BOTTOM = 50, 62
"""Pixels above the first panel and below the last."""
_LETTER = 1 / 90
"""Width of a letter of a phase's name, as a share of the picture; a wider name is left out."""
_LOOK = Template("""
whole:
  animation: false
  textStyle: {fontFamily: "system-ui, Roboto, sans-serif"}
  axisPointer: {link: [{xAxisIndex: all}], snap: true}
  tooltip:
    trigger: axis
    renderMode: richText  # drawn, never HTML: a phase or group may be called anything
    backgroundColor: "$paper"
    borderColor: "$quiet"
    textStyle: {color: "$ink"}
    confine: true
    axisPointer: {lineStyle: {color: "$quiet"}}
legend:
  type: scroll
  right: 14
  top: 2
  left: 180
  align: left
  textStyle: {color: "$ink"}
  pageTextStyle: {color: "$quiet"}
  pageIconColor: "$quiet"
  itemWidth: 24
  itemHeight: 12
  itemStyle: {opacity: 0}  # the line alone: its dashes tell curves apart too
steps:
  type: value
  min: 0
  nameLocation: middle
  nameGap: 26
  nameTextStyle: {color: "$quiet"}
  axisLine: {lineStyle: {color: "$quiet"}}
  splitLine: {show: false}
  axisPointer: {label: {show: false}}
steps_label: {color: "$quiet", hideOverlap: true}
values:
  nameTextStyle: {color: "$ink", align: left, fontWeight: 600, padding: [0, 0, 0, -54]}
  nameGap: 12
  axisLabel: {color: "$quiet"}
  splitLine: {lineStyle: {color: "$grid"}}
phase: {position: insideTop, color: "$quiet", fontSize: 11, distance: 4}
zoom:
- {type: inside, zoomOnMouseWheel: ctrl, moveOnMouseWheel: false}
- type: slider
  height: 10
  bottom: 4
  borderColor: transparent
  backgroundColor: transparent
  fillerColor: "$grid"
  handleStyle: {color: "$quiet", borderColor: "$quiet"}
  moveHandleSize: 0
  showDetail: false
  showDataShadow: false
  brushSelect: false
""")
"""What no plan changes: options of ECharts, with the colours of a theme by their names."""


@final
@dataclass(frozen=True)
class Layer:
    """Lines that belong together.

    Args:
        lines: To be drawn.
        name: Of a candidate or a run, put before each label; empty for the plan on the page.
        is_faint: Whether it stays in the background.
        number: Of the colour that all its lines have; ``None`` gives each line its own.
        mark: Symbol that stands here and there on its lines, to tell one run from another.
    """

    lines: Sequence[Line]
    name: str = ""
    is_faint: bool = False
    number: int | None = None
    mark: str = ""


def options(
    layers: Sequence[Layer], stop: float, *, log: bool, dark: bool, clock: str = "updates"
) -> Option:
    """Return the options of ECharts: one panel for each unit, phases shaded, one axis of steps.

    No text of a plan becomes a key: the framework runs keys that begin with a colon as code.
    """
    theme = DARK if dark else LIGHT
    look = _look_in(theme)
    pairs = [(layer, line) for layer in layers for line in layer.lines]
    units = list(dict.fromkeys(line.unit for _, line in pairs)) or ["value"]
    series, shaded = [], set()
    for number, (layer, line) in enumerate(pairs):
        # the phases of a panel are those of its first line that has any
        panel = units.index(line.unit)
        areas = [] if line.unit in shaded else _phase_areas(line, theme)
        if line.phases:
            shaded.add(line.unit)
        place = {"xAxisIndex": panel, "yAxisIndex": panel}
        drawn = _series(layer, line, number, theme, log=log)
        series.append({**drawn, **place, "markArea": {"silent": True, "data": areas}})
        # after its line, which is the one of that name in the legend
        if line.low is not None and line.high is not None:
            edges = np.column_stack([line.steps, line.low, line.high])
            series.append({**_band(drawn, edges), **place})
    _share_points(series)
    panels = range(len(units))
    steps_axes = [
        {
            **look["steps"],
            "gridIndex": panel,
            "max": stop or 1,
            "name": name,
            "axisLabel": {**look["steps_label"], "show": bool(name)},
        }
        # the last panel has the axis for all
        for panel, name in enumerate([*[""] * (len(units) - 1), clock])
    ]
    kind = "log" if log else "value"
    # a loss is read by its differences, and falls by a few percent
    predicted = {line.unit for _, line in pairs if line.low is not None}
    return {
        **look["whole"],
        "grid": [_panel_grid(panel, len(units)) for panel in panels],
        "xAxis": steps_axes,
        "yAxis": [
            {**look["values"], "type": kind, "gridIndex": panel, "name": unit}
            if unit not in predicted
            else {
                **look["values"],
                "type": "value",
                "scale": True,
                "gridIndex": panel,
                "name": unit,
            }
            for panel, unit in enumerate(units)
        ],
        "series": series,
        # a panel's own name says enough of one line
        "legend": {**look["legend"], "show": len(pairs) > len(units)},
        "dataZoom": [{**one, "xAxisIndex": list(panels)} for one in look["zoom"]],
    }


@lru_cache(maxsize=32)
def lines_in(seen: View, window: Window | None) -> tuple[Line, ...]:
    """Return the lines of a view, with the points of a window evaluated again."""
    if window is None:
        return seen.lines
    points = max(POINTS * 8 // max(len(seen.lines), 8), 140)
    return tuple(line.zoomed(*window, points=points) for line in seen.lines)


@cache
def _look_in(theme: Theme) -> Option:
    look: Option = yaml.safe_load(_LOOK.substitute(vars(theme)))
    return look


def changing_options(option: Option) -> Option:
    """Return the options that change while a number is typed: points, phases, ends of the axes."""
    names = ("points", "data", "mark", "markArea")
    series = [{name: one[name] for name in names if name in one} for one in option["series"]]
    return {"series": series, "xAxis": [{"max": axis["max"]} for axis in option["xAxis"]]}


def _series(layer: Layer, line: Line, number: int, theme: Theme, *, log: bool) -> Option:
    """Return a line with a colour and a dash.

    Lines of one run have its colour. Dots say which were only planned or kept, and the dashes tell
    those of one panel apart, such as the losses of training and of validation.
    """
    colour, dash = number, number + number // len(theme.lines)
    if layer.number is not None:
        beside = [other for other in layer.lines if other.unit == line.unit]
        colour, dash = layer.number, beside.index(line)
    dashes = _FAINT if layer.is_faint else _DASHES
    return {
        "type": "line",
        "name": f"{layer.name}: {line.label}" if layer.name else line.label,
        "points": {
            "x": line.steps,
            "y": np.where(line.values > 0, line.values, np.nan) if log else line.values,
        },
        "symbol": "none",
        "mark": layer.mark,
        "color": theme.lines[colour % len(theme.lines)],
        "lineStyle": {
            "width": 1 if line.is_background else 1.5 if layer.is_faint else 2.25,
            "opacity": 0.35 if line.is_background else 0.6 if layer.is_faint else 1.0,
            "type": dashes[dash % len(dashes)],
        },
        "emphasis": {"disabled": True},
        "z": 1 if layer.is_faint or line.is_background else 3,
    }


def _share_points(series: Sequence[Option]) -> None:
    """Give a series that is a multiple of one before no points but that factor; shorten others.

    So groups that differ by their base value alone are sent as one curve.
    """
    whole: tuple[int, Array, Array] | None = None
    for number, one in enumerate(series):
        if "points" not in one:
            continue
        steps, values = one["points"]["x"], one["points"]["y"]
        if whole is not None and np.array_equal(steps, whole[1]):
            of, _, first = whole
            peaks = np.nanmax(values, initial=0.0), np.nanmax(first, initial=0.0)
            if all(peaks) and _draw_alike(values / peaks[0], first / peaks[1]):
                one["points"] = {"of": of, "times": peaks[0] / peaks[1]}
                continue
        whole = number, steps, values
        with np.errstate(all="ignore"):  # what does not fit is sent in full
            short, counts = values.astype(np.float32), steps.astype(np.int64)
        one["points"] = {
            "x": counts if np.array_equal(counts, steps) else steps,
            "y": short if _draw_alike(short, values) else values,
        }


def _draw_alike(one: Array, other: Array) -> bool:
    return np.allclose(one, other, rtol=1e-6, atol=0.0, equal_nan=True)


def _band(line: Option, edges: Array) -> Option:
    """Return the interval around a line: the browser draws step, low and high as an area."""
    return {
        "type": "custom",
        "name": line["name"],
        "data": edges.tolist(),
        "color": line["color"],
        "encode": {"x": 0, "y": [1, 2]},
        "clip": True,
        "z": 0,
    }


def _phase_areas(line: Line, theme: Theme) -> list[list[Option]]:
    """Return a shaded area for each phase, with its name where there is room for it."""
    if len(line.phases) > _MOST_PHASES:
        return []
    areas: list[list[Option]] = []
    for number, phase in enumerate(line.phases):
        stop = phase.until(line.stop)
        has_room = len(phase.name) * _LETTER <= (stop - phase.start) / max(line.stop, 1)
        label = {**_look_in(theme)["phase"], "show": has_room}
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
