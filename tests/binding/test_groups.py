"""Groups come and go, have names and schedules of their own; one clock drives them all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.binding.loops import backward, each_rate, model, sgd, train

import warmdown as wd
from warmdown.binding import Attribute, layerwise_decay

LINE = wd.Linear(start=1.0, end=0.0, steps=1000)


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(2))


def named(**rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [{"params": [parameter()], "lr": rate, "name": name} for name, rate in rates.items()]
    )


@pytest.mark.parametrize("tensors", [False, True])
def test_a_group_added_at_update_500_joins_with_its_own_base(tensors: bool) -> None:
    start: Any = torch.tensor(0.5) if tensors else 0.5
    optimizer = torch.optim.Adam([{"params": [parameter()]}], lr=start)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 500)
    optimizer.add_param_group(
        {"params": [parameter()], "lr": torch.tensor(0.1) if tensors else 0.1}
    )
    optimizer.add_param_group(
        {"params": [parameter()]}
    )  # with the optimizer's default rate, the tensor itself
    backward(optimizer)
    optimizer.step()  # the very next update uses what the plan says
    assert each_rate(optimizer) == pytest.approx([0.25, 0.05, 0.25])
    scheduler.step()
    assert each_rate(optimizer) == pytest.approx([0.2495, 0.0499, 0.2495])
    assert scheduler.base_lrs == pytest.approx([0.5, 0.1, 0.5])


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("first", ["optimizer", "scheduler", "scheduler alone"])
def test_a_run_that_grew_resumes_where_the_group_is_added_after_the_scheduler_was_made(
    first: str, tensors: bool
) -> None:
    def grown(unbroken: bool) -> tuple[torch.optim.Optimizer, wd.Scheduler]:
        optimizer = torch.optim.Adam([parameter()], lr=torch.tensor(0.5) if tensors else 0.5)
        scheduler = wd.Scheduler(optimizer, lr=LINE)
        train(optimizer, scheduler, 300 if unbroken else 0)
        optimizer.add_param_group(
            {"params": [parameter()], "lr": torch.tensor(0.1) if tensors else 0.1}
        )
        train(optimizer, scheduler, 200 if unbroken else 0)
        return optimizer, scheduler

    (optimizer, scheduler), (other, resumed) = grown(True), grown(False)
    both: list[Any] = [(other, optimizer), (resumed, scheduler)]
    for one, saved in {"optimizer": both, "scheduler": both[::-1], "scheduler alone": both[1:]}[
        first
    ]:
        one.load_state_dict(saved.state_dict())
    assert each_rate(other) == each_rate(optimizer) == pytest.approx([0.25, 0.05])
    train(optimizer, scheduler, 10)
    train(other, resumed, 10)
    assert each_rate(other) == each_rate(optimizer)
    assert resumed.base_lrs == scheduler.base_lrs == pytest.approx([0.5, 0.1])


def test_a_group_may_go_just_before_its_optimizer_is_loaded() -> None:
    optimizer = named(stem=0.1, body=0.2, head=0.4)
    scheduler = wd.Scheduler(optimizer, lr={"stem": wd.Constant(), "body": LINE, "head": LINE})
    train(optimizer, scheduler, 500)
    del optimizer.param_groups[0]
    optimizer.load_state_dict(optimizer.state_dict())
    train(optimizer, scheduler, 1)
    assert each_rate(optimizer) == pytest.approx([0.2 * 0.499, 0.4 * 0.499])


def test_base_values_found_before_a_group_was_added_explain_a_state_that_comes_after() -> None:
    optimizer = named(body=0.2)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 500)
    saved, decayed = scheduler.state_dict(), named(body=0.2)
    decayed.load_state_dict(optimizer.state_dict())  # before its scheduler is made
    resumed = wd.Scheduler(decayed, lr=LINE)
    decayed.add_param_group({"params": [parameter()], "lr": 0.4, "name": "head"})
    resumed.load_state_dict(saved)
    assert each_rate(decayed) == pytest.approx([0.1, 0.2])


def test_a_removed_group_is_let_go_and_the_others_keep_their_own() -> None:
    optimizer = named(stem=0.1, body=0.2, head=0.4)
    scheduler = wd.Scheduler(optimizer, lr={"stem": wd.Constant(), "body": LINE, "head": LINE})
    train(optimizer, scheduler, 100)
    del optimizer.param_groups[0]
    train(optimizer, scheduler, 400)
    assert each_rate(optimizer) == pytest.approx([0.1, 0.2])
    assert scheduler.values().keys() == {"lr/body", "lr/head"}


def test_groups_by_index_keep_what_they_follow_when_one_before_them_goes() -> None:
    optimizer = sgd(1.0, 1.0)
    scheduler = wd.Scheduler(optimizer, lr={0: wd.Constant(), 1: LINE})
    del optimizer.param_groups[0]
    train(optimizer, scheduler, 500)
    assert each_rate(optimizer) == [0.5]


def test_an_emptied_group_is_no_error() -> None:
    optimizer = sgd(1.0, 0.5)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    optimizer.param_groups[1]["params"].clear()
    train(optimizer, scheduler, 500)
    assert each_rate(optimizer) == [0.5, 0.25]


def test_the_last_group_may_go_too() -> None:
    optimizer = sgd(1.0)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 3)
    optimizer.param_groups.clear()
    train_empty = [optimizer.step() for _ in range(3)]
    assert train_empty == [None] * 3
    scheduler.step()
    assert scheduler.values() == {}


def test_groups_follow_schedules_of_their_own_by_name_index_or_pattern() -> None:
    optimizer = named(**{"stem": 1.0, "blocks.0": 1.0, "blocks.1": 1.0, "head": 1.0})
    scheduler = wd.Scheduler(
        optimizer, lr={"head": LINE, 0: wd.Constant(value=0.1), "blocks.*": wd.Constant(value=0.5)}
    )
    train(optimizer, scheduler, 500)
    assert each_rate(optimizer) == [0.1, 0.5, 0.5, 0.5]
    assert scheduler.value(250, group="head") == 0.75
    assert scheduler.value(250, group="blocks.1") == 0.5
    assert scheduler.value(250, group=3) == 0.75


def test_a_group_that_no_target_names_is_left_alone() -> None:
    optimizer = named(stem=1.0, head=1.0)
    scheduler = wd.Scheduler(optimizer, lr={"head": LINE})
    train(optimizer, scheduler, 500)
    assert each_rate(optimizer) == [1.0, 0.5]


def test_a_group_name_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(wd.BindingError, match=r"lr=\{'haed': …\}.*Did you mean 'head'\?"):
        wd.Scheduler(named(stem=1.0, head=1.0), lr={"haed": LINE})
    scheduler = wd.Scheduler(named(stem=1.0), lr=LINE)
    with pytest.raises(
        wd.BindingError,
        match=r"'lr/haed'.*no such number is driven. Did you mean "
        r"'lr/head'|Known: lr/stem",
    ):
        scheduler.value(0, group="haed")


def test_layerwise_decay_builds_named_groups_whose_ratios_a_schedule_keeps() -> None:
    net: Any = torch.nn.Module()
    net.embed = torch.nn.Embedding(3, 2)
    net.blocks = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    net.classifier = torch.nn.Linear(2, 1)
    groups = layerwise_decay(net, lr=1.0, decay=0.5)
    assert [group["name"] for group in groups] == [
        "stem",
        "blocks.0",
        "blocks.1",
        "blocks.2",
        "head",
    ]
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    optimizer = torch.optim.SGD(groups)
    scheduler = wd.Scheduler(optimizer, lr={"head": wd.Constant(), "*": LINE})
    train(optimizer, scheduler, 500)
    assert each_rate(optimizer) == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 1.0]


def test_layerwise_decay_spares_vectors_the_weight_decay_and_frozen_layers_the_rest() -> None:
    net = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
    net[0].requires_grad_(False)
    groups = layerwise_decay(net, lr=1.0, layers=["0", "1", "2"], weight_decay=0.1)
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in groups] == [
        ("1", 0.75, 0.1), ("1.vectors", 0.75, 0.0), ("2", 1.0, 0.1), ("2.vectors", 1.0, 0.0),
    ]  # fmt: skip


def test_layerwise_decay_shows_how_to_name_layers_that_have_no_number() -> None:
    with pytest.raises(wd.BindingError, match=r"no numbered layers.*layers=\["):
        layerwise_decay(model(), lr=1.0)
    with pytest.raises(wd.BindingError, match=r"decay=1.5"):
        layerwise_decay(model(), lr=1.0, decay=1.5)


def test_two_optimizers_a_frozen_backbone_and_plain_numbers_have_one_scheduler_and_state() -> None:
    def build() -> tuple[Any, Any, Any, list[int], wd.Scheduler]:
        net: Any = torch.nn.Sequential(
            torch.nn.Linear(2, 2), torch.nn.Dropout(0.5), torch.nn.Linear(2, 1)
        )
        net[0].requires_grad_(False)
        net.kl_weight = 0.0
        matrices = torch.optim.SGD([net[2].weight], lr=0.02, momentum=0.9)  # where Muon would stand
        bare: dict[str, Any] = {"params": [net[2].bias]}
        frozen: dict[str, Any] = {"params": [net[0].weight], "name": "backbone"}
        vectors = torch.optim.AdamW([bare, frozen], lr=1e-3)
        sizes: list[int] = []
        half = wd.Linear(start=0.0, end=1.0, steps=10)
        scheduler = wd.Scheduler(
            [matrices, vectors],
            lr=wd.Linear(start=1.0, end=0.0, steps=20),
            momentum=wd.Set(wd.Linear(start=0.95, end=0.85, steps=20)),
            weight_decay=wd.Set(wd.Linear(start=0.04, end=0.4, steps=20)),
            kl=wd.Set(half),
            dropout=wd.Linear(start=1.0, end=0.0, steps=20),
            batch=wd.Set(wd.PiecewiseConstant(values=(8.0, 16.0, 32.0), at=(5, 10))),
            bind={
                "kl": Attribute(net, "kl_weight"),
                "dropout": Attribute(net[1], "p"),
                "batch": lambda value: sizes.append(round(value)),
            },
        )
        return net, matrices, vectors, sizes, scheduler

    net, matrices, vectors, sizes, scheduler = build()
    for _ in range(10):
        net(torch.ones(3, 2)).square().mean().backward()
        matrices.step()
        vectors.step()
        scheduler.step()
        matrices.zero_grad()
        vectors.zero_grad()
    assert (each_rate(matrices), each_rate(vectors)) == ([0.01], [5e-4, 5e-4])
    assert (
        matrices.param_groups[0]["momentum"]
        == vectors.param_groups[0]["betas"][0]
        == pytest.approx(0.9)
    )
    assert vectors.param_groups[0]["weight_decay"] == pytest.approx(0.22)
    assert (net.kl_weight, net[1].p, sizes[0], sizes[-1]) == (1.0, 0.25, 8, 32)
    assert len(sizes) == 3  # told of a change, not of every update
    net2, matrices2, vectors2, sizes2, again = build()
    again.load_state_dict(scheduler.state_dict())
    assert (each_rate(matrices2), each_rate(vectors2)) == ([0.01], [5e-4, 5e-4])
    assert (net2.kl_weight, net2[1].p, sizes2[-1]) == (1.0, 0.25, 32)


def test_an_optimizer_without_the_field_is_passed_over_beside_one_that_has_it() -> None:
    plain, adam = sgd(), torch.optim.Adam([parameter()])
    second_beta: dict[str, Any] = {"betas[1]": wd.Set(wd.Constant(value=0.95))}
    scheduler = wd.Scheduler([plain, adam], **second_beta)
    assert scheduler.values() == {"betas[1]/1": 0.95}
    with pytest.raises(wd.BindingError, match=r"group 0 of SGD has no 'betas'"):
        wd.Scheduler(plain, **second_beta)
    with pytest.raises(
        wd.BindingError,
        match=r"Scheduler\(kl=…\): no optimizer has it. A plain "
        r"object is bound",
    ):
        wd.Scheduler([plain, adam], kl=LINE)


def test_one_cycle_moves_the_rate_and_the_momentum_against_it() -> None:
    optimizer = torch.optim.AdamW([parameter()], lr=0.1)
    targets: dict[str, Any] = wd.one_cycle()
    scheduler = wd.Scheduler(optimizer, **targets, run=wd.Run(total_steps=100))
    rates, betas = [], []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        betas.append(optimizer.param_groups[0]["betas"][0])
        train(optimizer, scheduler, 1)
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == betas.index(min(betas))
    assert optimizer.param_groups[0]["betas"][1] == 0.999


@pytest.mark.parametrize("flat", [None, "lr", "momentum"], ids=["both move", "rate", "beta"])
def test_a_second_beta_that_is_set_by_hand_stays_while_the_first_one_moves(flat: Any) -> None:
    """The first beta's tuples are made ahead, for groups that share one; these do so no more."""
    groups = [{"params": [parameter()]} for _ in range(3)]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    targets: dict[str, Any] = {
        name: wd.Set(wd.Constant(value=0.5) if name == flat else wd.Linear(start=0.9, end=0.5))
        for name in ("momentum", "lr")
    }
    scheduler = wd.Scheduler(optimizer, **targets, total_steps=200, strict=True)
    train(optimizer, scheduler, 70)
    for index, second in ((1, 0.99), (2, 0.95)):
        group = optimizer.param_groups[index]
        group["betas"] = (group["betas"][0], second)
        train(optimizer, scheduler, 3)
    values = scheduler.values()
    for index, second in enumerate((0.999, 0.99, 0.95)):
        group = optimizer.param_groups[index]
        assert group["betas"] == (values[f"momentum/{index}"], second)
        assert group["lr"] == values[f"lr/{index}"]
    assert values["momentum/0"] == (0.5 if flat == "momentum" else pytest.approx(0.748))


@pytest.mark.parametrize("edited", [[0], [1], [0, 1]], ids=["first", "second", "both"])
def test_a_second_beta_set_by_hand_stays_where_the_rate_moves_seldom(edited: list[int]) -> None:
    groups = [{"params": [parameter()]} for _ in range(2)]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    momentum = wd.Set(wd.Linear(start=0.9, end=0.5))
    lr = wd.Staircase(gamma=0.5, every=5)
    scheduler = wd.Scheduler(optimizer, lr=lr, momentum=momentum, total_steps=200)
    train(optimizer, scheduler, 70)
    for index in edited:
        group = optimizer.param_groups[index]
        group["betas"] = (group["betas"][0], 0.95)
    train(optimizer, scheduler, 12)
    for index, group in enumerate(optimizer.param_groups):
        assert group["betas"][1] == (0.95 if index in edited else 0.999)
        assert group["betas"][0] == scheduler.values()[f"momentum/{index}"]


def test_both_betas_may_move_at_once() -> None:
    optimizer = torch.optim.AdamW([parameter()], lr=0.1)
    first, second = wd.Linear(start=0.9, end=0.5), wd.Linear(start=0.99, end=0.9)
    targets: dict[str, Any] = {"betas[0]": wd.Set(first), "betas[1]": wd.Set(second)}
    scheduler = wd.Scheduler(optimizer, **targets, total_steps=100)
    train(optimizer, scheduler, 50)
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.7, 0.945))


class OwnFactor(torch.optim.SGD):
    """Multiplies what is driven by a number of its own, as those that estimate their rate do."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["d"] = group.get("d", 0.125) * 2
            driven, group["lr"] = group["lr"], group["lr"] * group["d"]
        result = super().step(closure)
        for group in self.param_groups:
            group["lr"] = driven
        return result


def test_an_optimizers_own_factor_of_the_rate_is_left_alone() -> None:
    optimizer = OwnFactor([parameter()], lr=1)
    scheduler = wd.Scheduler(optimizer, lr=LINE, strict=True)
    used = train(optimizer, scheduler, 3)
    assert used == [LINE(step) for step in range(3)]
    assert optimizer.param_groups[0]["d"] == 1.0
    assert scheduler.count == 3


def test_an_optimizer_that_chooses_its_own_rate_is_refused_with_the_way_out() -> None:
    optimizer = torch.optim.SGD([parameter()], lr=1.0)
    optimizer.param_groups[0]["lr"] = None
    with pytest.raises(wd.BindingError, match=r"holds None.*relative_step=False"):
        wd.Scheduler(optimizer, lr=LINE)


@pytest.mark.parametrize("auto", [False, True])
def test_an_optimizer_that_steps_its_groups_one_by_one_makes_one_update(auto: bool) -> None:
    parts = [torch.nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = torch.optim.SGD([{"params": [one]} for one in parts], lr=1.0)
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=0.0, end=1.0, steps=5), auto=auto)
    used = []
    for _ in range(5):
        groups = optimizer.param_groups
        used.append([group["lr"] for group in groups])
        for group in groups:
            group["params"][0].grad = torch.ones(1)
            optimizer.param_groups = [group]
            optimizer.step()
        optimizer.param_groups = groups
        scheduler.step()
    assert used == [pytest.approx([update / 5] * 3) for update in range(5)]
    assert scheduler.count == 5
