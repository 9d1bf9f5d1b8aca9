"""What names hold while a script is read, and which functions and classes it defines."""

from __future__ import annotations

__all__ = ["Function", "Imported", "Names", "Several", "called_names", "guessed", "names_in"]

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warmdown.lint.measure import dotted
from warmdown.lint.scene import UNKNOWN, Loader, Optimizer
from warmdown.lint.words import LOADER, OPTIMIZER

Values = frozenset[object]


@dataclass(frozen=True)
class Imported:
    """A name that an import brought in.

    Args:
        path: Its full name.
    """

    path: str


@dataclass(eq=False)
class Function:
    """A function of the file, with the names around it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    names: Names


@dataclass(frozen=True)
class Several:
    """A tuple whose parts are known one by one."""

    parts: tuple[Values, ...]


class Names(Mapping[str, Values]):
    """The names of one function, then those around it; ``self.…`` is shared by the methods of a class.

    Args:
        around: The names of the enclosing function or module.
        own: What the attributes of ``self`` hold.
    """

    def __init__(self, around: Names | None = None, own: dict[str, Values] | None = None) -> None:
        self.around = around
        self.own: dict[str, Values] = (
            own if own is not None else (around.own if around is not None else {})
        )
        self.held: dict[str, Values] = {}

    def __getitem__(self, name: str) -> Values:
        if name.startswith("self."):
            return self.own[name]
        if name in self.held:
            return self.held[name]
        if self.around is None:
            raise KeyError(name)
        return self.around[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.held

    def __len__(self) -> int:
        return len(self.held)

    def put(self, name: str, values: Values, *, beside: bool) -> None:
        """Let a name hold ``values``; ``beside`` what it held, when the assignment may not happen."""
        if name.startswith("self."):
            self.own[name] = self.own.get(name, frozenset()) | values
        else:
            self.held[name] = values | (self.get(name, frozenset()) if beside else frozenset())
        for longer in [key for key in self.held if key.startswith(f"{name}.")]:
            del self.held[longer]

    def path_of(self, node: ast.expr) -> str | None:
        """Return the full name of what is called, following imports; ``None`` when it is the file's own."""
        name = dotted(node)
        if name is None:
            return None
        first, _, rest = name.partition(".")
        held = self.get(first)
        if held is None:
            return name
        imported = [value for value in held if isinstance(value, Imported)]
        return ".".join([imported[0].path, *([rest] if rest else [])]) if imported else None


def names_in(node: ast.AST) -> frozenset[str]:
    """Return every identifier in a piece of code, keywords' names and texts of one word too."""
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
                found.add(name.rsplit(".", 1)[-1])
            case ast.Constant(value=str(text)) if text.isidentifier():
                found.add(text)
    return frozenset(found)


def called_names(tree: ast.Module) -> frozenset[str]:
    """Return the names of functions and of own methods that the file calls itself."""
    names = {dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        name for name in names if name and ("." not in name or name.startswith("self."))
    )


def guessed(name: str, values: Values) -> Values:
    """Let a name tell what an unknown value is: people call optimizers and loaders by their names."""
    if values != {UNKNOWN}:
        return values
    last = name.rsplit(".", 1)[-1]
    if OPTIMIZER.search(last):
        return frozenset({Optimizer()})
    return frozenset({Loader()}) if LOADER.search(last) else values
