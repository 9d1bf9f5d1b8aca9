"""Data whose length is not what it says: an epoch ends with the data, and every run ends."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import small
from torch.utils.data import IterableDataset, Sampler, get_worker_info

import warmdown as wd
from warmdown import LengthMismatch, TrainingError
from warmdown.training import LimitBatchesCallback, Trainer, TrainerCallback

Pair = tuple[torch.Tensor, torch.Tensor]


class Shards(IterableDataset[Pair]):
    """Pairs in an order of each pass's own, with noise; the length is what it was made with."""

    def __init__(self, there: int, promised: int) -> None:
        self.there, self.promised = there, promised

    def __len__(self) -> int:
        return self.promised

    def __iter__(self) -> Iterator[Pair]:
        inputs = torch.arange(6.0 * self.there).view(self.there, 6).sin()
        for row in inputs[torch.randperm(self.there)]:
            noise = np.random.randn() + random.random() + torch.rand(())  # noqa: NPY002
            yield row + 0.1 * noise, row.sum(0, keepdim=True)


class Endless(Shards):
    """The same pairs, without a length."""

    __len__ = None  # type: ignore[assignment]

    def __init__(self, there: int) -> None:
        super().__init__(there, 0)


class WorkerShards(Shards):
    """Each worker reads a part: together they make more batches, for none is whole."""

    def __iter__(self) -> Iterator[Pair]:
        worker = get_worker_info()
        pairs = list(super().__iter__())
        return iter(pairs if worker is None else pairs[worker.id :: worker.num_workers])


class Optimist(Sampler[int]):
    """A sampler that promises more items than it draws."""

    def __init__(self, there: int, promised: int) -> None:
        self.there, self.promised = there, promised

    def __len__(self) -> int:
        return self.promised

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(self.there).tolist()


class Forever(Optimist):
    """A sampler that never ends."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from super().__iter__()


class StopInside(TrainerCallback):
    """Fails after a batch, as a bug would."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_train_step_end(self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("on purpose")


def quietly(action: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what an action returns, and what it was warned of about the length of data."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = action()
    return answer, [str(one.message) for one in caught if one.category is LengthMismatch]


def fit(trainer: Trainer, data: Any, **kwargs: Any) -> tuple[str, list[str]]:
    return quietly(lambda: small.train(trainer, train_dataset=data, **{"num_epochs": 2, **kwargs}))


def test_a_stream_that_promised_too_much_ends_its_epochs_where_it_ends() -> None:
    trainer = small.make()
    _, told = fit(trainer, Shards(40, promised=60))
    assert (trainer.progress.updates, trainer.progress.epoch) == (20, 2)
    assert len(trainer.run_history.get_metric_values("eval_loss_epoch")) == 2
    (message,) = told
    assert "train_dataset=Shards" in message
    assert "ended after 10 batches, and its length promised 15" in message
    assert "made for 30 updates" in message
    assert "max_num_train_steps=20" in message


def test_a_stream_that_promised_too_little_is_read_as_far_as_it_promised() -> None:
    trainer = small.make()
    _, told = fit(trainer, Shards(40, promised=20), eval_dataset=Shards(12, promised=8))
    assert trainer.progress.updates == 10
    assert "has more than 5 batches, and its length promised 5. What comes after" in told[0]
    assert "eval_dataset=Shards: a pass has more than 2 batches" in told[1]


def test_a_stream_that_keeps_its_promise_is_not_warned_of() -> None:
    trainer = small.make()
    assert fit(trainer, Shards(40, promised=40))[1] == []
    assert fit(trainer, Endless(40), max_num_train_steps=14)[1] == []
    assert fit(trainer, Shards(40, 40), gradient_accumulation_steps=3)[1] == []
    limited = small.make(callbacks=[LimitBatchesCallback(4)])
    assert fit(limited, Shards(40, 40), gradient_accumulation_steps=3)[1] == []


def test_the_updates_asked_for_are_made_in_as_many_passes_as_they_take() -> None:
    trainer = small.make()
    _, told = fit(trainer, Shards(40, promised=60), max_num_train_steps=25)
    assert trainer.progress.updates == trainer.scheduler.plan.run.total_steps == 25
    assert "until it has made 25 updates" in told[0]
    _, told = fit(trainer, Endless(40), max_num_train_steps=25)
    assert (trainer.progress.updates, told) == (25, [])


def test_the_last_update_of_a_short_pass_is_made_of_the_batches_there_are() -> None:
    trainer = small.make()
    fit(trainer, Shards(40, promised=60), gradient_accumulation_steps=4)
    assert trainer.progress.updates == 2 * math.ceil(10 / 4)
    assert trainer.progress.window_done == 0


def test_a_limit_that_the_data_do_not_reach_ends_nothing_late() -> None:
    trainer = small.make(callbacks=[LimitBatchesCallback(30)])
    _, told = fit(trainer, Endless(40))
    assert trainer.progress.updates == 20
    assert "ended after 10 batches, and its length promised 30" in told[0]


def test_a_stream_that_repeats_itself_for_ever_has_epochs_of_its_nominal_length() -> None:
    class Again(Shards):
        def __iter__(self) -> Iterator[Pair]:
            while True:
                yield from super().__iter__()

    trainer = small.make()
    _, told = fit(trainer, Again(12, promised=40), eval_dataset=Again(12, promised=8))
    assert (trainer.progress.updates, len(told)) == (20, 2)


@pytest.mark.parametrize(
    ("promised", "batches", "seen"), [(40, 10, "has more than 10"), (96, 12, "ended after 12")]
)
def test_shards_of_workers_make_the_batches_that_they_make(
    promised: int, batches: int, seen: str
) -> None:
    trainer = small.make()
    workers = {"num_workers": 2}
    told = fit(
        trainer,
        WorkerShards(44, promised),
        eval_dataset=None,
        train_dataloader_kwargs=workers,
    )[1]
    assert trainer.progress.updates == 2 * batches
    assert f"{seen} batches, and its length promised {promised // 4}" in told[0]


@pytest.mark.parametrize(("sampler", "updates"), [(Optimist, 20), (Forever, 30)])
def test_a_sampler_is_read_as_far_as_it_goes_and_as_far_as_it_promised(
    sampler: type[Optimist], updates: int
) -> None:
    trainer = small.make()
    chosen = {"sampler": sampler(40, promised=60)}
    told = fit(trainer, small.Plain(), train_dataloader_kwargs=chosen)[1]
    assert trainer.progress.updates == updates
    assert len(told) == 1


@pytest.mark.parametrize("data", [Shards(0, promised=60), Endless(0)])
def test_data_without_one_batch_are_refused(data: Any) -> None:
    with pytest.raises(TrainingError, match=r"=(Shards|Endless)\): epoch 1 has not one batch"):
        fit(small.make(), data, max_num_train_steps=5)


def test_data_that_can_be_read_once_give_one_epoch(tmp_path: Path) -> None:
    class Once(Trainer):
        def create_train_dataloader(self, *given: Any) -> Any:
            return iter(list(super().create_train_dataloader(*given)))

    trainer = small.make(tmp_path, kind=Once)
    with pytest.raises(TrainingError, match=r"epoch 2 has not one batch.*update 10 is saved"):
        fit(trainer, Shards(40, 60), max_num_train_steps=25)
    assert trainer.progress.updates == 10


def test_evaluation_data_are_read_to_their_end_and_are_not_empty() -> None:
    trainer = small.make()
    _, told = fit(trainer, small.Plain(8), eval_dataset=Shards(8, promised=20))
    assert len(told) == 1
    assert "eval_dataset=Shards" in told[0]
    assert "ended after 2 batches, and its length promised 5" in told[0]
    with pytest.raises(TrainingError, match=r"eval_dataset=Shards.*not one batch"):
        trainer.evaluate(Shards(0, promised=20))


SITUATIONS: dict[str, dict[str, Any]] = {
    "epochs": {},
    "accumulation": {"gradient_accumulation_steps": 4},
    "updates": {"max_num_train_steps": 13},
    "workers": {"train_dataloader_kwargs": {"num_workers": 1}},
}


@pytest.mark.parametrize(
    ("situation", "after"), [*product(SITUATIONS, (3, 9, 10, 11)), ("epochs", 20)]
)
def test_a_run_on_a_short_stream_is_resumed_bit_for_bit(
    situation: str, after: int, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"train_dataset": Shards(40, 60), "num_epochs": 2, "plan": small.plan()}
    told |= SITUATIONS[situation]
    whole = small.make()
    digest, _ = quietly(lambda: small.train(whole, **told))
    with pytest.raises(TrainingError, match="is saved in"):
        quietly(lambda: small.train(small.make(tmp_path, [StopInside(after)]), **told))
    again = small.make(tmp_path, seed=99)
    resumed = quietly(lambda: small.train(again, **told, resume_from=tmp_path / "checkpoints"))
    assert resumed[0] == digest
    assert again.progress == whole.progress
    for name in ("train_loss_epoch", "eval_loss_epoch"):
        metrics = whole.run_history.get_metric_values(name)
        assert again.run_history.get_metric_values(name) == metrics


def test_a_stream_that_is_shorter_than_when_it_was_saved_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        fit(small.make(tmp_path, [StopInside(8)]), Shards(40, 60))
    with pytest.raises(TrainingError, match="ended after 5 batches, and the checkpoint was made"):
        fit(small.make(tmp_path), Shards(20, 60), resume_from=tmp_path / "checkpoints")


def test_what_a_stream_draws_leaves_the_model_its_numbers() -> None:
    class Drawing(TrainerCallback):
        def __init__(self) -> None:
            self.drawn: list[float] = []

        def on_train_step_start(self, trainer: Any, **kwargs: Any) -> None:
            self.drawn.append(torch.rand(()).item())

    first, second = Drawing(), Drawing()
    told: dict[str, Any] = {"eval_dataset": None, "plan": wd.Constant()}
    fit(small.make(callbacks=[first], model=small.linear), Shards(40, 40), **told)
    fit(small.make(callbacks=[second], model=small.linear), Shards(80, 80), **told)
    assert first.drawn == second.drawn[: len(first.drawn)]
