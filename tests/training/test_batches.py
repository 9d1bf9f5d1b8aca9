"""A plan that changes the batch: what each update uses, and that nothing is lost by it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.binding.loops import warns
from tests.training import ramp, small
from tests.training.ramp import Items, Numbered
from tests.training.test_distributed import ROOT, answers, launch
from torch.utils.data import DataLoader, IterableDataset

import warmdown as wd
from warmdown.errors import AmountMismatch, TrainingError
from warmdown.training import LimitBatchesCallback, run_task

EPOCHS = 3


def used(**kwargs: Any) -> tuple[Any, Items]:
    items = Items()
    trainer = small.make(callbacks=[items], model=small.perceptron)
    ramp.train(trainer, **kwargs)
    return trainer, items


def test_each_update_uses_the_batch_of_the_plan_and_each_epoch_every_sample_once() -> None:
    trainer, items = used()
    planned = trainer.scheduler.plan.targets[1].rule.of
    assert trainer.progress.updates == trainer.run_config.total_updates == len(items.used)
    sums = [0]
    for update, size in enumerate(items.sizes()):
        rest = small.ITEMS - sums[-1] % small.ITEMS
        assert size == min(planned(update), rest)
        sums.append(sums[-1] + size)
    for epoch in range(EPOCHS):
        part = items.items()[epoch * small.ITEMS : (epoch + 1) * small.ITEMS]
        assert sorted(part) == list(range(small.ITEMS))
    assert trainer.scheduler.value(sums.index(32)) == pytest.approx(0.02)  # warmup of 32 samples
    assert trainer.scheduler.get_last_lr() == [pytest.approx(0.002)]


def test_with_accumulation_a_batch_is_cut_evenly_to_a_multiple_of_it() -> None:
    trainer, items = used(gradient_accumulation_steps=3)
    assert trainer.scheduler.value(0, "batch_size") == 3
    assert trainer.scheduler.value(trainer.progress.updates - 1, "batch_size") == 12
    sizes = {tuple(map(len, batches)) for batches in items.used.values()}
    assert {(1, 1, 1), (3, 3, 3), (4, 4, 4)} <= sizes
    assert sorted(items.items()) == sorted(list(range(small.ITEMS)) * EPOCHS)


def test_a_batch_that_never_changes_trains_as_without_a_plan_for_it() -> None:
    plain = small.train(small.make(), eval_dataset=None)
    constant = wd.Plan(targets=(*small.plan().targets, *wd.Plan.of(batch_size=wd.Set(4.0)).targets))
    assert small.train(small.make(), eval_dataset=None, plan=constant) == plain


def test_a_factor_multiplies_the_batch_of_the_whole_run() -> None:
    grown = wd.PiecewiseConstant(values=(1.0, 2.0), at=("50%",))
    _, items = used(plan=ramp.plan(batch_size=grown), per_device_batch_size=5)
    assert {5, 10} < set(items.sizes())
    assert items.sizes()[:10] == [5] * 10


def test_accumulation_is_a_target_too() -> None:
    growing = wd.Set(wd.PiecewiseConstant(values=(1.0, 3.0), at=("50%",)))
    plan = wd.Plan.of(lr=wd.Cosine(), gradient_accumulation=growing)
    trainer, items = used(plan=plan, per_device_batch_size=4)
    counts = [len(batches) for batches in items.used.values()]
    assert counts[:13] == [1] * 13
    assert counts[-5:] == [3, 3, 3, 3, 1]
    assert {len(batch) for batches in items.used.values() for batch in batches} == {4}
    assert trainer.progress.updates == trainer.run_config.total_updates == len(counts)
    assert sorted(items.items()) == sorted(list(range(small.ITEMS)) * EPOCHS)


@pytest.mark.parametrize("clock", ["samples", "tokens"])
def test_a_clock_of_data_equals_the_sum_by_hand(clock: Any) -> None:
    run = wd.Run(clock=clock, samples_per_step=4, tokens_per_step=40)
    trainer, items = used(plan=wd.Plan.of(lr=wd.Cosine(), batch_size=wd.Set(ramp.RAMP), run=run))
    each, total = (1 if clock == "samples" else 10), 0
    for size, position in zip(items.sizes(), items.positions, strict=True):
        total += size * each
        assert position == total
    assert total == trainer.scheduler.run.length == small.ITEMS * EPOCHS * each
    assert trainer.scheduler.get_last_lr() == [pytest.approx(0.0)]


RESUMED: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 2},
    "by samples": {
        "plan": wd.Plan.of(
            lr=wd.Cosine(), batch_size=wd.Set(ramp.RAMP), run=wd.Run(clock="samples")
        ),
        "gradient_accumulation_steps": 2,
    },
    "noisy data, dropout": {"train_dataset": small.Augmented()},
}


@pytest.mark.parametrize("case", RESUMED)
@pytest.mark.parametrize("after", [8, 13])
def test_a_run_resumed_across_a_change_ends_with_the_same_bits(
    case: str, after: int, tmp_path: Path
) -> None:
    model = small.network if "dropout" in case else small.perceptron
    whole = ramp.train(small.make(model=model), **RESUMED[case])
    broken = small.make(tmp_path, [small.Stop(after)], model=model)
    with pytest.raises(TrainingError, match="on purpose"):
        ramp.train(broken, **RESUMED[case])
    again = small.make(tmp_path, model=model, seed=3)
    assert ramp.train(again, resume_from=tmp_path / "checkpoints", **RESUMED[case]) == whole


def test_workers_that_read_ahead_change_nothing() -> None:
    _, alone = used()
    _, ahead = used(train_dataloader_kwargs={"num_workers": 1, "prefetch_factor": 4})
    assert ahead.used == alone.used


@pytest.mark.parametrize(
    ("before", "now", "limit"),
    [
        ({}, {"gradient_accumulation_steps": 2}, None),
        ({"gradient_accumulation_steps": 2}, {}, None),
        ({}, {"gradient_accumulation_steps": 2}, 9),
    ],
)
def test_where_batches_are_cut_otherwise_a_plan_ends_with_the_updates_that_are_left(
    before: dict[str, Any], now: dict[str, Any], limit: int | None, tmp_path: Path
) -> None:
    class Inside(Items):
        def on_train_step_end(
            self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any
        ) -> None:
            super().on_train_step_end(trainer, batch, batch_output, **kwargs)
            if self.update == 6:
                raise ZeroDivisionError("on purpose")

    def made(items: Items) -> Any:
        limits = [] if limit is None else [LimitBatchesCallback(limit)]
        return small.make(tmp_path, [items, *limits], model=small.perceptron)

    first, rest = Inside(), Items()
    with pytest.raises(TrainingError, match="on purpose"):
        ramp.train(made(first), **before)
    trainer = made(rest)
    ramp.train(trainer, resume_from=tmp_path / "checkpoints", on_change="given", **now)
    total = trainer.scheduler.run.total_steps
    assert trainer.progress.updates == total
    assert len(first.used.keys() | rest.used.keys()) == total
    if limit is None:
        last_two = rest.items()[-2 * small.ITEMS :]
        assert sorted(last_two) == sorted(list(range(small.ITEMS)) * 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_event_changes_the_very_next_batch(workers: int) -> None:
    class Double(Items):
        def on_train_update_end(self, trainer: Any, update: int = 0, **kwargs: Any) -> None:
            if update == 2:
                trainer.scheduler.rescale(2.0, target="batch_size")

    items = Double()
    trainer = small.make(callbacks=[items], model=small.perceptron)
    plan = wd.Plan.of(batch_size=wd.Set(4.0))
    ramp.train(
        trainer, plan=plan, max_num_train_steps=8, train_dataloader_kwargs={"num_workers": workers}
    )
    assert items.sizes() == [4, 4, 4, 8, 8, 8, 8, 8]
    assert sorted(items.items()) == list(range(small.ITEMS))


def test_an_update_that_the_scaler_skips_takes_its_batch_with_it_and_the_next_has_its_size() -> (
    None
):
    items = Items()
    trainer = small.make(callbacks=[items], model=small.perceptron, kind=small.Scaled)
    ramp.train(trainer)
    assert trainer.progress.skipped > 0
    assert sorted(items.items()) == sorted(list(range(small.ITEMS)) * EPOCHS)


def test_a_loader_with_a_size_of_its_own_keeps_everything_else() -> None:
    def halved(samples: Any) -> Any:
        inputs, targets = zip(*samples, strict=True)
        return torch.stack(inputs), torch.stack(targets) / 2

    loader = DataLoader(Numbered(), batch_size=16, shuffle=False, collate_fn=halved, drop_last=True)
    trainer, items = used(train_dataset=loader)
    assert items.used[0] == [[0, 1, 2, 3]]
    assert len(items.items()) < small.ITEMS * EPOCHS  # what fills no batch is dropped
    assert trainer.progress.updates == trainer.run_config.total_updates == len(items.used)
    assert set(items.sizes()) == {4, 8, 12}


def test_evaluation_keeps_its_own_batches() -> None:
    trainer, _ = used(eval_dataset=Numbered(), per_device_batch_size=6)
    assert trainer.run_config.eval_per_device_batch_size == 6


def test_a_number_of_updates_ends_the_run_in_the_middle_of_an_epoch() -> None:
    trainer, items = used(max_num_train_steps=10)
    assert trainer.progress.updates == 10
    assert items.sizes() == [4, 4, 4, 8, 8, 8, 12, 4, 12, 12]


class Stream(IterableDataset[Any]):
    """Samples in a row."""

    def __iter__(self) -> Any:
        return iter([Numbered()[item] for item in range(small.ITEMS)])

    def __len__(self) -> int:
        return small.ITEMS


def test_of_samples_in_a_row_more_batches_can_make_an_update_and_none_is_cut() -> None:
    with pytest.raises(TrainingError, match=r"batches of their own.*'gradient_accumulation'"):
        used(train_dataset=Stream())
    growing = wd.Set(wd.PiecewiseConstant(values=(1.0, 3.0), at=("50%",)))
    plan = wd.Plan.of(lr=wd.Cosine(), gradient_accumulation=growing)
    trainer, items = used(train_dataset=Stream(), plan=plan, per_device_batch_size=4)
    assert [len(one) for one in items.used.values()][-1] == 1
    assert trainer.progress.updates == trainer.run_config.total_updates
    assert sorted(items.items()) == sorted(list(range(small.ITEMS)) * EPOCHS)


def test_a_batch_that_is_not_the_run_s_is_reported_where_lengths_are_in_data() -> None:
    lr = wd.Linear(start=0.1, end=1.0, steps="32samples") >> wd.Cosine(steps=20)
    plan = wd.Plan.of(lr=lr, run=wd.Run(samples_per_step=16))
    with warns(AmountMismatch, "Run(samples_per_step=16) says that an update uses 16, and it is"):
        small.train(small.make(), plan=plan, eval_dataset=None)


def test_the_command_line_s_task_follows_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "lr: [{kind: linear, steps: 640samples}, {kind: cosine, end: 0.1}]\n"
        "batch_size: {set: {kind: table, values: [64, 256], at: [60%]}}\n"
    )
    outcome = run_task("digits", file, epochs=2)
    sizes = dict(zip(*outcome.record.curve("batch_size"), strict=True))
    assert sizes[0] == 64
    assert sizes[outcome.updates - 1] == 256
    assert outcome.plan is not None
    assert outcome.plan.run.total_steps == outcome.updates
    assert outcome.plan.targets[0].rule.of.part_starts() == (0, 10)


@pytest.mark.slow
def test_two_processes_lose_and_double_nothing_killed_and_resumed_across_a_change(
    tmp_path: Path,
) -> None:
    def together(folder: Path, after: int = 0) -> subprocess.CompletedProcess[str]:
        folder.mkdir(exist_ok=True)
        return launch("tests.training.ramp", str(folder), str(after), cwd=ROOT)

    done = together(tmp_path / "whole")
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = answers(tmp_path / "whole")
    assert first["digest"] == second["digest"]
    assert first["positions"] == second["positions"]
    everything = [
        item for one in (first, second) for update in one["used"] for batch in update
        for item in batch
    ]  # fmt: skip
    assert sorted(everything) == sorted(list(range(small.ITEMS)) * EPOCHS)
    _, alone = used(gradient_accumulation_steps=4)
    assert [
        sum(map(len, one)) + sum(map(len, other))
        for one, other in zip(first["used"], second["used"], strict=True)
    ] == alone.sizes()
    assert together(tmp_path / "killed", after=8).returncode != 0
    done = together(tmp_path / "killed", after=-1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert answers(tmp_path / "killed")[0]["digest"] == first["digest"]


class Sequences(Numbered):
    """Samples that are as long as an attribute has it."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence_length = 3

    def __getitem__(self, item: int) -> Any:
        inputs, target = super().__getitem__(item)
        return torch.cat([inputs, torch.tensor([float(self.sequence_length)])]), target


class Lengths(Items):
    """Keeps the lengths of each update's samples too."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[set[float]] = []

    def on_train_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        super().on_train_step_end(trainer, batch, batch_output, **kwargs)
        self.lengths.append(set(batch[0][:, 6].tolist()))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("sizes", [None, ramp.RAMP])
def test_any_number_of_the_dataset_is_a_target_and_holds_for_its_own_updates(
    workers: int, sizes: Any
) -> None:
    grown = wd.PiecewiseConstant(values=(3.0, 6.0), at=(5,))
    targets: dict[str, Any] = {"lr": wd.Cosine(), "sequence_length": wd.Set(grown)}
    if sizes is not None:
        targets["batch_size"] = wd.Set(sizes)
    lengths, data = Lengths(), Sequences()
    trainer = small.make(callbacks=[lengths], model=lambda: torch.nn.Linear(7, 1))
    ramp.train(
        trainer, train_dataset=data, plan=wd.Plan.of(**targets), num_epochs=1,
        train_dataloader_kwargs={"num_workers": workers}, per_device_batch_size=4,
    )  # fmt: skip
    assert lengths.lengths[:7] == [{3.0}] * 5 + [{6.0}] * 2
    assert type(data.sequence_length) is int
    assert trainer.scheduler.values()["sequence_length"] == 6


class Row(Stream):
    """Samples in a row that are as long as an attribute has it."""

    def __init__(self) -> None:
        self.sequence_length = 3

    def __iter__(self) -> Any:
        for inputs, target in super().__iter__():
            yield torch.cat([inputs, torch.tensor([float(self.sequence_length)])]), target


class Collate:
    """Makes batches, and has a number of its own."""

    width = 3

    def __call__(self, samples: Any) -> Any:
        return torch.utils.data.default_collate(samples)


def test_a_number_of_samples_in_a_row_or_of_what_collates_them_is_a_target_without_workers() -> (
    None
):
    grown = wd.Set(wd.PiecewiseConstant(values=(3.0, 6.0), at=(5,)))
    collate, rows, lengths = Collate(), Row(), Lengths()
    targets: dict[str, Any] = {"lr": wd.Cosine()}

    def train(name: str, **loading: Any) -> None:
        ramp.train(
            small.make(callbacks=[lengths], model=lambda: torch.nn.Linear(7, 1)),
            train_dataset=rows, plan=wd.Plan.of(**(targets | {name: grown})), num_epochs=1,
            per_device_batch_size=4, collate_fn=collate, train_dataloader_kwargs=loading,
        )  # fmt: skip

    train("sequence_length")
    assert lengths.lengths[:7] == [{3.0}] * 5 + [{6.0}] * 2
    train("width")
    assert collate.width == 6
    with pytest.raises(TrainingError, match=r"'sequence_length': …}\): workers .*num_workers=0"):
        train("sequence_length", num_workers=1)


def test_accumulation_multiplies_what_was_asked_for() -> None:
    twice = wd.PiecewiseConstant(values=(1.0, 2.0), at=("50%",))
    _, items = used(
        plan=wd.Plan.of(gradient_accumulation=twice),
        per_device_batch_size=4,
        gradient_accumulation_steps=2,
    )
    assert [len(batches) for batches in items.used.values()][:6] == [2] * 6
    assert [len(batches) for batches in items.used.values()][-3:-1] == [4, 4]
