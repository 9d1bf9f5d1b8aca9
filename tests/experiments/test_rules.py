"""Rules read the rate off a curve whose best rate is known, and keep silent where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from warmdown.experiments.rules import RULES, Array, LossCurve, suggestions

RATES = np.geomspace(1e-5, 10, 121)


def falling(centre: float, noise: float = 0.0, seed: int = 0, repeats: int = 1) -> Array:
    """Return losses that fall fastest at ``centre``, rest, and then burst."""
    place = np.log10(RATES)
    level = (
        2.0 - 1.5 / (1 + np.exp(-4 * (place - np.log10(centre)))) + 0.05 * np.exp(4 * (place + 0.2))
    )
    losses: Array = level + noise * np.random.default_rng(seed).standard_normal(
        (repeats, len(RATES))
    )
    return losses


def rates(losses: Array, has_ended: bool = True) -> dict[str, float | None]:
    curve = LossCurve(RATES, losses, 0.03, has_ended=has_ended)
    return {name: suggestion.value for name, suggestion in suggestions(curve).items()}


@pytest.mark.parametrize("centre", [1e-3, 1e-2])
def test_the_steepest_rate_is_found_without_lag(centre: float) -> None:
    found = rates(falling(centre))["steepest"]
    assert found == pytest.approx(centre, rel=0.15)


def test_a_tenth_of_the_lowest_and_the_slide_lie_where_their_words_say() -> None:
    losses = falling(1e-2)
    found = rates(losses)
    assert found["minimum/10"] == pytest.approx(RATES[np.argmin(losses[0])] / 10, rel=0.25)
    assert found["steepest"] is not None
    assert found["slide"] is not None
    assert 1e-2 < found["slide"] < RATES[np.argmin(losses[0])]


def test_the_interval_holds_the_truth_and_grows_with_the_noise() -> None:
    widths = []
    for noise in (0.01, 0.1):
        current, width = 0, []
        for seed in range(20):
            steepest = suggestions(
                LossCurve(RATES, falling(1e-2, noise, seed), 0.05, has_ended=True), seed
            )["steepest"]
            assert steepest.low is not None
            assert steepest.high is not None
            assert steepest.value is not None
            current += steepest.low <= 1.1e-2 and steepest.high >= 0.9e-2
            width.append(np.log(steepest.high / steepest.low))
        assert current >= 14
        widths.append(float(np.mean(width)))
    assert widths[1] > 2 * widths[0]


def test_noise_alone_gives_no_suggestion_and_gives_the_reason() -> None:
    flat = 2.0 + 0.1 * np.random.default_rng(1).standard_normal((2, len(RATES)))
    curve = LossCurve(RATES, flat, 0.05, has_ended=False)
    for suggestion in suggestions(curve).values():
        assert suggestion.value is None
        assert suggestion.low is suggestion.high is None
        assert "noise" in suggestion.reason


def test_a_loss_that_only_rises_gives_no_suggestion() -> None:
    assert set(rates(np.linspace(1, 2, len(RATES))[None]).values()) == {None}


def test_a_loss_that_still_falls_at_the_end_asks_for_a_longer_sweep() -> None:
    losses = 2.0 - np.linspace(0, 1, len(RATES))[None] ** 3
    found = suggestions(LossCurve(RATES, losses, 0.03, has_ended=False))
    assert found["minimum/10"].value is None
    assert "sweep further" in found["minimum/10"].reason
    assert found["steepest"].value is None


def test_a_straight_line_is_smoothed_into_itself_up_to_its_ends() -> None:
    line = np.linspace(3, 1, len(RATES))[None]
    curve = LossCurve(RATES, line, 0.05, has_ended=False)
    np.testing.assert_allclose(curve.mean, line[0], rtol=1e-9)
    np.testing.assert_allclose(curve.fall, curve.fall[0], rtol=1e-6)


def test_every_rule_names_what_it_looks_for() -> None:
    found = suggestions(LossCurve(RATES, falling(1e-2), 0.03, has_ended=True))
    assert [found[name].reason for name in RULES] == [aim for _, aim in RULES.values()]
    assert [one.to_dict()["rule"] for one in found.values()] == list(RULES)


def test_noise_at_the_start_is_not_taken_for_the_steepest_fall() -> None:
    curves = [
        LossCurve(RATES, falling(1e-2, 0.25, seed, repeats=2), 0.03, has_ended=True)
        for seed in range(100)
    ]
    places = [curve.steepest for curve in curves]
    rates_found = [RATES[place] for place in places if place is not None]
    assert len(rates_found) > 30
    assert sum(1e-3 < rate < 1e-1 for rate in rates_found) >= 0.97 * len(rates_found)


def test_a_fall_that_no_stretch_shows_beyond_its_noise_is_not_placed() -> None:
    slow = (
        2.0
        - np.linspace(0, 1, len(RATES))
        + 0.2 * np.random.default_rng(0).standard_normal(len(RATES))
    )
    for rule in ("steepest", "slide"):
        suggestion = suggestions(LossCurve(RATES, slow[None], 0.03, has_ended=True))[rule]
        assert suggestion.value is None
        assert "more repeats, or a larger smoothing" in suggestion.reason
