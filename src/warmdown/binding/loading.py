"""Batches that follow a plan: what reads the data, bound like any other number."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import Sampler

from warmdown.batches import (
    ACCUMULATION,
    BATCH,
    Cut,
    Loading,
    MeasuredRun,
    derive_seed,
    epoch_windows,
)
from warmdown.binding.clock import is_distributed, world_size
from warmdown.binding.field import Attribute, Marks, Number
from warmdown.binding.slots import Row
from warmdown.errors import BindingError, StateError
from warmdown.plan import Plan

Driver: TypeAlias = Any
"""A ``Scheduler``, whose file imports this one."""
_CHUNK = 1_024
_END = object()
_WHO = "BatchSizeSampler"


class LoaderNumber(Number):
    """A batch size, or a number of batches, of something that reads data.

    Args:
        name: The target: ``batch_size`` or ``gradient_accumulation``.
        loading: How the data are cut.
        multiple: What its values are multiples of; by default the processes.
    """

    def __init__(self, name: str, loading: Loading, multiple: int | None = None) -> None:
        self.name, self.loading = name, loading
        self._multiple = loading.world if multiple is None else multiple
        base = loading.base if name == BATCH else loading.accumulation
        self._value = self._base = float(base or 1)
        self._scheduler: weakref.ref[Any] | None = None
        self.samples: float | None = None
        """Samples of the update under way, over all processes; ``None``: as many as planned."""

    @property
    def multiple(self) -> int:
        """What its values are multiples of."""
        return self._multiple if self.name == BATCH else 1

    def samples_of(self, update: int) -> float | None:
        """Return the samples of the update under way; ``None``: as many as planned."""
        return self.samples

    def attach(self, scheduler: Driver) -> None:
        """Follow a scheduler: batches that are read ahead have the sizes of the updates to come."""
        # weak: the scheduler keeps what it drives
        self._scheduler = weakref.ref(scheduler)

    def read(self) -> list[float]:
        """Return the present value."""
        return [self._value]

    def marks(self) -> Iterator[Marks]:
        """Yield the value, and the base that it was made with."""
        yield Marks(self._value, initial=self._base, written=self._value)

    def write(self, row: Row) -> None:
        """Set the value."""
        self._value = float(row[0])

    @property
    def scheduler(self) -> Driver:
        """The scheduler that drives it.

        Raises:
            BindingError: There is none.
        """
        scheduler = None if self._scheduler is None else self._scheduler()
        if scheduler is None:
            raise BindingError(
                f"{type(self).__name__}: no scheduler drives it. Bind it where the plan is: "
                f"Scheduler(optimizer, …, bind={{{self.name!r}: sampler}}), and keep the scheduler."
            )
        return scheduler

    def cut_now(self) -> Cut:
        """Return what the update to be made next is to use."""
        return cut_at(self.scheduler, self.loading, self.scheduler.position)

    def cuts_ahead(self) -> Iterator[Cut]:
        """Yield what the next update is to use, and each after it, as the plan has it when asked.

        Where a plan counts time, when an update comes is not known: then the present size is given.
        """
        scheduler, position = self.scheduler, self.scheduler.position
        while True:
            cut = cut_at(scheduler, self.loading, position)
            yield cut
            position = self._after(position, cut.size)

    def _after(self, position: float, items: int) -> float:
        """Return where the clock stands after an update of so many items, as far as is known."""
        run, samples = self.scheduler.run, items * self.loading.samples
        if run.clock == "updates":
            return position + 1
        if run.clock == "samples":
            return position + samples
        batches: Any = getattr(run, "batches", None)
        is_known = run.clock == "tokens" and batches is not None
        return position + ((batches.tokens_of(samples, position) or 0) if is_known else 0)

    def cuts_from(self, update: int) -> Iterator[Cut]:
        """Yield what an update is to use, and each after it, where the plan counts updates."""
        scheduler = self.scheduler
        for start in count(update, _CHUNK):
            yield from _cuts_at(scheduler, self.loading, np.arange(start, start + _CHUNK))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_scheduler": None}


def cut_at(scheduler: Driver, loading: Loading, position: float) -> Cut:
    """Return what an update uses where the clock stands at ``position``, events included."""
    return next(_cuts_at(scheduler, loading, np.asarray([position])))


def _cuts_at(scheduler: Driver, loading: Loading, positions: Any) -> Iterator[Cut]:
    rows: list[list[float] | list[None]] = []
    for name in (BATCH, ACCUMULATION):
        driven = (one for one in scheduler.writer.targets if one.name == name)
        target = next((one for one in driven if isinstance(one.field, LoaderNumber)), None)
        timeline = scheduler.writer.timeline
        rows.append(
            [None] * len(positions)
            if target is None
            else target.groups[0].values(timeline, positions).tolist()
        )
    settings = [one for one in scheduler.writer.targets if isinstance(one.field, LoaderSetting)]
    for step, (batch, accumulation) in enumerate(zip(*rows, strict=True)):
        cut, timeline = loading.cut(batch, accumulation), scheduler.writer.timeline
        values = (one.groups[0].value(timeline, float(positions[step])) for one in settings)
        names = (one.name for one in settings)
        yield cut._replace(settings=tuple(zip(names, values, strict=True))) if settings else cut


class LoaderSetting(Attribute):
    """A number on the dataset, or on what makes its batches: each batch is read with its own.

    It is an attribute like any other; workers that read ahead set it from the batch.
    """


@dataclass
class _Pass:
    """A pass over an epoch's data, or over the rest of them.

    Args:
        epoch: Which epoch, from 0.
        used: Samples of it that were used up before.
        count: Updates that the scheduler had counted then.
        windows: The cut of each update, and the samples used up after each of its batches.
        consumed: Updates whose data were used, where that is counted here and not by the scheduler.
    """

    epoch: int
    used: int
    count: int
    windows: list[tuple[Cut, list[int]]] = field(default_factory=list)
    consumed: int | None = None

    def used_after(self, updates: int) -> int:
        """Return the samples of the epoch that are used up after some updates of this pass."""
        updates = min(updates, len(self.windows))
        return self.windows[updates - 1][1][-1] if updates > 0 else self.used


class BatchSizeSampler(LoaderNumber, Sampler[list[int]]):
    """Batches of the sizes that a plan wants, for ``DataLoader(batch_sampler=…)``.

    Update ``k`` gets the batch that the plan has for it, also where workers read ahead. The order
    of an epoch comes from seed and epoch alone, each sample is used once in it, and processes
    share every batch. A size becomes the nearest multiple of the number of processes; halves go up.

    Iterating gives the rest of the epoch that the scheduler's count lies in, then the next one: a
    resumed loop goes on where it was.

    Args:
        data: The dataset, or how many samples it has.
        batch_size: Samples in a batch, over all processes, where the plan has a factor.
        seed: Of the order.
        shuffle: Whether the order is random.
        drop_last: Whether what is left at an epoch's end is dropped where it fills no batch.
        micro_batch_size: Most samples in a batch of one process; an update with more has several:
            see :meth:`updates`.
        rank: Which process this is; torch.distributed's by default.
        world_size: How many share each batch; likewise.

    Raises:
        BindingError: A number is out of range.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> sampler = wd.BatchSizeSampler(range(10), shuffle=False)
        >>> growing = wd.PiecewiseConstant(values=(2.0, 4.0), at=(2,))
        >>> plan = wd.Plan.of(lr=wd.Constant(), batch_size=wd.Set(growing))
        >>> scheduler = wd.Scheduler(optimizer, plan, bind={"batch_size": sampler})
        >>> list(sampler)
        [[0, 1], [2, 3], [4, 5, 6, 7], [8, 9]]
    """

    def __init__(
        self,
        data: Any,
        batch_size: int | None = None,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        micro_batch_size: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        here, processes = _rank_and_world()
        self.rank = here if rank is None else rank
        world = processes if world_size is None else world_size
        items = data if isinstance(data, int) else _count_items(data)
        sizes = {"batch_size": batch_size, "micro_batch_size": micro_batch_size}
        for name, size in {**sizes, "data": items, "world_size": world}.items():
            if size is not None and size < 1:
                raise BindingError(f"{_WHO}({name}={size}): a number of at least 1 is needed.")
        if not 0 <= self.rank < world:
            raise BindingError(f"{_WHO}(rank={self.rank}, world_size={world}): no such process.")
        loading = Loading(
            base=batch_size,
            world=world,
            largest=micro_batch_size,
            items=items,
            drop_last=drop_last,
        )
        LoaderNumber.__init__(self, BATCH, loading)
        self.seed, self.shuffle = seed, shuffle
        self._pass: _Pass | None = None

    def __repr__(self) -> str:
        size = f"now {self._value:g}" if self._scheduler else "bound to no scheduler"
        return f"<{_WHO} of {self.loading.items:,} samples, {size}>"

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this process's items of each batch in the rest of the epoch."""
        epoch, used = self._place()
        current = self._pass = _Pass(epoch, used, self.scheduler.count)
        order = self._order(epoch)
        rank, world = self.rank, self.loading.world
        for window in epoch_windows(used, self.cuts_ahead(), self.loading):
            current.windows.append(window)
            for end in window[1]:
                low, high = (used + (end - used) * share // world for share in (rank, rank + 1))
                yield order[low:high]
                used = end
        if not current.windows:
            raise BindingError(
                f"{_WHO}(data={self.loading.items}, world_size={world}): no batch of "
                f"{self.cut_now().size} samples. Give more data, or drop_last=False."
            )

    def __len__(self) -> int:
        """Return how many batches this process has in the rest of the epoch."""
        _, used = self._place()
        windows = epoch_windows(used, self.cuts_ahead(), self.loading)
        return sum(len(ends) for _, ends in windows)

    def updates(self, loader: Iterable[Any]) -> Iterator[Iterator[tuple[Any, float]]]:
        """Yield the updates in the rest of the epoch: each one's batches, with their weights.

        A batch's mean loss times its weight, added up over the update and averaged over the
        processes, as DDP does, is the mean over all of the update's samples. What was read ahead
        for other sizes is read again where an event, or an update that was skipped, has changed
        them.

        Args:
            loader: The ``DataLoader`` of this sampler.

        Example:
            >>> import torch, warmdown as wd
            >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
            >>> sampler = wd.BatchSizeSampler(8, micro_batch_size=2)
            >>> growing = wd.Set(wd.PiecewiseConstant(values=(2.0, 6.0), at=(1,)))
            >>> bind = {"batch_size": sampler}
            >>> scheduler = wd.Scheduler(optimizer, batch_size=growing, bind=bind)
            >>> loader = torch.utils.data.DataLoader(torch.arange(8), batch_sampler=sampler)
            >>> for batches in sampler.updates(loader):
            ...     print([len(batch) for batch, weight in batches])
            ...     optimizer.step()
            ...     scheduler.step()
            [2]
            [2, 2, 2]
        """
        is_over = False
        while not is_over:
            batches = iter(loader)
            for number in count():
                batch = next(batches, _END)
                current = self._pass
                assert current is not None
                is_over = batch is _END
                if is_over or current.windows[number][0] != self.cut_now():
                    break
                current.consumed = number
                yield self._batches_of(number, current, chain([batch], batches))

    def _batches_of(
        self, number: int, current: _Pass, batches: Iterator[Any]
    ) -> Iterator[tuple[Any, float]]:
        start, (_, ends) = current.used_after(number), current.windows[number]
        self.samples = total = ends[-1] - start
        rank, world = self.rank, self.loading.world
        for batch, end in zip(islice(batches, len(ends)), ends, strict=True):
            share = end - start
            own = share * (rank + 1) // world - share * rank // world
            yield batch, own * world / total
            start = end
        current.consumed = number + 1

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, from 0, unless it is under way: then the rest of it follows."""
        if epoch != self.epoch:
            self._pass = _Pass(epoch, 0, self.scheduler.count if self._scheduler else 0)

    @property
    def epoch(self) -> int:
        """The epoch that the next batch lies in, from 0."""
        return self._place()[0]

    def samples_of(self, update: int) -> float | None:
        """Return the samples of an update that was read already; ``None``: as many as planned."""
        current = self._pass
        if current is None or current.consumed is not None:
            return self.samples
        number = update - current.count
        if 0 <= number < len(current.windows):
            return current.used_after(number + 1) - current.used_after(number)
        return None

    def state_dict(self) -> dict[str, int]:
        """Return where in the data the next update begins, and the seed of the order."""
        epoch, used = self._place()
        return {"version": 1, "seed": self.seed, "epoch": epoch, "used": used}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go where ``state`` was saved; the scheduler's own state may be loaded before or after.

        Args:
            state: What ``state_dict`` returned.

        Raises:
            StateError: It is no such state, or of more data.
        """
        names = ("version", "seed", "epoch", "used")
        if sorted(state) != sorted(names) or not all(type(state[name]) is int for name in names):
            raise StateError(f"{_WHO}.load_state_dict: no state of it. Give what it returned.")
        if state["version"] != 1 or state["used"] > (self.loading.items or 0):
            raise StateError(
                f"{_WHO}.load_state_dict: version {state['version']}, {state['used']} samples used "
                f"of {self.loading.items}. Give the same data, to the warmdown that saved it."
            )
        self.seed = state["seed"]
        self._pass = _Pass(state["epoch"], state["used"], -1)

    def _place(self) -> tuple[int, int]:
        """Return epoch and samples used of it where the next update begins."""
        current = self._pass
        now = self.scheduler.count if self._scheduler else 0
        if current is not None and current.count < 0:  # loaded, and not iterated since
            current.count = now
            epoch, used = current.epoch, current.used
        elif current is None or not self._is_within(current, now):
            epoch, used = self._place_of(now)
        else:
            made = now - current.count if current.consumed is None else current.consumed
            epoch, used = current.epoch, current.used_after(made)
        if used and next(epoch_windows(used, self._few_cuts(), self.loading), None) is None:
            return epoch + 1, 0
        return epoch, used

    @staticmethod
    def _is_within(current: _Pass, update: int) -> bool:
        """Whether an update follows one of a pass: else the scheduler was moved since."""
        made = update - current.count
        return made >= 0 and (made <= len(current.windows) or not current.windows)

    def _few_cuts(self) -> Iterator[Cut]:
        return islice(self.cuts_ahead(), 1)

    def _place_of(self, update: int) -> tuple[int, int]:
        """Return where an update begins by its number alone."""
        scheduler, loading = self.scheduler, self.loading
        counts_updates = scheduler.run.clock == "updates"
        known = list(_cuts_at(scheduler, loading, np.arange(update if counts_updates else 0)))
        epoch = used = done = 0
        position = 0.0

        def cuts() -> Iterator[Cut]:
            while done < update:
                yield known[done] if counts_updates else cut_at(scheduler, loading, position)

        while done < update:
            before, used, epoch = done, 0, epoch + 1
            for _, ends in epoch_windows(0, cuts(), loading):
                position = self._after(position, ends[-1] - used)
                used, done = ends[-1], done + 1
            if done == before:
                break
        return max(epoch - 1, 0), used

    def _order(self, epoch: int) -> list[int]:
        items = self.loading.items or 0
        if not self.shuffle:
            return list(range(items))
        numbers = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        order: list[int] = torch.randperm(items, generator=numbers).tolist()
        return order


def loader_numbers(objects: Mapping[str, Any]) -> list[LoaderNumber]:
    """Return what reads data among the objects that are bound."""
    return [one for one in objects.values() if isinstance(one, LoaderNumber)]


def plan_of_loader(plan: Plan, objects: Mapping[str, Any]) -> Plan:
    """Return a plan whose lengths are measured on the batches that a bound loader will cut.

    Raises:
        BindingError: A target that changes them is bound to something else than its name.
    """
    numbers = loader_numbers(objects)
    for name, one in objects.items():
        if isinstance(one, LoaderNumber) and one.name != name:
            raise BindingError(
                f"Scheduler(bind={{{name!r}: {one!r}}}): it is a {one.name}. Bind it to "
                f"{one.name!r}."
            )
    if not numbers:
        return plan
    loading = numbers[0].loading
    if loading.base is None:
        loading = replace(loading, base=plan.run.samples_per_step)
    return replace(plan, run=MeasuredRun(**plan.run.to_dict(), loading=loading))


def samples_now(owner: weakref.ref[Any]) -> float | None:
    """Return the samples of the update under way; ``None``: as many as planned."""
    scheduler = owner()
    writer = None if scheduler is None else vars(scheduler).get("writer")
    if writer is None:
        return None
    known = (one.field for one in writer.targets if isinstance(one.field, LoaderNumber))
    number = next(known, None)
    return None if number is None else number.samples_of(writer.count)


def _rank_and_world() -> tuple[int, int]:
    return (torch.distributed.get_rank() if is_distributed() else 0), world_size()


def _count_items(data: Any) -> int:
    try:
        return len(data)
    except TypeError:
        raise BindingError(
            f"{_WHO}({type(data).__name__}): it has no length, and no item of a number. Samples "
            "that are read in a row come in the batches of their own loader: schedule how many of "
            "them make an update instead."
        ) from None
