"""A run that goes on from a checkpoint ends as if it had never stopped, bit for bit."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training import small

import warmdown as wd
from warmdown import Record, StateError, TrainingError
from warmdown.training import (
    ModelEmaCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
    write_folder,
)

SITUATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 3},
    "workers": {"train_dataloader_kwargs": {"num_workers": 2, "persistent_workers": True}},
    "no shuffling, clipped": {
        "train_dataloader_kwargs": {"shuffle": False},
        "gradient_clip_norm": 0.1,
    },
    "a limit in the middle of an epoch": {"max_num_train_steps": 31},
    "torch's scheduler": {
        "plan": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=0.1, total_steps=60
        )
    },
}


@pytest.mark.parametrize(
    ("situation", "after"),
    [
        *zip(
            SITUATIONS, [13, 4, 7, 17, 20, 26], strict=True
        ),  # the ends of epochs and places inside
        *(pytest.param(situation, 9, marks=pytest.mark.slow) for situation in SITUATIONS),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(situation: str, after: int, tmp_path: Path) -> None:
    told = SITUATIONS[situation]
    whole = small.make(tmp_path / "whole", [ModelEmaCallback(0.9)])
    digest = small.train(whole, **told)
    _stop_after(after, tmp_path / "cut", told)

    again = small.make(
        tmp_path / "cut", [ModelEmaCallback(0.9)], seed=99
    )  # nothing may come from these weights
    assert small.train(again, **told, resume_from=tmp_path / "cut" / "checkpoints") == digest
    assert _average(again) == _average(whole)
    assert again.run_history.get_metric_values(
        "eval_loss_epoch"
    ) == whole.run_history.get_metric_values("eval_loss_epoch")
    assert again.run_history.get_metric_values(
        "train_loss_epoch"
    ) == whole.run_history.get_metric_values("train_loss_epoch")
    assert _rows(tmp_path / "cut") == _rows(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("after", range(1, 39))
def test_a_resumed_run_ends_with_the_same_bits_wherever_it_stopped(
    after: int, tmp_path: Path
) -> None:
    digest = small.train(small.make(tmp_path / "whole", [ModelEmaCallback(0.9)]))
    _stop_after(after, tmp_path / "cut", {})
    again = small.make(tmp_path / "cut", [ModelEmaCallback(0.9)], seed=99)
    assert small.train(again, resume_from=tmp_path / "cut" / "checkpoints") == digest
    assert _rows(tmp_path / "cut") == _rows(tmp_path / "whole")


def test_a_scaler_is_a_part_of_the_state_and_updates_that_it_skips_do_not_tick(
    tmp_path: Path,
) -> None:
    whole = small.make(tmp_path / "whole", kind=small.Scaled)
    digest = small.train(whole)
    assert whole.progress.skipped > 0
    assert whole.progress.updates + whole.progress.skipped == 39
    assert whole.scheduler.count == whole.progress.updates
    with pytest.raises(TrainingError, match="update 11 is saved"):
        small.train(small.make(tmp_path / "cut", [small.Stop(11)], kind=small.Scaled))
    again = small.make(tmp_path / "cut", seed=99, kind=small.Scaled)
    assert small.train(again, resume_from=tmp_path / "cut" / "checkpoints") == digest
    assert again.progress.skipped == whole.progress.skipped


def test_a_run_that_is_resumed_twice_ends_with_the_same_bits(tmp_path: Path) -> None:
    digest = small.train(small.make())
    _stop_after(5, tmp_path, {})
    with pytest.raises(TrainingError):
        small.train(
            small.make(tmp_path, [ModelEmaCallback(0.9), small.Stop(20)]),
            resume_from=tmp_path / "checkpoints",
        )
    assert (
        small.train(
            small.make(tmp_path, [ModelEmaCallback(0.9)]), resume_from=tmp_path / "checkpoints"
        )
        == digest
    )


def test_between_two_batches_of_an_update_the_gradients_are_kept(tmp_path: Path) -> None:
    class StopInside(small.Stop):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            pass

        def on_train_step_end(
            self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
        ) -> None:
            if kwargs["step"] == 8:  # the second of the third window
                raise ZeroDivisionError("on purpose")

    told = {"gradient_accumulation_steps": 3}
    digest = small.train(small.make(), **told)
    with pytest.raises(TrainingError, match="update 2"):
        small.train(small.make(tmp_path, [StopInside(0)]), **told)
    place = tmp_path / "checkpoints"
    assert small.train(small.make(tmp_path), **told, resume_from=place) == digest
    # of 13 batches 8 are used: the window that was begun ends, then come two of two, and epochs
    shutil.rmtree(place)
    with pytest.raises(TrainingError, match="update 2"):
        small.train(small.make(tmp_path, [StopInside(0)]), **told)
    again = small.make(tmp_path)
    small.train(again, gradient_accumulation_steps=2, resume_from=place)
    assert again.progress.updates == again.scheduler.run.total_steps == 2 + 1 + 2 + 2 * 7


def test_a_finished_run_that_is_resumed_does_nothing_more(tmp_path: Path) -> None:
    digest = small.train(small.make(tmp_path))
    rows = _rows(tmp_path)
    again = small.make(tmp_path, seed=5)
    assert small.train(again, resume_from=tmp_path / "checkpoints") == digest
    assert again.progress.updates == 39
    assert _rows(tmp_path) == rows


def test_a_run_made_longer_goes_on_as_the_longer_one_would_have(tmp_path: Path) -> None:
    flat = wd.Plan.of(lr=wd.Constant())
    digest = small.train(small.make(), plan=flat, max_num_train_steps=30)
    small.train(small.make(tmp_path), plan=flat, max_num_train_steps=20)
    longer = small.make(tmp_path)
    told: dict[str, Any] = {
        "plan": flat,
        "max_num_train_steps": 30,
        "resume_from": tmp_path / "checkpoints",
    }
    assert small.train(longer, **told, on_change="given") == digest


@pytest.mark.parametrize("policy", ["error", "ask"])
def test_another_plan_is_refused_with_both_shown_and_nothing_is_loaded(
    policy: str, tmp_path: Path
) -> None:
    _stop_after(10, tmp_path, {})
    trainer = small.make(seed=99)
    small.train(trainer, plan=wd.Plan.of(lr=wd.Constant()), max_num_train_steps=1)
    before = _everything_of(trainer)
    with pytest.raises(StateError, match=r"(?s)another plan.*constant"):
        trainer.load_training_state(tmp_path / "checkpoints", on_change=policy)
    assert _everything_of(trainer) == before


def test_a_checkpoint_of_another_optimizer_is_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    _stop_after(10, tmp_path, {})
    trainer = small.make(seed=99)
    weights = list(trainer.model.parameters())
    groups = [{"params": weights[:1]}, {"params": weights[1:]}]
    trainer.optimizer = torch.optim.AdamW(groups, lr=0.02)
    small.train(trainer, max_num_train_steps=1)
    before = _everything_of(trainer)
    with pytest.raises(StateError, match="Build the optimizer as the saved run did"):
        trainer.load_training_state(tmp_path / "checkpoints")
    assert _everything_of(trainer) == before


def test_a_checkpoint_with_the_name_that_its_extras_had_before_is_read(tmp_path: Path) -> None:
    digest = small.train(small.make())
    _stop_after(13, tmp_path, {})
    (path,) = (tmp_path / "checkpoints").iterdir()
    (path / "extras.pt").rename(path / "rest.pt")
    contents = {
        file.name: file.read_bytes() for file in path.iterdir() if file.name != "manifest.json"
    }
    write_folder(path, {name: partial(_write, content) for name, content in contents.items()})
    assert small.train(small.make(), resume_from=path) == digest


def test_a_damaged_checkpoint_is_named_and_the_one_before_offered(tmp_path: Path) -> None:
    small.train(small.make(tmp_path, every=10))
    newest, before = (tmp_path / "checkpoints" / f"update-{update:08d}" for update in (39, 30))
    content = bytearray((newest / "optimizer.pt").read_bytes())
    content[500] ^= 4
    (newest / "optimizer.pt").write_bytes(content)
    with pytest.raises(
        StateError, match=f"update-00000039: optimizer.pt is damaged.*{before} is good"
    ):
        small.train(small.make(), resume_from=newest)


def test_a_folder_of_checkpoints_means_its_newest_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = small.train(small.make(tmp_path, every=10))
    (tmp_path / "checkpoints" / "update-00000039" / "model.safetensors").write_bytes(b"")
    trainer = small.make(tmp_path)
    assert small.train(trainer, resume_from=tmp_path / "checkpoints") == digest
    said = capsys.readouterr().out
    assert "model.safetensors has 0 bytes" in said
    assert "update-00000030 at update 30" in said


def test_where_there_is_no_checkpoint_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"no good checkpoint\. Leave it out to begin a new run"
    ):
        small.train(small.make(), resume_from=tmp_path)
    with pytest.raises(StateError, match="no manifest"):
        small.train(small.make(), resume_from=tmp_path / "update-00000005")


def test_another_model_is_refused_with_what_differs(tmp_path: Path) -> None:
    small.train(small.make(tmp_path))
    differs = r"another model: weight is missing and here \[1, 6\].*0\.weight is \[8, 6\] and here "
    with pytest.raises(StateError, match=differs):
        small.train(small.make(model=small.linear), resume_from=tmp_path / "checkpoints")


def test_other_data_is_refused(tmp_path: Path) -> None:
    small.train(small.make(tmp_path))
    with pytest.raises(TrainingError, match="has 30 items, and had 52"):
        small.train(
            small.make(), train_dataset=small.Augmented(30), resume_from=tmp_path / "checkpoints"
        )


def test_another_size_of_update_says_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _stop_after(13, tmp_path, {})
    trainer = small.make(tmp_path)
    small.train(
        trainer, per_device_batch_size=2, resume_from=tmp_path / "checkpoints", on_change="given"
    )
    assert (
        "An update uses 2 samples now, it used 4; an epoch has 26 updates, it had 13."
        in capsys.readouterr().out
    )
    assert trainer.progress.updates == 13 + 26 * 2


def test_a_run_past_its_epochs_has_no_updates_left_whatever_their_size(tmp_path: Path) -> None:
    _stop_after(20, tmp_path, {})
    trainer = small.make(tmp_path)
    how = {"num_epochs": 1, "per_device_batch_size": 2, "on_change": "given"}
    small.train(trainer, resume_from=tmp_path / "checkpoints", **how)
    assert trainer.progress.updates == trainer.scheduler.run.total_steps == 20


@pytest.mark.parametrize(
    "told", [{"per_device_batch_size": 8}, {"gradient_accumulation_steps": 3}], ids=str
)
@pytest.mark.parametrize("after", [2, 13, 19])
def test_with_updates_of_another_size_the_curve_goes_on_from_the_value_reached_to_its_end(
    after: int, told: dict[str, Any], tmp_path: Path
) -> None:
    plan = wd.Plan.of(lr=wd.Linear(start=1.0, end=0.0, steps="rest"))
    _stop_after(after, tmp_path, {"plan": plan})
    with pytest.raises(
        TrainingError, match=f"update {after + 3} is saved"
    ):  # broken off a second time
        small.train(
            _resumed(tmp_path, small.Stop(after + 3)),
            plan=plan,
            **told,
            resume_from=tmp_path / "checkpoints",
        )
    trainer = _resumed(tmp_path)
    small.train(trainer, plan=plan, **told, resume_from=tmp_path / "checkpoints")
    steps, rates = Record.load(tmp_path / "record.jsonl").curve("lr/0")
    made, reached = trainer.progress.updates, 0.02 * (1 - after / 39)
    assert steps == list(range(made))
    assert rates[after:] == pytest.approx(
        [reached * (1 - step / (made - after)) for step in range(made - after)]
    )
    assert after < made < 39
    assert trainer.progress.epoch == 3


def test_a_decay_under_way_ends_the_run_with_updates_of_another_size_too(tmp_path: Path) -> None:
    class Decay(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 9:
                trainer.scheduler.decay_now(over=12)

    flat = wd.Plan.of(lr=wd.Constant())
    with pytest.raises(TrainingError, match="update 13 is saved"):
        small.train(small.make(tmp_path, [Decay(), small.Stop(13)]), plan=flat)
    trainer = small.make(tmp_path)
    small.train(trainer, plan=flat, per_device_batch_size=8, resume_from=tmp_path / "checkpoints")
    left = round(9 * 14 / 26)  # of the 26 updates that were left 14 remain
    assert trainer.progress.updates == 13 + left
    rates = Record.load(tmp_path / "record.jsonl").curve("lr/0")[1]
    assert rates[13:] == pytest.approx([0.02 * 9 / 12 * (1 - step / left) for step in range(left)])


def test_a_checkpoint_is_read_without_running_what_is_in_it(tmp_path: Path) -> None:
    small.train(small.make(tmp_path))
    (path,) = (tmp_path / "checkpoints").iterdir()
    for name in ("optimizer.pt", "extras.pt"):
        torch.load(path / name, weights_only=True)
    assert not list(path.glob("*.pkl"))


def test_a_checkpoint_moves_with_its_folder(tmp_path: Path) -> None:
    digest = small.train(small.make())
    _stop_after(13, tmp_path / "here", {})
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert small.train(small.make(), resume_from=tmp_path / "there" / "checkpoints") == digest


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _everything_of(trainer: Trainer) -> tuple[Any, ...]:
    state = trainer.optimizer.state_dict()["state"]
    moments = {f"{key}/{name}": value for key in state for name, value in state[key].items()}
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    weights = digest_of_weights(trainer.model), digest_of_weights(moments)
    return *weights, rates, trainer.scheduler.state_dict(), trainer.progress.updates


def _stop_after(after: int, folder: Path, told: dict[str, Any]) -> None:
    trainer = small.make(folder, [ModelEmaCallback(0.9), small.Stop(after)])
    with pytest.raises(
        TrainingError, match=f"Stop.on_train_update_end.*update {after} is saved in"
    ):
        small.train(trainer, **told)


def _resumed(folder: Path, *callbacks: TrainerCallback) -> Trainer:
    return small.make(folder, [ModelEmaCallback(0.9), *callbacks])


def _average(trainer: Trainer) -> str:
    (ema,) = (
        callback for callback in trainer.callback_handler if isinstance(callback, ModelEmaCallback)
    )
    assert ema.model is not None
    return digest_of_weights(ema.model)


def _rows(folder: Path) -> list[Any]:
    rows = Record.load(folder / "record.jsonl").rows
    return sorted(
        (row for row in rows if row.target != "samples_per_second"),
        key=lambda row: (row.step, row.target),
    )
