"""What a schedule's number means to a field."""

from __future__ import annotations

import numpy as np
import torch

import warmdown as wd
from warmdown.schedules.rule import rule_from_dict

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


def test_a_lower_bound_may_itself_move() -> None:
    low = wd.Constant(value=0.0, steps=2) >> wd.Constant(value=0.3)
    rising = wd.Scale(wd.Linear(start=0.0, end=1.0, steps="rest"), low=low)
    scale = rising.over(wd.Run(total_steps=10))
    assert [scale.value(step, 1.0) for step in (0, 1, 2, 5)] == [0.0, 0.1, 0.3, 0.5]
    assert scale.value(np.arange(3), 1.0).tolist() == [0.0, 0.1, 0.3]
    assert rule_from_dict(scale.to_dict()) == scale
    assert low.over(wd.Run(total_steps=10)) in scale.schedules()


def test_to_rescale_a_rate_leaves_its_lower_bound() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    plan = wd.Scale(LINE, low=wd.Constant(value=0.2))
    scheduler = wd.Scheduler(optimizer, lr=plan, run=wd.Run(total_steps=10))
    scheduler.rescale(0.5)
    assert [scheduler.value(step) for step in (1, 9)] == [0.45, 0.2]
    scheduler.close()
