"""The package read as text: imports, names, words, size; ``python -m tests.house`` prints them."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "warmdown"

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Edges: TypeAlias = Mapping[str, set[str]]

WORDS = r"told|says|hands?|eyes?|mend(s|ed|ing)?|reckon\w*|nobody|somebody|anew|seams?|held|at rest"
"""Words of a private language; each has a plainer one of the field."""
_WORDS_IN_TEXT = re.compile(rf"(?<![a-z])({WORDS})(?![a-z])", re.IGNORECASE)
_WORD_IN_NAME = re.compile(r"[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Import:
    """One name that a module imports.

    Args:
        module: The module of the package that it comes from.
        is_lazy: Whether it is imported in a function or for types alone.
        line: Where.
        name: The name, or empty where the module itself is imported.
    """

    module: str
    is_lazy: bool
    line: int
    name: str = ""


@dataclass(frozen=True)
class Reach:
    """A use of another object's private name.

    Args:
        file: Which file.
        line: Where.
        text: The expression.
        name: The private name.
    """

    file: str
    line: int
    text: str
    name: str


class Module:
    """One source file.

    Args:
        path: Where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.file = str(path.relative_to(SOURCE))
        self.name = _dotted_name(path)
        self.room = self.file.split("/")[0].removesuffix(".py")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Return every node of its syntax tree."""
        return list(ast.walk(self.tree))

    @property
    def code(self) -> str:
        """Return it without comments and docstrings."""
        tree = ast.parse(self.text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | Definition) and ast.get_docstring(node):
                node.body[0] = ast.Pass()
        return ast.unparse(tree)

    @property
    def definitions(self) -> list[Definition]:
        """Return its functions and classes at the top level."""
        return [node for node in self.tree.body if isinstance(node, Definition)]

    @cached_property
    def imports(self) -> list[Import]:
        """Return what it imports from the package, wherever in the file it does."""
        found: list[Import] = []
        pending: list[tuple[ast.AST, bool]] = [(self.tree, False)]
        while pending:
            node, is_lazy = pending.pop()
            found += _imports_of(node, is_lazy)
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            inside = is_lazy or is_function or is_for_types
            pending += [(child, inside) for child in ast.iter_child_nodes(node)]
        return found

    def group_loops(self) -> list[int]:
        """Return the lines of loops over ``param_groups``, also through a name given to them."""
        aliases = {"param_groups"}
        for node in self.nodes:
            if isinstance(node, ast.Assign) and _mentions(node.value, aliases):
                aliases |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        loops = [n for n in self.nodes if isinstance(n, ast.For | ast.comprehension)]
        return [loop.iter.lineno for loop in loops if _mentions(loop.iter, aliases)]

    def reaches(self) -> list[Reach]:
        """Return the uses of private names of other objects.

        Allowed are ``self``, ``cls`` and ``super()``, an operand of the same class (the class
        itself has that private name), and a function beside the class whose name it is.
        """
        everywhere = set().union(*map(_private_names_of, self.definitions))
        found = []
        for top in self.tree.body:
            known = _private_names_of(top) if isinstance(top, ast.ClassDef) else everywhere
            for node in ast.walk(top):
                if isinstance(node, ast.Attribute) and _is_private(node.attr):
                    owner = ast.unparse(node.value)
                    if owner in ("self", "cls", "super()") or node.attr in known:
                        continue
                    found.append(Reach(self.file, node.lineno, ast.unparse(node), node.attr))
        return found

    def words(self) -> list[tuple[int, str]]:
        """Return line and text of each listed word in its own names and docstrings."""
        found = {
            (line, name)
            for line, name in self._names()
            for part in _WORD_IN_NAME.findall(name)
            if re.fullmatch(WORDS, part, re.IGNORECASE)
        }
        for node in self.nodes:
            if isinstance(node, ast.Module | Definition):
                text = ast.get_docstring(node) or ""
                line = getattr(node, "lineno", 1)
                found |= {(line, match[0]) for match in _WORDS_IN_TEXT.finditer(text)}
        return sorted(found)

    def _names(self) -> Iterator[tuple[int, str]]:
        for node in self.nodes:
            for field in ("name", "arg", "id", "attr"):
                name = getattr(node, field, None)
                if isinstance(name, str):
                    yield getattr(node, "lineno", 0), name


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package."""
    return tuple(Module(path) for path in sorted(SOURCE.rglob("*.py")))


@cache
def _homes() -> Mapping[str, str]:
    """Return the module behind each name that the package itself loads lazily."""
    from warmdown import _ROOM_OF

    return _ROOM_OF


@cache
def edges(*, with_lazy: bool) -> Edges:
    """Return which module imports which; imports of a module's own package are left out."""
    found: dict[str, set[str]] = {module.name: set() for module in modules()}
    for module in modules():
        if module.name != "warmdown":
            wanted = {i.module for i in module.imports if with_lazy or not i.is_lazy}
            found[module.name] = wanted - {module.name, "warmdown"}
    return found


@cache
def circles() -> list[list[str]]:
    """Return the groups of modules that import each other (Tarjan's algorithm)."""
    graph = edges(with_lazy=True)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def longest_chain() -> list[str]:
    """Return the longest path through the imports at the top of modules, from the top down."""
    graph = edges(with_lazy=False)

    @cache
    def below(node: str) -> list[str]:
        chains = [below(other) for other in sorted(graph[node])]
        return [node, *max([[], *chains], key=len)]

    return max((below(node) for node in sorted(graph)), key=len)


@cache
def twins() -> dict[str, list[str]]:
    """Return each name that is defined at the top level of several files, with these files."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in modules():
        for node in module.definitions:
            if not node.name.startswith("__"):
                found[node.name].add(module.file)
    return {name: sorted(files) for name, files in sorted(found.items()) if len(files) > 1}


def _imports_of(node: ast.AST, is_lazy: bool) -> list[Import]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names if alias.name in module_names()]
        return [Import(name, is_lazy, node.lineno) for name in names]
    if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "warmdown":
        return []
    package = node.module or ""
    found = []
    for alias in node.names:
        inner = f"{package}.{alias.name}"
        if inner in module_names():
            found.append(Import(inner, is_lazy, node.lineno))
        else:
            module = _homes().get(alias.name, package) if package == "warmdown" else package
            found.append(Import(module, is_lazy, node.lineno, alias.name))
    return found


@cache
def module_names() -> frozenset[str]:
    """Return the dotted names of all modules."""
    return frozenset(map(_dotted_name, SOURCE.rglob("*.py")))


def _dotted_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _mentions(node: ast.AST, names: set[str]) -> bool:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and inner.attr in names:
            return True
        if isinstance(inner, ast.Name) and inner.id in names:
            return True
        if isinstance(inner, ast.Constant) and inner.value in names:
            return True
    return False


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("_")


def _private_names_of(definition: ast.AST) -> set[str]:
    """Return the private names that a class gives to itself and its instances."""
    found: set[str] = set()
    if not isinstance(definition, ast.ClassDef):
        return found
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls"):
            if isinstance(node.ctx, ast.Store):
                found.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    for statement in definition.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
        if any(isinstance(target, ast.Name) and target.id == "__slots__" for target in targets):
            assert isinstance(statement, ast.Assign)
            found |= set(ast.literal_eval(statement.value))
    return {name for name in found if _is_private(name)}


@dataclass
class Size:
    """How much there is of a room, or of all.

    Args:
        nodes: Nodes of the syntax trees.
        lines: Lines.
        code: Lines of code: no blank line, docstring or comment.
        comments: Lines with a comment that is no directive to a tool.
        long: Lines of more than 100 columns.
    """

    nodes: int = 0
    lines: int = 0
    code: int = 0
    comments: int = 0
    long: int = 0

    def add(self, module: Module) -> None:
        """Add a module."""
        lines = module.text.splitlines()
        blank = sum(not line.strip() for line in lines)
        whole = sum(line.strip().startswith("#") for line in lines)
        documented = 0
        for node in module.nodes:
            if isinstance(node, ast.Module | Definition) and ast.get_docstring(node):
                first = node.body[0]
                documented += (first.end_lineno or first.lineno) - first.lineno + 1
        self.nodes += len(module.nodes)
        self.lines += len(lines)
        self.code += len(lines) - blank - whole - documented
        self.comments += sum(map(_has_comment, lines))
        self.long += sum(len(line) > 100 for line in lines)

    def cells(self) -> list[str]:
        """Return its figures as the cells of a table."""
        per_line, per_hundred = self.nodes / self.code, 100 * self.comments / self.code
        counts = (self.nodes, self.lines, self.code)
        return [
            *(f"{n:,}" for n in counts),
            f"{per_line:.1f}",
            f"{per_hundred:.1f}",
            str(self.long),
        ]


def _has_comment(line: str) -> bool:
    is_comment = line.strip().startswith("# ") or "  # " in line
    return is_comment and not re.search(r"# (noqa|type:|fmt:|pragma)", line)


def main() -> None:
    """Print the figures."""
    sizes: dict[str, Size] = defaultdict(Size)
    whole = Size()
    words: Counter[str] = Counter()
    for module in modules():
        sizes[module.room].add(module)
        whole.add(module)
        words[module.room] = words[module.room] + len(module.words())
    print("| room | AST nodes | lines | code lines | nodes per code line | ", end="")
    print("comments per 100 code lines | lines over 100 | listed words |")
    print("| --- |" + " ---: |" * 7)
    for room, size in sorted(sizes.items()):
        print(f"| {room} | {' | '.join(size.cells())} | {words[room]} |")
    print(f"| **all** | {' | '.join(whole.cells())} | {words.total()} |")
    chain = longest_chain()
    print(f"\nLongest import chain: {len(chain)} modules: {' → '.join(chain)}")
    print(f"Names at the top level of several files: {len(twins())}")


if __name__ == "__main__":
    main()
