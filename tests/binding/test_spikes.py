"""Spikes are found, and clean noise has none: normal, skewed, heavy-tailed, falling, changing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

import warmdown as wd
from warmdown.binding.spikes import Spike

Noise: TypeAlias = Callable[[np.random.Generator, int], Any]


def normal(chance: np.random.Generator, updates: int) -> Any:
    return 2.0 + 0.1 * chance.standard_normal(updates)


def mean_of(samples: int) -> Noise:
    """Mean losses of batches, where the loss of a sample is exponential."""
    return lambda chance, updates: chance.gamma(samples, 1.0 / samples, updates)


def student(chance: np.random.Generator, updates: int) -> Any:
    return 2.0 + 0.1 * chance.standard_t(5, updates)


def falling(chance: np.random.Generator, updates: int) -> Any:
    """A first fall from 10 to 3 within a few hundred updates, then a power law."""
    steps = np.arange(updates)
    trend = 7.0 * np.exp(-steps / 120.0) + 3.0 * (1.0 + steps / 100.0) ** -0.2
    return trend * (1.0 + 0.03 * chance.standard_normal(updates))


def warming(chance: np.random.Generator, updates: int) -> Any:
    """Flat at first, down as the rate rises, and noise that shrinks with it."""
    rate = np.minimum(np.arange(updates) / 2000.0, 1.0)
    trend = 2.0 + 9.0 * np.exp(-np.cumsum(rate) / 100.0)
    return trend * (1.0 + 0.02 * chance.standard_normal(updates))


def rescaled(chance: np.random.Generator, updates: int) -> Any:
    """The rate is halved for 500 updates in 4,000: the loss falls by 3 deviations, and comes back.

    It does within a hundred updates.
    """
    is_low = (np.arange(updates) % 4000 < 500).astype(float)
    share = np.empty(updates)
    last = 0.0
    for update, low in enumerate(is_low):
        last += (low - last) / 100.0
        share[update] = last
    return 2.0 - 0.3 * share + (0.1 - 0.04 * share) * chance.standard_normal(updates)


NOISES: dict[str, Noise] = {
    "normal": normal, "mean of 32": mean_of(32), "mean of 8": mean_of(8), "mean of 2": mean_of(2),
    "Student's": student, "falling": falling, "warming": warming, "rescaled": rescaled,
}  # fmt: skip


def spikes_in(losses: Iterable[float], norms: Iterable[float] | None = None) -> list[Spike]:
    detector = wd.SpikeDetector()
    if norms is None:
        found = [detector.observe(loss) for loss in losses]
    else:
        found = [detector.observe(*pair) for pair in zip(losses, norms, strict=True)]
    return [spike for spike in found if spike is not None]


def deviation(losses: Any) -> float:
    """Return the robust deviation of the last losses from the line through them."""
    last = losses[-300:]
    steps = np.arange(len(last))
    low, high = np.quantile(last - np.polyval(np.polyfit(steps, last, 1), steps), [0.1, 0.9])
    return float(high - low) / 2.563


def with_rise(noise: Noise, chance: np.random.Generator, start: int, size: float) -> Any:
    """Return noise that stands so many robust deviations higher from an update on, for ten."""
    losses = noise(chance, start + 10)
    losses[start:] += size * deviation(losses[:start])
    return losses


@pytest.mark.parametrize("kind", ["normal", "mean of 32", "falling", "rescaled"])
def test_clean_noise_has_no_spike(kind: str) -> None:
    assert spikes_in(NOISES[kind](np.random.default_rng(0), 10_000).tolist()) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISES)
def test_clean_noise_has_less_than_one_spike_in_a_hundred_thousand_updates(kind: str) -> None:
    losses = NOISES[kind](np.random.default_rng(0), 200_000)
    assert len(spikes_in(losses.tolist())) < 2


@pytest.mark.slow
def test_nor_has_a_gradient_norm_that_shrinks_with_the_run() -> None:
    chance, updates = np.random.default_rng(0), 100_000
    norms = np.exp(0.3 * chance.standard_normal(updates) - np.arange(updates) / 40_000)
    assert spikes_in([2.0] * updates, norms.tolist()) == []


@pytest.mark.parametrize("kind", ["normal", "mean of 32", "falling", "warming", "rescaled"])
@pytest.mark.parametrize("seed", range(4))
def test_a_rise_of_eight_robust_deviations_is_found_within_four_updates(
    kind: str, seed: int
) -> None:
    """On top of the noise; the first of those that are far off is named."""
    chance = np.random.default_rng(seed)
    start = 3_300 + int(chance.integers(600))
    detector = wd.SpikeDetector()
    losses = with_rise(NOISES[kind], chance, start, 8.0)
    found = [detector.observe(loss) for loss in losses.tolist()]
    (spike,) = filter(None, found)
    assert spike.name == "loss"
    assert start <= spike.update <= start + 3
    assert found.index(spike) <= start + 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISES)
def test_every_rise_of_eight_robust_deviations_or_more_is_found(kind: str) -> None:
    """Fifty of them, of 8 to 40 deviations, anywhere after the first fall.

    Where the noise itself was taken for a spike, the detector goes back, as a run would.
    """
    chance, last_good = np.random.default_rng(5), wd.SpikeDetector()
    for _ in range(50):
        start = int(chance.integers(1_500, 3_000))
        losses = with_rise(NOISES[kind], chance, start, chance.choice([8.0, 12.0, 40.0]))
        detector = wd.SpikeDetector()
        for update, loss in enumerate(losses.tolist()):
            if update % 100 == 0:
                last_good = deepcopy(detector)
            spike = detector.observe(loss)
            if spike and update < start:
                detector = deepcopy(last_good)
            elif spike:
                break
        else:
            pytest.fail(f"the rise at {start} was not found")


def test_one_update_of_eight_robust_deviations_is_found_in_normal_noise() -> None:
    for seed in range(10):
        losses = normal(np.random.default_rng(seed), 2_001)
        losses[-1] = 2.0 + 8.0 * 0.1
        (spike,) = spikes_in(losses.tolist())
        assert spike.update == 2_000
        assert 6.0 < spike.deviations < 10.0


def test_one_odd_batch_is_no_spike_where_noise_has_many_of_them() -> None:
    losses = mean_of(2)(np.random.default_rng(3), 5_001)
    losses[-1] = 1.0 + 8.0 * deviation(losses[:-1])
    assert spikes_in(losses.tolist()) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("is_norm", [False, True])
def test_what_is_no_number_is_a_spike_from_the_first_update_on(bad: float, is_norm: bool) -> None:
    detector = wd.SpikeDetector()
    assert detector.observe(2.0, 1.0) is None
    spike = detector.observe(*((2.0, bad) if is_norm else (bad, 1.0)))
    assert spike is not None
    assert (spike.update, spike.name) == (1, "gradient norm" if is_norm else "loss")
    assert spike.deviations == math.inf
    assert str(spike).startswith(f"the {spike.name} is ")


def test_a_gradient_norm_is_compared_by_its_logarithm() -> None:
    chance = np.random.default_rng(0)
    norms = np.exp(0.5 * chance.standard_normal(1_000)).tolist()  # from 0.2 to 5
    assert spikes_in([2.0] * 1_000, norms) == []
    (spike,) = spikes_in([2.0] * 1_001, [*norms, 100.0])
    assert (spike.update, spike.name, spike.value) == (1_000, "gradient norm", 100.0)
    assert 0.5 < spike.expected < 2.0


def test_a_fall_of_any_size_is_none() -> None:
    losses = normal(np.random.default_rng(0), 1_000)
    losses[500:] -= 1.5
    assert spikes_in(losses.tolist()) == []


def test_a_loss_without_noise_may_move_within_a_thousandth() -> None:
    losses = 2.0 + 0.001 * np.sin(np.arange(1_000))
    assert spikes_in(losses.tolist()) == []
    assert len(spikes_in([*losses, 2.1])) == 1


def test_a_detector_goes_on_from_its_state_bit_for_bit() -> None:
    losses = student(np.random.default_rng(1), 3_000)
    losses[2_900:] += 1.2
    whole, first = wd.SpikeDetector(), wd.SpikeDetector()
    expected = [whole.observe(loss) for loss in losses.tolist()]
    found = [first.observe(loss) for loss in losses[:2_000].tolist()]
    second = wd.SpikeDetector()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    found += [second.observe(loss) for loss in losses[2_000:].tolist()]
    assert found == expected
    assert any(found)
    assert second.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("signals"),
        lambda state: state.update(version=99),
        lambda state: state["signals"][0]["recent"].append(math.nan),
        lambda state: state["signals"][0]["tail"].pop(),
        lambda state: state["signals"].pop(),
        lambda state: state["waiting"].append([1.0]),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(damage: Callable[[Any], Any]) -> None:
    detector = wd.SpikeDetector()
    for loss in normal(np.random.default_rng(0), 100).tolist():
        detector.observe(loss)
    before = detector.state_dict()
    state = json.loads(json.dumps(before))
    damage(state)
    with pytest.raises(wd.StateError, match="cannot be read"):
        detector.load_state_dict(state)
    assert detector.state_dict() == before


def test_processes_take_the_mean_loss_and_look_every_so_many_updates() -> None:
    """What the other process has is added to what this one has, as if they had exchanged it."""
    exchanged = []

    def gather(own: list[list[float]]) -> list[list[list[float]]]:
        exchanged.append(len(own))
        return [own, [[loss + 2.0, norm] for loss, norm in own]]

    detector = wd.SpikeDetector(all_gather=gather)
    detector.observe(1.0, 0.5)
    assert exchanged == [1]
    assert detector.count == 1
    spike = detector.observe(math.nan, 0.5)
    assert spike is not None
    assert spike.update == 1


def test_what_lies_on_a_device_is_read_every_so_many_updates() -> None:
    """The device that needs no machine: what is read there cannot be, and so is not read early."""
    detector = wd.SpikeDetector(every=3)
    for _ in range(2):
        assert detector.observe(torch.zeros((), device="meta")) is None
    with pytest.raises(NotImplementedError, match="meta tensor"):
        detector.observe(torch.zeros((), device="meta"))


def test_tensors_are_taken_and_keep_no_graph() -> None:
    weight = torch.ones(1, requires_grad=True)
    detector = wd.SpikeDetector()
    assert detector.observe((weight * 2.0).sum(), torch.tensor(1.0)) is None
    assert detector.state_dict()["signals"][0]["recent"] == [2.0]


def test_a_gradient_of_nothing_is_no_number_to_compare() -> None:
    detector = wd.SpikeDetector()
    for _ in range(60):
        assert detector.observe(1.0, 0.0) is None  # all is frozen
    assert [signal["recent"][-3:] for signal in detector.state_dict()["signals"]] == [[1.0] * 3, []]
    assert repr(detector) == "<SpikeDetector after 60 updates>"


def test_a_detector_that_never_looks_is_refused() -> None:
    with pytest.raises(wd.TrainingError, match=r"SpikeDetector\(every=0\): at least 1"):
        wd.SpikeDetector(every=0)
