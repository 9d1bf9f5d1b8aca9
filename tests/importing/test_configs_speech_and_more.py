"""Configurations of ESPnet, RLlib and ultralytics, against the formulas that they document."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, exp, log, pi
from typing import Any

import numpy as np
import pytest
import torch

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings
from warmdown.plan import Plan

ESPNET: dict[str, Any] = {
    "encoder": "conformer", "encoder_conf": {"output_size": 256}, "optim": "adam",
    "optim_conf": {"lr": "2e-3", "weight_decay": 1e-6}, "max_epoch": 12, "accum_grad": 4,
    "num_iters_per_epoch": 402, "batch_type": "numel", "patience": None, "scheduler2": None,
    "val_scheduler_criterion": ["valid", "loss"], "specaug": "specaug",
}  # fmt: skip
LR = 2e-3


def values_of(plan: Plan, lr: float, count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = wd.Scheduler(optimizer, plan)
    return [scheduler.value(k) for k in range(count)]


def noam(k: int) -> float:
    return float(LR * 256**-0.5 * min((k + 1) ** -0.5, (k + 1) * 300**-1.5))


def warmup_step(k: int) -> float:
    s = k + 1
    return LR * s / 250 if s <= 250 else LR * 0.5 ** ((s // 100 - 250 // 100) // 2)


def tristage(k: int) -> float:
    s = min(k + 1, 1000)
    if s < 100:
        return LR * (0.02 + 0.98 / 100 * s)
    return LR if s < 500 else LR * exp(log(0.05) / 500 * (s - 500))


def piecewise(k: int) -> float:
    right = LR * 300**0.5 * (k + 1) ** -0.5
    return float(np.interp(k + 1, [0, 100, 300], [0.0, 1e-3, 2e-3], right=right))


def restarts(k: int) -> float:
    length, high, at = 200, 0.01, k
    if k == 0:
        return 1e-4
    while at >= length:
        at -= length
        length, high = int((length - 20) * 1.5) + 20, high * 0.5
    if at < 20:
        return 1e-4 + (high - 1e-4) * at / 20
    return 1e-4 + (high - 1e-4) * (1 + cos(pi * (at - 20) / (length - 20))) / 2


def shrinking(k: int) -> float:
    if k < 8:  # a cycle of 5 updates, one of 3, and then the warmup alone
        wave = [0.0, 0.005, 0.01, 0.0075, 0.0025, 0.0, 0.005, 0.01]
        return wave[k]
    return 0.005 * (k % 2)


def exponential(from_zero: bool) -> Callable[[int], float]:
    def rate(k: int) -> float:
        if k == 0:
            return 0.0 if from_zero else 0.01
        if k < 100:
            return 0.01 * (k + 1) / 100 if from_zero else LR
        return 0.01 * exp(log(0.1) * (k - 100) / 900)

    return rate


@pytest.mark.parametrize(
    ("name", "conf", "rate"),
    [
        ("warmuplr", {"warmup_steps": "3e2"},
         lambda k: LR * 300**0.5 * min((k + 1) ** -0.5, (k + 1) * 300**-1.5)),
        ("WarmupLR", {"warmup_steps": 1}, lambda k: LR * (k + 1) ** -0.5),
        ("noamlr", {"warmup_steps": 300, "model_size": 256}, noam),
        ("warmupsteplr",
         {"warmup_steps": 250, "steps_per_epoch": 100, "step_size": 2, "gamma": 0.5}, warmup_step),
        ("tristagelr", {"max_steps": 1000, "init_lr_scale": 0.02, "final_lr_scale": 0.05},
         tristage),
        ("piecewiselinearwarmuplr",
         {"warmup_steps_list": [0, 100, 300], "warmup_lr_list": [0.0, 1e-3, 2e-3]}, piecewise),
        ("CosineAnnealingWarmupRestarts",
         {"first_cycle_steps": 200, "cycle_mult": 1.5, "max_lr": 0.01, "min_lr": 1e-4,
          "warmup_steps": 20, "gamma": 0.5}, restarts),
        ("exponentialdecaywarmup",
         {"max_lr": 0.01, "min_lr": 1e-3, "total_steps": 1000, "warmup_steps": 100},
         exponential(False)),
        ("exponentialdecaywarmup",
         {"max_lr": 0.01, "min_lr": 1e-3, "total_steps": 1000, "warmup_steps": 100,
          "warm_from_zero": True}, exponential(True)),
        ("exponentialdecaywarmup", {"max_lr": 0.01, "min_lr": 1e-3, "total_steps": 1000},
         lambda k: 0.01 * exp(log(0.1) * k / 1000)),
        ("exponentialdecaywarmup",
         {"max_lr": 0.01, "min_lr": 1e-3, "total_steps": 1000, "warmup_steps": 2,
          "warm_from_zero": True},
         lambda k: [0.0, 0.01][k] if k < 2 else 0.01 * exp(log(0.1) * (k - 2) / 998)),
        ("CosineAnnealingWarmupRestarts",
         {"first_cycle_steps": 5, "cycle_mult": 0.5, "max_lr": 0.01, "min_lr": 0.0,
          "warmup_steps": 2}, shrinking),
        ("steplr", {"step_size": 5, "gamma": 0.5}, lambda k: LR * 0.5 ** (k // 100 // 5)),
        ("cosineannealinglr", {"T_max": 12, "eta_min": 1e-4},
         lambda k: 1e-4 + (LR - 1e-4) * (1 + cos(pi * (k // 100) / 12)) / 2),
        ("cosineannealingwarmrestarts", {"T_0": 300},
         lambda k: LR * (1 + cos(pi * (k % 300) / 300)) / 2),
        (None, {}, lambda k: LR),
    ],
    ids=lambda given: getattr(given, "__name__", str(given)),
)  # fmt: skip
def test_espnet_s_schedulers_follow_their_formulas(
    name: str | None, conf: dict[str, Any], rate: Callable[[int], float]
) -> None:
    settings = {**ESPNET, "scheduler": name, "scheduler_conf": conf}
    plan = from_settings(settings, report=None)
    assert plan.run.total_steps == 1200
    expected = [rate(k) for k in range(1200)]
    base = plan.run.lr or 0.0
    assert base == pytest.approx(LR if name != "noamlr" else max(expected))
    np.testing.assert_allclose(values_of(plan, base, 1200), expected, rtol=1e-9, atol=1e-18)


PPO: dict[str, Any] = {
    "env": "CartPole-v1", "framework": "torch", "gamma": 0.99, "train_batch_size": 4000,
    "lr": [[0, 1e-3], [100_000, 1e-5], ["2e5", "1e-6"]], "entropy_coeff": 0.01,
    "model": {"fcnet_hiddens": [64, 64]}, "lambda": 0.95, "num_env_runners": 2,
}  # fmt: skip


def of_steps(at: float) -> float:
    return float(np.interp(at, [0, 100_000, 200_000], [1e-3, 1e-5, 1e-6]))


@pytest.mark.parametrize(
    ("settings", "many", "batch"),
    [
        (PPO, 1, 4000),
        ({**PPO, "lr": None, "lr_schedule": PPO["lr"]}, 1, 4000),
        ({**PPO, "num_epochs": 3, "minibatch_size": 1000}, 12, 4000),
        ({**PPO, "num_sgd_iter": 2, "sgd_minibatch_size": 3000}, 4, 4000),
        ({**PPO, "train_batch_size_per_learner": 3000, "num_learners": 2}, 1, 6000),
        ({"cartpole": {"env": "CartPole-v1", "run": "PPO", "stop": {"timesteps_total": 100_000},
                       "config": PPO}}, 1, 4000),
    ],
)  # fmt: skip
def test_rllib_s_rate_is_straight_between_environment_steps(
    settings: dict[str, Any], many: int, batch: int
) -> None:
    plan = from_settings(settings, report=None)
    end = 100_000 if "cartpole" in settings else 200_000
    total = -(-end // batch) * many
    assert plan.run.total_steps == total
    expected = [of_steps(k // many * batch) for k in range(total)]
    np.testing.assert_allclose(values_of(plan, 1e-3, total), expected, rtol=1e-9)


def test_rllib_s_iterations_each_make_the_updates_of_a_batch() -> None:
    config = {**PPO, "lr": "5e-5", "num_epochs": 3}
    settings = {"ppo": {"env": "CartPole-v1", "run": "PPO", "stop": {"training_iteration": 4},
                        "config": config}}  # fmt: skip
    plan = from_settings(settings, report=None)
    assert plan.run.total_steps == 12
    assert values_of(plan, 5e-5, 12) == [5e-5] * 12


@pytest.mark.parametrize("each", [30, 2000])
def test_ultralytics_auto_takes_the_given_rate_and_sgd_in_a_long_run(each: int) -> None:
    lines: list[str] = []
    settings = {**YOLO, "optimizer": "auto", "batch": None}
    plan = from_settings(settings, report=lines.append, steps_per_epoch=each, lr=0.01)
    assert any("auto takes the given rate" in line for line in lines)
    named = {**YOLO, "momentum": 0.9, "warmup_bias_lr": 0.0,
             "optimizer": "SGD" if each == 2000 else "AdamW"}  # fmt: skip
    assert plan == from_settings(named, report=None, steps_per_epoch=each, lr=0.01)
    assert ("momentum" in {target.name for target in plan.targets}) == (each == 2000)


def test_rllib_s_fixed_rate_is_constant() -> None:
    plan = from_settings({**PPO, "lr": "5e-5"}, report=None, total_steps=10)
    assert values_of(plan, 5e-5, 10) == [5e-5] * 10


YOLO: dict[str, Any] = {
    "task": "detect", "model": "yolo11n.pt", "data": "coco8.yaml", "epochs": 10, "batch": 64,
    "imgsz": 640, "optimizer": "SGD", "cos_lr": False, "lr0": 0.01, "lrf": "1e-2",
    "momentum": 0.937, "weight_decay": 0.0005, "warmup_epochs": 3.0, "warmup_momentum": 0.8,
    "warmup_bias_lr": 0.1, "nbs": 64, "box": 7.5, "fliplr": 0.5, "time": None,
}  # fmt: skip


def yolo(settings: dict[str, Any], each: int) -> np.ndarray[Any, Any]:
    """Return rate, rate of biases and momentum of each update, batch by batch as there."""
    epochs, last = settings["epochs"], float(settings["lrf"])
    nw = round(min(settings["warmup_epochs"], epochs - 1) * each)
    most = max(round(settings["nbs"] / settings["batch"]), 1)
    rows, done = [], -1
    for epoch in range(epochs):
        if settings["cos_lr"]:
            share = max((1 - cos(epoch * pi / epochs)) / 2, 0) * (last - 1) + 1
        else:
            share = max(1 - epoch / epochs, 0) * (1 - last) + last
        full = settings["lr0"] * share
        row, group = [full, full, settings["momentum"]], most
        for at in range(epoch * each, (epoch + 1) * each):
            if nw and at <= nw:
                group = max(1, int(np.interp(at, [0, nw], [1, most]).round()))
                row = [float(np.interp(at, [0, nw], pair)) for pair in (
                    [0.0, full], [settings["warmup_bias_lr"], full],
                    [settings["warmup_momentum"], settings["momentum"]])]  # fmt: skip
            else:
                row, group = [full, full, settings["momentum"]], most
            if at - done >= group:
                rows.append(row)
                done = at
    return np.array(rows).T


@pytest.mark.parametrize(
    "changes",
    [{}, {"cos_lr": True}, {"batch": 16}, {"batch": 24, "cos_lr": True}, {"warmup_epochs": 0.5},
     {"warmup_epochs": 0}, {"warmup_epochs": 30}],
    ids=lambda given: getattr(given, "__name__", str(given)),
)  # fmt: skip
def test_ultralytics_warms_up_by_batch_and_falls_by_epoch(changes: dict[str, Any]) -> None:
    settings = {**YOLO, **changes}
    theirs = yolo(settings, 30)
    plan = from_settings(settings, report=None, steps_per_epoch=30)
    assert plan.run.total_steps == theirs.shape[1]
    groups = [{"params": [torch.zeros(1)], "name": name} for name in ("weight", "bias")]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.937)
    scheduler = wd.Scheduler(optimizer, plan)
    rows = []
    for _ in range(theirs.shape[1]):
        weight, bias = optimizer.param_groups
        rows.append([weight["lr"], bias["lr"], weight["momentum"]])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(np.array(rows).T, theirs, rtol=1e-9, atol=1e-15)


def test_ultralytics_with_adam_plans_no_momentum_and_without_a_bias_rate_no_group() -> None:
    settings = {**YOLO, "optimizer": "AdamW", "warmup_bias_lr": 0.0}
    plan = from_settings(settings, report=None, steps_per_epoch=30)
    assert [target.label for target in plan.targets] == ["lr"]


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({**ESPNET, "scheduler": "warmupreducelronplateau", "scheduler_conf": {}}, {},
         r"espnet\.scheduler='warmupreducelronplateau'"),
        ({**ESPNET, "scheduler": "warmuplr", "scheduler_conf": {"steps": 3}}, {},
         r"scheduler_conf\.steps=3: this setting cannot be imported"),
        ({**ESPNET, "scheduler": "warmuplr", "scheduler2": "warmuplr", "scheduler_conf": {}}, {},
         r"espnet\.scheduler2"),
        ({**ESPNET, "scheduler": "warmuplr", "scheduler_conf": {}, "num_iters_per_epoch": None},
         {}, "Give --steps-per-epoch"),
        ({**ESPNET, "scheduler": "warmuplr", "scheduler_conf": {"warmup_steps": 0}}, {},
         r"warmup_steps=0: at least 1"),
        ({**ESPNET, "scheduler": "tristagelr", "scheduler_conf": {"decay_ratio": 0.6}}, {},
         r"decay_ratio=0\.6: the three ratios must add up to 1"),
        ({**ESPNET, "scheduler": "piecewiselinearwarmuplr",
          "scheduler_conf": {"warmup_steps_list": [9, 3]}}, {}, r"warmup_lr_list: as many as"),
        ({**ESPNET, "scheduler": "cosineannealingwarmuprestarts",
          "scheduler_conf": {"first_cycle_steps": 3, "warmup_steps": 3}}, {},
         r"warmup_steps=3: fewer than a cycle"),
        ({**ESPNET, "scheduler": "cosineannealingwarmuprestarts",
          "scheduler_conf": {"first_cycle_steps": 3, "cycle_mult": 0.5}}, {},
         r"cycle_mult=0\.5: a cycle would have no update"),
        ({**ESPNET, "scheduler": "exponentialdecaywarmup",
          "scheduler_conf": {"max_lr": 1, "min_lr": 0.1, "total_steps": 3, "warmup_steps": 3}}, {},
         r"warmup_steps=3: fewer than total_steps"),
        ({**PPO, "entropy_coeff": [[0, 0.1], [1000, 0.0]]}, {}, r"rllib\.entropy_coeff"),
        ({**PPO, "actor_lr": 1e-4}, {}, r"rllib\.actor_lr"),
        ({**PPO, "lr": [[10, 1e-3], [20, 1e-4]]}, {}, r"rllib\.lr"),
        ({**PPO, "lr": 1e-3}, {}, "--total-steps"),
        ({**PPO, "lr": [[0, 1e-3], [10]]}, {"total_steps": 9}, r"rllib\.lr"),
        ({**PPO, "lr": [[0, 1e-3], ["late", 1e-4]]}, {"total_steps": 9}, r"rllib\.lr"),
        ({**YOLO, "optimizer": "auto"}, {"steps_per_epoch": 9}, "ultralytics.optimizer='auto'"),
        ({**YOLO, "batch": -1}, {"steps_per_epoch": 9}, r"ultralytics\.batch=-1"),
        ({**YOLO, "time": 2}, {"steps_per_epoch": 9}, r"ultralytics\.time"),
        (YOLO, {}, "Give --steps-per-epoch"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_its_key(
    settings: dict[str, Any], known: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        from_settings(settings, report=None, **known)
