"""A loader as data: what it was made with counts, and what cannot be is refused with a way out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from tests.training import small
from tests.training.test_streams import Pair, Shards
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
    default_collate,
)

import warmdown as wd
from warmdown import TrainingError
from warmdown.training import StopAfterCallback, Task, Trainer, TrainerCallback, run_task


class Batches(TrainerCallback):
    """Keeps the inputs of every batch."""

    def __init__(self) -> None:
        self.train: list[torch.Tensor] = []
        self.eval: list[torch.Tensor] = []

    def on_train_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        self.train.append(batch[0])

    def on_eval_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        self.eval.append(batch[0])


class Doubled(DataLoader[Any]):
    """A loader with a way of its own to iterate."""

    def __iter__(self) -> Any:
        return (batch for batch in list(super().__iter__()) for _ in range(2))


def doubled(pairs: list[Pair]) -> list[torch.Tensor]:
    inputs, targets = default_collate(pairs)
    return [2 * inputs, targets]


def fit(data: Any, **told: Any) -> tuple[Trainer, Batches]:
    batches = Batches()
    trainer = small.make(callbacks=[batches])
    trainer.train(data, **{"num_epochs": 1, "plan": wd.Cosine(), **told})
    return trainer, batches


def test_a_loaders_batches_are_the_batches() -> None:
    loader = DataLoader(small.Plain(), batch_size=13, collate_fn=doubled)
    trainer, batches = fit(loader, num_epochs=2)
    assert torch.equal(torch.cat(batches.train), 2 * small.Plain().inputs.repeat(2, 1))
    assert [len(batch) for batch in batches.train] == [13] * 8
    assert trainer.run_config.train_total_batch_size == 13
    assert trainer.scheduler.run.samples_per_step == 13
    assert trainer.scheduler.run.total_steps == 8


def test_a_loader_is_shuffled_where_it_asks_for_it() -> None:
    orders = [fit(DataLoader(small.Plain(), 13, shuffle=True))[1].train for _ in range(2)]
    seen, again = map(torch.cat, orders)
    assert torch.equal(seen, again)
    assert not torch.equal(seen, small.Plain().inputs)
    assert torch.equal(seen.sort(0).values, small.Plain().inputs.sort(0).values)


def test_a_loaders_sampler_workers_and_last_batch_are_respected() -> None:
    weights = [0.0] * 26 + [1.0] * 26
    sampler = WeightedRandomSampler(weights, num_samples=30)
    _, batches = fit(DataLoader(small.Plain(), 4, sampler=sampler, drop_last=True, num_workers=1))
    assert [len(batch) for batch in batches.train] == [4] * 7
    late = small.Plain().inputs[26:]
    assert all((late == row).all(1).any() for row in torch.cat(batches.train))


def test_evaluation_has_a_loader_of_its_own_or_batches_of_the_same_size() -> None:
    trainer, batches = fit(
        small.Plain(), per_device_batch_size=4, eval_dataset=DataLoader(small.Plain(), 26)
    )
    assert {len(batch) for batch in batches.train} == {4}
    assert [len(batch) for batch in batches.eval] == [26, 26]
    sizes = trainer.run_config.train_total_batch_size, trainer.run_config.eval_total_batch_size
    assert sizes == (4, 26)
    trainer, batches = fit(DataLoader(small.Plain(), 13), eval_dataset=small.Plain())
    assert {len(batch) for batch in batches.eval} == {13}
    trainer.evaluate(DataLoader(small.Plain(), 2))
    assert len(batches.eval[-1]) == 2
    assert len(fit(small.Plain())[1].train[0]) == 8


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"per_device_batch_size": 4}, "per_device_batch_size=4"),
        ({"collate_fn": doubled}, "collate_fn=<function doubled"),
        ({"train_dataloader_kwargs": {"shuffle": True}}, "train_dataloader_kwargs={'shuffle'"),
    ],
)
def test_a_setting_that_a_loader_has_decided_is_refused(told: dict[str, Any], name: str) -> None:
    loader = DataLoader(small.Plain(), 13, collate_fn=partial(default_collate))
    with pytest.raises(TrainingError, match=rf"train_dataset=DataLoader, {name}.*batch_size=13"):
        fit(loader, **told)
    trainer, _ = fit(loader, per_device_batch_size=13, collate_fn=loader.collate_fn)
    assert trainer.progress.updates == 4


def test_a_setting_that_an_evaluations_loader_has_decided_is_refused() -> None:
    loader = DataLoader(small.Plain(), 13)
    with pytest.raises(TrainingError, match="eval_dataset=DataLoader, eval_dataloader_kwargs="):
        fit(small.Plain(), eval_dataset=loader, eval_dataloader_kwargs={"num_workers": 1})
    with pytest.raises(TrainingError, match="dataset=DataLoader, per_device_batch_size=8"):
        small.make().evaluate(loader, per_device_batch_size=8)


def test_the_size_of_the_batches_really_made_is_the_runs() -> None:
    trainer, batches = fit(small.Plain(), train_dataloader_kwargs={"batch_size": 26})
    assert len(batches.train[0]) == trainer.scheduler.run.samples_per_step == 26
    ready = BatchSampler(SequentialSampler(small.Plain()), 13, drop_last=False)
    trainer, batches = fit(DataLoader(small.Plain(), batch_sampler=ready))
    assert len(batches.train[0]) == trainer.scheduler.run.samples_per_step == 13


def test_a_loader_over_a_stream_or_over_ready_batches_is_read_as_it_is() -> None:
    trainer, batches = fit(DataLoader(Shards(40, 40), batch_size=5))
    assert [len(batch) for batch in batches.train] == [5] * 8
    assert trainer.run_config.train_total_batch_size == 5
    ready = [(torch.ones(3, 6), torch.ones(3, 1)), (torch.ones(4, 6), torch.ones(4, 1))]
    trainer, batches = fit(DataLoader(ready, batch_size=None))  # type: ignore[arg-type]
    assert [len(batch) for batch in batches.train] == [3, 4]
    assert trainer.run_config.train_total_batch_size is None


def test_a_list_is_a_list_of_samples() -> None:
    pairs = [small.Plain()[item] for item in range(10)]
    trainer, batches = fit(pairs, per_device_batch_size=4)
    assert sorted(len(batch) for batch in batches.train) == [2, 4, 4]
    assert trainer.progress.updates == 3


def test_what_has_no_items_is_refused_with_the_ways_out() -> None:
    pairs = (small.Plain()[item] for item in range(10))
    with pytest.raises(TrainingError, match=r"data\(generator\).*IterableDataset.*batch_size=None"):
        fit(pairs, max_num_train_steps=5)


def test_a_loader_that_accelerate_has_prepared_is_refused() -> None:
    prepared = Accelerator(cpu=True).prepare(DataLoader(small.Plain(), 4))
    with pytest.raises(TrainingError, match=r"accelerate has prepared it.*as it was before"):
        fit(prepared)


def test_a_streams_order_is_not_asked_for_in_vain() -> None:
    with pytest.raises(ValueError, match="shuffle"):
        fit(Shards(40, 40), train_dataloader_kwargs={"shuffle": True})


class Drawing(IterableDataset[Pair]):
    """A stream whose workers draw."""

    def __iter__(self) -> Iterator[Pair]:
        for _ in range(40):
            row = torch.randn(6)
            yield row, row.sum(0, keepdim=True)


LOADERS: dict[str, Any] = {
    "shuffled": lambda: DataLoader(small.Augmented(), 4, shuffle=True),
    "own generator": lambda: DataLoader(
        small.Augmented(), 4, shuffle=True, generator=torch.Generator().manual_seed(5)
    ),
    "ready batches": lambda: DataLoader(
        small.Augmented(),
        batch_sampler=BatchSampler(
            RandomSampler(range(52), generator=torch.Generator().manual_seed(5)), 4, False
        ),
    ),
    "own way": lambda: Doubled(
        small.Plain(24), 4, shuffle=True, generator=torch.Generator().manual_seed(5)
    ),
    "no batches": lambda: DataLoader(
        [(row * torch.ones(4, 6), torch.ones(4, 1)) for row in range(12)],  # type: ignore[arg-type]
        batch_size=None,
        shuffle=True,
    ),
    "stream": lambda: DataLoader(Shards(52, 60), batch_size=4),
    "workers that live on": lambda: DataLoader(
        Drawing(), batch_size=4, num_workers=2, persistent_workers=True
    ),
}


@pytest.mark.filterwarnings("ignore::warmdown.LengthMismatch", "ignore::warmdown.StoppedEarly")
@pytest.mark.parametrize(("kind", "after"), [*product(LOADERS, (5, 21))])
def test_a_run_on_a_loader_is_resumed_bit_for_bit(kind: str, after: int, tmp_path: Path) -> None:
    made = LOADERS[kind]
    told: dict[str, Any] = {"per_device_batch_size": None, "max_num_train_steps": 22}
    digest = small.train(small.make(), **told, train_dataset=made())
    with pytest.raises(TrainingError, match="on purpose"):
        small.train(small.make(tmp_path, [small.Stop(after)]), **told, train_dataset=made())
    again = small.make(tmp_path, seed=9)
    told |= {"train_dataset": made(), "resume_from": tmp_path / "checkpoints"}
    assert small.train(again, **told) == digest


@pytest.mark.filterwarnings("ignore::warmdown.StoppedEarly")
@pytest.mark.parametrize(
    "ends", [None, small.Stop(5), StopAfterCallback(5)], ids=["at its end", "by an error", "early"]
)
def test_a_trainer_that_is_left_is_gone_with_its_loader(ends: Any, tmp_path: Path) -> None:
    """In a cycle, torch would wait for workers that live on, wherever garbage is collected."""
    loader = DataLoader(small.Plain(), batch_size=4)
    gc.disable()
    try:
        trainer = small.make(tmp_path, [ends] if ends else [])
        with suppress(TrainingError):
            small.train(trainer, per_device_batch_size=None, train_dataset=loader)
        left = weakref.ref(trainer), weakref.ref(loader)
        del trainer, loader
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()


def test_a_task_may_bring_its_loader() -> None:
    outcome = run_task("tests.training.test_loaders:loading", wd.Cosine(), epochs=1)
    assert outcome.updates == 4
    with pytest.raises(TrainingError, match="per_device_batch_size=5"):
        run_task("tests.training.test_loaders:loading", wd.Cosine(), epochs=1, batch_size=5)


def loading() -> Task:
    """Return a task whose data come in batches of 13."""
    loader = DataLoader(small.Plain(), 13, shuffle=True)
    return Task(model=small.linear(), loss=torch.nn.functional.mse_loss, train=loader, test=loader)


@pytest.mark.slow
def test_workers_that_are_no_copies_of_this_process_give_the_same_batches() -> None:
    def batches(**workers: Any) -> list[torch.Tensor]:
        return fit(DataLoader(small.Plain(), 8, shuffle=True, **workers))[1].train

    spawned = batches(num_workers=1, multiprocessing_context="spawn")
    for there, here in zip(spawned, batches(), strict=True):
        assert torch.equal(there, here)
