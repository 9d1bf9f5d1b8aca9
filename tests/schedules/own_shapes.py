"""Shapes as a person writes them: a curve, a wrapper and a feedback schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import warmdown as wd
from warmdown.run import Duration


@dataclass(frozen=True, kw_only=True)
class Parabola(wd.Schedule):
    """A parabola from ``start`` to ``end``."""

    start: float = 1.0
    end: float = 0.5
    steps: Duration = "rest"

    def evaluate(self, step: Any, xp: Any) -> Any:
        remaining = 1 - xp.clip(step, 0, self.steps) / max(int(self.steps), 1)
        return self.end + (self.start - self.end) * remaining**2


@dataclass(frozen=True, kw_only=True)
class Doubled(wd.Schedule):
    """A schedule times two."""

    of: wd.Schedule

    keeps_time = True

    def evaluate(self, step: Any, xp: Any) -> Any:
        return 2 * self.of.evaluate(step, xp)


@dataclass(frozen=True, kw_only=True)
class HalveBeyond(wd.Feedback):
    """Half the value, each time that the metric is above a limit."""

    limit: float = 1.0

    def update_state(self, state: wd.FeedbackState, step: float, value: float) -> wd.FeedbackState:
        return state.moved(state.levels[-1] / 2, step) if value > self.limit else state
