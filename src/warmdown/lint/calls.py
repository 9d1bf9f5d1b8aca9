"""What an expression holds, and what a call in it does: makes a scheduler, steps it, updates, prepares, trains."""

from __future__ import annotations

__all__ = ["Calls"]

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from warmdown.lint.measure import dotted, measure
from warmdown.lint.names import Function, Names, Several, Values, guessed
from warmdown.lint.scene import (
    NOTHING,
    UNKNOWN,
    Birth,
    Condition,
    Event,
    Loader,
    Loop,
    Optimizer,
    Scene,
    What,
)
from warmdown.lint.words import LENGTHS, OPTIMIZER, SIGNATURES, TRAINS, library_of

_SOMETHING: Values = frozenset({UNKNOWN})
_ACCELERATOR = re.compile(r"accelerator", re.IGNORECASE)
_COUNTED = ("epochs", "steps_per_epoch")


class Calls(ABC):
    """Evaluates expressions as far as needed, and notes what happens."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.scene_root = 0
        self.context: list[Loop | Condition] = []

    @abstractmethod
    def follow(
        self, function: Function, call: ast.Call, arguments: Sequence[Values], names: Names
    ) -> Values | None:
        """Read the body of a called function."""

    def value(self, node: ast.expr, names: Names) -> Values:
        """Return what an expression may hold; note what its calls do."""
        match node:
            case ast.Name() | ast.Attribute():
                return self.named(node, names)
            case ast.Call():
                return self.called(node, names)
            case ast.Tuple():
                return frozenset({Several(tuple(self.value(part, names) for part in node.elts))})
            case ast.Constant(value=None):
                return frozenset({NOTHING})
            case ast.Constant():
                return frozenset({measure(node, names)})
            case ast.IfExp():
                self.value(node.test, names)
                return self.value(node.body, names) | self.value(node.orelse, names)
            case (
                ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp()
            ):
                self.let_go_of_names(node, names)
                return _SOMETHING
            case ast.Await() | ast.NamedExpr():
                return self.value(node.value, names)
            case ast.Compare():  # `scheduler is None` gives nothing away
                for part in (node.left, *node.comparators):
                    self.value(part, names)
                return _SOMETHING
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.let_go(self.value(child, names))
        return frozenset({measure(node, names)}) if isinstance(node, ast.BinOp) else _SOMETHING

    def named(self, node: ast.Name | ast.Attribute, names: Names) -> Values:
        """Return what a name holds."""
        name = dotted(node)
        if name is not None and (held := names.get(name)) is not None:
            return held
        if isinstance(node, ast.Attribute):
            self.value(node.value, names)
        return _SOMETHING

    def called(self, node: ast.Call, names: Names) -> Values:
        """Return what a call gives back."""
        path = names.path_of(node.func)
        if path is not None and library_of(path):
            return self.born(node, path, names)
        if (
            isinstance(node.func, ast.Attribute)
            and (result := self.method(node, node.func, names)) is not None
        ):
            return result
        arguments = [self.value(arg, names) for arg in node.args]
        for function in self.functions(node, names):
            result = self.follow(function, node, arguments, names)
            if result is not None:
                return result
        return self.opaque(node, path, arguments, names)

    def functions(self, node: ast.Call, names: Names) -> list[Function]:
        """Return the file's own functions that may be called."""
        held = names.get(dotted(node.func) or "", frozenset())
        return [value for value in held if isinstance(value, Function)]

    def born(self, node: ast.Call, path: str, names: Names) -> Values:
        """Note a scheduler that is made."""
        name = path.rsplit(".", 1)[-1]
        arguments = _arguments(node, name)
        held = {key: self.value(argument, names) for key, argument in arguments.items()}
        for key, values in held.items():
            if key != "optimizer":
                self.let_go(values)
        birth = Birth(
            name=name,
            library=library_of(path) or "",
            call=node,
            arguments=arguments,
            lengths={
                key: measure(arguments[key], names)
                for key in (LENGTHS.get(name), *_COUNTED)
                if key in arguments
            },
            optimizers=_optimizers_given(arguments, held, names),
            when=len(self.scene.events),
            context=tuple(self.context),
            root=self.scene_root,
        )
        self.scene.births.append(birth)
        self.note("birth", frozenset({birth}), node)
        return frozenset({birth})

    def method(self, node: ast.Call, func: ast.Attribute, names: Names) -> Values | None:
        """Deal with a method that matters; ``None`` for any other."""
        base = self.value(func.value, names)
        if _schedulers(base):
            if func.attr in ("step", "get_lr"):
                for arg in (*node.args, *(keyword.value for keyword in node.keywords)):
                    self.let_go(self.value(arg, names))
                self.note("step" if func.attr == "step" else "get_lr", base, node)
                return _SOMETHING
            return None
        if func.attr.startswith("prepare") and _ACCELERATOR.search(dotted(func.value) or ""):
            return self.prepared(node, names)
        if func.attr == "step" and (optimizers := self.stepped(node, func, base, names)):
            self.note("update", optimizers, node)
            return _SOMETHING
        return None

    def stepped(self, node: ast.Call, func: ast.Attribute, base: Values, names: Names) -> Values:
        """Return the optimizer of ``optimizer.step()`` or ``scaler.step(optimizer)``."""
        if _optimizers(base):
            return _optimizers(base)
        if OPTIMIZER.search((dotted(func.value) or "").rsplit(".", 1)[-1]):
            return _SOMETHING
        given = [arg for arg in node.args if OPTIMIZER.search(dotted(arg) or "")]
        held = frozenset[object]().union(*(self.value(arg, names) for arg in node.args))
        return _optimizers(held) or (_SOMETHING if given else frozenset())

    def prepared(self, node: ast.Call, names: Names) -> Values:
        """Note what accelerate has taken over; it gives back the same things in the same order."""
        held = [guessed(dotted(arg) or "", self.value(arg, names)) for arg in node.args]
        given = [frozenset(map(_prepared, values)) for values in held]
        return given[0] if len(given) == 1 else frozenset({Several(tuple(given))})

    def opaque(
        self, node: ast.Call, path: str | None, arguments: list[Values], names: Names
    ) -> Values:
        """Deal with a call that leads out of the file."""
        arguments = [*arguments, *(self.value(keyword.value, names) for keyword in node.keywords)]
        for values in arguments:
            self.let_go(values)
        optimizers = (
            _optimizers(frozenset[object]().union(*arguments)) if arguments else frozenset()
        )
        name = (dotted(node.func) or "").rsplit(".", 1)[-1]
        if name == "optimizer_step" and node.args:
            self.note("update", optimizers or _SOMETHING, node)
        elif TRAINS.search(name) and not _is_mode_switch(node):
            self.note("train", optimizers or _SOMETHING, node)
        elif optimizers:
            self.note("touch", optimizers, node)
        made = _made(name, path)
        return made or (frozenset({measure(node, names)}) if name in _SIZES else _SOMETHING)

    def note(self, what: What, to: Values, call: ast.Call) -> None:
        """Add an event to the scene."""
        event = Event(what, to, call, tuple(self.context), len(self.scene.events), self.scene_root)
        self.scene.events.append(event)

    def let_go(self, values: Values) -> None:
        """Remember that a scheduler went where the reader can not follow: it may be stepped there."""
        for value in values:
            if isinstance(value, Birth):
                value.has_escaped = True
            elif isinstance(value, Several):
                for part in value.parts:
                    self.let_go(part)

    def let_go_of_names(self, node: ast.AST, names: Names) -> None:
        """Let go of everything that a piece of code names."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name | ast.Attribute):
                self.let_go(names.get(dotted(part) or "", frozenset()))


_SIZES = {"len", "int", "float", "max", "min", "ceil", "floor", "round"}


def _arguments(node: ast.Call, name: str) -> dict[str, ast.expr]:
    order = SIGNATURES.get(name, ("optimizer",))
    named = dict(zip(order, node.args, strict=False))
    rest = {f"#{index}": arg for index, arg in enumerate(node.args[len(order) :])}
    return {**named, **rest, **{keyword.arg or "**": keyword.value for keyword in node.keywords}}


def _optimizers_given(
    arguments: dict[str, ast.expr], held: dict[str, Values], names: Names
) -> Values:
    """Return what the scheduler's optimizer may be; nothing at all when its name is not yet bound."""
    argument = arguments.get("optimizer")
    if argument is None or (isinstance(argument, ast.Name) and names.get(argument.id) is None):
        return frozenset()
    return _optimizers(held["optimizer"]) or _SOMETHING


def _schedulers(values: Values) -> bool:
    return any(isinstance(value, Birth) for value in values)


def _optimizers(values: Values) -> Values:
    return frozenset(value for value in values if isinstance(value, Optimizer))


def _is_mode_switch(node: ast.Call) -> bool:
    """Tell ``model.train()`` and ``model.train(True)`` from a call that trains."""
    plain = not node.keywords and all(isinstance(arg, ast.Constant) for arg in node.args)
    return (
        isinstance(node.func, ast.Attribute) and node.func.attr in ("train", "training") and plain
    )


def _prepared(thing: object) -> object:
    """Return what accelerate gives back: the same scheduler, and another loader with this process's share."""
    if isinstance(thing, Birth):
        thing.is_prepared = True
    return Loader(is_share=True) if isinstance(thing, Loader) else thing


def _made(name: str, path: str | None) -> Values | None:
    if name.endswith("DataLoader"):
        return frozenset({Loader()})
    if path is not None and path.startswith("torch.optim.") and name[:1].isupper():
        return frozenset({Optimizer()})
    return None
