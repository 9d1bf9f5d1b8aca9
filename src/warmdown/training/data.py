"""Batches by position: the order of an epoch is a function of its seed, and any place in it can be gone back to."""

from __future__ import annotations

__all__ = ["Place", "Shards", "Source", "Stream", "Window", "source_of"]

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from warmdown.errors import TrainingError
from warmdown.training.rng import mixed, seed_everything, seeded


@dataclass(frozen=True)
class Place:
    """Which of how many processes this one is."""

    rank: int = 0
    world: int = 1


class Window(NamedTuple):
    """The batches that one update uses on this process.

    Args:
        size: How many there are.
        batches: Pairs of a batch and the items of the epoch that are used up, over all processes,
            once it was used.
    """

    size: int
    batches: Iterable[tuple[Any, int]]


class Source(Protocol):
    """Where the batches of an epoch come from."""

    @property
    def batches(self) -> int | None:
        """How many batches one process gets in a whole epoch, or ``None`` when nobody knows."""

    @property
    def items(self) -> int | None:
        """How many items an epoch holds over all processes, or ``None`` when nobody knows."""

    def reseed(self, seed: int) -> None:
        """Let the order follow another seed."""

    def left(self, used: int) -> int | None:
        """Return how many batches follow after ``used`` items, or ``None`` when nobody knows."""

    def windows(self, epoch: int, used: int, size: int) -> Iterator[Window]:
        """Yield the windows of ``size`` batches of ``epoch`` that follow after ``used`` items."""

    def close(self) -> None:
        """End the workers; the next window starts new ones."""


def source_of(loader: Iterable[Any], *, seed: int, place: Place) -> Source:
    """Return the batches of ``loader``, shared out to processes, as something with a position.

    Args:
        loader: A plain ``DataLoader``: its dataset, sampler and workers are kept, its order comes
            from ``seed``. Anything else that yields batches is read from its start and skipped
            through.
        seed: Seed of the order; the number of the epoch is mixed in.
        place: Which process asks.

    Raises:
        TrainingError: The loader already shares itself out, or holds less than one item a process.
    """
    if _is_plain(loader):
        return Shards(loader, seed=seed, place=place)  # type: ignore[arg-type]
    return Stream(loader, seed=seed, place=place)


class Shards:
    """A map-style dataset in global batches: each takes the next ``world`` x ``batch_size`` items of the order.

    The order does not depend on the number of processes, so that a run can go on with another one
    and still use every item once in the epoch. The last batch is shared out evenly, without
    repeating an item.

    Args:
        loader: A plain ``DataLoader`` over a dataset with a length.
        seed: Seed of the order.
        place: Which process this is.
    """

    def __init__(self, loader: DataLoader[Any], *, seed: int, place: Place) -> None:
        self._order = _Order(loader, seed)
        ready_made = loader.batch_size is None
        self._cutter = _Batches(
            self._order, loader.batch_size or 1, bool(loader.drop_last) or ready_made, place
        )
        self._given, self._seed = loader, seed
        self._loader: DataLoader[Any] | None = None
        self._batches: Iterator[Any] = iter(())
        self.items: int = len(self._order)
        self.batches = self._cutter.count(0)
        if self.batches == 0:
            raise TrainingError(
                f"data(items={self.items}, processes={place.world}, "
                f"batch_size={self._cutter.size}, "
                f"drop_last={self._cutter.drop_last}): there is no batch for every process. "
                "Use fewer processes, smaller batches, or drop_last=False."
            )

    def reseed(self, seed: int) -> None:
        """Let the order follow another seed."""
        self._order.seed = seed

    def left(self, used: int) -> int:
        """Return how many batches follow after ``used`` items."""
        return self._cutter.count(used)

    def windows(self, epoch: int, used: int, size: int) -> Iterator[Window]:
        """Yield the windows that follow after ``used`` items."""
        self._cutter.go_to(epoch, used)
        left = self._cutter.count(used)
        ends = (self._cutter.end(used, number) for number in range(left))
        self._loader = self._loader or _rebuilt(self._given, self._cutter, self._seed)
        self._batches = iter(self._loader) if left else iter(())
        pairs = zip(
            self._batches, ends, strict=False
        )  # the last end comes first: nothing asks the loader once more
        for start in range(0, left, size):
            count = min(size, left - start)
            yield Window(count, islice(pairs, count))

    def close(self) -> None:
        """End the workers; the next window starts new ones."""
        # the garbage collector would close their queues first, and then wait for each of them 5 s
        # in vain
        getattr(self._batches, "_shutdown_workers", int)()
        self._loader, self._batches = None, iter(())


class Stream:
    """Batches that only come one after the other: every process reads all and keeps each ``world``-th.

    Going back to a place reads and drops what lies before it.

    Args:
        loader: Yields batches; an epoch is one pass.
        seed: Seeds the generators at the start of each pass.
        place: Which process this is.
    """

    def __init__(self, loader: Iterable[Any], *, seed: int, place: Place) -> None:
        self._loader, self._seed, self._place = loader, seed, place
        self.batches = None if (count := _length(loader)) is None else count // place.world
        self.items = None if self.batches is None else self.batches * place.world

    def reseed(self, seed: int) -> None:
        """Let what is drawn follow another seed."""
        self._seed = seed

    def left(self, used: int) -> int | None:
        """Return how many batches follow after ``used`` batches; without a length, only reading on can tell."""
        return None if self.items is None else max(0, self.items - used) // self._place.world

    def windows(self, epoch: int, used: int, size: int) -> Iterator[Window]:
        """Yield the windows that follow after ``used`` batches; each is read before it is given."""
        batches = self._mine(epoch, used)
        while window := list(islice(batches, size)):
            yield Window(len(window), window)

    def close(self) -> None:
        """Leave the loader alone: it is somebody else's."""

    def _mine(self, epoch: int, used: int) -> Iterator[tuple[Any, int]]:
        rank, world = self._place.rank, self._place.world
        told: list[Any] = [self._loader, getattr(self._loader, "dataset", None)]
        for one in told:
            if hasattr(one, "set_epoch"):
                one.set_epoch(epoch)
        with seeded(
            mixed(self._seed, epoch)
        ):  # and the random numbers are put back, as if nothing had been read
            batches = iter(self._loader)
            for _ in islice(batches, used):
                pass
        while len(round_ := list(islice(batches, world))) == world:
            used += world
            yield round_[rank], used


class _Order:
    """The order of an epoch's items: the same on every process, made from the seed and the epoch alone."""

    def __init__(self, loader: DataLoader[Any], seed: int) -> None:
        self._ready_made = loader.batch_size is None
        self._sampler: Any = loader.batch_sampler if self._ready_made else loader.sampler
        self.seed = seed
        self._refuse_shared_out()

    def __len__(self) -> int:
        return len(self._sampler) if hasattr(self._sampler, "__len__") else len(self.of(0))

    def of(self, epoch: int) -> Sequence[Any] | torch.Tensor:
        """Return every item of the epoch, in order."""
        sampler, seed = self._sampler, mixed(self.seed, epoch)
        if type(sampler) is SequentialSampler:
            return range(len(sampler))
        if (
            type(sampler) is RandomSampler
            and not sampler.replacement
            and sampler.num_samples == len(sampler.data_source)
        ):
            return torch.randperm(len(sampler), generator=torch.Generator().manual_seed(seed))
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        if isinstance(generator := getattr(sampler, "generator", None), torch.Generator):
            generator.manual_seed(seed)
        with seeded(seed):
            return list(sampler)

    def items(self, part: Sequence[Any] | torch.Tensor) -> Iterable[Any]:
        """Return what the dataset is asked for in a part of the order."""
        if self._ready_made:
            return chain.from_iterable(part)
        return part.tolist() if isinstance(part, torch.Tensor) else part

    def _refuse_shared_out(self) -> None:
        inner = getattr(self._sampler, "sampler", None)
        if isinstance(self._sampler, DistributedSampler) or isinstance(inner, DistributedSampler):
            raise TrainingError(
                "data(sampler=DistributedSampler): the trainer shares the data out itself, and it "
                "would be shared "
                "twice. Give the sampler for one process, or shuffle=True."
            )


class _Batches:
    """Cuts an order into global batches and keeps this process's part; a batch sampler for ``DataLoader``."""

    def __init__(self, order: _Order, size: int, drop_last: bool, place: Place) -> None:
        self.order, self.size, self.drop_last, self.place = order, size, drop_last, place
        self._whole, self._total = size * place.world, len(order)
        self._epoch = self._used = 0

    def go_to(self, epoch: int, used: int) -> None:
        """Let the next pass begin in ``epoch`` after ``used`` items."""
        self._epoch, self._used = epoch, used

    def count(self, used: int) -> int:
        """Return how many global batches there are after ``used`` items."""
        full, rest = divmod(max(0, self._total - used), self._whole)
        if (
            rest == 0 or self.drop_last or rest < self.place.world
        ):  # too few to share: they join the batch before
            return full
        return full + 1

    def end(self, used: int, number: int) -> int:
        """Return how many items are used up after the global batch ``number``, counted from ``used``."""
        is_last = number == self.count(used) - 1
        return self._total if is_last and not self.drop_last else used + (number + 1) * self._whole

    def __len__(self) -> int:
        return self.count(self._used)

    def __iter__(self) -> Iterator[_Batch]:
        epoch, used, order = self._epoch, self._used, self.order.of(self._epoch)
        for number in range(self.count(used)):
            start, end = used + number * self._whole, self.end(used, number)
            low, high = (
                start + (end - start) * (self.place.rank + more) // self.place.world
                for more in (0, 1)
            )
            batch = _Batch(self.order.items(order[low:high]))
            batch.seeds = (self.order.seed, epoch, start, self.place.rank)
            yield batch


class _Batch(list[Any]):
    """The items of a batch, and the numbers that its randomness is drawn from."""

    seeds: tuple[int, ...]


class _Seeded(torch.utils.data.Dataset[Any]):
    """A dataset in a worker: what it draws for a batch depends on the batch, not on what the worker did before."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __getitems__(self, items: _Batch) -> list[Any]:
        seed_everything(mixed(*items.seeds))
        if getattr(self.of, "__getitems__", None):
            fetched: list[Any] = self.of.__getitems__(items)
            return fetched
        return [self.of[item] for item in items]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "of":
            raise AttributeError(name)
        return getattr(self.of, name)


def _length(loader: Iterable[Any]) -> int | None:
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:  # a loader over data without a length has __len__ and raises
        return None


def _is_plain(loader: Iterable[Any]) -> bool:
    return (
        isinstance(loader, DataLoader)
        and type(loader).__iter__ is DataLoader.__iter__
        and not isinstance(loader.dataset, IterableDataset)
        and (loader.batch_size is not None or loader.batch_sampler is not None)
    )


def _rebuilt(loader: DataLoader[Any], batches: _Batches, seed: int) -> DataLoader[Any]:
    """Return a loader that differs in its order alone."""
    kept = (
        "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
        "prefetch_factor", "persistent_workers",
    )  # fmt: skip
    return DataLoader(
        _Seeded(loader.dataset) if loader.num_workers else loader.dataset,
        batch_sampler=batches,
        generator=torch.Generator().manual_seed(
            seed
        ),  # not the global one: a resumed epoch would draw once more
        **{name: getattr(loader, name) for name in kept},
    )
