"""Configurations of kohya and ai-toolkit, against transformers, diffusers and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.importing.driven import rates_driven

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings
from warmdown.plan import Plan

# a LoRA file of kohya's, with keys that do not change the rate
KOHYA: dict[str, Any] = {
    "pretrained_model_name_or_path": "some/model", "network_module": "networks.lora",
    "network_dim": 32, "network_args": ["conv_dim=4"], "optimizer_type": "AdamW8bit",
    "optimizer_args": ["weight_decay=0.1"], "learning_rate": 1e-4, "lr_scheduler": "cosine",
    "lr_warmup_steps": 50, "max_train_steps": 1000, "train_batch_size": 2, "resolution": "512",
    "min_snr_gamma": 5, "unet_lr": None, "lr_scheduler_type": "", "lr_scheduler_args": [],
    "caption_dropout_rate": 0.05, "save_every_n_epochs": 1, "seed": 42,
}  # fmt: skip


def rates_of(plan: Plan, groups: dict[str, float], count: int) -> np.ndarray[Any, Any]:
    """Return the rate of every group at every update, driven over the whole run."""
    named = [{"params": [torch.zeros(1)], "name": name, "lr": lr} for name, lr in groups.items()]
    optimizer = torch.optim.SGD(named)
    return rates_driven(optimizer, wd.Scheduler(optimizer, plan), count)


def written(make: Any, lrs: list[float], count: int) -> np.ndarray[Any, Any]:
    """Return the rates that a real scheduler writes on groups with these rates."""
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in lrs]
    optimizer = torch.optim.SGD(groups, lr=lrs[0])
    return rates_driven(optimizer, make(optimizer), count)


@pytest.mark.parametrize(
    ("changes", "function", "arguments"),
    [
        ({}, "get_cosine_schedule_with_warmup", {"num_warmup_steps": 50}),
        ({"lr_warmup_steps": 0.1}, "get_cosine_schedule_with_warmup", {"num_warmup_steps": 100}),
        ({"lr_warmup_steps": "10%"}, "get_cosine_schedule_with_warmup", {"num_warmup_steps": 100}),
        ({"lr_warmup_steps": "0"}, "get_cosine_schedule_with_warmup", {"num_warmup_steps": 0}),
        ({"lr_scheduler": "linear"}, "get_linear_schedule_with_warmup", {"num_warmup_steps": 50}),
        ({"lr_scheduler": "constant_with_warmup"}, "get_constant_schedule_with_warmup",
         {"num_warmup_steps": 50}),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 3},
         "get_cosine_with_hard_restarts_schedule_with_warmup",
         {"num_warmup_steps": 50, "num_cycles": 3}),
        ({"lr_scheduler": "polynomial", "lr_scheduler_power": "2"},
         "get_polynomial_decay_schedule_with_warmup", {"num_warmup_steps": 50, "power": 2.0}),
        ({"lr_scheduler": "inverse_sqrt"}, "get_inverse_sqrt_schedule", {"num_warmup_steps": 50}),
        ({"lr_scheduler": "inverse_sqrt", "lr_scheduler_timescale": 200},
         "get_inverse_sqrt_schedule", {"num_warmup_steps": 50, "timescale": 200}),
        ({"lr_scheduler": "cosine_with_min_lr", "lr_scheduler_min_lr_ratio": 0.1},
         "get_cosine_with_min_lr_schedule_with_warmup",
         {"num_warmup_steps": 50, "num_cycles": 0.5, "min_lr_rate": 0.1}),
        ({"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 0.2,
          "lr_scheduler_min_lr_ratio": 0.05}, "get_wsd_schedule",
         {"num_warmup_steps": 50, "num_stable_steps": 750, "num_decay_steps": 200,
          "min_lr_ratio": 0.05}),
        ({"lr_scheduler_args": ["num_cycles=0.25"]}, "get_cosine_schedule_with_warmup",
         {"num_warmup_steps": 50, "num_cycles": 0.25}),
    ],
    ids=str,
)  # fmt: skip
def test_kohya_gives_what_transformers_writes(
    changes: dict[str, Any], function: str, arguments: dict[str, Any]
) -> None:
    optimization = pytest.importorskip("transformers.optimization")
    steps = {"num_training_steps": 1000}
    if function in ("get_constant_schedule_with_warmup", "get_inverse_sqrt_schedule",
                    "get_wsd_schedule"):  # fmt: skip
        steps = {}
    theirs = written(
        lambda optimizer: getattr(optimization, function)(optimizer, **steps, **arguments),
        [1e-4, 3e-5],
        1000,
    )
    settings = {**KOHYA, **changes}
    alone = from_settings(settings, report=None)
    np.testing.assert_allclose(
        rates_of(alone, {"all": 1e-4}, 1000)[0], theirs[0], rtol=1e-9, atol=1e-18
    )
    parts = from_settings({**settings, "text_encoder_lr": "3e-5"}, report=None)
    found = rates_of(parts, {"unet": 1e-4, "text_encoder": 1.0}, 1000)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-18)


def test_kohya_s_piecewise_constant_is_that_of_diffusers() -> None:
    optimization = pytest.importorskip("diffusers.optimization")
    rules = "1:100,0.1:400,0.01"
    settings = {**KOHYA, "lr_scheduler": "piecewise_constant", "lr_warmup_steps": 0,
                "lr_scheduler_args": [f"step_rules='{rules}'"]}  # fmt: skip
    theirs = written(
        lambda optimizer: optimization.get_piecewise_constant_schedule(optimizer, rules),
        [1e-4],
        1000,
    )
    plan = from_settings(settings, report=None)
    np.testing.assert_allclose(rates_of(plan, {"all": 1e-4}, 1000), theirs, rtol=1e-9)


def test_kohya_takes_a_class_of_torch_with_its_arguments() -> None:
    settings = {**KOHYA, "lr_scheduler_type": "CosineAnnealingLR", "lr_warmup_steps": 0,
                "lr_scheduler_args": ["T_max=1000", "eta_min=1e-6"]}  # fmt: skip
    theirs = written(
        lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, T_max=1000, eta_min=1e-6),
        [1e-4, 5e-5],
        1000,
    )
    plan = from_settings({**settings, "unet_lr": 1e-4, "text_encoder_lr": 5e-5}, report=None)
    found = rates_of(plan, {"unet": 1e-4, "text_encoder": 5e-5}, 1000)
    np.testing.assert_allclose(found, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "lr", "labels"),
    [
        ({"unet_lr": 3e-4, "network_train_unet_only": True}, 3e-4, ["lr"]),
        ({"text_encoder_lr": 3e-5, "network_train_text_encoder_only": True}, 3e-5, ["lr"]),
        ({"unet_lr": 2e-4, "text_encoder_lr": 2e-4}, 2e-4, ["lr"]),
        ({"unet_lr": 1e-4, "text_encoder_lr": 0}, 1e-4, ["lr"]),
        ({"text_encoder_lr": [1e-5, 2e-5]}, 1e-4,
         ["lr/text_encoder1", "lr/text_encoder2", "lr"]),
        ({"learning_rate": None}, 2e-6, ["lr"]),
        ({"learning_rate_te1": 3e-6}, 1e-4, ["lr/text_encoder1", "lr"]),
    ],
)  # fmt: skip
def test_kohya_s_parts_have_their_rates(
    changes: dict[str, Any], lr: float, labels: list[str]
) -> None:
    plan = from_settings({**KOHYA, **changes}, report=None)
    assert plan.run.lr == lr
    assert [target.label for target in plan.targets] == labels


def test_kohya_s_epochs_and_sections_and_defaults() -> None:
    sections = {"model": {"pretrained_model_name_or_path": "m"},
                "training": {"lr_scheduler": "linear", "lr_warmup_steps": 0.1,
                             "network_module": "networks.lora"}}  # fmt: skip
    plan = from_settings(sections, report=None)
    assert plan.run.total_steps == 1600
    assert plan.targets[0].rule.of(80) == pytest.approx(0.5)
    by_epoch = from_settings({**KOHYA, "max_train_epochs": 4}, report=None, steps_per_epoch=100)
    assert by_epoch.run.total_steps == 400
    with pytest.raises(ScheduleError, match="Give --steps-per-epoch"):
        from_settings({**KOHYA, "max_train_epochs": 4}, report=None)


def test_kohya_s_command_line_is_read(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text(
        "#!/bin/bash\naccelerate launch --num_cpu_threads_per_process=2 train_network.py \\\n"
        '  --pretrained_model_name_or_path="some/model" --learning_rate="1e-4" \\\n'
        '  --lr_scheduler=cosine --lr_warmup_steps="0.05" --max_train_steps=1000 \\\n'
        '  --lr_scheduler_args "num_cycles=0.5" --network_module=networks.lora --xformers\n'
    )
    expected = from_settings({**KOHYA, "lr_warmup_steps": 50}, report=None)
    assert wd.import_config(script, report=None) == expected


AI: dict[str, Any] = {
    "job": "extension",
    "config": {
        "name": "my_lora",
        "process": [{
            "type": "sd_trainer", "training_folder": "output", "device": "cuda:0",
            "network": {"type": "lora", "linear": 16}, "save": {"dtype": "float16"},
            "train": {
                "batch_size": 1, "steps": 500, "gradient_accumulation_steps": 1, "lr": "1e-4",
                "train_unet": True, "train_text_encoder": False, "optimizer": "adamw8bit",
                "dtype": "bf16", "ema_config": {"use_ema": True},
            },
            "sample": {"sample_every": 250},
        }],
    },
    "meta": {"name": "[name]"},
}  # fmt: skip


def ai_toolkit(**changes: Any) -> dict[str, Any]:
    (process,) = AI["config"]["process"]
    process = {**process, "train": {**process["train"], **changes}}
    return {**AI, "config": {**AI["config"], "process": [process]}}


@pytest.mark.parametrize(
    ("changes", "kind", "arguments"),
    [
        ({}, "ConstantLR", {"factor": 1.0, "total_iters": 500}),
        ({"lr_scheduler": "cosine", "lr_scheduler_params": {"eta_min": "1e-6"}},
         "CosineAnnealingLR", {"T_max": 500, "eta_min": 1e-6}),
        ({"lr_scheduler": "linear", "lr_scheduler_params": {"end_factor": 0.1,
          "start_factor": 1.0}}, "LinearLR",
         {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 500}),
        ({"lr_scheduler": "linear"}, "LinearLR", {"total_iters": 500}),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_params": {"T_0": 100}},
         "CosineAnnealingWarmRestarts", {"T_0": 100}),
        ({"lr_scheduler": "step", "lr_scheduler_params": {"step_size": 200, "gamma": 0.5}},
         "StepLR", {"step_size": 200, "gamma": 0.5}),
    ],
    ids=str,
)  # fmt: skip
def test_ai_toolkit_gives_what_its_class_of_torch_writes(
    changes: dict[str, Any], kind: str, arguments: dict[str, Any]
) -> None:
    theirs = written(
        lambda optimizer: getattr(torch.optim.lr_scheduler, kind)(optimizer, **arguments),
        [1e-4, 4e-5],
        500,
    )
    plan = from_settings(ai_toolkit(**changes), report=None)
    assert plan.run.total_steps == 500
    np.testing.assert_allclose(rates_of(plan, {"all": 1e-4}, 500)[0], theirs[0], rtol=1e-9)
    parts = from_settings(ai_toolkit(**changes, unet_lr=4e-5, text_encoder_lr=9.0), report=None)
    found = rates_of(parts, {"all": 1e-4, "unet": 1.0}, 500)
    np.testing.assert_allclose(found, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({**KOHYA, "lr_scheduler": "adafactor:1e-5"}, r"kohya\.lr_scheduler='adafactor:1e-5'"),
        ({**KOHYA, "lr_scheduler": "constant"}, r"kohya\.lr_warmup_steps=50: constant has no"),
        ({**KOHYA, "lr_scheduler_args": ["T_max"]}, "lr_scheduler_args='T_max'"),
        ({**KOHYA, "lr_scheduler_args": ["high=3"]}, r"high=…\): there is no such argument"),
        ({**KOHYA, "block_lr": "1e-4,1e-5"}, r"kohya\.block_lr"),
        ({**KOHYA, "network_args": ["loraplus_lr_ratio=16"]}, "loraplus_lr_ratio"),
        ({**KOHYA, "lr_warmup_steps": "soon"}, r"lr_warmup_steps='soon'"),
        ({**KOHYA, "lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 960},
         "lr_decay_steps=960"),
        ({**KOHYA, "lr_scheduler": "piecewise_constant", "lr_scheduler_args": []}, "step_rules"),
        (ai_toolkit(lr_scheduler="polynomial"), r"train\.lr_scheduler='polynomial'"),
        (ai_toolkit(gradient_accumulation_steps=4), "gradient_accumulation_steps"),
        ({"config": {"process": [{"type": "x"}]}}, "one process with a train section"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_its_key(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        from_settings(settings, report=None)
