"""What a person may ask of a plan underway, as the event that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from warmdown.binding.field import unwrap
from warmdown.binding.joining import CONTINUED, OnChange
from warmdown.binding.timeline import Extended, PlanEvent, Postponed, Rescaled, decay_event
from warmdown.errors import BindingError, RunError, ScheduleError, nearest
from warmdown.run import Duration
from warmdown.schedules import Schedule
from warmdown.schedules.recipes.shapes import curve_of

if TYPE_CHECKING:
    from warmdown.binding.targets import ValueWriter


def decayed(
    writer: ValueWriter,
    over: Duration = "rest",
    curve: Schedule | str | None = None,
    target: str = "lr",
    group: int | str | None = None,
    optimizer: Any = None,
) -> PlanEvent:
    """Return the last decay; see ``Scheduler.decay_now``."""
    name, groups = _groups_meant(writer, target, group, optimizer)
    at, run = int(writer.position), writer.timeline.plan.run
    if isinstance(curve, str):
        curve = curve_of(curve)(1.0, 0.0, "rest")
    return decay_event(at, run, over, curve, name, groups)


def rescaled(
    writer: ValueWriter,
    factor: float,
    target: str = "lr",
    group: int | str | None = None,
    optimizer: Any = None,
    over: Duration | None = None,
) -> PlanEvent:
    """Return another factor of all values; see ``Scheduler.rescale``."""
    if not 0 <= factor < float("inf"):
        raise ScheduleError(
            f"Scheduler.rescale({factor}): a finite factor of at least 0 is needed."
        )
    name, groups = _groups_meant(writer, target, group, optimizer)
    steps = None if over is None else _length_of_event(writer, over, "rescale")
    return Rescaled(int(writer.position), float(factor), name, groups, steps)


def postponed(
    writer: ValueWriter,
    over: Duration,
    target: str | None = None,
    group: int | str | None = None,
    optimizer: Any = None,
) -> PlanEvent:
    """Return a pause of the plan; see ``Scheduler.hold``."""
    steps = _length_of_event(writer, over, "hold")
    if target is None and (group is not None or optimizer is not None):
        target = "lr"
    name, groups = ("", ()) if target is None else _groups_meant(writer, target, group, optimizer)
    return Postponed(int(writer.position), steps, name, groups)


def extended(writer: ValueWriter, total_steps: int, on_change: OnChange = "given") -> PlanEvent:
    """Return another length of the run; see ``Scheduler.extend``."""
    run = writer.timeline.plan.run
    if run.budget is not None:
        raise RunError(
            f"Scheduler.extend({total_steps}): the run's length is its budget, {run.budget!r}. "
            "Save the state, and load it into a scheduler with another budget."
        )
    states = writer.timeline.feedback_states()
    how = CONTINUED if on_change == "continue" else on_change
    return Extended(int(writer.position), total_steps, how, states)


EVENTS: Mapping[str, Callable[..., PlanEvent]] = {
    "decay-now": decayed,
    "rescale": rescaled,
    "hold": postponed,
    "extend": extended,
}
"""What makes the event of each command."""


def _length_of_event(writer: ValueWriter, over: Duration, event: str) -> int:
    """Return how many steps an event lasts.

    Raises:
        ScheduleError: It has no length.
    """
    run = writer.timeline.plan.run.shifted(writer.position)
    steps = run.measure(over, who=f"Scheduler.{event}")
    if not steps or steps < 1:
        raise ScheduleError(
            f"Scheduler.{event}(over={over!r}): a length of at least 1 update is needed, such as "
            "500 or '5%'."
        )
    return steps


def _groups_meant(
    writer: ValueWriter, target: str, group: int | str | None, optimizer: Any
) -> tuple[str, tuple[str, ...]]:
    """Return the field, and the keys of the groups that are meant; none where all of them are.

    ``lr/head`` is the field ``lr`` of the groups that fit ``head``.

    Raises:
        BindingError: Nothing drives it, or there is no such group.
    """
    known = sorted({one.name for one in writer.targets})
    if target not in known and group is None:
        target, slash, pattern = target.partition("/")
        group = pattern if slash else None
    if target not in known:
        raise BindingError(
            f"Scheduler(target={target!r}): nothing drives it. {nearest(target, known)}"
        )
    if optimizer is not None and not isinstance(optimizer, int):
        optimizer = unwrap(optimizer)
    return target, writer.keys_of(target, group, optimizer)
