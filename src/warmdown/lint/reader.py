"""Read a script in the order in which it would run, following calls into the file's own functions."""

from __future__ import annotations

__all__ = ["read"]

import ast
from collections.abc import Iterable, Sequence

from warmdown.lint.calls import Calls
from warmdown.lint.loops import loop_of
from warmdown.lint.measure import dotted
from warmdown.lint.names import (
    Function,
    Imported,
    Names,
    Several,
    Values,
    called_names,
    guessed,
    names_in,
)
from warmdown.lint.scene import NOTHING, UNKNOWN, Condition, Loop, Scene

_DEEPEST_CALL = 5
_BUDGET = 40_000
"""Statements that are read at most, calls followed; what lies beyond is not judged."""

_Functions = ast.FunctionDef | ast.AsyncFunctionDef
_SOMETHING: Values = frozenset({UNKNOWN})


def read(tree: ast.Module, lines: Sequence[str] = ()) -> Scene:
    """Return what happens in a file; ``lines`` is its text, which fixes that move code need."""
    scene = Scene(tree, list(lines), words=names_in(tree))
    scene.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    _Reader(scene, called_names(tree)).file()
    return scene


class _Reader(Calls):
    """Walks statements; what a call means is in :class:`Calls`."""

    def __init__(self, scene: Scene, called: frozenset[str]) -> None:
        super().__init__(scene)
        self.called_here = called
        self.budget = _BUDGET
        self.running: list[_Functions] = []
        self.frame = 0
        self.returned: list[Values] = []
        self.roots: list[tuple[_Functions, Names, str]] = []

    def file(self) -> None:
        names = Names()
        self.block(self.scene.tree.body, names)
        while self.roots:
            node, around, called_as = self.roots.pop(0)
            if called_as not in self.called_here:
                self.scene_root += 1
                self.root(node, around)

    def root(self, node: _Functions, around: Names) -> None:
        """Read a function that the file does not call itself: nothing is known about what it is given."""
        names = Names(around)
        for given in _parameters(node):
            names.put(given, _SOMETHING, beside=False)
        self.running = [node]
        self.block(node.body, names)
        for values in self.returned:
            self.let_go(values)
        self.returned, self.running = [], []

    def block(self, statements: Sequence[ast.stmt], names: Names) -> None:
        for statement in statements:
            self.budget -= 1
            if self.budget > 0:
                self.statement(statement, names)

    def statement(self, node: ast.stmt, names: Names) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.define(node, names)
            case ast.ClassDef():
                self.define_class(node, names)
            case ast.Import() | ast.ImportFrom():
                self.bring_in(node, names)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self.assign(node, names)
            case ast.For() | ast.AsyncFor() | ast.While():
                self.loop(node, names)
            case ast.If():
                self.branch(node, names)
            case ast.With() | ast.AsyncWith():
                self.enter(node, names)
            case ast.Try() | ast.TryStar():
                self.attempt(node, names)
            case ast.Match():
                self.choose(node, names)
            case ast.Return():
                self.returned.append(
                    self.value(node.value, names) if node.value else frozenset({NOTHING})
                )
            case (
                ast.Delete()
                | ast.Global()
                | ast.Nonlocal()
                | ast.Pass()
                | ast.Break()
                | ast.Continue()
            ):
                pass
            case _:
                self.expressions(node, names)

    def expressions(self, node: ast.AST, names: Names) -> None:
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                values = self.value(part, names)
                if not isinstance(node, ast.Expr):
                    self.let_go(values)

    def define(self, node: _Functions, names: Names) -> None:
        names.put(node.name, frozenset({Function(node, names)}), beside=False)
        if self.running and node.name not in self.called_here:
            self.let_go_of_names(node, names)
        self.roots.append((node, names, node.name))

    def define_class(self, node: ast.ClassDef, names: Names) -> None:
        names.put(node.name, _SOMETHING, beside=False)
        inside = Names(names, own={})
        methods = [part for part in node.body if isinstance(part, _Functions)]
        for method in methods:
            inside.own[f"self.{method.name}"] = frozenset({Function(method, inside)})
        for method in sorted(methods, key=lambda one: one.name != "__init__"):
            self.roots.append((method, inside, f"self.{method.name}"))

    def bring_in(self, node: ast.Import | ast.ImportFrom, names: Names) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                first = alias.name.partition(".")[0]
                bound, path = (alias.asname, alias.name) if alias.asname else (first, first)
            else:
                bound, path = (
                    alias.asname or alias.name,
                    f"{'.' * node.level}{node.module or ''}.{alias.name}",
                )
            if bound != "*":
                names.put(bound, frozenset({Imported(path)}), beside=False)

    def assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, names: Names) -> None:
        if node.value is None:
            return
        values = self.value(node.value, names)
        if isinstance(node, ast.AugAssign):
            values = _SOMETHING
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self.bind(target, values, names)

    def bind(self, target: ast.expr, values: Values, names: Names) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            parts = _parts(values, len(target.elts))
            if parts is None:
                self.let_go(values)
            for element, part in zip(
                target.elts, parts or [_SOMETHING] * len(target.elts), strict=True
            ):
                self.bind(element, part, names)
            return
        name = dotted(target)
        if name is None:
            self.let_go(values)
            return
        if "." in name:
            self.let_go(values)  # an attribute may be stepped from anywhere
        names.put(name, guessed(name, values), beside=self.is_conditional)

    def loop(self, node: ast.For | ast.AsyncFor | ast.While, names: Names) -> None:
        self.value(node.test if isinstance(node, ast.While) else node.iter, names)
        loop = loop_of(node, names)
        if not isinstance(node, ast.While):
            self.bind(node.target, _SOMETHING, names)
        self.inside(loop, node.body, names)
        self.block(node.orelse, names)

    def branch(self, node: ast.If, names: Names) -> None:
        self.value(node.test, names)
        if _is_main_guard(node.test):
            self.block(node.body, names)
            return
        words = names_in(node.test)
        self.inside(Condition(node, words), node.body, names)
        self.inside(Condition(node, words), node.orelse, names)

    def enter(self, node: ast.With | ast.AsyncWith, names: Names) -> None:
        for item in node.items:
            values = self.value(item.context_expr, names)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, values, names)
        self.block(node.body, names)

    def attempt(self, node: ast.Try | ast.TryStar, names: Names) -> None:
        self.block(node.body, names)
        for handler in node.handlers:
            self.inside(Condition(handler), handler.body, names)
        self.inside(Condition(node), node.orelse, names)
        self.block(node.finalbody, names)

    def choose(self, node: ast.Match, names: Names) -> None:
        self.value(node.subject, names)
        for case in node.cases:
            self.inside(Condition(case, names_in(node.subject)), case.body, names)

    def inside(
        self, around: Loop | Condition, statements: Sequence[ast.stmt], names: Names
    ) -> None:
        self.context.append(around)
        self.block(statements, names)
        self.context.pop()

    @property
    def is_conditional(self) -> bool:
        """Whether what is read now may not happen, as its own function sees it."""
        return any(isinstance(around, Condition) for around in self.context[self.frame :])

    def follow(
        self, function: Function, call: ast.Call, arguments: Sequence[Values], names: Names
    ) -> Values | None:
        """Read the body of a called function with what it is given; ``None`` when it can not be followed."""
        node = function.node
        if node in self.running or len(self.running) >= _DEEPEST_CALL or _is_open(call):
            return None
        inner = Names(function.names)
        self.give(node, call, arguments, inner, names)
        kept = self.frame, self.returned
        self.frame, self.returned = len(self.context), []
        self.running.append(node)
        self.block(node.body, inner)
        self.running.pop()
        result = frozenset[object]().union(*self.returned)
        self.frame, self.returned = kept
        return result or frozenset({NOTHING})

    def give(
        self,
        node: _Functions,
        call: ast.Call,
        arguments: Sequence[Values],
        inner: Names,
        names: Names,
    ) -> None:
        given = _parameters(node)
        for name, default in _defaults(node):
            inner.put(name, self.value(default, inner), beside=False)
        for name in given:
            if name not in inner.held:
                inner.put(name, _SOMETHING, beside=False)
        is_method = bool(given) and given[0] == "self"
        for name, values in zip(given[is_method:], arguments, strict=False):
            inner.put(name, values, beside=False)
        for keyword in call.keywords:
            if keyword.arg:
                inner.put(keyword.arg, self.value(keyword.value, names), beside=False)


def _parameters(node: _Functions) -> list[str]:
    given = node.args
    extra = [arg for arg in (given.vararg, given.kwarg) if arg]
    return [arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs, *extra)]


def _defaults(node: _Functions) -> Iterable[tuple[str, ast.expr]]:
    given = [*node.args.posonlyargs, *node.args.args]
    yield from zip(
        [arg.arg for arg in given[len(given) - len(node.args.defaults) :]],
        node.args.defaults,
        strict=True,
    )
    for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is not None:
            yield arg.arg, default


def _is_open(call: ast.Call) -> bool:
    return any(isinstance(arg, ast.Starred) for arg in call.args) or any(
        one.arg is None for one in call.keywords
    )


def _parts(values: Values, count: int) -> Sequence[Values] | None:
    several = [value for value in values if isinstance(value, Several)]
    fits = len(several) == 1 and len(values) == 1 and len(several[0].parts) == count
    return several[0].parts if fits else None


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and dotted(test.left) == "__name__"
