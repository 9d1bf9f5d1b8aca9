"""The plan with the least predicted final loss, among continuous rates that never rise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from warmdown.errors import ForecastError, MissingExtra, nearest
from warmdown.forecast.prediction import Final, Forecast
from warmdown.forecast.rates import RateCurve
from warmdown.formatting import count, number
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.schedules import Constant, Cosine, Linear, Polynomial, Schedule, Sqrt
from warmdown.schedules.sampling import Array

LossValues: TypeAlias = Callable[[RateCurve, Array], tuple[Array, Array]]

_KNOTS = 160
"""Points of a decay that is tried."""
_SHARES = 0.03, 0.1, 0.2, 0.4, 0.7
"""Shares of the run at which a search for the decay's length begins."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Design(Plan):
    """A plan, and what a law predicts for it.

    Args:
        final: Its predicted final loss, with a 90 % interval.
        gain: How much higher the final loss of each usual plan is predicted, by its name.
        shape: What was chosen, in words.
    """

    final: Final
    gain: Mapping[str, float] = field(hash=False)
    shape: str

    @property
    def plan(self) -> Plan:
        """The plan alone."""
        return Plan.from_dict(self.to_dict())

    @property
    def predicted(self) -> float:
        """The predicted final loss."""
        return self.final.predicted

    def __repr__(self) -> str:
        return f"<Design: {self}>"

    def __str__(self) -> str:
        usual = "; ".join(f"{value:+.4f} {name}" for name, value in self.gain.items())
        return f"{self.shape}: final loss {self.final}. Against it: {usual}."

    def forecast(self) -> dict[str, Any]:
        """Return the plan and what is predicted as plain data."""
        return {"plan": self.to_dict(), **self.final._asdict(), "gain": dict(self.gain)}


class _Search:
    """Predicts the final loss of decays of one run.

    Args:
        values: Of a law: the loss at steps of a rate curve, and its deviation.
        run: Length and rate.
        warmup: Updates.
    """

    def __init__(self, values: LossValues, run: Run, warmup: int) -> None:
        self.values, self.warmup = values, warmup
        self.stop, self.rate = int(run.length or 0), float(run.lr or 0.0)

    def final_of(self, share: float, decay: Callable[[Any], Any]) -> float:
        """Return the loss after a decay over the last ``share``; it falls from 1 over 0 … 1."""
        length = share * (self.stop - self.warmup)
        # close knots at the end, where a law's answer to the last drops is quick
        way = 1 - np.linspace(1, 0, _KNOTS) ** 2
        steps = np.r_[0.0, self.warmup, self.stop - length + length * way]
        rates = self.rate * np.r_[0.0, 1.0, decay(way)]
        if self.warmup == 0:
            steps, rates = steps[1:], rates[1:]
        curve = RateCurve(steps, np.maximum(rates, 0.0))
        return float(self.values(curve, steps[-1:])[0][0])

    def best(
        self, decay: Callable[..., Callable[[Any], Any]], *beginnings: tuple[float, float, float]
    ) -> tuple[float, tuple[float, ...]]:
        """Return the least final loss, and share and numbers of the decay that gives it.

        Args:
            decay: Makes a decay of its numbers.
            beginnings: Least value, first guess and highest value of each number.
        """
        try:
            from scipy.optimize import minimize
        except ImportError:
            raise MissingExtra("design", "scipy", "forecast") from None
        bounds = [(0.01, 1.0), *((low, high) for low, _, high in beginnings)]
        guesses = [guess for _, guess, _ in beginnings]

        def final(tried: Any) -> float:
            inside = [
                float(np.clip(value, *ends)) for value, ends in zip(tried, bounds, strict=True)
            ]
            return self.final_of(inside[0], decay(*inside[1:]))

        found = []
        for share in _SHARES:
            result = minimize(final, [share, *guesses], method="Nelder-Mead", bounds=bounds,
                              options={"maxfev": 160, "xatol": 1e-3, "fatol": 1e-6})  # fmt: skip
            found.append((float(result.fun), tuple(map(float, result.x))))
        return min(found)


def best_plan(
    values: LossValues, predict: Callable[[Plan], Forecast], run: Run, shape: str, warmup: int | str
) -> Design:
    """Return the best plan of a shape; see :meth:`Law.design`.

    Raises:
        ForecastError: The run lacks its length or its rate, or there is no such shape.
    """
    if not run.length or run.lr is None:
        raise ForecastError("design(run): its length and rate are needed. Give total_steps and lr.")
    if shape not in _SHAPES:
        raise ForecastError(
            f"design(shape={shape!r}): no such shape. {nearest(str(shape), _SHAPES)}"
        )
    updates = run.measure(warmup, who="design(warmup)") or 0
    if not 0 <= updates < run.length:
        raise ForecastError(f"design(warmup={warmup!r}): it takes all of the {run.length} updates.")
    search = _Search(values, run, updates)
    tried = [make(search) for make in _SHAPES[shape]]
    _, share, decay, words = min(tried, key=lambda one: one[0])
    length = max(1, min(round(share * (run.length - updates)), run.length - updates))
    stable = run.length - updates - length
    parts: list[Schedule] = [Linear(start=0.0, end=1.0, steps=updates).named("warmup")] * bool(
        updates
    )
    parts += [Constant(value=1.0, steps=stable).named("stable")] * bool(stable)
    parts.append(decay(length).named("decay"))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole >> part
    plan = Plan.of(lr=whole, run=run)
    final = predict(plan).final
    usual = {name: predict(Plan.of(lr=made, run=run)).final.predicted - final.predicted
             for name, made in _usual_plans(updates, run.length).items()}  # fmt: skip
    first = f"stable to update {count(run.length - length)}, then " if stable else ""
    return Design(
        targets=plan.targets,
        run=plan.run,
        final=final,
        gain=usual,
        shape=f"{first}{words} over {count(length)} updates",
    )


def _usual_plans(warmup: int, stop: int) -> dict[str, Schedule]:
    rest = stop - warmup
    decay = max(rest // 5, 1)
    decays: dict[str, Schedule] = {
        "constant": Constant(value=1.0),
        "cosine to 10 %": Cosine(end=0.1, steps=rest),
        "linear to 0": Linear(start=1.0, end=0.0, steps=rest),
        "wsd, a fifth of it to 0": Constant(value=1.0, steps=rest - decay)
        >> Sqrt(start=1.0, end=0.0, steps=decay),
    }
    if not warmup:
        return decays
    return {name: Linear(start=0.0, end=1.0, steps=warmup) >> made for name, made in decays.items()}


_Tried = tuple[float, float, Callable[[int], Schedule], str]


def _powers(search: _Search) -> _Tried:
    def decay(power: float, end: float) -> Callable[[Any], Any]:
        return lambda way: end + (1 - end) * (1 - way) ** power

    loss, (share, power, end) = search.best(decay, (0.3, 1.5, 6.0), (0.0, 0.01, 0.3))

    def make(length: int) -> Schedule:
        return Polynomial(start=1.0, end=round(end, 5), steps=length, power=round(power, 3))

    return loss, share, make, f"a power of {power:.2f} to {number(end)} of the peak"


def _lines(search: _Search) -> _Tried:
    def decay(end: float) -> Callable[[Any], Any]:
        return lambda way: 1 - (1 - end) * way

    loss, (share, end) = search.best(decay, (0.0, 0.02, 0.5))
    words = f"a line to {number(end)} of the peak"
    return loss, share, lambda n: Linear(start=1.0, end=round(end, 5), steps=n), words


def _roots(search: _Search) -> _Tried:
    def decay(end: float) -> Callable[[Any], Any]:
        return lambda way: 1 - (1 - end) * np.sqrt(way)

    loss, (share, end) = search.best(decay, (0.0, 0.02, 0.5))
    words = f"1-sqrt to {number(end)} of the peak"
    return loss, share, lambda n: Sqrt(start=1.0, end=round(end, 5), steps=n), words


def _cosines(search: _Search) -> _Tried:
    def decay(end: float) -> Callable[[Any], Any]:
        return lambda way: end + (1 - end) * (1 + np.cos(np.pi * way)) / 2

    loss, (share, end) = search.best(decay, (0.0, 0.02, 0.5))
    words = f"half a cosine to {number(end)} of the peak"
    return loss, share, lambda n: Cosine(start=1.0, end=round(end, 5), steps=n), words


_SHAPES: Mapping[str, tuple[Callable[[_Search], _Tried], ...]] = {
    "wsd": (_lines, _roots, _cosines),
    "power": (_powers,),
    "any": (_powers, _lines, _roots, _cosines),
}
