"""Schedulers that accelerate has prepared: stepped once a process, they count once an update."""

from __future__ import annotations

import warnings
import weakref
from typing import Any
from weakref import WeakKeyDictionary

from warmdown.binding.field import unwrap

PREPARED = frozenset({"step"})
"""What a prepared scheduler has among its attributes; neither a state nor a copy takes it along."""


class Updates:
    """Counts an optimizer's real updates since it was first scheduled, by a hook of its own."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, *_: Any) -> None:
        """Count one; the optimizer calls it."""
        self.made += 1

    @staticmethod
    def of(optimizer: Any) -> Updates:
        """Return those of ``optimizer``; all its schedulers share them."""
        optimizer = unwrap(optimizer)
        if optimizer not in _UPDATES:
            _UPDATES[optimizer] = Updates()
            optimizer.register_step_post_hook(_UPDATES[optimizer])
        return _UPDATES[optimizer]


_UPDATES: WeakKeyDictionary[Any, Updates] = WeakKeyDictionary()


class Prepared:
    """What accelerate reads before it wraps a scheduler: false; from then on it counts updates."""

    def __get__(self, scheduler: Any, owner: type | None = None) -> bool:
        if scheduler is not None:
            vars(scheduler)["step"] = _StepOncePerUpdate(scheduler)
        return False


class _StepOncePerUpdate:
    """Steps a scheduler once after each update, however often it is called.

    Where updates cannot be seen, because a wrapper makes them with an optimizer of its own, every
    call counts.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = weakref.ref(scheduler)  # which holds this one
        self._updates = Updates.of(scheduler.optimizer)
        self._stepped_at = -1
        self._has_warned = False

    def __call__(self, *arguments: Any, **named: Any) -> None:
        scheduler, made = self._scheduler(), self._updates.made
        if scheduler is None:
            return
        if made and made == self._stepped_at:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"{type(scheduler).__name__}: accelerate steps it once for each process; it "
                    "counts once for each update. Give its lengths in updates: remove "
                    "`* accelerator.num_processes` from them, and do not prepare it.",
                    UserWarning,
                    stacklevel=3,
                )
            return
        self._stepped_at = made
        type(scheduler).step(scheduler, *arguments, **named)
