"""Rules about a run that goes on: what its checkpoint must bring back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from math import isnan

from warmdown.lint.finding import Mistake
from warmdown.lint.names import names_in
from warmdown.lint.patterns import RESUMES, SCHEDULER, matches
from warmdown.lint.script import (
    Optimizer,
    SchedulerCreated,
    ScriptEvent,
    ScriptModel,
    Values,
    arguments_of,
    dotted,
    last_name,
)

_RESTORES = {"load_state", "initial_lr", "seek", "LightningModule"}


def optimizer_alone(model: ScriptModel) -> Iterator[Mistake]:
    """WDL014: a run goes on with the optimizer's state, and its schedule from the start."""
    resumes = (one for one in model.of("passed_to") if RESUMES.search(last_name(one.call.func)))
    loads = [*model.of("load"), *resumes]
    if model.words & _RESTORES or _loads_schedulers(model):
        return
    for scheduler, steps in _steps_by_scheduler(model):
        loops = [event.loops[0] for event in steps if event.loops]
        is_resumed = any(loop.start.text and isnan(loop.start.number) for loop in loops)
        trains = [update.loops for update in model.of("update", "train")]
        is_forwarded = not all(any(loop in around for around in trains) for loop in loops)
        for load in loads if is_resumed and not is_forwarded else ():
            optimizers = scheduler.optimizers if scheduler else load.things
            if load.things & optimizers or not (_is_known(load.things) and _is_known(optimizers)):
                name = scheduler.name if scheduler else "its schedule"
                # a function that resumes may be right for who has no scheduler
                is_call = scheduler and load.kind == "passed_to"
                yield (
                    scheduler.call if scheduler and is_call else load.call,
                    f"the run goes on with the optimizer's state (line {load.call.lineno}), but "
                    f"{name} begins again at step 0. Save and load the scheduler's state_dict() "
                    "too.",
                )
                break


def _is_known(optimizers: Values) -> bool:
    """Return whether every optimizer was made here: one that is known by its name may be any."""
    return all(isinstance(one, Optimizer) and one.call for one in optimizers)


def _steps_by_scheduler(
    model: ScriptModel,
) -> Iterator[tuple[SchedulerCreated | None, list[ScriptEvent]]]:
    """Yield the schedulers that step without an argument, and steps of those of other files."""
    for scheduler in model.schedulers:
        steps = model.steps_of(scheduler)
        is_sure = all(event.is_sure and not event.arguments for event in steps)
        last = scheduler.lengths.get("last_epoch")
        is_sure = is_sure and (last is None or last.number == -1)
        # a plateau finds the lowered rate in the optimizer
        if scheduler.name != "ReduceLROnPlateau" and is_sure and not scheduler.given_to:
            yield scheduler, steps
    yield None, list(model.of("foreign_step"))


def fresh_optimizer(model: ScriptModel) -> Iterator[Mistake]:
    """WDL015: ``last_epoch`` for an optimizer whose state has not been loaded."""
    if "initial_lr" in model.words:
        return
    for scheduler in model.schedulers:
        last = scheduler.lengths.get("last_epoch")
        if last is None or last.number == -1 or scheduler.library == "warmdown":
            continue
        known = {one for one in scheduler.optimizers if isinstance(one, Optimizer)}
        before = [event for event in model.of("load", "passed_to") if event.when < scheduler.when]
        is_filled = any(not known or known & event.things for event in before)
        if (
            known
            and not is_filled
            and not matches(SCHEDULER, names_in(scheduler.arguments["last_epoch"]))
        ):
            yield (
                scheduler.call,
                f"{scheduler.name}(last_epoch=…) raises KeyError for an optimizer whose state was "
                "not loaded: its groups have no 'initial_lr'. Load the optimizer before, or load "
                "the scheduler's state_dict() instead.",
            )


def _loads_schedulers(model: ScriptModel) -> bool:
    """Return whether a state is loaded into what is, or may be, a scheduler."""
    for event in model.of("load"):
        if any(isinstance(thing, SchedulerCreated) for thing in event.things):
            return True
    for node in model.parents:
        match node:
            case ast.Attribute(attr="last_epoch"):
                return True
            case ast.Call(func=ast.Attribute(attr="load_state_dict", value=owner)):
                name = last_name(owner)
                if not name or len(name) == 1 or matches(SCHEDULER, names_in(owner)):
                    return True
            case ast.Call(func=func) if "load" in last_name(func) or "resume" in last_name(func):
                arguments = map(dotted, arguments_of(node))
                if any(SCHEDULER.search(name.rpartition(".")[-1]) for name in arguments):
                    return True
    return False
