"""A chart as PNG, as SVG, and as a page that needs nothing else."""

from __future__ import annotations

__all__ = ["inline", "page", "png", "svg"]

import io
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from warmdown.errors import MissingExtra
from warmdown.experiments.chart import Chart, Line
from warmdown.plot.formatting import number
from warmdown.plot.theme import DASHES, LIGHT
from warmdown.printable import markup, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = tuple[list[str], list[list[str]]]

_ONE_AT_A_TIME = threading.Lock()
"""matplotlib keeps the settings of SVG for the whole process."""
_STYLE = f"""
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: {LIGHT.ink}; background: {LIGHT.paper}; }}
svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }}
caption {{ text-align: left; color: {LIGHT.quiet}; }}
th, td {{ padding: .25rem .9rem .25rem 0; border-bottom: 1px solid {LIGHT.grid}; text-align: left; }}
pre {{ white-space: pre-wrap; }}
"""


def png(*charts: Chart) -> bytes:
    """Return the charts, one below the other, as PNG."""
    out = io.BytesIO()
    _drawn(charts).savefig(out, format="png", dpi=150)
    return out.getvalue()


def svg(*charts: Chart) -> str:
    """Return the charts, one below the other, as SVG whose texts are texts, with their words for those who hear it."""
    out, picture = io.StringIO(), _drawn(charts)
    import matplotlib

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "warmdown"}
    with _ONE_AT_A_TIME, matplotlib.rc_context(settings):
        picture.savefig(
            out,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = out.getvalue()
    element = text[text.index("<svg ") :]
    title, says = (
        markup(", ".join(chart.title for chart in charts)),
        markup("\n".join(chart.says for chart in charts)),
    )
    opening, _, rest = element.partition(">")
    return (
        f'{opening} role="img" aria-label="{title}"><title>{title}</title><desc>{says}</desc>{rest}'
    )


def inline(chart: Chart) -> str:
    """Return what a notebook shows: the picture and its words."""
    return f'<div style="max-width: 48rem">{svg(chart)}<pre>{markup(chart.says)}</pre></div>'


def page(*charts: Chart, tables: Mapping[str, Table] = MappingProxyType({})) -> str:
    """Return a page with pictures, their words and tables; it needs no other file and runs no script."""
    first = charts[0]
    every = {**tables, **{f"Points of {chart.title}": _points(chart) for chart in charts}}
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{markup(first.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{markup(first.title)}</h1>
<figure>{svg(*charts)}</figure>
<pre>{markup(first.says)}</pre>
{"".join(_table(caption, heads, rows) for caption, (heads, rows) in every.items())}
</main>
</body>
</html>
"""


def _drawn(charts: Sequence[Chart]) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("the picture", "matplotlib", "plot") from None
    picture = Figure(
        figsize=(8, 0.4 + 3.8 * len(charts)), facecolor=LIGHT.paper, layout="constrained"
    )
    FigureCanvasAgg(picture)
    for row, chart in enumerate(charts):
        axes = picture.add_subplot(len(charts), 1, row + 1)
        for index, line in enumerate(chart.lines):
            _line(axes, line, index)
        _axes(axes, chart)
    return picture


def _line(axes: Axes, line: Line, index: int) -> None:
    colour = LIGHT.quiet if line.is_quiet else LIGHT.lines[index % len(LIGHT.lines)]
    dash = DASHES[0] if line.is_quiet else DASHES[index % len(DASHES)]
    width, see = (0.8, 0.6) if line.is_quiet else (1.8, 1.0)
    axes.plot(
        line.across,
        line.up,
        color=colour,
        linestyle=dash,
        linewidth=width,
        alpha=see,
        label=line.label,
    )
    if line.low is not None and line.high is not None:
        axes.fill_between(line.across, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _axes(axes: Axes, chart: Chart) -> None:
    axes.set_xscale("log" if chart.log_across else "linear")
    axes.set_yscale("log" if chart.log_up else "linear")
    bottom = min(float(np.nanmin(line.up)) for line in chart.lines)
    room = max(chart.top - bottom, 1e-12)
    if not chart.log_up:
        axes.set_ylim(bottom - 0.05 * room, chart.top + 0.05 * room)
    axes.set_xlabel(chart.across, color=LIGHT.quiet)
    axes.set_ylabel(chart.up, color=LIGHT.quiet)
    title = axes.set_title(chart.title, loc="left", color=LIGHT.ink, fontsize=11, weight="bold")
    axes.grid(color=LIGHT.grid, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for rank, (name, place) in enumerate(chart.marks.items()):
        axes.axvline(
            place, color=LIGHT.ink, linewidth=0.9, linestyle=DASHES[(rank + 1) % len(DASHES)]
        )
        axes.text(
            place,
            0.98 - 0.06 * rank,
            f" {name} {number(place, 2)}",
            transform=axes.get_xaxis_transform(),
            fontsize=8,
            va="top",
        )
    named = [title, *axes.texts, axes.xaxis.label, axes.yaxis.label]
    if len(chart.lines) > 1:
        named += axes.legend(frameon=False, fontsize=8).get_texts()
    for text in named:
        text.set_text(printable(text.get_text()))
        text.set_parse_math(False)  # a plan's name with two dollars is a name, not a formula


def _points(chart: Chart) -> tuple[list[str], list[list[str]]]:
    rows = []
    for line in chart.lines:
        for index in np.unique(np.linspace(0, len(line.across) - 1, 12).astype(int)):
            edges = (
                ""
                if line.low is None or line.high is None
                else f"{number(float(line.low[index]))} … {number(float(line.high[index]))}"
            )
            rows.append(
                [
                    line.label,
                    number(float(line.across[index])),
                    number(float(line.up[index])),
                    edges,
                ]
            )
    return ["curve", chart.across, chart.up, "band"], rows


def _table(caption: str, heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f'<th scope="col">{markup(text)}</th>' for text in heads)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{markup(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><caption>{markup(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>\n"
