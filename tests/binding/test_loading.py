"""Batches of the sizes that a plan wants, in a loop of one's own."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from tests.binding.loops import warns
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import warmdown as wd
from warmdown.errors import AmountMismatch

ITEMS = 53
RAMP = wd.PiecewiseConstant(values=(4.0, 8.0, 12.0), at=(3, 6))
PLAN = wd.Plan.of(lr=wd.Linear(start=1.0, end=0.0, steps=20), batch_size=wd.Set(RAMP))


def sgd() -> torch.optim.SGD:
    torch.manual_seed(0)
    return torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.1)


def update(optimizer: torch.optim.SGD, batch: torch.Tensor, share: float = 1.0) -> None:
    (weight, bias) = optimizer.param_groups[0]["params"]
    loss = ((batch @ weight.T + bias) ** 2).mean() * share
    loss.backward()


def made(
    plan: Any = PLAN, items: int = ITEMS, **options: Any
) -> tuple[torch.optim.SGD, wd.Scheduler, wd.BatchSizeSampler]:
    optimizer, sampler = sgd(), wd.BatchSizeSampler(items, **options)
    return optimizer, wd.Scheduler(optimizer, plan, bind={"batch_size": sampler}), sampler


def train(
    made: tuple[torch.optim.SGD, wd.Scheduler, wd.BatchSizeSampler],
    updates: int,
    *,
    workers: int = 0,
) -> list[list[int]]:
    """Return the items of each update, in a plain loop over epochs."""
    optimizer, scheduler, sampler = made
    items = torch.arange(float(sampler.loading.items or 0))
    data = TensorDataset(torch.stack([items, items.sin(), items.cos()], dim=1))
    loader = DataLoader(data, batch_sampler=sampler, num_workers=workers)
    used: list[list[int]] = []
    while True:
        for (batch,) in loader:
            update(optimizer, batch / 50)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            used.append([int(item) for item in batch[:, 0]])
            if len(used) == updates:
                return used


def flat(parts: Iterable[list[int]]) -> list[int]:
    return [item for part in parts for item in part]


def test_update_k_gets_the_batch_that_the_plan_has_for_it() -> None:
    used = train(made(), 8)
    assert [len(batch) for batch in used] == [4, 4, 4, 8, 8, 8, 12, 5]
    assert sorted(flat(used)) == list(range(ITEMS))


def test_batches_that_workers_read_ahead_are_those_of_their_updates() -> None:
    assert train(made(), 12, workers=2) == train(made(), 12)


def test_no_sample_is_lost_or_doubled_over_epochs_and_changes() -> None:
    used = train(made(wd.Plan.of(batch_size=wd.Set(wd.Linear(start=1.0, end=9.0, steps=30)))), 40)
    everything = flat(used)
    for epoch in range(len(everything) // ITEMS):
        assert sorted(everything[epoch * ITEMS : (epoch + 1) * ITEMS]) == list(range(ITEMS))


def test_two_processes_share_every_batch_and_use_every_sample_once() -> None:
    shares = [train(made(rank=rank, world_size=2), 8) for rank in range(2)]
    together = [sorted(one + other) for one, other in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in train(made(), 8)]


def test_a_size_becomes_the_nearest_multiple_of_the_processes_and_halves_go_up() -> None:
    plan = wd.Plan.of(batch_size=wd.Set(wd.PiecewiseConstant(values=(1.0, 6.0, 7.9), at=(1, 2))))
    _, scheduler, sampler = made(plan, rank=0, world_size=4)
    assert [scheduler.value(step, "batch_size") for step in range(3)] == [4, 8, 8]
    assert [len(batch) for batch in sampler][:3] == [1, 2, 2]


def test_what_is_left_of_an_epoch_is_dropped_if_asked_for() -> None:
    used = train(made(drop_last=True), 8)
    assert [len(batch) for batch in used] == [4, 4, 4, 8, 8, 8, 12, 12]


@pytest.mark.parametrize("after", range(1, 14))
def test_a_loop_that_is_resumed_at_any_update_goes_on_bit_for_bit(after: int) -> None:
    whole = made()
    used = train(whole, 14)
    first = made()
    train(first, after)
    states = [json.loads(json.dumps(first[1].state_dict())), first[2].state_dict()]
    optimizer_state = first[0].state_dict()
    again = made(seed=77)
    again[0].load_state_dict(optimizer_state)
    for group, trained in zip(again[0].param_groups, first[0].param_groups, strict=True):
        for new, old in zip(group["params"], trained["params"], strict=True):
            new.data.copy_(old)
    again[2].load_state_dict(states[1])
    again[1].load_state_dict(states[0])
    assert train(again, 14 - after) == used[after:] if after < 14 else True
    for new, old in zip(
        again[0].param_groups[0]["params"], whole[0].param_groups[0]["params"], strict=True
    ):
        assert torch.equal(new, old)


def test_the_place_in_the_data_follows_from_the_count_alone() -> None:
    used = train(made(), 20)
    for count in (1, 5, 8, 11):
        again = made()
        again[1].seek(count)
        assert train(again, 20 - count) == used[count:]


@pytest.mark.parametrize("clock", ["updates", "samples", "tokens"])
def test_the_place_follows_from_the_schedulers_state_alone_whatever_is_counted(clock: Any) -> None:
    facts = wd.Run(
        epochs=2, samples_per_epoch=ITEMS, samples_per_step=4, tokens_per_step=40, clock=clock
    )
    ramp = wd.PiecewiseConstant(values=(4.0, 8.0), at=("25%",))
    plan = wd.Plan.of(run=facts, batch_size=wd.Set(ramp))
    used = train(made(plan), 14)
    assert sorted(flat(used[:10])) != sorted(flat(used[:9]))
    for count in (3, 9, 12):
        first, again = made(plan), made(plan)
        train(first, count)
        again[1].load_state_dict(first[1].state_dict())
        assert train(again, 14 - count) == used[count:]


def test_where_time_is_counted_what_is_read_ahead_has_the_present_size() -> None:
    facts = wd.Run(budget="100s", clock="seconds")
    plan = wd.Plan.of(
        run=facts, batch_size=wd.Set(wd.PiecewiseConstant(values=(20.0, 8.0), at=("10s",)))
    )
    _, scheduler, sampler = made(plan)
    assert [len(batch) for batch in sampler] == [20, 20, 13]
    scheduler.seek(10)
    assert [len(batch) for batch in islice(sampler, 2)] == [8, 8]


def test_an_epoch_is_begun_where_it_is_asked_for_and_goes_on_where_it_is_under_way() -> None:
    run = made()
    used, sampler = train(run, 3), run[2]
    sampler.set_epoch(0)
    assert sampler.epoch == 0
    assert sampler.state_dict()["used"] == sum(map(len, used))
    sampler.set_epoch(3)
    assert sampler.epoch == 3
    assert sorted(flat(sampler)) == list(range(ITEMS))


def test_what_updates_will_use_is_known_from_any_of_them_on() -> None:
    _, scheduler, sampler = made()
    assert [cut.size for cut in islice(sampler.cuts_from(2), 6)] == [4, 8, 8, 8, 12, 12]
    assert scheduler.count == 0


def test_a_copy_follows_no_scheduler_until_it_is_bound() -> None:
    _, scheduler, sampler = made()
    assert repr(sampler) == "<BatchSizeSampler of 53 samples, now 4>"
    for other in (copy.copy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert repr(other) == "<BatchSizeSampler of 53 samples, bound to no scheduler>"
        again = wd.Scheduler(sgd(), PLAN, bind={"batch_size": other})
        assert list(other) == list(sampler)
        assert again.count == scheduler.count == 0


def test_lengths_in_data_are_those_of_a_batch_that_stays() -> None:
    cooled = wd.Constant().graft(wd.Linear(start=1.0, end=0.0, steps="16samples"), at="rest")
    plan = wd.Plan.of(
        lr=wd.Linear(start=0.0, end=1.0, steps="32samples") >> cooled,
        run=wd.Run(total_steps=20, samples_per_step=4),
    )
    _, scheduler, sampler = made(plan, batch_size=4)
    assert [scheduler.value(step) for step in (4, 8, 16, 18, 20)] == [0.05, 0.1, 0.1, 0.05, 0.0]
    assert len(next(iter(sampler))) == 4


def test_an_event_changes_the_batches_that_follow_it() -> None:
    run = made(wd.Plan.of(batch_size=wd.Set(4.0)))
    sizes = [len(batch) for batch in train(run, 2)]
    run[1].rescale(2.0, target="batch_size")
    assert sizes + [len(batch) for batch in train(run, 6)] == [4, 4, 8, 8, 8, 8, 8, 5]


def losses(run: Any, loader: Any, updates: int) -> Iterator[list[tuple[int, float]]]:
    optimizer, scheduler, sampler = run
    made = 0
    while made < updates:
        for batches in sampler.updates(loader):
            sizes = []
            for (batch,), share in batches:
                update(optimizer, batch, share)
                sizes.append((len(batch), share))
            yield sizes
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            made += 1


def test_an_update_that_is_too_large_has_several_batches_of_almost_one_size() -> None:
    run = made(micro_batch_size=5)
    data = TensorDataset(torch.randn(ITEMS, 3))
    seen = list(losses(run, DataLoader(data, batch_sampler=run[2]), 8))
    assert [[size for size, _ in one] for one in seen] == [
        [4], [4], [4], [4, 4], [4, 4], [4, 4], [4, 4, 4], [4, 1],
    ]  # fmt: skip
    assert all(sum(share for _, share in one) == pytest.approx(1) for one in seen)


def test_the_weights_of_the_batches_make_the_mean_over_the_whole_update() -> None:
    data = TensorDataset(torch.randn(ITEMS, 3))
    ends = []
    for largest in (None, 3):
        run = made(micro_batch_size=largest)
        list(losses(run, DataLoader(data, batch_sampler=run[2]), 9))
        ends.append(run[0].param_groups[0]["params"][0].detach())
    torch.testing.assert_close(*ends)


def test_what_workers_have_read_for_other_sizes_is_read_again() -> None:
    run = made(wd.Plan.of(batch_size=wd.Set(4.0)))
    items = TensorDataset(torch.randn(ITEMS, 3))
    loader = DataLoader(items, batch_sampler=run[2], num_workers=1, prefetch_factor=4)
    seen = []
    for number, sizes in enumerate(losses(run, loader, 8)):
        seen.append(sum(size for size, _ in sizes))
        if number == 1:
            run[1].rescale(2.0, target="batch_size")
    assert seen == [4, 4, 8, 8, 8, 8, 8, 5]


@pytest.mark.parametrize("clock", ["samples", "tokens"])
def test_a_clock_of_data_stands_at_the_sum_of_the_batches(clock: Any) -> None:
    facts = wd.Run(
        epochs=2, samples_per_epoch=ITEMS, samples_per_step=4, tokens_per_step=40, clock=clock
    )
    plan = wd.Plan.of(lr=wd.Cosine(), run=facts, batch_size=wd.Set(
        wd.PiecewiseConstant(values=(4.0, 8.0), at=("50%",))))  # fmt: skip
    run = made(plan)
    each = 1 if clock == "samples" else 10
    total, updates = 0, run[1].run.total_steps
    assert updates is not None
    for _ in range(updates):
        assert run[1].position == total * each
        total += len(train(run, 1)[0])
    assert run[1].position == 2 * ITEMS * each == run[1].run.length
    assert run[1].get_last_lr() == [pytest.approx(0.0)]


def test_a_clock_of_samples_moves_by_what_was_read_and_else_by_what_is_planned() -> None:
    plan = wd.Plan.of(
        run=wd.Run(budget="200samples", clock="samples"),
        batch_size=wd.Set(wd.PiecewiseConstant(values=(20.0, 30.0), at=("160samples",))),
    )
    optimizer, scheduler, sampler = run = made(plan)

    def go_on() -> float:
        before = scheduler.position
        update(optimizer, torch.ones(2, 3))
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        return scheduler.position - before

    assert go_on() == 20  # nothing was read: what the plan has
    train(run, 3)
    assert scheduler.position == 20 + 20 + 13 + 20  # with the rest of the epoch
    data = DataLoader(TensorDataset(torch.randn(ITEMS, 3)), batch_sampler=sampler)
    assert len(list(losses(run, data, 2))) == 2
    assert scheduler.position == 73 + 20 + 13
    assert [len(batch) for batch in sampler] == [20, 20, 13]
    assert [go_on() for _ in range(5)] == [20, 20, 13, 20, 30]  # and then as planned


def test_a_batch_ramp_neither_doubles_the_warmup_nor_leaves_the_decay_unfinished() -> None:
    plan = wd.Plan.of(
        lr=wd.Linear(start=0.0, end=1.0, steps="32samples")
        >> wd.Constant()
        >> wd.Linear(start=1.0, end=0.0, steps="40samples"),
        batch_size=wd.Set(wd.PiecewiseConstant(values=(4.0, 8.0), at=("30%",))),
        run=wd.Run(epochs=3, samples_per_epoch=ITEMS),
    )
    run = made(plan)
    rates, used = [], 0
    while used < 3 * ITEMS:
        rates.append((used, run[1].get_last_lr()[0]))
        used += len(train(run, 1)[0])
    assert next(seen for seen, rate in rates if rate == pytest.approx(0.1)) == 32
    last = max(seen for seen, rate in rates if rate == pytest.approx(0.1))
    assert 3 * ITEMS - last == pytest.approx(40, abs=8)
    assert run[1].get_last_lr() == [pytest.approx(0.0)]


def test_a_batch_that_the_run_does_not_have_is_reported_where_lengths_are_in_data() -> None:
    plan = wd.Plan.of(
        lr=wd.Linear(start=0.0, end=1.0, steps="64samples") >> wd.Cosine(steps=90),
        batch_size=wd.Set(8.0),
        run=wd.Run(total_steps=100, samples_per_step=4),
    )
    with warns(AmountMismatch, "it is given 8. The plan's lengths in data (64samples)"):
        made(plan)


def test_a_batch_size_without_what_reads_the_data_is_refused_with_the_way_out() -> None:
    with pytest.raises(wd.BindingError, match=r"bind=\{'batch_size': BatchSizeSampler\(…\)\}"):
        wd.Scheduler(sgd(), PLAN)


def test_a_sampler_without_a_scheduler_says_what_is_missing() -> None:
    with pytest.raises(wd.BindingError, match="no scheduler drives it"):
        list(wd.BatchSizeSampler(4))
    with pytest.raises(wd.BindingError, match=r"BatchSizeSampler\(batch_size=0\)"):
        wd.BatchSizeSampler(4, batch_size=0)
    with pytest.raises(wd.BindingError, match=r"rank=2, world_size=2"):
        wd.BatchSizeSampler(4, rank=2, world_size=2)
    with pytest.raises(wd.BindingError, match="has no length"):
        wd.BatchSizeSampler(iter([1]))
    bind = {"momentum": wd.BatchSizeSampler(4)}
    with pytest.raises(wd.BindingError, match=r"it is a batch_size\. Bind it to 'batch_size'"):
        wd.Scheduler(sgd(), momentum=wd.Set(wd.Constant(value=0.5)), bind=bind)


def test_a_batch_that_no_epoch_has_whole_is_refused_with_both_numbers() -> None:
    _, scheduler, sampler = made(wd.Plan.of(batch_size=wd.Set(99.0)), drop_last=True)
    with pytest.raises(wd.BindingError, match=r"data=53, world_size=1\): no batch of 99 samples"):
        list(sampler)
    _, later, unread = made(wd.Plan.of(batch_size=wd.Set(99.0)), drop_last=True)
    later.seek(3)  # where no update can have been
    assert (unread.epoch, unread.state_dict()["used"]) == (0, 0)
    assert scheduler.count == 0


def test_a_damaged_or_foreign_state_is_refused() -> None:
    _, scheduler, sampler = made()
    known = sampler.state_dict()
    for state in ({}, {**known, "used": 99}, {**known, "version": 2}, {**known, "epoch": "1"}):
        with pytest.raises(wd.StateError, match=r"BatchSizeSampler\.load_state_dict"):
            sampler.load_state_dict(state)
    assert scheduler.count == 0
