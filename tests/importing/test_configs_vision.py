"""The files of vision frameworks give the rate of their own trainer at every update."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Mapping
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.importing.driven import values_of

import warmdown as wd
from warmdown.errors import ScheduleError, SpecError

Settings = dict[str, Any]
EACH = 50
"""Updates in an epoch."""


def group_of(kind: str, lr: float) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    if kind == "SGD":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9)
    return torch.optim.AdamW(parameters, lr=lr)


def momentum_of(group: Mapping[str, Any]) -> float:
    return float(group["momentum"] if "nesterov" in group else group["betas"][0])


def mmengine_values(entries: list[Settings], kind: str, updates: int) -> np.ndarray[Any, Any]:
    """Return the rate and the momentum of each update, by mmengine's own classes and hook."""
    scheduler = pytest.importorskip("mmengine.optim.scheduler")
    optimizer = group_of(kind, 0.01)
    made = []
    for entry in copy.deepcopy(entries):
        found = getattr(scheduler, entry.pop("type"))
        if entry.pop("convert_to_iter_based", False):
            of_run: Settings = {"end": updates // EACH, **entry}
            made.append(found.build_iter_from_epoch(optimizer, epoch_length=EACH, **of_run))
        else:  # mmengine's runner lets what has no end last for the run
            end = updates // EACH if entry.get("by_epoch", True) else updates
            made.append(found(optimizer, **{"end": end, **entry}))
    values = []
    for update in range(updates):
        (group,) = optimizer.param_groups
        values.append([group["lr"], momentum_of(group)])
        optimizer.step()
        for one in made:
            if not one.by_epoch or (update + 1) % EACH == 0:
                one.step()
    return np.array(values)


WARMUP: Settings = {
    "type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 100,
}  # fmt: skip
MMENGINE: dict[str, list[Settings]] = {
    "stairs over a warmup": [WARMUP, {"type": "MultiStepLR", "milestones": [6, 9, 9]}],
    "cosine by epoch": [
        WARMUP, {"type": "CosineAnnealingLR", "eta_min": 1e-4, "begin": 6, "end": 12, "T_max": 6}],
    "cosine made one of updates": [
        WARMUP, {"type": "CosineAnnealingLR", "eta_min": 1e-4, "begin": 6, "end": 12, "T_max": 6,
                 "convert_to_iter_based": True}],
    "waves": [{"type": "CosineAnnealingLR", "T_max": 100, "eta_min": 1e-3, "by_epoch": False}],
    "a warmup that does not reach the rate": [
        {**WARMUP, "end_factor": 0.5},
        {"type": "CosineAnnealingLR", "eta_min_ratio": 0.01, "by_epoch": False, "begin": 100,
         "end": 600}],
    "a lowest rate under a warmup": [
        WARMUP, {"type": "CosineAnnealingLR", "eta_min": 1e-4, "by_epoch": False, "end": 600}],
    "poly over stairs": [
        {"type": "PolyLR", "eta_min": 1e-4, "power": 0.9, "by_epoch": False, "end": 600},
        {"type": "MultiStepLR", "milestones": [3, 6]}],
    "exponential": [{"type": "ExponentialLR", "gamma": 0.9, "begin": 2, "end": 9}],
    "steps": [{"type": "StepLR", "step_size": 3, "gamma": 0.5, "convert_to_iter_based": True}],
    "constant": [{"type": "ConstantLR", "factor": 0.1, "by_epoch": False, "end": 50}],
    "one step alone": [{"type": "LinearLR", "start_factor": 0.5, "begin": 2, "end": 3}],
    "restarts": [
        WARMUP, {"type": "CosineRestartLR", "periods": [200, 300], "restart_weights": [1, 0.5],
                 "eta_min": 1e-5, "begin": 100, "end": 600, "by_epoch": False}],
    "one cycle": [{"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 600, "by_epoch": False}],
    "one cycle, three phases": [
        {"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 12, "pct_start": 0.25,
         "three_phase": True, "anneal_strategy": "linear", "convert_to_iter_based": True}],
    "one cycle by epoch": [{"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 12}],
    "momentum": [
        WARMUP, {"type": "LinearMomentum", "start_factor": 0.5, "by_epoch": False, "end": 100},
        {"type": "CosineAnnealingMomentum", "eta_min": 0.5, "begin": 100, "end": 600,
         "by_epoch": False}],
    "restarts over stairs, with what they have left": [
        {"type": "CosineRestartLR", "periods": [4, 8], "restart_weights": [1, 0.5],
         "eta_min": 1e-4},
        {"type": "MultiStepLR", "milestones": [2, 6], "gamma": 0.5}],
    "a constant for the run, but for its last epoch": [{"type": "ConstantLR", "factor": 0.5}],
    "a constant for one update": [
        {"type": "ConstantLR", "factor": 0.5, "by_epoch": False, "end": 1}],
    "a milestone before the begin": [
        {"type": "MultiStepLR", "milestones": [0, 2, 4], "gamma": 0.5, "begin": 3, "end": 6}],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize("name", MMENGINE)
def test_mmengine_s_schedulers_as_its_hook_steps_them(name: str, kind: str) -> None:
    entries = MMENGINE[name]
    settings = {
        "param_scheduler": entries,
        "train_cfg": {"by_epoch": True, "max_epochs": 12, "val_interval": 1},
        "optim_wrapper": {"optimizer": {"type": kind, "lr": "0.01", "momentum": 0.9}},
    }
    plan = wd.import_config(settings, steps_per_epoch=EACH)
    scheduler = wd.Scheduler(group_of(kind, 0.01), plan)
    fields = [target.name for target in plan.targets]
    expected = mmengine_values(entries, kind, 600)
    for field in fields:
        found = values_of(scheduler, 600, field)
        column = 0 if field == "lr" else 1
        np.testing.assert_allclose(found, expected[:, column], rtol=1e-9, atol=1e-15)
    assert len(fields) == 1 + (name == "momentum")
    assert wd.loads(wd.dumps(plan)) == plan


def test_mmengine_s_run_is_as_long_as_its_loop() -> None:
    one = {"type": "CosineAnnealingLR", "by_epoch": False}
    by_updates = {"param_scheduler": [one], "train_cfg": {"max_iters": 800}}
    assert wd.import_config(by_updates).run.total_steps == 800
    named = wd.import_config({"param_scheduler": one}, total_steps=500, lr=0.1)
    assert named.run.total_steps == 500


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"param_scheduler": {"type": "ReduceOnPlateauLR", "monitor": "loss"}},
         r"param_scheduler\[0\]\.type='ReduceOnPlateauLR': it follows a metric"),
        ({"param_scheduler": {"generator": [WARMUP], "discriminator": [WARMUP]}},
         "generator, discriminator: each optimizer has"),
        ({"param_scheduler": []}, "a list of schedulers"),
        ({"param_scheduler": [{**WARMUP, "end": 0}]}, r"param_scheduler\[0\]\.end=0"),
        ({"param_scheduler": [{**WARMUP, "factor": 2}]}, r"param_scheduler\[0\]\.factor=2"),
        ({"param_scheduler": [{"type": "CosineAnnealingLR", "eta_min": 1, "end": 9,
                               "by_epoch": False}]}, r"param_scheduler\[0\]\.eta_min: .*--lr"),
        ({"param_scheduler": [{"type": "StepLR", "step_size": 9, "by_epoch": False}]},
         "train_cfg: .*--total-steps"),
        ({"param_scheduler": [{"type": "StepLR", "step_size": 0, "by_epoch": False}]},
         r"param_scheduler\[0\]\.step_size=0: at least 1"),
        ({"param_scheduler": [{"type": "CosineAnnealingLR", "eta_min": 0.1, "eta_min_ratio": 0.1,
                               "end": 9, "by_epoch": False}]},
         r"param_scheduler\[0\]\.eta_min: eta_min_ratio is there, too"),
        ({"param_scheduler": [{"type": "CosineRestartLR", "periods": [3, 4], "end": 9,
                               "by_epoch": False}]}, "restart_weights: as many as periods"),
        ({"param_scheduler": [{"type": "OneCycleLR", "eta_max": 1, "total_steps": 4, "end": 4,
                               "pct_start": 0.25, "by_epoch": False}]},
         r"pct_start=0\.25: the rise has no step"),
        ({"param_scheduler": [WARMUP, {"type": "OneCycleLR", "eta_max": 1, "total_steps": 600,
                                       "end": 600, "by_epoch": False}]},
         r"param_scheduler\[1\]\.type: OneCycle beside another scheduler of lr"),
    ],
)  # fmt: skip
def test_what_mmengine_s_file_lacks_is_asked_for_by_name(settings: Settings, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config(settings)


def assert_rates(plan: wd.Plan, rate: Callable[[int], float], base: float, updates: int) -> None:
    scheduler = wd.Scheduler(group_of("SGD", base), plan)
    found = values_of(scheduler, updates)
    np.testing.assert_allclose(found, [rate(k) for k in range(updates)], rtol=1e-9, atol=1e-18)


def detectron(solver: Settings, base: float = 0.02, total: int = 1000) -> Callable[[int], float]:
    """detectron2's rate: a warmup to where the schedule is at its end, which is then followed."""
    kind, gamma = solver.get("LR_SCHEDULER_NAME", "WarmupMultiStepLR"), solver.get("GAMMA", 0.1)
    warmup, is_rescaled = solver["WARMUP_ITERS"], solver.get("RESCALE_INTERVAL", False)

    def factor(share: float) -> float:
        if kind == "WarmupCosineLR":
            low = solver.get("BASE_LR_END", 0.0) / base
            return float(low + (1 - low) * (1 + cos(pi * share)) / 2)
        share += 1e-6
        if kind == "WarmupMultiStepLR":
            return float(gamma ** bisect_right(solver["STEPS"], int(share * total)))
        return float(gamma ** int(share * (solver.get("NUM_DECAYS", 3) + 1)))

    def rate(k: int) -> float:
        if k < warmup:
            start = solver.get("WARMUP_FACTOR", 0.001) * factor(0)
            if solver.get("WARMUP_METHOD") == "constant":
                return float(base * start)
            end = factor(0) if is_rescaled else factor(warmup / total)
            return float(base * (start + (end - start) * k / warmup))
        return base * factor((k - warmup) / (total - warmup) if is_rescaled else k / total)

    return rate


@pytest.mark.parametrize(
    "schedule",
    [
        {"STEPS": (500, 800)},
        {"STEPS": (50, 800), "GAMMA": 0.5},
        {"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR_END": 1e-4},
        {"LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "NUM_DECAYS": 4, "GAMMA": 0.3},
    ],
)
@pytest.mark.parametrize(
    "warmup",
    [
        {"WARMUP_ITERS": 100},
        {"WARMUP_ITERS": 0},
        {"WARMUP_ITERS": 100, "WARMUP_METHOD": "constant"},
        {"WARMUP_ITERS": 130, "WARMUP_FACTOR": 0.1, "RESCALE_INTERVAL": True},
    ],
)
def test_detectron2_s_schedules_with_each_warmup(schedule: Settings, warmup: Settings) -> None:
    solver = {"MAX_ITER": 1000, "BASE_LR": "0.02", "STEPS": (300,), **schedule, **warmup}
    written = {**solver, "STEPS": str(solver["STEPS"]), "IMS_PER_BATCH": 16, "AMP": {"ENABLED": 1}}
    settings = {"MODEL": {"META_ARCHITECTURE": "GeneralizedRCNN"}, "SOLVER": written}
    assert_rates(wd.import_config(settings), detectron(solver), 0.02, 1000)


def test_detectron2_s_base_file_is_read_where_it_is_and_named_where_it_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "configs" / "longer.yaml"
    path.parent.mkdir()
    path.write_text('_BASE_: "../base.yaml"\nSOLVER:\n  STEPS: (500, 800)\n  MAX_ITER: 1000\n')
    told: list[str] = []
    assert wd.import_config(path, report=told.append).run.lr == 0.001
    assert "SOLVER.BASE_LR" in told[0]
    assert "Put that file beside this one" in told[0]
    (tmp_path / "base.yaml").write_text(
        "SOLVER: {BASE_LR: 0.02, STEPS: (30,), WARMUP_ITERS: 10, IMS_PER_BATCH: 16}\n"
    )
    solver = {"STEPS": (500, 800), "WARMUP_ITERS": 10}
    assert_rates(wd.import_config(path), detectron(solver), 0.02, 1000)
    (tmp_path / "base.yaml").write_text('_BASE_: "base.yaml"\nSOLVER: {}\n')
    with pytest.raises(SpecError, match="more than 10 files"):
        wd.import_config(path)


def test_detectron2_s_rate_that_depends_on_the_workers_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"SOLVER\.REFERENCE_WORLD_SIZE=8"):
        wd.import_config({"SOLVER": {"REFERENCE_WORLD_SIZE": 8}})


def basic_rates(kind: str, given: Settings, warmup: int, base: float) -> Callable[[int], float]:
    """Return BasicSR's rates, walked: the warmup writes what the scheduler then goes on from.

    A cosine begins anew at the step that is documented.
    """
    low, rates, value = given.get("eta_min", 0.0), [], base

    def wave(k: int, period: int) -> float:
        return (1 + cos(pi * k / period)) / 2

    for k in range(600):
        if kind == "CosineAnnealingRestartLR":
            stops = np.cumsum(given["periods"])
            place = int(np.searchsorted(stops, k, side="right"))
            at = k - (stops[place - 1] if place else 0)
            height = given["restart_weights"][place] * (base - low)
            value = low + height * wave(at, given["periods"][place])
        elif kind == "TrueCosineAnnealingLR":
            if k:
                before = wave(k - 1, given["T_max"])
                value = low + (value - low) * wave(k, given["T_max"]) / before
        elif k in given.get("restarts", [0]):
            weights = dict(
                zip(given.get("restarts", [0]), given.get("restart_weights", [1]), strict=True)
            )
            value = base * weights[k]
        else:
            value *= given["gamma"] ** given["milestones"].count(k)
        if k + 1 < warmup:
            value = base * (k + 1) / warmup
        rates.append(value)
    return rates.__getitem__


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("MultiStepLR", {"milestones": [5, 200, 400, 400], "gamma": 0.5}),
        ("MultiStepRestartLR", {"milestones": [100, 300], "gamma": 0.5, "restarts": [0, 250],
                                "restart_weights": [1, 0.7]}),
        ("CosineAnnealingRestartLR", {"periods": [200, 200, 200], "eta_min": 1e-6,
                                      "restart_weights": [1, 0.5, 0.5]}),
        ("TrueCosineAnnealingLR", {"T_max": 600, "eta_min": 1e-7}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("warmup", [-1, 1, 50])
@pytest.mark.parametrize("base", [2e-4, 1e-4])
def test_basicsr_s_schedulers_serve_each_optimizer_by_its_own_rate(
    kind: str, given: Settings, warmup: int, base: float
) -> None:
    settings = {
        "name": "a run", "model_type": "ESRGANModel",
        "train": {"optim_g": {"type": "Adam", "lr": "2e-4", "betas": [0.9, 0.99]},
                  "optim_d": {"type": "Adam", "lr": "1e-4"}, "total_iter": 600,
                  "warmup_iter": warmup, "scheduler": {"type": kind, **given},
                  "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0}},
    }  # fmt: skip
    plan = wd.import_config(settings)
    assert plan.run.lr == 2e-4
    assert_rates(plan, basic_rates(kind, given, warmup, base), base, 600)


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ({"type": "CosineAnnealingRestartLR", "periods": [100]}, "last for the run of 600"),
        ({"type": "CosineAnnealingRestartLR", "periods": [300, 300]}, "as many as periods"),
        ({"type": "MultiStepLR", "milestones": [1], "restarts": [0, 9]}, "as many as restarts"),
        ({"type": "LinearLR"}, r"train\.scheduler\.type='LinearLR'"),
    ],
)
def test_what_basicsr_would_refuse_is_refused_by_its_key(scheduler: Settings, words: str) -> None:
    train = {"optim_g": {"lr": 1e-4}, "total_iter": 600, "scheduler": scheduler}
    with pytest.raises(ScheduleError, match=words):
        wd.import_config({"train": train})
