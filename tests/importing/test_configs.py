"""Each format's file gives the rate of its own trainer at every update."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import cos, log, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from tests.importing.driven import values_of

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings

Rate = Callable[[int], float]


def half_cosine(share: float) -> float:
    return (1 + cos(pi * min(max(share, 0.0), 1.0))) / 2


def deepspeed(k: int) -> float:
    at = max(k - 1, 0)
    rise = log(at + 1) / log(100)
    return 1e-5 + 9e-5 * (rise if at < 100 else max(0.0, (1200 - at) / 1100))


def titan(decay: Callable[[float], float], end: float) -> Rate:
    def rate(k: int) -> float:
        if k < 50:
            return 1e-3 * (k + 1) / 50
        if k < 50 + 751:
            return 1e-3
        return 1e-3 * (end + (1 - end) * decay((k + 1 - 801) / 400))

    return rate


def detectron(k: int) -> float:
    warm = 0.001 * (1 - k / 100) + k / 100 if k < 100 else 1.0
    return 0.02 * warm * 0.1 ** ((k >= 500) + (k >= 800))


def nemo(k: int) -> float:
    if k < 100:
        return 1e-3 * (k + 1) / 101
    return 1e-5 if k > 1000 else 1e-5 + 0.99e-3 * half_cosine((k - 100) / 900)


def restarts(k: int) -> float:
    begin, weight = (0, 1.0) if k < 400 else (400, 0.5)
    return 1e-6 + weight * (1e-3 - 1e-6) * half_cosine(
        (k - begin) / 400 if k < 400 else (k - 400) / 800
    )


def windows(k: int) -> float:
    rise = 0.1 + 0.9 * min(k, 99) / 99
    return 0.01 * rise * (0.1 if k >= 600 else 1.0) * (0.1 if k >= 900 else 1.0)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], float, Rate]] = {
    "DeepSpeed": (
        {"scheduler": {"type": "WarmupDecayLR", "params": {
            "warmup_min_lr": "1e-5", "warmup_max_lr": 1e-4, "warmup_num_steps": "1e2",
            "total_num_steps": 1200}}},
        {}, 1e-4, deepspeed),
    "torchtitan, linear": (
        {"optimizer": {"lr": "1e-3"}, "training": {"steps": 1200},
         "lr_scheduler": {"warmup_steps": 50, "decay_ratio": 1 / 3, "min_lr_factor": 0.1}},
        {}, 1e-3, titan(lambda share: 1 - share, 0.1)),
    "torchtitan, sqrt": (
        {"optimizer": {"lr": 1e-3}, "training": {"steps": 1200},
         "lr_scheduler": {"warmup_steps": 50, "decay_ratio": 1 / 3, "decay_type": "sqrt"}},
        {}, 1e-3, titan(lambda share: 1 - sqrt(share), 0.0)),
    "torchtitan, cosine": (
        {"optimizer": {"lr": 1e-3}, "training": {"steps": 1200},
         "lr_scheduler": {"warmup_steps": 50, "decay_ratio": 1 / 3, "decay_type": "cosine"}},
        {}, 1e-3, titan(half_cosine, 0.0)),
    "composer": (
        {"scheduler": {"name": "cosine_with_warmup", "t_warmup": "0.1dur", "alpha_f": 0.1},
         "optimizer": {"lr": 6e-4}, "max_duration": "12ep"},
        {"steps_per_epoch": 100}, 6e-4,
        lambda k: 6e-4 * (k / 120 if k < 120 else 0.1 + 0.9 * half_cosine((k - 120) / 1080))),
    "BasicSR": (
        {"train": {"optim_g": {"lr": 1e-3}, "total_iter": 1200, "scheduler": {
            "type": "CosineAnnealingRestartLR", "periods": [400, 800], "restart_weights": [1, 0.5],
            "eta_min": 1e-6}}},
        {}, 1e-3, restarts),
    "detectron2": (
        {"SOLVER": {"STEPS": "(500, 800)", "MAX_ITER": 1200, "BASE_LR": 0.02, "WARMUP_ITERS": 100,
                    "GAMMA": 0.1}},
        {}, 0.02, detectron),
    "NeMo": (
        {"model": {"optim": {"lr": 1e-3, "sched": {"name": "CosineAnnealing", "warmup_steps": 100,
                   "constant_steps": 200, "min_lr": "1e-5", "max_steps": 1200}}}},
        {}, 1e-3, nemo),
    "axolotl": (
        {"learning_rate": "2e-4", "lr_scheduler": "cosine", "cosine_min_lr_ratio": 0.1,
         "cosine_constant_lr_ratio": 0.5, "warmup_steps": 60},
        {"total_steps": 1200}, 2e-4,
        lambda k: 2e-4 * (k / 60 if k < 60 else 0.1 + 0.9 * half_cosine((k - 60) / 540))),
    "timm": (
        {"sched": "cosine", "lr": 1e-3, "epochs": 10, "warmup_epochs": 2, "warmup_lr": 1e-6,
         "min_lr": 1e-5, "cooldown_epochs": 2},
        {"steps_per_epoch": 100}, 1e-3,
        lambda k: 1e-6 + (1e-3 - 1e-6) * (k // 100) / 2 if k < 200
        else 1e-5 + (1e-3 - 1e-5) * half_cosine((k // 100) / 10)),
    "mmengine, over each other": (
        {"param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 100},
            {"type": "MultiStepLR", "milestones": [6, 9], "gamma": 0.1, "end": 12}]},
        {"steps_per_epoch": 100, "lr": 0.01}, 0.01, windows),
    "Lightning": (
        {"trainer": {"max_epochs": 12}, "optimizer": {"init_args": {"lr": 0.1}},
         "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR",
                          "init_args": {"step_size": 5, "gamma": 0.5}}},
        {"steps_per_epoch": 100}, 0.1, lambda k: 0.1 * 0.5 ** (k // 500)),
    "OneTrainer, a preset": (
        {"base_model_name": "some/model", "model_type": "STABLE_DIFFUSION_15", "epochs": 12,
         "training_method": "LORA", "learning_rate": "3e-4", "batch_size": 4},
        {"steps_per_epoch": 100}, 3e-4, lambda k: 3e-4 * min(1.0, k / 200)),
    "Hydra": (
        {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True, "step_size": 500},
        {"total_steps": 1200, "lr": 0.1}, 0.1, lambda k: 0.1 * 0.1 ** (k // 500)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_its_trainer_s_rate_at_every_update(name: str) -> None:
    settings, known, base, rate = CASES[name]
    plan = from_settings(settings, report=None, **known)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = wd.Scheduler(optimizer, plan)
    found = values_of(scheduler, 1200)
    np.testing.assert_allclose(found, [rate(k) for k in range(1200)], rtol=1e-9, atol=1e-12)
    assert wd.loads(wd.dumps(plan)) == plan


def test_a_model_named_by_a_text_is_no_part_of_a_format() -> None:
    settings, known, base, rate = CASES["timm"]
    plan = from_settings({"model": "resnet50", "scheduler": "x", **settings}, report=None, **known)
    assert wd.Scheduler(torch.optim.SGD([torch.zeros(1)], lr=base), plan).value(0) == rate(0)


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": "auto"}}},
         {"total_steps": 10}, r"warmup_num_steps='auto': a number is needed"),
        ({"scheduler": {"type": "TwoCycle", "params": {}}}, {}, r"scheduler\.type='TwoCycle'"),
        ({"lr_scheduler": {"warmup_steps": 5, "decay_shape": 1}, "training": {"steps": 9}}, {},
         r"lr_scheduler\.decay_shape=1: this setting cannot be imported"),
        ({"scheduler": {"name": "cosine_with_warmup", "t_warmup": "5 s"}, "max_duration": "9ba"},
         {}, r"t_warmup='5 s': a time such as"),
        ({"scheduler": {"name": "cosine_with_warmup"}, "max_duration": "9ep"}, {},
         "Give --steps-per-epoch"),
        ({"train": {"optim_g": {"lr": 1}, "total_iter": 9, "scheduler": {
            "type": "CosineAnnealingRestartLR", "periods": "many"}}}, {}, "a list of numbers"),
        ({"SOLVER": {"WARMUP_METHOD": "quadratic"}}, {}, r"SOLVER\.WARMUP_METHOD"),
        ({"optim": {"lr": 1, "sched": {"name": "Cosine"}}}, {}, r"optim\.sched\.name"),
        ({"param_scheduler": {"type": "LinearLR", "end": 9}}, {}, "Give --steps-per-epoch"),
        ({"sched": "cosine", "warmup_epochs": 1, "lr": 1, "epochs": 3, "lr_noise": [0.4],
          "sched_on_updates": True},
         {"steps_per_epoch": 2}, r"timm\.lr_noise"),
        ({"lr_scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR"}}, {}, "--epochs"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_its_key(
    settings: dict[str, Any], known: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        from_settings(settings, report=None, **known)


def test_files_are_read_as_toml_json_and_yaml_with_its_tags(tmp_path: Path) -> None:
    titan_settings = (
        "[optimizer]\nlr = 1e-3\n[lr_scheduler]\nwarmup_steps = 5\n[training]\nsteps = 50\n"
    )
    basic, _, _, _ = CASES["BasicSR"]
    files = {
        "titan.toml": titan_settings,
        "basic.yml": yaml.safe_dump(basic).replace("lr: 0.001", "lr: !!float 1e-3"),
        "basic.json": json.dumps(basic),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        done = CliRunner().invoke(main, ["import", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert wd.loads(done.output) == wd.import_config(tmp_path / name)
    (tmp_path / "bad.toml").write_text("= 3")
    assert "no TOML" in CliRunner().invoke(main, ["import", str(tmp_path / "bad.toml")]).output
