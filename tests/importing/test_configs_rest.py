"""Logs of transformers, DeepSpeed's ``auto``, and files that are refused for what they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.lazily import Lazily

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import ScheduleError, SpecError
from warmdown.importing.configs import FORMATS

transformers: Any = Lazily("transformers")

TOTAL, RATE = 400, 2e-4
ROOT = Path(__file__).parents[2]


def used(name: str, warmup: int, kwargs: Any = None) -> list[float]:
    """Return the rates of transformers' own schedule, and the one after the last update."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = transformers.get_scheduler(name, optimizer, warmup, TOTAL, kwargs)
    rates = []
    for _ in range(TOTAL + 1):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def state(rates: list[float], every: int, *, late: int = 1, last: int = TOTAL) -> dict[str, Any]:
    """Return a log with a rate once in so many updates: the used one, or the next (``late=0``)."""
    rows: list[dict[str, Any]] = []
    for step in range(every, last + 1, every):
        rows += [{"step": step, "loss": 1.0, "learning_rate": rates[step - late]}]
        rows += [{"step": step, "eval_loss": 1.0}]
    return {"max_steps": TOTAL, "num_train_epochs": 3, "logging_steps": every, "log_history": rows}


def assert_is_run(plan: wd.Plan, rates: list[float]) -> None:
    assert plan.run.total_steps == TOTAL
    assert plan.run.lr == pytest.approx(RATE, rel=1e-11)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = wd.Scheduler(optimizer, plan)
    found = [scheduler.value(step) for step in range(TOTAL)]
    np.testing.assert_allclose(found, rates[:TOTAL], rtol=1e-9, atol=1e-15)


# -- trainer_state.json


@pytest.mark.parametrize("mode", ["faithful", "corrected"])
@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize(
    ("name", "warmup", "kwargs", "every"),
    [
        ("linear", 100, None, 1),
        ("linear", 25, None, 10),
        ("linear", 15, None, 10),
        ("cosine", 0, None, 10),
        ("cosine", 33, None, 10),
        ("constant_with_warmup", 45, None, 10),
        ("constant", 0, None, 1),
        ("inverse_sqrt", 45, None, 10),
        ("polynomial", 45, None, 10),
        ("cosine_with_min_lr", 45, {"min_lr_rate": 0.1}, 10),
    ],
)
def test_a_log_is_the_schedule_that_wrote_it(
    name: str, warmup: int, kwargs: Any, every: int, late: int, mode: str
) -> None:
    rates = used(name, warmup, kwargs)
    plan = wd.import_config(state(rates, every, late=late), mode=mode, report=None)
    assert_is_run(plan, rates)


def test_a_trainer_s_own_state_is_read(tmp_path: Path) -> None:
    rows = transformers.TrainerState(max_steps=TOTAL, num_train_epochs=1)
    rates = used("linear", 25)
    rows.log_history = state(rates, 10)["log_history"]
    rows.save_to_json(str(tmp_path / "trainer_state.json"))
    assert_is_run(wd.import_config(tmp_path / "trainer_state.json", report=None), rates)


@pytest.mark.parametrize(
    ("name", "every", "given", "known"),
    [
        ("linear", 10, {}, {"lr": RATE}),
        ("linear", 10, {"learning_rate": "2e-4"}, {}),
        ("linear", 10, {"warmup_steps": 0}, {}),
        ("constant", 10, {"warmup_ratio": 0}, {}),
        ("constant", 10, {"lr_scheduler_type": "constant"}, {}),
    ],
)
def test_what_a_log_does_not_show_is_asked_for_and_taken(
    name: str, every: int, given: dict[str, Any], known: dict[str, Any]
) -> None:
    rates = used(name, 0)
    with pytest.raises(ScheduleError, match=r"it has the rates of .* and of .*-p warmup_steps=0"):
        wd.import_config(state(rates, every), report=None)
    assert_is_run(wd.import_config({**state(rates, every), **given}, report=None, **known), rates)


def test_given_arguments_are_compared_with_every_logged_rate() -> None:
    kwargs = {"num_decay_steps": 100}
    rates = used("warmup_stable_decay", 45, kwargs)
    named = {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": kwargs}
    log = {**state(rates, 10), **named}
    assert_is_run(wd.import_config(log, report=None), rates)
    log["log_history"][-2]["learning_rate"] *= 1 + 3e-6
    with pytest.raises(ScheduleError, match=r"of no schedule.*with the given arguments"):
        wd.import_config(log, report=None)


def test_a_log_that_shows_too_little_is_refused() -> None:
    rates = used("constant_with_warmup", 45)
    for log, words in [
        (state(rates, 10, last=200), "ends at step 200 of 400"),
        (state(rates, 10, last=40), "does not show the end of the warmup"),
        (state([0.1 + (step % 7) for step in range(TOTAL + 1)], 10), "of no schedule"),
        ({"max_steps": 9, "log_history": [{"step": 9, "loss": 1}]}, "no row has a learning_rate"),
        ({"max_steps": 9, "log_history": {}}, "a list of rows"),
        ({**state(rates, 10), "max_steps": 0}, "Give --total-steps or --steps-per-epoch"),
        ({**state(rates, 10), "lr_scheduler_type": "cosin"}, "cosin"),
        ({**state(rates, 10), "lr_scheduler_kwargs": {"num_cycles": 2}}, "Give lr_scheduler_type"),
    ]:
        with pytest.raises(ScheduleError, match=words):
            wd.import_config(log, report=None)


def test_the_command_takes_arguments_beside_a_log(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(state(used("linear", 0), 10)))
    done = CliRunner().invoke(main, ["import", str(path), "-p", "warmup_steps=0", "--json"])
    assert done.exit_code == 0, done.output
    notes = json.loads(done.stdout)["notes"]
    assert "linear (learning_rate=0.0002, warmup_steps=0)" in notes[0]
    path.write_text('{"lr_scheduler_type": "linear", "max_steps": 9}')
    refused = CliRunner().invoke(main, ["import", str(path), "-p", "warmup_steps=0"])
    assert "a file has its arguments in it" in refused.output


# -- DeepSpeed's auto

AUTO = {
    "optimizer": {"type": "AdamW", "params": {"lr": "auto"}},
    "scheduler": {
        "type": "WarmupDecayLR",
        "params": {
            "warmup_min_lr": "auto",
            "warmup_max_lr": "auto",
            "warmup_num_steps": "auto",
            "total_num_steps": "auto",
            "warmup_type": "linear",
        },
    },
}


def deepspeed_rate(k: int, warmup: int = 40) -> float:
    """Return DeepSpeed's rate of an update: its scheduler stands at step 0 twice."""
    step = max(k - 1, 0)
    if step < warmup:
        return RATE * step / warmup
    return RATE * max(TOTAL - step, 0) / (TOTAL - warmup)


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        ({"max_steps": TOTAL, "warmup_steps": 40}, {}),
        ({"max_steps": str(TOTAL), "warmup_ratio": "0.1"}, {}),
        ({"num_train_epochs": 4, "warmup_ratio": 0.1}, {"steps_per_epoch": 100}),
        ({"max_steps": TOTAL, "warmup_steps": 40, "lr_scheduler_type": "cosine"}, {}),
    ],
)
def test_auto_is_what_the_arguments_beside_it_say(
    arguments: dict[str, Any], known: dict[str, Any], tmp_path: Path
) -> None:
    arguments = {"learning_rate": "2e-4", "per_device_train_batch_size": 8, **arguments}
    meant = [deepspeed_rate(step) for step in range(TOTAL)]
    assert_is_run(wd.import_config({**arguments, "deepspeed": AUTO}, report=None, **known), meant)
    (tmp_path / "ds.json").write_text(json.dumps(AUTO))
    (tmp_path / "args.json").write_text(json.dumps({**arguments, "deepspeed": "ds.json"}))
    assert_is_run(wd.import_config(tmp_path / "args.json", report=None, **known), meant)


@pytest.mark.parametrize(
    ("arguments", "params", "words"),
    [
        ({"max_steps": 9, "warmup_steps": 3}, {"warmup_num_steps": 4}, "warmup_num_steps=4.*3"),
        ({"max_steps": 9}, {"total_num_steps": 8}, "total_num_steps=8.*9.*Make it 'auto'"),
        ({"max_steps": 9, "learning_rate": 1e-4}, {"warmup_max_lr": 1e-3}, "warmup_max_lr=0.001"),
        ({"num_train_epochs": 2}, {}, "--steps-per-epoch"),
        ({"max_steps": 9, "base_model": "x"}, {}, "warmup_num_steps='auto'"),
    ],
)
def test_numbers_that_are_not_those_of_the_arguments_are_refused(
    arguments: dict[str, Any], params: dict[str, Any], words: str
) -> None:
    scheduler = {**AUTO["scheduler"], "params": {**AUTO["scheduler"]["params"], **params}}  # type: ignore[dict-item]
    with pytest.raises(ScheduleError, match=words):
        wd.import_config({**arguments, "deepspeed": {"scheduler": scheduler}}, report=None)


def test_a_deepspeed_file_without_a_scheduler_leaves_the_arguments_theirs(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 2}}')
    arguments = {"max_steps": TOTAL, "learning_rate": RATE, "deepspeed": "ds.json"}
    (tmp_path / "args.json").write_text(json.dumps(arguments))
    plan = wd.import_config(tmp_path / "args.json", report=None)
    assert_is_run(plan, used("linear", 0))


# -- what is refused by what it is


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trainer": {"max_epochs": 2}, "lr_scheduler": "cosine"}, "lr_scheduler='cosine': a cl"),
        ({"trainer": {}, "model": {"init_args": {"scheduler": "cosine"}}},
         r"model\.init_args\.scheduler='cosine': a class"),
        ({"trainer": {"max_steps": 2}, "lr_scheduler": {"warmup": 2}}, "lr_scheduler=.*a class"),
    ],
)  # fmt: skip
def test_a_scheduler_without_its_class_is_refused_by_its_key(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError, match=words):
        wd.import_config(settings)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "training_args.bin"
    for is_new in (True, False):
        torch.save({"learning_rate": 1}, path, _use_new_zipfile_serialization=is_new)
        with pytest.raises(SpecError, match=r"training_args\.bin: it is a pickle.*as JSON"):
            wd.import_config(path)


def test_mmengine_s_python_is_refused_and_its_dump_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(
        "_base_ = []\n"
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n"
        "train_cfg = dict(by_epoch=False, max_iters=10)\n"
        "param_scheduler = [dict(type='ConstantLR', factor=0.5, begin=0, end=5, by_epoch=False)]\n"
    )
    with pytest.raises(SpecError, match=r"Python.*not executed.*\.dump\('config\.yaml'\)"):
        wd.import_config(path)
    mmengine = pytest.importorskip("mmengine")
    mmengine.Config.fromfile(path).dump(tmp_path / "config.yaml")
    assert wd.import_config(tmp_path / "config.yaml").run.total_steps == 10


def test_the_page_and_the_help_name_every_format() -> None:
    shown = CliRunner().invoke(main, ["import", "--help"]).output
    page = (ROOT / "docs" / "bring.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)).replace("`", "")
    for one in FORMATS:
        name = rf"(?<![\w-]){re.escape(one.name)}(?![\w-])"
        assert re.search(name, rows), one.name
        assert re.search(name, " ".join(shown.split())), one.name
