"""What the schedule is a function of: updates, the data that was used, or the time that went by."""

from __future__ import annotations

__all__ = ["Clock", "Data", "Seconds", "Updates", "clock_of", "everywhere", "mean_of"]

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from warmdown.errors import BindingError
from warmdown.run import Run

Array: TypeAlias = npt.NDArray[np.float64]
Timer: TypeAlias = Callable[[], float]
Everywhere: TypeAlias = Callable[[Any], list[Any]]
"""Tells all processes what this one says, and returns what each of them says, in rank order."""


class Clock(Protocol):
    """Tells where a run is from what it did."""

    def begin(self, position: float) -> None:
        """Begin, or go on, from where the clock stands at ``position``."""

    def ahead(self, count: int, position: float, size: int) -> Array | None:
        """Return ``position`` and where the clock will stand at as many of the next updates as can be told."""

    def owe(self, samples: float | None, tokens: float | None) -> None:
        """Keep what a micro-batch or a skipped update used, for the next update's account."""

    def tick(self, position: float, samples: float | None, tokens: float | None) -> float:
        """Return where the clock stands after one more update."""


class Updates:
    """Counts updates: it stands where the count does."""

    def begin(self, position: float) -> None:
        """Begin anywhere."""

    def ahead(self, count: int, position: float, size: int) -> Array:
        """Return the next update numbers."""
        return np.arange(count, count + size + 1, dtype=np.float64)

    def owe(self, samples: float | None, tokens: float | None) -> None:
        """Keep nothing: data do not move this clock."""

    def tick(self, position: float, samples: float | None, tokens: float | None) -> float:
        """Go on by one."""
        return position + 1


class Data:
    """Adds up samples or tokens, of all processes together; a skipped update's are counted with the next one's."""

    def __init__(self, unit: str, per_step: float | None) -> None:
        self._unit, self._per_step = unit, per_step
        self._owed = 0.0

    def begin(self, position: float) -> None:
        """Begin anywhere; what was owed is forgotten."""
        self._owed = 0.0

    def ahead(self, count: int, position: float, size: int) -> None:
        """Tell nothing: how much the next update uses is known when it was made."""

    def owe(self, samples: float | None, tokens: float | None) -> None:
        """Keep what a micro-batch used until its update is made."""
        self._owed += float(self._told(samples, tokens) or 0)

    def tick(self, position: float, samples: float | None, tokens: float | None) -> float:
        """Add what the update used.

        Raises:
            BindingError: Nobody says how much that was.
        """
        told = self._told(samples, tokens)
        if told is None and not self._owed:
            told = self._per_step
        if told is None and not self._owed:
            raise BindingError(
                f"Scheduler.step({self._unit}=None): the clock counts {self._unit}, and this "
                f"update's are not known. "
                f"Call step({self._unit}=…), or give Run({self._unit}_per_step=…) where every "
                f"update uses as many."
            )
        position += self._owed + float(told or 0)
        self._owed = 0.0
        return position

    def _told(self, samples: float | None, tokens: float | None) -> float | None:
        told = samples if self._unit == "samples" else tokens
        if told is not None and not told >= 0:
            raise BindingError(
                f"Scheduler.step({self._unit}={told}): data cannot be unused. Give "
                f"a number from 0 on."
            )
        return told


class Seconds:
    """Reads a timer now and then, and reckons in between, so that all processes agree and no step waits.

    At each reading the first process's time is told to all. The updates until the next reading are
    placed at the pace seen so far; there are fewer of them the nearer the end is, so that the last
    is reached as the budget is used up.
    """

    def __init__(self, timer: Timer, everywhere: Everywhere, budget: int | None) -> None:
        self._timer, self._everywhere, self._budget = timer, everywhere, budget
        self._started = timer()
        self._last: tuple[int, float] | None = None

    def begin(self, position: float) -> None:
        """Go on from where the clock stood; the time since then does not count."""
        self._started = self._timer() - position
        self._last = None

    def ahead(self, count: int, position: float, size: int) -> Array:
        """Read the time, at which the next update begins, and return where those after it are expected."""
        now = max(float(self._everywhere(self._timer() - self._started)[0]), position)
        pace = 0.0 if self._last is None else (now - self._last[1]) / (count + 1 - self._last[0])
        self._last = count + 1, now
        return np.concatenate(([position], now + pace * np.arange(self._reach(now, pace, size))))

    def owe(self, samples: float | None, tokens: float | None) -> None:
        """Keep nothing: data do not move this clock."""

    def tick(self, position: float, samples: float | None, tokens: float | None) -> float:
        """Return where it stands: time goes by itself."""
        return position

    def _reach(self, now: float, pace: float, size: int) -> int:
        """Return how many updates to place: a sixteenth of the time left at most, and not over a second."""
        if pace <= 0:
            return 1
        left = np.inf if self._budget is None else max(self._budget - now, 0.0)
        return int(np.clip(min(left / 16, 1.0) / pace, 1, size))


def clock_of(run: Run, timer: Timer, everywhere: Everywhere) -> Clock:
    """Return the clock that a run asks for."""
    if run.clock == "seconds":
        return Seconds(timer, everywhere, run.length)
    if run.clock == "updates":
        return Updates()
    return Data(run.clock, run.samples_per_step if run.clock == "samples" else run.tokens_per_step)


def everywhere(own: Any) -> list[Any]:
    """Return what every process says, in rank order; all of them must call this, or none.

    Example:
        >>> everywhere(0.3)
        [0.3]
    """
    distributed = torch.distributed
    if (
        not (distributed.is_available() and distributed.is_initialized())
        or distributed.get_world_size() == 1
    ):
        return [own]
    said: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(said, own)
    return said


def mean_of(said: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each metric's mean over the processes that have it; so all of them decide alike.

    Example:
        >>> mean_of([{"loss": 1.0}, {"loss": 3.0, "accuracy": 0.5}])
        {'loss': 2.0, 'accuracy': 0.5}
    """
    names = dict.fromkeys(name for metrics in said for name in metrics)
    told = {name: [float(metrics[name]) for metrics in said if name in metrics] for name in names}
    return {name: math.fsum(values) / len(values) for name, values in told.items()}
