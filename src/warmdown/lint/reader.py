"""Read a script in the order in which it would run, with the calls of its own functions."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from warmdown.lint.calls import ANYTHING, CallReader
from warmdown.lint.loops import loop_of
from warmdown.lint.names import (
    FunctionDefined,
    ImportedName,
    Names,
    TupleValue,
    called_names,
    infer_by_name,
    names_in,
)
from warmdown.lint.script import NOTHING, Condition, Loop, ScriptModel, Values, dotted, union

_DEEPEST_CALL = 5
_MOST_STATEMENTS = 40_000
"""Statements that are read at most, with those of calls; the rest is not checked."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_script(tree: ast.Module, lines: Sequence[str] = ()) -> ScriptModel:
    """Return what happens in a file; ``lines`` is its text, which fixes that move code need."""
    model = ScriptModel(tree, list(lines), names_in(tree))
    _StatementReader(model).read()
    return model


class _StatementReader(CallReader):
    """Reads statements; the calls in them are read by :class:`CallReader`."""

    def __init__(self, model: ScriptModel) -> None:
        super().__init__(model)
        self.called_here = called_names(model.tree)
        self.statements_left = _MOST_STATEMENTS
        self.running: list[_Function] = []
        self.frame = 0
        self.returned: list[Values] = []
        self.roots: list[tuple[_Function, Names, str]] = []

    def read(self) -> None:
        """Read the module, then every function that the file does not call itself."""
        self.block(self.model.tree.body)
        # first in, first out: a class comes before the functions defined in its methods
        while self.roots:
            node, around, called_as = self.roots.pop(0)
            if called_as not in self.called_here:
                self.root += 1
                self.read_root(node, around)

    def read_root(self, node: _Function, around: Names) -> None:
        """Read a function of whose arguments nothing is known."""
        self.names = Names(around)
        for parameter in _parameters_of(node):
            self.names.put(parameter, ANYTHING)
        self.running = [node]
        self.block(node.body)
        # whoever calls this function from another file may step what it returns
        self.mark_escaped(union(self.returned))
        self.returned, self.running = [], []

    def block(self, statements: Sequence[ast.stmt], around: Loop | Condition | None = None) -> None:
        """Read statements, with a loop or branch around them."""
        if around is not None:
            self.context.append(around)
        for statement in statements:
            # calls are read again at each call site: without a limit, n calls of n calls never end
            self.statements_left -= 1
            if self.statements_left > 0:
                self.statement(statement)
        if around is not None:
            self.context.pop()

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.define(node)
            case ast.ClassDef():
                self.define_class(node)
            case ast.Import() | ast.ImportFrom():
                _bind_imports(node, self.names)
            case ast.Assign(targets=targets, value=value):
                self.assign(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.assign([target], value)
            case ast.AugAssign(target=target, value=value):
                self.value(value)
                self.bind(target, ANYTHING)
            case ast.For() | ast.AsyncFor() | ast.While():
                self.loop(node)
            case ast.If():
                self.branch(node)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    values = self.value(item.context_expr)
                    if item.optional_vars is not None:
                        self.bind(item.optional_vars, values)
                self.block(body)
            case ast.Try() | ast.TryStar():
                self.block(node.body)
                for handler in node.handlers:
                    self.block(handler.body, Condition())
                self.block(node.orelse, Condition())
                self.block(node.finalbody)
            case ast.Match(subject=subject, cases=cases):
                self.value(subject)
                for case in cases:
                    self.block(case.body, Condition(names_in(subject)))
            case ast.Return(value=returned):
                self.returned.append(
                    frozenset({NOTHING}) if returned is None else self.value(returned)
                )
            case ast.Expr(value=value):
                self.value(value)
            # a scheduler in an exception may be stepped by its handler
            case ast.Raise() | ast.Assert():
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self.mark_escaped(self.value(part))

    def define(self, node: _Function) -> None:
        self.names.put(node.name, frozenset({FunctionDefined(node, self.names)}))
        # a closure that is only passed on may step what it names, at any time
        if self.running and node.name not in self.called_here:
            self.mark_names_escaped(node)
        self.roots.append((node, self.names, node.name))

    def define_class(self, node: ast.ClassDef) -> None:
        self.names.put(node.name, ANYTHING)
        inside = Names(self.names, attributes={})
        methods = [part for part in node.body if isinstance(part, _Function)]
        for method in methods:
            inside.attributes[f"self.{method.name}"] = frozenset({FunctionDefined(method, inside)})
        # what __init__ sets is known to the other methods
        for method in sorted(methods, key=lambda method: method.name != "__init__"):
            self.roots.append((method, inside, f"self.{method.name}"))

    def assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        values = self.value(value)
        for target in targets:
            self.bind(target, values)

    def bind(self, target: ast.expr, values: Values) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            parts = _parts_of(values, len(target.elts))
            if parts is None:
                self.mark_escaped(values)
                parts = [ANYTHING] * len(target.elts)
            for element, part in zip(target.elts, parts, strict=True):
                self.bind(element, part)
            return
        name = dotted(target)
        if not name or "." in name:
            self.mark_escaped(values)  # an attribute may be stepped from anywhere
        if name:
            # what is in a branch of its own function may not happen
            may_not_happen = any(
                isinstance(around, Condition) for around in self.context[self.frame :]
            )
            values = infer_by_name(name, values)
            self.names.put(name, values, may_not_happen=may_not_happen)

    def loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        self.value(node.test if isinstance(node, ast.While) else node.iter)
        loop = loop_of(node, self.names)
        if not isinstance(node, ast.While):
            self.bind(node.target, ANYTHING)
        self.block(node.body, loop)
        self.block(node.orelse)

    def branch(self, node: ast.If) -> None:
        self.value(node.test)
        if isinstance(node.test, ast.Compare) and dotted(node.test.left) == "__name__":
            self.block(node.body)
            return
        # both branches get the words: `else` is decided by the same names
        words = names_in(node.test)
        self.block(node.body, Condition(words))
        self.block(node.orelse, Condition(words))

    def follow(
        self, function: FunctionDefined, call: ast.Call, arguments: Sequence[Values]
    ) -> Values | None:
        """Read the body of a called function; ``None`` when it can not be followed."""
        node = function.node
        has_open_arguments = any(isinstance(arg, ast.Starred) for arg in call.args) or any(
            keyword.arg is None for keyword in call.keywords
        )
        if node in self.running or len(self.running) >= _DEEPEST_CALL or has_open_arguments:
            return None
        keywords = {keyword.arg or "": self.value(keyword.value) for keyword in call.keywords}
        before = self.names, self.frame, self.returned
        # a branch around the call is no branch inside the function
        self.names, self.frame, self.returned = Names(function.names), len(self.context), []
        self.running.append(node)
        self.pass_arguments(node, arguments, keywords)
        self.block(node.body)
        self.running.pop()
        result = union(self.returned)
        self.names, self.frame, self.returned = before
        return result or frozenset({NOTHING})

    def pass_arguments(
        self, node: _Function, arguments: Sequence[Values], keywords: Mapping[str, Values]
    ) -> None:
        """Set the parameters of a function to the arguments of a call, or to their defaults."""
        given = node.args
        # the last positional parameters have the defaults
        positional = [*given.posonlyargs, *given.args][::-1]
        defaults = [
            *zip(positional, given.defaults[::-1], strict=False),
            *zip(given.kwonlyargs, given.kw_defaults, strict=True),
        ]
        parameters = _parameters_of(node)
        values = dict.fromkeys(parameters, ANYTHING)
        for parameter, default in defaults:
            if default is not None:
                values[parameter.arg] = self.value(default)
        values.update(zip(parameters[parameters[:1] == ["self"] :], arguments, strict=False))
        for name, value in {**values, **keywords}.items():
            self.names.put(name, value)


def _bind_imports(node: ast.Import | ast.ImportFrom, names: Names) -> None:
    for alias in node.names:
        path = alias.name
        if isinstance(node, ast.ImportFrom):
            path = f"{'.' * node.level}{node.module or ''}.{alias.name}"
        elif alias.asname is None:
            path = alias.name.partition(".")[0]  # `import a.b` binds `a`
        if alias.name != "*":
            bound = alias.asname or path.rpartition(".")[-1]
            names.put(bound, frozenset({ImportedName(path)}))


def _parameters_of(node: _Function) -> list[str]:
    given = node.args
    parameters = [
        *given.posonlyargs,
        *given.args,
        *given.kwonlyargs,
        given.vararg,
        given.kwarg,
    ]
    return [parameter.arg for parameter in parameters if parameter]


def _parts_of(values: Values, count: int) -> Sequence[Values] | None:
    match list(values):
        case [TupleValue(parts)] if len(parts) == count:
            return parts
    return None
