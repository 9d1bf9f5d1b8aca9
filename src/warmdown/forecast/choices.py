"""What can be done with a run under way: go on, decay now, or go on for longer and then decay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from warmdown.errors import ForecastError
from warmdown.forecast.logs import LossLog
from warmdown.forecast.prediction import Forecast
from warmdown.forecast.rates import RateCurve
from warmdown.formatting import count
from warmdown.plan import Plan
from warmdown.run import Duration, Run

_KNOTS = 200


def choices(
    along: Callable[[RateCurve], Forecast],
    log: LossLog,
    decay: Duration,
    extend: int = 0,
    plan: Plan | None = None,
) -> dict[str, Forecast]:
    """Return a forecast of each choice for a run under way, by its name.

    A decay is the 1-sqrt curve to 0. Its length as a share is of the updates made before it.

    Args:
        along: Of a law: what it forecasts of a rate curve.
        log: The run's log up to now.
        decay: Length of a decay.
        extend: Updates at the present rate before a later decay; 0 leaves that choice out.
        plan: What the run follows, for the choice to go on as planned.

    Raises:
        ForecastError: The decay has no length, or the plan ends before the log does.
    """
    now = float(log.steps[-1])
    found: dict[str, Forecast] = {}
    if plan is not None:
        planned = RateCurve.of(plan)
        if planned.stop <= now:
            raise ForecastError(
                f"forecast: the plan ends at update {count(int(planned.stop))}, the log of the run "
                f"at {count(int(now))}. Give the plan of the whole run."
            )
        ahead = planned.steps > now
        rest = planned.steps[ahead], planned.rates[ahead]
        whole = RateCurve.between(np.r_[log.curve.steps, rest[0]], np.r_[log.curve.rates, rest[1]])
        found["as planned"] = along(whole)
    found["decay now"] = along(_decayed(log.curve, 0, decay))
    if extend:
        found[f"decay after {count(extend)} more"] = along(_decayed(log.curve, extend, decay))
    return found


def _decayed(curve: RateCurve, hold: int, decay: Duration) -> RateCurve:
    """Return a curve that stays at its rate for so many updates more, and then decays to 0."""
    start, rate = curve.stop + hold, curve.rates[-1]
    length = Run(total_steps=round(start)).measure(decay, who="forecast(--decay-now)") or 0
    if length < 1:
        raise ForecastError(f"forecast(--decay-now {decay}): a length is needed, such as 10%.")
    if rate <= 0:
        raise ForecastError("forecast(--decay-now): the rate of the run is 0 already.")
    # close knots where the curve is steep
    way = np.linspace(0, 1, _KNOTS) ** 2
    later = [start] if hold else []
    return RateCurve.between(
        np.r_[curve.steps, later, start + length * way],
        np.r_[curve.rates, [rate] * len(later), rate * (1 - np.sqrt(way))],
    )
