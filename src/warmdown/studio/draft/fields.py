"""Typed fields, read from signatures and docstrings: what a schedule takes, its defaults, and a word about each."""

from __future__ import annotations

__all__ = ["Field", "FieldKind", "Shape", "field_of", "shape", "shapes", "shown"]

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, Literal, TypeAlias, final

from warmdown import planfile
from warmdown.schedules.base import kinds
from warmdown.schedules.parameters import parameters_of
from warmdown.schedules.recipes import recipes

FieldKind: TypeAlias = Literal[
    "number",
    "count",
    "duration",
    "numbers",
    "counts",
    "durations",
    "choice",
    "flag",
    "piece",
    "pieces",
    "text",
    "value",
]

_KIND_OF: Mapping[str, FieldKind] = {
    "float": "number",
    "int": "count",
    "str": "text",
    "bool": "flag",
    "Duration": "duration",
    "Schedule": "piece",
    "float | Schedule": "number",
    "tuple[float, ...]": "numbers",
    "tuple[float, float]": "numbers",
    "Sequence[float]": "numbers",
    "tuple[int, ...]": "counts",
    "Sequence[int]": "counts",
    "Iterable[int]": "counts",
    "tuple[Duration, ...]": "durations",
    "Sequence[Duration]": "durations",
    "tuple[Schedule, ...]": "pieces",
}
_MEMORY = ("state",)
"""What a schedule has observed is no parameter."""
_UNWRITABLE = ("named",)
"""A phase's name is a property of the phase here."""


@final
@dataclass(frozen=True)
class Field:
    """One parameter of a schedule.

    Args:
        name: As in the signature.
        kind: What is typed into it.
        default: What holds when nothing is typed, as text; ``None`` when something must be typed.
        help: A sentence about it.
        choices: The values of a choice.
    """

    name: str
    kind: FieldKind
    default: str | None
    help: str = ""
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ")


@final
@dataclass(frozen=True)
class Shape:
    """Something to choose: a shape, a recipe, or a class of another library.

    Args:
        kind: Its word, or the path of the class.
        summary: One sentence.
        fields: What it takes.
        is_recipe: Whether it is a named whole, with its own warmup.
        drives_several: Whether it is the targets of several fields at once.
        takes_more: Whether it takes parameters that its signature does not name.
        more: What else its docstring says.
    """

    kind: str
    summary: str
    fields: tuple[Field, ...]
    is_recipe: bool = False
    drives_several: bool = False
    takes_more: bool = False
    more: str = ""

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.kind.rpartition(".")[2] if "." in self.kind else self.kind.replace("_", " ")

    def field(self, name: str) -> Field | None:
        """Return the field of a name, or ``None``."""
        return next((field for field in self.fields if field.name == name), None)


@cache
def shapes() -> Mapping[str, Shape]:
    """Return every shape and recipe that can be chosen, by its word.

    Example:
        >>> [field.name for field in shapes()["cosine"].fields]
        ['start', 'end', 'steps', 'k', 'exponent']
    """
    return {
        word: _of(word, known)
        for word, known in planfile.shapes().items()
        if word not in _UNWRITABLE
    }


def shape(kind: str) -> Shape | None:
    """Return the shape of a word, or ``None`` when there is none."""
    return shapes().get(kind)


def field_of(name: str, annotation: str, default: Any = MISSING, help: str = "") -> Field:
    """Return the field for a parameter that is annotated so; ``MISSING`` for no default.

    Example:
        >>> field_of("mode", "Literal['min', 'max']", "min").choices
        ('min', 'max')
    """
    plain = annotation.replace(" | None", "").strip("'\"")
    kind = _KIND_OF.get(plain, _by_value(default))
    choices = _choices(plain)
    if choices:
        kind = "choice"
    return Field(name, kind, None if default is MISSING else shown(default), help, choices)


def shown(value: Any) -> str:
    """Return a value as a person would type it.

    Example:
        >>> shown(1e-4), shown((50, 100)), shown(None), shown("5%"), shown(0.1)
        ('1e-4', '50, 100', '', '5%', '0.1')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, list | tuple):
        return ", ".join(shown(element) for element in value)
    return str(value)


def _of(word: str, known: Callable[..., Any]) -> Shape:
    summary, helps, _ = told(known)
    found = []
    types = parameters_of(known)
    for parameter in inspect.signature(known).parameters.values():
        if parameter.name in _MEMORY:
            continue
        default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
        help = helps.get(parameter.name) or _told_elsewhere().get(parameter.name, "")
        choices = types[parameter.name].type.choices
        annotation = f"Literal{list(choices)}" if choices else str(parameter.annotation)
        found.append(field_of(parameter.name, annotation, default, help))
    sentence = summary.removeprefix("Return ")
    about = sentence[:1].upper() + sentence[1:]
    is_recipe, several = not inspect.isclass(known), planfile.drives_several(known)
    return Shape(word, about, tuple(found), is_recipe=is_recipe, drives_several=several)


@cache
def _told_elsewhere() -> Mapping[str, str]:
    """Return what is said elsewhere about a parameter, for the recipes that leave it to their relatives."""
    found: dict[str, str] = {}
    for known in (*recipes().values(), *kinds().values()):
        for name, help in told(known)[1].items():
            if len(help) < len(
                found.get(name, help + " ")
            ):  # the shortest says what all of them mean
                found[name] = help
    return found


def told(thing: object) -> tuple[str, Mapping[str, str], str]:
    """Return a docstring's first sentence, what it says about each parameter, and the rest, as plain text."""
    from docstring_parser import ParseError, parse

    text = inspect.getdoc(thing) or ""
    try:
        parsed = parse(text)
    except ParseError:
        return plain(text.partition("\n")[0]), {}, ""
    helps = {param.arg_name: plain(param.description or "") for param in parsed.params}
    return plain(parsed.short_description or ""), helps, plain(parsed.long_description or "")


def plain(text: str) -> str:
    """Return a docstring's text without its markup."""
    text = re.sub(r":[a-z:]+:`~?([^`]*)`", r"\1", text[:4000])
    return re.sub(r"\s+", " ", text.replace("``", "").replace("**", "")).strip()


def _choices(annotation: str) -> tuple[str, ...]:
    if not annotation.startswith("Literal["):
        return ()
    try:
        found = ast.literal_eval(annotation.removeprefix("Literal"))
    except (ValueError, SyntaxError):
        return ()
    return tuple(str(choice) for choice in found)


def _by_value(default: Any) -> FieldKind:
    """Tell the kind of a parameter without a known annotation by its default."""
    if isinstance(default, bool):
        return "flag"
    if isinstance(default, int):
        return "count"
    return "number" if isinstance(default, float) else "value"


def _short(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    mantissa, _, exponent = f"{value:e}".partition("e")
    power = f"{float(mantissa):g}e{int(exponent)}"
    return (
        power
        if len(power) < len(text) and float(power) == value
        else text.replace("e-0", "e-").replace("e+", "e")
    )
