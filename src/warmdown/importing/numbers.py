"""Numbers of other trainers' files: as text, and whole ones with a point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload

from warmdown.errors import ScheduleError
from warmdown.expressions import evaluate, is_arithmetic, is_number
from warmdown.planfile.text import describe

_LARGEST = 10**15
_EXACT = 2**53
"""Up to here a float is one whole number."""


@overload
def number_of_setting(settings: Mapping[str, Any], name: str, default: float) -> float: ...
@overload
def number_of_setting(
    settings: Mapping[str, Any], name: str, default: None = None
) -> float | None: ...
def number_of_setting(
    settings: Mapping[str, Any], name: str, default: float | None = None
) -> float | None:
    """Return a number of another trainer's settings, or the default where there is none.

    Raises:
        ScheduleError: It is no finite number from 0 to 1e15.
    """
    given = settings.get(name)
    if given is None:
        return default
    value = whole(given)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise ScheduleError(
            f"{name}={describe(given)}: a number from 0 to {_LARGEST:.0e} is needed. Correct the "
            "settings."
        )
    return value


def count_of_setting(settings: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number above 0 of another trainer's settings; ``None`` where there is none.

    Raises:
        ScheduleError: It is neither a whole number nor one that stands for none, such as -1.
    """
    given = whole(settings.get(name))
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given if given and given > 0 else None
    raise ScheduleError(
        f"{name}={describe(given)}: a whole number is needed. Correct the settings."
    )


def whole(value: Any) -> Any:
    """Return the number of a text, and a float without a fraction as an int; else the value itself.

    YAML's readers take 2e-5 for a text, and 1e3 is written for a count.

    Example:
        >>> whole("1e3"), whole("2e-5"), whole(100.0), whole("cos")
        (1000, 2e-05, 100, 'cos')
    """
    number = _in_text(value)
    is_whole = isinstance(number, float) and number.is_integer() and abs(number) < _EXACT
    return int(number) if is_whole else number


def arguments_as_numbers(found: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a class with numbers where they are texts, and ints where it counts.

    Args:
        found: The class, or the function that makes one.
        given: Its arguments, as a file has them.
    """
    parameters = inspect.signature(found).parameters

    def read(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [read(name, element) for element in value]
        if isinstance(value, Mapping):
            if "class_path" in value:  # its own class knows what its arguments are
                return value
            return {key: read("", element) for key, element in value.items()}
        declared = str(parameters[name].annotation) if name in parameters else ""
        if "float" in declared:
            return _in_text(value)
        is_counted = isinstance(value, str) or "int" in declared
        return whole(value) if is_counted else value

    return {name: read(name, value) for name, value in given.items()}


def _in_text(value: Any) -> Any:
    is_literal = isinstance(value, str) and is_number(value) and not is_arithmetic(value)
    return evaluate(value, {}) if is_literal else value
