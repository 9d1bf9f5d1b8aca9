"""What is imported binds to an optimizer, and gives the original's rates over the whole run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.compat.loops import sgd
from tests.compat.timm_parts import timm_scheduler
from tests.importing.test_importing import MODES, used
from tests.lazily import Lazily
from torch.optim import lr_scheduler as torchs

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import ScheduleError
from warmdown.importing import from_settings, from_torch
from warmdown.importing.numbers import whole

theirs: Any = Lazily("pytorch_accelerated.schedulers")
transformers: Any = Lazily("transformers.optimization")

TOTAL, WARMUP, RATE = 100, 10, 1e-4
NAMED: Mapping[str, dict[str, float]] = {
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"lr_end": 1e-6, "power": 2.0},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {"timescale": 10},
    "cosine_with_min_lr": {"min_lr": 1e-6},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "num_cycles": 1.5},
    "warmup_stable_decay": {"num_decay_steps": 20},
}


def driven(plan: wd.Plan, updates: int, *bases: float) -> np.ndarray[Any, Any]:
    """Return what each update uses under a plan, one column a group."""
    optimizer = sgd(*bases, momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return used(wd.Scheduler(optimizer, plan), updates)


def findings(plan: wd.Plan) -> list[str]:
    """Return what a check takes for an error."""
    return [str(finding) for finding in wd.check(plan) if finding.severity == "error"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("spell", [str, json.dumps], ids=["texts", "json"])
def test_settings_of_transformers_drive_an_optimizer_with_numbers_as_texts(
    name: str, mode: Any, spell: Callable[[Any], str]
) -> None:
    texts = {key: f"{value:e}" for key, value in NAMED[name].items()}
    settings = {
        "learning_rate": "1e-4",
        "lr_scheduler_type": name,
        "warmup_ratio": "1e-1",
        "max_steps": "1e2",
        "lr_scheduler_kwargs": texts if spell is str else spell(texts),
    }
    plan = from_settings(settings, mode=mode, report=None)
    assert plan.run == wd.Run(total_steps=TOTAL, lr=RATE)
    optimizer = sgd(RATE, momentum=0.9)
    optimizer.defaults["lr"] = RATE
    original = transformers.get_scheduler(name, optimizer, WARMUP, TOTAL, NAMED[name])
    np.testing.assert_allclose(
        driven(plan, TOTAL, RATE), used(original, TOTAL), rtol=1e-9, atol=1e-16
    )
    assert findings(plan) == []


SCHEDULERS: Mapping[str, Callable[[Any], Any]] = {
    "cosine": lambda opt: torchs.CosineAnnealingLR(opt, 100, eta_min=1e-3),
    "line": lambda opt: torchs.LinearLR(opt, 0.1, total_iters=100),
    "constant": lambda opt: torchs.ConstantLR(opt, 0.5, total_iters=100),
    "polynomial": lambda opt: torchs.PolynomialLR(opt, 100, 2.0),
    "stairs": lambda opt: torchs.MultiStepLR(opt, [20.0, 90.0]),  # type: ignore[list-item]
    "restarts": lambda opt: torchs.CosineAnnealingWarmRestarts(opt, 25),
    "one cycle": lambda opt: torchs.OneCycleLR(opt, 0.1, total_steps=100),
    "cycles": lambda opt: torchs.CyclicLR(opt, 0.01, 0.1, step_size_up=40),
    "in turn": lambda opt: torchs.SequentialLR(
        opt,
        [torchs.LinearLR(opt, 0.1, total_iters=80), torchs.CosineAnnealingLR(opt, 50)],
        milestones=[80],
    ),
    "at once": lambda opt: torchs.ChainedScheduler(
        [torchs.LinearLR(opt, 0.1, total_iters=80), torchs.StepLR(opt, 30)], opt
    ),
    "transformers": lambda opt: transformers.get_scheduler("cosine", opt, 10.0, 100.0),
    "waves": lambda opt: transformers.get_scheduler(
        "cosine", opt, 10, 100, {"num_cycles": 1.3}
    ),
    "warmup": lambda opt: transformers.get_scheduler("constant_with_warmup", opt, 80),
    "accelerated cosine": lambda opt: theirs.CosineLrScheduler(opt, 10, 10, num_warmup_epochs=1),
    "accelerated wsd": lambda opt: theirs.WSDLrScheduler(
        opt, total_steps=100, num_warmup_steps=8
    ),
    "timm": lambda opt: timm_scheduler().create_scheduler_v2(
        opt, num_epochs=100, warmup_epochs=4, min_lr=1e-3
    )[0],
}  # fmt: skip


@pytest.mark.parametrize("total", [60, 150])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_drives_shorter_and_longer_runs_than_it_was_made_for(
    name: str, total: int
) -> None:
    make = SCHEDULERS[name]
    plan = from_torch(make(sgd(0.1, momentum=0.9)), total_steps=total, report=None)
    assert plan.run.total_steps == total
    updates = min(total, 100) if name == "one cycle" else total  # which ends in an error
    expected = used(make(sgd(0.1, momentum=0.9)), updates)
    np.testing.assert_allclose(driven(plan, updates, 0.1), expected, rtol=1e-8, atol=1e-12)
    assert findings(plan) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_drives_a_run_whose_length_was_not_given(name: str, mode: Any) -> None:
    make = SCHEDULERS[name]
    plan = from_torch(make(sgd(0.1, momentum=0.9)), mode=mode, report=None)
    rates = driven(plan, 100, 0.1)
    if mode == "faithful" or name not in ("accelerated cosine", "accelerated wsd", "in turn"):
        expected = used(make(sgd(0.1, momentum=0.9)), 100)
        np.testing.assert_allclose(rates, expected, rtol=1e-8, atol=1e-12)


def test_what_parts_from_its_documentation_only_behind_the_run_is_written_as_documented() -> None:
    cosine = partial(torchs.CosineAnnealingLR, sgd(0.1), T_max=10)
    within, beyond = (from_torch(cosine(), total_steps=end, report=None) for end in (10, 11))
    assert within.targets[0].rule == wd.Scale(wd.Cosine(steps=10))
    assert beyond.targets[0].rule != within.targets[0].rule


def test_arguments_of_a_class_may_be_texts_and_counts_may_have_a_point() -> None:
    def build(path: str, **arguments: Any) -> wd.Plan:
        config = {"class_path": f"torch.optim.lr_scheduler.{path}", "init_args": arguments}
        return from_torch(config, report=None)

    assert build("CosineAnnealingLR", T_max="1e1", eta_min="1e-6") == build(
        "CosineAnnealingLR", T_max=10, eta_min=1e-6
    )
    assert build("MultiStepLR", milestones=["1e1", 20.0], gamma="5e-1") == build(
        "MultiStepLR", milestones=[10, 20], gamma=0.5
    )
    assert build("OneCycleLR", max_lr="1e-1", total_steps=1e2) == build(
        "OneCycleLR", max_lr=0.1, total_steps=100
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [("2e-5", 2e-5), ("1e4", 10_000), (" 12 ", 12), (5.0, 5), (True, True), ("1-sqrt", "1-sqrt")],
)
def test_a_text_is_a_number_where_it_looks_like_one(given: Any, meant: Any) -> None:
    assert repr(whole(given)) == repr(meant)


def test_onetrainers_settings_take_texts_and_keep_their_rate() -> None:
    settings: dict[str, Any] = {"learning_rate_scheduler": "REX", "learning_rate": "3e-4"}
    numbers = {"learning_rate_warmup_steps": 10, "learning_rate_min_factor": 0.1}
    texts = {key: f"{value:e}" for key, value in numbers.items()}
    plan = from_settings({**settings, **texts}, total_steps=TOTAL, report=None)
    assert plan == from_settings({**settings, **numbers}, total_steps=TOTAL, report=None)
    assert plan.run == wd.Run(total_steps=TOTAL, lr=3e-4)


def test_what_is_given_beside_the_settings_may_be_a_text_too() -> None:
    settings = {"lr_scheduler_type": "cosine"}
    given: Any = {"total_steps": "1e2", "lr": "1e-3"}
    plan = from_settings(settings, total_steps=100, lr=1e-3, report=None)
    assert from_settings(settings, report=None, **given) == plan
    config = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 3}}
    assert from_torch(config, report=None, **given).run == wd.Run(total_steps=100, lr=1e-3)


def test_transformers_arguments_without_a_rate_have_that_of_transformers() -> None:
    arguments = {"min_lr": 1e-6}
    settings = {
        "lr_scheduler_type": "cosine_with_min_lr",
        "max_steps": TOTAL,
        "lr_scheduler_kwargs": arguments,
    }
    plan = from_settings(settings, report=None)
    assert plan.run.lr == 5e-5
    optimizer = sgd(5e-5, momentum=0.9)
    optimizer.defaults["lr"] = 5e-5
    original = transformers.get_scheduler("cosine_with_min_lr", optimizer, 0, TOTAL, arguments)
    np.testing.assert_allclose(driven(plan, TOTAL, 5e-5), used(original, TOTAL), rtol=1e-9)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"learning_rate": "fast"}, "learning_rate='fast': a number from 0"),
        ({"warmup_steps": "5%"}, "warmup_steps='5%': a number from 0"),
        ({"max_steps": 10.5}, r"max_steps=10.5: a whole number is needed"),
        ({"max_steps": "many"}, "max_steps='many': a whole number is needed"),
        ({"lr_scheduler_kwargs": "[1]"}, "lr_scheduler_kwargs=.*: a mapping is needed"),
    ],
)
def test_a_setting_that_is_no_number_is_refused_by_its_name(
    setting: dict[str, Any], says: str
) -> None:
    settings = {"lr_scheduler_type": "linear", "max_steps": 100, **setting}
    with pytest.raises(ScheduleError, match=says):
        from_settings(settings, report=None)


def test_arguments_that_are_no_mapping_are_refused() -> None:
    config = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": [3]}
    with pytest.raises(ScheduleError, match=r"init_args=a list of 1\): a mapping"):
        from_torch(config, report=None)


@pytest.mark.slow
def test_a_file_becomes_a_plan_that_trains_at_the_files_own_rate(tmp_path: Path) -> None:
    file, out = tmp_path / "settings.yaml", tmp_path / "plan.yaml"
    file.write_text(
        "learning_rate: 2e-3\nlr_scheduler_type: cosine\nwarmup_steps: 5\nmax_steps: 8\n"
    )
    run = partial(CliRunner().invoke, main)
    assert run(["import", str(file), "--out", str(out)]).exit_code == 0
    assert run(["show", str(out)]).exit_code == 0
    assert run(["check", str(out)]).exit_code < 2
    folder = tmp_path / "run"
    shell = run(["train", str(out), "--out", str(folder), "--track", "none"])
    assert shell.exit_code == 0, shell.output
    record = wd.Record.load(folder / "record.jsonl")
    rates = record.curve(next(name for name in record.targets() if name.startswith("lr")))[1]
    assert max(rates) == pytest.approx(2e-3)
