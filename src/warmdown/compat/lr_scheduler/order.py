"""The order of the two steps: the optimizer's first, then the scheduler's."""

from __future__ import annotations

__all__ = ["FirstSteps"]

import warnings
from typing import Any
from weakref import WeakKeyDictionary

from warmdown.binding.field import has_gradients, unwrapped


class FirstSteps:
    """Sees whether a scheduler was stepped before its optimizer ever was, and says so when training shows it true.

    Not at once: a loop that only draws the curve is right, and so is one whose first update a gradient scaler skipped.

    Args:
        optimizer: A torch optimizer, or what wraps one.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer_steps = _Steps.of(optimizer)
        self._is_early = False

    def first(self, optimizer: Any) -> None:
        """Note the scheduler's first step."""
        self._is_early = not self._optimizer_steps.have_begun and not has_gradients(optimizer)

    def second(self, who: str) -> None:
        """Judge, at the scheduler's second step."""
        if self._is_early and self._optimizer_steps.have_begun:
            warnings.warn(
                f"{who}.step(): it was called before the first optimizer.step(), so no update used the first rate. "
                "Call optimizer.step() first, then scheduler.step().",
                UserWarning,
                stacklevel=4,
            )
        self._is_early = False


class _Steps:
    """Whether an optimizer has stepped since it was first scheduled; its own hook tells, nothing is patched."""

    def __init__(self) -> None:
        self.have_begun = False

    def __call__(self, *_: Any) -> None:
        self.have_begun = True

    @staticmethod
    def of(optimizer: Any) -> _Steps:
        """Return those of ``optimizer``; all its schedulers share them."""
        optimizer = unwrapped(optimizer)
        if optimizer not in _STEPS:
            _STEPS[optimizer] = _Steps()
            optimizer.register_step_post_hook(_STEPS[optimizer])
        return _STEPS[optimizer]


_STEPS: WeakKeyDictionary[Any, _Steps] = WeakKeyDictionary()
