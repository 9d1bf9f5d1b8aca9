"""A run that spikes goes back as by hand, bit for bit; killed on the way, it ends the same."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training import small
from tests.training.processes import end, start
from torch import nn
from torch.utils.data import DataLoader, Dataset

import warmdown as wd
from warmdown.record import Record
from warmdown.training import (
    Checkpoints,
    ModelEmaCallback,
    SaveTrainingStateCallback,
    TerminateOnNaNCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
    rollback,
)
from warmdown.training.checkpoint import damage_of
from warmdown.training.spikes import place_after

UPDATES, SIZE, BAD = 220, 4, 137
POLICY = wd.Rollback(to=20, rescale=0.5, over=40, skip=10, at_most=2)
ONCE = {"spike": BAD, "to": 100}


class Long(Dataset[Any]):
    """Enough pairs for every update of the run; the batches named have targets far away."""

    def __init__(self, *bad: int, target: float = 1e4, draws: bool = False) -> None:
        made = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(UPDATES * SIZE, 6, generator=made)
        self.targets = self.inputs.sum(1, keepdim=True).sin()
        self.draws = draws
        for batch in bad:
            self.targets[batch * SIZE : batch * SIZE + (1 if draws else SIZE)] = target

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, item: int) -> Any:
        noise = 0.01 * torch.randn(6) if self.draws else 0.0
        return self.inputs[item] + noise, self.targets[item]


def in_order(data: Dataset[Any], **settings: Any) -> DataLoader[Any]:
    return DataLoader(data, batch_size=SIZE, **settings)


def guarded(
    folder: Path | None,
    *callbacks: TrainerCallback,
    policy: wd.Rollback | None = POLICY,
    model: Callable[[], nn.Module] = small.perceptron,
    kind: type[Trainer] = Trainer,
    **kwargs: Any,
) -> Trainer:
    return small.make(
        folder, callbacks, model=model, every=20, kind=kind, on_spike=policy, **kwargs
    )


def train(trainer: Trainer, data: Any, **kwargs: Any) -> str:
    trainer.train(data, 1, **{"plan": small.plan(), **kwargs})
    return digest_of_weights(trainer.get_model())


def went_back(trainer: Trainer) -> list[dict[str, Any]]:
    return [{name: one[name] for name in ("spike", "to")} for one in trainer.rollbacks]


def test_after_a_spike_the_run_is_that_of_a_loop_that_goes_back_by_hand(tmp_path: Path) -> None:
    trainer = guarded(tmp_path)
    digest = train(trainer, in_order(Long(BAD)))
    assert went_back(trainer) == [ONCE]
    assert trainer.progress.updates == UPDATES

    torch.manual_seed(0)
    model = small.perceptron()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.01)
    scheduler = wd.Scheduler(optimizer, small.plan(), total_steps=UPDATES)
    batches = list(in_order(Long(BAD)))
    hurt = range(BAD - 5, BAD + 5)
    places = [place for place in range(UPDATES) if place not in hurt]
    for update, place in enumerate([*places, *range(len(hurt))]):  # what is missing comes again
        if update == 100:
            scheduler.rescale(0.5, over=40)
        inputs, targets = batches[place]
        loss: Any = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    assert scheduler.count == UPDATES
    assert digest_of_weights(model) == digest
    assert trainer.scheduler.events == scheduler.events


def test_a_run_without_a_spike_is_that_without_a_guard(tmp_path: Path) -> None:
    one = guarded(tmp_path / "one")
    other = guarded(tmp_path / "other", policy=None)
    assert train(one, in_order(Long())) == train(other, in_order(Long()))
    assert one.rollbacks == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_gone_back_from_though_a_callback_ends_such_runs(
    tmp_path: Path, bad: float, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = guarded(tmp_path, TerminateOnNaNCallback())
    train(trainer, in_order(Long(BAD, target=bad)))
    assert went_back(trainer) == [ONCE]
    assert trainer.stopped_by == ""
    assert all(torch.isfinite(one).all() for one in trainer.get_model().parameters())
    assert f"The loss is {bad} at update 137: back to update 100." in capsys.readouterr().out


def test_the_plan_keeps_the_rollback_and_its_rates(tmp_path: Path) -> None:
    trainer = guarded(tmp_path)
    train(trainer, in_order(Long(BAD)))
    plain = wd.Scheduler(
        torch.optim.AdamW(small.perceptron().parameters(), lr=0.02),
        small.plan(),
        total_steps=UPDATES,
    )
    steps, rates = Record.load(tmp_path / "record.jsonl").curve("lr/0")
    assert steps == list(range(UPDATES))
    factors = [rate / plain.value(step) for step, rate in enumerate(rates) if step]
    assert factors == pytest.approx([1.0] * 99 + [0.5] * 40 + [1.0] * 80)


def test_the_record_keeps_the_losses_that_were_left_beside_those_of_the_run(tmp_path: Path) -> None:
    trainer = guarded(tmp_path)
    train(trainer, in_order(Long(BAD)))
    record = Record.load(tmp_path / "record.jsonl")
    steps, losses = record.curve("loss")
    assert steps == list(range(UPDATES))
    assert max(losses[64:]) < 100.0
    left, values = record.curve("loss, rolled back 1")
    assert left == list(range(100, BAD + 1))
    assert values[-1] > 1e6
    (mark,) = [row for row in record if row.reason and row.target != "phase"]
    assert (mark.step, mark.reason) == (BAD, "spike: back to update 100")
    lines = {line.label for line in wd.plot.view(record).lines}
    assert {"loss", "loss, rolled back 1"} <= lines


def test_at_most_so_many_times_and_then_the_run_stops_and_says_why(tmp_path: Path) -> None:
    """Without a skip the same batch comes again and again."""
    policy = wd.Rollback(to=20, skip=0, at_most=2)
    trainer = guarded(tmp_path, policy=policy)
    train(trainer, in_order(Long(BAD)))
    assert went_back(trainer) == [ONCE, ONCE]
    assert "has gone back 2 times already, after spikes at 137, 137" in trainer.stopped_by
    assert trainer.progress.updates == BAD + 1
    again = guarded(tmp_path, policy=policy)
    train(again, in_order(Long(BAD)), resume_from=tmp_path / "checkpoints")
    assert again.stopped_by == trainer.stopped_by


def test_without_a_checkpoint_that_is_old_enough_the_run_stops_and_says_why(tmp_path: Path) -> None:
    trainer = guarded(tmp_path, policy=wd.Rollback(to=50))
    train(trainer, in_order(Long(30, target=float("nan"))))
    assert "no good checkpoint is 50 updates older" in trainer.stopped_by


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    class Damage(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 120 and not trainer.rollbacks:
                (Checkpoints(tmp_path / "checkpoints").path(100) / "optimizer.pt").unlink()

    trainer = guarded(tmp_path, Damage())
    train(trainer, in_order(Long(BAD)))
    assert went_back(trainer) == [{"spike": BAD, "to": 80}]


def test_a_second_spike_goes_back_over_the_first_and_passes_over_both(tmp_path: Path) -> None:
    """Before the checkpoint of the first, so that what was passed over there must be kept."""
    trainer = guarded(tmp_path, policy=wd.Rollback(to=20, skip=10))
    train(trainer, in_order(Long(BAD, BAD - 20)))
    assert went_back(trainer) == [{"spike": BAD - 20, "to": 80}, {"spike": BAD - 10, "to": 100}]
    assert trainer.progress.updates == UPDATES
    losses = Record.load(tmp_path / "record.jsonl").curve("loss")[1]
    assert max(losses[64:]) < 100.0


def test_the_checkpoint_that_is_needed_outlives_newer_ones(tmp_path: Path) -> None:
    saving = SaveTrainingStateCallback(
        tmp_path / "checkpoints", save_every_n_steps=5, max_checkpoints=2
    )
    trainer = guarded(None, saving, policy=wd.Rollback(to=30, skip=10))
    train(trainer, in_order(Long(BAD)))
    assert went_back(trainer) == [{"spike": BAD, "to": 100}]
    assert len(saving.checkpoints.all()) <= 4


def test_what_an_earlier_run_left_in_the_folder_is_no_target(tmp_path: Path) -> None:
    train(guarded(tmp_path), in_order(Long()))
    policy = wd.Rollback(to=20, skip=10)
    trainer = small.make(tmp_path, model=small.perceptron, every=50, on_spike=policy)
    train(trainer, in_order(Long(BAD)))
    assert went_back(trainer) == [{"spike": BAD, "to": 100}]
    trainer = small.make(tmp_path, model=small.perceptron, every=90, on_spike=policy)
    train(trainer, in_order(Long(BAD)))
    assert went_back(trainer) == [{"spike": BAD, "to": 90}]


@pytest.mark.parametrize("workers", [0, 2])
def test_with_everything_random_it_is_the_run_that_is_resumed_everywhere(
    tmp_path: Path, workers: int
) -> None:
    """Dropout, batch statistics, augmentation, an average of the weights, two batches an update."""

    def run(folder: Path, **more: Any) -> str:
        policy = wd.Rollback(to=10, over=20, skip=4)
        trainer = guarded(folder, ModelEmaCallback(0.9), policy=policy, model=small.network)
        data = in_order(Long(BAD, draws=True), num_workers=workers, shuffle=True)
        digest = train(trainer, data, gradient_accumulation_steps=2, **more)
        assert len(trainer.rollbacks) == 1
        assert trainer.progress.updates == UPDATES // 2
        return digest

    digest = run(tmp_path / "whole")
    for path in Checkpoints(tmp_path / "whole" / "checkpoints").all()[1:]:
        assert run(tmp_path / "whole", resume_from=path) == digest


class Broken(BaseException):
    """Stands for a kill: nothing is saved on the way out."""


@pytest.mark.parametrize("moment", ["load_state", "remove_after", "half removed", "save_numbered"])
def test_a_run_that_is_killed_as_it_goes_back_ends_with_the_same_bits(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = train(guarded(tmp_path / "whole"), in_order(Long(BAD)))

    def breaks(where: Any, *arguments: Any, **named: Any) -> None:
        if not isinstance(where, Trainer) or where.progress.updates:  # not the first checkpoint
            raise Broken

    with monkeypatch.context() as patch:
        if moment == "remove_after":
            patch.setattr(Checkpoints, "remove_after", breaks)
        elif moment == "half removed":
            remove, removed = Checkpoints.remove_after, []

            def remove_some(self: Checkpoints, update: int, last: int) -> None:
                remove(self, update + 20, last)
                removed.append(update)
                raise Broken

            patch.setattr(Checkpoints, "remove_after", remove_some)
        else:
            patch.setattr(rollback, moment, breaks)
        with pytest.raises(Broken):
            train(guarded(tmp_path / "killed"), in_order(Long(BAD)))
    trainer = guarded(tmp_path / "killed")
    resumed = train(trainer, in_order(Long(BAD)), resume_from=tmp_path / "killed" / "checkpoints")
    assert resumed == digest
    assert went_back(trainer) == [ONCE]
    both = [
        [row for row in Record.load(tmp_path / name / "record.jsonl") if "/" in row.target]
        for name in ("whole", "killed")
    ]
    assert both[0] == both[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_runs_that_spike_and_are_killed_again_and_again_end_with_the_same_bits(
    tmp_path: Path, seed: int
) -> None:
    began = time.perf_counter()
    digest = train(guarded(tmp_path / "whole"), in_order(Long(BAD, BAD + 50)))
    lasts, chance = time.perf_counter() - began, random.Random(seed)
    folder = tmp_path / "killed"
    folder.mkdir()

    def work() -> None:
        newest, damages = Checkpoints(folder / "checkpoints").newest_good()
        assert not damages
        trainer = guarded(folder)
        (folder / "digest").write_text(
            train(trainer, in_order(Long(BAD, BAD + 50)), resume_from=newest)
        )

    for kill in range(7):
        child = start(work, folder / "said")
        if kill < 6:
            time.sleep(chance.uniform(0.0, lasts))
            os.kill(child, signal.SIGKILL)
        assert end(child) in ((0, -signal.SIGKILL) if kill < 6 else (0,))
    assert (folder / "digest").read_text() == digest


def test_a_stream_passes_over_its_batches_too(tmp_path: Path) -> None:
    trainer = guarded(tmp_path)
    digest = train(trainer, as_stream(in_order(Long(BAD))))
    assert went_back(trainer) == [ONCE]
    other = guarded(tmp_path / "other")
    assert train(other, in_order(Long(BAD))) == digest


def as_stream(loader: DataLoader[Any]) -> Any:
    """Return the batches as a stream, which cannot be begun anywhere."""

    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(loader)

        def __len__(self) -> int:
            return len(loader)

    return DataLoader(Stream(), batch_size=None)


def test_a_run_of_so_many_updates_makes_them_all_with_the_data_that_is_left(tmp_path: Path) -> None:
    trainer = guarded(tmp_path)
    train(trainer, in_order(Long(BAD)), max_num_train_steps=200)
    assert trainer.progress.updates == 200
    assert trainer.progress.passed == 10


def test_a_guard_without_checkpoints_or_without_a_rate_to_lower_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wd.TrainingError, match=r"nothing to go back to. Add SaveTraining"):
        train(guarded(None), in_order(Long()))
    with pytest.raises(wd.TrainingError, match=r"no plan drives the learning rate"):
        train(guarded(tmp_path), in_order(Long()), plan=None)
    trainer = guarded(tmp_path, policy=wd.Rollback(to=20, rescale=1, skip=10))
    train(trainer, in_order(Long(BAD)), plan=None)
    assert went_back(trainer) == [ONCE]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"to": "best"}, r"to='best'\): 'last good', or"),
        ({"to": 0}, r"to=0\)"),
        ({"rescale": 0.0}, r"rescale=0.0\): a factor above 0"),
        ({"rescale": 2.0}, r"rescale=2.0\)"),
        ({"skip": -1}, r"skip=-1\): a whole number of at least 0"),
        ({"at_most": 0}, r"at_most=0\)"),
        ({"every": 0}, r"every=0\)"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(wd.TrainingError, match=said):
        wd.Rollback(**settings)


def test_a_place_in_the_data_counts_what_was_used() -> None:
    assert place_after(10, 5, []) == 15
    assert place_after(10, 5, [[12, 14]]) == 17
    assert place_after(10, 0, [[10, 12], [12, 13]]) == 13
    assert place_after(10, 5, [[15, 20]]) == 20


def test_every_checkpoint_of_a_run_that_went_back_is_whole(tmp_path: Path) -> None:
    train(guarded(tmp_path), in_order(Long(BAD)))
    paths = Checkpoints(tmp_path / "checkpoints").all()
    assert [path.name for path in paths] == [
        f"update-{update:08d}" for update in range(0, UPDATES + 1, 20)
    ]
    assert [damage_of(path) for path in paths] == [None] * len(paths)


def test_losses_that_are_read_late_end_with_the_same_bits_resumed_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a device: a checkpoint then has losses that were not looked at, of the spike even."""
    digest = train(guarded(tmp_path / "at once"), in_order(Long(BAD)))
    late = property(lambda detector: detector.count % 15 == 0)
    monkeypatch.setattr(wd.SpikeDetector, "is_due", late)
    trainer = guarded(tmp_path / "late")
    assert train(trainer, in_order(Long(BAD))) == digest

    class Leave(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 140:
                trainer.save_training_state(tmp_path / "spiked")
                raise Broken

    with pytest.raises(Broken):
        train(guarded(tmp_path / "left", Leave()), in_order(Long(BAD)))
    trainer = guarded(tmp_path / "left")
    resumed = train(trainer, in_order(Long(BAD)), resume_from=tmp_path / "spiked")
    assert resumed == digest
    assert went_back(trainer) == [ONCE]
