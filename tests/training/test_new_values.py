"""A run that is resumed by an optimizer made with other values: asked about, then counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training import small

import warmdown as wd
from warmdown import Record, StateError, TrainingError

PLAN = wd.Plan.of(lr=wd.warmup_cosine(warmup="20%", end=0.1))


def stop(folder: Path, after: int = 20, **told: Any) -> None:
    with pytest.raises(TrainingError, match="on purpose"):
        small.train(small.make(folder, [small.Stop(after)]), **{"plan": PLAN, **told})


def resume(folder: Path, *, lr: float = 0.02, weight_decay: float = 0.01, **told: Any) -> Any:
    trainer = small.make(folder, seed=9, lr=lr, weight_decay=weight_decay)
    told = {"plan": PLAN, "resume_from": folder / "checkpoints", **told}
    return trainer, small.train(trainer, **told)


def rates(folder: Path) -> list[float]:
    return Record.load(folder / "record.jsonl").curve("lr/0")[1]


def test_a_new_rate_is_asked_about_and_nothing_is_loaded(tmp_path: Path) -> None:
    stop(tmp_path)
    trainer = small.make(tmp_path, seed=9, lr=0.04)
    before = trainer.model.state_dict()["0.weight"].clone()
    with pytest.raises(StateError, match=r"0\.02.*0\.04"):
        small.train(trainer, plan=PLAN, resume_from=tmp_path / "checkpoints")
    assert torch.equal(trainer.model.state_dict()["0.weight"], before)


def test_a_new_rate_counts_where_it_is_asked_for(tmp_path: Path) -> None:
    stop(tmp_path)
    trainer, _ = resume(tmp_path, lr=0.04, on_change="given")
    used = rates(tmp_path)
    plain = [trainer.scheduler.value(step) / 2 for step in range(39)]
    assert used[:20] == pytest.approx(plain[:20])
    assert used[20:] == pytest.approx([2 * rate for rate in plain[20:]])


def test_the_saved_rate_counts_where_that_is_asked_for(tmp_path: Path) -> None:
    digest = small.train(small.make(), plan=PLAN)
    stop(tmp_path)
    assert resume(tmp_path, lr=0.04, on_change="saved")[1] == digest


@pytest.mark.slow
def test_a_new_rate_beside_batches_of_another_size_is_asked_about_too(tmp_path: Path) -> None:
    stop(tmp_path)
    with pytest.raises(StateError, match=r"lr: \[0\.02\] \(saved\), \[0\.04\] \(given\)"):
        resume(tmp_path, lr=0.04, per_device_batch_size=8)
    fixed: dict[str, Any] = {"plan": wd.Set(wd.Linear(start=0.02, end=0.0))}
    stop(tmp_path / "set", **fixed)
    trainer, _ = resume(tmp_path / "set", lr=0.04, per_device_batch_size=8, **fixed)
    assert trainer.progress.finished


def test_what_is_gone_on_with_at_a_new_rate_resumes_without_a_question(tmp_path: Path) -> None:
    stop(tmp_path)
    whole, digest = resume(tmp_path, lr=0.04, on_change="given")
    stop(tmp_path / "cut")
    cut = small.make(tmp_path / "cut", [small.Stop(30)], lr=0.04)
    with pytest.raises(TrainingError, match="update 30 is saved"):
        small.train(cut, plan=PLAN, resume_from=tmp_path / "cut" / "checkpoints", on_change="given")
    again, resumed = resume(tmp_path / "cut", lr=0.04)
    assert resumed == digest
    assert rates(tmp_path / "cut") == rates(tmp_path)
    assert again.progress == whole.progress


@pytest.mark.parametrize("plan", [None, PLAN], ids=["no plan", "a plan for the rate"])
def test_a_value_that_no_plan_drives_is_asked_about_and_counts(plan: Any, tmp_path: Path) -> None:
    stop(tmp_path, plan=plan)
    with pytest.raises(StateError, match=r"weight_decay: \[0\.01\] \(saved\), \[0\.3\] \(given\)"):
        resume(tmp_path, weight_decay=0.3, plan=plan)
    trainer, _ = resume(tmp_path, weight_decay=0.3, plan=plan, on_change="given")
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0.3


def test_the_rate_of_a_run_without_a_plan_is_asked_about_and_counts(tmp_path: Path) -> None:
    stop(tmp_path, plan=None)
    with pytest.raises(StateError, match=r"lr: \[0\.02\].*'given' for the new values"):
        resume(tmp_path, lr=0.04, plan=None)
    trainer, _ = resume(tmp_path, lr=0.04, plan=None, on_change="given")
    assert trainer.optimizer.param_groups[0]["lr"] == 0.04


def test_another_librarys_scheduler_goes_on_with_the_rate_that_it_saved(tmp_path: Path) -> None:
    def factory(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=39)

    digest = small.train(small.make(), plan=factory)
    stop(tmp_path, plan=factory)
    for policy in ("error", "given"):
        with pytest.raises(StateError, match=r"lr: \[0\.02\].*on_change='saved' for"):
            resume(tmp_path, lr=0.04, plan=factory, on_change=policy)
    assert resume(tmp_path, lr=0.04, plan=factory, on_change="saved")[1] == digest


def test_a_value_that_a_callback_has_changed_is_no_new_one(tmp_path: Path) -> None:
    class Halve(small.Stop):
        def on_train_update_end(self, trainer: Any, update: int = 0, **kwargs: Any) -> None:
            if update == 10:
                trainer.optimizer.param_groups[0]["lr"] /= 2
            super().on_train_update_end(trainer, update, **kwargs)

    with pytest.raises(TrainingError, match="on purpose"):
        small.train(small.make(tmp_path, [Halve(20)]), plan=None)
    trainer, _ = resume(tmp_path, plan=None)
    assert trainer.optimizer.param_groups[0]["lr"] == 0.01
