"""Lightning drives a plan: every update has its values, in every kind of loop and after resumes."""

from __future__ import annotations

import logging
import random
import warnings
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
)

import warmdown as wd
from warmdown.errors import WarmdownWarning

lightning: Any = pytest.importorskip("lightning.pytorch")
from warmdown.integrations.lightning import PlanCallback, configure_plan  # noqa: E402

pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def _quiet_lightning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=WarmdownWarning)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        yield


class Digits(lightning.LightningModule):  # type: ignore[misc]
    """A classifier whose optimizer has no scheduler."""

    def __init__(self, losses: list[float] | None = None) -> None:
        super().__init__()
        self.model, self.losses = small_model(), losses or []
        self.used: list[Any] = []

    def training_step(self, batch: Any) -> Any:
        return loss_of(self.model, batch)

    def validation_step(self, batch: Any) -> None:
        self.log("val_loss", torch.tensor(self.losses[self.current_epoch]))

    def configure_optimizers(self) -> Any:
        optimizer = sgd(self.model)
        self.used = noting(optimizer)
        return optimizer


class Configured(Digits):
    def configure_optimizers(self) -> Any:
        return configure_plan(self, super().configure_optimizers(), PLAN)


class Manual(Digits):
    """Two optimizers, and two updates of the first in each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.other = small_model()
        self.used_by_other: list[Any] = []

    def configure_optimizers(self) -> Any:
        other = sgd(self.other)
        self.used_by_other = noting(other)
        return [super().configure_optimizers(), other]

    def training_step(self, batch: Any) -> None:
        first, second = self.optimizers()
        for model, optimizer in ((self.model, first), (self.model, first), (self.other, second)):
            optimizer.zero_grad()
            self.manual_backward(loss_of(model, batch))
            optimizer.step()


def trainer(folder: Path, *callbacks: Any, epochs: int = 2, **options: Any) -> Any:
    return lightning.Trainer(
        **{
            "max_epochs": epochs,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            **options,
        }
    )


def test_each_update_has_the_values_of_the_plan(tmp_path: Path) -> None:
    module = Digits()
    trainer(tmp_path, PlanCallback(PLAN)).fit(module, loader())
    assert module.used == planned(24)


def test_a_file_names_the_plan(tmp_path: Path) -> None:
    wd.save(PLAN, tmp_path / "plan.yaml")
    module = Digits()
    trainer(tmp_path, PlanCallback(tmp_path / "plan.yaml")).fit(module, loader())
    assert module.used == planned(24)


@pytest.mark.parametrize(
    "make", [lambda: (Digits(), [PlanCallback(PLAN)]), lambda: (Configured(), [])]
)
def test_accumulation_does_not_multiply_the_clock(make: Any, tmp_path: Path) -> None:
    module, callbacks = make()
    trainer(tmp_path, *callbacks, accumulate_grad_batches=5).fit(module, loader())
    assert module.used == planned(2 * 3)  # the last batches of an epoch make an update of two


def test_an_epoch_has_the_updates_that_accumulation_leaves(tmp_path: Path) -> None:
    module = Digits()
    trainer(tmp_path, PlanCallback(EPOCHS), accumulate_grad_batches=5).fit(module, loader())
    assert [rate for rate, _ in module.used] == planned_rates(2, 3)


@pytest.mark.parametrize(
    "make", [lambda: (Digits(), [PlanCallback(PLAN)]), lambda: (Configured(), [])]
)
def test_a_run_that_stops_anywhere_goes_on_with_the_same_values(make: Any, tmp_path: Path) -> None:
    at = random.randint(1, 23)
    used = []
    for resume, steps in ((None, at), (tmp_path / "some.ckpt", 24)):
        module, callbacks = make()
        saver = lightning.callbacks.ModelCheckpoint(
            tmp_path, "some", every_n_train_steps=at, save_top_k=-1, enable_version_counter=False
        )
        stop = StopAt(steps)
        trainer(tmp_path, *callbacks, saver, stop, enable_checkpointing=True).fit(
            module, loader(), ckpt_path=resume and str(resume)
        )
        used += module.used
    assert used == planned(24), at


class StopAt(lightning.Callback):  # type: ignore[misc]
    """Stops a run of a length that stays the planned one."""

    def __init__(self, updates: int) -> None:
        self.updates = updates

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.updates


def test_several_updates_in_a_batch_and_several_optimizers_have_plans_of_their_own(
    tmp_path: Path,
) -> None:
    module = Manual()
    once = PlanCallback(PLAN, optimizer=1)
    twice = PlanCallback(PLAN, optimizer=0, total_steps=48)
    trainer(tmp_path, twice, once).fit(module, loader())
    assert (module.used, module.used_by_other) == (planned(48), planned(24))


def test_one_plan_for_several_optimizers_counts_a_round_of_them(tmp_path: Path) -> None:
    module = OnceEach()
    trainer(tmp_path, PlanCallback(PLAN), max_steps=40).fit(module, loader())
    assert (module.used, module.used_by_other) == (planned(20), planned(20))


class OnceEach(Manual):
    def training_step(self, batch: Any) -> None:
        pairs = zip((self.model, self.other), self.optimizers(), strict=True)
        for model, optimizer in pairs:
            optimizer.zero_grad()
            self.manual_backward(loss_of(model, batch))
            optimizer.step()


def test_manual_optimization_goes_on_with_the_same_values(tmp_path: Path) -> None:
    used, used_by_other = [], []
    for resume, epochs in ((None, 1), (str(tmp_path / "half.ckpt"), 2)):
        module = Manual()
        callbacks = [
            PlanCallback(PLAN, optimizer=0, total_steps=48),
            PlanCallback(PLAN, optimizer=1, total_steps=24),
        ]
        running = trainer(tmp_path, *callbacks, epochs=epochs)
        running.fit(module, loader(), ckpt_path=resume)
        if resume is None:
            running.save_checkpoint(tmp_path / "half.ckpt")
        used += module.used
        used_by_other += module.used_by_other
    assert (used, used_by_other) == (planned(48), planned(24))


PLATEAU = wd.Plan.of(lr=wd.Plateau(metric="val_loss", factor=0.5, patience=0))


def epoch_rates(module: Digits) -> list[float]:
    return [rate for rate, _ in module.used[::12]]


def test_a_plateau_follows_the_metric_of_each_validation_over_a_resume(tmp_path: Path) -> None:
    losses = [1.0, 1.0, 0.5, 0.6, 0.4]
    whole = Digits(losses)
    trainer(tmp_path, PlanCallback(PLATEAU), epochs=5).fit(whole, loader(), loader(1))
    assert epoch_rates(whole) == [0.3, 0.3, 0.15, 0.15, 0.075]

    rates = []
    for resume, epochs in ((None, 2), (str(tmp_path / "two.ckpt"), 5)):
        module = Digits(losses)
        running = trainer(tmp_path, PlanCallback(PLATEAU), epochs=epochs)
        running.fit(module, loader(), loader(1), ckpt_path=resume)
        if resume is None:
            running.save_checkpoint(tmp_path / "two.ckpt")
        rates += epoch_rates(module)
    assert rates == epoch_rates(whole)


def test_without_validation_a_metric_of_training_is_followed(tmp_path: Path) -> None:
    class Training(Digits):
        def training_step(self, batch: Any) -> Any:
            self.log("still", 1.0)
            return super().training_step(batch)

    module = Training()
    plan = wd.Plateau(metric="still", factor=0.5, patience=0)
    trainer(tmp_path, PlanCallback(plan), epochs=3).fit(module, loader())
    assert epoch_rates(module) == [0.3, 0.3, 0.15]


def test_the_same_trainer_goes_on_in_a_second_fit(tmp_path: Path) -> None:
    module, callback = Digits(), PlanCallback(PLAN, total_steps=24)
    running = trainer(tmp_path, callback, epochs=1)
    running.fit(module, loader())
    before = module.used
    running.fit_loop.max_epochs = 2
    running.fit(module, loader())
    assert before + module.used == planned(24)


def test_another_trainer_begins_again_with_the_same_callback(tmp_path: Path) -> None:
    callback = PlanCallback(PLAN)
    for _ in range(2):
        module = Digits()
        trainer(tmp_path, callback).fit(module, loader())
        assert module.used == planned(24)


def test_a_checkpoint_without_the_callback_gives_the_count_of_updates(tmp_path: Path) -> None:
    running = trainer(tmp_path, epochs=1)
    running.fit(Digits(), loader())
    running.save_checkpoint(tmp_path / "bare.ckpt")
    module = Digits()
    trainer(tmp_path, PlanCallback(PLAN)).fit(
        module, loader(), ckpt_path=str(tmp_path / "bare.ckpt")
    )
    assert module.used == planned(24)[12:]


def test_a_manual_checkpoint_without_the_callback_is_refused(tmp_path: Path) -> None:
    running = trainer(tmp_path, epochs=1)
    running.fit(Manual(), loader())
    running.save_checkpoint(tmp_path / "bare.ckpt")
    with pytest.raises(wd.StateError, match=r"step 36 was written without it.*Resume from one"):
        trainer(tmp_path, PlanCallback(PLAN)).fit(
            Manual(), loader(), ckpt_path=str(tmp_path / "bare.ckpt")
        )


def test_a_checkpoint_of_another_plan_is_refused_or_joined_by_the_policy(tmp_path: Path) -> None:
    running = trainer(tmp_path, PlanCallback(PLAN))
    running.fit(Digits(), loader())
    running.save_checkpoint(tmp_path / "end.ckpt")

    def go_on(**how: Any) -> Any:
        module, callback = Digits(), PlanCallback(PLAN, **how)
        trainer(tmp_path, callback, epochs=4).fit(
            module, loader(), ckpt_path=str(tmp_path / "end.ckpt")
        )
        return module.used

    with pytest.raises(wd.StateError, match="on_change"):
        go_on()
    assert go_on(on_change="given") == planned(48)[24:]


class WithScheduler(Digits):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def test_a_second_scheduler_of_the_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wd.BindingError, match=r"PlanCallback.*a StepLR of the trainer.*leave out"):
        trainer(tmp_path, PlanCallback(PLAN)).fit(WithScheduler(), loader())


def test_a_plan_of_another_field_stands_beside_the_modules_scheduler(tmp_path: Path) -> None:
    module = WithScheduler()
    plan = wd.Plan.of(weight_decay=wd.Linear(start=1.0, end=2.0, steps="100%"))
    trainer(tmp_path, PlanCallback(plan)).fit(module, loader())
    assert [decay for _, decay in module.used] == [decay for _, decay in planned(24)]
    assert module.used[-1][0] == pytest.approx(0.03)


def test_an_index_without_an_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wd.BindingError, match=r"optimizer=1\).* returned 1\. Give an index"):
        trainer(tmp_path, PlanCallback(PLAN, optimizer=1)).fit(Digits(), loader())


def test_a_configured_plan_with_a_metric_is_refused_with_the_way_out(tmp_path: Path) -> None:
    class Following(Digits):
        def configure_optimizers(self) -> Any:
            return configure_plan(self, super().configure_optimizers(), PLATEAU)

    with pytest.raises(wd.BindingError, match=r"follows val_loss.*PlanCallback\(plan\)"):
        trainer(tmp_path).fit(Following([1.0] * 2), loader(), loader(1))


def test_lightnings_monitor_logs_a_configured_plan(tmp_path: Path) -> None:
    monitor = lightning.callbacks.LearningRateMonitor("step")
    logger = lightning.loggers.CSVLogger(tmp_path)
    module = Configured()
    trainer(tmp_path, monitor, logger=logger, log_every_n_steps=1).fit(module, loader())
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr-SGD")
    logged = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert logged == pytest.approx([rate for rate, _ in planned(24)])


def test_the_trainer_of_the_package_pytorch_lightning_takes_it_too(tmp_path: Path) -> None:
    other = pytest.importorskip("pytorch_lightning")

    class Module(other.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = small_model()

        def training_step(self, batch: Any) -> Any:
            return loss_of(self.model, batch)

        def configure_optimizers(self) -> Any:
            optimizer = sgd(self.model)
            self.used = noting(optimizer)
            return optimizer

    module = Module()
    other.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[PlanCallback(PLAN)],
    ).fit(module, loader())
    assert module.used == planned(24)
