"""Numbers outside of optimizers: whole ones stay whole, and one name may bind many objects."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.binding.loops import sgd, train

import warmdown as wd


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(2))


GROWING = wd.Set(wd.Linear(start=1.0, end=5.0, steps=10))


def driven(number: Any, rule: Any, **more: Any) -> tuple[SimpleNamespace, wd.Scheduler]:
    loop = SimpleNamespace(number=number)
    bind = {"number": wd.Attribute(loop, "number")}
    return loop, wd.Scheduler(sgd(), number=rule, bind=bind, **more)


@pytest.mark.parametrize("number", [1, np.int64(1), np.int8(1)])
def test_a_whole_number_of_an_object_keeps_its_type_and_is_rounded(number: Any) -> None:
    loop, scheduler = driven(number, GROWING)
    seen = []
    for step in range(11):
        scheduler.seek(step)
        seen.append(loop.number)
        assert scheduler.values()["number"] == scheduler.value(step, "number") == loop.number
    assert seen == [1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5]
    assert {type(one) for one in seen} == {type(number)}


def test_it_is_rounded_in_a_loop_and_scaled_from_its_own_base_across_a_resume() -> None:
    loop = SimpleNamespace(size=8)
    rule = wd.Linear(start=1.0, end=3.0, steps=8)

    def build() -> tuple[Any, wd.Scheduler]:
        loop.size, optimizer = 8, sgd()
        return optimizer, wd.Scheduler(
            optimizer, size=rule, bind={"size": wd.Attribute(loop, "size")}
        )

    optimizer, scheduler = build()
    train(optimizer, scheduler, 3)
    assert (loop.size, type(loop.size)) == (14, int)
    state = json.loads(json.dumps(scheduler.state_dict()))
    optimizer, again = build()
    again.load_state_dict(state)
    assert loop.size == 14
    train(optimizer, again, 5)
    assert loop.size == 24


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float16, torch.float64])
def test_a_tensor_of_an_object_keeps_its_type_and_stays_itself(dtype: torch.dtype) -> None:
    number = torch.tensor(1, dtype=dtype)
    loop, scheduler = driven(number, wd.Set(wd.Linear(start=1.0, end=5.0, steps=8)))
    scheduler.seek(5)  # 3.5
    assert loop.number is number
    assert number.dtype == dtype
    assert number.item() == (3.5 if dtype.is_floating_point else 4)


def test_an_array_of_an_object_is_filled_in_place() -> None:
    number = np.array(1)
    _, scheduler = driven(number, GROWING)
    scheduler.seek(2)
    assert number == 2


@pytest.mark.parametrize("number", [0, 1])
def test_an_int_that_a_plan_takes_through_fractions_below_one_is_no_count(number: int) -> None:
    loop, scheduler = driven(number, wd.Set(wd.Linear(start=0.0, end=1.0, steps=4)))
    seen = []
    for step in range(5):
        scheduler.seek(step)
        seen.append(loop.number)
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("number", [True, np.bool_(True), torch.tensor(True), "4", None, [1]])
def test_what_is_no_number_is_refused(number: Any) -> None:
    with pytest.raises(wd.BindingError, match=r"Attribute\('number'\).*no number"):
        wd.Attribute(SimpleNamespace(number=number), "number")


def with_entry(**entry: Any) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": [parameter()], **entry} for _ in range(2)]
    return torch.optim.SGD(groups, lr=1)


@pytest.mark.parametrize("entry", [2, np.int32(2)])
def test_a_whole_number_of_a_group_stays_whole_and_is_no_foreign_write(entry: Any) -> None:
    optimizer = with_entry(num_iterations=entry)
    rule = wd.Linear(start=1.0, end=3.0, steps=10)
    scheduler = wd.Scheduler(optimizer, num_iterations=rule, strict=True)
    for step in range(11):
        found = [group["num_iterations"] for group in optimizer.param_groups]
        assert found == [round(2 + 0.4 * step)] * 2
        assert all(type(one) is type(entry) for one in found)
        train(optimizer, scheduler, 1)
    optimizer.param_groups[1]["num_iterations"] = 99
    with pytest.raises(wd.WarmdownWarning, match="set to 99 outside"):
        train(optimizer, scheduler, 1)


def test_a_rate_or_weight_decay_given_as_an_int_is_a_real_number() -> None:
    optimizer = torch.optim.AdamW([parameter()], lr=10, weight_decay=0)
    halves = wd.Linear(start=1.0, end=0.0, steps=8)
    scheduler = wd.Scheduler(
        optimizer, lr=halves, weight_decay=wd.Set(wd.Linear(start=0.0, end=4.0, steps=8))
    )
    train(optimizer, scheduler, 1)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (8.75, 0.5)


def blocks() -> list[torch.nn.Dropout]:
    return [torch.nn.Dropout(0.1 * (index + 1)) for index in range(3)]


def test_one_name_drives_many_objects_each_from_its_own_base() -> None:
    layers = blocks()
    taken: list[float] = []
    optimizer = sgd()
    bind = {"drop": [*(wd.Attribute(layer, "p") for layer in layers), taken.append]}
    scheduler = wd.Scheduler(optimizer, drop=wd.Linear(start=1.0, end=0.0, steps=4), bind=bind)
    train(optimizer, scheduler, 2)
    assert [layer.p for layer in layers] == pytest.approx([0.05, 0.1, 0.15])
    assert taken == [1.0, 0.75, 0.5]
    assert list(scheduler.values()) == ["drop/0", "drop/1", "drop/2", "drop/3"]
    assert [scheduler.value(0, "drop", group) for group in (0, 2, "1")] == pytest.approx(
        [0.1, 0.3, 0.2]
    )
    with pytest.raises(wd.BindingError, match="'drop/4'"):
        scheduler.value(0, "drop", 4)


def test_many_objects_keep_their_bases_through_a_new_group_and_a_resume() -> None:
    rule = wd.Linear(start=1.0, end=0.0, steps=8)

    def build() -> tuple[list[torch.nn.Dropout], Any, wd.Scheduler]:
        layers, optimizer = blocks(), sgd()
        bind = {"drop": [wd.Attribute(layer, "p") for layer in layers]}
        return layers, optimizer, wd.Scheduler(optimizer, drop=rule, bind=bind)

    layers, optimizer, scheduler = build()
    train(optimizer, scheduler, 2)
    optimizer.add_param_group({"params": [parameter()]})
    train(optimizer, scheduler, 2)
    assert [layer.p for layer in layers] == pytest.approx([0.05, 0.1, 0.15])
    state = json.loads(json.dumps(scheduler.state_dict()))
    layers, optimizer, again = build()
    again.load_state_dict(state)
    assert [layer.p for layer in layers] == pytest.approx([0.05, 0.1, 0.15])
    train(optimizer, again, 2)
    assert [layer.p for layer in layers] == pytest.approx([0.025, 0.05, 0.075])


def test_each_of_many_objects_may_follow_a_schedule_of_its_own() -> None:
    layers = blocks()
    bind = {"drop": [wd.Attribute(layer, "p") for layer in layers]}
    constant: Any = {"0": wd.Set(wd.Constant(value=0.5)), "*": wd.Set(wd.Constant(value=0.25))}
    wd.Scheduler(sgd(), drop=constant, bind=bind)
    assert [layer.p for layer in layers] == [0.5, 0.25, 0.25]
    some = wd.Scheduler(sgd(), drop={"1": wd.Set(wd.Constant(value=0.75))}, bind=bind)
    assert [layer.p for layer in layers] == [0.5, 0.75, 0.25]
    assert some.values() == {"drop/1": 0.75}
    with pytest.raises(wd.BindingError, match=r"'7'.*no parameter group"):
        wd.Scheduler(sgd(), drop={"7": wd.Constant()}, bind=bind)


def test_a_function_is_shown_by_its_name_and_its_last_value() -> None:
    taken: list[float] = []
    call = wd.Call(taken.append, base=8)
    assert repr(call) == "<Call of list.append, last with 8>"
    wd.Scheduler(sgd(), size=wd.Constant(value=0.5), bind={"size": call})
    assert repr(call) == "<Call of list.append, last with 4>"
    assert repr(wd.Call(print)) == "<Call of print, last with 1>"


@pytest.mark.parametrize("given", [[], (), 0.1, [0.1], [[len]], [None]])
def test_what_takes_no_number_is_refused_where_it_is_bound(given: Any) -> None:
    with pytest.raises(wd.BindingError, match=r"bind=\{'drop': .*Attribute\(object, name\)"):
        wd.Scheduler(sgd(), drop=wd.Constant(), bind={"drop": given})
