"""The files of pretraining stacks give the rate of their own trainer at every update."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import ScheduleError

Rate = Callable[[int], float]
Settings = dict[str, Any]


def assert_rates(
    plan: wd.Plan, rate: Rate, *, base: float, updates: int = 1000, field: str = "lr"
) -> None:
    """Check each update, and that the plan is written and read back as itself."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = wd.Scheduler(optimizer, plan)
    found = [scheduler.value(k, field) for k in range(updates)]
    expected = [rate(k) for k in range(updates)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)
    assert wd.loads(wd.dumps(plan)) == plan


def half_cosine(share: float) -> float:
    return (1 + cos(pi * share)) / 2


def megatron(
    style: str, *, warmup: float, decay: int, top: float, low: float, first: float = 0.0,
    wsd: int = 0, wsd_style: str = "exponential", samples: int = 1,
) -> Rate:  # fmt: skip
    """Megatron's rate of an update, on the clock of samples."""

    def rate(k: int) -> float:
        at = k * samples
        if warmup > 0 and at <= warmup:
            return first + (top - first) * at / warmup
        if style == "constant":
            return top
        if at > decay:
            return low
        if style == "inverse-square-root":
            return max(low, top * sqrt(max(warmup, 1) / max(at, 1)))
        share = (at - warmup) / (decay - warmup)
        if style == "WSD":
            past = (at - decay + wsd) / wsd
            falls = {
                "exponential": 2 * 0.5**past - 1, "linear": 1 - past, "cosine": half_cosine(past),
                "minus_sqrt": 1 - sqrt(max(past, 0)),
            }  # fmt: skip
            factor = 1.0 if past <= 0 else falls[wsd_style]
        else:
            factor = half_cosine(share) if style == "cosine" else 1 - share
        return low + factor * (top - low)

    return rate


@pytest.mark.parametrize("style", ["linear", "constant", "cosine", "inverse-square-root"])
def test_megatron_s_styles_with_a_decay_that_ends_before_the_run(style: str) -> None:
    settings: Settings = {
        "lr": "3e-4", "min_lr": "3e-5", "lr_decay_style": style, "lr_warmup_iters": 100,
        "lr_decay_iters": 800, "train_iters": 1000, "lr_warmup_init": 1e-6,
    }  # fmt: skip
    expected = megatron(style, warmup=100, decay=800, top=3e-4, low=3e-5, first=1e-6)
    assert_rates(wd.import_config(settings), expected, base=3e-4)


@pytest.mark.parametrize("fall", ["exponential", "linear", "cosine", "minus_sqrt"])
@pytest.mark.parametrize("steps", [200, 950])
def test_megatron_s_wsd_also_where_the_decay_begins_within_the_warmup(
    fall: str, steps: int
) -> None:
    settings: Settings = {
        "lr": 1e-3, "min_lr": 1e-5, "lr_decay_style": "WSD", "lr_warmup_iters": 100,
        "train_iters": 1000, "lr_wsd_decay_iters": steps, "lr_wsd_decay_style": fall,
    }  # fmt: skip
    expected = megatron(
        "WSD", warmup=100, decay=1000, top=1e-3, low=1e-5, wsd=steps, wsd_style=fall
    )
    assert_rates(wd.import_config(settings), expected, base=1e-3)


def test_megatron_s_samples_are_counted_by_the_batch() -> None:
    settings: Settings = {
        "lr": 6e-4, "min_lr": 6e-5, "lr_decay_style": "cosine", "train_samples": 48_500,
        "lr_warmup_samples": 1000, "lr_decay_samples": 40_001, "global_batch_size": 48,
    }  # fmt: skip
    expected = megatron("cosine", warmup=1000, decay=40_001, top=6e-4, low=6e-5, samples=48)
    plan = wd.import_config(settings)
    assert plan.run.total_steps == 1010
    assert_rates(plan, expected, base=6e-4)


def test_megatron_s_fraction_of_a_warmup_need_be_no_whole_number_of_updates() -> None:
    settings: Settings = {
        "lr": 1e-3, "lr_decay_style": "linear", "train_iters": 997, "lr_warmup_fraction": "0.013",
    }  # fmt: skip
    expected = megatron("linear", warmup=0.013 * 997, decay=997, top=1e-3, low=0.0)
    assert_rates(wd.import_config(settings), expected, base=1e-3, updates=997)


def test_megatron_s_root_without_a_warmup_is_that_of_the_samples() -> None:
    settings: Settings = {
        "lr": 1e-3, "lr_decay_style": "inverse-square-root", "train_iters": 1000,
        "global_batch_size": 32,
    }  # fmt: skip
    expected = megatron(
        "inverse-square-root", warmup=0, decay=32_000, top=1e-3, low=0.0, samples=32
    )
    assert_rates(wd.import_config(settings), expected, base=1e-3)


@pytest.mark.parametrize("style", ["linear", "cosine"])
def test_megatron_s_weight_decay_is_a_target_where_it_moves(style: str) -> None:
    settings: Settings = {
        "lr": 1e-3, "train_iters": 1000, "start_weight_decay": "0.01", "end_weight_decay": 0.1,
        "weight_decay_incr_style": style,
    }  # fmt: skip

    def rate(k: int) -> float:
        share = k / 1000
        return 0.01 + 0.09 * (share if style == "linear" else half_cosine(1 - share))

    assert_rates(wd.import_config(settings), rate, base=1e-3, field="weight_decay")
    constant = wd.import_config({"lr": 1e-3, "train_iters": 1000, "weight_decay": 0.1})
    assert [target.name for target in constant.targets] == ["lr"]


SCRIPT = """#!/bin/bash
# --lr 7 is a comment
export LR=1.5e-4 ; WARMUP=${WARMUP:-20}
OPTIMIZER_ARGS=(
    --lr "$LR"  --min-lr=1.0e-5
    --lr-decay-style cosine  # the usual one
    --lr-warmup-iters ${STEPS:-20}
)
GPT="--num-layers 24 --train-iters 500 \\
     --weight-decay 1e-2 --clip-grad 1.0 --rotary-percent 0.5 --bf16"
torchrun $DISTRIBUTED_ARGS pretrain_gpt.py ${OPTIMIZER_ARGS[@]} $GPT --lr-decay-iters 320000
"""


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT,
        "--lr 1.5e-4\n--min-lr 1e-5\n--lr-decay-style cosine\n--lr-warmup-iters 20\n"
        "--train-iters 500\n--lr-decay-iters 320000\n",
        "MODEL_ARGS:\n  --lr: 1.5e-4\n  --min-lr: 1e-5\n  --lr-decay-style: cosine\n"
        "  --lr-warmup-iters: 20\n  --train-iters: 500\n  --lr-decay-iters: 320000\n",
        "optimizer: {lr: 1.5e-4, min_lr: 1e-5, weight_decay: 0.1}\n"
        "scheduler: {lr_decay_style: cosine, lr_warmup_iters: 20, lr_decay_iters: 320000,"
        " lr_warmup_fraction: null}\ntrain: {train_iters: 500, global_batch_size: 8}\n",
    ],
    ids=["script", "command line", "a test's file", "parts"],
)
def test_megatron_s_arguments_stand_in_scripts_and_mappings(text: str, tmp_path: Path) -> None:
    path = tmp_path / "arguments"
    path.write_text(text)
    expected = megatron("cosine", warmup=20, decay=320_000, top=1.5e-4, low=1e-5)
    assert_rates(wd.import_config(path), expected, base=1.5e-4, updates=500)
    done = CliRunner().invoke(main, ["import", str(path)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 1, "train_iters": 9, "decoupled_lr": 2}, r"decoupled_lr=2"),
        ({"lr": 1, "train_iters": 9, "rampup_batch_size": [1, 1, 9]}, r"rampup_batch_size"),
        ({"lr": 1, "train_iters": 9, "lr_warmup_iters": 9}, "shorter than the decay"),
        ({"lr": 1, "train_iters": 9, "lr_warmup_iters": 2, "lr_warmup_fraction": 0.1},
         "lr_warmup_fraction=0.1: lr_warmup_iters is there"),
        ({"lr": 1, "train_iters": 9, "lr_decay_style": "WSD"}, r"lr_wsd_decay_iters: .* missing"),
        ({"lr": 1, "train_iters": 9, "lr_decay_style": "cosin"}, r"lr_decay_style='cosin'.*cosine"),
        ({"lr": 1, "train_samples": 9}, "global_batch_size: it is missing"),
        ({"lr": 1, "train_samples": 9, "global_batch_size": 1, "lr_warmup_iters": 2},
         "lr_warmup_iters: the run is counted in samples"),
        ({"lr_decay_style": "cosine", "train_iters": 9}, r"megatron\.lr: it is missing"),
        ({"lr": 1, "lr_decay_style": "cosine"}, "--total-steps"),
        ({"lr": 1, "train_iters": 9, "start_weight_decay": 1}, "start_weight_decay=1"),
        ({"lr": 1, "train_iters": 9, "lr_mult": 1}, "lr_mult=1: this setting cannot"),
        ({"lr": 1, "train_iters": 9, "min_lr": 2}, "min_lr=2"),
    ],
)  # fmt: skip
def test_megatron_s_arguments_that_cannot_be_said_are_refused_by_name(
    settings: Settings, words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config(settings)


def olmo_file(scheduler: Settings, *, unit: str = "steps", value: int = 1000) -> Settings:
    return {
        "run_name": "a run",
        "model": {"d_model": 512},
        "train_module": {
            "optim": {"_CLASS_": "olmo_core.optim.AdamWConfig", "lr": "4e-4", "betas": [0.9, 0.95]},
            "scheduler": {"_CLASS_": f"olmo_core.optim.scheduler.{scheduler['kind']}"}
            | {key: value for key, value in scheduler.items() if key != "kind"},
            "max_grad_norm": 1.0,
        },
        "data_loader": {"global_batch_size": 4096},
        "trainer": {"max_duration": {"value": value, "unit": unit}, "callbacks": {"gpu": {}}},
    }


def line(start: float, end: float, at: float, steps: float) -> float:
    return start + (end - start) * at / steps


def wave(start: float, end: float, at: float, steps: float) -> float:
    return end + (start - end) * half_cosine(at / steps)


TOP = 4e-4
OLMO: dict[str, tuple[Settings, Rate]] = {
    "constant": (
        {"kind": "ConstantWithWarmup", "warmup": 50, "warmup_min_lr": 1e-5},
        lambda at: line(1e-5, TOP, min(at, 50), 50)),
    "linear": (
        {"kind": "LinearWithWarmup", "warmup_steps": 50, "alpha_f": 0.0},
        lambda at: line(0, TOP, at, 50) if at < 50 else line(TOP, 0, at - 50, 950)),
    "cosine": (
        {"kind": "CosWithWarmup", "warmup_fraction": 0.05, "t_max": 800, "warmup_min_lr": 1e-5},
        lambda at: line(1e-5, TOP, at, 40) if at < 40
        else wave(TOP, TOP / 10, min(at - 40, 760), 760)),
    "half cosine": (
        {"kind": "HalfCosWithWarmup", "warmup": 100, "alpha_f": 0.2},
        lambda at: line(0, 0.6 * TOP, at, 100) if at < 100
        else wave(TOP, 0.2 * TOP, at + 800, 1800)),
    "root": (
        {"kind": "InvSqrtWithWarmup", "warmup": 100},
        lambda at: line(0, TOP, at, 100) if at < 100 else TOP * (0.1 + 0.9 * sqrt(100 / at))),
    "wsd": (
        {"kind": "WSD", "warmup": 0, "decay_fraction": 0.2, "decay_min_lr": 1e-5},
        lambda at: TOP if at < 800 else line(TOP, 1e-5, at - 800, 200)),
    "wsds": (
        {"kind": "WSDS", "warmup": 50, "decay": 100, "period_lengths": [400, 500],
         "period_lr_multipliers": [1, 0.5]},
        lambda at: line(0, TOP, at, 50) if at < 50 else TOP if at < 300
        else line(TOP, 0, at - 300, 100) if at <= 400 else TOP / 2 if at < 800
        else line(TOP / 2, 0, min(at - 800, 100), 100)),
    "power": (
        {"kind": "PowerLR", "warmup": 100, "b": -0.5, "decay_fraction": None, "decay": 200},
        lambda at: line(0, TOP, at, 100) if at <= 100 else TOP * (at / 100) ** -0.5 if at < 800
        else line(TOP * 8**-0.5, 0, at - 800, 200)),
    "cosine and line": (
        {"kind": "CosWithWarmupAndLinearDecay", "warmup": 100, "decay_fraction": 0.1},
        lambda at: line(0, TOP, at, 100) if at < 100
        else wave(TOP, TOP / 10, at - 100, 900) if at < 900
        else line(wave(TOP, TOP / 10, 800, 900), 0, at - 900, 100)),
    "exponential": (
        {"kind": "ExponentialScheduler", "lr_min": 1e-7},
        lambda at: 1e-7 * (TOP / 1e-7) ** (at / 1000)),
    "stages": (
        {"kind": "ComposableScheduler", "stages": [
            {"duration": 100, "start_lr": 0.0, "end_lr_fraction": 1.0},
            {"duration": 500, "shape": "cosine", "end_lr": 1e-4}],
         "override_decay": {"start": 800, "duration": 100, "end_lr": 0.0}},
        lambda at: line(0, TOP, at, 100) if at < 100 else wave(TOP, 1e-4, min(at - 100, 500), 500)
        if at < 800 else line(1e-4, 0, min(at - 800, 100), 100)),
    "in turn": (
        {"kind": "SequentialScheduler", "schedulers_max": [400], "schedulers": [
            {"_CLASS_": "LinearWithWarmup", "warmup": 100, "alpha_f": 0.5},
            {"_CLASS_": "CosWithWarmup", "warmup": 0, "alpha_f": 0.2}]},
        lambda at: line(0, TOP, at, 100) if at < 100 else line(TOP, TOP / 2, at - 100, 300)
        if at <= 400 else wave(TOP / 2, TOP / 10, at - 400, 600)),
}  # fmt: skip


@pytest.mark.parametrize("name", OLMO)
def test_olmo_core_counts_an_update_before_it_asks_for_its_rate(name: str) -> None:
    scheduler, rate = OLMO[name]
    assert_rates(wd.import_config(olmo_file(scheduler)), lambda k: rate(k + 1), base=TOP)


def test_olmo_core_counts_tokens_by_the_batch() -> None:
    scheduler = {"kind": "CosWithWarmup", "warmup": 100_000, "units": "tokens", "alpha_f": 0.0}
    plan = wd.import_config(olmo_file(scheduler, unit="tokens", value=4096 * 1000))

    def rate(k: int) -> float:
        at, stop = 4096 * (k + 1), 4096 * 1000
        return line(0, TOP, at, 1e5) if at < 1e5 else wave(TOP, 0, at - 1e5, stop - 1e5)

    assert plan.run.total_steps == 1000
    assert_rates(plan, rate, base=TOP)


@pytest.mark.parametrize(
    ("scheduler", "rate"),
    [
        ({"name": "cosine_with_warmup", "t_warmup": 100, "alpha_f": 0.1},
         lambda at: line(TOP / 10, TOP, at, 100) if at < 100 else wave(TOP, TOP / 10, at - 100,
                                                                       900)),
        ({"name": "linear_with_warmup", "t_warmup": "5e1", "t_max": 800, "warmup_min_lr": 0.0},
         lambda at: line(0, TOP, at, 50) if at < 50 else line(TOP, TOP / 10, min(at - 50, 750),
                                                              750)),
        ({"name": "inverse_sqrt_with_warmup", "units": "steps"},
         lambda at: line(TOP / 10, TOP, at, 100) if at < 100 else TOP * sqrt(100 / at)),
        ({"name": "max_scheduler", "t_max": 700, "alpha_f": 0.3},
         lambda at: line(TOP / 10, TOP, at, 100) if at < 100 else max(
             wave(TOP, 0.3 * TOP, min(at - 100, 600), 600), TOP * sqrt(100 / at))),
        ({"name": "cosine_linear_envelope", "alpha_f": 0.2},
         lambda at: line(TOP / 10, TOP, at, 100) if at < 100 else TOP * (
             0.2 + 0.8 * half_cosine((at - 100) / 900) * (1 - (at - 100) / 900))),
        ({"name": "constant"}, lambda at: TOP),
    ],
)  # fmt: skip
def test_the_olmo_before_olmo_core(scheduler: Settings, rate: Rate) -> None:
    settings = {
        "run_name": "OLMo-1B", "model": {"d_model": 2048, "max_sequence_length": 2048},
        "optimizer": {"name": "adamw", "learning_rate": "4e-4"}, "global_train_batch_size": 2,
        "scheduler": {"grad_clip_warmup_steps": None, **scheduler}, "max_duration": "4.096e6T",
    }  # fmt: skip
    assert_rates(wd.import_config(settings), lambda k: rate(k + 1), base=TOP)


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ({"kind": "CosWithWarmup"}, "warmup_fraction: it is missing"),
        ({"kind": "CosWithWarmup", "warmup": 1, "warmup_fraction": 0.1}, "warmup is there, too"),
        ({"kind": "CosWithWarmup", "warmup": 1, "decay": 3}, r"scheduler\.decay=3"),
        ({"kind": "Cosine"}, r"_CLASS_=.*Cosine"),
        ({"kind": "WSDS", "warmup": 9, "decay": 99, "period_lengths": [100]}, "does not fit"),
        ({"kind": "SequentialScheduler", "schedulers": [], "schedulers_max": [1, 2]},
         "one for each scheduler"),
    ],
)  # fmt: skip
def test_what_olmo_core_would_refuse_is_refused_by_its_key(scheduler: Settings, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config(olmo_file(scheduler))
    changing = olmo_file({"kind": "ConstantScheduler"})
    changing["trainer"]["callbacks"]["batches"] = {"batch_sizes": [1, 2], "enabled": True}
    with pytest.raises(ScheduleError, match=r"callbacks\.batches\.batch_sizes"):
        wd.import_config(changing)
