"""What a schedule is a function of: updates, the data that was used, or the time that passed."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
import torch

from warmdown.batches import MeasuredRun
from warmdown.errors import BindingError
from warmdown.run import Run

if TYPE_CHECKING:
    import numpy.typing as npt  # 3 ms of an import

Array: TypeAlias = "npt.NDArray[np.float64]"
Timer: TypeAlias = Callable[[], float]
AllGather: TypeAlias = Callable[[Any], list[Any]]
"""Takes what this process has, and returns what each process has, in rank order."""


class Clock(ABC):
    """Where a run is, from what it did."""

    differing: Mapping[str, Any] | None = None
    """What updates use and what the run gives, where these differ at two updates in a row."""
    needs_amount = False
    """Whether an update was counted whose data are still to be given."""

    def begin(self, position: float) -> None:  # noqa: B027  few clocks need it
        """Begin, or go on, from ``position``."""

    def owed(self, position: float) -> float | None:  # noqa: B027  the same
        """Return what was used after ``position`` and no update was counted for; usually none."""

    def owe(self, amount: float | None) -> None:  # noqa: B027  the same
        """Add what another run owed."""

    def use(self, samples: float | None, tokens: float | None) -> None:  # noqa: B027  the same
        """Add the data of the next update, or of a micro-batch or a skipped update before it."""

    def correct(self, samples: float | None, tokens: float | None) -> float:
        """Add the data of the update counted last; return how far that moves the clock."""
        return 0.0

    @abstractmethod
    def ahead(self, count: int, position: float, size: int) -> Array:
        """Return ``position``, the next one, and as many after it as are known.

        Args:
            count: Updates counted so far.
            position: Where the clock stands.
            size: How many positions after ``position`` at most.
        """


@final
class UpdateClock(Clock):
    """Counts updates."""

    def ahead(self, count: int, position: float, size: int) -> Array:
        """Return the next update numbers."""
        return np.arange(count, count + size + 1, dtype=np.float64)


@final
class DataClock(Clock):
    """Adds up samples or tokens, of all processes together.

    Args:
        unit: Which of the two.
        per_step: What an update uses for which nothing is given, by where the clock stands.
        counts_early: Whether an update is counted before its data are given.
    """

    def __init__(
        self, unit: str, per_step: Callable[[float], float | None], *, counts_early: bool
    ) -> None:
        self._unit, self._amount_at, self._counts_early = unit, per_step, counts_early
        self._per_step: float | None = None
        """The same for the update counted last."""
        self._used: float | None = None
        self._last: float | None = None
        """What was given for the update counted last."""
        self._num_differing = 0

    def begin(self, position: float) -> None:
        """Begin anywhere; data that no update was counted for are dropped."""
        self._used = self._last = None
        self._per_step = self._amount_at(position)
        self.needs_amount = False

    def owed(self, position: float) -> float | None:
        """Return the data of micro-batches and skipped updates."""
        return self._used

    def owe(self, amount: float | None) -> None:
        """Take over the data of micro-batches and skipped updates."""
        self._used = amount

    def use(self, samples: float | None, tokens: float | None) -> None:
        """Add what an update or a micro-batch used."""
        amount = self._amount(samples, tokens)
        if amount is not None:
            self._used = (self._used or 0.0) + amount

    def correct(self, samples: float | None, tokens: float | None) -> float:
        """Put what is given in the place of what an update was counted with."""
        amount = self._amount(samples, tokens)
        if amount is None:
            return 0.0
        counted = self._per_step or 0.0 if self._last is None else self._last
        self._last = (self._last or 0.0) + amount
        self.needs_amount = False
        return self._last - counted

    def ahead(self, count: int, position: float, size: int) -> Array:
        """Add what the update used; no more is known before the next one was made.

        Raises:
            BindingError: The amount is not known.
        """
        planned = self._amount_at(position)
        if not self._counts_early:
            self._per_step = planned
        used = planned if self._used is None else self._used
        if self.needs_amount or (used is None and not self._counts_early):
            raise BindingError(
                f"Scheduler.step({self._unit}=None): the clock counts {self._unit}, and this "
                f"update's are not known. Call step({self._unit}=…), or give "
                f"Run({self._unit}_per_step=…) where every update uses as many."
            )
        self._compare(self._last if self._counts_early else self._used)
        self._last, self._used, self.needs_amount = self._used, None, used is None
        self._per_step = planned
        return np.asarray([position, position + (used or 0.0)])

    def _amount(self, samples: float | None, tokens: float | None) -> float | None:
        amount = samples if self._unit == "samples" else tokens
        if amount is not None and not 0 <= amount < math.inf:
            raise BindingError(
                f"Scheduler.step({self._unit}={amount}): data cannot be unused, nor without end. "
                "Give a number from 0 on."
            )
        return None if amount is None else float(amount)

    def _compare(self, given: float | None) -> None:
        """Note what an update was given where the run has another number: one may be a rest."""
        is_other = given is not None and self._per_step is not None and given != self._per_step
        self._num_differing = self._num_differing + 1 if is_other else 0
        if self._num_differing > 1:
            self.differing = {"unit": self._unit, "given": given, "expected": self._per_step}


@final
class TimeClock(Clock):
    """Reads a timer now and then and estimates in between, so that no step waits.

    At each reading all processes take the first one's time. The updates until the next reading are
    placed at the pace seen so far. There are fewer of them the nearer the end is, so that the last
    is reached as the budget is used up.
    """

    def __init__(self, timer: Timer, gather: AllGather, budget: int | None) -> None:
        self._timer, self._gather, self._budget = timer, gather, budget
        self._started = timer()
        self._last: tuple[int, float] | None = None

    def begin(self, position: float) -> None:
        """Go on from ``position``; the time since then does not count."""
        self._started = self._timer() - position
        self._last = None

    def owed(self, position: float) -> float | None:
        """Return the time since ``position``."""
        return max(self._timer() - self._started - position, 0.0) or None

    def owe(self, amount: float | None) -> None:
        """Count more time since the beginning."""
        self._started -= amount or 0.0

    def ahead(self, count: int, position: float, size: int) -> Array:
        """Read the time of the next update, and return where those after it are expected."""
        now = max(float(self._gather(self._timer() - self._started)[0]), position)
        pace = 0.0 if self._last is None else (now - self._last[1]) / (count + 1 - self._last[0])
        self._last = count + 1, now
        reach = 1
        if pace > 0:  # a sixteenth of the time left at most, and not over a second
            left = np.inf if self._budget is None else max(self._budget - now, 0.0)
            reach = int(np.clip(min(left / 16, 1.0) / pace, 1, size))
        return np.concatenate(([position], now + pace * np.arange(reach)))


def clock_of(
    run: Run,
    timer: Timer,
    gather: AllGather,
    *,
    counts_early: bool,
    samples: Callable[[], float | None],
) -> Clock:
    """Return the clock of a run; ``samples`` returns those of the update under way, if known."""
    if run.clock == "seconds":
        return TimeClock(timer, gather, run.length)
    if run.clock == "updates":
        return UpdateClock()
    return DataClock(run.clock, partial(_amount_at, run, samples), counts_early=counts_early)


def _amount_at(run: Run, samples: Callable[[], float | None], position: float) -> float | None:
    """Return what an update uses by the plan, where the clock stands at ``position``."""
    if not isinstance(run, MeasuredRun) or run.batches is None:
        return run.samples_per_step if run.clock == "samples" else run.tokens_per_step
    if (known := samples()) is None:
        return run.batches.amount(run.clock, position)
    return known if run.clock == "samples" else run.batches.tokens_of(known, position)


def all_gather(own: Any) -> list[Any]:
    """Return what every process gives, in rank order; all of them must call this, or none.

    Example:
        >>> all_gather(0.3)
        [0.3]
    """
    world = world_size()
    if world == 1:
        return [own]
    gathered: list[Any] = [None] * world
    torch.distributed.all_gather_object(gathered, own)
    return gathered


_TURNS = itertools.count()
_PATIENCE = timedelta(minutes=5)


def await_ranks(count: int, *, has_metrics: bool) -> None:
    """Wait until every process is here, so that one alone does not wait for ever.

    A process without metrics waits as long as the group allows, in the gathering itself: the one
    that evaluates may need long.

    Args:
        count: The update that all of them have come to.
        has_metrics: Whether this process has something to give.

    Raises:
        BindingError: Another process did not come within five minutes.
    """
    world = world_size()
    if world == 1:
        return
    from torch.distributed.distributed_c10d import _get_default_store

    store: Any = _get_default_store()
    turn = next(_TURNS)
    keys = [f"warmdown/{turn}/{count}/{rank}" for rank in range(world)]
    store.set(keys[torch.distributed.get_rank()], "")
    if not has_metrics:
        return
    try:
        store.wait(keys, _PATIENCE)
    except RuntimeError as error:
        missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
        raise BindingError(
            f"Scheduler.observe(): at update {count}, process {', '.join(missing)} did not call it "
            f"within {_PATIENCE.seconds} seconds. Call it on every process, with observe() where "
            "one has measured nothing; where others may come later, put a barrier before it."
        ) from error


def is_distributed() -> bool:
    """Whether this process has joined others."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def world_size() -> int:
    """Return how many processes train together."""
    return torch.distributed.get_world_size() if is_distributed() else 1


def mean_over_ranks(ranks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each metric's mean over the processes that have it, so that all of them decide alike.

    Example:
        >>> mean_over_ranks([{"loss": 1.0}, {"loss": 3.0, "accuracy": 0.5}])
        {'loss': 2.0, 'accuracy': 0.5}
    """
    values: dict[str, list[float]] = {}
    for metrics in ranks:
        for name, value in metrics.items():
            values.setdefault(name, []).append(float(value))
    return {name: math.fsum(row) / len(row) for name, row in values.items()}
