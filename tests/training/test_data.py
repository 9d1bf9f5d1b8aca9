"""Batches by position: every item once, the same order for all processes, from any place on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from warmdown import TrainingError
from warmdown.training import data as module
from warmdown.training.data import DataSource, MapData, Rank, StreamData, data_source


class Numbers(Dataset[int]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> int:
        return item


class Noisy(Numbers):
    """Every generator that a dataset may draw from has a say in what is seen."""

    def __getitem__(self, item: int) -> Any:
        return torch.tensor([item + torch.rand(()).item(), np.random.rand(), random.random()])  # noqa: NPY002


class Counting(IterableDataset[int]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))


def loader(data: Any, **kwargs: Any) -> DataLoader[Any]:
    return DataLoader(
        data, **{"batch_size": 4, "shuffle": not isinstance(data, IterableDataset), **kwargs}
    )


def batches(source: DataSource, epoch: int = 0, used: int = 0) -> list[list[int]]:
    return [
        batch.tolist() for window in source.windows(epoch, used, 1) for batch, _ in window.batches
    ]


def ends(source: DataSource, used: int = 0) -> list[int]:
    return [used for window in source.windows(0, used, 1) for _, used in window.batches]


def shares(data: Any, world: int, seed: int = 0, **kwargs: Any) -> list[DataSource]:
    return [
        data_source(loader(data, **kwargs), seed=seed, rank=Rank(rank, world))
        for rank in range(world)
    ]


@given(
    count=st.integers(1, 60),
    size=st.integers(1, 7),
    world=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_all_processes_together_use_every_item_once_in_equally_many_batches(
    count: int, size: int, world: int, epoch: int
) -> None:
    if count < world:
        with pytest.raises(TrainingError, match="no batch for every process"):
            shares(Numbers(count), world, batch_size=size)
        return
    seen = [batches(source, epoch) for source in shares(Numbers(count), world, batch_size=size)]
    assert sorted(chain.from_iterable(chain.from_iterable(seen))) == list(range(count))
    assert len({len(one) for one in seen}) == 1
    assert all(len(batch) <= size + 1 for one in seen for batch in one)


@given(
    count=st.integers(8, 60),
    size=st.integers(1, 4),
    world=st.integers(1, 4),
    after=st.integers(0, 12),
)
def test_a_place_in_the_epoch_can_be_gone_back_to(
    count: int, size: int, world: int, after: int
) -> None:
    for source in shares(Numbers(count), world, batch_size=size):
        whole, places = batches(source, epoch=2), [0, *ends(source)]
        start = min(after, len(whole))
        assert batches(source, epoch=2, used=places[start]) == whole[start:]
        assert source.left(places[start]) == len(whole) - start


@given(world=st.integers(1, 4), other=st.integers(1, 4), after=st.integers(0, 3))
def test_another_number_of_processes_goes_on_with_what_is_left(
    world: int, other: int, after: int
) -> None:
    first = shares(Numbers(50), world)
    used = [0, *ends(first[0])][after]
    before = [batches(source)[:after] for source in first]
    then = [batches(source, used=used) for source in shares(Numbers(50), other)]
    seen = sorted(chain.from_iterable(chain.from_iterable(before + then)))
    assert seen == list(range(50))


def test_one_process_without_shuffling_sees_what_a_plain_loader_gives() -> None:
    plain = loader(Numbers(10), shuffle=False)
    assert batches(data_source(plain, seed=0, rank=Rank())) == [batch.tolist() for batch in plain]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    source, other = shares(Numbers(40), 1)[0], shares(Numbers(40), 1, seed=1)[0]
    assert batches(source, 0) == batches(source, 0)
    assert batches(source, 0) != batches(source, 1)
    assert batches(source, 0) != batches(other, 0)
    other.reseed(0)
    assert batches(source, 0) == batches(other, 0)


def test_drop_last_drops_what_does_not_fill_a_batch() -> None:
    source = shares(Numbers(11), 1, drop_last=True)[0]
    assert [len(batch) for batch in batches(source)] == [4, 4]
    assert source.batches == 2
    assert source.left(8) == 0


def test_windows_hold_the_batches_of_an_update_and_the_last_one_what_is_left() -> None:
    source = shares(Numbers(26), 1)[0]
    sizes = [(window.size, len(list(window.batches))) for window in source.windows(0, 0, 3)]
    assert sizes == [(3, 3), (3, 3), (1, 1)]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_dataset_draws_is_the_same_when_an_epoch_is_taken_up_again(workers: int) -> None:
    source = shares(Noisy(16), 1, num_workers=workers)[0]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    whole = []
    states = []
    for window in source.windows(0, 0, 1):
        for batch, used in window.batches:
            whole.append(batch)
            states.append((used, torch.get_rng_state(), np.random.get_state(), random.getstate()))  # noqa: NPY002
    used, torch_state, numpy_state, python_state = states[1]
    torch.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)
    rest = [batch for window in source.windows(0, used, 1) for batch, _ in window.batches]
    assert all(torch.equal(one, other) for one, other in zip(rest, whole[2:], strict=True))


def test_in_workers_every_batch_draws_numbers_of_its_own() -> None:
    source = shares(Noisy(16), 1, num_workers=2)[0]
    seen = torch.cat([batch for window in source.windows(0, 0, 1) for batch, _ in window.batches])
    assert len(set(seen[:, 1].tolist())) == 16


def workers() -> list[Any]:
    """Return the processes at work here, but for those of joblib, which other tests leave."""
    return [one for one in active_children() if not one.name.startswith("LokyProcess")]


def test_workers_that_wait_for_another_epoch_end_with_the_run() -> None:
    source = shares(Numbers(16), 1, num_workers=1, persistent_workers=True)[0]
    whole, waiting = batches(source), workers()
    assert batches(source) == whole
    assert workers() == waiting != []
    source.close()
    assert workers() == []
    assert batches(source) == whole  # as when a finished run is made longer
    source.close()


def test_workers_end_where_a_run_is_left_in_the_middle_of_an_epoch() -> None:
    source = shares(Numbers(64), 1, num_workers=1)[0]
    window = next(source.windows(0, 0, 1))
    assert workers() != []
    source.close()
    assert workers() == []
    assert window.size == 1


def test_asking_for_batches_draws_nothing_from_the_global_generators() -> None:
    source = shares(Numbers(40), 1)[0]
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]  # noqa: NPY002
    batches(source)
    batches(source, used=8)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]  # noqa: NPY002
    assert random.getstate() == before[2]


def test_a_sampler_of_ones_own_keeps_its_weights_and_gets_a_seed() -> None:
    sampler = WeightedRandomSampler([0.0] * 10 + [1.0] * 10, num_samples=12)
    source = data_source(loader(Numbers(20), shuffle=None, sampler=sampler), seed=3, rank=Rank())
    assert batches(source) == batches(source)
    assert all(item >= 10 for batch in batches(source) for item in batch)
    assert source.items == 12


def test_batches_that_a_sampler_has_made_stay_together() -> None:
    ready = BatchSampler(SequentialSampler(range(9)), 3, drop_last=False)
    plain = DataLoader(Numbers(9), batch_sampler=ready)
    assert batches(data_source(plain, seed=0, rank=Rank())) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    two = [data_source(plain, seed=0, rank=Rank(rank, 2)) for rank in range(2)]
    assert [batches(source) for source in two] == [[[0, 1, 2]], [[3, 4, 5]]]


def test_a_sampler_with_replacement_draws_as_many_as_it_says() -> None:
    sampler = RandomSampler(Numbers(5), replacement=True, num_samples=9)
    source = data_source(loader(Numbers(5), shuffle=None, sampler=sampler), seed=0, rank=Rank())
    assert sum(len(batch) for batch in batches(source)) == 9


def test_data_that_is_shared_out_already_is_refused() -> None:
    sampler: DistributedSampler[int] = DistributedSampler(Numbers(8), num_replicas=2, rank=0)
    with pytest.raises(TrainingError, match=r"shared twice\. Give the sampler for one process"):
        data_source(loader(Numbers(8), shuffle=None, sampler=sampler), seed=0, rank=Rank())


def test_a_stream_gives_each_process_every_so_many_th_batch() -> None:
    two = shares(Counting(22), 2)
    assert all(isinstance(source, StreamData) for source in two)
    assert batches(two[0]) == [[0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19]]
    assert batches(two[1]) == [[4, 5, 6, 7], [12, 13, 14, 15], [20, 21]]
    assert [batches(source, used=4) for source in two] == [[[16, 17, 18, 19]], [[20, 21]]]
    assert two[0].batches is None


def test_a_list_of_batches_is_a_stream_with_a_length() -> None:
    source = data_source(
        [torch.tensor([1]), torch.tensor([2]), torch.tensor([3])], seed=0, rank=Rank()
    )
    assert source.batches == 3
    assert batches(source, used=1) == [[2], [3]]
    assert source.left(3) == 0


def test_skipping_through_a_stream_draws_nothing() -> None:
    source = data_source(loader(Counting(40)), seed=0, rank=Rank())
    before = torch.get_rng_state()
    list(source.windows(0, 5, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loader_keeps_what_it_was_made_with() -> None:
    def doubled(items: list[int]) -> torch.Tensor:
        return torch.tensor(items) * 2

    source = data_source(loader(Numbers(8), shuffle=False, collate_fn=doubled), seed=0, rank=Rank())
    assert isinstance(source, MapData)
    assert batches(source)[0] == [0, 2, 4, 6]


class Ordered(Sampler[int]):
    """A sampler whose order is that of an epoch, as it is given."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter([self.epoch, *range(3)])

    def __len__(self) -> int:
        return 4


def test_a_sampler_hears_of_the_epoch_before_it_draws() -> None:
    (source,) = shares(Numbers(9), 1, sampler=Ordered(), shuffle=None)
    assert batches(source, epoch=7) == [[7, 0, 1, 2]]


class Together(Numbers):
    """Reads the items of a batch at once, each with a number of its own and a factor."""

    factor = 1

    def __getitems__(self, items: list[int]) -> list[float]:
        return [self.factor * item + torch.rand(()).item() for item in items]


@pytest.mark.parametrize("kind", [Noisy, Together])
def test_in_a_worker_a_batch_draws_by_its_seeds_and_has_its_settings(kind: Any) -> None:
    made = kind(9)
    made.factor = 1
    seeded = module._SeededDataset(made, None)
    first, second = module._Batch([3, 1]), module._Batch([3, 1])
    first.seeds, second.seeds = (0, 1, 0, 0), (0, 1, 2, 0)
    first.settings, second.settings = (("factor", 2.0),), (("factor", 5.0),)
    drawn, other, again = (
        torch.as_tensor([row.tolist() if kind is Noisy else row for row in rows])
        for rows in map(seeded.__getitems__, (first, second, first))
    )
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn % 1, other % 1)
    assert (seeded.factor, type(made.factor)) == (2, int)  # what a dataset has is there
    with pytest.raises(AttributeError, match="__none__"):
        seeded.__none__  # noqa: B018
