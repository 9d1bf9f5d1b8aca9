"""Plain data to schedules."""

from __future__ import annotations

import json
from collections import UserDict, UserList
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from tests.strategies import open_schedules, schedules

import warmdown as wd
from warmdown.errors import SpecError
from warmdown.planfile import from_yaml, shapes
from warmdown.schedules.base import kinds
from warmdown.schedules.recipes import recipes

RUN = wd.Run(total_steps=1000, steps_per_epoch=50, lr=0.1)


@given(schedules() | open_schedules())
def test_a_schedule_is_the_same_after_a_journey_through_dict_json_and_yaml(
    schedule: wd.Schedule,
) -> None:
    data = schedule.to_dict()
    assert wd.from_dict(data) == schedule
    assert wd.from_dict(json.loads(json.dumps(data))) == schedule
    assert wd.from_dict(from_yaml(yaml.safe_dump(data)).data) == schedule


@pytest.mark.parametrize("name", sorted(recipes().keys() - {"one_cycle"}))
def test_what_a_recipe_makes_makes_the_journey_too(name: str) -> None:
    needed: dict[str, dict[str, Any]] = {
        "noam": {"d_model": 8},
        "piecewise": {"values": [0, 1], "lengths": ["rest"]},
        "with_warmup": {"schedule": "cosine"},
    }
    schedule = wd.from_dict({"kind": name, **needed.get(name, {})})
    assert wd.from_dict(schedule.to_dict()) == schedule


def test_no_recipe_has_the_name_of_a_shape() -> None:
    assert kinds().keys() & recipes().keys() == set()


def test_every_kind_and_recipe_can_be_named_in_a_text_except_code() -> None:
    every = {
        word
        for word, kind in kinds().items()
        if kind.__module__.startswith("warmdown.schedules") and word[0] != "_"
    }
    named = {word for word, shape in shapes().items() if shape.__module__.startswith("warmdown.")}
    assert named == (every | recipes().keys()) - {"function"}


@pytest.mark.parametrize(
    ("data", "schedule"),
    [
        ("cosine", wd.Cosine()),
        (0.5, wd.Constant(value=0.5)),
        ("1e-4", wd.Constant(value=1e-4)),
        ("%LR% / 10", wd.Constant(value=0.01)),
        (["linear", {"kind": "cosine"}], wd.Linear() >> wd.Cosine()),
        (["linear", ["cosine", 0.1]], wd.Linear() >> wd.Cosine() >> wd.Constant(value=0.1)),
        ({"kind": "cosine", "end": "1e-1", "name": "decay"}, wd.Cosine(end=0.1).named("decay")),
        ({"kind": "named", "of": "cosine", "name": "decay"}, wd.Cosine().named("decay")),
        (
            {"kind": "product", "factors": ["cosine", 0.1]},
            wd.Product(factors=(wd.Cosine(), wd.Constant(value=0.1))),
        ),
        ({"kind": "milestones", "at": [5, "10%", "2ep"]}, wd.Milestones(at=(5, "10%", "2ep"))),
        ({"kind": "linear", "steps": "%TOTAL_STEPS% * 0.1"}, wd.Linear(steps=100)),
        ({"kind": "linear", "steps": "%TOTAL_STEPS% / 3"}, wd.Linear(steps=333)),
        ({"kind": "linear", "steps": "1e2"}, wd.Linear(steps="1e2")),
        (
            {"kind": "repeat", "of": {"kind": "cosine", "steps": 10}, "decay": "0.5"},
            wd.Cosine(steps=10).repeat(decay=0.5),
        ),
        (
            {
                "kind": "repeat",
                "of": {"kind": "cosine", "steps": 10},
                "decay": {"kind": "linear", "steps": 5},
            },
            wd.Cosine(steps=10).repeat(decay=wd.Linear(steps=5)),
        ),
        (
            {"kind": "repeat", "of": {"kind": "cosine", "steps": 10}, "times": "3"},
            wd.Cosine(steps=10).repeat(3),
        ),
        ({"kind": "clipped", "of": "cosine", "low": None, "high": 1}, wd.Cosine().clip(high=1.0)),
        (
            {"kind": "warmup_cosine", "warmup": "5%", "end": 0.1},
            wd.warmup_cosine(warmup="5%", end=0.1),
        ),
        ({"kind": "wsd", "shape": "linear"}, wd.wsd(shape="linear")),
        (
            {"kind": "plateau", "metric": "loss", "patience": 5},
            wd.from_dict({"kind": "plateau", "patience": 5}),
        ),
        ({"class_path": "warmdown.Cosine", "init_args": {"end": "0.1"}}, wd.Cosine(end=0.1)),
        ({"class_path": "warmdown.warmup_cosine"}, wd.warmup_cosine()),
        ({"class_path": "warmdown.schedules.Linear", "name": "up"}, wd.Linear().named("up")),
    ],
)
def test_data_says_the_same_as_the_expression(data: Any, schedule: wd.Schedule) -> None:
    assert wd.from_dict(data, run=RUN) == schedule


@pytest.mark.parametrize(
    ("data", "mistakes"),
    [
        ({"kind": "cosin"}, ["kind: there is no shape 'cosin'. Did you mean 'cosine'?"]),
        ({"kind": ["cosine"]}, ["kind: there is no shape a list of 1."]),
        ("cosin", ["there is no shape 'cosin'. Did you mean 'cosine'?"]),
        ({"start": 1}, ["a mapping of start has no 'kind'."]),
        (None, ["nothing stands here."]),
        (True, ["a number is needed, not True."]),
        ([], ["an empty list. A chain needs at least one phase."]),
        ({"kind": "function", "call": "print"}, ["kind: there is no shape 'function'."]),
        ({"kind": "plateau", "seen": [1]}, ["seen: Plateau has no 'seen'."]),
        (
            {"kind": "linear", "strt": 1, "end": "x", "steps": -5},
            [
                "strt: Linear has no 'strt'. Did you mean 'start'?",
                "end: 'x': not a number.",
                "steps: -5: a duration lies between 0 and",
            ],
        ),
        (
            {"kind": "linear", "start": [1], "end": True},
            ["start: a number is needed, not a list of 1.", "end: a number is"],
        ),
        ({"kind": "linear", "steps": 5.0}, ["steps: 5.0: not a duration; a bare float is refused"]),
        (
            {"kind": "linear", "steps": "0.1"},
            ["steps: '0.1': updates come whole. A share of the run is '5%'"],
        ),
        (
            {"kind": "linear", "steps": "%TOTAL_STEPS% - 2000"},
            ["steps: -1000: a duration lies between"],
        ),
        ({"kind": "linear", "end": float("nan")}, ["end: a finite number is needed, not nan."]),
        ({"kind": "linear", "end": float("inf")}, ["end: a finite number is needed, not inf."]),
        ({"kind": "linear", "end": 10**400}, ["end: a finite number is needed, not 1000"]),
        ({"kind": "linear", "end": "1e400"}, ["end: '1e400': not a finite number."]),
        (
            {"kind": "linear", "end": "%TOKENS_PER_STEP%"},
            ["end: '%TOKENS_PER_STEP%' needs the run's tokens_per_step"],
        ),
        (
            {"kind": "noisy", "of": "cosine", "seed": 1.5},
            ["seed: a whole number is needed, not 1.5."],
        ),
        (
            {"kind": "noisy", "of": "cosine", "seed": "1.5"},
            ["seed: a whole number is needed, not '1.5'."],
        ),
        ({"kind": "milestones", "at": 50}, ["at: a list is needed, not 50."]),
        (
            {"kind": "milestones", "at": [50, "x", -1]},
            ["at[1]: 'x': not a duration.", "at[2]: -1: a duration lies"],
        ),
        ({"kind": "noam"}, ["noam needs 'd_model'. Give it."]),
        (
            {"kind": "wsd", "shape": "linaer"},
            ["shape: one of linear, cosine, 1-sqrt, 1-square, exponential, inverse_proportional"],
        ),
        (
            {"kind": "one_cycle", "three_phase": "yes"},
            ["three_phase: true or false is needed, not 'yes'."],
        ),
        ({"kind": "cosine", "k": 0}, ["Cosine(k=0.0): a number above 0 is needed."]),
        ({"kind": "cosine", "name": " "}, ["Named(name=' '): a text that is not empty is needed."]),
        (
            {"kind": "slanted_triangular", "ratio": 0},
            ["slanted_triangular(ratio=0.0): these cannot be: "],
        ),
        (
            {"kind": "one_cycle"},
            ["this drives lr and momentum, not one schedule. Write it at the top"],
        ),
        (
            {"kind": "one_cycle", "name": "x"},
            ["name: what drives lr and momentum has no one name."],
        ),
        (
            [
                "cosine",
                {"kind": "chain", "members": [{"kind": "sqrt", "x": 1}, {"kind": "tanh", "y": 2}]},
                {"kind": "z"},
            ],
            [
                "[1].members[0].x: Sqrt has no 'x'.",
                "[1].members[1].y: Tanh has no 'y'.",
                "[2].kind: there is no shape 'z'.",
            ],
        ),
        ({"class_path": 5}, ["class_path: a dotted path is needed, not 5."]),
        (
            {"class_path": "warmdown.Cosine", "init_arg": {}},
            ["init_arg: stands beside class_path. Did you mean 'init_args'?"],
        ),
        (
            {"class_path": "warmdown.Cosine", "init_args": 5},
            ["init_args: a mapping is needed, not 5."],
        ),
        (
            {"class_path": "warmdown.Cosine", "init_args": {"stps": 5}},
            ["init_args.stps: Cosine has no 'stps'."],
        ),
    ],
)
def test_every_mistake_is_told_with_its_path_and_the_way_out(
    data: Any, mistakes: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        wd.from_dict(data, run=RUN)
    found = caught.value.mistakes
    assert len(found) == len(mistakes)
    assert [told[: len(said)] for told, said in zip(found, mistakes, strict=True)] == mistakes


def test_the_list_of_mistakes_has_an_end() -> None:
    with pytest.raises(SpecError) as caught:
        wd.from_dict([{"kind": "linear", "x": 1}] * 5000)
    assert len(caught.value.mistakes) == 101
    assert caught.value.mistakes[-1] == "… and perhaps more: reading stopped after 100 mistakes."


def test_a_huge_schedule_in_an_error_is_cut() -> None:
    with pytest.raises(SpecError) as caught:
        wd.from_dict({"kind": "repeat", "of": ["cosine"] * 2000, "grow": 0.5})
    assert len(str(caught.value)) < 500


def test_scheduler_steps_are_what_a_chain_leaves_to_its_phase() -> None:
    left = {"kind": "cosine", "steps": "%SCHEDULER_STEPS%"}
    assert wd.from_dict(
        [{"kind": "linear", "steps": "5%"}, left, {"kind": "linear", "steps": 50}], run=RUN
    ) == (wd.Linear(steps="5%") >> wd.Cosine(steps=900) >> wd.Linear(steps=50))
    assert wd.from_dict(left, run=RUN) == wd.Cosine(steps=1000)


def test_a_schedule_of_ones_own_can_be_named_once_its_class_is_there() -> None:
    class Halves(wd.Schedule):
        def evaluate(self, step: Any, xp: Any) -> Any:
            return 0.5**step

    mine = Halves()
    assert mine.to_dict() == {"kind": "halves"}
    assert wd.from_dict({"kind": "halves"}) == mine
    assert wd.from_dict({"kind": "chain", "members": [{"kind": "halves"}]}) == wd.Chain(
        members=(mine,)
    )


def test_data_of_other_classes_is_taken_for_what_it_is() -> None:
    data = UserDict(kind="milestones", at=UserList([np.int64(5), 7]), gamma=np.float32(0.5))
    assert wd.from_dict(data) == wd.Milestones(at=(5, 7), gamma=0.5)
    assert (
        wd.from_dict(UserList(["linear", MappingProxyType({"kind": "cosine"})]))
        == wd.Linear() >> wd.Cosine()
    )


@pytest.mark.parametrize(
    "data", [{1: 2}, {None: 1}, {"kind": "linear", 5: 1}, object(), {"kind": object()}, [object()]]
)
def test_data_that_is_no_text_ever_is_refused_too(data: Any) -> None:
    with pytest.raises(SpecError):
        wd.from_dict(data)
