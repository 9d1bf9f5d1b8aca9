"""A run that is saved and resumed goes on as if nothing had happened, or is refused."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.binding.loops import each_rate, model, sgd, train

import warmdown as wd
from warmdown.binding import Attribute
from warmdown.binding.joining import POLICIES
from warmdown.binding.state import checksum
from warmdown.plan import fingerprint_of_data

RUN = wd.Run(total_steps=1000)
GRADIENT = torch.ones(2)
PLAN = wd.Plan.of(
    lr=wd.warmup_cosine(warmup="5%", end=0.1),
    weight_decay=wd.Set(wd.Linear(start=0.04, end=0.4)),
    run=RUN,
)


def fresh(groups: int = 2, rate: float = 0.1) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(groups)]
    rates = [rate / (index + 1) for index in range(groups)]
    return torch.optim.SGD(
        [{"params": [p], "lr": lr} for p, lr in zip(parameters, rates, strict=True)], lr=rate
    )


def used(
    optimizer: torch.optim.Optimizer, scheduler: wd.Scheduler, updates: int
) -> list[list[float]]:
    """Make updates; return everything that each of them used."""
    rows = []
    for _ in range(updates):
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["params"][0].grad = GRADIENT
        rows.append(
            [
                value
                for group in optimizer.param_groups
                for value in (group["lr"], group["weight_decay"])
            ]
        )
        optimizer.step()
        scheduler.step()
    return rows


@cache
def unbroken() -> list[list[float]]:
    optimizer = fresh()
    return used(optimizer, wd.Scheduler(optimizer, PLAN), 1000)


@cache
def saved_at(update: int) -> tuple[dict[str, Any], dict[str, Any]]:
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    used(optimizer, scheduler, update)
    return optimizer.state_dict(), scheduler.state_dict()


def build_then_load(optimizer: Any, states: Any) -> wd.Scheduler:
    scheduler = wd.Scheduler(optimizer, PLAN)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    return scheduler


def load_the_scheduler_first(optimizer: Any, states: Any) -> wd.Scheduler:
    scheduler = wd.Scheduler(optimizer, PLAN)
    scheduler.load_state_dict(states[1])
    optimizer.load_state_dict(states[0])
    return scheduler


def load_then_build(optimizer: Any, states: Any) -> wd.Scheduler:
    optimizer.load_state_dict(states[0])
    scheduler = wd.Scheduler(optimizer, PLAN)
    scheduler.load_state_dict(states[1])
    return scheduler


def load_then_build_without_the_plan_in_the_state(optimizer: Any, states: Any) -> wd.Scheduler:
    optimizer.load_state_dict(states[0])
    scheduler = wd.Scheduler(optimizer, PLAN)
    other = wd.Scheduler(fresh(), PLAN)
    other.load_state_dict(states[1])
    scheduler.load_state_dict(other.state_dict(plan=False))
    return scheduler


def load_then_seek(optimizer: Any, states: Any) -> wd.Scheduler:
    optimizer.load_state_dict(states[0])
    scheduler = wd.Scheduler(optimizer, PLAN)
    scheduler.seek(437)
    return scheduler


def seek_alone(optimizer: Any, states: Any) -> wd.Scheduler:
    scheduler = wd.Scheduler(optimizer, PLAN)
    scheduler.seek(437)
    return scheduler


@pytest.mark.parametrize(
    "resume",
    [
        build_then_load,
        load_the_scheduler_first,
        load_then_build,
        load_then_build_without_the_plan_in_the_state,
        load_then_seek,
        seek_alone,
    ],
)
def test_a_resumed_run_uses_the_very_values_of_an_unbroken_one(
    resume: Callable[[Any, Any], wd.Scheduler],
) -> None:
    expected = unbroken()
    optimizer = fresh()
    scheduler = resume(optimizer, saved_at(437))
    assert each_rate(optimizer) == [expected[437][0], expected[437][2]]  # at once, before any step
    assert used(optimizer, scheduler, 563) == expected[437:]


RESUME = """
import sys, torch, warmdown as wd
sys.path.insert(0, {root!r})
from tests.binding.test_resume import PLAN, fresh, used
optimizer = fresh()
scheduler = wd.Scheduler(optimizer, PLAN)
saved = torch.load({path!r}, weights_only=True)
scheduler.load_state_dict(saved["scheduler"])
optimizer.load_state_dict(saved["optimizer"])
print(used(optimizer, scheduler, 563))
"""


def test_a_new_process_resumes_from_a_file_that_holds_only_plain_data(tmp_path: Path) -> None:
    optimizer_state, scheduler_state = saved_at(437)
    path = tmp_path / "checkpoint.pt"
    torch.save({"optimizer": optimizer_state, "scheduler": scheduler_state}, path)
    script = RESUME.format(root=str(Path(__file__).parents[2]), path=str(path))
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(printed.stdout) == unbroken()[437:]


def test_loading_the_same_place_twice_and_going_back_and_forth_is_lossless() -> None:
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    expected = unbroken()
    for update in (437, 3, 999, 0, 437):
        scheduler.seek(update)
        assert each_rate(optimizer) == [expected[update][0], expected[update][2]]
        assert scheduler.count == update


@pytest.mark.parametrize("wrong", [-1, 2.5, True])
def test_seeking_what_is_no_update_is_refused(wrong: Any) -> None:
    with pytest.raises(wd.ScheduleError, match=r"seek\(.*whole number from 0 on"):
        wd.Scheduler(sgd(), lr=wd.Cosine(steps=10)).seek(wrong)


@pytest.mark.parametrize("groups", [1, 1000])
def test_a_state_without_its_plan_is_under_a_hundred_bytes_whatever_the_groups(groups: int) -> None:
    scheduler = wd.Scheduler(fresh(groups), PLAN)
    scheduler.seek(999_999_999)
    assert len(pickle.dumps(scheduler.state_dict(plan=False))) < 100


def test_a_state_survives_json_and_a_safe_load(tmp_path: Path) -> None:
    _, state = saved_at(30)
    torch.save(state, tmp_path / "state.pt")
    again = torch.load(tmp_path / "state.pt", weights_only=True)
    assert json.loads(json.dumps(state)) == state == again


def test_a_state_may_name_its_fingerprint_and_feedback_in_full() -> None:
    state = fallen().state_dict()
    names = {"print": "fingerprint", "seen": "feedback"}
    renamed = {names.get(key, key): value for key, value in state.items() if key != "check"}
    scheduler = wd.Scheduler(sgd(), lr=FALLING, run=wd.Run(total_steps=40))
    scheduler.load_state_dict({**renamed, "check": checksum(renamed)})
    assert scheduler.state_dict() == state


def damaged(state: dict[str, Any], damage: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    state = copy.deepcopy(state)
    damage(state)
    return state


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda state: state.pop("count"), "has no count; it is damaged"),
        (lambda state: state.update(count="437"), "was cut short or edited"),
        (lambda state: state.update(count=438), "was cut short or edited"),
        (
            lambda state: state.update(plan=state["plan"].replace('"end":0.1', '"end":0.5')),
            "was cut short or edited",
        ),
        (lambda state: state.update(version=3), "this warmdown reads version 1 and 2"),
        (lambda state: state.update(step=3), r"step=…\): no such entry"),
        (lambda state: state.pop("bases"), "was cut short or edited"),
    ],
)
def test_a_damaged_state_is_refused_and_nothing_has_changed(damage: Any, words: str) -> None:
    _, state = saved_at(437)
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    scheduler.seek(12)
    before = copy.deepcopy(optimizer.param_groups), scheduler.state_dict()
    with pytest.raises(wd.StateError, match=words):
        scheduler.load_state_dict(damaged(state, damage))
    assert str((optimizer.param_groups, scheduler.state_dict())) == str(before)


def edited(state: dict[str, Any], **entries: Any) -> dict[str, Any]:
    """Return a state with other entries that adds up all the same."""
    body = {key: value for key, value in {**state, **entries}.items() if key != "check"}
    return {**body, "check": checksum(body)}


TOKENS = wd.Run(clock="tokens", budget="1000tok", tokens_per_step=10)


@pytest.mark.parametrize(
    ("run", "entries", "words"),
    [
        (RUN, {"clock": 437.0}, r"clock=437\.0\): the plan counts updates"),
        (TOKENS, {"clock": -3.0}, r"clock=-3\.0\): a number from 0 on"),
        (TOKENS, {"owed": -1.0}, r"owed=-1\.0\): a number from 0 on"),
        (TOKENS, {"clock": float("nan")}, r"clock=nan\): a finite number"),
        (RUN, {"count": 200}, r"\(lr/\*\): no value: float division by zero"),
        (
            RUN,
            {"events": '[{"event":"rescale","at":9,"factor":2,"target":"momentum"}]'},
            r"momentum.*nothing drives it",
        ),
        (RUN, {"count": 300}, r"\(lr/\*\): it has no finite value at 300"),
    ],
)
def test_a_state_of_no_place_or_of_no_value_is_refused_though_it_adds_up(
    run: wd.Run, entries: dict[str, Any], words: str
) -> None:
    def rate(step: float) -> float:
        return float("inf") if step == 300 else 1.0 / (200.0 - step)

    def made() -> wd.Scheduler:
        return wd.Scheduler(sgd(), lr=wd.Function(call=rate), run=run)

    trunk, scheduler = made(), made()
    trunk.seek(50)
    state = trunk.state_dict()
    scheduler.load_state_dict(edited(state))
    with pytest.raises(wd.StateError, match=words):
        scheduler.load_state_dict(edited(state, **entries))
    assert scheduler.get_last_lr() == [1.0 / 150.0]


@pytest.mark.parametrize("has_names", [True, False])
def test_what_metrics_of_another_plan_were_is_refused(has_names: bool) -> None:
    (row,) = json.loads(fallen().state_dict()["seen"])
    seen = json.dumps([row] if has_names else row[3:])
    with pytest.raises(wd.StateError, match=r"seen=…\): not the metrics' histories of this plan"):
        resumed(PLAN, 437, None, edited(saved_at(437)[1], seen=seen))


def test_a_saved_plan_that_cannot_be_bound_leaves_every_tensor_driven() -> None:
    both = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    targets: Any = {"lr": {"0": wd.Linear(), "1": wd.Cosine()}, "betas[0]": wd.Linear()}
    parts = [{"params": [one]} for one in both]
    trunk = wd.Scheduler(torch.optim.Adam(parts), **targets, run=RUN)
    trunk.seek(500)
    shared = torch.tensor(0.5, dtype=torch.float64)  # parted for two curves
    optimizer = torch.optim.SGD([{"params": [one]} for one in both], lr=shared)
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(), run=RUN)
    with pytest.raises(wd.StateError, match=r"group 0 of SGD has no 'betas'.*use 'given'"):
        scheduler.load_state_dict(trunk.state_dict(), "saved")
    scheduler.step()
    assert each_rate(optimizer) == [0.4995, 0.4995]


def test_how_much_the_updates_of_a_state_used_is_asked_for_where_it_is_not_known() -> None:
    tokens = wd.Plan.of(lr=wd.Linear(), run=wd.Run(clock="tokens", budget="1000tok"))
    with pytest.raises(wd.StateError, match=r"the 437 updates used.*Run\(tokens_per_step=…\)"):
        resumed(tokens, 437, "given")


@pytest.mark.parametrize("foreign", [[], "state", {"last_epoch": 3, "base_lrs": [0.1]}, {}])
def test_what_is_no_state_is_refused(foreign: Any) -> None:
    with pytest.raises(wd.StateError, match=r"Scheduler\.load_state_dict"):
        wd.Scheduler(sgd(), lr=wd.Cosine(steps=10)).load_state_dict(foreign)


def test_a_state_of_torchs_own_scheduler_is_refused_with_the_way_to_go() -> None:
    torchs = torch.optim.lr_scheduler.StepLR(sgd(), 10).state_dict()
    with pytest.raises(wd.StateError, match=r"seek\(state\['last_epoch'\]\)"):
        wd.Scheduler(sgd(), lr=wd.Cosine(steps=10)).load_state_dict(torchs)


LONGER = wd.Plan.of(
    lr=wd.warmup_cosine(warmup="5%", end=0.1),
    weight_decay=wd.Set(wd.Linear(start=0.04, end=0.4)),
    run=wd.Run(total_steps=2000),
)


def resumed(plan: wd.Plan, update: int, on_change: Any, state: Any = None) -> wd.Scheduler:
    scheduler = wd.Scheduler(fresh(), plan)
    scheduler.load_state_dict(state or saved_at(update)[1], on_change)
    return scheduler


def test_another_plan_is_refused_with_the_difference_and_the_ways_on() -> None:
    with pytest.raises(wd.StateError) as refusal:
        resumed(LONGER, 1000, None)
    assert "run.total_steps: 1000 (saved), 2000 (given)" in str(refusal.value)
    ways = [line.strip().partition(":") for line in str(refusal.value).splitlines()[-6:]]
    policies = ("saved", "given", "stretch", "continue", "rewarm", "fit")
    assert [name for name, _, _ in ways] == [repr(policy) for policy in policies]
    assert all(len(meaning.split()) > 5 for _, _, meaning in ways)
    assert "lr" not in str(refusal.value).split("\n")[1]


def test_the_saved_plan_can_win_and_holds_its_last_value() -> None:
    scheduler = resumed(LONGER, 1000, "saved")
    assert scheduler.plan.run.total_steps == 1000
    assert [scheduler.value(step) for step in (1000, 1500, 2000)] == pytest.approx([0.01] * 3)


def test_the_given_plan_can_win_from_here_on() -> None:
    scheduler = resumed(LONGER, 1000, "given")
    whole = wd.Scheduler(fresh(), LONGER)
    assert [scheduler.value(step) for step in range(1000, 2000)] == [
        whole.value(step) for step in range(1000, 2000)
    ]
    assert scheduler.value(437) == wd.Scheduler(fresh(), PLAN).value(
        437
    )  # what was used is not rewritten


def test_the_saved_curve_can_be_stretched_over_the_given_run() -> None:
    scheduler = resumed(LONGER, 1000, "stretch")
    short = wd.Scheduler(fresh(), PLAN)
    assert scheduler.value(1500) == pytest.approx(short.value(750))
    assert scheduler.value(2000) == pytest.approx(short.value(1000))


def test_what_is_left_of_the_saved_curve_can_be_given_what_is_left_of_the_run() -> None:
    scheduler, short = resumed(LONGER, 400, "fit"), wd.Scheduler(fresh(), PLAN)
    assert scheduler.value(399) == short.value(399)
    for step in (400, 700, 1000):  # 600 updates are given 1600
        moved = 400 + (step - 400) * 1600 // 600
        assert scheduler.value(moved) == pytest.approx(short.value(step), rel=2e-3)
    ended = resumed(LONGER, 1000, "given")
    with pytest.raises(wd.StateError, match="with some of it left"):
        resumed(PLAN, 1000, "fit", ended.state_dict())


@pytest.mark.filterwarnings("error")
def test_a_decay_under_way_is_fitted_too_and_the_run_ends_with_it() -> None:
    first = resumed(PLAN, 400, None)
    first.decay_now(100)
    first.seek(450)
    scheduler = resumed(LONGER, 400, "fit", first.state_dict())
    stop = 450 + round(50 * 1550 / 550)
    assert scheduler.value(450) == first.value(450)
    assert scheduler.value(stop - 1) > scheduler.value(stop) == 0.0
    scheduler.seek(stop)
    scheduler.finish()  # and says nothing: the run is over


@pytest.mark.parametrize("group", [0, 1])
def test_the_given_curve_can_continue_from_the_value_reached(group: int) -> None:
    scheduler = resumed(LONGER, 700, "continue")
    values = [scheduler.value(step, group=group) for step in range(690, 2001)]
    assert values[10] == pytest.approx(values[9], rel=1e-2)  # no jump at the seam, in no group
    assert max(np.abs(np.diff(values))) < 2e-3 * scheduler.base_lrs[group]
    assert values[10] > values[-1] == pytest.approx(0.1 * scheduler.base_lrs[group])


def test_a_run_that_ended_at_zero_continues_by_the_new_plans_warmup() -> None:
    short, long = (
        wd.Plan.of(lr=wd.warmup_cosine(), run=wd.Run(total_steps=total)) for total in (1000, 2000)
    )
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, short)
    scheduler.seek(1000)
    again = wd.Scheduler(sgd(), long)
    again.load_state_dict(scheduler.state_dict(), "continue")
    assert [again.value(1000), again.value(1050), again.value(2000)] == pytest.approx(
        [0.0, 1.0, 0.0]
    )


def test_the_given_plan_can_warm_up_again_from_the_value_reached() -> None:
    scheduler = resumed(LONGER, 1000, "rewarm")
    values = [scheduler.value(step) for step in range(1000, 2001)]
    assert values[0] == pytest.approx(0.01)
    assert max(values) == pytest.approx(0.1)
    assert np.argmax(values) == 50
    assert values[-1] == pytest.approx(0.01)


def test_constant_to_cosine_at_ninety_percent_starts_at_full_height() -> None:
    constant, cosine = (wd.Plan.of(lr=one, run=RUN) for one in (wd.Constant(), wd.Cosine()))
    trunk = wd.Scheduler(sgd(0.5), constant)
    trunk.seek(900)
    scheduler = wd.Scheduler(sgd(0.5), cosine)
    scheduler.load_state_dict(trunk.state_dict(), "continue")
    half_wave = wd.Cosine(steps=100)
    assert scheduler.get_last_lr() == [0.5]
    assert [scheduler.value(900 + step) for step in range(101)] == pytest.approx(
        0.5 * half_wave(np.arange(101))
    )


def joined(old: Any, new: Any, at: int, how: Any, *totals: int | None) -> wd.Scheduler:
    """Return a scheduler that goes on at an update by a new plan, for runs of two lengths."""
    before, after = (None if total is None else wd.Run(total_steps=total) for total in totals)
    trunk = wd.Scheduler(sgd(), lr=old, run=before)
    trunk.seek(at)
    scheduler = wd.Scheduler(sgd(), lr=new, run=after)
    scheduler.load_state_dict(trunk.state_dict(), how)
    return scheduler


WARMED = wd.Linear(start=0.0, end=1.0, steps=4) >> wd.Linear(start=1.0, end=0.0, steps=16)
DOWN = wd.Linear(start=1.0, end=0.0)
FALLS = wd.Plateau(metric="loss", factor=0.5, patience=0)


@pytest.mark.parametrize(
    ("old", "new", "at", "how", "totals", "values"),
    [
        # lengths in numbers, made for a whole run, take what is left of it
        (wd.Constant(), WARMED, 10, "continue", (20, 20), {9: 1, 10: 1, 15: 0.5, 20: 0}),
        # nothing is left: the new curve in its own length
        (wd.Linear(start=1.0, end=0.5), DOWN, 20, "continue", (20, 20), {20: 0.5, 30: 0.25}),
        # no run has a length
        (wd.Constant(2.0), wd.Linear(steps=20).scale(0.5), 10, "continue", (None, None),
         {10: 2.0, 20: 1.0}),
        # an offset of what never ends stays
        (wd.Scale(wd.Constant(), offset=wd.Constant(0.25)),
         wd.InverseSqrt(start=1.0, timescale=4), 4, "continue", (None, None),
         {4: 1.25, 16: 0.75}),
        # what is left of a trunk, and its cooldown, take twice the time
        (wd.Constant().graft(wd.Linear(start=1.0, end=0.0, steps=10), at=20), DOWN, 10, "fit",
         (30, 50), {10: 1, 30: 1, 40: 0.5, 50: 0}),
        (FALLS.graft(wd.Linear(start=1.0, end=0.0, steps=10), at=20), DOWN, 10, "fit",
         (30, 50), {10: 1, 30: 1, 40: 0.5, 50: 0}),
    ],
)  # fmt: skip
def test_two_plans_meet_as_their_policy_says(
    old: Any, new: Any, at: int, how: str, totals: tuple[int | None, ...], values: dict[int, float]
) -> None:
    scheduler = joined(old, new, at, how, *totals)
    assert {step: scheduler.value(step) for step in values} == pytest.approx(values)


@pytest.mark.parametrize(
    ("old", "new", "at", "how", "totals", "words"),
    [
        (DOWN, wd.Set(DOWN), 5, "continue", (10, 20), r"lr/\* scales in one plan and is set in"),
        (DOWN, wd.Set(DOWN), 5, "rewarm", (10, 20), "'rewarm'.*scales in one plan and is set in"),
        (wd.Linear(steps=9), wd.InverseSqrt(start=1.0, timescale=4), 5, "stretch", (None, None),
         r"both plans need a length\. Give Run\(total_steps=…\)"),
        (DOWN, wd.Linear(start=1.0, end=0.1), 10, "continue", (10, 20),
         "lr has reached 0, the new curve starts at 1; no factor but 0 joins them"),
        (DOWN, wd.Constant(0.0), 5, "continue", (10, 20), "lr has reached 0.5.*starts at 0"),
        (FALLS.take(30), DOWN, 10, "fit", (30, 50), "has no length of its own, and a part of it"),
    ],
)  # fmt: skip
def test_two_plans_that_no_policy_joins_are_refused(
    old: Any, new: Any, at: int, how: str, totals: tuple[int | None, ...], words: str
) -> None:
    with pytest.raises(wd.StateError, match=words):
        joined(old, new, at, how, *totals)


def test_a_joint_is_kept_when_the_run_is_saved_and_resumed_again() -> None:
    steps = [*range(0, 590, 10), *range(590, 710), *range(710, 2000, 10)]
    for policy in ("given", "stretch", "continue", "rewarm", "fit"):
        first = resumed(LONGER, 600, policy)
        first.seek(700)
        again = resumed(LONGER, 700, None, json.loads(json.dumps(first.state_dict())))
        assert [again.value(step) for step in steps] == [first.value(step) for step in steps]


def test_base_values_survive_every_policy() -> None:
    for policy in ("saved", "given", "stretch", "continue", "rewarm"):
        assert resumed(LONGER, 1000, policy).base_lrs == [0.1, 0.05]


def test_another_base_value_is_another_plan() -> None:
    scheduler = wd.Scheduler(fresh(rate=0.2), PLAN)
    state = saved_at(437)[1]
    with pytest.raises(wd.StateError, match=r"base value of lr/0: 0.1 \(saved\), 0.2 \(given\)"):
        scheduler.load_state_dict(state)
    scheduler.load_state_dict(state, "given")
    assert scheduler.base_lrs == [0.2, 0.1]
    scheduler.load_state_dict(state, "saved")
    assert scheduler.base_lrs == [0.1, 0.05]


def test_a_plan_that_drives_one_more_field_is_refused_or_wins() -> None:
    decay = wd.Cosine(start=1.0, end=0.0)
    one = wd.Scheduler(sgd(0.1, weight_decay=0.01), weight_decay=decay, run=RUN)
    two = wd.Scheduler(sgd(0.1, weight_decay=0.01), lr=decay, weight_decay=decay, run=RUN)
    with pytest.raises(wd.StateError, match=r"lr\.kind: absent \(saved\), cosine \(given\)"):
        two.load_state_dict(one.state_dict())
    two.load_state_dict(one.state_dict(), on_change="given")
    assert two.values() == {"lr/0": 0.1, "weight_decay/0": 0.01}


def test_plans_that_drive_other_fields_join_only_where_one_wins() -> None:
    other = wd.Plan.of(lr=wd.Cosine(), run=RUN)
    for policy in ("stretch", "continue", "rewarm"):
        with pytest.raises(wd.StateError, match=r"only one plan drives weight_decay\."):
            resumed(other, 437, policy)
    assert resumed(other, 437, "given").values().keys() == {"lr/0", "lr/1"}
    saved = resumed(other, 437, "saved")
    assert saved.value(500, "weight_decay") == wd.Scheduler(fresh(), PLAN).value(
        500, "weight_decay"
    )


def test_a_state_without_its_plan_can_only_be_distinguished() -> None:
    trunk = wd.Scheduler(fresh(), PLAN)
    trunk.seek(437)
    state = trunk.state_dict(plan=False)
    with pytest.raises(wd.StateError, match=r"saved without its text"):
        resumed(LONGER, 437, None, state)
    with pytest.raises(wd.StateError, match=r"saved without its plan.*use 'given'"):
        resumed(LONGER, 437, "continue", state)
    assert resumed(LONGER, 437, "given", state).value(437) == wd.Scheduler(fresh(), LONGER).value(
        437
    )


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(wd.StateError, match="use one of error, saved, given"):
        resumed(LONGER, 437, "both")


def test_a_plan_with_a_function_can_be_resumed_but_not_compared() -> None:
    halving = wd.Function(call=lambda step: 0.5**step)
    first = wd.Scheduler(sgd(), lr=halving)
    first.seek(3)
    again = wd.Scheduler(sgd(), lr=halving)
    again.load_state_dict(first.state_dict())
    assert again.get_last_lr() == [0.125]


def eventful(
    optimizer: torch.optim.Optimizer, scheduler: wd.Scheduler, start: int, stop: int
) -> list[list[float]]:
    """Make updates in a run in which much happens."""
    rows = []
    for update in range(start, stop):
        if update == 200:
            scheduler.rescale(0.5)
        if update == 400:
            scheduler.extend(1200)
        if update == 600:
            scheduler.rescale(3.0)
        if update == 800:
            scheduler.decay_now("10%", curve=wd.Sqrt())
        rows += used(optimizer, scheduler, 1)
    return rows


@pytest.mark.parametrize("update", [100, 200, 300, 400, 500, 700, 800, 900])
def test_a_resume_before_between_and_after_events_agrees_with_the_unbroken_run(update: int) -> None:
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    expected = eventful(optimizer, scheduler, 0, 920)
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    eventful(optimizer, scheduler, 0, update)
    state = json.loads(json.dumps(scheduler.state_dict()))
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    scheduler.load_state_dict(state)
    assert eventful(optimizer, scheduler, update, 920) == expected[update:]


FALLING = wd.Cosine(end=0.1) * wd.Plateau(metric="loss", patience=0, factor=0.5)


def fallen(total: int = 40, plan: wd.Schedule = FALLING) -> wd.Scheduler:
    """Return a scheduler at update 10, whose plateau has fallen twice."""
    scheduler = wd.Scheduler(sgd(), lr=plan, run=wd.Run(total_steps=total))
    scheduler.seek(10)
    for _ in range(3):
        scheduler.observe(loss=1.0)
    return scheduler


@pytest.mark.parametrize("plan", [FALLING, wd.Linear(start=0.5, end=1.0, steps="10%") >> FALLING])
@pytest.mark.parametrize("how", ["given", "stretch", "continue", "rewarm"])
@pytest.mark.parametrize("by", ["extend", "load"])
def test_falls_before_plans_were_joined_are_known_on_resume_and_happen_once(
    by: str, how: Any, plan: Any
) -> None:
    scheduler = fallen(40, plan)
    before = scheduler.get_last_lr()
    if by == "extend":
        scheduler.extend(60, on_change=how)
    else:
        state, scheduler = (
            scheduler.state_dict(),
            wd.Scheduler(sgd(), lr=plan, run=wd.Run(total_steps=60)),
        )
        scheduler.load_state_dict(state, on_change=how)
    if how == "continue":
        assert scheduler.get_last_lr() == pytest.approx(before)
        ratios = [scheduler.value(step + 1) / scheduler.value(step) for step in range(10, 59)]
        assert min(ratios) > 0.8  # only the cosine falls
    again = wd.Scheduler(sgd(), lr=plan, run=wd.Run(total_steps=40 if by == "extend" else 60))
    again.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    for each in (scheduler, again):
        each.seek(20)
        each.observe(loss=2.0)
        each.observe(loss=2.0)  # after the joint it falls again
    assert again.value(20) < 0.6 * again.value(19)
    assert [again.value(step) for step in range(70)] == [
        scheduler.value(step) for step in range(70)
    ]


def test_a_plateau_of_another_metric_begins_without_the_memory_of_the_one_before() -> None:
    state = fallen().state_dict()
    other = wd.Scheduler(
        sgd(), lr=wd.Plateau(metric="accuracy", mode="max"), run=wd.Run(total_steps=40)
    )
    other.load_state_dict(state, on_change="given")
    assert other.get_last_lr() == [1.0]


def test_what_a_plateau_multiplies_is_stretched_though_the_whole_has_no_length() -> None:
    scheduler = fallen()
    scheduler.extend(80, on_change="stretch")
    assert scheduler.get_last_lr() == pytest.approx([0.25 * wd.Cosine(end=0.1, steps=80)(10)])
    delayed = fallen(40, FALLING.delay(2))
    with pytest.raises(
        wd.StateError,
        match=r"'stretch': .* has no length.*Use 'given' or "
        r"'continue'",
    ):
        delayed.extend(80, on_change="stretch")


@pytest.mark.parametrize(
    ("how", "end"), [("given", 30), ("stretch", 60), ("continue", 80), ("rewarm", 80)]
)
def test_a_run_that_is_extended_in_its_decay_ends_where_its_curve_does(how: Any, end: int) -> None:
    scheduler = wd.Scheduler(
        sgd(), lr=wd.Cosine(), run=wd.Run(total_steps=40), after_end="raise", count_by="attempts"
    )
    scheduler.seek(20)
    scheduler.decay_now(over=10)
    scheduler.seek(25)
    scheduler.extend(80, on_change=how)
    for _ in range(25, end):
        scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([0.0], abs=1e-9)
    with pytest.raises(wd.ScheduleError, match=f"ended at {end}"):
        scheduler.step()


def test_a_run_that_was_extended_resumes_under_its_new_length_too() -> None:
    scheduler = wd.Scheduler(fresh(), PLAN)
    scheduler.seek(500)
    scheduler.extend(2000)
    again = resumed(LONGER, 500, None, scheduler.state_dict())
    assert [again.value(step) for step in range(2000)] == [
        scheduler.value(step) for step in range(2000)
    ]
    assert again.value(1500) == wd.Scheduler(fresh(), LONGER).value(1500)


def test_a_trunk_branches_into_cooldowns_that_share_it() -> None:
    trunk_optimizer = fresh()
    trunk = wd.Scheduler(trunk_optimizer, lr=wd.wsd(warmup=10, decay="10%"), run=RUN)
    used(trunk_optimizer, trunk, 300)
    state = trunk.state_dict()
    branches = []
    for over in ("5%", "10%", 250):
        branch = wd.Scheduler(fresh(), lr=wd.wsd(warmup=10, decay="10%"), run=RUN)
        branch.load_state_dict(state)
        branch.decay_now(over)
        branches.append(branch)
    for step in range(301):
        assert len({branch.value(step) for branch in (trunk, *branches)}) == 1
    assert [branch.phases[-1].stop for branch in branches] == [350, 400, 550]
    assert [branch.value(stop) for branch, stop in zip(branches, (350, 400, 550), strict=True)] == [
        0.0,
        0.0,
        0.0,
    ]
    assert branches[0].phase == wd.Phase("decay", 300, 350)


def test_a_run_in_which_two_fields_decay_ends_with_the_later_of_them() -> None:
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN, after_end="raise")
    used(optimizer, scheduler, 300)
    scheduler.decay_now(100)
    scheduler.decay_now(50)  # of the same field: it takes the place of the first
    scheduler.decay_now(20, target="weight_decay")
    used(optimizer, scheduler, 50)
    with pytest.raises(wd.ScheduleError, match="the plan ended at 350"):
        used(optimizer, scheduler, 1)


def test_halving_halves_from_here_on_and_leaves_the_past() -> None:
    optimizer = fresh()
    scheduler = wd.Scheduler(optimizer, PLAN)
    used(optimizer, scheduler, 300)
    before, now = scheduler.value(299), scheduler.value(300)
    scheduler.rescale(0.5)
    assert scheduler.get_last_lr()[0] == now / 2
    assert scheduler.value(299) == before
    scheduler.rescale(2.0)
    assert scheduler.get_last_lr()[0] == now


def test_a_decay_lasts_to_the_end_unless_something_else_is_asked_for() -> None:
    scheduler = wd.Scheduler(sgd(), lr=wd.Constant(), run=wd.Run(total_steps=100))
    scheduler.seek(10)
    scheduler.decay_now()
    assert [scheduler.value(step) for step in (10, 55, 100)] == [1.0, 0.5, 0.0]
    assert scheduler.writer.timeline.moved_end == 100
    endless = wd.Scheduler(sgd(), lr=wd.Constant())
    with pytest.raises(wd.ScheduleError, match=r"over='rest'\): that is 0 steps here"):
        endless.decay_now()
    endless.decay_now(20, wd.Linear(start=1.0, end=0.5, steps=40))  # stretched to what is asked
    assert [endless.value(step) for step in (0, 10, 20, 30)] == [1.0, 0.75, 0.5, 0.5]


def test_a_decay_before_the_planned_cooldown_takes_its_place() -> None:
    cooled = wd.Constant().graft(wd.Linear(start=1.0, end=0.0, steps=10), at=50)
    scheduler = wd.Scheduler(sgd(), lr=cooled, run=wd.Run(total_steps=100))
    scheduler.seek(20)
    scheduler.decay_now(10, wd.Linear(start=1.0, end=0.5))
    assert [scheduler.value(step) for step in (20, 25, 30, 55)] == [1.0, 0.75, 0.5, 0.5]


def test_a_run_in_which_a_decay_was_held_ends_so_much_later() -> None:
    scheduler = wd.Scheduler(
        sgd(momentum=0.9), lr=wd.Constant(), momentum=wd.Constant(), run=wd.Run(total_steps=100)
    )
    scheduler.seek(20)
    scheduler.decay_now(40)
    scheduler.seek(30)
    scheduler.hold(10)
    assert [scheduler.value(step) for step in (30, 40, 50, 70)] == [0.75, 0.75, 0.5, 0.0]
    scheduler.seek(45)
    scheduler.hold(7, "momentum")  # not the rate's
    scheduler.decay_now(5, target="momentum")  # an earlier end than that of the rate
    assert scheduler.writer.timeline.moved_end == 70
    scheduler.seek(75)
    scheduler.hold(50)  # after both have ended
    scheduler.decay_now(1, target="momentum")
    assert scheduler.writer.timeline.moved_end == 76


def test_a_run_of_a_budget_is_not_extended() -> None:
    run = wd.Run(budget="1000samples", samples_per_step=10)
    with pytest.raises(wd.RunError, match=r"extend\(500\): the run's length is its budget"):
        wd.Scheduler(sgd(), lr=wd.Cosine(), run=run).extend(500)


def test_an_event_on_what_is_not_driven_is_refused() -> None:
    scheduler = wd.Scheduler(sgd(), lr=wd.Cosine(steps=10))
    with pytest.raises(wd.BindingError, match=r"target='momentum'.*nothing drives it"):
        scheduler.rescale(0.5, target="momentum")
    with pytest.raises(wd.ScheduleError, match=r"rescale\(-1"):
        scheduler.rescale(-1)
    with pytest.raises(wd.ScheduleError, match=r"decay_now\(over=0\)"):
        scheduler.decay_now(0)


def test_what_is_bound_beside_the_optimizer_is_resumed_with_it() -> None:
    net = model()
    net.kl = 1.0  # type: ignore[assignment]
    plan = wd.Plan.of(lr=wd.Cosine(steps=10), kl=wd.Set(wd.Linear(start=0.0, end=1.0, steps=10)))
    scheduler = wd.Scheduler(sgd(), plan, bind={"kl": Attribute(net, "kl")})
    scheduler.seek(4)
    state = scheduler.state_dict()
    scheduler.seek(0)
    assert net.kl == 0.0
    scheduler.load_state_dict(state)
    assert net.kl == 0.4


@pytest.mark.parametrize(
    "twin",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))],
    ids=["copied", "pickled"],
)
@pytest.mark.parametrize("tensors", [False, True])
def test_a_copy_goes_its_own_way(twin: Any, tensors: bool) -> None:
    rate: Any = torch.tensor(0.5) if tensors else 0.5
    optimizer = torch.optim.Adam(model().parameters(), lr=rate)
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=10))
    train(optimizer, scheduler, 3)
    other_optimizer, other = twin((optimizer, scheduler))
    assert other.count == 3
    assert train(other_optimizer, other, 3) == pytest.approx([0.35, 0.3, 0.25])
    assert each_rate(optimizer) == pytest.approx([0.35])
    assert scheduler.count == 3
    assert train(optimizer, scheduler, 1) == pytest.approx([0.35])


@pytest.mark.parametrize(
    "schedule",
    [
        {"class_path": "evil_of_a_state.Class", "init_args": {}},
        {"kind": "external", "class_path": "evil_of_a_state.Class", "init_args": {}},
        {"kind": "evil_of_a_state.Class"},
    ],
)
def test_a_state_imports_nothing(
    schedule: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_of_a_state.py").write_text(
        f"open({str(tmp_path / 'taken')!r}, 'w')\nclass Class: ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    state = {**saved_at(437)[1]}
    plan = {**json.loads(state["plan"]), "lr": schedule}
    state["plan"] = json.dumps(plan)
    policies: Any = POLICIES
    for fingerprint in (state["print"], fingerprint_of_data(plan)):
        state["print"] = fingerprint
        state["check"] = checksum(state)  # an attacker makes it add up
        for policy in policies:
            scheduler = wd.Scheduler(fresh(), PLAN)
            if policy == "given" and fingerprint != PLAN.fingerprint:
                scheduler.load_state_dict(state, on_change=policy)
                assert scheduler.plan == PLAN.over()
            else:
                with pytest.raises(wd.StateError):
                    scheduler.load_state_dict(state, on_change=policy)
    assert not (tmp_path / "taken").exists()


STEADY = wd.Linear(start=0.0, end=1.0, steps=10) >> wd.Constant(value=1.0)


@pytest.mark.parametrize(
    ("plan", "is_taken"),
    [
        (STEADY, True),
        (wd.Cosine(steps=50), True),
        (wd.Milestones(gamma=0.1, at=(30, 60)), True),
        (wd.Cosine(), False),
        (wd.Cosine(end=0.5), False),
        (wd.Linear(start=0.0, end=1.0, steps="10%") >> wd.Constant(value=1.0), False),
        # one stair that only the longer run has elsewhere
        (wd.Milestones(gamma=0.1, at=("99%",)), False),
        (STEADY * wd.Plateau(metric="loss", patience=1), True),
        (wd.Cosine() * wd.Plateau(metric="loss", patience=1), False),
    ],
)
def test_a_longer_run_resumes_without_a_policy_where_no_value_changes(
    plan: wd.Schedule, is_taken: bool
) -> None:
    def run_of(epochs: int) -> wd.Scheduler:
        run = wd.Run(epochs=epochs, steps_per_epoch=10)
        return wd.Scheduler(sgd(0.1), lr=plan, run=run)

    shorter, longer = run_of(10), run_of(20)
    shorter.seek(40)
    state = shorter.state_dict()
    if not is_taken:
        with pytest.raises(wd.StateError):
            longer.load_state_dict(state)
        return
    longer.load_state_dict(state)
    assert (longer.count, longer.plan.run.epochs) == (40, 20)
    assert longer.values() == shorter.values()
    # what is saved is of the longer run, which goes on with what it has seen
    run_of(20).load_state_dict(longer.state_dict())
    steps = range(40, 100)
    assert [longer.value(step) for step in steps] == [shorter.value(step) for step in steps]


def test_a_longer_run_asks_where_an_event_has_changed_what_is_planned() -> None:
    shorter = wd.Scheduler(sgd(0.1), lr=STEADY, run=wd.Run(total_steps=100))
    shorter.seek(40)
    shorter.rescale(0.5)
    longer = wd.Scheduler(sgd(0.1), lr=STEADY, run=wd.Run(total_steps=200))
    with pytest.raises(wd.StateError, match=r"100 \(saved\), 200 \(given\)"):
        longer.load_state_dict(shorter.state_dict())


@pytest.mark.parametrize(
    "given",
    [
        wd.Cosine(end=0.1),
        wd.Linear(start=1.0, end=0.3),
        wd.warmup_cosine(end=0.2),
        wd.wsd(end=0.05),
        wd.Linear(start=0.0, end=1.0),
        wd.Constant(0.7),
    ],
    ids=str,
)
def test_continuing_begins_at_the_value_held_and_ends_at_the_given_plan_s_own_end(
    given: wd.Schedule,
) -> None:
    run = wd.Run(total_steps=2000)
    decay = wd.Set(wd.Linear(start=0.04, end=0.4))
    scheduler = resumed(wd.Plan.of(lr=given, weight_decay=decay, run=run), 600, "continue")
    held = wd.Scheduler(fresh(), PLAN).value(600)
    last = wd.Scheduler(fresh(), lr=given, run=run).value(2000)
    assert scheduler.value(600) == pytest.approx(held)
    is_flat = given in (wd.Constant(0.7), wd.Linear(start=0.0, end=1.0))  # after their peak
    assert scheduler.value(2000) == pytest.approx(held if is_flat else last)
