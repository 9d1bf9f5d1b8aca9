"""The laws of schedules hold for shapes that are a person's own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.schedules.own_shapes import Doubled, HalveBeyond, Parabola

import warmdown as wd
from warmdown.run import Duration
from warmdown.schedules.feedback import observed


@dataclass(frozen=True, kw_only=True)
class Slope(wd.Schedule):
    """A straight line, in a module whose annotations are no texts."""

    height: float = 1.0
    steps: Duration = "rest"

    def evaluate(self, step: Any, xp: Any) -> Any:
        return self.height * xp.clip(step, 0, self.steps) / max(int(self.steps), 1)


OWN = [
    Parabola(steps=20),
    Slope(steps=20),
    Doubled(of=Parabola(steps=20)),
    HalveBeyond(),
    Doubled(of=HalveBeyond()) * wd.Linear(steps=9),
    Slope(steps=5) >> Doubled(of=wd.Cosine(steps=9)),
    Doubled(of=wd.Linear(steps=4)).delay(3).clip(low=0.1),
]


@pytest.mark.parametrize("shape", OWN, ids=repr)
def test_the_laws_hold_for_a_shape_of_ones_own(shape: wd.Schedule) -> None:
    steps = np.arange(40)
    assert shape(steps).tolist() == [shape(step) for step in range(40)]
    assert shape(-5) == shape(0)
    assert wd.Schedule.from_dict(shape.to_dict()) == shape == wd.from_dict(shape.to_dict())
    assert hash(wd.Schedule.from_dict(shape.to_dict())) == hash(shape)
    assert shape.over(wd.Run()) == shape
    if shape.length is not None:
        assert shape(shape.length + 7) == shape(shape.length)


@pytest.mark.parametrize("kind", [Parabola, Slope])
def test_an_open_length_of_ones_own_is_measured(kind: type[Any]) -> None:
    plan = (wd.Linear(steps="10%") >> Doubled(of=kind())).over(wd.Run(total_steps=50))
    assert plan.length == 50
    assert [phase.start for phase in plan.phases()] == [0, 5]


def test_a_wrapper_of_ones_own_has_the_length_and_the_flatness_of_its_part() -> None:
    assert Doubled(of=Parabola(steps=7)).length == 7
    assert Doubled(of=wd.Constant(value=2.0)).is_flat(0, 10**9)
    assert not Doubled(of=Parabola(steps=7)).is_flat(0, 1)


def test_a_feedback_schedule_of_ones_own_observes_from_its_turn_on() -> None:
    whole = wd.Linear(start=1.0, end=1.0, steps=3) >> Doubled(of=HalveBeyond())
    for step in range(6):
        whole = observed(whole, step, {"loss": 2.0})
    assert whole([2, 3, 4, 5]).tolist() == [1.0, 1.0, 0.5, 0.25]
    assert wd.Schedule.from_dict(whole.to_dict())(9) == 2.0


def test_the_formula_under_its_former_name_warns_and_works() -> None:
    with pytest.warns(DeprecationWarning, match=r"Old\._values is now evaluate"):

        class Old(wd.Schedule):
            def _values(self, step: Any, xp: Any) -> Any:
                return 3.0 + 0 * step

    assert Old()(5) == 3.0  # type: ignore[abstract]
