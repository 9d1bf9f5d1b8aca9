"""What a run does about a spike, and what it has to know for that."""

from __future__ import annotations

__all__ = ["Rollback"]

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, final

from warmdown.binding.spikes import Spike, SpikeDetector
from warmdown.errors import TrainingError
from warmdown.run import Duration
from warmdown.shown import brief
from warmdown.training.types import Data

_LAST_GOOD = "last good"
_MARGIN = 50
"""Updates by which the last good checkpoint is older than the spike: a run goes wrong before its
loss shows it."""


@final
@dataclass(frozen=True, kw_only=True)
class Rollback:
    """After a spike: back to a checkpoint, over the data that hurt, at a lower rate for a while.

    Args:
        to: ``"last good"``, the newest checkpoint that is 50 updates older than the spike; or how
            many updates older it is at least.
        rescale: What the learning rate is multiplied by; 1 leaves it.
        over: For how long it is: updates, or what else the plan's clock counts, or a share.
        skip: The data of how many updates are passed over, half of them before the spike; 0 takes
            the same data again.
        at_most: Rollbacks of a run; at the next spike it stops.
        every: Updates between two looks where losses lie on a device or several processes train.

    Raises:
        TrainingError: A number cannot be; the message names it.

    Example:
        >>> import warmdown as wd
        >>> wd.Rollback(rescale=0.5, skip=20, at_most=2)
        Rollback(skip=20, at_most=2)
    """

    to: str | int = _LAST_GOOD
    rescale: float = 0.5
    over: Duration = 500
    skip: int = 200
    at_most: int = 3
    every: int = 20

    def __post_init__(self) -> None:
        if self.to != _LAST_GOOD and (type(self.to) is not int or self.to < 1):
            raise TrainingError(
                f"Rollback(to={self.to!r}): 'last good', or by how many updates the checkpoint is "
                f"older than the spike, from 1 on."
            )
        if type(self.rescale) not in (int, float) or not 0 < self.rescale <= 1:
            raise TrainingError(
                f"Rollback(rescale={self.rescale!r}): a factor above 0 and up to 1 is needed."
            )
        for name, least in (("skip", 0), ("at_most", 1), ("every", 1)):
            count = getattr(self, name)
            if type(count) is not int or count < least:
                raise TrainingError(
                    f"Rollback({name}={count!r}): a whole number of at least {least} is needed."
                )

    @property
    def margin(self) -> int:
        """Updates by which a checkpoint is older than a spike at least."""
        return self.to if isinstance(self.to, int) else _MARGIN

    __repr__ = brief


class SpikeFound(Exception):
    """Leaves the epoch in which a spike was found.

    Args:
        spike: What was found.
    """

    def __init__(self, spike: Spike) -> None:
        super().__init__(str(spike))
        self.spike = spike


class SpikeGuard:
    """Looks for spikes in a run, and keeps what was done about them.

    Args:
        policy: What is done.
    """

    def __init__(self, policy: Rollback) -> None:
        self.policy = policy
        self.detector = SpikeDetector(every=policy.every)
        self.rollbacks: list[Data] = []
        """Each as ``spike`` (its update), ``to`` (where the run went back to) and ``cause``."""
        self._earliest, self._resumed_at = 0, -1
        self._saved: set[int] = set()

    def look_if_due(self) -> None:
        """Look at what was taken, where it lies here or enough of it waits.

        Raises:
            SpikeFound: This look finds one.
        """
        if self.detector.is_due:
            self.look()

    def look(self) -> None:
        """Look at all that was taken.

        Raises:
            SpikeFound: This look finds one.
        """
        if spike := self.detector.look():
            raise SpikeFound(spike)

    def add_saved(self, update: int) -> None:
        """Remember a checkpoint of this run."""
        self._saved.add(update)

    def forbid_before(self, update: int) -> None:
        """Go back no farther: the run was made longer there."""
        self._earliest = update

    @property
    def newest_safe(self) -> int:
        """The newest update whose checkpoint a spike that is found from now on can go back to."""
        return self.detector.judged - self.policy.margin

    def targets(self, spike: Spike, updates: Iterable[int]) -> list[int]:
        """Return which checkpoints of this run are old enough, the newest first."""
        last = spike.update - self.policy.margin
        return [
            update
            for update in sorted(updates, reverse=True)
            if self._earliest <= update <= last
            and (update in self._saved or update <= self._resumed_at)
        ]

    def has_checkpoint(self, update: int) -> bool:
        """Whether this run has saved a checkpoint, or has gone on from one."""
        return bool(self._saved) or 0 <= self._resumed_at <= update

    def state_dict(self) -> Data:
        """Return everything as plain data; all processes call it."""
        return {"detector": self.detector.state_dict(), "rollbacks": self.rollbacks}

    def load_state_dict(self, state: Data | None, updates: int) -> None:
        """Go on from a checkpoint; of a run that had no guard the detector begins there."""
        self.detector = SpikeDetector(every=self.policy.every)
        self.detector.count = updates
        if state is not None:
            self.detector.load_state_dict(state["detector"])
        self.rollbacks = [] if state is None else list(state["rollbacks"])
        self._resumed_at = max(self._resumed_at, updates)


def cause_of(spike: Spike) -> Data:
    """Return a spike as plain data that JSON can hold."""
    facts: Iterator[tuple[str, Any]] = zip(Spike._fields, spike, strict=True)
    return {
        name: fact if isinstance(fact, str) or isfinite(fact) else str(fact) for name, fact in facts
    }


def place_after(place: int, windows: int, passed_over: list[list[int]]) -> int:
    """Return the place in the data after so many windows that were used.

    Args:
        place: Where it begins, in windows since the run began.
        windows: How many were used.
        passed_over: First and last place, the last not included, of what was not.
    """
    for _ in range(windows):
        place = first_used(place, passed_over) + 1
    return first_used(place, passed_over)


def first_used(place: int, passed_over: list[list[int]]) -> int:
    """Return the first place from one on that is not passed over."""
    while stops := [stop for start, stop in passed_over if start <= place < stop]:
        place = max(stops)
    return place
