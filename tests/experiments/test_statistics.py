"""Intervals hold what they promise, pairs are made by seed, and what is missing is last."""

from __future__ import annotations

import math

import numpy as np
import pytest

from warmdown.experiments.statistics import bootstrap, mean_ranks, paired


def test_an_interval_of_95_percent_holds_the_mean_about_that_often() -> None:
    draws = np.random.default_rng(0)
    current = 0
    for _ in range(200):
        found = bootstrap(draws.normal(3.0, 1.0, 16).tolist())
        current += found.low <= 3.0 <= found.high
    assert (
        174 <= current <= 198
    )  # the percentile bootstrap of 16 values holds a little less than it says


def test_few_values_have_a_mean_and_no_interval() -> None:
    assert bootstrap([1.0, 3.0]).value == 2.0
    assert math.isnan(bootstrap([1.0, 3.0]).low)
    assert bootstrap([]).count == 0
    assert bootstrap([1.0, math.nan, 2.0, 3.0]).count == 3
    assert bootstrap([]).to_dict() == {"value": None, "low": None, "high": None, "count": 0}


def test_differences_are_made_in_pairs_of_one_seed() -> None:
    mine, theirs = {0: 0.2, 1: 0.9, 2: 0.5, 3: 0.7}, {3: 0.6, 1: 0.8, 0: 0.1, 5: 9.0}
    found = paired(mine, theirs)
    assert found.value == pytest.approx(0.1)
    assert found.count == 3
    assert found.excludes_zero
    assert not paired({0: 1.0, 1: -1.0, 2: 0.1}, {0: 0.0, 1: 0.0, 2: 0.0}).excludes_zero


def test_ranks_are_shared_by_equals_and_the_missing_are_last() -> None:
    values = {"a": {0: 0.9, 1: 0.5}, "b": {0: 0.9, 1: 0.7}, "c": {1: 0.1}}
    assert mean_ranks(values, higher_is_better=True) == {"a": 1.75, "b": 1.25, "c": 3.0}
    assert mean_ranks(values, higher_is_better=False) == {"a": 1.75, "b": 2.25, "c": 2.0}
