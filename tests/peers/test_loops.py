"""Other people's loops take our schedulers where they take torch's, with the real libraries."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import SWALR, AveragedModel
from torch.utils.data import DataLoader, TensorDataset

import warmdown as wd
from warmdown.compat import lr_scheduler as ours
from warmdown.compat.schedulers import CosineLrScheduler
from warmdown.errors import WarmdownWarning

STEPS = 12
RATE = 0.1

Make = Callable[[Any], Any]
SCHEDULERS: dict[str, Make] = {
    "native": lambda o: wd.Scheduler(
        o, lr=wd.warmup_cosine(warmup=2), run=wd.Run(total_steps=STEPS)
    ),
    "torch's name": lambda o: ours.CosineAnnealingLR(o, T_max=STEPS),
    "pytorch-accelerated's name": lambda o: CosineLrScheduler(o, 1, STEPS, num_warmup_epochs=0),
}


@pytest.fixture(autouse=True)
def _quiet_loops() -> Iterator[None]:
    """Let other libraries say what they like of their own doings; ours must stay silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=WarmdownWarning)
        logging.getLogger("lightning").setLevel(logging.ERROR)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        yield


def plain_loop(make: Make, steps: int = STEPS) -> list[float]:
    """Return the rates that a loop of one's own uses: what every other loop is held to."""
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=RATE)
    scheduler, used = make(optimizer), []
    for _ in range(steps):
        used.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return used


def data(count: int = STEPS) -> TensorDataset:
    return TensorDataset(torch.ones(count, 2), torch.ones(count, 1))


def noting(optimizer: torch.optim.Optimizer) -> list[float]:
    """Return a list that grows by the rate of each real update."""
    used: list[float] = []
    optimizer.register_step_pre_hook(lambda o, *_: used.append(float(o.param_groups[0]["lr"])))
    return used


@pytest.mark.parametrize("name", SCHEDULERS)
def test_accelerate_uses_the_same_rates_whether_the_scheduler_is_prepared_or_not(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    for prepares in (False, True):
        accelerator = accelerate.Accelerator(cpu=True)
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        used = noting(optimizer)
        model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data()))
        scheduler = SCHEDULERS[name](optimizer)
        if prepares:
            scheduler = accelerator.prepare(scheduler)
        for x, y in loader:
            accelerator.backward(torch.nn.functional.mse_loss(model(x), y))
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        assert used == pytest.approx(plain_loop(SCHEDULERS[name])), prepares
        accelerator.free_memory()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_accelerates_own_checkpoint_brings_a_prepared_scheduler_back(
    name: str, tmp_path: Path
) -> None:
    accelerate = pytest.importorskip("accelerate")
    used: list[float] = []
    for resumes in (False, True):
        accelerator = accelerate.Accelerator(cpu=True)
        model = torch.nn.Linear(2, 1)
        inner = torch.optim.SGD(model.parameters(), lr=RATE)
        model, optimizer, scheduler = accelerator.prepare(model, inner, SCHEDULERS[name](inner))
        if resumes:
            accelerator.load_state(str(tmp_path))
        for _ in range(STEPS // 2):
            accelerator.backward(model(torch.ones(3, 2)).square().mean())
            used.append(float(inner.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        if not resumes:
            accelerator.save_state(str(tmp_path))
        accelerator.free_memory()
    assert used == pytest.approx(plain_loop(SCHEDULERS[name]))


def test_accelerates_accumulation_does_not_multiply_the_clock() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    used = noting(optimizer)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data(4 * STEPS)))
    scheduler = accelerator.prepare(SCHEDULERS["native"](optimizer))
    for x, y in loader:
        with accelerator.accumulate(model):
            accelerator.backward(torch.nn.functional.mse_loss(model(x), y))
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    assert used == pytest.approx(plain_loop(SCHEDULERS["native"]))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_transformers_trainer_uses_the_same_rates_and_resumes(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            return {"loss": torch.nn.functional.mse_loss(self.layer(x), labels)}

    class Rows(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return STEPS

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"x": torch.ones(2), "labels": torch.ones(1)}

    def train(resume: bool) -> list[float]:
        model = Small()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        used = noting(optimizer)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=STEPS,
            per_device_train_batch_size=1,
            save_steps=6,
            use_cpu=True,
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
        )
        scheduler = SCHEDULERS[name](optimizer)
        trainer = transformers.Trainer(
            model, arguments, train_dataset=Rows(), optimizers=(optimizer, scheduler)
        )
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6") if resume else None)
        return used

    expected = plain_loop(SCHEDULERS[name])
    assert train(resume=False) == pytest.approx(expected)
    assert train(resume=True) == pytest.approx(expected[6:])


def lightning_module(make: Make, options: dict[str, Any]) -> Any:
    """Return a small module of Lightning that notes the rate of each update."""
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.used: list[float] = []

        def training_step(self, batch: Any) -> Any:
            loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
            self.log("loss", loss, on_step=True, on_epoch=False)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=RATE)
            self.used = noting(optimizer)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": make(optimizer), **options},
            }

    return Module()


def lightning_trainer(folder: Path, epochs: int = 1, **options: Any) -> Any:
    lightning = pytest.importorskip("lightning")
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=options.pop("logger", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        **options,
    )


@pytest.mark.parametrize("name", SCHEDULERS)
def test_lightning_uses_the_same_rates_by_step(name: str, tmp_path: Path) -> None:
    module = lightning_module(SCHEDULERS[name], {"interval": "step"})
    lightning_trainer(tmp_path, enable_checkpointing=False).fit(module, DataLoader(data()))
    assert module.used == pytest.approx(plain_loop(SCHEDULERS[name]))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_lightning_resumes_from_its_checkpoint_with_the_same_rates(
    name: str, tmp_path: Path
) -> None:
    make = SCHEDULERS[name]
    first = lightning_module(make, {"interval": "step"})
    trainer = lightning_trainer(tmp_path, epochs=1)
    trainer.fit(first, DataLoader(data(6)))
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second = lightning_module(make, {"interval": "step"})
    lightning_trainer(tmp_path, epochs=2, enable_checkpointing=False).fit(
        second, DataLoader(data(6)), ckpt_path=str(tmp_path / "half.ckpt")
    )
    assert first.used + second.used == pytest.approx(plain_loop(make))


def test_lightning_steps_a_plan_of_epochs_once_an_epoch(tmp_path: Path) -> None:
    make: Make = lambda o: ours.StepLR(o, step_size=1, gamma=0.5)  # noqa: E731
    module = lightning_module(make, {"interval": "epoch"})
    lightning_trainer(tmp_path, epochs=3, enable_checkpointing=False).fit(
        module, DataLoader(data(2))
    )
    assert module.used == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def test_lightning_tells_a_plateau_its_metric(tmp_path: Path) -> None:
    make: Make = lambda o: ours.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=10.0)  # noqa: E731
    module = lightning_module(make, {"interval": "epoch", "monitor": "loss", "strict": True})
    lightning_trainer(tmp_path, epochs=3, enable_checkpointing=False).fit(
        module, DataLoader(data(2))
    )
    assert module.used[0] == RATE
    assert module.used[-1] < RATE


def test_lightnings_monitor_logs_the_rate_of_each_update(tmp_path: Path) -> None:
    callbacks = pytest.importorskip("lightning.pytorch.callbacks")
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    module = lightning_module(SCHEDULERS["native"], {"interval": "step", "name": "rate"})
    logger = loggers.CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    monitor = callbacks.LearningRateMonitor("step")
    trainer = lightning_trainer(
        tmp_path, logger=logger, callbacks=[monitor], enable_checkpointing=False
    )
    trainer.fit(module, DataLoader(data()))
    logger.save()
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("rate")
    logged = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert logged == pytest.approx(plain_loop(SCHEDULERS["native"]))


@pytest.mark.parametrize("name", ["torch's name", "pytorch-accelerated's name"])
def test_torchs_swa_anneals_from_where_a_drop_in_leaves(name: str) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    scheduler, averaged = SCHEDULERS[name](optimizer), AveragedModel(model)
    used = noting(optimizer)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    swa = SWALR(optimizer, swa_lr=0.01, anneal_epochs=2, anneal_strategy="linear")
    for _ in range(4):
        optimizer.step()
        averaged.update_parameters(model)
        swa.step()
    assert used[:4] == pytest.approx(plain_loop(SCHEDULERS[name], 4))
    assert used[-1] == pytest.approx(0.01)
    assert int(averaged.n_averaged) == 4


def test_a_plan_anneals_to_the_constant_that_weights_are_averaged_at() -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    plan = wd.swa(after=4, anneal=2, value=0.1)
    scheduler, averaged = (
        wd.Scheduler(optimizer, lr=plan, run=wd.Run(total_steps=STEPS)),
        AveragedModel(model),
    )
    used = noting(optimizer)
    for _ in range(STEPS):
        optimizer.step()
        if scheduler.phase is not None and scheduler.phase.name == "average":
            averaged.update_parameters(model)
        scheduler.step()
    assert (used[0], used[-1]) == pytest.approx((RATE, 0.1 * RATE))
    assert int(averaged.n_averaged) == used.count(used[-1])


def test_torchs_swa_takes_over_when_a_native_scheduler_is_gone() -> None:
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=RATE)
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(end=0.5, steps=4))
    used = noting(optimizer)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    del scheduler
    swa = SWALR(optimizer, swa_lr=0.01, anneal_epochs=2)
    for _ in range(4):
        optimizer.step()
        swa.step()
    assert used[4] == pytest.approx(0.05)
    assert used[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_ignites_events_step_our_schedulers(name: str) -> None:
    engines = pytest.importorskip("ignite.engine")
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    used, scheduler = noting(optimizer), SCHEDULERS[name](optimizer)

    def update(engine: Any, batch: Any) -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss)

    trainer = engines.Engine(update)
    trainer.add_event_handler(engines.Events.ITERATION_COMPLETED, lambda _: scheduler.step())
    trainer.run(DataLoader(data()), max_epochs=1)
    assert used == pytest.approx(plain_loop(SCHEDULERS[name]))
