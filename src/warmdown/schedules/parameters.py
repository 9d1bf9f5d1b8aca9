"""The types that a parameter of a schedule or recipe may have, each once.

A :class:`ParameterType` is how a value is validated, how it is read from a plan file, what JSON
Schema describes it, and which widget edits it. It is found by the resolved type hint, so that a
person's own class needs no ``from __future__ import annotations``, and may have it::

    parameters_of(Cosine)["steps"].type.validate("5%")              # when a schedule is made
    parameters_of(Cosine)["steps"].type.read(context, path, data)   # when a plan file is read
    parameters_of(Cosine)["steps"].type.schema                      # {"$ref": "#/$defs/duration"}
    parameters_of(Cosine)["steps"].type.widget                      # "duration"
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from typing import (
    Any,
    Literal,
    Protocol,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from warmdown.errors import RunError, ScheduleError
from warmdown.run import Duration, check_duration

Arguments: TypeAlias = Mapping[str, Any]
"""Values by the names of what they are given to."""
Maker: TypeAlias = Callable[..., Any]
"""A class of schedules, a recipe, or another's class: what arguments make a schedule of."""


class Context(Protocol):
    """What reading needs of a plan file."""

    def evaluate(self, path: str, text: str) -> Any:
        """Return the number that a text means; note a mistake and return ``None`` without one."""

    def is_arithmetic(self, text: str) -> bool:
        """Whether a text is arithmetic, and more than a number."""

    def is_number(self, text: str) -> bool:
        """Whether a text is a number or arithmetic."""

    def read_schedule(self, path: str, data: Any) -> Any:
        """Return the schedule; note a mistake and return ``None`` where the data are none."""

    def read_plain(self, path: str, data: Any) -> Any:
        """Return data without a declared type."""

    def refuse(self, path: str, data: Any, reason: str) -> None:
        """Note why the data at a path are no value; the reason is a sentence."""


class ParameterType:
    """One type: what no hint declares, which takes any value."""

    choices: tuple[Any, ...] = ()
    """The values of a choice."""

    def __init__(self, widget: str = "value", schema: Arguments | None = None) -> None:
        self.widget, self.schema = widget, schema or {}

    def validate(self, value: Any) -> Any:
        """Return the value in its own type.

        Raises:
            ScheduleError: It is not of this type; the message is the reason alone.
        """
        return value

    def read(self, context: Context, path: str, data: Any) -> Any:
        """Return the value that plain data mean; note a mistake and return ``None`` without one."""
        value = self._from_data(context, path, data)
        if value is None and data is not None:
            return None  # the context has noted why
        try:
            return self.validate(value)
        except ScheduleError as error:
            return context.refuse(path, data, str(error))

    def _from_data(self, context: Context, path: str, data: Any) -> Any:
        return context.read_plain(path, data)


class _Number(ParameterType):
    def validate(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
            raise ScheduleError("a number is needed.")
        try:
            number = float(value)
        except OverflowError:  # an int beyond every float
            number = math.inf
        if not math.isfinite(number):
            raise ScheduleError("a finite number is needed.")
        return number

    def _from_data(self, context: Context, path: str, data: Any) -> Any:
        return context.evaluate(path, data) if isinstance(data, str) else data


class _Count(_Number):
    def validate(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ScheduleError("a whole number is needed.")
        return int(value)

    def _from_data(self, context: Context, path: str, data: Any) -> Any:
        value = super()._from_data(context, path, data)
        if value is None or not isinstance(data, str):
            return value
        # what comes out of arithmetic is rounded, halves up; what was written is not
        is_whole = context.is_arithmetic(data) or value == math.floor(value)
        return math.floor(value + 0.5) if is_whole else value


class _Duration(_Count):
    def validate(self, value: Any) -> Any:
        try:
            return check_duration(value)
        except RunError as error:
            raise ScheduleError(str(error)) from None

    def _from_data(self, context: Context, path: str, data: Any) -> Any:
        if isinstance(data, str) and context.is_arithmetic(data):
            return super()._from_data(context, path, data)
        return data


class _Text(ParameterType):
    def validate(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ScheduleError("a text is needed.")
        return value

    def _from_data(self, context: Context, path: str, data: Any) -> Any:
        # a name may look like a number
        is_number = isinstance(data, int | float) and not isinstance(data, bool)
        return str(data) if is_number else data


class _Flag(ParameterType):
    def validate(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ScheduleError("true or false is needed.")
        return value

    def _from_data(self, context: Context, path: str, data: Any) -> Any:
        return data


class _Choice(_Flag):
    def __init__(self, choices: tuple[Any, ...]) -> None:
        super().__init__("choice", {"enum": list(choices)})
        self.choices = choices

    def validate(self, value: Any) -> Any:
        if isinstance(value, bool) or value not in self.choices:
            raise ScheduleError(f"one of {', '.join(map(str, self.choices))} is needed.")
        return value


class _ScheduleType(ParameterType):
    def validate(self, value: Any) -> Any:
        if not _is_schedule(value):
            raise ScheduleError("a schedule is needed. Constant(value=…) holds one number.")
        return value

    def read(self, context: Context, path: str, data: Any) -> Any:
        return context.read_schedule(path, data)


class _Callable(ParameterType):
    def validate(self, value: Any) -> Any:
        if not callable(value):
            raise ScheduleError("a function is needed.")
        return value


class _List(ParameterType):
    def __init__(self, item: ParameterType) -> None:
        super().__init__(f"{item.widget}s", {"type": "array", "items": item.schema})
        self.item = item

    def validate(self, value: Any) -> Any:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ScheduleError("a list is needed.")
        return tuple(map(self.item.validate, value))

    def read(self, context: Context, path: str, data: Any) -> Any:
        if not isinstance(data, list | tuple):
            return context.refuse(path, data, "a list is needed.")
        return tuple(
            self.item.read(context, f"{path}[{index}]", element)
            for index, element in enumerate(data)
        )


class _Union(ParameterType):
    """One of several types; a number stands before a schedule."""

    def __init__(self, members: Sequence[ParameterType], *, is_optional: bool) -> None:
        schemas = [dict(member.schema) for member in members] + [{"type": "null"}] * is_optional
        super().__init__(members[0].widget, {"anyOf": schemas} if len(schemas) > 1 else schemas[0])
        self.members, self.is_optional, self.choices = members, is_optional, members[0].choices

    def validate(self, value: Any) -> Any:
        if value is None and self.is_optional:
            return None
        reason = None
        for member in self.members:
            try:
                return member.validate(value)
            except ScheduleError as error:
                reason = reason or error
        raise reason or ScheduleError("nothing is allowed.")

    def read(self, context: Context, path: str, data: Any) -> Any:
        if data is None and self.is_optional:
            return None
        is_number = isinstance(data, int | float) or (
            isinstance(data, str) and context.is_number(data)
        )
        return self.members[0 if is_number else -1].read(context, path, data)


_TYPES: Mapping[Any, ParameterType] = {
    float: _Number("number", {"$ref": "#/$defs/number"}),
    int: _Count("count", {"$ref": "#/$defs/count"}),
    Duration: _Duration("duration", {"$ref": "#/$defs/duration"}),
    str: _Text("text", {"type": ["string", "number"]}),
    bool: _Flag("flag", {"type": "boolean"}),
}
_SCHEDULE = _ScheduleType("schedule", {"$ref": "#/$defs/schedule"})


def type_of(hint: Any) -> ParameterType:
    """Return the parameter type of a resolved type hint.

    Example:
        >>> type_of(float | None).widget, type_of(tuple[int, ...]).widget
        ('number', 'counts')
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _Choice(arguments)
    if Callable in (origin, hint):
        return _Callable()
    if origin in (tuple, list, Sequence, Iterable) and arguments:
        return _List(type_of(arguments[0]))
    if _is_schedule(hint):
        return _SCHEDULE
    try:
        if hint in _TYPES:
            return _TYPES[hint]
    except TypeError:  # a hint that cannot be hashed is none of ours
        return ParameterType()
    if origin in (Union, types.UnionType):
        return _union_of(arguments)
    return ParameterType()


def _union_of(hints: tuple[Any, ...]) -> ParameterType:
    known = [hint for hint in hints if hint is not types.NoneType]
    is_duration = int in known and str in known
    members = [type_of(hint) for hint in known if not (is_duration and hint in (int, str))]
    return _Union([_TYPES[Duration]] * is_duration + members, is_optional=types.NoneType in hints)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a schedule class or recipe.

    Args:
        name: As in the signature.
        type: Its type.
        default: What holds when it is not given, or ``MISSING``.
    """

    name: str
    type: ParameterType
    default: Any = MISSING

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING


@lru_cache(maxsize=256)
def parameters_of(target: Maker) -> Mapping[str, Parameter]:
    """Return what a schedule class or recipe takes, by name.

    A field that ``repr`` leaves out is no parameter: the state of a plateau, what a caller allowed.
    """
    hints = _resolved_hints(target)
    own_fields = fields(target) if is_dataclass(target) else ()
    hidden = {field.name for field in own_fields if not field.repr}
    parameters = {}
    for name, given in inspect.signature(target).parameters.items():
        if name not in hidden:
            default = MISSING if given.default is given.empty else given.default
            parameters[name] = Parameter(name, type_of(hints.get(name, Any)), default)
    return parameters


def validate_fields(schedule: Any) -> None:
    """Give every field of a schedule its own type.

    Raises:
        ScheduleError: A value is not of its field's type.
    """
    for name, kind in _types_of_fields(type(schedule)).items():
        value = getattr(schedule, name)
        try:
            valid = kind.validate(value)
        except ScheduleError as error:
            raise ScheduleError(f"{label(schedule, name)}: {error}") from None
        if valid is not value:
            object.__setattr__(schedule, name, valid)


def label(owner: object, *names: str) -> str:
    """Return the opening words of an error: ``Cosine(k=-1)``."""
    shown = []
    for name in names:
        value = getattr(owner, name)
        text = repr(value) if isinstance(value, str) else str(value)
        shown.append(f"{name}={text[:60]}")
    return f"{type(owner).__name__}({', '.join(shown)})"


def require(owner: object, condition: bool, reason: str, *names: str) -> None:
    """Refuse a schedule whose named fields do not meet a condition.

    Raises:
        ScheduleError: It is not met.
    """
    if not condition:
        raise ScheduleError(f"{label(owner, *names)}: {reason}")


def _types_of_fields(kind: type) -> Mapping[str, ParameterType]:
    """Return the types of a class's fields; kept with the class, so that it can go with it."""
    known: Mapping[str, ParameterType] | None = vars(kind).get("field_types")
    if known is None:
        hints = _resolved_hints(kind)
        known = {field.name: type_of(hints[field.name]) for field in fields(kind)}
        kind.field_types = known  # type: ignore[attr-defined]
    return known


def _resolved_hints(target: Any) -> Mapping[str, Any]:
    """Return the type hints; a name that only a function knows stands for any type."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(target, localns=unknown or None)
        except NameError as error:
            unknown[str(error.name)] = Any


def _is_schedule(value: object) -> bool:
    return hasattr(value, "evaluate") and hasattr(value, "over")
