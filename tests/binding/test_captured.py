"""On the device the schedule advances by itself; on the host's tensors it gives the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.binding.loops import sgd, train
from torch.utils._python_dispatch import TorchDispatchMode

import warmdown as wd

CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")],
)
DEVICES = ["cpu", CUDA]
WAVE = wd.Linear(start=0.0, end=1.0, steps=20) >> wd.Cosine(start=1.0, end=0.1, steps=80)


def adam(device: str = "cpu", groups: int = 3, **more: Any) -> torch.optim.Optimizer:
    rates = [torch.tensor(0.1 * (index + 1), device=device) for index in range(groups)]
    parameters = [torch.nn.Parameter(torch.ones(2, device=device)) for _ in rates]
    made = [{"params": [one], "lr": rate} for one, rate in zip(parameters, rates, strict=True)]
    return torch.optim.Adam(made, capturable=device == "cuda", **more)


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"].item() for group in optimizer.param_groups]


def written(schedule: wd.Schedule, steps: int, base: float, start: int = 0) -> list[float]:
    """Return what a float32 tensor holds at each update."""
    values: np.ndarray[Any, Any] = float(np.float32(base)) * schedule(
        np.arange(start, start + steps)
    )
    return [float(value) for value in values.astype(np.float32)]


@pytest.mark.parametrize("device", DEVICES)
def test_each_advance_writes_the_very_bits_that_a_step_would(device: str) -> None:
    optimizer = adam(device)
    captured = wd.Captured(wd.Scheduler(optimizer, lr=WAVE))
    stepped = adam(device)
    scheduler = wd.Scheduler(stepped, lr=WAVE)
    for _ in range(130):
        assert rates(optimizer) == rates(stepped)
        captured.advance()
        scheduler.step()
    assert captured.synchronize() == 130


@pytest.mark.parametrize("rows", [2, 3, 16, 64])
def test_a_window_is_refilled_ahead_of_the_replays_that_were_recorded(rows: int) -> None:
    optimizer = adam()
    captured = wd.Captured(wd.Scheduler(optimizer, lr=WAVE), rows=rows)
    used = []
    for _ in range(130):
        used.append(rates(optimizer)[1])
        captured.advance()
        captured.record_launches()
    assert used == written(WAVE, 130, 0.2)


def test_a_billion_updates_take_no_more_memory_than_a_window() -> None:
    optimizer = adam()
    endless = wd.Cosine(start=1.0, end=0.1, steps=10**9)
    scheduler = wd.Scheduler(optimizer, lr=endless)
    scheduler.seek(999_999_990)
    captured = wd.Captured(scheduler, rows=8)
    used = []
    for _ in range(20):
        used.append(rates(optimizer)[0])
        captured.advance()
        captured.record_launches()
    assert used == written(endless, 20, 0.1, start=999_999_990)
    assert captured.synchronize() == 1_000_000_010
    assert wd.Captured(scheduler).rows == 2  # the plan is over: one row is left to hold


def test_a_replay_that_outruns_its_window_is_reported() -> None:
    captured = wd.Captured(wd.Scheduler(adam(), lr=WAVE), rows=16)
    for _ in range(20):
        captured.advance()
    with pytest.raises(wd.BindingError, match=r"20 updates were made.*Call record_launches\(\)"):
        captured.synchronize()


def test_the_former_names_of_its_methods_warn_and_do_the_same() -> None:
    captured = wd.Captured(wd.Scheduler(adam(), lr=WAVE), rows=8)
    assert repr(captured).startswith("<Captured: 8 rows of <Scheduler at 0 updates")
    for _ in range(20):
        captured.advance()
        with pytest.warns(DeprecationWarning, match=r"launched.*record_launches"):
            captured.launched()
    with pytest.warns(DeprecationWarning, match=r"sync.*synchronize"):
        assert captured.sync() == 20
    assert captured.synchronize() == 20  # and again, with nothing between


def test_after_a_sync_the_scheduler_saves_and_takes_events_from_where_the_device_is() -> None:
    optimizer = adam()
    scheduler = wd.Scheduler(optimizer, lr=WAVE)
    captured = wd.Captured(scheduler)
    for _ in range(30):
        captured.advance()
    captured.synchronize()
    assert scheduler.count == 30
    assert scheduler.state_dict()["count"] == 30
    scheduler.rescale(0.5)
    captured.refresh()
    captured.advance()
    assert rates(optimizer)[0] == pytest.approx(0.05 * WAVE(31))
    scheduler.seek(5)
    captured.refresh()
    assert rates(optimizer)[0] == pytest.approx(0.1 * WAVE(5))
    captured.advance()
    assert captured.synchronize() == 6


def test_betas_that_are_tensors_are_followed_too() -> None:
    optimizer = adam(groups=2, lr=torch.tensor(0.1), betas=(torch.tensor(0.9), torch.tensor(0.999)))
    momentum = wd.Linear(start=0.95, end=0.85, steps=10)
    captured = wd.Captured(wd.Scheduler(optimizer, lr=WAVE, momentum=wd.Set(momentum)))
    betas = optimizer.param_groups[0]["betas"]
    for step in range(15):
        assert betas[0].item() == np.float32(momentum(step))
        captured.advance()
    assert optimizer.param_groups[0]["betas"] is betas


def test_a_repeating_or_shaken_plan_never_rests() -> None:
    for endless in (wd.Cosine(steps=10).repeat(), WAVE.noisy(0.1), wd.InverseSqrt()):
        optimizer = adam()
        captured = wd.Captured(wd.Scheduler(optimizer, lr=endless), rows=32)
        used = []
        for _ in range(150):
            used.append(rates(optimizer)[0])
            captured.advance()
            captured.record_launches()
        assert used == written(endless, 150, 0.1)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            {"weight_decay": wd.Set(wd.Linear(start=0.0, end=0.1, steps=10))},
            r"Captured\(weight_decay\): torch reads it",
        ),
        (
            {"momentum": wd.Set(wd.Linear(start=0.9, end=0.8, steps=10))},
            r"as_tensors turns rates "
            r"and betas",
        ),
        ({"kl": wd.Set(wd.Linear(steps=10))}, r"Captured\(kl\): it lies outside of the optimizer"),
    ],
)
def test_a_field_that_a_graph_cannot_follow_is_refused(
    targets: dict[str, Any], message: str
) -> None:
    scheduler = wd.Scheduler(adam(), lr=WAVE, bind={"kl": lambda value: None}, **targets)
    with pytest.raises(wd.BindingError, match=message):
        wd.Captured(scheduler)


def test_a_field_that_stands_still_does_not_disturb_a_graph() -> None:
    scheduler = wd.Scheduler(adam(), lr=WAVE, weight_decay=wd.Set(wd.Constant(value=0.05)))
    wd.Captured(scheduler).advance()


def test_floats_other_clocks_and_tiny_tables_are_refused() -> None:
    with pytest.raises(wd.BindingError, match=r"Captured\(lr\).*as_tensors"):
        wd.Captured(wd.Scheduler(sgd(), lr=WAVE))
    run = wd.Run(budget="100tok", clock="tokens")
    with pytest.raises(wd.BindingError, match="over tokens, which a graph cannot count"):
        wd.Captured(wd.Scheduler(adam(), lr=wd.Cosine(), run=run))
    with pytest.raises(wd.BindingError, match=r"rows=1\)"):
        wd.Captured(wd.Scheduler(adam(), lr=WAVE), rows=1)


def test_its_warmup_runs_are_no_misuse() -> None:
    optimizer = adam()
    captured = wd.Captured(wd.Scheduler(optimizer, lr=WAVE))
    for _ in range(150):
        for group in optimizer.param_groups:
            group["params"][0].grad = torch.ones(2)
        optimizer.step()
        captured.advance()
    assert captured.synchronize() == 150


def test_advancing_asks_the_host_for_nothing() -> None:
    """Every operation stays on the device; none makes a tensor out of a Python number."""
    captured = wd.Captured(wd.Scheduler(adam(), lr=WAVE))
    with Spy() as spy:
        captured.advance()
    assert spy.seen
    assert not spy.seen & {
        "aten._local_scalar_dense",
        "aten.lift_fresh",
        "aten._to_copy",
        "aten.scalar_tensor",
    }


class Spy(TorchDispatchMode):
    """Notes the names of all operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(func).rsplit(".", 1)[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("rows", [None, 16])
def test_replays_alone_move_the_rate_without_a_sync(rows: int | None) -> None:
    net = torch.nn.Linear(4, 1).cuda()
    optimizer = torch.optim.Adam(
        net.parameters(), lr=torch.tensor(0.1, device="cuda"), capturable=True
    )
    scheduler = wd.Scheduler(optimizer, lr=WAVE)
    captured = wd.Captured(scheduler, rows)
    batch, log = torch.ones(8, 4, device="cuda"), torch.zeros(200, device="cuda")
    at = torch.zeros(1, dtype=torch.int64, device="cuda")

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        net(batch).square().mean().backward()
        log.index_copy_(0, at, optimizer.param_groups[0]["lr"].reshape(1))
        at.add_(1)
        optimizer.step()
        captured.advance()

    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            update()
            captured.record_launches()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(127):
            graph.replay()
            captured.record_launches()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert log[:130].tolist() == written(WAVE, 130, 0.1)
    assert captured.synchronize() == 130


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_hosts_own_step_fills_a_captured_rate_without_a_sync() -> None:
    optimizer = adam("cuda")
    scheduler = wd.Scheduler(optimizer, lr=WAVE, count_by="attempts")
    scheduler.step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(60):
            scheduler.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert rates(optimizer)[0] == written(WAVE, 62, 0.1)[61]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore::warmdown.errors.ForeignWrite")
def test_rates_that_were_moved_to_the_device_are_followed_there() -> None:
    optimizer = adam("cpu")
    scheduler = wd.Scheduler(optimizer, lr=WAVE, count_by="attempts")
    for group in optimizer.param_groups:
        group["params"][0].data = group["params"][0].data.cuda()
        group["params"][0].grad = torch.ones(2, device="cuda")
        group["lr"], group["capturable"] = group["lr"].cuda(), True
    for _ in range(4):  # the first group is looked at before each update, the others in turn
        optimizer.step()
    for _ in range(40):
        scheduler.step()
    assert all(group["lr"].is_cuda for group in optimizer.param_groups)
    assert rates(optimizer) == [
        written(WAVE, 1, 0.1 * (index + 1), start=40)[0] for index in range(3)
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_loading_on_a_device_keeps_what_a_graph_reads_and_continues_it() -> None:
    optimizer = adam("cuda")
    scheduler = wd.Scheduler(optimizer, lr=WAVE)
    captured, before = wd.Captured(scheduler), [group["lr"] for group in optimizer.param_groups]
    graph = torch.cuda.CUDAGraph()
    captured.advance()
    with torch.cuda.graph(graph):
        captured.advance()
    scheduler.seek(50)
    optimizer.load_state_dict(optimizer.state_dict())
    captured.refresh()
    for _ in range(20):
        graph.replay()
    assert all(
        group["lr"] is values for group, values in zip(optimizer.param_groups, before, strict=True)
    )
    assert rates(optimizer)[1] == written(WAVE, 1, 0.2, start=70)[0]
    assert captured.synchronize() == 70


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_device_loop_hears_no_word() -> None:
    optimizer = adam("cuda")
    scheduler = wd.Scheduler(optimizer, lr=WAVE)
    train(optimizer, scheduler, 50)
    assert scheduler.count == 50
