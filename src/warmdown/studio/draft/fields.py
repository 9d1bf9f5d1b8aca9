"""Form fields, read from signatures and docstrings: parameters, defaults, a word about each."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, Literal, final

from warmdown import planfile
from warmdown.schedules.parameters import Parameter, parameters_of, type_of

_NAMED_TYPE = re.compile(r"(?:(tuple|list|Sequence|Iterable)\[)?(float|int|str|bool)\b")
_BASIC_TYPES = {"float": float, "int": int, "str": str, "bool": bool}


@final
@dataclass(frozen=True)
class FormField:
    """One parameter of a schedule.

    Args:
        name: As in the signature.
        kind: The widget of its type.
        default: The default as text; ``None`` where a value is required.
        help: A sentence about it.
        choices: The values of a choice.
    """

    name: str
    kind: str
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
        fields: Its parameters.
        is_recipe: Whether it is a named whole, with its own warmup.
        drives_several: Whether it is the targets of several fields at once.
        takes_more: Whether it takes parameters that its signature does not name.
    """

    kind: str
    summary: str
    fields: tuple[FormField, ...]
    is_recipe: bool = False
    drives_several: bool = False
    takes_more: bool = False

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.kind.replace("_", " ")

    def field(self, name: str) -> FormField | None:
        """Return the field of a name, or ``None``."""
        return next((field for field in self.fields if field.name == name), None)


@cache
def known_shapes() -> Mapping[str, Shape]:
    """Return every shape and recipe by its word.

    Example:
        >>> [field.name for field in known_shapes()["cosine"].fields]
        ['start', 'end', 'steps', 'k', 'exponent']
    """
    return {word: _shape_of(word, known) for word, known in planfile.shapes().items()}


def known_shape(schedule: Mapping[str, Any]) -> Shape | None:
    """Return the shape or recipe that a schedule's data name, or ``None``."""
    return known_shapes().get(str(schedule.get("kind", "")))


def widget_of(kind: str, parameter: str) -> str:
    """Return the widget of a parameter; that of any value where no signature names it."""
    shape = known_shapes().get(kind)
    field = shape.field(parameter) if shape else None
    return field.kind if field else "value"


def field_of(name: str, annotation: Any, default: Any = MISSING, help: str = "") -> FormField:
    """Return the field of a parameter with an annotation, which may be a text.

    Example:
        >>> field_of("mode", "Literal['min', 'max']", "min").choices
        ('min', 'max')
    """
    hint = _hint_in(annotation) if isinstance(annotation, str) else annotation
    if hint is Any and isinstance(default, bool | int | float):
        hint = type(default)
    return _field(Parameter(name, type_of(hint), default), help)


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
        return _shortest(value)
    if isinstance(value, list | tuple):
        return ", ".join(shown(element) for element in value)
    return str(value)


def parsed_docstring(thing: object) -> tuple[str, Mapping[str, str]]:
    """Return a docstring's first sentence, and the help of each parameter, as plain text."""
    from docstring_parser import parse

    parsed = parse(inspect.getdoc(thing) or "")
    helps = {param.arg_name: _without_markup(param.description or "") for param in parsed.params}
    return _without_markup(parsed.short_description or ""), helps


def _shape_of(word: str, known: Callable[..., Any]) -> Shape:
    summary, helps = parsed_docstring(known)
    sentence = summary.removeprefix("Return ")
    fields = [
        _field(parameter, helps.get(name) or _shared_helps().get(name, ""))
        for name, parameter in parameters_of(known).items()
    ]
    return Shape(
        word,
        sentence[:1].upper() + sentence[1:],
        tuple(fields),
        is_recipe=not inspect.isclass(known),
        drives_several=planfile.drives_several(known),
    )


@cache
def _shared_helps() -> Mapping[str, str]:
    """Return the shortest help of each parameter, for recipes whose docstring leaves it out."""
    shared: dict[str, str] = {}
    for known in planfile.shapes().values():
        for name, help in parsed_docstring(known)[1].items():
            shared[name] = min(help, shared.get(name, help), key=len)
    return shared


def _field(parameter: Parameter, help: str) -> FormField:
    default = None if parameter.is_required else shown(parameter.default)
    choices = tuple(map(str, parameter.type.choices))
    return FormField(parameter.name, parameter.type.widget, default, help, choices)


def _hint_in(annotation: str) -> Any:
    """Return the type that an annotation's text names; it is never evaluated."""
    text = annotation.strip("'\"")
    if text.startswith("Literal["):
        try:
            return Literal[tuple(ast.literal_eval(text.removeprefix("Literal")))]
        except (ValueError, SyntaxError):
            return Any
    match = _NAMED_TYPE.match(text)
    if match is None:
        return Any
    basic = _BASIC_TYPES[match[2]]
    return tuple[basic, ...] if match[1] else basic  # type: ignore[valid-type]


def _shortest(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    text = repr(value).removesuffix(".0").replace("e-0", "e-").replace("e+", "e")
    mantissa, _, exponent = f"{value:e}".partition("e")
    power = f"{float(mantissa):g}e{int(exponent)}"
    return power if len(power) < len(text) and float(power) == value else text


def _without_markup(text: str) -> str:
    text = re.sub(r":[a-z:]+:`~?([^`]*)`|\*\*(\w[^*]*)\*\*", r"\1\2", text[:4000])
    return " ".join(text.replace("``", "").split())
