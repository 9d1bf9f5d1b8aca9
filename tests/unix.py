"""Which tests need what exists on Unix alone, read from their text: other systems skip them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.house import ROOT
from tests.windows.lacking import LACKING, MISSING

_LACKING = {module.__name__: names for module, names in LACKING.items()}
_IN_A_TEXT = re.compile(
    "|".join(
        [
            r"^/(proc|dev)/",
            rf"^(?:{'|'.join(sorted(MISSING))})\.",
            *(
                rf"\b{module}\.(?:{'|'.join(sorted(names))})\b"
                for module, names in _LACKING.items()
            ),
        ]
    )
)

AT_IMPORT = ""
"""Stands for what runs when the file is imported."""


def needed_of_unix(file: Path, name: str) -> set[str]:
    """Return what a test, with all that it refers to in the folder of tests, needs of Unix.

    Args:
        file: The file of the test.
        name: The test, or ``AT_IMPORT``.
    """
    needed: set[str] = set()
    seen: set[tuple[Path, str]] = set()
    open_ends = [(file, name)]
    while open_ends:
        place = open_ends.pop()
        if place in seen:
            continue
        seen.add(place)
        uses, references = _definitions(place[0])
        needed |= uses[place[1]]
        if place[1] != AT_IMPORT:
            open_ends += references[place[1]]
    return needed


@cache
def _definitions(
    file: Path,
) -> tuple[Mapping[str, set[str]], Mapping[str, list[tuple[Path, str]]]]:
    """Return what each definition of a file uses of Unix, and which definitions it refers to."""
    uses: dict[str, set[str]] = defaultdict(set)
    references: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    elsewhere: dict[str, tuple[Path, str]] = {}
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and f"{statement.module}.".startswith("tests."):
            place = ROOT.joinpath(*(statement.module or "").split("."))
            for alias in statement.names:
                module = place / f"{alias.name}.py"
                source = module if module.exists() else place.with_suffix(".py")
                elsewhere[alias.name] = source, alias.name
            continue
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            runs_at_import: list[ast.expr] | list[ast.stmt] = statement.decorator_list
            names = [statement.name]
        else:
            runs_at_import = [statement]
            names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
        for part in runs_at_import:
            uses[AT_IMPORT] |= {use for use in _uses(part) if not use.startswith("'")}
        used, meant = set(_uses(statement)), []
        for word, attribute in _words(statement):
            source, found = elsewhere.get(word, (file, word))
            # a name in a module of ours that was imported as a whole
            meant.append((source, attribute if source.stem == found else found))
        for name in set(names):
            uses[name] |= used
            references[name] += meant
    return uses, references


def _uses(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in _LACKING.get(
                module, ()
            ):
                yield f"{module}.{name}"
            case ast.Attribute(attr="chmod"):  # elsewhere it knows the right to write alone
                yield ".chmod"
            case ast.Import(names=[ast.alias(name=module)]) if module in MISSING:
                yield module
            case ast.Constant(value=str(text)) if found := _IN_A_TEXT.search(text):
                yield f"'{found[0]}'"


def _words(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name, with the attribute that is taken from it."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                yield name, attribute
            case ast.Name(id=name) | ast.arg(arg=name):  # an argument is a fixture
                yield name, ""
