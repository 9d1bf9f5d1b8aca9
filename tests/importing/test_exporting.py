"""A plan as another trainer's configuration, and back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

import warmdown as wd
from warmdown.cli.export import command
from warmdown.cli.main import main
from warmdown.errors import ScheduleError
from warmdown.importing.configs import read_config_file
from warmdown.importing.exporting import EXPORTS
from warmdown.schedules import Schedule

RUN = wd.Run(total_steps=1000, lr=3e-4)
LEVEL = wd.Constant(1.0)
COSINE, LINEAR = wd.warmup_cosine(warmup=50), wd.warmup_linear(warmup=50)
WSD = wd.wsd(warmup=50, decay=200, shape="linear")
TITAN = wd.Linear(start=0.02, end=1.0, steps=49) >> wd.Constant(1.0) >> wd.Cosine(steps=800)
TWICE = wd.Constant(0.0, steps=1) >> wd.Linear(start=0.0, end=1.0, steps=50) >> wd.Constant(1.0)
SAID: dict[str, list[Schedule]] = {
    "transformers": [COSINE, wd.warmup_cosine(warmup=50, end=0.1), LINEAR, WSD, LEVEL],
    "deepspeed": [TWICE],
    "torchtitan": [TITAN],
    "composer": [COSINE, wd.warmup_linear(warmup=50, end=0.2), wd.warmup_constant(warmup=50)],
    "onetrainer": [COSINE, LINEAR, wd.wsd(warmup=50, decay=200)],
    "mmengine": [
        wd.warmup_cosine(warmup=50, start=0.1),
        wd.warmup_linear(warmup=50, start=0.1),
        wd.wsd(warmup=50, decay=200, shape="linear", start=0.1),
    ],
    "axolotl": [COSINE, wd.warmup_cosine(warmup=50, end=0.1)],
    "megatron": [COSINE, LINEAR, WSD, wd.wsd(warmup=50, decay=200)],
    "torch": [COSINE, WSD, wd.flat_cosine()],
    "PlanLR": [COSINE, wd.warmup_rex(warmup=50)],
}
CASES = [(to, schedule) for to, said in SAID.items() for schedule in said]


def settings_in(to: str, text: str, folder: Path) -> Any:
    """Return what a user's file of the text is read as."""
    ending = {"torchtitan": "toml", "megatron": "sh"}.get(to, "yaml")
    file = folder / f"config.{ending}"
    file.write_text(text)
    return read_config_file(file)


@pytest.mark.parametrize(("to", "schedule"), CASES, ids=[f"{to}-{s}"[:40] for to, s in CASES])
def test_what_is_written_reads_back_as_the_plan(
    to: str, schedule: Schedule, tmp_path: Path
) -> None:
    plan = wd.Plan.of(lr=schedule, run=RUN)
    text = wd.export_config(plan, to=to)
    ours = plan.over().targets[0].rule.value(np.arange(1000.0), 3e-4)
    if to == "torch":
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-4)
        names: dict[str, Any] = {"optimizer": optimizer}
        exec(text, names)  # noqa: S102  # what a user would paste
        theirs = []
        for _ in range(1000):
            theirs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            names["scheduler"].step()
    else:
        settings = settings_in(to, text, tmp_path)
        again = wd.import_config(settings, total_steps=1000, lr=3e-4, report=None).over()
        theirs = again.targets[0].rule.value(np.arange(1000.0), 3e-4)
    np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-15)


def test_every_format_is_tried_here_and_is_a_choice_of_the_command() -> None:
    assert {*SAID, "timm"} == {*EXPORTS}
    (choice,) = [param.type for param in command.params if param.name == "to"]
    assert list(getattr(choice, "choices", ())) == list(EXPORTS)


def test_timm_gets_rates_that_change_once_an_epoch() -> None:
    settings = {"sched": "cosine", "epochs": 20, "warmup_epochs": 3, "lr": 0.1, "min_lr": 1e-5,
                "warmup_lr": 1e-4, "cooldown_epochs": 0}  # fmt: skip
    plan = wd.import_config(settings, steps_per_epoch=7)
    run = wd.Run(epochs=20, steps_per_epoch=7, lr=0.1)
    again = wd.export_config(wd.Plan(targets=plan.targets, run=run), to="timm")
    read = wd.import_config(yaml.safe_load(again), steps_per_epoch=7)
    steps = np.arange(140.0)
    np.testing.assert_allclose(read.targets[0].rule.of(steps), plan.targets[0].rule.of(steps))
    with pytest.raises(ScheduleError, match=r"once an epoch\. Give --steps-per-epoch"):
        wd.export_config(wd.Plan.of(lr=COSINE, run=RUN), to="timm")


def test_what_cannot_be_said_is_refused_with_its_phase_and_the_nearest() -> None:
    plan = wd.Plan.of(lr=wd.warmup_rex(warmup=50), run=RUN)
    message = r"cannot say the phase 'decay', from update 51\. Its nearest is lr_scheduler cosine,"
    with pytest.raises(ScheduleError, match=message):
        wd.export_config(plan, to="axolotl")
    with pytest.raises(ScheduleError, match=r"export\(to='torch'\): torch has nothing for lr"):
        wd.export_config(wd.Plan.of(lr=wd.Greedy(), run=RUN), to="torch")


def test_what_is_no_single_rate_is_refused_by_all_but_the_class() -> None:
    plan = wd.Plan.of(lr=COSINE, weight_decay=wd.Cosine(), run=RUN)
    with pytest.raises(ScheduleError, match=r"it cannot say weight_decay, only one rate"):
        wd.export_config(plan, to="composer")
    given = yaml.safe_load(wd.export_config(plan, to="PlanLR"))
    assert wd.loads(given["init_args"]["plan"]) == plan


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (wd.Plan.of(lr=COSINE), "the run's updates are needed"),
        (wd.Plan.of(lr=LEVEL, run=wd.Run(1000)), "the base rate is needed. Give --lr"),
        (wd.Plan.of(weight_decay=LEVEL, run=RUN), "it cannot say weight_decay"),
        (wd.Plan.of(lr=LEVEL, run=wd.Run(10**9, lr=1.0)), "more than .* updates cannot be"),
        (wd.Plan.of(lr=wd.Constant(0.0), run=RUN), "the rate is 0 at every update"),
    ],
)
def test_a_plan_that_lacks_a_fact_is_refused_by_it(plan: wd.Plan, message: str) -> None:
    with pytest.raises((ScheduleError, wd.RunError), match=message if plan.run.lr else "."):
        wd.export_config(plan, to="transformers")


@pytest.mark.parametrize(
    ("to", "nearest"),
    [
        ("transformers", "warmup_stable_decay linear, which is off by up to 0.4"),
        ("deepspeed", "WarmupDecayLR, which is off by up to 0.47"),
        ("torchtitan", "decay_type linear, which is off by up to 0.3"),
        ("composer", "cosine_with_warmup, "),
        ("timm", "sched cosine, "),
        ("mmengine", "PolyLR, which is off by up to 0.18"),
        ("megatron", "WSD exponential, which is off by up to 0.14"),
    ],
)
def test_a_curve_that_no_settings_have_is_refused_with_the_nearest_of_all(
    to: str, nearest: str
) -> None:
    bent = wd.Cosine(end=0.2, steps=25) >> wd.Cosine(start=0.2, end=0.1)
    plan = wd.Plan.of(
        lr=wd.Linear(start=0.5, end=1.0, steps=5) >> bent,
        run=wd.Run(epochs=8, steps_per_epoch=5, lr=1e-3),
    )
    with pytest.raises(ScheduleError, match=rf"cannot say .*Its nearest is {nearest}"):
        wd.export_config(plan, to=to)


@pytest.mark.parametrize("to", ["onetrainer", "mmengine"])
def test_a_level_rate_with_hardly_a_warmup_reads_back_as_itself(to: str) -> None:
    level = wd.Linear(start=0.5, end=1.0, steps=1) >> wd.Constant(1.0)
    if to == "onetrainer":  # a length of 1 is the whole run there
        level = wd.Linear(start=0.0, end=1.0, steps=1) >> wd.Linear()
    plan = wd.Plan.of(lr=level, run=wd.Run(40, lr=1e-3))
    settings = yaml.safe_load(wd.export_config(plan, to=to))
    again = wd.import_config(settings, total_steps=40, lr=1e-3, report=None).over()
    steps = np.arange(40.0)
    expected = plan.over().targets[0].rule.value(steps, 1e-3)
    np.testing.assert_allclose(
        again.targets[0].rule.value(steps, 1e-3) + 0.0 * steps, expected, rtol=1e-12
    )


def test_the_class_needs_a_rate_among_the_targets() -> None:
    with pytest.raises(ScheduleError, match=r"there is no learning rate in this plan\. Add lr"):
        wd.export_config(wd.Plan.of(weight_decay=LEVEL, run=RUN), to="PlanLR")


def test_a_name_that_is_none_leads_to_the_nearest() -> None:
    with pytest.raises(ScheduleError, match="Did you mean 'composer'"):
        wd.export_config(wd.Plan.of(lr=COSINE, run=RUN), to="compozer")


def test_the_command_writes_a_file_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "args.json"
    words = ["export", "diffusion-lora", "--total-steps", "500", "--to", "transformers"]
    done = CliRunner().invoke(main, [*words, "--out", str(file)])
    assert done.exit_code == 0, done.output
    assert json.loads(file.read_text())["lr_scheduler_type"] == "cosine"
    refused = CliRunner().invoke(
        main, ["export", "yolo", "--to", "axolotl", "--out", str(tmp_path / "no.yaml")]
    )
    assert refused.exit_code == 2
    assert not (tmp_path / "no.yaml").exists()
    toml = CliRunner().invoke(main, ["export", "olmo3-7b-midtrain", "--to", "composer"])
    assert toml.exit_code == 2


def test_mmengine_cannot_leave_a_rate_of_zero() -> None:
    with pytest.raises(ScheduleError, match="it has no settings for this plan"):
        wd.export_config(wd.Plan.of(lr=COSINE, run=RUN), to="mmengine")


def test_toml_is_toml() -> None:
    text = wd.export_config(wd.Plan.of(lr=TITAN, run=RUN), to="torchtitan")
    assert tomllib.loads(text)["lr_scheduler"]["decay_type"] == "cosine"
