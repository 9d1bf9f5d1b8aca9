"""Laws of the loss: a fall with the sum of rates, and a further fall where the rate goes down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np

from warmdown.errors import ForecastError
from warmdown.forecast.rates import RateCurve
from warmdown.schedules.sampling import Array

_GAUSS = 0.5 - np.sqrt(3) / 6, 0.5 + np.sqrt(3) / 6
"""Where a rule of two points looks at a piece of a ramp; it is exact for cubics."""
_LOWEST = 1e-12
"""A rate of 0 stands for this share of the peak: a power of it is needed."""


class Unit(NamedTuple):
    """What the numbers of a fit are measured in, so that all of them are near 1.

    Args:
        rate: The highest rate of the pilots.
        total: The largest sum of rates.
        loss: The lowest loss at a pilot's end.
    """

    rate: float
    total: float
    loss: float

    @property
    def updates(self) -> float:
        """The pilots' length, if all of it had the highest rate."""
        return self.total / self.rate


@dataclass(frozen=True, eq=False)
class Drops:
    """A rate curve as it lies behind each of some steps: where it fell, by how much, how long ago.

    Shapes: ``n`` steps, ``m`` drops. A rise is a negative drop.

    Args:
        sums: Sum of rates up to each step, ``(n,)``.
        size: Size of each drop that lies behind a step, else 0, ``(n, m)``.
        since: Sum of rates from each drop to a step, ``(n, m)``.
        age: Updates from each drop to a step, ``(n, m)``.
        rates: Rate at each drop, ``(m,)``.
    """

    sums: Array
    size: Array
    since: Array
    age: Array
    rates: Array

    @classmethod
    def at(cls, curve: RateCurve, steps: Array) -> Drops:
        """Return the drops of a curve seen from steps, which must lie within it."""
        curve = curve.finely_cut().with_knots(steps)
        at, rates, sums = curve.steps, curve.rates, curve.sums
        length, change = np.diff(at), np.diff(rates)
        ramps, leaps = np.nonzero((change != 0) & (length > 0))[0], np.nonzero(length == 0)[0]
        places, heights, sums_there, sizes, ends = [], [], [], [], []
        for share in _GAUSS:
            height = rates[ramps] + share * change[ramps]
            places.append(at[ramps] + share * length[ramps])
            heights.append(height)
            sums_there.append(sums[ramps] + share * length[ramps] * (rates[ramps] + height) / 2)
            sizes.append(-change[ramps] / 2)
            ends.append(at[ramps + 1])
        places.append(at[leaps])
        heights.append(rates[leaps + 1])
        sums_there.append(sums[leaps])
        sizes.append(-change[leaps])
        ends.append(at[leaps])
        place, height, total, size, end = map(
            np.concatenate, (places, heights, sums_there, sizes, ends)
        )
        here = sums[np.searchsorted(at, steps, side="right") - 1]
        return cls(
            sums=here,
            size=np.where(end <= steps[:, None], size, 0.0),
            since=np.maximum(here[:, None] - total, 0.0),
            age=np.maximum(steps[:, None] - place, 0.0),
            rates=np.maximum(height, _LOWEST * curve.peak),
        )

    def measured(self, unit: Unit) -> Drops:
        """Return the same in the units of a fit."""
        return Drops(
            self.sums / unit.total,
            self.size / unit.rate,
            self.since / unit.total,
            self.age / unit.updates,
            self.rates / unit.rate,
        )


class Formula(ABC):
    """A law: its names, what is usual for its numbers, and the loss that it gives.

    ``theta`` are the numbers in the units of a fit, with logarithms of those that are positive. All
    begin with ``L0``, ``A`` and ``log a`` of the fall with the sum of rates, and the size of the
    whole effect of the rate.
    """

    name: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    reference: ClassVar[str]

    @abstractmethod
    def usual(self, unit: Unit) -> tuple[Array, Array]:
        """Return what is usual for each number, and how far it spreads."""

    @abstractmethod
    def response(self, theta: Array, drops: Drops) -> tuple[Array, list[Array]]:
        """Return how much of each drop has come, ``(n, m)``, and its slopes by ``theta[4:]``."""

    @abstractmethod
    def natural(self, theta: Array, unit: Unit) -> dict[str, float]:
        """Return the numbers as the paper writes them."""

    @abstractmethod
    def theta(self, natural: Mapping[str, float], unit: Unit) -> Array:
        """Return the numbers in the units of a fit."""

    def loss(self, theta: Array, drops: Drops) -> tuple[Array, Array]:
        """Return the loss at each step, ``(n,)``, and its slopes, ``(n, numbers)``."""
        floor, scale, log_power, effect = theta[:4]
        power = np.exp(log_power)
        fall = drops.sums**-power
        came, slopes = self.response(theta, drops)
        gain = np.einsum("ij,ij->i", drops.size, came)
        parts = [np.ones_like(fall), fall, -scale * fall * np.log(drops.sums) * power, -gain]
        parts += [-effect * np.einsum("ij,ij->i", drops.size, slope) for slope in slopes]
        return floor + scale * fall - effect * gain, np.stack(parts, axis=1)


@final
class MultiPower(Formula):
    r"""The multi-power law.

    .. math:: L(t) = L_0 + A S_1^{-a} - B \sum_{k \le t} (\eta_{k-1} - \eta_k)
        \bigl(1 - (1 + C \eta_k^{-g} S_k(t))^{-b}\bigr)

    S_1 is the sum of rates to t, S_k the sum from k to t; sums begin at the first update of the
    warmup, with a rate of 0 before it.

    Reference: Luo et al. 2025, https://arxiv.org/abs/2503.12811.
    """

    name = "multi-power"
    names = ("L0", "A", "a", "B", "C", "b", "g")
    reference = "arXiv:2503.12811"

    def usual(self, unit: Unit) -> tuple[Array, Array]:
        """Return the usual numbers: wide beliefs, for which two sizes of model were looked at."""
        log, loss = np.log, unit.loss
        mean = (0.9 * loss, 0.1 * loss, log(0.45), 0.045 * loss, log(unit.updates / 8), log(0.8))
        spread = (0.03 * loss, 0.1 * loss, 0.3, 0.02 * loss, 1.5, 0.4)
        return np.array([*mean, log(0.6)]), np.array([*spread, 0.15])

    def response(self, theta: Array, drops: Drops) -> tuple[Array, list[Array]]:
        """Return the power of the sum of rates since each drop."""
        log_speed, log_power, log_rate_power = theta[4:]
        power, rate_power = np.exp(log_power), np.exp(log_rate_power)
        log_rates = np.log(drops.rates)
        reach = np.exp(log_speed - rate_power * log_rates) * drops.since
        log_reach = np.log1p(reach)
        left = np.exp(-power * log_reach)
        speed_slope = power * left * reach / (1 + reach)
        return 1 - left, [
            speed_slope,
            power * left * log_reach,
            -rate_power * log_rates * speed_slope,
        ]

    def natural(self, theta: Array, unit: Unit) -> dict[str, float]:
        """Return L0, A, a, B, C, b, g."""
        floor, scale, log_a, effect, log_c, log_b, log_g = map(float, theta)
        a, g = np.exp(log_a), np.exp(log_g)
        numbers = (floor, scale * unit.total**a, a, effect / unit.rate,
                   np.exp(log_c) * unit.rate**g / unit.total, np.exp(log_b), g)  # fmt: skip
        return dict(zip(self.names, map(float, numbers), strict=True))

    def theta(self, natural: Mapping[str, float], unit: Unit) -> Array:
        """Return the numbers in the units of a fit."""
        floor, scale, a, effect, c, b, g = (natural[name] for name in self.names)
        speed = np.log(c * unit.total * unit.rate**-g)
        return np.array(
            [floor, scale * unit.total**-a, np.log(a), effect * unit.rate, speed,
             np.log(b), np.log(g)]
        )  # fmt: skip


@final
class Annealing(Formula):
    r"""The annealing law.

    .. math:: L(t) = L_0 + A S_1^{-a} - C S_2(t),\;
        S_2 = \sum_{i \le t} \sum_{k \le i} \lambda^{i-k} (\eta_{k-1} - \eta_k)

    A drop n updates ago has given (1 - lambda^n) / (1 - lambda) of its size.

    Reference: Tissue et al. 2024, https://arxiv.org/abs/2408.11029, with lambda fitted.
    """

    name = "annealing"
    names = ("L0", "A", "a", "C", "lambda")
    reference = "arXiv:2408.11029"

    def usual(self, unit: Unit) -> tuple[Array, Array]:
        """Return the usual numbers."""
        loss = unit.loss
        mean = np.array([0.9 * loss, 0.1 * loss, np.log(0.45), 0.035 * loss, np.log(0.04)])
        return mean, np.array([0.03 * loss, 0.1 * loss, 0.3, 0.02 * loss, 1.0])

    def response(self, theta: Array, drops: Drops) -> tuple[Array, list[Array]]:
        """Return the share that has come after so many updates."""
        waited = drops.age / np.exp(theta[4])
        left = np.exp(-waited)
        return 1 - left, [-left * waited]

    def natural(self, theta: Array, unit: Unit) -> dict[str, float]:
        """Return L0, A, a, C, lambda."""
        floor, scale, log_a, effect, log_time = map(float, theta)
        decay = float(np.exp(-1 / (np.exp(log_time) * unit.updates)))
        numbers = (floor, scale * unit.total ** np.exp(log_a), np.exp(log_a),
                   effect / unit.rate * (1 - decay), decay)  # fmt: skip
        return dict(zip(self.names, map(float, numbers), strict=True))

    def theta(self, natural: Mapping[str, float], unit: Unit) -> Array:
        """Return the numbers in the units of a fit."""
        floor, scale, a, effect, decay = (natural[name] for name in self.names)
        time = -1 / np.log(decay) / unit.updates
        whole = effect * unit.rate / (1 - decay)
        return np.array([floor, scale * unit.total**-a, np.log(a), whole, np.log(time)])


FORMULAS: Mapping[str, Formula] = {law.name: law for law in (MultiPower(), Annealing())}


def formula_of(name: str) -> Formula:
    """Return a law by its name.

    Raises:
        ForecastError: There is none.
    """
    if name not in FORMULAS:
        raise ForecastError(f"law {name!r}: no such law. Use one of {', '.join(FORMULAS)}.")
    return FORMULAS[name]
