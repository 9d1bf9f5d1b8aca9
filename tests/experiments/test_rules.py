"""Rules read the rate off a curve whose best rate is known, and keep silent where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from warmdown.experiments.rules import RULES, Array, LossCurve, clear_curve, suggestions

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
    def slowly_falling(seed: int) -> Array:
        noise = 0.2 * np.random.default_rng(seed).standard_normal(len(RATES))
        losses: Array = (2.0 - np.linspace(0, 1, len(RATES)) + noise)[None]
        return losses

    curves = [LossCurve(RATES, slowly_falling(seed), 0.03, has_ended=True) for seed in range(100)]
    assert sum(curve.steepest is None for curve in curves) >= 70
    slow = slowly_falling(1)[0]
    for rule in ("steepest", "slide"):
        suggestion = suggestions(LossCurve(RATES, slow[None], 0.03, has_ended=True))[rule]
        assert suggestion.value is None
        assert "more repeats, or a larger smoothing" in suggestion.reason


def many_times_over(centre: float, seed: int) -> Array:
    """Return losses that fall a hundredfold, with noise in proportion, and burst to thousands."""
    place = np.log10(RATES) - np.log10(centre)
    level = 5 * np.exp(-np.exp(3 * place)) + 0.05 + np.exp(12 * (place - 1.0))
    noise = np.exp(0.4 * np.random.default_rng(seed).standard_normal(len(RATES)))
    losses: Array = (level * noise)[None]
    return losses


def test_noise_that_falls_with_the_loss_does_not_hide_the_fall() -> None:
    for seed in range(10):
        curve = clear_curve(RATES, many_times_over(1e-2, seed), 0.03, has_ended=True)
        steepest = suggestions(curve, seed)["steepest"].value
        assert steepest is not None
        assert 1e-3 < steepest < 1e-1


def test_smoothing_is_widened_no_more_than_the_noise_asks_for() -> None:
    widths = [
        clear_curve(RATES, falling(1e-2, noise), 0.03, has_ended=True).smoothing
        for noise in (0.0, 0.02, 0.3)
    ]
    assert widths[0] == widths[1] == 0.03
    assert widths[2] > 0.03


def test_an_interval_holds_its_own_estimate() -> None:
    for seed in range(20):
        losses = falling(3e-3, 0.1, seed) if seed % 2 else many_times_over(1e-2, seed)
        curve = clear_curve(RATES, losses, 0.03, has_ended=True)
        for one in suggestions(curve, seed).values():
            if one.value is not None:
                assert one.low is not None
                assert one.high is not None
                assert one.low <= one.value <= one.high


@pytest.mark.slow
def test_intervals_hold_the_truth_in_about_nine_of_ten_tests() -> None:
    """The curves are known: what a rule reads off one without noise is its answer."""
    rng = np.random.default_rng(0)
    held: dict[str, list[bool]] = {name: [] for name in RULES}
    step = np.sqrt(RATES[1] / RATES[0])
    for seed in range(120):
        centre = 10 ** rng.uniform(-3, -1.3)
        level = falling(centre)[0]
        repeats = int(rng.integers(1, 3))
        noise = rng.standard_normal((repeats, len(RATES)))
        growing = 0.03 * (1 + RATES / centre)
        noise = noise * (growing if seed % 3 == 2 else [0.05, 0.15][seed % 3])
        truth = LossCurve(RATES, level[None], 0.03, has_ended=True)
        curve = clear_curve(RATES, level + noise, 0.03, has_ended=True)
        for name, one in suggestions(curve, seed).items():
            known = RULES[name][0](truth)
            if one.value is not None and not isinstance(known, str):
                assert one.low is not None
                assert one.high is not None
                held[name].append(one.low / step <= known <= one.high * step)
    shares = {name: float(np.mean(found)) for name, found in held.items()}
    assert min(len(found) for found in held.values()) > 75
    assert all(share >= 0.8 for share in shares.values()), shares
