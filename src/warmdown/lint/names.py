"""What names may be while a script is read, and the functions and classes that it defines."""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, TypeAlias

from warmdown.lint.patterns import LOADER, OPTIMIZER, SCHEDULERS
from warmdown.lint.script import UNKNOWN, Loader, Optimizer, Values, dotted, last_name

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_OPTIONS = {"add_argument", "option"}


@dataclass(frozen=True)
class ImportedName:
    """A name that an import brought in.

    Args:
        path: Its full name.
    """

    path: str


@dataclass(eq=False)
class FunctionDefined:
    """A function of the file, with the names around it."""

    node: Function
    names: Names


@dataclass(eq=False)
class ClassDefined:
    """A class of the file, with its ``__init__``."""

    init: FunctionDefined | None


@dataclass(frozen=True)
class TupleValue:
    """A tuple whose parts are known one by one."""

    parts: tuple[Values, ...]


@dataclass(eq=False)
class Names:
    """The names of one function, then those around it; methods of a class share ``self.…``.

    Args:
        local: What the names may be, those of the function first.
        attributes: What the attributes of ``self`` may be.
        settings: Numbers that the file gives to options and fields, by their last name.
    """

    local: ChainMap[str, Values] = field(default_factory=ChainMap)
    attributes: dict[str, Values] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Values:
        """Return what a name may be; the empty set where it is not bound."""
        scope = self.attributes if name.startswith("self.") else self.local
        return scope.get(name, frozenset())

    def put(self, name: str, values: Values, *, may_not_happen: bool = False) -> None:
        """Assign to a name; it may also be what it was where the assignment may not happen."""
        if name.startswith("self."):
            # methods run in any order: an attribute may be any of the values
            self.attributes[name] = self[name] | values
        else:
            self.local[name] = values | self[name] if may_not_happen else values
        # after `a = …`, what was known of `a.b` is about another object
        for longer in [key for key in self.local.maps[0] if key.startswith(f"{name}.")]:
            del self.local[longer]

    def path_of(self, node: ast.expr) -> str:
        """Return the full name of what is called, by the imports; empty for the file's own."""
        name = dotted(node)
        first, dot, rest = name.partition(".")
        values = self[first]
        if not values:
            return self._starred_path(name)
        paths = [value.path for value in values if isinstance(value, ImportedName)]
        return f"{paths[0]}{dot}{rest}" if paths else ""

    def _starred_path(self, name: str) -> str:
        """Return what a name that nothing binds is: its own, or what a star import may bring."""
        modules = [star.path for star in self["*"] if isinstance(star, ImportedName)]
        known = (f"{module}.{name}" for module in modules)
        return next((path for path in known if path in SCHEDULERS), "") if modules else name


def names_in(node: ast.AST) -> frozenset[str]:
    """Return every identifier in a node, keywords' names and texts of one word too."""
    found: set[str] = set()
    for part in ast.walk(node):
        match part:
            case (
                ast.Name(id=name)
                | ast.Attribute(attr=name)
                | ast.arg(arg=name)
                | ast.keyword(arg=str(name))
            ):
                found.add(name)
            case ast.alias(name=name):
                found.add(name.rpartition(".")[-1])
            case ast.Constant(value=str(text)) if text.isidentifier():
                found.add(text)
    return frozenset(found)


def settings_of(nodes: Iterable[ast.AST]) -> dict[str, float]:
    """Return the numbers of options, fields of classes and keys of dicts that have one alone.

    An option ``--warmup-steps`` has the name ``warmup_steps``.
    """
    found: dict[str, set[float]] = {}
    for node in nodes:
        for name, value in _settings_in(node):
            if value is not None:
                number: Any = getattr(value, "value", None)
                is_number = type(number) in (int, float)
                found.setdefault(name, set()).add(float(number) if is_number else nan)
    return {name: numbers.pop() for name, numbers in found.items() if len(numbers) == 1}


def options_of(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names of the options of a command line."""
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return frozenset(name for call in calls for name, _ in _settings_in(call))


def _settings_in(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    match node:
        case ast.Call(func=func, args=[*flags], keywords=keywords) if last_name(func) in _OPTIONS:
            given = {keyword.arg: keyword.value for keyword in keywords}
            for flag in flags:
                if isinstance(flag, ast.Constant) and isinstance(flag.value, str):
                    yield flag.value.lstrip("-").replace("-", "_"), given.get("default")
        case ast.ClassDef(body=body):
            for part in body:
                match part:
                    case ast.AnnAssign(target=ast.Name(id=name), value=value):
                        yield name, value
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        yield name, value
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, value


def called_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names of what the file calls itself."""
    return frozenset(dotted(node.func) for node in nodes if isinstance(node, ast.Call))


def infer_by_name(name: str, values: Values) -> Values:
    """Return what an unknown value is by its name: people name optimizers and loaders so."""
    last = name.rpartition(".")[-1]
    if values != {UNKNOWN}:
        return values
    if OPTIMIZER.search(last):
        return frozenset({Optimizer()})
    return frozenset({Loader()}) if LOADER.search(last) else values
