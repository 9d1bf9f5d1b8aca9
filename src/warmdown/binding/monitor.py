"""The updates that optimizers really make, and what the calls of ``step()`` show beside them."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.field import has_gradients, hooked_optimizers, optimizer_parameters
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
    UpdatesUnseen,
    WarmdownWarning,
    nearest,
)
from warmdown.run import Run

Finish: TypeAlias = tuple[type[WarmdownWarning], dict[str, Any]]
"""A finding at the end of a run: its warning, and the facts in that."""
_MANY = 100
"""Updates without a step, or steps without an update, that are no accident."""
_VERY_MANY = 100_000
"""Updates without a metric, where the run's facts do not give the length of an epoch."""
autograd_sequence_number: Callable[[], int] = torch._C._autograd._get_sequence_nr
"""Returns a number that grows whenever this thread computes something with a gradient."""
_HOOKED = Optimizer.profile_hook_step(print).__code__
"""What torch wraps around every ``step()`` that runs hooks; a compiled part adds to its name."""


class UpdateMonitor:
    """Observes updates and steps; it keeps neither the scheduler nor an optimizer alive.

    It reaches the scheduler by functions that are given it, and references it weakly: methods that
    are bound weakly cost more at every update than what they do.

    Args:
        optimizers: Those whose updates count; a hook on each is removed by ``release``.
        scheduler: A weak reference to what each of the following is called with.
        count: Returns the updates counted so far.
        is_unfinished: Called with an optimizer's index; such an update is a part of the next one.
        before_update: Called with an optimizer's index.
        after_update: Called when an update counts.
        rebind: Called with ``None`` before an optimizer loads a state, and with it afterwards.
        stop_early: Called when steps without an update are to be counted no more.
        leave_marks: Called with an optimizer and the state that it gives to be saved.
        auto: Whether updates are counted without ``step()``: once for all optimizers.
        counts_always: Whether every ``step()`` counts, whatever was seen.
        strict: Whether warnings are raised.
    """

    def __init__(
        self,
        optimizers: Sequence[Any],
        scheduler: Callable[[], Any],
        *,
        count: Callable[[Any], int],
        is_unfinished: Callable[[Any, int], bool],
        before_update: Callable[[Any, int], None],
        after_update: Callable[[Any], None],
        rebind: Callable[[Any, Any], None],
        stop_early: Callable[[Any], None],
        leave_marks: Callable[[Any, Any, Any], None],
        auto: bool,
        counts_always: bool,
        strict: bool,
    ) -> None:
        self.scheduler, self.count, self.is_unfinished = scheduler, count, is_unfinished
        self.before_update, self.after_update = before_update, after_update
        self.rebind, self.stop_early, self.leave_marks = rebind, stop_early, leave_marks
        self.warnings = Warnings(strict=strict)
        self.auto = auto
        self.is_paused = self.ignores_updates = False
        self.updates = 0
        """Updates seen, of the optimizer that has made most."""
        self.hooks = [
            _OptimizerHooks(self, index, hooked)
            for index, optimizer in enumerate(optimizers)
            for hooked in hooked_optimizers(optimizer)
        ]
        self.counts_always = counts_always or not self.hooks
        self.saved_at = -1
        self._has_metric = False
        self._doubled = -1
        self._handles: list[Any] = []
        if auto and self.hooks:
            self._watch_parameter(optimizers)
        elif auto and optimizers:
            self._warn_unseen(optimizers)

    def restart(self, count: int, position: float, run: Run, optimizers: Sequence[Any]) -> None:
        """Forget how steps and updates alternated; the scheduler was put where it is."""
        self.early = _EarlySteps(count, position)
        if not self.auto:
            self.forget_early()
            if not self.counts_always:
                self.early.note_gradients(optimizers)
        self.run = run
        self._restarted, self._gives_first = autograd_sequence_number(), False
        for hooks in self.hooks:
            hooks.restart()

    def release(self) -> None:
        """Remove the hooks; an automatic scheduler that never counted leaves them to warn."""
        if self.updates or not self.auto:
            self.close()
        self.forget_early()

    def close(self) -> None:
        """Remove the hooks."""
        self.forget_early()
        for hooks in self.hooks:
            hooks.remove()

    def pause(self) -> None:
        """Observe no updates until ``go_on``: they are none of the run."""
        self.is_paused = True
        for hooks in self.hooks:
            hooks.remove()

    def go_on(self) -> None:
        """Observe updates again."""
        self.is_paused = False
        for hooks in self.hooks:
            hooks.attach()

    def ignore_updates(self) -> None:
        """Observe no more updates, only that an optimizer saves or loads a state."""
        self.forget_early()
        self.ignores_updates = True
        for hooks in self.hooks:
            hooks.remove()
            hooks.attach()

    def follows_update(self) -> bool:
        """Tell whether an automatic scheduler is given the data of the update made last.

        So it is where nothing was computed since; unless the loop gives them before the forward
        pass, from its first batch on.
        """
        now = autograd_sequence_number()
        made = [hooks for hooks in self.hooks if hooks.updates > hooks.first]
        if not made:
            self._gives_first = self._gives_first or now == self._restarted
        return not self._gives_first and any(now == hooks.worked for hooks in made)

    def should_count(self, optimizers: Iterable[Any]) -> bool:
        """Tell whether steps count that no update came before.

        Such a step belongs to a skipped update, to a micro-batch, to a loop that only draws the
        curve, to one that trains other optimizers first, or is a mistake.
        """
        if not self.updates:
            return self._should_count_early(list(optimizers))
        self.early.uncounted += 1
        now = autograd_sequence_number()
        if all(
            now == hooks.worked and hooks.is_by_autograd for hooks in self.hooks if hooks.updates
        ):
            # nothing was computed between two steps, at two updates in a row
            if self._doubled == self.updates - 1:
                self.warnings.warn_once(StepTwice)
            self._doubled = self.updates
        return False

    def _should_count_early(self, optimizers: Sequence[Any]) -> bool:
        early = self.early
        if not early.calls:
            self._watch_others()
        has_any = any(map(has_gradients, optimizers))
        is_idle = early.is_idle(optimizers)
        if early.is_drawing and is_idle:
            return True
        if early.is_drawing:
            self._end_drawing()
        kind = early.misuse(optimizers, has_any=has_any)
        if kind is UpdatesUnseen:
            self._warn_unseen(optimizers)
            self.count_always()
        elif kind:
            self.warnings.warn_once(kind, optimizer=type(optimizers[0]).__name__)
        return kind is not None and not early.others

    def _warn_unseen(self, optimizers: Sequence[Any]) -> None:
        meanwhile = "the values stand still" if self.auto else "every step() counts from now on"
        name = type(optimizers[0]).__name__
        self.warnings.warn_once(UpdatesUnseen, optimizer=name, meanwhile=meanwhile)

    def _watch_others(self) -> None:
        """Observe the updates of all optimizers, until the first of these is seen."""
        note = weakref.WeakMethod(self._note_other)

        def after(optimizer: Any, args: Any, kwargs: Any) -> None:
            # in a compiled update it is nothing at all, and breaks no graph
            if not torch.compiler.is_compiling() and (call := note()):
                call()

        self._handles.append(register_optimizer_step_post_hook(after))

    def _note_other(self) -> None:
        self.early.others += 1
        if self.early.is_drawing:
            self._end_drawing()

    def _end_drawing(self) -> None:
        if (scheduler := self.scheduler()) is not None:
            self.stop_early(scheduler)

    def _watch_parameter(self, optimizers: Sequence[Any]) -> None:
        """Look at each gradient of a parameter whether it changed, until an update is seen."""
        trained = (one for one in _every_parameter(optimizers) if one.requires_grad)
        one: Any = next((one for one in trained if one.is_leaf), None)
        if one is None:
            return
        monitor, versions = weakref.ref(self), {one._version}

        def check(parameter: torch.Tensor) -> None:
            versions.add(parameter._version)
            if (it := monitor()) and it.is_paused:
                versions.clear()
            elif len(versions) > 3 and it and not it.updates:
                it._warn_unseen(optimizers)

        self._handles.append(one.register_post_accumulate_grad_hook(check))

    def forget_early(self) -> None:
        """Observe no more what the first update ends."""
        while self._handles:
            self._handles.pop().remove()

    def tick(self) -> None:
        """Count once for all optimizers: each has made its update, or one starts another first."""
        for hooks in self.hooks:
            hooks.in_round = False
        if (scheduler := self.scheduler()) is not None:
            self.after_update(scheduler)

    def end_round(self) -> None:
        """Count the updates that other optimizers have not followed; they may rest."""
        if any(hooks.in_round for hooks in self.hooks):
            self.tick()

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
        """Warn of what :meth:`judge_finish` finds."""
        if found := self.judge_finish(count, position, end):
            category, facts = found
            self.warnings.warn_once(category, **facts)

    def judge_finish(self, count: int, position: float, end: int | None) -> Finish | None:
        """Return that updates were not counted, or that the run stopped before its plan's end.

        One that was saved there will go on.
        """
        counted = count - self.early.count
        made = [hooks.updates - hooks.first for hooks in self.hooks]
        if self.auto or self.counts_always:
            made = [counted]
        missing = min(made) - counted
        is_short = end is not None and position < end
        if not counted and max(made) > 1:
            return StepForgotten, {"updates": max(made)}
        if missing > 1 and missing >= counted:
            return StepPerEpoch, {"ratio": round(min(made) / counted)}
        if missing > 1 and is_short:
            return StepForgotten, {"updates": missing}
        if is_short and self.saved_at != count:
            return StoppedEarly, {"position": position, "end": end, "unit": self.run.clock}
        return None

    def check_gaps(self, count: int, hooks: _OptimizerHooks) -> None:
        """Warn of updates that were not counted, on every optimizer."""
        if count == hooks.count:
            hooks.missed += 1
            many = max(_MANY, self.run.steps_per_epoch or 0, 3 * hooks.gap)
            if hooks.missed >= many and all(each.missed >= _MANY for each in self.hooks):
                self.warnings.warn_once(StepForgotten, updates=hooks.missed + 1)
            return
        before, hooks.gap = hooks.gap, hooks.missed + 1
        if hooks.count is not None and hooks.gap > 1:
            # at the second stretch in a row of as many updates for one step, or a known epoch
            is_steady = abs(hooks.gap - before) <= hooks.gap // 10
            is_epoch = hooks.gap == self.run.steps_per_epoch
            if (is_steady or is_epoch) and all(each.gap > 1 for each in self.hooks):
                self.warnings.warn_once(StepPerEpoch, ratio=hooks.gap)
        hooks.count, hooks.missed = count, 0


class _OptimizerHooks:
    """The hooks on one optimizer; nothing is patched, and the optimizer is not kept alive."""

    def __init__(self, monitor: UpdateMonitor, index: int, optimizers: Sequence[Any]) -> None:
        self._monitor, self._index = monitor, index
        self.updates = self._depth = 0
        self.count: int | None = None
        self.in_round = self._is_ignored = self.is_by_autograd = False
        self.worked = autograd_sequence_number()
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self.attach()

    def attach(self) -> None:
        """Begin to observe, or go on."""
        optimizers: Any = [reference() for reference in self._optimizers]
        self._handles = [
            optimizers[0].register_state_dict_post_hook(self._after_save),
            optimizers[0].register_load_state_dict_pre_hook(self._before_load),
            optimizers[0].register_load_state_dict_post_hook(self._after_load),
        ]
        for optimizer in () if self._monitor.ignores_updates else optimizers:
            self._handles += [
                optimizer.register_step_pre_hook(self._before),
                optimizer.register_step_post_hook(self._after),
            ]

    def restart(self) -> None:
        """Forget how steps and updates alternated so far."""
        self.first, self.count = self.updates, None
        self.missed = self.gap = 0

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    @leave_uncompiled
    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        # an error within an update leaves it open
        self._depth = self._depth + 1 if self._depth and _is_within_update() else 1
        if self._depth > 1:
            return
        monitor, scheduler = self._monitor, self._monitor.scheduler()
        # the state is looked at here: a call costs more than all the rest of it
        self._is_ignored = (
            not optimizer.state and _is_state_init_step(len(args) + len(kwargs))
        ) or (scheduler is not None and monitor.is_unfinished(scheduler, self._index))
        if self._is_ignored:
            return
        if scheduler is None:
            monitor.warnings.warn_once(SchedulerLost)
            return
        if self.in_round:
            monitor.tick()
        if not monitor.updates:
            monitor.forget_early()
            monitor.early.note_update()
        elif monitor.updates == 1:
            monitor.early.check_order(monitor.count(scheduler), monitor.warnings)
        monitor.before_update(scheduler, self._index)

    @leave_uncompiled
    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._depth > 1 and _is_within_update():
            self._depth -= 1
            return
        self._depth = 0
        monitor, scheduler = self._monitor, self._monitor.scheduler()
        if _is_capturing():  # first: while a graph is captured, nothing may be read from the device
            monitor.count_always()
            if scheduler is not None and not monitor.auto:
                monitor.after_update(scheduler)
            return
        if self._is_ignored or _was_skipped(optimizer):
            return
        self.updates += 1
        before, self.worked = self.worked, autograd_sequence_number()
        self.is_by_autograd = self.worked != before
        if self.updates > monitor.updates:
            monitor.updates = self.updates
        if monitor.auto:
            self.in_round = True
            if all(hooks.in_round for hooks in monitor.hooks):
                monitor.tick()
        elif scheduler is not None:
            monitor.after_update(scheduler)
            if not monitor.counts_always:
                monitor.check_gaps(monitor.count(scheduler), self)

    def _after_save(self, optimizer: Any, state: Any) -> None:
        if (scheduler := self._monitor.scheduler()) is not None:
            self._monitor.leave_marks(scheduler, optimizer, state)

    def _before_load(self, optimizer: Any, state: Any) -> None:
        if (scheduler := self._monitor.scheduler()) is not None:
            # while those that joined still have what they joined with
            self._monitor.rebind(scheduler, None)

    def _after_load(self, optimizer: Any) -> None:
        if (scheduler := self._monitor.scheduler()) is not None:
            self._monitor.rebind(scheduler, optimizer)


class _EarlySteps:
    """The steps before the first update: a rehearsal, skipped updates, micro-batches, or a slip.

    Args:
        count: Where an early step leads back to.
        position: The same on the clock.
    """

    def __init__(self, count: int, position: float) -> None:
        self.count, self.position = count, position
        self.calls = self.others = 0
        """Steps, and updates that other optimizers have made since the first of them."""
        self.is_drawing = self.was_slip = False
        """Whether nothing was computed with these steps; whether there was one alone."""
        self.drawn = self.uncounted = 0
        """Such steps, where they were many; steps without an update between the first two."""
        self._worked = autograd_sequence_number()
        self._were_finite = False
        self._num_changes = 0
        self._version: int | None = None
        self._gradient: Callable[[], Any] = _no_tensor
        self._noted: tuple[Callable[[], Any], int] = _no_tensor, 0

    def is_idle(self, optimizers: Sequence[Any]) -> bool:
        """Tell whether nothing was computed since the step before.

        Gradients may also be made without autograd, and lie there for an update to come.
        """
        before, self._worked = self._worked, autograd_sequence_number()
        self.calls += 1
        is_idle = self.note_gradients(optimizers) and before == self._worked
        if self.calls == 1:
            self.is_drawing = is_idle
            has_any = self._noted[0]() is not None
            self._were_finite = has_any and all(
                bool(gradient.isfinite().all()) for gradient in _every_gradient(optimizers)
            )
        return is_idle

    def note_gradients(self, optimizers: Sequence[Any]) -> bool:
        """Note the first gradient there is, and tell whether it is that of before, untouched."""
        gradient = next(_every_gradient(optimizers), None)
        known, version = self._noted
        if gradient is None:
            self._noted = _no_tensor, 0
        else:
            self._noted = weakref.ref(gradient), gradient._version
        return known() is gradient and version == self._noted[1]

    def misuse(self, optimizers: Sequence[Any], *, has_any: bool) -> type[WarmdownWarning] | None:
        """Return what it means that a step was called, and no update was made."""
        one = next((one for one in _every_parameter(optimizers) if one.requires_grad), None)
        if one is None:
            return None
        has_changed = self._version is not None and one._version != self._version
        # compared by reference: an id may come again for a new gradient
        is_renewed = one.grad is None or self._gradient() is not one.grad
        self._version = one._version
        self._gradient = _no_tensor if one.grad is None else weakref.ref(one.grad)
        self._num_changes = self._num_changes + 1 if has_changed and is_renewed else 0
        if self._num_changes >= 3:
            return OptimizerUnused if self.others else UpdatesUnseen
        return OptimizerUnused if self.calls >= _MANY and not has_any else None

    def note_update(self) -> None:
        """Note whether anything was computed between the one step and the first update."""
        is_next = self.calls == 1 and self._worked == autograd_sequence_number()
        self.was_slip |= is_next and self._were_finite

    def check_order(self, count: int, warnings: Warnings) -> None:
        """Warn at the second update of a loop whose first step came before its first update."""
        if self.was_slip and not self.uncounted and count == self.count + 1:
            warnings.warn_once(StepBeforeUpdate)


def _is_state_init_step(num_arguments: int) -> bool:
    """Tell whether the update of an optimizer without a state is made for the state alone.

    So torch's distributed checkpoints prepare an optimizer that has no state for saving and
    loading: they give it gradients of 0, rates of 0, and the closure ``None``. Numbers like these
    may also be a real update's, so the caller decides.
    """
    if num_arguments < 2:
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name != "_init_optim_state":
        frame = frame.f_back
    return frame.f_code.co_name == "_init_optim_state"


def _is_within_update() -> bool:
    """Tell whether the optimizer that runs a hook now was called by another, or by itself."""
    frame, calls = sys._getframe(1), 0
    while frame.f_back is not None and calls < 2:
        frame = frame.f_back
        code = frame.f_code
        calls += code.co_filename == _HOOKED.co_filename and _HOOKED.co_name in code.co_name
    return calls > 1


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


def _every_parameter(optimizers: Iterable[Any]) -> Iterator[torch.Tensor]:
    return chain.from_iterable(map(optimizer_parameters, optimizers))


def _every_gradient(optimizers: Iterable[Any]) -> Iterator[torch.Tensor]:
    return (one.grad for one in _every_parameter(optimizers) if one.grad is not None)
