"""The updates that optimizers really make, and what the calls of ``step()`` show beside them."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from warmdown.binding.field import has_gradients, optimizer_parameters
from warmdown.binding.misuse import Warnings
from warmdown.errors import (
    MetricForgotten,
    MetricUnusable,
    MetricUnused,
    OptimizerUnused,
    PastEnd,
    SchedulerLost,
    StepBeforeUpdate,
    StepForgotten,
    StepPerEpoch,
    StepPerUpdate,
    StepTwice,
    StoppedEarly,
    nearest,
)
from warmdown.run import Run

_MANY = 100
"""Updates without a step, or steps without an update, that are no accident."""
_VERY_MANY = 100_000
"""Updates without a metric, where the run's facts do not give the length of an epoch."""


class UpdateMonitor:
    """Observes updates and steps; it keeps neither the scheduler nor an optimizer alive.

    It reaches the scheduler by four methods, referenced weakly.

    Args:
        optimizers: Those whose updates count; a hook on each is removed by ``release``.
        count: Returns the updates counted so far.
        before_update: Called with an optimizer's index.
        after_update: Called when an update counts.
        rebind: Called with ``None`` before an optimizer loads a state, and with it afterwards.
        auto: Whether updates are counted without ``step()``: once for all optimizers.
        counts_always: Whether every ``step()`` counts, whatever was seen.
        strict: Whether warnings are raised.
    """

    def __init__(
        self,
        optimizers: Sequence[Any],
        *,
        count: Callable[[], int],
        before_update: Callable[[int], None],
        after_update: Callable[[], None],
        rebind: Callable[[Any], None],
        auto: bool,
        counts_always: bool,
        strict: bool,
    ) -> None:
        self.count, self.before_update = (
            weakref.WeakMethod(count),
            weakref.WeakMethod(before_update),
        )
        self.after_update, self.rebind = (
            weakref.WeakMethod(after_update),
            weakref.WeakMethod(rebind),
        )
        self.warnings = Warnings(strict=strict)
        self.auto = auto
        self.updates = 0
        """Updates seen, of the optimizer that has made most."""
        self.hooks = [
            _OptimizerHooks(self, index, optimizer)
            for index, optimizer in enumerate(optimizers)
            if isinstance(optimizer, Optimizer) and hasattr(optimizer, "_optimizer_step_post_hooks")
        ]
        self.counts_always = counts_always or not self.hooks
        self.saved_at = -1
        self._has_metric = False
        self._doubled = -1

    def restart(self, count: int, position: float, run: Run) -> None:
        """Forget how steps and updates alternated; the scheduler was put where it is."""
        self.early = _EarlySteps(count, position)
        self.run = run
        for hooks in self.hooks:
            hooks.restart()

    def release(self) -> None:
        """Remove the hooks; an automatic scheduler that never counted leaves them to warn."""
        if self.updates or not self.auto:
            for hooks in self.hooks:
                hooks.remove()

    def should_count(self, optimizers: Iterable[Any]) -> bool:
        """Tell whether steps count that no update came before.

        Such a step belongs to a skipped update, to a micro-batch, to a loop that only draws the
        curve, or is a mistake.
        """
        if not self.updates:
            return self.early.should_count(list(optimizers), self.warnings)
        self.early.was_disturbed = True
        now = _autograd_sequence_number()
        if all(now == hooks.worked for hooks in self.hooks if hooks.updates):
            # nothing was computed between two steps, at two updates in a row
            if self._doubled == self.updates - 1:
                self.warnings.warn_once(StepTwice)
            self._doubled = self.updates
        return False

    def tick(self) -> None:
        """Count once for all optimizers: each has made its update, or one starts another first."""
        for hooks in self.hooks:
            hooks.in_round = False
        if call := self.after_update():
            call()

    def count_always(self) -> None:
        """Count every step from now on: replays of a captured update run no hook."""
        self.counts_always = True

    def check_metrics(self, waiting: Iterable[str], metrics: Mapping[str, float]) -> None:
        """Warn of metrics that no schedule follows, or that are no numbers."""
        followed = set(waiting) & metrics.keys()
        self._has_metric = self._has_metric or bool(followed)
        if not followed:
            known = sorted(set(waiting))
            way_out = "No schedule of this plan follows a metric; Plateau(metric=…) does."
            if known:
                known_names = ", ".join(map(repr, known))
                way_out = f"The plan follows {known_names}. {nearest(next(iter(metrics)), known)}"
            self.warnings.warn_once(MetricUnused, metrics=", ".join(metrics), way_out=way_out)
        for name in sorted(followed):
            if math.isnan(metrics[name]):
                self.warnings.warn_once(MetricUnusable, metric=name, value=metrics[name])

    def check_missing_metrics(self, waiting: Sequence[str], count: int) -> None:
        """Warn when no metric has come for two epochs, or for half of the run."""
        if self._has_metric or not waiting:
            return
        made, run = count - self.early.count, self.run
        patience = (run.total_steps or 2 * _VERY_MANY) // 2
        if run.steps_per_epoch:
            patience = 2 * run.steps_per_epoch
        if made > patience:
            names = ", ".join(map(repr, dict.fromkeys(waiting)))
            self.warnings.warn_once(MetricForgotten, metrics=names, first=waiting[0], updates=made)

    def check_end(self, count: int, position: float, end: int) -> None:
        """Warn that the run passes its plan's end; at ten times its length, say why."""
        if self.hooks and not self.updates:
            return  # nothing trains: the curve is only drawn
        if position >= 10 * end:
            self.warnings.warn_once(StepPerUpdate, updates=count, ratio=count / end, end=end)
        else:
            self.warnings.warn_once(PastEnd, end=end, unit=self.run.clock)

    def check_finish(self, count: int, position: float, end: int | None) -> None:
        """Warn that updates were not counted, or that the run stopped before its plan's end.

        One that was saved there will go on.
        """
        made = [hooks.updates - hooks.first for hooks in self.hooks]
        counted = count - self.early.count
        is_counting = self.auto or self.counts_always
        if not is_counting and not counted and max(made) > 1:
            self.warnings.warn_once(StepForgotten, updates=max(made))
        elif not is_counting and counted and min(made) > max(2 * counted - 1, counted + 1):
            self.warnings.warn_once(StepPerEpoch, ratio=round(min(made) / counted))
        elif end is not None and position < end and self.saved_at != count:
            self.warnings.warn_once(StoppedEarly, position=position, end=end, unit=self.run.clock)

    def check_gaps(self, count: int, hooks: _OptimizerHooks) -> None:
        """Warn of updates that were not counted, on every optimizer."""
        if count == hooks.count:
            hooks.missed += 1
            many = max(_MANY, self.run.steps_per_epoch or 0, 3 * hooks.gap)
            if hooks.missed >= many and all(each.missed >= _MANY for each in self.hooks):
                self.warnings.warn_once(StepForgotten, updates=hooks.missed + 1)
            return
        if hooks.count is not None:
            before, hooks.gap = hooks.gap, hooks.missed + 1
            # at the second stretch in a row of as many updates for one step, or a known epoch
            is_steady = abs(hooks.gap - before) <= hooks.gap // 10
            is_epoch = hooks.gap == self.run.steps_per_epoch
            if (is_steady or is_epoch) and all(each.gap > 1 for each in self.hooks):
                self.warnings.warn_once(StepPerEpoch, ratio=hooks.gap)
        hooks.count, hooks.missed = count, 0


class _OptimizerHooks:
    """The hooks on one optimizer; nothing is patched, and the optimizer is not kept alive."""

    def __init__(self, monitor: UpdateMonitor, index: int, optimizer: Any) -> None:
        self._monitor, self._index = monitor, index
        self.updates = 0
        self.count: int | None = None
        self.in_round = self._is_for_state = False
        self.worked = _autograd_sequence_number()
        # a compiled update runs them as they are: traced, they would be part of the graph, and run
        # no more
        uncompiled: Any = torch.compiler.disable
        self._handles = [
            optimizer.register_step_pre_hook(uncompiled(self._before)),
            optimizer.register_step_post_hook(uncompiled(self._after)),
            optimizer.register_load_state_dict_pre_hook(self._before_load),
            optimizer.register_load_state_dict_post_hook(self._after_load),
        ]

    def restart(self) -> None:
        """Forget how steps and updates alternated so far."""
        self.first, self.count = self.updates, None
        self.missed = self.gap = 0

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._is_for_state = _is_state_init_step(optimizer, len(args) + len(kwargs))
        if self._is_for_state:
            return
        monitor = self._monitor
        if (call := monitor.before_update()) is None:
            monitor.warnings.warn_once(SchedulerLost)
            return
        if self.in_round:
            monitor.tick()
        if monitor.updates == 1 and (count := monitor.count()):
            monitor.early.check_order(count(), monitor.warnings)
        call(self._index)

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        monitor = self._monitor
        if _is_capturing():  # first: while a graph is captured, nothing may be read from the device
            monitor.count_always()
            if (call := monitor.after_update()) and not monitor.auto:
                call()
            return
        if self._is_for_state or _was_skipped(optimizer):
            return
        self.updates += 1
        self.worked = _autograd_sequence_number()
        monitor.updates = max(monitor.updates, self.updates)
        if monitor.auto:
            self.in_round = True
            if all(hooks.in_round for hooks in monitor.hooks):
                monitor.tick()
        elif call := monitor.after_update():
            call()
            if not monitor.counts_always and (count := monitor.count()):
                monitor.check_gaps(count(), self)

    def _before_load(self, optimizer: Any, state: Any) -> None:
        if call := self._monitor.rebind():
            call(None)  # while those that joined still have what they joined with

    def _after_load(self, optimizer: Any) -> None:
        if call := self._monitor.rebind():
            call(optimizer)


class _EarlySteps:
    """The steps before the first update: a rehearsal, skipped updates, micro-batches, or a slip.

    Args:
        count: Where an early step leads back to.
        position: The same on the clock.
    """

    def __init__(self, count: int, position: float) -> None:
        self.count, self.position = count, position
        self.was_disturbed = False
        self._worked = _autograd_sequence_number()
        self._calls = 0
        self._were_finite = False
        self._num_changes = 0
        self._version: int | None = None
        self._gradient: Callable[[], Any] = _no_tensor

    def should_count(self, optimizers: Sequence[Any], warnings: Warnings) -> bool:
        """Count steps with which nothing is computed; else wait for an update."""
        self._calls += 1
        has_any = any(map(has_gradients, optimizers))
        if self._calls == 1:
            # gradients may also be made by hand, and lie there for an update to come
            if _autograd_sequence_number() == self._worked and not has_any:
                return True
            self._were_finite = has_any and all(map(_has_finite_gradients, optimizers))
        if self._is_another_training(optimizers, has_any=has_any):
            warnings.warn_once(OptimizerUnused, optimizer=type(optimizers[0]).__name__)
            return True
        return False

    def check_order(self, count: int, warnings: Warnings) -> None:
        """Warn at the second update of a loop whose first step came before its first update."""
        in_turn = self._calls == 1 and not self.was_disturbed and count == self.count + 1
        if in_turn and self._were_finite:
            warnings.warn_once(StepBeforeUpdate)

    def _is_another_training(self, optimizers: Sequence[Any], *, has_any: bool) -> bool:
        """Tell whether parameters change without gradients for an update to come.

        Or whether there are no gradients, after many steps.
        """
        parameters = (one for each in optimizers for one in optimizer_parameters(each))
        one = next((one for one in parameters if one.requires_grad), None)
        if one is None:
            return False
        has_changed = self._version is not None and one._version != self._version
        # compared by reference: an id may come again for a new gradient
        is_renewed = one.grad is None or self._gradient() is not one.grad
        self._version = one._version
        self._gradient = _no_tensor if one.grad is None else weakref.ref(one.grad)
        self._num_changes = self._num_changes + 1 if has_changed and is_renewed else 0
        return self._num_changes >= 3 or (self._calls >= _MANY and not has_any)


def _is_state_init_step(optimizer: Any, num_arguments: int) -> bool:
    """Tell whether an update is about to be made for the state alone.

    So torch's distributed checkpoints prepare an optimizer that has no state for saving and
    loading: they give it gradients of 0, rates of 0, and the closure ``None``. Numbers like these
    may also be a real update's, so the caller decides.
    """
    if optimizer.state or num_arguments < 2:
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name != "_init_optim_state":
        frame = frame.f_back
    return frame.f_code.co_name == "_init_optim_state"


def _was_skipped(optimizer: Any) -> bool:
    """Tell whether a fused optimizer left the update out.

    A scaler puts the flag there only for its own step.
    """
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf)


def _is_capturing() -> bool:
    cuda: Any = torch.cuda  # its functions have no types
    return bool(cuda.is_initialized() and cuda.is_current_stream_capturing())


def _no_tensor() -> None:
    """Stand for a reference to a gradient that is gone."""


def _autograd_sequence_number() -> int:
    """Return a number that grows whenever this thread computes something with a gradient."""
    return torch._C._autograd._get_sequence_nr()


def _has_finite_gradients(optimizer: Any) -> bool:
    gradients = (one.grad for one in optimizer_parameters(optimizer) if one.grad is not None)
    return all(bool(gradient.isfinite().all()) for gradient in gradients)
