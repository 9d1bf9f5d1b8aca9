"""A comparison for a person: a table, pictures of losses and rates, a page."""

from __future__ import annotations

__all__ = ["chart", "interval", "markdown", "save", "summary", "table"]

import math
from collections.abc import Iterable, Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from warmdown.experiments.compare import Comparison, Row
from warmdown.experiments.files import save_result, write_file
from warmdown.experiments.runs import Result
from warmdown.experiments.statistics import Interval
from warmdown.plot import Line, View, count, number
from warmdown.plot.sampling import Array
from warmdown.printable import printable

_HEADS = (
    "plan",
    "finished",
    "",
    "difference",
    "rank",
    "to goal",
    "area under lr",
    "updates",
    "seconds",
)
_POINTS = 200


def summary(comparison: Comparison) -> str:
    """Return everything that is told, as text for a terminal."""
    heads, rows = table(comparison)
    widths = [max(len(row[index]) for row in [heads, *rows]) for index in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]
    return "\n".join([_headline(comparison), "", *lines, "", *_notes(comparison)])


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows."""
    heads = list(_HEADS)
    heads[2] = comparison.metric
    return heads, [_cells(row, comparison) for row in comparison.rows()]


def chart(comparison: Comparison) -> View:
    """Return the picture: the metric and the loss over the updates with bands, and the rates."""
    panels = [
        ("evaluations", comparison.metric, f"{comparison.metric} of {comparison.task}"),
        ("curves", "loss", "training loss"),
        ("curves", "lr/0", "learning rate"),
    ]
    lines = [
        line
        for kind, target, unit in panels
        for name, results in comparison.results.items()
        if (line := _line(name, unit, results.values(), kind, target))
    ]
    return View(
        lines=tuple(lines),
        is_cropped=True,
        title=f"Comparison on {comparison.task}",
        text=summary(comparison),
        tables={"Plans": table(comparison)},
    )


def save(comparison: Comparison, path: str | PathLike[str]) -> Path:
    """Write the comparison as ``.html``, ``.png``, ``.svg`` (pictures), ``.md`` (the table) or ``.json``."""
    path = Path(path)
    if path.suffix == ".md":
        write_file(path, markdown(comparison))
        return path
    return save_result(path, chart(comparison), comparison.to_dict())


def markdown(comparison: Comparison) -> str:
    """Return the table as Markdown, with its notes."""
    heads, rows = table(comparison)
    rule = ["---", *["---:"] * (len(heads) - 1)]
    lines = [f"| {' | '.join(map(_in_markdown, row))} |" for row in [heads, rule, *rows]]
    return "\n".join([*lines, "", *map(_in_markdown, _notes(comparison)), ""])


def _in_markdown(text: str) -> str:
    """Return a text that stays in its cell and is no markup."""
    return escape(printable(text, as_line=True), quote=False).replace("|", "\\|")


def _cells(row: Row, comparison: Comparison) -> list[str]:
    is_base = row.name == comparison.baseline
    return [
        row.name,
        f"{row.finished}/{row.runs}",
        interval(row.metric),
        "" if is_base else interval(row.difference, sign=True),
        f"{row.rank:.2f}",
        f"{count(row.to_goal.value)} ({row.reached}/{row.runs})"
        if row.reached
        else f"never (0/{row.runs})",
        _plain(row.area),
        _plain(row.updates),
        _plain(row.seconds),
    ]


def interval(told: Interval, *, sign: bool = False) -> str:
    """Return ``0.915 (0.905 … 0.925)``; a difference carries its sign."""
    if math.isnan(told.value):
        return "–"
    form = "+.4g" if sign else ".4g"
    if math.isnan(told.low):
        return f"{told.value:{form}}"
    return f"{told.value:{form}} ({told.low:{form}} … {told.high:{form}})"


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else number(value, 4)


def _headline(comparison: Comparison) -> str:
    seeds = max(len(held) for held in comparison.results.values())
    better = "higher" if comparison.higher_is_better else "lower"
    plans = len(comparison.results)
    return (
        f"{comparison.task}: {plans} {_many('plan', plans)}, {seeds} {_many('seed', seeds)}; "
        f"{comparison.metric}, "
        f"{better} is better."
    )


def _many(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _notes(comparison: Comparison) -> list[str]:
    goal = (
        ""
        if math.isnan(comparison.goal)
        else f" The goal is {comparison.metric} {comparison.goal:.4g}."
    )
    notes = [
        "Means over the seeds that finished, with 95 % bootstrap intervals; differences are paired "
        "by seed, to "
        f"{comparison.baseline!r}. To goal: median updates, over the seeds that reached it.{goal}"
    ]
    for name, result in comparison.failures:
        notes.append(f"{name}, seed {result.spec.seed}: {result.status}: {result.says}")
    return notes


def _line(name: str, unit: str, results: Iterable[Result], kind: str, target: str) -> Line | None:
    held = [
        _curve(getattr(result, kind), target) for result in results if result.status == "finished"
    ]
    drawn = [(steps, values) for steps, values in held if len(steps)]
    if not drawn:
        return None
    stop = min(float(steps[-1]) for steps, _ in drawn)
    own = drawn[0][0]
    across = own[own <= stop] if len(own) <= _POINTS else np.linspace(own[0], stop, _POINTS)
    rows = np.stack([np.interp(across, steps, values) for steps, values in drawn])
    mean, error = rows.mean(axis=0), rows.std(axis=0) * 1.96 / math.sqrt(len(rows))
    return Line(name, unit, across, mean, low=mean - error, high=mean + error)


def _curve(curves: Mapping[str, Any], target: str) -> tuple[Array, Array]:
    steps, values = curves.get(target, ([], []))
    good = np.isfinite(np.array(values, dtype=float)) if values else np.array([], dtype=bool)
    return np.array(steps, dtype=float)[good], np.array(values, dtype=float)[good]
