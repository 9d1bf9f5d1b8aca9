"""What a law of the loss predicts for the plan that is shown, or why it cannot."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from warmdown.errors import ForecastError, SpecError, WarmdownError
from warmdown.plot.groups import driven
from warmdown.plot.summary import table_of
from warmdown.plot.view import Line, View
from warmdown.schedules.sampling import Array
from warmdown.studio.preview.preview import Bases, Preview, Summary, Window

if TYPE_CHECKING:
    from warmdown.forecast import Forecast, Law, RateCurve

_MOST_POINTS = 100
_FEWEST_POINTS = 8
_LOOKS = 600_000
"""Points times pieces of the rate: about half a second, however often the rate turns."""
LOG_ENDINGS = (".csv", ".tsv", ".jsonl")
LAW_ENDINGS = (".json", *LOG_ENDINGS)
LARGEST_LOG = 20_000_000
"""Bytes."""


@final
@dataclass(frozen=True, eq=False)
class Outlook:
    """What a law predicts for a plan.

    Args:
        forecast: The loss along it; ``None`` where the law cannot speak about it.
        notes: What limits the forecast, or why there is none, as sentences.
    """

    forecast: Forecast | None = None
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The final loss with its interval, and the notes."""
        final = (
            "" if self.forecast is None else f"Predicted final loss {self.final}, 90 % interval."
        )
        return " ".join(filter(None, (final, *self.notes)))

    @property
    def final(self) -> str:
        """The final loss with its interval; empty where nothing is predicted."""
        return "" if self.forecast is None else str(self.forecast.final)

    def lines(self, window: Window | None) -> tuple[Line, ...]:
        """Return the loss with its band, whole in a window; else without its steep beginning."""
        if self.forecast is None:
            return ()
        forecast = self.forecast
        line: Line = forecast.loss_line(times=np.inf) if window else forecast.loss_line()
        return (line,)


def foresee(law: Law, seen: Preview, bases: Bases, window: Window | None = None) -> Outlook:
    """Return what a law predicts for a plan, at the steps of its table and at about a hundred more.

    Args:
        law: The law.
        seen: The plan, or its curves where another process drew them.
        bases: Base values of each parameter group.
        window: A stretch to look at closely.
    """
    try:
        curve, notes = _rate_in(seen, bases)
        forecast = law.along(curve, _steps_shown(curve, seen.view, window))
    except WarmdownError as error:
        what = (str(error).partition("): ")[2] or str(error)).split(". ")[0].rstrip(".")
        way_out = " Type it under Groups and base values." if "base rate" in what else ""
        return Outlook(notes=(f"The law cannot speak about this plan: {what}.{way_out}",))
    if not np.isfinite(forecast.final).all():
        return Outlook(notes=("The law gives no number for this plan.",))
    return Outlook(forecast, (*forecast.notes, *notes))


def with_loss(summary: Summary, outlook: Outlook) -> Summary:
    """Return the words and the table of a plan with the predicted loss in them."""
    if not summary.labels or not outlook.text:
        return summary
    text = f"{summary.text}\n\n{outlook.text}"
    if (forecast := outlook.forecast) is None:
        return replace(summary, text=text)
    known = dict(zip(forecast.steps.tolist(), forecast.loss.tolist(), strict=True))
    rows = tuple(
        (step, what, (*values, known.get(step, float("nan"))))
        for step, what, values in summary.rows
    )
    return replace(summary, text=text, labels=(*summary.labels, "predicted loss"), rows=rows)


def law_or_log(name: str, text: str) -> Literal["law", "log", ""]:
    """Return whether a file is a law or a log of losses; a plan is neither.

    Example:
        >>> [law_or_log(name, '{"warmdown_law": 1}') for name in ("law.json", "a.csv", "b.yaml")]
        ['law', 'log', '']
    """
    if name.lower().endswith(LOG_ENDINGS):
        return "log"
    try:
        data = json.loads(text) if name.lower().endswith(".json") else None
    except (ValueError, RecursionError):
        return ""
    if not isinstance(data, Mapping):
        return ""
    return "law" if data.keys() & {"warmdown_law", "L0"} else "log" if "log_history" in data else ""


def read_law(texts: Mapping[str, str]) -> Law:
    """Return the law that a file has, or the one that is fitted to logs, by their names.

    Raises:
        SpecError: A file is no log, or the logs cannot tell what the falling rate did.
    """
    from warmdown.forecast import fit_loss, load_law

    with TemporaryDirectory() as place:
        # copies, because a path of the folder could become a link after it was looked at
        folder = Path(place, "log")
        folder.mkdir()
        paths = [folder / re.sub(r"[^\w.-]", "_", name)[-80:] for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        try:
            if [law_or_log(name, text) for name, text in texts.items()] == ["law"]:
                return load_law(*paths)
            return fit_loss(paths)
        except WarmdownError as error:
            raise SpecError(str(error).replace(f"{folder}{os.sep}", "")) from None


def _rate_in(seen: Preview, bases: Bases) -> tuple[RateCurve, list[str]]:
    """Return the rate that the law follows: of the first group."""
    from warmdown.forecast import RateCurve

    if seen.plan is None:
        drawn = [line for line in seen.view.lines if line.unit == "learning rate"]
        if not drawn:
            raise ForecastError("forecast(plan): it drives no rate whose base rate is known.")
        notes = _notes_of_groups([line.label for line in drawn])
        return RateCurve.logged(drawn[0].steps, drawn[0].values), notes
    plan = seen.plan.over()
    found = [one for one in driven(plan, bases or None) if one[1].name == "lr"]
    if not found:
        raise ForecastError("forecast(plan): it drives no learning rate.")
    _, target, base = found[0]
    alone = replace(plan, targets=(target,), run=replace(plan.run, lr=base))
    return RateCurve.of(alone), _notes_of_groups([label for label, _, _ in found])


def _notes_of_groups(labels: list[str]) -> list[str]:
    return [f"Of several rates the law follows {labels[0]}."] if len(labels) > 1 else []


def _steps_shown(curve: RateCurve, seen: View, window: Window | None) -> Array:
    """Return the steps to evaluate at: fewer where the rate turns often, which costs more."""
    many = int(np.clip(_LOOKS // curve.steps.size, _FEWEST_POINTS, _MOST_POINTS))
    stop = curve.stop
    first = max(1.0, 0.01 * stop)
    parts = [np.linspace(first, stop, many), np.geomspace(first, stop, many // 5)]
    if window is not None:
        parts.append(np.linspace(*window, many))
    rows = [float(moment.step) for moment in table_of(seen)]
    if len(rows) <= many:
        parts.append(np.array(rows))
    steps = np.unique(np.concatenate(parts).round())
    return steps[(steps >= 1) & (steps <= stop)]
