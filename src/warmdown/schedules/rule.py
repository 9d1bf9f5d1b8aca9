"""What a schedule's number means to a field: a factor on its base value, or the value itself."""

from __future__ import annotations

__all__ = ["Rule", "Scale", "Set"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias, final

from warmdown.errors import ClearArguments, ScheduleError, nearest
from warmdown.run import RunLike, run_of
from warmdown.schedules.base import (
    PlainData,
    Schedule,
    Schedules,
    Steps,
    Values,
    constant,
    namespace,
)
from warmdown.schedules.parameters import validate_fields
from warmdown.shown import changed_fields, code_of, cut

Rule: TypeAlias = "Scale | Set"


@dataclass(frozen=True, repr=False)
class _ScheduledValue(metaclass=ClearArguments):
    """A field's value that comes from schedules."""

    of: Schedule

    def __post_init__(self) -> None:
        given: object = self.of
        if isinstance(given, int | float) and not isinstance(given, bool):
            object.__setattr__(self, "of", constant(given))
        validate_fields(self)

    def __repr__(self) -> str:
        return code_of(self)

    def __str__(self) -> str:
        others = "".join(f", {name}={fact}" for name, fact in changed_fields(self) if name != "of")
        is_plain = isinstance(self, Scale) and not others
        return str(self.of) if is_plain else cut(f"{type(self).__name__}({self.of}{others})")

    def schedules(self) -> Schedules:
        """Return the schedules in it."""
        return tuple(part for part in vars(self).values() if isinstance(part, Schedule))

    def with_schedules(self, change: Callable[[Schedule], Schedule]) -> Self:
        """Return the same, in which every schedule went through ``change``, in their order."""
        parts = vars(self).items()
        changed: PlainData = {
            name: change(part) for name, part in parts if isinstance(part, Schedule)
        }
        return replace(self, **changed)

    def over(self, run: RunLike | None = None, **facts: Any) -> Self:
        """Return the same with every open length measured on a run; see :meth:`Schedule.over`."""
        run = run_of(run, f"{type(self).__name__}.over", **facts)
        return self.with_schedules(lambda schedule: schedule.over(run))


@final
@dataclass(frozen=True, repr=False)
class Scale(_ScheduledValue):
    r"""A schedule that multiplies each group's base value.

    .. math:: v(t) = \max\bigl(low,\; base \cdot of(t) + offset(t)\bigr)

    Args:
        of: The factor; a number stands for a constant.
        offset: What is added, in the field's own unit: an absolute minimum stays absolute for every
            group.
        low: Absolute lower bound, in the field's own unit, or a schedule of it, or ``None``.

    Example:
        >>> from warmdown import Linear
        >>> Scale(Linear(steps=10)).value(5, base=3e-4)
        0.00015
    """

    offset: Schedule | None = None
    low: float | Schedule | None = None

    if TYPE_CHECKING:  # the field is a schedule; a number becomes one

        def __init__(
            self,
            of: Schedule | float,
            offset: Schedule | None = None,
            low: float | Schedule | None = None,
        ) -> None: ...

    def value(self, step: Steps, base: float) -> Values:
        """Return the field's value at ``step`` for a group whose base value is ``base``."""
        value = base * self.of(step)
        if self.offset is not None:
            value = value + self.offset(step)
        if self.low is None:
            return value
        return _at_least(value, self.low(step) if isinstance(self.low, Schedule) else self.low)

    def to_dict(self) -> PlainData:
        """Return plain data: the bare schedule where there is nothing else."""
        data: PlainData = {"scale": self.of.to_dict()}
        if self.offset is not None:
            data["offset"] = self.offset.to_dict()
        if self.low is not None:
            data["low"] = self.low.to_dict() if isinstance(self.low, Schedule) else self.low
        return data if len(data) > 1 else self.of.to_dict()


@final
@dataclass(frozen=True, repr=False)
class Set(_ScheduledValue):
    """A schedule that is the value itself, the same for every group.

    Args:
        of: The value, in the field's own unit; a number stands for a constant.

    Example:
        >>> Set(0.05).value(5, base=123.0)
        0.05
    """

    if TYPE_CHECKING:

        def __init__(self, of: Schedule | float) -> None: ...

    def value(self, step: Steps, base: float = 1.0) -> Values:
        """Return the field's value at ``step``; the base value does not matter."""
        del base
        return self.of(step)

    def to_dict(self) -> PlainData:
        """Return plain data."""
        return {"set": self.of.to_dict()}


def rule_from_dict(data: Any) -> Rule:
    """Return the rule that ``to_dict`` wrote: ``{"set": …}``, ``{"scale": …}``, or a bare schedule.

    Raises:
        ScheduleError: The data are no rule.

    Example:
        >>> rule_from_dict({"set": {"kind": "constant", "value": 0.05}})
        Set(of=Constant(value=0.05))
    """
    if not isinstance(data, Mapping) or "kind" in data or not data.keys() & {"set", "scale"}:
        return Scale(Schedule.from_dict(data))
    rule: type[Rule] = Set if "set" in data else Scale
    known = ("set",) if rule is Set else ("scale", "offset", "low")
    for key in data:
        if key not in known:
            word = str(key)[:60]
            raise ScheduleError(f"{rule.__name__}({word}=…): no such entry. {nearest(word, known)}")
    parts: PlainData = {
        key: part if key == "low" and not isinstance(part, Mapping) else Schedule.from_dict(part)
        for key, part in data.items()
    }
    return rule(parts.pop(known[0]), **parts)


def _at_least(value: Values, low: Values) -> Values:
    if isinstance(value, float):
        return max(value, low)
    value, xp = namespace(value)
    return xp.clip(value, low, None) if isinstance(low, float) else xp.maximum(value, low)
