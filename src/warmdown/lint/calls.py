"""What an expression may be, and what its calls do: create, step, update, prepare, train."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from warmdown.lint.lengths import TRANSPARENT, measure
from warmdown.lint.names import FunctionDefined, Names, TupleValue, infer_by_name
from warmdown.lint.patterns import LENGTHS, OPTIMIZER, SCHEDULERS, SIGNATURES, TRAINS
from warmdown.lint.script import (
    NOTHING,
    UNKNOWN,
    Condition,
    Kind,
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

ANYTHING: Values = frozenset({UNKNOWN})
_ACCELERATOR = re.compile(r"accelerator", re.IGNORECASE)
_LENGTHS_IN_EPOCHS = ("epochs", "steps_per_epoch")
_NUMERIC = {"len", *TRANSPARENT}


class CallReader(ABC):
    """Evaluates expressions as far as needed, and adds what happens to the model."""

    def __init__(self, model: ScriptModel) -> None:
        self.model = model
        self.names = Names()
        self.root = 0
        self.context: list[Loop | Condition] = []

    @abstractmethod
    def follow(
        self, function: FunctionDefined, call: ast.Call, arguments: Sequence[Values]
    ) -> Values | None:
        """Read the body of a called function."""

    def value(self, node: ast.expr) -> Values:
        """Return what an expression may be; add what its calls do."""
        match node:
            case ast.Name() | ast.Attribute():
                values = self.names[dotted(node)]
                if not values and isinstance(node, ast.Attribute):
                    self.value(node.value)
                return values or ANYTHING
            case ast.Call():
                return self.call(node)
            case ast.Tuple(elts=parts):
                return frozenset({TupleValue(tuple(map(self.value, parts)))})
            case ast.Constant(value=None):
                return frozenset({NOTHING})
            case ast.Constant():
                return frozenset({measure(node, self.names)})
            # either branch may be taken, so it may be both
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                return self.value(body) | self.value(orelse)
            case (
                ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp()
            ):
                self.mark_names_escaped(node)
                return ANYTHING
            case ast.Await(value=inner) | ast.NamedExpr(value=inner):
                return self.value(inner)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                values = self.value(child)
                if not isinstance(node, ast.Compare):  # `scheduler is None` passes nothing on
                    self.mark_escaped(values)
        return frozenset({measure(node, self.names)}) if isinstance(node, ast.BinOp) else ANYTHING

    def call(self, node: ast.Call) -> Values:
        """Return what a call may return."""
        path = self.names.path_of(node.func)
        # by the full name: a class of the same name from elsewhere is not known
        if path in SCHEDULERS:
            return self.create(node, path.rpartition(".")[-1], SCHEDULERS[path])
        if isinstance(node.func, ast.Attribute):
            result = self.method(node, node.func)
            if result is not None:
                return result
        arguments = list(map(self.value, node.args))
        values = self.names[dotted(node.func)]
        functions = [value for value in values if isinstance(value, FunctionDefined)]
        # a set has no order that is the same in every run
        for function in sorted(functions, key=lambda function: function.node.lineno):
            result = self.follow(function, node, arguments)
            if result is not None:
                return result
        return self.unknown_call(node, path, arguments)

    def create(self, node: ast.Call, name: str, library: str) -> Values:
        """Add a scheduler that is created."""
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
            optimizers = _optimizers_in(values["optimizer"]) or ANYTHING
        scheduler = SchedulerCreated(
            name=name,
            library=library,
            call=node,
            arguments=arguments,
            lengths={
                key: measure(arguments[key], self.names)
                for key in (LENGTHS.get(name), *_LENGTHS_IN_EPOCHS)
                if key in arguments
            },
            optimizers=optimizers,
            when=len(self.model.events),
            context=tuple(self.context),
            root=self.root,
        )
        self.model.schedulers.append(scheduler)
        self.add("create", frozenset({scheduler}), node)
        return frozenset({scheduler})

    def method(self, node: ast.Call, func: ast.Attribute) -> Values | None:
        """Read a method that matters; ``None`` for any other."""
        owner, name = self.value(func.value), func.attr
        if any(isinstance(value, SchedulerCreated) for value in owner):
            if name not in ("step", "get_lr"):
                return None
            for argument in arguments_of(node):
                self.mark_escaped(self.value(argument))
            self.add("step" if name == "step" else "get_lr", owner, node)
            return ANYTHING
        if name.startswith("prepare") and _ACCELERATOR.search(dotted(func.value)):
            return self.prepare(node)
        if name == "step" and (optimizers := self.stepped(node, func, owner)):
            self.add("update", optimizers, node)
            return ANYTHING
        return None

    def stepped(self, node: ast.Call, func: ast.Attribute, owner: Values) -> Values:
        """Return the optimizer of ``optimizer.step()`` or ``scaler.step(optimizer)``."""
        if optimizers := _optimizers_in(owner):
            return optimizers
        # an optimizer from elsewhere is known by its name alone
        if OPTIMIZER.search(last_name(func.value)):
            return ANYTHING
        is_named = any(OPTIMIZER.search(dotted(argument)) for argument in node.args)
        optimizers = _optimizers_in(union(map(self.value, node.args)))
        return optimizers or (ANYTHING if is_named else frozenset())

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
        optimizers = _optimizers_in(union(arguments))
        name = last_name(node.func)
        # torch_xla has a function of that name
        if name == "optimizer_step" and node.args:
            self.add("update", optimizers or ANYTHING, node)
        elif TRAINS.search(name) and not _is_mode_switch(node):
            self.add("train", optimizers or ANYTHING, node)
        elif optimizers:
            self.add("passed_to", optimizers, node)
        if name.endswith("DataLoader"):
            return frozenset({Loader()})
        if path.startswith("torch.optim.") and name[:1].isupper():
            return frozenset({Optimizer()})
        return frozenset({measure(node, self.names)}) if name in _NUMERIC else ANYTHING

    def add(self, kind: Kind, things: Values, call: ast.Call) -> None:
        """Add an event to the model."""
        context, when = tuple(self.context), len(self.model.events)
        self.model.events.append(ScriptEvent(kind, things, call, context, when, self.root))

    def mark_escaped(self, values: Values) -> None:
        """Mark schedulers that went where they cannot be followed: they may be stepped there."""
        for value in values:
            if isinstance(value, SchedulerCreated):
                value.has_escaped = True
            elif isinstance(value, TupleValue):
                self.mark_escaped(union(value.parts))

    def mark_names_escaped(self, node: ast.AST) -> None:
        """Mark every scheduler that a piece of code names."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name | ast.Attribute):
                self.mark_escaped(self.names[dotted(part)])


def _arguments_by_name(node: ast.Call, name: str) -> dict[str, ast.expr]:
    order = SIGNATURES.get(name, ("optimizer",))
    unnamed = (f"#{index}" for index in range(len(node.args)))
    arguments = dict(zip((*order, *unnamed), node.args, strict=False))
    return arguments | {keyword.arg or "**": keyword.value for keyword in node.keywords}


def _optimizers_in(values: Values) -> Values:
    return frozenset(value for value in values if isinstance(value, Optimizer))


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
    return Loader(is_share=True) if isinstance(thing, Loader) else thing
