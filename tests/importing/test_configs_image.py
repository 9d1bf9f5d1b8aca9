"""Configurations of image trainers, against the trainers' own schedulers where they are at hand."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pytest
import torch
from tests.compat.timm_parts import timm_scheduler
from tests.importing.driven import rates_driven

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings
from warmdown.plan import Plan

# timm's train.py writes all of its arguments; these are those that are near the rate
TIMM_ARGS: dict[str, Any] = {
    "model": "vit_base_patch16_224", "opt": "adamw", "opt_eps": None, "opt_betas": None,
    "momentum": 0.9, "weight_decay": 0.05, "clip_grad": None, "clip_mode": "norm",
    "layer_decay": None, "opt_kwargs": {}, "sched": "cosine", "sched_on_updates": False,
    "lr": 1e-3, "lr_base": 0.1, "lr_base_size": 256, "lr_base_scale": "", "lr_noise": None,
    "lr_noise_pct": 0.67, "lr_noise_std": 1.0, "lr_cycle_mul": 1.0, "lr_cycle_decay": 0.5,
    "lr_cycle_limit": 1, "lr_k_decay": 1.0, "warmup_lr": 1e-5, "min_lr": 0.0, "epochs": 20,
    "epoch_repeats": 0.0, "start_epoch": None, "decay_milestones": [9, 18, 27],
    "decay_epochs": 4.0, "warmup_epochs": 5, "warmup_prefix": False, "cooldown_epochs": 0,
    "patience_epochs": 10, "decay_rate": 0.1, "batch_size": 128, "grad_accum_steps": 1,
    "seed": 42, "amp": True, "log_wandb": False, "eval_metric": "top1", "data_dir": None,
}  # fmt: skip
EACH = 50


def rates_of(plan: Plan, groups: list[dict[str, Any]], count: int) -> np.ndarray[Any, Any]:
    """Return the rates of every group at every update, driven by a scheduler over the whole run."""
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], **group} for group in groups])
    return rates_driven(optimizer, wd.Scheduler(optimizer, plan), count)


def rates_of_timm(settings: dict[str, Any], lr: float, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """Return the rate of every update, as timm's training loop steps its scheduler."""
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr_scale": scale}], lr=lr)
    scheduler, epochs = timm_scheduler().create_scheduler(
        argparse.Namespace(**settings), optimizer, EACH
    )
    rates, done = [], 0
    for epoch in range(int(epochs)):
        for _ in range(EACH):
            rates.append(optimizer.param_groups[0]["lr"])
            done += 1
            scheduler.step_update(num_updates=done)
        scheduler.step(epoch + 1)
    return np.array(rates)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"warmup_epochs": 0},
        {"warmup_prefix": True, "cooldown_epochs": 3, "min_lr": 1e-6},
        {"lr_cycle_limit": 3, "lr_cycle_mul": 2.0, "epochs": 5, "warmup_epochs": 1},
        {"lr_k_decay": 1.5, "min_lr": "1e-6"},
        {"lr_noise": [0.4, 0.9]},
        {"lr_noise": 0.5},
        {"sched": "step"},
        {"sched": "multistep"},
        {"sched": "poly", "decay_rate": 2.0},
        {"sched": "tanh", "min_lr": 1e-5},
        {"sched": "constant"},
        {"sched": "wsd", "decay_epochs": 0.25, "min_lr": 1e-6},
        {"sched": "rsqrt", "decay_epochs": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("on_updates", [False, True])
def test_the_args_of_timm_give_what_its_scheduler_writes(
    changes: dict[str, Any], on_updates: bool
) -> None:
    settings = {**TIMM_ARGS, **changes, "sched_on_updates": on_updates}
    if on_updates and "lr_noise" in changes:
        with pytest.raises(ScheduleError, match="lr_noise"):
            from_settings(settings, report=None, steps_per_epoch=10)
        return
    numbers = {**settings, "min_lr": float(settings["min_lr"])}
    theirs = rates_of_timm(numbers, 1e-3)
    plan = from_settings(settings, report=None, steps_per_epoch=EACH)
    assert plan.run.total_steps == len(theirs)
    (ours,) = rates_of(plan, [{"lr": 1e-3}], len(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15)


def test_timm_s_rate_comes_from_its_base_and_the_batch_and_is_said() -> None:
    said: list[str] = []
    settings = {**TIMM_ARGS, "lr": None, "lr_base": 1e-3, "batch_size": 1024}
    plan = from_settings(settings, report=said.append, steps_per_epoch=EACH)
    assert plan.run.lr == pytest.approx(1e-3 * (1024 / 256) ** 0.5)  # adaw: its square root
    assert "lr_base" in said[0]
    plan = from_settings({**settings, "opt": "sgd"}, report=None, steps_per_epoch=EACH)
    assert plan.run.lr == pytest.approx(4e-3)


def test_timm_s_layer_decay_is_in_the_groups_and_is_said() -> None:
    said: list[str] = []
    settings = {**TIMM_ARGS, "layer_decay": 0.75, "warmup_epochs": 0}
    plan = from_settings(settings, report=said.append, steps_per_epoch=EACH)
    assert "layer_decay" in said[0]
    ours = rates_of(plan, [{"lr": 1e-3}, {"lr": 1e-3, "lr_scale": 0.75}], 20 * EACH)
    np.testing.assert_allclose(ours[1], 0.75 * ours[0], rtol=1e-12)
    theirs = rates_of_timm(settings, 1e-3, scale=0.75)
    np.testing.assert_allclose(ours[1][EACH:], theirs[EACH:], rtol=1e-9, atol=1e-15)


PRESET: dict[str, Any] = {
    "base_model_name": "some/model", "batch_size": 4, "learning_rate": 3e-4,
    "model_type": "STABLE_DIFFUSION_15", "training_method": "LORA", "resolution": "768",
    "output_model_format": "SAFETENSORS", "prior": {"train": False, "weight_dtype": "NFLOAT_4"},
    "text_encoder": {"train": False, "learning_rate": 9.0}, "vae": {"weight_dtype": "FLOAT_32"},
    "optimizer": {"optimizer": "ADAMW", "weight_decay": 0.01}, "ema": "OFF", "epochs": 10,
}  # fmt: skip


def test_a_preset_as_shipped_is_constant_after_its_warmup() -> None:
    plan = from_settings(PRESET, report=None, steps_per_epoch=100)
    (ours,) = rates_of(plan, [{"lr": 3e-4}], 1000)
    at = np.arange(1000)
    np.testing.assert_allclose(ours, 3e-4 * np.minimum(at / 200, 1.0), rtol=1e-9)


@pytest.mark.parametrize(
    "parts",
    [
        {"unet": {"learning_rate": 1e-4}, "text_encoder": {"train": True, "learning_rate": "2e-5"}},
        {"unet_learning_rate": 1e-4, "text_encoder_learning_rate": "2e-5", "text_encoder": None},
    ],
)
def test_parts_with_rates_of_their_own_are_groups_by_name(parts: dict[str, Any]) -> None:
    settings = {**PRESET, "learning_rate_scheduler": "COSINE", **parts}
    plan = from_settings(settings, report=None, steps_per_epoch=100)
    groups = [{"name": name, "lr": 3e-4} for name in ("unet", "text_encoder", "embedding")]
    ours = rates_of(plan, groups, 1000)
    at = np.arange(1000)
    fall = (1 + np.cos(np.pi * np.maximum(at - 200, 0) / 800)) / 2
    factor = np.where(at < 200, at / 200, fall)
    np.testing.assert_allclose(ours, np.outer([1e-4, 2e-5, 3e-4], factor), rtol=1e-9, atol=1e-15)


def test_a_part_s_rate_that_is_the_shared_one_needs_no_group() -> None:
    settings = {**PRESET, "unet_learning_rate": 3e-4, "train_text_encoder": False,
                "text_encoder_learning_rate": 1.0, "embedding_learning_rate": None}  # fmt: skip
    plan = from_settings(settings, report=None, steps_per_epoch=100)
    assert [target.label for target in plan.targets] == ["lr"]


def test_onetrainer_s_rate_grows_with_the_root_of_the_batch() -> None:
    settings = {**PRESET, "learning_rate_scaler": "BOTH", "gradient_accumulation_steps": 4}
    plan = from_settings(settings, report=None, total_steps=1000)
    assert plan.run.lr == pytest.approx(3e-4 * 4)
    with pytest.raises(ScheduleError, match=r"learning_rate_scaler='SQUARE'"):
        from_settings({**PRESET, "learning_rate_scaler": "SQUARE"}, report=None, total_steps=9)
