"""Rules that follow a metric: a factor that moves on a plateau, and one that moves both ways."""

from __future__ import annotations

__all__ = ["Greedy", "Plateau"]

import math
import re
from dataclasses import replace
from typing import Literal, Self, TypeAlias, final

from warmdown.errors import ScheduleError
from warmdown.run import Duration, Length, Run
from warmdown.schedules.base import schedule_class
from warmdown.schedules.feedback import Feedback, FeedbackState
from warmdown.schedules.parameters import require

Mode: TypeAlias = Literal["min", "max"]
Threshold: TypeAlias = Literal["rel", "abs"]
Compare: TypeAlias = Literal["best", "last"]

_MEASURED = re.compile(r"(\d+)(?:steps|samples|tok|s)")
_UNITS = {"updates": "steps", "samples": "samples", "tokens": "tok", "seconds": "s"}


@final
@schedule_class
class Plateau(Feedback):
    r"""A factor that falls, or grows, when a metric stops improving.

    .. math:: v(t) = \min\bigl(high,\, \max(low,\, factor^{n(t)})\bigr),\;
              n(t) = \text{plateaus seen up to } t

    Args:
        metric: Name of the metric: ``scheduler.observe(val_loss=…)``.
        mode: Whether ``"min"`` or ``"max"`` is better.
        factor: What the value is multiplied by at each plateau, above 0: below 1 it falls, above 1
            it grows up to ``high``.
        patience: Observations without improvement that are tolerated, or a duration such as
            ``"2ep"``.
        threshold: Smallest change that is an improvement.
        threshold_mode: Whether it is a share of what is compared with (``"rel"``) or absolute
            (``"abs"``).
        cooldown: Observations, or a duration, after a plateau in which nothing counts.
        low: Smallest factor. A smallest rate for each group is ``Scale(Plateau(…), low=1e-6)``.
        compare: What an observation has to improve on: the ``"best"`` so far, where an improvement
            starts the patience again; or the ``"last"`` one, where the small improvements since the
            last plateau are counted, in a row or not.
        high: Largest factor, at least 1; needed where the factor grows.
        state: What was observed so far.

    Raises:
        ScheduleError: A number is out of range.

    Example:
        >>> plateau = Plateau(metric="val_loss", factor=0.5, patience=1)
        >>> for step, loss in [(10, 1.0), (20, 1.0), (30, 1.0)]:
        ...     plateau = plateau.observe(step, {"val_loss": loss})
        >>> plateau([0, 29, 30])
        array([1. , 1. , 0.5])
    """

    mode: Mode = "min"
    factor: float = 0.1
    patience: Duration = 10
    threshold: float = 1e-4
    threshold_mode: Threshold = "rel"
    cooldown: Duration = 0
    low: float = 0.0
    compare: Compare = "best"
    high: float | None = None

    def check_fields(self) -> None:
        super().check_fields()
        reason = "a factor between 0 and 1 is needed to fall, or one above 1 to grow."
        require(self, self.factor > 0 and self.factor != 1, reason, "factor")
        reason = "it would grow without a bound. Give the largest factor: high=8.0."
        require(self, self.factor < 1 or self.high is not None, reason, "factor")
        require(self, self.threshold >= 0, "a number of at least 0 is needed.", "threshold")
        reason = "the smallest factor lies between 0 and 1."
        require(self, 0 <= self.low <= 1, reason, "low")
        reason = "the largest factor is at least 1."
        require(self, self.high is None or self.high >= 1, reason, "high")

    @property
    def is_resolved(self) -> bool:
        """Whether patience and cooldown are measured."""
        return _is_measured(self.patience) and _is_measured(self.cooldown)

    def update_state(self, state: FeedbackState, step: float, value: float) -> FeedbackState:
        """Return the state after ``value`` was measured at ``step``; it is compared first."""
        if self.compare == "best" or state.best is None:
            after = _compared(self, state, step, value)
        elif _has_gained(self, value, state.best):
            after = state._replace(best=value, since=step)
        else:
            after = state._replace(best=value, num_bad=state.num_bad + 1)
        # observations are counted down to 0, a duration has the step at which it is over
        is_counted = isinstance(self.cooldown, int)
        if after.cooldown_left > (0 if is_counted else step):
            left = after.cooldown_left - is_counted
            return after._replace(num_bad=0, since=step, cooldown_left=left)
        waited = after.num_bad if isinstance(self.patience, int) else step - after.since
        if after.num_bad == 0 or waited <= _number(self.patience):
            return after
        level = max(after.levels[-1] * self.factor, self.low)
        moved = after.moved(level if self.high is None else min(level, self.high), step)
        cooldown = _number(self.cooldown) + (0.0 if is_counted else step)
        return moved._replace(num_bad=0, since=step, cooldown_left=cooldown)

    def follows_like(self, other: Feedback) -> bool:
        """Whether a state of ``other`` can be taken over: it compares with the same, too."""
        return super().follows_like(other) and self.compare == getattr(other, "compare", None)

    def restarted_state(self) -> FeedbackState:
        """Return the state for a clock that starts again; a cooldown until a step is over then."""
        state = super().restarted_state()
        return state if isinstance(self.cooldown, int) else state._replace(cooldown_left=0.0)

    def resolve(self, run: Run, available: Length) -> Self:
        return replace(
            self,
            patience=_wait_on_clock(self, "patience", run),
            cooldown=_wait_on_clock(self, "cooldown", run),
        )


@final
@schedule_class
class Greedy(Feedback):
    r"""A factor that rises while a metric improves and falls when it does not.

    .. math:: v(t) = \mathrm{clip}(factor^{falls(t) - rises(t)},\, low,\, high)

    Args:
        metric: Name of the metric.
        mode: Whether ``"min"`` or ``"max"`` is better.
        factor: The value is multiplied by it to fall and divided by it to rise, between 0 and 1.
        patience: Observations in a row, good or bad, that are waited before it moves.
        threshold: Smallest change that is an improvement.
        threshold_mode: Whether it is a share of the best (``"rel"``) or absolute (``"abs"``).
        cooldown: Observations after a fall in which nothing counts.
        pause: Observations after a rise in which nothing counts.
        window: Latest observations whose mean is compared.
        low: Smallest factor that a fall leads to; where it is above 1, nothing falls below it.
        high: Largest factor that a rise leads to; below 1 likewise.
        state: What was observed so far.

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

    def check_fields(self) -> None:
        super().check_fields()
        require(self, 0 < self.factor < 1, "a factor between 0 and 1 is needed.", "factor")
        require(self, self.threshold >= 0, "a number of at least 0 is needed.", "threshold")
        is_inside = 0 <= self.low <= self.high
        require(self, is_inside, "0 <= low <= high is needed.", "low", "high")
        for name, least in (("patience", 0), ("cooldown", 0), ("pause", 0), ("window", 1)):
            reason = f"a count of at least {least} is needed."
            require(self, getattr(self, name) >= least, reason, name)

    def update_state(self, state: FeedbackState, step: float, value: float) -> FeedbackState:
        """Return the state after ``value`` was measured at ``step``."""
        recent = (*state.recent, value)[-self.window :] if self.window > 1 else ()
        state = state._replace(recent=recent)
        if state.cooldown_left > 0:
            return state._replace(cooldown_left=state.cooldown_left - 1, num_bad=0, num_good=0)
        mean = math.fsum(recent) / len(recent) if recent else value
        after = _compared(self, state, step, mean)
        level = after.levels[-1]
        if after.num_good > self.patience:
            risen = after.moved(max(level, min(level / self.factor, self.high)), step)
            return risen._replace(num_good=0, cooldown_left=float(self.pause))
        if after.num_bad > self.patience:
            fallen = after.moved(min(level, max(level * self.factor, self.low)), step)
            return fallen._replace(num_bad=0, cooldown_left=float(self.cooldown))
        return after


def _compared(
    owner: Plateau | Greedy, state: FeedbackState, step: float, value: float
) -> FeedbackState:
    form = owner.mode, owner.threshold, owner.threshold_mode
    if state.best is None or is_better(value, state.best, *form):
        return state._replace(best=value, num_bad=0, num_good=state.num_good + 1, since=step)
    return state._replace(num_bad=state.num_bad + 1, num_good=0)


def is_better(
    value: float, best: float, mode: Mode, threshold: float, threshold_mode: Threshold
) -> bool:
    """Return whether a metric improves on the best; a share of the best is one of its size."""
    if mode == "max":
        value, best = -value, -best
    is_share = threshold_mode == "rel" and not math.isinf(best)
    return value < best - threshold * (abs(best) if is_share else 1.0)


def _has_gained(owner: Plateau, value: float, last: float) -> bool:
    """Whether the improvement on the last value reaches the threshold; on 0 none is a share."""
    if owner.mode == "max":
        value, last = -value, -last
    gain = last - value
    if owner.threshold_mode == "rel" and not math.isinf(gain):
        gain = gain / abs(last) if last else 0.0
    return gain >= owner.threshold


def _wait_on_clock(owner: Plateau, name: str, run: Run) -> Duration:
    """Return observations as they are, and a duration in the run's own clock, with its unit."""
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


def _number(wait: Duration) -> int:
    if isinstance(wait, int):
        return wait
    match = _MEASURED.fullmatch(wait)
    if match is None:
        raise ScheduleError(
            f"Plateau: {wait!r} is not measured yet. Call .over(Run(steps_per_epoch=…)) first."
        )
    return int(match[1])
