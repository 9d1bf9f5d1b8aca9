"""One schedule seen otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warmdown as wd

LINE = wd.Linear(start=1.0, end=0.0, steps=4)


def test_the_outer_name_is_the_one_that_counts() -> None:
    assert LINE.named("a").named("b") == LINE.named("b")
    assert LINE.named("b").phases() == (wd.Phase("b", 0, 4),)
    assert LINE.named("b").to_dict()["name"] == "b"


def test_clipping_bounds_on_either_side() -> None:
    assert LINE.clip(low=0.4, high=0.8)([0, 1, 2, 3, 4]).tolist() == [0.8, 0.75, 0.5, 0.4, 0.4]
    assert LINE.clip(high=0.8)(0) == 0.8


def test_noise_is_seeded_bounded_and_the_same_in_any_order() -> None:
    noisy = wd.Constant(value=2.0).noisy(0.25, seed=3)
    values = noisy(np.arange(20_000))
    assert 1.5 <= values.min() < 1.51
    assert 2.49 < values.max() <= 2.5
    assert abs(values.mean() - 2.0) < 0.01
    assert noisy(np.arange(20_000)[::-1])[::-1].tolist() == values.tolist()
    assert not np.array_equal(values, wd.Constant(value=2.0).noisy(0.25, seed=4)(np.arange(20_000)))
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


def test_noise_may_stand_for_several_steps() -> None:
    values = wd.Constant(value=1.0).noisy(0.1, every=5)(np.arange(20))
    assert len(set(values.tolist())) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LINE.clip(low=1.0, high=0.5), "the bounds are crossed"),
        (lambda: LINE.noisy(1.5), "a share of the value from 0 to 1"),
        (lambda: LINE.noisy(0.1, seed=-1), "0 <= seed"),
        (lambda: LINE.named(" "), "a text that is not empty"),
    ],
)
def test_a_wrap_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(wd.WarmdownError, match=message):
        make()
