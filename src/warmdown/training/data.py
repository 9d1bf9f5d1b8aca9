"""Batches by position: an epoch's order follows from its seed, and can begin anywhere in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat, tee
from typing import Any, NamedTuple

import torch
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from warmdown.batches import Cut, Loading, epoch_windows
from warmdown.binding.slots import as_before
from warmdown.errors import TrainingError
from warmdown.training.rng import OwnNumbers, derive_seed, seed_everything

_KEPT = (
    "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn",
    "multiprocessing_context", "prefetch_factor", "persistent_workers",
)  # fmt: skip
"""What a loader keeps when its order is replaced."""


class Rank(NamedTuple):
    """Which of how many processes this one is."""

    rank: int = 0
    world: int = 1


class BatchWindow(NamedTuple):
    """The batches that one update uses on this process.

    Args:
        size: How many there are.
        batches: Pairs of a batch and the items of the epoch that are used up, over all processes,
            once it was used.
        cut: What was asked for.
        end: Items used up after it.
    """

    size: int
    batches: Iterable[tuple[Any, int]]
    cut: Cut
    end: int


def data_source(loader: Iterable[Any], *, seed: int, rank: Rank) -> DataSource:
    """Return the batches of ``loader``, shared out to processes, with a position.

    Args:
        loader: A ``DataLoader``: its dataset, sampler and workers are kept, its order comes
            from ``seed``. Anything else that yields batches is read from its start and skipped
            through.
        seed: Seed of the order; the number of the epoch is mixed in.
        rank: Which process this is.

    Raises:
        TrainingError: The loader already shares itself out, or has less than one item a process.
    """
    if hasattr(loader, "base_dataloader"):
        raise TrainingError(
            "data(loader): accelerate has prepared it; the trainer prepares the data itself, and "
            "each process would get a part of its part. Give the loader as it was before."
        )
    if any(isinstance(part, DistributedSampler) for part in _order_parts(loader)):
        raise TrainingError(
            "data(sampler=DistributedSampler): the trainer shares the data out itself, and it "
            "would be shared twice. Give the sampler for one process, or shuffle=True."
        )
    if (
        isinstance(loader, DataLoader)
        and type(loader).__iter__ is DataLoader.__iter__
        and not isinstance(loader.dataset, IterableDataset)
        and (loader.batch_size is not None or loader.batch_sampler is not None)
    ):
        return MapData(loader, seed=seed, rank=rank)
    return StreamData(loader, seed=seed, rank=rank)


class MapData:
    """A map-style dataset in global batches.

    Each takes the next ``world`` x ``batch_size`` items of the order.

    The order does not depend on the number of processes, so that a run can go on with another one
    and still use every item once in the epoch. The last batch is shared out evenly, without
    repeating an item.

    Args:
        loader: A plain ``DataLoader`` over a dataset with a length.
        seed: Seed of the order.
        rank: Which process this is.
    """

    is_stream = False
    """Whether a window that is passed over was read."""

    def __init__(self, loader: DataLoader[Any], *, seed: int, rank: Rank) -> None:
        self._sampler = _GlobalBatches(loader, seed, rank)
        self._given = loader
        self._loader: DataLoader[Any] | None = None
        self._batches: Iterator[Any] = iter(())
        self.items = self._sampler.total
        self.batches = self.left(0)
        if self.batches == 0:
            raise TrainingError(
                f"data(items={self.items}, processes={rank.world}, "
                f"batch_size={self._sampler.size}, drop_last={self._sampler.drop_last}): there is "
                f"no batch for every process. Use fewer processes, smaller batches, or "
                f"drop_last=False."
            )

    @property
    def has_ready_batches(self) -> bool:
        """Whether an item is a batch that the loader's own sampler has made."""
        return self._sampler.has_ready_batches

    @property
    def drop_last(self) -> bool:
        """Whether what fills no batch at the end of an epoch is left out."""
        return self._sampler.drop_last

    @property
    def has_more(self) -> bool:
        """Whether the order goes on after the sampler's length."""
        return self._sampler.has_more

    def reseed(self, seed: int) -> None:
        """Let the order follow another seed."""
        self._sampler.seed = seed

    def left(self, used: int) -> int:
        """Return how many batches follow after ``used`` items, by the sampler's length."""
        return self._sampler.count(used, self.items)

    def cut(self, size: int) -> Cut:
        """Return the cut of an update of ``size`` batches as the loader makes them."""
        return self._sampler.cut(size)

    def windows(self, epoch: int, used: int, size: int | Iterable[Cut]) -> Iterator[BatchWindow]:
        """Yield the windows that follow after ``used`` items.

        Args:
            epoch: Which epoch.
            used: Items of it that are used up.
            size: Batches in each window; or the cut of each update, asked for as it is read.
        """
        sampler = self._sampler
        cuts = repeat(self.cut(size)) if isinstance(size, int) else size
        windows = sampler.begin(epoch, used, cuts)
        if (first := next(windows, None)) is None:
            return
        self._loader = self._loader or self._reordered_loader()
        self._batches = iter(self._loader)
        for cut, ends in chain([first], windows):
            # the ends first: the loader is not asked for one batch more
            pairs = ((batch, end) for end, batch in zip(ends, self._batches, strict=False))
            yield BatchWindow(len(ends), pairs, cut, ends[-1])

    def owner_of(self, name: str) -> Any:
        """Return the dataset, or what makes its batches, if it has a number of this name."""
        return owner_of(name, self._given.dataset, self._given.collate_fn)

    def close(self) -> None:
        """End the workers; the next window starts new ones."""
        # the garbage collector would close their queues first, and then wait for each of them 5 s
        # in vain
        getattr(self._batches, "_shutdown_workers", int)()
        self._loader = None
        self._batches = iter(())

    def _reordered_loader(self) -> DataLoader[Any]:
        """Return a loader that differs in its order alone."""
        given, seed = self._given, self._sampler.seed
        dataset, collate = given.dataset, given.collate_fn
        return DataLoader(
            _SeededDataset(dataset, collate) if given.num_workers else dataset,
            batch_sampler=self._sampler,
            # not the global generator: a resumed epoch would draw once more
            generator=torch.Generator().manual_seed(seed),
            **{name: getattr(given, name) for name in _KEPT},
        )


class StreamData:
    """Batches in sequence alone: every process reads all and keeps each ``world``-th.

    To go back, what lies before the position is read and dropped.

    Args:
        loader: Yields batches; an epoch is one pass.
        seed: Seeds the generators at the start of each pass.
        rank: Which process this is.
    """

    is_stream = True
    drop_last = True
    """Too few batches for all processes are left out."""

    def __init__(self, loader: Iterable[Any], *, seed: int, rank: Rank) -> None:
        self._loader = loader
        self._seed = seed
        self._rank, self._world = rank
        self._group: Any = None
        self.has_more = False
        try:
            length = len(loader) // self._world  # type: ignore[arg-type]
        except TypeError:  # a loader over data without a length has __len__ and raises
            length = -1
        # each process plans on the same length
        least = self._least(length)
        self.batches = None if least < 0 else least
        self.items = None if self.batches is None else self.batches * self._world

    def reseed(self, seed: int) -> None:
        """Let what is drawn follow another seed."""
        self._seed = seed

    def left(self, used: int) -> int | None:
        """Return how many batches follow after ``used`` by the length, ``None`` without one."""
        return None if self.items is None else max(0, self.items - used) // self._world

    def cut(self, size: int) -> Cut:
        """Return the cut of an update of ``size`` batches as the loader makes them."""
        return Cut(size * self._world, self._world)

    def windows(self, epoch: int, used: int, size: int | Iterable[Cut]) -> Iterator[BatchWindow]:
        """Yield the windows that follow after ``used`` batches, each read as a whole.

        They end with the length, for a stream may be endless, and with the first process that has
        none left, so that all make the same updates.

        Args:
            epoch: Which epoch.
            used: Batches of it that are used up.
            size: Batches in each window; or the cut of each update, of which the number counts.

        Raises:
            TrainingError: There are not ``used`` batches any more.
        """
        batches, left = self._own_batches(epoch, used), self.left(used)
        for cut in repeat(self.cut(size)) if isinstance(size, int) else size:
            wanted = cut.size // cut.part
            window = list(islice(batches, wanted if left is None else min(wanted, left)))
            count = self._least(len(window))
            if count == 0:
                break
            left = left and left - count
            yield BatchWindow(count, window[:count], cut, window[count - 1][1])
        self.has_more = left == 0 and next(batches, None) is not None

    def owner_of(self, name: str) -> Any:
        """Return the dataset, or what makes its batches, if it has a number of this name.

        Raises:
            TrainingError: Workers read it: what is set here they do not see.
        """
        dataset, collate = (getattr(self._loader, part, None) for part in ("dataset", "collate_fn"))
        owner = owner_of(name, dataset, collate)
        if owner is not None and getattr(self._loader, "num_workers", None):
            raise TrainingError(
                f"train(plan={{{name!r}: …}}): workers read the samples in a row, each by itself, "
                f"and see no change. Give num_workers=0, or a dataset with items of a number."
            )
        return owner

    def close(self) -> None:
        """Leave the loader alone: it belongs to the caller."""

    def _own_batches(self, epoch: int, used: int) -> Iterator[tuple[Any, int]]:
        # what the stream draws depends on its seed alone, so that reading it again gives the same
        seed = derive_seed(self._seed, epoch)
        for part in _order_parts(self._loader):
            _seed_part(part, epoch, seed)
        if getattr(self._loader, "persistent_workers", False):
            # workers that live on would draw on from the epoch before
            vars(self._loader).update(_iterator=None)
        numbers = OwnNumbers(seed)
        with numbers:
            batches = iter(self._loader)
            skipped = sum(1 for _ in islice(batches, used))
        if skipped < used:
            raise TrainingError(
                f"resume: the training data ended after {skipped} batches, and the checkpoint was "
                f"made after {used} of the epoch. Give the same data, from its start."
            )
        while True:
            with numbers:
                turn = list(islice(batches, self._world))
            if len(turn) < self._world:
                return
            used += self._world
            yield turn[self._rank], used

    def _least(self, count: int) -> int:
        """Return the smallest of what each process counts."""
        if self._world == 1 or not torch.distributed.is_initialized():
            return count
        if self._group is None:  # on the CPU: the device is not waited for
            self._group = torch.distributed.new_group(backend="gloo")
        least = torch.tensor(count)
        torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN, self._group)
        return int(least)


DataSource = MapData | StreamData
"""Where the batches of an epoch come from.

``items`` is how many items an epoch has over all processes, ``batches`` how many batches one
process gets; both are ``None`` where the length is unknown. ``has_more`` is whether the last pass
could have gone on after that.
"""


def usable_batches(source: DataSource | None, limit: int | None) -> int | None:
    """Return how many batches a pass is to use, by length and limit; ``None`` without both."""
    counts = (None if source is None else source.batches, limit)
    return min((count for count in counts if count is not None), default=None)


def samples_in_batch(loader: Any) -> int | None:
    """Return how many samples a batch of a loader holds, ``None`` where it does not say."""
    sizes = (getattr(part, "batch_size", None) for part in _order_parts(loader))
    return next((size for size in sizes if isinstance(size, int)), None)


def owner_of(name: str, dataset: Any, collate: Any) -> Any:
    """Return which of a dataset, those inside of it, and a collate function has such a number."""
    while dataset is not None:
        if _is_setting(vars(dataset).get(name) if hasattr(dataset, "__dict__") else None):
            return dataset
        dataset = getattr(dataset, "dataset", None)
    return collate if _is_setting(getattr(collate, name, None)) else None


def _is_setting(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order_parts(loader: Any) -> list[Any]:
    """Return a loader, and what in it decides on the order of the data."""
    sampler, batches = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))
    inner = getattr(batches, "sampler", None)
    return [batches, inner, sampler, loader, getattr(loader, "dataset", None)]


def _seed_part(part: Any, epoch: int, seed: int) -> None:
    """Let what decides on an order draw it from the epoch and a seed."""
    if hasattr(part, "set_epoch"):
        part.set_epoch(epoch)
    if isinstance(generator := getattr(part, "generator", None), torch.Generator):
        generator.manual_seed(seed)


class _GlobalBatches:
    """A batch sampler: this process's part of each global batch of an epoch's order."""

    def __init__(self, loader: DataLoader[Any], seed: int, rank: Rank) -> None:
        self.seed = seed
        *self._samplers, _, _ = _order_parts(loader)
        self.has_ready_batches = loader.batch_size is None
        sampler: Any = loader.batch_sampler if self.has_ready_batches else loader.sampler
        self._sampler: Any = sampler
        self.size = loader.batch_size or 1
        self.drop_last = bool(loader.drop_last) or self.has_ready_batches
        self._rank, self._world = rank
        self._step = self.size * self._world
        self.has_more = False
        self._most = len(sampler) if hasattr(sampler, "__len__") else None
        self.total: int = len(self._draw(0)) if self._most is None else self._most

    def cut(self, size: int) -> Cut:
        """Return the cut of an update of ``size`` batches."""
        return Cut(self._step * size, self._step)

    def begin(self, epoch: int, used: int, cuts: Iterable[Cut]) -> Iterator[tuple[Cut, list[int]]]:
        """Draw the order of an epoch; return the windows after ``used`` items, as they are read.

        What is yielded then is their batches.
        """
        self._epoch, self._used, self._order = epoch, used, self._draw(epoch)
        world, items = self._world, len(self._order)
        loading = Loading(world=world, items=items, drop_last=self.drop_last)
        # workers read ahead: whoever comes first asks for the cut, and both use it
        windows, self._ahead = tee(epoch_windows(used, cuts, loading))
        return windows

    def count(self, used: int, total: int) -> int:
        """Return how many global batches there are of ``total`` items after ``used``."""
        full, rest = divmod(max(0, total - used), self._step)
        # too few to share join the batch before
        is_dropped = rest == 0 or self.drop_last or rest < self._world
        return full if is_dropped else full + 1

    def __len__(self) -> int:
        return self.count(self._used, len(self._order))

    def __iter__(self) -> Iterator[_Batch]:
        epoch, start, order = self._epoch, self._used, self._order
        for settings, end in ((cut.settings, end) for cut, ends in self._ahead for end in ends):
            length = end - start
            low = start + length * self._rank // self._world
            high = start + length * (self._rank + 1) // self._world
            part = order[low:high]
            if isinstance(part, torch.Tensor):  # as tensors, all items at once take far less memory
                part = part.tolist()
            batch = _Batch(chain.from_iterable(part) if self.has_ready_batches else part)
            batch.seeds = (self.seed, epoch, start, self._rank)
            batch.settings = settings
            yield batch
            start = end

    def _draw(self, epoch: int) -> Any:
        """Return every item of the epoch, the same on every process."""
        sampler, seed = self._sampler, derive_seed(self.seed, epoch)
        if type(sampler) is SequentialSampler:
            return range(len(sampler))
        if (
            type(sampler) is RandomSampler
            and not sampler.replacement
            and sampler.num_samples == len(sampler.data_source)
        ):
            return torch.randperm(len(sampler), generator=torch.Generator().manual_seed(seed))
        for part in self._samplers:
            _seed_part(part, epoch, seed)
        with OwnNumbers(seed):
            # what promises too little may be endless
            order = list(islice(sampler, self._most and self._most + 1))
        self.has_more = self._most is not None and len(order) > self._most
        return order[: self._most]


class _Batch(list[Any]):
    """The items of a batch, what they are read with, and the seeds of its random numbers."""

    seeds: tuple[int, ...]
    settings: tuple[tuple[str, float], ...]


class _SeededDataset(torch.utils.data.Dataset[Any]):
    """A dataset in a worker: what it draws depends on the batch, not on earlier ones."""

    def __init__(self, dataset: Any, collate: Any) -> None:
        self.dataset, self.collate = dataset, collate

    def __getitems__(self, items: _Batch) -> list[Any]:
        seed_everything(derive_seed(*items.seeds))
        for name, value in items.settings:
            owner = owner_of(name, self.dataset, self.collate)
            setattr(owner, name, as_before(getattr(owner, name), value))
        fetch: Any = getattr(self.dataset, "__getitems__", None)
        return fetch(items) if fetch else [self.dataset[item] for item in items]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("dataset", "collate"):
            raise AttributeError(name)
        return getattr(self.dataset, name)
