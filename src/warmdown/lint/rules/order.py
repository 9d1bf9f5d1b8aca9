"""Rules about when a scheduler is stepped: too early, in the wrong loop, twice, never."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import permutations
from typing import TypeGuard

from warmdown.lint.edits import drop, move_after
from warmdown.lint.finding import Edit, Mistake
from warmdown.lint.rules.lightning import ignored_key
from warmdown.lint.script import (
    Around,
    Length,
    Loop,
    Optimizer,
    SchedulerCreated,
    ScriptEvent,
    ScriptModel,
)

_PER_BATCH = {"OneCycleLR", "CyclicLR", "Scheduler"}
_COUNTS_OTHERWISE = {"auto", "count", "count_by", "timer"}
_JUMPS = ast.Continue | ast.Break | ast.Return | ast.Raise | ast.Yield


def stepped_early(model: ScriptModel) -> Iterator[Mistake]:
    """WDL001: the schedule moves before the optimizer has used its first value."""
    yield from _named_stepped_early(model)
    for event in model.of("step"):
        loop, schedulers = event.loop, event.schedulers
        is_plateau = any(one.name == "ReduceLROnPlateau" for one in schedulers)
        if not event.is_sure or event.arguments or is_plateau:
            continue
        if event.conditions_in(loop) and not _is_in_branch_of_updates(model, event):
            continue
        # a function that was read on its own runs at a time that is not known
        is_elsewhere = loop is None and any(one.root != event.root for one in schedulers)
        if is_elsewhere or any(loop in one.context for one in schedulers):
            continue
        updates = [update for update in model.updates_for(*schedulers) if _is_near(event, update)]
        # a function that is given the optimizer may update it
        others = (*updates, *model.of("passed_to"))
        created = max(one.when for one in schedulers)
        is_used = any(
            _is_near(event, other) and created <= other.when < event.when for other in others
        )
        later = [update for update in updates if update.loops and update.when > event.when]
        if is_used or not later:
            continue
        first = min(later, key=lambda update: update.when)
        if loop is None:
            yield (
                event.call,
                "scheduler.step() is called before training starts, so the first value of the "
                "schedule is never used. Remove this call.",
                *drop(model, event.call),
            )
        else:
            yield (
                event.call,
                f"scheduler.step() comes before the update on line {first.call.lineno}, so the "
                "first value of the schedule is never used. Step the scheduler after the "
                "optimizer.",
                *_swap(model, event, first),
            )


def _is_in_branch_of_updates(model: ScriptModel, event: ScriptEvent) -> bool:
    """Return whether the updates come wherever the step does: ``if phase == "train"``."""
    loop, branches = event.loop, _branches_around(model, event.call, event.loop)
    if loop is None or len(branches) < len(event.conditions_in(loop)):
        return False
    bound = {part.id for part in ast.walk(loop.node) if _is_bound(part)}
    updates = [one for one in model.updates_for(*event.schedulers) if loop in one.loops]
    for update in updates:
        asked = {ast.unparse(one.test) for one in _branches_around(model, update.call, loop)}
        for branch in branches:
            # a test of names that the loop leaves alone is true in each turn, or in none
            names = {part.id for part in ast.walk(branch.test) if isinstance(part, ast.Name)}
            calls = any(isinstance(part, ast.Call) for part in ast.walk(branch.test))
            is_fixed = not calls and not names & {"self", *bound}
            holds_update = any(part is update.call for part in ast.walk(branch))
            if ast.unparse(branch.test) not in asked and (holds_update or not is_fixed):
                return False
    return True


def _is_bound(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _branches_around(model: ScriptModel, node: ast.AST, loop: Loop | None) -> list[ast.If]:
    """Return the branches that are taken between a node and a loop of its function."""
    branches: list[ast.If] = []
    while (above := model.parents.get(node)) is not None and loop and above is not loop.node:
        if isinstance(above, ast.If) and node in above.body:
            branches.append(above)
        node = above
    return branches


def _named_stepped_early(model: ScriptModel) -> Iterator[Mistake]:
    """Yield the early steps of what another file has made, and is known by its name alone."""
    for event in model.of("foreign_step"):
        loop = event.loop
        if loop is None or event.conditions_in(loop) or _defines_step(model):
            continue
        updates = [update for update in model.of("update", "train") if loop in update.loops]
        later = [one for one in updates if one.kind == "update" and one.when > event.when]
        if later and not any(update.when < event.when for update in updates):
            yield (
                event.call,
                f"scheduler.step() comes before the update on line {later[0].call.lineno}, so the "
                "first value of the schedule is never used. Step the scheduler after the "
                "optimizer.",
                *_swap(model, event, later[0]),
            )


def _defines_step(model: ScriptModel) -> bool:
    """Return whether the file has a scheduler of its own, which may want another order."""
    classes = (node for node in model.parents if isinstance(node, ast.ClassDef))
    methods = (part for node in classes for part in node.body)
    return any(isinstance(part, ast.FunctionDef) and part.name == "step" for part in methods)


def _is_near(event: ScriptEvent, other: ScriptEvent) -> bool:
    """Return whether another event is in the event's loop, or in its function where it has none."""
    return other.root == event.root if event.loop is None else event.loop in other.loops


def _swap(model: ScriptModel, event: ScriptEvent, first: ScriptEvent) -> list[Edit]:
    """Move the step behind the update where both are plain statements of one block."""
    step, update = model.statement_of(event.call), model.statement_of(first.call)
    block = model.block_of(step)
    is_plain = isinstance(update, ast.Expr | ast.Assign)
    if first.kind != "update" or update not in block or not is_plain:
        return []
    between = block[block.index(step) + 1 : block.index(update)]
    nodes = (node for statement in between for node in ast.walk(statement))
    if any(isinstance(node, _JUMPS) for node in nodes):
        return []
    return move_after(model, step, update)


def stepped_per_epoch(model: ScriptModel) -> Iterator[Mistake]:
    """WDL002: a schedule that counts batches is stepped once per epoch."""
    for event in model.of("step"):
        loop, schedulers = event.loop, event.schedulers
        names = {one.name for one in schedulers}
        if not loop or not event.is_sure or not event.is_per_epoch or names - _PER_BATCH:
            continue
        # our own counts epochs only where it is asked to
        own = [one for one in schedulers if one.library == "native"]
        if any(_COUNTS_OTHERWISE & one.arguments.keys() or not _counts_batches(one) for one in own):
            continue
        # a length in turns of this loop: one step a turn is what was planned
        if any(loop.runs_for(one.lengths.get("total_steps")) for one in schedulers):
            continue
        inner = [update for update in model.updates_for(*schedulers) if update.is_deeper_than(loop)]
        if inner or any(map(_counts_batches, schedulers)):
            yield (
                event.call,
                f"{min(names)} is stepped once per epoch, but it moves by batches: only the first "
                "few of its steps are ever used. Call scheduler.step() in the batch loop, after "
                "optimizer.step().",
                *_into_the_batch_loop(model, event, inner),
            )


def _counts_batches(scheduler: SchedulerCreated) -> bool:
    return scheduler.lengths.get("total_steps", Length("")).counts_batches


def _into_the_batch_loop(
    model: ScriptModel, event: ScriptEvent, inner: list[ScriptEvent]
) -> list[Edit]:
    updates = [update for update in inner if update.kind == "update"]
    if len(updates) != 1 or event.scheduler is None or not _counts_batches(event.scheduler):
        return []
    update, step = model.statement_of(updates[0].call), model.statement_of(event.call)
    loops = [loop.node for loop in updates[0].loops]
    is_in_loop = isinstance(update, ast.Expr) and model.parents[update] in loops
    if not is_in_loop or len(model.block_of(step)) == 1:
        return []
    return move_after(model, step, update)


def stepped_twice(model: ScriptModel) -> Iterator[Mistake]:
    """WDL011: one scheduler is stepped in the batch loop and in the epoch loop around it."""
    for scheduler in model.schedulers:
        if scheduler.library == "native":  # it counts the updates that were made
            continue
        steps = [
            event for event in model.steps_of(scheduler) if event.is_sure and not event.call.args
        ]
        for event, inner in permutations(steps, 2):
            is_inner = inner.is_per_batch and inner.is_deeper_than(event.loop)
            if event.is_per_epoch and is_inner:
                yield (
                    event.call,
                    f"this scheduler is also stepped for every batch, on line {inner.call.lineno}: "
                    "the schedule runs one step ahead after each epoch. Keep one of the two.",
                )


def made_in_each_epoch(model: ScriptModel) -> Iterator[Mistake]:
    """WDL017: an optimizer or a scheduler is made again in each turn of the epoch loop."""
    for scheduler in model.schedulers:
        loop, total = _epoch_around(scheduler.context), scheduler.total
        # `step(epoch)` goes on where the epochs are
        steps = [
            event
            for event in model.steps_of(scheduler)
            if event.is_sure and event.loop and not event.arguments
        ]
        # a wave in each epoch is meant, where its length is that of one epoch
        is_long = loop is not None and total is not None and total.is_made_of(loop.bound)
        if loop and any(event.loop is loop or is_long for event in steps):
            yield (
                scheduler.call,
                f"{scheduler.name} is made again in each epoch, and its schedule begins again with "
                "it. Make it before the loop.",
            )
    for update in model.of("update") if model.schedulers else ():
        for optimizer in update.things:
            if isinstance(optimizer, Optimizer) and optimizer.call:
                around = _epoch_around(optimizer.context)
                if around and around in update.loops:
                    yield (
                        optimizer.call,
                        "the optimizer is made again in each epoch: it forgets its state, and a "
                        "scheduler from before does not move its rate. Make it before the loop.",
                    )


def _epoch_around(context: Around) -> Loop | None:
    """Return the innermost loop, when it runs over epochs, with no branch inside it."""
    match context:
        case [*_, Loop(kind="epoch") as loop]:
            return loop
    return None


def never_stepped(model: ScriptModel) -> Iterator[Mistake]:
    """WDL006: a scheduler is created, its optimizer trains, and the scheduler is never stepped."""
    yield from ignored_key(model)
    for scheduler in model.schedulers:
        if scheduler.has_escaped or scheduler.is_prepared or model.steps_of(scheduler):
            continue
        if "auto" in scheduler.arguments:
            continue
        updates = [
            update
            for update in model.updates_for(scheduler, opaque=False)
            if update.loops and update.when >= scheduler.when and update.root == scheduler.root
        ]
        if any(update.things & scheduler.optimizers for update in updates):
            yield (
                scheduler.call,
                f"{scheduler.name} is made and never stepped: the learning rate will not move. "
                "Call scheduler.step() after optimizer.step().",
            )
