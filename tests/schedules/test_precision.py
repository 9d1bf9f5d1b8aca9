"""Every value against a reference of fifty digits, over a run of a million updates."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
HIGH = mpmath.mp.clone()
HIGH.dps = 600  # the ends of a wide tangent differ in their 260th digit

Reference = Callable[[Any], Any]
"""The share of the way still to go, as a function of the share gone."""


def _share(formula: Reference) -> Reference:
    return lambda k: mp.mpf(END) + (mp.mpf(START) - mp.mpf(END)) * formula(mp.mpf(k) / N)


def _tanh(t: Any) -> Any:
    x, low, high = -6 + 10 * t, mp.tanh(-6), mp.tanh(4)
    return (high - mp.tanh(x)) / (high - low)


def _tangent(numbers: Any, lower: float, upper: float, t: Any) -> Any:
    low, high = numbers.mpf(lower), numbers.mpf(upper)
    here = low + (high - low) * t
    return (numbers.tanh(high) - numbers.tanh(here)) / (numbers.tanh(high) - numbers.tanh(low))


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


WAYS: dict[str, tuple[Callable[..., wd.Schedule], Reference]] = {
    "linear": (wd.Linear, lambda t: 1 - t),
    "cosine": (wd.Cosine, lambda t: mp.cos(mp.pi * t / 2) ** 2),
    "cosine squared": (partial(wd.Cosine, exponent=2.0), lambda t: mp.cos(mp.pi * t / 2) ** 4),
    "root of a cosine": (partial(wd.Cosine, exponent=0.5), lambda t: mp.cos(mp.pi * t / 2)),
    "late cosine": (partial(wd.Cosine, k=2.0), lambda t: mp.cos(mp.pi * t**2 / 2) ** 2),
    "quadratic": (wd.Polynomial, lambda t: (1 - t) ** 2),
    "root": (partial(wd.Polynomial, power=0.5), lambda t: mp.sqrt(1 - t)),
    "late cubic": (partial(wd.Polynomial, power=3.0, k=2.0), lambda t: (1 - t**2) ** 3),
    "early line": (partial(wd.Polynomial, power=1.0, k=0.5), lambda t: 1 - mp.sqrt(t)),
    "1-sqrt": (wd.Sqrt, lambda t: 1 - mp.sqrt(t)),
    "rex": (partial(wd.Rex, d=0.75), lambda t: (1 - t) / (1 - mp.mpf(0.75) * t)),
    "tanh": (partial(wd.Tanh, lower=-2.0, upper=1.0), lambda t: _tangent(mp, -2, 1, t)),
    "log": (wd.Log, lambda t: 1 - mp.log(1 + t * N) / mp.log(1 + N)),
}
"""Curves by their ends, and the share of the way that is still to go."""
ENDS = [(1.0, 0.0), (0.0, 1.0), (0.1, 3.0), (3.0, 0.1), (1e-250, 0.0), (0.0, 1e300)]
NEAR = [0, 1, 2, 3, 10, 1_000, 40_974, N // 3, N // 2, N - 40_974, N - 1_000, N - 3, N - 1, N]


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(("start", "end"), ENDS)
def test_a_small_value_keeps_its_digits_at_either_end(name: str, start: float, end: float) -> None:
    made, left = WAYS[name]
    curve = made(start=start, end=end, steps=N)

    def exact(step: int) -> Any:
        share = left(mp.mpf(step) / N)
        return start * share + end * (1 - share)

    inside = [step for step in NEAR if 0 < step < N]
    assert _worst(curve, exact, inside) <= 1e-15
    assert [curve(step) for step in inside] == curve(np.asarray(inside)).tolist()
    assert (curve(0), curve(N)) == (start, end)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-300, 300), (-300, -299), (299, 300), (-300, 0), (0, 300), (-300, 200), (-1e-9, 1e-9)],
)
@pytest.mark.parametrize(("start", "end"), [*ENDS, (-1.0, 1.0), (0.3, 0.7)])
def test_any_stretch_of_the_tangent_goes_one_way_from_start_to_end(
    lower: float, upper: float, start: float, end: float
) -> None:
    curve = wd.Tanh(start=start, end=end, steps=N, lower=lower, upper=upper)
    values = curve(np.arange(N + 1))
    assert (values[0], values[-1]) == (start, end)
    assert (np.diff(values) * np.sign(end - start) >= 0).all()
    steps = [1, 1_000, N // 2, N - 1_000, N - 1]
    for step in steps:
        share = _tangent(HIGH, lower, upper, HIGH.mpf(step) / N)
        exact = start * share + end * (1 - share)
        # of a power of e with three digits before the point, the last three digits are lost
        near = 1e-308 + 2e-13 * max(abs(exact), min(abs(start), abs(end)) * (start * end < 0))
        assert abs(curve(step) - exact) <= near


def test_a_hyperbola_that_ends_near_zero_keeps_its_digits() -> None:
    upper = 1.0001
    curve = wd.Hyperbolic(start=1.0, infimum=0.0, steps=N, upper=upper)

    def height(step: int) -> Any:
        u = mp.mpf(upper) * N
        return mp.sqrt((N - step) / u * (2 - (N + step) / u))

    assert _worst(curve, lambda k: 1 - (height(0) - height(k)), NEAR) <= 1e-15


def test_a_triangle_that_falls_to_zero_keeps_its_digits_on_both_sides() -> None:
    curve = wd.Triangle(low=1.0, high=0.0, up=N, down=N)
    steps = [N - 1, N - 3, N + 1, N + 3]
    assert _worst(curve, lambda k: abs(mp.mpf(k - N)) / N, steps) <= 1e-15
    assert (curve(0), curve(N), curve(2 * N)) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_tiny_and_huge_values_of_one_sign_can_be_reached(size: float) -> None:
    ends: dict[str, Any] = {"start": 3 * size, "end": 1.5 * size, "steps": 2}
    assert wd.InverseProportional(**ends)([0, 1, 2]) == pytest.approx(
        [3 * size, 2 * size, 1.5 * size]
    )
    assert wd.Exponential(**ends)([0, 2]).tolist() == [3 * size, 1.5 * size]


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
