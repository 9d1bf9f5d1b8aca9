"""Each curve passes through the points of its formula and refuses what it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import warmdown as wd

POINTS: list[tuple[wd.Schedule, dict[int, float]]] = [
    (wd.Constant(value=0.3), {0: 0.3, 10**9: 0.3}),
    (wd.Linear(start=1.0, end=0.0, steps=4), {0: 1.0, 1: 0.75, 4: 0.0, 9: 0.0}),
    (
        wd.Cosine(start=1.0, end=0.0, steps=4),
        {0: 1.0, 1: 0.8535533905932737, 2: 0.5, 4: 0.0, 9: 0.0},
    ),
    (wd.Cosine(start=0.0, end=1.0, steps=4), {0: 0.0, 2: 0.5, 4: 1.0}),
    (wd.Cosine(start=1.0, end=0.0, steps=4, k=2.0), {2: 0.8535533905932737, 4: 0.0}),
    (wd.Cosine(start=1.0, end=0.0, steps=4, exponent=2.0), {0: 1.0, 2: 0.25, 4: 0.0}),
    (wd.Cosine(start=0.0, end=1.0, steps=4, exponent=2.0), {0: 0.0, 2: 0.75, 4: 1.0}),
    (wd.Polynomial(start=1.0, end=0.0, steps=4, power=3.0), {0: 1.0, 2: 0.125, 4: 0.0}),
    (wd.Polynomial(start=0.0, end=1.0, steps=4, power=2.0), {0: 0.0, 2: 0.75, 4: 1.0}),
    (wd.Polynomial(start=1.0, end=0.0, steps=4, power=1.0, k=2.0), {2: 0.75, 4: 0.0}),
    (wd.Sqrt(start=1.0, end=0.0, steps=16), {0: 1.0, 1: 0.75, 4: 0.5, 9: 0.25, 16: 0.0}),
    (wd.Sqrt(start=0.0, end=1.0, steps=16), {0: 0.0, 4: 0.5, 16: 1.0}),
    (wd.Exponential(start=1.0, end=0.01, steps=4), {0: 1.0, 2: 0.1, 4: 0.01, 99: 0.01}),
    (wd.Exponential(start=-1.0, end=-4.0, steps=2), {0: -1.0, 1: -2.0, 2: -4.0}),
    (wd.InverseProportional(start=1.0, end=0.25, steps=3), {0: 1.0, 1: 0.5, 3: 0.25, 9: 0.25}),
    (wd.Rex(start=1.0, end=0.0, steps=2, d=0.5), {0: 1.0, 1: 2 / 3, 2: 0.0}),
    (wd.Rex(start=1.0, end=0.0, steps=2, d=0.9), {1: 10 / 11}),
    (wd.Tanh(start=1.0, end=0.0, steps=10), {0: 1.0, 6: 0.49983534079188600, 10: 0.0}),
    (wd.Log(start=0.0, end=1.0, steps=7), {0: 0.0, 1: 1 / 3, 3: 2 / 3, 7: 1.0}),
    (wd.Hyperbolic(start=1.0, infimum=0.0, steps=10), {0: 1.0, 5: 0.5, 10: 0.0}),
    (wd.ExpHyperbolic(start=1.0, infimum=0.01, steps=10), {0: 1.0, 10: 0.01}),
    (wd.ExponentialDecay(start=2.0, gamma=0.5, every=10), {0: 2.0, 10: 1.0, 20: 0.5}),
    (wd.InverseTime(start=1.0, rate=1.0, every=5), {0: 1.0, 5: 0.5, 15: 0.25}),
    (wd.Power(start=1.0, timescale=10, exponent=2.0), {0: 1.0, 10: 0.25}),
    (wd.InverseSqrt(start=1.0, timescale=10), {0: 1.0, 30: 0.5}),
]


@pytest.mark.parametrize(("curve", "points"), POINTS)
def test_a_curve_passes_through_the_points_of_its_formula(
    curve: wd.Schedule, points: dict[int, float]
) -> None:
    assert {step: curve(step) for step in points} == pytest.approx(points, rel=1e-9, abs=1e-12)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: wd.Cosine(k=0), r"Cosine\(k=0.0\): a number above 0"),
    (lambda: wd.Cosine(exponent=-1), r"Cosine\(exponent=-1.0\)"),
    (lambda: wd.Polynomial(power=0), r"Polynomial\(power=0.0\)"),
    (lambda: wd.Exponential(end=0), r"must be of one sign and not zero.*Use Linear or Cosine"),
    (lambda: wd.InverseProportional(start=-1), r"must be of one sign"),
    (lambda: wd.Rex(d=1), r"Rex\(d=1.0\): the bend must be below 1"),
    (lambda: wd.Tanh(lower=4, upper=-6), r"-300 <= lower < upper <= 300"),
    (lambda: wd.Tanh(upper=1000), r"-300 <= lower < upper <= 300"),
    (lambda: wd.Hyperbolic(upper=0.5), r"Hyperbolic\(upper=0.5\): a multiple of this run"),
    (lambda: wd.ExpHyperbolic(infimum=0), r"ExpHyperbolic\(infimum=0.0\)"),
    (lambda: wd.ExponentialDecay(gamma=0), r"ExponentialDecay\(gamma=0.0\)"),
    (lambda: wd.ExponentialDecay(every=0), r"ExponentialDecay\(every=0\)"),
    (lambda: wd.InverseTime(rate=-1), r"InverseTime\(rate=-1.0\): the divisor would reach zero"),
    (lambda: wd.InverseSqrt(timescale=0), r"InverseSqrt\(timescale=0\)"),
    (lambda: wd.Power(exponent=0), r"Power\(exponent=0.0\)"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_a_curve_that_cannot_be_is_refused_with_what_is_wrong(
    make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(wd.ScheduleError, match=message):
        make()


@pytest.mark.parametrize(
    "curve",
    [
        kind(start=start, end=end, steps=0)
        for kind in (
            wd.Linear,
            wd.Cosine,
            wd.Polynomial,
            wd.Sqrt,
            wd.Exponential,
            wd.InverseProportional,
            wd.Rex,
            wd.Log,
            wd.Tanh,
        )
        for start, end in ((1.0, 0.5), (0.5, 1.0))
    ],
)
def test_a_curve_of_no_length_is_at_its_end(curve: Any) -> None:
    assert curve(0) == curve(-1) == curve(5) == curve.end


def test_a_hyperbola_of_no_length_has_its_value_there() -> None:
    assert wd.Hyperbolic(start=1.0, infimum=0.0, steps=0, upper=1.0)(0) == 0.0


def test_a_constant_needs_no_length_and_no_run() -> None:
    assert wd.Constant(value=0.05).over(wd.Run())(7) == 0.05
