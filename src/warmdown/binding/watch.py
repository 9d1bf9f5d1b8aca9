"""Sees the updates that an optimizer really makes, and judges the calls of ``step()`` by them."""

from __future__ import annotations

__all__ = ["Watch"]

import atexit
import math
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from warmdown.binding.course import Course
from warmdown.binding.field import has_gradients, is_state_init_step, parameters_of
from warmdown.binding.misuse import Findings
from warmdown.errors import WarmdownWarning

if TYPE_CHECKING:
    from warmdown.binding.scheduler import Scheduler

_MANY = 100
"""Updates without a step, or steps without an update, from which on it is no accident."""
_VERY_MANY = 100_000
"""Updates without a metric, where the run's facts do not say how long an epoch is."""


class Watch:
    """What is known of the updates between two steps of a scheduler; it keeps neither it nor an optimizer alive.

    Args:
        scheduler: The scheduler, held weakly.
        optimizers: Those whose updates count; a hook on each is removed when the scheduler goes.
        trusts: Whether every call of ``step()`` counts, whatever was seen.
        strict: Whether to raise instead of warning.
    """

    def __init__(
        self, scheduler: Scheduler, optimizers: list[Any], *, trusts: bool, strict: bool
    ) -> None:
        self.scheduler = weakref.ref(scheduler)
        self.findings = Findings(strict=strict)
        self.updates = 0
        """Updates seen, of the optimizer that has made most."""
        self.eyes = [
            _Eye(self, place, one) for place, one in enumerate(optimizers) if _can_be_watched(one)
        ]
        self.trusts_always = trusts or not self.eyes
        self.was_saved_at = -1
        self._has_heard = False
        self._doubled = -1
        self._first = _FirstSteps(scheduler)
        weakref.finalize(
            scheduler, _let_go, weakref.ref(self), scheduler.auto, self._handles()
        ).atexit = False
        _look_back_at_exit(self)

    def _handles(self) -> list[Any]:
        return [handle for eye in self.eyes for handle in eye.handles]

    def restart(self, scheduler: Scheduler) -> None:
        """Forget how steps and updates alternated until the scheduler was put where it is."""
        self._first = _FirstSteps(scheduler)
        for eye in self.eyes:
            eye.restart()

    def may_trust(self, scheduler: Scheduler) -> bool:
        """Tell whether steps count that no update came before.

        Such a step belongs to a skipped update, to a micro-batch, to a loop that only draws the
        curve, or is a mistake.
        """
        if not self.updates:
            return self._first.may_trust(self, scheduler)
        self._first.was_disturbed = True
        worked = _work()
        if all(worked == eye.worked for eye in self.eyes if eye.updates):
            self._note_double()
        return False

    def _note_double(self) -> None:
        """Say so at the second update in a row that is stepped twice with nothing computed between."""
        if self._doubled == self.updates - 1:
            self.findings.step_twice()
        self._doubled = self.updates

    def begins(self, eye: _Eye) -> None:
        """Look at everything once before an update is made."""
        scheduler = self.scheduler()
        if scheduler is None:
            self.findings.scheduler_lost()
            return
        if eye.in_round:
            self._tick(scheduler)
        if not self.updates:
            self._end_rehearsal(scheduler)
        elif self.updates == 1:
            self._first.judge(self, scheduler)
        scheduler._attend(eye.place, eye.updates)

    def ends(self, eye: _Eye) -> None:
        """Count an update that was made."""
        scheduler = self.scheduler()
        if scheduler is None:
            return
        if not scheduler.auto:
            scheduler._pen.fresh = True
            if not self.trusts_always:
                eye.compare(scheduler)
            return
        eye.in_round = True
        if all(each.in_round for each in self.eyes):
            self._tick(scheduler)

    def _tick(self, scheduler: Scheduler) -> None:
        """Tick once for all optimizers: when each has made its update, or one begins another before the rest."""
        for eye in self.eyes:
            eye.in_round = False
        scheduler._tick()

    def _end_rehearsal(self, scheduler: Scheduler) -> None:
        """Stop trusting at the first real update; one step before it was a slip, many were a way to get somewhere."""
        if scheduler._pen.trusting and not self.trusts_always:
            scheduler._pen.trust(False)
            if scheduler.count == self._first.count + 1:
                scheduler._pen.go(self._first.count, self._first.position)
                self.findings.step_before_update()

    def captured(self) -> None:
        """Trust every step from now on: replays of a captured update run no hook."""
        self.trusts_always = True
        if scheduler := self.scheduler():
            scheduler._pen.trust(not scheduler.auto)

    def hear(self, course: Course, told: Mapping[str, float]) -> None:
        """Judge what was told by what is waited for."""
        waited_for = {schedule.metric for schedule in course.feedbacks()}
        self._has_heard = self._has_heard or bool(waited_for & told.keys())
        if not waited_for & told.keys():
            self.findings.metric_unused(told, waited_for)
        for name in sorted(waited_for & told.keys()):
            if math.isnan(told[name]):
                self.findings.metric_unusable(name, told[name])

    def miss_metrics(self, scheduler: Scheduler) -> None:
        """Say so when a metric should have been told long ago: after two epochs, or half of the run."""
        course = scheduler._pen.course
        if self._has_heard or not (waiting := [schedule.metric for schedule in course.feedbacks()]):
            return
        made, run = scheduler.count - self._first.count, scheduler.run
        patience = (
            2 * run.steps_per_epoch
            if run.steps_per_epoch
            else (run.total_steps or 2 * _VERY_MANY) // 2
        )
        if made > patience:
            self.findings.metric_forgotten(waiting, made)

    def pass_the_end(self, scheduler: Scheduler, end: int) -> None:
        """Say that the run goes on past its plan's end; at ten times its length, what that probably means."""
        if self.eyes and not self.updates:
            return  # nothing trains: the curve is only drawn
        if scheduler.position >= 10 * end:
            self.findings.step_per_update(scheduler.count, end)
        else:
            self.findings.past_end(end, scheduler.run.clock)

    def finish(self, scheduler: Scheduler) -> None:
        """Say that the run stopped before its plan's end; one that was saved there will go on."""
        end, position = scheduler._pen.course.end, scheduler.position
        if end is not None and position < end and self.was_saved_at != scheduler.count:
            self.findings.stopped_early(position, end, scheduler.run.clock)


class _Eye:
    """Watches one optimizer through its own hooks; nothing is patched, and the optimizer is not held.

    Args:
        watch: Whom to tell.
        place: Which of the optimizers this is.
        optimizer: The optimizer.
    """

    def __init__(self, watch: Watch, place: int, optimizer: Any) -> None:
        self._watch, self.place = watch, place
        self.updates = 0
        self.in_round = self._is_for_state = False
        self.worked = _work()
        self.restart()
        # a compiled update runs them as they are: traced, they would be part of the graph, and run
        # no more
        self.handles = [
            optimizer.register_step_pre_hook(torch.compiler.disable(self._before)),  # type: ignore[no-untyped-call]
            optimizer.register_step_post_hook(torch.compiler.disable(self._after)),  # type: ignore[no-untyped-call]
            optimizer.register_load_state_dict_pre_hook(self._loads),
            optimizer.register_load_state_dict_post_hook(self._loaded),
        ]

    def restart(self) -> None:
        """Forget how steps and updates alternated so far."""
        self._count: int | None = None
        self.missed = self.gap = self._last_gap = 0

    def compare(self, scheduler: Scheduler) -> None:
        """Notice updates that the scheduler did not count; with several optimizers, only what all of them show."""
        count = scheduler.count
        if count == self._count:
            self.missed += 1
            many = max(_MANY, scheduler.run.steps_per_epoch or 0, 3 * self.gap)
            if self.missed >= many and all(eye.missed >= _MANY for eye in self._watch.eyes):
                self._watch.findings.step_forgotten(self.missed + 1)
            return
        if self._count is not None:
            self._last_gap, self.gap = self.gap, self.missed + 1
            if self.gap > 1:
                self._judge_gap()
        self._count, self.missed = count, 0

    def _judge_gap(self) -> None:
        """Say so at the second stretch in a row of as many updates for one step."""
        is_steady = abs(self.gap - self._last_gap) <= self.gap // 10
        if is_steady and all(eye.gap > 1 for eye in self._watch.eyes):
            self._watch.findings.step_per_epoch(self.gap)

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._is_for_state = not _is_capturing() and is_state_init_step(optimizer)
        if not self._is_for_state:
            self._watch.begins(self)

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if (
            _is_capturing()
        ):  # asked first: while a graph is captured, nothing may be read from the device
            self._watch.captured()
            return
        if self._is_for_state or _was_skipped(optimizer):
            return
        self.updates += 1
        self.worked = _work()
        self._watch.updates = max(self._watch.updates, self.updates)
        self._watch.ends(self)

    def _loads(self, optimizer: Any, state: Any) -> None:
        if scheduler := self._watch.scheduler():
            scheduler._follow_groups()  # while those that joined still hold what they joined with

    def _loaded(self, optimizer: Any) -> None:
        if scheduler := self._watch.scheduler():
            scheduler._reload(optimizer)


class _FirstSteps:
    """Judges the steps before the first update: a rehearsal, a skipped update, micro-batches, or out of order.

    Args:
        scheduler: Where it was put is where an early step leads back to.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.count, self.position = scheduler.count, scheduler.position
        self.was_disturbed = False
        self._worked = _work()
        self._calls = 0
        self._were_finite = False
        self._strange = 0
        self._version: int | None = None
        self._gradient: Callable[[], Any] = _nothing

    def may_trust(self, watch: Watch, scheduler: Scheduler) -> bool:
        """Trust a scheduler that is stepped with nothing computed; else wait for an update."""
        self._calls += 1
        if self._calls == 1:
            if _work() == self._worked and not any(map(has_gradients, scheduler.optimizers)):
                return (
                    True  # gradients may also be made by hand, and lie there for an update to come
                )
            self._were_finite = _has_finite_gradients(scheduler)
        if self._is_another_training(scheduler):
            watch.findings.optimizer_unused(type(scheduler.optimizer).__name__)
            return True
        return False

    def judge(self, watch: Watch, scheduler: Scheduler) -> None:
        """Judge the first step when the second update comes: its loop has the two in the wrong order, or it has not."""
        in_turn = self._calls == 1 and not self.was_disturbed and scheduler.count == self.count + 1
        if in_turn and self._were_finite:
            watch.findings.step_before_update()

    def _is_another_training(self, scheduler: Scheduler) -> bool:
        """Tell whether parameters change while no gradients pile up for an update to come, or there never are any."""
        one = next(
            (
                one
                for each in scheduler.optimizers
                for one in parameters_of(each)
                if one.requires_grad
            ),
            None,
        )
        if one is None:
            return False
        has_changed = self._version is not None and one._version != self._version
        is_renewed = (
            one.grad is None or self._gradient() is not one.grad
        )  # an id may come again for a new one
        self._version, self._gradient = (
            one._version,
            _nothing if one.grad is None else weakref.ref(one.grad),
        )
        self._strange = self._strange + 1 if has_changed and is_renewed else 0
        return self._strange >= 3 or (
            self._calls >= _MANY and not any(map(has_gradients, scheduler.optimizers))
        )


def _can_be_watched(optimizer: Any) -> bool:
    return isinstance(optimizer, Optimizer) and hasattr(optimizer, "_optimizer_step_post_hooks")


def _was_skipped(optimizer: Any) -> bool:
    """Tell whether a fused optimizer left the update out; a scaler puts the flag there only for its own step."""
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf)


def _is_capturing() -> bool:
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]


def _nothing() -> None:
    """Stand for what is gone."""


def _work() -> int:
    """Return a number that grows whenever this thread computes something with a gradient."""
    return torch._C._autograd._get_sequence_nr()


def _has_finite_gradients(scheduler: Scheduler) -> bool:
    gradients = [
        one.grad
        for each in scheduler.optimizers
        for one in parameters_of(each)
        if one.grad is not None
    ]
    return bool(gradients) and all(bool(gradient.isfinite().all()) for gradient in gradients)


def _let_go(watch: weakref.ref[Watch], was_auto: bool, handles: list[Any]) -> None:
    """Leave the optimizer alone; but where a scheduler was to count by itself and never did, stay to say so."""
    eyes = watch()
    if was_auto and eyes is not None and not eyes.updates:
        return
    for handle in handles:
        handle.remove()


_WATCHES: weakref.WeakSet[Watch] = weakref.WeakSet()


def _look_back_at_exit(watch: Watch) -> None:
    if not _WATCHES:
        atexit.register(_look_back)
    _WATCHES.add(watch)


def _look_back() -> None:
    """Say which schedulers that trained stopped before their end, unless an error is why the process ends."""
    if getattr(sys, "last_value", None) is not None:
        return
    for watch in list(_WATCHES):
        scheduler = watch.scheduler()
        if scheduler is not None and watch.updates:
            try:
                watch.finish(scheduler)
            except WarmdownWarning as finding:
                print(f"{type(finding).__name__}: {finding}", file=sys.stderr)
