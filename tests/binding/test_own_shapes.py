"""A run under a person's own curve, wrapper and feedback schedule resumes like any other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.binding.loops import each_rate, sgd, train
from tests.training import small

import warmdown as wd
from warmdown.binding.state import checksum
from warmdown.plan import fingerprint_of_data
from warmdown.schedules.feedback import Feedback, FeedbackState

RUN = wd.Run(total_steps=100)


@dataclass(frozen=True, kw_only=True)
class OwnParabola(wd.Schedule):
    """A curve of one's own."""

    steps: int | str = "rest"

    def evaluate(self, step: Any, xp: Any) -> Any:
        return (1.0 - xp.clip(step / self.steps, 0.0, 1.0)) ** 2


@dataclass(frozen=True, kw_only=True)
class OwnHalved(wd.Schedule):
    """A wrapper of one's own."""

    of: wd.Schedule

    keeps_time = True

    def evaluate(self, step: Any, xp: Any) -> Any:
        return self.of.evaluate(step, xp) / 2


@dataclass(frozen=True, kw_only=True)
class OwnHalving(Feedback):
    """A feedback schedule of one's own: it halves whenever the metric does not fall."""

    def update_state(self, state: FeedbackState, step: float, value: float) -> FeedbackState:
        if state.best is None or value < state.best:
            return state._replace(best=value)
        return state.moved(state.levels[-1] / 2, step)


SHAPES: dict[str, wd.Schedule] = {
    "curve": OwnParabola(),
    "wrapper": OwnHalved(of=wd.Cosine(end=0.1)),
    "feedback": wd.Linear(start=0.5, end=1.0, steps=20) >> OwnHalving(metric="loss"),
}


def made(schedule: wd.Schedule, run: wd.Run = RUN) -> tuple[Any, wd.Scheduler]:
    optimizer = sgd(0.5, 0.25)
    return optimizer, wd.Scheduler(optimizer, lr=schedule, run=run)


def lived(optimizer: Any, scheduler: wd.Scheduler, start: int, stop: int) -> list[list[float]]:
    """Make updates of a run in which a metric is observed and an event happens."""
    rows = []
    for update in range(start, stop):
        if update % 10 == 0 and scheduler.state_dict().get("seen"):
            scheduler.observe(loss=1.0 if update < 50 else 2.0)
        if update == 60:
            scheduler.rescale(0.5)
        rows.append(each_rate(optimizer))
        train(optimizer, scheduler, 1)
    return rows


@pytest.mark.parametrize("form", ["full", "compact"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("update", [1, 35, 70])
def test_a_run_under_a_shape_of_ones_own_resumes(name: str, update: int, form: str) -> None:
    optimizer, scheduler = made(SHAPES[name])
    unbroken = lived(optimizer, scheduler, 0, 90)
    optimizer, scheduler = made(SHAPES[name])
    lived(optimizer, scheduler, 0, update)
    state = json.loads(json.dumps(scheduler.state_dict(plan=form == "full")))
    optimizer, scheduler = made(SHAPES[name])
    scheduler.load_state_dict(state)
    assert lived(optimizer, scheduler, update, 90) == unbroken[update:]


@pytest.mark.parametrize("policy", ["saved", "given", "stretch", "continue", "rewarm", "fit"])
@pytest.mark.parametrize("name", ["curve", "wrapper"])
def test_a_shape_of_ones_own_joins_another_plan_by_every_policy(name: str, policy: Any) -> None:
    _, scheduler = made(SHAPES[name])
    scheduler.seek(40)
    _, longer = made(SHAPES[name], wd.Run(total_steps=200))
    longer.load_state_dict(scheduler.state_dict(), on_change=policy)
    assert longer.value(39) == scheduler.value(39)  # what was used is not rewritten
    if policy in ("saved", "fit", "continue"):
        assert longer.value(40) == pytest.approx(scheduler.value(40))  # no jump


def test_a_state_under_the_given_plan_is_not_rebuilt_from_its_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, scheduler = made(SHAPES["curve"])
    scheduler.seek(40)
    state = scheduler.state_dict()
    monkeypatch.setattr(wd.Plan, "from_dict", None)
    _, again = made(SHAPES["curve"])
    again.load_state_dict(state)
    assert again.get_last_lr() == scheduler.get_last_lr()


def test_a_saved_plan_whose_class_is_not_loaded_names_the_way_out_that_works() -> None:
    _, scheduler = made(SHAPES["curve"])
    scheduler.seek(40)
    state = scheduler.state_dict()
    state["plan"] = state["plan"].replace("own_parabola", "own_hyperbola")
    state["print"] = fingerprint_of_data(json.loads(state["plan"]))
    state["check"] = checksum(state)
    _, given = made(wd.Cosine())
    with pytest.raises(wd.StateError, match=r"own_hyperbola.*on_change='given'"):
        given.load_state_dict(state)
    given.load_state_dict(state, on_change="given")
    assert given.count == 40
    assert given.value(40) == made(wd.Cosine())[1].value(40)


@pytest.mark.parametrize("name", ["curve", "wrapper"])
def test_the_trainer_resumes_a_run_under_a_shape_of_ones_own(name: str, tmp_path: Path) -> None:
    plan = wd.Plan.of(lr=SHAPES[name])
    whole = small.make(tmp_path / "whole")
    digest = small.train(whole, plan=plan)
    cut = small.make(tmp_path / "cut", [small.Stop(7)])
    with pytest.raises(wd.TrainingError, match="update 7 is saved in"):
        small.train(cut, plan=plan)
    again = small.make(tmp_path / "cut", seed=99)
    assert small.train(again, plan=plan, resume_from=tmp_path / "cut" / "checkpoints") == digest
