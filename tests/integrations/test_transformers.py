"""transformers' Trainer follows a plan, by a callback or by an argument of an unchanged script."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integrations.digits import DECAY, PLAN, RATE, planned, sgd, small_model, weights
from tests.lazily import Lazily

import warmdown as wd
from warmdown.errors import WarmdownWarning

transformers: Any = Lazily("transformers")
jobs: Any = Lazily("tests.integrations.transformers_jobs")
ours: Any = Lazily("warmdown.integrations.transformers")


@pytest.fixture(autouse=True)
def _quiet_transformers() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=WarmdownWarning)
        yield


def test_each_update_has_the_values_of_the_plan_and_they_are_logged(tmp_path: Path) -> None:
    trainer = jobs.trained(tmp_path, PLAN)
    assert trainer.used == planned(24)
    history = trainer.state.log_history
    logged = [row["learning_rate"] for row in history if "learning_rate" in row]
    assert logged == [rate for rate, _ in planned(24)]
    json.loads(trainer.args.to_json_string())  # as trackers write them


@pytest.mark.peers
def test_accumulation_does_not_multiply_the_clock(tmp_path: Path) -> None:
    assert jobs.trained(tmp_path, PLAN, gradient_accumulation_steps=5).used == planned(6)


@pytest.mark.peers
def test_a_run_resumed_at_any_update_has_the_same_values_and_weights(tmp_path: Path) -> None:
    at = random.randint(1, 23)
    whole = jobs.trained(
        tmp_path, PLAN, save_strategy="steps", save_steps=at, save_only_model=False
    )
    again = jobs.trained(tmp_path / "again", PLAN, tmp_path / f"checkpoint-{at}")
    assert again.used == planned(24)[at:], at
    assert weights(again.model) == weights(whole.model), at


@pytest.mark.parametrize("name", ["eval_loss", "val_loss", "loss"])
def test_the_callback_gives_a_plan_the_metrics_of_evaluations_while_it_trains(
    name: str, tmp_path: Path
) -> None:
    plan = wd.Plan.of(lr=wd.Plateau(metric=name, factor=0.5, patience=0))
    wd.save(plan, tmp_path / "plan.yaml")
    callback = ours.PlanTrainerCallback(tmp_path / "plan.yaml")
    trainers = jobs.arguments(tmp_path), transformers.TrainerState(), transformers.TrainerControl()
    callback.on_init_end(*trainers)
    kind, arguments = trainers[0].lr_scheduler_type, trainers[0].lr_scheduler_kwargs
    scheduler = transformers.get_scheduler(kind, sgd(small_model()), 0, 24, arguments)
    callback.on_train_begin(*trainers, lr_scheduler=scheduler)
    rates = []
    for loss in (1.0, 1.0, 0.5, 0.6):
        scheduler.step()
        callback.on_evaluate(*trainers, metrics={"eval_loss": loss, "epoch": 1.0})
        rates += scheduler.get_last_lr()
    assert rates == [0.3, 0.15, 0.15, 0.075]
    callback.on_evaluate(*trainers, metrics={"eval_accuracy": 0.5})  # nothing that it follows
    callback.on_train_end(*trainers)
    callback.on_evaluate(*trainers, metrics={"eval_loss": 9.0})
    assert scheduler.get_last_lr() == [0.075]


@pytest.mark.peers
@pytest.mark.parametrize("name", ["eval_loss", "val_loss", "loss"])
def test_a_plateau_follows_the_metric_of_each_evaluation_over_a_resume(
    name: str, tmp_path: Path
) -> None:
    plan = wd.Plateau(metric=name, factor=0.5, patience=0)

    def run(epochs: int, resume: str | None = None) -> list[float]:
        trainer = jobs.Following(
            jobs.Digits(),
            jobs.arguments(
                tmp_path, num_train_epochs=epochs, eval_strategy="epoch", save_strategy="epoch"
            ),
            train_dataset=jobs.ROWS,
            eval_dataset=jobs.ROWS[:32],
            callbacks=[ours.PlanTrainerCallback(plan)],
        )
        trainer.train(resume_from_checkpoint=resume)
        state = trainer.lr_scheduler.state_dict()
        trainer.evaluate()  # a metric of after the training changes nothing
        assert trainer.lr_scheduler.state_dict() == state
        return [rate for rate, _ in trainer.used[::12]]

    whole = run(5)
    assert whole == [0.3, 0.3, 0.15, 0.15, 0.075]
    assert run(5, str(tmp_path / "checkpoint-24")) == whole[2:]


@pytest.mark.peers
def test_a_checkpoint_of_another_plan_is_refused_or_joined_by_the_policy(tmp_path: Path) -> None:
    jobs.trained(tmp_path, PLAN, save_strategy="epoch")
    at = tmp_path / "checkpoint-24"
    with pytest.raises(wd.StateError, match="on_change"):
        jobs.trained(tmp_path, PLAN, at, num_train_epochs=4)
    joined = jobs.trained(tmp_path, PLAN, at, num_train_epochs=4, how={"on_change": "given"})
    assert joined.used == planned(48)[24:]


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["constant", "cosine", "reduce_lr_on_plateau"])
def test_the_plan_goes_before_the_type_that_a_script_gives(kind: str, tmp_path: Path) -> None:
    options = {"lr_scheduler_type": kind}
    if kind == "reduce_lr_on_plateau":
        options |= {"eval_strategy": "epoch"}
    trainer = jobs.Trainer(
        jobs.Digits(),
        jobs.arguments(tmp_path, **options),
        train_dataset=jobs.ROWS,
        eval_dataset=jobs.ROWS[:32],
        callbacks=[ours.PlanTrainerCallback(PLAN)],
    )
    trainer.train()
    assert trainer.used == planned(24)


@pytest.mark.peers
def test_arguments_that_one_trainer_had_serve_another_plan(tmp_path: Path) -> None:
    shared = jobs.arguments(tmp_path)
    for plan in (PLAN, wd.Plan.of(lr=wd.Linear(end=0.5, steps="100%"))):
        trainer = jobs.Trainer(
            jobs.Digits(),
            shared,
            train_dataset=jobs.ROWS,
            callbacks=[ours.PlanTrainerCallback(plan)],
        )
        trainer.train()
    assert trainer.used[12] == (RATE * 0.75, DECAY)


def test_another_scheduler_of_the_trainer_is_refused_with_the_way_out(tmp_path: Path) -> None:
    model = jobs.Digits()
    optimizer = sgd(model)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    trainer = transformers.Trainer(
        model,
        jobs.arguments(tmp_path),
        train_dataset=jobs.ROWS,
        optimizers=(optimizer, theirs),
        callbacks=[ours.PlanTrainerCallback(PLAN)],
    )
    with pytest.raises(wd.BindingError, match=r"has a StepLR.*Leave out optimizers="):
        trainer.train()


def test_a_callback_that_is_added_too_late_is_refused_with_the_way_out(tmp_path: Path) -> None:
    trainer = jobs.Trainer(jobs.Digits(), jobs.arguments(tmp_path), train_dataset=jobs.ROWS)
    trainer.add_callback(ours.PlanTrainerCallback(PLAN))
    with pytest.raises(wd.BindingError, match=r"has a LambdaLR.*as it is made: callbacks="):
        trainer.train()


def test_arguments_of_another_scheduler_are_refused(tmp_path: Path) -> None:
    with pytest.raises(wd.BindingError, match=r"'num_cycles': 2.*another scheduler"):
        jobs.trained(tmp_path, PLAN, lr_scheduler_kwargs={"num_cycles": 2})


def test_a_warmup_beside_a_plan_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(wd.ScheduleError, match=r"a warmup of 5 updates.*warmup_steps=0"):
        jobs.trained(tmp_path, PLAN, warmup_steps=5)


def test_an_argument_names_the_plan_and_others_stay_transformers_own(tmp_path: Path) -> None:
    wd.save(PLAN, tmp_path / "plan.yaml")
    ours.use_plans()
    ours.use_plans()  # again, it changes nothing
    kwargs = json.dumps({"plan": str(tmp_path / "plan.yaml")})
    trainer = jobs.Trainer(
        jobs.Digits(), jobs.arguments(tmp_path, lr_scheduler_kwargs=kwargs), train_dataset=jobs.ROWS
    )
    trainer.train()
    assert trainer.used == planned(24)

    theirs = jobs.Trainer(
        jobs.Digits(),
        jobs.arguments(
            tmp_path,
            lr_scheduler_type="cosine_with_restarts",
            lr_scheduler_kwargs={"num_cycles": 2},
        ),
        train_dataset=jobs.ROWS,
    )
    theirs.train()
    assert isinstance(theirs.lr_scheduler, torch.optim.lr_scheduler.LambdaLR)
    assert theirs.used[12][0] == pytest.approx(RATE)  # the second cycle


SCRIPT = """
import sys
import torch, transformers

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x, labels):
        return {"loss": (self.layer(x).squeeze(-1) - labels).square().mean()}

parser = transformers.HfArgumentParser(transformers.TrainingArguments)
(arguments,) = parser.parse_args_into_dataclasses()
rows = [{"x": torch.ones(2), "labels": torch.tensor(1.0)}] * 40
trainer = transformers.Trainer(Model(), arguments, train_dataset=rows)
trainer.train()
history = trainer.state.log_history
print("RATES", [row["learning_rate"] for row in history if "learning_rate" in row])
"""


@pytest.mark.peers
def test_an_unchanged_script_takes_a_plan_from_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "plan.yaml").write_text("lr: {kind: linear, start: 1.0, end: 0.5, steps: 100%}\n")
    command = [
        *(sys.executable, "-m", "warmdown.integrations.transformers", "train.py"),
        *("--output_dir", "out", "--max_steps", "10", "--learning_rate", "0.4"),
        *("--per_device_train_batch_size", "4", "--logging_steps", "1", "--use_cpu", "true"),
        *("--report_to", "none", "--lr_scheduler_kwargs", '{"plan": "plan.yaml"}'),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.4)
    linear = wd.Linear(start=1.0, end=0.5, steps=10)
    scheduler = wd.Scheduler(optimizer, lr=linear)
    assert f"RATES {[scheduler.value(step) for step in range(10)]}" in done.stdout.splitlines()


def test_a_script_runs_with_its_own_arguments_and_may_name_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, found = tmp_path / "train.py", tmp_path / "found.json"
    script.write_text(
        "import json, sys\n"
        "from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION as kinds\n"
        "facts = [__name__, sys.argv, [type(kind).__name__ for kind in kinds.values()]]\n"
        f"open({str(found)!r}, 'w').write(json.dumps(facts))\n"
    )
    monkeypatch.setattr(sys, "argv", ["transformers.py", str(script), "--max_steps", "10"])
    ours.run_script()
    name, arguments, kinds = json.loads(found.read_text())
    assert (name, arguments) == ("__main__", [str(script), "--max_steps", "10"])
    assert {"_PlanOrTheirs", "function"} == set(kinds)  # "constant" is given no number of steps


def test_without_a_script_the_command_shows_how_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["transformers.py"])
    with pytest.raises(SystemExit, match=r"transformers SCRIPT \[ARGUMENTS\]: runs a script"):
        ours.run_script()
