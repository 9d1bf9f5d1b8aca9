"""Every value against a reference of fifty digits, over a run of a million updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import warmdown as wd

N = 1_000_000
STEPS = sorted(
    {0, 1, 2, 3, 10, 499_999, 500_000, N // 3, N - 3, N - 2, N - 1, N, *range(7, N, 9_973)}
)
START, END = 1.0, 0.1

mp = mpmath.mp.clone()
mp.dps = 50

Reference = Callable[[Any], Any]
"""The share of the way still to go, as a function of the share gone."""


def _share(formula: Reference) -> Reference:
    return lambda k: mp.mpf(END) + (mp.mpf(START) - mp.mpf(END)) * formula(mp.mpf(k) / N)


def _tanh(t: Any) -> Any:
    x, low, high = -6 + 10 * t, mp.tanh(-6), mp.tanh(4)
    return (high - mp.tanh(x)) / (high - low)


def _hyperbola(k: Any, upper: int) -> Any:
    u = mp.mpf(upper) * N
    return mp.sqrt((N - k) / u * (2 - (N + k) / u))


FALLING: dict[str, tuple[wd.Schedule, Reference]] = {
    "linear": (wd.Linear(start=START, end=END, steps=N), _share(lambda t: 1 - t)),
    "cosine": (
        wd.Cosine(start=START, end=END, steps=N),
        _share(lambda t: (1 + mp.cos(mp.pi * t)) / 2),
    ),
    "k-decay": (
        wd.Cosine(start=START, end=END, steps=N, k=2.0),
        _share(lambda t: (1 + mp.cos(mp.pi * t**2)) / 2),
    ),
    "polynomial": (
        wd.Polynomial(start=START, end=END, steps=N, power=2.0),
        _share(lambda t: (1 - t) ** 2),
    ),
    "1-square": (
        wd.Polynomial(start=START, end=END, steps=N, power=1.0, k=2.0),
        _share(lambda t: 1 - t**2),
    ),
    "1-sqrt": (wd.Sqrt(start=START, end=END, steps=N), _share(lambda t: 1 - mp.sqrt(t))),
    "rex": (
        wd.Rex(start=START, end=END, steps=N, d=0.875),
        _share(lambda t: (1 - t) / (1 - mp.mpf(0.875) * t)),
    ),
    "tanh": (wd.Tanh(start=START, end=END, steps=N), _share(_tanh)),
    "log": (
        wd.Log(start=START, end=END, steps=N),
        _share(lambda t: 1 - mp.log(1 + t * N) / mp.log(1 + N)),
    ),
    "exponential": (
        wd.Exponential(start=START, end=0.0009765625, steps=N),
        lambda k: mp.mpf(0.0009765625) ** (mp.mpf(k) / N),
    ),
    "inverse proportional": (
        wd.InverseProportional(start=START, end=END, steps=N),
        lambda k: 1 / ((1 - mp.mpf(k) / N) + mp.mpf(k) / N / mp.mpf(END)),
    ),
    "hyperbolic": (
        wd.Hyperbolic(start=START, infimum=END, steps=N, upper=2.0),
        lambda k: START - (START - mp.mpf(END)) * (_hyperbola(0, 2) - _hyperbola(k, 2)),
    ),
    "exponential decay": (wd.ExponentialDecay(gamma=0.99999), lambda k: mp.mpf(0.99999) ** k),
    "inverse time": (wd.InverseTime(rate=0.5, every=1000), lambda k: 1 / (1 + mp.mpf(k) / 2000)),
    "inverse sqrt": (wd.InverseSqrt(timescale=1000), lambda k: mp.sqrt(mp.mpf(1000) / (1000 + k))),
    "power": (
        wd.Power(timescale=1000, exponent=0.75),
        lambda k: (mp.mpf(1000) / (1000 + k)) ** mp.mpf(0.75),
    ),
    "staircase": (wd.Staircase(gamma=0.5, every=1000), lambda k: mp.mpf(0.5) ** (k // 1000)),
}

TO_ZERO: dict[str, tuple[wd.Schedule, Reference]] = {
    "linear": (wd.Linear(steps=N), lambda t: 1 - t),
    "cosine": (wd.Cosine(steps=N), lambda t: mp.cos(mp.pi * t / 2) ** 2),
    "polynomial": (wd.Polynomial(steps=N), lambda t: (1 - t) ** 2),
    "1-sqrt": (wd.Sqrt(steps=N), lambda t: 1 - mp.sqrt(t)),
    "rex": (wd.Rex(steps=N), lambda t: (1 - t) / (1 - t / 2)),
    "warm-up": (wd.Cosine(start=0.0, end=1.0, steps=N), lambda t: mp.sin(mp.pi * t / 2) ** 2),
}


@pytest.mark.parametrize("name", FALLING)
def test_every_value_is_right_to_fifteen_digits_over_a_million_steps(name: str) -> None:
    schedule, reference = FALLING[name]
    assert _worst(schedule, reference, STEPS) <= 1e-15


@pytest.mark.parametrize("name", TO_ZERO)
def test_the_tail_towards_zero_keeps_its_digits(name: str) -> None:
    schedule, formula = TO_ZERO[name]
    steps = [step for step in STEPS if 0 < step < N]
    assert _worst(schedule, lambda k: formula(mp.mpf(k) / N), steps) <= 1e-15
    assert {schedule(0), schedule(N)} == {0.0, 1.0}


def test_a_chain_is_as_exact_as_its_parts() -> None:
    chain = wd.Linear(start=0.0, end=1.0, steps=1000) >> wd.Cosine(start=1.0, end=END, steps=N)
    steps = [1000 + step for step in STEPS]
    cosine = FALLING["cosine"][1]
    assert _worst(chain, lambda k: cosine(k - 1000), steps) <= 1e-15


@pytest.mark.parametrize("name", FALLING)
def test_the_end_value_is_exact_however_far_the_step(name: str) -> None:
    schedule, _ = FALLING[name]
    if schedule.length is not None:
        end = schedule(schedule.length)
        assert [schedule(step) for step in (N + 1, 10 * N, 10**15)] == [end] * 3
        assert np.unique(schedule(np.arange(N, N + 100))).tolist() == [end]


def _worst(schedule: wd.Schedule, reference: Reference, steps: list[int]) -> float:
    """Return the largest relative distance from the reference."""
    values = schedule(np.asarray(steps)).tolist()
    pairs = ((mp.mpf(value), reference(step)) for value, step in zip(values, steps, strict=True))
    return float(max(abs(value - exact) / abs(exact) for value, exact in pairs))
