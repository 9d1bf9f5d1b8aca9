"""Read a script in the order in which it would run, with the calls of its own functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import count

from warmdown.lint.lengths import TRANSPARENT, measure
from warmdown.lint.loops import loop_of
from warmdown.lint.names import (
    ClassDefined,
    Function,
    FunctionDefined,
    ImportedName,
    Names,
    TupleValue,
    called_names,
    infer_by_name,
    names_in,
    settings_of,
)
from warmdown.lint.patterns import (
    LENGTHS,
    OPTIMIZER,
    RESUMES,
    SCHEDULER,
    SCHEDULERS,
    SIGNATURES,
    TRAINS,
)
from warmdown.lint.script import (
    NOTHING,
    UNKNOWN,
    Accumulation,
    Around,
    Condition,
    Kind,
    Length,
    Loader,
    Loop,
    Optimizer,
    SchedulerCreated,
    ScriptEvent,
    ScriptModel,
    Values,
    arguments_of,
    dotted,
    last_name,
    union,
)

_DEEPEST_CALL = 5
_MOST_STATEMENTS = 40_000
"""Statements that are read at most, with those of calls; the rest is not checked."""
_ANYTHING: Values = frozenset({UNKNOWN})
_ACCELERATOR = re.compile(r"accelerator", re.IGNORECASE)
_MEASURED = {
    *("epochs", "steps_per_epoch", "num_warmup_steps", "last_epoch", "eta_min"),
    *("base_lr", "max_lr", "patience"),
    *LENGTHS.values(),
}
_NUMERIC = {"len", *TRANSPARENT}


def read_script(tree: ast.Module, lines: Sequence[str], words: frozenset[str]) -> ScriptModel:
    """Return what happens in a file.

    Args:
        tree: The file.
        lines: Its text, which fixes that move code need.
        words: Every name in it.
    """
    model = ScriptModel(tree, list(lines), words)
    reader = _Reader(model)
    reader.block(tree.body)
    while reader.roots:
        # functions before methods: they give objects what their methods use
        plain = (root for root in reader.roots if not root[1].startswith("self."))
        function, called_as = root = next(plain, reader.roots[0])
        reader.roots.remove(root)
        # a function that the file does not call is one of whose arguments nothing is known
        is_called = called_as in reader.called_here or function.node in reader.constructed
        if not is_called:
            reader.root += 1
            # whoever calls it from another file may step what it returns
            reader.mark_escaped(reader.run(function, {}))
    return model


class _Reader:
    """Reads statements, evaluates expressions as far as needed, and adds what happens."""

    def __init__(self, model: ScriptModel) -> None:
        self.model = model
        self.names = Names(settings=settings_of(model.parents))
        self.context: Around = ()
        self.outside: Around = ()
        self.root = 0
        self.running: tuple[Function, ...] = ()
        self.returned: list[Values] = []
        self.roots: list[tuple[FunctionDefined, str]] = []
        self.statements = count()
        self.constructed: set[Function] = set()
        self.called_here = called_names(model.parents)

    def block(
        self, statements: Sequence[ast.stmt], *around: Loop | Condition | Accumulation
    ) -> None:
        """Read statements, with a loop or branch around them."""
        before = self.context
        self.context += around
        for statement in statements:
            # calls are read again at each call site: without a limit, n calls of n calls never end
            if next(self.statements) < _MOST_STATEMENTS:
                self.statement(statement)
        self.context = before

    def run(self, function: FunctionDefined, arguments: Mapping[str, Values]) -> Values:
        """Read the body of a function, and return what it may return."""
        node = function.node
        inner = copy(self)
        around = function.names
        inner.names = Names(around.local.new_child(), around.attributes, around.settings)
        inner.returned = []
        # a branch around the call is no branch inside the function
        inner.outside, inner.running = self.context, (*self.running, node)
        for name in _parameters_of(node):
            inner.names.put(name, _ANYTHING)
        for name, values in arguments.items():
            inner.names.put(name, values)
        inner.block(node.body)
        return union(inner.returned)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                function = FunctionDefined(node, self.names)
                self.names.put(node.name, frozenset({function}))
                # a closure that is only passed on may step what it names, at any time
                if self.running and node.name not in self.called_here:
                    self.mark_names_escaped(node)
                self.roots.append((function, node.name))
            case ast.ClassDef():
                self.define_class(node)
            case ast.Import() | ast.ImportFrom():
                _bind_imports(node, self.names)
            case ast.Assign(targets=targets, value=value):
                values = self.value(value)
                for target in targets:
                    self.bind(target, values)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.bind(target, self.value(value))
            case ast.AugAssign(target=target, value=value):
                self.value(value)
                self.bind(target, _ANYTHING)
            case ast.For(iter=value) | ast.AsyncFor(iter=value) | ast.While(test=value):
                self.value(value)
                loop = loop_of(node, self.names)
                if not isinstance(node, ast.While):
                    self.bind(node.target, _ANYTHING)
                self.block(node.body, loop)
                self.block(node.orelse)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                self.block(node.body)
            case ast.If(test=test):
                self.value(test)
                # both branches get the words: `else` is decided by the same names
                for branch in (node.body, node.orelse):
                    self.block(branch, Condition(names_in(test)))
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    values = self.value(item.context_expr)
                    if item.optional_vars is not None:
                        self.bind(item.optional_vars, values)
                self.block(body, *(Accumulation() for item in items if _accumulates(item)))
            case ast.Try() | ast.TryStar():
                self.block(node.body)
                for branch in (*(handler.body for handler in node.handlers), node.orelse):
                    self.block(branch, Condition())
                self.block(node.finalbody)
            case ast.Match(subject=subject, cases=cases):
                self.value(subject)
                for case in cases:
                    self.block(case.body, Condition(names_in(subject)))
            case ast.Return(value=returned):
                nothing = frozenset({NOTHING})
                self.returned.append(self.value(returned) if returned else nothing)
            case ast.Expr(value=value):
                self.value(value)
            # a scheduler in an exception may be stepped by its handler
            case ast.Raise() | ast.Assert():
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self.mark_escaped(self.value(part))

    def define_class(self, node: ast.ClassDef) -> None:
        inside = Names(self.names.local.new_child(), settings=self.names.settings)
        methods = [part for part in node.body if isinstance(part, Function)]
        # what __init__ sets is known to the other methods
        for method in sorted(methods, key=lambda method: method.name != "__init__"):
            function, name = FunctionDefined(method, inside), f"self.{method.name}"
            inside.attributes[name] = frozenset({function})
            self.roots.append((function, name))
        init = [value for value in inside["self.__init__"] if isinstance(value, FunctionDefined)]
        self.names.put(node.name, frozenset({ClassDefined(init[0] if init else None)}))

    def bind(self, target: ast.expr, values: Values) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            parts: Sequence[Values] = [_ANYTHING] * len(target.elts)
            match list(values):
                case [TupleValue(known)] if len(known) == len(parts):
                    parts = known
                case _:
                    self.mark_escaped(values)
            for element, part in zip(target.elts, parts, strict=True):
                self.bind(element, part)
            return
        name = dotted(target)
        for value in values:
            if isinstance(value, Optimizer):
                value.name = value.name or name
        if not name or "." in name:
            self.mark_escaped(values)  # an attribute may be stepped from anywhere
        if name:
            # what is in a branch of its own function may not happen
            inside = self.context[len(self.outside) :]
            may_not_happen = any(isinstance(around, Condition) for around in inside)
            self.names.put(name, infer_by_name(name, values), may_not_happen=may_not_happen)

    def value(self, node: ast.expr) -> Values:
        """Return what an expression may be; add what its calls do."""
        match node:
            case ast.Subscript() if values := self.names[dotted(node)]:
                return values
            case ast.Name() | ast.Attribute():
                values = self.names[dotted(node)]
                if not values and isinstance(node, ast.Attribute):
                    self.value(node.value)
                return values or _ANYTHING
            case ast.Call():
                return self.call(node)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                several = TupleValue(tuple(map(self.value, parts)))
                if isinstance(node, ast.List):  # it may be stepped in a loop
                    self.mark_escaped({several})
                return frozenset({several})
            case ast.Constant(value=None):
                return frozenset({NOTHING})
            # either branch may be taken, so it may be both
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                return self.value(body) | self.value(orelse)
            case (
                ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp()
            ):
                self.mark_names_escaped(node)
                return _ANYTHING
            case ast.Await(value=inner) | ast.NamedExpr(value=inner):
                return self.value(inner)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                values = self.value(child)
                if not isinstance(node, ast.Compare):  # `scheduler is None` passes nothing on
                    self.mark_escaped(values)
        is_number = isinstance(node, ast.Constant | ast.BinOp)
        return frozenset({measure(node, self.names)}) if is_number else _ANYTHING

    def call(self, node: ast.Call) -> Values:
        """Return what a call may return."""
        path = self.names.path_of(node.func)
        # by the full name: a class of the same name from elsewhere is not known
        if path in SCHEDULERS:
            return self.create(node, path)
        if isinstance(node.func, ast.Attribute):
            result = self.method(node, node.func)
            if result:
                return result
        arguments = list(map(self.value, node.args))
        values = self.names[dotted(node.func)]
        functions = [value for value in values if isinstance(value, FunctionDefined)]
        for value in values:
            if isinstance(value, ClassDefined) and value.init is not None:
                self.constructed.add(value.init.node)
                if self.follow(value.init, node, arguments) is not None:
                    return _ANYTHING
        # a set has no order that is the same in every run
        for function in sorted(functions, key=lambda function: function.node.lineno):
            result = self.follow(function, node, arguments)
            if result:
                return result
        return self.unknown_call(node, path, arguments)

    def follow(
        self, function: FunctionDefined, call: ast.Call, arguments: Sequence[Values]
    ) -> Values | None:
        """Read the body of a called function; ``None`` when it can not be followed."""
        node, given = function.node, function.node.args
        is_open = any(isinstance(argument, ast.Starred) for argument in call.args) or any(
            keyword.arg is None for keyword in call.keywords
        )
        if node in self.running or len(self.running) >= _DEEPEST_CALL or is_open:
            return None
        # the last positional parameters have the defaults
        positional = [*given.posonlyargs, *given.args][::-1]
        defaults = [
            *zip(positional, given.defaults[::-1], strict=False),
            *zip(given.kwonlyargs, given.kw_defaults, strict=True),
        ]
        names = _parameters_of(node)
        keywords = {keyword.arg or "": self.value(keyword.value) for keyword in call.keywords}
        outer = copy(self)
        outer.names = function.names
        values = {one.arg: outer.value(default) for one, default in defaults if default is not None}
        values.update(zip(names[names[:1] == ["self"] :], arguments, strict=False))
        values |= keywords
        if given.kwarg is not None:
            others = keywords.keys() - set(names)
            values |= {f"{given.kwarg.arg}.{key}": keywords[key] for key in others}
        return self.run(function, values) or frozenset({NOTHING})

    def create(self, node: ast.Call, path: str) -> Values:
        """Add a scheduler that is created."""
        name = path.rpartition(".")[-1]
        arguments = _arguments_by_name(node, name)
        values = {key: self.value(argument) for key, argument in arguments.items()}
        # a scheduler inside another one is stepped by that one
        for key in values.keys() - {"optimizer"}:
            self.mark_escaped(values[key])
        optimizer = arguments.get("optimizer")
        optimizers: Values = frozenset()
        # an optimizer whose name is not yet bound is created later
        is_bound = not isinstance(optimizer, ast.Name) or self.names[optimizer.id]
        if optimizer is not None and is_bound:
            optimizers = _optimizers_in(values["optimizer"]) or _ANYTHING
        milestones = arguments.get("milestones")
        lengths = self.lengths_of(arguments)
        for run in values.get("run", ()):
            if isinstance(run, Length):
                lengths["total_steps"] = run
        scheduler = SchedulerCreated(
            name=name,
            library=SCHEDULERS[path],
            call=node,
            arguments=arguments,
            lengths=lengths,
            optimizers=optimizers,
            when=len(self.model.events),
            context=self.context,
            root=self.root,
            parts=_parts_of(values.get("schedulers", frozenset())),
            milestones=(
                tuple(measure(part, self.names) for part in milestones.elts)
                if isinstance(milestones, ast.List | ast.Tuple)
                else ()
            ),
            within=self.running,
        )
        self.model.schedulers.append(scheduler)
        return frozenset({scheduler})

    def lengths_of(self, arguments: Mapping[str, ast.expr]) -> dict[str, Length]:
        """Return the arguments that are lengths; epochs times steps per epoch is one too."""
        lengths = {
            key: measure(argument, self.names)
            for key, argument in arguments.items()
            if key in _MEASURED
        }
        if {"epochs", "steps_per_epoch"} <= arguments.keys() - {"total_steps"}:
            product = ast.BinOp(arguments["epochs"], ast.Mult(), arguments["steps_per_epoch"])
            total = measure(product, self.names)
            # one step an epoch is the only one that counts no batches
            is_one = lengths["steps_per_epoch"].number == 1
            words = total.words | ({"steps_per_epoch"} - {"steps_per_epoch" * is_one})
            lengths["total_steps"] = replace(total, words=words)
        return lengths

    def method(self, node: ast.Call, func: ast.Attribute) -> Values | None:
        """Read a method that matters; ``None`` for any other."""
        owner, name = self.value(func.value), func.attr
        if name == "load_state_dict" and (things := self.loaded(func, owner)):
            for argument in arguments_of(node):
                self.value(argument)
            return self.add("load", things, node)
        if any(isinstance(value, SchedulerCreated) for value in owner):
            if name not in ("step", "get_lr"):
                return None
            for argument in arguments_of(node):
                self.mark_escaped(self.value(argument))
            return self.add("step" if name == "step" else "get_lr", owner, node)
        if name.startswith("prepare") and _ACCELERATOR.search(dotted(func.value)):
            return self.prepare(node)
        if name == "step" and (optimizers := self.stepped(node, func, owner)):
            return self.add("update", optimizers, node)
        if name == "step" and SCHEDULER.search(last_name(func.value)) and not arguments_of(node):
            return self.add("foreign_step", owner, node)
        return None

    def loaded(self, func: ast.Attribute, owner: Values) -> Values:
        """Return the schedulers or the optimizer whose state is loaded."""
        things = frozenset(value for value in owner if isinstance(value, SchedulerCreated))
        is_named = OPTIMIZER.search(last_name(func.value))
        return things or _optimizers_in(owner) or (_ANYTHING if is_named else frozenset())

    def stepped(self, node: ast.Call, func: ast.Attribute, owner: Values) -> Values:
        """Return the optimizer of ``optimizer.step()`` or ``scaler.step(optimizer)``."""
        if optimizers := _optimizers_in(owner):
            return optimizers
        # an optimizer from elsewhere is known by its name alone
        if OPTIMIZER.search(last_name(func.value)):
            return _ANYTHING
        is_named = any(OPTIMIZER.search(dotted(argument)) for argument in node.args)
        optimizers = _optimizers_in(union(map(self.value, node.args)))
        return optimizers or (_ANYTHING if is_named else frozenset())

    def prepare(self, node: ast.Call) -> Values:
        """Mark what accelerate takes over; it returns the same things in the same order."""
        parts = [
            frozenset(map(_prepared, infer_by_name(dotted(arg), self.value(arg))))
            for arg in node.args
        ]
        return parts[0] if len(parts) == 1 else frozenset({TupleValue(tuple(parts))})

    def unknown_call(self, node: ast.Call, path: str, arguments: list[Values]) -> Values:
        """Read a call that leads out of the file."""
        arguments += [self.value(keyword.value) for keyword in node.keywords]
        for values in arguments:
            self.mark_escaped(values)
            for value in _parts_of(values, values):
                for thing in value:
                    if isinstance(thing, SchedulerCreated):
                        thing.given_to.append(dotted(node.func))
        optimizers = _optimizers_in(union(arguments))
        name = last_name(node.func)
        # torch_xla has a function of that name
        if name == "optimizer_step" and node.args:
            self.add("update", optimizers or _ANYTHING, node)
        elif _may_train(name, node):
            self.add("train", optimizers or _ANYTHING, node)
        elif optimizers:
            self.add("passed_to", optimizers, node)
        if path == "warmdown.Run":
            lengths = self.lengths_of(_arguments_by_name(node, "Run"))
            return frozenset({lengths["total_steps"]} if "total_steps" in lengths else _ANYTHING)
        if name == "Accelerator":
            self.accumulate(node)
        if name.endswith("DataLoader"):
            given = _arguments_by_name(node, "DataLoader")
            size = measure(given.get("batch_size", ast.Constant(1)), self.names)
            data = dotted(given["dataset"]) if "dataset" in given else ""
            return frozenset({Loader(data="" if size.number == 1 else data)})
        if path.startswith("torch.optim.") and name[:1].isupper():
            lr = _arguments_by_name(node, "Optimizer").get("lr")
            rate = measure(lr, self.names) if lr else None
            return frozenset({Optimizer(node, self.context, lr=rate)})
        return frozenset({measure(node, self.names)}) if name in _NUMERIC else _ANYTHING

    def accumulate(self, node: ast.Call) -> None:
        """Keep how many batches an accelerator accumulates for an update."""
        for keyword in node.keywords:
            if keyword.arg == "gradient_accumulation_steps":
                self.model.accumulated = measure(keyword.value, self.names)
            elif keyword.arg == "gradient_accumulation_plugin":
                self.model.accumulated = Length(keyword.arg)

    def add(self, kind: Kind, things: Values, call: ast.Call) -> Values:
        """Add an event to the model, and return what its call returns."""
        when = len(self.model.events)
        self.model.events.append(ScriptEvent(kind, things, call, self.context, when, self.root))
        return _ANYTHING

    def mark_escaped(self, values: Iterable[object]) -> None:
        """Mark schedulers that went where they cannot be followed: they may be stepped there."""
        for value in values:
            if isinstance(value, SchedulerCreated):
                value.has_escaped = True
            elif isinstance(value, TupleValue):
                self.mark_escaped(union(value.parts))

    def mark_names_escaped(self, node: ast.AST) -> None:
        """Mark every scheduler that a piece of code names."""
        for part in ast.walk(node):
            self.mark_escaped(self.names[dotted(part)])


def _bind_imports(node: ast.Import | ast.ImportFrom, names: Names) -> None:
    for alias in node.names:
        path = alias.name
        if path == "*" and isinstance(node, ast.ImportFrom):
            # any of them may bring the name: several are kept
            star = ImportedName(f"{'.' * node.level}{node.module or ''}")
            names.put("*", names["*"] | {star})
            continue
        if isinstance(node, ast.ImportFrom):
            path = f"{'.' * node.level}{node.module or ''}.{alias.name}"
        elif alias.asname is None:
            path = alias.name.partition(".")[0]  # `import a.b` binds `a`
        names.put(alias.asname or path.rpartition(".")[-1], frozenset({ImportedName(path)}))


def _parameters_of(node: Function) -> list[str]:
    return [part.arg for part in ast.iter_child_nodes(node.args) if isinstance(part, ast.arg)]


def _arguments_by_name(node: ast.Call, name: str) -> dict[str, ast.expr]:
    order = SIGNATURES.get(name, ("optimizer",))
    unnamed = (f"#{index}" for index in range(len(node.args)))
    arguments = dict(zip((*order, *unnamed), node.args, strict=False))
    return arguments | {keyword.arg or "**": keyword.value for keyword in node.keywords}


def _optimizers_in(values: Values) -> Values:
    return frozenset(value for value in values if isinstance(value, Optimizer))


def _parts_of(values: Values, *more: Values) -> tuple[Values, ...]:
    """Return the parts of a list or tuple, when it is one for sure, after ``more``."""
    match list(values):
        case [TupleValue(parts)]:
            return (*more, *parts)
    return more


def _accumulates(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and last_name(call.func) == "accumulate"


def _may_train(name: str, node: ast.Call) -> bool:
    return bool(TRAINS.search(name)) and not RESUMES.search(name) and not _is_mode_switch(node)


def _is_mode_switch(node: ast.Call) -> bool:
    """Return whether it is ``model.train()`` or ``model.train(True)``, which trains nothing."""
    match node:
        case ast.Call(func=ast.Attribute(attr="train" | "training"), args=args, keywords=[]):
            return all(isinstance(arg, ast.Constant) for arg in args)
    return False


def _prepared(thing: object) -> object:
    """Return what accelerate returns: the same scheduler, a loader with this process's share."""
    if isinstance(thing, SchedulerCreated):
        thing.is_prepared = True
    return replace(thing, is_share=True) if isinstance(thing, Loader) else thing
