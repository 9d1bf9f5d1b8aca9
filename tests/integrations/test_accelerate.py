"""accelerate under a plan: processes, micro-batches and skipped updates do not move its clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integrations.digits import (
    EPOCHS,
    PLAN,
    loader,
    loss_of,
    noting,
    planned,
    planned_rates,
    sgd,
    small_model,
    weights,
)

import warmdown as wd

accelerate: Any = pytest.importorskip("accelerate")
from warmdown.integrations.accelerate import bind_plan  # noqa: E402


class Job:
    """A loop as accelerate's own examples have one."""

    def __init__(self, plan: Any = PLAN, epochs: int = 2, **options: Any) -> None:
        self.accelerator = accelerate.Accelerator(cpu=True, **options)
        model = small_model()
        optimizer = sgd(model)
        self.used = noting(optimizer)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(
            model, optimizer, loader()
        )
        self.scheduler = bind_plan(
            self.accelerator, self.optimizer, plan, self.loader, epochs=epochs
        )
        self.epochs = epochs

    def train(self, skip: int = 0, save: tuple[int, Path] | None = None) -> None:
        made = skip
        for epoch in range(skip // len(self.loader), self.epochs):
            batches = self.loader
            if epoch == skip // len(self.loader):
                batches = self.accelerator.skip_first_batches(batches, skip % len(batches))
            for batch in batches:
                with self.accelerator.accumulate(self.model):
                    self.accelerator.backward(loss_of(self.model, batch))
                    self.optimizer.step()
                    self.scheduler.step()
                    self.optimizer.zero_grad()
                made += 1
                if save is not None and made == save[0]:
                    self.accelerator.save_state(str(save[1]))


@pytest.fixture(autouse=True)
def _forget_the_accelerator() -> Iterator[None]:
    forget_the_accelerator()  # another file's, which a forked process would take for its own
    yield
    forget_the_accelerator()


def forget_the_accelerator() -> None:
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def test_each_update_has_the_values_of_the_plan() -> None:
    job = Job()
    job.train()
    assert job.used == planned(24)


@pytest.mark.parametrize(("to_the_end", "updates"), [(True, 6), (False, 4)])
def test_accumulation_does_not_multiply_the_clock(to_the_end: bool, updates: int) -> None:
    plugin = accelerate.utils.GradientAccumulationPlugin(
        num_steps=5, sync_with_dataloader=to_the_end
    )
    job = Job(gradient_accumulation_plugin=plugin)
    job.train()
    assert job.used == planned(updates)


def test_an_epoch_has_the_updates_that_accumulation_leaves() -> None:
    job = Job(EPOCHS, gradient_accumulation_steps=5)
    job.train()
    assert [rate for rate, _ in job.used] == planned_rates(2, 3)


def test_a_run_restored_at_any_update_has_the_same_values_and_weights(tmp_path: Path) -> None:
    at = random.randint(1, 23)
    whole = Job()
    whole.train(save=(at, tmp_path))
    again = Job()
    again.accelerator.load_state(str(tmp_path))
    again.train(skip=at)
    assert again.used == planned(24)[at:], at
    assert weights(again.model) == weights(whole.model), at


def test_an_update_that_a_scaler_leaves_out_is_not_counted() -> None:
    job = Job()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    wrapped = accelerate.optimizer.AcceleratedOptimizer(
        job.optimizer.optimizer, device_placement=False, scaler=scaler
    )
    for number, batch in enumerate(job.loader):
        loss = loss_of(job.model, batch) * (float("inf") if number in (0, 1, 5) else 1.0)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        wrapped.step()
        job.scheduler.step()
        wrapped.zero_grad()
    assert job.scheduler.count == 9
    assert job.used == planned(24)[:9]


def test_a_loader_that_is_not_prepared_is_refused_with_the_way_out() -> None:
    job = Job()
    with pytest.raises(wd.BindingError, match=r"not prepared.*accelerator\.prepare\(loader\)"):
        bind_plan(job.accelerator, job.optimizer, PLAN, loader())


def test_a_second_scheduler_of_the_rate_is_found() -> None:
    job = Job()
    other = job.accelerator.prepare(
        torch.optim.lr_scheduler.StepLR(job.optimizer.optimizer, 1, 0.9)
    )

    def train() -> None:
        for batch in job.loader:
            job.accelerator.backward(loss_of(job.model, batch))
            job.optimizer.step()
            job.scheduler.step()
            other.step()
            job.optimizer.zero_grad()

    with pytest.warns(wd.errors.ForeignWrite, match="lr/0 was set"):
        train()


def on_two_processes(folder: str, split: bool) -> None:
    """Train on two processes, save, restore, and write what each process used."""
    torch.set_num_threads(1)
    config = accelerate.utils.DataLoaderConfiguration(split_batches=split)
    expected = 12 if not split else 24
    used = []
    for resume in (False, True):
        job = Job(dataloader_config=config)
        if resume:
            job.accelerator.load_state(f"{folder}/state")
            job.train(skip=expected // 2)
        else:
            job.train(save=(expected // 2, Path(folder, "state")))
        used.append(job.used)
        job.accelerator.wait_for_everyone()
        job.accelerator.free_memory()
    assert used == [planned(expected), planned(expected)[expected // 2 :]]
    Path(folder, f"passed-{job.accelerator.process_index}").touch()


@pytest.mark.slow
@pytest.mark.parametrize("split", [False, True])
def test_two_processes_use_the_values_of_one(split: bool, tmp_path: Path) -> None:
    accelerate.debug_launcher(on_two_processes, (str(tmp_path), split), num_processes=2)
    assert {path.name for path in tmp_path.glob("passed-*")} == {"passed-0", "passed-1"}
