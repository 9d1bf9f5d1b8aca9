"""Values of a declared type, read from plain data; every mistake is kept with its path, none stops the reading."""

from __future__ import annotations

__all__ = ["Reader", "ParseContext", "parameters_of", "reader_of"]

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from warmdown.errors import RunError, SpecError, nearest
from warmdown.expressions import Facts, evaluate, is_arithmetic, is_number, parse_number
from warmdown.planfile.text import describe, join_path
from warmdown.run import Duration, Run, check_duration
from warmdown.schedules import Schedule

Reader: TypeAlias = "Callable[[ParseContext, str, Any], Any]"
"""Takes the context, a path and the data there; returns the value, or notes a mistake and returns ``None``."""

_MANY = 100


@dataclass
class ParseContext:
    """Where the reading of one text stands.

    Args:
        schedule: How a schedule is read.
        run: The run it is read for.
        facts: What placeholders stand for.
        allow: Modules that the caller allows besides the known ones.
        mistakes: What was wrong so far.
    """

    schedule: Reader
    run: Run = field(default_factory=Run)
    facts: Facts = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    mistakes: list[str] = field(default_factory=list)

    def error(self, path: str, what: str) -> Any:
        """Note a mistake; the ``None`` that comes back is what a reader returns then.

        Raises:
            SpecError: There are so many that nobody reads on.
        """
        self.mistakes.append(f"{path}: {what}" if path else what)
        if len(self.mistakes) == _MANY:
            raise SpecError(
                [*self.mistakes, f"… and perhaps more: reading stopped after {_MANY} mistakes."]
            )
        return None

    def evaluate(self, path: str, text: str) -> Any:
        """Return the number a text means."""
        try:
            return evaluate(text, self.facts)
        except RunError as error:
            return self.error(path, str(error))

    def arguments(
        self, path: str, who: str, accepted: Mapping[str, inspect.Parameter], given: Any
    ) -> dict[str, Any]:
        """Return the arguments for something that takes ``accepted``, each read by its type."""
        for name in [name for name in given if name not in accepted]:
            self.error(
                join_path(path, name),
                f"{who} has no {describe(name)}. {nearest(str(name)[:60], accepted)}",
            )
        for name, parameter in accepted.items():
            if parameter.default is parameter.empty and name not in given:
                self.error(path, f"{who} needs {name!r}. Give it.")
        return {
            name: reader_of(accepted[name].annotation)(self, join_path(path, name), value)
            for name, value in given.items()
            if name in accepted
        }


@lru_cache(maxsize=256)
def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return what a schedule class or recipe takes, with real types in place of their names.

    A field that a schedule does not show is no data: what a plateau has seen, what a caller
    allowed.
    """
    hints, hidden = get_type_hints(target), _hidden(target)
    taken = {
        name: each
        for name, each in inspect.signature(target).parameters.items()
        if name not in hidden
    }
    return {name: each.replace(annotation=hints.get(name, Any)) for name, each in taken.items()}


def _hidden(target: Any) -> set[str]:
    return (
        {each.name for each in fields(target) if not each.repr} if is_dataclass(target) else set()
    )


def reader_of(hint: Any) -> Reader:
    """Return how a value of a declared type is read; what has no known type is taken as it is."""
    if hint in _READERS:
        return _READERS[hint]
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return _one_of(arguments)
    if get_origin(hint) in (Union, types.UnionType):
        return _one_reader_of(arguments)
    if get_origin(hint) in (tuple, list, Sequence):
        return _each(arguments[0])
    if isinstance(hint, type) and issubclass(hint, Schedule):
        return lambda context, path, data: context.schedule(context, path, data)
    return plain


def number(context: ParseContext, path: str, data: Any) -> Any:
    """Read a number: ``0.1``, ``"1e-4"``, ``"%LR% / 10"``."""
    value = context.evaluate(path, data) if isinstance(data, str) else data
    if value is None and isinstance(data, str):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return context.error(path, f"a number is needed, not {describe(data)}.")
    if not abs(value) <= 1e308:
        return context.error(path, f"a finite number is needed, not {describe(data)}.")
    return float(value)


def count(context: ParseContext, path: str, data: Any) -> Any:
    """Read a whole number; what comes out of arithmetic is rounded, halves up."""
    if isinstance(data, str):
        value = context.evaluate(path, data)
        if value is None:
            return None
        if is_arithmetic(data) or value == math.floor(value):
            return math.floor(value + 0.5)
    if isinstance(data, bool) or not isinstance(data, int):
        return context.error(path, f"a whole number is needed, not {describe(data)}.")
    return data


def duration(context: ParseContext, path: str, data: Any) -> Any:
    """Read a duration: ``500``, ``"5%"``, ``"%TOTAL_STEPS% * 0.1"``."""
    if isinstance(data, str) and is_arithmetic(data):
        return (
            duration(context, path, whole)
            if (whole := count(context, path, data)) is not None
            else None
        )
    if isinstance(data, str) and _is_fraction(data):
        return context.error(
            path,
            f"{data!r} updates: a whole number is needed. A share of the run is written '10%'.",
        )
    try:
        return check_duration(data)
    except RunError as error:
        return context.error(path, str(error))


def text(context: ParseContext, path: str, data: Any) -> Any:
    """Read a text; a number is taken for one, because a name may look like a number."""
    if isinstance(data, int | float) and not isinstance(data, bool):
        return str(data)
    return (
        data
        if isinstance(data, str)
        else context.error(path, f"a text is needed, not {describe(data)}.")
    )


def flag(context: ParseContext, path: str, data: Any) -> Any:
    """Read a truth value."""
    return (
        data
        if isinstance(data, bool)
        else context.error(path, f"true or false is needed, not {describe(data)}.")
    )


def plain(context: ParseContext, path: str, data: Any) -> Any:
    """Read anything; texts that are numbers become numbers, because nobody declared what they are."""
    if isinstance(data, Mapping):
        return {
            str(key): plain(context, join_path(path, key), value) for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [plain(context, f"{path}[{index}]", value) for index, value in enumerate(data)]
    if isinstance(data, str):
        return _number_or_text(context, path, data)
    if isinstance(data, float) and not math.isfinite(data):
        return context.error(path, f"a finite number is needed, not {describe(data)}.")
    if data is not None and not isinstance(data, bool | int | float):
        return context.error(path, f"plain data is needed, not {describe(data)}.")
    return data


def _number_or_text(context: ParseContext, path: str, data: str) -> Any:
    if is_arithmetic(data):
        value = context.evaluate(path, data)
        return int(value) if value is not None and value == math.floor(value) else value
    try:
        written = parse_number(data)
    except RunError as error:
        return context.error(path, str(error))
    return data if written is None else written


def _one_of(choices: Sequence[Any]) -> Reader:
    def read(context: ParseContext, path: str, data: Any) -> Any:
        if data in choices and not isinstance(data, bool):
            return data
        return context.error(
            path,
            f"{describe(data)} is not one of its words. {nearest(str(data)[:60], map(str, choices))}",
        )

    return read


def _one_reader_of(hints: Sequence[Any]) -> Reader:
    """Return the reader of a union: nothing where nothing is allowed, a number before a schedule."""
    known = [hint for hint in hints if hint is not types.NoneType]
    readers = [duration] if set(known) == {int, str} else [reader_of(hint) for hint in known]

    def read(context: ParseContext, path: str, data: Any) -> Any:
        if data is None and len(known) < len(hints):
            return None
        is_first = (
            len(readers) == 1
            or isinstance(data, int | float)
            or (isinstance(data, str) and is_number(data))
        )
        return readers[0 if is_first else -1](context, path, data)

    return read


def _each(hint: Any) -> Reader:
    read_one = reader_of(hint)

    def read(context: ParseContext, path: str, data: Any) -> Any:
        if not isinstance(data, list | tuple):
            return context.error(path, f"a list is needed, not {describe(data)}.")
        return tuple(read_one(context, f"{path}[{index}]", one) for index, one in enumerate(data))

    return read


def _is_fraction(data: str) -> bool:
    try:
        return float(data) != math.floor(float(data))
    except (ValueError, OverflowError):
        return False


_READERS: Mapping[Any, Reader] = {
    float: number,
    int: count,
    str: text,
    bool: flag,
    Duration: duration,
}
