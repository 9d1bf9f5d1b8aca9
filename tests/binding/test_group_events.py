"""What happens to one group, or to the groups of one optimizer, leaves the others as they are."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from tests.binding.test_identities import DOWN, RUN, head_and_body, optimizer_of

import warmdown as wd


def halfway(**targets: Any) -> wd.Scheduler:
    scheduler = wd.Scheduler(head_and_body(), **(targets or {"lr": DOWN}), run=RUN)
    scheduler.seek(50)
    return scheduler


@pytest.mark.parametrize("group", ["head", 0, "h*", "0"])
def test_one_group_is_rescaled_by_its_name_its_index_or_a_pattern(group: Any) -> None:
    scheduler = halfway()
    scheduler.rescale(0.5, group=group)
    assert scheduler.values() == pytest.approx({"lr/head": 0.025, "lr/body": 0.1})
    assert scheduler.value(49) == pytest.approx(0.051)
    scheduler.rescale(0.5)
    assert scheduler.values() == pytest.approx({"lr/head": 0.0125, "lr/body": 0.05})


def test_a_rescale_may_last_for_a_while_and_is_replayed_so() -> None:
    scheduler, plain = halfway(), halfway()
    scheduler.rescale(0.5, over=20)
    shares = [scheduler.value(step) / plain.value(step) for step in (49, 50, 69, 70, 90)]
    assert shares == pytest.approx([1.0, 0.5, 0.5, 1.0, 1.0])
    assert scheduler.writer.timeline.end == plain.writer.timeline.end
    again = wd.Scheduler(head_and_body(), lr=DOWN, run=RUN)
    again.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    steps = range(100)
    assert [again.value(at) for at in steps] == [scheduler.value(at) for at in steps]
    scheduler.rescale(0.5, over="10%", group="head")
    assert [scheduler.value(at) / plain.value(at) for at in (59, 60, 70)] == pytest.approx(
        [0.25, 0.5, 1.0]
    )


def test_a_rescale_of_no_length_is_refused_and_one_for_good_is_saved_as_before() -> None:
    scheduler = halfway()
    with pytest.raises(wd.ScheduleError, match=r"rescale\(over=0\): a length of at least 1"):
        scheduler.rescale(0.5, over=0)
    scheduler.rescale(0.5)
    assert "steps" not in scheduler.events[0].to_dict()


def test_the_phase_of_a_constant_rate_that_is_rescaled_for_a_while_is_named_so() -> None:
    scheduler = halfway(lr=wd.Constant())
    scheduler.rescale(0.5, over=20)
    names = [(phase.name, phase.start, phase.stop) for phase in scheduler.phases]
    assert ("rescaled", 50, 70) in names


def test_one_group_decays_and_the_run_ends_with_it() -> None:
    scheduler = halfway()
    scheduler.decay_now(10, group="body")
    assert scheduler.writer.timeline.end == 60
    scheduler.seek(55)
    assert scheduler.values() == pytest.approx({"lr/head": 0.045, "lr/body": 0.05})
    scheduler.decay_now(20)
    assert scheduler.writer.timeline.end == 75
    scheduler.seek(65)
    assert scheduler.values() == pytest.approx({"lr/head": 0.0225, "lr/body": 0.025})


@pytest.mark.parametrize("by_index", [False, True])
def test_the_groups_of_one_optimizer_are_rescaled(by_index: bool) -> None:
    optimizers = [optimizer_of(0.1), optimizer_of(0.4, 0.8)]
    scheduler = wd.Scheduler(optimizers, lr=DOWN, run=RUN)
    scheduler.rescale(0.5, optimizer=1 if by_index else optimizers[1])
    assert scheduler.values() == pytest.approx({"lr/0": 0.1, "lr/1": 0.2, "lr/2": 0.4})
    scheduler.rescale(0.5, optimizer=1, group=1)
    assert scheduler.values() == pytest.approx({"lr/0": 0.1, "lr/1": 0.2, "lr/2": 0.2})
    optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3})
    state = json.loads(json.dumps(scheduler.state_dict()))
    again = wd.Scheduler([optimizer_of(0.1, 0.3), optimizer_of(0.4, 0.8)], lr=DOWN, run=RUN)
    again.load_state_dict(state)
    assert again.values() == scheduler.values()
    assert again.values() == pytest.approx({"lr/0": 0.1, "lr/1": 0.3, "lr/2": 0.2, "lr/3": 0.2})


@pytest.mark.parametrize("policy", [None, "saved", "stretch", "fit", "continue", "rewarm", "given"])
@pytest.mark.parametrize("form", [True, False])
def test_what_happened_to_one_group_is_resumed_and_joined(policy: Any, form: bool) -> None:
    if not form and policy not in (None, "given"):
        return
    falling = DOWN * wd.Plateau(metric="loss", patience=0, factor=0.5)
    trunk = halfway(lr={"head": DOWN, "*": falling})
    trunk.rescale(0.5, group="body")
    trunk.observe(loss=1.0)
    trunk.observe(loss=1.0)
    trunk.decay_now(40, group="head")
    run = RUN if policy in (None, "saved") else wd.Run(total_steps=200)
    other = wd.Scheduler(head_and_body(), lr={"head": DOWN, "*": falling}, run=run)
    other.load_state_dict(json.loads(json.dumps(trunk.state_dict(plan=form))), policy)
    if policy in (None, "saved"):
        for group in ("head", "body"):
            values = [
                [one.value(step, group=group) for step in range(90)] for one in (trunk, other)
            ]
            assert values[0] == values[1]
    elif policy in ("fit", "continue"):
        assert other.values() == pytest.approx(trunk.values())
    elif policy == "given":
        assert other.value(50) == pytest.approx(0.075)
    elif policy == "stretch":
        assert other.value(140) == pytest.approx(trunk.value(70))
    if form:
        assert other.value(49, group="body") == pytest.approx(trunk.value(49, group="body"))
    other.observe(loss=2.0)
    other.seek(60)
    twin = copy.deepcopy((other.optimizer, other))[1]
    assert twin.values() == other.values()


def test_an_extended_run_keeps_what_happened_to_one_group() -> None:
    scheduler = halfway()
    scheduler.rescale(0.5, group="body")
    scheduler.extend(200)
    assert scheduler.values() == pytest.approx({"lr/head": 0.075, "lr/body": 0.075})


def test_a_hold_of_one_group_is_one_of_its_rate() -> None:
    scheduler = halfway(lr=DOWN, momentum=wd.Set(wd.Linear(start=0.0, end=0.5)))
    scheduler.hold(10, group="body")
    assert [scheduler.value(60, group=group) for group in ("head", "body")] == pytest.approx(
        [0.04, 0.1]
    )
    assert [scheduler.value(60, "momentum", group) for group in (0, 1)] == pytest.approx([0.3] * 2)


def test_groups_that_share_a_tensor_part_when_something_happens_to_one() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "name": name} for name in "ab"]
    optimizer = torch.optim.Adam(groups, lr=torch.tensor(0.5, dtype=torch.float64))
    scheduler = wd.Scheduler(optimizer, lr=DOWN, run=RUN)
    scheduler.rescale(0.5, group="b")
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.5, 0.25]


def test_a_group_that_is_not_there_is_refused() -> None:
    scheduler = halfway()
    for group in ("haed", 7, -1):
        with pytest.raises(wd.BindingError, match=r"no such group.*"):
            scheduler.rescale(0.5, group=group)
    with pytest.raises(wd.BindingError, match="no such group"):
        scheduler.decay_now(10, optimizer=head_and_body())
    assert scheduler.events == ()


def test_one_of_several_objects_of_one_name_is_rescaled() -> None:
    drops = [torch.nn.Dropout(0.0) for _ in range(2)]
    bind = {"drop": [wd.Attribute(drop, "p") for drop in drops]}
    scheduler = wd.Scheduler(
        optimizer_of(0.1), lr=DOWN, drop=wd.Set(wd.Constant(value=0.4)), bind=bind, run=RUN
    )
    scheduler.rescale(0.5, "drop", group=1)
    assert [drop.p for drop in drops] == [0.4, 0.2]
    scheduler.rescale(0.5, "drop")
    assert [drop.p for drop in drops] == [0.2, 0.1]
