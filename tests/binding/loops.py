"""Small real parts for the tests: a model of four numbers, its optimizer, and loops."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

import warmdown as wd


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(2, 1)


def sgd(*rates: float, **more: Any) -> torch.optim.Optimizer:
    """Return an optimizer with one group for each rate."""
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates or (1.0,)
    ]
    return torch.optim.SGD(groups, lr=1.0, **more)


def backward(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter a gradient, by a real backward pass."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    if parameters:
        torch.stack([(one**2).sum() for one in parameters]).sum().backward()  # type: ignore[no-untyped-call]


def train(optimizer: torch.optim.Optimizer, scheduler: wd.Scheduler, updates: int) -> list[float]:
    """Make updates in the right order; return the rate that each used in the first group."""
    used = []
    for _ in range(updates):
        optimizer.zero_grad()
        backward(optimizer)
        used.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return used


def curve(schedule: wd.Schedule, steps: int, base: float = 1.0) -> list[float]:
    """Return what each update should use."""
    return [base * schedule(step) for step in range(steps)]


def each_rate(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


@contextmanager
def warns(kind: type[wd.WarmdownWarning], words: str) -> Iterator[None]:
    """Require exactly one warning, of this kind, with its code and the page that explains it."""
    with pytest.warns(wd.WarmdownWarning) as said:
        yield
    assert [type(one.message) for one in said] == [kind]
    message = str(said[0].message)
    assert words in message
    assert message.endswith(f"[warmdown explain {kind.code}]")
    assert said[0].filename == __file__ or "tests" in said[0].filename


def repeat(action: Callable[[], object], times: int) -> None:
    for _ in range(times):
        action()


def torchrun(script: str, folder: Path, processes: int) -> None:
    """Run a script beside this file on some processes; it writes into a folder."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    path = str(Path(__file__).with_name(script))
    done = subprocess.run(
        [*command, f"--nproc-per-node={processes}", path, str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def run_forked(main: Callable[[str], None], folder: Path, processes: int) -> None:
    """Call a function in forked processes that find each other as those of torchrun do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    ranks = [
        fork.Process(target=_run_as_rank, args=(rank, main, str(folder), processes, port))
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(timeout=120)
    assert [rank.exitcode for rank in ranks] == [0] * processes


@contextmanager
def as_first_of_two(second: Callable[[], object], folder: Path) -> Iterator[None]:
    """Be the first of two processes that train together; a forked one calls a function."""
    other = multiprocessing.get_context("fork").Process(
        target=_run_as_second, args=(second, folder)
    )
    other.start()
    try:
        with _joined(0, folder):
            yield
        other.join(timeout=30)
        assert other.exitcode == 0
    finally:
        other.kill()


def _run_as_second(second: Callable[[], object], folder: Path) -> None:
    with _joined(1, folder):
        second()


@contextmanager
def _joined(rank: int, folder: Path) -> Iterator[None]:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/group", timedelta(seconds=30), world_size=2, rank=rank
    )
    try:
        yield
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


def _run_as_rank(
    rank: int, main: Callable[[str], None], folder: str, processes: int, port: int
) -> None:
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]

    AcceleratorState._reset_state(reset_partial_state=True)  # that of the process before the fork
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    main(folder)
