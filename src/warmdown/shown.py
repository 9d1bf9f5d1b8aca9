"""How a value shows itself: its fields that are no defaults, in at most a screen of text."""

from __future__ import annotations

__all__ = ["changed_fields", "brief", "code_of", "cut"]

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

_SCREEN = 4000
"""Characters, about fifty lines of a terminal."""
_FACT = 60
"""Characters of one field in a short text."""


def code_of(value: Any) -> str:
    """Return the call that makes an equal value, without the arguments that are defaults.

    Args:
        value: A dataclass whose arguments are its fields.

    Example:
        >>> from warmdown import Run
        >>> code_of(Run(total_steps=100))
        'Run(total_steps=100)'
    """
    shown = (f"{name}={argument!r}" for name, argument in changed_fields(value))
    return cut(f"{type(value).__qualname__}({', '.join(shown)})")


def brief(value: Any) -> str:
    """Return a result's fields on one line, each cut where it is long: a text, and no code.

    Example:
        >>> from warmdown import Run
        >>> brief(Run(total_steps=100))
        'Run(total_steps=100)'
    """
    shown = (f"{name}={cut(repr(fact), _FACT)}" for name, fact in changed_fields(value))
    return f"{type(value).__qualname__}({', '.join(shown)})"


def changed_fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each field of a dataclass that differs from its default."""
    for field in fields(value):
        argument = getattr(value, field.name)
        if field.repr and not _is_default(argument, field):
            yield field.name, argument


def cut(text: str, longest: int = _SCREEN) -> str:
    """Return a text, with its middle left out where it is longer; a short one is one line.

    Example:
        >>> cut("(1.0, 0.9, 0.8, 0.7)", longest=13)
        '(1.0, … 0.7)'
    """
    if longest < _SCREEN:
        text = " ".join(text.split())
    if len(text) <= longest:
        return text
    ends = (longest - 3) // 2
    return f"{text[:ends].rstrip()} … {text[-ends:].lstrip()}"


def _is_default(argument: Any, field: Field[Any]) -> bool:
    made = field.default if field.default_factory is MISSING else field.default_factory()
    # the type counts: 1 and 1.0 can mean two things, and an array has no one answer to ==
    return type(argument) is type(made) and bool(argument == made)
