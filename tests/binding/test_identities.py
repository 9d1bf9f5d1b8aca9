"""What a state says of a target, a group or a schedule is found by its name, not its place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import warmdown as wd

RUN = wd.Run(total_steps=100)
DOWN = wd.Linear(start=1.0, end=0.0)
HALF = wd.Constant(value=0.5)


def optimizer_of(*rates: float, names: tuple[str, ...] = ()) -> torch.optim.SGD:
    groups: list[dict[str, Any]] = [
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate, "weight_decay": 0.01}
        for rate in rates
    ]
    for group, name in zip(groups, names, strict=False):
        group["name"] = name
    return torch.optim.SGD(groups)


def head_and_body() -> torch.optim.SGD:
    return optimizer_of(0.1, 0.2, names=("head", "body"))


def again(scheduler: wd.Scheduler, other: wd.Scheduler, policy: Any = None) -> wd.Scheduler:
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict(), sort_keys=True)), policy)
    return other


@pytest.mark.parametrize("policy", ["given", "saved"])
@pytest.mark.parametrize("order", ["optimizer first", "optimizer last", "scheduler alone"])
@pytest.mark.parametrize(
    ("saved", "given"),
    [
        ({"lr": DOWN}, {"lr": {"head": HALF, "*": DOWN}}),
        ({"lr": {"head": HALF, "*": DOWN}}, {"lr": DOWN}),
        ({"lr": DOWN}, {"weight_decay": HALF, "lr": DOWN}),
        ({"weight_decay": HALF, "lr": DOWN}, {"lr": DOWN}),
        ({"lr": {"head": DOWN}}, {"lr": {"body": HALF, "head": DOWN}}),
    ],
)
def test_a_target_that_is_added_removed_or_moved_leaves_the_others_values_right(
    saved: Any, given: Any, order: str, policy: Any
) -> None:
    first = head_and_body()
    trunk = wd.Scheduler(first, wd.Plan.of(**saved, run=RUN))
    trunk.seek(30)
    states = copy.deepcopy(first.state_dict()), trunk.state_dict()
    optimizer = head_and_body()
    if order == "optimizer first":
        optimizer.load_state_dict(states[0])
    resumed = wd.Scheduler(optimizer, wd.Plan.of(**given, run=RUN))
    resumed.load_state_dict(states[1], policy)
    if order == "optimizer last":
        optimizer.load_state_dict(states[0])
    oracle = wd.Scheduler(
        head_and_body(), wd.Plan.of(**(given if policy == "given" else saved), run=RUN)
    )
    for step in (30, 60):
        oracle.seek(step)
        resumed.seek(step)
        assert resumed.values() == pytest.approx(oracle.values(), rel=1e-9)


def test_the_order_of_patterns_that_a_group_fits_both_is_part_of_a_plan() -> None:
    one = wd.Plan.of(lr={"head": HALF, "*": DOWN}, run=RUN)
    other = wd.Plan.of(lr={"*": DOWN, "head": HALF}, run=RUN)
    assert one.fingerprint != other.fingerprint
    trunk = wd.Scheduler(head_and_body(), one)
    trunk.seek(30)
    for policy in (None, "continue", "rescale"):
        with pytest.raises(wd.StateError, match="first"):
            again(trunk, wd.Scheduler(head_and_body(), other), policy)
    resumed = again(trunk, wd.Scheduler(head_and_body(), other), "given")
    assert resumed.values() == pytest.approx({"lr/head": 0.07, "lr/body": 0.14})


@pytest.mark.parametrize(("first", "second"), [("head", "body"), ("enc.*", "dec.*"), ("0", "1")])
def test_the_order_of_patterns_that_no_group_fits_both_is_not(first: str, second: str) -> None:
    one, other = (
        wd.Plan.of(lr=dict(rules))
        for rules in ([(first, HALF), (second, DOWN)], [(second, DOWN), (first, HALF)])
    )
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize("form", [True, False])
def test_each_plateau_keeps_its_own_memory_when_targets_are_given_in_another_order(
    form: bool,
) -> None:
    lr = DOWN * wd.Plateau(metric="loss", patience=0, factor=0.5)
    decay = DOWN * wd.Plateau(metric="loss", patience=9, factor=0.5)
    trunk = wd.Scheduler(head_and_body(), lr=lr, weight_decay=decay, run=RUN)
    for step in (10, 20, 30):
        trunk.seek(step)
        trunk.observe(loss=1.0)
    moved = wd.Scheduler(head_and_body(), weight_decay=decay, lr=lr, run=RUN)
    moved.load_state_dict(trunk.state_dict(plan=form))
    assert moved.values() == trunk.values()
    trunk.extend(200, "continue")
    again_moved = wd.Scheduler(head_and_body(), weight_decay=decay, lr=lr, run=RUN)
    again_moved.load_state_dict(trunk.state_dict(plan=form))
    assert again_moved.values() == trunk.values()


def test_a_group_of_one_optimizer_does_not_move_the_bases_of_the_next() -> None:
    def pair() -> list[torch.optim.SGD]:
        return [optimizer_of(0.1), optimizer_of(0.4)]

    trunk = wd.Scheduler(pair(), lr=DOWN, run=RUN)
    trunk.seek(30)
    optimizers = pair()
    optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3})
    resumed = again(trunk, wd.Scheduler(optimizers, lr=DOWN, run=RUN))
    assert resumed.base_lrs == [0.1, 0.3, 0.4]


@pytest.mark.parametrize("way", ["copy", "save"])
def test_a_group_that_was_just_added_is_copied_and_saved_with_the_others(way: str) -> None:
    optimizers = [optimizer_of(0.1), optimizer_of(0.4)]
    scheduler = wd.Scheduler(optimizers, lr=DOWN, run=RUN)
    scheduler.seek(50)
    group = {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3}
    optimizers[0].add_param_group(group)
    if way == "copy":
        twin = copy.deepcopy((optimizers, scheduler))[1]
    else:
        others = [optimizer_of(0.1, 0.3), optimizer_of(0.4)]
        twin = again(scheduler, wd.Scheduler(others, lr=DOWN, run=RUN))
    assert twin.values() == pytest.approx({"lr/0": 0.05, "lr/1": 0.15, "lr/2": 0.2})


def test_a_whole_state_has_the_same_keys_whatever_happened() -> None:
    plateau = DOWN * wd.Plateau(metric="loss", patience=0)
    scheduler = wd.Scheduler(head_and_body(), lr=plateau, run=RUN)
    keys = scheduler.state_dict().keys()
    scheduler.seek(10)
    scheduler.observe(loss=1.0)
    scheduler.rescale(0.5)
    scheduler.decay_now(20)
    scheduler.extend(300)
    state = scheduler.state_dict()
    assert state.keys() == keys
    assert not any(isinstance(value, dict | list | tuple) for value in state.values())


@pytest.mark.filterwarnings("ignore:torch.distributed is:UserWarning")
def test_a_distributed_checkpoint_is_loaded_in_place_after_events(tmp_path: Path) -> None:
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    trunk = wd.Scheduler(head_and_body(), lr=DOWN, run=RUN)
    trunk.seek(30)
    trunk.rescale(0.5)
    trunk.extend(200, "continue")
    trunk.decay_now(50)
    saved = {"scheduler": trunk.state_dict()}
    checkpoint.save(saved, checkpoint_id=tmp_path)
    resumed = wd.Scheduler(head_and_body(), lr=DOWN, run=RUN)
    state = {"scheduler": resumed.state_dict()}
    checkpoint.load(state, checkpoint_id=tmp_path)
    resumed.load_state_dict(state["scheduler"])
    assert [resumed.value(step) for step in range(90)] == [trunk.value(s) for s in range(90)]


@pytest.mark.filterwarnings("ignore:torch.distributed is:UserWarning")
def test_a_distributed_checkpoint_of_another_plan_meets_its_policy(tmp_path: Path) -> None:
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    trunk = wd.Scheduler(head_and_body(), lr={"head": HALF, "*": DOWN}, run=RUN)
    trunk.seek(30)
    checkpoint.save(trunk.state_dict(), checkpoint_id=tmp_path)
    resumed = wd.Scheduler(head_and_body(), lr=wd.Cosine(end=0.1), run=RUN)
    state = resumed.state_dict()
    checkpoint.load(state, checkpoint_id=tmp_path)
    with pytest.raises(wd.StateError, match=r"of another plan:\n  lr\.groups\.head"):
        resumed.load_state_dict(state)
    resumed.load_state_dict(state, "saved")
    assert resumed.values() == trunk.values()


@pytest.mark.parametrize("way", ["event", "group", "copy", "save", "compact"])
def test_tokens_of_micro_batches_are_counted_with_their_update(way: str) -> None:
    run = wd.Run(clock="tokens", budget="1000tok")
    optimizer = optimizer_of(0.1)
    scheduler = wd.Scheduler(optimizer, lr=DOWN, run=run)
    optimizer.step()
    scheduler.step(tokens=10)
    scheduler.step(tokens=15)  # no update came before it
    scheduler.step(tokens=15)
    if way == "event":
        scheduler.rescale(1.0)
    elif way == "group":
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3})
    elif way == "copy":
        optimizer, scheduler = copy.deepcopy((optimizer, scheduler))
    else:
        state = scheduler.state_dict(plan=way == "save")
        optimizer = optimizer_of(0.1)
        scheduler = wd.Scheduler(optimizer, lr=DOWN, run=run)
        scheduler.load_state_dict(state)
    optimizer.step()
    scheduler.step(tokens=10)
    assert scheduler.position == 50.0


def test_the_state_without_its_plan_is_small_where_no_data_is_owed() -> None:
    scheduler = wd.Scheduler(optimizer_of(0.1), lr=DOWN, run=RUN)
    scheduler.seek(99)
    assert len(json.dumps(scheduler.state_dict(plan=False))) < 100
    assert scheduler.state_dict(plan=False).keys() == {"version", "count", "print", "check"}


class Timer:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("way", ["observe", "rescale", "copy", "save"])
def test_a_budget_of_seconds_is_used_up_whatever_happens_between_steps(way: str) -> None:
    timer, run = Timer(), wd.Run(clock="seconds", budget="1000s")
    plan = wd.Plan.of(lr=DOWN * wd.Plateau(metric="loss", patience=999), run=run)
    optimizer = optimizer_of(0.1)
    scheduler = wd.Scheduler(optimizer, plan, timer=timer)
    for update in range(100):
        timer.now += 5.0
        optimizer.step()
        scheduler.step()
        timer.now += 5.0
        if way == "observe":
            scheduler.observe(loss=1.0)
        elif way == "rescale" and not update % 9:
            scheduler.rescale(1.0)
        elif way == "copy" and not update % 9:
            optimizer, scheduler = copy.deepcopy((optimizer, scheduler))
            scheduler._timer = timer = scheduler.writer.clock._timer  # type: ignore[attr-defined]
        elif way == "save" and not update % 9:
            state = scheduler.state_dict()
            timer.now += 333.0  # does not count
            optimizer = optimizer_of(0.1)
            scheduler = wd.Scheduler(optimizer, plan, timer=timer)
            scheduler.load_state_dict(state)
    assert scheduler.position == pytest.approx(995.0, abs=6)


@pytest.mark.parametrize(("saved", "given"), [("tokens", "updates"), ("updates", "tokens")])
def test_a_plan_on_another_clock_wins_or_is_refused(saved: str, given: str) -> None:
    runs = {"updates": RUN, "tokens": wd.Run(clock="tokens", budget="1000tok", tokens_per_step=10)}
    optimizer = optimizer_of(0.1)
    trunk = wd.Scheduler(optimizer, lr=DOWN, run=runs[saved])
    for _ in range(30):
        optimizer.step()
        trunk.step()

    def other() -> wd.Scheduler:
        return wd.Scheduler(optimizer_of(0.1), lr=DOWN, run=runs[given])

    for form in (True, False):
        resumed = other()
        resumed.load_state_dict(trunk.state_dict(plan=form), "given")
        assert resumed.values() == pytest.approx({"lr/0": 0.07})
    resumed = again(trunk, other(), "saved")
    assert resumed.values() == pytest.approx({"lr/0": 0.07})
    resumed.optimizer.step()
    resumed.step()
    assert resumed.values() == pytest.approx({"lr/0": 0.069})
    with pytest.raises(wd.StateError, match="counts"):
        again(trunk, other(), "continue")


def test_a_refused_state_leaves_everything_as_it_was() -> None:
    trunk = wd.Scheduler(optimizer_of(0.1, names=("old",)), lr={"old": DOWN}, run=RUN)
    trunk.seek(30)
    optimizer = optimizer_of(0.1, names=("new",))
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=RUN)
    scheduler.seek(20)
    before = str((scheduler.state_dict(), optimizer.param_groups))
    for policy in ("error", "saved", "continue", "rescale", "fit", "rewarm"):
        with pytest.raises(wd.StateError):
            again(trunk, scheduler, policy)
        assert str((scheduler.state_dict(), optimizer.param_groups)) == before
    again(trunk, scheduler, "given")


FALLING = wd.Cosine() * wd.Plateau(metric="loss", patience=0, factor=0.5)


@pytest.mark.parametrize("how", ["fit", "rescale"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_a_plateau_that_decays_is_joined_and_observed_on(how: Any, rescaled: bool) -> None:
    trunk = wd.Scheduler(optimizer_of(0.1), lr=FALLING, run=RUN)
    for step in (10, 20):
        trunk.seek(step)
        trunk.observe(loss=1.0)
    trunk.decay_now(40)
    if rescaled:
        trunk.rescale(0.5)
    trunk.seek(30)
    other = wd.Scheduler(optimizer_of(0.1), lr=FALLING, run=wd.Run(total_steps=200))
    resumed = again(trunk, other, how)
    if how == "fit":  # 30 of 40 steps are left of the decay, 170 of 200 of the run
        assert resumed.value(30) == pytest.approx(trunk.value(30))
        assert resumed.value(30 + round(15 * 170 / 70)) == pytest.approx(trunk.value(45), rel=0.02)
    else:
        assert resumed.value(90) == pytest.approx(trunk.value(45))
    resumed.seek(60)
    resumed.observe(loss=2.0)


def test_decays_one_after_the_other_do_not_pile_up() -> None:
    scheduler = wd.Scheduler(optimizer_of(0.1), lr=DOWN, run=wd.Run(total_steps=10_000))
    expected = 0.1 * (1 - 100 / 10_000)
    for step in range(100, 700, 2):
        scheduler.seek(step)
        scheduler.decay_now(100)
        scheduler.rescale(1.1)
        scheduler.seek(step + 1)
        scheduler.rescale(1 / 1.1)
        expected *= 0.98
    scheduler.seek(700)
    assert scheduler.values()["lr/0"] == pytest.approx(expected)
    past = 0.1 * 0.99 * 0.98 * 0.99 * 1.1  # in the middle of the second decay
    assert scheduler.value(102) == pytest.approx(0.1 * 0.99 * 0.98 * 1.1)
    assert scheduler.value(103) == pytest.approx(past / 1.1)


@pytest.mark.parametrize("given", [wd.Constant(), wd.Cosine(end=0.1).clip(low=0.2)])
def test_an_offset_is_led_to_the_new_plans_without_a_jump(given: wd.Schedule) -> None:
    rule = wd.Scale(DOWN, offset=wd.Linear(start=0.01, end=0.02))
    trunk = wd.Scheduler(head_and_body(), lr=rule, run=RUN)
    trunk.seek(30)
    resumed = again(
        trunk, wd.Scheduler(head_and_body(), lr=given, run=wd.Run(total_steps=200)), "continue"
    )
    assert resumed.values() == pytest.approx(trunk.values())


def test_a_lowest_value_that_the_new_plan_lacks_is_no_value_to_continue_from() -> None:
    trunk = wd.Scheduler(head_and_body(), lr=wd.Scale(DOWN, low=0.05), run=RUN)
    trunk.seek(90)
    with pytest.raises(wd.StateError, match=r"low=0\.05"):
        again(trunk, wd.Scheduler(head_and_body(), lr=wd.Cosine(), run=RUN), "continue")


def test_runs_of_plans_that_order_their_patterns_otherwise_have_names_of_their_own() -> None:
    from warmdown.experiments.runs import RunSpec

    plans = [{"head": HALF, "*": DOWN}, {"*": DOWN, "head": HALF}]
    keys = {RunSpec.of(wd.Plan.of(lr=rules, run=RUN), "digits", 0, {}).key for rules in plans}
    assert len(keys) == 2
