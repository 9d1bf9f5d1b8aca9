"""A plan bound to live objects: it counts, and it is the only thing that writes."""

from __future__ import annotations

__all__ = ["Scheduler"]

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from warmdown.binding.clock import Everywhere, clock_of, everywhere, mean_of
from warmdown.binding.course import Course, Event, one_plan
from warmdown.binding.events import Extended, OnChange, Rescaled, decay
from warmdown.binding.grip import Grip
from warmdown.binding.pen import SPENT, Pen
from warmdown.binding.state import join, read_state, write_state
from warmdown.binding.watch import Watch
from warmdown.errors import BindingError, RunError, ScheduleError, nearest
from warmdown.plan import AfterEnd, Count, Given, Plan
from warmdown.run import Duration, Run
from warmdown.schedules import Phase, Schedule


class Scheduler(LRScheduler):
    """Drives numbers of live objects by a plan; construction writes the values of update 0.

    It is accepted wherever a torch ``LRScheduler`` is. It patches nothing and does not keep itself
    alive.

    Args:
        optimizer: An optimizer, or several, that the targets name fields of.
        plan: A finished plan, instead of targets.
        run: Facts about the run, for open lengths such as ``"5%"``.
        auto: Count the optimizer's own updates; ``step()`` then only tells what data they used.
        count: ``"updates"`` that were really made, or all ``"attempts"``: then every ``step()``
            counts.
        after_end: ``"hold"`` the last value past the planned end, or ``"raise"``.
        strict: Raise where a warning would be given.
        on_change: What happens when a saved state is of another plan; see ``load_state_dict``.
        bind: Plain objects by target name: ``{"kl": Attribute(model, "kl_weight")}``, or a function
            of one number.
        timer: Seconds from any beginning, for plans over time.
        everywhere: Tells all processes what one says and returns what each says;
            torch.distributed's by default.
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

    _step_count = 1  # accelerate adds to it

    def __init__(
        self,
        optimizer: Any,
        plan: Plan | None = None,
        *,
        run: Run | None = None,
        auto: bool = False,
        count: Count = "updates",
        after_end: AfterEnd = "hold",
        strict: bool = False,
        on_change: OnChange = "ask",
        bind: Mapping[str, Any] | None = None,
        timer: Callable[[], float] = time.monotonic,
        everywhere: Everywhere = everywhere,
        **targets: Given,
    ) -> None:
        self.optimizers = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
        self.auto, self.strict, self.on_change = auto, strict, on_change
        self._bound, self._timer, self._everywhere = dict(bind or {}), timer, everywhere
        self._begin(Course(one_plan(plan, targets, run=run, after_end=after_end, count=count)))

    def _begin(self, course: Course) -> None:
        self.optimizer: Any = self.optimizers[0] if self.optimizers else None
        grip = Grip(self.optimizers, self._bound, course)
        self._pen = Pen(course, grip, clock_of(course.plan.run, self._timer, self._everywhere))
        self._pen.go(0, 0.0)
        trusts = course.plan.count == "attempts"
        self._watch = Watch(self, grip.groups.optimizers, trusts=trusts, strict=self.strict)
        self._pen.trust(self._watch.trusts_always and not self.auto)

    # the two are not keyword-only: that alone would make each call a third slower
    def step(
        self, epoch: int | None = None, samples: float | None = None, tokens: float | None = None
    ) -> None:
        """Count an update that was made, and write the values that the next one uses.

        A call that no update came before counts nothing: the update was skipped, or its gradients
        are not whole yet.

        Args:
            epoch: Never taken; a number in its place is a mistake, and is not passed over in
                silence.
            samples: Samples that the update used, over all processes, where the clock counts them.
            tokens: Tokens that it used, likewise.

        Raises:
            BindingError: A metric or an epoch was given.
            ScheduleError: The plan has ended, and was to raise then.
        """
        pen = self._pen
        if pen.fresh and epoch is None:
            pen.fresh = pen.trusting
            if next(pen.writes, SPENT) is SPENT:
                self._turn(samples, tokens)
        else:
            self._step_without_update(epoch, samples, tokens)

    @property
    def count(self) -> int:
        """Updates counted so far; the next update has this number."""
        return self._pen.count

    @property
    def position(self) -> float:
        """Where the clock stands: the count, or the samples, tokens or seconds used."""
        return self._pen.position

    def seek(self, count: int) -> None:
        """Go to an update by its number alone; the values are those of an unbroken run.

        Args:
            count: The update to be made next. Where the clock counts data or seconds, the amount
                used before it.

        Raises:
            ScheduleError: The number is negative.
        """
        if isinstance(count, bool) or int(count) != count or count < 0:
            raise ScheduleError(
                f"Scheduler.seek({count!r}): an update has a whole number from 0 on."
            )
        for drive in self._pen.grip.drives:
            drive.rebase(drive.recognised(self._pen.course, float(count), {}))
        self._go(int(count), float(count))

    @property
    def plan(self) -> Plan:
        """The plan as it was given, its lengths measured; events do not change it."""
        return self._pen.course.plan

    @property
    def run(self) -> Run:
        """Facts about the run."""
        return self.plan.run

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened to the plan."""
        return tuple(self._pen.course.events)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The named stretches of the rate, or of the first target where no rate is driven."""
        course = self._pen.course
        lines = course.lines_of("lr") or course.lines[:1]
        return tuple(phase for line in lines[:1] for phase in line.phases())

    @property
    def phase(self) -> Phase | None:
        """The stretch that the next update lies in."""
        here = self.position
        inside = (
            phase
            for phase in self.phases
            if phase.start <= here and (phase.stop is None or here < phase.stop)
        )
        return next(inside, None)

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
        drive, place = self._pen.grip.find(target, group)
        return drive.value(self._pen.course, float(step), place)

    def values(self) -> dict[str, float]:
        """Return what is held now, by ``target/group``."""
        return self._pen.grip.read()

    def get_last_lr(self) -> list[float]:  # type: ignore[override]
        """Return the learning rate that each group holds."""
        return list(self._pen.grip.read("lr").values())

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The learning rate of each group that the plan scales."""
        return [
            base for drive in self._pen.grip.drives if drive.name == "lr" for base in drive.bases
        ]

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """The count, by torch's name."""
        return self.count

    def observe(self, **metrics: float) -> None:
        """Tell what was measured after the last update; schedules that answer to it do so at once.

        Call it on every process, or on none: they agree on the mean.

        Args:
            metrics: Numbers by name.
        """
        pen = self._pen
        told = mean_of(self._everywhere(metrics))
        self._watch.hear(pen.course, told)
        pen.course.observe(pen.position, told)
        pen.go(pen.count, pen.position)

    def decay_now(
        self, over: Duration = "rest", curve: Schedule | None = None, target: str = "lr"
    ) -> None:
        """Begin the last decay, whatever the plan says; the run ends with it, and a trainer ends there too.

        Where several fields are told to decay, the run ends with the last of them.

        Args:
            over: Its length.
            curve: What scales the value reached; a straight line from 1 to 0 by default. It is
                given that length.
            target: The field that decays.

        Raises:
            ScheduleError: It would have no length.
        """
        self._happen(decay(int(self.position), self.run, over, curve, self._driven(target)))

    def rescale(self, factor: float, target: str = "lr") -> None:
        """Multiply every value from now on.

        Args:
            factor: A finite number, not negative.
            target: The field.

        Raises:
            ScheduleError: The factor is none.
        """
        if not 0 <= factor < float("inf"):
            raise ScheduleError(
                f"Scheduler.rescale({factor}): a finite factor of at least 0 is needed."
            )
        self._happen(Rescaled(int(self.position), float(factor), self._driven(target)))

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
        if self.run.budget is not None:
            raise RunError(
                f"Scheduler.extend({total_steps}): the run's length is its budget, "
                f"{self.run.budget!r}. Save "
                "the state, and load it into a scheduler with another budget."
            )
        seen = tuple(self._pen.course.memories())
        self._happen(Extended(int(self.position), total_steps, on_change, seen))

    def finish(self) -> None:
        """Say that training is over; if the plan is not, a warning tells how far it came."""
        self._watch.finish(self)

    def state_dict(self, *, plan: bool = True) -> dict[str, Any]:
        """Return what cannot be computed again: the count, the events, and the plan or its fingerprint.

        Args:
            plan: Whether the plan and the base values go in, so that a difference can be shown;
                else the plan's fingerprint alone, in less than 100 bytes.
        """
        self._watch.was_saved_at = self.count
        return write_state(self._pen, with_plan=plan)

    def load_state_dict(self, state: Mapping[str, Any], on_change: OnChange | None = None) -> None:
        """Go where ``state`` was saved, and write the values at once; the optimizer may be loaded before or after.

        Args:
            state: What ``state_dict`` returned.
            on_change: What happens when the state is of another plan. ``"ask"``: an error shows the
                difference. ``"saved"``: the saved plan goes on, and holds its last value.
                ``"given"``: the given plan holds from here. ``"rescale"``: the saved curve,
                stretched to the given run. ``"continue"``: the given curve from its peak, begun at
                the value held, over the rest of the run. ``"rewarm"``: the given curve with its
                warmup, begun anew. ``"fit"``: what is left of the saved curve, over what is left of
                the given run. By default what the scheduler was made with.

        Raises:
            StateError: The state is damaged or of another plan; nothing has changed then.
        """
        saved = read_state(state)
        self._follow_groups()
        course, bases = join(saved, self._pen, on_change or self.on_change)
        self._pen.grip.take(course)
        self._pen.course = course
        for drive in self._pen.grip.drives:
            drive.rebase(bases)
        self._go(saved.count, saved.position(course))

    def __getstate__(self) -> dict[str, Any]:
        kept = ("optimizers", "auto", "strict", "on_change", "_bound", "_timer", "_everywhere")
        pen = self._pen
        made = (pen.course, pen.grip.bases_of(pen.course), pen.count, pen.position)
        return {**{name: getattr(self, name) for name in kept}, "made": made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        course, bases, count, position = state.pop("made")
        self.__dict__.update(state)
        self._begin(course)
        for drive in self._pen.grip.drives:
            drive.rebase(bases)
        self._go(count, position)

    def _go(self, count: int, position: float) -> None:
        """Go elsewhere, and forget how steps and updates alternated until here."""
        self._pen.go(count, position)
        self._pen.trust(self._watch.trusts_always and not self.auto)
        self._watch.restart(self)

    def _tick(self) -> None:
        if next(self._pen.writes, SPENT) is SPENT:
            self._turn(None, None)

    def _turn(self, samples: float | None, tokens: float | None) -> None:
        end = self._pen.course.end
        if end is not None and self._pen.position >= end:
            self._pass_the_end(end)
        self._watch.miss_metrics(self)
        self._pen.turn(samples, tokens)

    def _pass_the_end(self, end: int) -> None:
        if self.plan.after_end == "raise":
            raise ScheduleError(
                f"Scheduler.step(): the plan ended at {end} {self.run.clock}, and "
                f"after_end='raise'. "
                "Stop there, or call extend(total_steps)."
            )
        self._watch.pass_the_end(self, end)

    def _step_without_update(self, epoch: Any, samples: float | None, tokens: float | None) -> None:
        if epoch is not None:
            raise BindingError(
                f"Scheduler.step({epoch!r}): a step takes no epoch and no metric. To go to an "
                f"update use seek(); "
                "tell a metric by its name: observe(val_loss=…)."
            )
        self._pen.clock.owe(samples, tokens)
        if not self.auto and self._watch.may_trust(self):
            self._pen.trust(True)
            self.step()

    def _happen(self, event: Event) -> None:
        pen = self._pen
        pen.course = pen.course.after(event)
        pen.go(pen.count, pen.position)

    def _attend(self, place: int, turn: int) -> None:
        """Look after an optimizer that is about to make an update: its groups, and what they hold."""
        pen = self._pen
        if not pen.grip.groups.is_current(place):
            self._regroup()
        elif touched := next(pen.foreign(turn), None):
            self._regroup()
            self._watch.findings.foreign_write(*touched)

    def _follow_groups(self) -> None:
        """Bind anew if groups were added or removed since the last update."""
        if not self._pen.grip.groups.are_current:
            self._regroup()

    def _regroup(self) -> None:
        """Bind anew to the groups that there are now, and write what they should hold."""
        self._pen.grip.regroup(self._pen.course)
        self._pen.go(self._pen.count, self._pen.position)

    def _reload(self, optimizer: Any) -> None:
        """Follow an optimizer to the groups that loading a state has made."""
        self._pen.grip.reload(optimizer, self._pen.course)
        self._pen.go(self._pen.count, self._pen.position)

    def _driven(self, target: str) -> str:
        if not self._pen.course.lines_of(target):
            known = sorted({drive.name for drive in self._pen.grip.drives})
            raise BindingError(
                f"Scheduler(target={target!r}): nothing drives it. {nearest(target, known)}"
            )
        return target
