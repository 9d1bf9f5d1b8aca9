"""The order of the two steps: the optimizer's first, then the scheduler's."""

from __future__ import annotations

__all__ = ["FirstSteps"]

import warnings
from typing import Any

from warmdown.binding.field import has_gradients
from warmdown.compat.prepared import Updates


class FirstSteps:
    """Sees whether a scheduler was stepped before its optimizer ever was, and says so when training shows it true.

    Not at once: a loop that only draws the curve is right, and so is one whose first update a
    gradient scaler skipped.

    Args:
        optimizer: A torch optimizer, or what wraps one.
    """

    def __init__(self, optimizer: Any) -> None:
        self._updates = Updates.of(optimizer)
        self._is_early = False

    def first(self, optimizer: Any) -> None:
        """Note the scheduler's first step."""
        self._is_early = not self._updates.made and not has_gradients(optimizer)

    def second(self, who: str) -> None:
        """Judge, at the scheduler's second step."""
        if self._is_early and self._updates.made:
            warnings.warn(
                f"{who}.step(): it was called before the first optimizer.step(), so no update used "
                f"the first rate. "
                "Call optimizer.step() first, then scheduler.step().",
                UserWarning,
                stacklevel=4,
            )
        self._is_early = False
