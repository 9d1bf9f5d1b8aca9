"""Rules about single calls: what a scheduler is made with, and what its methods are given."""

from __future__ import annotations

__all__ = ["argument", "get_lr", "metric_missing", "other_optimizer", "verbose"]

import ast
from collections.abc import Iterator

from warmdown.lint.edits import drop_argument
from warmdown.lint.finding import Edit, Finding, Place
from warmdown.lint.measure import dotted
from warmdown.lint.names import names_in
from warmdown.lint.scene import Birth, Event, Scene
from warmdown.lint.words import EPOCH, METRIC, TRAINS

_TAKE_ARGUMENTS = {"ReduceLROnPlateau", "CosineAnnealingWarmRestarts"}


def metric_missing(scene: Scene) -> Iterator[Finding]:
    """WDL003: ``ReduceLROnPlateau.step()`` without its metric."""
    for event in _plain_steps(scene):
        if all(birth.name == "ReduceLROnPlateau" for birth in event.births) and not _arguments(
            event.call
        ):
            yield Finding.at(
                event.call,
                "WDL003",
                "ReduceLROnPlateau watches a metric and was given none: this raises TypeError. "
                "Pass it: "
                "scheduler.step(val_loss).",
            )


def argument(scene: Scene) -> Iterator[Finding]:
    """WDL010: an argument to ``step()`` of a scheduler that takes none."""
    for event in _plain_steps(scene):
        given = _arguments(event.call)
        if not given or any(birth.name in _TAKE_ARGUMENTS for birth in event.births):
            continue
        name, words = min(birth.name for birth in event.births), names_in(given[0])
        if any(map(METRIC.search, words)):
            message = (
                f"{name} takes no metric: it reads this number as an epoch and jumps there. Call "
                f"scheduler.step()."
            )
        elif any(map(EPOCH.search, words)):
            message = f"{name}.step(epoch) is deprecated and repeats the value before. Call scheduler.step()."
        else:
            continue
        yield Finding.at(event.call, "WDL010", message)


def verbose(scene: Scene) -> Iterator[Finding]:
    """WDL004: ``verbose=``, which torch has dropped."""
    for birth in scene.births:
        for keyword in birth.call.keywords:
            if keyword.arg == "verbose" and birth.library == "torch":
                yield Finding.at(
                    keyword,
                    "WDL004",
                    f"torch has dropped verbose=: {birth.name} raises TypeError. Remove it, and "
                    f"log "
                    "scheduler.get_last_lr() where you want to see the rate.",
                    *drop_argument(birth.call, keyword),
                )


def get_lr(scene: Scene) -> Iterator[Finding]:
    """WDL012: ``get_lr()`` from outside, which computes the next value from the last."""
    for event in scene.of("get_lr"):
        func = event.call.func
        if event.is_sure and isinstance(func, ast.Attribute) and not event.call.args:
            end = Place.end(func)
            start = Place(end.line, end.column - len("get_lr"))
            yield Finding.at(
                event.call,
                "WDL012",
                "get_lr() is the formula from one step to the next, and wrong when called from "
                "outside. Use "
                "get_last_lr().",
                Edit(start, end, "get_last_lr"),
            )


def other_optimizer(scene: Scene) -> Iterator[Finding]:
    """WDL005: the scheduler was made before the optimizer that is trained."""
    for birth in scene.births:
        name = dotted(birth.arguments.get("optimizer", ast.Constant(None)))
        later = _made_later(scene, birth, name) if name else None
        if later is not None and (scene.steps_of(birth) or not birth.optimizers):
            yield Finding.at(
                birth.call,
                "WDL005",
                f"{birth.name} is made before the optimizer on line {later.lineno}, and so never "
                f"moves its rate. "
                f"Make it after `{name}`.",
            )


def _made_later(scene: Scene, birth: Birth, name: str) -> ast.stmt | None:
    """Return the later statement, side by side with the scheduler's, that makes another optimizer of that name."""
    statement = scene.statement_of(birth.call)
    block = scene.block_of(statement)
    after = block[block.index(statement) + 1 :]
    for later in after:
        if _makes_anew(later, name):
            again = any(_gives(other, name) for other in after[after.index(later) :])
            return None if again or _is_used(after[: after.index(later)]) else later
    return None


def _makes_anew(statement: ast.stmt, name: str) -> bool:
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
        return False
    made = (dotted(statement.value.func) or "").rsplit(".", 1)[-1]
    to = [dotted(target) for target in statement.targets]
    return (
        to == [name]
        and made[:1].isupper()
        and name.rsplit(".", 1)[-1] not in names_in(statement.value)
    )


def _gives(statement: ast.stmt, name: str) -> bool:
    """Whether a statement hands the new optimizer to another scheduler, as one that is made anew would."""
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    arguments = [
        arg for call in calls for arg in (*call.args, *(one.value for one in call.keywords))
    ]
    makers = isinstance(statement, ast.Assign) and any(dotted(arg) == name for arg in arguments)
    return makers and "prepare" not in names_in(statement)


def _is_used(between: list[ast.stmt]) -> bool:
    """Whether a training loop stands between: then the first optimizer had its own run."""
    loops = [
        node
        for statement in between
        for node in ast.walk(statement)
        if isinstance(node, ast.For | ast.While)
    ]
    return any(word == "step" or TRAINS.search(word) for loop in loops for word in names_in(loop))


def _plain_steps(scene: Scene) -> Iterator[Event]:
    """Yield the steps whose scheduler's class is certain, with no branch around that asks for it."""
    for event in scene.of("step"):
        words = frozenset[str]().union(*(around.words for around in event.conditions_in(None)))
        own = dotted(event.call.func) or ""
        asked = (
            "isinstance" in words
            or bool(words & set(own.split(".")[:-1]))
            or "plateau" in str(words).lower()
        )
        if event.is_sure and not asked:
            yield event


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]
