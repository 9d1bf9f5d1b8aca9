"""What names may be while a script is read, and the functions and classes that it defines."""

from __future__ import annotations

import ast
from collections import ChainMap
from dataclasses import dataclass, field
from typing import TypeAlias

from warmdown.lint.patterns import LOADER, OPTIMIZER, SCHEDULERS
from warmdown.lint.script import UNKNOWN, Loader, Optimizer, Values, dotted

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


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
    """

    local: ChainMap[str, Values] = field(default_factory=ChainMap)
    attributes: dict[str, Values] = field(default_factory=dict)

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


def called_names(tree: ast.Module) -> frozenset[str]:
    """Return the names of what the file calls itself."""
    return frozenset(dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def infer_by_name(name: str, values: Values) -> Values:
    """Return what an unknown value is by its name: people name optimizers and loaders so."""
    last = name.rpartition(".")[-1]
    if values != {UNKNOWN}:
        return values
    if OPTIMIZER.search(last):
        return frozenset({Optimizer()})
    return frozenset({Loader()}) if LOADER.search(last) else values
