"""An optimizer's real updates beside its scheduler's steps, and schedulers that are prepared.

One that accelerate has prepared is stepped once a process, and counts once an update.
"""

from __future__ import annotations

import warnings
import weakref
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.field import unwrap
from warmdown.binding.monitor import autograd_sequence_number

PREPARED = frozenset({"step"})
"""What a prepared scheduler has among its attributes; neither a state nor a copy takes it along."""


class Updates:
    """Counts an optimizer's real updates since it was first scheduled, by a hook of its own.

    While the first ones are made, it compares them with the steps of the schedulers: a step itself
    looks at nothing.
    """

    def __init__(self) -> None:
        self.made = 0
        self.begun = self.first_worked = autograd_sequence_number()
        """What autograd had done when it was first scheduled, and at the first update."""
        self._watched: list[_Watched] = []
        self._others = 0
        self._handle: Any = None

    @leave_uncompiled
    def __call__(self, *_: Any) -> None:
        """Count one; the optimizer calls it."""
        self.made += 1
        if self.made <= _FIRST:
            self._compare()

    def watch(self, scheduler: Any) -> None:
        """Compare the steps of a scheduler with the first updates."""
        self._watched.append(_Watched(weakref.ref(scheduler)))

    def _compare(self) -> None:
        if self.made == 1:
            self.first_worked = autograd_sequence_number()
            schedulers = [one for watched in self._watched if (one := watched.scheduler())]
            if early := [one for one in schedulers if one.was_early(self)]:
                warn_of_early_step(early[0], stacklevel=5)
        suspects = [
            watched for watched in self._watched if watched.repeats(is_alone=not self._others)
        ]
        self._others = 0
        for watched in suspects:
            if watched.count >= _STEADY and (scheduler := watched.scheduler()) is not None:
                self._watched.clear()
                self._stop()
                warnings.warn(
                    f"{type(scheduler).__name__}.step(): it is called {watched.steps:g} times for "
                    "each optimizer.step(), so the rate moves that many times too fast. Call it "
                    "once, right after optimizer.step(); with gradient accumulation that is not "
                    "after each micro-batch.",
                    UserWarning,
                    stacklevel=4,
                )
                return
        if self.made == _FIRST:
            self._watched.clear()
            self._stop()
        elif suspects and self._handle is None:
            self._listen()

    def _listen(self) -> None:
        """Count other optimizers' updates: where they alternate, steps in between are meant."""
        this = weakref.ref(self)

        def after(optimizer: Any, *_: Any) -> None:
            updates = None if torch.compiler.is_compiling() else this()
            if updates is not None and _UPDATES.get(optimizer) is not updates:
                updates._others += 1

        self._handle = register_optimizer_step_post_hook(after)
        weakref.finalize(self, self._handle.remove).atexit = False

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.remove()

    @staticmethod
    def of(optimizer: Any) -> Updates:
        """Return those of ``optimizer``; all its schedulers share them."""
        optimizer = unwrap(optimizer)
        if optimizer not in _UPDATES:
            _UPDATES[optimizer] = Updates()
            optimizer.register_step_post_hook(_UPDATES[optimizer])
        return _UPDATES[optimizer]


def warn_of_early_step(scheduler: Any, *, stacklevel: int) -> None:
    """Warn of a scheduler whose first step came before the first update."""
    warnings.warn(
        f"{type(scheduler).__name__}.step(): it was called before the first optimizer.step(), so "
        "no update used the first rate. Call optimizer.step() first, then scheduler.step().",
        UserWarning,
        stacklevel=stacklevel,
    )


_UPDATES: WeakKeyDictionary[Any, Updates] = WeakKeyDictionary()


_FIRST = 16
"""Updates that are compared with steps."""
_STEADY = 3
"""So many times in a row, as many steps for one update are no accident."""


class _Watched:
    """The steps of one scheduler from update to update."""

    def __init__(self, scheduler: weakref.ref[Any]) -> None:
        self.scheduler = scheduler
        self.steps = 0.0
        """Steps between the last two updates."""
        self.count = 0
        """How many times in a row there were as many, and more than one."""
        self._counts: tuple[float, float] | None = None

    def repeats(self, *, is_alone: bool) -> bool:
        """Note an update; return whether there was more than one step since the one before."""
        before, scheduler = self._counts, self.scheduler()
        if scheduler is None:
            return False
        # accelerate raises the one by itself, ignite's wrapper the other; a step raises both
        self._counts = scheduler.last_epoch, scheduler._step_count
        if before is None:
            return False
        steps = self.steps
        self.steps = min(now - then for now, then in zip(self._counts, before, strict=True))
        if self.steps < 2 or not is_alone:
            self.count = 0
        else:
            self.count = self.count + 1 if steps == self.steps else 1
        return self.count > 0


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

    @leave_uncompiled
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
