"""A law of the loss from logs, and what it predicts for plans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from warmdown.errors import ForecastError, shortly
from warmdown.files import write_whole
from warmdown.forecast.design import Design, best_plan
from warmdown.forecast.fitting import Fit, fit_formula, require_separable
from warmdown.forecast.formulas import FORMULAS, Drops, Unit, formula_of
from warmdown.forecast.logs import LogSource, LossLog, read_log
from warmdown.forecast.prediction import Agreement, Final, Forecast
from warmdown.forecast.rates import RateCurve
from warmdown.formatting import count, number
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_of
from warmdown.record import Record
from warmdown.run import RunLike, run_of
from warmdown.schedules.sampling import Array

Quantity: TypeAlias = Literal["loss", "perplexity"]
Shape: TypeAlias = Literal["wsd", "power", "any"]

_VERSION = 1
_POINTS = 400
"""Steps of a forecast."""
_NINETY = 1.645
"""Deviations on each side of a 90 % interval."""
_MISSES = 0.0022
"""How far a law misses a run that it was not fitted to, relative, beside what its numbers leave
open. Chosen, with ``_OPEN`` and ``_FARTHER``, so that 90 % of the intervals contain what was left
out, over every set of one to three of 13 public logs: ``docs/forecast.md``."""
_OPEN = 1.5
"""What the numbers leave open counts so many times."""
_FARTHER = 0.25
"""How much more it misses at e times the sum of rates of the pilots."""
_BEYOND = 1.1
"""From so many times a pilot's length or rate on, a plan is beyond the pilots."""


class Member(NamedTuple):
    """A law in a forecast.

    Args:
        fit: Its numbers.
        weight: How much it counts.
        error: Mean relative error on logs that were left out, or ``None``.
    """

    fit: Fit
    weight: float
    error: float | None


class Pilot(NamedTuple):
    """A log that a law was fitted to.

    Args:
        name: Of the log.
        updates: Its last update.
        total: Its sum of rates.
        peak: Its highest rate.
        error: Mean relative error of the fit.
    """

    name: str
    updates: int
    total: float
    peak: float
    error: float


@dataclass(frozen=True, eq=False)
class Law:
    """What was learned from logs: the loss as a function of the rate.

    Args:
        members: The laws that it is the weighted mean of.
        pilots: The logs.
        notes: What was assumed, left out and chosen.
        warmup: The longest warmup of the logs, in updates.
    """

    members: tuple[Member, ...]
    pilots: tuple[Pilot, ...] = ()
    notes: tuple[str, ...] = ()
    warmup: int = 0

    @property
    def name(self) -> str:
        """The name of the law that counts most."""
        return max(self.members, key=lambda member: member.weight).fit.formula.name

    @property
    def parameters(self) -> dict[str, tuple[float, float, float]]:
        """Number, low and high of each parameter of the law that counts most: 90 % intervals."""
        fit = max(self.members, key=lambda member: member.weight).fit
        return _intervals(fit)

    def __repr__(self) -> str:
        shares = ", ".join(f"{one.fit.formula.name} {one.weight:.0%}" for one in self.members)
        return f"<Law of {len(self.pilots)} logs: {shares}>"

    def report(self) -> str:
        """Return data, laws, numbers with intervals, and the error on the pilots, as text."""
        lines = [
            f"{pilot.name}: {count(pilot.updates)} updates, peak {number(pilot.peak)}, mean error "
            f"{pilot.error:.2%}"
            for pilot in self.pilots
        ]
        for member in self.members:
            formula = member.fit.formula
            left_out = "" if member.error is None else f", left-out error {member.error:.2%}"
            lines.append(f"{formula.name} law ({formula.reference}), {member.weight:.0%}{left_out}")
            lines += (
                f"  {name:<7}{number(value):<10} ({number(low)} … {number(high)})"
                for name, (value, low, high) in _intervals(member.fit).items()
            )
        return "\n".join([*lines, *self.notes])

    def __str__(self) -> str:
        return self.report()

    def predict(
        self, plan: Any, run: RunLike | None = None, quantity: Quantity = "loss"
    ) -> Forecast:
        """Return the loss along a plan, with a 90 % interval at each step.

        Args:
            plan: A plan, or whatever ``Plan`` is made of: a schedule, ``Set(…)``, targets.
            run: Facts about the run: its length and its base rate.
            quantity: ``"loss"``, or ``"perplexity"``, its exponential.

        Raises:
            ForecastError: The plan has no rate, no length, or no base rate.
        """
        made = _planned(plan, run)
        curve = RateCurve.of(made)
        return self.along(curve, quantity=quantity, plan=made)

    def along(
        self,
        curve: RateCurve,
        steps: Array | None = None,
        *,
        quantity: Quantity = "loss",
        plan: Plan | None = None,
    ) -> Forecast:
        """Return the loss along a rate curve, at given steps or at about 400."""
        if quantity not in ("loss", "perplexity"):
            raise ForecastError(f"predict(quantity={quantity!r}): use 'loss' or 'perplexity'.")
        if curve.total <= 0:
            raise ForecastError("forecast(plan): its rate is 0 all along; nothing will be learned.")
        if steps is None:
            steps = _steps_of(curve)
        mean, deviation = self.values(curve, steps)
        low, high = mean - _NINETY * deviation, mean + _NINETY * deviation
        low = np.minimum(np.maximum(low, 0.0), mean)
        if quantity == "perplexity":
            mean, low, high = map(np.exp, (mean, low, high))
        rates = np.interp(steps, curve.steps, curve.rates)
        notes = tuple(self._warnings(curve))
        return Forecast(steps, mean, low, high, rates, quantity, plan, self.report(), notes)

    def final_of(self, steps: Iterable[float], rates: Iterable[float]) -> Final:
        """Return the final loss of a run that used these rates, as they were recorded."""
        at, used = (np.array(list(row), dtype=np.float64) for row in (steps, rates))
        return self.along(RateCurve.logged(at, used)).final

    def values(self, curve: RateCurve, steps: Array) -> tuple[Array, Array]:
        """Return the loss at steps of a curve, and its deviation."""
        return self._values_at(Drops.at(curve, steps))

    def _values_at(self, drops: Drops) -> tuple[Array, Array]:
        found = [(member.weight, *member.fit.loss(drops)) for member in self.members]
        mean = np.sum([weight * loss for weight, loss, _ in found], axis=0)
        variance = np.sum(
            [weight * ((_OPEN * open_) ** 2 + (loss - mean) ** 2) for weight, loss, open_ in found],
            axis=0,
        )
        beyond = np.zeros_like(mean)
        if self.pilots:
            farthest = max(pilot.total for pilot in self.pilots)
            beyond = np.log(np.maximum(drops.sums / farthest, 1.0))
        noise = max(member.fit.noise for member in self.members)
        missed = mean * np.hypot(_MISSES * (1 + _FARTHER * beyond), noise)
        return mean, np.sqrt(variance + missed**2)

    def design(
        self,
        run: RunLike | None = None,
        shape: Shape = "any",
        *,
        warmup: int | str | None = None,
        **facts: Any,
    ) -> Design:
        """Return the plan with the least predicted final loss, with what it gains over usual ones.

        After its warmup the rate is continuous and never rises: a law alone would reward stairs of
        a few drops, which no one has tried.

        Args:
            run: Its length and its base rate, which is the peak.
            shape: ``"wsd"`` (stable, then a decay of a usual curve), ``"power"`` (stable, then a
                power of the way still to go), ``"any"`` of them.
            warmup: Length of the warmup; that of the pilots when left out.
            facts: What a run is made of, in place of ``run``.

        Raises:
            ForecastError: The run lacks its length or its rate.
        """
        made = run_of(run, "design", **facts)
        warmup = self.warmup if warmup is None else warmup
        return best_plan(self.values, self.predict, made, shape, warmup)

    def compared(self, log: LossLog) -> Agreement:
        """Return how well the law predicts what a log measured after its warmup."""
        log = log.settled()
        return Agreement.of(log, self.along(log.curve, log.steps))

    def to_json(self) -> str:
        """Return the law as the text of the file that :func:`load_law` reads."""
        members = [
            {
                "law": member.fit.formula.name,
                "weight": member.weight,
                "error": member.error,
                "parameters": member.fit.formula.natural(member.fit.theta, member.fit.unit),
                "unit": list(member.fit.unit),
                "covariance": member.fit.covariance.tolist(),
                "noise": member.fit.noise,
            }
            for member in self.members
        ]
        data = {
            "warmdown_law": _VERSION,
            "laws": members,
            "pilots": [pilot._asdict() for pilot in self.pilots],
            "warmup": self.warmup,
            "notes": list(self.notes),
        }
        return json.dumps(data, indent=1) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the law as a small JSON file."""
        write_whole(Path(path), self.to_json())
        return Path(path)

    def _warnings(self, curve: RateCurve) -> list[str]:
        if not self.pilots:
            return []
        updates, peak = (max(getattr(pilot, what) for pilot in self.pilots)
                         for what in ("updates", "peak"))  # fmt: skip
        found = []
        if curve.stop > _BEYOND * updates:
            found.append(f"Extrapolated: {curve.stop / updates:.1f} times the longest pilot.")
        if curve.peak > _BEYOND * peak:
            found.append(f"Extrapolated: a peak {curve.peak / peak:.1f} times that of the pilots.")
        return found


def fit_loss(
    logs: LogSource | Iterable[LogSource],
    *,
    step: str | None = None,
    rate: str | None = None,
    loss: str | None = None,
    plan: Plan | None = None,
    warmup: int | None = None,
    law: str | None = None,
) -> Law:
    """Fit the laws of the loss to training logs.

    With several logs each is left out once, and a law counts the more the better it predicts that
    log from the others; with one, both laws count alike.

    Args:
        logs: Records, files of logs, or ``(steps, rates, losses)``; see :func:`read_log`.
        step: Name of the column of updates.
        rate: Name of the column of rates.
        loss: Name of the column of losses.
        plan: What every run followed, if one plan served all.
        warmup: Updates of the linear warmup before the first row of each.
        law: ``"multi-power"`` or ``"annealing"``, to use one alone.

    Raises:
        ForecastError: A log cannot be read, or annealing and progress cannot be separated.

    Example:
        >>> import numpy as np
        >>> steps = np.arange(1, 400, 4)
        >>> rates = np.where(steps < 300, 0.1, 0.02)
        >>> losses = 1 + 2 / np.sqrt(np.cumsum(rates)) - 0.1 * (steps >= 300)
        >>> fit_loss([(steps, rates, losses)]).name in ("multi-power", "annealing")
        True
    """
    given = [logs] if _is_one(logs) else list(logs)  # type: ignore[arg-type]
    if not given:
        raise ForecastError("fit_loss([]): no logs. Give at least one.")
    how = {"step": step, "rate": rate, "loss": loss, "plan": plan, "warmup": warmup}
    read = [read_log(source, **how) for source in given]  # type: ignore[arg-type]
    thin = [log.settled().thinned() for log in read]
    require_separable(thin)
    formulas = list(FORMULAS.values()) if law is None else [formula_of(law)]
    errors = [_left_out_error(formula, thin) for formula in formulas]
    fits = [fit_formula(formula, thin) for formula in formulas]
    shares = np.ones(len(fits))
    known = [error for error in errors if error is not None]
    if len(known) == len(fits) > 1:
        shares = np.array(known) ** -2.0
    shares /= shares.sum()
    members = tuple(Member(fit, float(share), error)
                    for fit, share, error in zip(fits, shares, errors, strict=True))  # fmt: skip
    notes = [note for log in read for note in log.notes]
    if len(fits) > 1:
        means = ", ".join(f"{one.fit.formula.name} {one.weight:.0%}" for one in members)
        why = "by their errors on logs left out" if known else "alike: none could be left out"
        notes.append(f"The mean of {means}: weighted {why}.")
    warmups = [log.warmup for log in read if log.warmup is not None]
    made = Law(members, (), tuple(notes), max(warmups, default=0))
    pilots = tuple(
        Pilot(log.name, int(log.steps[-1]), log.curve.total, log.curve.peak,
              float(np.mean(np.abs(made._values_at(log.drops)[0] / log.losses - 1))))
        for log in thin
    )  # fmt: skip
    return Law(members, pilots, tuple(notes), made.warmup)


def load_law(path: str | Path) -> Law:
    """Return a law from its file; one with a law's numbers alone, by their names, is read too.

    Raises:
        ForecastError: The file is no law.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "law.json"
        >>> _ = path.write_text('{"L0": 2.65, "A": 0.6, "a": 0.45, "B": 438, "C": 2.1, '
        ...                     '"b": 0.6, "g": 0.66}')
        >>> load_law(path).name
        'multi-power'
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ForecastError(f"{path}: no law can be read: {shortly(error)}.") from None
    if not isinstance(data, Mapping) or data.get("warmdown_law", _VERSION) != _VERSION:
        raise ForecastError(f"{path}: no law of version {_VERSION}. Make one with --save.")
    entries = data.get("laws", [data])
    try:
        members = tuple(_member_of(entry, len(entries)) for entry in entries)
        pilots = tuple(Pilot(**pilot) for pilot in data.get("pilots", ()))
        notes = tuple(map(str, data.get("notes", ())))
        return Law(members, pilots, notes, int(data.get("warmup", 0)))
    except ForecastError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise ForecastError(
            f"{path}: its numbers cannot be read: {type(error).__name__} {error}. A law has "
            "'parameters' by the names of its paper."
        ) from None


def _member_of(entry: Mapping[str, Any], among: int) -> Member:
    numbers = entry.get("parameters", entry)
    values = {name: float(value["value"] if isinstance(value, Mapping) else value)
              for name, value in numbers.items() if name in _PARAMETERS}  # fmt: skip
    name = entry.get("law") or next(
        (formula.name for formula in FORMULAS.values() if {*formula.names} <= values.keys()), ""
    )
    formula = formula_of(str(name))
    unit = Unit(*map(float, entry.get("unit", (3e-4, 6.0, 3.0))))
    with np.errstate(invalid="ignore", divide="ignore"):
        theta = formula.theta(values, unit)
    if not np.isfinite(theta).all():
        raise ValueError("a number is not finite, or below 0")
    size = theta.size
    covariance = np.array(entry.get("covariance", np.zeros((size, size))), dtype=np.float64)
    fit = Fit(formula, unit, theta, covariance.reshape(size, size), float(entry.get("noise", 0.0)))
    return Member(fit, float(entry.get("weight", 1 / among)), entry.get("error"))


_PARAMETERS = {name for formula in FORMULAS.values() for name in formula.names}


def _is_one(logs: Any) -> bool:
    if isinstance(logs, str | Path | LossLog | Record | Mapping):
        return True
    # three arrays are one log; three files, or three logs of arrays, are three
    return (
        isinstance(logs, tuple)
        and len(logs) == 3
        and all(not isinstance(one, str | Path | LossLog | Record) for one in logs)
        and all(np.ndim(one) == 1 for one in logs)
    )


def _left_out_error(formula: Any, logs: Sequence[LossLog]) -> float | None:
    """Return the mean relative error on each log from the others, where they can be separated."""
    errors = []
    for log in logs:
        others = [other for other in logs if other is not log]
        try:
            if others:
                require_separable(others)
                fit = fit_formula(formula, others)
                predicted, _ = fit.loss(log.drops)
                errors.append(float(np.mean(np.abs(predicted / log.losses - 1))))
        except ForecastError:
            continue
    return float(np.mean(errors)) if errors else None


def _intervals(fit: Fit) -> dict[str, tuple[float, float, float]]:
    """Return each number with the interval that its own deviation gives."""
    deviations = _NINETY * np.sqrt(np.diag(fit.covariance))
    most_likely = fit.formula.natural(fit.theta, fit.unit)
    found = {}
    for at, name in enumerate(fit.formula.names):
        ends = []
        for side in (-1, 1):
            theta = fit.theta.copy()
            theta[at] += side * deviations[at]
            ends.append(fit.formula.natural(theta, fit.unit)[name])
        found[name] = (most_likely[name], min(ends), max(ends))
    return found


def _steps_of(curve: RateCurve) -> Array:
    stop = curve.stop
    first = max(1.0, 0.01 * stop)
    leaps = curve.steps[:-1][np.diff(curve.steps) == 0]
    even = np.linspace(first, stop, _POINTS - 50)
    steps = np.unique(np.r_[even, np.geomspace(first, stop, 50), leaps[:50]].round())
    return steps[(steps >= 1) & (steps <= stop)]


def _planned(plan: Any, run: RunLike | None) -> Plan:
    return plan_of(plan, who="predict(", run=None if run is None else run_of(run, "predict"))
