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
from tests.importing.driven import values_of

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
    found = values_of(scheduler, updates, field)
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
        SCRIPT.rpartition("torchrun")[0]
        + 'MORE="--lr-decay-iters 320000"\n',  # for a launcher that lies elsewhere
        "python tools/preprocess.py --input text --workers 8\n"
        "ARGS=(--lr 1.5e-4 --min-lr 1e-5)\nARGS+=(--lr-decay-style cosine)\n"
        'if true; then\n  python pretrain_gpt.py "${ARGS[@]}" --lr-warmup-iters 20 \\\n'
        "    --train-iters 500 --lr-decay-iters 320000 2>&1 | tee log\nfi\n",
        "--lr 1.5e-4\n--min-lr 1e-5\n--lr-decay-style cosine\n--lr-warmup-iters 20\n"
        "--train-iters 500\n--lr-decay-iters 320000\n",
        "MODEL_ARGS:\n  --lr: 1.5e-4\n  --min-lr: 1e-5\n  --lr-decay-style: cosine\n"
        "  --lr-warmup-iters: 20\n  --train-iters: 500\n  --lr-decay-iters: 320000\n",
        "optimizer: {lr: 1.5e-4, min_lr: 1e-5, weight_decay: 0.1}\n"
        "scheduler: {lr_decay_style: cosine, lr_warmup_iters: 20, lr_decay_iters: 320000,"
        " lr_warmup_fraction: null}\ntrain: {train_iters: 500, global_batch_size: 8}\n",
    ],
    ids=["script", "no command", "two commands", "command line", "a test's file", "parts"],
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
    "in turn, longer than the run": (
        {"kind": "SequentialScheduler", "schedulers_max_steps": [1000, 5], "schedulers": [
            {"_CLASS_": "LinearWithWarmup", "warmup": 0, "alpha_f": 0.5},
            {"_CLASS_": "ConstantScheduler"}]},
        lambda at: line(TOP, TOP / 2, at, 1000)),
    "half cosine that ends within its warmup": (
        {"kind": "HalfCosWithWarmup", "warmup": 990, "t_max": 900, "alpha_f": 0.5},
        lambda at: line(0, 0.75 * TOP, at, 990) if at < 990 else TOP / 2),
    "root without a warmup": (
        {"kind": "InvSqrtWithWarmup", "warmup": 0, "alpha_f": 0.3}, lambda at: 0.3 * TOP),
    "wsd without a decay": (
        {"kind": "WSD", "warmup_fraction": 0.1, "decay_fraction": 0.0},
        lambda at: line(0, TOP, min(at, 100), 100)),
    "wsd whose decay begins within its warmup": (
        {"kind": "WSD", "warmup": 500, "decay": 700, "decay_fraction": None},
        lambda at: line(0, TOP, at, 500) if at <= 500 else line(TOP, 0, at - 300, 700)),
    "wsds without a decay": (
        {"kind": "WSDS", "warmup": 0, "decay": 0, "period_lengths": [400, 500],
         "period_lr_multipliers": [1, 0.5], "decay_min_lr": 1e-5},
        lambda at: TOP if at <= 400 else TOP / 2 if at < 900 else 1e-5),
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


def test_olmo_core_s_tokens_end_within_the_last_batch() -> None:
    """The trainer's last update may pass the tokens that the scheduler ends at."""
    scheduler = {"kind": "CosWithWarmup", "warmup": 0, "units": "tokens", "alpha_f": 0.2}
    plan = wd.import_config(olmo_file(scheduler, unit="tokens", value=4096 * 9 + 1))
    end = 4096 * 9 + 1
    assert plan.run.total_steps == 10
    assert_rates(
        plan, lambda k: wave(TOP, 0.2 * TOP, min(4096 * (k + 1), end), end), base=TOP, updates=10
    )


@pytest.mark.parametrize(
    ("trainer", "known", "total"),
    [
        ({"max_duration": {"value": 3, "unit": "epochs"}}, {"steps_per_epoch": 7}, 21),
        ({"max_epochs": 2}, {"steps_per_epoch": 7}, 14),
        ({"max_steps": 9}, {}, 9),
        ({"max_duration": {"value": 4097, "unit": "tokens"}}, {}, 2),
        ({"max_duration": {"value": 99, "unit": "steps"}}, {"total_steps": 12}, 12),
        ({}, {"epochs": 2, "steps_per_epoch": 5}, 10),
    ],
)
@pytest.mark.parametrize("is_beside", [False, True], ids=["of the loader", "of the file"])
def test_olmo_core_s_run_is_as_long_as_its_trainer_s(
    trainer: Settings, known: dict[str, int], total: int, is_beside: bool
) -> None:
    settings = olmo_file({"kind": "LinearWithWarmup", "warmup": 0, "units": "tokens"})
    settings["trainer"] = trainer
    if is_beside:
        settings["global_batch_size"] = settings.pop("data_loader")["global_batch_size"]
    plan = wd.import_config(settings, **known)
    assert plan.run.total_steps == total
    end = min(4097, 4096 * total) if total == 2 else 4096 * total
    assert_rates(
        plan, lambda k: line(TOP, TOP / 10, min(4096 * (k + 1), end), end),
        base=TOP, updates=total,
    )  # fmt: skip


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
        ({"name": "constant_with_warmup", "t_warmup": 100, "warmup_min_lr": 1e-5},
         lambda at: line(1e-5, TOP, min(at, 100), 100)),
        # the root of no steps, times what there is
        ({"name": "inverse_sqrt_with_warmup", "t_warmup": 0}, lambda at: 0.0),
        ({"name": "max_scheduler", "t_warmup": 0, "t_max": 500},
         lambda at: wave(TOP, TOP / 10, min(at, 500), 500)),
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
    ("duration", "known", "total", "end"),
    [("38T", {}, 10, 38), ("3e1T", {}, 8, 30), ("2ep", {"steps_per_epoch": 5}, 10, 40),
     (7, {}, 7, 28), ("1e1", {}, 10, 40), ("38T", {"total_steps": 3}, 3, 12)],
)  # fmt: skip
def test_the_olmo_before_olmo_core_counts_tokens_to_the_last_one(
    duration: str | int, known: dict[str, int], total: int, end: int
) -> None:
    settings = {
        "model": {"max_sequence_length": 2}, "optimizer": {"learning_rate": TOP},
        "scheduler": {"name": "linear_with_warmup", "units": "tokens", "t_warmup": 0},
        "global_train_batch_size": 2, "max_duration": duration,
    }  # fmt: skip
    plan = wd.import_config(settings, **known)
    assert plan.run.total_steps == total
    assert_rates(
        plan, lambda k: line(TOP, TOP / 10, min(4 * (k + 1), end), end), base=TOP, updates=total
    )


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ({"kind": "CosWithWarmup"}, "warmup_fraction: it is missing"),
        ({"kind": "CosWithWarmup", "warmup_fraction": 1.5}, r"warmup_fraction=1\.5"),
        ({"kind": "PowerLR", "warmup": 0}, r"scheduler\.b: .*a warmup of at least 1 step"),
        ({"kind": "PowerLR", "warmup": 1, "b": 0.5}, r"scheduler\.b: a negative power"),
        ({"kind": "PowerLR", "warmup": 950}, r"scheduler\.decay: it begins within the warmup"),
        ({"kind": "WSDS", "period_lengths": [9], "period_lr_multipliers": [1, 2]},
         "period_lr_multipliers: as many as period_lengths"),
        ({"kind": "ComposableScheduler"}, "stages: a list of stages is needed"),
        ({"kind": "ComposableScheduler", "stages": [{"duration": 0, "end_lr": 0}]},
         r"stages\[0\]\.duration=0: at least 1"),
        ({"kind": "ComposableScheduler",
          "stages": [{"duration": 1, "end_lr": 0, "end_lr_fraction": 0}]},
         r"stages\[0\]\.end_lr: end_lr_fraction is there, too"),
        ({"kind": "SequentialScheduler", "schedulers_max": [],
          "schedulers": [{"_CLASS_": "ExponentialScheduler"}]},
         r"schedulers\[0\]: ExponentialScheduler among others"),
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
    with pytest.raises(ScheduleError, match=r"scheduler: it is missing\. Give it, with its _CL"):
        wd.import_config({"train_module": {"scheduler": None}})


def cut_off(value: float, low: float) -> float:
    return max(value, low)


NEMO: dict[str, tuple[Settings, Rate]] = {
    "WarmupPolicy": ({"warmup_steps": 100}, lambda k: 1.0),
    "WarmupHoldPolicy": ({"warmup_steps": 100, "hold_steps": 200}, lambda k: 1.0),
    "SquareAnnealing": (
        {"warmup_ratio": 0.1}, lambda k: cut_off(((1000 - k) / 900) ** 2, 0.01)),
    "SquareRootAnnealing": (
        {"warmup_steps": 100, "min_lr": "1e-4"}, lambda k: cut_off(sqrt((1000 - k) / 1000), 0.1)),
    "CosineAnnealing": (
        {"warmup_steps": 100, "min_lr": 1e-5}, lambda k: wave(1, 0.01, k - 100, 900)),
    "NoamHoldAnnealing": (
        {"warmup_steps": 100, "hold_steps": 200, "decay_rate": 1.0, "min_lr": 5e-4},
        lambda k: 1.0 if k < 300 else cut_off(100 / (k - 200), 0.5)),
    "WarmupHoldAnnealOneMinusSquareRoot": (
        {"warmup_steps": 100, "hold_ratio": 0.3, "min_lr": 1e-4},
        lambda k: 1.0 if k < 400 else cut_off(1 - sqrt((k - 400) / 600), 0.1)),
    "WarmupHoldAnnealLinear": (
        {"warmup_steps": 100, "hold_steps": 200, "min_lr": 1e-4},
        lambda k: 1.0 if k < 300 else line(1, 0.1, k - 300, 700)),
    "WarmupAnnealing": (
        {"warmup_steps": 100, "min_lr": 1e-4}, lambda k: line(1, 0.1, k - 100, 900)),
    "InverseSquareRootAnnealing": ({"warmup_steps": 100}, lambda k: sqrt(101 / (k + 1))),
    "PolynomialDecayAnnealing": (
        {"warmup_steps": 100, "power": 2.0, "cycle": False, "min_lr": 1e-4},
        lambda k: 0.1 + 0.9 * (1 - (k - 100) / 900) ** 2),
    "PolynomialHoldDecayAnnealing": (
        {"warmup_steps": 100, "hold_steps": 200, "power": 0.5},
        lambda k: 1.0 if k < 300 else sqrt(1 - (k - 300) / 700)),
    "StepLR": ({"step_size": 300, "gamma": 0.5}, lambda k: 0.5 ** (k // 300)),
}  # fmt: skip


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "in args.params"])
@pytest.mark.parametrize("kind", NEMO)
def test_nemo_s_schedules_after_a_warmup_that_counts_from_one(kind: str, nested: bool) -> None:
    arguments, factor = NEMO[kind]
    placed = {"args": {"name": "auto", "params": arguments}} if nested else arguments
    sched = {"name": kind, "max_steps": 1000, "monitor": "val_loss", **placed}
    settings = {
        "name": "a run",
        "model": {"optim": {"name": "adamw", "lr": "1e-3", "sched": sched}, "d_model": 176},
        "trainer": {"max_epochs": 100, "max_steps": -1},
    }
    warmup = 0 if kind == "StepLR" else 100

    def rate(k: int) -> float:
        return 1e-3 * ((k + 1) / (warmup + 1) if warmup and k <= warmup else factor(k))

    assert_rates(wd.import_config(settings), rate, base=1e-3)


@pytest.mark.parametrize(
    ("kind", "arguments", "rate"),
    [
        ("NoamAnnealing", {"d_model": 64, "warmup_steps": 100, "min_lr": 1e-6},
         lambda k: cut_off(1e-3 / 8 * min(max(k, 1) ** -0.5, max(k, 1) * 100**-1.5),
                           1e-6 if k > 100 else 0.0)),
        ("T5InverseSquareRootAnnealing", {"constant_steps": 100, "min_lr": 1e-5},
         lambda k: max(k, 100) ** -0.5),
        ("ExponentialLR", {"gamma": 0.9}, lambda k: 1e-3 * 0.9 ** (k // 200)),
        ("CosineAnnealing", {"warmup_steps": 0, "constant_ratio": 0.25},
         lambda k: 1e-3 * wave(1, 0, min(k, 750), 750)),
    ],
)  # fmt: skip
def test_nemo_s_other_schedules(kind: str, arguments: Settings, rate: Rate) -> None:
    sched = {"name": kind, **arguments}
    settings = {"optim": {"lr": 1e-3, "sched": sched}, "trainer": {"max_epochs": 5}}
    assert_rates(wd.import_config(settings, steps_per_epoch=200), rate, base=1e-3)


@pytest.mark.parametrize(
    ("sched", "words"),
    [
        ({"name": "CosineAnnealing", "warmup_steps": 1, "warmup_ratio": 0.1}, "warmup_ratio=0.1"),
        ({"name": "NoamHoldAnnealing"}, "warmup_steps: this kind needs them"),
        ({"name": "NoamAnnealing"}, "d_model: it is missing"),
        ({"name": "CosineAnnealing", "hold_steps": 3}, "hold_steps=3: this setting cannot"),
        ({"name": "ReduceLROnPlateau"}, r"sched\.name='ReduceLROnPlateau'"),
    ],
)
def test_what_nemo_would_refuse_is_refused_by_its_key(sched: Settings, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config({"optim": {"lr": 1, "sched": {**sched, "max_steps": 9}}})


def titan(warmup: int, stable: int, decay: int, end: float = 0.0) -> Rate:
    def rate(k: int) -> float:
        if k < warmup:
            return (k + 1) / warmup
        late = k + 1 - warmup - stable
        return line(1, end, late, decay) if late > 0 else 1.0

    return lambda k: 8e-4 * rate(k)


@pytest.mark.parametrize(
    ("settings", "rate", "updates"),
    [
        ({"training": {"steps": 1000, "local_batch_size": 8}}, titan(200, 1, 800), 1000),
        ({"lr_scheduler": {"decay_ratio": 0.25, "lr_min": 0.1}, "training": {"steps": 1000}},
         titan(200, 551, 250, 0.1), 1000),
        ({"lr_scheduler": {"total_steps": 2000, "decay_ratio": 0.8, "warmup_steps": 5},
          "training": {"steps": 1000}}, titan(5, 396, 1600), 1000),
        ({"lr_scheduler": {"warmup_steps": 0, "min_lr_factor": 0.0}, "training": {"steps": 500}},
         titan(0, 1, 500), 500),
        ({"lr_scheduler": {"warmup_steps": 900, "decay_ratio": 0.5}, "training": {"steps": 500}},
         titan(500, 1, 0), 500),
    ],
)  # fmt: skip
def test_torchtitan_s_defaults_and_the_schedule_of_a_longer_run(
    settings: Settings, rate: Rate, updates: int
) -> None:
    plan = wd.import_config({"job": {"dump_folder": "out"}, **settings})
    assert plan.run.total_steps == updates
    assert_rates(plan, rate, base=8e-4, updates=updates)


def test_torchtitan_s_schedule_may_not_end_before_the_run() -> None:
    settings = {"lr_scheduler": {"total_steps": 100, "warmup_steps": 5}, "training": {"steps": 900}}
    with pytest.raises(ScheduleError, match=r"lr_scheduler\.total_steps=100: the run has 900"):
        wd.import_config(settings)


COMPOSER: dict[str, tuple[Settings, Rate]] = {
    "constant_with_warmup": (
        {"t_warmup": "1ep", "alpha": 0.5}, lambda k: 0.5 * min(k / 100, 1)),
    "linear_decay_with_warmup": (
        {"t_warmup": "50ba", "alpha_i": 0.8, "alpha_f": 0.1, "scale_warmup": True},
        lambda k: line(0, 0.8, k, 50) if k < 50 else line(0.8, 0.1, k - 50, 950)),
    "cosine_with_warmup": (
        {"t_warmup": "0.1dur", "alpha_f": 0.1, "t_max": "2000ba"},
        lambda k: k / 100 if k < 100 else wave(1, 0.1, k - 100, 1900)),
    "polynomial_with_warmup": (
        {"t_warmup": "0ba"}, lambda k: (1 - k / 1000) ** 2),
    "multistep_with_warmup": (
        {"t_warmup": "20ba", "milestones": ["3ep", "0.5dur"], "gamma": 0.5},
        lambda k: k / 20 if k < 20 else 0.5 ** ((k >= 300) + (k >= 500))),
    "inv_sqrt_with_warmup": (
        {"t_warmup": "1ep", "t_scale": "2ep", "t_cooldown": "2ep", "alpha_f_decay": 0.1,
         "alpha_f_cooldown": 0.0},
        lambda k: k / 100 if k < 100 else 0.1 + 0.9 * sqrt(200 / (100 + k)) if k < 800
        else line(0.1 + 0.9 * sqrt(200 / 900), 0, k - 800, 200)),
    "constant": ({"alpha": 0.3, "t_max": "5ep"}, lambda k: 0.3 if k < 500 else 1.0),
    "linear": ({"t_max": "0.5dur"}, lambda k: line(1, 0, min(k, 500), 500)),
    "cosine": ({}, lambda k: wave(1, 0, k, 1000)),
    "cosine_warmrestart": (
        {"t_0": "2ep", "t_mult": 2},
        lambda k: wave(1, 0, k, 200) if k < 200 else wave(1, 0, k - 200, 400) if k < 600
        else wave(1, 0, k - 600, 800)),
    "exponential": ({"gamma": 0.9}, lambda k: 0.9 ** (k / 100)),
    "polynomial": ({"power": 3}, lambda k: (1 - k / 1000) ** 3),
    "step": ({"step_size": "3ep", "gamma": 0.5}, lambda k: 0.5 ** (k // 300)),
    "multistep": ({"milestones": ["300ba", "500ba"]}, lambda k: 0.1 ** ((k >= 300) + (k >= 500))),
    "cosine_annealing_with_warmup": (  # all of it is warmup
        {"t_warmup": "10ep", "alpha_f": 0.1}, lambda k: k / 1000),
    "cosine_annealing_warm_restarts": (
        {"t_0": "3ep", "alpha_f": 0.1}, lambda k: wave(1, 0.1, k % 300, 300)),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSER)
def test_composer_s_and_llm_foundry_s_schedules(name: str) -> None:
    arguments, factor = COMPOSER[name]
    settings = {
        "scheduler": {"name": name, **arguments}, "max_duration": "10ep",
        "optimizer": {"name": "decoupled_adamw", "lr": "6e-4", "betas": [0.9, 0.95]},
        "model": {"name": "mpt_causal_lm"}, "global_train_batch_size": 8, "max_seq_len": 16,
    }  # fmt: skip
    plan = wd.import_config(settings, steps_per_epoch=100)
    assert_rates(plan, lambda k: 6e-4 * factor(k), base=6e-4)


def test_composer_s_times_in_tokens_are_counted_by_the_batch() -> None:
    settings = {
        "scheduler": {"name": "cosine_with_warmup", "t_warmup": "10000tok", "alpha_f": 0.1},
        "max_duration": "128000tok", "global_train_batch_size": 8, "max_seq_len": 16,
    }  # fmt: skip
    plan = wd.import_config(settings, lr=1e-3)

    def rate(k: int) -> float:
        at = 128 * k
        return 1e-3 * (at / 1e4 if at < 1e4 else wave(1, 0.1, at - 1e4, 118_000))

    assert plan.run.total_steps == 1000
    assert_rates(plan, rate, base=1e-3)


def test_composer_s_restarts_go_on_in_tokens_where_the_run_is_one_of_batches() -> None:
    settings = {
        "scheduler": {"name": "cosine_warmrestart", "t_0": "1000tok", "t_mult": 2},
        "max_duration": "100ba", "global_train_batch_size": 8, "max_seq_len": 16,
    }  # fmt: skip

    def factor(k: int) -> float:
        begin, length = 0, 1000
        while begin + length <= 128 * k:
            begin, length = begin + length, 2 * length
        return wave(1, 0, 128 * k - begin, length)

    plan = wd.import_config(settings, lr=1e-3)
    assert_rates(plan, lambda k: 1e-3 * factor(k), base=1e-3, updates=100)


@pytest.mark.parametrize(
    ("duration", "ratio", "known", "total"),
    [
        ("1001sp", 1.0, {}, 126),  # the last batch is trained
        ("129tok", 1.0, {}, 2),
        ("5ep", 0.5, {}, 40),  # whole epochs
        (5, 1.0, {}, 100),
        ("100ba", 0.75, {}, 75),
        (None, 1.0, {"total_steps": 30}, 30),
        ("5ep", 1.0, {"total_steps": 30}, 30),
    ],
)
def test_composer_s_run_has_the_batches_that_it_trains(
    duration: str | int | None, ratio: float, known: dict[str, int], total: int
) -> None:
    settings = {
        "scheduler": {"name": "linear"}, "max_duration": duration, "scale_schedule_ratio": ratio,
        "global_train_batch_size": 8, "max_seq_len": 16,
    }  # fmt: skip
    plan = wd.import_config(settings, lr=1e-3, steps_per_epoch=20, **known)
    assert plan.run.total_steps == total
    steps = {"1001sp": 1001 / 8, "129tok": 129 / 128}.get(str(duration), total)
    assert_rates(plan, lambda k: 1e-3 * (1 - k / steps), base=1e-3, updates=total)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheduler": {"t_warmup": "5iter"}}, r"t_warmup='5iter': a time such as"),
        ({"max_duration": None}, "max_duration: it is missing"),
        ({"max_duration": "1dur"}, "max_duration='1dur': a length is needed"),
        ({"scheduler": {"name": "multistep", "t_warmup": None, "milestones": "3ep"}},
         r"milestones='3ep': a list of times"),
        ({"scheduler": {"name": "cosine_warmrestart", "t_warmup": None, "t_0": "2ba",
                        "t_mult": 0.4}}, "t_mult: its cycles become shorter"),
        ({"scheduler": {"name": "inv_sqrt_with_warmup", "t_scale": "2ba", "t_cooldown": "2ba",
                        "alpha_f_decay": 0.1, "alpha_f_cooldown": 0.2}},
         r"alpha_f_cooldown=0\.2: it has to be at most alpha_f_decay=0\.1"),
        ({"scheduler": {"t_warmup": "5tok"}}, r"its unit has to be that of"),
        ({"scheduler": {"t_max": "5ba"}}, r"t_max='5ba': it is shorter than the run"),
        ({"scheduler": {"t_warmup": "5sec"}}, r"t_warmup='5sec': a time such as"),
        ({"scheduler": {"t_warmup": None}}, r"t_warmup: it is missing"),
        ({"max_duration": "10tok"}, "global_train_batch_size: it is missing"),
        ({"step_schedulers_every_batch": False}, "step_schedulers_every_batch=False"),
    ],
)  # fmt: skip
def test_what_composer_would_refuse_is_refused_by_its_key(settings: Settings, words: str) -> None:
    scheduler = {"name": "cosine_with_warmup", "t_warmup": "1ba", **settings.get("scheduler", {})}
    if scheduler["t_warmup"] == "5tok":
        settings = {**settings, "global_train_batch_size": 8, "max_seq_len": 16}
    with pytest.raises(ScheduleError, match=words):
        wd.import_config({"max_duration": "10ba", **settings, "scheduler": scheduler})


def deepspeed_file(kind: str, **params: Any) -> Settings:
    return {
        "train_batch_size": 8,
        "optimizer": {"type": "AdamW", "params": {"lr": "1e-3", "betas": [0.9, 0.95]}},
        "scheduler": {"type": kind, "params": params},
        "zero_optimization": {"stage": 2},
    }


def triangle(k: int) -> float:
    return k / 100 if k <= 100 else max(1 - (k - 100) / 150, 0.0)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        (deepspeed_file("WarmupLR", warmup_num_steps=50, warmup_type="linear"),
         lambda k: 1e-3 * min(max(k - 1, 0) / 50, 1)),
        (deepspeed_file("WarmupDecayLR", warmup_num_steps=50, total_num_steps="auto",
                        warmup_max_lr="auto", warmup_min_lr="auto"),
         lambda k: 2e-3 * (np.log(max(k, 1)) / np.log(50) if k <= 50 else (1001 - k) / 950)),
        (deepspeed_file("WarmupCosineLR", warmup_num_steps=50, total_num_steps=800,
                        warmup_min_ratio=0.1, cos_min_ratio=0.05, warmup_type="linear"),
         lambda k: 2e-3 * (0.0 if not k else line(0.1, 1, k - 1, 50) if k <= 50
                           else wave(1, 0.05, min(k - 50, 750), 750))),
        (deepspeed_file("OneCycle", cycle_min_lr=1e-4, cycle_max_lr=1e-3, decay_step_size=10,
                        cycle_first_step_size=100, cycle_second_step_size=150, decay_lr_rate=0.5),
         lambda k: 1e-4 + 9e-4 * triangle(k) if k <= 250 else 1e-4 / (1 + 0.05 * (k - 250))),
        (deepspeed_file("OneCycle", cycle_min_lr=1e-4, cycle_max_lr=1e-3, cycle_first_step_size=100,
                        cycle_second_step_size=150, cycle_first_stair_count=4),
         lambda k: 1e-4 + 9e-4 * np.floor(
             (k if k <= 100 else max(250 - k, 0) / 1.5) * 4 / 100 + 1e-9) / 4),
        (deepspeed_file("LRRangeTest", lr_range_test_min_lr=1e-4, lr_range_test_step_size=70,
                        lr_range_test_step_rate=2.0, lr_range_test_staircase=True),
         lambda k: 1e-4 * (1 + 2 * (k // 70))),
        (deepspeed_file("LRRangeTest", lr_range_test_min_lr=1e-4),
         lambda k: 1e-4 * (1 + k / 2000)),
    ],
)  # fmt: skip
def test_deepspeed_s_schedules(settings: Settings, rate: Rate, nested: bool) -> None:
    known = {"total_steps": 1000, "lr": 2e-3}
    whole: Settings = {"deepspeed": settings, "learning_rate": 7} if nested else settings
    if settings["scheduler"]["type"] == "WarmupLR":
        known["lr"] = 1e-3
    assert_rates(wd.import_config(whole, **known), rate, base=known["lr"])


def test_deepspeed_s_one_cycle_moves_the_momentum_against_the_rate() -> None:
    settings = deepspeed_file(
        "OneCycle", cycle_min_lr=1e-4, cycle_max_lr=1e-3, cycle_first_step_size=100,
        cycle_second_step_size=150, cycle_min_mom=0.85, cycle_max_mom=0.95, decay_step_size=10,
        decay_mom_rate=0.0001,
    )  # fmt: skip

    def momentum(k: int) -> float:
        if not k:
            return 0.85
        return 0.95 - 0.1 * triangle(k) if k <= 250 else 0.95 * (1 + 0.00001 * (k - 250))

    plan = wd.import_config(settings, total_steps=1000)
    assert_rates(plan, momentum, base=1e-3, field="betas[0]")
    assert_rates(plan, lambda k: 0.99, base=1e-3, field="betas[1]")
    settings["optimizer"]["type"] = "SGD"
    without = wd.import_config(settings, total_steps=1000)
    assert [target.name for target in without.targets] == ["lr"]


def test_deepspeed_s_lists_are_rates_of_the_groups() -> None:
    settings = deepspeed_file("WarmupLR", warmup_num_steps=10, warmup_max_lr=[1e-3, 1e-2])
    plan = wd.import_config(settings, total_steps=50)
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    scheduler = wd.Scheduler(torch.optim.SGD(groups, lr=1.0), plan)
    for _ in range(50):
        scheduler.optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in scheduler.optimizer.param_groups] == [1e-3, 1e-2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (deepspeed_file("WarmupDecayLR", total_num_steps="auto"), "total_num_steps='auto'.*--t"),
        (deepspeed_file("WarmupDecayLR", total_num_steps=9, warmup_num_steps="auto"),
         "warmup_num_steps='auto': a number is needed"),
        (deepspeed_file("WarmupDecayLR", total_num_steps=9, warmup_num_step=9),
         "warmup_num_step=9: this setting"),
        (deepspeed_file("OneCycle", cycle_min_lr=1), r"--total-steps"),
        (deepspeed_file("WarmupLR", warmup_num_steps=[1, 2]), "warmup_num_steps=.*a number"),
    ],
)  # fmt: skip
def test_what_deepspeed_s_file_lacks_is_asked_for_by_name(settings: Settings, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config(settings)
