"""Lightning steps a scheduler once per epoch, where nothing else is asked for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from warmdown.lint.finding import Mistake
from warmdown.lint.names import names_in
from warmdown.lint.patterns import EPOCH, STEPS, matches
from warmdown.lint.script import SchedulerCreated, ScriptModel, dotted

_STEPS_ITSELF = {"automatic_optimization", "lr_schedulers", "lr_scheduler_step"}
_IN_STEPS = {"OneCycleLR", "CyclicLR", "CosineAnnealingLR", "PolynomialLR", "LinearLR"}
_MANY = 1000
_LIGHTNING = re.compile(r"lightning", re.IGNORECASE)


def default_interval(model: ScriptModel) -> Iterator[Mistake]:
    """WDL013: ``configure_optimizers`` returns a schedule in steps and no ``interval``."""
    for scheduler in _returned(model):
        misplaced = [
            node
            for node, entries in _entries(scheduler)
            if {"optimizer", "lr_scheduler"} <= entries.keys()
            and _has_text(entries, "interval", "step")
        ]
        for node in misplaced:
            yield (
                node,
                'Lightning leaves out an "interval" beside "optimizer", and steps the scheduler '
                'once per epoch. Put it inside: "lr_scheduler": {"scheduler": scheduler, '
                '"interval": "step"}.',
            )
        is_asked = misplaced or _asks_for_steps(model, scheduler)
        if not is_asked and _counts_steps(model, scheduler):
            yield (
                scheduler.call,
                f"{scheduler.name}: its length counts steps, but Lightning steps it once per "
                'epoch. Return {"scheduler": scheduler, "interval": "step"}.',
            )


def ignored_key(model: ScriptModel) -> Iterator[Mistake]:
    """WDL006: Lightning is given a scheduler under a key that it leaves out."""
    for scheduler in _returned(model) if matches(_LIGHTNING, model.words) else ():
        for node in _lost_entries(scheduler):
            yield (
                node,
                'Lightning reads {"optimizer": …, "lr_scheduler": …} and [{"scheduler": …}]; under '
                "another key it does not find the scheduler, and the rate will not move.",
            )


def length_in_epochs(model: ScriptModel) -> Iterator[Mistake]:
    """WDL008: a length in epochs, and Lightning is asked to step for every batch."""
    for scheduler in _returned(model):
        statement = model.statement_of(scheduler.call)
        name = dotted(statement.targets[0]) if isinstance(statement, ast.Assign) else ""
        for _, entries in _entries(scheduler):
            given = entries.get("scheduler")
            is_its_own = given is scheduler.call or (given and name and dotted(given) == name)
            is_of_epochs = scheduler.total and scheduler.total.counts_epochs
            if is_its_own and is_of_epochs and _has_text(entries, "interval", "step"):
                yield (
                    scheduler.call,
                    f"{scheduler.name}: its length counts epochs, but Lightning is asked to step "
                    "it for every batch. Give it self.trainer.estimated_stepping_batches.",
                )


def _has_text(entries: Mapping[str, ast.expr], key: str, text: str) -> bool:
    value = entries.get(key)
    return isinstance(value, ast.Constant) and value.value == text


def _entries(scheduler: SchedulerCreated) -> Iterator[tuple[ast.expr, Mapping[str, ast.expr]]]:
    """Yield the dicts of the functions that a scheduler was made in, with their keys."""
    for function in scheduler.within:
        for node in ast.walk(function):
            if isinstance(node, ast.Dict):
                yield node, _pairs_in(node)


def _lost_entries(scheduler: SchedulerCreated) -> Iterator[ast.expr]:
    """Yield the dicts whose scheduler Lightning does not find."""
    for node, entries in _entries(scheduler):
        keys = set(entries)
        is_beside = {"optimizer", "scheduler"} <= keys and "lr_scheduler" not in keys
        is_inside = "lr_scheduler" in keys and keys & {"interval", "frequency"}
        if is_beside or (is_inside and not keys & {"optimizer", "scheduler", ""}):
            yield node


def missing_monitor(model: ScriptModel) -> Iterator[Mistake]:
    """WDL003: Lightning is given a plateau, and not the name of the metric that it watches."""
    for scheduler in _returned(model):
        words = frozenset[str]().union(*map(names_in, scheduler.within))
        # of several in a list, which Lightning refuses, nothing is sure
        is_one = len(getattr(model.parents[scheduler.call], "elts", ())) < 2
        is_named = "monitor" in words or any(_lost_entries(scheduler))
        if scheduler.name == "ReduceLROnPlateau" and not is_named and is_one:
            yield (
                scheduler.call,
                "ReduceLROnPlateau watches a metric, and Lightning raises where none is named. "
                'Return {"scheduler": scheduler, "monitor": "val_loss"}.',
            )


def _returned(model: ScriptModel) -> Iterator[SchedulerCreated]:
    """Yield the schedulers that Lightning steps."""
    methods = {node.name for node in model.parents if isinstance(node, ast.FunctionDef)}
    is_lightning = "training_step" in methods or matches(_LIGHTNING, model.words)
    if is_lightning and not (model.words | methods) & _STEPS_ITSELF:
        for scheduler in model.schedulers:
            names = [getattr(node, "name", "") for node in scheduler.within]
            if "configure_optimizers" in names:
                yield scheduler


def _asks_for_steps(model: ScriptModel, scheduler: SchedulerCreated) -> bool:
    """Return whether an ``interval`` that may be another than ``"epoch"`` may be its own."""
    others = [one.call for one in model.schedulers if one is not scheduler]
    for node in (part for function in scheduler.within for part in ast.walk(function)):
        entries = _pairs_in(node)
        interval = entries.get("interval")
        is_epoch = isinstance(interval, ast.Constant) and interval.value == "epoch"
        if "optimizer" in entries:  # Lightning leaves it out there
            continue
        if interval and not is_epoch and entries.get("scheduler") not in others:
            return True
    return False


def _pairs_in(node: ast.AST) -> Mapping[str, ast.expr]:
    match node:
        case ast.Dict(keys=keys, values=values):
            names = [getattr(key, "value", "") for key in keys]
            return dict(zip(names, values, strict=True))
        case ast.Call(keywords=keywords):
            return {keyword.arg or "": keyword.value for keyword in keywords}
        case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))], value=value):
            return {name: value}
    return {}


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
    for node in model.parents:
        if isinstance(node, ast.FunctionDef) and node.name == dotted(given):
            return ast.Module(node.body, [])
    return ast.Module([], [])
