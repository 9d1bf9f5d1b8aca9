"""Schedulers by their class in the files of Lightning and Hydra, against those libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.importing.driven import values_of

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings
from warmdown.plan import Plan

STEP = "torch.optim.lr_scheduler.StepLR"
COSINE = "torch.optim.lr_scheduler.CosineAnnealingLR"
EACH = 20


def rates(plan: Plan, lr: float, count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = wd.Scheduler(optimizer, plan)
    return values_of(scheduler, count)


def original(config: Any, lr: float, calls: int) -> list[float]:
    """Return the rates that a class of torch writes, without a trainer around it."""
    module, _, name = config["class_path"].rpartition(".")
    assert module == "torch.optim.lr_scheduler"
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **config["init_args"])
    found = []
    for _ in range(calls):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


WHOLE: dict[str, Any] = {
    "seed_everything": 42,
    "trainer": {"accelerator": "auto", "max_epochs": 30, "max_steps": -1, "callbacks": None},
    "model": {"class_path": "my.Model", "init_args": {"width": 8}},
    "data": {"class_path": "my.Data", "init_args": {"batch_size": 4}},
    "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": "1e-1"}},
    "lr_scheduler": {
        "class_path": COSINE,
        "init_args": {"T_max": 30, "eta_min": "1e-3", "last_epoch": -1},
    },
    "ckpt_path": None,
}
CONFIG = {"class_path": COSINE, "init_args": {"T_max": 30, "eta_min": 1e-3}}


@pytest.mark.parametrize("section", ["", "fit"])
def test_a_whole_file_of_lightning_changes_its_rate_once_an_epoch(section: str) -> None:
    settings = {section: WHOLE} if section else WHOLE
    plan = from_settings(settings, report=None, steps_per_epoch=EACH)
    expected = np.repeat(original(CONFIG, 0.1, 30), EACH)
    np.testing.assert_allclose(rates(plan, 0.1, 600), expected, rtol=1e-9, atol=1e-15)
    assert plan.run.total_steps == 600


def test_a_scheduler_of_a_model_is_stepped_at_its_interval() -> None:
    arguments = {"lr": 0.1, "lr_scheduler": CONFIG}
    settings = {"trainer": {"max_epochs": 4}, "model": {"init_args": arguments}}
    by_epoch = from_settings(settings, report=None, steps_per_epoch=EACH)
    expected = np.repeat(original(CONFIG, 0.1, 4), EACH)
    np.testing.assert_allclose(rates(by_epoch, 0.1, 80), expected, rtol=1e-9)
    arguments["interval"] = "step"
    by_step = from_settings(settings, report=None, steps_per_epoch=EACH)
    np.testing.assert_allclose(rates(by_step, 0.1, 80), original(CONFIG, 0.1, 80), rtol=1e-9)
    arguments["interval"] = "batch"
    with pytest.raises(ScheduleError, match=r"model.init_args.interval='batch'"):
        from_settings(settings, report=None, steps_per_epoch=EACH)


def test_a_configuration_around_a_scheduler_has_its_interval_and_frequency() -> None:
    settings = {
        "trainer": {"max_steps": 60},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1},
        "lr_scheduler": {
            "scheduler": {"_target_": STEP, "_partial_": True, "step_size": 2, "gamma": 0.5},
            "interval": "epoch",
            "frequency": 3,
        },
    }
    plan = from_settings(settings, report=None, steps_per_epoch=5)
    config = {"class_path": STEP, "init_args": {"step_size": 2, "gamma": 0.5}}
    expected = np.repeat(original(config, 0.1, 4), 15)
    np.testing.assert_allclose(rates(plan, 0.1, 60), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["StepLR", STEP])
def test_a_class_may_have_a_short_name(name: str) -> None:
    settings = {**WHOLE, "lr_scheduler": {"class_path": name, "init_args": {"step_size": 7}}}
    plan = from_settings(settings, report=None, steps_per_epoch=EACH)
    config = {"class_path": STEP, "init_args": {"step_size": 7}}
    expected = np.repeat(original(config, 0.1, 30), EACH)
    np.testing.assert_allclose(rates(plan, 0.1, 600), expected, rtol=1e-9)


def test_a_plateau_of_lightning_follows_its_metric() -> None:
    arguments = {"monitor": "val_loss", "patience": 2, "factor": 0.5}
    given = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": arguments}
    plan = from_settings({**WHOLE, "lr_scheduler": given}, report=None, steps_per_epoch=EACH)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = wd.Scheduler(optimizer, plan)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
        scheduler.observe(val_loss=1.0)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("settings", "expected", "lr"),
    [
        (
            {
                "model": {
                    "_target_": "src.models.Module",
                    "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.05},
                    "scheduler": {
                        "_target_": COSINE,
                        "_partial_": True,
                        "T_max": "${trainer.max_steps}",
                        "eta_min": 0.001,
                    },
                },
                "trainer": {"_target_": "lightning.pytorch.Trainer", "max_steps": 100},
                "paths": {"root": "${oc.env:ROOT}", "log": "${hydra:runtime.cwd}/${paths.root}"},
            },
            {"class_path": COSINE, "init_args": {"T_max": 100, "eta_min": 0.001}},
            0.05,
        ),
        (
            {
                "optim": {"optimizer": {"lr": "${base_lr}"}, "scheduler": {
                    "_target_": "torch.optim.lr_scheduler.SequentialLR",
                    "milestones": ["${....warmup}"],
                    "optimizer": "${optim.optimizer}",
                    "schedulers": [
                        {"_target_": "torch.optim.lr_scheduler.LinearLR",
                         "start_factor": 0.1, "total_iters": "${warmup}"},
                        {"_target_": COSINE, "T_max": 90},
                    ],
                }},
                "base_lr": "2e-1",
                "warmup": 10,
            },
            None,
            0.2,
        ),
    ],
)  # fmt: skip
def test_hydra_s_targets_are_found_at_any_depth_with_their_interpolations(
    settings: dict[str, Any], expected: Any, lr: float
) -> None:
    plan = from_settings(settings, report=None, total_steps=100)
    assert plan.run.lr == lr
    if expected is None:
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
        scheduler = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90),
            ],
            milestones=[10],
        )
        theirs = []
        for _ in range(100):
            theirs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    else:
        theirs = original(expected, lr, 100)
    np.testing.assert_allclose(rates(plan, lr, 100), theirs, rtol=1e-9, atol=1e-15)


def test_interpolations_are_those_of_omegaconf() -> None:
    omegaconf = pytest.importorskip("omegaconf")
    settings = {
        "a": {"b": 3, "c": "${.b}", "d": {"e": "${..b}", "f": "${a.list[1]}"}, "list": [1, 2]},
        "name": "run_${a.b}_${key}",
        "key": "b",
        "nested": "${a.${key}}",
        "node": "${a.d}",
    }
    from warmdown.importing.formats.interpolation import interpolated

    theirs = omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.create(settings), resolve=True)
    assert interpolated(settings) == theirs


def test_hydra_itself_makes_the_scheduler_that_was_imported() -> None:
    utils = pytest.importorskip("hydra.utils")
    node = {"_target_": COSINE, "_partial_": True, "T_max": 50, "eta_min": 1e-4}
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = utils.instantiate(node)(optimizer)
    theirs = []
    for _ in range(50):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    plan = from_settings({"scheduler": node}, report=None, total_steps=50, lr=0.1)
    np.testing.assert_allclose(rates(plan, 0.1, 50), theirs, rtol=1e-9)


def test_transformers_functions_count_updates() -> None:
    name = "transformers.get_cosine_schedule_with_warmup"
    settings = {
        "trainer": {"max_epochs": 10},
        "scheduler": {"_target_": name, "num_warmup_steps": 20, "num_training_steps": 200},
    }
    plan = from_settings(settings, report=None, steps_per_epoch=EACH, lr=0.1)
    values = rates(plan, 0.1, 200)
    assert values[10] == pytest.approx(0.05)
    assert values[110] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({"a": {"scheduler": {"_target_": STEP, "step_size": 1}},
          "b": {"scheduler": {"_target_": STEP, "step_size": 2}}}, {"total_steps": 9},
         r"a\.scheduler, b\.scheduler: these are several"),
        ({"scheduler": {"_target_": STEP, "_args_": [3]}}, {"total_steps": 9}, "_args_"),
        ({"scheduler": {"_target_": STEP, "step_size": "${mul:2,3}"}}, {"total_steps": 9},
         "step_size"),
        ({"a": "${b}", "b": "${a}"}, {"total_steps": 9}, "never ends"),
        ({"trainer": {"max_epochs": 3}, "lr_scheduler": {"class_path": STEP}}, {},
         "--steps-per-epoch"),
        ({"trainer": {"max_steps": 9}, "scheduler": {"_target_": STEP, "step_size": 1},
          "interval": "step", "frequency": 2}, {}, r"frequency=2"),
        ({"trainer": {}, "scheduler": {"_target_": "my.Own", "a": 1}, "interval": "step"},
         {"total_steps": 9}, "'my.Own': not imported"),
        ({"optimizer": {"lr": "fast"}, "scheduler": {"_target_": STEP, "step_size": 1}},
         {"total_steps": 9}, r"optimizer\.lr='fast'"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused_by_its_key(
    settings: dict[str, Any], known: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        from_settings(settings, report=None, **known)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_a_real_trainer_of_lightning_uses_these_rates() -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.cli import LightningCLI

    used: list[float] = []

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6, eta_min=0.01)
            return LightningCLI.configure_optimizers(self, optimizer, cosine)

        def training_step(self, batch: Any, _: int) -> Any:
            used.append(self.trainer.optimizers[0].param_groups[0]["lr"])
            return self.layer(batch[0]).sum()

    class Data(lightning.LightningDataModule):  # type: ignore[misc, name-defined]
        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(
                torch.utils.data.TensorDataset(torch.zeros(5, 2)), batch_size=1
            )

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
             "enable_model_summary": False, "accelerator": "cpu"}  # fmt: skip
    settings = {
        "trainer": {"max_epochs": 6, **quiet},
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        "lr_scheduler": {"class_path": COSINE, "init_args": {"T_max": 6, "eta_min": 0.01}},
    }
    lightning.Trainer(max_epochs=6, **quiet).fit(Module(), datamodule=Data())
    plan = from_settings(settings, report=None, steps_per_epoch=5)
    np.testing.assert_allclose(rates(plan, 0.1, 30), used, rtol=1e-9)
