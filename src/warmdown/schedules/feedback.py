"""Schedules that answer to a metric: frozen like all others, what they have observed goes in and out."""

from __future__ import annotations

__all__ = ["Greedy", "Plateau"]

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias, final

from warmdown.errors import ScheduleError
from warmdown.run import Duration, Run
from warmdown.schedules.base import Namespace, Phase, Schedule, Steps, Values
from warmdown.schedules.compose import Chain
from warmdown.schedules.cycles import Repeat
from warmdown.schedules.feedback_state import NOTHING_SEEN, Memory, level_at, read_memory
from warmdown.schedules.time import Delayed, Grafted, Skipped, Stretched, Taken

Mode: TypeAlias = Literal["min", "max"]
Threshold: TypeAlias = Literal["rel", "abs"]
Metrics: TypeAlias = Mapping[str, float]
Feedback: TypeAlias = "Plateau | Greedy"

_MEASURED = re.compile(r"(\d+)(?:steps|samples|tok|s)")
_UNITS = {"updates": "steps", "samples": "samples", "tokens": "tok", "seconds": "s"}


@final
@dataclass(frozen=True, kw_only=True)
class Plateau(Schedule):
    r"""A factor that falls when a metric stops improving.

    .. math:: v(t) = \max(low,\, factor^{n(t)}),\; n(t) = \text{plateaus seen up to } t

    Args:
        metric: Name under which the metric is told: ``scheduler.observe(val_loss=…)``.
        mode: Whether ``"min"`` or ``"max"`` is better.
        factor: What the value is multiplied by at each plateau, between 0 and 1.
        patience: Observations without improvement that are tolerated, or a duration such as
            ``"2ep"``.
        threshold: Smallest change that is an improvement.
        threshold_mode: Whether it is a share of the best (``"rel"``) or absolute (``"abs"``).
        cooldown: Observations, or a duration, after a fall in which nothing counts.
        low: Smallest factor. A smallest rate for each group is ``Scale(Plateau(…), low=1e-6)``.
        seen: What was observed so far.

    Raises:
        ScheduleError: A number is out of range.

    Example:
        >>> plateau = Plateau(metric="val_loss", factor=0.5, patience=1)
        >>> for step, loss in [(10, 1.0), (20, 1.0), (30, 1.0)]:
        ...     plateau = plateau.observe(step, {"val_loss": loss})
        >>> plateau([0, 29, 30])
        array([1. , 1. , 0.5])
    """

    metric: str = "loss"
    mode: Mode = "min"
    factor: float = 0.1
    patience: Duration = 10
    threshold: float = 1e-4
    threshold_mode: Threshold = "rel"
    cooldown: Duration = 0
    low: float = 0.0
    seen: Memory = field(default=NOTHING_SEEN, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_choices(self)
        if not 0 < self.factor < 1:
            raise ScheduleError(
                f"Plateau(factor={self.factor}): a factor between 0 and 1 is needed."
            )
        if not 0 <= self.low <= 1:
            raise ScheduleError(
                f"Plateau(low={self.low}): the smallest factor lies between 0 and 1."
            )

    @property
    def is_resolved(self) -> bool:
        """Whether patience and cooldown are measured."""
        return _is_measured(self.patience) and _is_measured(self.cooldown)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase."""
        return (Phase("plateau", 0, None),)

    def observe(self, step: float, metrics: Metrics) -> Self:
        """Return the schedule that knows what was measured at ``step``.

        Args:
            step: Where on its own clock this schedule is.
            metrics: Every metric by name; one that is missing or NaN changes nothing.
        """
        value = _metric(self, metrics)
        return (
            self if value is None else replace(self, seen=self.remembering(self.seen, step, value))
        )

    def remembering(self, seen: Memory, step: float, value: float) -> Memory:
        """Return what is known after ``value`` was measured at ``step``, by this rule and what was known before.

        Args:
            seen: What was known before; that of this schedule is not looked at.
            step: Where on its own clock the schedule is.
            value: The metric.
        """
        after = _compared(self, seen, step, value)
        if _is_resting(self.cooldown, after.rest, step):
            return _rested(self.cooldown, after, step)
        if not _is_over(self.patience, after.bad, step - after.since):
            return after
        fallen = after.moved(max(after.levels[-1] * self.factor, self.low), step)
        return fallen._replace(bad=0, since=step, rest=_rest(self.cooldown, step))

    def recall(self, memory: Any) -> Self:
        """Return the schedule with a memory that was saved."""
        return replace(self, seen=read_memory(memory))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what was observed is no part of it."""
        return {key: value for key, value in super().to_dict().items() if key != "seen"}

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return level_at(self.seen, step, xp)

    def _resolve(self, run: Run, available: int | None) -> Self:
        return replace(
            self,
            patience=_measured(self, "patience", run),
            cooldown=_measured(self, "cooldown", run),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Greedy(Schedule):
    r"""A factor that rises while a metric improves and falls when it does not.

    .. math:: v(t) = \mathrm{clip}(factor^{falls(t) - rises(t)},\, low,\, high)

    Args:
        metric: Name under which the metric is told.
        mode: Whether ``"min"`` or ``"max"`` is better.
        factor: The value is multiplied by it to fall and divided by it to rise, between 0 and 1.
        patience: Observations in a row, good or bad, that are waited before it moves.
        threshold: Smallest change that is an improvement.
        threshold_mode: Whether it is a share of the best (``"rel"``) or absolute (``"abs"``).
        cooldown: Observations after a fall in which nothing counts.
        pause: Observations after a rise in which nothing counts.
        window: Latest observations whose mean is compared.
        low: Smallest factor.
        high: Largest factor.
        seen: What was observed so far.

    Raises:
        ScheduleError: A number is out of range.

    Example:
        >>> greedy = Greedy(factor=0.5, patience=0, high=4.0)
        >>> for step, loss in [(1, 3.0), (2, 2.0), (3, 2.5)]:
        ...     greedy = greedy.observe(step, {"loss": loss})
        >>> greedy([0, 1, 2, 3])
        array([1., 2., 4., 2.])

    Reference: the up and down rule of GreedyLR, https://arxiv.org/abs/2512.14527.
    """

    metric: str = "loss"
    mode: Mode = "min"
    factor: float = 0.95
    patience: int = 10
    threshold: float = 1e-6
    threshold_mode: Threshold = "abs"
    cooldown: int = 0
    pause: int = 0
    window: int = 1
    low: float = 0.01
    high: float = 10.0
    seen: Memory = field(default=NOTHING_SEEN, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_choices(self)
        if not 0 < self.factor < 1:
            raise ScheduleError(
                f"Greedy(factor={self.factor}): a factor between 0 and 1 is needed."
            )
        if not 0 <= self.low <= 1 <= self.high:
            raise ScheduleError(
                f"Greedy(low={self.low}, high={self.high}): 0 <= low <= 1 <= high is needed."
            )
        for name, least in (("patience", 0), ("cooldown", 0), ("pause", 0), ("window", 1)):
            if getattr(self, name) < least:
                raise ScheduleError(
                    f"Greedy({name}={getattr(self, name)}): a count of at least {least} is needed."
                )

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase."""
        return (Phase("greedy", 0, None),)

    def observe(self, step: float, metrics: Metrics) -> Self:
        """Return the schedule that knows what was measured at ``step``.

        Args:
            step: Where on its own clock this schedule is.
            metrics: Every metric by name; one that is missing or NaN changes nothing.
        """
        value = _metric(self, metrics)
        if value is None:
            return self
        recent = (*self.seen.recent, value)[-self.window :] if self.window > 1 else ()
        known = replace(self, seen=self.seen._replace(recent=recent))
        if known.seen.rest > 0:
            return replace(known, seen=known.seen._replace(rest=known.seen.rest - 1, bad=0, good=0))
        return replace(
            known, seen=known._moved(step, math.fsum(recent) / len(recent) if recent else value)
        )

    def _moved(self, step: float, value: float) -> Memory:
        after = _compared(self, self.seen, step, value)
        level = after.levels[-1]
        if after.good > self.patience:
            return after.moved(min(level / self.factor, self.high), step)._replace(
                good=0, rest=float(self.pause)
            )
        if after.bad > self.patience:
            return after.moved(max(level * self.factor, self.low), step)._replace(
                bad=0, rest=float(self.cooldown)
            )
        return after

    def recall(self, memory: Any) -> Self:
        """Return the schedule with a memory that was saved."""
        return replace(self, seen=read_memory(memory))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what was observed is no part of it."""
        return {key: value for key, value in super().to_dict().items() if key != "seen"}

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        return level_at(self.seen, step, xp)


def observed(schedule: Schedule, step: float, metrics: Metrics) -> Schedule:
    """Return ``schedule`` in which the feedback that is active at ``step`` knows the metrics.

    What waits for its turn in a chain, or has had it, is left alone: a plateau after a warmup does
    not see the warmup.
    """
    match schedule:
        case Plateau() | Greedy():
            return schedule.observe(step, metrics)
        case Chain():
            active, seam = schedule.at(step)
            later = (
                observed(m, step - seam, metrics) if i == active else m
                for i, m in enumerate(schedule.members)
            )
            return replace(schedule, members=tuple(later))
        case Delayed(steps=int(wait)):
            return _with_of(schedule, step - wait, metrics) if step >= wait else schedule
        case Taken(steps=int(end)):
            return _with_of(schedule, step, metrics) if step < end else schedule
        case Skipped(steps=int(left_out)):
            return _with_of(schedule, step + left_out, metrics)
        case Grafted(at=int(at)) if step >= at:
            return replace(schedule, tail=observed(schedule.tail, step - at, metrics))
        case Grafted():
            return _with_of(schedule, step, metrics)
        case Stretched() | Repeat() if any(feedbacks(schedule)):
            raise ScheduleError(
                f"{schedule!r}: what answers to a metric has no cycles and no length. Put the "
                f"Plateau around it: a * b."
            )
    return schedule.with_parts(lambda part: observed(part, step, metrics))


def feedbacks(schedule: Schedule) -> Iterator[Feedback]:
    """Yield every feedback schedule in ``schedule``, always in the same order."""
    if isinstance(schedule, Plateau | Greedy):
        yield schedule
    for part in schedule.parts():
        yield from feedbacks(part)


def recalled(schedule: Schedule, memories: Iterator[Any]) -> Schedule:
    """Return ``schedule`` in which each feedback schedule takes the next memory, in the order of ``feedbacks``."""
    if isinstance(schedule, Plateau | Greedy):
        return schedule.recall(next(memories))
    return schedule.with_parts(lambda part: recalled(part, memories))


def _with_of(
    schedule: Delayed | Taken | Skipped | Grafted, step: float, metrics: Metrics
) -> Schedule:
    return replace(schedule, of=observed(schedule.of, step, metrics))


def _metric(owner: Plateau | Greedy, metrics: Metrics) -> float | None:
    value = metrics.get(owner.metric)
    return None if value is None or math.isnan(value) else float(value)


def _compared(owner: Plateau | Greedy, seen: Memory, step: float, value: float) -> Memory:
    if seen.best is None or _is_better(owner, value, seen.best):
        return seen._replace(best=value, bad=0, good=seen.good + 1, since=step)
    return seen._replace(bad=seen.bad + 1, good=0)


def _is_better(owner: Plateau | Greedy, value: float, best: float) -> bool:
    margin = owner.threshold * (abs(best) if owner.threshold_mode == "rel" else 1.0)
    if math.isinf(best):
        margin = 0.0  # no share of infinity is asked for
    return value < best - margin if owner.mode == "min" else value > best + margin


def _is_over(limit: Duration, observations: int, steps: float) -> bool:
    return (
        observations > limit
        if isinstance(limit, int)
        else observations > 0 and steps > _number(limit)
    )


def _is_resting(cooldown: Duration, rest: float, step: float) -> bool:
    return rest > 0 if isinstance(cooldown, int) else step < rest


def _rested(cooldown: Duration, memory: Memory, step: float) -> Memory:
    left = memory.rest - 1 if isinstance(cooldown, int) else memory.rest
    return memory._replace(bad=0, since=step, rest=left)


def _rest(cooldown: Duration, step: float) -> float:
    return float(cooldown) if isinstance(cooldown, int) else step + _number(cooldown)


def _measured(owner: Plateau, name: str, run: Run) -> Duration:
    """Return an int (observations) as it is, and a duration in the run's own clock, still with its unit."""
    wait = getattr(owner, name)
    if isinstance(wait, int):
        return wait
    measured = run.measure(wait, who=f"Plateau({name})")
    if measured is None:
        raise ScheduleError(
            f"Plateau({name}='rest'): it would never end. Give observations (10) "
            f"or a length ('2ep')."
        )
    return f"{measured}{_UNITS[run.clock]}"


def _is_measured(wait: Duration) -> bool:
    return isinstance(wait, int) or _MEASURED.fullmatch(wait) is not None


def _number(wait: str) -> int:
    match = _MEASURED.fullmatch(wait)
    if match is None:
        raise ScheduleError(
            f"Plateau: {wait!r} is not measured yet. Call .over(Run(steps_per_epoch=…)) first."
        )
    return int(match[1])


def _require_choices(owner: Plateau | Greedy) -> None:
    for name, known in (("mode", ("min", "max")), ("threshold_mode", ("rel", "abs"))):
        if getattr(owner, name) not in known:
            raise ScheduleError(
                f"{type(owner).__name__}({name}={getattr(owner, name)!r}): use "
                f"{' or '.join(known)}."
            )
    if not str(owner.metric).strip():
        raise ScheduleError(
            f"{type(owner).__name__}(metric={owner.metric!r}): a metric's name is needed."
        )
    if owner.threshold < 0:
        raise ScheduleError(
            f"{type(owner).__name__}(threshold={owner.threshold}): a number of at "
            f"least 0 is needed."
        )
