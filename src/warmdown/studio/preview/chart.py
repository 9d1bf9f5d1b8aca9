"""From curves to the options of an ECharts picture; the numbers are ours, the drawing is theirs."""

from __future__ import annotations

__all__ = ["Layer", "moved", "options"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from warmdown.plot.theme import DARK, LIGHT, Theme, tint_of
from warmdown.studio.preview.look import Curve

Option: TypeAlias = dict[str, Any]

_DASHES = ("solid", [8, 4], [2, 3], [8, 3, 2, 3], [12, 4, 4, 4], [4, 6])
_MOST_PHASES = 40
_TOP, _BOTTOM = 50, 62
"""Pixels above the first panel and below the last."""
_LETTER = 1 / 90
"""Width of a letter of a phase's name, as a share of the picture; a name wider than its phase is left out."""


@final
@dataclass(frozen=True)
class Layer:
    """Curves that belong together.

    Args:
        curves: To be drawn.
        name: Of a candidate or a run, put before each label; empty for the plan at hand.
        is_faint: Whether it stays in the background.
        number: Which colour all its curves have; ``None`` gives each curve its own.
    """

    curves: Sequence[Curve]
    name: str = ""
    is_faint: bool = False
    number: int | None = None


def options(
    layers: Sequence[Layer], stop: int, *, log: bool, dark: bool, clock: str = "updates"
) -> Option:
    """Return what ECharts is told: one panel for each unit, phases shaded, one axis of steps.

    Nothing that a plan says becomes a key: the framework runs keys that begin with a colon as code.
    """
    look = DARK if dark else LIGHT
    units = list(dict.fromkeys(curve.unit for layer in layers for curve in layer.curves)) or [
        "value"
    ]
    series = [
        one
        for layer in layers
        for curve in layer.curves
        for one in [_series(layer, curve, units, log)]
    ]
    of_layer = [layer for layer in layers for _ in layer.curves]
    for number, (one, layer) in enumerate(zip(series, of_layer, strict=True)):
        _colour(one, number, layer, look)
    _shade(series, layers, units, look)
    panels = range(len(units))
    return {
        "animation": False,
        "backgroundColor": "transparent",
        "aria": {"enabled": False},
        "textStyle": {"fontFamily": "system-ui, Roboto, sans-serif"},
        "grid": [_grid(panel, len(units)) for panel in panels],
        "xAxis": [_steps_axis(panel, len(units), stop, clock, look) for panel in panels],
        "yAxis": [_values_axis(panel, unit, look, log=log) for panel, unit in enumerate(units)],
        "series": series,
        "legend": _legend(len(series) > len(units), look),
        "tooltip": _tooltip(look),
        "axisPointer": {"link": [{"xAxisIndex": "all"}], "snap": True},
        "dataZoom": _zoom(len(units), look),
    }


def moved(option: Option) -> Option:
    """Return what of the options changes while a number is typed: points, phases, and how far the axes reach."""
    series = [{"data": one["data"], "markArea": one["markArea"]} for one in option["series"]]
    return {"series": series, "xAxis": [{"max": axis["max"]} for axis in option["xAxis"]]}


def _series(layer: Layer, curve: Curve, units: Sequence[str], log: bool) -> Option:
    panel = units.index(curve.unit)
    points = (
        [[step, value if value > 0 else None] for step, value in curve.points]
        if log
        else curve.points
    )
    return {
        "type": "line",
        "name": f"{layer.name}: {curve.label}" if layer.name else curve.label,
        "xAxisIndex": panel,
        "yAxisIndex": panel,
        "data": points,
        "symbol": "none",
        "lineStyle": {
            "width": 1.5 if layer.is_faint else 2.25,
            "opacity": 0.6 if layer.is_faint else 1.0,
        },
        "emphasis": {"disabled": True},
        "z": 1 if layer.is_faint else 3,
    }


def _colour(series: Option, number: int, layer: Layer, look: Theme) -> None:
    """Give each curve a colour and a dash; curves of one run have its colour, dashed where they were only planned."""
    at = number if layer.number is None else layer.number
    series["color"] = look.lines[at % len(look.lines)]
    series["lineStyle"]["type"] = _DASHES[
        at % len(_DASHES) if layer.number is None else int(layer.is_faint)
    ]


def _shade(
    series: Sequence[Option], layers: Sequence[Layer], units: Sequence[str], look: Theme
) -> None:
    """Shade and name the phases behind the first curve of each panel; every curve says whether it has any."""
    curves = [curve for layer in layers for curve in layer.curves]
    shaded: set[str] = set()
    for one, curve in zip(series, curves, strict=True):
        phases = (
            curve.phases if curve.unit not in shaded and len(curve.phases) <= _MOST_PHASES else ()
        )
        end = max((stop for _, _, stop in phases), default=1)
        one["markArea"] = {
            "silent": True,
            "data": [_area(phase, at, end, look) for at, phase in enumerate(phases)],
        }
        if curve.phases:
            shaded.add(curve.unit)


def _area(phase: tuple[str, int, int], number: int, end: int, look: Theme) -> list[Option]:
    name, start, stop = phase
    has_room = len(name) * _LETTER <= (stop - start) / max(end, 1)
    label = {
        "show": has_room,
        "position": "insideTop",
        "color": look.quiet,
        "fontSize": 11,
        "distance": 4,
    }
    begin = {
        "name": name,
        "xAxis": start,
        "itemStyle": {"color": tint_of(name, number, look)},
        "label": label,
    }
    return [begin, {"xAxis": stop}]


def _grid(panel: int, panels: int) -> Option:
    """Share the height between the panels; the last has the axis of steps under it."""
    share = 100 / panels
    top = f"{panel * share + 4:.2f}%" if panel else _TOP
    bottom = f"{100 - (panel + 1) * share + 5:.2f}%" if panel + 1 < panels else _BOTTOM
    return {"left": 66, "right": 22, "top": top, "bottom": bottom}


def _steps_axis(panel: int, panels: int, stop: int, clock: str, look: Theme) -> Option:
    is_last = panel + 1 == panels
    return {
        "type": "value",
        "gridIndex": panel,
        "min": 0,
        "max": max(stop, 1),
        "name": clock if is_last else "",
        "nameLocation": "middle",
        "nameGap": 26,
        "nameTextStyle": {"color": look.quiet},
        "axisLine": {"lineStyle": {"color": look.quiet}},
        "axisLabel": {"show": is_last, "color": look.quiet, "hideOverlap": True},
        "splitLine": {"show": False},
        "axisPointer": {"label": {"show": False}},
    }


def _values_axis(panel: int, unit: str, look: Theme, *, log: bool) -> Option:
    return {
        "type": "log" if log else "value",
        "gridIndex": panel,
        "name": unit,
        "nameTextStyle": {
            "color": look.ink,
            "align": "left",
            "fontWeight": 600,
            "padding": [0, 0, 0, -54],
        },
        "nameGap": 12,
        "scale": False,
        "axisLabel": {"color": look.quiet},
        "splitLine": {"lineStyle": {"color": look.grid}},
        "minorSplitLine": {"show": False},
    }


def _legend(is_needed: bool, look: Theme) -> Option:
    """Name the curves, where a panel's own name does not say enough."""
    return {
        "show": is_needed,
        "type": "scroll",
        "right": 14,
        "top": 2,
        "left": 180,
        "align": "left",
        "textStyle": {"color": look.ink},
        "pageTextStyle": {"color": look.quiet},
        "pageIconColor": look.quiet,
        "itemWidth": 24,
        "itemHeight": 12,
        "itemStyle": {"opacity": 0},  # the line alone: its dashes tell curves apart too
    }


def _tooltip(look: Theme) -> Option:
    return {
        "trigger": "axis",
        "renderMode": "richText",  # drawn, never HTML: a phase or group may be called anything
        "backgroundColor": look.paper,
        "borderColor": look.quiet,
        "textStyle": {"color": look.ink},
        "confine": True,
        "axisPointer": {"type": "line", "lineStyle": {"color": look.quiet}},
    }


def _zoom(panels: int, look: Theme) -> list[Mapping[str, Any]]:
    every = list(range(panels))
    return [
        {
            "type": "inside",
            "xAxisIndex": every,
            "zoomOnMouseWheel": "ctrl",
            "moveOnMouseWheel": False,
        },
        {
            "type": "slider",
            "xAxisIndex": every,
            "height": 10,
            "bottom": 4,
            "borderColor": "transparent",
            "backgroundColor": "transparent",
            "fillerColor": look.grid,
            "handleStyle": {"color": look.quiet, "borderColor": look.quiet},
            "moveHandleSize": 0,
            "showDetail": False,
            "showDataShadow": False,
            "brushSelect": False,
        },
    ]
