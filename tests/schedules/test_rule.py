"""What a schedule's number means to a field."""

from __future__ import annotations

import numpy as np

import warmdown as wd

LINE = wd.Linear(start=1.0, end=0.0, steps=10)


def test_a_scale_multiplies_the_base_value() -> None:
    assert wd.Scale(LINE).value(5, base=3e-4) == 1.5e-4


def test_an_absolute_minimum_stays_absolute_for_every_group() -> None:
    to_minimum = wd.Scale(LINE, offset=wd.Linear(start=0.0, end=1e-5, steps=10))
    assert [to_minimum.value(10, base) for base in (1e-3, 1e-4)] == [1e-5, 1e-5]
    assert [to_minimum.value(0, base) for base in (1e-3, 1e-4)] == [1e-3, 1e-4]


def test_a_lower_bound_is_in_the_unit_of_the_field() -> None:
    bounded = wd.Scale(LINE, low=0.2)
    assert bounded.value(9, base=1.0) == 0.2
    assert bounded.value(np.array([0, 9]), base=1.0).tolist() == [1.0, 0.2]


def test_a_set_is_the_value_itself() -> None:
    assert wd.Set(LINE).value(5, base=123.0) == 0.5


def test_meanings_are_plain_data() -> None:
    assert wd.Scale(LINE).to_dict() == LINE.to_dict()
    assert wd.Scale(LINE, low=0.1).to_dict() == {"scale": LINE.to_dict(), "low": 0.1}
    assert wd.Set(LINE).to_dict() == {"set": LINE.to_dict()}
