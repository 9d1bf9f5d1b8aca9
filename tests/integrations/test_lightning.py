"""Lightning drives a plan: every update has its values, in every kind of loop and after resumes."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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
from tests.lazily import Lazily

import warmdown as wd
from warmdown.errors import WarmdownWarning

lightning: Any = Lazily("lightning.pytorch")
jobs: Any = Lazily("tests.integrations.lightning_jobs")
ours: Any = Lazily("warmdown.integrations.lightning")


@pytest.fixture(autouse=True)
def _quiet_lightning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=WarmdownWarning)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        yield


@pytest.mark.peers
def test_each_update_has_the_values_of_the_plan(tmp_path: Path) -> None:
    module = jobs.Digits()
    jobs.trainer(tmp_path, ours.PlanCallback(PLAN)).fit(module, loader())
    assert module.used == planned(24)


@pytest.mark.peers
def test_a_file_names_the_plan(tmp_path: Path) -> None:
    wd.save(PLAN, tmp_path / "plan.yaml")
    module = jobs.Digits()
    jobs.trainer(tmp_path, ours.PlanCallback(tmp_path / "plan.yaml")).fit(module, loader())
    assert module.used == planned(24)


@pytest.mark.parametrize(
    "make", [lambda: (jobs.Digits(), [ours.PlanCallback(PLAN)]), lambda: (jobs.Configured(), [])]
)
def test_accumulation_does_not_multiply_the_clock(make: Any, tmp_path: Path) -> None:
    module, callbacks = make()
    jobs.trainer(tmp_path, *callbacks, accumulate_grad_batches=5).fit(module, loader())
    assert module.used == planned(2 * 3)  # the last batches of an epoch make an update of two


@pytest.mark.peers
def test_an_epoch_has_the_updates_that_accumulation_leaves(tmp_path: Path) -> None:
    module = jobs.Digits()
    jobs.trainer(tmp_path, ours.PlanCallback(EPOCHS), accumulate_grad_batches=5).fit(
        module, loader()
    )
    assert [rate for rate, _ in module.used] == planned_rates(2, 3)


@pytest.mark.peers
@pytest.mark.parametrize(
    "make", [lambda: (jobs.Digits(), [ours.PlanCallback(PLAN)]), lambda: (jobs.Configured(), [])]
)
def test_a_run_that_stops_anywhere_goes_on_with_the_same_values(make: Any, tmp_path: Path) -> None:
    at = random.randint(1, 23)
    used = []
    for resume, steps in ((None, at), (tmp_path / "some.ckpt", 24)):
        module, callbacks = make()
        saver = lightning.callbacks.ModelCheckpoint(
            tmp_path, "some", every_n_train_steps=at, save_top_k=-1, enable_version_counter=False
        )
        stop = jobs.StopAt(steps)
        jobs.trainer(tmp_path, *callbacks, saver, stop, enable_checkpointing=True).fit(
            module, loader(), ckpt_path=resume and str(resume)
        )
        used += module.used
    assert used == planned(24), at


def test_several_updates_in_a_batch_and_several_optimizers_have_plans_of_their_own(
    tmp_path: Path,
) -> None:
    module = jobs.Manual()
    once = ours.PlanCallback(PLAN, optimizer=1)
    twice = ours.PlanCallback(PLAN, optimizer=0, total_steps=8)
    jobs.trainer(tmp_path, twice, once).fit(module, loader(2))
    assert (module.used, module.used_by_other) == (planned(8), planned(4))


def test_one_plan_for_several_optimizers_counts_a_round_of_them(tmp_path: Path) -> None:
    module = jobs.OnceEach()
    jobs.trainer(tmp_path, ours.PlanCallback(PLAN), max_steps=40).fit(module, loader())
    assert (module.used, module.used_by_other) == (planned(20), planned(20))


@pytest.mark.peers
def test_manual_optimization_goes_on_with_the_same_values(tmp_path: Path) -> None:
    used, used_by_other = [], []
    for resume, epochs in ((None, 1), (str(tmp_path / "half.ckpt"), 2)):
        module = jobs.Manual()
        callbacks = [
            ours.PlanCallback(PLAN, optimizer=0, total_steps=48),
            ours.PlanCallback(PLAN, optimizer=1, total_steps=24),
        ]
        running = jobs.trainer(tmp_path, *callbacks, epochs=epochs)
        running.fit(module, loader(), ckpt_path=resume)
        if resume is None:
            running.save_checkpoint(tmp_path / "half.ckpt")
        used += module.used
        used_by_other += module.used_by_other
    assert (used, used_by_other) == (planned(48), planned(24))


PLATEAU = wd.Plan.of(lr=wd.Plateau(metric="val_loss", factor=0.5, patience=0))


def epoch_rates(module: Any, batches: int = 12) -> list[float]:
    return [rate for rate, _ in module.used[::batches]]


def test_a_plateau_follows_the_metric_of_each_validation_over_a_resume(tmp_path: Path) -> None:
    losses = [1.0, 1.0, 0.5, 0.6, 0.4]
    whole = jobs.Digits(losses)
    jobs.trainer(tmp_path, ours.PlanCallback(PLATEAU), epochs=5).fit(whole, loader(2), loader(1))
    assert epoch_rates(whole, 2) == [0.3, 0.3, 0.15, 0.15, 0.075]

    rates = []
    for resume, epochs in ((None, 2), (str(tmp_path / "two.ckpt"), 5)):
        module = jobs.Digits(losses)
        running = jobs.trainer(tmp_path, ours.PlanCallback(PLATEAU), epochs=epochs)
        running.fit(module, loader(2), loader(1), ckpt_path=resume)
        if resume is None:
            running.save_checkpoint(tmp_path / "two.ckpt")
        rates += epoch_rates(module, 2)
    assert rates == epoch_rates(whole, 2)


def test_without_validation_a_metric_of_training_is_followed(tmp_path: Path) -> None:
    class Training(jobs.Digits):  # type: ignore[misc]
        def training_step(self, batch: Any) -> Any:
            self.log("still", 1.0)
            return super().training_step(batch)

    module = Training()
    plan = wd.Plateau(metric="still", factor=0.5, patience=0)
    jobs.trainer(tmp_path, ours.PlanCallback(plan), epochs=3).fit(module, loader())
    assert epoch_rates(module) == [0.3, 0.3, 0.15]


@pytest.mark.peers
def test_the_same_trainer_goes_on_in_a_second_fit(tmp_path: Path) -> None:
    module, callback = jobs.Digits(), ours.PlanCallback(PLAN, total_steps=24)
    running = jobs.trainer(tmp_path, callback, epochs=1)
    running.fit(module, loader())
    before = module.used
    running.fit_loop.max_epochs = 2
    running.fit(module, loader())
    assert before + module.used == planned(24)


def test_another_trainer_begins_again_with_the_same_callback(tmp_path: Path) -> None:
    callback = ours.PlanCallback(PLAN)
    for _ in range(2):
        module = jobs.Digits()
        jobs.trainer(tmp_path, callback).fit(module, loader(2))
        assert module.used == planned(4)


def test_a_checkpoint_without_the_callback_gives_the_count_of_updates(tmp_path: Path) -> None:
    running = jobs.trainer(tmp_path, epochs=1)
    running.fit(jobs.Digits(), loader())
    running.save_checkpoint(tmp_path / "bare.ckpt")
    module = jobs.Digits()
    jobs.trainer(tmp_path, ours.PlanCallback(PLAN)).fit(
        module, loader(), ckpt_path=str(tmp_path / "bare.ckpt")
    )
    assert module.used == planned(24)[12:]


def test_a_manual_checkpoint_without_the_callback_is_refused(tmp_path: Path) -> None:
    running = jobs.trainer(tmp_path, epochs=1)
    running.fit(jobs.Manual(), loader())
    running.save_checkpoint(tmp_path / "bare.ckpt")
    with pytest.raises(wd.StateError, match=r"step 36 was written without it.*Resume from one"):
        jobs.trainer(tmp_path, ours.PlanCallback(PLAN)).fit(
            jobs.Manual(), loader(), ckpt_path=str(tmp_path / "bare.ckpt")
        )


@pytest.mark.peers
def test_a_checkpoint_of_another_plan_is_refused_or_joined_by_the_policy(tmp_path: Path) -> None:
    running = jobs.trainer(tmp_path, ours.PlanCallback(PLAN))
    running.fit(jobs.Digits(), loader())
    running.save_checkpoint(tmp_path / "end.ckpt")

    def go_on(**how: Any) -> Any:
        module, callback = jobs.Digits(), ours.PlanCallback(PLAN, **how)
        jobs.trainer(tmp_path, callback, epochs=4).fit(
            module, loader(), ckpt_path=str(tmp_path / "end.ckpt")
        )
        return module.used

    with pytest.raises(wd.StateError, match="on_change"):
        go_on()
    assert go_on(on_change="given") == planned(48)[24:]


def test_a_second_scheduler_of_the_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wd.BindingError, match=r"PlanCallback.*a StepLR of the trainer.*leave out"):
        jobs.trainer(tmp_path, ours.PlanCallback(PLAN)).fit(jobs.WithScheduler(), loader())


def test_a_plan_of_another_field_stands_beside_the_modules_scheduler(tmp_path: Path) -> None:
    module = jobs.WithScheduler()
    plan = wd.Plan.of(weight_decay=wd.Linear(start=1.0, end=2.0, steps="100%"))
    jobs.trainer(tmp_path, ours.PlanCallback(plan)).fit(module, loader(2))
    assert [decay for _, decay in module.used] == [decay for _, decay in planned(4)]
    assert module.used[-1][0] == pytest.approx(0.03)


def test_an_index_without_an_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wd.BindingError, match=r"optimizer=1\).* returned 1\. Give an index"):
        jobs.trainer(tmp_path, ours.PlanCallback(PLAN, optimizer=1)).fit(jobs.Digits(), loader())


def test_a_configured_plan_with_a_metric_is_refused_with_the_way_out(tmp_path: Path) -> None:
    class Following(jobs.Digits):  # type: ignore[misc]
        def configure_optimizers(self) -> Any:
            return ours.configure_plan(self, super().configure_optimizers(), PLATEAU)

    with pytest.raises(wd.BindingError, match=r"follows val_loss.*PlanCallback\(plan\)"):
        jobs.trainer(tmp_path).fit(Following([1.0] * 2), loader(), loader(1))


@pytest.mark.peers
def test_lightnings_monitor_logs_a_configured_plan(tmp_path: Path) -> None:
    monitor = lightning.callbacks.LearningRateMonitor("step")
    logger = lightning.loggers.CSVLogger(tmp_path)
    module = jobs.Configured()
    jobs.trainer(tmp_path, monitor, logger=logger, log_every_n_steps=1).fit(module, loader())
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr-SGD")
    logged = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert logged == pytest.approx([rate for rate, _ in planned(24)])


@pytest.mark.peers
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
        callbacks=[ours.PlanCallback(PLAN)],
    ).fit(module, loader())
    assert module.used == planned(24)
