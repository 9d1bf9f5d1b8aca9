"""What a run leaves behind: its plan, as it was really followed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training import small

import warmdown as wd
from warmdown.training import RecordCallback, SavePlanCallback, Trainer


def run(path: Path, plan: object, **told: object) -> Trainer:
    trainer = small.make(callbacks=[RecordCallback(), SavePlanCallback(path)], model=small.linear)
    small.train(trainer, plan=plan, **told)
    return trainer


def test_the_plan_is_written_with_the_runs_real_numbers(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.yaml"
    trainer = run(path, wd.warmup_cosine(warmup="20%", end=0.1), gradient_accumulation_steps=2)
    (recorder,) = (one for one in trainer.callback_handler if isinstance(one, RecordCallback))
    written = wd.load(path)
    assert (written.run.total_steps, written.run.lr) == (21, 0.02)
    rule = written.over().targets[0].rule
    assert recorder.record.curve("lr/0")[1] == [rule.value(step, 0.02) for step in range(21)]


def test_a_later_run_writes_it_anew_and_another_file_of_that_name_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    for plan in (wd.Constant(), wd.Cosine()):
        run(path, plan, max_num_train_steps=2)
    assert wd.load(path).targets[0].rule.of == wd.Cosine(steps=2)
    path.write_text("# mine\nlr: {kind: constant}\n")
    run(path, wd.Cosine(), max_num_train_steps=2)
    assert path.read_text() == "# mine\nlr: {kind: constant}\n"
    assert f"{path} is another's file" in capsys.readouterr().out


def test_what_cannot_be_written_down_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path / "plan.yaml", wd.Function(call=lambda step: 0.5 + 0 * step), max_num_train_steps=2
    )
    assert "plan.yaml: the plan of this run is not written down: " in capsys.readouterr().out
    torchs = torch.optim.lr_scheduler.ConstantLR
    trainer = small.make(callbacks=[SavePlanCallback(tmp_path / "plan.yaml")], model=small.linear)
    small.train(trainer, plan=None, create_scheduler_fn=torchs, max_num_train_steps=2)
    assert list(tmp_path.iterdir()) == []
