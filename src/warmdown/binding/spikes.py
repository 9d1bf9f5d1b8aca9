"""Spikes: updates whose loss or gradient norm lies far above what the updates before had."""

from __future__ import annotations

__all__ = ["Spike", "SpikeDetector"]

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, final

import torch

from warmdown.binding.clock import AllGather, all_gather, world_size
from warmdown.errors import StateError, TrainingError
from warmdown.schedules.base import widest_float

_SHORT, _LONG, _SPREAD = 16, 128, 256
"""Values in the two running medians, and differences from them in the running spread."""
_DECILES = 2.563
"""Standard deviations between the first and the last decile of normal noise."""
_FEWEST = 64
"""Values before the first that is compared."""
_LEAST, _TAIL = 5.0, 2.0
"""Robust deviations: the least that is a spike, and from where on the tail of noise is measured."""
_TAIL_OF_NORMAL, _GROWTH = 0.165, 12.0
"""Mean logarithm of a value beyond ``_TAIL``, over it, in noise for which ``_LEAST`` is rare; and
the growth of the limit with it. Fitted to the one value in a million of normal, gamma, Laplace,
log-normal and Student's noise."""
_PRIOR = (60.0, 0.185)
"""Values beyond ``_TAIL`` that each tail begins with, and their mean logarithm."""
_TAIL_MEMORY = 1_000.0
"""Values beyond ``_TAIL`` that the tail is measured on, the newest."""
_NAMES = ("loss", "gradient norm")
_STATE_VERSION = 1


class Spike(NamedTuple):
    """An update at which a run has gone wrong.

    Args:
        update: The first update that was far off, from 0.
        name: ``"loss"`` or ``"gradient norm"``.
        value: What it had.
        expected: What the updates before it had, as a running median.
        deviations: How far off it was, in robust deviations; infinite where it is no number.
    """

    update: int
    name: str
    value: float
    expected: float
    deviations: float

    def __str__(self) -> str:
        """Return it as a sentence without an end."""
        about = f"the {self.name} is {self.value:.4g} at update {self.update:,}"
        if not math.isfinite(self.value):
            return about
        return f"{about}, {self.deviations:.1f} robust deviations above {self.expected:.4g}"


@final
class SpikeDetector:
    """Finds the update at which a run goes wrong, from the loss and the gradient norm of each.

    A value is compared with the running median of those before, in robust deviations: their spread
    by deciles, which is the standard deviation of normal noise. A spike is a value that noise with
    this tail has about once in a million updates, at least 5 deviations; or three of four updates
    that are all far off, at least 5 too; or no finite number, at once. The first 64 updates are not
    compared. After a spike all is forgotten: load the state that was saved with the checkpoint.

    Numbers on a device, or of several processes, are looked at every ``every`` updates: all wait
    for the device once then, and exchange what they have. The processes take the mean loss, so that
    they decide alike. Every process calls it after every update.

    Args:
        every: Updates between two looks where values lie on a device or several processes train;
            else each is looked at.
        all_gather: Gives all processes what each of them has; torch.distributed's by default.

    Raises:
        TrainingError: ``every`` is less than 1.

    Example:
        >>> import random
        >>> import warmdown as wd
        >>> detector, noise = wd.SpikeDetector(), random.Random(0)
        >>> for update in range(200):
        ...     assert detector.observe(2.0 + noise.gauss(0, 0.1)) is None
        >>> print(detector.observe(3.1))
        the loss is 3.1 at update 200, 11.0 robust deviations above 1.974
    """

    def __init__(self, every: int = 20, all_gather: AllGather = all_gather) -> None:
        if every < 1:
            raise TrainingError(f"SpikeDetector(every={every}): at least 1 update is needed.")
        self.every = every
        self.count = 0
        """Updates observed; the next one has this number."""
        self._all_gather = all_gather
        self._waiting: list[Any] = []
        self._restart()

    def __repr__(self) -> str:
        return f"<SpikeDetector after {self.count:,} updates>"

    def observe(self, loss: Any, grad_norm: Any = None) -> Spike | None:
        """Take what an update had; return the spike where this look finds one.

        Args:
            loss: Its mean loss on this process, a number or a tensor of one.
            grad_norm: The norm of all its gradients before they were clipped, likewise, or
                ``None``.
        """
        self.take(loss, grad_norm)
        return self.look() if self.is_due else None

    def take(self, loss: Any, grad_norm: Any = None) -> None:
        """Take what an update had, and leave it for the next look."""
        self._waiting.append((_detached(loss), _detached(grad_norm)))
        self.count += 1

    @property
    def is_due(self) -> bool:
        """Whether to look now: always where nothing has to be waited for."""
        is_late = any(isinstance(value, torch.Tensor) for row in self._waiting for value in row)
        return not (is_late or world_size() > 1) or self.count % self.every == 0

    @property
    def judged(self) -> int:
        """Updates that were looked at."""
        return self.count - len(self._waiting)

    def look(self) -> Spike | None:
        """Look at what waits for it; all processes call it at the same update."""
        self.read()
        waiting, self._waiting = self._waiting, []
        first = self.count - len(waiting)
        for update, values in enumerate(waiting, start=first):
            spike = self._judge(update, values)
            if spike is not None:
                self._restart()
                return spike
        return None

    def read(self) -> None:
        """Read what waits on the device, and exchange it, without a look at it."""
        unread = [at for at, row in enumerate(self._waiting) if not isinstance(row, list)]
        if not unread:
            return
        own = _numbers_of_rows([self._waiting[at] for at in unread])
        rows = self._all_gather(own)
        for at, of_all in zip(unread, zip(*rows, strict=True), strict=True):
            self._waiting[at] = [_mean(values) for values in zip(*of_all, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain data; all processes call it."""
        self.read()
        signals = [signal.state_dict() for signal in self._signals]
        waiting = [list(row) for row in self._waiting]
        return {
            "version": _STATE_VERSION, "count": self.count, "waiting": waiting, "signals": signals,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned.

        Raises:
            StateError: It is no such state; nothing has changed then.
        """
        try:
            if state["version"] != _STATE_VERSION:
                raise ValueError(f"version {state['version']!r}")
            count, waiting = int(state["count"]), [[*row] for row in state["waiting"]]
            signals = tuple(map(_Signal.from_state, state["signals"]))
            if len(signals) != len(_NAMES) or any(len(row) != len(_NAMES) for row in waiting):
                raise ValueError("its numbers do not add up")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateError(
                f"SpikeDetector.load_state_dict: the state cannot be read: {error}. Give what "
                "state_dict() returned."
            ) from error
        self.count, self._waiting, self._signals = count, waiting, signals

    def _restart(self) -> None:
        self._signals = tuple(_Signal() for _ in _NAMES)

    def _judge(self, update: int, values: Iterable[float | None]) -> Spike | None:
        """Take the numbers of one update; return what is wrong with them."""
        found = None
        for name, signal, value in zip(_NAMES, self._signals, values, strict=True):
            if value is None:
                continue
            is_log = name != "loss"
            number = math.log(value) if is_log and 0 < value < math.inf else value
            if is_log and value == 0:
                continue  # no gradient at all: a frozen model, and no harm
            expected = signal.expected
            deviations = signal.add(number)
            if deviations is not None and found is None:
                at = update - signal.lag
                shown = math.exp(expected) if is_log and math.isfinite(expected) else expected
                found = Spike(at, name, value, shown, deviations)
        return found


class _Signal:
    """The running medians of one number, the spread around them, and the tail of that."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_LONG)
        self._short: list[float] = []
        self._long: list[float] = []
        self._offs: deque[float] = deque(maxlen=_SPREAD)
        self._sorted_offs: list[float] = []
        self._tail = [0.0, 0.0]
        self._last: deque[float] = deque(maxlen=4)
        self.lag = 0
        """Updates by which the spike found last began earlier than it was found."""

    @property
    def expected(self) -> float:
        """The smaller of the two medians: a trend that falls is followed, one that rises is not."""
        if not self._long:
            return math.nan
        return min(_median(self._short), _median(self._long))

    def add(self, value: float) -> float | None:
        """Take a value; return how far off it is, in robust deviations, where it is a spike."""
        self.lag = 0
        if not math.isfinite(value):
            return math.inf
        if not self._recent:
            self._take(value)
            return None
        expected = self.expected
        off = value - expected
        is_known = len(self._recent) >= _FEWEST
        deviations = self._deviations(off, expected) if is_known else 0.0
        if is_known and (found := self._is_spike(deviations)):
            return found
        self._offs_add(off)
        self._take(value)
        return None

    def _deviations(self, off: float, expected: float) -> float:
        """Return a difference from the median in robust deviations, one that rises for long less.

        The deciles and not the mean: up to a tenth of the values may be anything.
        """
        offs = self._sorted_offs
        low, middle, high = (offs[len(offs) * tenths // 10] for tenths in (1, 5, 9))
        # noise within a thousandth of the value is none: a loss over all data, a constant
        spread = max((high - low) / _DECILES, 1e-3 * abs(expected), 1e-12)
        return (off - max(middle, 0.0)) / spread

    @property
    def _limits(self) -> tuple[float, float]:
        """The least deviations that are a spike in one update, and in three of four."""
        count, logarithms = self._tail
        known, of_prior = _PRIOR
        mean = (logarithms + known * of_prior) / (count + known)
        one = max(_LEAST * math.exp(_GROWTH * (mean - _TAIL_OF_NORMAL)), _LEAST)
        return one, max(math.sqrt(one), _LEAST)

    def _is_spike(self, deviations: float) -> float | None:
        one, several = self._limits
        self._last.append(deviations)
        if deviations >= one:
            return deviations
        high = [at for at, last in enumerate(self._last) if last >= several]
        if len(high) >= 3:
            self.lag = len(self._last) - 1 - high[0]
            return max(self._last)
        if deviations > _TAIL:
            keep = 1.0 - 1.0 / _TAIL_MEMORY
            count, logarithms = self._tail
            self._tail = [count * keep + 1.0, logarithms * keep + math.log(deviations / _TAIL)]
        return None

    def _offs_add(self, off: float) -> None:
        if len(self._offs) == _SPREAD:
            del self._sorted_offs[bisect_left(self._sorted_offs, self._offs[0])]
        self._offs.append(off)
        insort(self._sorted_offs, off)

    def _take(self, value: float) -> None:
        recent = self._recent
        if len(recent) == _LONG:
            del self._long[bisect_left(self._long, recent[0])]
        if len(recent) >= _SHORT:
            del self._short[bisect_left(self._short, recent[-_SHORT])]
        recent.append(value)
        insort(self._long, value)
        insort(self._short, value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        kept = {"recent": self._recent, "offs": self._offs, "tail": self._tail, "last": self._last}
        return {name: [*numbers] for name, numbers in kept.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> _Signal:
        """Return the one that had the state."""
        made = cls()
        recent, offs, tail, last = (
            [float(number) for number in state[name]] for name in ("recent", "offs", "tail", "last")
        )
        if len(tail) != 2 or not all(map(math.isfinite, [*recent, *offs, *tail, *last])):
            raise ValueError("a number is none")
        for value in recent:
            made._take(value)
        for off in offs:
            made._offs_add(off)
        made._tail = tail
        made._last.extend(last)
        return made


def _median(ordered: list[float]) -> float:
    return ordered[len(ordered) // 2]


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _detached(value: Any) -> Any:
    """Return a number; a tensor on a device as it is, for to read it is to wait."""
    if not isinstance(value, torch.Tensor):
        return None if value is None else float(value)
    return value.item() if value.device.type == "cpu" else value.detach()


def _numbers_of_rows(rows: Iterable[tuple[Any, Any]]) -> list[list[float | None]]:
    """Return rows of numbers; all that lies on a device comes over together."""
    read = [[*row] for row in rows]
    places = [
        (row, at) for row in read for at, value in enumerate(row) if isinstance(value, torch.Tensor)
    ]
    if places:
        tensors = [row[at] for row, at in places]
        kind = widest_float(torch, tensors[0].device)
        numbers = torch.stack([tensor.to(kind).reshape(()) for tensor in tensors]).tolist()
        for (row, at), number in zip(places, numbers, strict=True):
            row[at] = number
    return read
