"""The clock counts updates that were really made, whatever the loop around them looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from tests.binding.loops import backward, curve, model, run_forked, sgd, torchrun, train
from tests.binding.processes import main

import warmdown as wd

WARMUP = wd.Linear(start=0.0, end=1.0, steps=10)
COSINE = wd.Linear(start=0.0, end=1.0, steps=50) >> wd.Cosine(start=1.0, end=0.1, steps="rest")


def test_the_first_update_uses_the_first_value_and_each_one_its_own() -> None:
    optimizer = sgd(0.5)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    assert train(optimizer, scheduler, 15) == curve(WARMUP, 15, base=0.5)
    assert scheduler.count == 15


@pytest.mark.parametrize("sizes", [[16] * 30, [1] * 10 + [8] * 10 + [16] * 10, [16] * 29 + [5]])
def test_gradient_accumulation_never_stretches_the_warmup(sizes: list[int]) -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    used = []
    for micro_batches in sizes:
        optimizer.zero_grad()
        for micro_batch in range(micro_batches):
            backward(optimizer)
            if micro_batch == micro_batches - 1:
                used.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
            scheduler.step()  # after every micro-batch, as accelerate's own loop does
    assert used == curve(WARMUP, 30)
    assert scheduler.count == 30


def test_a_warmup_of_1000_updates_lasts_1000_while_the_accumulation_grows() -> None:
    optimizer, warmup = sgd(), wd.Linear(start=0.0, end=1.0, steps=1000)
    scheduler = wd.Scheduler(optimizer, lr=warmup, strict=True)
    used = []
    for micro_batches in [1] * 500 + [8] * 400 + [16] * 100 + [5]:
        for _ in range(micro_batches - 1):
            backward(optimizer)
            scheduler.step()
        used += train(optimizer, scheduler, 1)
    assert used == curve(warmup, 1001)
    assert (used[999], used[1000]) == (0.999, 1.0)


def scaler_loop(
    optimizer: Any, scheduler: wd.Scheduler, overflows: set[int], *, zero_early: bool
) -> list[float]:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=1000)
    used = []
    for step in range(10):
        loss = sum((one**2).sum() for group in optimizer.param_groups for one in group["params"])
        scaler.scale(loss * (float("inf") if step in overflows else 1.0)).backward()
        before = [one.clone() for group in optimizer.param_groups for one in group["params"]]
        rate = float(optimizer.param_groups[0]["lr"])
        scaler.step(optimizer)
        after = [one for group in optimizer.param_groups for one in group["params"]]
        scaler.update()
        if step not in overflows:
            used.append(rate)
        else:
            assert all(map(torch.equal, before, after))
        if zero_early:
            optimizer.zero_grad()
        scheduler.step()
        optimizer.zero_grad()
    return used


@pytest.mark.parametrize("zero_early", [False, True])
@pytest.mark.parametrize("overflows", [{0, 1, 2}, {0, 4, 5}, {7, 8, 9}], ids=str)
def test_an_update_that_a_scaler_skips_does_not_tick(overflows: set[int], zero_early: bool) -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    assert scaler_loop(optimizer, scheduler, overflows, zero_early=zero_early) == curve(WARMUP, 7)
    assert scheduler.count == 7


@pytest.mark.parametrize("overflows", [{0, 1, 2}, {0, 4, 5}], ids=str)
def test_a_fused_optimizer_that_leaves_the_update_out_does_not_tick(overflows: set[int]) -> None:
    optimizer = torch.optim.AdamW(model().parameters(), lr=1.0, fused=True)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    assert scaler_loop(optimizer, scheduler, overflows, zero_early=False) == curve(WARMUP, 7)
    assert scheduler.count == 7


def test_attempts_count_skipped_updates_too() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, count_by="attempts")
    scaler_loop(optimizer, scheduler, {0, 4, 5}, zero_early=False)
    assert scheduler.count == 10


def test_auto_counts_by_itself_and_step_adds_nothing() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=True)
    assert train(optimizer, scheduler, 12) == curve(WARMUP, 12)
    assert scheduler.count == 12


def test_auto_counts_through_a_phase_in_which_nothing_moves() -> None:
    optimizer = sgd()
    schedule = wd.Constant(steps=100) >> wd.Linear(start=1.0, end=0.0, steps=20)
    scheduler = wd.Scheduler(optimizer, lr=schedule, auto=True)
    assert train(optimizer, scheduler, 110) == curve(schedule, 110)
    assert scheduler.count == 110


def test_auto_does_not_count_what_a_scaler_skips() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=True)
    assert scaler_loop(optimizer, scheduler, {0, 4, 5}, zero_early=False) == curve(WARMUP, 7)


def test_auto_with_two_optimizers_ticks_once_both_have_made_their_update() -> None:
    first, second = sgd(), sgd()
    scheduler = wd.Scheduler([first, second], lr=WARMUP, auto=True)
    used = []
    for _ in range(6):
        for optimizer in (first, second):
            backward(optimizer)
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
    assert used[0::2] == used[1::2] == curve(WARMUP, 6)
    assert scheduler.count == 6


def test_auto_with_a_second_optimizer_that_rests_goes_on() -> None:
    first, second = sgd(), sgd()
    scheduler = wd.Scheduler([first, second], lr=WARMUP, auto=True)
    used = []
    for _ in range(6):
        backward(first)
        first.step()
        used.append(first.param_groups[0]["lr"])
    assert scheduler.count == 5  # the sixth is counted when the seventh begins
    assert used == curve(WARMUP, 6)


def test_a_closure_that_is_called_many_times_is_one_update() -> None:
    net = model()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=5)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)

    def closure() -> float:
        optimizer.zero_grad()
        loss = net(torch.ones(3, 2)).square().mean()
        loss.backward()
        return float(loss.detach())

    for _ in range(4):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        scheduler.step()
    assert scheduler.count == 4


def test_a_loop_that_only_draws_the_curve_moves_it() -> None:
    scheduler = wd.Scheduler(sgd(), lr=WARMUP, run=wd.Run(total_steps=10))
    seen = []
    for _ in range(15):  # past the end too, without a word: nothing trains
        seen.append(scheduler.get_last_lr()[0])
        scheduler.step()
    assert seen == curve(WARMUP, 15)


def test_stepping_to_a_place_before_training_stays_there() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    for _ in range(4):
        scheduler.step()
    assert train(optimizer, scheduler, 3) == [WARMUP(4), WARMUP(5), WARMUP(6)]


def test_accelerate_with_accumulation_counts_updates() -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    net = model()
    inner = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = wd.Scheduler(
        inner, lr=WARMUP
    )  # made before the optimizer is prepared, which loads its state
    net, optimizer = accelerator.prepare(net, inner)
    used = []
    for _ in range(20):
        with accelerator.accumulate(net):
            accelerator.backward(net(torch.ones(3, 2)).square().mean())
            if accelerator.sync_gradients:
                used.append(inner.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    assert used == curve(WARMUP, 5)


def test_a_prepared_optimizer_is_driven_like_the_one_inside() -> None:
    accelerator = Accelerator(cpu=True)
    net = model()
    optimizer = accelerator.prepare(torch.optim.SGD(net.parameters(), lr=1.0))
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    assert train(optimizer, scheduler, 12) == curve(WARMUP, 12)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_processes_of_torchrun_never_multiply_the_clock(tmp_path: Path, processes: int) -> None:
    torchrun("processes.py", tmp_path, processes)
    assert_each_counts_its_own_updates(tmp_path, processes)


@pytest.mark.unix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it may have threads
def test_processes_never_multiply_the_clock(tmp_path: Path) -> None:
    run_forked(main, tmp_path, 2)
    assert_each_counts_its_own_updates(tmp_path, 2)


def assert_each_counts_its_own_updates(folder: Path, processes: int) -> None:
    logs = sorted(folder.glob("*.txt"))
    assert len(logs) == 2 * processes  # plain DDP, and accelerate
    expected = curve(COSINE.over(wd.Run(total_steps=100)), 100)
    for log in logs:
        assert [float(line) for line in log.read_text().split()] == expected
