"""What a law predicts for a plan, with an interval at each step, and how a log agrees."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from warmdown.errors import ForecastError
from warmdown.files import write_whole
from warmdown.forecast.logs import LossLog
from warmdown.formatting import aligned, count
from warmdown.plan import Plan
from warmdown.registry import Pictured, provided
from warmdown.schedules.sampling import Array

_DIGITS = 5
_SHOWN = 1.15
"""A picture begins where the loss is so many times its last value: before, it falls too steeply."""


class Final(NamedTuple):
    """What is predicted of the last step, with a 90 % interval.

    Args:
        predicted: The most likely value.
        low: Lower end.
        high: Upper end.
    """

    predicted: float
    low: float
    high: float

    def __str__(self) -> str:
        texts = (f"{value:.{_DIGITS}g}" for value in self)
        return "{} ({} … {})".format(*texts)


@dataclass(frozen=True, eq=False)
class Forecast(Pictured):
    """The loss along a plan; in a notebook it draws itself.

    Args:
        steps: Updates, rising, ``(n,)``.
        loss: The most likely loss after each, ``(n,)``.
        low: Lower end of its 90 % interval, ``(n,)``.
        high: Upper end, ``(n,)``.
        rates: The learning rate there, ``(n,)``.
        quantity: ``"loss"`` or ``"perplexity"``.
        plan: What was asked about, or ``None`` of a rate that no plan is known of.
        law: What it comes from: the report of the law.
        notes: Where it goes beyond the pilots.
    """

    steps: Array
    loss: Array
    low: Array
    high: Array
    rates: Array
    quantity: str = "loss"
    plan: Plan | None = None
    law: str = ""
    notes: tuple[str, ...] = ()

    @property
    def final(self) -> Final:
        """The last step's value and interval."""
        return Final(float(self.loss[-1]), float(self.low[-1]), float(self.high[-1]))

    def __repr__(self) -> str:
        return f"<Forecast of {count(int(self.steps[-1]))} updates: {self.quantity} {self.final}>"

    def __str__(self) -> str:
        return "\n".join([repr(self)[1:-1], *self.notes, self.law])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        columns = {name: getattr(self, name).tolist()
                   for name in ("steps", "rates", "loss", "low", "high")}  # fmt: skip
        return {"quantity": self.quantity, "final": self.final._asdict(), **columns,
                "law": self.law.splitlines(), "notes": list(self.notes)}  # fmt: skip

    def chart(self) -> Any:
        """Return the picture: the rate, and the loss with its band below it."""
        return chart_of({"": self})

    def loss_line(self, name: str = "", times: float = _SHOWN) -> Any:
        """Return the loss with its band as a line of a picture.

        Args:
            name: Of the plan.
            times: The line begins where the loss is so many times its last value.
        """
        shown = self.loss <= times * self.loss[-1]
        steps, loss, low, high = (
            row[shown] for row in (self.steps, self.loss, self.low, self.high)
        )
        label = f"{name}: {self.quantity}" if name else self.quantity
        unit = f"predicted {self.quantity}"
        line = provided("plot").Line
        return line(label, unit, steps, loss, low=low, high=high, run=name)

    def plot(self, **how: Any) -> Any:
        """Return the picture as a matplotlib figure; ``how`` is what ``plot.figure`` takes."""
        return provided("plot").figure(self.chart(), **how)

    def _repr_html_(self) -> Any:
        return provided("plot").notebook(self.chart())


def chart_of(forecasts: dict[str, Forecast]) -> Any:
    """Return one picture of several forecasts by name: a colour for each plan in every panel."""
    plot, lines = provided("plot"), []
    for name, one in forecasts.items():
        label = f"{name}: " if name else ""
        lines += [
            plot.Line(f"{label}lr", "learning rate", one.steps, one.rates, run=name),
            one.loss_line(name),
        ]
    notes = dict.fromkeys(note for one in forecasts.values() for note in one.notes)
    return plot.View(lines=tuple(lines), notes=tuple(notes), title="Forecast",
                     text=forecast_table(forecasts))  # fmt: skip


def forecast_table(forecasts: dict[str, Forecast]) -> str:
    """Return plans, lengths and final losses with their intervals, the best first."""
    ranked = sorted(forecasts.items(), key=lambda item: item[1].final.predicted)
    best = ranked[0][1].final.predicted
    rows = [["plan", "updates", "final loss", "90 % interval", "behind"]]
    for name, one in ranked:
        final = one.final
        loss, behind = f"{final.predicted:.4f}", f"{final.predicted - best:.4f}"
        interval = f"{final.low:.4f} … {final.high:.4f}"
        rows.append([name, count(one.steps[-1]), loss, interval, behind])
    return aligned(rows, left=[0, 3])


class Agreement(NamedTuple):
    """How well a law predicts what a log measured.

    Args:
        name: Of the log.
        r2: Share of the loss's variance that the law explains.
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        mean_relative_error: Mean error over the loss.
        worst_relative_error: Largest error over the loss.
        final: What was predicted of the last row, its interval, and what was measured.
    """

    name: str
    r2: float
    mae: float
    rmse: float
    mean_relative_error: float
    worst_relative_error: float
    final: dict[str, float]

    @classmethod
    def of(cls, log: LossLog, forecast: Forecast) -> Self:
        """Compare a log with what was predicted for its rows."""
        error = forecast.loss - log.losses
        relative = np.abs(error) / log.losses
        spread = float(np.sum((log.losses - log.losses.mean()) ** 2))
        return cls(
            log.name,
            1 - float(np.sum(error**2)) / spread if spread else 0.0,
            float(np.abs(error).mean()),
            float(np.sqrt(np.mean(error**2))),
            float(relative.mean()),
            float(relative.max()),
            {**forecast.final._asdict(), "measured": float(log.losses[-1])},
        )

    def __str__(self) -> str:
        final = self.final
        holds = final["low"] <= final["measured"] <= final["high"]
        return (
            f"{self.name}: r2 {self.r2:.4f}, mean error {self.mean_relative_error:.3%}, worst "
            f"{self.worst_relative_error:.3%}; final {final['predicted']:.4f} "
            f"({final['low']:.4f} … {final['high']:.4f}), measured {final['measured']:.4f}, "
            f"{'inside' if holds else 'OUTSIDE'}"
        )


def save_forecasts(path: Path, forecasts: dict[str, Forecast], facts: dict[str, Any]) -> None:
    """Write forecasts as a picture (``.png .svg .pdf .html``), as rows (``.csv``) or ``.json``.

    Raises:
        ForecastError: The ending is none of these.
    """
    ending = path.suffix.lower()
    if ending in (".png", ".svg", ".pdf", ".html"):
        provided("plot").save(chart_of(forecasts), path)
    elif ending == ".json":
        write_whole(path, json.dumps(facts, indent=1) + "\n")
    elif ending == ".csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("plan", "step", "lr", "loss", "low", "high"))
        for name, one in forecasts.items():
            rows = zip(one.steps, one.rates, one.loss, one.low, one.high, strict=True)
            writer.writerows([name, int(row[0]), *map(float, row[1:])] for row in rows)
        write_whole(path, out.getvalue())
    else:
        raise ForecastError(
            f"--out {path}: no kind of file. Use .png, .svg, .pdf, .html, .csv, .json; with "
            "--design .yaml."
        )
