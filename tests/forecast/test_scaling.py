"""Scaling rules, against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest

import warmdown as wd
from warmdown.errors import ForecastError


@pytest.mark.parametrize("batch", [64, 512, 4096, 2**21])
def test_a_rate_follows_the_batch_or_its_root(batch: int) -> None:
    assert wd.scale_rate_linearly(0.1, batch=batch, tuned_batch=256) == pytest.approx(
        0.1 * batch / 256
    )
    assert wd.scale_rate_with_sqrt(0.1, batch=batch, tuned_batch=256) == pytest.approx(
        0.1 * math.sqrt(batch / 256)
    )


def test_the_batch_follows_the_data() -> None:
    grown = wd.scale_batch_with_data(2**19, tokens=2e9, tuned_tokens=1e9)
    assert grown == pytest.approx(2**19 * 2**0.383)
    half = wd.scale_batch_with_data(100, tokens=4e9, tuned_tokens=1e9, exponent=0.5)
    assert half == pytest.approx(200)


def test_the_decay_keeps_what_weights_remember() -> None:
    tuned = {"lr": 0.02, "decay": 0.28, "batch": 2**19, "tokens": 1e9}
    batch, tokens = 2**20, 5e9
    lr = wd.scale_rate_with_sqrt(tuned["lr"], batch=batch, tuned_batch=tuned["batch"])
    decay = wd.scale_decay_with_batch_and_data(
        tuned["decay"],
        batch=batch,
        tuned_batch=tuned["batch"],
        tokens=tokens,
        tuned_tokens=tuned["tokens"],
    )
    remembered = tuned["batch"] / (tuned["lr"] * tuned["decay"] * tuned["tokens"])
    assert batch / (lr * decay * tokens) == pytest.approx(remembered)


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf"), True, "2"])
def test_what_is_no_amount_is_refused_by_its_name(bad: Any) -> None:
    with pytest.raises(ForecastError, match=r"scale_rate_linearly\(batch=.*above 0 is needed"):
        wd.scale_rate_linearly(0.1, batch=bad, tuned_batch=256)
    given = {"batch": 1, "tuned_batch": 1, "tokens": bad, "tuned_tokens": 1}
    with pytest.raises(ForecastError, match=r"scale_decay_with_batch_and_data\(tokens="):
        wd.scale_decay_with_batch_and_data(0.1, **given)
