"""A plan bound to live objects: it counts, and it is the only thing that writes."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import lr_scheduler as torch_sched
from torch.optim.lr_scheduler import LRScheduler

from warmdown.binding.clock import (
    AllGather,
    Clock,
    all_gather,
    await_ranks,
    clock_of,
    mean_over_ranks,
)
from warmdown.binding.compiled import leave_uncompiled
from warmdown.binding.events import EVENTS, decayed, extended, postponed, rescaled
from warmdown.binding.field import unwrap
from warmdown.binding.groups import print_rate
from warmdown.binding.joining import OnChange
from warmdown.binding.loading import loader_numbers, plan_of_loader, samples_now
from warmdown.binding.misuse import Warnings, warn_of_amount, warn_of_batch, warn_of_values
from warmdown.binding.monitor import Finish, UpdateMonitor
from warmdown.binding.state import read_state, write_state
from warmdown.binding.targets import ValueWriter
from warmdown.binding.timeline import PlanEvent, Timeline
from warmdown.errors import (
    BaseDiffers,
    BindingError,
    ClearArguments,
    ForeignWrite,
    ScheduleError,
    StateError,
    WarmdownWarning,
    nearest,
    shortly,
    unknown_attribute,
    warn_renamed,
)
from warmdown.plan import AfterEnd, Count, Given, Plan, instead_of
from warmdown.registry import provided
from warmdown.run import Duration, Run, RunLike, run_of
from warmdown.schedules import Phase, Scale, Schedule, Set
from warmdown.schedules.parameters import parameters_of

if TYPE_CHECKING:
    from os import PathLike

    from warmdown.binding.commands import Commands
    from warmdown.mailbox import Request
    from warmdown.record import Record

_SHOWN_VALUES = 6
"""Groups whose values a text for people has."""
_COMPOSING: Mapping[object, bool] = {
    torch_sched.SequentialLR.__init__.__code__: False,
    torch_sched.ChainedScheduler.__init__.__code__: True,
    "ignite.handlers.param_scheduler": False,
}
"""Code, or a module, that drives the schedulers it is given; whether it multiplies them."""
_TORCH_ARGUMENTS = {
    "last_epoch": "To go on, load the optimizer and the scheduler's state, or call seek(count).",
    "verbose": "Print scheduler.get_last_lr() where the rate is to be seen.",
}
"""Arguments of torch's schedulers that are not of this one, and what there is instead."""


_OTHER_ATTRIBUTES = {
    **dict.fromkeys(
        ("lr", "last_lr", "learning_rate", "current_lr", "get_current_lr"),
        "get_last_lr() has the present rates, values() all that is driven.",
    ),
    **dict.fromkeys(("show", "draw"), "scheduler.plot() draws it."),
    **dict.fromkeys(("save", "load"), "Use state_dict() and load_state_dict(state)."),
    **dict.fromkeys(("step_update", "update"), "Call step() after each optimizer.step()."),
    **dict.fromkeys(("reset", "restart"), "seek(0) begins again."),
}
"""What people look for at a scheduler, and what there is."""


class Scheduler(LRScheduler, metaclass=ClearArguments):
    """Drives numbers of live objects by a plan; construction writes the values of update 0.

    It is accepted wherever a torch ``LRScheduler`` is. It patches nothing and does not keep itself
    alive.

    Args:
        optimizer: An optimizer, or several, that the targets name fields of.
        plan: A plan, instead of targets; or a schedule for ``lr``, targets by name, the path of a
            plan file, or data as in one.
        run: Facts about the run, for open lengths such as ``"5%"``; a number is its updates.
        total_steps: Optimizer updates in the whole run.
        epochs: Passes over the data.
        steps_per_epoch: Optimizer updates in one epoch.
        auto: Count the optimizer's own updates; ``step()`` then only gives the data that they used:
            right after an update those of that update, else those of the next one.
        count_by: ``"updates"`` that were really made, or all ``"attempts"``: then every ``step()``
            counts.
        after_end: ``"hold"`` the last value past the planned end, or ``"raise"``.
        strict: Raise where a warning would be given.
        on_change: What happens when a saved state is of another plan; see ``load_state_dict``.
        bind: Plain objects by target name: ``{"kl": Attribute(model, "kl_weight")}``, a function of
            one number, or a list of both.
        timer: Seconds from any beginning, for plans over time.
        all_gather: Gives all processes what each of them has; torch.distributed's by default.
        commands: The folder of the run, in which it listens for what ``warmdown tell`` asks; or
            ``Commands``, with how often.
        targets: A schedule, ``Scale``, ``Set``, or a mapping from group to one of them, for each
            field.

    Raises:
        BindingError: A target names something the optimizer does not have.
        ScheduleError: The phases do not fit into the run.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.count, scheduler.values()
        (2, {'lr/0': 0.2})
    """

    of_arguments = BindingError
    _is_factor: bool | None = None
    """Whether another scheduler multiplies it, or gives it its turn; ``None`` where none has it."""

    def __init__(
        self,
        optimizer: Any,
        plan: Any = None,
        *,
        run: RunLike | None = None,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        auto: bool = False,
        count_by: Count = "updates",
        after_end: AfterEnd = "hold",
        strict: bool = False,
        on_change: OnChange = "error",
        bind: Mapping[str, Any] | None = None,
        timer: Callable[[], float] = time.monotonic,
        all_gather: AllGather = all_gather,
        commands: str | PathLike[str] | Commands | None = None,
        **targets: Given,
    ) -> None:
        former: dict[str, Any] = dict(targets)
        if isinstance(former.get("count"), str):
            warn_renamed("Scheduler(count=)", "count_by=", level=4)
            count_by = former.pop("count")
        if callable(former.get("everywhere")):
            warn_renamed("Scheduler(everywhere=)", "all_gather=", level=4)
            all_gather = former.pop("everywhere")
        _refuse_swapped(optimizer)
        facts = {"total_steps": total_steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
        if any(fact is not None for fact in facts.values()):
            if run is None and isinstance(plan, Plan):
                known = {name: fact for name, fact in facts.items() if fact is not None}
                from warmdown.planfile.plans import merge_run_facts  # see _plan_from_arguments

                run = Run(**merge_run_facts(plan.run.to_dict(), known))
            else:
                run = run_of(run, "Scheduler", **facts)
        self.optimizers = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
        self.auto, self.strict, self.on_change = auto, strict, on_change
        self._objects, self._timer, self._all_gather = dict(bind or {}), timer, all_gather
        self.requests: set[str] = set()
        """What the loop is asked to do, ``"checkpoint"`` or ``"stop"``, on every process; the loop
        takes out what it has done."""
        self.commands: Commands | None = None
        plan = _plan_from_arguments(plan, former, run=run, after_end=after_end, count=count_by)
        self._bind(Timeline(plan_of_loader(plan, self._objects)))
        if commands is not None:
            self.listen(commands)
        self._warn_of_bases(only_changed=True)
        warn_of_values(self.writer, self.monitor.warnings)
        given = replace(self.writer.timeline.given, run=self.run)
        warn_of_batch(self.monitor.warnings, given, self.run.samples_per_step)

    if not TYPE_CHECKING:  # a checker is to miss what is not there

        def __getattr__(self, name: str) -> Any:
            raise unknown_attribute(self, name, _OTHER_ATTRIBUTES)

    def _bind(self, timeline: Timeline) -> None:
        clock = self._clock_of(timeline.plan.run)
        is_part = self._is_factor is not None
        self.writer = ValueWriter(self.optimizers, self._objects, timeline, clock, is_part=is_part)
        self.monitor = UpdateMonitor(
            self.writer.groups.optimizers,
            weakref.ref(self),
            count=Scheduler._get_count,
            is_unfinished=Scheduler._is_unfinished,
            before_update=Scheduler._before_update,
            after_update=Scheduler._after_update,
            rebind=Scheduler._rebind,
            stop_early=Scheduler._stop_early,
            leave_marks=Scheduler._leave_marks,
            auto=self.auto,
            counts_always=timeline.plan.count == "attempts",
            strict=self.strict,
        )
        if is_part:
            self.monitor.ignore_updates()
        for number in loader_numbers(self._objects):
            number.attach(self)
        weakref.finalize(self, self.monitor.release).atexit = False
        _warn_at_exit(self)
        self._restart()

    def __repr__(self) -> str:
        """Return count, phase and present values; a scheduler that is not yet whole has none."""
        writer = vars(self).get("writer")
        if writer is None:
            return f"<{type(self).__name__}, not yet made>"
        end, phase = writer.timeline.end, self.phase
        of = "" if end is None else f" of {end:,}"
        closed = ", closed" if writer.is_closed else ""
        values = [f"{label} = {value:.4g}" for label, value in self.values().items()]
        more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
        return (
            f"<{type(self).__name__} at {self.position:,.12g}{of} {self.run.clock}"
            f"{f', {phase.name}' if phase else ''}{closed}: "
            f"{', '.join(values[:_SHOWN_VALUES])}{more}>"
        )

    def __del__(self) -> None:
        # a scheduler that is local to a function ends with it, and the process may end after it
        if self in _ALIVE and self.monitor.updates and _ENDED.findings is not None:
            self.monitor.end_round()
            found = self.monitor.judge_finish(self.count, self.position, self.writer.timeline.end)
            _ENDED.findings.append((self.monitor.warnings, found))

    @leave_uncompiled
    # the two are not keyword-only: that alone would make each call a third slower
    def step(
        self,
        epoch: float | Tensor | None = None,
        samples: float | None = None,
        tokens: float | None = None,
    ) -> None:
        """Count an update that was made, and write the values that the next one uses.

        A call that no update came before counts nothing: the update was skipped, or its gradients
        are not whole yet.

        Args:
            epoch: Never taken: an epoch in its place is refused. A float is the metric that the
                plan follows, if it follows one, and nothing is counted then: so frameworks call it
                that monitor a metric.
            samples: Samples that the update used, over all processes, where the clock counts them;
                with 0 an update is counted, and the clock stands.
            tokens: Tokens that it used, likewise.

        Raises:
            BindingError: An epoch was given, or a metric where the plan does not follow just one.
            ScheduleError: The plan has ended, and was to raise then.
        """
        writer = self.writer
        if writer.update_seen and epoch is None:
            writer.update_seen = writer.counts_every_step
            index = writer.index + 1
            if index > writer.last:
                self._refill(samples, tokens)
            else:
                writer.index = index
                write = writer.write
                if write is not None:
                    write(index)
        else:
            self._step_without_update(epoch, samples, tokens)

    @property
    def count(self) -> int:
        """Updates counted so far; the next update has this number."""
        return self.writer.count

    @property
    def position(self) -> float:
        """Where the clock stands: the count, or the samples, tokens or seconds used."""
        return self.writer.position

    @leave_uncompiled
    def seek(self, count: int) -> None:
        """Go to an update by its number alone; the values are those of an unbroken run.

        Args:
            count: The update to be made next. Where the clock counts data or seconds, the amount
                used before it.

        Raises:
            ScheduleError: The number is negative.
        """
        if not _is_count(count):
            raise ScheduleError(
                f"Scheduler.seek({count!r}): an update has a whole number from 0 on. To begin "
                "again: seek(0). Schedules one after the other are one plan: first >> second."
            )
        writer = self.writer
        writer.require_open()
        writer.set_bases(writer.infer_bases(writer.timeline, float(count), {}))
        self._go(int(count), float(count))

    @property
    def plan(self) -> Plan:
        """The plan as it was given, its lengths measured; events do not change it."""
        return self.writer.timeline.plan

    @property
    def run(self) -> Run:
        """Facts about the run."""
        return self.plan.run

    @property
    def events(self) -> tuple[PlanEvent, ...]:
        """What has happened to the plan."""
        return self.writer.timeline.events

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that the plan follows, in order."""
        return sorted({schedule.metric for schedule in self.writer.timeline.feedbacks()})

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The named stretches of the rate, or of the first target where no rate is driven."""
        timeline = self.writer.timeline
        targets = timeline.targets_named("lr") or list(timeline.lines.values())[:1]
        return tuple(targets[0].phases()) if targets else ()

    @property
    def phase(self) -> Phase | None:
        """The stretch that the next update lies in."""
        position = self.position
        for phase in self.phases:
            if phase.contains(position):
                return phase
        return None

    @leave_uncompiled
    def value(self, step: float, target: str = "lr", group: int | str = 0) -> float:
        """Return what update ``step`` uses, past or to come.

        Args:
            step: The update's number; where the clock counts data or seconds, the amount used
                before it.
            target: The field.
            group: The group's name or index.

        Raises:
            BindingError: No such number is driven.
        """
        return self.writer.find(target, group).value(self.writer.timeline, float(step))

    @leave_uncompiled
    def values(self) -> dict[str, float]:
        """Return the present values, by ``target/group``."""
        return self.writer.read()

    @leave_uncompiled
    def last_values(self) -> dict[str, float]:
        """Return what the update counted last used, by ``target/group``, as the plan gives it.

        Nothing before the first, nor right after a load or a ``seek`` where the clock counts data
        or seconds.

        Example:
            >>> import torch, warmdown as wd
            >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
            >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
            >>> optimizer.step()
            >>> scheduler.step()
            >>> scheduler.last_values(), scheduler.values()
            ({'lr/0': 0.4}, {'lr/0': 0.30000000000000004})
        """
        return self.writer.last_values()

    @leave_uncompiled
    def observe(self, **metrics: float) -> None:
        """Give what was measured after the last update to the schedules that follow it.

        Call it on every process, or on none: they agree on the mean of those that measured. One
        that measured nothing calls ``observe()``.

        Args:
            metrics: Numbers by name.

        Raises:
            BindingError: Another process did not call it within five minutes.
        """
        writer = self.writer
        writer.require_open()
        if self._all_gather is all_gather:
            await_ranks(writer.count, has_metrics=bool(metrics))
        means = mean_over_ranks(self._all_gather(metrics))
        if not means:
            return
        self.monitor.check_metrics(self.metrics, means)
        writer.timeline.observe(writer.position, means)
        writer.follow(writer.timeline)

    def decay_now(
        self,
        over: Duration = "rest",
        curve: Schedule | str | None = None,
        target: str = "lr",
        *,
        group: int | str | None = None,
        optimizer: Any = None,
    ) -> None:
        """Begin the last decay, whatever the plan; the run and a trainer end with it.

        Where several fields or groups decay, the run ends with the last of them. It scales the
        value reached, so a plateau keeps its level from here on, whatever is observed.

        Args:
            over: Its length.
            curve: What scales the value reached, or the name of a shape; a straight line from 1 to
                0 by default. It is given that length.
            target: The field that decays, or with its group: ``"lr/head"``.
            group: Only this group of it, by name or index, or those that fit a pattern.
            optimizer: Only the groups of this optimizer, or of the one with this index.

        Raises:
            ScheduleError: It would have no length.
            BindingError: There is no such field or group.
        """
        self._apply_event(decayed, over, curve, target, group, optimizer)

    def rescale(
        self,
        factor: float,
        target: str = "lr",
        *,
        group: int | str | None = None,
        optimizer: Any = None,
        over: Duration | None = None,
    ) -> None:
        """Multiply every value from now on, or for a while.

        Args:
            factor: A finite number, not negative.
            target: The field, or with its group: ``"lr/head"``.
            group: Only this group of it, by name or index, or those that fit a pattern.
            optimizer: Only the groups of this optimizer, or of the one with this index.
            over: For how long; a number is updates, or what else the clock counts. ``None`` is for
                good.

        Raises:
            ScheduleError: The factor is none, or it has no length.
            BindingError: There is no such field or group.
        """
        self._apply_event(rescaled, factor, target, group, optimizer, over)

    def hold(
        self,
        over: Duration,
        target: str | None = None,
        *,
        group: int | str | None = None,
        optimizer: Any = None,
    ) -> None:
        """Keep the present values for some updates more; the rest of the plan follows after them.

        The run ends that much later.

        Args:
            over: How long; a number is updates, or what else the clock counts.
            target: Only this field; the others go on as planned, and hold their last value.
            group: Only this group of it, by name or index, or those that fit a pattern.
            optimizer: Only the groups of this optimizer, or of the one with this index.

        Raises:
            ScheduleError: It has no length.
            BindingError: There is no such field or group.

        Example:
            >>> import torch, warmdown as wd
            >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
            >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
            >>> scheduler.seek(2)
            >>> scheduler.hold(3)
            >>> [scheduler.value(step) for step in (2, 3, 5, 6)]
            [0.2, 0.2, 0.2, 0.1]
        """
        self._apply_event(postponed, over, target, group, optimizer)

    def extend(self, total_steps: int, on_change: OnChange = "given") -> None:
        """Make the run longer, or shorter.

        Args:
            total_steps: Updates in the whole run.
            on_change: How the plan for the new length goes on from here; as for
                ``load_state_dict``.

        Raises:
            RunError: The run's length is a budget, or no count was given.
            StateError: The two do not fit together so.
        """
        self._apply_event(extended, total_steps, on_change)

    def listen(self, commands: str | PathLike[str] | Commands) -> None:
        """Listen from here on for what ``warmdown tell`` asks; see the argument ``commands``.

        Args:
            commands: The folder of the run, or ``Commands`` with how often.

        Raises:
            TrainingError: The folder cannot be made.
        """
        if isinstance(commands, str | os.PathLike):
            from warmdown.binding.commands import Commands  # few runs are asked anything

            commands = Commands(os.fspath(commands))
        self.commands = commands
        commands.begin(self.count)
        self.writer.halt = commands.due - 1

    @property
    def history(self) -> Record:
        """What every update so far has used, at up to 1,000 of them, with the events.

        It is computed when it is asked for, from the plan and its events; ``step()`` records
        nothing.

        Example:
            >>> import torch, warmdown as wd
            >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
            >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
            >>> scheduler.seek(2)
            >>> scheduler.history.curve("lr/0")
            ([0, 1], [0.4, 0.30000000000000004])
        """
        from warmdown.binding.pictures import history_of  # not loaded with every scheduler: 4 ms

        return history_of(self.writer)

    def plot(self, **how: Any) -> Any:
        """Return the figure of the whole run, as it was and as it will be, and where it stands.

        Args:
            how: ``log``, ``dark`` and ``title``, as :func:`warmdown.plot.figure` takes them.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        from warmdown.binding.pictures import view_of

        return view_of(self.writer).plot(**how)

    def _repr_html_(self) -> Any:
        """Return the picture that a notebook shows; ``None`` shows the text."""
        from warmdown.binding.pictures import view_of

        return provided("plot").notebook(replace(view_of(self.writer), text=str(self)))

    def finish(self) -> None:
        """Declare training over; a warning shows how far it came if the plan is not over."""
        self.monitor.end_round()
        self.monitor.check_finish(self.count, self.position, self.writer.timeline.end)

    # what a torch LRScheduler has besides

    @property
    def optimizer(self) -> Any:
        """The first optimizer; assigned, the schedule goes on with another one."""
        # what drives other schedulers reads it of each as it is made, and calls nothing else
        asking = sys._getframe(1)
        of_module = _COMPOSING.get(asking.f_globals.get("__name__"))
        is_factor = _COMPOSING.get(asking.f_code, of_module)
        if is_factor is not None:
            self.become_part(is_factor=is_factor)
        return self.optimizers[0] if self.optimizers else None

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        others = self.optimizers[1:]
        if unwrap(optimizer) is not unwrap(self.optimizer):
            state = self.__getstate__()
            self.close()
            self.__setstate__({**state, "optimizers": [optimizer, *others]})
        self.optimizers = [optimizer, *others]

    def become_part(self, *, is_factor: bool) -> None:
        """Leave it to another scheduler when to count and write; the updates are observed no more.

        Args:
            is_factor: Whether the learning rate multiplies what other schedulers make of it, as in
                a ``ChainedScheduler``; in a ``SequentialLR`` each has its turn.

        Raises:
            ScheduleError: It is a factor, and begins at 0.
        """
        if self._is_factor is not None:
            return
        writer = self.writer
        writer.require_open()
        pairs = zip(writer.planned_rates(), writer.base_rates(), strict=True)
        if is_factor and any(base and not planned for planned, base in pairs):
            raise ScheduleError(
                "Scheduler: as a part of a ChainedScheduler it multiplies the rate, and it begins "
                "at 0, where what the others multiply is lost. Begin above 0, or make one plan of "
                "the product: first * second."
            )
        self._is_factor, self.auto = is_factor, False
        self.monitor.ignore_updates()
        writer.become_part(is_factor=is_factor)

    def _step_as_part(self, samples: float | None, tokens: float | None) -> None:
        """Count, and write the values; as a factor, keep what others have made of the rate."""
        self._rebind(None)
        writer = self.writer
        shares: list[float] = []
        if self._is_factor:
            pairs = zip(writer.rates(), writer.planned_rates(), strict=True)
            shares = [now / planned if planned else 1.0 for now, planned in pairs]
        self._refill(samples, tokens)
        if self._is_factor:
            writer.multiply_rates(shares)

    def _initial_step(self) -> None:
        self._update_lr(0)

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.step()
        else:
            self.seek(epoch)
            self.writer.write_now()

    @leave_uncompiled
    def get_last_lr(self) -> list[float]:  # type: ignore[override]
        """Return the present learning rate of each group, whether the plan drives it or not."""
        return self.writer.rates()

    @leave_uncompiled
    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Return the learning rate of each group that the plan gives for the next update."""
        return self.writer.planned_rates()

    @property  # type: ignore[override]
    def base_lrs(self) -> list[float]:
        """The learning rate of each group that the plan scales.

        New ones, assigned as a whole or one by one, hold from the present update on.

        Raises:
            BindingError: They are not one number for each group, or one is of a group whose rate
                the plan does not scale.
        """
        return _AssignedRates(self._assign_bases, self.writer.base_rates())

    @base_lrs.setter  # type: ignore[override]
    def base_lrs(self, rates: Iterable[float]) -> None:
        self._assign_bases(rates)

    def _assign_bases(self, rates: Iterable[float]) -> None:
        self.writer.require_open()
        self._rebind(None)
        self.writer.assign_base_rates(rates)

    @property
    def last_epoch(self) -> int:
        """The count, by torch's name; assigned, it is a ``seek``."""
        return self.count

    @last_epoch.setter
    def last_epoch(self, count: int) -> None:
        if count != -1 or self._is_factor is None:  # before the first step is where it begins
            self.seek(count)

    @property  # type: ignore[override]
    def _last_lr(self) -> list[float]:
        return self.get_last_lr()

    @_last_lr.setter
    def _last_lr(self, rates: object) -> None:
        if self._is_factor is None:
            raise BindingError(
                f"Scheduler(_last_lr={rates!r:.60}): it is what the optimizer holds. Assign "
                "base_lrs, or call rescale(factor)."
            )

    @property
    def _step_count(self) -> int:
        return self.count + 1

    @_step_count.setter
    def _step_count(self, count: int) -> None:
        """Ignore it: accelerate adds one for each micro-batch."""

    print_lr = staticmethod(print_rate)

    def close(self) -> None:
        """Release the optimizers and objects: another scheduler or a range test may have them.

        Their numbers stay as they are, and each group keeps its base value, from which the next
        scheduler begins. What this one has done can still be read and saved; it writes no more.
        Closing it again does nothing.

        Example:
            >>> import torch, warmdown as wd
            >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
            >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=0.0, end=1.0, steps=4))
            >>> scheduler.close()
            >>> wd.Scheduler(optimizer, lr=wd.Constant()).values()
            {'lr/0': 0.4}
        """
        if not self.writer.is_closed:
            self._rebind(None)
            self.monitor.end_round()
            self.monitor.close()
            self.writer.close()
            _ALIVE.discard(self)

    def state_dict(self, *, plan: bool = True) -> dict[str, Any]:
        """Return what cannot be computed again: count, events, and the plan or its fingerprint.

        Args:
            plan: Whether the plan and the base values go in, so that a difference can be shown;
                else the plan's fingerprint alone, in less than 100 bytes.
        """
        self.monitor.end_round()
        self.monitor.saved_at = self.count
        self._rebind(None)
        return write_state(self.writer, with_plan=plan)

    def load_state_dict(self, state: Mapping[str, Any], on_change: OnChange | None = None) -> None:
        """Go where ``state`` was saved, and write the values at once.

        The optimizer may be loaded before or after.

        Args:
            state: What ``state_dict`` returned.
            on_change: What happens when the state is of another plan. ``"error"``: an error shows
                the difference. ``"saved"``: the saved plan goes on, and holds its last value.
                ``"given"``: the given plan holds from here. ``"stretch"``: the saved curve,
                stretched to the given run. ``"continue"``: the given curve from its peak, begun at
                the value reached, over the rest of the run, to its own end. ``"rewarm"``: the given
                curve with its warmup, started again. ``"fit"``: what is left of the saved curve,
                over what is left of the given run. By default what the scheduler was made with.

        Raises:
            StateError: The state is damaged or of another plan; nothing has changed then.
        """
        self.writer.require_open()
        self._rebind(None)
        saved = read_state(state, self.writer, on_change or self.on_change)
        try:
            self.writer.bind(saved.timeline)
        except BindingError as error:
            raise StateError(f"Scheduler.load_state_dict: {error} Or use 'given'.") from error
        plan = saved.timeline.plan
        self.writer.clock = self._clock_of(plan.run)
        self.monitor.counts_always = plan.count == "attempts"
        self.writer.set_bases(saved.bases)
        self._go(saved.count, saved.position, saved.owed)

    def __getstate__(self) -> dict[str, Any]:
        kept = (
            "optimizers",
            "auto",
            "strict",
            "on_change",
            "_objects",
            "_timer",
            "_all_gather",
            "requests",
            "commands",
        )
        self._rebind(None)
        writer, position = self.writer, self.position
        owed = writer.clock.owed(position)
        bound = (writer.timeline, writer.bases(), writer.count, position, owed)
        facts = {"bound": bound, "is_closed": writer.is_closed, "_is_factor": self._is_factor}
        return {**{name: getattr(self, name) for name in kept}, **facts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        timeline, bases, count, position, owed = state.pop("bound")
        is_closed = state.pop("is_closed", False)
        self.__dict__.update(state)
        self._bind(timeline)
        self.writer.set_bases(bases)
        self._go(count, position, owed)
        if is_closed:
            self.close()

    def _go(self, count: int, position: float, owed: float | None = None) -> None:
        self.writer.seek(count, position)
        self.writer.clock.owe(owed)
        self._restart()

    def _clock_of(self, run: Run) -> Clock:
        return clock_of(
            run,
            self._timer,
            self._all_gather,
            counts_early=self.auto,
            samples=partial(samples_now, weakref.ref(self)),
        )

    def _restart(self) -> None:
        """Forget how steps and updates alternated until here."""
        counts_always = self.monitor.counts_always and not self.auto
        self.writer.count_every_step(counts_always and self._is_factor is None)
        self.monitor.restart(self.count, self.position, self.run, self.optimizers)
        if self.commands is not None:
            self.listen(self.commands)

    def _refill(self, samples: float | None, tokens: float | None) -> None:
        """Count an update past the window; what is seldom is looked at here, not at every step."""
        writer, end = self.writer, self.writer.timeline.end
        if end is not None and writer.position >= end:
            if self.plan.after_end == "raise":
                raise ScheduleError(
                    f"Scheduler.step(): the plan ended at {end} {self.run.clock}, and "
                    "after_end='raise'. Stop there, or call extend(total_steps)."
                )
            self.monitor.check_end(writer.count, writer.position, end)
        self.monitor.check_missing_metrics(self.metrics, writer.count)
        if writer.unsettled:
            self._warn_of_bases()
        asked: Sequence[Request] = ()
        if self.commands is not None and writer.count + 1 >= self.commands.due:
            asked = self.commands.exchange(writer, self._all_gather)
            writer.halt = self.commands.due - 1
        writer.next_window(samples, tokens)
        for request in asked:
            self._obey(request)
        if writer.clock.differing:
            warn_of_amount(self.monitor.warnings, **writer.clock.differing)

    def _obey(self, request: Request) -> None:
        """Do what was asked from outside, on every process before the same update."""
        if request.command in EVENTS:
            self._apply_event(EVENTS[request.command], **request.arguments)
        else:
            self.requests.add(request.command)

    def _step_without_update(self, epoch: Any, samples: float | None, tokens: float | None) -> None:
        writer, monitor = self.writer, self.monitor
        writer.require_open()
        if epoch is not None:
            names = self.metrics
            if len(names) == 1 and _is_metric(epoch):
                self.observe(**{names[0]: float(epoch)})
                return
            raise BindingError(
                f"Scheduler.step({epoch!r}): a step takes no epoch, and a metric only where the "
                f"plan follows just one; it follows {', '.join(names) or 'none'}. To go to an "
                "update use seek(); give a metric by its name: observe(val_loss=…)."
            )
        if self._is_factor is not None:
            self._step_as_part(samples, tokens)
            return
        if self.auto:
            if writer.clock.needs_amount or monitor.follows_update():
                writer.move(writer.clock.correct(samples, tokens))
            else:
                writer.clock.use(samples, tokens)
            return
        writer.clock.use(samples, tokens)
        if monitor.should_count(self.optimizers):
            # the first is a slip where something is computed before the next
            writer.counts_every_step = monitor.early.calls > 1
            writer.update_seen = True
            self.step()
        elif monitor.early.others and not monitor.updates:
            writer.clock.begin(writer.position)  # other optimizers used these data

    def _warn_of_bases(self, *, only_changed: bool = False) -> None:
        """Warn where a group holds neither its base value nor what was written there last.

        Args:
            only_changed: Leave out what a load or a ``seek`` may yet explain.
        """
        for group in list(self.writer.doubts()):
            facts = {"label": group.label, "value": group.found, "base": group.base}
            if group.written is not None:
                before = (
                    f"a schedule wrote {group.written:g} there, from the base {group.initial:g}"
                )
                way_out = "To go on from that base, leave what was written as it is."
            elif only_changed:
                continue
            else:
                before = f"the group keeps {group.initial:g} as its base"
                way_out = "If the value was set by hand, set that entry ('initial_lr') too."
            self.monitor.warnings.warn_once(BaseDiffers, **facts, before=before, way_out=way_out)
        if not only_changed:
            self.writer.unsettled = False

    def _apply_event(self, make: Callable[..., PlanEvent], *arguments: Any, **named: Any) -> None:
        self._rebind(None)
        event = make(self.writer, *arguments, **named)
        self.writer.follow(self.writer.timeline.after(event))

    # what the monitor calls

    def _get_count(self) -> int:
        return self.writer.count

    def _before_update(self, index: int) -> None:
        """Look at an optimizer that is about to make an update: its groups, and their values."""
        writer, monitor = self.writer, self.monitor
        early = monitor.early
        if (early.is_drawing or writer.counts_every_step) and not monitor.counts_always:
            self._stop_early()
        elif early.drawn and monitor.updates == 1:
            if early.uncounted == early.drawn and not monitor.hooks[0].is_by_autograd:
                # as many micro-batches were there before the first update, without autograd
                count, drawn = writer.count - early.drawn, early.drawn
                is_counted = self.run.clock == "updates"
                writer.seek(count, writer.position - drawn * is_counted)
                early.count -= drawn
            early.drawn = 0
        if not writer.groups.is_current(index):
            if not writer.groups.is_part(index):
                writer.rebind()
        elif differing := writer.external_write(writer.groups.optimizers[index]):
            writer.rebind()
            label, value, planned = differing
            # a tensor's number is not read: that would wait for its device
            shown = "something else" if isinstance(value, Tensor) else f"{value:g}"
            monitor.warnings.warn_once(ForeignWrite, label=label, value=shown, planned=planned)

    def _is_unfinished(self, index: int) -> bool:
        """Return whether an optimizer updates some of its groups, and the others come after."""
        return self.writer.groups.is_part(index, is_last=False)

    def _stop_early(self) -> None:
        """Count no more steps without an update.

        One was a slip; many with which nothing was computed were a way to get somewhere.
        """
        writer, early = self.writer, self.monitor.early
        drawn = writer.count - early.count if early.is_drawing else 0
        early.is_drawing = False
        early.was_slip = drawn == early.calls == 1 and not early.others
        writer.count_every_step(False)
        if drawn > 1:
            early.count, early.position, early.drawn = writer.count, writer.position, drawn
        else:
            writer.seek(early.count, early.position)

    def _after_update(self) -> None:
        writer = self.writer
        if not self.auto:
            writer.update_seen, writer.counts_every_step = True, self.monitor.counts_always
        elif writer.index < writer.last:
            writer.index += 1
            if writer.write is not None:
                writer.write(writer.index)
        else:
            self._refill(None, None)

    def _leave_marks(self, optimizer: Any, state: Any) -> None:
        if self.count:
            self.writer.leave_marks(optimizer, state["param_groups"])

    def _rebind(self, loaded: Any) -> None:
        """Bind the present groups; ``loaded`` is an optimizer that has loaded a state."""
        is_stale = loaded is not None or not self.writer.groups.are_current
        if is_stale and not self.writer.is_closed:
            self.writer.rebind(loaded)


def _plan_from_arguments(plan: Any, targets: Mapping[str, Given], **facts: Any) -> Plan:
    """Return the plan that was given, or that of the targets.

    Raises:
        ScheduleError: Neither was given, or both.
    """
    for name, way_out in _TORCH_ARGUMENTS.items():
        if name in targets and not isinstance(targets[name], Schedule | Scale | Set | Mapping):
            raise ScheduleError(f"Scheduler({name}={targets[name]!r}): no target. {way_out}")
    for name, given in targets.items():
        _refuse_other_names(name, given)
    if (plan is None) == (not targets):
        raise ScheduleError(
            "Scheduler: one of the two is needed, a Plan, or targets such as lr=schedule. Several "
            "make one: Plan.of(lr=…)."
        )
    run = facts.pop("run")
    run = None if run is None else run_of(run, "Scheduler")
    if plan is None and all(isinstance(one, Schedule | Scale | Set) for one in targets.values()):
        rules: Mapping[str, Any] = targets
        read = Plan.of(run=run, **rules)
    else:
        from warmdown.planfile.plans import plan_of  # YAML takes 0.1 s, which curves do not need

        read = plan_of(targets if plan is None else plan, who="Scheduler", run=run)
    default = {"after_end": "hold", "count": "updates"}
    return replace(read, **{name: fact for name, fact in facts.items() if fact != default[name]})


def _refuse_other_names(name: str, given: Any) -> None:
    """Refuse what is no schedule and stands under a name that is no field."""
    if isinstance(given, Schedule | Scale | Set | Mapping | str) or name in (
        "lr",
        "weight_decay",
        "momentum",
    ):
        return
    near = nearest(name, [*parameters_of(Scheduler), "lr"])
    way_out = instead_of(given) if near.startswith("Known") else near
    raise ScheduleError(f"Scheduler({name}={shortly(given)}): no target. {way_out}")


def _refuse_swapped(optimizer: Any) -> None:
    is_plan = isinstance(optimizer, Plan | Schedule | Scale | Set | Run | str)
    if is_plan or optimizer is None:
        raise BindingError(
            f"Scheduler({shortly(optimizer)}): no optimizer. It stands first: Scheduler(optimizer, "
            "schedule)."
        )


def _is_count(value: Any) -> bool:
    """Tell a whole number from 0 on, of whatever type."""
    try:
        return not isinstance(value, bool) and int(value) == value and bool(value >= 0)
    except (TypeError, ValueError, OverflowError):
        return False


class _AssignedRates(list[float]):
    """Rates of the groups; one that is replaced in it is assigned to the scheduler."""

    def __init__(self, assign: Callable[[Iterable[float]], None], rates: Iterable[float]) -> None:
        super().__init__(rates)
        self._assign = assign

    def __setitem__(self, index: Any, rate: Any) -> None:
        rates = [*self]
        rates[index] = rate
        self._assign(rates)
        super().__setitem__(index, rate)

    def __reduce_ex__(self, protocol: object) -> Any:
        return list, ([*self],)


def _is_metric(value: Any) -> bool:
    """Tell a measured number from an epoch."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.is_floating_point()
    return isinstance(value, Real) and not isinstance(value, Integral)


@dataclass
class _Ended:
    """What was found of schedulers that are no more; ``None`` once others were made after them.

    Run after run, as a search or tests make them: where each of them ends is no accident.
    """

    findings: list[tuple[Warnings, Finish | None]] | None = field(default_factory=list)
    is_registered: bool = False


@contextmanager
def paused(optimizer: Any) -> Iterator[list[Scheduler]]:
    """Let no scheduler of an optimizer count or write within the block.

    They go on afterwards as if it had not been; the caller restores the values.
    """
    one = unwrap(optimizer)
    found = [scheduler for scheduler in list(_ALIVE) if one in map(unwrap, scheduler.optimizers)]
    for scheduler in found:
        scheduler.monitor.pause()
        vars(scheduler)["step"] = _skip_step
    try:
        yield found
    finally:
        for scheduler in found:
            del vars(scheduler)["step"]
            scheduler.monitor.go_on()


def _skip_step(*arguments: object, **options: object) -> None:
    """Take a step of a scheduler that is paused."""


_ALIVE: weakref.WeakSet[Scheduler] = weakref.WeakSet()
_ENDED = _Ended()


def _warn_at_exit(scheduler: Scheduler) -> None:
    if not _ENDED.is_registered:
        atexit.register(_finish_all)
        _ENDED.is_registered = True
    _ALIVE.add(scheduler)
    if _ENDED.findings:
        _ENDED.findings = None


def _finish_all() -> None:
    """Warn of the schedulers that trained and stopped early, unless an error ends the process."""
    if getattr(sys, "last_value", None) is not None:
        return
    calls = [scheduler.finish for scheduler in list(_ALIVE) if scheduler.monitor.updates]
    for warnings, found in _ENDED.findings or ():
        if found is not None:
            calls.append(partial(warnings.warn_once, found[0], **found[1]))
    for call in calls:
        try:
            call()
        except WarmdownWarning as warning:
            print(f"{type(warning).__name__}: {warning}", file=sys.stderr)
