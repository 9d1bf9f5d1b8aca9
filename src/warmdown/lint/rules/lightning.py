"""Lightning steps a scheduler once per epoch, where nothing else is asked for."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from warmdown.lint.finding import Mistake
from warmdown.lint.names import names_in
from warmdown.lint.patterns import EPOCH, STEPS, matches
from warmdown.lint.script import SchedulerCreated, ScriptModel, dotted

_STEPS_ITSELF = {"automatic_optimization", "lr_schedulers", "lr_scheduler_step"}
_IN_STEPS = {"OneCycleLR", "CyclicLR", "CosineAnnealingLR", "PolynomialLR", "LinearLR"}
_MANY = 1000


def default_interval(model: ScriptModel) -> Iterator[Mistake]:
    """WDL013: ``configure_optimizers`` returns a schedule in steps and no ``interval``."""
    methods = {node.name for node in ast.walk(model.tree) if isinstance(node, ast.FunctionDef)}
    if "training_step" not in methods or (model.words | methods) & _STEPS_ITSELF:
        return
    for scheduler in model.schedulers:
        names = [getattr(node, "name", "") for node in scheduler.within]
        if "configure_optimizers" not in names or _asks_for_steps(scheduler.within):
            continue
        if _counts_steps(model, scheduler):
            yield (
                scheduler.call,
                f"{scheduler.name}: its length counts steps, but Lightning steps it once per "
                'epoch. Return {"scheduler": scheduler, "interval": "step"}.',
            )


def _asks_for_steps(functions: Iterable[ast.AST]) -> bool:
    """Return whether an ``interval`` is given that may be another than ``"epoch"``."""
    for node in (part for function in functions for part in ast.walk(function)):
        match node:
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    (getattr(key, "value", ""), value)
                    for key, value in zip(keys, values, strict=True)
                ]
            case ast.keyword(arg=str(name), value=value):
                pairs = [(name, value)]
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=name))], value=value):
                pairs = [(name, value)]
            case _:
                continue
        for name, value in pairs:
            if name == "interval" and getattr(value, "value", "") != "epoch":
                return True
    return False


def _counts_steps(model: ScriptModel, scheduler: SchedulerCreated) -> bool:
    if scheduler.name == "LambdaLR":
        return _is_in_steps(names_in(_function_of(model, scheduler)))
    total = scheduler.total
    if scheduler.library == "transformers":
        is_of_epochs = any(one.counts_epochs for one in scheduler.lengths.values())
        return total is not None and not is_of_epochs and not total.number < _MANY
    if total is None:
        return False
    if total.counts_batches or total.number >= _MANY:
        return True
    return scheduler.name in _IN_STEPS and _is_in_steps(total.words)


def _is_in_steps(words: frozenset[str]) -> bool:
    rest = {word for word in words if "per_epoch" not in word}
    return matches(STEPS, rest) and not matches(EPOCH, rest)


def _function_of(model: ScriptModel, scheduler: SchedulerCreated) -> ast.AST:
    """Return the body of the function that a ``LambdaLR`` was given."""
    given = scheduler.arguments.get("lr_lambda", scheduler.call)
    if isinstance(given, ast.Lambda):
        return given.body
    for node in ast.walk(model.tree):
        if isinstance(node, ast.FunctionDef) and node.name == dotted(given):
            return ast.Module(node.body, [])
    return ast.Module([], [])
