"""Rates as tensors: the slots keep their objects, one write serves all."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.binding.loops import each_rate, model, sgd, train

import warmdown as wd
from warmdown.binding import Field
from warmdown.binding.slots import _copy_on_device, _untracked_view

LINE = wd.Linear(start=1.0, end=0.0, steps=100)


def adam(*rates: float, **more: Any) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in rates]
    made = [
        {"params": [one], "lr": torch.tensor(rate)}
        for one, rate in zip(parameters, rates, strict=True)
    ]
    return torch.optim.Adam(made, **more)


def slots(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [group["lr"] for group in optimizer.param_groups]


def memories(optimizer: torch.optim.Optimizer) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in slots(optimizer)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_each_group_keeps_its_tensor_and_all_lie_in_one_vector(dtype: torch.dtype) -> None:
    optimizer = adam(1.0, 0.5, 0.25)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"].to(dtype)
    before = slots(optimizer)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    for _ in range(50):
        scheduler.step()
    assert all(now is was for now, was in zip(slots(optimizer), before, strict=True))
    assert len(memories(optimizer)) == 1
    expected = [
        torch.tensor(base * LINE(50), dtype=torch.float64).to(dtype).item()
        for base in (1.0, 0.5, 0.25)
    ]
    assert each_rate(optimizer) == expected


def test_base_values_are_never_aliased() -> None:
    optimizer = adam(1.0, 0.5)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    for _ in range(50):
        scheduler.step()
    assert scheduler.base_lrs == [1.0, 0.5]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 0.5]


def test_a_tensor_that_all_groups_share_stays_shared_while_they_follow_one_curve() -> None:
    shared = torch.tensor(0.5)
    optimizer = torch.optim.Adam(
        [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(3)], lr=shared
    )
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    scheduler.step()
    assert all(slot is shared for slot in slots(optimizer))
    assert shared.item() == pytest.approx(0.495)


def test_a_shared_tensor_is_parted_when_the_groups_follow_curves_of_their_own() -> None:
    shared = torch.tensor(0.5)
    optimizer = torch.optim.Adam(
        [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(2)], lr=shared
    )
    scheduler = wd.Scheduler(optimizer, lr={0: LINE, 1: wd.Constant()})
    scheduler.step()
    assert each_rate(optimizer) == pytest.approx([0.495, 0.5])


def test_floats_and_tensors_may_be_mixed() -> None:
    optimizer = adam(1.0, 0.5)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.25})
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 50)
    assert each_rate(optimizer) == pytest.approx([0.5, 0.25, 0.125])
    assert [type(slot) for slot in slots(optimizer)] == [torch.Tensor, torch.Tensor, float]


def test_a_tensor_that_stands_still_stays_as_it_is_beside_one_that_moves() -> None:
    optimizer = adam(1.0, 0.5)
    optimizer.param_groups[1]["lr"] = optimizer.param_groups[1]["lr"].double()  # a vector apart
    scheduler = wd.Scheduler(optimizer, lr={0: LINE, 1: wd.Constant()}, count_by="attempts")
    still = optimizer.param_groups[1]["lr"]
    version = still._version
    for _ in range(50):
        scheduler.step()
    assert each_rate(optimizer) == [0.5, 0.5]
    assert (optimizer.param_groups[1]["lr"], still._version) == (still, version)


@pytest.mark.parametrize("saved_as", ["tensors", "floats"])
def test_loading_the_optimizer_keeps_the_very_tensors(saved_as: str) -> None:
    optimizer = adam(1.0, 0.5)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 30)
    state = optimizer.state_dict()
    if saved_as == "floats":
        state = copy.deepcopy(state)
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
    train(optimizer, scheduler, 20)
    before, memory = slots(optimizer), memories(optimizer)
    optimizer.load_state_dict(state)
    assert all(now is was for now, was in zip(slots(optimizer), before, strict=True))
    assert memories(optimizer) == memory  # what a graph has captured is still what is written
    assert each_rate(optimizer) == pytest.approx([0.5, 0.25])  # the scheduler knows where it is
    train(optimizer, scheduler, 10)
    assert each_rate(optimizer) == pytest.approx([0.4, 0.2])


def test_a_slot_that_was_moved_to_another_type_is_followed() -> None:
    optimizer = adam(1.0)
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 10)
    optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"].double()
    with pytest.warns(wd.ForeignWrite):
        train(optimizer, scheduler, 10)
    assert optimizer.param_groups[0]["lr"].dtype == torch.float64
    assert each_rate(optimizer) == pytest.approx([0.8])


def test_tensors_in_a_memory_of_the_users_own_are_filled_where_they_are() -> None:
    own = torch.tensor([9.0, 1.0, 9.0, 0.5])
    optimizer = adam(1.0, 0.5)
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = own[1], own[3]
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 50)
    assert own.tolist() == [9.0, 0.5, 9.0, 0.25]


def test_betas_that_are_tensors_are_filled_and_a_tuple_of_floats_is_rebuilt() -> None:
    momentum = wd.Set(wd.Linear(start=0.95, end=0.85, steps=100))
    tensors = torch.optim.Adam(
        model().parameters(), lr=torch.tensor(0.1), betas=(torch.tensor(0.9), torch.tensor(0.999))
    )
    values = tensors.param_groups[0]["betas"]
    floats = torch.optim.Adam(model().parameters())
    for optimizer in (tensors, floats):
        train(optimizer, wd.Scheduler(optimizer, momentum=momentum), 50)
    assert tensors.param_groups[0]["betas"] is values
    assert [beta.item() for beta in values] == pytest.approx([0.9, 0.999])
    assert floats.param_groups[0]["betas"] == pytest.approx((0.9, 0.999))


def test_both_betas_may_be_driven_at_once() -> None:
    optimizer = torch.optim.Adam(model().parameters())
    both: dict[str, Any] = {
        f"betas[{index}]": wd.Set(wd.Linear(start=0.5, end=end, steps=10))
        for index, end in enumerate((0.0, 0.75))
    }
    train(optimizer, wd.Scheduler(optimizer, **both), 5)
    assert optimizer.param_groups[0]["betas"] == (0.25, 0.625)


def test_as_tensors_turns_rates_and_betas_and_refuses_what_would_break_a_compiled_step() -> None:
    optimizer = torch.optim.AdamW(model().parameters(), lr=0.1)
    wd.as_tensors(optimizer, "lr", "momentum")
    group = optimizer.param_groups[0]
    assert [type(one) for one in (group["lr"], *group["betas"])] == [torch.Tensor] * 3
    rate = group["lr"]
    wd.as_tensors(optimizer, "lr")
    assert group["lr"] is rate
    train(optimizer, wd.Scheduler(optimizer, lr=LINE), 3)
    with pytest.raises(wd.BindingError, match=r"as_tensors\('weight_decay'\).*Leave it a float"):
        wd.as_tensors(optimizer, "weight_decay")


def test_writes_ahead_leave_no_trace_in_a_tensors_version() -> None:
    """A version that has grown shows a write from outside: the writes on a device leave it."""
    vector = torch.zeros(3)
    slot = vector[0].detach()
    write = _copy_on_device(_untracked_view(vector), torch.arange(6.0).reshape(2, 3))
    before = slot._version
    write(0)
    write(1)
    assert vector.tolist() == [3.0, 4.0, 5.0]
    assert slot._version == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lrr", r"Field\('lrr'\): group 0 of SGD has no 'lrr'; it has .*lr, .*Did you mean 'lr'\?"),
        ("betas[0]", r"has no 'betas'"),
        ("nesterov", r"holds False, which is no number"),
        ("params", r"which is no number. Name one element: 'params\[0\]'"),
    ],
)
def test_a_field_that_is_not_there_is_refused_with_what_is(name: str, message: str) -> None:
    with pytest.raises(wd.BindingError, match=message):
        Field(sgd(), name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beta1", r"One of its betas is 'betas\[0\]' or 'betas\[1\]'"),
        ("betas", r"holds \(0.9, 0.999\), which is no number. Name one element: 'betas\[0\]'"),
        ("betas[2]", r"which has no element 2"),
    ],
)
def test_betas_are_named_one_by_one(name: str, message: str) -> None:
    with pytest.raises(wd.BindingError, match=message):
        Field(torch.optim.Adam(model().parameters()), name)


def test_what_has_no_groups_is_refused() -> None:
    with pytest.raises(wd.BindingError, match=r"Module.*has no param_groups"):
        Field(torch.nn.Module(), "lr")


def test_momentum_is_whichever_a_group_has() -> None:
    assert Field(sgd(momentum=0.8), "momentum").read() == [0.8]
    assert Field(torch.optim.Adam(model().parameters()), "momentum").read() == [0.9]


def test_an_attribute_that_is_not_there_is_refused_with_the_nearest() -> None:
    net: Any = model()
    net.kl_weight = 1.0
    with pytest.raises(
        wd.BindingError,
        match=r"Attribute\('kl_wieght'\).*Did you mean "
        r"'kl_weight'\?",
    ):
        wd.Attribute(net, "kl_wieght")
    net.temperature = torch.tensor(1.0)
    values = net.temperature
    wd.Attribute(net, "temperature").write([0.5])
    assert net.temperature is values
    assert values.item() == 0.5
