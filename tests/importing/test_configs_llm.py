"""Trainers of language models: each file gives the rate of its own scheduler at every update."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.lazily import Lazily
from torch.optim.lr_scheduler import OneCycleLR

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings
from warmdown.importing.formats.command_line import settings_of_command

transformers: Any = Lazily("transformers")
diffusers: Any = Lazily("diffusers.optimization")

TOTAL, RATE = 1000, 2e-4
MODES = ("faithful", "corrected")
KWARGS: Mapping[str, dict[str, Any]] = {
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0, "lr_end": 1e-6},
    "inverse_sqrt": {"timescale": 300},
    "cosine_with_min_lr": {"min_lr": 1e-6},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.01},
    "warmup_stable_decay": {"num_decay_steps": 200, "decay_type": "1-sqrt"},
}
FOLLOWS_METRIC = {"greedy", "reduce_lr_on_plateau"}
NAMES = (
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_warmup_with_min_lr",
    "cosine_with_min_lr",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
    "warmup_stable_decay",
)
ARGUMENTS = {"output_dir": "out", "per_device_train_batch_size": 8, "learning_rate": "2e-4"}


def adamw(lr: float = RATE) -> Any:
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def driven(settings: Mapping[str, Any], lr: float = RATE, **known: Any) -> list[float]:
    """Return the rates of an optimizer that follows what was imported."""
    plan = from_settings(settings, **{"report": None, **known})
    assert wd.loads(wd.dumps(plan)) == plan
    scheduler = wd.Scheduler(adamw(lr), plan)
    rates: list[float] = plan.over().targets[0].rule.value(np.arange(float(TOTAL)), lr).tolist()
    assert [scheduler.value(step) for step in (0, 99, TOTAL - 1)] == [*rates[:100:99], rates[-1]]
    return rates


def used(make: Callable[[Any], Any], lr: float = RATE) -> list[float]:
    """Return the rates of the original."""
    optimizer = adamw(lr)
    scheduler = make(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    optimizer.step()
    for _ in range(TOTAL - 1):
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def of_transformers(name: str, warmup: int, kwargs: Any = None) -> list[float]:
    total = None if "num_stable_steps" in (kwargs or {}) else TOTAL  # it warns of both
    return used(lambda opt: transformers.get_scheduler(name, opt, warmup, total, kwargs))


def assert_same(found: list[float], meant: list[float]) -> None:
    np.testing.assert_allclose(found, meant, rtol=1e-9, atol=1e-18)


# -- transformers


def test_all_names_of_transformers_are_here() -> None:
    assert {kind.value for kind in transformers.SchedulerType} == {*NAMES} | FOLLOWS_METRIC


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("warmup", [100, 0, TOTAL, TOTAL + 200])
@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_transformers_has_its_rates(name: str, warmup: int, mode: str) -> None:
    kwargs = KWARGS.get(name)
    if warmup >= TOTAL and name == "warmup_stable_decay":
        kwargs = {"num_decay_steps": 0, "num_stable_steps": 0}
    settings = {**ARGUMENTS, "lr_scheduler_type": name, "max_steps": TOTAL, "warmup_steps": warmup}
    found = driven({**settings, "lr_scheduler_kwargs": json.dumps(kwargs)}, mode=mode)
    assert_same(found, of_transformers(name, warmup, kwargs))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cycles", [0, 0.45, 2])
@pytest.mark.parametrize("name", ["cosine", "cosine_with_min_lr", "cosine_warmup_with_min_lr"])
def test_cosines_of_any_number_of_waves_run_in_both_modes(
    name: str, cycles: float, mode: str
) -> None:
    kwargs = {"num_cycles": cycles} | ({} if name == "cosine" else {"min_lr_rate": 0.1})
    settings = {"lr_scheduler_type": name, "max_steps": TOTAL, "learning_rate": RATE,
                "lr_scheduler_kwargs": kwargs, "warmup_ratio": 0.1}  # fmt: skip
    assert_same(driven(settings, mode=mode), of_transformers(name, 100, kwargs))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("greedy", {"patience": 1}),  # its lowest rate is above the first
        ("greedy", {"min_lr": 1e-5, "max_lr": 1e-3, "patience": 2, "factor": 0.8, "cooldown": 1,
                    "warmup": 2, "smooth": True, "window_size": 5}),
        ("greedy", {"min_lr": 1e-6, "max_lr": 1e-4, "patience": 1}),
        ("reduce_lr_on_plateau", {"factor": 0.5, "min_lr": 1e-6, "patience": 2}),
    ],
)  # fmt: skip
def test_what_follows_a_metric_follows_it_as_transformers_does(
    name: str, kwargs: dict[str, Any]
) -> None:
    settings = {"lr_scheduler_type": name, "max_steps": TOTAL, "learning_rate": RATE,
                "warmup_steps": 50, "lr_scheduler_kwargs": kwargs}  # fmt: skip
    plan = from_settings(settings, report=None)
    assert plan == from_settings(settings, mode="corrected", report=None)
    assert wd.loads(wd.dumps(plan)) == plan
    ours, theirs = adamw(), adamw()
    scheduler = wd.Scheduler(ours, plan)
    original = transformers.get_scheduler(name, theirs, 50, TOTAL, kwargs)
    noise, seen = random.Random(3), set()
    for step in range(300):
        rate = theirs.param_groups[0]["lr"]
        assert ours.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9)
        seen.add(rate)
        ours.step()
        metric = (3 - step / 150 if step < 150 else 3) + noise.random() / 3
        original.step(metric)
        scheduler.observe(loss=metric)
        scheduler.step()
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("settings", "known", "name", "warmup"),
    [
        ({}, {"total_steps": TOTAL}, "linear", 0),
        ({"num_train_epochs": 2.5}, {"steps_per_epoch": 400}, "linear", 0),
        ({}, {"steps_per_epoch": 200, "epochs": 5}, "linear", 0),
        ({"max_steps": -1, "num_train_epochs": "5"}, {"steps_per_epoch": 200}, "linear", 0),
        ({"max_steps": "1e3", "warmup_ratio": "0.0301"}, {}, "linear", 31),
        ({"max_steps": TOTAL, "warmup_steps": 0.05}, {}, "linear", 50),
        ({"max_steps": TOTAL, "warmup_steps": 20, "warmup_ratio": 0.5}, {}, "linear", 20),
        ({"max_steps": TOTAL, "warmup_ratio": 1.0}, {}, "linear", TOTAL),
        ({"max_steps": TOTAL, "warmup_ratio": None, "lr_scheduler_kwargs": None}, {}, "linear", 0),
        ({"max_steps": TOTAL, "lr_scheduler_type": "SchedulerType.COSINE"}, {}, "cosine", 0),
        ({"max_train_steps": TOTAL, "num_warmup_steps": 7}, {}, "linear", 7),
        ({"training_steps": TOTAL, "lr_scheduler_warmup_ratio": 0.1}, {}, "linear", 100),
    ],
)  # fmt: skip
def test_the_run_and_the_warmup_are_what_the_trainer_makes_of_them(
    settings: dict[str, Any], known: dict[str, Any], name: str, warmup: int
) -> None:
    assert_same(driven({**ARGUMENTS, **settings}, **known), of_transformers(name, warmup))


def test_llama_factory_gives_a_third_of_what_the_warmup_leaves_to_the_stable_phase() -> None:
    settings = {"stage": "sft", "finetuning_type": "lora", "do_train": True, "cutoff_len": 2048,
                "loraplus_lr_ratio": 16.0, "learning_rate": "2e-4", "warmup_ratio": 0.1,
                "lr_scheduler_type": "warmup_stable_decay", "max_steps": TOTAL,
                "profiler_warmup_steps": 1, "ddp_timeout": 180000000}  # fmt: skip
    kwargs = {"num_stable_steps": 300, "num_decay_steps": 600}
    said: list[str] = []
    found = driven(settings, report=said.append)
    assert_same(found, of_transformers("warmup_stable_decay", 100, kwargs))
    assert said == ["loraplus_lr_ratio=16.0: give it to the optimizer's group."]


def test_all_of_transformers_own_arguments_go_through(tmp_path: Path) -> None:
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), lr_scheduler_type="cosine", warmup_steps=100, max_steps=TOTAL,
        learning_rate=RATE, use_cpu=True, report_to="none",
    )  # fmt: skip
    file = tmp_path / "arguments.txt"
    file.write_text(arguments.to_json_string())
    assert_same(driven(json.loads(file.read_text())), of_transformers("cosine", 100))
    assert wd.import_config(file, report=None).run == wd.Run(total_steps=TOTAL, lr=RATE)


def test_a_part_of_a_file_and_a_list_of_a_model_card_are_read(tmp_path: Path) -> None:
    part = {**ARGUMENTS, "lr_scheduler_type": "cosine", "max_steps": TOTAL}
    assert_same(driven({"model": {"name": "x"}, "train": part}), of_transformers("cosine", 0))
    card = tmp_path / "card.yaml"
    card.write_text(
        "- learning_rate: 0.0002\n- seed: 42\n- lr_scheduler_type: cosine\n"
        "- lr_scheduler_warmup_steps: 9\n- training_steps: 1000\n"
    )
    plan = wd.import_config(card, report=None)
    assert plan == from_settings({**part, "warmup_steps": 9}, report=None)


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({"lr_scheduler_type": "cosin"}, {"total_steps": 9}, "Did you mean 'cosine'"),
        ({}, {}, "Give --total-steps or --steps-per-epoch"),
        ({"max_steps": 9, "warmup_ratio": 5}, {}, "warmup_ratio=5: a share"),
        ({"max_steps": 9, "lr_scheduler_config": {"name": "x"}}, {}, "lr_scheduler_config"),
        ({"max_steps": 9, "min_lr": 1e-6}, {}, r"transformers\.min_lr"),
        ({"max_steps": 9, "lr_schedule": "cosine"}, {}, r"transformers\.lr_schedule"),
        ({"max_steps": 9, "lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"min": 1}}, {},
         "min"),
        ({"deepspeed": {"scheduler": {"type": "WarmupLR"}}}, {}, "--total-steps"),
        ({"max_steps": 9, "config": "sft.yaml"}, {}, r"config='sft\.yaml'"),
    ],
)  # fmt: skip
def test_what_moves_the_rate_and_cannot_be_said_is_refused_by_its_key(
    settings: dict[str, Any], known: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        from_settings({**ARGUMENTS, **settings}, report=None, **known)


# -- a command line

SCRIPT = """#!/bin/bash
# don't forget: --learning_rate 9 is too much
export LR=2e-4 OUT='a b'
STEPS=1000
pip install --upgrade trl
cd /tmp && torchrun --nproc_per_node 8 \\
    train.py --output_dir "${OUT}/$RUN" --learning_rate $LR --per-device-train-batch-size=4 \\
    --lr_scheduler_type cosine_with_min_lr --warmup-steps ${W:-50} --max_steps=${STEPS} \\
    --lr_scheduler_kwargs '{"min_lr_rate": 0.1}' --bf16 --report_to wandb tensorboard \\
    --seed -1 > log.txt 2>&1
"""


def test_a_script_s_options_are_read_as_a_shell_and_argparse_do() -> None:
    found = settings_of_command(SCRIPT)
    assert found == {
        "nproc_per_node": "8", "output_dir": "a b/$RUN", "learning_rate": "2e-4",
        "per_device_train_batch_size": "4", "lr_scheduler_type": "cosine_with_min_lr",
        "warmup_steps": "50", "max_steps": "1000", "lr_scheduler_kwargs": '{"min_lr_rate": 0.1}',
        "bf16": True, "report_to": ["wandb", "tensorboard"], "seed": "-1",
    }  # fmt: skip
    assert settings_of_command("learning_rate: 2e-5  # not -- an option") is None


def test_a_command_line_gives_the_rates_of_its_arguments(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_text(SCRIPT)
    meant = of_transformers("cosine_with_min_lr", 50, {"min_lr_rate": 0.1})
    plan = wd.import_config(file, report=None)
    scheduler = wd.Scheduler(adamw(), plan)
    assert_same([scheduler.value(step) for step in range(TOTAL)], meant)
    line = "python t.py --learning_rate=2e-4 --max_steps=1000 --lr_scheduler_type=linear"
    done = CliRunner().invoke(main, ["import", line])
    assert done.exit_code == 0, done.output
    assert wd.loads(done.output) == wd.import_config(line, report=None)
    listed = tmp_path / "arguments.txt"
    listed.write_text(line.removeprefix("python t.py ").replace(" ", "\n"))
    assert wd.import_config(listed, report=None) == wd.import_config(line, report=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a --learning_rate 1 --max_steps 9\nb --learning_rate 2 --max_steps 9", "2 commands"),
        ("a --learning_rate '1e-4 --max_steps 9", "No closing quotation"),
        ("a --learning_rate $LR --max_steps 9", r"learning_rate='\$LR': a number"),
        ("a --config sft.yaml --learning_rate 1e-5 --max_steps 9", r"config='sft\.yaml'"),
    ],
)  # fmt: skip
def test_a_command_line_that_says_too_little_is_refused(text: str, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config(text, report=None)


# -- diffusers


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("warmup", [0, 500, TOTAL])
@pytest.mark.parametrize(
    "name", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant",
             "constant_with_warmup"],
)  # fmt: skip
def test_every_name_of_diffusers_has_its_rates(name: str, warmup: int, mode: str) -> None:
    settings = {"pretrained_model_name_or_path": "x", "train_batch_size": 4, "snr_gamma": 5.0,
                "learning_rate": "2e-4", "lr_scheduler": name, "lr_warmup_steps": warmup,
                "max_train_steps": TOTAL, "lr_num_cycles": 3, "lr_power": 2.0}  # fmt: skip
    meant = used(lambda opt: diffusers.get_scheduler(
        name, opt, num_warmup_steps=warmup, num_training_steps=TOTAL, num_cycles=3, power=2.0
    ))  # fmt: skip
    assert_same(driven(settings, mode=mode), meant)


def test_processes_multiply_only_a_rate_that_is_scaled_and_steps_of_rules() -> None:
    line = (
        "accelerate launch --num_processes 4 train_text_to_image.py --lr_scheduler linear "
        "--learning_rate 1e-5 --lr_warmup_steps=100 --num_train_epochs 5 --train_batch_size 2 "
        "--gradient_accumulation_steps 3 --scale_lr"
    )
    plan = wd.import_config(line, report=None, steps_per_epoch=200)
    assert plan.run == wd.Run(total_steps=TOTAL, lr=1e-5 * 4 * 3 * 2)
    # accelerate makes four steps an update, through lengths that are four times as long
    theirs = diffusers.get_scheduler(
        "linear", opt := adamw(plan.run.lr or 0), num_warmup_steps=400, num_training_steps=4000
    )
    scheduler = wd.Scheduler(adamw(plan.run.lr or 0), plan)
    for update in range(TOTAL):
        assert scheduler.value(update) == pytest.approx(opt.param_groups[0]["lr"], rel=1e-9)
        for _ in range(4):
            opt.step()
            theirs.step()


def test_step_rules_are_stairs() -> None:
    rules = "1:100,0.1:200,0.01:300,0.005"
    settings = {"lr_scheduler": "piecewise_constant", "step_rules": rules, "learning_rate": RATE,
                "max_train_steps": TOTAL}  # fmt: skip
    meant = used(lambda opt: diffusers.get_scheduler("piecewise_constant", opt, step_rules=rules))
    assert_same(driven(settings), meant)
    with pytest.raises(ScheduleError, match=r"step_rules='1;5': factors and the steps"):
        from_settings({**settings, "step_rules": "1;5"}, report=None)


# -- axolotl

AXOLOTL = {"base_model": "some/model", "sequence_len": 4096, "micro_batch_size": 2,
           "gradient_accumulation_steps": 4, "optimizer": "adamw_torch", "adapter": "lora",
           "learning_rate": "2e-4", "datasets": [{"path": "x", "type": "alpaca"}],
           "weight_decay": 0.0, "flash_attention": None}  # fmt: skip


def half_cosine(share: float) -> float:
    return (1 + cos(pi * min(max(share, 0.0), 1.0))) / 2


def rex(k: int, warmup: int, low: float) -> float:
    step = k + 1  # its first update has the second value
    if step <= warmup:
        return step / warmup
    left = 1 - (step - warmup) / (TOTAL - warmup)
    return low + (1 - low) * left / (0.1 + 0.9 * left)


def jags(k: int) -> float:
    within = (k + 1) % 150
    if k + 1 < 149:
        return 1.0
    return 0.001 + 0.999 * (within / 20 if within < 20 else 1.0)


FORMULAS: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "cosine and its own warmup": (
        {}, lambda k: k / 30 if k < 30 else half_cosine((k - 30) / 970)),
    "a lowest rate": (
        {"cosine_min_lr_ratio": "0.1", "warmup_ratio": 0.06},
        lambda k: k / 60 if k < 60 else 0.1 + 0.9 * half_cosine((k - 60) / 940)),
    "a constant end": (
        {"cosine_min_lr_ratio": 0.1, "cosine_constant_lr_ratio": 0.5, "warmup_steps": 60},
        lambda k: k / 60 if k < 60 else 0.1 + 0.9 * half_cosine((k - 60) / 440)),
    "a constant end before the warmup's": (
        {"cosine_min_lr_ratio": 0.1, "cosine_constant_lr_ratio": 0.05, "warmup_steps": 61},
        lambda k: k / 61 if k < 61 else 0.1),
    "a constant end without a lowest rate is none": (
        {"cosine_constant_lr_ratio": 0.5, "warmup_steps": 60},
        lambda k: k / 60 if k < 60 else half_cosine((k - 60) / 940)),
    "a bent warmup": (
        {"lr_quadratic_warmup": True, "warmup_steps": 60, "cosine_min_lr_ratio": 0.1},
        lambda k: (k / 60) ** 2 if k < 60 else half_cosine((k - 60) / 940)),
    "a warmup of one step is two": (
        {"warmup_steps": 1}, lambda k: k / 2 if k < 2 else half_cosine((k - 2) / 998)),
    "no warmup": ({"warmup_steps": 0}, lambda k: half_cosine(k / 1000)),
    "rex": ({"lr_scheduler": "rex", "warmup_steps": 60}, lambda k: rex(k, 60, 0.0)),
    "rex with a lowest rate": (
        {"lr_scheduler": "rex", "warmup_steps": 0, "cosine_min_lr_ratio": 0.1},
        lambda k: rex(k, 0, 0.1)),
    "restarts": (
        {"lr_scheduler": "constant", "jagged_restart_steps": 150,
         "jagged_restart_warmup_steps": 20}, jags),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_axolotl_s_own_schedules_have_its_rates(name: str) -> None:
    settings, factor = FORMULAS[name]
    found = driven({**AXOLOTL, "max_steps": TOTAL, **settings})
    assert_same(found, [RATE * factor(k) for k in range(TOTAL)])


def test_axolotl_takes_the_schedules_of_torch_and_transformers() -> None:
    cycle = {**AXOLOTL, "lr_scheduler": "one_cycle", "warmup_steps": 60, "num_epochs": 5,
             "lr_scheduler_kwargs": {"final_div_factor": 100}}  # fmt: skip
    meant = used(lambda opt: OneCycleLR(
        opt, max_lr=RATE, total_steps=TOTAL, pct_start=0.06, final_div_factor=100
    ))  # fmt: skip
    assert_same(driven(cycle, steps_per_epoch=200), meant)
    kwargs = {"min_lr": "1e-5"}
    named = {"lr_scheduler": "cosine_with_min_lr", "warmup_steps": 9, "max_steps": TOTAL}
    found = driven({**AXOLOTL, **named, "lr_scheduler_kwargs": kwargs})
    assert_same(found, of_transformers("cosine_with_min_lr", 9, {"min_lr": 1e-5}))
    shorter = {**AXOLOTL, "max_steps": TOTAL, "warmup_ratio": 0.1, "num_epochs": 2}
    # its share is one of the data's updates, where they are fewer
    assert_same(driven(shorter, steps_per_epoch=250), of_transformers("cosine", 50))


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({}, {}, "Give --steps-per-epoch"),
        ({"relora_warmup_steps": 10, "max_steps": 9}, {}, r"axolotl\.relora_warmup_steps"),
        ({"cosine_min_lr_ratio": 2, "max_steps": 9}, {}, "cosine_min_lr_ratio=2"),
        ({"lr_scheduler": "one_cycle", "jagged_restart_steps": 5, "max_steps": 9}, {},
         r"jagged_restart_steps=5: restarts of this schedule"),
        ({"lr_scheduler": "wsd", "max_steps": 9}, {}, "lr_scheduler_type='wsd'"),
    ],
)  # fmt: skip
def test_axolotl_s_settings_that_cannot_be_said_are_refused(
    settings: dict[str, Any], known: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        from_settings({**AXOLOTL, **settings}, report=None, **known)


# -- torchtune

TORCHTUNE = """
model:
  _component_: torchtune.models.llama3_2.llama3_2_1b
batch_size: 4
epochs: 2
optimizer:
  _component_: torch.optim.AdamW
  fused: True
  lr: 2e-4
lr_scheduler:
  _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
  num_warmup_steps: 100
max_steps_per_epoch: 500
gradient_accumulation_steps: 8
metric_logger:
  log_dir: ${output_dir}/logs
profiler:
  warmup_steps: 3
"""


def test_torchtune_s_file_has_its_cosine(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(TORCHTUNE)
    said: list[str] = []
    plan = wd.import_config(file, report=said.append)
    scheduler = wd.Scheduler(adamw(), plan)
    meant = of_transformers("cosine", 100)
    assert_same([scheduler.value(step) for step in range(TOTAL)], meant)
    assert said == ["max_steps_per_epoch=500: the data is taken to have at least as many."]
    assert wd.import_config(file, steps_per_epoch=50, report=None).run.total_steps == 100
    file.write_text(TORCHTUNE.replace("max_steps_per_epoch: 500", "max_steps_per_epoch: null"))
    with pytest.raises(ScheduleError, match="Give --steps-per-epoch"):
        wd.import_config(file)
    file.write_text(TORCHTUNE.replace("num_warmup_steps", "warmup"))
    with pytest.raises(ScheduleError, match="num_warmup_steps: it is missing"):
        wd.import_config(file, report=None)
    file.write_text(TORCHTUNE.replace("get_cosine", "get_other"))
    with pytest.raises(ScheduleError, match=r"lr_scheduler\._component_='torchtune"):
        wd.import_config(file, report=None)


def test_torchtune_without_a_scheduler_keeps_its_rate() -> None:
    settings = {"optimizer": {"_component_": "torch.optim.AdamW", "lr": RATE}, "epochs": 1,
                "lr_scheduler": None, "max_steps_per_epoch": TOTAL}  # fmt: skip
    assert driven(settings) == [RATE] * TOTAL
