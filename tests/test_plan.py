"""What is scheduled, as plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest

import warmdown as wd

PLAN = wd.Plan.of(
    lr={"*": wd.warmup_cosine(), "head": wd.Set(wd.Constant(value=1e-3))},
    weight_decay=wd.Set(wd.Constant(value=0.05)),
    run=wd.Run(total_steps=1000),
)


def test_a_bare_schedule_scales() -> None:
    plan = wd.Plan.of(lr=wd.Linear(steps=10))
    assert plan.targets[0].rule == wd.Scale(wd.Linear(steps=10))


def test_every_target_has_a_label() -> None:
    assert [target.label for target in PLAN.targets] == ["lr", "lr/head", "weight_decay"]


def test_a_plan_measures_all_its_schedules_at_once() -> None:
    settled = PLAN.over()
    assert all(part.is_resolved for target in settled.targets for part in target.rule.schedules())
    assert settled.over() == settled
    assert PLAN.over(wd.Run(total_steps=500)).length == 500


def test_a_plan_without_a_run_is_as_long_as_its_longest_schedule() -> None:
    assert wd.Plan.of(lr=wd.Linear(steps=10), momentum=wd.Linear(steps=30)).length == 30
    assert wd.Plan.of(lr=wd.InverseSqrt()).length is None


def test_a_plan_is_json_and_its_groups_stay_apart() -> None:
    data = json.loads(json.dumps(PLAN.to_dict()))
    assert set(data["lr"]["groups"]) == {"*", "head"}
    assert data["run"] == {"total_steps": 1000}


def test_the_fingerprint_tells_plans_apart_and_equal_ones_together() -> None:
    twin = wd.Plan.of(lr=wd.Linear(steps=10))
    assert twin.fingerprint == wd.Plan.of(lr=wd.Linear(steps=10)).fingerprint
    assert twin.fingerprint != wd.Plan.of(lr=wd.Linear(steps=11)).fingerprint


@pytest.mark.parametrize("given", [3, "cosine", None])
def test_what_is_no_target_is_refused_with_the_way_out(given: Any) -> None:
    with pytest.raises(wd.ScheduleError, match=r"A fixed number is Set\(Constant\(value=…\)\)"):
        wd.Plan.of(lr=given)


@pytest.mark.parametrize("wrong", [{"after_end": "rise"}, {"count": "epochs"}])
def test_an_unknown_policy_lists_the_known_ones(wrong: Any) -> None:
    with pytest.raises(wd.ScheduleError, match="use one of"):
        wd.Plan.of(lr=wd.Linear(steps=10), **wrong)
